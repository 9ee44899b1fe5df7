"""What a sceptic asks first, each question answered in words from the report's own figures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from potency.evaluation.scores import scores
from potency.evaluation.tables import random_figures
from potency.evaluation.wording import (
    chance,
    clean,
    count,
    difference,
    figure,
    first_column,
    headline_metric,
    inline,
    known,
    noun,
    rivals,
    source,
    spoken,
    turned,
    undecided,
)

if TYPE_CHECKING:
    from potency.evaluation.results import Interval, Report

SIMULATED = "SIMULATED images: nothing here was seen under a microscope"
ENOUGH = 5  # groups under which there is no interval
FEW = 20  # groups under which a percentile bootstrap is known to give intervals that are too narrow
OFTEN = 0.02  # share of known images called unlike that is more than was meant (one in a hundred)
STRANGE = 0.2  # the same of one group: something was different there
MARKS = {"good": "✓", "caution": "!", "bad": "✗", "unknown": "?"}
SPLITS = {  # kind of split: its name, and how it answers whether the test was fair
    "stratified": ("group k-fold split", "no group stands on both sides of a fold"),
    "leave-one-out": ("leave-one-group-out split", "each group is answered by a model that has seen the others only"),
    "time": ("time-ordered split", "each fold is later than what its model has learned from"),
    "external": ("group split with external rows set apart", "no group stands on both sides"),
    "random": ("random split", ""),
}
RANDOM = "random split declared: images of one group may stand on both sides, so the figures flatter"


@dataclass(frozen=True)
class Doubt:
    """A question, its answer, and whether the answer is "good", a "caution", "bad" or "unknown"."""

    question: str
    answer: str
    mark: str


def banners(report: Report) -> list[str]:
    """The lines that stand above everything else, a random split first."""
    given = report.facts.get("banner") or ()
    lines = [given] if isinstance(given, str) else [str(line) for line in given]
    if report.facts.get("simulated") and "simulated" not in " ".join(lines).casefold():
        lines.insert(0, SIMULATED)
    if report.facts.get("split_kind") == "random":
        declared = [line for line in lines if "random split" in line.casefold()] or [RANDOM]
        lines = [declared[0] + leaked(report), *(line for line in lines if line not in declared)]
    if audited(report).get("mark") == "bad":
        lines.append(str(audited(report).get("verdict", "")))
    if report.groups < ENOUGH:
        lines.append(f"only {count(report.groups, 'group')}: fewer than 5, so no intervals are given")
    return [line[:1].upper() + line[1:] for line in dict.fromkeys(lines) if line]


def audited(report: Report) -> Mapping[str, object]:
    """What the audit for shortcuts said, as `facts["audit"]` holds it; empty where there was none."""
    given = report.facts.get("audit")
    return given if isinstance(given, Mapping) else {}


def leaked(report: Report) -> str:
    """How many groups stand in more than one fold, as the end of a sentence; empty where that is not known."""
    rows = report.rows
    if "fold" not in rows or "group" not in rows:
        return ""
    spread = rows.groupby("group")["fold"].nunique().gt(1)
    return f" ({int(spread.sum()):,} of {count(len(spread), 'group')} stand in more than one fold)"


def notes(report: Report) -> list[str]:
    """What must be known beside the figures, less what a banner says already."""
    told = []
    for note in report.notes:
        column, colon, words = note.partition(": ")
        note = f"{source(column, report.facts)}{colon}{words}" if column in report.numbers else note
        told += [note[:1].upper() + note[1:]] if "no interval is given under" not in note else []
    return told


def doubts(report: Report) -> list[Doubt]:
    """The questions this report can answer, in the order a sceptic asks them."""
    asked = (_split, _groups, _audit, _chance, _rivals, _flattery, _calibration, _unlike, _looked, _weakest, _findings)
    return [doubt for ask in asked for doubt in ask(report)]


def _split(report: Report) -> Iterator[Doubt]:
    kind, question = str(report.facts.get("split_kind") or ""), "Was it tested on groups it had never seen?"
    if not kind:
        yield Doubt(question, "Not known here: the report was made from finished predictions.", "unknown")
    elif kind == "random":
        yield Doubt(question, "No: the split was declared random, so related images stand on both sides.", "bad")
    elif "groups unknown" in " ".join(banners(report)).casefold():
        told = "Perhaps not: the groups are unknown, so related images may stand on both sides."
        yield Doubt(question, told, "caution")
    else:
        name, fair = SPLITS.get(kind, (f"{kind} split", ""))
        yield Doubt(question, f"Yes, a {name}" + (f": {fair}." if fair else "."), "good")


def _groups(report: Report) -> Iterator[Doubt]:
    question, told = "Are there enough independent groups?", count(report.groups, "group")
    if report.groups < ENOUGH:
        yield Doubt(question, f"No: with {told} no interval would be honest, so none is given.", "bad")
    elif report.groups < FEW:
        yield Doubt(question, f"Only just: with {told} the intervals are likely somewhat too narrow.", "caution")
    else:
        yield Doubt(question, f"Yes, {told}: each interval draws whole groups again {report.draws:,} times.", "good")


def looked(report: Report) -> str:
    """What the maps of some test images are worth, in words; empty where there are none."""
    found = report.facts.get("explanation")
    if not isinstance(found, Mapping) or not found.get("maps"):
        return ""
    images, hidden, shown = count(len(found["maps"]), "test image"), found["deletion"], found["insertion"]
    told = (
        f"Maps of {images} by {found['method']}: red speaks for the answer, blue against it. What they mark changes "
        f"the answer by {hidden:+.2f} more than chance when hidden first, by {shown:+.2f} when shown first (medians; "
        "over 0 is better)."
    )
    failing = "; ".join(str(line) for line in found.get("failing", ()))
    return f"{told} The method FAILS a check on them: {failing}." if failing else told


def _looked(report: Report) -> Iterator[Doubt]:
    if told := looked(report):
        found = report.facts["explanation"]
        better = not found["failing"] and found["deletion"] + found["insertion"] > 0
        yield Doubt("Do maps show what its answers rest on?", told, "good" if better else "caution")


def _audit(report: Report) -> Iterator[Doubt]:
    found = audited(report)
    mark = str(found.get("mark", ""))
    if mark in MARKS and found.get("verdict"):
        told = clean(found["verdict"], 600)
        yield Doubt("Could it have learned the plate, the day or the light instead?", told, mark)


def _chance(report: Report) -> Iterator[Doubt]:
    p = report.permutation.get(first_column(report))
    if p is None or not np.isfinite(p):
        return
    scheme = report.facts.get("permutation")
    how = f" ({clean(scheme, 120)})" if isinstance(scheme, str) and scheme else ""
    told = f"{'Yes' if p < 0.05 else 'Not shown'}: shuffled truths{how} do as well with {chance(p)}."
    yield Doubt("Is it better than guessing?", told, "good" if p < 0.05 else "bad")


def _rivals(report: Report) -> Iterator[Doubt]:
    first, metric = first_column(report), headline_metric(report)
    for other, contest in rivals(report):
        apart = difference(contest, metric, first)
        if apart is None:
            continue
        name, outcome = source(other, report.facts), turned(contest, first)
        answer = {"better": "Yes", "worse": "No, it is worse"}.get(outcome, f"Inconclusive, {undecided(contest)}")
        told = f"{answer}: {spoken(apart, metric, signed=True)} in {inline(metric)}, on the same rows."
        if name == "trivial" and outcome != "better":
            told += " Size and brightness alone may explain what was learned."
        rival = "a trivial baseline" if name == "trivial" else f"the {clean(name, 40)}"
        yield Doubt(f"Is it better than {rival}?", told, {"better": "good", "worse": "bad"}.get(outcome, "caution"))


def _gap(report: Report) -> tuple[str, Interval, Interval] | None:
    """The first column that has the headline figure under a random split and by group: name, there, here."""
    metric = headline_metric(report)
    for column, figures in random_figures(report).items():
        there, here = figures.get(metric), report.numbers.get(column, {}).get(metric)
        if there is not None and here is not None:
            return column, there, here
    return None


def flattered(report: Report) -> bool:
    """Whether a random split would have said clearly more than the split by group."""
    gap = _gap(report)
    if gap is None:
        return False
    _, there, here = gap
    gain = (there.value - here.value) * (-1 if known(headline_metric(report))[2] == "down" else 1)
    return gain > 0.05 * max(abs(here.value), 1e-9)


def _flattery(report: Report) -> Iterator[Doubt]:
    gap, metric, large = _gap(report), headline_metric(report), flattered(report)
    if gap is None:
        return
    column, there, here = gap
    told = f"The {source(column, report.facts)} reaches {spoken(there, metric)} under a random split, "
    told += f"{spoken(here, metric)} by group. "
    told += "Groups are recognised: only the figure by group counts." if large else "Groups matter little here."
    yield Doubt("How much would a random split flatter?", told, "caution" if large else "good")


def _calibration(report: Report) -> Iterator[Doubt]:
    ece = report.numbers.get(first_column(report), {}).get("ece")
    if ece is None:
        return
    mark, answer = ("good", "Yes") if ece.value < 0.05 else ("caution", "Roughly") if ece.value < 0.1 else ("bad", "No")
    told = f"{answer}: its stated certainty is off by {100 * ece.value:.0f} points on average."
    given = report.facts.get("calibration")
    if isinstance(given, Mapping) and isinstance(given.get("before"), int | float):
        told += f" Before calibration it was off by {100 * float(given['before']):.0f}."
    yield Doubt("Can its probabilities be taken at their word?", told, mark)


def _unlike(report: Report) -> Iterator[Doubt]:
    """Only a run that made a model can say; its fact "ood" is empty where the model cannot tell."""
    found, question = report.facts.get("ood"), "Does it notice images unlike any it learned from?"
    if not isinstance(found, Mapping):
        return
    if not isinstance(found.get("flagged"), int | float):
        told = "No: it has no embedding, or too few images were held out. It answers whatever it is shown."
        yield Doubt(question, told, "unknown")
        return
    share = 100 * float(found["flagged"])
    between = f" [{100 * found['low']:.1f}, {100 * found['high']:.1f}]" if "low" in found else ""
    told = f"It abstains from them (ood). Of known images of unseen groups it calls {share:.1f} %{between} unlike."
    worst = float(found.get("worst") or 0.0)
    if worst > STRANGE:
        told += f" Group {clean(found.get('worst_group', ''), 40)} stands out with {100 * worst:.0f} %: look at it."
    yield Doubt(question, told, "caution" if worst > STRANGE or share > 100 * OFTEN else "good")


def weakest(report: Report) -> tuple[str, float] | None:
    """The class with the lowest F1, and that F1; None where there are no two classes."""
    numbers = report.numbers.get(first_column(report), {})
    scored = {label: numbers[name].value for label in report.labels if (name := f"f1.{label}") in numbers}
    scored = {label: value for label, value in scored.items() if np.isfinite(value)}
    return min(scored.items(), key=lambda pair: pair[1]) if len(report.labels) > 1 and scored else None


def _weakest(report: Report) -> Iterator[Doubt]:
    found, least = scores(report, first_column(report)), weakest(report)
    if found is None or least is None:
        return
    numbers = report.numbers[first_column(report)]
    worst = found.labels.index(least[0])
    inside, said = found.truth == worst, found.said == worst
    images = count(int(inside.sum()), noun(report))
    told = f"{clean(found.labels[worst], 40)}, F1 {spoken(numbers[f'f1.{found.labels[worst]}'], 'f1')}"
    if inside.any():
        groups = count(len(np.unique(found.groups[inside])), "group")
        told += f": {figure(100 * found.right[inside].mean(), 0)} % of its {images} from {groups} are found"
    if said.any():
        told += f", {figure(100 * found.right[said].mean(), 0)} % of those so called are right"
    mark = "good" if least[1] >= 0.7 else "caution" if least[1] >= 0.4 else "bad"
    yield Doubt("Which class is weakest?", told + ".", mark)


def _findings(report: Report) -> Iterator[Doubt]:
    given = report.facts.get("findings")
    if not isinstance(given, Mapping):
        return
    faults, warnings = (len(given.get(kind) or ()) for kind in ("faults", "warnings"))
    told = " and ".join(count(n, kind) for n, kind in ((faults, "fault"), (warnings, "warning")) if n)
    mark = "bad" if faults else "caution" if warnings else "good"
    yield Doubt("Is anything wrong with the data?", f"{told}, listed below." if told else "Nothing was found.", mark)
