"""Lays a report out as one self-contained page: no network, light and dark, readable on a phone and on paper."""

from __future__ import annotations

import json
import math
import shlex
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from potency.evaluation import opening, tables, trust, wording
from potency.evaluation.paper import printed

if TYPE_CHECKING:
    from potency.evaluation.results import Report

SECTIONS = (  # anchor, name, the part of the page without which it is absent
    ("trust", "Trust", "doubts"),
    ("numbers", "Numbers", "metrics"),
    ("pictures", "Pictures", "plots"),
    ("parts", "By class and group", "parts"),
    ("looked", "What it looked at", "maps"),
    ("images", "Images", "walls"),
    ("data", "Data and split", "split"),
    ("making", "How it was made", "glossary"),
)
GLOSSARY = (
    (
        "Group",
        "What was sampled independently: a clone, donor, plate, well or movie. Images of one group resemble one "
        "another, so an honest test uses groups of which the model has seen no image.",
    ),
    (
        "[low, high]",
        "The 95 % interval: whole groups are drawn again at random many times, and 95 % of the figures so found lie "
        "between the two. Under 5 groups no interval is given, because none would be honest.",
    ),
    (
        "Difference",
        "Both columns are scored on the same redrawn groups, so what makes a draw hard for one makes it hard for the "
        "other. An interval that includes zero is inconclusive: the data do not say which is better.",
    ),
    (
        "Trivial baseline",
        "A model that sees only size, mean intensity and variance. What does not beat it has shown nothing about "
        "morphology.",
    ),
    ("Forest", "A random forest on measured features (intensity, texture, shape): the classical way, a strong one."),
    ("Random split", "Images dealt out without regard to groups. Its figures answer an easier question than yours."),
    ("Permutation", "The truths are shuffled many times; p is how often pure chance reached a figure as good."),
    (
        "McNemar, DeLong",
        "Classical tests between two columns. They take images as independent, which images of one group are not, so "
        "the verdict rests on the interval over groups instead.",
    ),
)


def page(report: Report) -> str:
    """The whole page as text; only the date in it changes from one call to the next."""
    from potency.evaluation import worst
    from potency.evaluation.gallery import maps, walls
    from potency.evaluation.plots import draw_all

    drawn, facts = draw_all(report), report.facts
    lead = wording.headline_metric(report)
    parts: dict[str, Any] = {
        **_words(report),
        "lead": wording.known(lead)[0] if lead else "",
        "glance": next((plot for plot in drawn if plot.name == "glance"), None),
        "plots": [plot for plot in drawn if plot.name != "glance"],
        "metrics": tables.metrics(report),
        "more": tables.metrics(report, main=False),
        "each": worst.table(report),
        "random_split": tables.random_split(report),
        "classes": tables.classes(report),
        "groups": tables.groups(report),
        "folds": tables.folds(report),
        "subgroups": tables.subgroups(report),
        "maps": maps(report),
        "looked": trust.looked(report),
        "walls": [*worst.walls(report), *walls(report)],
        "leaks": _leaks(facts.get("leaks")),
        "findings": _findings(facts.get("findings")),
        "plan": _pretty(facts.get("plan")),
        "versions": _pairs(facts.get("versions")),
        "glossary": _glossary(report),
        "version": _version(),
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    }
    parts["gone"] = sum(not card.picture for wall in parts["walls"] for card in wall.cards)
    parts["beside"] = any(not wall.legend for wall in parts["walls"])
    parts["parts"] = parts["each"] or parts["classes"] or parts["groups"] or parts["folds"] or parts["subgroups"]
    there = [(anchor, name) for anchor, name, part in SECTIONS if parts[part]]
    return printed("evaluation/page.html", sections=there, **parts)


def _words(report: Report) -> dict[str, Any]:
    facts = report.facts
    return {
        "title": title_of(report),
        "subtitle": _subtitle(report),
        "banners": trust.banners(report),
        "verdict": opening.verdict(report),
        "opening": opening.lines(report),
        "aside": _aside(report),
        "lines": trust.notes(report),
        "doubts": trust.doubts(report),
        "split": str(facts.get("split") or "How the rows were split is not recorded."),
        "fingerprint": str(facts.get("fingerprint", "")),
        "command": command_of(facts),
    }


def title_of(report: Report) -> str:
    """What the report is called."""
    return str(report.facts.get("title") or "Evaluation")


def command_of(facts: Mapping[str, Any]) -> str:
    """The exact command as one line a shell understands.

    >>> command_of({"command": ["potency", "train", "my images"]})
    "potency train 'my images'"
    """
    command = facts.get("command") or ""
    if isinstance(command, Sequence) and not isinstance(command, str):
        return shlex.join(map(str, command))
    return str(command)


def plain(value: Any) -> Any:
    """Anything as JSON knows it; what is not finite is null.

    >>> plain({"a": float("nan"), 2: (1, None)})
    {'a': None, '2': [1, None]}
    """
    if isinstance(value, Mapping):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(each) for each in value]
    if hasattr(value, "item") and not isinstance(value, str):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if isinstance(value, str | int | float | bool | None) else str(value)


def _subtitle(report: Report) -> str:
    words = [wording.count(len(report.rows), wording.noun(report)), wording.count(report.groups, "group")]
    if report.labels:
        words.append(wording.count(len(report.labels), "class"))
    kind = str(report.facts.get("split_kind") or "")
    return " · ".join([*words, *([trust.SPLITS.get(kind, (f"{kind} split", ""))[0]] if kind else [])])


def _aside(report: Report) -> str:
    if report.groups < 5:
        return "The figures have no intervals: there are too few groups for any to be honest."
    signs = " A difference above zero means that the first named is higher." if report.contests else ""
    return f"In brackets: 95 % intervals from {report.draws:,} draws of whole groups.{signs}"


def _glossary(report: Report) -> list[tuple[str, str]]:
    metrics = tables.whole(report.numbers.get(wording.first_column(report), {}), report.labels)
    described = [(name, meaning) for name, meaning, _ in map(wording.known, metrics) if meaning]
    return [*GLOSSARY, *((name, f"{meaning[0].upper()}{meaning[1:]}.") for name, meaning in described)]


def _pretty(plan: Any) -> str:
    return json.dumps(plain(plan), ensure_ascii=False, indent=2) if isinstance(plan, Mapping) and plan else ""


def _pairs(given: Any) -> list[tuple[str, str]]:
    return [(str(name), str(value)) for name, value in given.items()] if isinstance(given, Mapping) else []


def _leaks(given: Any) -> tables.Table | None:
    rows = tuple((name.replace("_", " "), value) for name, value in _pairs(given))
    return tables.Table(("what stands on both sides of the split", "how often"), rows) if rows else None


def _findings(given: Any) -> list[tuple[str, tables.Table]]:
    found = []
    for kind in ("faults", "warnings") if isinstance(given, Mapping) else ():
        rows = tuple(_finding(each) for each in given.get(kind) or ())
        if rows:
            found.append((f"{kind.capitalize()} in the data", tables.Table(("what", "where", "how to mend it"), rows)))
    return found


def _finding(each: Any) -> tuple[str, str, str]:
    if isinstance(each, str):
        return each, "", ""
    said = each if isinstance(each, Mapping) else {name: getattr(each, name, "") for name in ("what", "where", "mend")}
    what, where, mend = (wording.clean(said.get(name, ""), 400) for name in ("what", "where", "mend"))
    return what, where, mend


def _version() -> str:
    try:
        return version("potency")
    except PackageNotFoundError:
        return "(not installed)"
