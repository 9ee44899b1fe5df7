"""One operation of a hand on a mask and its classes: what it is, and how it is done."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from potency.errors import PotencyError
from potency.web.correcting import strokes
from potency.web.correcting.strokes import Box, Change, Labels, Mask


@dataclass(frozen=True)
class Operation:
    """One thing that a hand did; the same `key` sent twice is done once.

    Attributes:
        kind: a name of `DOES`, "class", "undo" or "redo".
        label: the cell; `other` a second one, for merge.
        points: x and y in pixels of the image, the first pixel being the square from 0 to 1.
        radius: of the brush, in pixels.
        over: whether drawing takes pixels from other cells.
        fresh: whether `label` is a new cell; where its number was given away meanwhile, it gets another one.
        fill: whether the line is an outline whose inside is meant.
        name: of a class; "" takes it away.
    """

    key: str
    kind: str
    label: int = 0
    other: int = 0
    points: Sequence[tuple[float, float]] = ()
    radius: float = 0.0
    over: bool = False
    fresh: bool = False
    fill: bool = False
    name: str = ""


@dataclass
class Now:
    """The mask, changed in place while operations are done to it; `fresh` is the number of the next new cell."""

    labels: Labels | None
    classes: dict[str, str]
    fresh: int
    allowed: tuple[str, ...]
    renamed: dict[int, int] = field(default_factory=dict)


def do(one: Operation, now: Now) -> tuple[Box, Labels, Labels] | None:
    """Do an operation; the box of the mask that it changed, the pixels before and after, None where none did.

    Raises:
        PotencyError: it cannot be done; the mask is as it was then.
    """
    label = now.renamed.get(one.label, one.label)
    other = now.renamed.get(one.other, one.other)
    if one.fresh and one.label not in now.renamed:
        label = now.renamed[one.label] = max(one.label, now.fresh)
    one = replace(one, label=label, other=other)
    if one.kind == "class":
        if one.name and one.name not in now.allowed:
            raise PotencyError(f"there is no class {one.name[:40]!r}", f"cell {label}",
                               "one of " + ", ".join(now.allowed[:20]))  # fmt: skip
        named(now.classes, str(label), one.name)
        return None
    if one.kind not in DOES or now.labels is None:
        raise PotencyError(f"nothing is known of {one.kind[:20]!r}", "the operation", "load the page again")
    changed = strokes.put(now.labels, DOES[one.kind](one, now))
    now.fresh = max(now.fresh, label + 1)
    return changed


def _where(one: Operation, now: Now) -> tuple[Box, Mask]:
    assert now.labels is not None
    if not one.points:
        raise PotencyError("the stroke has no points", "the operation", "draw it again")
    shape = now.labels.shape
    return strokes.surrounded(one.points, shape) if one.fill else strokes.swept(one.points, one.radius, shape)


def _draw(one: Operation, now: Now) -> Change:
    assert now.labels is not None
    if one.label < 1:
        raise PotencyError("no cell was chosen to draw", "the operation", "click a cell, or begin a new one")
    made = strokes.drawn(now.labels, _where(one, now), one.label, one.over)
    if one.fresh and one.name in now.allowed:
        named(now.classes, str(one.label), one.name)
    return made


def _split(one: Operation, now: Now) -> Change:
    assert now.labels is not None
    if not one.points:
        raise PotencyError("the line has no points", "the operation", "draw it again")
    made = strokes.split(now.labels, one.label, one.points, now.fresh)
    kind, last = now.classes.get(str(one.label), ""), int(made[1].max())
    for number in range(now.fresh, last + 1):
        named(now.classes, str(number), kind)
    now.fresh = max(now.fresh, last + 1)
    return made


# Each gives what an operation changes in the present mask.
DOES: Mapping[str, Any] = {
    "draw": _draw,
    "erase": lambda one, now: strokes.erased(now.labels, _where(one, now), one.label),
    "split": _split,
    "merge": lambda one, now: strokes.merged(now.labels, one.label, one.other),
    "delete": lambda one, now: strokes.deleted(now.labels, one.label),
}


def named(classes: dict[str, str], label: str, name: str) -> None:
    if name:
        classes[label] = name
    else:
        classes.pop(label, None)
