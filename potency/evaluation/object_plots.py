"""Pictures for objects with outlines: AP against the overlap asked for, what became of objects, and of which size."""

from __future__ import annotations

from typing import TYPE_CHECKING

from potency.answers.metrics.sizes import RANGES
from potency.evaluation.drawing import BAD, INK, MAIN, OTHER, Plot, ruled, sheet
from potency.evaluation.terms import MEDIAN
from potency.evaluation.wording import clean, figure, first_column, is_random, known, source, spoken

if TYPE_CHECKING:
    from potency.evaluation.results import Interval, Report

TICKS = 8  # sizes that are named side by side; of more every second
LEAST = 0.01  # of all objects: rarer sizes are no news
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
        of = "predicted" if worst == "spurious" else "true"
        look = f"What went wrong with objects. The most common: {known(worst)[0].lower()}, {share} % of {of} ones."
        return Plot("mistakes", "Kinds of mistakes", look, page.svg("mistakes", look))


def sizes(report: Report) -> Plot | None:
    """Percentiles of the diameters of true and predicted objects: the share that is smaller."""
    first = first_column(report)
    lines = {name: _parts(report, first, name) for name in ("size_true", "size_said")}
    if not all(lines.values()):
        return None
    numbers = report.numbers[first]
    with sheet(440, 300) as page:
        (axes,) = page.axes()
        for name, colour, marker in (("size_true", INK, "s-"), ("size_said", MAIN, "o-")):
            shares = [int(part[1:]) for part in lines[name]]
            found = list(lines[name].values())
            for share, one in zip(shares, found, strict=True):
                if one.low is not None and one.high is not None:
                    axes.plot([one.low, one.high], [share, share], color=colour, alpha=0.35, linewidth=4)
            label = f"{known(name)[0].lower()}, median {spoken(numbers[f'{name}.{MEDIAN}'], name)} px"
            axes.plot([one.value for one in found], shares, marker, color=colour, markersize=4, label=label)
        axes.set_ylim(0, 100)
        axes.margins(x=0.08)
        ruled(axes, "diameter, px", "% that are smaller")
        page.figure.legend(loc="outside upper left", frameon=False)
        look = (
            "Do predicted sizes agree with true ones? A line left of the other stands for smaller objects; lines that "
            "part at the lower end only speak of debris, or of small objects that are missed."
        )
        told = _off(numbers.get("size_bias"))
        return Plot("sizes", "Sizes, true and predicted", look, page.svg("sizes", look), told)


def _off(bias: Interval | None) -> str:
    """By how much found objects are too wide; None: there is none."""
    if bias is None:
        return "No object is found, so nothing can be said of how far off diameters are."
    ends = () if bias.low is None or bias.high is None else (bias.low, bias.high)
    sure = " to ".join(figure(100 * end, 1, signed=True) for end in ends)
    told = f"Diameters of objects that are found are off by {figure(100 * bias.value, 1, signed=True)} %"
    return told + (f" ({sure} %)." if sure else ".")


def by_size(report: Report) -> Plot | None:
    """Recall and precision of objects in half octaves of diameter, and the share of objects that are of that size."""
    first = first_column(report)
    lines = [(name, _parts(report, first, name)) for name in ("recall_size", "precision_size")]
    if not lines[0][1]:
        return None
    parts = [part for part in RANGES if any(part in found for _, found in lines)]
    share = _parts(report, first, "share_size")
    with sheet(440, 300) as page:
        (axes,) = page.axes()
        for (name, found), colour, shift in zip(lines, (MAIN, OTHER), (-0.08, 0.08), strict=True):
            for place, part in enumerate(parts):
                if (one := found.get(part)) and one.low is not None and one.high is not None:
                    axes.plot([place + shift] * 2, [one.low, one.high], color=colour, linewidth=1.6)
            drawn = [(place + shift, found[part].value) for place, part in enumerate(parts) if part in found]
            axes.plot(*zip(*drawn, strict=True), "o-", color=colour, markersize=5, linewidth=0.9,
                      label=known(name)[0].partition(" ")[0].lower())  # fmt: skip
        axes.set_ylim(-0.02, 1.02)
        told = [f"{part.replace('-', '–')}\n{figure(100 * share[part].value, 0)} %" for part in parts]
        named = slice(len(told) % 2 if len(told) > TICKS else 0, None, 2 if len(told) > TICKS else 1)  # or they overlap
        axes.set_xticks(range(len(parts))[named], told[named], fontsize=8)
        axes.margins(x=0.06)
        ruled(axes, "diameter, px; below it the share of true objects", "at IoU .5", grid="y")
        page.figure.legend(loc="outside upper left", ncols=2, frameon=False)
        look = (
            "Which sizes go wrong: recall is the share of true objects of a size that are found, precision that of "
            "predicted ones that are right. Small objects lose the most overlap by a pixel at their outline."
        )
        many = {part: one for part, one in lines[0][1].items() if share[part].value >= LEAST}
        worst = min(many, key=lambda part: many[part].value, default="")
        across = worst.replace("-", " to ")
        seen = f"The worst are {across} px across: recall {spoken(many[worst], 'recall')}." if many else ""
        return Plot("by_size", "Found by size", look, page.svg("by_size", look), seen)


def _parts(report: Report, column: str, name: str) -> dict[str, Interval]:
    """The figures of a name by their part, in their order."""
    found = report.numbers.get(column, {})
    return {metric.partition(".")[2]: one for metric, one in found.items() if metric.startswith(f"{name}.")}
