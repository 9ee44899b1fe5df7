"""What is learned and how: the task that fits the truth, and a plan with the changes asked for on the command line."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from potency.errors import ManifestError, PlanError

if TYPE_CHECKING:
    from potency.data.manifest import Manifest
    from potency.data.plan import Plan
    from potency.tasks import Task

TASK_HELP = (
    "What is learned; `potency models` lists them. [dim]else the first that gives the truth's kind of answer[/dim]"
)
SET_HELP = "Change one decision of the plan; may be given often."


def chosen_task(name: str, manifest: Manifest) -> Task:
    """The task called `name`, or the first in the list whose answers are of the truth's kind."""
    from potency.tasks import find_task, task_for

    if name:
        return find_task(name)
    if "truth" not in manifest.table:
        raise ManifestError(
            "the table has no truth to learn from", str(manifest.folder), "name its column with --truth"
        )
    return task_for(manifest.kinds.get("truth", ""))


def changes(settings: Sequence[str] | None) -> dict[str, Any]:
    """The decisions given as NAME=VALUE; a value is JSON where it can be read as such, else text.

    >>> changes(["steps=500", "network=resnet18", "weights=null"])
    {'steps': 500, 'network': 'resnet18', 'weights': None}
    """
    made: dict[str, Any] = {}
    for setting in settings or ():
        name, equals, value = setting.partition("=")
        if not (name and equals):
            raise PlanError(f"{setting!r} is no NAME=VALUE", "--set", "write it like --set steps=500")
        try:
            made[name] = json.loads(value)
        except ValueError:
            made[name] = value
    return made


def planned(manifest: Manifest, task: Task, changed: Mapping[str, Any]) -> Plan:
    """The plan computed from the rows, with some decisions changed."""
    from potency.data.plan import Facts, Plan

    learnable = manifest.table["truth"].notna()
    if "split" in manifest.table:  # external rows decide nothing, not even the scaling
        learnable &= manifest.table["split"].ne("external")
    return Plan.of(Facts.of(manifest.where(learnable)), **{"task": task.name, **changed})
