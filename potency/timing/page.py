"""Lays curves over time out as one self-contained page, in the style of the report."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from potency.evaluation import wording
from potency.evaluation.drawing import BAD, INK, MAIN, MUTED, OTHER, Plot, ruled, sheet
from potency.evaluation.paper import printed

if TYPE_CHECKING:
    from potency.timing.curve import Curve
    from potency.timing.result import Early

TITLE = "Early prediction"
COLOURS = (MAIN, OTHER, INK, BAD)
DASHES = ((1, 0), (5, 2), (1, 1.5), (4, 1, 1, 1), (2, 2), (6, 1))


def page(found: Early) -> str:
    """The whole page as text: the verdict, the picture, what it rests on, then a table for each curve."""
    facts = found.facts
    units = f"{facts['units']:,} units ({facts['unit']})"
    size = [wording.count(int(facts["rows"]), "row"), units, wording.count(int(facts["groups"]), "group"),
            f"{facts['draws']:,} draws of whole groups"]  # fmt: skip
    return printed(
        "timing/early.html", title=TITLE, subtitle=" · ".join(size), verdict=found.verdict, mark=found.mark,
        lines=found.lines, tables=found.tables(), plots=[plot for plot in (over_time(found), gains(found)) if plot],
        simulated=bool(facts.get("simulated")),
    )  # fmt: skip


def over_time(found: Early) -> Plot | None:
    """All curves against time, the trivial answer, and the first time that beats it."""
    drawn = [curve for curve in found.curves if any(not point.left for point in curve.points)]
    if not drawn:
        return None
    name = wording.known(found.score)[0]
    with sheet(640, 330) as paper:
        (axes,) = paper.axes()
        for k, curve in enumerate(drawn):
            _line(axes, curve, COLOURS[k % len(COLOURS)], DASHES[k % len(DASHES)], band=k == 0)
        seen = [point for point in drawn[0].points if not point.left]
        axes.plot([p.time for p in seen], [p.trivial.value for p in seen if p.trivial], color=MUTED, linewidth=1.2,
                  dashes=(1, 2), label="trivial")  # fmt: skip
        if found.first is not None:
            axes.axvline(found.first, color=MUTED, linewidth=1, dashes=(4, 3))
        ruled(axes, str(found.facts["time"]), name)
        if len(drawn) + 1 <= len(DASHES):
            axes.legend(loc="best")
        look = ("Shaded: the 95 % interval over groups at each time, for the first curve. Filled dots beat the trivial "
                "answer (dotted) with all looks paid for; the dashed line is the first of them.")  # fmt: skip
        return Plot("early", f"{name} against {found.facts['time']}", look, paper.svg("early", look), wide=True)


def gains(found: Early) -> Plot | None:
    """How much better the first curve is than the trivial answer, with the band that holds at all times at once."""
    seen = [point for point in found.curves[0].points if not point.left and point.gain and point.lower is not None]
    if len(seen) < 2:
        return None
    with sheet(640, 230) as paper:
        (axes,) = paper.axes()
        times, values = [p.time for p in seen], [p.gain.value for p in seen if p.gain]
        axes.axhline(0, color=MUTED, linewidth=1, dashes=(1, 2))
        axes.fill_between(times, [p.lower or 0.0 for p in seen], values, color=MAIN, alpha=0.15, linewidth=0)
        axes.plot(times, values, color=MAIN)
        axes.plot(times, [p.lower or 0.0 for p in seen], color=MAIN, linewidth=1, dashes=(4, 2))
        ruled(axes, str(found.facts["time"]), "better by")
        look = ("Solid: better than the trivial answer by so much. Dashed: by at least so much at all times together; "
                "times whose dots are filled above were set aside step by step, so one may be told though the dashed "
                "line, which is that of the first step, is a little under zero.")  # fmt: skip
        return Plot("gain", "Gain over the trivial answer", look, paper.svg("gain", look), wide=True)


def _line(axes: Any, curve: Curve, colour: str, dashes: tuple[float, ...], band: bool) -> None:
    seen = [point for point in curve.points if not point.left and point.figure]
    times, values = [p.time for p in seen], [p.figure.value for p in seen if p.figure]
    if band:
        sure = [(p.time, p.figure.low, p.figure.high) for p in seen if p.figure and p.figure.low is not None]
        if sure:
            axes.fill_between(*zip(*sure, strict=True), color=colour, alpha=0.18, linewidth=0)
    style = {"dashes": dashes} if dashes[1] else {}
    axes.plot(times, values, color=colour, label=curve.name, **style)
    for beats, face in ((True, colour), (False, "none")):
        some = [(p.time, p.figure.value) for p in seen if p.figure and p.beats == beats]
        if some:
            axes.plot(*zip(*some, strict=True), "o", color=colour, markersize=4.5, markerfacecolor=face,
                      markeredgecolor=colour)  # fmt: skip
