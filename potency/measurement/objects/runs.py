"""A label image as runs of pixels, sorted by object: what every measurement of objects goes over."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from potency.data.compiled import compiled
from potency.errors import ImageError
from potency.measurement.objects.outline import edges

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Objects:
    """The objects of a label image, by ascending id, as horizontal runs of pixels.

    `ids` (N,) are as in the image. The runs of object i are those from `start[i]` to `start[i + 1]`, top to bottom and
    left to right: `row`, `left` and the first pixel behind, `right`. `numbered` is the image with a border of zeros,
    (H + 2, W + 2), in which object i has the number i + 1.
    """

    ids: NDArray[Any]
    start: Ints
    row: Ints
    left: Ints
    right: Ints
    numbered: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of the image."""
        return self.numbered.shape[0] - 2, self.numbered.shape[1] - 2

    @property
    def runs(self) -> tuple[Ints, Ints, Ints, Ints]:
        """What the loops take: start, row, left, right."""
        return self.start, self.row, self.left, self.right

    @cached_property
    def edge(self) -> NDArray[np.uint8]:
        """1 where a pixel of an object lies at its edge, with the same border as `numbered`."""
        return edges(self.numbered)

    @cached_property
    def extents(self) -> tuple[Ints, Ints]:
        """Area (N,) and box (N, 4)."""
        return _extents(*self.runs)

    @cached_property
    def moments(self) -> tuple[Floats, Floats]:
        """Centroid (N, 2), and variances of row and of column and their covariance (N, 3)."""
        return _second_moments(*self.runs)


def find_objects(labels: NDArray[Any]) -> Objects:
    """The objects of a (Y, X) label image: 0 is the background, ids may have gaps and any size.

    Raises:
        ImageError: it is no plane of whole numbers from 0 on.

    >>> found = find_objects(np.array([[0, 7, 7], [3, 0, 7]]))
    >>> found.ids.tolist(), found.start.tolist(), found.left.tolist()
    ([3, 7], [0, 1, 3], [0, 1, 2])
    """
    ids_of_runs, row, left, right = _runs(_checked(labels))
    present, index = np.unique(ids_of_runs, return_inverse=True)
    start, order = _sorted(index, len(present))
    numbered = _painted(index, row, left, right, (labels.shape[0], labels.shape[1]))
    return Objects(present.astype(labels.dtype), start, row[order], left[order], right[order], numbered)


def _checked(labels: NDArray[Any]) -> NDArray[Any]:
    """The labels in one of two types, so that the loop over pixels is compiled at most twice."""
    if labels.ndim != 2:
        raise ImageError(f"a label image has the axes (Y, X), this has {labels.ndim}", "labels", "take one plane of it")
    if not labels.size:
        raise ImageError(f"a label image of {labels.shape} has no pixels", "labels", "give one with pixels")
    if labels.dtype.kind == "b":
        raise ImageError("a mask of true and false does not tell one object from another", "labels",
                         "number its objects first: scipy.ndimage.label(mask)[0]")  # fmt: skip
    if labels.dtype.kind not in "iu":
        raise ImageError(f"the ids of a label image are whole numbers, these are {labels.dtype}", "labels",
                         "if they are ids after all, labels.astype('uint32')")  # fmt: skip
    if labels.dtype.kind == "i" and labels.size and labels.min() < 0:
        raise ImageError(f"the label image has a negative id, {labels.min()}", "labels",
                         "0 is the background and ids are above it; what is to be ignored becomes 0")  # fmt: skip
    return np.ascontiguousarray(labels, np.uint32 if labels.dtype.itemsize <= 4 else np.uint64)


@compiled
def _runs(labels: NDArray[Any]) -> tuple[NDArray[Any], Ints, Ints, Ints]:
    """Id, row, first and one behind the last column of every run that is not background, row by row."""
    height, width = labels.shape
    count = 0
    for y in range(height):
        before = labels[y, 0] * 0
        for x in range(width):
            here = labels[y, x]
            if here != before and here != 0:
                count += 1
            before = here
    ids = np.empty(count, labels.dtype)
    row, left, right = np.empty(count, np.int64), np.empty(count, np.int64), np.empty(count, np.int64)
    at = -1
    for y in range(height):
        before = labels[y, 0] * 0
        for x in range(width):
            here = labels[y, x]
            if here != before:
                if before != 0:
                    right[at] = x
                if here != 0:
                    at += 1
                    ids[at], row[at], left[at] = here, y, x
            before = here
        if before != 0:
            right[at] = width
    return ids, row, left, right


@compiled
def _sorted(index: Ints, count: int) -> tuple[Ints, Ints]:
    """Where each object's runs start, and the order that brings them there, rows kept in order."""
    start = np.zeros(count + 1, np.int64)
    for i in index:
        start[i + 1] += 1
    start = np.cumsum(start)
    place, order = start.copy(), np.empty(len(index), np.int64)
    for run in range(len(index)):
        order[place[index[run]]] = run
        place[index[run]] += 1
    return start, order


@compiled
def _painted(index: Ints, row: Ints, left: Ints, right: Ints, shape: tuple[int, int]) -> NDArray[np.int32]:
    numbered = np.zeros((shape[0] + 2, shape[1] + 2), np.int32)
    for run in range(len(index)):
        numbered[row[run] + 1, left[run] + 1 : right[run] + 1] = index[run] + 1
    return numbered


@compiled
def _extents(start: Ints, row: Ints, left: Ints, right: Ints) -> tuple[Ints, Ints]:
    """Area (N,) and box (N, 4) of each object: first row and column, and those behind the last."""
    count = len(start) - 1
    area, box = np.zeros(count, np.int64), np.zeros((count, 4), np.int64)
    for i in range(count):
        first, behind = start[i], start[i + 1]
        low, high = left[first], right[first]
        for run in range(first, behind):
            area[i] += right[run] - left[run]
            low, high = min(low, left[run]), max(high, right[run])
        box[i, 0], box[i, 1], box[i, 2], box[i, 3] = row[first], low, row[behind - 1] + 1, high
    return area, box


@compiled
def _second_moments(start: Ints, row: Ints, left: Ints, right: Ints) -> tuple[Floats, Floats]:
    """Centroid (N, 2) and the variances of row, of column and their covariance (N, 3) over the pixels of each object.

    Sums are whole numbers counted from the object's first pixel, so nothing is lost far from the image's origin.
    """
    count = len(start) - 1
    centre, spread = np.zeros((count, 2)), np.zeros((count, 3))
    for i in range(count):
        top, side = row[start[i]], left[start[i]]
        n = sy = sx = syy = sxx = sxy = 0
        for run in range(start[i], start[i + 1]):
            y, a, b = row[run] - top, left[run] - side, right[run] - side
            pixels, line = b - a, (b - a) * (a + b - 1) // 2
            n += pixels
            sy += y * pixels
            sx += line
            syy += y * y * pixels
            sxy += y * line
            sxx += ((b - 1) * b * (2 * b - 1) - (a - 1) * a * (2 * a - 1)) // 6
        y, x = sy / n, sx / n
        centre[i, 0], centre[i, 1] = top + y, side + x
        spread[i, 0], spread[i, 1], spread[i, 2] = syy / n - y * y, sxx / n - x * x, sxy / n - y * x
    return centre, spread
