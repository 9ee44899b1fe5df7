"""System cellvit: a transformer with a branch each for nuclei, their places and their types, beside a U-Net."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from potency.evaluation import wording
from potency.evaluation.tables import Grid
from potency.systems.arms import Problem, answer, by_group, chosen, judge, paper
from potency.systems.comparison import Scene
from potency.systems.outlines import GROUPS, LIGHT
from potency.systems.recipe import Arm, Budget, Fact, Figure, Order, Recipe
from potency.systems.sources import real
from potency.systems.typed import CELLS, consep, fates

if TYPE_CHECKING:
    from pathlib import Path

    from potency.evaluation.results import Report

PUBLISHED = {
    "mpq_published": Figure("mPQ", ".50", "PanNuke, 19 tissues, 5 types, encoder of SAM-H"),
    "bpq_published": Figure("bPQ", ".679", "PanNuke, encoder of SAM-H"),
    "f_d": Figure("detection F1", ".83", "PanNuke, encoder of SAM-H"),
}
PROTOCOL = ("bpq", "bpq_published", "mpq", "mpq_published", "f_d", "f_c", "type_accuracy")
BY_TYPE = ("mpq", "f_c", "type_accuracy")
VIT = Arm("CellViT", {"network": "cellvit:encoder=vit-tiny:width=16"})
UNET = Arm("U-Net, the same maps", {"network": "unet:width=16:depth=3"})


def run(order: Order) -> Path:
    """Both networks learn nuclei, places and types of the same rows; figures of PanNuke's protocol; the page."""
    scenes, plans = list[Scene](), []
    for problem in problems(order):
        answered = answer(problem, order.budget.arms, order, random=False)
        scene = judge(problem, answered, order)
        scenes.append(replace(scene, grids=(by_protocol(scene.report),)))
        plans.append(next(iter(answered.plans.values())))
    plan = plans[0]
    facts = (
        Fact("images", "PanNuke: about 200,000 nuclei, 19 tissues, 5 types, 256 x 256 px at 40x", "see each section"),
        Fact("split", "three folds of patches", f"{by_group(order.budget)}; a set's own division where it has one"),
        Fact("encoder", "ViT of SAM, or ViT-S learned on 104 million patches of pathology",
             f"{plan.get('network', 'as planned')}, {plan.get('weights') or 'from scratch'}"),
        Fact("branches", "nuclei, horizontal and vertical places, types; tissue",
             "nuclei, horizontal and vertical places, types"),
        Fact("losses", "nuclei focal-Tversky 1, Dice 1; places MSE 2.5, gradient 8; types cross-entropy .5, Dice .2, "
             "focal-Tversky .5; tissue .1", "nuclei cross-entropy; places MSE; types cross-entropy, Dice"),
        Fact("steps", "130 epochs, batch 16", f"{plan.get('steps', 'as planned')} of {plan.get('batch', '?')} crops"),
        Fact("optimiser of the paper", "AdamW 3e-4, betas .85/.95, weight decay 1e-4, x.85; encoder frozen to epoch 25",
             "that of `potency train`"),
        Fact("normalisation", ".5/.5", ".5/.5" if plan.get("normalise") == "half" else str(plan.get("normalise"))),
        Fact("figures", "PanNuke's script, which excuses absent types", "the same, and strict ones beside"),
        Fact("pairs of detection", "centres within 12 px", "centres within 12 px"),
        *chosen(plan, order.budget),
    )  # fmt: skip
    return paper(RECIPE, order, scenes, facts)


def problems(order: Order) -> Iterator[Problem]:
    """Typed nuclei of H&E or the user's own images, and simulated cells of two fates."""
    source = real(order, consep(order), truth="labels")
    if source is not None:
        title = "Your images" if source.own else "Real images: typed nuclei in H&E"
        yield Problem("real-nuclei", title, source.about, source.manifest, False, PUBLISHED)
    if order.budget.cells:
        yield Problem("simulated-types", "Simulated images: cells of two fates", CELLS, fates(order, GROUPS), True)


def by_protocol(report: Report) -> Grid:
    """Every figure of PanNuke's and HoVer-Net's protocols, for all types and for each, of every learner."""
    found = report.numbers
    metrics = [*PROTOCOL, *(f"{metric}.{label}" for label in _types(report) for metric in BY_TYPE)]
    rows = [
        (wording.known(metric)[0], *(wording.spoken(figures.get(metric), metric) for figures in found.values()))
        for metric in metrics
        if any(metric in figures for figures in found.values())
    ]
    header = ("figure", *(wording.source(column, report.facts) for column in found))
    note = ("As published: PanNuke's own script, in which an image without a type, or without nuclei, costs nothing "
            "whatever is answered there. Strict: it costs. Pairs of detection: centres within 12 px.")  # fmt: skip
    return Grid("The protocol of PanNuke", header, tuple(rows), note)


def _types(report: Report) -> list[str]:
    figures = report.numbers.get("prediction", {})
    return [name.partition(".")[2] for name in figures if name.startswith("mpq.")]


TILED = {"decoder": "hover", "tile": 256, **LIGHT}
BOTH = (VIT, UNET)
LEAST = {**TILED, "tile": 128, "batch": 2, "steps": 3, "validations": 1}
QUICK = Budget("quick", BOTH, rows=24, cells=60, changes=LEAST)
DEFAULT = Budget("default", BOTH, cells=1200, changes={**TILED, "batch": 4, "steps": 300})
FULL = Budget(
    "full", (replace(VIT, changes={"network": "cellvit:encoder=vit-small"}), UNET), cells=6000,
    changes={**TILED, "precision": "float32", "batch": 16, "rate": 3e-4, "steps": 40_000},
)  # fmt: skip

RECIPE = Recipe(
    id="cellvit",
    title="CellViT (PanNuke)",
    area="C",
    published=(Figure("mPQ", ".50"), Figure("detection F1", ".83")),
    missing=(
        "PanNuke itself, its tissues and its folds (CoNSeP stands for it)",
        "an encoder that knows pathology or SAM: weights load from a file, none is at hand",
        "the branch of tissues and the focal-Tversky and gradient losses",
        "its default budget has not been run to the end on two cores",
    ),
    method="ViT encoder (pathology or SAM), HoVer-style decoder, type head",
    run=run,
    budgets=(QUICK, DEFAULT, FULL),
)
