"""Models of numbers over time, out of fold by group: one for each time, one told the time, one of all seen so far."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from potency.data.split import make_folds
from potency.errors import AnswerError, ManifestError, nearest
from potency.estimators import Fitted, find_estimator
from potency.evaluation.columns import gaps
from potency.pooling import units
from potency.pooling.units import times_of
from potency.timing.points import binned

Floats = NDArray[np.float64]
FEWEST_ROWS = 4  # of each class, to fit a model of one time


@dataclass(frozen=True, eq=False)
class Seen:
    """What a model may know of every row: numbers (rows, F), time, point and unit of it."""

    values: Floats
    time: Floats
    point: NDArray[np.intp]
    unit: NDArray[np.intp]


def at_time(seen: Seen) -> Floats:
    """The numbers of the row alone."""
    return seen.values


def with_time(seen: Seen) -> Floats:
    """The numbers of the row, its time, and their products: what a number means may turn with time."""
    time = seen.time[:, None]
    return np.hstack([seen.values, time, seen.values * (time - time.mean()) / (time.std() or 1.0)])


def of_the_past(seen: Seen) -> Floats:
    """Now, the mean and the largest of all so far, the change since the first, and the time: nothing later is seen.

    Rows of one unit at one time are one look: all of them count, for each of them.
    """
    place = pd.DataFrame(seen.values).groupby([seen.unit, seen.time], sort=True).mean()
    unit = place.index.get_level_values(0)
    mean = place.groupby(unit).expanding().mean().droplevel(0)
    largest = place.groupby(unit).cummax()
    change = place - place.groupby(unit).transform("first")
    whole = pd.concat([place, mean, largest, change], axis=1)
    rows = whole.loc[pd.MultiIndex.from_arrays([seen.unit, seen.time])].to_numpy(np.float64)
    return np.hstack([rows, seen.time[:, None]])


# name -> what a model sees of a row, and whether there is one for each time
MODELS: Mapping[str, tuple[Callable[[Seen], Floats], bool]] = {
    "each-time": (at_time, True),
    "with-time": (with_time, False),
    "so-far": (of_the_past, False),
}


def timed(
    table: pd.DataFrame,
    features: str | Sequence[str],
    *,
    time: str = "time",
    unit: str = "well",
    models: Sequence[str] = tuple(MODELS),
    estimator: str = "logistic",
    every: float = 0.0,
    folds: int = 5,
) -> pd.DataFrame:
    """The table with a prediction column for each model, `prediction@each-time` and so on, every answer out of fold.

    Folds are those of the column `fold`, else whole groups are dealt. `features` are number columns, or one beginning
    they share ("embedding"); they must come from something that never learned from these rows, or from networks of
    the same folds. No model sees a row later than the one it answers; a test changes the future and finds no change.

    Raises:
        ManifestError: no such columns, too few groups. AnswerError: features that are no numbers, rows without time.
    """
    for name in models:
        if name not in MODELS:
            raise ManifestError(f"there is no model {name!r}", "timed(models=...)", nearest(name, MODELS))
    names = feature_columns(table, features)
    values = np.asarray(table[names].apply(pd.to_numeric, errors="coerce"), np.float64)
    wrong = np.argwhere(~np.isfinite(values))
    if len(wrong):
        raise AnswerError(f"{len(wrong)} features are no finite numbers",
                          f"column {names[wrong[0][1]]!r}, row {wrong[0][0]}", "leave these rows out")  # fmt: skip
    hours = times_of(table, time)
    point, _ = binned(hours, every)
    seen = Seen(values, hours, point, units.of(table, [unit]))
    if gaps(table["truth"]).any():
        raise AnswerError("rows without a truth cannot be learned from", "column 'truth'", "leave them out")
    group = table["group"].astype(str)
    fold = table["fold"] if "fold" in table else make_folds(table, group, folds, 0, "stratified")[0]
    made = table.copy()
    for name in models:
        see, each = MODELS[name]
        answers = _answers(table, see(seen), point if each else np.zeros_like(point), np.asarray(fold), estimator)
        for part, cells in answers.items():
            made[f"prediction@{name}{part}"] = cells
    return made


def feature_columns(table: pd.DataFrame, features: str | Sequence[str]) -> list[str]:
    """The columns that are named, or that begin with the one name given and a dot.

    >>> feature_columns(pd.DataFrame(columns=["embedding.0", "embedding.1", "well"]), "embedding")
    ['embedding.0', 'embedding.1']
    """
    if isinstance(features, str):
        begun = [str(name) for name in table.columns if str(name).startswith(f"{features}.")]
        features = [features] if features in table.columns else begun or [features]
    for name in features:
        if name not in table.columns:
            raise ManifestError(f"there is no column {name!r}", "features", nearest(name, table.columns))
    return list(features)


def _answers(
    table: pd.DataFrame, values: Floats, part: NDArray[np.intp], fold: NDArray[np.generic], estimator: str
) -> dict[str, NDArray[np.generic]]:
    truth = table["truth"]
    numeric = pd.api.types.is_numeric_dtype(truth.dtype) and not pd.api.types.is_bool_dtype(truth.dtype)
    told = truth.to_numpy(np.float64) if numeric else truth.astype(str).to_numpy(object)
    classes = () if numeric else tuple(sorted(set(told)))
    made = np.full((len(table), 1 if numeric else len(classes)), np.nan)
    for k in pd.unique(fold):
        for at in np.unique(part):
            learn, test = (fold != k) & (part == at), (fold == k) & (part == at)
            if not test.any() or not _enough(told[learn], numeric):
                continue
            groups = table["group"].astype(str).to_numpy()[learn]
            fitted: Fitted = find_estimator(estimator).fit(
                values[learn], told[learn], estimates="value" if numeric else "label", classes=classes, groups=groups,
            )  # fmt: skip
            found = fitted.predict(values[test])
            made[test] = found["value"][:, None] if numeric else found["probability"]
    if numeric:
        return {"": made[:, 0]}
    known = np.isfinite(made).all(axis=1)
    label = np.full(len(table), None, object)
    label[known] = np.array(classes, object)[made[known].argmax(axis=1)]
    return {"": label, **{f".probability.{name}": made[:, k] for k, name in enumerate(classes)}}


def _enough(told: NDArray[np.generic], numeric: bool) -> bool:
    """A class that vanishes at a time, or in a fold, leaves nothing to tell apart there."""
    if numeric:
        return len(told) >= FEWEST_ROWS
    counts = np.unique(np.asarray(told, str), return_counts=True)[1]
    return len(counts) > 1 and counts.min() >= FEWEST_ROWS
