"""The page of a recipe: published figures beside measured ones, real and simulated apart, every choice marked."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from potency.errors import PotencyError
from potency.evaluation import wording
from potency.systems.recipe import Fact, Figure, Recipe, told

if TYPE_CHECKING:
    from potency.evaluation.results import Interval, Report

HEADLINES = ("accuracy", "balanced_accuracy", "auc", "mae", "mape", "r2")  # of every scene, where its answers have them
RANDOM = "random"  # the end of a column answered under a random split


@dataclass(frozen=True)
class Grid:
    """One more table of a scene: what the figures of the others do not say (a study by size and depth, costs)."""

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""


@dataclass(frozen=True)
class Scene:
    """One question to one set of images: its evaluation, and the published figures it stands beside (by metric)."""

    name: str  # of its folder, which holds its own report.html
    title: str
    about: str
    simulated: bool
    report: Report
    published: Mapping[str, Figure] = field(default_factory=dict)
    grids: tuple[Grid, ...] = ()


@dataclass(frozen=True)
class Comparison:
    """All that the page of a recipe says."""

    system: Recipe
    scenes: tuple[Scene, ...]
    protocol: tuple[Fact, ...]
    banner: tuple[str, ...] = ()
    command: str = ""
    findings: tuple[str, ...] = ()  # what the scenes say together, in words


@dataclass(frozen=True)
class Line:
    """One measured figure under both splits, beside what was published."""

    network: str
    metric: str
    published: str
    grouped: str
    random: str


def lines(scene: Scene) -> Iterator[Line]:
    """The rows of a scene's table: every network and baseline for the headline metrics, then single classes."""
    report = scene.report
    mains = [column for column in report.numbers if not column.endswith(RANDOM)]
    named = report.facts.get("names", {})
    for metric in dict.fromkeys((*HEADLINES, *scene.published)):
        said = scene.published.get(metric)
        whole = f"{said.value} ({said.stated})" if said else "-"
        for column in mains:
            grouped, random = report.numbers[column].get(metric), _random(report, column, metric)
            if grouped is None and random is None:
                continue
            # A published figure is one of networks: no baseline of ours stands beside it.
            yield Line(
                wording.source(column, report.facts), wording.known(metric)[0], whole if column in named else "-",
                wording.spoken(grouped, metric), wording.spoken(random, metric),
            )  # fmt: skip
            whole = said.value if said else "-"  # where it is stated is said once


def _random(report: Report, column: str, metric: str) -> Interval | None:
    twin = f"{column}@{RANDOM}" if column == "prediction" else f"{column}-{RANDOM}"
    return report.numbers.get(twin, {}).get(metric)


def contests(scene: Scene) -> list[str]:
    """Each network against the first, in words."""
    report, found = scene.report, []
    for contest in report.contests:
        if contest.second.endswith(RANDOM) or contest.headline not in contest.differences:
            continue
        first, second = (wording.source(column, report.facts) for column in (contest.first, contest.second))
        gap = wording.spoken(contest.differences[contest.headline], contest.headline, signed=True)
        metric = wording.known(contest.headline)[0].lower()
        found.append(f"{first} against {second}: {metric} {gap}, {wording.verdict(contest, contest.first)}")
    return found


def as_json(comparison: Comparison) -> dict[str, Any]:
    """What stands in `report.json`: that of the first scene, and all scenes, figures and choices beside it."""
    system = comparison.system
    scenes = {
        scene.name: {
            "title": scene.title,
            "simulated": scene.simulated,
            "published": _figures(scene),
            "grids": [asdict(grid) for grid in scene.grids],
            **scene.report.json(),
        }
        for scene in comparison.scenes
    }
    first = next(iter(scenes.values()), {})
    return {
        **first,
        "title": system.title,
        "command": comparison.command,
        "system": system.id,
        "status": system.status,
        "missing": list(system.missing),
        "published": told(system.published),
        "banner": list(comparison.banner),
        "findings": list(comparison.findings),
        "protocol": [
            {"what": fact.what, "published": fact.published, "here": fact.here, "mark": fact.mark}
            for fact in comparison.protocol
        ],
        "scenes": scenes,
    }


def _figures(scene: Scene) -> dict[str, dict[str, str]]:
    return {metric: {"value": said.value, "stated": said.stated} for metric, said in scene.published.items()}


def page(comparison: Comparison) -> str:
    """The page as one self-contained text."""
    from jinja2 import Environment, StrictUndefined

    evaluation, here = resources.files("potency.evaluation"), resources.files("potency.systems")
    paper = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return paper.from_string((here / "comparison.html").read_text("utf-8")).render(
        style=(evaluation / "page.css").read_text("utf-8"),
        system=comparison.system,
        comparison=comparison,
        kinds=[
            (
                kind,
                [
                    (scene, list(lines(scene)), contests(scene))
                    for scene in comparison.scenes
                    if scene.simulated is simulated
                ],
            )
            for kind, simulated in (("Real images", False), ("Simulated images", True))
        ],
    )


def write(comparison: Comparison, into: Path) -> Path:
    """Write report.json and then report.html into a folder, each whole or not at all; the page's path."""
    try:
        into.mkdir(parents=True, exist_ok=True)
        figures = json.dumps(as_json(comparison), ensure_ascii=False, indent=1, allow_nan=False) + "\n"
        for name, text in (("report.json", figures), ("report.html", page(comparison))):
            _replace(into / name, text)
    except OSError as error:
        raise PotencyError(
            f"the report cannot be written: {error.strerror or error}",
            str(into),
            "free some space, or choose another folder",
        ) from error
    return into / "report.html"


def _replace(path: Path, text: str) -> None:
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=path.parent, delete=False) as draft:
        draft.write(text)
    os.chmod(draft.name, 0o644)  # a draft is hidden from everyone else, a report is to be shared
    os.replace(draft.name, path)
