"""The verb `early`: from which time on the outcome can be told better than trivially."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from potency.data.columns import simulated
from potency.data.gathering import PREDICTION
from potency.data.manifest import Manifest
from potency.errors import AnswerError, nearest
from potency.evaluation.columns import Bare, class_order, column_of, gaps, kind_of
from potency.evaluation.intervals import interval
from potency.evaluation.results import Interval
from potency.timing.curve import Curve, Judge, Series
from potency.timing.points import Points, points_of, so_far
from potency.timing.result import Early

TRIVIAL = "prediction@trivial"
CONSTANT = "prediction@constant"
TOLD = {
    TRIVIAL: "the column prediction@trivial (size, mean intensity and variance)",
    CONSTANT: "always the commonest class",
}


def early(
    table: Manifest | pd.DataFrame,
    time: str = "time",
    unit: str = "well",
    *,
    predictions: Sequence[str] = (),
    how: str = "mean",
    every: float = 0.0,
    score: str = "",
    chance: tuple[int, int] = (1000, 0),
) -> Early:
    """Score against time, with intervals over groups, and the earliest time that beats the trivial answer.

    Works on columns alone: predictions of any program. Rows of one unit at one time (patches, fields) are pooled first,
    units are judged, whole groups are drawn. The first prediction column is judged twice: at each time alone, and so
    far, which pools all answers up to a time. Its rival is `prediction@trivial` where there is one, else a constant
    answer: the commonest class, or the mean of the other groups.

    Args:
        table: rows with `truth`, `group` and predictions.
        time: the column of the time, numbers or dates (these become hours since the first).
        unit: the column of what is watched and has one outcome: a well, a track, a clone.
        predictions: columns; by default all but the trivial one and those of a random split.
        how: how rows are pooled, see `pool`.
        every: width of bins, a bin standing at its end; by default each time is a point.
        score: the figure compared; by default balanced accuracy, or the mean absolute error. "auc" for instance.
        chance: draws of groups, and their seed.

    Raises:
        AnswerError: rows without a time, a truth that changes within a unit, no such score. ManifestError: no such
            column. PlanError: too many times to look at.

    >>> rng = np.random.default_rng(0)
    >>> rows = pd.DataFrame([(f"g{w // 4}", f"w{w}", t, "ab"[w % 2], "ab"[w % 2] if t > 1 else "ab"[rng.integers(2)])
    ...     for w in range(48) for t in range(4)], columns=["group", "well", "time", "truth", "prediction"])
    >>> early(rows, chance=(200, 0)).first
    2.0
    """
    frame = (table.table if isinstance(table, Manifest) else table).reset_index(drop=True)
    kinds = dict(table.kinds) if isinstance(table, Manifest) else {}
    frame = _known(frame)
    chosen = _predictions(frame, predictions)
    asked = [*chosen, *([TRIVIAL] if TRIVIAL in frame and TRIVIAL not in chosen else [])]
    answer = kind_of(Bare(frame, kinds), "truth", asked)
    planned = table.classes if isinstance(table, Manifest) else ()
    labels = class_order(frame, answer, "truth", asked, planned) if answer.labelled else ()
    points = points_of(frame, time, unit, asked, how, every=every)
    rival = TRIVIAL if TRIVIAL in asked else CONSTANT
    judge = Judge(answer, labels, score or answer.headline, *chance)
    curves = judge.curves(_series(points, chosen, (rival, how), labels), points.times)
    facts = {
        "rows": len(frame), "units": int(points.table["unit"].nunique()), "groups": int(frame["group"].nunique()),
        "time": time, "unit": unit, "how": how, "draws": chance[0], "seed": chance[1], "simulated": simulated(frame),
        "trivial": TOLD[rival] if rival == TRIVIAL or labels else "the mean of the other groups",
    }  # fmt: skip
    return Early(curves, _compared(curves, judge), judge.score, judge.better, points.notes, facts)


def _known(table: pd.DataFrame) -> pd.DataFrame:
    """The rows with a truth."""
    for name in ("truth", "group"):
        column_of(table, name, name)
    found = table[~gaps(table["truth"])].reset_index(drop=True)
    if not len(found):
        raise AnswerError("no row has a truth", "column 'truth'", "give rows whose outcome is known")
    return found


def _predictions(table: pd.DataFrame, asked: Sequence[str]) -> list[str]:
    known = [name for name in map(str, table.columns) if (found := PREDICTION.match(name)) and not found[2]]
    for name in asked:
        if name not in table.columns:
            raise AnswerError(f"there is no prediction column {name!r}", "the table's columns", nearest(name, known))
    chosen = list(asked) or [name for name in known if name != TRIVIAL and not name.endswith("random")]
    if not chosen:
        raise AnswerError("the table has no prediction to judge", "the table's columns",
                          "predict first, or name the columns")  # fmt: skip
    return chosen


def _series(points: Points, chosen: Sequence[str], how: tuple[str, str], labels: Sequence[str]) -> list[Series]:
    """All columns at each time alone, and after the first of them the same of all so far."""
    rival, rule = how
    series = [Series(_title(name), name, points.table, rival) for name in chosen]
    joined = _joined(points, chosen[0], rival, rule)
    series.insert(1, Series(f"{_title(chosen[0])}, all so far", chosen[0], joined, rival))
    return series if rival == TRIVIAL else [_constant(one, labels) for one in series]


def _title(column: str) -> str:
    return column.partition("@")[2] or column


def _joined(points: Points, column: str, rival: str, how: str) -> pd.DataFrame:
    """All so far, beside the trivial answer so far."""
    made = so_far(points, column, how)
    if rival != CONSTANT:
        other = so_far(points, rival, how)
        made = made.assign(**{str(name): other[name] for name in other if str(name).startswith(rival)})
    return made


def _constant(one: Series, labels: Sequence[str]) -> Series:
    """The series with the constant answer beside it."""
    table = one.table
    truths = table.drop_duplicates("unit")
    if labels:
        share = truths["truth"].astype(str).value_counts(normalize=True)
        cells: dict[str, Any] = {CONSTANT: str(share.index[0])}
        if any(str(name).startswith(f"{one.column}.probability.") for name in table):
            cells |= {f"{CONSTANT}.probability.{name}": float(share.get(name, 0.0)) for name in labels}
    else:
        values, group = truths["truth"].astype(float), truths["group"].astype(str)
        rest = {name: float(values[group != name].mean()) for name in group.unique()}
        cells = {CONSTANT: table["group"].astype(str).map(rest)}
    return Series(one.name, one.column, table.assign(**cells), CONSTANT)


def _compared(curves: Sequence[Curve], judge: Judge) -> dict[str, Interval]:
    """By how much the first curve is better than each other, over the times both have, in the same draws."""
    found, first = {}, curves[0]
    for other in curves[1:]:
        both = [k for k, (a, b) in enumerate(zip(first.points, other.points, strict=True)) if a.figure and b.figure]
        if not both:
            continue
        value = np.mean([_value(first, k) - _value(other, k) for k in both])
        draws = (first.drawn[:, both] - other.drawn[:, both]).mean(axis=1)
        groups = min(min(first.points[k].groups, other.points[k].groups) for k in both)
        found[other.name] = interval(float(judge.better * value), judge.better * draws, groups)
    return found


def _value(curve: Curve, k: int) -> float:
    figure = curve.points[k].figure
    return figure.value if figure is not None else float("nan")
