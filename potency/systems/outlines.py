"""Systems of area C that outline: decoders behind one network, and two networks before one decoder, in one table."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from potency.evaluation import wording
from potency.systems.arms import Problem, answer, by_group, chosen, judge, paper, slug
from potency.systems.comparison import Scene
from potency.systems.recipe import Arm, Budget, Fact, Figure, Order, Recipe
from potency.systems.sources import Relative, real, sampled, simulated

if TYPE_CHECKING:
    from potency.data.manifest import Manifest

LIGHT = {"precision": "bfloat16", "validations": 2, "test_views": 1}
CELLS = "Simulated cells in phase contrast, whole and often touching; groups are clones. Their difficulty is ours."


def of_table(path: Path, image: str, truth: str, group: str, kept: str = "", also: Sequence[str] = ()) -> Manifest:
    """Rows of a set that has a table of its own making; `kept` asks for names that begin so, `also` for columns."""
    import pandas as pd

    from potency.data.manifest import Manifest

    told = pd.read_csv(path / "manifest.csv")
    if kept:
        told = told[told["name"].str.startswith(kept)].reset_index(drop=True)
    told = told.astype(str)
    cells = [{str(name): cell for name, cell in row.items()} for row in told.to_dict("records")]
    paths = {"image": [image.format(**row) for row in cells], "truth": [truth.format(**row) for row in cells]}
    table = pd.DataFrame({**paths, "group": told[group].to_list(), **{name: told[name].to_list() for name in also}})
    return Manifest.of_rows(table, path, kinds={"truth": "labels"})


NUCLEI = Relative(
    "segment/dsb2018",
    "Nuclei in fluorescence (Data Science Bowl 2018), drawn by hand; the set names no slides, so each image is a group "
    "of its own, and fields of one slide may stand on both sides: optimistic.",
    rows=partial(of_table, image="{split}/images/{name}.png", truth="{split}/labels/{name}.tif", group="name",
                 kept="fluo"),
)  # fmt: skip
PHASE = Relative(
    "segment/usiigaci_phase",
    "Whole cells in phase contrast (Usiigaci), drawn by hand; the set names no movies, so each image is a group of its "
    "own, and frames of one movie may stand on both sides: optimistic.",
    rows=partial(of_table, image="{split}/images/{name}.png", truth="{split}/labels/{name}.tif", group="name"),
)
TISSUE = partial(of_table, image="{image}", truth="{inst}", group="group")
STAINED = Relative(
    "tissue/dsb2018_stained",
    "Nuclei in stained tissue (Data Science Bowl 2018), drawn by hand; groups are the mosaics that its tiles make.",
    rows=TISSUE,
)
MONUSEG = Relative(
    "tissue/monuseg_train",
    "Nuclei in H&E at 40x, drawn by hand: the training images of MoNuSeg (TCGA) that are at hand, not its test set; "
    "one image a patient, so groups are patients. Licence CC BY-NC-SA: what learns from them is not given away.",
    rows=TISSUE,
)

Sets = Sequence[tuple[str, str, Relative]]  # name, title, where it lies


def problems(order: Order, sets: Sets, published: Mapping[str, Figure]) -> Iterator[Problem]:
    """The real sets at hand, or the user's own, and the simulated cells."""
    for name, title, relative in sets:
        source = real(order, relative, truth="labels")
        if source is not None and source.own:  # they take the place of every set
            yield Problem("real", "Your images", source.about, source.manifest, False, published)
            break
        if source is not None:
            yield Problem(f"real-{name}", f"Real images: {title}", source.about, source.manifest, False, published)
    if order.budget.cells:
        from potency.data.manifest import Manifest

        place = order.into / "simulated"
        simulated(place, order, f"{order.budget.cells} cells in phase contrast", kind="fields", look="phase",
                  cells=order.budget.cells, groups=GROUPS)  # fmt: skip
        world = Manifest.read(place, truth="mask")
        yield Problem("simulated-cells", "Simulated cells", CELLS, sampled(world, order.budget.rows), True)


GROUPS = 25  # simulated clones: a fifth of them must still give an interval

# The rows of the table: how it is called there, and the decoder.
DECODERS = {
    "watershed": ("learned distance, then watershed", "distance"),
    "flows": ("gradient flows", "flows"),
    "embedding": ("embedding vectors", "embedding"),
    "stardist": ("star-convex shapes", "stardist"),
    "boundary": ("interior and boundary classes", "boundary"),
    "hover": ("horizontal and vertical maps", "hover"),
}
PLAIN = {"network": "unet:width=16:depth=3", "tile": 128, "batch": 8, **LIGHT}


def decoders(id: str, order: Order) -> Path:
    """One network with each decoder on the same rows; the decoder of this system stands first and is compared."""
    arms = sorted(order.budget.arms, key=lambda arm: arm.changes["decoder"] != DECODERS[id][1])
    sets = (("nuclei", "nuclei in fluorescence", NUCLEI), ("phase", "whole cells in phase contrast", PHASE))
    scenes, plan = beside(problems(order, sets, {}), arms, order)
    facts = (
        Fact("network", "", f"{PLAIN['network']}, the same for every decoder, with the maps that the decoder needs"),
        Fact("steps", "", str(plan.get("steps", "as planned"))),
        Fact("thresholds", "", "of each decoder, chosen on the validation rows"),
        Fact("split", "", by_group(order.budget)),
        *chosen(plan, order.budget),
    )
    return paper(SYSTEMS[id], order, scenes, facts)


