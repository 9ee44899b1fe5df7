"""System uptake: high or low uptake in fluorescence by five networks, image by image, the intensity beside them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from potency.evaluation.tables import Grid
from potency.systems.arms import Answered, Problem, answer, by_group, chosen, judge, paper
from potency.systems.comparison import Scene
from potency.systems.empty import grid
from potency.systems.figures import cloud
from potency.systems.recipe import Arm, Budget, Fact, Figure, Order, Recipe
from potency.systems.sources import SEED, Relative, real, simulated

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from potency.data.manifest import Manifest

SCORE = Figure("image score", ".742 = high uptake", "mean of 10 random patches of one unseen image")
MEASURED = Figure("mean intensity of 5 areas", "48.5", "of that image; references 33.61 (high) and 17.15 (low)")
OWN = (Arm("own CNN, 3 layers", {"network": "plain:depth=3"}), Arm("own CNN, 5 layers", {"network": "plain:depth=5"}))
KNOWN = (
    Arm("VGG16 (batch norm)", {"network": "vgg16-bn"}), Arm("ResNet-50", {"network": "resnet50"}),
    Arm("Inception-v3", {"network": "inceptionv3"}),
)  # fmt: skip
PATCH = 80  # px a side; Inception-v3 takes no less than 75
LIGHT = {"batch": 16, "validations": 2, "test_views": 1, "tile": PATCH, "fitting": "stretch"}
QUICK = Budget("quick", OWN, rows=300, cells=480, passes=2, folds=3, holdout=False, changes={**LIGHT, "validations": 1})
DEFAULT = Budget("default", (*OWN, *KNOWN), cells=480, passes=3, folds=3, holdout=False,
                 changes={**LIGHT, "precision": "bfloat16"})  # fmt: skip
FULL = Budget("full", (*OWN, *KNOWN), cells=9600, passes=60, holdout=False, changes=LIGHT)
PATCHES, AREAS = 10, 5  # of an image: for its score, and measured as by hand
HIGH, LOW = "high", "low"
LINE = 0.5
BY_INTENSITY = f"intensity of {AREAS} areas"
ALONE = (
    "Uptake is brightness, so intensity alone should decide: a network is worth its price only where it beats the rows "
    "of the intensity beside it. Where cells are few and areas are drawn blindly, five areas may miss them."
)
RELATIVE = Relative(
    "classify/tcell_autofluor",
    "Autofluorescence of single T cells of six donors, activated ('high') or quiescent ('low') (Wang 2020): brightness "
    "in fluorescence as the question, but no nanoparticles and no tumour. A cell takes the place of a patch, all cells "
    "of a donor in one state that of an image. Groups are donors; within a donor each batch holds one state.",
    ("activated", "quiescent"),
)


@dataclass(frozen=True)
class Image:
    """One image as a whole: its truth and group, the rows of its patches, its measured brightness."""

    name: str
    truth: str
    group: str
    rows: NDArray[np.intp]
    measured: float


def run(order: Order) -> Path:
    """Five networks on patches, then image by image, and the intensity beside both; the page."""
    scenes, plans = list[Scene](), []
    for problem in _problems(order):
        answered = answer(problem, order.budget.arms, order)
        scenes += [judge(problem, answered, order), by_image(problem, answered, order)]
        plans.append(next(iter(answered.plans.values())))
    facts = (
        Fact("images", "TNBC cells, confocal, a fluorescent drug in nanoparticles", "see each section"),
        Fact("networks", "two own CNNs, VGG16, ResNet50, Inception-v3", ", ".join(a.name for a in order.budget.arms)),
        Fact("layers of the own CNNs", "", "three and five convolution modules"),
        Fact("cross-validation", "5-fold", f"{order.budget.folds}-fold, {by_group(order.budget)}"),
        Fact("augmentation by rotation", "yes", "yes"),
        Fact("image score", f"mean of {PATCHES} random patches, > {LINE} = high",
             f"mean of {PATCHES} random patches, > {LINE} = high"),
        Fact("measured by hand", f"mean intensity of {AREAS} areas, against references",
             f"mean of {AREAS} random patches, against images of other groups"),
        *(fact for fact in chosen(plans[0], order.budget) if fact.what != "augmentation"),
    )  # fmt: skip
    return paper(RECIPE, order, scenes, facts, findings=(ALONE,))


def _problems(order: Order) -> Iterator[Problem]:
    source = real(order, RELATIVE)
    if source is not None:
        rows, (high, low) = source.manifest, source.manifest.classes[:2]
        rows = rows.keep((high, low))
        truth = np.where(rows.table["truth"].eq(high), HIGH, LOW)
        of = rows.table["image_of"] if "image_of" in rows.table else rows.table["group"].astype(str) + " " + truth
        rows = rows.add({"truth": truth, "whole": np.asarray(of, object)}, "category")
        rows = replace(rows, origin={k: v for k, v in rows.origin.items() if k != "classes"}).keep((HIGH, LOW))
        yield Problem("real", "Real images: patches", source.about, rows, False)
    world = simulated(
        order.into / "simulated-fields", order, "fields in fluorescence", kind="viability", cells=order.budget.cells,
        groups=20, wells=2,
    )  # fmt: skip
    image = world.table["stain"]
    fields = replace(world, table=world.table.drop(columns="stain").assign(image=image))
    made = fields.explode(grid(PATCH))
    truth = np.where(made.table["treatment"].eq("drug"), HIGH, LOW)
    rows = made.add({"truth": truth, "whole": made.table["tile.of"].to_numpy()}, "category").keep((HIGH, LOW))
    about = ("Simulated fluorescence: more cells take up a stain in wells with a drug ('high') than in wells without "
             "('low'). A patch carries the label of its image, and may hold no cell. Groups are clones.")  # fmt: skip
    yield Problem("simulated", "Simulated images: patches", about, rows, True)


def by_image(problem: Problem, answered: Answered, order: Order) -> Scene:
    """The same networks image by image, against what the intensity says."""
    names = {c: name for c, name in answered.names.items() if not c.endswith("random")}
    if f"prediction@trivial.probability.{HIGH}" in answered.manifest.table:
        names["prediction@trivial"] = "trivial"
    images = wholes(answered.manifest)
    table = scored(answered.manifest.table, images, list(names))
    rows = replace(answered.manifest, table=table, kinds={"truth": "category"})
    about = (f"An image is high where the mean of {PATCHES} random patches is over {LINE}; '{BY_INTENSITY}' is high "
             "where the mean of five random patches is nearer to the high than to the low images of other groups.")
    title = problem.title.replace("patches", "whole images")
    own = Problem(f"{problem.name}-images", title, f"{problem.about} {about}", rows, problem.simulated)
    scene = judge(own, Answered(rows, {**names, "prediction@measured": BY_INTENSITY}, {}, answered.facts), order)
    score, truth = table[f"prediction.probability.{HIGH}"], table["truth"]
    both = np.column_stack([table["measured"], score])
    clouds = {kind: tuple(both[truth.eq(kind)].T) for kind in (HIGH, LOW)}
    look = f"Each point is an image; over {LINE} it is called high by {next(iter(names.values()))}."
    picture = cloud("Score and measured intensity", clouds, ("mean intensity of five areas", "image score"), look)
    return replace(scene, grids=(agreement(table, names),), pictures=(picture,))


def wholes(rows: Manifest, seed: int = SEED) -> list[Image]:
    """The images that patches with an answer belong to, and the mean intensity of five random patches of each."""
    table, records, rng = rows.table, rows.records(), np.random.default_rng([seed, 47])
    known = table["prediction"].notna().to_numpy()
    found = []
    for name in dict.fromkeys(table["whole"][known]):
        at = np.flatnonzero(known & table["whole"].eq(name).to_numpy())
        first = table.iloc[at[0]]
        areas = [records[k] for k in rng.permutation(at)[:AREAS]]
        measured = float(np.mean([rows.open(row).crop(rows.window(row)).mean() for row in areas]))
        found.append(Image(str(name), str(first["truth"]), str(first["group"]), at, measured))
    return found


def scored(table: pd.DataFrame, images: list[Image], columns: list[str], seed: int = SEED) -> pd.DataFrame:
    """One row an image: its truth, each network's mean over ten random patches, and what the intensity says."""
    import pandas as pd

    rng = np.random.default_rng([seed, 53])
    lines = []
    for image in images:
        some = rng.permutation(image.rows)[:PATCHES]
        line: dict[str, Any] = {"id": image.name, "group": image.group, "truth": image.truth}
        line["measured"] = image.measured
        for column in columns:
            score = float(table[f"{column}.probability.{HIGH}"].iloc[some].mean())
            line |= _called(column, score)
        lines.append(line | {"prediction@measured": by_intensity(image, images)})
    return pd.DataFrame(lines)


