"""Thresholds of a task's decoding, chosen on validation rows once the networks have learned; no test row is seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from potency.answers import Answer, Evidence
from potency.answers.filed import Filed
from potency.answers.labels import diameter
from potency.bundle import Member
from potency.data.manifest import Manifest
from potency.data.plan import Plan
from potency.data.tiles import Tile
from potency.inference.view import View, windows
from potency.learning.truths import truths
from potency.tasks import Task

MOST = 32  # images that are tried, evenly through the table
PIXELS = 2**24  # whose maps are held at a time
CLOSER = (0.0, 8.0, 10.0, 12.0, 14.0, 16.0, 20.0, 24.0, 32.0, 40.0, 48.0, 56.0)  # px: smaller is better seen larger
ROUNDS = 5  # through all thresholds, at most
GAIN = 0.005  # of the headline


class Parts(NamedTuple):
    """What the network says of one image, of the size `shape`: its outputs for every tile."""

    shape: tuple[int, int]
    tiles: list[tuple[Tile, Mapping[str, NDArray[Any]]]]


def with_thresholds(member: Member, rows: Manifest) -> Member:
    """The member with the `settings` that score best on these rows by its answer's headline.

    One threshold after the other is moved while the others stay, in the order in which the task names them, and so
    again while that gains, for the first were chosen beside others; a gain must show, so that what makes no difference
    stays as it was. Small objects are seen larger where the plan says so.
    """
    trials = member.task.trials(member.plan)
    if not trials or not len(rows):
        return member
    seen, known = _parts(member, rows)
    if member.plan.closer:
        larger = _parts(member, rows, closer=True)[0]
        seen = [two if _small(member, one) else one for one, two in zip(seen, larger, strict=True)]
    plan, best = member.plan, _score(member.task, member.plan, seen, known)
    for _ in range(ROUNDS):
        before = best
        for name, values in trials.items():
            for value in (None, *values):  # None: as it is by itself
                if value != plan.settings.get(name):
                    tried = _set(plan, name, value)
                    score = _score(member.task, tried, seen, known)
                    if score > best:
                        plan, best = tried, score
        if best <= before:
            break
    return member.under(plan)


def with_closer(member: Member, rows: Manifest) -> Member:
    """The member with the `closer` that these rows ask for: under which size objects are better seen larger.

    A larger one makes more images cost four times as much, so it must gain `GAIN` over what was chosen before it.
    """
    plan = member.plan.but(closer=0)
    seen, known = _parts(member, rows)
    as_they_are = [_joined(member.task, plan, parts) for parts in seen]
    nearer = [_joined(member.task, plan, parts) for parts in _parts(member, rows, closer=True)[0]]
    sizes = [diameter([answer]) for answer in as_they_are]
    found, best = 0.0, -np.inf
    for limit in CLOSER:
        told = [two if size < limit else one for one, two, size in zip(as_they_are, nearer, sizes, strict=True)]
        score = _judged(member.task, told, known)
        if score > best + GAIN:
            found, best = limit, score
    return member.under(plan.but(closer=found))


def _parts(member: Member, rows: Manifest, closer: bool = False) -> tuple[list[Parts], list[Answer]]:
    """The outputs for the tiles of some whole images, and the truths of these."""
    places = np.unique(np.linspace(0, len(rows) - 1, min(MOST, len(rows))).round().astype(int))
    some = replace(rows, table=rows.table.iloc[places].reset_index(drop=True))
    seen: list[Parts] = []
    known: list[Answer] = []
    held = 0
    for row, truth in zip(some.records(), truths(some, member.task), strict=True):
        view = View.of(some, row, member.plan)
        held += view.height * view.width
        if seen and held > PIXELS:
            break
        tiles = windows(view.shape, member.plan)
        seen.append(Parts(view.shape, [(tile, _output(member, view, tile, closer)) for tile in tiles]))
        known.append(truth)
    return seen, known


def _output(member: Member, view: View, tile: Tile, closer: bool) -> Mapping[str, NDArray[Any]]:
    return member.outputs([{"image": view.crop(tile), "closer": np.asarray(closer), **view.given(member.plan)}])[0]


def _set(plan: Plan, name: str, value: float | None) -> Plan:
    others = {each: old for each, old in plan.settings.items() if each != name}
    return plan.but(settings=others if value is None else {**others, name: value})


def _small(member: Member, parts: Parts) -> bool:
    return diameter([_joined(member.task, member.plan, parts)]) < member.plan.closer


def _score(task: Task, plan: Plan, seen: Sequence[Parts], known: Sequence[Answer]) -> float:
    return _judged(task, [_joined(task, plan, parts) for parts in seen], known)


def _judged(task: Task, told: Sequence[Answer], known: Sequence[Answer]) -> float:
    pieces = [_compared(answer, truth) for answer, truth in zip(told, known, strict=True)]
    evidence = Evidence.stack(pieces)
    value = float(task.answer.summarise(evidence, np.ones((1, evidence.samples)))[task.answer.headline][0])
    return task.answer.better * value if np.isfinite(value) else -np.inf


def _joined(task: Task, plan: Plan, parts: Parts) -> Answer:
    """The answer of an image as it is predicted: each tile is decoded, and the answers are joined."""
    told = [(tile, task.decode(output, plan)) for tile, output in parts.tiles]
    return told[0][1] if len(told) == 1 else task.answer.stitch(iter(told), parts.shape)


def _compared(answer: Answer, truth: Answer) -> Evidence:
    """Without classes where objects have them: images of other classes have no evidence in common."""
    if isinstance(answer, Filed) and isinstance(truth, Filed):
        return answer.against(truth, (), scored=False)
    return answer.compare(truth)
