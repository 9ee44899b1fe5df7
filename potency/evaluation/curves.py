"""ROC and precision-recall curves, one class against the rest, with bands from the bootstrap over groups."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from potency.evaluation.drawing import HALVES, MAIN, MUTED, OTHER, Plot, ruled, sheet
from potency.evaluation.scores import Resampled, Scores, band, scores
from potency.evaluation.wording import clean, first_column, is_random, source, spoken

if TYPE_CHECKING:
    from potency.evaluation.results import Report

AT = np.linspace(0.0, 1.0, 101)
MOST_PANELS = 24
MOST_STEPS = 2_000  # thresholds of a band; the curve itself has them all


def roc(report: Report) -> Plot | None:
    """True against false positive rate, one class against the rest."""
    look = (
        "How many of a class are found (up) at the price of false alarms (right) as the threshold falls: the nearer to "
        "the upper left corner the better; the dotted diagonal is guessing."
    )
    return _panels(report, "roc", "ROC, each class against the rest", look)


def precision_recall(report: Report) -> Plot | None:
    """Precision against recall, one class against the rest."""
    look = (
        "How pure the images called a class stay (up) as more of the class is found (right): for a rare class this is "
        "the honest picture; the dotted line, the share of the class, is guessing."
    )
    return _panels(report, "pr", "Precision and recall, each class against the rest", look)


def _panels(report: Report, name: str, title: str, look: str) -> Plot | None:
    first = first_column(report)
    found = scores(report, first)
    if found is None or found.probability is None:
        return None
    rival, rival_name = _rival(report, first)
    key = "auc" if name == "roc" else "average_precision"
    shown = _shown(report, found, key, both=name == "pr")
    if not shown:
        return None
    drawn = found.resampled()
    across = 4 if len(shown) > 4 else 2 if len(shown) == 4 else len(shown)
    down = -(-len(shown) // across)
    edge = 192 if across == 4 else 185 if across > 1 else 300
    with sheet((edge + 14) * across + 50, (edge + 44) * down + 46) as page:
        labels = ("false alarms", "found") if name == "roc" else ("recall", "precision")
        for axes, k in zip(page.panels(len(shown), across, 44, labels), shown, strict=True):
            _panel(axes, name, found, rival, drawn, k)
            metrics = report.numbers[first]
            area = metrics.get(f"{key}.{found.labels[k]}") or (metrics.get(key) if len(found.labels) == 2 else None)
            ruled(axes, title=f"{clean(found.labels[k], 24)}\n{spoken(area, key)}")
        told = f"Solid: {source(first, report.facts)}"
        told += " with its 95 % band over groups" if drawn is not None else ""
        told += f"; dashed: {rival_name}" if rival is not None else ""
        told += ". Above each panel: the area under the solid curve."
        if len(shown) == MOST_PANELS < len(found.labels):
            told += f" Only the {MOST_PANELS} worst of {len(found.labels)} classes are drawn."
        return Plot(name, title, look, page.svg(name, look), told, wide=across > 2)


def _rival(report: Report, first: str) -> tuple[Scores | None, str]:
    """The first other column with probabilities; the trivial baseline only where there is no better one."""
    others = [column for column in report.numbers if column != first and not is_random(column)]
    for column in sorted(others, key=lambda name: "trivial" in name):
        rival = scores(report, column)
        if rival is not None and rival.probability is not None:
            return rival, source(column, report.facts)
    return None, ""


def _shown(report: Report, found: Scores, key: str, both: bool) -> list[int]:
    """The classes worth a panel: of two, the ROC of one is the mirror of the other's."""
    codes = range(len(found.labels)) if len(found.labels) > 2 or both else [len(found.labels) - 1]
    present = [k for k in codes if 0 < (found.truth == k).sum() < len(found.truth)]
    if len(present) <= MOST_PANELS:
        return present
    numbers = report.numbers[first_column(report)]
    area = {k: numbers[name].value if (name := f"{key}.{found.labels[k]}") in numbers else 1.0 for k in present}
    return sorted(sorted(present, key=lambda k: area[k])[:MOST_PANELS])


