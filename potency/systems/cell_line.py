"""System cell-line: two lines told apart without a label, by two backbones whose difference is tested."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from potency.evaluation import wording
from potency.systems.arms import Problem, by_group, chosen, compare, paper
from potency.systems.comparison import Scene
from potency.systems.recipe import Arm, Budget, Fact, Figure, Order, Recipe
from potency.systems.sources import Relative, real, simulated

ACCURACY = Figure("accuracy", "up to 99 %", "best of three binary sets, EfficientNetV2")
GAIN = Figure("gain of EfficientNetV2", "+3.5 %", "mean over three binary sets, against ResNet-50")
ARMS = (Arm("EfficientNetV2-S", {"network": "efficientnetv2-s"}), Arm("ResNet-50", {"network": "resnet50"}))
LIGHT = {"batch": 16, "validations": 2, "test_views": 1, "precision": "bfloat16"}
QUICK = Budget("quick", ARMS, rows=80, cells=160, passes=0.5, changes={**LIGHT, "validations": 1, "tile": 48})
# Three folds: with five, the eight trainings of such networks take two hours on two cores.
DEFAULT = Budget("default", ARMS, cells=800, passes=10, folds=3, changes={**LIGHT, "tile": 96}, holdout=False)
FULL = Budget("full", ARMS, cells=6000, passes=60, changes={"batch": 16, "weights": "imagenet"}, holdout=False)
RELATIVE = Relative(
    "classify/bf_293a_ht1080",
    "Single cells in brightfield, 293A (kidney) or HT1080 (fibrosarcoma): one binary set of real images at hand, with "
    "other lines than the published ones. Fields lie within a line, so the split is by field.",
)
PAIRS = (("stem", "neuron"), ("astrocyte", "oligodendrocyte"), ("stem", "astrocyte"))
CLONES = 40


def run(order: Order) -> Path:
    """Each binary set by both backbones, by group and at random, and the mean difference over the sets."""
    compared = [compare(problem, order.budget.arms, order) for problem in _problems(order)]
    scenes = [one.scene for one in compared]
    plan = next(iter(compared[0].plans.values()))
    facts = (
        Fact("images", "brightfield of cancer lines, three binary sets whose pairs differ in metastatic potential",
             "see each section"),
        Fact("networks", "EfficientNetV2 v. ResNet-50", "EfficientNetV2 v. ResNet-50"),
        Fact("initial weights", "transfer learning", str(plan.get("weights") or "from scratch")),
        Fact("crop", "", " x ".join(map(str, plan.get("tile", "?"))) + " px"),
        Fact("split", "", by_group(order.budget)),
        Fact("test of the difference", "", "paired bootstrap over groups, McNemar and DeLong beside it"),
        *chosen(plan, order.budget),
    )  # fmt: skip
    findings = list(gains(scenes))
    if not plan.get("weights"):
        findings.append(
            f"Both networks learn from scratch here, for {order.budget.passes:g} passes; the published ones go on from "
            "weights of natural images (--full does). How they compare from scratch says little of how they compare so."
        )
    return paper(RECIPE, order, scenes, facts, findings=findings)


def _problems(order: Order) -> Iterator[Problem]:
    source = real(order, RELATIVE)
    if source is not None:
        two = source.manifest.keep(source.manifest.classes[:2])
        title = f"Real images: {' v. '.join(two.classes)}"
        yield Problem("real", title, source.about, two, False, {"accuracy": ACCURACY})
    cells = order.budget.cells
    world = simulated(
        order.into / "simulated", order, f"{cells} cells in brightfield",
        kind="crops", look="brightfield", classes=4, cells=cells, groups=CLONES,
    )  # fmt: skip
    about = "Simulated cells of two kinds stand in for two lines; groups are clones. Their difficulty is ours."
    for pair in PAIRS:
        name, title = f"simulated-{'-'.join(pair)}", f"Simulated cells: {' v. '.join(pair)}"
        yield Problem(name, title, about, world.keep(pair), True, {"accuracy": ACCURACY})


def gains(scenes: Sequence[Scene]) -> Iterator[str]:
    """The difference of the two backbones set by set and on average, real and simulated sets apart."""
    for what, simulated_ones in (("real", False), ("simulated", True)):
        found = []
        for scene in scenes:
            contest = next((c for c in scene.report.contests if c.second == "prediction@resnet-50"), None)
            if scene.simulated is simulated_ones and contest is not None and "accuracy" in contest.differences:
                found.append((scene.title, contest.differences["accuracy"], contest))
        if not found:
            continue
        mean = float(np.mean([gap.value for _, gap, _ in found]))
        sets = f"{len(found)} {what} set{'s' if len(found) > 1 else ''}"
        each = "; ".join(
            f"{title.partition(': ')[2]} {wording.spoken(gap, 'accuracy', signed=True)}, "
            f"{wording.verdict(contest, contest.first)}"
            + (f", McNemar p = {contest.mcnemar_p:.2g}" if contest.mcnemar_p is not None else "")
            for title, gap, contest in found
        )
        yield (
            f"EfficientNetV2 minus ResNet-50 in accuracy, mean over {sets}: {100 * mean:+.1f} points "
            f"(published {GAIN.value}). {each}."
        )


RECIPE = Recipe(
    id="cell-line",
    title="Label-free cancer line identity (Gardner)",
    area="B",
    published=(ACCURACY, GAIN),
    method="EfficientNetV2 v. ResNet-50, transfer learning, three binary sets",
    run=run,
    budgets=(QUICK, DEFAULT, FULL),
)
