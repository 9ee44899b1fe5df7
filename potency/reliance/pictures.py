"""The pictures of the controls: bands, mixtures, plain numbers and spectra, each with its intervals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from potency.evaluation.drawing import BAD, INK, MAIN, MUTED, OTHER, PAPER, Plot, ruled, sheet
from potency.evaluation.wording import clean, known, spoken
from potency.reliance.alterations import KEPT, MIXED, REMOVED
from potency.reliance.beyond import strongest

if TYPE_CHECKING:
    from potency.evaluation.results import Interval
    from potency.reliance.result import Controls, Row
    from potency.reliance.spectrum import Line, Spectrum

SHOWN = 5  # classes in one picture of spectra
STYLES = (MAIN, OTHER, BAD, INK, MUTED)


def bands(found: Controls) -> Plot | None:
    """The headline as each octave is removed, and as each is kept alone."""
    arms = {REMOVED: found.altered(REMOVED), KEPT: found.altered(KEPT)}
    if found.untouched is None or found.chance is None or not arms[REMOVED]:
        return None
    titles = [row.title for row in arms[REMOVED]]
    with sheet(860, 330) as page:
        (axes,) = page.axes()
        _level(axes, found, len(titles))
        for (arm, rows), colour, shift in zip(arms.items(), (MAIN, OTHER), (-0.08, 0.08), strict=True):
            at = [titles.index(row.title) + shift for row in rows]
            axes.plot(at, [row.figure.value for row in rows], color=colour, linewidth=1.2, alpha=0.6)
            for place, row in zip(at, rows, strict=True):
                _upright(axes, row.figure, place, colour)
            axes.plot([], [], "o-", color=colour, label=arm)
        axes.set_xticks(range(len(titles)), titles)
        axes.margins(y=0.08)
        unit = "cycles per µm" if found.facts.get("pixel_size") else "cycles per pixel"
        ruled(axes, f"octave, {unit}", known(found.metric)[0], grid="y")
        axes.legend(loc="upper right", bbox_to_anchor=(1, 1.12), ncols=2)
        look = ("Where the blue line dips, the network misses that octave; where the orange line is high, that octave "
                "tells much by itself. The dashed line is the untouched image, the dotted one is guessing; a line "
                "through a dot is its 95 % interval over groups.")  # fmt: skip
        return Plot("bands", "Which frequencies it needs", look, page.svg("bands", look), wide=True)


def mixed(found: Controls) -> Plot | None:
    """The headline untouched, and with phases or tiles mixed."""
    rows = found.altered(MIXED)
    if found.untouched is None or not rows:
        return None
    lines = [("untouched", found.untouched, INK), *((row.title, row.figure, MAIN) for row in rows)]
    look = ("Mixed phases keep how coarse and how strong everything is and lose every arrangement; mixed tiles keep "
            "what fits into a tile. What stays clear of the dotted line of guessing needs no more.")  # fmt: skip
    return _whiskers("mixed", "Without arrangement", lines, found, look)


def ones(found: Controls) -> Plot | None:
    """Every plain number as a classifier, the network on top."""
    rows: Sequence[Row] = found.ones()
    if not rows:
        return None
    lines = [(row.title, row.figure, OTHER) for row in rows]
    if found.untouched is not None:
        lines.insert(0, ("the network", found.untouched, INK))
    look = ("Each is fitted and tested on whole groups, as the network is. A network that is not clearly better than "
            "one number has not shown that it sees more.")  # fmt: skip
    return _whiskers("ones", "One plain number beside the network", lines, found, look)


def partials(found: Controls) -> Plot | None:
    """Partial correlations, given the truth and given the other numbers too."""
    shown = strongest(found.beyond)
    if not shown:
        return None
    with sheet(440, 60 + 46 * len(shown)) as page:
        (axes,) = page.axes()
        axes.axvline(0, color=MUTED, linewidth=1)
        for place, one in enumerate(reversed(shown)):
            for part, shift, face in ((one.given_truth, 0.13, MAIN), (one.given_all, -0.13, PAPER)):
                _across(axes, part, place + shift, MAIN, face)
        names = [clean(one.number + (f", {one.label}" if one.label else ""), 26) for one in reversed(shown)]
        axes.set_yticks(range(len(shown)), names, color=INK)
        axes.set_ylim(-0.5, len(shown) - 0.4)
        axes.set_xlim(-1, 1)
        ruled(axes, "partial correlation with the network's score", grid="x")
        axes.spines["left"].set_visible(False)
        look = ("Filled: given the truth; hollow: given the truth and all other numbers. A line clear of zero means "
                "that among images of one truth the score still goes with the number.")  # fmt: skip
        return Plot("partials", "Beyond the truth", look, page.svg("partials", look))


def spectra(found: Controls) -> list[Plot]:
    """A pair of panels for each channel: the spectrum of every class, and each class minus the others."""
    spectrum = found.spectrum
    if spectrum is None:
        return []
    channels = list(dict.fromkeys(line.channel for line in spectrum.lines))
    return [_pair(spectrum, channel, number) for number, channel in enumerate(channels)]


def _pair(spectrum: Spectrum, channel: str, number: int) -> Plot:
    lines = [line for line in spectrum.lines if line.channel == channel]
    most = sorted(lines, key=lambda line: -float(np.nanmax([0.0, *(abs(one.value) for one in line.difference)])))
    shown = [line for line in lines if line in most[:SHOWN]]
    with sheet(860, 340) as page:
        left, right = page.axes(1, 2)
        for line, colour in zip(shown, STYLES, strict=False):
            _band(left, spectrum, line.level, colour, line.label)
        # Of two classes one difference says all; the other is its mirror image.
        for line, colour in list(zip(shown, STYLES, strict=False))[: 1 if len(lines) == 2 else None]:
            _band(right, spectrum, line.difference, colour, "_")
        right.axhline(0, color=MUTED, linewidth=1)
        for axes in (left, right):
            axes.set_xscale("log")
            _ticks(axes, spectrum)
        ruled(left, spectrum.unit, "power density, log10", "Each class")
        what = f"{_named(lines[0])} minus {_named(lines[1])}" if len(lines) == 2 else "Each class minus all others"
        ruled(right, spectrum.unit, "difference, log10", what)
        left.legend()
        look = ("Left: how much power the images of each class have at each frequency, coarse to fine. Right: the same "
                "as a difference; where the shaded 95 % interval over groups is clear of zero, the spectrum alone "
                "tells the classes apart; a class of fewer than five groups has no shade. 0.3 is twice the power.")
        rest = f"The {SHOWN} classes that differ most; spectrum.csv has all {len(lines)}." if len(lines) > SHOWN else ""
        title = "Power spectrum by class" + (f": {channel}" if number or channel not in ("grey", "0") else "")
        return Plot(f"spectrum-{number}", title, look, page.svg(f"spectrum-{number}", look), rest, wide=True)


def _named(line: Line) -> str:
    return clean(line.label, 18)


def _ticks(axes: Any, spectrum: Spectrum) -> None:
    low, high = spectrum.middles[0] * 0.9, np.array(spectrum.edges)[-1] / (spectrum.pixel_size or 1.0)
    marks = [mark for mark in (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0) if low <= mark <= high]
    axes.set_xticks(marks, [f"{mark:g}" for mark in marks])
    axes.minorticks_off()


def _band(axes: Any, spectrum: Spectrum, values: Sequence[Interval], colour: str, label: str) -> None:
    at, level = spectrum.middles, np.array([one.value for one in values])
    there = np.isfinite(level)
    low, high = (np.array([np.nan if end is None else end for end in ends], float)
                 for ends in ([one.low for one in values], [one.high for one in values]))  # fmt: skip
    axes.fill_between(at[there], low[there], high[there], color=colour, alpha=0.18, linewidth=0)
    axes.plot(at[there], level[there], color=colour, label=clean(label, 22))


def _whiskers(name: str, title: str, lines: list[tuple[str, Interval, str]], found: Controls, look: str) -> Plot:
    with sheet(440, 66 + 44 * len(lines)) as page:
        (axes,) = page.axes()
        if found.chance is not None:
            axes.axvline(found.chance, color=MUTED, dashes=(1, 2), linewidth=1.2)
        for place, (_, figure, colour) in enumerate(reversed(lines)):
            _across(axes, figure, place, colour, colour)
            axes.annotate(spoken(figure, found.metric), (figure.value, place), (0, 7), textcoords="offset points",
                          ha="center", fontsize=9, color=INK)  # fmt: skip
        axes.set_yticks(range(len(lines)), [clean(line[0], 24) for line in reversed(lines)], color=INK)
        axes.set_ylim(-0.5, len(lines) - 0.2)
        axes.margins(x=0.2)
        ruled(axes, known(found.metric)[0], grid="x")
        axes.spines["left"].set_visible(False)
        return Plot(name, title, look, page.svg(name, look))


def _across(axes: Any, figure: Interval, at: float, colour: str, face: str) -> None:
    if figure.low is not None and figure.high is not None:
        axes.plot([figure.low, figure.high], [at, at], color=colour, linewidth=2, solid_capstyle="round")
    axes.plot([figure.value], [at], "o", color=colour, markerfacecolor=face, markersize=7, markeredgewidth=1.6)


def _upright(axes: Any, figure: Interval, at: float, colour: str) -> None:
    if figure.low is not None and figure.high is not None:
        axes.plot([at, at], [figure.low, figure.high], color=colour, linewidth=2, solid_capstyle="round")
    axes.plot([at], [figure.value], "o", color=colour, markersize=7, markeredgewidth=0)


def _level(axes: Any, found: Controls, count: int) -> None:
    assert found.untouched is not None and found.chance is not None
    whole = found.untouched
    if whole.low is not None and whole.high is not None:
        axes.fill_between([-0.5, count - 0.5], whole.low, whole.high, color=MUTED, alpha=0.12, linewidth=0)
    axes.axhline(whole.value, color=MUTED, dashes=(4, 3), linewidth=1)
    axes.axhline(found.chance, color=MUTED, dashes=(1, 2), linewidth=1.2)
    axes.set_xlim(-0.5, count - 0.5)


def draw_all(found: Controls) -> list[Plot]:
    """The pictures there is something to show in."""
    plots = [bands(found), mixed(found), ones(found), partials(found), *spectra(found)]
    return [plot for plot in plots if plot is not None]
