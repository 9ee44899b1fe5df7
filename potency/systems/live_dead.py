"""System live-dead: living or dead without a label, the truth taken from a stain, empty patches removed first."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from potency.errors import ManifestError
from potency.evaluation import wording
from potency.evaluation.tables import Grid
from potency.measurement.quality.ground import otsu
from potency.systems.arms import Answered, Problem, answer, chosen, judge, paper
from potency.systems.comparison import Scene, Sheet
from potency.systems.empty import emptiness, grid, known_empties, mapped, pixels, shares
from potency.systems.figures import cloud
from potency.systems.recipe import Arm, Budget, Fact, Figure, Order, Recipe
from potency.systems.sources import SEED, Relative, real, sampled, simulated

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from potency.data.manifest import Manifest

UNTREATED = Figure("balanced accuracy", ".866 [.851, .881]", "no treatment, Inception-v3; AUC .941")
TREATED = Figure("balanced accuracy", ".923 [.916, .930]", "doxorubicin/paclitaxel, Inception-v3; AUC .978")
TEST_SETS = {  # treatment: its title, and what was published of it
    "none": ("no treatment", {"balanced_accuracy": UNTREATED, "auc": Figure("AUC", ".941", "no treatment")}, "−.705"),
    "drug": ("with a drug", {"balanced_accuracy": TREATED, "auc": Figure("AUC", ".978", "treated")}, "−.281"),
}  # fmt: skip
PATCH = 80  # px a side; Inception-v3 takes no less than 75
ARMS = (
    Arm("Inception-v3", {"network": "inceptionv3"}), Arm("ResNet-18", {"network": "resnet18"}),
    Arm("SqueezeNet", {"network": "squeezenet"}),
)  # fmt: skip
LIGHT = {"batch": 16, "validations": 2, "test_views": 1, "tile": PATCH, "fitting": "stretch", "precision": "bfloat16"}
TRIED = (replace(ARMS[2], passes=3), replace(ARMS[1], passes=1))
QUICK = Budget("quick", TRIED, rows=240, cells=960, passes=1, changes={**LIGHT, "validations": 1})
DEFAULT = Budget("default", ARMS, rows=2400, cells=1920, passes=5, changes=LIGHT)
FULL = Budget("full", ARMS, cells=19_200, passes=60, changes={**LIGHT, "precision": "float32"})
LIVE, DEAD = "live", "dead"
FIELDS = 24  # cells of a simulated field, and what it takes for the number of wells
SHARE = 1 / 3  # of the groups is tested and decides nothing
LEAST = 60  # px of a dead cell in a patch, that it may be seen
RELATIVE = Relative(
    "classify/jurkat_ifc_cellcycle",
    "Jurkat cells in brightfield with their propidium iodide beside them (Blasi et al. 2016): the very stain, but of "
    "fixed cells, where it tells how much DNA there is. 'Dead' stands here for the brighter, 'live' for the darker "
    "cells: the question is another, the way from stain to label to score is the same.",
)
MASKED = "segment/usiigaci_phase"


@dataclass(frozen=True)
class Plate:
    """Images with a column `stain` (the fluorescence file of each) and `treatment`; patches are cut of whole fields."""

    name: str
    title: str
    about: str
    rows: Manifest
    simulated: bool
    whole: bool


def run(order: Order) -> Path:
    """From a stain to labels, from labels to three networks, from their scores back to the stain; the page."""
    scenes, sheets, plans = list[Scene](), list[Sheet](), []
    for plate in _plates(order):
        found, sheet, plan = _study(plate, order)
        if plate.simulated:
            title = "Simulated images: are empty patches found?"
            whole = replace(plate.rows, table=plate.rows.table.drop(columns="stain"))
            asked = Problem("simulated-empties", title, plate.about, whole, True)
            scenes.append(known_empties(asked, PATCH, order))
        scenes += found
        sheets += sheet
        plans.append(plan)
    if (scene := _outlined(order)) is not None:
        scenes.insert(0, scene)
    tested = f"whole groups, a third of them ({SHARE:.0%}) tested; two test sets by treatment"
    facts = (
        Fact("cells", "JIMT-1, brightfield", "see each section"),
        Fact("labels", "patches live, dead (propidium iodide) or empty",
             "patches live or dead by the stain; empty ones removed"),
        Fact("label threshold", "", "Otsu of the square root of the patch's mean, on learning rows only"),
        Fact("empty patches", "ResNet-18 features and a 2-D t-SNE map",
             "texture, Otsu on learning rows only; features of a network and a t-SNE map beside it"),
        Fact("patch", "", f"{PATCH} x {PATCH} px"),
        Fact("split", "", tested),
        Fact("interval", "method not stated", "bootstrap over groups, 1,000 draws"),
        Fact("initial weights", "", str(plans[0].get("weights") or "from scratch")),
        *chosen(plans[0], order.budget),
    )  # fmt: skip
    return paper(RECIPE, order, scenes, facts, sheets=sheets)


def _plates(order: Order) -> Iterator[Plate]:
    source = real(order, RELATIVE)
    if source is not None:
        rows = source.manifest
        if not source.own:
            files = rows.table["image"].str.replace("brightfield/", "dna_pi/", n=1)
            rows = rows.add({"stain": files})
        elif "stain" not in rows.table:
            raise ManifestError("no column holds the fluorescence of each image", f"{order.data}, column 'stain'",
                                "give a table with columns file, stain, group and, if any, treatment")  # fmt: skip
        rows = rows if "treatment" in rows.table else rows.add({"treatment": ["none"] * len(rows)})
        yield Plate("real", "Real images", source.about, rows, False, source.own)
    wells = max(2, order.budget.cells // FIELDS // 20)
    drawn = simulated(
        order.into / "simulated", order, "living and dead cells", kind="viability", cells=order.budget.cells, groups=20,
        wells=wells,
    )  # fmt: skip
    about = ("Simulated fields in brightfield of living and dead cells, with a stain that only the dead let in; half "
             "the wells got a drug; groups are clones. Their difficulty is ours.")  # fmt: skip
    yield Plate("simulated", "Simulated images", about, drawn, True, True)


def _study(plate: Plate, order: Order) -> tuple[list[Scene], list[Sheet], Any]:
    """Labels, empties, networks, test sets and correlations of one plate."""
    rows = dealt(plate.rows)
    learned = rows.table["split"].ne("test").to_numpy()
    sheets: list[Sheet] = []
    if plate.whole:
        order.say(f"{plate.title}: removing empty patches")
        rows = rows.explode(grid(PATCH))
        learned = rows.table["split"].ne("test").to_numpy()
        found = emptiness(pixels(rows), learned)
        kept, total = int((~found.empty).sum()), len(rows)
        about = (f"{total - kept} of {total} patches of {PATCH} px hold no cell as far as their texture tells, "
                 "and are removed before any label is made.")  # fmt: skip
        sheets.append(Sheet(f"{plate.name}-empty", f"{plate.title}: empty patches", about, plate.simulated,
                            pictures=(mapped(found),)))  # fmt: skip
        rows, learned = rows.where((~found.empty).tolist()), learned[~found.empty]
    rows, threshold = labelled(rows, learned)
    if plate.simulated and sheets:
        sheets[-1] = replace(sheets[-1], grids=(worth(rows),))
    arms = order.budget.arms
    problem = Problem(plate.name, plate.title, plate.about, rows, plate.simulated)
    answered = answer(problem, arms, order)
    shown = answered.manifest.where(answered.manifest.table["split"].eq("test"))
    scenes = []
    for treatment, (title, published, said) in TEST_SETS.items():
        some = shown.where(shown.table["treatment"].eq(treatment))
        if not len(some) or some.table["truth"].nunique() < 2:
            continue
        own = Problem(f"{plate.name}-{treatment}", f"{plate.title}: {title}", f"{plate.about} Threshold of the label: "
                      f"{threshold:.3g} counts above the ground.", some, plate.simulated, published)  # fmt: skip
        scene = judge(own, replace(answered, manifest=some), order)
        scenes.append(correlated(scene, some, answered, said))
    return scenes, sheets, next(iter(answered.plans.values()))


def dealt(rows: Manifest, seed: int = SEED) -> Manifest:
    """The rows with a column `split`: of all groups a third, drawn at random, is the test.

    Raises:
        ManifestError: under three groups.
    """
    groups = np.array(sorted(rows.table["group"].astype(str).unique()))
    if len(groups) < 3:
        raise ManifestError("a test set needs groups of its own", f"{len(groups)} groups", "give at least three groups")
    tested = np.random.default_rng([seed, 31]).permutation(groups)[: max(1, round(SHARE * len(groups)))]
    return rows.add({"split": np.where(rows.table["group"].astype(str).isin(tested), "test", "train")})


def labelled(rows: Manifest, learned: NDArray[np.bool_]) -> tuple[Manifest, float]:
    """The rows with `stained` (counts above the ground of their image) and `truth` by it, and the threshold between.

    The threshold is Otsu's (1979), on the square root of the counts, which evens out their noise, and on the `learned`
    (N,) rows only: the rows of a test take no part in it.

    Raises:
        ManifestError: the stain is the same everywhere, so that there are no two classes.
    """
    bright = stained(rows)
    root = np.sqrt(np.maximum(bright, 0))
    above = root[learned] > otsu(root[learned])
    if above.all() or not above.any():
        raise ManifestError("the stain tells no two classes apart", "column 'stain'", "is this the right channel?")
    # Anywhere in the gap between both kinds is as good by Otsu; its middle errs least on rows not seen.
    threshold = (root[learned][~above].max() + root[learned][above].min()) / 2
    truth = np.where(root > threshold, DEAD, LIVE)
    return rows.add({"truth": truth, "stained": bright}, {"truth": "category"}), float(threshold**2)


def stained(rows: Manifest) -> NDArray[np.float64]:
    """Mean of the stain over each row (its patch, or the whole image), less the median of the image, its ground."""
    from potency.data.readers import open_image

    made, last = np.empty(len(rows)), ""
    plane, ground = np.zeros((1, 1)), 0.0
    for at, row in enumerate(rows.records()):
        if row["stain"] != last:
            last = row["stain"]
            plane = open_image(rows.folder / last).crop()[0].astype(np.float64)
            ground = float(np.median(plane))
        window = rows.window(row)
        here = plane if window is None else plane[window["Y"], window["X"]]
        made[at] = here.mean() - ground
    return made


def correlated(scene: Scene, rows: Manifest, answered: Answered, published: str) -> Scene:
    """The scene with how the mean score of each image goes with its mean fluorescence, for every network."""
    import pandas as pd

    from potency.evaluation.evaluate import evaluate

    table, of = rows.table, "tile.of" if "tile.of" in rows.table else "group"
    names = [c for c in answered.names if not c.endswith("random") and f"{c}.probability.{LIVE}" in table]
    lines, clouds = [], {}
    for column in names:
        part = table.assign(score=table[f"{column}.probability.{LIVE}"]).dropna(subset=["score"])
        images = part.groupby(of).agg(truth=("stained", "mean"), prediction=("score", "mean"), group=("group", "first"))
        if len(images) < 3:
            continue
        told = evaluate(pd.DataFrame(images.reset_index(names="id"))).numbers["prediction"].get("pearson")
        lines.append((str(answered.names[column]), wording.spoken(told, "pearson"), str(len(images))))
        clouds[str(answered.names[column])] = (images["truth"].to_numpy(), images["prediction"].to_numpy())
    unit = "image" if of == "tile.of" else "group of cells (they have no image of their own)"
    note = f"Published: r {published}, per-image mean of propidium iodide. Here: one point per {unit}; high = live."
    held = Grid("Mean score against mean fluorescence", ("network", "Pearson r", "points"), tuple(lines), note)
    look = "A score that follows life falls as the stain of the dead rises."
    axes = ("mean fluorescence above the ground", "mean score (live)")
    picture = cloud("Score and fluorescence", clouds, axes, look)
    return replace(scene, grids=(*scene.grids, held), pictures=(*scene.pictures, picture) if clouds else scene.pictures)


def _outlined(order: Order) -> Scene | None:
    """Real fields whose cells somebody outlined: are the empty patches found?"""
    import pandas as pd

    from potency.data.manifest import Manifest

    if order.data is None or not (folder := order.data / MASKED).is_dir():
        return None
    files = pd.Series(sorted(path.relative_to(folder).as_posix() for path in folder.glob("*/images/*.png")))
    masks = files.str.replace("/images/", "/labels/").str.replace(".png", ".tif")
    every = Manifest.of_rows(pd.DataFrame({"image": files, "mask": masks}), folder)
    fields = sampled(every, 12 if order.budget.rows else 0)
    order.say(f"empty patches of {len(fields)} real fields")
    about = "Phase-contrast fields whose cells were outlined by hand; groups are images."
    problem = Problem("real-empties", "Real images: are empty patches found?", about, fields, False)
    return known_empties(problem, PATCH, order)


def worth(rows: Manifest) -> Grid:
    """What labels from the stain are worth where it is known which cells are dead: in simulated patches."""
    dead = shares(rows, "evidence") * PATCH**2 >= LEAST
    said = rows.table["truth"].eq(DEAD).to_numpy()
    lines = [
        (name, str(int(here.sum())), f"{np.mean(said[here] == called):.0%}")
        for name, here, called in (("with a dead cell", dead, True), ("without", ~dead, False))
    ]
    note = f"A dead cell counts from {LEAST} of its pixels on. What the stain mislabels no network can learn."
    return Grid("What the labels are worth", ("patch", "patches", "labelled so"), tuple(lines), note)


RECIPE = Recipe(
    id="live-dead",
    title="Live/dead JIMT-1 from brightfield (Pattarone 2021)",
    area="B",
    published=(
        Figure("balanced accuracy, no treatment", ".866 [.851, .881], AUC .941", "Inception-v3; r with mean PI -.705"),
        Figure("balanced accuracy, doxorubicin/paclitaxel", ".923 [.916, .930], AUC .978", "Inception-v3; r -.281"),
    ),
    missing=(
        "real images of living and dead cells with their stain, and of two treatments (the relative's stain tells DNA)",
    ),
    method="ResNet, SqueezeNet, Inception-v3 on patches; labels from the fluorescence channel; empty patches removed",
    run=run,
    budgets=(QUICK, DEFAULT, FULL),
)
