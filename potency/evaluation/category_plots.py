"""Pictures of a category answer: confusion, class by class, reliability and the spread of scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from potency.evaluation.drawing import HALVES, INK, MAIN, MUTED, OTHER, PAPER, Plot, ruled, sheet
from potency.evaluation.scores import Scores, scores
from potency.evaluation.wording import clean, figure, first_column, is_random, source, spoken

if TYPE_CHECKING:
    from potency.evaluation.results import Report

BINS = np.linspace(0.0, 1.0, 11)
FEWEST = 5  # images behind a dot: the share of fewer says nothing


def confusion(report: Report) -> Plot | None:
    """True class against said class, shaded by the share of the row, with the counts."""
    found = scores(report, first_column(report))
    if found is None:
        return None
    size = len(found.labels)
    table = np.zeros((size, size), dtype=np.int64)
    np.add.at(table, (found.truth, found.said), 1)
    share = table / np.maximum(table.sum(axis=1, keepdims=True), 1)
    cell = 78 if size <= 5 else 64 if size <= 10 else max(12, 740 // size)
    with sheet(cell * size + 130, cell * size * 0.82 + (120 if size > 5 else 80)) as page:
        (axes,) = page.axes()
        axes.set(xlim=(-0.5, size - 0.5), ylim=(size - 0.5, -0.5))
        for row, column in np.ndindex(size, size):
            _cell(page, axes, found.labels, (row, column), (int(table[row, column]), float(share[row, column])))
        names = [clean(label, 18) for label in found.labels]
        steep = size > 5 or max(map(len, names)) > 11
        axes.set_yticks(range(size), names, color=INK)
        axes.set_xticks(range(size), names, color=INK, rotation=90 if steep else 0, rotation_mode="anchor",
                        ha="right" if steep else "center", va="center" if steep else "top")  # fmt: skip
        ruled(axes, "said to be", "truly", grid="")
        for side in ("left", "bottom"):
            axes.spines[side].set_visible(False)
        look = (
            "A row is a true class and adds up to 100 %, with the counts below: the diagonal should stand out, and any "
            "other cell that does names two classes that are taken for one another."
        )
        told = _most_confused(found.labels, table, share)
        return Plot("confusion", "Confusion matrix", look, page.svg("confusion", look), told, wide=size > 5)


def _most_confused(labels: tuple[str, ...], table: NDArray[np.int64], share: NDArray[np.float64]) -> str:
    wrong = np.where(np.eye(len(labels), dtype=bool), 0.0, share)
    pairs = [np.unravel_index(int(at), wrong.shape) for at in np.argsort(-wrong, axis=None, kind="stable")[:3]]
    told = [
        f"{clean(labels[row], 40)} for {clean(labels[column], 40)} ({figure(100 * share[row, column], 0)} % of its "
        f"{int(table[row].sum()):,})"
        for row, column in pairs
        if wrong[row, column] > 0
    ]
    return f"Most often mistaken: {'; '.join(told)}." if told else "No mistakes."


def _cell(page: Any, axes: Any, labels: tuple[str, ...], place: tuple[int, int], held: tuple[int, float]) -> None:
    from matplotlib.patches import Rectangle

    (row, column), (number, share) = place, held
    box = Rectangle((column - 0.48, row - 0.475), 0.96, 0.95, linewidth=0, facecolor=MAIN, alpha=0.05 + 0.95 * share)
    box.set_in_layout(False)  # what lies inside the axes need not be measured: a third of the time
    page.tip(axes.add_patch(box), f"truly {labels[row]}, said {labels[column]}: {number:,} ({100 * share:.1f} %)")
    if not number or len(labels) > 24:
        return
    small = len(labels) > 10
    colour = PAPER if share > 0.5 else INK
    per_cent = f"{100 * share:.0f}" + ("" if small else " %")
    how: dict[str, Any] = {"ha": "center", "va": "center", "color": colour, "in_layout": False}
    axes.text(column, row - 0.1, per_cent, fontsize=9.5 if small else 11, **how)
    axes.text(column, row + 0.25, f"{number:,}", fontsize=7 if small else 8.5, alpha=0.8, **how)


def classes(report: Report) -> Plot | None:
    """Recall, precision and F1 of every class with intervals, the column asked about over its first rival."""
    first = first_column(report)
    numbers, labels = report.numbers.get(first, {}), report.labels
    columns = [first, *[c for c in report.numbers if c != first and not is_random(c)][:1]]
    kinds = [k for k in ("recall", "precision", "f1") if any(f"{k}.{label}" in numbers for label in labels)]
    if not kinds:
        return None
    with sheet(860, 80 + max(26, 38 - len(labels)) * len(labels)) as page:
        panels = page.axes(1, len(kinds), sharey=True)
        for axes, kind in zip(panels, kinds, strict=True):
            for which, column in enumerate(columns):
                shift = 0.15 if which else -0.15 if len(columns) > 1 else 0.0
                _class_dots(page, axes, report, column, (kind, shift, OTHER if which else MAIN))
            axes.set(xlim=(-0.03, 1.03), ylim=(len(labels) - 0.5, -0.5))
            axes.set_yticks(range(len(labels)), [clean(label, 22) for label in labels], color=INK)
            axes.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", ".25", ".5", ".75", "1"])
            ruled(axes, title="F1" if kind == "f1" else kind.capitalize(), grid="x")
            axes.spines["left"].set_visible(False)
        if len(columns) > 1:
            page.figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
        look = (
            "Recall asks how many of a class were found, precision how many so called are right: a class low in one "
            "and high in the other is called too rarely or too often."
        )
        return Plot("classes", "Class by class", look, page.svg("classes", look), wide=True)


def _class_dots(page: Any, axes: Any, report: Report, column: str, how: tuple[str, float, str]) -> None:
    kind, shift, colour = how
    name: str | None = source(column, report.facts)
    for place, label in enumerate(report.labels):
        interval = report.numbers[column].get(f"{kind}.{label}")
        if interval is None or not np.isfinite(interval.value):
            continue
        if interval.low is not None and interval.high is not None:
            axes.plot([interval.low, interval.high], [place + shift] * 2, color=colour, linewidth=1.8)
        (dot,) = axes.plot([interval.value], [place + shift], "o", color=colour, markersize=5.5, markeredgewidth=0)
        dot.set_label(clean(name, 24) if name else "_")
        page.tip(dot, f"{label}, {source(column, report.facts)}: {spoken(interval, kind)}")
        name = None


def reliability(report: Report) -> Plot | None:
    """How often the answer is right, against how sure it said it was."""
    first = first_column(report)
    found = scores(report, first)
    if found is None or found.probability is None:
        return None
    after = scores(report, "prediction@calibrated")
    drawn = [(found, MAIN, "as it stands")]
    if after is not None and after.probability is not None:
        drawn = [(found, OTHER, "before calibration"), (after, MAIN, "after calibration")]
    given = report.facts.get("calibration")
    before = given.get("curve_before") if isinstance(given, Mapping) else None
    if before and after is None:
        drawn = [(found, MAIN, "after calibration")]
    with sheet(370, 400) as page:
        axes, below = page.axes(2, 1, sharex=True, gridspec_kw={"height_ratios": [4, 1]})
        axes.plot([0, 1], [0, 1], color=MUTED, linewidth=1, dashes=(1, 2))
        if before and after is None:
            _dots(page, axes, before, OTHER, "before calibration")
        for each, colour, label in drawn:
            _reliable(page, axes, each, colour, label)
        sure = found.probability.max(axis=1)
        below.hist(sure, bins=list(BINS), color=MAIN, alpha=0.7, rwidth=0.92)
        axes.set(xlim=(0, 1), ylim=(0, 1.02))
        ruled(axes, y="share right")
        ruled(below, x="how sure it said it was", y="images", grid="y")
        if len(drawn) > 1 or before:
            axes.legend(loc="upper left")
        look = (
            "On the diagonal, 80 % sure is right 80 % of the time; dots below it are boasts, dots above it modesty; "
            "the bars count the images behind each dot (none is drawn for fewer than " f"{FEWEST})."
        )
        told = _calibration(report, found, sure)
        return Plot("reliability", "Is it as sure as it should be?", look, page.svg("reliability", look), told)


def _calibration(report: Report, found: Scores, sure: NDArray[np.float64]) -> str:
    ece = report.numbers[first_column(report)].get("ece")
    told = f"Calibration error {spoken(ece, 'ece')}." if ece is not None else ""
    after = report.numbers.get("prediction@calibrated", {}).get("ece")
    told += f" After calibration {spoken(after, 'ece')}." if after is not None else ""
    given = report.facts.get("calibration")
    if isinstance(given, Mapping) and isinstance(given.get("before"), int | float):
        told += f" Before calibration it was {figure(given['before'], 2, unit=True)}."
    gap = float(sure.mean() - found.right.mean())
    if abs(gap) >= 0.02:
        told += f" On average it is {'over' if gap > 0 else 'under'}confident by {100 * abs(gap):.0f} points."
    return told.strip()


def _reliable(page: Any, axes: Any, found: Scores, colour: str, label: str) -> None:
    assert found.probability is not None
    place, drawn, right = _boxes(found), found.resampled(), found.right.astype(float)
    sums = None if drawn is None else [drawn.sums(place, len(BINS) - 1, each) for each in (right, np.ones(len(right)))]
    points = _curve(found)
    for x, _, _, box in points if sums is not None else ():
        assert sums is not None
        hits, total = (each[:, box] for each in sums)
        draws = hits[total > 0] / total[total > 0]
        axes.plot([x] * 2, np.percentile(draws, [2.5, 97.5]), color=colour, linewidth=1.8, alpha=0.55)
    _dots(page, axes, [point[:3] for point in points], colour, label)


def _boxes(found: Scores) -> NDArray[np.int64]:
    assert found.probability is not None
    return np.asarray(np.clip(np.digitize(found.probability.max(axis=1), BINS) - 1, 0, len(BINS) - 2), np.int64)


def _curve(found: Scores) -> list[tuple[float, float, int, int]]:
    """How sure, the share right, how many images, and which box, for each box that holds enough of them."""
    assert found.probability is not None
    sure, place = found.probability.max(axis=1), _boxes(found)
    filled = [(int(box), place == box) for box in np.unique(place)]
    return [(float(sure[inside].mean()), float(found.right[inside].mean()), int(inside.sum()), box)
            for box, inside in filled if inside.sum() >= FEWEST]  # fmt: skip


def _dots(page: Any, axes: Any, points: Sequence[Sequence[float]], colour: str, label: str) -> None:
    axes.plot([x for x, _, _ in points], [y for _, y, _ in points], color=colour, linewidth=1, label=label)
    for x, y, number in points:
        (dot,) = axes.plot([x], [y], "o", color=colour, markersize=6, markeredgewidth=0)
        page.tip(dot, f"{100 * x:.0f} % sure, {100 * y:.0f} % right, {number:,.0f} images")


def reliable(report: Report, column: str) -> list[tuple[float, float, int]]:
    """The points of the reliability diagram of a column: how sure, the share right, how many images."""
    found = scores(report, column)
    return [] if found is None or found.probability is None else [point[:3] for point in _curve(found)]


def score_distributions(report: Report) -> Plot | None:
    """The score of a class among its own images and among all others."""
    found = scores(report, first_column(report))
    if found is None or found.probability is None:
        return None
    shown = range(min(len(found.labels), 24))
    across = min(4, len(shown))
    down = -(-len(shown) // across)
    with sheet(860, 110 * down + 46) as page:
        bins = np.linspace(0, 1, 26)
        panels = page.panels(len(shown), across, 28, ("probability stated for the class", ""))
        for k, axes in zip(shown, panels, strict=True):
            own = found.truth == k
            for inside, colour in ((~own, MUTED), (own, MAIN)):
                if inside.any():
                    share = np.histogram(found.probability[inside, k], bins)[0] / inside.sum()
                    axes.stairs(np.sqrt(share), bins, color=colour, fill=True, alpha=0.5)
            axes.set(xlim=(0, 1), yticks=[], ylim=(0, None))
            axes.set_xticks(*HALVES)
            ruled(axes, title=clean(found.labels[k], 24), grid="x")
        look = (
            "For each class, its own images (colour) should pile up at the right and all others (grey) at the left: "
            "where the two overlap the answers are guesses. Heights are on a square-root scale, so few images show."
        )
        return Plot("scores", "How the scores are spread", look, page.svg("scores", look), wide=True)
