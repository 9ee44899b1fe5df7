"""What a hand does to a label image: draws, erases, splits, merges, deletes; each gives a box and its new pixels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from potency.errors import PotencyError

Labels = NDArray[np.uint32]
Mask = NDArray[np.bool_]
Points = Sequence[tuple[float, float]]  # x and y in pixels of the image; the first pixel is the square from 0 to 1
Box = tuple[int, int, int, int]  # top, left, bottom, right; half-open
Change = tuple[Box, Labels]  # new pixels of a box; the image itself stays as it is
GAP = 2  # px of background between two cells that are filled when they become one
CUT = 0.71  # px on each side of a line that cuts: just over half a diagonal, so that no pixels touch across it
BAND = 2**18  # px that are looked through at once for a cell: they stay in the processor's own memory
LEAST = 4  # px; what a cut leaves that is smaller is no piece of its own
EIGHT = np.ones((3, 3), bool)


def swept(points: Points, radius: float, shape: tuple[int, int]) -> tuple[Box, Mask]:
    """The pixels whose middles lie within `radius` of a line through points, and the box (inside `shape`) they are in.

    >>> swept([(1.5, 0.5)], 1.0, (2, 9))
    ((0, 0, 2, 3), array([[ True,  True,  True],
           [False,  True, False]]))
    """
    ends = list(zip(points, [*points[1:], points[-1]], strict=True))[: max(1, len(points) - 1)]
    xs, ys = [p[0] for p in points], [p[1] for p in points]
    box = _clipped((min(ys) - radius, min(xs) - radius, max(ys) + radius, max(xs) + radius), shape)
    found = np.zeros((box[2] - box[0], box[3] - box[1]), bool)
    for (x0, y0), (x1, y1) in ends:
        top, left, bottom, right = _clipped(
            (min(y0, y1) - radius, min(x0, x1) - radius, max(y0, y1) + radius, max(x0, x1) + radius), shape
        )
        if top >= bottom or left >= right:
            continue
        y, x = np.arange(top, bottom)[:, None] + 0.5, np.arange(left, right)[None] + 0.5
        dx, dy = x1 - x0, y1 - y0
        length = dx * dx + dy * dy
        along = np.clip(((x - x0) * dx + (y - y0) * dy) / length, 0.0, 1.0) if length else 0.0
        far = (x - x0 - along * dx) ** 2 + (y - y0 - along * dy) ** 2
        found[top - box[0] : bottom - box[0], left - box[1] : right - box[1]] |= far <= radius * radius
    return box, found


def surrounded(points: Points, shape: tuple[int, int]) -> tuple[Box, Mask]:
    """The pixels whose middles lie inside a closed line (even-odd rule), and the box they are in.

    >>> surrounded([(0, 0), (2, 0), (2, 1), (0, 1)], (4, 4))
    ((0, 0, 1, 2), array([[ True,  True]]))
    """
    xs, ys = [p[0] for p in points], [p[1] for p in points]
    top, left, bottom, right = box = _clipped((min(ys), min(xs), max(ys), max(xs)), shape)
    y, x = np.arange(top, bottom)[:, None] + 0.5, np.arange(left, right)[None] + 0.5
    inside = np.zeros((bottom - top, right - left), bool)
    for (x0, y0), (x1, y1) in zip(points, [*points[1:], points[0]], strict=True):
        if y0 != y1:
            inside ^= ((y0 > y) != (y1 > y)) & (x < x0 + (y - y0) * (x1 - x0) / (y1 - y0))
    return box, inside


def drawn(labels: Labels, where: tuple[Box, Mask], label: int, over: bool = False) -> Change:
    """`where` given to a cell; other cells keep theirs unless `over`."""
    box, inside = where
    part = labels[_slices(box)].copy()
    part[inside & ((part == 0) | over)] = label
    return box, part


def erased(labels: Labels, where: tuple[Box, Mask], only: int = 0) -> Change:
    """`where` made background; of one cell only where one is named."""
    box, inside = where
    part = labels[_slices(box)].copy()
    part[inside & ((part == only) | (only == 0))] = 0
    return box, part


def split(labels: Labels, label: int, points: Points, fresh: int) -> Change:
    """A cell cut along a line: the largest piece keeps its number, others get `fresh`, `fresh` + 1 ...

    The pixels under the line go to the nearest piece, so that no gap is left.

    Raises:
        PotencyError: there is no such cell, or the line does not cut it in two.
    """
    from scipy import ndimage

    top, left, bottom, right = box = box_of(labels, label)
    cell = labels[top:bottom, left:right] == label
    (a, b, c, d), line = swept([(x - left, y - top) for x, y in points], CUT, cell.shape)
    cut = cell.copy()
    cut[a:c, b:d] &= ~line
    pieces, count = ndimage.label(cut, EIGHT)
    sizes = np.bincount(pieces.ravel(), minlength=count + 1)[1:]
    whole = np.flatnonzero(sizes >= LEAST)
    if len(whole) <= ndimage.label(cell, EIGHT)[1]:
        raise PotencyError("the line does not cut the cell in two", f"cell {label}",
                           "draw it from outside the cell, through it, to the outside")  # fmt: skip
    order = whole[np.argsort(-sizes[whole], kind="stable")] + 1
    numbers = np.zeros(count + 1, np.uint32)
    numbers[order] = [label, *range(fresh, fresh + len(order) - 1)]
    pieces[numbers[pieces] == 0] = 0
    nearest = ndimage.distance_transform_edt(pieces == 0, return_distances=False, return_indices=True)
    part = labels[_slices(box)].copy()
    part[cell] = numbers[pieces[tuple(nearest)]][cell]
    return box, part


def merged(labels: Labels, label: int, other: int) -> Change:
    """`other` as a part of `label`; where they do not touch, a gap of `GAP` px is filled.

    Raises:
        PotencyError: there is no such cell, or they are one already.
    """
    from scipy import ndimage

    if label == other:
        raise PotencyError("these are one cell already", f"cell {label}", "click two cells")
    one, two = box_of(labels, label), box_of(labels, other)
    high, wide = labels.shape
    top, left = max(0, min(one[0], two[0]) - GAP), max(0, min(one[1], two[1]) - GAP)
    bottom, right = min(high, max(one[2], two[2]) + GAP), min(wide, max(one[3], two[3]) + GAP)
    box = top, left, bottom, right
    part = labels[_slices(box)].copy()
    far = [ndimage.distance_transform_edt(part != number) for number in (label, other)]
    if far[0][part == other].min() >= 2:  # they touch nowhere
        part[(part == 0) & (far[0] + far[1] <= GAP + 1)] = label
    part[part == other] = label
    return box, part


def deleted(labels: Labels, label: int) -> Change:
    """A cell gone."""
    box = box_of(labels, label)
    part = labels[_slices(box)].copy()
    part[part == label] = 0
    return box, part


def put(labels: Labels, change: Change) -> tuple[Box, Labels, Labels] | None:
    """Write a change into the image; the smallest box that it changed, its pixels before and after. None: nothing.

    >>> image = np.array([[1, 1, 0]], np.uint32)
    >>> put(image, ((0, 0, 1, 3), np.array([[1, 2, 0]], np.uint32)))[0], image.tolist()
    ((0, 1, 1, 2), [[1, 2, 0]])
    """
    box, part = change
    inside = changed(labels[_slices(box)], part)
    if inside is None:
        return None
    after = part[_slices(inside)]
    whole = box[0] + inside[0], box[1] + inside[1], box[0] + inside[2], box[1] + inside[3]
    before = labels[_slices(whole)].copy()
    labels[_slices(whole)] = after
    return whole, before, after


def box_of(labels: Labels, label: int) -> Box:
    """The box of a cell.

    Raises:
        PotencyError: there is none.
    """
    found: list[Box] = []
    step = max(1, BAND // max(1, labels.shape[1]))
    for top in range(0, len(labels) if label else 0, step):
        inside = labels[top : top + step] == label
        if inside.any():
            first, left, last, right = _bounds(inside)
            found.append((top + first, left, top + last, right))
    if not found:
        raise PotencyError("there is no such cell any more", f"cell {label}", "choose a cell of the image")
    lefts, rights = [box[1] for box in found], [box[3] for box in found]
    return found[0][0], min(lefts), found[-1][2], max(rights)


def changed(before: Labels, after: Labels) -> Box | None:
    """The box in which two images differ; None where they do not."""
    apart = before != after
    return _bounds(apart) if apart.any() else None


def _bounds(inside: Mask) -> Box:
    """The box of what is inside, of which there is some."""
    rows = np.flatnonzero(inside.any(axis=1))
    columns = np.flatnonzero(inside[rows[0] : rows[-1] + 1].any(axis=0))
    return int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1


def _clipped(box: tuple[float, float, float, float], shape: tuple[int, int]) -> Box:
    """Every pixel whose middle may lie in a box, inside an image."""
    (high, wide), (top, left, bottom, right) = shape, box
    first = min(max(0, int(np.ceil(top - 0.5))), high), min(max(0, int(np.ceil(left - 0.5))), wide)
    last = min(high, int(np.floor(bottom - 0.5)) + 1), min(wide, int(np.floor(right - 0.5)) + 1)
    return (*first, max(first[0], last[0]), max(first[1], last[1]))


def _slices(box: Box) -> tuple[slice, slice]:
    return slice(box[0], box[2]), slice(box[1], box[3])
