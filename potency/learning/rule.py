"""The learner of trivial baselines on the pixels: a rule, fitted on some whole training images."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from potency.bundle.rule import RuleMember
from potency.data.manifest import Manifest
from potency.data.plan import Plan
from potency.estimators import find_estimator
from potency.estimators.rules import RULES, Seen, find_rule
from potency.inference.view import READ, View
from potency.learning.truths import drawn_on, placed_in, truths
from potency.tasks import Task

if TYPE_CHECKING:
    from potency.learning.train import Course

MOST = 24  # images that are looked at, evenly through the table


def fit_rule(course: Course) -> tuple[tuple[RuleMember, ...], list[dict[str, Any]]]:
    """One member whose numbers are those of training rows; validation rows choose its thresholds as a network's."""
    plan, task = course.plan, course.task
    rule = find_rule(plan.network, task.answer.kind)
    fitted = rule.fit(seen(course.manifest.of("train"), task, plan), plan)
    return (RuleMember(task, plan, fitted),), []


def ruled(plan: Plan, name: str, task: Task) -> Plan:
    """The plan of the rule of this name beside a network's plan."""
    changes = find_rule(name, task.answer.kind).changes
    return plan.but(**{"learner": "rule", "network": name, "families": (), "members": (), "weights": None, **changes})


def refused(name: str, task: Task) -> None:
    """PlanError where there is no baseline of this name, or none of a name that estimates what the task asks for.

    Of tasks with answers on the pixels those names that no rule has are left out without a word: they are asked for by
    default.
    """
    if task.estimates:
        find_estimator(name).refuse(task.estimates)
    elif name not in RULES:
        find_estimator(name)


def seen(rows: Manifest, task: Task, plan: Plan) -> Iterator[Seen]:
    """Some training images, of large ones the middle, with their truths as the task draws or lists them."""
    places = np.unique(np.linspace(0, len(rows) - 1, min(MOST, len(rows))).round().astype(int))
    some = replace(rows, table=rows.table.iloc[places].reset_index(drop=True))
    for row, truth in zip(some.records(), truths(some, task), strict=True):
        view = View.of(some, row, plan)
        high, wide = (min(side, READ) for side in view.shape)
        top, left = view.top + (view.height - high) // 2, view.left + (view.width - wide) // 2
        window = {"Y": slice(top, top + high), "X": slice(left, left + wide)}
        if task.listed:
            placed = placed_in(some, row, task, plan, truth, (top, left, high, wide))
        else:
            placed = drawn_on(some, row, task, plan, truth)[:, window["Y"], window["X"]]
        yield Seen(np.asarray(view.image.crop(window)), placed)
