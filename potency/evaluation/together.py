"""What several readers say together: agreement of pairs and of all, with oneself, means over readers, disputes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from potency.evaluation.agreement import counted, fleiss_kappa, intraclass, krippendorff
from potency.evaluation.columns import gaps
from potency.evaluation.intervals import bootstrap, interval, numbers_of
from potency.evaluation.results import Interval

if TYPE_CHECKING:
    from potency.evaluation.panel import Wide

OF_PAIRS = {"category": ("kappa", "accuracy"), "number": ("concordance", "bias", "limits_low", "limits_high")}
NAMED = {"accuracy": "same"}  # two readers are not right or wrong of each other: they say the same
SHOWN = 24  # images on the wall of disputes


@dataclass(frozen=True)
class Pair:
    """Two readers in one round: `kappa` (Cohen) and `same` (share), or the agreement of numbers after Bland-Altman."""

    first: str
    second: str
    round: int
    images: int
    figures: dict[str, Interval]


@dataclass(frozen=True)
class Agreement:
    """All readers of a round: `fleiss` or `icc21` and `icc31`, and `alpha` (Krippendorff)."""

    round: int
    readers: int
    images: int
    figures: dict[str, Interval]


@dataclass(frozen=True)
class Dispute:
    """An image on which readers differ: who said what (a list of reader, round, answer), `apart` the more the worse."""

    id: str
    truth: str
    model: str
    apart: float
    said: tuple[tuple[str, int, str], ...]


@dataclass(frozen=True)
class Told:
    """A table whose kinds are known, as `evaluate` takes it."""

    table: pd.DataFrame
    kinds: Mapping[str, str]
    folder: Path = Path()
    origin: Mapping[str, str] = field(default_factory=dict)


def labels_of(table: pd.DataFrame, columns: Sequence[str], kind: str) -> tuple[str, ...]:
    """The classes that some columns name, sorted; () for numbers."""
    if kind == "number":
        return ()
    return tuple(sorted({str(cell) for column in columns for cell in table[column].dropna()}))


def turned(one: Interval) -> Interval:
    """The interval of the difference the other way round."""
    if one.low is None or one.high is None:
        return Interval(-one.value)
    return Interval(-one.value, -one.high, -one.low)


def pairs(wide: Wide, classes: Sequence[str], told: Callable[[int], object]) -> tuple[Pair, ...]:
    """Every two readers of a round on the images that both answered; `told` is called with 1 after each."""
    found = []
    for round in sorted({round for _, round in wide.columns.values()}):
        columns = [column for column, (_, r) in wide.columns.items() if r == round]
        for place, one in enumerate(columns):
            for two in columns[place + 1 :]:
                rows = np.flatnonzero(~gaps(wide.table[one]) & ~gaps(wide.table[two]))
                if len(rows):
                    figures = _pair(wide, wide.table.iloc[rows], (one, two), classes, rows)
                    names = (wide.columns[one][0].name, wide.columns[two][0].name)
                    found.append(Pair(*names, round, len(rows), figures))
                told(1)
    return tuple(found)


def _pair(
    wide: Wide, kept: pd.DataFrame, columns: tuple[str, str], classes: Sequence[str], rows: NDArray[np.intp]
) -> dict[str, Interval]:
    one, two = (kept[[column]].set_axis([""], axis=1) for column in columns)
    evidence = wide.answer.compare_columns(one, two, tuple(classes))
    groups = np.unique(wide.codes[rows], return_inverse=True)[1]
    draws = len(wide.weights)
    (drawn,) = bootstrap(wide.answer, [(np.arange(len(rows)), evidence)], groups, draws) if draws else [{}]
    numbers = numbers_of(wide.answer, evidence, groups, drawn)
    return {NAMED.get(name, name): numbers[name] for name in OF_PAIRS[wide.kind] if name in numbers}


def agreement(wide: Wide, classes: Sequence[str]) -> tuple[Agreement, ...]:
    """All readers of each round together, where there are at least two."""
    found = []
    for round in sorted({round for _, round in wide.columns.values()}):
        columns = [column for column, (_, r) in wide.columns.items() if r == round]
        if len(columns) < 2:
            continue
        values = _values(wide.table[columns], classes)
        answered = np.isfinite(values)
        least = len(columns) if wide.kind == "number" else 2
        rows: NDArray[np.bool_] = np.asarray(answered.sum(axis=1) >= least)
        if rows.any():
            found.append(Agreement(round, len(columns), int(rows.sum()), _of_all(wide, values, rows, classes)))
    return tuple(found)


def _of_all(
    wide: Wide, values: NDArray[np.float64], rows: NDArray[np.bool_], classes: Sequence[str]
) -> dict[str, Interval]:
    kept, weights = values[rows], wide.weights[:, rows]
    groups = len(np.unique(wide.codes[rows]))
    once = np.ones((1, len(kept)))

    def both(times: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
        alpha = krippendorff(kept, wide.kind == "number", times)
        if wide.kind == "number":
            forms = intraclass(kept, times)
            return {"icc21": forms["icc21"], "icc31": forms["icc31"], "alpha": alpha}
        codes = np.where(np.isfinite(kept), kept, -1).astype(int)
        return {"fleiss": fleiss_kappa(counted(codes, len(classes)), times), "alpha": alpha}

    drawn = both(weights) if len(weights) else {}
    return {name: interval(float(value[0]), drawn.get(name), groups)
            for name, value in both(once).items() if np.isfinite(value[0])}  # fmt: skip


def again(wide: Wide, both: pd.DataFrame, classes: Sequence[str]) -> tuple[int, dict[str, Interval]]:
    """How far one reader agrees with themselves on the images shown twice in a round: how many, and the figures.

    No intervals: what is shown twice is a handful of images.
    """
    twice = both[both["again"].astype(bool)].set_index("id")["answer"]
    once = both[~both["again"].astype(bool)].set_index("id")["answer"]
    frame = pd.DataFrame({"one": once, "two": twice}).dropna()
    if not len(frame):
        return 0, {}
    values = _values(frame, classes)
    if wide.kind == "number":
        figures = {name: value for name, value in intraclass(values).items() if name in ("icc21", "icc31")}
        apart = {"mean_difference": np.array([np.abs(values[:, 0] - values[:, 1]).mean()])}
        made = figures | apart
    else:
        first, second = (frame[[column]].set_axis([""], axis=1) for column in ("one", "two"))
        evidence = wide.answer.compare_columns(first, second, tuple(classes))
        kappa = wide.answer.summarise(evidence, np.ones((1, len(frame))))["kappa"]
        made = {"same": np.array([(values[:, 0] == values[:, 1]).mean()]), "kappa": kappa}
    return len(frame), {name: Interval(float(v[0])) for name, v in made.items() if np.isfinite(v[0])}


def mean_of(wide: Wide, columns: Sequence[str]) -> Interval | None:
    """The mean over readers of their accuracy (or mean absolute error); only images are drawn again."""
    scores = _scores(wide, columns)
    if scores is None:
        return None
    drawn = _means(scores, wide.weights).mean(axis=1) if len(wide.weights) else None
    return interval(float(_means(scores, np.ones((1, len(scores)))).mean()), drawn, wide.groups)


def mean_change(wide: Wide, columns: Sequence[tuple[str, str]], seed: int, enough: int) -> dict[str, Interval]:
    """The mean over readers of round two less round one, on images answered in both.

    `these`: holds for these readers, only groups of images are drawn again. `readers`: readers are drawn again as
    well, from `enough` of them on, so that it holds for readers like these (the multi-reader multi-case bootstrap of
    Beiden, Wagner and Campbell 2000, Academic Radiology 7:341).
    """
    first, second = (_scores(wide, [pair[k] for pair in columns]) for k in (0, 1))
    if first is None or second is None:
        return {}
    gap = second - first  # nan where either round has no answer
    usable = np.isfinite(gap).any(axis=0)
    gap = gap[:, usable]
    if not gap.shape[1]:
        return {}
    value = float(_means(gap, np.ones((1, len(gap)))).mean())
    if not len(wide.weights):
        return {"these": Interval(value)}
    each = _means(gap, wide.weights)
    found = {"these": interval(value, each.mean(axis=1), wide.groups)}
    if gap.shape[1] >= enough:
        picked = np.random.default_rng([seed, 47]).integers(0, gap.shape[1], each.shape)
        drawn = np.take_along_axis(each, picked, axis=1).mean(axis=1)
        found["readers"] = interval(value, drawn, min(wide.groups, gap.shape[1]))
    return found


def _scores(wide: Wide, columns: Sequence[str]) -> NDArray[np.float64] | None:
    """Right (1) or wrong (0), or the absolute error, of each image and column; nan where nothing can be said."""
    if not columns or "truth" not in wide.table:
        return None
    truth, made = wide.table["truth"], []
    for column in columns:
        said = wide.table[column]
        score = (said - truth).abs() if wide.kind == "number" else (said == truth).astype(float)
        made.append(np.where(gaps(said) | gaps(truth), np.nan, score.to_numpy(float)))
    scores = np.stack(made, axis=1)
    return scores if np.isfinite(scores).any(axis=0).all() else None


def _means(scores: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weighted means of columns with gaps: (draws, columns)."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(weights @ np.nan_to_num(scores) / (weights @ np.isfinite(scores).astype(float)))


def _values(table: pd.DataFrame, classes: Sequence[str]) -> NDArray[np.float64]:
    """Answers as numbers, classes by their place; nan where there is none."""
    if not classes:
        return table.to_numpy(float)
    places = {name: float(place) for place, name in enumerate(classes)}
    return np.stack([table[column].map(places).to_numpy(float) for column in table], axis=1)


def disputes(wide: Wide, classes: Sequence[str], most: int = SHOWN) -> tuple[Dispute, ...]:
    """The images on which readers of one round differ most: the share of pairs, or the spread of their numbers."""
    rounds = sorted({round for _, round in wide.columns.values()})
    values, found = _values(wide.table[list(wide.columns)], classes) if rounds else np.empty((0, 0)), []
    where = [np.array([r == round for _, r in wide.columns.values()]) for round in rounds]
    for record, said in zip(wide.table.to_dict("records"), values, strict=bool(rounds)):
        apart = max(_apart(said[own], wide.kind) for own in where)
        if apart > 0:
            words = tuple((reader.name, round, _word(record[column]))
                          for (column, (reader, round)), value in zip(wide.columns.items(), said, strict=True)
                          if np.isfinite(value))  # fmt: skip
            found.append(Dispute(str(record["id"]), _word(record.get("truth")), _word(record.get("prediction@model")),
                                 apart, words))  # fmt: skip
    return tuple(sorted(found, key=lambda one: (-one.apart, one.id))[:most])


def _apart(said: NDArray[np.float64], kind: str) -> float:
    given = said[np.isfinite(said)]
    if len(given) < 2:
        return 0.0
    return float(given.std(ddof=1)) if kind == "number" else _differing(given)


def _differing(given: NDArray[np.float64]) -> float:
    counts = np.unique(given, return_counts=True)[1]
    return float(1 - (counts * (counts - 1)).sum() / (len(given) * (len(given) - 1)))


def _word(cell: object) -> str:
    if cell is None or (isinstance(cell, float) and np.isnan(cell)):
        return ""
    return f"{cell:g}" if isinstance(cell, float) else str(cell)
