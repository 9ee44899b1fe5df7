"""How measured columns of objects spread: percentiles at each level, medians with intervals over groups, pictures."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pandas import DataFrame

from potency.answers.drawing import COLOURS
from potency.data.folders import natural
from potency.evaluation.drawing import INK, MAIN, Plot, ruled, sheet
from potency.evaluation.intervals import group_weights, interval
from potency.evaluation.results import Interval
from potency.evaluation.tables import Grid
from potency.evaluation.wording import count, figure, places_of, spoken
from potency.pictures.found import called, numbers_in, short

ALL = "all"
PERCENTILES = (5, 25, 50, 75, 95)
STEPS = 4096  # of a column's values in the bootstrap, as many in each: a rank is right to 1/4096
LINES, BARS, BINS = 7, 60, (6, 40)  # levels drawn as curves, and as bars where they are more; bins of a histogram
# Colours for lines on paper, of those that colour-blind readers tell apart: not the yellow, and no grey.
HUES = ["#{:02x}{:02x}{:02x}".format(*COLOURS[k]) for k in (0, 5, 2, 3, 1, 4)] + [INK]


@dataclass(frozen=True)
class Spread:
    """The objects of one level (a condition, an image): how many, of how many groups, and how their values spread.

    `less` is the median less that of the first level, drawn with the same groups; None for the first.
    """

    level: str
    objects: int
    groups: int
    percentiles: dict[int, float]
    median: Interval
    less: Interval | None


def spreads(
    table: DataFrame, column: str, by: str = "", draws: int = 1000, seed: int = 0, first: str = ""
) -> tuple[Spread, ...]:
    """The spread of a measured column at each level of another, in natural order, `first` before the others.

    Medians are of all objects of a level, so a group weighs as much as it has objects. Their intervals are percentiles
    over draws of whole groups of the column `group` (an image, where no group is known): objects of one culture
    resemble one another, and an interval over objects would be far too narrow. Under 5 groups there is none.
    """
    values = numbers_in(table, column)
    known = np.isfinite(values.to_numpy(np.float64))
    table, numbers = table[known], values.to_numpy(np.float64)[known]
    levels = np.full(len(table), ALL, object) if not by else table[by].astype(object).map(str).to_numpy(object)
    groups = pd.factorize(table["group"].astype(str), sort=True)[0] if len(table) else np.empty(0, np.intp)
    names = sorted(set(levels), key=lambda name: (name != first, natural(name)))
    drawn = _medians(numbers, [levels == name for name in names], groups, draws, seed)
    made: list[Spread] = []
    for name, medians in zip(names, drawn, strict=True):
        inside = levels == name
        some, many = numbers[inside], len(np.unique(groups[inside]))
        found = {percent: float(np.percentile(some, percent)) for percent in PERCENTILES}
        less = None
        if made:
            fewest = min(many, made[0].groups)
            less = interval(found[50] - made[0].percentiles[50], medians - drawn[0], fewest)
        made.append(Spread(name, len(some), many, found, interval(found[50], medians, many), less))
    return tuple(made)


def _medians(
    values: NDArray[np.float64], levels: Sequence[NDArray[np.bool_]], groups: NDArray[np.intp], draws: int, seed: int
) -> list[NDArray[np.float64]]:
    """The median of each level in every draw of groups, the same draws for all; nan where a draw holds none of it."""
    from scipy.sparse import csr_array

    if not len(values) or not draws:
        return [np.full(draws, np.nan) for _ in levels]
    times = group_weights(int(groups.max()) + 1, seed, range(draws)).astype(np.float64)
    steps = np.unique(values)
    if len(steps) > STEPS:
        steps = np.unique(np.quantile(values, np.linspace(0, 1, STEPS), method="inverted_cdf"))
    step = np.searchsorted(steps, values)
    found = []
    for inside in levels:
        shape = (times.shape[1], len(steps))
        counts = csr_array((np.ones(int(inside.sum())), (groups[inside], step[inside])), shape)
        below = np.cumsum(np.asarray((counts.T @ times.T).T), axis=1)
        half = below[:, -1:] / 2
        lower, upper = (below < half).sum(axis=1), (below <= half).sum(axis=1)
        last = len(steps) - 1
        middle = (steps[np.minimum(lower, last)] + steps[np.minimum(upper, last)]) / 2
        found.append(np.where(half[:, 0] > 0, middle, np.nan))
    return found


def table_of(column: str, by: str, found: Sequence[Spread]) -> Grid:
    """The spreads as a table."""
    digits = places_of(max((abs(one.percentiles[50]) for one in found), default=0))
    compared = 1 < len(found) <= LINES  # of more levels differences from the first say little
    head = (by or "level", "objects", "groups", "5 % below", "25 %", "median", "75 %", "95 %")
    rows = []
    for one in found:
        told = [figure(one.percentiles[percent], digits) for percent in PERCENTILES]
        told[2] = spoken(one.median, column)
        less = ("–" if one.less is None else spoken(one.less, column, signed=True),) if compared else ()
        rows.append((short(one.level), f"{one.objects:,}", f"{one.groups:,}", *told, *less))
    extra = (f"median − {short(found[0].level)}",) if compared else ()
    few = [one for one in found if one.median.low is None]
    note = "In brackets: 95 % intervals over groups." if len(few) < len(found) else ""
    note += (" " if note else "") + ("Under 5 groups there is none, because none would be honest." if few else "")
    return Grid(called(column), (*head, *extra), tuple(rows), note)


def picture(table: DataFrame, column: str, by: str, found: Sequence[Spread]) -> Plot:
    """Histogram and cumulated curve of up to seven levels; of more the quarters of each as bars."""
    told = f"{count(sum(one.objects for one in found), 'object')}"
    name = "spread-" + re.sub(r"\W+", "-", column)
    if len(found) > LINES:
        return _bars(name, column, by, found, told)
    values = numbers_in(table, column)
    with sheet(860, 300) as page:
        left, right = page.axes(1, 2)
        finite = values.to_numpy(np.float64)[np.isfinite(values.to_numpy(np.float64))]
        low, high = np.percentile(finite, (0.5, 99.5))
        few = 2 * np.cbrt(np.median([one.objects for one in found]))  # the rule of Rice University
        edges = np.linspace(low, high if high > low else low + 1, int(np.clip(few, *BINS)) + 1)
        for one, colour in zip(found, HUES if len(found) > 1 else [MAIN], strict=False):
            some = values if not by else values[table[by].astype(object).map(str) == one.level]
            own = np.sort(some.dropna().to_numpy(np.float64))
            share = 100 * np.histogram(own, edges)[0] / len(own)
            left.stairs(share, edges, color=colour, linewidth=1.5, fill=len(found) == 1, alpha=0.9)
            at = np.linspace(0, 1, min(len(own), 400))
            right.plot(np.quantile(own, at), 100 * at, color=colour, label=f"{short(one.level)} ({one.objects:,})")
            right.plot([one.median.value], [50], "o", color=colour, markersize=6)
            if one.median.low is not None and one.median.high is not None:
                right.plot([one.median.low, one.median.high], [50, 50], color=colour, linewidth=4, alpha=0.45)
        right.set_xlim(edges[0], edges[-1])
        ruled(left, called(column), "% of objects", "How many of each", grid="y")
        ruled(right, called(column), "% that are smaller", "Cumulated")
        if len(found) > 1:
            right.legend(loc="lower right")
        look = (
            f"{told}. A dot is a median, the bar through it its 95 % interval over groups, where there are five or "
            "more; the outermost half per cent at each end is beyond the picture."
        )
        return Plot(name, f"Spread of {called(column)}", look, page.svg(name, look), wide=True)


def _bars(name: str, column: str, by: str, found: Sequence[Spread], told: str) -> Plot:
    shown = sorted(found, key=lambda one: one.percentiles[50])
    if len(shown) > BARS:
        shown = [shown[k] for k in np.linspace(0, len(shown) - 1, BARS).round().astype(int)]
    with sheet(860, 60 + 15 * len(shown)) as page:
        (axes,) = page.axes()
        for place, one in enumerate(shown):
            axes.plot([one.percentiles[5], one.percentiles[95]], [place] * 2, color=MAIN, linewidth=1, alpha=0.6)
            axes.plot([one.percentiles[25], one.percentiles[75]], [place] * 2, color=MAIN, linewidth=5, alpha=0.5)
            (dot,) = axes.plot([one.percentiles[50]], [place], "o", color=INK, markersize=4)
            page.tip(dot, f"{one.level}: median {spoken(one.median, column)}, {count(one.objects, 'object')}")
        axes.set_yticks(range(len(shown)), [f"{short(one.level)} ({one.objects:,})" for one in shown], color=INK)
        axes.set_ylim(-0.7, len(shown) - 0.3)
        ruled(axes, called(column), grid="x")
        look = f"{told} by {by}, sorted by the median, a dot; the thick bar holds half of them, the thin one 90 %."
        look += f" {len(shown)} of {len(found)} levels are drawn." if len(shown) < len(found) else ""
        return Plot(name, f"Spread of {called(column)}", look, page.svg(name, look), wide=True)
