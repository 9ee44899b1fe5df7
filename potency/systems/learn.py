"""How recipes learn: through the protocol a user gets, so that a recipe's figures are figures of the program."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from potency.systems.recipe import Asked, Learned

if TYPE_CHECKING:
    from potency.data.manifest import Manifest
    from potency.inference.pool import Mapper


def learn(manifest: Manifest, asked: Asked, into: Path, say: Callable[[str], None], on: Mapper = map) -> Learned:
    """Train and test as asked, folds and splits side by side where `on` allows it; a stopped call goes on.

    What it will cost is said before it starts.
    """
    from potency.data.facts import Facts
    from potency.learning import protocol
    from potency.learning.cost import spoken_cost
    from potency.learning.planning import planned
    from potency.learning.search import Search
    from potency.tasks import task_for

    task = task_for(manifest.kinds.get("truth", ""))
    plan = planned(Facts.of(manifest), task, started=bool(asked.start), **asked.changes)
    trainings = (1 if asked.holdout else asked.folds) * (2 if asked.random else 1) * (asked.trials or 1)
    if asked.passes and plan.steps:
        share = 1 - 1 / asked.folds
        steps = max(1, round(asked.passes * share * len(manifest) / (plan.batch * plan.accumulate)))
        # Networks that a learner stands on learn as long as one that stands alone.
        plan = plan.but(steps=steps, members=[{"steps": steps, **own} for own in plan.members])
    if not (into / "predictions.parquet").is_file():
        say(f"{asked.arm}: {spoken_cost(task, plan, trainings)}")
    outcome = protocol.run(
        manifest,
        task,
        into=into,
        plan=plan,
        choices=protocol.Choices(
            folds=asked.folds,
            holdout=asked.holdout,
            random_split=asked.random,
            baselines=asked.baselines,
            search=Search(trials=asked.trials) if asked.trials else None,
            start=asked.start,
            maps=False,
            gallery=False,
            keep_folds=True,  # a recipe wants figures: no model is refitted on all rows
            resume=True,
            title=asked.title,
        ),
        on=on,
    )
    table = outcome.manifest.table
    columns = [name for name in table if str(name).startswith("prediction")]
    return Learned(table[["id", *columns]], outcome.report.facts, outcome.bundle)
