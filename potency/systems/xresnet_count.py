"""System xresnet-count: cells counted by five ways and by what they must beat, in one table of errors and seconds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from potency.evaluation import wording
from potency.evaluation.tables import Grid
from potency.systems.arms import Answered, chosen, judge, paper, slug
from potency.systems.comparison import Scene
from potency.systems.counted import Counted, fields, sets, views
from potency.systems.recipe import Arm, Asked, Budget, Fact, Figure, Learned, Order, Recipe

if TYPE_CHECKING:
    import pandas as pd

    from potency.data.manifest import Manifest
    from potency.inference.latency import Latency

TRANSFER, SCRATCH, FOREST = "xResNet-18, transfer", "xResNet-18, from scratch", "random forest on HOG"
DENSITY, CENTRES = "density map", "cells found"
AREA, MEAN = "ridge on area and intensity", "the mean of the learning images"  # what anything must beat
# What each way learns from, a kind of truth, which is what makes it another task.
WAYS = {TRANSFER: "number", SCRATCH: "number", FOREST: "number", AREA: "number", DENSITY: "density",
        CENTRES: "objects"}  # fmt: skip
PUBLISHED = {TRANSFER: "12 ± 15", SCRATCH: "32 ± 33", FOREST: "41 ± 37"}
# Flips and turns, and light: zoom would change how many cells a view holds.
SAME = {"augment": {"flip": 1.0, "turn": 1.0, "gain": 0.1, "noise": 0.02}}
WHOLE = {"network": "xresnet18", "fitting": "stretch", "batch": 8, **SAME}
PART = {"network": "unet:shrink=2", "tile": 128, "batch": 8, **SAME}
HOG = {"learner": "estimator", "network": "forest", "families": ["hog"], "fitting": "stretch"}
LINE = {**HOG, "network": "logistic", "families": ["trivial"]}  # for numbers that name is ridge regression


def arms(whole: int, part: int) -> tuple[Arm, ...]:
    """The ways, with the steps of networks that see whole images and of those that see parts."""
    return (
        Arm(TRANSFER, {**WHOLE, "steps": whole}), Arm(SCRATCH, {**WHOLE, "steps": whole}), Arm(FOREST, HOG),
        Arm(AREA, LINE), Arm(DENSITY, {**PART, "steps": part}), Arm(CENTRES, {**PART, "steps": part}),
    )  # fmt: skip


LIGHT = {"precision": "bfloat16", "validations": 2, "test_views": 1}
QUICK = Budget("quick", arms(4, 4), rows=40, cells=800, changes={**LIGHT, "validations": 1})
DEFAULT = Budget("default", arms(200, 400), cells=4800, changes=LIGHT)
FULL = Budget("full", arms(4000, 6000), cells=24_000, changes={**LIGHT, "precision": "float32"})
CALLS = 100  # decisions that are timed


def run(order: Order) -> Path:
    """Every way to count on every set, and how long each takes an image; the page."""
    first, said = begun(order)
    order = replace(order, budget=replace(order.budget, arms=(first, *order.budget.arms[1:])))
    scenes, plans = list[Scene](), []
    for counted in sets(order):
        scene, plan = compared(counted, order)
        scenes.append(scene)
        plans.append(plan)
    facts = (
        Fact("images", "U2OS, HL-60; 133 to learn from, 32 tested", "see each section"),
        Fact("truth", "the count alone", "the count alone for the networks that answer a number and for the forest; "
             "places for the density map and for the cells found"),
        Fact("network", "xResNet, its depth not read", "xResNet-18"),
        Fact("transfer", "ImageNet weights", said),
        Fact("forest", "random forest on HOG", "random forest on HOG"),
        Fact("split", "133/32", "see each section; a tenth of the learning rows chooses the checkpoint"),
        Fact("error", "mean and deviation of the absolute error", "mean and deviation of the absolute error"),
        *chosen(plans[0], order.budget),
    )  # fmt: skip
    return paper(RECIPE, order, scenes, facts, findings=(f"Transfer is here: {said}.",))


def begun(order: Order) -> tuple[Arm, str]:
    """The first arm with what it starts from, and that in words."""
    from potency.networks.weights import fetched

    first = order.budget.arms[0]
    order.say("looking for ImageNet weights, which takes a minute where there is no internet")
    if fetched(str(first.changes["network"])):
        return replace(first, changes={**first.changes, "weights": "imagenet"}), "ImageNet weights"
    order.say("no ImageNet weights could be fetched: the network learns to count simulated nuclei first")
    place = order.into / "before"
    drawn = fields(order, "fluorescence", "fields to learn to count from before")
    asked = Asked({**order.budget.changes, **first.changes}, random=False, title="What is learned before",
                  arm="what is learned before")  # fmt: skip
    order.learn(views(drawn)["number"], asked, place, order.say)
    return replace(first, start=str(place / "bundle")), (
        "no ImageNet weights (they could not be fetched), but those of the same network after it had learned to count "
        "nuclei in fields simulated here"
    )


def compared(counted: Counted, order: Order) -> tuple[Scene, Mapping[str, Any]]:
    """One set: every way learns each draw, all counts stand in one table; and the plan of the first way."""
    import pandas as pd

    problem = counted.problem
    known = [arm for arm in order.budget.arms if WAYS[arm.name] in counted.views]
    told, seen = list[pd.DataFrame](), dict[str, Learned]()
    for number, rows in enumerate(counted.draws, 1):
        order.say(f"{problem.title}, draw {number} of {len(counted.draws)}: {len(rows)} images")
        columns, learned = answers(counted, rows, known, number, order)
        seen = seen or learned
        tested = rows.of("test").table.drop(columns=["truth", "split", "fold"], errors="ignore")
        tested = tested.merge(columns, on="id")
        told.append(tested.assign(id=tested["id"] + f" (draw {number})", draw=number))
    table = pd.concat(told, ignore_index=True)
    names = {"prediction" if k == 0 else f"prediction@{slug(arm.name)}": arm.name for k, arm in enumerate(known)}
    stacked = replace(problem.manifest, table=table, kinds={"truth": "number"})
    plans = {name: one.facts.get("plan", {}) for name, one in seen.items()}
    answered = Answered(stacked, {**names, "prediction@mean": MEAN}, plans, seen[known[0].name].facts, seen)
    scene = judge(replace(problem, manifest=stacked, published={"mae": PAPER}), answered, order)
    pace = {name: paced(one, counted.draws[0]) for name, one in seen.items()}
    return replace(scene, grids=(together(table, scene, pace),)), plans[known[0].name]


def answers(
    counted: Counted, rows: Manifest, known: Sequence[Arm], draw: int, order: Order
) -> tuple[pd.DataFrame, dict[str, Learned]]:
    """The counts that every way gives of the test rows of a draw, beside the truth (a frame with `id`)."""
    split = rows.table[["id", "split"]]
    every = counted.views["number"].table[["id", "truth"]].merge(split, on="id")
    tested = every["split"].eq("test")
    columns = every[tested][["id", "truth"]].assign(**{"prediction@mean": every["truth"][~tested].mean()})
    learned = dict[str, Learned]()
    for at, arm in enumerate(known):
        kind = WAYS[arm.name]
        asked = Asked(
            {**order.budget.changes, **arm.changes, **counted.shapes.get(kind, {}), "seed": draw}, random=False,
            baselines=("trivial",) if at == 0 else (), start=arm.start,
            title=f"{counted.problem.title}: {arm.name}", arm=f"{arm.name} ({at + 1} of {len(known)})",
        )  # fmt: skip
        place = order.into / counted.problem.name / f"draw-{draw}" / slug(arm.name)
        view = counted.views[kind].where(counted.views[kind].table["id"].isin(split["id"])).add(split)
        learned[arm.name] = order.learn(view, asked, place, order.say)
        columns = columns.merge(numbers(learned[arm.name].rows, slug(arm.name), at == 0), on="id", how="left")
    return columns, learned


def numbers(rows: pd.DataFrame, arm: str, first: bool) -> pd.DataFrame:
    """The counts of a way under its name, whatever it answered with; with those of the first its baseline's."""
    counts = rows.get("prediction.count", rows["prediction"])
    told = {"prediction" if first else f"prediction@{arm}": counts.astype(float)}
    return rows[["id", *(name for name in ("prediction@trivial",) if name in rows)]].assign(**told)


