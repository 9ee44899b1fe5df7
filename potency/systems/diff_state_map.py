"""System diff-state-map: the state of every pixel of a well, its area over time, and the form of each colony."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from potency.answers.conformal import JOIN
from potency.answers.regions import classes_in
from potency.errors import ManifestError
from potency.evaluation import wording, worst
from potency.evaluation.tables import Grid
from potency.measurement.quality.ground import covered
from potency.simulate.colonies import STATES
from potency.systems.arms import Answered, Problem, answer, by_group, chosen, judge, paper
from potency.systems.comparison import RANDOM, Scene, Sheet
from potency.systems.recipe import Arm, Budget, Fact, Figure, Order, Recipe
from potency.systems.regional import agreement, areas, by_rule, colonies, over_time, shares
from potency.systems.sources import Relative, real, simulated

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from potency.data.manifest import Manifest

UNET = Arm("U-Net", {"network": "unet:width=16:depth=3"})
PLAIN = Arm("U-Net as published", {"network": "unet-ronneberger"})  # of 2015
LIGHT = {"precision": "bfloat16", "validations": 2, "test_views": 1, "tile": 128, "batch": 8}
# A simulated clone is one well of 200 cells; folds of three leave enough clones in each for an interval.
QUICK = Budget("quick", (UNET,), rows=24, cells=200 * 12, folds=2, changes={**LIGHT, "steps": 40, "validations": 1})
DEFAULT = Budget("default", (UNET,), rows=240, cells=200 * 24, folds=3, holdout=False, changes={**LIGHT, "steps": 400})
FULL = Budget("full", (UNET, PLAIN), cells=200 * 60, holdout=False, changes={**LIGHT, "steps": 20_000})
CELLS, SIDE = 200, 256  # of a simulated well; px
RULE = "texture: all that is covered is a colony"
SHOWN = 4
RELATIVE = Relative("segment/ipsc_states", "Whole wells of induced pluripotent stem cells with maps of their states.")
SIMULATED = (
    "Simulated wells in phase contrast, each seen again and again while some of its cells differentiate and die; every "
    "pixel's state is known; groups are clones. Their difficulty is ours."
)
EXPERT = Figure("finding", "more accurate than a skilled expert's visual estimate", "in all four classes")


def run(order: Order) -> Path:
    """Learn the maps, hold areas and colonies of the predicted ones against the true; the page."""
    scenes, sheets, plan = list[Scene](), list[Sheet](), dict[str, object]()
    for problem, classes in problems(order):
        found = answer(problem, order.budget.arms, order)
        plan = dict(next(iter(found.plans.values())))
        tested = found.manifest.where(found.manifest.table["prediction"].notna())
        place, rule = order.into / f"{problem.name}-rule", partial(all_colony, body=body_of(classes))
        ruled = by_rule(tested, place, "prediction@texture", rule, classes)
        answered = Answered(found.manifest.add(ruled), {**found.names, "prediction@texture": RULE}, found.plans,
                            found.facts)  # fmt: skip
        scene = judge(problem, answered, order)
        walls = tuple(replace(wall, cards=wall.cards[:SHOWN]) for wall in worst.walls(scene.report))
        scenes.append(replace(scene, grids=(each_class(scene, classes),), walls=walls))
        sheets.append(measured(problem, tested, classes, order))
    facts = (
        Fact("images", "whole wells in phase contrast", "see each section"),
        Fact("classes", "hiPSC colony, single cells, differentiated cells, dead cells", "the same, and background"),
        Fact("network", "U-Net", ", ".join(arm.name for arm in order.budget.arms)),
        Fact("steps", "", str(plan.get("steps", "as planned"))),
        Fact("held against", "an expert's visual estimate of the areas", "the true areas, pixel by pixel"),
        Fact("colony", "", "a connected piece of the class with all that it encloses, 400 um² or more"),
        Fact("split", "", by_group(order.budget)),
        *chosen(plan, order.budget),
    )
    return paper(RECIPE, order, scenes, facts, sheets=sheets)


def problems(order: Order) -> Iterator[tuple[Problem, tuple[str, ...]]]:
    """The user's own wells, where there are any, and the simulated ones, each with the classes of its maps."""
    source = real(order, RELATIVE)
    if source is not None:
        rows, classes = as_maps(source.manifest)
        yield Problem("real", "Your images" if source.own else "Real images", source.about, rows, False), classes
    clones = order.budget.cells // CELLS
    from potency.data.manifest import Manifest

    place = order.into / "simulated-wells"
    frames = 2 if order.budget.name == "quick" else 6
    simulated(place, order, f"{clones} wells over time", kind="states", cells=order.budget.cells, groups=clones,
              frames=frames, field=SIDE)  # fmt: skip
    rows, classes = as_maps(Manifest.read(place, truth="map"))
    yield Problem("simulated", "Simulated wells", SIMULATED, rows, True), classes


