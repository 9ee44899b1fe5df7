"""Every picture of a report: the visible list by kind of answer, and the pictures all answers share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from potency.evaluation import category_plots, curves, number_plots, object_plots
from potency.evaluation.drawing import BAD, GRID, INK, MAIN, MUTED, OTHER, PAPER, Plot, ruled, sheet
from potency.evaluation.scores import scores, wilson
from potency.evaluation.tables import random_figures
from potency.evaluation.wording import (
    clean,
    figure,
    first_column,
    grouped,
    headline_metric,
    is_random,
    known,
    places_of,
    source,
    spoken,
)

if TYPE_CHECKING:
    from potency.evaluation.results import Interval, Report

MOST_GROUPS = 400


def glance(report: Report, name: str = "glance") -> Plot | None:
    """The headline metric of every column, under both splits, on one line each; `name` is unique on its page."""
    metric, first = headline_metric(report), first_column(report)
    inside = {c: m[metric] for c, m in report.numbers.items() if metric in m and not is_random(c)}
    outside = {grouped(c): m[metric] for c, m in random_figures(report).items() if metric in m}
    lines = list(dict.fromkeys([*inside, *outside]))
    if not metric or len(inside) + len(outside) < 2:
        return None
    title = known(metric)[0]
    names = [clean(source(column, report.facts), 44) for column in lines]
    with sheet(440 if max(map(len, names)) <= 24 else 640, 64 + 54 * len(lines)) as page:
        (axes,) = page.axes()
        for place, column in enumerate(reversed(lines)):
            colour, shift = (MAIN if column == first else OTHER), (0.2 if column in outside and column in inside else 0)
            if column in inside:
                _whisker(axes, inside[column], place + shift, (colour, colour), spoken(inside[column], metric))
            if column in outside:
                _whisker(axes, outside[column], place - shift, (colour, PAPER), spoken(outside[column], metric))
        axes.set_yticks(range(len(lines)), names[::-1], color=INK)
        axes.set_ylim(-0.5, len(lines) - 0.3)
        axes.margins(x=0.2)
        ruled(axes, x=title, grid="x")
        axes.spines["left"].set_visible(False)
        if metric == "balanced_accuracy" and report.labels:
            axes.axvline(1 / len(report.labels), color=MUTED, dashes=(3, 3), linewidth=1)
            axes.annotate("guessing", (1 / len(report.labels), 1), (4, -9), xycoords=("data", "axes fraction"),
                          textcoords="offset points", color=MUTED, fontsize=9)  # fmt: skip
        honest = report.facts.get("split_kind") not in (None, "", "random")
        look = "Filled dots are the figures " + ("on groups never seen in training" if honest else "of this report")
        look += "; the line through a dot is its 95 % interval." if report.groups >= 5 else "."
        if outside:
            look += " Hollow dots: a random split, where images of one group stand on both sides; the gap is flattery."
        return Plot(name, f"{title} at a glance", look, page.svg(name, look))


def _whisker(axes: Any, interval: Interval, at: float, colours: tuple[str, str], told: str) -> None:
    colour, face = colours
    if interval.low is not None and interval.high is not None:
        axes.plot([interval.low, interval.high], [at, at], color=colour, linewidth=2.2, solid_capstyle="round")
    axes.plot([interval.value], [at], "o", color=colour, markerfacecolor=face, markersize=8.5, markeredgewidth=1.8)
    axes.annotate(told, (interval.value, at), (0, 8), textcoords="offset points", ha="center", fontsize=9.5, color=INK)


def groups(report: Report) -> Plot | None:
    """One dot a group, sorted: share found right, or the mean absolute error."""
    found = scores(report, first_column(report))
    if found is None or not 2 <= len(names := np.unique(found.groups)) < len(found.groups):
        return None
    number = not found.labels
    miss = np.abs(found.said - found.truth) if number else found.right.astype(float)
    _, code = np.unique(found.groups, return_inverse=True)
    size = np.bincount(code).astype(float)
    mean = np.bincount(code, miss) / size
    order = np.lexsort((names, -mean if number else mean))[:MOST_GROUPS]
    worst = order[: min(5, max(1, len(order) // 4))]
    with sheet(860, 320) as page:
        (axes,) = page.axes()
        axes.axhline(float(np.average(mean, weights=size)), color=MUTED, linewidth=1, dashes=(4, 3))
        if not number:
            low, high = wilson(mean * size, size)
            axes.vlines(np.arange(len(order)), low[order], high[order], color=GRID, linewidth=1.6)
            axes.set_ylim(-0.03, 1.03)
        largest = min(11.0, max(5.0, 700 / len(order)))
        for place, group in enumerate(order):
            across = max(3.0, largest * float(np.sqrt(size[group] / size.max())))
            (dot,) = axes.plot([place], [mean[group]], "o", alpha=0.85, markeredgewidth=0, markersize=across)
            dot.set_color(BAD if group in worst else MAIN)
            page.tip(dot, f"{names[group]}: {_share(mean[group], size[group], number)}")
        axes.set_xticks([])
        axes.margins(x=0.01)
        ruled(axes, "groups, worst first", "mean absolute error" if number else "share found right", grid="y")
        told = "; ".join(f"{clean(names[g], 28)} ({_share(mean[g], size[g], number)})" for g in worst)
        look = "A dot is a group, larger with more images: look for groups far above the dashed mean."
        if not number:
            look = (
                "A dot is a group, larger with more images, and its line the 95 % range that so few leave open: a line "
                "that stays clear of the dashed mean is a group where something was different."
            )
        return Plot("groups", "Group by group", look, page.svg("groups", look), f"Worst: {told}.", wide=True)


def _share(mean: float, size: float, number: bool) -> str:
    return f"{figure(mean, places_of(mean))} over {size:.0f}" if number else f"{100 * mean:.0f} % of {size:.0f}"


def learning(report: Report) -> Plot | None:
    """Losses and the validation metric over the steps, a line a fold; the step that was kept is marked."""
    runs = _runs(report.facts.get("learning"))
    seen = {name for run in runs for row in run for name in row if _number(row, name) is not None}
    loss = next((name for name in ("validation_loss", "validation_log_loss") if name in seen), "")
    wanted = ("validation_metric", f"validation_{headline_metric(report)}")
    metric = next((name for name in wanted if name in seen), "")
    if not {"train_loss", loss} & seen:
        return None
    with sheet(860, 290) as page:
        panels = page.axes(1, 2 if metric else 1)
        for number, run in enumerate(runs):
            _curve(panels[0], run, "train_loss", OTHER, "training" if number == 0 else "_")
            _curve(panels[0], run, loss, MAIN, "validation" if number == 0 else "_")
            if not metric:
                continue
            _curve(panels[1], run, metric, MAIN, "_")
            for row in run:
                if row.get("best") and (value := _number(row, metric)) is not None:
                    (dot,) = panels[1].plot([row["step"]], [value], "o", color=MAIN, markersize=6, markeredgewidth=0)
                    page.tip(dot, f"fold {row.get('fold', number)}: {figure(value, 3)} at step {row['step']:,}")
        ruled(panels[0], "step", "", "Loss")
        panels[0].legend()
        if metric:
            name = headline_metric(report) if metric == wanted[1] else ""
            ruled(panels[1], "step", "", f"{known(name)[0]} on validation rows" if name else "Validation metric")
        look = (
            "A line is a fold, a dot the step that was kept: validation should follow training and then level off; "
            "when it turns back while training goes on, images are being learned by heart."
        )
        return Plot("learning", "How it learned", look, page.svg("learning", look), wide=True)


def _runs(log: Any) -> list[list[Mapping[str, Any]]]:
    """The log cut into folds: by their number, and where none is given, wherever the steps begin anew."""
    runs: dict[object, list[Mapping[str, Any]]] = {}
    anew, before = 0, -np.inf
    for row in log if isinstance(log, list | tuple) else ():
        if isinstance(row, Mapping) and _number(row, "step") is not None:
            anew += float(row["step"]) <= before
            before = float(row["step"])
            runs.setdefault((row.get("fold", ("run", anew)), row.get("member")), []).append(row)
    return list(runs.values())


def _curve(axes: Any, run: list[Mapping[str, Any]], name: str, colour: str, label: str) -> None:
    points = [(float(row["step"]), value) for row in run if (value := _number(row, name)) is not None]
    if points:
        axes.plot(*zip(*points, strict=True), color=colour, alpha=0.75, linewidth=1.3, label=label)


def _number(row: Mapping[str, Any], name: str) -> float | None:
    value = row.get(name)
    return float(value) if isinstance(value, int | float) and np.isfinite(value) else None


Draw = Callable[["Report"], "Plot | None"]
OF_CLASSES: tuple[Draw, ...] = (
    glance,
    category_plots.confusion,
    category_plots.reliability,
    category_plots.classes,
    curves.roc,
    curves.precision_recall,
    category_plots.score_distributions,
    groups,
    learning,
)
# What each kind of answer shows, in the order of the page; a new picture is a function and a line here.
PLOTS: dict[str, tuple[Draw, ...]] = {
    "category": OF_CLASSES,
    "ordinal": OF_CLASSES,
    "labelset": (glance, learning),
    "number": (
        glance,
        number_plots.predicted_against_true,
        number_plots.bland_altman,
        number_plots.residuals,
        groups,
        learning,
    ),
    "vector": (glance, learning),
    "labels": (
        glance,
        object_plots.thresholds,
        object_plots.mistakes,
        object_plots.by_size,
        object_plots.sizes,
        learning,
    ),
    "regions": (glance, learning),
    "objects": (glance, learning),
    "density": (glance, learning),
}


def draw_all(report: Report) -> list[Plot]:
    """The pictures this report has data for."""
    drawn = (draw(report) for draw in PLOTS.get(report.task, (glance, learning)))
    return [plot for plot in drawn if plot is not None]
