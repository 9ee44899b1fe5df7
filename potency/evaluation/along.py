"""Prediction columns compared at each level of another column (time, dose, plate): where one is better, where not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pandas import DataFrame, Series, to_numeric

from potency.errors import AnswerError
from potency.evaluation.columns import Bare, Rows, as_rows, column_of, gaps
from potency.evaluation.evaluate import evaluate
from potency.evaluation.results import Contest, Interval

MOST, PARTS = 12, 6  # values that stand for themselves; parts into which more numbers are cut
FEWEST_ROWS = 10


@dataclass(frozen=True)
class Level:
    """One value, or one range of values, of a column.

    `figures` are the headline of every prediction column there, `differences` that of the first minus each other's,
    paired over the same draws of groups.
    """

    value: str
    low: float | None
    high: float | None
    rows: int
    groups: int
    metric: str
    figures: Mapping[str, Interval]
    differences: Mapping[str, Interval]


def along(
    rows: Rows | DataFrame, column: str, predictions: Sequence[str], *, truth: str = "truth", draws: int = 1000,
    seed: int = 0,
) -> tuple[Level, ...]:  # fmt: skip
    """The headline of prediction columns at each level of `column`, and how the first differs from the others there.

    Numbers with more than 12 values (hours, frames) are cut into six ranges that hold as many rows each; of words each
    is a level. Levels of fewer than 10 rows, or of one truth only, are left out, and so are rows without a value. Each
    level is judged by `evaluate`: intervals draw whole groups (column `group`).

    Raises:
        AnswerError: no such column, or no level that can be judged.

    >>> rows = DataFrame({"truth": list("ab") * 60, "time": [1] * 60 + [2] * 60, "group": [k // 10 for k in range(120)],
    ...                   "prediction": list("ab") * 60, "prediction@old": list("ab") * 30 + list("aa") * 30})
    >>> [str(level.differences["prediction@old"]) for level in along(rows, "time", ["prediction", "prediction@old"])]
    ['0.000 [0.000, 0.000]', '0.500 [0.500, 0.500]']
    """
    made = as_rows(rows)
    cells = column_of(made.table, column, "level")
    if column in (truth, *predictions):
        raise AnswerError(f"{column!r} is what is judged, not what it is judged along", "along", "name another column")
    levels = []
    for name, span, mask in _levels(cells):
        part = made.table[mask]
        if len(part) < FEWEST_ROWS or part[truth].nunique() < 2:
            continue
        try:
            report = evaluate(Bare(part, made.kinds, made.folder), truth=truth, predictions=tuple(predictions),
                              draws=draws, seed=seed)  # fmt: skip
        except AnswerError:  # no row of this level has an answer in one of the columns
            continue
        metric = report.headline
        figures = {name: found[metric] for name, found in report.numbers.items() if metric in found}
        levels.append(Level(name, *span, len(part), report.groups, metric, figures, _apart(report.contests, metric)))
    if not levels:
        raise AnswerError(f"no level of {column!r} has {FEWEST_ROWS} rows of two truths", "along",
                          "name a column whose values come often")  # fmt: skip
    return tuple(levels)


def _apart(contests: Sequence[Contest], metric: str) -> dict[str, Interval]:
    return {one.second: one.differences[metric] for one in contests if metric in one.differences}


Span = tuple[float | None, float | None]


def _levels(cells: Series) -> list[tuple[str, Span, NDArray[np.bool_]]]:
    """Name, range and rows of every level, in order."""
    empty = gaps(cells)
    numbers = to_numeric(cells.where(~empty), errors="coerce").to_numpy(np.float64)
    values = np.unique(numbers[~empty]) if not np.isnan(numbers[~empty]).any() else None
    if values is None:
        text = cells.astype(str).to_numpy()
        return [(str(name), (None, None), (text == name) & ~empty) for name in np.unique(text[~empty])]
    if len(values) <= MOST:
        return [(f"{value:g}", (float(value), float(value)), numbers == value) for value in values]
    edges = np.unique(np.quantile(numbers[~empty], np.linspace(0, 1, PARTS + 1)))
    found: list[tuple[str, Span, NDArray[np.bool_]]] = []
    for k, (low, high) in enumerate(zip(edges[:-1], edges[1:], strict=True)):
        last = k == len(edges) - 2
        mask = (numbers >= low) & ((numbers <= high) if last else (numbers < high))
        found.append((f"{low:g} to {high:g}", (float(low), float(high)), mask))
    return found
