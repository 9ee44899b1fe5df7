"""What a sceptic asks first, each question answered in words from the report's own figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
    is_random,
    known,
    noun,
    source,
    spoken,
)

if TYPE_CHECKING:
    from potency.evaluation.results import Report

FEW = 20  # groups under which a bootstrap over groups is known to be too narrow


@dataclass(frozen=True)
class Doubt:
    """A question, its answer, and whether the answer is "good", a "caution", "bad" or plain "unknown"."""

    question: str
    answer: str
    mark: str


def banners(report: Report) -> list[str]:
    """The lines that stand above everything else."""
    given = report.facts.get("banner", ())
    lines = [str(line) for line in given] if isinstance(given, Sequence) and not isinstance(given, str) else [str(given)]
    said = " ".join([*lines, *report.notes]).casefold()
    if report.facts.get("simulated") and "simulated" not in said:
        lines.insert(0, "SIMULATED images: nothing here was seen under a microscope.")
    if report.facts.get("split_kind") == "random" and "random" not in said:
        lines.insert(0, "Random split declared: images of one group stand on both sides, so these figures flatter.")
    if report.groups < 5 and "under 5" not in said and "fewer than 5" not in said:
        lines.append(f"Only {count(report.groups, 'group')}: fewer than 5, so no intervals are given.")
    return list(dict.fromkeys(line for line in [*lines, *report.notes] if line))


def doubts(report: Report) -> list[Doubt]:
    """The questions this report can answer, in the order a sceptic asks them."""
    asked = (_split, _groups, _chance, _rivals, _flattery, _calibration, _weakest, _findings)
    return [doubt for ask in asked for doubt in ask(report)]


def _split(report: Report) -> list[Doubt]:
    kind = str(report.facts.get("split_kind", ""))
    question = "Was it tested on groups it had never seen?"
    if not kind:
        return [Doubt(question, "The report was made from finished predictions; how they were split is not known here.", "unknown")]
    if kind == "random":
        return [Doubt(question, "No: the split was declared random, so related images stand on both sides.", "bad")]
    if "unknown" in " ".join(banners(report)).casefold():
        return [Doubt(question, "Perhaps: the groups are not known, so related images may stand on both sides.", "caution")]
    return [Doubt(question, f"Yes: {kind} split, no group stands on both sides of a fold.", "good")]


def _groups(report: Report) -> list[Doubt]:
    question, told = "Are there enough independent groups?", count(report.groups, "group")
    if report.groups < 5:
        return [Doubt(question, f"No: with {told} no interval would be honest, so none is given.", "bad")]
    if report.groups < FEW:
        return [Doubt(question, f"Only just: with {told} the intervals are likely somewhat too narrow.", "caution")]
    return [Doubt(question, f"Yes: {told}; each interval redraws whole groups {report.draws:,} times.", "good")]


def _chance(report: Report) -> list[Doubt]:
    p = report.permutation.get(first_column(report))
    if p is None or not np.isfinite(p):
        return []
    better = f"When the truth is shuffled, figures this good come up with {chance(p)}."
    return [Doubt("Is it better than guessing?", ("Yes. " if p < 0.05 else "Not shown. ") + better, "good" if p < 0.05 else "bad")]


def _rivals(report: Report) -> list[Doubt]:
    first, metric = first_column(report), headline_metric(report)
    found = []
    for contest in report.contests:
        other = contest.second if contest.first == first else contest.first
        interval = difference(contest, metric, first)
        if interval is None or is_random(other):
            continue
        name, mine = source(other, report.facts), contest.verdict if contest.first == first else _turned(contest.verdict)
        answer = {"better": "Yes", "worse": "No, it is worse"}.get(mine, "Inconclusive: the interval includes zero")
        told = f"{answer}. {known(metric)[0]} {spoken(interval, metric, signed=True)} against it, on the same rows."
        if other.endswith("@trivial") and mine != "better":
            told += " Size and brightness alone may explain what was learned."
        found.append(Doubt(f"Is it better than {'a trivial baseline' if name == 'trivial' else 'the ' + name}?", told,
                           {"better": "good", "worse": "bad"}.get(mine, "caution")))
    return found


def _turned(verdict: str) -> str:
    return {"better": "worse", "worse": "better"}.get(verdict, verdict)


def _flattery(report: Report) -> list[Doubt]:
    metric, found = headline_metric(report), []
    for column, figures in random_figures(report).items():
        there, here = figures.get(metric), report.numbers.get(column, {}).get(metric)
        if there is None or here is None:
            continue
        gap = (there.value - here.value) * (-1 if known(metric)[2] == "down" else 1)
        size = gap / max(abs(here.value), 1e-9)
        told = (f"The {source(column, report.facts)} reaches {spoken(there, metric)} under a random split against "
                f"{spoken(here, metric)} by group.")
        ends = " The groups are recognisable: trust only the figure by group." if size > 0.05 else " Groups matter little here."
        found.append(Doubt("How much would a random split flatter?", told + ends, "caution" if size > 0.05 else "good"))
        break
    return found


def _calibration(report: Report) -> list[Doubt]:
    ece = report.numbers.get(first_column(report), {}).get("ece")
    if ece is None:
        return []
    off = f"On average its stated certainty is off by {100 * ece.value:.0f} points."
    told = ("Yes. " if ece.value < 0.05 else "Roughly. " if ece.value < 0.1 else "No. ") + off
    given = report.facts.get("calibration")
    if isinstance(given, Mapping) and isinstance(given.get("after"), int | float):
        told += f" After calibration {100 * float(given['after']):.0f}."
    return [Doubt("Can its probabilities be taken at their word?", told,
                  "good" if ece.value < 0.05 else "caution" if ece.value < 0.1 else "bad")]


def _weakest(report: Report) -> list[Doubt]:
    found = scores(report, first_column(report))
    if found is None or report.task != "category":
        return []
    present = [k for k in range(len(found.labels)) if (found.truth == k).any()]
    recall = {k: float(found.right[found.truth == k].mean()) for k in present}
    worst = min(present, key=lambda k: recall[k])
    inside = found.truth == worst
    seen = len(np.unique(found.groups[inside]))
    told = (f"{clean(found.labels[worst], 40)}: {figure(100 * recall[worst], 0)} % of {count(int(inside.sum()), noun(report))} "
            f"from {count(seen, 'group')} found.")
    missing = [clean(found.labels[k], 40) for k in range(len(found.labels)) if k not in present]
    if missing:
        told += f" Never present in the truth: {', '.join(missing)}."
    return [Doubt("Which class is weakest?", told, "good" if recall[worst] >= 0.7 else "caution" if recall[worst] >= 0.4 else "bad")]


def _findings(report: Report) -> list[Doubt]:
    given = report.facts.get("findings")
    if not isinstance(given, Mapping):
        return []
    faults, warnings = (len(given.get(kind) or ()) for kind in ("faults", "warnings"))
    if not faults and not warnings:
        return [Doubt("Is anything wrong with the data?", "Nothing was found.", "good")]
    told = " and ".join(count(n, kind) for n, kind in ((faults, "fault"), (warnings, "warning")) if n)
    return [Doubt("Is anything wrong with the data?", f"{told}, listed below.", "bad" if faults else "caution")]
