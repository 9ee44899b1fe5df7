"""Draws outlines and runs into labels: many at once, a pixel belongs to the outline that encloses its middle."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from potency.data.image import WINDOW_LIMIT
from potency.data.masks.annotation import Labels, Shape
from potency.errors import AnswerError

POINTS = 2**18  # corners drawn at once
PIXELS = 2**22  # pixels painted at once
CROSSINGS = 2**26  # of one outline with the rows of the image: more than any outline that was drawn
FAR = 2.0**31  # pixels; a coordinate beyond is no coordinate

FEWER = "outlines of fewer than three points left out"
NO_NUMBER = "outlines with a corner that is no number left out"
CROSSED = "outlines that cross themselves, filled where an odd number of turns encloses (even-odd)"
COVERED = "pixels of an object that a later object covers"


class Canvas:
    """Labels that are being drawn; what is drawn later covers what is there, and `lost` counts it.

    >>> canvas = Canvas((3, 4))
    >>> square = np.array([[0, 0], [0, 2], [2, 2], [2, 0]])
    >>> canvas.draw([square, square * [1, 1.5] + 1], [1, 2])
    >>> canvas.labels.tolist(), canvas.lost
    ([[1, 1, 0, 0], [1, 2, 2, 2], [0, 2, 2, 2]], {'pixels of an object that a later object covers': 1})
    """

    def __init__(self, shape: Shape, where: str = "") -> None:
        if len(shape) != 2 or min(shape) < 1 or np.prod([float(side) for side in shape]) * 4 > WINDOW_LIMIT:
            raise AnswerError(f"labels of {' x '.join(map(str, shape))} pixels cannot be drawn", where,
                              "outlines are drawn into one plane of at most 2^30 pixels: cut the image into tiles")
        self.labels: Labels = np.zeros(shape, np.uint32)
        self.where, self.painted, self.counts = where, 0, Counter[str]()

    @property
    def lost(self) -> dict[str, int]:
        """What was drawn and is not there, in words."""
        return dict(+(self.counts + Counter({COVERED: self.painted - int(np.count_nonzero(self.labels))})))

    def draw(self, polygons: Sequence[NDArray[Any]], ids: Sequence[int] | NDArray[Any]) -> None:
        """Fill outlines (as in the column `polygon`), each with its id, in this order."""
        batch: list[NDArray[np.float64]] = []
        names: list[int] = []
        waiting = 0
        for polygon, number in zip(polygons, ids, strict=True):
            corners = rings_of(polygon)
            if corners is None or not (np.abs(corners[~np.isnan(corners[:, 0])]) < FAR).all():
                self.counts[FEWER if corners is None else NO_NUMBER] += 1
                continue
            batch.append(corners)
            names.append(int(number))
            waiting += len(corners)
            if waiting > POINTS:
                self._batch(batch, np.array(names, np.int64))
                batch, names, waiting = [], [], 0
        if batch:
            self._batch(batch, np.array(names, np.int64))

    def runs(self, start: NDArray[Any], length: NDArray[Any], ids: NDArray[Any], columns: bool = False) -> None:
        """Paint runs of pixels, counted along rows or (as in run-length files) down the columns."""
        height = self.labels.shape[0]
        flat = self.labels.reshape(-1)
        for part in _portions(length, PIXELS):
            for first, count, number in _short(start[part], length[part], ids[part]):
                steps = np.arange(int(count.sum())) - np.repeat(np.cumsum(count) - count, count)
                pixels = np.repeat(first, count) + steps
                if columns:
                    pixels = pixels % height * self.labels.shape[1] + pixels // height
                flat[pixels] = np.repeat(number, count)  # of several at one place, the last stays
                self.painted += len(pixels)

    def _batch(self, polygons: Sequence[NDArray[np.float64]], ids: NDArray[np.int64]) -> None:
        owner, below, above, turn = _edges(polygons)
        height, width = self.labels.shape
        first = np.clip(np.ceil(below[:, 0] - 0.5), 0, height).astype(np.int64)
        count = np.clip(np.ceil(above[:, 0] - 0.5), 0, height).astype(np.int64) - first
        crossed = np.bincount(owner, count, len(ids)).astype(np.int64)
        if len(crossed) and crossed.max() > CROSSINGS:
            raise AnswerError("an outline winds across the image thousands of times", self.where,
                              "the file is damaged, or not one of outlines")
        several = np.array([bool(np.isnan(polygon[:, 0]).any()) for polygon in polygons])
        slope = (above[:, 1] - below[:, 1]) / (above[:, 0] - below[:, 0])
        ends = np.searchsorted(owner, np.arange(len(ids) + 1))
        for part in _portions(crossed, PIXELS):
            edge = slice(int(ends[part.start]), int(ends[part.stop]))
            n = count[edge]
            row = np.repeat(first[edge], n) + np.arange(int(n.sum())) - np.repeat(np.cumsum(n) - n, n)
            x = np.repeat(below[edge, 1], n) + (row + 0.5 - np.repeat(below[edge, 0], n)) * np.repeat(slope[edge], n)
            column = np.clip(np.ceil(x - 0.5), 0, width).astype(np.int64)
            line = np.repeat(owner[edge] - part.start, n) * height + row
            self._spans((line * (width + 1) + column) * 2 + np.repeat(turn[edge], n), ids[part], several[part])

    def _spans(self, crossings: NDArray[np.int64], ids: NDArray[np.int64], several: NDArray[np.bool_]) -> None:
        """Paint between crossings of outlines with rows: sorted, each is a place and whether it goes down or up there.

        The sum of the turns up to a place is the winding number of what follows; a closed outline brings it back to
        0 at the end of each row, so that one sum serves all rows.
        """
        height, width = self.labels.shape
        crossings.sort()
        winding = np.cumsum((crossings & 1) * 2 - 1)[:-1]
        line, column = np.divmod(crossings >> 1, width + 1)
        wide = np.flatnonzero((line[1:] == line[:-1]) & (column[1:] > column[:-1]) & (winding != 0))
        winding, line = winding[wide], line[wide]
        length, start = column[wide + 1] - column[wide], column[wide] + line % height * width
        owner = line // height
        turned = np.zeros((2, len(ids)), bool)
        turned[0, owner[winding > 0]] = turned[1, owner[winding < 0]] = True
        twice = np.zeros(len(ids), bool)
        twice[owner[np.abs(winding) > 1]] = True
        self.counts[CROSSED] += int(((turned.all(axis=0) | twice) & ~several).sum())
        inside = winding % 2 != 0
        self.runs(start[inside], length[inside], ids[owner[inside]])


def rings_of(polygon: NDArray[Any]) -> NDArray[np.float64] | None:
    """Give an outline without rings of fewer than three corners; None where none is left."""
    corners = np.asarray(polygon, np.float64).reshape(-1, 2)
    gaps = np.isnan(corners).all(axis=1)
    if not gaps.any():
        return corners if len(corners) > 2 else None
    rings = [ring for ring in split_rings(corners) if len(ring) > 2]
    return join_rings(rings) if rings else None


def split_rings(polygon: NDArray[np.float64]) -> list[NDArray[np.float64]]:
    """Give the rings of an outline: in its array they are parted by rows of NaN."""
    gaps = np.flatnonzero(np.isnan(polygon[:, 0]))
    if not len(gaps):
        return [polygon]
    return [part[1:] if i else part for i, part in enumerate(np.split(polygon, gaps))]


def join_rings(rings: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Give one array of several rings, parted by rows of NaN."""
    if len(rings) == 1:
        return rings[0]
    gap = np.full((1, 2), np.nan)
    return np.concatenate([part for ring in rings for part in (gap, ring)][1:])


