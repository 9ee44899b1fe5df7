"""The first lines of a report, for whoever reads no further: a verdict in words, then five answers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from potency.answers import ANSWERS, Answer
from potency.evaluation.trust import ENOUGH, FEW, audited, banners, flattered, weakest
from potency.evaluation.wording import (
    clean,
    compared,
    count,
    difference,
    figure,
    first_column,
    headline_metric,
    known,
    noun,
    rivals,
    source,
    spoken,
    turned,
)

if TYPE_CHECKING:
    from potency.evaluation.results import Interval, Report

TRIVIAL = "trivial"
SHARE = "balanced_accuracy"  # told as so many images in a hundred
UNSEEN = ("stratified", "leave-one-out", "time", "external")  # kinds of split whose test groups were never seen
LISTED, ADVISED = 6, 2  # classes named, pieces of advice given


def verdict(report: Report) -> str:
    """The outcome in words, without a figure."""
    if not headline_metric(report):
        return "Nothing could be measured: no row has both a truth and a prediction."
    name, chance = _subject(report), _guessing(report)
    if chance is False:
        return f"Nothing is shown yet: {name} does no better than guessing might."
    beaten = ["guessing"] if chance else []
    found: dict[str, list[str]] = {"better": beaten, "worse": [], "inconclusive": []}
    for other, contest in rivals(report):
        found[turned(contest, first_column(report))].append(_rival(other, report))
    parts = [
        f"{word} {_joined([f'than {rival}' for rival in found[word]])}" for word in ("better", "worse") if found[word]
    ]
    told = ", but ".join(parts)
    if not found["inconclusive"]:
        return f"{name[:1].upper()}{name[1:]} is {told or 'measured below'}."
    level = f"the data do not decide between {name if not told else 'it'} and {_joined(found['inconclusive'])}"
    return f"{name[:1].upper()}{name[1:]} is {told}; {level}." if told else f"{level[:1].upper()}{level[1:]}."


def lines(report: Report) -> list[tuple[str, str]]:
    """The answers to the questions every reader has, as (question, answer); the audit's verdict where there was one."""
    if not headline_metric(report):
        return []
    told = [("What was asked", _asked(report)), ("How good is it", _good(report)), ("How sure is that", _sure(report))]
    rule = " ".join(_rule(report))
    simple = any(source(other, report.facts) == TRIVIAL for other, _ in rivals(report))
    told += [("What simpler ways reach" if simple else "What others reach", rule)] if rule else []
    audit = clean(audited(report).get("verdict", ""), 600)
    told += [("Could it be a shortcut", audit)] if audit else []
    return [*told, ("What to do next", " ".join(list(dict.fromkeys(_next(report)))[:ADVISED]))]


def _subject(report: Report) -> str:
    """The first column as the subject of a sentence."""
    return _called(first_column(report), report)


def _rival(column: str, report: Report) -> str:
    return _answer(report).plainest if source(column, report.facts) == TRIVIAL else _called(column, report)


def _answer(report: Report) -> type[Answer]:
    """The kind of answer that was judged."""
    return ANSWERS.get(report.task, Answer)


def _called(column: str, report: Report) -> str:
    """A column as a noun: `the forest` of a training, but `reader2` as the table names it, and phrases in quotes."""
    name = clean(source(column, report.facts), 40)
    if " " in name and name != column:
        return f"“{name}”"
    return f"the {name}" if report.facts.get("plan") or name == column else name


