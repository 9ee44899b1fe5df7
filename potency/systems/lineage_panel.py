"""System lineage-panel: which of several lineages an image shows, the weakest first, and how many cells."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from potency.evaluation import wording
from potency.evaluation.tables import Grid
from potency.systems.arms import Problem, by_group, chosen, compare, paper
from potency.systems.comparison import Scene
from potency.systems.recipe import Arm, Budget, Fact, Figure, Order, Recipe
from potency.systems.sources import Relative, real, sampled, simulated

if TYPE_CHECKING:
    import pandas as pd

    from potency.data.image import Image
    from potency.data.manifest import Manifest

OVERALL = Figure("accuracy", "93 %", "overall, eight lineages in digital contrast")
WEAKEST = Figure("weakest classes", "SH-SY5Y 78 %, HUH7_mayv 85 %, A549 88 %", "of eight")
ARMS = (Arm("simple CNN", {"network": "plain:depth=4"}), Arm("tiny (ours)", {"network": "tiny"}))
LIGHT = {"batch": 32, "validations": 2, "test_views": 1}
QUICK = Budget("quick", ARMS, rows=150, cells=400, passes=2, changes={**LIGHT, "validations": 1})
DEFAULT = Budget("default", ARMS, cells=2000, passes=30, changes=LIGHT, holdout=False)
FULL = Budget("full", ARMS, cells=40_000, passes=100, changes={"batch": 32}, holdout=False)
BLOOD = Relative(
    "classify/wbc5_tecom",
    "White blood cells of four lineages (Zheng 2018; stained, so not label-free; labels partly unchecked; no patient "
    "is known, so each image is its own group): real lineages at hand, not the published eight.",
    ("neutrophil", "lymphocyte", "monocyte", "eosinophil"),  # a fifth class has one image
)
SMEARS = Relative(
    "count/bccd",
    "Blood smears in brightfield (BCCD): the truth is the number of red cells boxed by hand, known to be incomplete in "
    "crowded fields; slides are not known, so each image is its own group.",
)
CLONES = 40


def run(order: Order) -> Path:
    """Lineage first, then quantity, on the real relatives and on the simulated world; the page."""
    scenes, plans = list[Scene](), []
    for problem, tile in _problems(order):
        arms = [Arm(arm.name, {**arm.changes, **tile}) for arm in order.budget.arms]
        found = compare(problem, arms, order)
        scenes.append(weakest(found.scene))
        plans.append(next(iter(found.plans.values())))
    facts = (
        Fact("images", "digital contrast, eight lineages", "see each section"),
        Fact("network", "a simple CNN, layers not stated", "four convolution modules, and a network of ours beside it"),
        Fact("order", "lineage first, then count regression", "lineage first, then count regression"),
        Fact("split", "", by_group(order.budget)),
        *chosen(plans[0], order.budget),
    )
    return paper(RECIPE, order, scenes, facts)


def _problems(order: Order) -> Iterator[tuple[Problem, dict[str, object]]]:
    """Each question with what its plan must know of the size of its images."""
    source = real(order, BLOOD)
    if source is not None:
        published = {"accuracy": OVERALL}
        yield Problem("real-lineages", "Real images: lineages", source.about, source.manifest, False, published), {}
    if source is not None and source.own:
        given = source.manifest.table.get("count")
        if given is not None:
            numbers = source.manifest.add({"truth": given.astype(float)}, "number")
            yield Problem("real-counts", "Real images: cells an image", source.about, numbers, False), SMALL
    elif (counted := smears(order)) is not None:
        yield Problem("real-counts", "Real images: red cells a field", SMEARS.about, counted, False), SMALL
    cells = order.budget.cells
    world = simulated(
        order.into / "simulated", order, f"{cells} cells of four fates", kind="crops", look="phase", classes=4,
        cells=cells, groups=CLONES,
    )  # fmt: skip
    about = "Simulated cells in phase contrast: four fates stand in for eight lineages, groups are clones."
    yield Problem("simulated-lineages", "Simulated cells: four fates", about, world, True, {"accuracy": OVERALL}), {}
    fields = simulated(
        order.into / "simulated-fields", order, "fields of cells", kind="fields", look="phase", cells=3 * cells,
        groups=CLONES, wells=2,
    )  # fmt: skip
    about = "Quarters of simulated fields in phase contrast, the truth is how many cells the program drew in each."
    yield Problem("simulated-counts", "Simulated fields: cells a quarter", about, counts(fields), True), SMALL


SMALL = {"tile": 128, "fitting": "stretch"}  # a count needs the whole field, not every pixel of it


def smears(order: Order) -> Manifest | None:
    """Blood smears with their number of red cells."""
    from potency.data.manifest import Manifest

    if order.data is None or not (folder := order.data / SMEARS.folder).is_dir():
        return None
    import pandas as pd

    listed = pd.read_csv(folder / "manifest.csv")
    image = listed["split"] + "/images/" + listed["name"] + ".jpg"
    table = pd.DataFrame({"image": image, "truth": listed["RBC"].astype(float)})
    return sampled(Manifest.of_rows(table, folder, {"truth": "number"}), order.budget.rows)


def counts(fields: Manifest) -> Manifest:
    """The quarters of simulated fields, whose whole hold equally many cells: how many have their middle in each."""
    parts, middles = _parted(fields)
    return parts.add({"truth": [float(len(one)) for one in middles]}, "number")


def quarters(fields: Manifest, into: Path) -> Manifest:
    """The same quarters as images of their own, of the first channel, with the points of their cells; written once."""
    import pandas as pd

    from potency.data.manifest import Manifest
    from potency.simulate.write import png

    kept = into / "rows.parquet"
    if not kept.is_file():
        parts, middles = _parted(fields)
        for part in ("images", "points"):
            (into / part).mkdir(parents=True, exist_ok=True)
        rows = []
        for number, (row, points) in enumerate(zip(parts.records(), middles, strict=True)):
            png(into / f"images/{number:05d}.png", parts.open(row).crop(parts.window(row))[0])
            points.to_csv(into / f"points/{number:05d}.csv", index=False)
            rows.append({"image": f"images/{number:05d}.png", "truth": f"points/{number:05d}.csv",
                         "group": row["group"], "simulated": True})  # fmt: skip
        Manifest.of_rows(pd.DataFrame(rows), into, kinds={"truth": "objects"}).write(kept)
    return Manifest.read(kept)


def _parted(fields: Manifest) -> tuple[Manifest, list[pd.DataFrame]]:
    """The quarters of fields as windows, and of each the middles of its cells (y, x), from its own corner."""
    import pandas as pd

    cells = pd.read_csv(fields.folder / "cells.csv").groupby("file")
    parts, found = fields.explode(_quarters), []
    for row in parts.records():
        middles, part = cells.get_group(row["image"])[["y", "x"]], parts.window(row)
        assert part is not None
        inside = [middles[axis.lower()].between(part[axis].start, part[axis].stop, inclusive="left") for axis in "YX"]
        found.append(middles[inside[0] & inside[1]] - [part["Y"].start, part["X"].start])
    return parts, found


def _quarters(image: Image) -> list[tuple[int, int, int, int]]:
    high, wide = image.sizes["Y"] // 2, image.sizes["X"] // 2
    return [(y, x, high, wide) for y in (0, high) for x in (0, wide)]


def weakest(scene: Scene) -> Scene:
    """The scene with its classes from the worst to the best, as the first learner does by group."""
    report = scene.report
    figures = report.numbers["prediction"]
    found = sorted((figures[f"recall.{label}"].value, label) for label in report.labels if f"recall.{label}" in figures)
    if not found:
        return scene
    rows = tuple(
        (label, *(wording.spoken(figures.get(f"{metric}.{label}"), metric) for metric in ("recall", "precision", "f1")))
        for _, label in found
    )
    note = f"Published weakest: {WEAKEST.value} ({WEAKEST.stated}). Here the weakest is {found[0][1]}."
    header = ("class", "recall", "precision", "F1")
    return replace(scene, grids=(Grid("Classes, the weakest first", header, rows, note),))


RECIPE = Recipe(
    id="lineage-panel",
    title="Eight lineages in digital contrast, and quantity",
    area="B",
    published=(OVERALL, WEAKEST),
    method="simple CNN; lineage first, then count",
    run=run,
    budgets=(QUICK, DEFAULT, FULL),
)
