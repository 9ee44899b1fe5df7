"""Pictures of a number answer: predicted against true, Bland-Altman and residuals."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from potency.evaluation.drawing import INK, MAIN, MUTED, OTHER, Plot, ruled, sheet
from potency.evaluation.scores import scores
from potency.evaluation.wording import figure, first_column, is_random, source, spoken

if TYPE_CHECKING:
    from potency.evaluation.results import Report

MOST_DOTS = 2000


def _thinned(count: int, seed: int) -> NDArray[np.int64]:
    """Which samples become dots: all, or an even random choice where a page would drown in them."""
    if count <= MOST_DOTS:
        return np.arange(count)
    return np.sort(np.random.default_rng(seed).choice(count, MOST_DOTS, replace=False))


def _told(count: int) -> str:
    return f" {MOST_DOTS:,} of {count:,} samples are drawn." if count > MOST_DOTS else ""


def predicted_against_true(report: Report) -> Plot | None:
    """Answer against truth around the line of perfect agreement."""
    first = first_column(report)
    found = scores(report, first)
    if found is None:
        return None
    dots = _thinned(len(found.truth), report.seed)
    with sheet(360, 350) as page:
        (axes,) = page.axes()
        low, high = float(min(found.truth.min(), found.said.min())), float(max(found.truth.max(), found.said.max()))
        axes.plot([low, high], [low, high], color=MUTED, linewidth=1, dashes=(4, 3))
        axes.plot(found.truth[dots], found.said[dots], "o", color=MAIN, markersize=3.6, markeredgewidth=0, alpha=0.45)
        ruled(axes, "truth", "answer")
        look = (
            "Dots on the dashed line are exact: a cloud flatter than the line means that answers shrink towards the "
            "mean, a bend means that one end of the range is not understood."
        )
        numbers = report.numbers[first]
        told = "; ".join(f"{name} {spoken(numbers[key], key)}" for key, name in
                         (("r2", "R²"), ("pearson", "correlation"), ("concordance", "concordance")) if key in numbers)
        told = (told + "." if told else "") + _told(len(found.truth))
        return Plot("scatter", "Answer against truth", look, page.svg("scatter", look), told.strip())


def bland_altman(report: Report) -> Plot | None:
    """Difference against mean with the limits of agreement (Bland & Altman 1986, doi 10.1016/S0140-6736(86)90837-8)."""
    found = scores(report, first_column(report))
    if found is None or len(found.truth) < 3:
        return None
    apart, middle = found.said - found.truth, (found.said + found.truth) / 2
    mean, spread = float(apart.mean()), 1.96 * float(apart.std(ddof=1))
    dots = _thinned(len(apart), report.seed)
    with sheet(360, 350) as page:
        (axes,) = page.axes()
        axes.plot(middle[dots], apart[dots], "o", color=MAIN, markersize=3.6, markeredgewidth=0, alpha=0.45)
        axes.axhline(0, color=MUTED, linewidth=1, dashes=(1, 2))
        digits = 1 if spread == 0 else int(min(6, max(0, 1 - np.floor(np.log10(spread)))))
        for level, name in ((mean, "mean"), (mean - spread, "lower limit"), (mean + spread, "upper limit")):
            axes.axhline(level, color=OTHER, linewidth=1.3, dashes=(None, None) if name == "mean" else (5, 3))
            axes.annotate(f"{name} {figure(level, digits, signed=True)}", (1, level), (-2, 3), fontsize=9, color=INK,
                          textcoords="offset points", xycoords=("axes fraction", "data"), ha="right")  # fmt: skip
        ruled(axes, "mean of answer and truth", "answer minus truth")
        look = (
            "95 % of the differences lie between the dashed limits: ask whether an error that large would matter, and "
            "look for a slope or a funnel, which means that the error depends on the value."
        )
        told = _told(len(apart)).strip()
        return Plot("bland_altman", "Agreement (Bland-Altman)", look, page.svg("bland_altman", look), told)


def residuals(report: Report) -> Plot | None:
    """How the differences are spread, beside the first rival."""
    first = first_column(report)
    found = scores(report, first)
    if found is None:
        return None
    others = [c for c in report.numbers if c != first and not is_random(c)]
    rival = scores(report, others[0]) if others else None
    with sheet(360, 280) as page:
        (axes,) = page.axes()
        drawn: list[tuple[Any, str, str]] = [(found, MAIN, source(first, report.facts))]
        if rival is not None:
            drawn.append((rival, OTHER, source(others[0], report.facts)))
        apart = [each.said - each.truth for each, _, _ in drawn]
        edge = max(float(np.percentile(np.abs(a), 99.5)) for a in apart) or 1.0
        bins = np.linspace(-edge, edge, 41)
        for (_, colour, name), values in zip(drawn, apart, strict=True):
            share = np.histogram(np.clip(values, -edge, edge), bins)[0] / len(values)
            axes.stairs(share, bins, color=colour, fill=colour == MAIN, alpha=0.5 if colour == MAIN else 1, label=name)
        axes.axvline(0, color=MUTED, linewidth=1, dashes=(1, 2))
        axes.set_yticks([])
        ruled(axes, "answer minus truth", "share of samples", grid="x")
        if len(drawn) > 1:
            axes.legend()
        look = (
            "The pile should be narrow and stand on zero: a shifted pile is a bias, a long tail a few very wrong "
            "answers; the outermost bars hold everything beyond."
        )
        return Plot("residuals", "How wrong, how often", look, page.svg("residuals", look))
