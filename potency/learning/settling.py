"""Thresholds of a task's decoding, chosen on validation rows once the networks have learned; no test row is seen."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from potency.answers import Answer, Evidence
from potency.answers.filed import Filed
from potency.bundle import NetworkMember
from potency.data.manifest import Manifest
from potency.data.plan import Plan
from potency.inference.view import View, windows
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
        seen.append(_whole(member, view))
        known.append(truth)
    return seen, known


def _whole(member: NetworkMember, view: View) -> dict[str, NDArray[np.float32]]:
    """The maps of a whole image, of the tiles that are seen at prediction: each gives its core."""
    whole: dict[str, NDArray[np.float32]] = {}
    for tile in windows(view.shape, member.plan):
        sample: dict[str, NDArray[Any]] = {"image": view.crop(tile)}
        if member.plan.scale_by == "image":
            sample["exposure"] = view.exposure
        found, place = member.outputs([sample])[0], tile.window(view.shape)
        top, left = tile.y - place["Y"].start, tile.x - place["X"].start
        for name in member.task.maps:
            part = found[name][:, top : top + tile.height, left : left + tile.width]
            made = whole.setdefault(name, np.zeros((len(part), *view.shape), np.float32))
            made[:, tile.y : tile.y + tile.height, tile.x : tile.x + tile.width] = part
    return whole


def _score(task: Task, plan: Plan, seen: list[Any], known: list[Answer]) -> float:
    pieces = [_compared(task.decode(maps, plan), truth) for maps, truth in zip(seen, known, strict=True)]
    evidence = Evidence.stack(pieces)
    value = float(task.answer.summarise(evidence, np.ones((1, evidence.samples)))[task.answer.headline][0])
    return task.answer.better * value if np.isfinite(value) else -np.inf


def _compared(answer: Answer, truth: Answer) -> Evidence:
    """Without classes where objects have them: images of other classes have no evidence in common."""
    if isinstance(answer, Filed) and isinstance(truth, Filed):
        return answer.against(truth, (), scored=False)
    return answer.compare(truth)
