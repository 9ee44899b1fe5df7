"""How recipes learn: through the protocol a user gets, so that a recipe's figures are figures of the program."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from potency.systems.recipe import Asked, Learned

if TYPE_CHECKING:
    from potency.data.manifest import Manifest
    from potency.inference.pool import Mapper


def learn(manifest: Manifest, asked: Asked, into: Path, on: Mapper = map) -> Learned:
    """Train and test as asked, folds and splits side by side where `on` allows it; a stopped call goes on."""
    from potency.data.plan import Facts
    from potency.learning import protocol
    from potency.learning.planning import planned
    from potency.tasks import task_for

    task = task_for(manifest.kinds.get("truth", ""))
    outcome = protocol.run(
        manifest,
        task,
        into=into,
        plan=planned(Facts.of(manifest), task, **{"network": asked.network, **asked.changes}),
        choices=protocol.Choices(
            folds=asked.folds,
            holdout=asked.holdout,
            random_split=asked.random,
            baselines=asked.baselines,
            keep_folds=True,  # a recipe wants figures: no model is refitted on all rows
            resume=True,
            title=asked.title,
        ),
        on=on,
    )
    table = outcome.manifest.table
    columns = [name for name in table if str(name).startswith("prediction")]
    return Learned(table[["id", *columns]], outcome.report.facts)
