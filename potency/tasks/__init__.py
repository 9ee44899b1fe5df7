"""Tasks by name: the visible list that the command line, the loop, the report and the contract test read."""

from __future__ import annotations

from collections.abc import Mapping

from potency.errors import PlanError, nearest
from potency.tasks.classify import Classify
from potency.tasks.count import Count
from potency.tasks.detect import Detect
from potency.tasks.instances import Instances
from potency.tasks.multilabel import Multilabel
from potency.tasks.quantify import Quantify
from potency.tasks.resemble import Simclr, Vicreg
from potency.tasks.segment import Segment
from potency.tasks.task import Focus, Sample, Task

TASKS: Mapping[str, Task] = {
    task.name: task
    for task in (
        Classify(), Multilabel(), Quantify(), Segment(), Instances(), Detect(), Count(), Simclr(), Vicreg()
    )
}  # fmt: skip


def find_task(name: str) -> Task:
    """The task of this name; an unknown one is refused and the nearest named."""
    if name not in TASKS:
        raise PlanError(f"there is no task {name!r}", "task", nearest(name, TASKS))
    return TASKS[name]


def task_for(kind: str) -> Task:
    """The first task whose answer is of this kind: what a truth column asks for when nobody names a task.

    >>> task_for("number").name
    'quantify'
    """
    learned = (task for task in TASKS.values() if "truth" in task.needs)
    found = next((task for task in learned if task.answer.kind == kind), None)
    if found is None:
        raise PlanError(f"no task learns answers of kind {kind!r}", "task", "name a task with --task")
    return found


__all__ = ["TASKS", "Focus", "Sample", "Task", "find_task", "task_for"]