def _edges(polygons: Sequence[NDArray[np.float64]]) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Give owner, upper and lower end, and whether it goes down, of all edges that cross rows."""
    points = np.concatenate(polygons)
    owner = np.repeat(np.arange(len(polygons)), [len(polygon) for polygon in polygons])
    gap = np.isnan(points[:, 0])
    ring = owner + np.cumsum(gap)  # rises by one at each object and at each gap
    points, owner, ring = points[~gap], owner[~gap], ring[~gap]
    begins = np.flatnonzero(np.append(True, ring[1:] != ring[:-1]))
    follows = np.arange(1, len(points) + 1)
    follows[np.append(begins[1:], len(points)) - 1] = begins
    other = points[follows]
    level = points[:, 0] != other[:, 0]
    points, other, owner = points[level], other[level], owner[level]
    down = points[:, 0] < other[:, 0]
    # Both neighbours of an edge compute its crossings from the same end, and so give no pixel to both or neither.
    return owner, np.where(down[:, None], points, other), np.where(down[:, None], other, points), down.astype(np.int64)


def _portions(sizes: NDArray[Any], most: int) -> Iterator[slice]:
    """Cut a list into pieces whose sizes add up to at most `most`, or that are one item."""
    total = np.cumsum(sizes)
    at = 0
    while at < len(total):
        end = int(np.searchsorted(total, (total[at - 1] if at else 0) + most, "right"))
        yield slice(at, max(end, at + 1))
        at = max(end, at + 1)


def _short(start: NDArray[Any], length: NDArray[Any], ids: NDArray[Any]) -> Iterator[tuple[NDArray[Any], ...]]:
    """Give runs as they are, but one that is longer than is painted at once in pieces."""
    if len(length) != 1 or length[0] <= PIXELS:
        yield start, length, ids
        return
    for done in range(0, int(length[0]), PIXELS):
        yield start + done, np.minimum(length - done, PIXELS), ids