def as_maps(rows: Manifest) -> tuple[Manifest, tuple[str, ...]]:
    """The rows with their truth read as semantic maps, and the names of its classes.

    Raises:
        ManifestError: the truth holds no maps, or nobody names their classes.
    """
    table = rows.table
    if rows.kinds.get("truth") != "labels" or "truth.classes" not in table or not table["truth.classes"].notna().any():
        raise ManifestError("the truth is no semantic map with named classes", f"{rows.folder}, truth, truth.classes",
                            "give a table with columns image, truth (a map: TIFF, PNG), truth.classes "
                            f"({JOIN.join(STATES)}), group and, if any, time")  # fmt: skip
    return replace(rows, kinds={**rows.kinds, "truth": "regions"}), classes_in(table["truth.classes"].dropna().iloc[0])


def body_of(classes: Sequence[str]) -> int:
    """The number of the class that is called a colony, or pluripotent; else the first behind the background.

    >>> body_of(("background", "single", "hiPSC colony")), body_of(("ground", "cells"))
    (2, 1)
    """
    return next((k for k, name in enumerate(classes) if "colony" in name.lower() or "pluripotent" in name.lower()), 1)


def all_colony(plane: NDArray[Any], body: int) -> NDArray[Any]:
    """The map (H, W) of whoever sees cells and nothing else: all that is covered is of the class `body`."""
    return covered(plane, plane.dtype.kind in "iu") * body


def each_class(scene: Scene, classes: Sequence[str]) -> Grid:
    """IoU and Dice of every class by every learner, on the same pictures."""
    report, lines = scene.report, []
    for column, figures in report.numbers.items():
        split = ", random split" if column.endswith(RANDOM) else ""
        lines += [
            (f"{wording.source(column, report.facts)}{split}: {name}",
             *(wording.spoken(figures.get(f"{metric}.{name}"), metric) for metric in ("iou", "dice")))
            for name in classes
        ]  # fmt: skip
    return Grid("Each class", ("learner and class", "IoU", "Dice"), tuple(lines))


def measured(problem: Problem, tested: Manifest, classes: Sequence[str], order: Order) -> Sheet:
    """Areas over time and the colonies one by one, of the maps of networks that had not seen the clone."""
    order.say(f"{problem.title}: measuring {len(tested)} maps")
    true, said = (shares(tested, column, classes) for column in ("truth", "prediction"))
    first = tested.open(tested.records()[0])
    size = (first.pixel_size or {}).get("X")
    found = colonies(tested, "prediction", body_of(classes), classes, size)
    path = order.into / problem.name / "colonies.csv"
    found.to_csv(path, index=False)
    hours = pd.to_numeric(tested.table.get("time", pd.Series(np.nan, tested.table.index)), errors="coerce")
    pictures = over_time(hours.to_numpy(np.float64), true, said, classes)
    grids = [areas(tested, true, said, classes)]
    if len(found):
        grids.append(agreement(found, size))
    links = ((f"{problem.name}/colonies.csv", "The table: every true colony with its size, centre, roundness and "
              "inclusions, and the predicted one beside it"),)  # fmt: skip
    title = f"{problem.title}: areas over time, and each colony"
    return Sheet(f"{problem.name}-measured", title, problem.about, problem.simulated, tuple(grids), pictures, (), links)


RECIPE = Recipe(
    id="diff-state-map",
    title="Differentiation-state recognition in colonies (Piotrowski 2021)",
    area="A",
    published=(EXPERT,),
    missing=(
        "real whole wells with maps of their states (--data takes them)",
        "the expert's visual estimate beside the network",
    ),
    method="U-Net semantic segmentation: hiPSC colony, single cells, differentiated cells, dead cells",
    run=run,
    budgets=(QUICK, DEFAULT, FULL),
)
