"""System early-onset: from which time after induction on differentiating cells can be told from their controls."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from potency.evaluation.tables import Grid
from potency.systems import passages
from potency.systems.arms import Answered, Problem, chosen, judge, mains, named_columns, paper, slug
from potency.systems.comparison import Scene, Sheet
from potency.systems.recipe import Arm, Asked, Budget, Fact, Figure, Order, Recipe
from potency.systems.sources import SEED, simulated

if TYPE_CHECKING:
    import pandas as pd

    from potency.data.manifest import Manifest
    from potency.timing import Early

BATCH = 0.3  # strength of plate and well effects: under those of the default so few experiments would not do
HOURS, ONSET, RIPENING = (0.0, 4.0), 1 / 3, 2.0  # the onset that was published, 20 min, is that of the simulated world
ABOVE = Figure("accuracy", "> 99 %", "from about 20 min; networks not confirmed")
LIGHT = {"batch": 32, "validations": 2, "test_views": 1}
NETWORKS = (Arm("ResNet50", {"network": "resnet50"}), Arm("DenseNet121", {"network": "densenet121"}))
TINY = Arm("tiny (ours)", {"network": "tiny", "batch": 32}, passes=25)
QUICK = Budget("quick", (TINY,), passes=25, folds=3, changes=LIGHT)
# 624 pictures are few: in batches of 32 three passes were 39 steps, and ResNet50 had learned to say one class always.
DEFAULT = Budget("default", (*NETWORKS, TINY), passes=6, folds=3,
                 changes={**LIGHT, "batch": 8, "precision": "bfloat16"})  # fmt: skip
FULL = Budget("full", NETWORKS, passes=50, folds=5, changes={"batch": 32, "weights": "imagenet"})


@dataclass(frozen=True)
class Scale:
    """How large the simulated induction is: experiments, wells of each, cells of a well, times, sides in pixels."""

    experiments: int
    wells: int
    cells: int
    frames: int
    field: int
    pixel_size: float
    draws: int


SCALES = {
    "quick": Scale(12, 4, 20, 7, 96, 1.3, 300),
    "default": Scale(12, 4, 32, 13, 160, 0.65, 1000),
    "full": Scale(40, 12, 48, 25, 384, 0.65, 1000),
}


def run(order: Order) -> Path:
    """Every network on every picture, out of fold by experiment; accuracy against time since induction; the page."""
    size = SCALES[order.budget.name]
    visits = simulated(
        order.into / "simulated", order, f"{size.experiments} experiments at {size.frames} times", kind="induction",
        cells=size.experiments * size.wells * size.cells, groups=size.experiments, wells=size.wells, field=size.field,
        pixel_size=size.pixel_size, frames=size.frames, hours=HOURS, onset=ONSET, ripening=RIPENING,
        look="brightfield", batch=BATCH,
    )  # fmt: skip
    answered = learned(visits, order)
    early = _early(answered, order.into, size)
    last = answered.manifest.where(answered.manifest.table["time"].eq(HOURS[1]).tolist())
    about = (f"Wells at {HOURS[1]:g} h, the last time: one picture a well, induced or control. An experiment is a "
             "plate with clone and light of its own, and lies on one side of the split.")  # fmt: skip
    title = f"Simulated wells {HOURS[1]:g} h after induction"
    problem = Problem("last", title, about, last, True, {"accuracy": ABOVE})
    scene: Scene = judge(problem, replace(answered, manifest=last), order)
    plan = next(iter(answered.plans.values()))
    said = (found_beside(early, visits.table),)
    sheets = [timed(early, visits.table)]
    return paper(RECIPE, order, [scene], protocol(plan, order.budget), findings=said, sheets=sheets)


def learned(visits: Manifest, order: Order) -> Answered:
    """Every arm under folds by experiment, the first under a random split too, and the trivial answer."""
    names, plans, facts, made = dict[str, str](), dict[str, Mapping[str, Any]](), dict[str, Any](), visits
    for number, arm in enumerate(order.budget.arms, 1):
        asked = Asked(
            {**order.budget.changes, **arm.changes}, passes=arm.passes or order.budget.passes,
            folds=order.budget.folds, holdout=False, random=number == 1, baselines=("trivial",) if number == 1 else (),
            title=f"Time since induction: {arm.name}", arm=f"{arm.name} ({number} of {len(order.budget.arms)})",
        )  # fmt: skip
        found = order.learn(visits, asked, order.into / "last" / slug(arm.name), order.say)
        renamed = named_columns(found.rows, slug(arm.name), number == 1)
        made = made.add(renamed)
        own = [name for name in mains(renamed) if name.partition("@")[2] in ("", "random") or number > 1]
        names |= dict.fromkeys(own, arm.name)
        plans[arm.name] = found.facts.get("plan", {})
        facts = facts or dict(found.facts)
    return Answered(made, names, plans, facts)


def _early(answered: Answered, into: Path, size: Scale) -> Early:
    from potency.timing import early

    rows = passages.as_learner(answered.manifest)
    rows = rows.add({"hours since induction": rows.table["time"]})
    columns = [*(name for name in answered.names if not name.endswith("random")), passages.PLAIN]
    chance = (size.draws, SEED)
    found = early(rows, "hours since induction", "well", predictions=columns, score="accuracy", chance=chance)
    found = passages.called(found, {**answered.names, passages.PLAIN: passages.NUMBERS})
    found.write(into / "early")
    return found


def timed(early: Early, table: pd.DataFrame) -> Sheet:
    """The curves, and the times found beside what the simulator knows."""
    grids, pictures = passages.curve(early)
    return Sheet(
        "time", "Accuracy as a function of time since induction", early.verdict, True,
        grids=(known(early, table), *grids), pictures=pictures, links=(("early/early.html", "All curves, all times"),),
    )  # fmt: skip


def known(early: Early, table: pd.DataFrame) -> Grid:
    """The earliest time of each curve beside the onset of the simulated cells and what share of them has changed."""
    induced = table[table["truth"].eq("induced")]
    share = induced.groupby("time")[["changed", "shows", "cells"]].sum()
    rows: list[tuple[str, ...]] = [("no pixel depends on induction before (known)", f"{60 * ONSET:.0f}", "0 %", "0 %")]
    for curve in early.curves:
        if curve.first is None:
            rows.append((f"{curve.name}: beats guessing", "never", passages.NONE, passages.NONE))
            continue
        at = share.loc[curve.first]
        cells = [f"{at[name] / at['cells']:.0%}" for name in ("changed", "shows")]
        rows.append((f"{curve.name}: first beats guessing", f"{60 * curve.first:.0f}", *cells))
    seen = share[share["changed"] > 0]
    if len(seen):
        when, at = seen.index[0], seen.iloc[0]
        cells = [f"{at[name] / at['cells']:.0%}" for name in ("changed", "shows")]
        rows.append(("the first picture in which any cell has begun to change (known)", f"{60 * when:.0f}", *cells))
    apart = 60 * float(np.diff(np.unique(table["time"])).min())
    note = (f"Pictures are taken every {apart:.0f} min, so no time between them can be found. A cell can be told from "
            "about a quarter of its way on.")  # fmt: skip
    header = ("", "minutes after induction", "induced cells that began to change", "that can be told")
    return Grid("The earliest time found beside the known onset", header, tuple(rows), note)


def found_beside(early: Early, table: pd.DataFrame) -> str:
    """The finding in one sentence."""
    known_ = f"the known onset of these simulated cells is {60 * ONSET:.0f} min"
    if early.first is None:
        return f"Simulated wells: no time was found at which the answers beat guessing; {known_}."
    point = next(one for one in early.curves[0].points if one.time == early.first)
    return (f"Simulated wells: {early.curves[0].name} first beats guessing {60 * early.first:.0f} min after "
            f"induction (accuracy {point.figure}); {known_}. Published: {ABOVE.value} {ABOVE.stated}.")  # fmt: skip


def protocol(plan: Mapping[str, Any], budget: Budget) -> tuple[Fact, ...]:
    """Every value of the protocol, published or ours."""
    size = SCALES[budget.name]
    names = ", ".join(arm.name for arm in budget.arms)
    return (
        Fact("tasks", "mouse ESC to epiblast-like; 2i+LIF v. FBS+LIF; human iPSC to mesoderm",
             "one simulated induction"),
        Fact("images", "transmitted light", "brightfield, simulated"),
        Fact("networks", "ResNet, DenseNet; which is not confirmed", names),
        Fact("initial weights", "", str(plan.get("weights") or "from scratch")),
        Fact("times", "minutes to hours after induction", f"{size.frames} times from 0 to {HOURS[1]:g} h"),
        Fact("prediction from", "about 20 min", f"onset of the simulated cells: {60 * ONSET:.0f} min"),
        Fact("input", "", f"whole fields of {size.field} px of {size.pixel_size:g} um"),
        Fact("plate and well effects", "", f"{BATCH:g} of what the simulator has by default"),
        Fact("split", "", f"whole experiments, {budget.folds} folds"),
        Fact("split beside it", "", "random pictures"),
        Fact("trivial answer", "", "logistic regression on size, mean intensity and variance"),
        *chosen(plan, budget),
    )  # fmt: skip


RECIPE = Recipe(
    id="early-onset",
    title="Onset of pluripotent differentiation (Waisman 2019)",
    area="A",
    published=(ABOVE,),
    missing=(
        "real images, and so the three published tasks: one simulated induction stands for them",
        "weights of ImageNet below the full budget: from scratch so few pictures teach the published networks little",
    ),
    method="transmitted light minutes to hours after induction, ResNet/DenseNet, three tasks",
    run=run,
    budgets=(QUICK, DEFAULT, FULL),
)
