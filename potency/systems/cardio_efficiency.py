"""System cardio-efficiency: the recipe of beta-efficiency with the share of heart cells of a well as a number."""

from __future__ import annotations

from pathlib import Path

from potency.systems.arms import paper
from potency.systems.beta_efficiency import DEFAULT, FULL, QUICK, protocol
from potency.systems.efficiency import Outcome, courses
from potency.systems.efficiency_page import findings, study, warnings
from potency.systems.recipe import Fact, Order, Recipe

OUTCOME = Outcome("differentiating hPSC", "efficiency")
OTHERS = {  # what is another here than for beta cells
    "cells": Fact("cells", "human pluripotent stem cells to cardiomyocytes", "see each section"),
    "clones": None,
    "outcome": Fact("outcome", "", "share of the cells that differentiate, a number from 0 to 1"),
    "times": None,
    "wash": None,
    "from patches to a well": Fact("from patches to a well", "", "mean; other rules and learned attention beside it"),
    "network": None,
    "trivial answer": Fact("trivial answer", "", "linear regression on size, mean intensity and variance"),
}


def run(order: Order) -> Path:
    """Every course with all its parts: without and with a planted shortcut, and the user's own wells before them."""
    studies = [study(course, OUTCOME, order) for course in courses(order, OUTCOME)]
    facts = []
    for fact in protocol(studies[0].plan, order.budget):
        other = OTHERS.get(fact.what, fact)
        facts.append(Fact(fact.what, "", fact.here) if other is None else other)  # stated of beta cells, not of these
    return paper(
        RECIPE, order, [scene for one in studies for scene in one.scenes], facts,
        banner=warnings(studies), findings=findings(studies, OUTCOME),
        sheets=[sheet for one in studies for sheet in one.sheets],
    )  # fmt: skip


RECIPE = Recipe(
    id="cardio-efficiency",
    title="hPSC to cardiomyocyte efficiency from phase contrast",
    area="A",
    missing=(
        "real images: none are at hand",
        "EfficientNetV2-S below the full budget: from scratch it learns nothing from so few patches",
    ),
    method="the beta-efficiency recipe with another outcome",
    run=run,
    budgets=(QUICK, DEFAULT, FULL),
)