def beside(every: Iterable[Problem], arms: Sequence[Arm], order: Order) -> tuple[list[Scene], Mapping[str, Any]]:
    """The arms and what learns nothing on the rows of every problem; and the plan of the first arm."""
    scenes, plans = list[Scene](), list[Mapping[str, Any]]()
    for problem in every:
        shared = problem.manifest.table["group"].nunique() < len(problem.manifest)  # else both splits are the same
        answered = answer(problem, arms, order, random=shared)
        scenes.append(judge(problem, answered, order))
        plans.append(next(iter(answered.plans.values())))
    return scenes, plans[0]


ARMS = tuple(Arm(title, {"decoder": decoder}) for title, decoder in DECODERS.values())


def budgets(id: str) -> tuple[Budget, ...]:
    """All decoders, but where it is only tried: then the own one and one beside it."""
    two = [arm for arm in ARMS if arm.changes["decoder"] in (DECODERS[id][1], "flows" if id != "flows" else "distance")]
    return (
        Budget("quick", tuple(two), rows=10, cells=60, changes={**PLAIN, "steps": 5, "batch": 4, "validations": 1}),
        Budget("default", ARMS, rows=150, cells=1200, changes={**PLAIN, "steps": 800}),
        Budget("full", ARMS, cells=6000, changes={**PLAIN, "steps": 20_000}),
    )


METRICS = {
    "dice": Figure("Dice", ".8008", "U-Net .7844"),
    "f1.50": Figure("F1", ".8278", "U-Net .8155"),
    "aji": Figure("AJI", ".5635", "U-Net .5462"),
}
PUBLISHED = "Dice +.016, F1 +.012, AJI +.017"
RIC, UNET = "RIC-UNet", "U-Net"
BOTH = (Arm(RIC, {"network": "ric-unet"}), Arm(UNET, {"network": "unet-ronneberger"}))
HEAVY = {"decoder": "boundary", "tile": 128, "batch": 4, **LIGHT}


def ric_unet(order: Order) -> Path:
    """RIC-UNet and U-Net trained alike on stained tissue, by mosaic and by patient, with their paired differences."""
    sets = (("mosaics", "stained tissue, by mosaic", STAINED), ("patients", "H&E, by patient", MONUSEG))
    scenes, plan = beside(problems(order, sets, METRICS), order.budget.arms, order)
    facts = (
        Fact("images", "H&E of TCGA, the MoNuSeg set", "see each section"),
        Fact("networks", "RIC-UNet v. U-Net", "RIC-UNet v. U-Net"),
        Fact("widths of RIC-UNet", "", "ours: the paper's own were not at hand"),
        Fact("maps and decoding", "", "interior, boundary and background classes; thresholds from validation rows"),
        Fact("steps", "", str(plan.get("steps", "as planned"))),
        Fact("split", "", by_group(order.budget)),
        *chosen(plan, order.budget),
    )
    return paper(SYSTEMS["ric-unet"], order, scenes, facts, findings=list(differences(scenes)))


def differences(scenes: Sequence[Scene]) -> Iterator[str]:
    """RIC-UNet minus U-Net in each published figure, on the same images, set by set."""
    for scene in scenes:
        contest = next((one for one in scene.report.contests if one.second == f"prediction@{slug(UNET)}"), None)
        told = contest.differences if contest is not None else {}
        shown = [f"{METRICS[metric].metric} {wording.spoken(told[metric], metric, signed=True)}"
                 for metric in METRICS if metric in told]  # fmt: skip
        if shown:
            kind = "simulated" if scene.simulated else "real"
            yield f"{scene.title} ({kind}), {RIC} minus {UNET}: {'; '.join(shown)} (published {PUBLISHED})."


# Three folds: of the nine patients at hand one fold of five would leave two images to judge by.
NETWORKS = (
    Budget("quick", BOTH, rows=9, cells=120, folds=3, changes={**HEAVY, "steps": 2, "validations": 1, "tile": 64}),
    Budget("default", BOTH, rows=54, cells=600, folds=3, holdout=False, changes={**HEAVY, "steps": 300}),
    Budget("full", BOTH, cells=6000, folds=3, holdout=False, changes={**HEAVY, "steps": 40_000, "tile": 256}),
)


UNSEEN = ("its default budget has not been run to the end on two cores",)


def _decoder(id: str, title: str, method: str) -> Recipe:
    return Recipe(id, title, "C", missing=UNSEEN, method=method, run=partial(decoders, id), budgets=budgets(id))


SYSTEMS = {
    recipe.id: recipe
    for recipe in (
        _decoder("watershed", "Distance transform and watershed", "learned distance transform, then watershed"),
        _decoder("flows", "Gradient flows", "our addition"),
        _decoder("embedding", "Embedding vectors", "a vector a pixel, clustered into objects"),
        _decoder("stardist", "Star-convex shapes", "our addition"),
        Recipe("ric-unet", "RIC-UNet", "C", tuple(METRICS.values()), UNSEEN,
               method="residual + inception + channel attention U-Net, H&E nuclei", run=ric_unet, budgets=NETWORKS),
    )
}  # fmt: skip
