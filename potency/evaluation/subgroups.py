"""Subgroups of a prediction column: its headline figure by line, donor, sex or batch, and the largest gap."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pandas import DataFrame, Series

from potency.answers.answer import Answer
from potency.answers.evidence import Evidence
from potency.errors import AnswerError
from potency.evaluation.columns import Rows, as_rows, class_order, column_of, comparable, gaps, kind_of, parts_of
from potency.evaluation.intervals import FEWEST_GROUPS, Draws, bootstrap, interval
from potency.evaluation.results import Interval

FEWEST_ROWS = 10  # under which a value of a column is no subgroup
MOST_VALUES = 30  # of a column; more are no subgroups but names
BLOCK = 200  # permutations weighed at once


@dataclass(frozen=True)
class Subgroup:
    """One value of a column: its rows and groups, and the headline figure there."""

    value: str
    rows: int
    groups: int
    figure: Interval


@dataclass(frozen=True)
class Subgroups:
    """A column: its subgroups, and the largest gap with its interval and the p of the permutation of whole groups.

    `p` is None where the values change inside groups (only the interval speaks then) or where there are too few groups.
    `untested` says why there is no p.
    """

    column: str
    metric: str
    parts: tuple[Subgroup, ...]
    best: str
    worst: str
    gap: Interval
    p: float | None
    untested: str = ""


def subgroups(
    rows: Rows | DataFrame,
    columns: Sequence[str],
    *,
    prediction: str = "prediction",
    truth: str = "truth",
    classes: Sequence[str] = (),
    draws: int = 1000,
    seed: int = 0,
) -> tuple[Subgroups, ...]:
    """The headline figure of a prediction column in every value of each of the `columns`, and the largest gap.

    Intervals draw whole groups again (column `group`, else rows), the same draws for all values, so that the gap's
    interval is paired. The permutation deals the values anew to whole groups; its statistic is the largest gap, so
    that picking the extremes is paid for. Values with fewer than 10 rows are left out, and so are columns with fewer
    than two values left or more than 30.

    Raises:
        AnswerError: no such column, or no row with both a truth and an answer.

    >>> rows = DataFrame({"truth": list("ab") * 60, "prediction": list("ab") * 30 + list("aa") * 30,
    ...                   "group": [f"g{k // 10}" for k in range(120)], "sex": ["f"] * 60 + ["m"] * 60})
    >>> found = subgroups(rows, ["sex"])[0]
    >>> found.worst, found.gap.value, found.p < 0.05
    ('m', 0.5, True)
    """
    made = as_rows(rows)
    table = made.table
    column_of(table, truth, "truth")
    column_of(table, prediction, "prediction")
    answer = kind_of(made, truth, (prediction,))
    labels = class_order(table, answer, truth, (prediction,), classes) if answer.labelled else ()
    usable, _ = comparable(table, truth, prediction, answer)
    if not usable.any():
        raise AnswerError("no row has both a truth and an answer", f"columns {truth!r} and {prediction!r}",
                          "name the columns that hold them, or predict first")  # fmt: skip
    kept = table[usable].reset_index(drop=True)
    true, said = (parts_of(kept, name, answer) for name in (truth, prediction))
    evidence = answer.compare_columns(true, said, labels, Path(made.folder))
    names = kept["group"].astype(str) if "group" in kept.columns else kept.index.astype(str)
    groups = np.asarray(np.unique(np.asarray(names), return_inverse=True)[1], np.intp)
    found = (
        _of(column_of(kept, name, "subgroup"), name, (answer, evidence), groups, (draws, seed)) for name in columns
    )
    return tuple(one for one in found if one is not None)


def _of(
    cells: Series,
    column: str,
    seen: tuple[type[Answer], Evidence],
    groups: NDArray[np.intp],
    chance: tuple[int, int],
) -> Subgroups | None:
    empty = gaps(cells)
    text = np.array(["" if gone else str(cell) for cell, gone in zip(cells, empty, strict=True)])
    names, counts = np.unique(text[~empty], return_counts=True)
    kept = names[counts >= FEWEST_ROWS]
    if len(kept) < 2 or len(names) > MOST_VALUES:
        return None
    answer, evidence = seen
    draws, seed = chance
    codes = np.where(np.isin(text, kept) & ~empty, np.searchsorted(kept, text).clip(0, len(kept) - 1), -1)
    figures = _figures(answer, evidence, codes, len(kept))
    drawn = _drawn(answer, evidence, codes, groups, (len(kept), draws, seed))
    behind = [len(np.unique(groups[codes == k])) for k in range(len(kept))]
    parts = tuple(
        Subgroup(str(name), int((codes == k).sum()), behind[k], interval(figures[k], drawn[k], behind[k]))
        for k, name in enumerate(kept)
    )
    best, worst = (int(np.nanargmax(answer.better * sign * figures)) for sign in (1, -1))
    high, low = drawn[best], drawn[worst]
    both = None if high is None or low is None else answer.better * (high - low)
    gap = interval(float(answer.better * (figures[best] - figures[worst])), both, min(behind[best], behind[worst]))
    p, why = _permuted(answer, evidence, codes, groups, (len(kept), draws, seed))
    return Subgroups(column, answer.headline, parts, str(kept[best]), str(kept[worst]), gap, p, why)


def _figures(answer: type[Answer], evidence: Evidence, codes: NDArray[np.intp], count: int) -> NDArray[np.float64]:
    masks = (codes[None] == np.arange(count)[:, None]).astype(np.float32)
    return np.asarray(answer.summarise(evidence, masks)[answer.headline], np.float64)


def _drawn(
    answer: type[Answer],
    evidence: Evidence,
    codes: NDArray[np.intp],
    groups: NDArray[np.intp],
    sizes: tuple[int, int, int],
) -> list[NDArray[np.float64] | None]:
    """The headline of each value in every draw of groups, the same draws for all."""
    count, draws, seed = sizes
    if not draws or groups.max() + 1 < FEWEST_GROUPS:
        return [None] * count
    pieces = [(np.flatnonzero(codes == k), evidence.take(np.flatnonzero(codes == k))) for k in range(count)]
    found: list[Draws] = bootstrap(answer, pieces, groups, draws, seed)
    return [figures.get(answer.headline) for figures in found]


def _permuted(
    answer: type[Answer],
    evidence: Evidence,
    codes: NDArray[np.intp],
    groups: NDArray[np.intp],
    sizes: tuple[int, int, int],
) -> tuple[float | None, str]:
    count, draws, seed = sizes
    number = int(groups.max()) + 1
    of_group = np.full(number, -2, np.intp)
    for group in range(number):
        inside = np.unique(codes[groups == group])
        of_group[group] = inside[0] if len(inside) == 1 else -2
    if (of_group == -2).any():
        return None, "the values change inside groups"
    if number < FEWEST_GROUPS + 1 or not draws:
        return None, "too few groups"
    if np.unique(of_group[of_group >= 0], return_counts=True)[1].max(initial=0) < 2:
        return None, "the values are the groups in other words"
    random = np.random.default_rng([seed, 21])

    def gap_of(some: NDArray[np.intp]) -> NDArray[np.float64]:
        """The largest gap for each dealing (B, groups)."""
        masks = (some[:, groups][:, None] == np.arange(count)[None, :, None]).astype(np.float32)
        flat = masks.reshape(len(some) * count, -1)
        figures = np.asarray(answer.summarise(evidence, flat)[answer.headline]).reshape(len(some), count)
        return np.asarray(np.nanmax(figures, axis=1) - np.nanmin(figures, axis=1))

    seen = float(gap_of(of_group[None])[0])
    size = max(1, min(BLOCK, 4_000_000 // (count * len(groups))))
    more = 0
    for start in range(0, draws, size):
        orders = random.permuted(np.tile(of_group, (min(size, draws - start), 1)), axis=1)
        more += int((gap_of(orders) >= seen - 1e-12).sum())
    return (1 + more) / (1 + draws), ""
