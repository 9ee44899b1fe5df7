"""The tables of a report as rows of text: metrics, classes, groups and folds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from potency.evaluation.scores import scores
from potency.evaluation.terms import DRAWN, MAIN, MEDIAN, UNIT
from potency.evaluation.wording import (
    chance,
    clean,
    difference,
    figure,
    first_column,
    grouped,
    headline_metric,
    inline,
    is_random,
    known,
    places,
    places_of,
    source,
    spoken,
    verdict,
)

if TYPE_CHECKING:
    from potency.evaluation.results import Contest, Interval, Report
    from potency.evaluation.subgroups import Subgroups


@dataclass(frozen=True)
class Table:
    """A heading, rows of text whose first cell names the row, and a sentence below."""

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""

    def markdown(self) -> str:
        """The table in Markdown."""
        lines = [self.head, ("---", *["---:"] * (len(self.head) - 1)), *self.rows]
        return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


@dataclass(frozen=True)
class Grid:
    """A table with a title of its own."""

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""


def random_figures(report: Report) -> dict[str, dict[str, Interval]]:
    """Figures under a random split by the column they belong to, from their own columns and from `facts`."""
    found = {grouped(c): dict(metrics) for c, metrics in report.numbers.items() if is_random(c)}
    given = report.facts.get("random_split")
    pattern = next((interval for cells in report.numbers.values() for interval in cells.values()), None)
    if pattern is None:
        return {}
    for name, metrics in (given.items() if isinstance(given, Mapping) else ()):
        if not isinstance(metrics, Mapping):
            continue
        name = str(name)
        column = grouped(name if name.startswith("prediction") else f"prediction@{name}")
        column = "prediction" if column == "prediction@network" else column
        for metric, cell in metrics.items():
            if isinstance(cell, Mapping) and cell.get("value") is not None:
                cell = replace(pattern, value=float(cell["value"]), low=cell.get("low"), high=cell.get("high"))
            elif isinstance(cell, int | float):
                cell = replace(pattern, value=float(cell), low=None, high=None)
            if isinstance(cell, type(pattern)):
                found.setdefault(column, {}).setdefault(metric, cell)
    return found


def whole(metrics: Iterable[str], labels: tuple[str, ...]) -> list[str]:
    """The metrics of all classes together that no picture shows; those of one class stand in their own table."""
    ends = tuple(f".{label}" for label in labels)
    told = (metric for metric in metrics if metric.partition(".")[0] not in DRAWN or metric.endswith(f".{MEDIAN}"))
    return [metric for metric in told if not (ends and metric.endswith(ends))]


def metrics(report: Report, main: bool = True) -> Table | None:
    """The main metrics of every column under group split (or all others), and the paired differences."""
    first = first_column(report)
    columns = [c for c in report.numbers if not is_random(c)]
    contests = [(c.second if c.first == first else c.first, c) for c in report.contests]
    contests = [(other, c) for other, c in contests if other in columns]
    lead = headline_metric(report)
    chosen = MAIN.get(report.task)
    names = [m for m in whole(report.numbers.get(first, {}), report.labels)
             if (chosen is None or m in chosen or m == lead) == main]  # fmt: skip
    names.sort(key=lambda metric: metric != lead)
    if not names:
        return None
    me = source(first, report.facts)
    apart = (f"{me} − {source(other, report.facts)}" for other, _ in contests)
    head = ("metric", *(source(c, report.facts) for c in columns), *apart)
    rows = []
    for metric in names:
        cells = [spoken(report.numbers[c].get(metric), metric) for c in columns]
        cells += [spoken(difference(c, metric, first), metric, signed=True) for _, c in contests]
        rows.append((known(metric)[0], *cells))
    told = "; ".join(f"{me} against {source(other, report.facts)}: {_told(c, first)}" for other, c in contests)
    return Table(head, tuple(rows), f"On {inline(lead)}, {told}." if told and main else "")


def _told(contest: Contest, first: str) -> str:
    tests = (("McNemar", contest.mcnemar_p), ("DeLong", contest.delong_p))
    shown = [f"{name} {chance(p)}" for name, p in tests if p is not None and chance(p)]
    return verdict(contest, first) + (f" ({', '.join(shown)})" if shown else "")


def random_split(report: Report) -> Table | None:
    """The main figures under a random split and the gap to those under group split."""
    outside = random_figures(report)
    if not outside:
        return None
    head, rows = ["metric"], []
    for column in outside:
        name = source(column, report.facts)
        head += [f"{name}, random split", f"{name}, group split", "gap"]
    lead, chosen = headline_metric(report), MAIN.get(report.task)
    names = whole(dict.fromkeys(m for figures in outside.values() for m in figures), report.labels)
    names = [metric for metric in names if chosen is None or metric in chosen or metric == lead]
    for metric in sorted(names, key=lambda metric: metric != lead):
        row = [known(metric)[0]]
        for column, figures in outside.items():
            there, here = figures.get(metric), report.numbers.get(column, {}).get(metric)
            gap = _gap(report, column, metric, there, here)
            row += [spoken(there, metric), spoken(here, metric), gap]
        rows.append(tuple(row))
    note = (
        "The gap is what a random split would have flattered: images of one group resemble one another, and a model "
        "that has seen others of the group recognises it."
    )
    return Table(tuple(head), tuple(rows), note)


def _gap(report: Report, column: str, metric: str, there: Interval | None, here: Interval | None) -> str:
    if there is None or here is None:
        return "–"
    for contest in report.contests:
        pair = {contest.first, contest.second}
        other = next((c for c in pair if is_random(c)), None)
        if other is not None and grouped(other) == column and column in pair:
            return spoken(difference(contest, metric, other), metric, signed=True)
    decimals = min(places(there, metric), places(here, metric))
    return figure(there.value - here.value, decimals, metric.partition(".")[0] in UNIT, signed=True)


def classes(report: Report) -> Table | None:
    """Samples, groups and the figures of every class."""
    first = first_column(report)
    found, numbers = scores(report, first), report.numbers.get(first, {})
    if found is None or not found.labels:
        return None
    kinds = [k for k in ("precision", "recall", "f1", "auc", "average_precision")
             if any(f"{k}.{label}" in numbers for label in found.labels)]
    rows = []
    for k, label in enumerate(found.labels):
        inside = found.truth == k
        cells = [spoken(numbers.get(f"{kind}.{label}"), kind) for kind in kinds]
        rows.append((clean(label, 60), f"{int(inside.sum()):,}", f"{len(np.unique(found.groups[inside])):,}", *cells))
    names = tuple(known(kind)[0].removesuffix(" (macro)") for kind in kinds)
    return Table(("class", "samples", "groups", *names), tuple(rows))


def groups(report: Report, most: int = 12) -> Table | None:
    """The worst groups, with what went wrong there."""
    found = scores(report, first_column(report))
    if found is None or not 2 <= len(names := np.unique(found.groups)) < len(found.groups):
        return None
    number = not found.labels
    lines: list[tuple[float, tuple[str, ...]]] = []
    for name in names:
        inside = found.groups == name
        truth, said = found.truth[inside], found.said[inside]
        start = (clean(name, 60), f"{inside.sum():,}")
        if number:
            miss, bias = float(np.abs(said - truth).mean()), float((said - truth).mean())
            digits = places_of(miss)
            lines.append((-miss, (*start, figure(miss, digits), figure(bias, digits, signed=True))))
        else:
            share = float((truth == said).mean())
            lines.append((share, (*start, f"{100 * share:.0f} %", _mistake(found.labels, truth, said))))
    lines.sort(key=lambda line: (line[0], line[1]))
    last = ("mean absolute error", "bias") if number else ("found right", "most common mistake")
    note = f"The worst {min(most, len(lines))} of {len(lines):,} groups." if len(lines) > most else ""
    return Table(("group", "samples", *last), tuple(row for _, row in lines[:most]), note)


def subgroups(report: Report) -> list[tuple[str, Table]]:
    """A table for each column of donors, lines, sexes, batches: its headline figure, and the largest gap below."""
    made = []
    found: Sequence[Subgroups] = report.facts.get("subgroups") or ()
    for one in found:
        column = clean(one.column, 40)
        rows = tuple((clean(part.value, 60), f"{part.rows:,}", f"{part.groups:,}", spoken(part.figure, one.metric))
                     for part in one.parts)  # fmt: skip
        sure = chance(one.p) if one.p is not None else one.untested
        note = (f"Largest gap {spoken(one.gap, one.metric, signed=True)}: {clean(one.best, 40)} above "
                f"{clean(one.worst, 40)}" + (f" ({sure})." if sure else "."))  # fmt: skip
        note = note if one.best != one.worst else "No gap."
        made.append((column, Table((column, "images", "groups", known(one.metric)[0]), rows, note)))
    return made


def _mistake(labels: tuple[str, ...], truth: Any, said: Any) -> str:
    wrong = truth != said
    if not wrong.any():
        return "none"
    pairs, times = np.unique(truth[wrong] * len(labels) + said[wrong], return_counts=True)
    true, taken = divmod(int(pairs[times.argmax()]), len(labels))
    return f"{clean(labels[true], 30)} taken for {clean(labels[taken], 30)} ({int(times.max())})"


def folds(report: Report) -> Table | None:
    """What stood in each fold and how it went there."""
    found = scores(report, first_column(report))
    if found is None or "fold" not in report.rows:
        return None
    fold = report.rows["fold"].to_numpy()[found.rows]
    number, rows = not found.labels, []
    for name in sorted(set(fold.tolist())):
        inside = fold == name
        truth, said = found.truth[inside], found.said[inside]
        if number:
            miss = float(np.abs(said - truth).mean())
            told = figure(miss, places_of(miss))
        else:
            told = figure(float(np.mean([(said[truth == k] == k).mean() for k in np.unique(truth)])), 2, unit=True)
        kinds = "" if number else f"{len(np.unique(truth))} of {len(found.labels)}"
        groups = len(np.unique(found.groups[inside]))
        start = ("external" if name == -1 else f"{name}", f"{inside.sum():,}", f"{groups:,}")
        rows.append((*start, told) if number else (*start, kinds, told))
    head = ("fold", "samples", "groups", *([] if number else ["classes present"]),
            "mean absolute error" if number else "balanced accuracy")
    return Table(head, tuple(rows))
