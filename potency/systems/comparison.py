"""The page of a recipe: published figures beside measured ones, real and simulated apart, every choice marked."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from potency.data.whole import replaced
from potency.errors import PotencyError
from potency.evaluation import wording
from potency.evaluation.gallery import Wall
from potency.evaluation.paper import printed
from potency.evaluation.plots import glance
from potency.evaluation.tables import Grid, Table
from potency.measurement.quality.page import Picture
from potency.systems.recipe import Fact, Figure, Recipe, told

if TYPE_CHECKING:
    from potency.evaluation.results import Report

# Of every scene, where its answers have them.
HEADLINES = ("accuracy", "balanced_accuracy", "auc", "exact_match", "micro_f1", "mae", "mape", "pearson", "r2",
             "dsb_ap", "f1.50", "pq", "aji", "dice", "mean_iou", "mean_dice")  # fmt: skip
STATED = ("figure", "value", "where it is stated")
DECIDED = ("value", "published", "here", "whose")
RANDOM = "random"  # the end of a column answered under a random split


@dataclass(frozen=True)
class Scene:
    """One question to one set of images: its evaluation, and the published figures it stands beside (by metric)."""

    name: str  # of its folder, which holds its own report.html
    title: str
    about: str
    simulated: bool
    report: Report
    published: Mapping[str, Figure] = field(default_factory=dict)
    grids: tuple[Grid, ...] = ()  # what the figures of the others do not say (a study by size and depth, costs)
    pictures: tuple[Picture, ...] = ()
    walls: tuple[Wall, ...] = ()


@dataclass(frozen=True)
class Sheet:
    """A section without an evaluation of its own: what tables, pictures and thumbnails show of one set of images."""

    name: str
    title: str
    about: str
    simulated: bool
    grids: tuple[Grid, ...] = ()
    pictures: tuple[Picture, ...] = ()
    walls: tuple[Wall, ...] = ()
    links: tuple[tuple[str, str], ...] = ()  # (path within the folder of the page, what is there)


@dataclass(frozen=True)
class Comparison:
    """All that the page of a recipe says."""

    system: Recipe
    scenes: tuple[Scene, ...]
    protocol: tuple[Fact, ...]
    banner: tuple[str, ...] = ()
    command: str = ""
    findings: tuple[str, ...] = ()  # what the scenes say together, in words
    sheets: tuple[Sheet, ...] = ()


@dataclass(frozen=True)
class Line:
    """The figures of one learner: a cell under each split for every metric of the table."""

    network: str
    cells: tuple[tuple[str, str], ...]  # by group, at random


@dataclass(frozen=True)
class Figures:
    """A table of a scene: its metrics, each with what was published of it, and a line a learner."""

    metrics: tuple[tuple[str, str], ...]  # name, published figure of networks or ""
    lines: tuple[Line, ...]

    @property
    def random(self) -> bool:
        """Whether anything was answered under a random split too."""
        return any(cell != wording.spoken(None, "") for line in self.lines for _, cell in line.cells)


def tables(scene: Scene) -> Iterator[Figures]:
    """The headline metrics of every learner, then those of single classes that something was published about."""
    numbers = scene.report.numbers
    present = {metric for figures in numbers.values() for metric in figures}
    for metrics in (HEADLINES, [metric for metric in scene.published if metric not in HEADLINES]):
        shown = [metric for metric in metrics if metric in present]
        if shown:
            heads = tuple((wording.known(m)[0], _said(scene.published.get(m))) for m in shown)
            yield Figures(heads, tuple(_line(scene.report, column, shown) for column in numbers if _inside(column)))


def _inside(column: str) -> bool:
    return not column.endswith(RANDOM)


def _said(figure: Figure | None) -> str:
    return "" if figure is None else figure.value + (f" ({figure.stated})" if figure.stated else "")


def _line(report: Report, column: str, metrics: Sequence[str]) -> Line:
    twin = report.numbers.get(f"{column}@{RANDOM}" if column == "prediction" else f"{column}-{RANDOM}", {})
    sides = (report.numbers[column], twin)
    cells = tuple(
        (wording.spoken(sides[0].get(metric), metric), wording.spoken(sides[1].get(metric), metric))
        for metric in metrics
    )
    return Line(wording.source(column, report.facts), cells)


def contests(scene: Scene) -> list[str]:
    """Each network against the first, in words."""
    report, found = scene.report, []
    for contest in report.contests:
        if contest.second.endswith(RANDOM) or contest.headline not in contest.differences:
            continue
        first, second = (wording.source(column, report.facts) for column in (contest.first, contest.second))
        gap = wording.spoken(contest.differences[contest.headline], contest.headline, signed=True)
        metric = wording.inline(contest.headline)
        found.append(f"{first} against {second}: {metric} {gap}, {wording.verdict(contest, contest.first)}")
    return found + guessing(scene)


def guessing(scene: Scene) -> list[str]:
    """The networks and learners that are not surely better than guessing, in words: nothing can be said of them."""
    report = scene.report
    if len(report.labels) < 2:
        return []
    share, names = 1 / len(report.labels), list[str]()
    for column, numbers in report.numbers.items():
        found = numbers.get("balanced_accuracy")
        if found is not None and _inside(column) and (found.value if found.low is None else found.low) <= share:
            names.append(wording.source(column, report.facts))
    if not names:
        return []
    told = (f"Not surely better than guessing (balanced accuracy {wording.figure(share, 2, unit=True)}): "
            f"{', '.join(names)}.")  # fmt: skip
    return [f"{told} What has learned so little in the steps of this budget is not judged by it."]


def as_json(comparison: Comparison) -> dict[str, Any]:
    """What stands in `report.json`: that of the first scene, and all scenes, figures and choices beside it."""
    system = comparison.system
    scenes = {
        scene.name: {
            "title": scene.title,
            "simulated": scene.simulated,
            "published": _figures(scene),
            "grids": [asdict(grid) for grid in scene.grids],
            "looks": [{"title": p.title, "note": p.look} for kind in (scene.pictures, scene.walls) for p in kind],
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
        "sheets": {
            sheet.name: {
                "title": sheet.title,
                "simulated": sheet.simulated,
                "grids": [asdict(grid) for grid in sheet.grids],
                "shown": {wall.title: len(wall.cards) for wall in sheet.walls},
            }
            for sheet in comparison.sheets
        },
    }


def _figures(scene: Scene) -> dict[str, dict[str, str]]:
    return {metric: {"value": said.value, "stated": said.stated} for metric, said in scene.published.items()}


def page(comparison: Comparison) -> str:
    """The page as one self-contained text."""
    return printed(
        "systems/comparison.html",
        title=comparison.system.title,
        subtitle=f"system {comparison.system.id} · {comparison.system.status}",
        banners=comparison.banner,
        system=comparison.system,
        comparison=comparison,
        published=Table(STATED, tuple((each.metric, each.value, each.stated) for each in comparison.system.published)),
        protocol=Table(DECIDED, tuple((fact.what, fact.published or "not stated", fact.here, fact.mark)
                                      for fact in comparison.protocol)),
        kinds=[
            (
                kind,
                [
                    (scene, list(tables(scene)), contests(scene), glance(scene.report, f"glance-{scene.name}"))
                    for scene in comparison.scenes
                    if scene.simulated is simulated
                ],
                [sheet for sheet in comparison.sheets if sheet.simulated is simulated],
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
            replaced(into / name, text.encode())
    except OSError as error:
        raise PotencyError(
            f"the report cannot be written: {error.strerror or error}",
            str(into),
            "free some space, or choose another folder",
        ) from error
    return into / "report.html"


