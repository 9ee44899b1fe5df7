"""Systems of area C that compare families: semantic U-Net, key points to boxes to masks, region proposals to masks."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from potency.evaluation import wording
from potency.evaluation.tables import Grid
from potency.systems.arms import Answered, answer, by_group, chosen, judge, paper
from potency.systems.outlines import LIGHT, NUCLEI, UNSEEN, problems
from potency.systems.recipe import Arm, Budget, Fact, Figure, Order, Recipe

if TYPE_CHECKING:
    from potency.bundle import Bundle
    from potency.data.manifest import Manifest
    from potency.systems.comparison import Scene

FAMILIES = {
    "unet": "U-Net, semantic",
    "keypoint-graph": "key points, boxes, masks",
    "mask-rcnn": "Mask R-CNN",
}
SEMANTIC = {"decoder": "components"}
METRICS = ("dsb_ap.50", "dsb_ap", "f1.50", "pq", "aji", "merged")
LOOKED = 5  # images by which seconds and memory are told
SPOKEN = {"unet": "about 1 h on an 8 GB card; fast forward", "keypoint-graph": "about 4 h on the same card",
          "mask-rcnn": "2 h 30 on a 24 GB card; slowest, most memory"}  # fmt: skip


def families(id: str, order: Order) -> Path:
    """The three families on the same rows, the one of this system first; accuracy and costs in one table."""
    arms = sorted(order.budget.arms, key=lambda arm: arm.name != FAMILIES[id])
    scenes: list[Scene] = []
    plans: dict[str, Mapping[str, Any]] = {}
    for problem in problems(order, (("nuclei", "nuclei in fluorescence", NUCLEI),), {}):
        found = answer(problem, arms, order)
        scene = judge(problem, found, order)
        plans = plans or dict(found.plans)
        order.say(f"{problem.title}: seconds and memory")
        scenes.append(replace(scene, grids=(table(found, scene),)))
    own = plans[FAMILIES[id]]
    steps = "; ".join(f"{name} {plan.get('steps', 'as planned')}" for name, plan in plans.items())
    facts = (
        *(Fact(f"training time, {name}", SPOKEN[one], "seconds a step in the table, times the steps")
          for one, name in FAMILIES.items()),
        Fact("accuracy of any of the three", "", "see the table"),
        *PROTOCOL[id],
        Fact("network", "", str(own.get("network", ""))),
        Fact("first weights", "", str(own.get("weights") or "none: from scratch")),
        Fact("steps", "", steps),
        Fact("threshold of scores", "", "of each family, chosen on the validation rows"),
        Fact("split", "", by_group(order.budget)),
        *chosen(own, order.budget),
    )  # fmt: skip
    return paper(SYSTEMS[id], order, scenes, facts, findings=list(findings(scenes)))


def table(found: Answered, scene: Scene) -> Grid:
    """The comparison the review makes in words: a row a family, figures of its answers and what it costs."""
    made = []
    for column, figures in scene.report.numbers.items():
        if column.endswith("random"):
            continue
        name = wording.source(column, scene.report.facts)
        shown = (wording.spoken(figures.get(metric), metric) for metric in METRICS)
        made.append((name, *shown, *(costs(name, found) if name in found.plans else ("-",) * len(COSTS))))
    heads = ("family", *(wording.known(metric)[0] for metric in METRICS), *COSTS)
    images = found.manifest.records()[:LOOKED]
    sizes = sorted({"x".join(map(str, found.manifest.open(row).shape[-2:])) for row in images})
    note = (
        f"Seconds by the clock on this machine: an image of {' or '.join(sizes)} px (the median of {len(images)}) from "
        "pixels in memory to objects, by the engine that prediction takes, a compiled one where the network allows it; "
        "a step of learning as the plan has it. Memory: the most that torch's tensors held at once beside the weights "
        "(four bytes a parameter), of the largest of these images run by torch; what Python and its libraries hold "
        "themselves, and what a compiled engine holds, is not in it."
    )
    return Grid("Accuracy and cost of the three families", heads, tuple(made), note)


COSTS = ("parameters (M)", "s an image", "MB an image", "s a step", "MB a step")


def costs(name: str, found: Answered) -> tuple[str, ...]:
    """What a learned family costs: the cells of `COSTS`."""
    from potency.bundle import Bundle
    from potency.inference.engine import accelerate
    from potency.learning.cost import peak_of_step, tensor_peak

    learned = found.learned[name]
    if learned.bundle is None:
        return ("-",) * len(COSTS)
    bundle = Bundle.load(learned.bundle)
    task, plan = bundle.task, bundle.card.plan
    weights = sum(each.numel() for each in task.build(plan).parameters())
    images = list(_images(found.manifest, bundle))
    largest = max(images, key=lambda tiles: sum(tile["image"].size for tile in tiles))
    held, taken = tensor_peak(_run(bundle, largest)), _seconds(accelerate(bundle), images)
    seconds, step = peak_of_step(task, plan)
    image, learning = (f"{size / 1e6:,.{1 if size < 1e8 else 0}f}" for size in (held, step))
    return f"{weights / 1e6:.3g}", f"{taken:.3g}", image, f"{seconds:.3g}", learning


def _images(manifest: Manifest, bundle: Bundle) -> Iterator[list[dict[str, Any]]]:
    """The tiles of some images, as prediction cuts them."""
    from potency.inference.view import View, windows

    plan = bundle.card.plan
    for row in manifest.records()[:LOOKED]:
        view = View.of(manifest, row, plan)
        yield [{"image": view.crop(tile), "exposure": view.exposure} for tile in windows(view.shape, plan)]


def _run(bundle: Bundle, tiles: Sequence[Mapping[str, Any]]) -> Callable[[], object]:
    return lambda: [bundle([tile]) for tile in tiles]


def _seconds(bundle: Bundle, images: Sequence[Sequence[Mapping[str, Any]]]) -> float:
    """The median over images, each the faster of two: the first meets its size and pays for memory."""
    taken = []
    for tiles in images:
        work, each = _run(bundle, tiles), []
        for _ in range(2):
            start = time.perf_counter()
            work()
            each.append(time.perf_counter() - start)
        taken.append(min(each))
    return float(np.median(taken))


def findings(scenes: Sequence[Scene]) -> Iterator[str]:
    """Whether the review's two sentences hold here: which is fastest, and which merges objects that touch."""
    for scene in scenes:
        grid = scene.grids[0]
        speed, merged = (grid.head.index(name) for name in ("s an image", wording.known("merged")[0]))
        timed = {row[0]: row[speed] for row in grid.rows if row[speed] != "-"}
        fastest = min(timed, key=lambda name: float(timed[name]), default="none")
        kind = "simulated" if scene.simulated else "real"
        told = "; ".join(f"{row[0]} {row[merged]}" for row in grid.rows)
        yield (f"{scene.title} ({kind}): the fastest is {fastest}, {timed.get(fastest, '-')} s an image (published: "
               f"U-Net). Objects merged with others: {told} (published: U-Net cannot split what touches).")  # fmt: skip