def paced(learned: Learned, rows: Manifest) -> Latency | None:
    """How long the way takes for an image in memory; None where it left no model."""
    from potency.bundle import Bundle
    from potency.inference.latency import latency

    if learned.bundle is None:
        return None
    some = rows.of("test")
    samples = [{"image": some.open(row).crop(some.window(row))} for row in some.records()[:4]]
    return latency(Bundle.load(learned.bundle), samples, CALLS)


def together(table: pd.DataFrame, scene: Scene, pace: Mapping[str, Latency | None]) -> Grid:
    """The table of all ways: errors, their spread over the draws, time, and what was published."""
    lines = list[tuple[str, ...]]()
    for column, figures in scene.report.numbers.items():
        name = wording.source(column, scene.report.facts)
        off, time = (table[column] - table["truth"]).abs(), pace.get(name)
        each = off.groupby(table["draw"]).mean()
        lines.append((
            name, wording.spoken(figures.get("mae"), "mae"), f"{each.std():.2f}" if len(each) > 1 else "–",
            wording.spoken(figures.get("mape"), "mape"), f"{off.mean():.1f} ± {off.std():.1f}",
            *((f"{time.p50:.1f}", time.engine) if time else ("–", "–")), PUBLISHED.get(name, "–"),
        ))  # fmt: skip
    head = ("way to count", "MAE", "its deviation over draws", "MAPE", "error ± sd", "ms an image", "computed by",
            "published error ± sd")  # fmt: skip
    note = (f"{table['draw'].nunique()} draws. Times are medians of {CALLS} single images in memory on this machine, "
            f"reading not included. What was published is of other images ({PAPER.stated}).")  # fmt: skip
    return Grid("Ways to count, side by side", head, tuple(lines), note)


PAPER = Figure("error", "12 ± 15 cells", "transfer; U2OS and HL-60, 133 to learn from, 32 tested")
RECIPE = Recipe(
    id="xresnet-count",
    title="Cell counting by regression (Lavitt 2021)",
    area="C",
    published=(
        Figure("error", "12 +- 15 cells, milliseconds an image", "transfer"),
        Figure("error", "32 +- 33 scratch, 41 +- 37 forest on HOG", "original paper"),
    ),
    missing=(
        "the images of U2OS and HL-60 (blood smears and cells drawn by a program stand in)",
        "ImageNet weights where they cannot be fetched: the network then learns before on fields simulated here",
        "its default budget has not been run to the end on two cores",
    ),
    method="xResNet, transfer learning; U2OS, HL-60; baselines feature extractors + regressors",
    run=run,
    budgets=(QUICK, DEFAULT, FULL),
)
