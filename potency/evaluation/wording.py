"""Says numbers, metrics and sources in the words a reader of the report uses."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from potency.evaluation.terms import MEDIAN, METRICS, UNIT

if TYPE_CHECKING:
    from potency.evaluation.results import Contest, Interval, Report

MINUS = "−"
HEADLINE = {"category": "balanced_accuracy", "number": "mae"}


def known(metric: str) -> tuple[str, str, str]:
    """Name, meaning and direction of a metric; a metric nobody described speaks for itself.

    >>> known("recall.G1")[0], known("recall.75")[0], known("recall_size.8-11")[0]
    ('Recall of G1', 'Recall at IoU .75', 'Recall by size, 8 to 11 px')
    """
    if metric in METRICS:
        return METRICS[metric]
    base, _, part = metric.partition(".")
    if part and base in METRICS:
        name, meaning, direction = METRICS[base]
        if re.fullmatch(r"\d\d", part):
            return f"{name} at IoU .{part}", meaning, direction
        if re.fullmatch(r"p\d\d", part):
            return (f"{name}, median" if part == MEDIAN else f"{name}, {int(part[1:])} % are below"), meaning, direction
        if re.fullmatch(r"\d+-\d+", part):
            return f"{name}, {part.replace('-', ' to ')} px", meaning, direction
        return f"{name.removesuffix(' (macro)')} of {part}", meaning, direction
    return metric.replace("_", " "), "", "up"


def inline(metric: str) -> str:
    """The name of a metric within a sentence; what is written in capitals stays so.

    >>> inline("mae"), inline("dsb_ap")
    ('mean absolute error', 'AP (Data Science Bowl)')
    """
    name = known(metric)[0]
    return name if name[1:2].isupper() else name[:1].lower() + name[1:]


def headline_metric(report: Report) -> str:
    """The metric the first sentence is about: balanced accuracy, mean absolute error, or the first there is."""
    numbers = report.numbers.get(first_column(report), {})
    wanted = report.headline or HEADLINE.get(report.task, "")
    return wanted if wanted in numbers else next(iter(numbers), "")


def first_column(report: Report) -> str:
    """The column the report is about."""
    return next(iter(report.numbers), "prediction")


def source(column: str, facts: Mapping[str, object]) -> str:
    """What a prediction column is called in a sentence.

    >>> source("prediction@forest", {}), source("prediction", {"plan": {"learner": "gradient"}})
    ('forest', 'network')
    """
    names = facts.get("names")
    if isinstance(names, Mapping) and column in names:
        return str(names[column])
    _, _, name = column.partition("@")
    if name:
        return name
    plan = facts.get("plan")
    if not isinstance(plan, Mapping) or not plan:
        return column
    return "network" if plan.get("learner", "gradient") == "gradient" else str(plan["learner"])


def places(interval: Interval, metric: str) -> int:
    """Decimals worth printing: no finer than the interval can support."""
    unit = metric.partition(".")[0] in UNIT
    if interval.low is None or interval.high is None or not math.isfinite(interval.high - interval.low):
        size = abs(interval.value) if math.isfinite(interval.value) else 0.0
        return 2 if unit or size == 0 else min(6, max(0, 2 - math.floor(math.log10(size))))
    half = abs(interval.high - interval.low) / 2
    if unit:
        return 2 if half >= 0.005 or half == 0 else 3
    return 2 if half == 0 else min(6, max(0, math.ceil(-math.log10(half / 2.5))))


def places_of(size: float) -> int:
    """Decimals that show three digits of a size.

    >>> places_of(0.0123), places_of(45.6)
    (4, 1)
    """
    return 2 if size == 0 or not math.isfinite(size) else min(6, max(0, 2 - math.floor(math.log10(abs(size)))))


def figure(value: float | None, decimals: int, unit: bool = False, signed: bool = False) -> str:
    """One number as text, with a true minus sign and, for metrics bounded by one, no leading zero.

    >>> figure(0.784, 2, unit=True), figure(0.04, 2, unit=True, signed=True), figure(12.34, 1)
    ('.78', '+.04', '12.3')
    """
    if value is None or not math.isfinite(value):
        return "–"
    text = f"{abs(value):,.{decimals}f}"
    zero = not any(character in "123456789" for character in text)
    if unit and text.startswith("0."):
        text = text[1:]
    sign = "" if zero else MINUS if value < 0 else "+" if signed else ""
    return sign + text


def spoken(interval: Interval | None, metric: str, signed: bool = False) -> str:
    """A value with its 95 % interval: '.78 [.74, .82]'; the value alone where there is no interval."""
    if interval is None:
        return "–"
    unit, decimals = metric.partition(".")[0] in UNIT, places(interval, metric)
    value = figure(interval.value, decimals, unit, signed)
    if interval.low is None or interval.high is None:
        return value
    return f"{value} [{figure(interval.low, decimals, unit, signed)}, {figure(interval.high, decimals, unit, signed)}]"


def chance(p: float | None) -> str:
    """A p-value as text.

    >>> chance(0.00001), chance(0.0312)
    ('p < .001', 'p = .031')
    """
    if p is None or not math.isfinite(p):
        return ""
    return "p < .001" if p < 0.001 else f"p = {figure(p, 3 if p < 0.1 else 2, unit=True)}"


def count(number: int, noun: str) -> str:
    """A number with its noun.

    >>> count(3306, "image"), count(1, "group")
    ('3,306 images', '1 group')
    """
    plural = noun if number == 1 else noun + ("es" if noun.endswith(("s", "x")) else "s")
    return f"{number:,} {plural}"


def noun(report: Report) -> str:
    """What a row is called: an image where rows have images, else a sample."""
    return "image" if "image" in report.rows.columns else "sample"


def difference(contest: Contest, metric: str, first: str) -> Interval | None:
    """The paired difference `first` minus the other column, whichever way round the contest was held."""
    interval = contest.differences.get(metric)
    if interval is None or contest.first == first:
        return interval
    low, high = interval.low, interval.high
    return type(interval)(-interval.value, None if high is None else -high, None if low is None else -low)


def turned(contest: Contest, first: str) -> str:
    """The verdict as seen from `first`, whichever way round the contest was held."""
    if contest.first == first:
        return contest.verdict
    return {"better": "worse", "worse": "better"}.get(contest.verdict, contest.verdict)


def verdict(contest: Contest, first: str) -> str:
    """The verdict in words; an undecided one says why."""
    told = turned(contest, first)
    return f"{told} ({undecided(contest)})" if told == "inconclusive" else told


def undecided(contest: Contest) -> str:
    """Why a contest is inconclusive."""
    interval = contest.differences.get(contest.headline) or next(iter(contest.differences.values()), None)
    if interval is None or interval.low is None:
        return "no interval, too few groups"
    return "the interval includes zero"


def rivals(report: Report) -> Iterator[tuple[str, Contest]]:
    """The columns that the first was compared with, and how that went; those of a random split are no rivals."""
    first = first_column(report)
    for contest in report.contests:
        other = contest.second if contest.first == first else contest.first
        if other in report.numbers and not is_random(other):
            yield other, contest


def headline(report: Report) -> str:
    """The whole report in one sentence."""
    metric, column = headline_metric(report), first_column(report)
    if not metric:
        return "Nothing could be measured: no row has both a truth and a prediction."
    over = f"over {count(report.groups, 'group')} ({count(compared(report, column), noun(report))})"
    parts = [f"{known(metric)[0]} {spoken(report.numbers[column][metric], metric)} {over}"]
    for other, contest in rivals(report):
        if metric not in report.numbers[other]:
            continue
        apart = spoken(difference(contest, metric, column), metric, signed=True)
        parts.append(f"{source(other, report.facts)} {spoken(report.numbers[other][metric], metric)}, "
                     f"difference {apart}: {verdict(contest, column)}")
    return "; ".join(parts) + "."


def compared(report: Report, column: str) -> int:
    """Rows that have both a truth and a prediction."""
    rows = report.rows
    if column not in rows or report.truth not in rows:
        return len(rows)
    return int((rows[column].notna() & rows[report.truth].notna()).sum())


def is_random(column: str) -> bool:
    """Whether a column was made under a random split, beside the one split by group.

    >>> is_random("prediction@forest-random"), is_random("prediction@forest")
    (True, False)
    """
    return bool(re.search(r"(@|-)random$", column))


def grouped(column: str) -> str:
    """The column under group split that a column under random split belongs to.

    >>> grouped("prediction@forest-random"), grouped("prediction@random")
    ('prediction@forest', 'prediction')
    """
    return re.sub(r"(@|-)random$", "", column)


def clean(text: object, longest: int = 0) -> str:
    """Text on one line without control characters, shortened in the middle to at most `longest` characters.

    >>> clean("a\\nb"), clean("PLLT0017_19_P00365", 9)
    ('a b', 'PLLT…0365')
    """
    line = re.sub(r"\s+", " ", "".join(c if c.isprintable() else " " for c in str(text))).strip()
    if longest and len(line) > longest:
        keep = longest - 1
        return line[: keep - keep // 2] + "…" + line[len(line) - keep // 2 :]
    return line
