"""Published systems by id: the visible list, what runs of each, and the verb `reproduce`."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from potency.errors import PlanError, nearest
from potency.systems import fate, phenotype, segmentation, synthesis, tissue, tracking
from potency.systems.recipe import AREAS, Fact, Figure, Learn, Order, Recipe

if TYPE_CHECKING:
    from potency.inference.pool import Mapper

# In the order of the areas; a system that comes to run gets a file of its own, which its area names in the row's place.
SYSTEMS: Mapping[str, Recipe] = {
    recipe.id: replace(recipe, area=area)
    for area, rows in zip(AREAS, (fate, phenotype, segmentation, tissue, synthesis, tracking), strict=True)
    for recipe in rows.ROWS
}


def list_systems() -> list[dict[str, Any]]:
    """Every system with id, title, status (built, partial, planned), what is missing, area and published figures.

    >>> list_systems()[0]["id"], list_systems()[0]["status"]
    ('nsc-fate', 'built')
    """
    return [recipe.json() for recipe in SYSTEMS.values()]


def reproduce(
    id: str,
    *,
    into: str | Path,
    data: str | Path | None = None,
    budget: str = "quick",
    learn: Learn | None = None,
    on: Mapper = map,
    say: Callable[[str], None] = lambda line: None,
) -> Path:
    """Run what there is of a published system and write its page; the path of `report.html`.

    Args:
        id: one of SYSTEMS.
        into: folder of the page and of all that leads to it.
        data: folder of real images; by default the one that POTENCY_DATA names. Without it only simulated ones are
            used, and the page says so.
        budget: "quick" (minutes: does it run to its report?), "default" (an hour and a half on two cores) or "full"
            (the published budget).
        learn: how a network is trained and tested; by default the protocol of `potency.learning`.
        on: where that protocol trains its folds, `map` or a `Pool`; the figures are the same.
        say: called with a line at every step.

    Raises:
        PlanError: no such system or budget, or one that is only planned.
    """
    if id not in SYSTEMS:
        raise PlanError(f"there is no system {id!r}", "reproduce", nearest(id, SYSTEMS))
    recipe = SYSTEMS[id]
    if recipe.run is None:
        runs = ", ".join(name for name, other in SYSTEMS.items() if other.run)
        missing = "; ".join(recipe.missing)
        raise PlanError(f"{id} is planned and does not run yet", f"missing: {missing}", f"systems that run: {runs}")
    budgets = {each.name: each for each in recipe.budgets}
    if budget not in budgets:
        raise PlanError(f"{id} has no budget {budget!r}", "budget", nearest(budget, budgets))
    if learn is None:
        from potency.systems.learn import learn as through_protocol

        learn = partial(through_protocol, on=on)
    named = data or os.environ.get("POTENCY_DATA")
    return recipe.run(Order(Path(into), Path(named) if named else None, budgets[budget], learn, say))


__all__ = ["AREAS", "SYSTEMS", "Fact", "Figure", "Recipe", "list_systems", "reproduce"]