def _panel(axes: Any, name: str, found: Scores, rival: Scores | None, drawn: Resampled | None, k: int) -> None:
    trace = roc_at if name == "roc" else precision_at
    truth = found.truth == k
    assert found.probability is not None
    axes.plot([0, 1], [0, 1] if name == "roc" else [truth.mean()] * 2, color=MUTED, linewidth=1, dashes=(1, 2))
    if rival is not None and rival.probability is not None and (rival.truth == k).any():
        line = trace(rival.truth == k, rival.probability[:, k], None)[0]
        axes.plot(AT, line, color=OTHER, linewidth=1.2, dashes=(4, 2))
    if drawn is not None:
        low, high = band(trace(truth, found.probability[:, k], drawn))
        axes.fill_between(AT, low, high, color=MAIN, alpha=0.2, linewidth=0)
    axes.plot(AT, trace(truth, found.probability[:, k], None)[0], color=MAIN)
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    axes.set_xticks(*HALVES)
    axes.set_yticks(*HALVES)


def roc_at(truth: NDArray[Any], score: NDArray[Any], drawn: Resampled | None) -> NDArray[np.float64]:
    """True positive rate at 101 even false positive rates: (draws, 101), nan where a draw lacks a side.

    >>> line = roc_at(np.array([1, 1, 0, 0]), np.array([0.9, 0.6, 0.7, 0.1]), None)[0]
    >>> float(line[0]), float(line[25]), float(line[100])
    (0.5, 0.5, 1.0)
    """
    found, alarms = _steps(truth, score, drawn)
    start = np.zeros((len(found), 1))
    with np.errstate(invalid="ignore", divide="ignore"):
        x, y = np.hstack([start, alarms / alarms[:, -1:]]), np.hstack([start, found / found[:, -1:]])
    lines = np.full((len(x), len(AT)), np.nan)
    for draw in np.flatnonzero(np.isfinite(x[:, -1]) & np.isfinite(y[:, -1])):
        last = np.searchsorted(x[draw], AT + 1e-12) - 1  # the highest point at or left of each rate
        lines[draw] = y[draw][last]
    return lines


def precision_at(truth: NDArray[Any], score: NDArray[Any], drawn: Resampled | None) -> NDArray[np.float64]:
    """Precision at 101 even recalls: (draws, 101); a step, not a chord, joins two thresholds.

    Davis and Goadrich (2006, doi 10.1145/1143844.1143874) show why a chord would flatter.

    >>> line = precision_at(np.array([1, 0, 1, 0]), np.array([0.9, 0.8, 0.7, 0.1]), None)[0]
    >>> float(line[50]), round(float(line[100]), 2)
    (1.0, 0.67)
    """
    found, alarms = _steps(truth, score, drawn)
    with np.errstate(invalid="ignore", divide="ignore"):
        recall, precision = found / found[:, -1:], found / (found + alarms)
    lines = np.full((len(recall), len(AT)), np.nan)
    for draw in np.flatnonzero(np.isfinite(recall[:, -1])):
        at = np.minimum(np.searchsorted(recall[draw], np.maximum(AT, 1e-9) - 1e-12), recall.shape[1] - 1)
        lines[draw] = precision[draw][at]
    return lines


def _steps(
    truth: NDArray[Any], score: NDArray[Any], drawn: Resampled | None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Weighted true and false positives at or above each distinct score, highest first: (draws, thresholds) each."""
    values, place = np.unique(-score, return_inverse=True)
    count = len(values)
    if drawn is not None and count > MOST_STEPS:  # neighbours share a threshold
        place, count = place * MOST_STEPS // count, MOST_STEPS
    yes = np.asarray(truth, dtype=bool)  # zeros and ones too: the complement of an integer is no other side
    sides = [side.astype(np.float64) for side in (yes, ~yes)]
    sums = [
        np.bincount(place, side, count)[None] if drawn is None else drawn.sums(place, count, side) for side in sides
    ]
    return np.cumsum(sums[0], axis=1), np.cumsum(sums[1], axis=1)
