"""Traces labels: the exact outline of every object along the edges of its pixels, all objects at once."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from potency.data.masks.annotation import Labels, runs
from potency.data.masks.fill import join_rings
from potency.errors import AnswerError

Index = NDArray[np.int64]
Points = NDArray[np.float64]
ROWS = 2**22  # pixels of a band of rows that is traced at once


def outlines(labels: Labels) -> Iterator[tuple[int, list[list[Points]]]]:
    """Give every object's id and its parts, each a list of rings (y, x in pixel edges): the outer one, then holes.

    Outer rings run clockwise as one sees them (x to the right, y down), holes against it; none is closed by repeating
    its first corner, none touches itself, and only corners are given. Pixels that touch at a corner are two parts.
    Drawn again (`fill.Canvas`) they give the same labels. Objects come band of rows by band, so that a slide needs
    memory for one band only.

    >>> [(number, len(parts), parts[0][0].tolist()) for number, parts in outlines(np.array([[0, 3]], np.uint32))]
    [(3, 1, [[0.0, 1.0], [0.0, 2.0], [1.0, 2.0], [1.0, 1.0]])]
    """
    if labels.ndim != 2:
        raise AnswerError(f"labels of {labels.ndim} dimensions have no outlines", "", "write them plane by plane")
    height, width = labels.shape
    if not labels.size:
        return
    band = max(1, ROWS // width)
    if height <= 2 * band:
        yield from _traced(labels, 0)
        return
    values, rows, _, _ = runs(labels)
    ids, number = np.unique(values, return_inverse=True)
    top, bottom = np.full(len(ids), height), np.zeros(len(ids), np.int64)
    np.minimum.at(top, number, rows)
    np.maximum.at(bottom, number, rows + 1)
    for begin in range(0, height, band):
        here = (top >= begin) & (top < begin + band)
        if here.any():
            part = labels[begin : int(bottom[here].max())]
            wanted = ids[here]
            place = np.minimum(np.searchsorted(wanted, part), len(wanted) - 1)
            yield from _traced(np.where(wanted[place] == part, part, 0).astype(np.uint32), begin)


def polygons(labels: Labels) -> dict[int, Points]:
    """Give the outline of each object as the object table holds it (column `polygon`).

    >>> polygons(np.array([[2, 2]], np.uint32))[2].tolist()
    [[0.0, 0.0], [0.0, 2.0], [1.0, 2.0], [1.0, 0.0]]
    """
    return {number: join_rings([ring for part in parts for ring in part]) for number, parts in outlines(labels)}


def _traced(labels: Labels, down: int) -> Iterator[tuple[int, list[list[Points]]]]:
    owner, corners, follows = _sides(labels)
    if not len(owner):
        return
    first, steps = _ranked(follows)
    steps[steps == 0] = len(steps)  # the first piece of a ring comes first, not last
    order = np.lexsort((-steps, first, owner))
    ring, corners, owner = first[order], corners[order], owner[order]
    begins = np.flatnonzero(np.append(True, ring[1:] != ring[:-1]))
    ends = np.append(begins[1:], len(ring))
    place = corners[:, 0] * (labels.shape[1] + 1) + corners[:, 1]
    again = np.lexsort((place, ring))
    pinched = set(ring[again][1:][(ring[again][1:] == ring[again][:-1]) & (place[again][1:] == place[again][:-1])])
    points = corners.astype(np.float64)
    points[:, 0] += down
    number, rings = int(owner[0]), list[Points]()
    for begin, end, mine, name in zip(begins, ends, owner[begins].tolist(), ring[begins].tolist(), strict=True):
        if mine != number:
            yield number, _nested(rings)
            number, rings = mine, []
        rings += _loops(points[begin:end]) if name in pinched else [points[begin:end]]
    yield number, _nested(rings)


def _sides(labels: Labels) -> tuple[Index, Index, Index]:
    """Give the straight pieces of all outlines: whose they are, where (y, x) they start, and which one follows.

    East along the tops of pixels, south along their right sides, west along their bottoms, north along their left: the
    object is always to the right. At the end of a piece the next pixel decides: where it is another object's the
    outline turns right, and otherwise left, because it would have gone straight on had it been an edge.
    """
    height, width = labels.shape
    wide = np.zeros((height + 2, width + 2), np.uint32)
    wide[1:-1, 1:-1] = labels
    tops, rights, bottoms, lefts = (
        _pieces(wide, 1, (slice(0, height), slice(1, width + 1))),
        _pieces(wide, 0, (slice(1, height + 1), slice(2, width + 2))),
        _pieces(wide, 1, (slice(2, height + 2), slice(1, width + 1))),
        _pieces(wide, 0, (slice(1, height + 1), slice(0, width))),
    )
    # Of each direction: the pixels (row, column, in the widened array) where its pieces begin and end.
    east = tops[0], tops[1], tops[0], tops[2]
    south = rights[1], rights[0], rights[2], rights[0]
    west = bottoms[0], bottoms[2], bottoms[0], bottoms[1]
    north = lefts[2], lefts[0], lefts[1], lefts[0]
    ways = east, south, west, north
    ahead = ((0, 1), (1, 0), (0, -1), (-1, 0))
    offset = np.cumsum([0, *(len(way[0]) for way in ways)])
    stride = max(wide.shape)
    # Pieces are found in the order of rows (east, west) or columns (south, north): so their keys are sorted.
    keys = [(way[i % 2] * stride + way[1 - i % 2]).astype(np.int64) for i, way in enumerate(ways)]
    follows = []
    for i, (_, _, row, column) in enumerate(ways):
        dy, dx = ahead[i]
        same = wide[row + dy, column + dx] == wide[row, column]
        right, left = (i + 1) % 4, (i + 3) % 4
        back = ahead[right]  # an outline that turns left goes on along the pixel ahead and to the left
        y, x = row + dy - back[0], column + dx - back[1]
        turned = [(row, column), (y, x)]
        found = [np.searchsorted(keys[to], (at[to % 2] * stride + at[1 - to % 2]).astype(np.int64)) + offset[to]
                 for to, at in zip((right, left), turned, strict=True)]  # fmt: skip
        follows.append(np.where(same, found[1], found[0]))
    owner = np.concatenate([wide[way[0], way[1]] for way in ways]).astype(np.int64)
    start = [(way[0] - (i in (0, 1)), way[1] - (i in (0, 3))) for i, way in enumerate(ways)]
    corners = np.stack([np.concatenate([s[axis] for s in start]) for axis in (0, 1)], axis=1)
    return owner, corners, np.concatenate(follows)


def _pieces(wide: Labels, axis: int, beyond: tuple[slice, slice]) -> tuple[Index, Index, Index]:
    """Give the pieces of pixel sides beyond which another label lies: the line, the first and the last pixel on it.

    With `axis` 1 the lines are rows, with 0 columns; what is counted is counted in the widened array.
    """
    height, width = wide.shape
    inner = wide[1 : height - 1, 1 : width - 1]
    edge = np.where(inner != wide[beyond], inner, 0)
    values, line, first, end = runs(edge if axis else edge.T)
    del values
    return line + 1, first + 1, end


def _ranked(follows: Index) -> tuple[Index, Index]:
    """Give the first piece of each piece's ring, and how many steps it is away, by doubling the stride.

    Once no piece sees an earlier one in the next stretch as long as the last, all have seen their whole ring.
    """
    first = np.arange(len(follows))
    steps = np.zeros(len(follows), np.int64)
    stride = 1
    while True:
        seen = first[follows]
        better = seen < first
        if not better.any():
            return first, steps
        steps = np.where(better, steps[follows] + stride, steps)
        first = np.where(better, seen, first)
        follows = follows[follows]
        stride *= 2


def _loops(ring: Points) -> list[Points]:
    """Split a ring that passes a corner twice there, so that no ring touches itself."""
    found, path, places = list[Points](), list[tuple[float, float]](), dict[tuple[float, float], int]()
    for y, x in ring.tolist():
        at = places.get((y, x))
        if at is not None:
            found.append(np.array(path[at:]))
            for corner in path[at:]:
                del places[corner]
            del path[at:]
        places[y, x] = len(path)
        path.append((y, x))
    return [*found, np.array(path)]


def _nested(rings: list[Points]) -> list[list[Points]]:
    """Give each outer ring with its holes: a hole belongs to the smallest outer ring around it."""
    if len(rings) == 1:
        return [rings]
    sizes = [area(ring) for ring in rings]
    parts = [[ring] for ring, size in zip(rings, sizes, strict=True) if size > 0]
    if len(parts) == 1:
        return [parts[0] + [ring for ring, size in zip(rings, sizes, strict=True) if size < 0]]
    order = sorted(range(len(parts)), key=lambda i: area(parts[i][0]))
    for ring, size in zip(rings, sizes, strict=True):
        if size < 0:
            # The pixel to the right of its first side is of the object.
            (y, x), step = ring[0], np.sign(ring[1] - ring[0])
            probe = np.array([y, x]) + 0.5 * step + 0.5 * np.array([step[1], -step[0]])
            home = next((i for i in order if _inside(parts[i][0], probe)), order[-1])
            parts[home].append(ring)
    return parts


def area(ring: Points) -> float:
    """Give the area that a ring encloses, in pixels: positive where it runs clockwise as one sees it.

    >>> area(np.array([[0, 0], [0, 2], [1, 2], [1, 0.0]]))
    2.0
    """
    y, x = ring[:, 0] - ring[0, 0], ring[:, 1] - ring[0, 1]
    return float((np.roll(y, -1) * x - y * np.roll(x, -1)).sum() / 2)


def wound(ring: Points, clockwise: bool = True) -> Points:
    """Give a ring that runs clockwise as one sees it, or against: so outer rings and holes are told apart."""
    with np.errstate(over="ignore", invalid="ignore"):  # corners that are no places are counted where they are drawn
        return ring if (area(ring) > 0) == clockwise else ring[::-1]


def _inside(ring: Points, point: Points) -> bool:
    (y, x), other = point, np.roll(ring, -1, axis=0)
    across = (ring[:, 0] > y) != (other[:, 0] > y)
    ring, other = ring[across], other[across]
    at = ring[:, 1] + (y - ring[:, 0]) * (other[:, 1] - ring[:, 1]) / (other[:, 0] - ring[:, 0])
    return bool((at > x).sum() % 2)
