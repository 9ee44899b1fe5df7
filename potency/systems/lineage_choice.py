"""System lineage-choice: the lineage of single cells foretold from their track, before a marker shows it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from potency.evaluation.tables import Grid
from potency.systems import passages
from potency.systems.arms import Answered, Problem, chosen, judge, paper, slug
from potency.systems.comparison import Sheet
from potency.systems.maps import folds_of
from potency.systems.recipe import Arm, Asked, Budget, Fact, Figure, Order, Recipe
from potency.systems.sources import SEED, simulated

if TYPE_CHECKING:
    from potency.data.manifest import Manifest
    from potency.timing import Early

ONSET, RIPENING, LAST = 12.0, 15.0, 45.0  # hours of the simulated tracks
EVERY = 6.0  # hours to the marker that are looked at together
BEFORE, TO_MARKER = "before_marker", "hours to the marker"
BATCH = 0.3  # strength of plate and well effects: under those of the default so few rounds would not do
EARLY = Figure("finding", "lineage predicted up to 3 generations early")
HEADS = {"gru": "CNN + recurrent (GRU)", "causal": "CNN + attention to the past"}
LIGHT = {"batch": 32, "validations": 2, "test_views": 1}
QUICK = Budget("quick", (Arm("tiny (ours)", {"network": "tiny"}),), passes=8, folds=3, changes=LIGHT)
DEFAULT = Budget("default", (Arm("ResNet18", {"network": "resnet18"}),), passes=3, folds=4,
                 changes={**LIGHT, "precision": "bfloat16"})  # fmt: skip
FULL = Budget("full", (Arm("ResNet18", {"network": "resnet18"}),), passes=30, folds=4,
              changes={"batch": 32, "weights": "imagenet"})  # fmt: skip


@dataclass(frozen=True)
class Scale:
    """How large the simulated rounds are: rounds, cells, frames of each, sides in pixels, steps of the heads."""

    rounds: int
    cells: int
    frames: int
    size: int
    pixel_size: float
    steps: int
    draws: int


SCALES = {
    "quick": Scale(9, 108, 16, 32, 1.3, 300, 300),
    "default": Scale(12, 480, 24, 64, 0.65, 600, 1000),
    "full": Scale(16, 3000, 45, 64, 0.65, 1500, 1000),
}


def run(order: Order) -> Path:
    """A network for single frames, heads over its features and the displacement, AUC against time to the marker."""
    size, arm = SCALES[order.budget.name], order.budget.arms[0]
    frames = simulated(
        order.into / "simulated", order, f"{size.cells} tracks of {size.rounds} rounds", kind="tracks",
        cells=size.cells, groups=size.rounds, frames=size.frames, size=size.size, pixel_size=size.pixel_size,
        classes=3, hours=(0.0, LAST), onset=ONSET, ripening=RIPENING, look="brightfield",
        batch=BATCH,
    )  # fmt: skip
    place = order.into / "tracks" / slug(arm.name)
    asked = Asked(
        {**order.budget.changes, **arm.changes}, passes=arm.passes or order.budget.passes, folds=order.budget.folds,
        holdout=False, random=True, baselines=("trivial",), title=f"Single frames: {arm.name}", arm=arm.name,
    )  # fmt: skip
    found = order.learn(frames, asked, place, order.say)
    order.say("heads over tracks")
    rows, names = over_tracks(frames.add(found.rows), place, {"prediction": f"{arm.name}, each frame alone"}, size)
    early = before_marker(rows, names, order.into, size)
    sheet = timed(early, rows.table)
    scene = _whole(rows, names, found.facts, order)
    plan = found.facts.get("plan", {})
    return paper(RECIPE, order, [scene], protocol(plan, order.budget), findings=(finding(early),), sheets=[sheet])


def over_tracks(
    rows: Manifest, network: Path, names: Mapping[str, str], size: Scale
) -> tuple[Manifest, dict[str, str]]:
    """What every head says at each frame, from it and those before, in columns beside the frame's own answer.

    The head of a fold learns on embeddings by the network of that fold, of other rounds. Without networks (a learner
    that leaves none) the probabilities of single frames stand in the embedding's place, and the name says so.
    """
    from potency.pooling.learn import Question, columns, learn, of_run
    from potency.pooling.pooler import Recipe as Head

    folds, named = folds_of(network), dict(names)
    bare = rows.table[[str(name) for name in rows.table if not str(name).startswith("prediction")]]
    if folds is None:
        shares = [str(name) for name in rows.table if str(name).startswith("prediction.probability.")]
        embed, table, stand = columns(rows.table, shares), bare, ", on the answers of frames"
    else:
        of_fold, table, stand = of_run(rows, network), bare.assign(fold=folds.reindex(bare["id"]).to_numpy()), ""
        first = int(table["fold"].min())  # nothing is given away here: no network of all rows is asked

        def embed(fold: int | None) -> pd.DataFrame:
            return of_fold(first if fold is None else fold)

    for head, title in HEADS.items():
        question = Question("track", "time", ("displacement",))
        found = learn(table, question, embed, Head(head, steps=size.steps)).rows
        own = [str(name) for name in found if str(name).startswith(f"prediction@{head}")]
        rows = rows.add(found[["id", *own]])
        named[f"prediction@{head}"] = title + stand
    return rows, named


def before_marker(rows: Manifest, names: Mapping[str, str], into: Path, size: Scale) -> Early:
    """AUC against hours to the marker, that of the recurrent head first; the rival is guessing."""
    from potency.timing import early

    order = [*(f"prediction@{head}" for head in HEADS), "prediction", passages.PLAIN]
    rows = passages.as_learner(rows).add({TO_MARKER: rows.table[BEFORE]})
    found = early(rows, TO_MARKER, "track", predictions=order, every=EVERY, score="auc", chance=(size.draws, SEED))
    found = passages.called(found, {**names, passages.PLAIN: passages.NUMBERS})
    found.write(into / "early")
    return found


def timed(early: Early, table: pd.DataFrame) -> Sheet:
    """The curves, and what the simulator knows of the same hours."""
    grids, pictures = passages.curve(early)
    about = (f"{early.verdict} The marker of a simulated cell is seen {RIPENING:g} h after the cell begins to change, "
             f"so nothing can be told more than {RIPENING:g} h before it; 0 is the marker.")  # fmt: skip
    links = (("early/early.html", "All curves, all times"),)
    grids = (*grids, ripe(table))
    return Sheet("time", "AUC against time before the marker", about, True, grids, pictures, links=links)


def ripe(table: pd.DataFrame) -> Grid:
    """How far the cells have changed in each bin of hours to the marker, by the simulator's own knowledge."""
    from potency.timing.points import binned

    point, ends = binned(table[BEFORE].to_numpy(float), EVERY)
    ripeness = table["maturity"].to_numpy(float)
    rows = tuple((f"{end:g}", f"{ripeness[point == k].mean():.2f}") for k, end in enumerate(ends))
    return Grid("What there is to see (known)", ("hours to the marker, end of the bin", "mean maturity, 0 to 1"), rows,
                "Maturity is 0 until a cell begins to change, and 1 when its marker is seen.")  # fmt: skip


