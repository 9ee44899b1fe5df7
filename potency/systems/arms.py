"""Arms of a comparison: each learns the same rows by its own plan, and all are evaluated side by side."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from potency.systems.comparison import Comparison, Scene, Sheet, write
from potency.systems.recipe import Arm, Asked, Budget, Fact, Figure, Learned, Order, Recipe
from potency.systems.sights import sights

if TYPE_CHECKING:
    import pandas as pd

    from potency.data.manifest import Manifest

OWN = {"prediction": "", "prediction@random": "-random"}  # columns of the learner itself, under each split
BASELINES = ("forest", "trivial")
MEAN = "all, averaged"
TRIED = "A quick run: few images and few steps. It shows that the way runs to its end, not what the networks can reach."
NONE_REAL = "No real images were used: everything below is simulated. Name a folder with --data."


@dataclass(frozen=True)
class Problem:
    """One question to one set of images."""

    name: str  # of its folder
    title: str
    about: str
    manifest: Manifest
    simulated: bool
    published: Mapping[str, Figure] = field(default_factory=dict)  # metric -> the figure it stands beside


@dataclass(frozen=True)
class Compared:
    """What came of a problem: its scene on the page, and the plan of each arm by name."""

    scene: Scene
    plans: Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Answered:
    """The rows of a problem with the answers of every arm, and what there is to know about them."""

    manifest: Manifest
    names: Mapping[str, str]  # column -> how the page calls its learner
    plans: Mapping[str, Mapping[str, Any]]
    facts: Mapping[str, Any]
    learned: Mapping[str, Learned] = field(default_factory=dict)  # by arm


def compare(
    problem: Problem,
    arms: Sequence[Arm],
    order: Order,
    *,
    baselines: Sequence[str] = BASELINES,
    averaged: bool = False,
    look: str = "",
) -> Compared:
    """Every arm under both splits, the baselines beside the first, and one evaluation of them all.

    Args:
        arms: the first is compared with each of the others, on the same rows.
        look: the name of the arm whose network is looked into (see `sights`); "": none.
        averaged: the mean of all arms' probabilities as one more learner (an ensemble, out of fold like its members).
    """
    answered = answer(problem, arms, order, baselines=baselines, averaged=averaged)
    scene, seen = judge(problem, answered, order), answered.learned.get(look)
    if seen is not None and seen.bundle is not None:
        order.say(f"{look}: what it sees")
        place = order.into / problem.name / slug(look)
        pictures, walls = sights(problem.manifest.add(seen.rows), seen.bundle, look, place)
        scene = replace(scene, pictures=pictures, walls=walls)
    return Compared(scene, answered.plans)


def answer(
    problem: Problem,
    arms: Sequence[Arm],
    order: Order,
    *,
    baselines: Sequence[str] = BASELINES,
    averaged: bool = False,
    random: bool = True,
) -> Answered:
    """The first half of `compare`: every arm learns and answers the rows that it has not seen.

    Without `random` no random split stands beside: where what was published had none, it only costs as much again.
    """
    place, manifest = order.into / problem.name, problem.manifest
    arms = _possible(arms, order)
    rows, groups = len(manifest), manifest.table["group"].nunique()
    order.say(f"{problem.title}: {rows} images, {groups} groups, {len(arms)} arms")
    names, facts, plans = dict[str, str](), dict[str, Any](), dict[str, Mapping[str, Any]]()
    every: dict[str, Learned] = {}
    for number, arm in enumerate(arms, 1):
        first = number == 1
        asked = Asked(
            {**order.budget.changes, **arm.changes}, passes=arm.passes or order.budget.passes,
            folds=order.budget.folds, holdout=order.budget.holdout, random=random,
            baselines=tuple(baselines) if first else (),
            trials=arm.trials, start=arm.start,
            title=f"{problem.title}: {arm.name}", arm=f"{arm.name} ({number} of {len(arms)})",
        )  # fmt: skip
        learned = order.learn(problem.manifest, asked, place / slug(arm.name), order.say)
        renamed = named_columns(learned.rows, slug(arm.name), first)
        manifest = manifest.add(renamed)
        names |= {column: arm.name for column in mains(renamed) if column in OWN or not first}
        plans[arm.name] = learned.facts.get("plan", {})
        every[arm.name] = learned
        facts = facts or dict(learned.facts)
    if averaged and len(arms) > 1:
        together = _averaged(manifest, list(names))
        manifest = manifest.add(together)
        names |= dict.fromkeys(mains(together), MEAN)
    return Answered(manifest, names, plans, facts, every)


def judge(problem: Problem, answered: Answered, order: Order) -> Scene:
    """The second half of `compare`: one evaluation of all columns, on the rows that `answered` holds."""
    from potency.evaluation.evaluate import evaluate

    facts, kept = answered.facts, ("split", "split_kind", "fingerprint", "versions", "plan")
    told = [name for name in mains(answered.manifest.table) if answered.manifest.table[name].notna().any()]
    report = evaluate(
        answered.manifest,
        predictions=sorted(told, key=lambda name: (name != "prediction", name.endswith("random"), "@trivial" in name)),
        facts={
            **{key: facts[key] for key in kept if key in facts},
            "title": problem.title, "names": answered.names, "simulated": problem.simulated,
        },
    )  # fmt: skip
    report.write(order.into / problem.name)
    return Scene(problem.name, problem.title, problem.about, problem.simulated, report, problem.published)


def _possible(arms: Sequence[Arm], order: Order) -> Sequence[Arm]:
    """The arms that can be learned here: a search needs an extra, and without it that arm alone is missing."""
    searched = [arm.name for arm in arms if arm.trials]
    if not searched or find_spec("optuna"):
        return arms
    order.say(f"{', '.join(searched)}: left out, as optuna is not installed (pip install 'potency[search]')")
    return [arm for arm in arms if not arm.trials]


def paper(
    recipe: Recipe,
    order: Order,
    scenes: Sequence[Scene],
    protocol: Sequence[Fact],
    *,
    banner: Sequence[str] = (),
    findings: Sequence[str] = (),
    sheets: Sequence[Sheet] = (),
) -> Path:
    """Write the page of a recipe that compared arms; its path."""
    quick = (TRIED,) if order.budget.name == "quick" and order.budget.arms else ()
    drawn = [*(scene.simulated for scene in scenes), *(sheet.simulated for sheet in sheets)]
    bare = (NONE_REAL,) if all(drawn) else ()
    told = Comparison(
        system=recipe, scenes=tuple(scenes), protocol=tuple(protocol), banner=(*banner, *quick, *bare),
        command=order.command(recipe.id), findings=tuple(findings), sheets=tuple(sheets),
    )  # fmt: skip
    return write(told, order.into)


def by_group(budget: Budget) -> str:
    """How the rows are divided beside what was published."""
    return "whole groups, " + (f"one fold of {budget.folds}" if budget.holdout else f"{budget.folds} folds")


def chosen(plan: Mapping[str, Any], budget: Budget) -> tuple[Fact, ...]:
    """The values that every recipe has to choose and no publication states, as the training used them.

    What tasks with answers on the pixels make no use of is not told of them.
    """
    from potency.tasks import TASKS

    task = TASKS.get(str(plan.get("task", "")))
    whole = task is None or not task.maps  # an answer to a whole image, or nobody knows

    def ours(what: str, key: str, show: Callable[[Any], str] = str) -> Fact:
        return Fact(what, "", show(plan[key]) if key in plan else "as planned")

    passes = f"{budget.passes:g} passes over the learning rows" if budget.passes else "as planned"
    apart = "; ".join(f"{arm.name} {arm.passes:g}" for arm in budget.arms if arm.passes)
    passes += f" ({apart})" if apart else ""
    return (
        Fact("optimiser", "", "AdamW, warm-up and cosine decay"), Fact("loss", "", "that of the task"),
        ours("learning rate", "rate"), ours("weight decay", "decay"), ours("batch", "batch"),
        *((ours("dropout rate", "dropout"), ours("label smoothing", "smoothing"), ours("class balance", "balance"))
          if whole else ()),
        Fact("epochs", "", passes), ours("precision", "precision"),
        ours("augmentation", "augment", lambda a: ", ".join(a) or "the defaults of `potency train`"),
        ours("seed", "seed"),
    )  # fmt: skip


def slug(name: str) -> str:
    """The name of an arm as part of a column and of a folder.

    >>> slug("ResNet-50, 60 x 60")
    'resnet-50-60-x-60'
    """
    return "-".join("".join(c if c.isalnum() else " " for c in name.lower().replace("+", "plus")).split())


def mains(table: pd.DataFrame) -> list[str]:
    """The prediction columns without their parts."""
    return [str(name) for name in table if str(name).startswith("prediction") and "." not in str(name)]


def named_columns(rows: pd.DataFrame, arm: str, first: bool = False) -> pd.DataFrame:
    """An arm's answers under its name; of the first, which is compared with the rest, everything as it is."""
    if first:
        return rows
    own = {name: f"prediction@{arm}{end}" for name, end in OWN.items()}
    renamed = {}
    for name in rows:
        source, dot, part = str(name).partition(".")
        if source in own:
            renamed[str(name)] = own[source] + dot + part
    return rows[["id", *renamed]].rename(columns=renamed)


def _averaged(manifest: Manifest, columns: Sequence[str]) -> pd.DataFrame:
    """The mean of the arms' probabilities and the class it names, apart for each split."""
    import pandas as pd

    table = manifest.table
    made = table[["id"]].copy()
    for end in ("", "-random"):
        members = [c for c in columns if c.endswith("random") == bool(end)]
        classes = [c for c in manifest.classes if all(f"{m}.probability.{c}" in table for m in members)]
        if len(members) < 2 or not classes:
            continue
        told = [table[[f"{m}.probability.{c}" for c in classes]].to_numpy(float) for m in members]
        shares = pd.DataFrame(np.mean(told, axis=0), columns=classes, index=table.index)
        answered = shares.notna().all(axis=1)
        column = f"prediction@averaged{end}"
        made[column] = shares[answered].idxmax(axis=1).reindex(table.index)
        made = made.join(shares.add_prefix(f"{column}.probability."))
    return made
