"""The verb `pool`: answers of many rows become one answer a unit, in the same kind of columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, overload

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from potency.answers.category import class_names, codes_of
from potency.answers.probability import PROBABILITY, probabilities
from potency.data.gathering import PREDICTION
from potency.data.manifest import Manifest
from potency.errors import AnswerError, PlanError, nearest
from potency.evaluation.columns import gaps
from potency.pooling import units
from potency.pooling.rules import RULES, Bags, Rule

COUNT = "count"


@overload
def pool(table: Manifest, by: str | Sequence[str], how: str = ..., *, weight: str = ..., positive: str = ...,
         predictions: Sequence[str] = ...) -> Manifest: ...  # fmt: skip
@overload
def pool(table: pd.DataFrame, by: str | Sequence[str], how: str = ..., *, weight: str = ..., positive: str = ...,
         predictions: Sequence[str] = ...) -> pd.DataFrame: ...  # fmt: skip
def pool(
    table: Manifest | pd.DataFrame,
    by: str | Sequence[str],
    how: str = "mean",
    *,
    weight: str = "",
    positive: str = "",
    predictions: Sequence[str] = (),
) -> Manifest | pd.DataFrame:
    """One row a unit: the predictions of its rows pooled, `<prediction>.count` rows each, all else that they agree in.

    A unit is what has the same cells in `by` within one group (column `group`), so that well B02 of one plate is not
    B02 of another. Several levels make a chain: ("image", "well", "clone") pools patches to images, these to wells,
    these to clones, each image with the same say in its well. Rows with an error count only where all have one; then
    the unit has the error. What was fitted for single rows (`.set`, `.abstain`) is left out.

    Args:
        table: a manifest or a table with prediction columns.
        by: a column, or columns from the smallest unit to the largest.
        how: one of RULES: mean, logodds, noisyor, max, vote for classes; mean, median, trimmed, max for numbers.
        weight: a column of weights (>= 0) for the rows, used at the first level; e.g. the area of a patch.
        positive: the class that noisyor and max look for; by default the last.
        predictions: which prediction columns; by default all.

    Raises:
        AnswerError: rows of one unit differ in their truth, weights or probabilities that are none, no probabilities.
        ManifestError: no such column, or rows without a unit. PlanError: no such rule.

    >>> rows = pd.DataFrame({"well": list("aab"), "group": list("xxy"), "truth": ["no", "no", "yes"],
    ...     "prediction": ["no", "yes", "yes"], "prediction.probability.yes": [0.2, 0.6, 0.9]})
    >>> pool(rows, by="well")[["id", "prediction", "prediction.probability.yes", "prediction.count"]].values.tolist()
    [['x/a', 'no', 0.4, 2], ['y/b', 'yes', 0.9, 1]]
    """
    rule = find_rule(how)
    levels = [by] if isinstance(by, str) else list(by)
    if not levels:
        raise PlanError("no unit to pool to", "pool(by=...)", "name a column, like well")
    frame = table.table if isinstance(table, Manifest) else table
    if not len(frame):
        raise AnswerError("the table has no rows", "pool", "give a table with predictions")
    names = _columns(frame, predictions)
    for number, level in enumerate(levels):
        weights = _weights(frame, weight) if weight and number == 0 else np.ones(len(frame))
        frame = _level(frame, level, (how, rule), weights, positive, names)
    if isinstance(table, pd.DataFrame):
        return frame
    said = f"{how} of each {' of each '.join(reversed(levels))}"
    return replace(table, table=frame, origin={**table.origin, "pooled": said})


def find_rule(how: str) -> Rule:
    """The rule of this name; an unknown one is refused and the nearest named."""
    if how not in RULES:
        raise PlanError(f"there is no rule {how!r} to pool by", "pool(how=...)", nearest(how, RULES))
    return RULES[how]


def _columns(table: pd.DataFrame, asked: Sequence[str]) -> list[str]:
    known = [name for name in map(str, table.columns) if (found := PREDICTION.match(name)) and not found[2]]
    for name in asked:
        if name not in table.columns:
            raise AnswerError(f"there is no prediction column {name!r}", "the table's columns", nearest(name, known))
    chosen = list(asked or known)
    if not chosen:
        raise AnswerError("the table has no prediction to pool", "the table's columns",
                          "predict first, or name the columns: prediction, prediction.probability.<class>")  # fmt: skip
    return chosen


def _weights(table: pd.DataFrame, name: str) -> NDArray[np.float64]:
    cells = table[units.column(table, name, "weight")]
    values = np.asarray(pd.to_numeric(cells, errors="coerce"), np.float64)
    wrong = np.flatnonzero(~(np.isfinite(values) & (values >= 0)))
    if len(wrong):
        cell = cells.iloc[wrong[0]]
        said = repr(cell) if isinstance(cell, str) else f"{cell}"
        raise AnswerError(f"a weight is {said}", f"column {name!r}, row {wrong[0]}", "write finite numbers, 0 or more")
    return values


def _level(
    table: pd.DataFrame, by: str, how: tuple[str, Rule], weights: NDArray[np.float64], positive: str,
    names: Sequence[str],
) -> pd.DataFrame:  # fmt: skip
    unit = units.of(table, [by])
    made = units.shared(table, unit, [by])
    for name in names:
        for part, cells in pooled(table, name, Bags(unit, len(made), weights), how, positive).items():
            made[part] = cells
    return made


def pooled(
    table: pd.DataFrame, name: str, bags: Bags, how: tuple[str, Rule], positive: str = ""
) -> dict[str, Any]:
    """The cells of one prediction column pooled: {column: (units,) values}."""
    sound, errors = _sound(table, name)
    used = Bags(bags.unit[sound], bags.count, bags.weight[sound])
    held = np.bincount(used.unit, used.weight, bags.count) > 0
    if not held.all() and (np.bincount(used.unit, minlength=bags.count)[~held] > 0).any():
        raise AnswerError("the weights of all rows of a unit are 0", "pool(weight=...)", "give one row a weight over 0")
    found: dict[str, Any] = {}
    rows = table[sound]
    if len(rows):
        codes = np.cumsum(held) - 1  # units that have an answer, numbered
        inner = Bags(codes[used.unit], int(held.sum()), used.weight)
        for part, cells in _answers(rows, name, inner, how, positive).items():
            whole = np.full(bags.count, np.nan, object if cells.dtype == object else np.float64)
            if cells.dtype == object:
                whole[:] = None
            whole[held] = cells
            found[part] = whole
    else:
        found[name] = np.full(bags.count, None, object)
    found[f"{name}.{COUNT}"] = np.bincount(used.unit, minlength=bags.count)
    if not held.all():
        said = np.full(bags.count, None, object)
        for number in np.flatnonzero(~held):
            said[number] = next((errors[row] for row in np.flatnonzero(bags.unit == number)), "") or "no answer"
        found[f"{name}.error"] = said
    return found


def _sound(table: pd.DataFrame, name: str) -> tuple[NDArray[np.bool_], list[str]]:
    """Which rows have an answer, and the errors of the rows."""
    error = f"{name}.error"
    wrong = ~gaps(table[error]) if error in table.columns else np.zeros(len(table), bool)
    errors = [str(cell) if gone else "" for cell, gone in zip(table.get(error, [""] * len(table)), wrong, strict=True)]
    return ~wrong & ~gaps(table[name]), errors


def _answers(
    rows: pd.DataFrame, name: str, bags: Bags, how: tuple[str, Rule], positive: str
) -> Mapping[str, NDArray[Any]]:
    word, rule = how
    prefix = f"{name}.{PROBABILITY}"
    told = [str(column).removeprefix(prefix) for column in rows.columns if str(column).startswith(prefix)]
    cells = rows[name]
    if not told and pd.api.types.is_numeric_dtype(cells.dtype) and not pd.api.types.is_bool_dtype(cells.dtype):
        if rule.number is None:
            raise PlanError(f"{word} pools probabilities of classes, and {name!r} holds numbers", "pool(how=...)",
                            "use " + ", ".join(key for key, each in RULES.items() if each.number))  # fmt: skip
        return {name: rule.number(cells.to_numpy(np.float64), bags)}
    if rule.classes is None:
        raise PlanError(f"{word} pools numbers, and {name!r} holds classes", "pool(how=...)",
                        "use " + ", ".join(key for key, each in RULES.items() if each.classes))  # fmt: skip
    labels = tuple(dict.fromkeys([*told, *class_names(cells)]))
    if told:
        p = probabilities(rows.rename(columns={prefix + k: PROBABILITY + k for k in told}), labels, told)
    elif word in ("mean", "vote"):  # of bare labels the mean is the share of votes
        p = np.eye(len(labels))[codes_of(cells, labels, "prediction")]
    else:
        raise AnswerError(f"{word} needs probabilities, and {name!r} has none", f"columns {prefix}<class>",
                          "pool by vote, or write probabilities")  # fmt: skip
    if word == "vote" and told:  # the class that the row names, which a threshold may have moved from the most probable
        p = np.eye(len(labels))[codes_of(cells, labels, "prediction")]
    if positive and positive not in labels:
        raise PlanError(f"there is no class {positive!r}", "pool(positive=...)", nearest(positive, labels))
    found = rule.classes(p, bags, labels.index(positive) if positive else len(labels) - 1)
    names = np.array(labels, object)[found.argmax(axis=1)]
    return {name: names, **{prefix + label: found[:, k] for k, label in enumerate(labels)}}
