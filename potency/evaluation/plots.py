"""Every picture of a report: the visible list by kind of answer, and the pictures all answers share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from potency.evaluation import category_plots, number_plots
from potency.evaluation.drawing import BAD, GRID, INK, MAIN, MUTED, OTHER, PAPER, THIRD, Plot, ruled, sheet
from potency.evaluation.scores import scores, wilson
from potency.evaluation.tables import random_figures
from potency.evaluation.wording import (
    MINUS,
    clean,
    figure,
    first_column,
    grouped,
    headline_metric,
    is_random,
    known,
    noun,
    source,
    spoken,
)

if TYPE_CHECKING:
    from potency.evaluation.results import Interval, Report

MOST_GROUPS = 400


def glance(report: Report) -> Plot | None:
    """The headline metric of every column, under both splits, on one line each."""
    metric, first = headline_metric(report), first_column(report)
    inside = [(c, m[metric]) for c, m in report.numbers.items() if metric in m and not is_random(c)]
    outside = {grouped(c): m[metric] for c, m in random_figures(report).items() if metric in m}
    if not metric or (len(inside) < 2 and not outside):
        return None
    lines = inside + [(c, i) for c, i in outside.items() if c not in dict(inside)]
    name = known(metric)[0]
    with sheet(640, 70 + 46 * len(lines)) as page:
        (axes,) = page.axes()
        for place, (column, interval) in enumerate(reversed(lines)):
            colour = MAIN if column == first else OTHER
            if column in dict(inside):
                _whisker(axes, interval, place + (0.14 if column in outside else 0), colour, colour)
                axes.annotate(spoken(interval, metric), (interval.value, place + (0.14 if column in outside else 0)),
                              (0, 7), textcoords="offset points", ha="center", fontsize=9, color=INK)
            if column in outside:
                _whisker(axes, outside[column], place - 0.2, colour, PAPER)
        axes.set_yticks(range(len(lines)), [clean(source(c, report.facts), 24) for c, _ in reversed(lines)], color=INK)
        axes.set_ylim(-0.6, len(lines) - 0.25)
        ruled(axes, x=name, grid="x")
        axes.spines["left"].set_visible(False)
        if metric == "balanced_accuracy" and report.labels:
            axes.axvline(1 / len(report.labels), color=MUTED, dashes=(3, 3), linewidth=1)
            axes.annotate("guessing", (1 / len(report.labels), 1), (4, -9), xycoords=("data", "axes fraction"),
                          textcoords="offset points", color=MUTED, fontsize=9)
        look = ("Filled dots are the honest figures, on groups never seen in training; the line through a dot is its "
                "95 % interval.")
        if outside:
            look += " Hollow dots let images of one group stand on both sides: the distance is the flattery."
        return Plot("glance", f"{name} at a glance", look, page.svg("glance", look), wide=True)


def _whisker(axes: Any, interval: Interval, at: float, colour: str, face: str) -> None:
    if interval.low is not None and interval.high is not None:
        axes.plot([interval.low, interval.high], [at, at], color=colour, linewidth=2, solid_capstyle="round")
    axes.plot([interval.value], [at], "o", color=colour, markerfacecolor=face, markersize=8, markeredgewidth=1.8)


def groups(report: Report) -> Plot | None:
    """One dot a group, sorted: share found right, or the mean absolute error."""
    found = scores(report, first_column(report))
    if found is None or not 2 <= len(names := np.unique(found.groups)) < len(found.groups):
        return None
    number = report.task == "number"
    miss = np.abs(found.said - found.truth) if number else found.right.astype(float)
    _, code = np.unique(found.groups, return_inverse=True)
    size = np.bincount(code).astype(float)
    mean = np.bincount(code, miss) / size
    order = np.lexsort((names, -mean if number else mean))[:MOST_GROUPS]
    middle = float(np.average(mean, weights=size))
    with sheet(640, 300) as page:
        (axes,) = page.axes()
        axes.axhline(middle, color=MUTED, linewidth=1, dashes=(4, 3))
        if not number:
            low, high = wilson(mean * size, size)
            axes.vlines(np.arange(len(order)), low[order], high[order], color=GRID, linewidth=1.4)
        scale = 90 / max(1.0, float(np.sqrt(size.max())) ** 1)
        for place, group in enumerate(order):
            (dot,) = axes.plot([place], [mean[group]], "o", color=BAD if place < min(5, len(order) // 4) else MAIN,
                               alpha=0.8, markeredgewidth=0, markersize=max(3.0, scale * np.sqrt(size[group]) / 8))
            shown = figure(float(mean[group]), 3 if number else 2, unit=not number)
            page.tip(dot, f"{names[group]}: {shown} over {int(size[group])}")
        axes.set_xticks([])
        if not number:
            axes.set_ylim(min(0.0, float(mean.min())) - 0.03, 1.03)
        ruled(axes, "groups, worst first", "mean absolute error" if number else "share found right", grid="y")
        worst = "; ".join(f"{clean(names[g], 28)} ({figure(float(mean[g]), 2, unit=not number)} of {int(size[g])})"
                          for g in order[: min(5, max(1, len(order) // 4))])
        look = ("A dot is a group, larger with more images, and its line the range chance alone would allow it: look for "
                "groups whose line stays clear of the dashed mean, and ask what was different that day." if not number
                else "A dot is a group, larger with more images: look for groups far above the dashed mean.")
        return Plot("groups", "Group by group", look, page.svg("groups", look), f"Worst: {worst}.", wide=True)


def learning(report: Report) -> Plot | None:
    """Losses and the validation metric over the steps, a line a fold."""
    log = report.facts.get("learning")
    steps = [row for row in log if isinstance(row, Mapping) and "step" in row] if isinstance(log, list | tuple) else []
    folds = sorted({str(row.get("fold", 0)) for row in steps})
    left = [("train_loss", OTHER, "training"), ("validation_loss", MAIN, "validation")]
    metric = any(_number(row, "validation_metric") is not None for row in steps)
    if not any(_number(row, name) is not None for row in steps for name, _, _ in left):
        return None
    with sheet(640, 270) as page:
        panels = page.axes(1, 2 if metric else 1)
        for number, fold in enumerate(folds):
            rows = sorted((row for row in steps if str(row.get("fold", 0)) == fold), key=lambda row: float(row["step"]))
            for name, colour, label in left:
                _curve(panels[0], rows, name, colour, label if number == 0 else None)
            if metric:
                best = _curve(panels[1], rows, "validation_metric", MAIN, None)
                if best is not None:
                    (dot,) = panels[1].plot(*best, "o", color=MAIN, markersize=5, markeredgewidth=0)
                    page.tip(dot, f"fold {fold}: {figure(best[1], 3)} at step {best[0]:,.0f}")
        ruled(panels[0], "step", "loss", "Loss")
        panels[0].legend()
        if metric:
            ruled(panels[1], "step", "", "Validation metric")
        look = ("A line is a fold: validation should fall with training and then level off; validation that rises while "
                "training falls means that images are being learned by heart.")
        return Plot("learning", "How it learned", look, page.svg("learning", look), wide=True)


def _curve(axes: Any, rows: list[Mapping[str, Any]], name: str, colour: str, label: str | None) -> tuple[float, float] | None:
    points = [(float(row["step"]), value) for row in rows if (value := _number(row, name)) is not None]
    if not points:
        return None
    axes.plot(*zip(*points, strict=True), color=colour, alpha=0.75, linewidth=1.3, label=label)
    return max(points, key=lambda point: point[1])


def _number(row: Mapping[str, Any], name: str) -> float | None:
    value = row.get(name)
    return float(value) if isinstance(value, int | float) and np.isfinite(value) else None


Draw = Callable[["Report"], "Plot | None"]
# What each kind of answer shows, in the order of the page; a new picture is a function and a line here.
PLOTS: dict[str, tuple[Draw, ...]] = {
    "category": (
        glance,
        category_plots.confusion,
        category_plots.classes,
        category_plots.roc,
        category_plots.precision_recall,
        category_plots.reliability,
        category_plots.score_distributions,
        groups,
        learning,
    ),
    "number": (
        glance,
        number_plots.predicted_against_true,
        number_plots.bland_altman,
        number_plots.residuals,
        groups,
        learning,
    ),
    "vector": (glance, learning),
}


def draw_all(report: Report) -> list[Plot]:
    """The pictures this report has data for."""
    drawn = (draw(report) for draw in PLOTS.get(report.task, (glance, learning)))
    return [plot for plot in drawn if plot is not None]
