"""Pictures for objects with outlines: AP against the overlap asked for, and what became of the objects."""

from __future__ import annotations

from typing import TYPE_CHECKING

from potency.evaluation.drawing import BAD, INK, MAIN, OTHER, Plot, ruled, sheet
from potency.evaluation.wording import clean, figure, is_random, known, source, spoken

if TYPE_CHECKING:
    from potency.evaluation.results import Report

WRONG = ("missed", "split", "merged", "spurious")


def thresholds(report: Report) -> Plot | None:
    """AP of the Data Science Bowl of every column at each threshold of overlap."""
    lines = {column: _curve(report, column) for column in report.numbers if not is_random(column)}
    lines = {column: line for column, line in lines.items() if len(line) > 1}
    if not lines:
        return None
    with sheet(440, 300) as page:
        (axes,) = page.axes()
        for number, (column, line) in enumerate(lines.items()):
            colour = MAIN if number == 0 else OTHER
            ends = [(at, low, high) for at, _, low, high in line if low is not None and high is not None]
            if ends and number == 0:
                at, low, high = zip(*ends, strict=True)
                axes.fill_between(at, low, high, color=colour, alpha=0.18, linewidth=0)
            points = [point[0] for point in line], [point[1] for point in line]
            axes.plot(*points, "o-", color=colour, markersize=4, label=clean(source(column, report.facts), 24))
        axes.set_ylim(-0.02, 1.02)
        ruled(axes, "overlap asked for (IoU)", "", "AP (Data Science Bowl)")
        axes.legend()
        look = (
            "How many objects are found falls with the overlap asked for: a line that starts high and falls early "
            "finds the objects but not their outlines."
        )
        return Plot("thresholds", "Objects and outlines", look, page.svg("thresholds", look))


def _curve(report: Report, column: str) -> list[tuple[float, float, float | None, float | None]]:
    found = ((percent / 100, report.numbers[column].get(f"dsb_ap.{percent}")) for percent in range(50, 100, 5))
    return [(at, one.value, one.low, one.high) for at, one in found if one is not None]


def mistakes(report: Report) -> Plot | None:
    """The shares of objects missed, split, merged and spurious, of every column."""
    columns = [c for c, numbers in report.numbers.items() if not is_random(c) and set(WRONG) <= set(numbers)]
    if not columns:
        return None
    with sheet(440, 60 + 34 * len(WRONG) * len(columns)) as page:
        (axes,) = page.axes()
        names = []
        for place, (kind, column) in enumerate((k, c) for k in reversed(WRONG) for c in reversed(columns)):
            interval = report.numbers[column][kind]
            axes.barh([place], [interval.value], color=BAD if column == columns[0] else OTHER, alpha=0.75, height=0.6)
            if interval.low is not None and interval.high is not None:
                axes.plot([interval.low, interval.high], [place, place], color=INK, linewidth=1.2)
            axes.annotate(spoken(interval, kind), (max(interval.value, interval.high or 0), place), (5, 0),
                          textcoords="offset points", va="center", fontsize=9, color=INK)  # fmt: skip
            told = f" ({clean(source(column, report.facts), 16)})" if len(columns) > 1 else ""
            names.append(f"{known(kind)[0]}{told}")
        axes.set_yticks(range(len(names)), names, color=INK)
        axes.margins(x=0.35)
        axes.set_xlim(left=0)
        ruled(axes, "share of true objects (spurious: of predicted ones)", grid="x")
        worst = max(WRONG, key=lambda kind: report.numbers[columns[0]][kind].value)
        share = figure(100 * report.numbers[columns[0]][worst].value, 0)
        look = f"What went wrong with objects: most are {known(worst)[0].lower()} ({share} %)."
        return Plot("mistakes", "Kinds of mistakes", look, page.svg("mistakes", look))
