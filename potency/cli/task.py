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
    from potency.answers import ANSWERS
    from potency.tasks import find_task, task_for

    kind = manifest.kinds.get("truth", "")
    if name:
        task = find_task(name)
        # A mask can be labels or regions: the task says which.
        filed = task.answer.in_files and kind in ANSWERS and ANSWERS[kind].in_files
        if "truth" in task.needs and kind in ANSWERS and not filed and not issubclass(ANSWERS[kind], task.answer):
            raise PlanError(
                f"the truth is a {kind}, {name} learns a {task.answer.kind}", f"--task {name}",
                f"leave --task out for {task_for(kind).name}, or name another column with --truth; numbers that are "
                "names of classes are better written as words",
            )  # fmt: skip
        return task
    if "truth" not in manifest.table:
        raise ManifestError(
            "the table has no truth to learn from", str(manifest.folder), "name its column with --truth"
        )
    return task_for(kind)


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


def members(networks: str, weights: str) -> list[dict[str, Any]]:
    """Networks given by their names, by where their weights are, or both; one of either goes with all of the other.

    >>> members("resnet18@45x60,tiny", "imagenet")
    [{'network': 'resnet18', 'tile': '45x60', 'weights': 'imagenet'}, {'network': 'tiny', 'weights': 'imagenet'}]
    """
    from potency.cli.rows import listed

    columns = listed(networks), listed(weights)
    count = max(map(len, columns))
    if any(len(column) not in (0, 1, count) for column in columns):
        raise PlanError(
            f"{len(columns[0])} networks with {len(columns[1])} weights", "--network, --weights", "give one for each"
        )
    names, sources = ((column * count)[:count] if column else ("",) * count for column in columns)
    made = []
    for name, source in zip(names, sources, strict=True):
        network, _, tile = name.partition("@")
        made.append({k: v for k, v in (("network", network), ("tile", tile), ("weights", source)) if v})
    return made


def planned(manifest: Manifest, task: Task, changed: Mapping[str, Any], started: bool = False) -> Plan:
    """The plan computed from the rows, with some decisions changed; `started`: it goes on from a bundle."""
    from potency.data.plan import Facts
    from potency.learning import planning

    table = manifest.table
    learnable = table["truth"].notna() if "truth" in task.needs else table["id"].notna()
    if "split" in table:  # external rows decide nothing, not even the scaling
        learnable &= table["split"].ne("external")
    return planning.planned(Facts.of(manifest.where(learnable)), task, **{"started": started, **changed})
