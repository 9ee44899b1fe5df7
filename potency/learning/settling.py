"""Thresholds of a task's decoding, chosen on validation rows once the networks have learned; no test row is seen."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from potency.answers import Answer, Evidence
from potency.bundle import NetworkMember
from potency.data.manifest import Manifest
from potency.data.plan import Plan
from potency.data.tiles import Tile
from potency.inference.view import View
from potency.learning.truths import truths
from potency.tasks import Task

MOST = 32  # images that are tried, evenly through the table
PIXELS = 2**24  # whose maps are held at a time


def with_thresholds(member: NetworkMember, rows: Manifest) -> NetworkMember:
    """The member with the `settings` that score best on these rows by its answer's headline.

    One threshold after the other is moved while the others stay, in the order in which the task names them; a gain
    must show, so that what makes no difference stays as it was.
    """
    trials = member.task.trials(member.plan)
    if not trials or not len(rows):
        return member
    seen, known = _maps(member, rows)
    plan, best = member.plan, _score(member.task, member.plan, seen, known)
    for name, values in trials.items():
        for value in values:
            tried = plan.but(settings={**plan.settings, name: value})
            score = _score(member.task, tried, seen, known)
            if score > best:
                plan, best = tried, score
    return NetworkMember(member.task, plan, member.nets)


def _maps(member: NetworkMember, rows: Manifest) -> tuple[list[Any], list[Answer]]:
    """The outputs for some whole images, and their truths."""
    places = np.unique(np.linspace(0, len(rows) - 1, min(MOST, len(rows))).round().astype(int))
    some = replace(rows, table=rows.table.iloc[places].reset_index(drop=True))
    seen: list[Any] = []
    known: list[Answer] = []
    held = 0
    for row, truth in zip(some.records(), truths(some, member.task), strict=True):
        view = View.of(some, row, member.plan)
        held += view.height * view.width
        if seen and held > PIXELS:
            break
        sample: dict[str, NDArray[Any]] = {"image": view.crop(Tile(0, 0, *view.shape))}
        if member.plan.scale_by == "image":
            sample["exposure"] = view.exposure
        seen.append(member.outputs([sample])[0])
        known.append(truth)
    return seen, known


def _score(task: Task, plan: Plan, seen: list[Any], known: list[Answer]) -> float:
    pieces = [task.decode(maps, plan).compare(truth) for maps, truth in zip(seen, known, strict=True)]
    evidence = Evidence.stack(pieces)
    value = float(task.answer.summarise(evidence, np.ones((1, evidence.samples)))[task.answer.headline][0])
    return task.answer.better * value if np.isfinite(value) else -np.inf
