"""System beta-efficiency: whether wells of iPSC will become beta cells, foretold from phase-contrast patches."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from potency.systems.arms import chosen, paper
from potency.systems.efficiency import BATCH, ONSET, SCALES, WASH, Outcome, courses
from potency.systems.efficiency_page import findings, study, warnings
from potency.systems.recipe import Arm, Budget, Fact, Figure, Order, Recipe

AT_24 = Figure("clone accuracy at 24 h", "76.7 %", "original paper; of clones")
AT_53 = Figure("clone accuracy at 53 h", "96.7 %", "original paper; of clones")
LIGHT = {"batch": 32, "validations": 2, "test_views": 1}
TINY = Arm("tiny (ours)", {"network": "tiny"})
NETWORK = Arm("EfficientNetV2-S", {"network": "efficientnetv2-s"})
# 1,440 patches are too few for EfficientNetV2-S to learn anything from scratch (r = .01 at 53 h after 2 passes); it
# takes its place where it begins with weights of ImageNet.
QUICK = Budget("quick", (TINY,), passes=10, folds=3, changes=LIGHT)
DEFAULT = Budget("default", (TINY,), passes=20, folds=3, changes={**LIGHT, "batch": 16, "precision": "bfloat16"})
FULL = Budget("full", (NETWORK,), passes=50, folds=6, changes={"batch": 32, "weights": "imagenet"})
OUTCOME = Outcome("differentiating iPSC", "label", {24.0: AT_24, 53.0: AT_53})


def run(order: Order) -> Path:
    """Every course with all its parts: without and with a planted shortcut, and the user's own wells before them."""
    studies = [study(course, OUTCOME, order) for course in courses(order, OUTCOME)]
    return paper(
        RECIPE, order, [scene for one in studies for scene in one.scenes], protocol(studies[0].plan, order.budget),
        banner=warnings(studies), findings=findings(studies, OUTCOME),
        sheets=[sheet for one in studies for sheet in one.sheets],
    )  # fmt: skip


def protocol(plan: Mapping[str, Any], budget: Budget) -> tuple[Fact, ...]:
    """Every value of the protocol, published or ours."""
    size = SCALES[budget.name]
    return (
        Fact("cells", "patient-derived iPSC clones, 34-day protocol to beta cells", "see each section"),
        Fact("images", "phase contrast", "phase contrast"),
        Fact("clones", "six", f"{size.clones}, simulated"),
        Fact("outcome", "positive or negative", "positive or negative, a well at a time"),
        Fact("network", "EfficientNet-V2-S", ", ".join(arm.name for arm in budget.arms)),
        Fact("initial weights", "", str(plan.get("weights") or "from scratch")),
        Fact("patch", "", f"{size.patch} x {size.patch} px of {size.pixel_size:g} um"),
        Fact("from patches to a well", "", "mean log-odds; other rules and learned attention beside it"),
        Fact("times", "24 h and 53 h among several", f"{size.frames} times, 24 h and 53 h among them"),
        Fact("wash", "before and after washing", f"at {WASH:g} h; debris before"),
        Fact("first hour at which anything can be told", "", f"{ONSET:g} h, of the simulated cells"),
        Fact("split", "", f"whole clones, {budget.folds} folds"),
        Fact("split beside it", "", "random patches"),
        Fact("batch effects", "", f"{BATCH:g} of what the simulator has by default"),
        Fact("rule of relevance", "", "bounded growth, fitted to the network; see docs/explain.md"),
        Fact("trivial answer", "", "logistic regression on size, mean intensity and variance"),
        *chosen(plan, budget),
    )


RECIPE = Recipe(
    id="beta-efficiency",
    title="Early prediction of iPSC to beta-cell efficiency (bioRxiv 2025.05.22.652867)",
    area="A",
    published=(
        Figure("clone accuracy", "76.7 % at 24 h, 96.7 % at 53 h", "original paper"),
        Figure("finding", "the negative class shows more hole-like regions"),
        Figure("finding", "patch normalisation raises patch accuracy after washing"),
    ),
    missing=(
        "real images: none are at hand, and simulated colonies have no holes as real ones do",
        "EfficientNetV2-S below the full budget: from scratch it learns nothing from so few patches",
    ),
    method="phase contrast, EfficientNetV2-S on patches, outcome per well; relevance maps; Fourier; patch variance",
    run=run,
    budgets=(QUICK, DEFAULT, FULL),
)