def _called(column: str, score: float) -> dict[str, Any]:
    return {column: HIGH if score > LINE else LOW, f"{column}.probability.{HIGH}": score,
            f"{column}.probability.{LOW}": 1 - score}  # fmt: skip


def by_intensity(image: Image, images: list[Image]) -> str | None:
    """High or low by which of the references, images of other groups, is nearer; None where one is missing."""
    others = [other for other in images if other.group != image.group]
    means = [[other.measured for other in others if other.truth == kind] for kind in (HIGH, LOW)]
    if not all(means):
        return None
    high, low = (float(np.mean(values)) for values in means)
    return HIGH if abs(image.measured - high) < abs(image.measured - low) else LOW


def agreement(table: pd.DataFrame, names: dict[str, str]) -> Grid:
    """How often each network says of an image what its intensity says, and how both go together."""
    rows = []
    for column, name in names.items():
        both = table[[column, "prediction@measured", f"{column}.probability.{HIGH}", "measured"]].dropna()
        if len(both) < 3:
            continue
        same = float(both[column].eq(both["prediction@measured"]).mean())
        score = both[f"{column}.probability.{HIGH}"]
        varied = score.nunique() > 1 and both["measured"].nunique() > 1
        r = f"{score.corr(both['measured'], method='spearman'):.2f}".replace("-", "−") if varied else "–"
        rows.append((name, f"{same:.0%} of {len(both)}", r))
    note = f"Published: one image, {SCORE.value}; {MEASURED.value} measured, {MEASURED.stated.partition('; ')[2]}."
    header = ("network", "images called as by their intensity", "Spearman r of score and intensity")
    return Grid("Agreement with the measured intensity", header, tuple(rows), note)


RECIPE = Recipe(
    id="uptake",
    title="Nanoparticle uptake in TNBC confocal images",
    area="B",
    published=(SCORE, MEASURED),
    missing=("real images with patches (the real relative has single cells in their place)",),
    method="2 own CNNs + VGG16, ResNet50, Inception-v3; cross-validation; random patches averaged, threshold .5",
    run=run,
    budgets=(QUICK, DEFAULT, FULL),
)