def _joined(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _guessing(report: Report) -> bool | None:
    """Whether it beats shuffled truths; None where that was not tried."""
    p = report.permutation.get(first_column(report))
    return None if p is None or p != p else p < 0.05


def _unknown(report: Report) -> bool:
    return "groups unknown" in " ".join(banners(report)).casefold()


def _asked(report: Report) -> str:
    rows, groups = count(compared(report, first_column(report)), noun(report)), count(report.groups, "group")
    of = f"{rows}, groups unknown" if _unknown(report) else f"{rows} from {groups}"
    if str(report.facts.get("split_kind") or "") in UNSEEN and not _unknown(report):
        of += ", each judged by a model that had seen nothing of its group"
    if not report.labels:
        return f"To {_answer(report).asks} {of}."
    names, more = [clean(label, 30) for label in report.labels[:LISTED]], len(report.labels) - LISTED
    return f"To tell {_joined([*names, f'{more} classes more'] if more > 0 else names)} apart in {of}."


def _good(report: Report) -> str:
    metric, column = headline_metric(report), first_column(report)
    interval = report.numbers[column][metric]
    name = known(metric)[0]
    if metric != SHARE:
        also = " ".join(f"({known(m)[0]} {spoken(report.numbers[column][m], m)})." for m in ("r2",)
                        if m in report.numbers[column])  # fmt: skip
        return f"{name} {spoken(interval, metric)}{'.' if not also else ' ' + also}"
    present = sum(1 for label in report.labels if f"recall.{label}" in report.numbers[column])
    guess = f"; guessing finds {figure(100 / present, 0)}" if present else ""
    return f"Of 100 {noun(report)}s of a class it finds {_hundred(interval)} on average{guess} ({name.lower()})."


def _hundred(interval: Interval, signed: bool = False) -> str:
    return figure(100 * interval.value, 0, signed=signed)


def _sure(report: Report) -> str:
    metric, column = headline_metric(report), first_column(report)
    interval = report.numbers[column][metric]
    if interval.low is None or interval.high is None:
        return f"Not known: an honest interval takes {ENOUGH} groups, and there {_are(report.groups)}."
    low, high = interval.low, interval.high
    shown = spoken(interval, metric).partition("[")[2].rstrip("]").replace(", ", " to ")
    span = f"{figure(100 * low, 0)} to {figure(100 * high, 0)}" if metric == SHARE else shown
    if _unknown(report):
        return f"95 % interval {span}, if every {noun(report)} is independent; related ones make it too narrow."
    told = f"95 % interval {span}, over {count(report.groups, 'group')}"
    return told + ("; so few make it somewhat too narrow." if report.groups < FEW else ".")


def _are(groups: int) -> str:
    return f"{'is' if groups == 1 else 'are'} {groups}"


def _rule(report: Report) -> Iterator[str]:
    metric, first = headline_metric(report), first_column(report)
    for other, contest in sorted(rivals(report), key=lambda pair: source(pair[0], report.facts) != TRIVIAL):
        value, apart = report.numbers[other].get(metric), difference(contest, metric, first)
        if value is None or apart is None:
            continue
        name = _rival(other, report)
        name = name[:1].upper() + name[1:]
        if metric != SHARE:
            yield f"{name}: {spoken(value, metric)}, difference {spoken(apart, metric, signed=True)}."
            continue
        sure = "" if apart.low is None or apart.high is None else (
            f" ({figure(100 * apart.low, 0, signed=True)} to {figure(100 * apart.high, 0, signed=True)})")  # fmt: skip
        yield f"{name}: {_hundred(value)} in 100; difference {_hundred(apart, signed=True)}{sure}."


def _next(report: Report) -> Iterator[str]:
    """Advice, the most urgent first."""
    if report.facts.get("simulated"):
        yield "These images are simulated: take a folder of your own next."
    if report.facts.get("split_kind") == "random":
        yield "Split by group: only then does the figure hold for new clones, donors or plates."
    if _unknown(report):
        yield "Name what your images come from (clone, donor, plate) with --group, and run it again."
    elif report.groups < ENOUGH:
        yield f"Add groups (clones, donors, plates): from {ENOUGH} on there are intervals, from {FEW} on good ones."
    if _guessing(report) is False:
        yield "Look at the errors in the report: are the labels right, does a person see the difference?"
    outcomes = {source(other, report.facts): turned(c, first_column(report)) for other, c in rivals(report)}
    if outcomes.get(TRIVIAL, "better") != "better":
        plain, given = _answer(report).plainest, "size and brightness give away (exposure, focus, plate)"
        of_images = f"Find out what {given} before you believe in morphology."
        yield of_images if plain == Answer.plainest else f"Train on more images, or longer: {plain} may do as well."
    lost = [name for name, outcome in outcomes.items() if name != TRIVIAL and outcome == "worse"]
    if lost:
        yield f"Trust {clean(lost[0], 40)} more than this one, which may need more rows, steps or --weights."
    if flattered(report):
        yield "Never quote a figure of a random split here: the groups are recognised."
    weak = weakest(report)
    if weak is not None and weak[1] < 0.7:
        yield f"Collect more of {clean(weak[0], 40)}, the weakest class, from more groups."
    if ENOUGH <= report.groups < FEW and not _unknown(report):
        yield f"Add groups: from {FEW} on the intervals can be relied on."
    yield "Test it once more on images from another day or laboratory, with potency predict and potency evaluate."
