"""Rows of units over time as points: one row a unit and time, seen at that time alone or together with all before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from potency.errors import AnswerError, PlanError
from potency.evaluation.wording import count
from potency.pooling import units
from potency.pooling.pool import find_rule, pooled
from potency.pooling.rules import Bags
from potency.pooling.units import times_of

MOST_TIMES = 60  # more need bins: a curve of hundreds of points is read by nobody, and every look costs certainty


@dataclass(frozen=True, eq=False)
class Points:
    """One row a unit and time.

    Attributes:
        table: `id`, `unit` (a number), `point` (of the time), `group`, `truth` and the pooled predictions.
        times: (T,) ascending, in the unit of the time column.
        notes: what a reader must know about gaps and doubles.
    """

    table: pd.DataFrame
    times: NDArray[np.float64]
    notes: tuple[str, ...]


def binned(
    values: NDArray[np.float64], every: float = 0.0, at: Sequence[float] = ()
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """The point (rows,) of each time and the times (T,) of the points; -1 for rows later than the last of `at`.

    With `every` a point stands at the end of its bin, and with `at` a row belongs to the next of these times: what was
    seen at 25 h is known at 26 h, not at 24 h.

    >>> binned(np.array([1.0, 2.5, 4.0, 9.0]), every=2)[1].tolist(), binned(np.array([1.0, 2.5]), at=[2, 4])[0].tolist()
    ([2.0, 4.0, 10.0], [0, 1])
    """
    if not (np.isfinite(every) and every >= 0):
        raise PlanError(f"bins of {every} make no sense", "early(every=...)", "give a width over 0, or leave it out")
    if len(at):
        times = np.unique(np.asarray(at, np.float64))
        found = np.searchsorted(times, values, side="left")
        return np.asarray(np.where(found < len(times), found, -1), np.intp), times
    ends = np.asarray(np.round(np.ceil(np.round(values / every, 9)) * every, 9) if every else values, np.float64) + 0.0
    times, point = np.unique(ends, return_inverse=True)
    if len(times) > MOST_TIMES:
        raise PlanError(f"{len(times)} times are too many to look at one by one", "the time column",
                        f"put them into bins: every={_width(times):g}, or name the times to look at")  # fmt: skip
    return np.asarray(point, np.intp), times


def _width(times: NDArray[np.float64]) -> float:
    wide = (times[-1] - times[0]) / 12
    scale = 10.0 ** np.floor(np.log10(wide))
    return float(next(scale * step for step in (1, 2, 5, 10) if scale * step >= wide))


def points_of(
    table: pd.DataFrame, time: str, unit: str, predictions: Sequence[str], how: str, *,
    every: float = 0.0, at: Sequence[float] = (),
) -> Points:  # fmt: skip
    """The rows of each unit at each time pooled by `how` (see `pool`), in order of unit and time.

    Raises:
        AnswerError: the truth of a unit changes; rows without a time. ManifestError: no such column.
    """
    values = times_of(table, time)
    point, times = binned(values, every, at)
    whole = units.of(table, [unit])
    units.shared(table, whole, [unit])  # the outcome is the unit's, and must not change while it is watched
    kept = point >= 0
    if not kept.any():
        raise AnswerError("no row is as early as the times to look at", f"column {time!r}", "name later times")
    table, point, whole, values = table[kept].reset_index(drop=True), point[kept], whole[kept], values[kept]
    place = whole.astype(np.int64) * len(times) + point
    _, first, code = np.unique(place, return_index=True, return_inverse=True)
    code = np.asarray(code, np.intp)
    made = pd.DataFrame({"unit": whole[first], "point": point[first]})
    for name in ("group", "truth", *[n for n in ("simulated", "fold") if n in table]):
        made[name] = table[name].iloc[first].array
    made.insert(0, "id", [f"{name}@{times[k]:g}" for name, k in zip(_names(table, first, unit), made["point"],
                                                                     strict=True)])  # fmt: skip
    bags = Bags(code, len(first), np.ones(len(table)))
    for name in predictions:
        for part, cells in pooled(table, name, bags, (how, find_rule(how))).items():
            made[part] = cells
    return Points(made, times, _notes(made, (code, values), times, unit))


def _names(table: pd.DataFrame, first: NDArray[np.intp], unit: str) -> list[str]:
    rows = table.iloc[first]
    names = rows[units.column(table, unit, "unit")].astype(str)
    return [f"{group}/{name}" if group != name else name for group, name in zip(rows["group"].astype(str), names,
                                                                                strict=True)]  # fmt: skip


def _notes(
    made: pd.DataFrame, seen: tuple[NDArray[np.intp], NDArray[np.float64]], times: NDArray[np.float64], unit: str
) -> tuple[str, ...]:
    code, values = seen
    notes = []
    rows = np.bincount(code)
    if (rows > 1).any():
        spread = pd.Series(values).groupby(code).nunique().max()
        same = "the same time" if spread == 1 else "times of one bin"
        many = count(int((rows > 1).sum()), "time")
        notes.append(f"{many} hold several rows of one {unit} (at {same}); they are pooled.")
    held = made.groupby("point")["unit"].nunique()
    every = made["unit"].nunique()
    short = [(times[k], every - held.get(k, 0)) for k in range(len(times)) if held.get(k, 0) < every]
    if short:
        told = ", ".join(f"{gone} at {when:g}" for when, gone in short[:5]) + (" ..." if len(short) > 5 else "")
        notes.append(f"Not every {unit} was seen at every time; missing of {every}: {told}. "
                     "An answer at a time rests on those seen then, an answer so far keeps what was seen before.")
    alone = made.groupby("unit").size().eq(1)
    if len(times) > 1 and alone.any():
        notes.append(f"Of {every} units ({unit}) {int(alone.sum())} were seen once only.")
    return tuple(notes)


def so_far(points: Points, column: str, how: str) -> pd.DataFrame:
    """One row a unit and time: the answers at that time and all before, pooled by `how`; nothing later is seen.

    A unit stands at every time from its first on, whether or not it was seen just then.
    """
    table, made = points.table, []
    for k in range(len(points.times)):
        seen = table[table["point"] <= k].reset_index(drop=True)
        if not len(seen):
            continue
        _, first, code = np.unique(seen["unit"].to_numpy(), return_index=True, return_inverse=True)
        rows = seen.iloc[first][["id", "unit", "group", "truth"]].reset_index(drop=True).assign(point=k)
        bags = Bags(np.asarray(code, np.intp), len(first), np.ones(len(seen)))
        made.append(rows.assign(**pooled(seen, column, bags, (how, find_rule(how)))))
    return pd.concat(made, ignore_index=True)
