"""Pictures of a category answer: confusion, classes, ROC, precision-recall, reliability and scores."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from potency.evaluation.drawing import GRID, INK, MAIN, MUTED, OTHER, PAPER, Plot, ruled, sheet
from potency.evaluation.scores import Scores, band, scores
from potency.evaluation.wording import clean, count, figure, first_column, is_random, source, spoken

if TYPE_CHECKING:
    from potency.evaluation.results import Report

GRID_POINTS = np.linspace(0.0, 1.0, 101)


def confusion(report: Report) -> Plot | None:
    """True class against said class, shaded by the share of the row, with the counts."""
    found = scores(report, first_column(report))
    if found is None:
        return None
    size = len(found.labels)
    table = np.zeros((size, size), dtype=np.int64)
    np.add.at(table, (found.truth, found.said), 1)
    share = table / np.maximum(table.sum(axis=1, keepdims=True), 1)
    cell = 74 if size <= 5 else 56 if size <= 10 else 40
    with sheet(cell * size + 150, cell * size * (0.8 if size <= 10 else 0.85) + 110) as page:
        (axes,) = page.axes()
        axes.set(xlim=(-0.5, size - 0.5), ylim=(size - 0.5, -0.5))
        for row, column in np.ndindex(size, size):
            _cell(page, axes, found.labels, (row, column), int(table[row, column]), float(share[row, column]))
        names = [clean(label, 18) for label in found.labels]
        axes.set_yticks(range(size), names, color=INK)
        axes.set_xticks(range(size), names, color=INK, rotation=90 if size > 5 else 0, rotation_mode="anchor",
                        ha="right" if size > 5 else "center", va="center" if size > 5 else "top")
        ruled(axes, "said to be", "truly", grid="")
        for side in ("left", "bottom"):
            axes.spines[side].set_visible(False)
        wrong = np.where(np.eye(size, dtype=bool), -1.0, share)
        row, column = np.unravel_index(int(wrong.argmax()), wrong.shape)
        told = (f"Most often confused: {clean(found.labels[row], 40)} taken for {clean(found.labels[column], 40)}, "
                f"{figure(100 * share[row, column], 0)} % of its {int(table[row].sum()):,}." if wrong.max() > 0 else "")
        look = ("A row is a true class and adds up to 100 %: the diagonal should be dark, and a dark cell beside it names a "
                "pair of classes that are taken for one another.")
        return Plot("confusion", "Confusion matrix", look, page.svg("confusion", look), told, wide=size > 5)


def _cell(page: Any, axes: Any, labels: tuple[str, ...], place: tuple[int, int], number: int, share: float) -> None:
    from matplotlib.patches import Rectangle

    row, column = place
    box = axes.add_patch(Rectangle((column - 0.48, row - 0.47), 0.96, 0.94, linewidth=0, facecolor=MAIN,
                                   alpha=0.05 + 0.95 * share))
    page.tip(box, f"truly {labels[row]}, said {labels[column]}: {number:,} ({100 * share:.1f} % of the row)")
    if not number:
        return
    colour = PAPER if share > 0.5 else INK
    if len(labels) > 10:
        axes.text(column, row, f"{100 * share:.0f}" if share >= 0.005 else "·", ha="center", va="center", color=colour,
                  fontsize=8.5)
        return
    axes.text(column, row - 0.1, f"{100 * share:.0f} %", ha="center", va="center", color=colour, fontsize=10.5)
    axes.text(column, row + 0.24, f"{number:,}", ha="center", va="center", color=colour, fontsize=8, alpha=0.85)


def classes(report: Report) -> Plot | None:
    """Recall, precision and F1 of every class with intervals, the column asked about over its first rival."""
    first = first_column(report)
    columns = [first, *[c for c in report.numbers if c != first and not is_random(c)][:1]]
    kinds = [k for k in ("recall", "precision", "f1") if any(f"{k}.{c}" in report.numbers.get(first, {}) for c in report.labels)]
    if not kinds:
        return None
    size = len(report.labels)
    names = [clean(label, 18) for label in report.labels]
    with sheet(640, 70 + max(26, 34 - size) * size) as page:
        panels = page.axes(1, len(kinds), sharey=True)
        for axes, kind in zip(panels, kinds, strict=True):
            for which, column in enumerate(columns):
                for place, label in enumerate(report.labels):
                    interval = report.numbers[column].get(f"{kind}.{label}")
                    if interval is None or not np.isfinite(interval.value):
                        continue
                    at = place + (0.15 if which else -0.15 if len(columns) > 1 else 0)
                    colour = OTHER if which else MAIN
                    if interval.low is not None and interval.high is not None:
                        axes.plot([interval.low, interval.high], [at, at], color=colour, linewidth=1.6)
                    (dot,) = axes.plot([interval.value], [at], "o", color=colour, markersize=5, markeredgewidth=0,
                                       label=clean(source(column, report.facts), 24) if place == 0 else None)
                    page.tip(dot, f"{label}, {source(column, report.facts)}: {spoken(interval, kind)}")
            axes.set(xlim=(-0.03, 1.03), ylim=(size - 0.5, -0.5))
            axes.set_yticks(range(size), names, color=INK)
            ruled(axes, title={"f1": "F1"}.get(kind, kind.capitalize()), grid="x")
            axes.spines["left"].set_visible(False)
        if len(columns) > 1:
            page.figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
        look = ("Recall asks how many of a class were found, precision how many so called are right: a class low in one "
                "and high in the other is called too rarely or too often.")
        return Plot("classes", "Class by class", look, page.svg("classes", look), wide=True)


def roc(report: Report) -> Plot | None:
    """True against false positive rate, one class against the rest."""
    look = ("How many of a class are found (up) at the price of false alarms (right) as the threshold falls: the nearer "
            "to the upper left corner the better, the diagonal is guessing.")
    return _curves(report, "roc", "ROC, each class against the rest", look, ("false alarms", "found"))


def precision_recall(report: Report) -> Plot | None:
    """Precision against recall, one class against the rest."""
    look = ("How pure the images called a class stay (up) as more of the class is found (right): for rare classes this is "
            "the honest picture, and the dotted line, the share of the class, is guessing.")
    return _curves(report, "pr", "Precision and recall, each class against the rest", look, ("recall", "precision"))


def _curves(report: Report, name: str, title: str, look: str, labels: tuple[str, str]) -> Plot | None:
    first = first_column(report)
    found = scores(report, first)
    if found is None or found.probability is None:
        return None
    others = [c for c in report.numbers if c != first and not is_random(c) and "trivial" not in c]
    rival = scores(report, others[0]) if others else None
    shown = range(len(found.labels)) if len(found.labels) > 2 or name == "pr" else [len(found.labels) - 1]
    shown = [k for k in shown if 0 < (found.truth == k).sum() < len(found.truth)]
    if not shown:
        return None
    trace, key = (_roc, "auc") if name == "roc" else (_pr, "average_precision")
    weights = found.weights()
    wide = 4 if len(shown) > 4 else min(len(shown), 3 if len(shown) != 4 else 2)
    high = -(-len(shown) // wide)
    edge = 165 if wide == 4 else 205 if wide > 1 else 300
    with sheet(edge * wide, (edge + 12) * high + 20) as page:
        panels = page.axes(high, wide, sharex=True, sharey=True)
        for axes in panels[len(shown) :]:
            axes.set_visible(False)
        for axes, k in zip(panels, shown, strict=False):
            truth = found.truth == k
            dull = [0, 1] if name == "roc" else [truth.mean()] * 2
            axes.plot([0, 1], dull, color=MUTED, linewidth=1, dashes=(1, 2))
            if rival is not None and rival.probability is not None:
                axes.plot(GRID_POINTS, trace(rival.truth == k, rival.probability[:, k], None)[0], color=OTHER, linewidth=1.2,
                          dashes=(4, 2))
            if weights is not None:
                axes.fill_between(GRID_POINTS, *band(trace(truth, found.probability[:, k], weights)), color=MAIN, alpha=0.2,
                                  linewidth=0)
            axes.plot(GRID_POINTS, trace(truth, found.probability[:, k], None)[0], color=MAIN)
            axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), xticks=[0, 0.5, 1], yticks=[0, 0.5, 1], box_aspect=1)
            ruled(axes, title=clean(found.labels[k], 18))
            area = report.numbers[first].get(f"{key}.{found.labels[k]}") or report.numbers[first].get(key)
            low = name == "roc" or truth.mean() < 0.6
            axes.text(0.97 if name == "roc" else 0.03, 0.05, spoken(area, key), transform=axes.transAxes, color=INK,
                      ha="right" if name == "roc" else "left", fontsize=9) if low else None
        page.figure.supxlabel(labels[0], color=MUTED, fontsize=10)
        page.figure.supylabel(labels[1], color=MUTED, fontsize=10)
        told = f"Solid: {source(first, report.facts)}" + (" with its 95 % band over groups" if weights is not None else "")
        told += f"; dashed: {source(others[0], report.facts)}." if rival is not None and rival.probability is not None else "."
        return Plot(name, title, look, page.svg(name, look), told + " Figures are areas under the curve.", wide=wide > 2)


def _steps(truth: NDArray[Any], score: NDArray[Any], weights: NDArray[np.float64] | None) -> tuple[Any, Any, Any]:
    """Weighted true and false positives above each distinct score, highest first; (draws, thresholds) each."""
    order = np.argsort(-score, kind="stable")
    weight = np.ones((1, len(score))) if weights is None else weights[:, order]
    last = np.append(np.flatnonzero(np.diff(score[order])), len(score) - 1)
    positive = np.cumsum(weight * truth[order], axis=1)[:, last]
    return positive, np.cumsum(weight, axis=1)[:, last] - positive, last


def _roc(truth: NDArray[Any], score: NDArray[Any], weights: NDArray[np.float64] | None) -> NDArray[np.float64]:
    """True positive rate at fixed false positive rates, (draws, 101)."""
    found, alarms, _ = _steps(truth, score, weights)
    with np.errstate(invalid="ignore", divide="ignore"):
        x, y = alarms / alarms[:, -1:], found / found[:, -1:]
    start = np.zeros((len(x), 1))
    return _interpolated(np.hstack([start, x]), np.hstack([start, y]))


def _pr(truth: NDArray[Any], score: NDArray[Any], weights: NDArray[np.float64] | None) -> NDArray[np.float64]:
    """Precision at fixed recalls, (draws, 101); a step, not a chord, joins two thresholds."""
    found, alarms, _ = _steps(truth, score, weights)
    with np.errstate(invalid="ignore", divide="ignore"):
        recall, precision = found / found[:, -1:], found / (found + alarms)
    lines = np.full((len(recall), len(GRID_POINTS)), np.nan)
    for draw in np.flatnonzero(np.isfinite(recall[:, -1])):
        at = np.minimum(np.searchsorted(recall[draw], GRID_POINTS - 1e-12), recall.shape[1] - 1)
        lines[draw] = precision[draw][at]
    return lines


def _interpolated(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    lines = np.full((len(x), len(GRID_POINTS)), np.nan)
    for draw in np.flatnonzero(np.isfinite(x[:, -1]) & np.isfinite(y[:, -1])):
        lines[draw] = np.interp(GRID_POINTS, x[draw], y[draw])
    lines[:, 0] = np.where(np.isfinite(lines[:, 0]), 0.0, np.nan)
    return lines


def reliability(report: Report) -> Plot | None:
    """How often the answer is right, against how sure it said it was."""
    first = first_column(report)
    found = scores(report, first)
    if found is None or found.probability is None:
        return None
    after = scores(report, "prediction@calibrated")
    edges = np.linspace(0.0, 1.0, 11)
    with sheet(330, 390) as page:
        axes, below = page.axes(2, 1, sharex=True, gridspec_kw={"height_ratios": [4, 1]})
        axes.plot([0, 1], [0, 1], color=MUTED, linewidth=1, dashes=(1, 2))
        drawn = [(found, MAIN, "as it stands")]
        if after is not None and after.probability is not None:
            drawn = [(found, OTHER, "before calibration"), (after, MAIN, "after calibration")]
        for each, colour, label in drawn:
            assert each.probability is not None
            sure = each.probability.max(axis=1)
            place = np.clip(np.digitize(sure, edges) - 1, 0, 9)
            _reliable(axes, each, sure, place, colour, label)
        sure = found.probability.max(axis=1)
        below.hist(sure, bins=list(edges), color=MAIN, alpha=0.7, rwidth=0.92)
        axes.set(xlim=(0, 1), ylim=(0, 1.02))
        ruled(axes, y="share right")
        ruled(below, x="how sure it said it was", y="images", grid="y")
        if len(drawn) > 1:
            axes.legend(loc="upper left")
        look = ("Dots on the diagonal mean that 80 % sure is right 80 % of the time; dots below it are boasts, dots above it "
                "are modesty.")
        ece = report.numbers[first].get("ece")
        told = f"Calibration error {spoken(ece, 'ece')}." if ece is not None else ""
        gap = float(found.probability.max(axis=1).mean() - found.right.mean())
        if abs(gap) >= 0.02:
            told += f" On average it is {'over' if gap > 0 else 'under'}confident by {100 * abs(gap):.0f} points."
        return Plot("reliability", "Is it as sure as it should be?", look, page.svg("reliability", look), told.strip())


def _reliable(axes: Any, found: Scores, sure: Any, place: Any, colour: str, label: str) -> None:
    weights, right = found.weights(), found.right.astype(float)
    x, y = [], []
    for box in np.unique(place):
        inside = place == box
        x.append(sure[inside].mean())
        y.append(right[inside].mean())
        if weights is not None:
            total = weights[:, inside].sum(axis=1)
            draws = (weights[:, inside] @ right[inside])[total > 0] / total[total > 0]
            axes.plot([x[-1]] * 2, np.percentile(draws, [2.5, 97.5]), color=colour, linewidth=1.6, alpha=0.6)
    axes.plot(x, y, "o-", color=colour, linewidth=1, markersize=5, markeredgewidth=0, label=label)


def score_distributions(report: Report) -> Plot | None:
    """The score of a class among its own images and among all others."""
    found = scores(report, first_column(report))
    if found is None or found.probability is None:
        return None
    size = len(found.labels)
    wide = 4 if size > 4 else 2
    high = -(-size // wide)
    with sheet(160 * wide, 105 * high + 40) as page:
        panels = page.axes(high, wide, sharex=True)
        for axes in panels[size:]:
            axes.set_visible(False)
        bins = np.linspace(0, 1, 26)
        for k, axes in zip(range(size), panels, strict=False):
            own = found.truth == k
            for inside, colour in ((~own, MUTED), (own, MAIN)):
                if inside.any():
                    share = np.histogram(found.probability[inside, k], bins)[0] / inside.sum()
                    axes.stairs(share, bins, color=colour, fill=True, alpha=0.45)
            axes.set_yticks([])
            axes.set_xlim(0, 1)
            ruled(axes, title=clean(found.labels[k], 18), grid="x")
            axes.spines["left"].set_color(GRID)
        page.figure.supxlabel("probability stated for the class", color=MUTED, fontsize=10)
        look = ("For each class, its own images (colour) should pile up at the right and all others (grey) at the left: where "
                "the two overlap the answers are guesses.")
        return Plot("scores", "How the scores are spread", look, page.svg("scores", look), wide=wide > 2)


