"""System ipsc-colony: good or bad colonies, from measured vectors as virtual images, by SVM, and from the picture."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from potency.answers.conformal import JOIN
from potency.errors import ManifestError
from potency.evaluation import wording
from potency.evaluation.tables import Grid
from potency.measurement.colony import FORM, TEXTURES, colony
from potency.systems.arms import Answered, Problem, answer, by_group, chosen, judge, paper, slug
from potency.systems.comparison import Scene
from potency.systems.recipe import Arm, Asked, Budget, Fact, Figure, Order, Recipe
from potency.systems.regional import by_rule
from potency.systems.sources import Relative, real, simulated
from potency.systems.vectors import OnVectors, ranking, side

if TYPE_CHECKING:
    from potency.data.manifest import Manifest

SHAPE, TEXTURE = "colony-shape", "colony-texture"
BOTH = (SHAPE, TEXTURE)
LENGTHS = {SHAPE: len(FORM), TEXTURE: len(TEXTURES)}
SETS = {"both": BOTH, "shape": (SHAPE,), "texture": (TEXTURE,)}
# Accuracy as published, by arm.
ACCURACY = {
    "V-CNN, both": "93.2 %", "V-CNN, shape": "95.5 %", "V-CNN, texture": "91.0 %",
    "SVM, both": "83.4 %", "SVM, shape": "86.7 %", "SVM, texture": "83.3 %",
}  # fmt: skip
STILL = {"augment": {"noise": 0.05}, "symmetries": 1}  # a place in a virtual image is a name: nothing is turned
PICTURE = 64  # px a side that the image CNN sees of a colony


def _vector(name: str) -> Arm:
    tile = side(sum(LENGTHS[family] for family in SETS[name]))
    return Arm(f"V-CNN, {name}", {"network": "plain:depth=2:width=24", "tile": tile, **STILL})


def _machine(name: str) -> Arm:
    return Arm(f"SVM, {name}", {"learner": "estimator", "network": "svm", "families": list(SETS[name])})


IMAGE = {"network": "tiny", "tile": PICTURE, "fitting": "stretch"}
VECTORS, MACHINES = tuple(map(_vector, SETS)), tuple(map(_machine, SETS))
OTHERS = (
    Arm("image CNN", IMAGE),
    Arm("fusion: image CNN + vector",
        {"learner": "estimator", "network": "svm", "families": list(BOTH), "members": [IMAGE]}),
    Arm("forest", {"learner": "estimator", "network": "forest"}),
    Arm("trivial", {"learner": "estimator", "network": "trivial"}),
)  # fmt: skip
ARMS = (*VECTORS, *MACHINES, *OTHERS)
LIGHT = {"batch": 32, "validations": 4, "test_views": 1}
# A simulated colony has 70 cells, a clone one colony a well.
QUICK = Budget("quick", ARMS, rows=120, cells=70 * 100, passes=4, changes={**LIGHT, "validations": 1})
DEFAULT = Budget("default", ARMS, cells=70 * 500, passes=40, holdout=False, changes=LIGHT)
FULL = Budget("full", ARMS, cells=70 * 1200, passes=120, holdout=False, changes=LIGHT)
CLONES, CELLS = 25, 70
RELATIVE = Relative(
    "classify/ipsc_colonies",
    "Colonies of induced pluripotent stem cells, healthy or not, one a picture.",
)
SIMULATED = (
    "Simulated colonies in phase contrast, one a picture: 'good' are round, tight and pluripotent, 'bad' frayed, loose "
    "and differentiating, with every grade between; groups are clones. Their difficulty is ours."
)
PUBLISHED = (
    Figure("accuracy", "95.5 % shape, 91.0 % texture, 93.2 % both", ""),
    Figure("accuracy, SVM", "86.7 / 83.3 / 83.4 %", "the abstract gives 75-77 %"),
)


def run(order: Order) -> Path:
    """Find the colonies, measure them, and let vectors, images and both together tell good from bad; the page."""
    scenes, findings = list[Scene](), list[str]()
    plan: Mapping[str, Any] = {}
    for problem in problems(order):
        if problem.simulated:  # of others nobody has drawn the outline
            scenes.append(outlined(problem, order))
        rows, lost = measured(problem, order)
        scene, plan = compared(replace(problem, manifest=rows), order)
        scenes.append(scene)
        findings.append(f"{problem.title}: a colony was found in {len(rows)} of {len(rows) + lost} pictures; "
                        "the others are left out.")  # fmt: skip
    facts = (
        Fact("colony", "iterative threshold, size filter", "threshold on local texture, largest piece, holes filled"),
        Fact("shape", "centroid, area, eccentricity, perimeter, orientation, axes, diameter, solidity, extent",
             "centroid, area, eccentricity, perimeter, orientation, axes, diameter, solidity, extent"),
        Fact("texture", "13 of co-occurrence", f"Haralick's first 13, within the colony: {', '.join(TEXTURES)}"),
        Fact("ranking", "Fisher score", "Fisher score, on the learning rows of each fold"),
        Fact("virtual image", "by a transfer function, not stated in what we could read",
             "a grey block a feature, in standard deviations, the highest Fisher score first"),
        Fact("network on vectors", "convolutional, layers not stated in what we could read", "two convolution modules"),
        Fact("machine", "SVM", "SVM (RBF), calibrated"),
        Fact("fusion", "", "SVM on the embedding of the image CNN and the vector, side by side"),
        Fact("split", "5-fold", by_group(order.budget)),
        *(fact for fact in chosen(plan, order.budget) if fact.what != "augmentation"),
        Fact("augmentation", "", "of virtual images noise alone; of pictures the defaults of `potency train`"),
    )  # fmt: skip
    return paper(RECIPE, order, scenes, facts, findings=findings)


def problems(order: Order) -> Iterator[Problem]:
    """The user's own colonies, where there are any, and the simulated ones."""
    source = real(order, RELATIVE)
    if source is not None:
        rows = source.manifest.keep(source.manifest.classes[:2])
        yield Problem("real", "Your images" if source.own else "Real images", source.about, rows, False)
    cells = order.budget.cells
    world = simulated(
        order.into / "simulated-images", order, f"{cells // CELLS} colonies", kind="colonies", cells=cells,
        groups=CLONES, wells=cells // CELLS // CLONES,
    )  # fmt: skip
    yield Problem("simulated", "Simulated colonies", SIMULATED, world, True)


