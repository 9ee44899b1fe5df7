"""System ipsc-ec: endothelial cells from iPSC in phase contrast, by block size and depth, and by convolution module."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from potency.evaluation import wording
from potency.evaluation.tables import Grid
from potency.systems.arms import Compared, Problem, by_group, chosen, compare, paper, slug
from potency.systems.comparison import Scene
from potency.systems.recipe import Arm, Budget, Fact, Figure, Order, Recipe
from potency.systems.sources import Relative, Source, real, simulated

if TYPE_CHECKING:
    from potency.data.image import Image
    from potency.data.manifest import Manifest

DEPTHS = (2, 3, 4, 5)
BLOCKS = (32, 64, 128)  # px
MOST = 9  # blocks of an image, spread evenly over it
STUDY = 96  # px a side of the images of the module study
BASE = "plain:depth=4:width=12"
MODULES = {
    "convolution 3 x 3": BASE,
    "separable": f"{BASE}:module=separable",
    "residual": f"{BASE}:module=residual",
    "inception": f"{BASE}:module=inception",
    "convolution 5 x 5": f"{BASE}:kernel=5",
    "mean pooling": f"{BASE}:pool=mean",
    "stride for pooling": f"{BASE}:pool=stride",
    "ELU": f"{BASE}:activation=elu",
    "attention": f"{BASE}:attention=true",
    "tiny (ours)": "tiny",
}
ARMS = tuple(Arm(name, {"network": network, "tile": STUDY}) for name, network in MODULES.items())
LIGHT = {"batch": 32, "validations": 2, "test_views": 1}
QUICK = Budget("quick", ARMS[:3], rows=60, cells=1200, passes=1, changes={**LIGHT, "validations": 1})
DEFAULT = Budget("default", ARMS, cells=3840, passes=12, changes=LIGHT)
FULL = Budget("full", ARMS, cells=38_400, passes=60, changes={"batch": 32}, holdout=False)
RELATIVE = Relative(
    "classify/bf_293a_ht1080",
    "Single cells of two lines in brightfield, 224 px: real images with a binary truth and fields as groups. No "
    "endothelial cells are at hand; the question is another, the study is the same.",
)
PUBLISHED = (
    Figure("accuracy and F1", "rise with depth and block size", "Kusumoto 2018"),
    Figure("sensitivity", "94.6 %", "iPS set, 16,278 photomicrographs"),
    Figure("specificity", "94.5 %", "iPS set"),
    Figure("precision", "94.7 %", "iPS set"),
)


def run(order: Order) -> Path:
    """Both studies on the real relative and on simulated wells in phase contrast; the page."""
    scenes, plans = [], []
    for source, is_simulated in _sources(order):
        name = "simulated" if is_simulated else "real"
        found = _blocks(source, name, is_simulated, order)
        scenes += found
        study = _modules(source, name, is_simulated, order)
        scenes.append(study.scene)
        plans.append(next(iter(study.plans.values())))
    facts = (
        Fact("images", "phase contrast, truth from a CD31 stain; expert-labelled photomicrographs", "see each section"),
        Fact("block sizes", "several, not stated", f"{', '.join(map(str, _of(BLOCKS, order)))} px, {MOST} an image"),
        Fact("depths", "several, not stated", ", ".join(map(str, _of(DEPTHS, order)))),
        Fact("modules", "convolution modules, kernel sizes, pooling kinds, strides, activations", ", ".join(MODULES)),
        Fact("split", "k-fold, k not stated", by_group(order.budget)),
        *chosen(plans[0], order.budget),
    )  # fmt: skip
    return paper(RECIPE, order, scenes, facts)


def _sources(order: Order) -> Iterator[tuple[Source, bool]]:
    source = real(order, RELATIVE)
    if source is not None:
        yield replace(source, manifest=source.manifest.keep(source.manifest.classes[:2])), False
    world = simulated(
        order.into / "simulated", order, "wells in phase contrast", kind="wells", look="phase",
        cells=order.budget.cells, groups=order.budget.cells // 192, wells=8,
    )  # fmt: skip
    yield Source(world, "Simulated wells in phase contrast, efficient or not; groups are clones."), True


def _of(values: tuple[int, ...], order: Order) -> tuple[int, ...]:
    """All values of a study, or its ends where the way is only tried."""
    return (values[0], values[-1]) if order.budget.name == "quick" else values


def _blocks(source: Source, name: str, is_simulated: bool, order: Order) -> list[Scene]:
    """Study (a): for each block size the networks of each depth, and a grid of both."""
    scenes, cells = [], {}
    depths = _of(DEPTHS, order)
    for block in _of(BLOCKS, order):
        rows = source.manifest.explode(lambda image: spread(image, block))  # noqa: B023 - called at once
        arms = [Arm(f"depth {d}", {"network": f"plain:depth={d}", "tile": block}) for d in reversed(depths)]
        title = f"{name.capitalize()} blocks of {block} px"
        problem = Problem(f"{name}-blocks-{block}", title, source.about, rows, is_simulated)
        scene = compare(problem, arms, order).scene
        for arm in arms:
            figures = scene.report.numbers["prediction" if arm is arms[0] else f"prediction@{slug(arm.name)}"]
            cells[block, arm.name] = "; ".join(
                f"{what} {wording.spoken(figures[metric], metric)}"
                for what, metric in (("accuracy", "accuracy"), ("F1", "macro_f1"))
            )
        scenes.append(scene)
    header = ("block", *(f"depth {d}" for d in depths))
    table = tuple((f"{b} px", *(cells[b, f"depth {d}"] for d in depths)) for b in _of(BLOCKS, order))
    note = f"Published: {PUBLISHED[0].value} ({PUBLISHED[0].stated}). Blocks of an image share its truth."
    grid = Grid(f"{name.capitalize()} images: block size and depth, by group", header, table, note)
    return [*scenes[:-1], replace(scenes[-1], grids=(grid,))]


def spread(image: Image, side: int) -> list[tuple[int, int, int, int]]:
    """Up to MOST blocks (y, x, height, width) of an image, on an even grid that reaches its borders."""
    sizes = image.sizes
    per_side = int(MOST**0.5)

    def starts(length: int) -> Sequence[int]:
        count = min(per_side, max(1, length // side))
        return [round(s) for s in np.linspace(0, max(0, length - side), count)]

    high, wide = min(side, sizes["Y"]), min(side, sizes["X"])
    return [(y, x, high, wide) for y in starts(sizes["Y"]) for x in starts(sizes["X"])]


def _modules(source: Source, name: str, is_simulated: bool, order: Order) -> Compared:
    """Study (b): networks alike but for one choice, their figures and their costs."""
    rows = source.manifest
    positive, negative = rows.classes[:2]
    published = {
        f"recall.{positive}": PUBLISHED[1], f"recall.{negative}": PUBLISHED[2], f"precision.{positive}": PUBLISHED[3]
    }  # fmt: skip
    title = f"{name.capitalize()} images: module study"
    changed = [replace(arm, changes={**arm.changes, "fitting": "stretch"}) for arm in order.budget.arms]
    problem = Problem(f"{name}-modules", title, source.about, rows, is_simulated, published)
    found = compare(problem, changed, order)
    return replace(found, scene=replace(found.scene, grids=(_costs(found, rows, positive, negative),)))


def _costs(found: Compared, rows: Manifest, positive: str, negative: str) -> Grid:
    from potency.data.plan import Plan
    from potency.learning.cost import cost_of, seconds_a_step
    from potency.tasks import task_for

    task, made = task_for(rows.kinds["truth"]), []
    names = found.scene.report.facts["names"]
    columns = {name: column for column, name in names.items() if not column.endswith("random")}
    wanted = (f"recall.{positive}", f"recall.{negative}", f"precision.{positive}", "mcc")
    for name, values in found.plans.items():
        plan, figures = Plan.read(values), found.scene.report.numbers[columns[name]]
        cost, step = cost_of(task, plan), seconds_a_step(task, plan)
        made.append((
            name, *(wording.spoken(figures.get(metric), metric) for metric in wanted), f"{cost.parameters / 1e3:,.0f}",
            str(cost.layers), f"{cost.flop / 1e6:,.0f}", f"{cost.milliseconds:.2f}", f"{step * plan.steps:.0f}",
        ))  # fmt: skip
    header = ("network", "sensitivity", "specificity", "precision", "MCC", "parameters (thousands)", "layers",
              "MFLOP a crop", "ms a crop", "training, s")  # fmt: skip
    note = f"Positive: {positive}. Times on this machine, eager; training is the measured step times the steps."
    return Grid("Figures and costs of each network, by group", header, tuple(made), note)


RECIPE = Recipe(
    id="ipsc-ec",
    title="iPSC-derived endothelial cells (Kusumoto 2018; Iqbal 2025)",
    area="A",
    published=PUBLISHED,
    method="(a) phase-contrast blocks, truth from CD31 stain, depths and block sizes; (b) small CNNs, module study",
    run=run,
    budgets=(QUICK, DEFAULT, FULL),
)