OUR_GRAPH = "one scale (stride 1), features of that scale in the box by RoIAlign, masks of 28 x 28"
PROTOCOL = {
    "unet": (Fact("classes of pixels", "binary", "binary"),),
    "keypoint-graph": (
        Fact("features", "ResNet34", "see network"),
        Fact("points", "5 a cell, grouped by a graph", "5 a cell, grouped by a graph"),
        Fact("scales and masks", "four scales; features of all scales within the box", OUR_GRAPH),
        Fact("crops, batch, epochs", "512x512, 2, 100", "see batch and steps"),
        Fact("learning rate", "Adam 1e-4, x.96 an epoch", "see below"),
        Fact("augmentation", "photometric, expansion up to 2x, flips", "see below"),
    ),
    "mask-rcnn": (Fact("images", "grey 256x256", "grey, see each section"),),
}  # fmt: skip


def _arms(unet: str, graph: Mapping[str, Any], mask: Mapping[str, Any], **every: Any) -> tuple[Arm, ...]:
    own = ({"network": unet, **SEMANTIC}, graph, mask)
    return tuple(Arm(name, {**every, **changes}) for name, changes in zip(FAMILIES.values(), own, strict=True))


QUICK = _arms("unet", {"network": "keypoint-graph:encoder=resnet18:width=16:depth=3"},
              {"network": "mask-rcnn:body=resnet18"})  # fmt: skip
DEFAULT = _arms("unet-ronneberger:width=32", {"network": "keypoint-graph"}, {"network": "mask-rcnn:body=resnet18"})
FULL = _arms("unet-ronneberger", {"network": "keypoint-graph", "tile": 512, "batch": 2, "rate": 1e-4},
             {"network": "mask-rcnn:body=resnet50"})  # fmt: skip
BUDGETS = (
    Budget("quick", QUICK, rows=10, cells=60, changes={**LIGHT, "tile": 64, "batch": 2, "steps": 3, "validations": 1}),
    Budget("default", DEFAULT, rows=80, cells=400, changes={**LIGHT, "tile": 128, "batch": 4, "steps": 200}),
    Budget("full", FULL, cells=6000, passes=100, changes={**LIGHT, "tile": 256, "batch": 8}),
)


def _recipe(id: str, title: str, method: str, *published: Figure) -> Recipe:
    return Recipe(id, title, "C", published, UNSEEN, method=method, run=partial(families, id), budgets=BUDGETS)


SYSTEMS = {
    recipe.id: recipe
    for recipe in (
        _recipe("unet", "U-Net semantic segmentation", "binary labels; about 1 h on an 8 GB card",
                Figure("finding", "fastest; cannot split touching nuclei")),
        _recipe("keypoint-graph", "Key points to boxes to masks",
                "ResNet34, 5 points a cell grouped by a graph; 100 epochs",
                Figure("training time", "about 4 h", "on an 8 GB card")),
        _recipe("mask-rcnn", "Region proposals to masks", "grey 256x256",
                Figure("training time", "2 h 30", "on a 24 GB card; slowest, most memory")),
    )
}  # fmt: skip
