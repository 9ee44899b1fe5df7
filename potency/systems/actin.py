"""System actin: three lines by their stained cells; what transfer gains, what enhancement gains, what people reach."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from potency.evaluation import wording
from potency.systems.arms import Answered, Problem, answer, by_group, chosen, judge, named_columns, paper, slug
from potency.systems.comparison import Scene, Sheet
from potency.systems.people import read
from potency.systems.recipe import Arm, Asked, Budget, Fact, Figure, Order, Recipe
from potency.systems.sources import Relative, Source, real, simulated

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from potency.data.manifest import Manifest

NETWORK = Figure("accuracy", "97.6 %", "CNN; experts 78.6 %")
PEOPLE = Figure("accuracy of experts", "78.6 %", "how many is not stated")
PUBLISHED_FIRST = {"network": "mobilenetv2", "normalise": "half"}  # the weights at hand expect -1..1
ELSEWHERE, HERE, SCRATCH = "ImageNet first", "another set first", "from scratch"
ARMS = (Arm(HERE, {"network": "mobilenetv2"}), Arm(SCRATCH, {"network": "mobilenetv2"}))
LIGHT = {"batch": 16, "validations": 2, "test_views": 1, "tile": 64, "fitting": "stretch"}
QUICK = Budget("quick", ARMS, rows=200, cells=160, passes=1.5, changes={**LIGHT, "validations": 1})
DEFAULT = Budget("default", ARMS, cells=1200, passes=10, folds=3, changes=LIGHT, holdout=False)
FULL = Budget("full", ARMS, cells=12_000, passes=60, changes={**LIGHT, "tile": 128}, holdout=False)
WEIGHTS = "weights/mobilenet_v2_tf2/mobilenet_v2_torchvision.safetensors"
RELATIVE = Relative(
    "classify/mitocheck_nuclei16",
    "Nuclei of HeLa cells in fluorescence, three of 16 phenotypes (MitoCheck): stained structures on a dark ground, as "
    "actin is, but nuclei of one line, not the skeleton of three. Groups are movies.",
    ("Interphase", "Prometaphase", "Apoptosis"),
)
BEFORE = Relative(
    "classify/jurkat_ifc_cellcycle",
    "Jurkat cells with their DNA stained, four phases (Blasi et al. 2016): what the network learns before.",
    ("G1", "S_phase", "G2", "Prophase"),
)
CLIP, RADIUS, AMOUNT = 0.01, 2.0, 1.0  # of the adaptive equalisation; of the unsharp mask, px and strength


def run(order: Order) -> Path:
    """Transfer and scratch, raw and enhanced, and people, on the same rows; the page."""
    scenes, sheets, plans, said = list[Scene](), list[Sheet](), [], list[str]()
    for name, source, before, weights in _sources(order):
        drawn = name == "simulated"
        title = "Simulated cells: three fates" if drawn else f"Real images: {', '.join(source.manifest.classes)}"
        problem = Problem(name, title, source.about, source.manifest, drawn, {"accuracy": NETWORK})
        answered = _answered(problem, before, weights, order)
        answered, sheet, _ = read(problem, answered, order)
        scene = judge(problem, answered, order)
        scenes.append(scene)
        sheets.append(sheet)
        plans.append(next(iter(answered.plans.values())))
        said.append(" ".join((f"{title}.", *ablations(scene))))
    facts = (
        Fact("cells", "MCF-10A (normal), MCF-7, MDA-MB-231, actin stained", "see each section"),
        Fact("network", "a CNN, which is not stated", "MobileNetV2"),
        Fact("transfer", "clearly better than from scratch", "ImageNet weights where a collection holds them; else "
             "weights learned here on another set"),
        Fact("enhancement", "made for people, did not help the CNN",
             f"adaptive equalisation (clip {CLIP}), unsharp mask ({RADIUS:g} px, strength {AMOUNT:g})"),
        Fact("people", "experts, blinded; how many is not stated", "a page without names, as many as read it"),
        Fact("split", "", by_group(order.budget)),
        Fact("test of a difference", "", "paired bootstrap over groups, McNemar and DeLong beside it"),
        *chosen(plans[0], order.budget),
    )  # fmt: skip
    return paper(RECIPE, order, scenes, facts, findings=said, sheets=sheets)


def _sources(order: Order) -> Iterator[tuple[str, Source, Manifest | None, str]]:
    """Each set, what is learned before it, and the file of ImageNet weights where there is one."""
    source = real(order, RELATIVE)
    if source is not None:
        assert order.data is not None
        weights = order.data / WEIGHTS
        before = None
        if not source.own:
            earlier = real(order, BEFORE, channels=("dna_pi",))
            before = earlier.manifest if earlier is not None and not earlier.own else None
        yield "real", source, before, str(weights) if weights.is_file() else ""
    cells = order.budget.cells
    world = simulated(
        order.into / "simulated-cells", order, f"{cells} cells of three fates", kind="crops", look="phase", classes=3,
        cells=cells, groups=30,
    )  # fmt: skip
    first = simulated(
        order.into / "simulated-before", order, "cells to learn from before", kind="crops", look="brightfield",
        classes=4, cells=cells, groups=30,
    )  # fmt: skip
    about = "Simulated cells in phase contrast: three fates stand in for three lines; groups are clones."
    yield "simulated", Source(world, about), first, ""


def _answered(problem: Problem, before: Manifest | None, weights: str, order: Order) -> Answered:
    """Every arm on the images as they are, and those of the first and of the last on enhanced ones."""
    arms = _arms(problem, before, weights, order)
    answered = answer(problem, arms, order)
    better = enhanced(problem.manifest, order.into / f"{problem.name}-enhanced-images")
    again = replace(problem, name=f"{problem.name}-enhanced", title=f"{problem.title}, enhanced", manifest=better)
    twice = [arms[0]] if order.budget.name == "quick" else [arms[0], arms[-1]]
    names, rows = dict(answered.names), answered.manifest
    for arm in twice:
        found = answer(again, [arm], order, baselines=())
        called = f"{arm.name}, enhanced"
        kept = [c for c in found.manifest.table if c == "id" or str(c).startswith("prediction")]
        told: pd.DataFrame = named_columns(found.manifest.table[kept], slug(called))
        rows = rows.add(told)
        names |= {str(c): called for c in told if c != "id" and "." not in str(c)}
    return replace(answered, manifest=rows, names=names)


def _arms(problem: Problem, before: Manifest | None, weights: str, order: Order) -> list[Arm]:
    """The arms that can be learned here: with ImageNet weights, going on from another set, from scratch."""
    here, scratch = order.budget.arms
    arms = []
    if weights:
        arms.append(Arm(ELSEWHERE, {**PUBLISHED_FIRST, "weights": weights}))
    else:
        order.say(f"{problem.title}: no ImageNet weights at hand: transfer from another set learned here")
    if before is not None:
        place = order.into / f"{problem.name}-before"
        asked = Asked({**order.budget.changes, **here.changes}, passes=order.budget.passes, holdout=True, random=False,
                      title=f"{problem.title}: learned before", arm="what is learned before")  # fmt: skip
        order.learn(before, asked, place, order.say)
        arms.append(replace(here, start=str(place / "bundle")))
    return [*arms, scratch]


def enhanced(rows: Manifest, into: Path) -> Manifest:
    """The same rows with images enhanced for people, written once as grey PNG of 8 bit.

    Contrast-limited adaptive equalisation (Pizer et al. 1987), then an unsharp mask. Several channels become one, their
    mean, each stretched before.
    """
    import imagecodecs

    into.mkdir(parents=True, exist_ok=True)
    files = []
    for number, row in enumerate(rows.records()):
        files.append(f"{number:06d}.png")
        if not (into / files[-1]).is_file():
            sharp = enhance(rows.open(row).crop(rows.window(row)))
            (into / files[-1]).write_bytes(imagecodecs.png_encode(sharp, level=1))
    extra = [c for c in rows.table if str(c).startswith(("image.", "tile."))]
    return replace(rows, table=rows.table.drop(columns=extra).assign(image=files), folder=into)


def enhance(pixels: NDArray[Any]) -> NDArray[np.uint8]:
    """One image (C, H, W) as a person would want it, (H, W) uint8."""
    from skimage.exposure import equalize_adapthist
    from skimage.filters import unsharp_mask

    from potency.evaluation.gallery import stretched

    grey = np.mean([stretched(plane) for plane in pixels], axis=0) / 255
    even = equalize_adapthist(grey, kernel_size=[max(2, side // 4) for side in grey.shape], clip_limit=CLIP)
    sharp = unsharp_mask(even, radius=RADIUS, amount=AMOUNT)  # type: ignore[no-untyped-call]
    return np.asarray(np.rint(np.clip(sharp, 0, 1) * 255), np.uint8)


def ablations(scene: Scene) -> Iterator[str]:
    """What transfer and enhancement change, in words: the first arm less each of the others, on the same images."""
    for contest in scene.report.contests:
        name = wording.source(contest.second, scene.report.facts)
        if contest.second.endswith("random") or not _ours(name) or "accuracy" not in contest.differences:
            continue
        first = wording.source(contest.first, scene.report.facts)
        gap = wording.spoken(contest.differences["accuracy"], "accuracy", signed=True)
        tested = f", McNemar p = {contest.mcnemar_p:.2g}" if contest.mcnemar_p is not None else ""
        line = f"{first} less {name} in accuracy: {gap}, {wording.verdict(contest, contest.first)}{tested}."
        yield line[:1].upper() + line[1:]


def _ours(name: str) -> bool:
    return name.startswith((HERE, SCRATCH)) or name.endswith("enhanced")


RECIPE = Recipe(
    id="actin",
    title="Actin cytoskeleton of MCF-10A, MCF-7, MDA-MB-231",
    area="B",
    published=(NETWORK, PEOPLE),
    missing=(
        "images of actin in three lines (the relative shows nuclei)",
        "the human figure, until people have read the page, or the same folder in a reader study of `potency serve`",
    ),
    method="CNN, transfer learning, enhancement ablation",
    run=run,
    budgets=(QUICK, DEFAULT, FULL),
)