def outlined(problem: Problem, order: Order) -> Scene:
    """How well the threshold finds the colonies whose outline is known."""
    rows, names = problem.manifest, ("ground", "colony")
    order.say(f"{problem.title}: outlining {len(rows)} colonies")
    told = {"truth": rows.table["mask"].to_numpy(), "truth.classes": JOIN.join(names)}
    maps = rows.add(told, {"truth": "regions"})
    place = order.into / f"{problem.name}-found"
    made = by_rule(maps, place, "prediction", lambda plane: colony(plane).astype(np.uint8), names)
    title = f"{problem.title}: is the colony found?"
    asked = Problem(f"{problem.name}-outlines", title, problem.about, maps, problem.simulated)
    return judge(asked, Answered(maps.add(made), {"prediction": "threshold on texture"}, {}, {}), order)


def measured(problem: Problem, order: Order) -> tuple[Manifest, int]:
    """The rows in which a colony was found, with its features; and how many others there were.

    Raises:
        ManifestError: fewer than two classes are left.
    """
    from potency.measurement import measure

    order.say(f"{problem.title}: measuring {len(problem.manifest)} colonies")
    made = measure(problem.manifest, families=BOTH)
    area = next(str(name) for name in made.table if str(name).startswith(f"measure.{SHAPE}.") and ".area_" in str(name))
    there = made.table[area].fillna(0).gt(0)
    rows = made.where(there.tolist())
    if len(rows.classes) < 2:
        raise ManifestError("a colony is found in pictures of fewer than two classes", str(rows.folder),
                            "give pictures of one colony each, on ground that can be seen")  # fmt: skip
    return rows, int((~there).sum())


def compared(problem: Problem, order: Order) -> tuple[Scene, Mapping[str, Any]]:
    """Every arm on the same rows and folds, and its accuracy beside what was published of it; the first arm's plan."""
    from potency.data.facts import Facts

    rows, budget = problem.manifest, order.budget
    whole = -(-Facts.of(rows).side // 8) * 8  # what is measured of a picture is measured of all of it
    arms = [replace(arm, changes={"tile": whole, **arm.changes}) for arm in budget.arms]
    learn = OnVectors(order.learn, {slug(f"V-CNN, {name}"): families for name, families in SETS.items()})
    answered = answer(problem, arms, replace(order, learn=learn), baselines=())
    scene = judge(replace(problem, published={"accuracy": PUBLISHED[0]}), answered, order)
    asked = Asked(folds=budget.folds, holdout=budget.holdout)
    grids = (beside(scene), ranking(rows, BOTH, asked))
    return replace(scene, grids=grids), answered.plans[arms[0].name]


def beside(scene: Scene) -> Grid:
    """The accuracy of each arm by group and at random, beside the published one of the same name."""
    report, names = scene.report, scene.report.facts["names"]
    lines = {name: ["–", "–"] for name in names.values()}
    for column, figures in report.numbers.items():
        lines[names[column]][int(column.endswith("random"))] = wording.spoken(figures.get("accuracy"), "accuracy")
    rows = tuple((name, ACCURACY.get(name, "–"), *cells) for name, cells in lines.items())
    note = "Published: of other images, five folds of single images. Brackets: 95 % intervals over groups."
    return Grid("Accuracy beside what was published", ("learner", "published", "by group", "at random"), rows, note)


RECIPE = Recipe(
    id="ipsc-colony",
    title="iPSC colony quality (Kavitha 2017, V-CNN)",
    area="A",
    published=PUBLISHED,
    missing=(
        "real colonies with their quality (--data takes them)",
        "the published layers and transfer function of the V-CNN",
    ),
    method="colony by iterative threshold; 9 shape, 13 texture features by Fisher score as a virtual image; 5-fold",
    run=run,
    budgets=(QUICK, DEFAULT, FULL),
)