def finding(early: Early) -> str:
    """The finding in one sentence."""
    if early.first is None:
        return f"Simulated tracks: {early.verdict}"
    point = next(one for one in early.curves[0].points if one.time == early.first)
    when = f"{-early.first:g} h before" if early.first < 0 else f"{early.first:g} h after" if early.first else "at"
    alone = next((gap for name, gap in early.compared.items() if name.endswith("alone")), None)
    beside = "" if alone is None else f" Over all times its AUC less that of each frame alone is {alone}."
    return (f"Simulated tracks: {early.curves[0].name} tells the lineage from {when} the marker on (AUC "
            f"{point.figure}).{beside} Published: {EARLY.value}; these simulated cells do not divide.")  # fmt: skip


def _whole(rows: Manifest, names: Mapping[str, str], facts: Mapping[str, Any], order: Order) -> Any:
    """One answer a track at its last frame before the marker."""
    table = rows.table
    seen = table[table[BEFORE].astype(float) < 0]
    last = seen.sort_values("time").groupby("track", sort=False).tail(1)["id"]
    kept = rows.where(table["id"].isin(last).tolist())
    first = next(iter(HEADS))
    moved = {f"prediction@{first}": "prediction", "prediction": "prediction@frame",
             "prediction@random": "prediction@frame-random"}  # of single frames; no head was learned at random
    renamed = kept.table.rename(columns=lambda name: _moved(str(name), moved))
    titles = {moved.get(column, column): name for column, name in names.items()}
    kept = replace(kept, table=renamed, kinds={**kept.kinds, "prediction": "category", "prediction@frame": "category"})
    about = (f"Each track at its last frame before the marker: {len(kept)} of {table['track'].nunique()} tracks. "
             "Heads answer from that frame and those before; the network alone from that frame.")  # fmt: skip
    problem = Problem("tracks", "Simulated tracks, before the marker", about, kept, True)
    return judge(problem, Answered(kept, titles, {}, facts), order)


def _moved(name: str, moved: Mapping[str, str]) -> str:
    column, dot, part = name.partition(".")
    return moved.get(column, column) + dot + part


def protocol(plan: Mapping[str, Any], budget: Budget) -> tuple[Fact, ...]:
    """Every value of the protocol, published or ours."""
    size = SCALES[budget.name]
    return (
        Fact("lineages", "GM (CD16/32) v. MegE (GATA1-mCherry)", "two simulated lineages and a marker"),
        Fact("input", "brightfield patches and movement", "brightfield patches and movement"),
        Fact("score", "CNN and recurrent network, one a cell", "CNN and recurrent network, one a cell and frame"),
        Fact("network", "", budget.arms[0].name),
        Fact("initial weights", "", str(plan.get("weights") or "from scratch")),
        Fact("heads", "", f"GRU and causal attention, forward in time only, {size.steps} steps"),
        Fact("patch", "", f"{size.size} x {size.size} px of {size.pixel_size:g} um"),
        Fact("frames", "", f"{size.frames} over {LAST:g} h"),
        Fact("plate and well effects", "", f"{BATCH:g} of what the simulator has by default"),
        Fact("split", "by experimental round, three at least",
             f"by experimental round, {budget.folds} folds of {size.rounds}"),
        Fact("tracks", "tracked by people", "given by the simulator"),
        Fact("trivial answer", "", "logistic regression on size, mean intensity and variance of single frames"),
        *chosen(plan, budget),
    )  # fmt: skip


RECIPE = Recipe(
    id="lineage-choice",
    title="Haematopoietic lineage choice (Buggenthin 2017)",
    area="A",
    published=(EARLY,),
    missing=(
        "tracking: tracks are given, movies are not tracked yet",
        "generations: the simulated cells do not divide, so time stands in hours",
        "real movies",
    ),
    method="brightfield single-cell time-lapse patches + displacement, CNN and recurrent net over a track",
    run=run,
    budgets=(QUICK, DEFAULT, FULL),
)
