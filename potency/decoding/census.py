"""Objects of a label image as a table: numbers without gaps, pixels, centroids, boxes, centres; each in one pass."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from potency.data.compiled import compiled
from potency.errors import AnswerError

Labels = NDArray[np.int32]
Plane = NDArray[np.float32]


class Census(NamedTuple):
    """Every object of a label image, numbered from 1 without gaps; row 0 of each column is the background's.

    `box` is top, left, bottom, right, the last two outside.
    """

    labels: Labels
    area: NDArray[np.int64]
    centroid: NDArray[np.float64]  # (n + 1, 2) as y, x
    box: NDArray[np.int64]  # (n + 1, 4)

    @classmethod
    def of(cls, labels: NDArray[Any]) -> Census:
        """Count the objects of a label image (Y, X) of any integers, in any memory order.

        Errors: floating or negative numbers, numbers beyond 32 bits, other axes than (Y, X).
        """
        numbered, count = compact(labels)
        area, sums, box = _count(numbered, count)
        return cls(numbered, area, sums / np.maximum(area, 1)[:, None], box)


def compact(labels: NDArray[Any]) -> tuple[Labels, int]:
    """A label image with its objects numbered 1 ... n in the order of their old numbers, and n.

    >>> compact(np.array([[9, 0], [4_000_000_000, 9]]))
    (array([[1, 0],
           [2, 1]], dtype=int32), 2)
    """
    if labels.ndim != 2 or labels.dtype.kind not in "iub":
        raise AnswerError(
            f"a label image of shape {labels.shape} holds {labels.dtype} values", "labels to encode",
            "give one plane (Y, X) of whole numbers, 0 for background and one number an object",
        )  # fmt: skip
    whole = np.uint8 if labels.dtype.kind == "b" else labels.dtype.newbyteorder("=")
    plane = np.ascontiguousarray(labels, whole)
    low, high = (int(plane.min()), int(plane.max())) if plane.size else (0, 0)
    if low < 0 or high >= 1 << 32:
        raise AnswerError(
            f"a label image holds the number {low if low < 0 else high}", "labels to encode",
            "number the objects from 1, in 32 bits; 0 is background",
        )  # fmt: skip
    if high <= plane.size:
        seen = np.zeros(high + 1, np.bool_)
        seen[plane.ravel()] = True
        seen[0] = False
        table = np.cumsum(seen, dtype=np.int32)
        return np.take(table, plane, mode="clip"), int(table[-1])  # clip: nothing lies outside, and it is twice as fast
    numbers, place = np.unique(plane, return_inverse=True)  # numbers larger than a table of them may be
    return place.reshape(plane.shape).astype(np.int32) + np.int32(numbers[0] != 0), int(np.count_nonzero(numbers))


@compiled
def _count(labels: Labels, count: int) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.int64]]:
    height, width = labels.shape
    area, sums = np.zeros(count + 1, np.int64), np.zeros((count + 1, 2))
    box = np.zeros((count + 1, 4), np.int64)
    box[:, 0], box[:, 1] = height, width
    for y in range(height):
        for x in range(width):
            k = labels[y, x]
            if k:
                area[k] += 1
                sums[k, 0] += y
                sums[k, 1] += x
                box[k, 0] = min(box[k, 0], y)
                box[k, 1] = min(box[k, 1], x)
                box[k, 2] = y + 1
                box[k, 3] = max(box[k, 3], x + 1)
    return area, sums, box


def centres(census: Census, depth: Plane, share: float = 0.75) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """A pixel of every object, (n + 1, 2) as y, x, and how deep each object is at its deepest.

    Of the pixels at least `share` as deep as the deepest it is the one nearest the centroid: well inside whatever the
    shape, and of a rod its middle, where the deepest pixel could be anywhere along it.
    """
    deepest = deepest_of(census.labels, depth, len(census.area))
    return _centres(census.labels, census.centroid, depth, share * deepest), deepest


@compiled
def deepest_of(labels: Labels, depth: Plane, count: int) -> NDArray[np.float32]:
    """The largest depth in each of `count` labels."""
    deepest = np.zeros(count, np.float32)
    for y in range(labels.shape[0]):
        for x in range(labels.shape[1]):
            k = labels[y, x]
            if depth[y, x] > deepest[k]:
                deepest[k] = depth[y, x]
    return deepest


@compiled
def _centres(
    labels: Labels, centroid: NDArray[np.float64], depth: Plane, least: NDArray[np.float32]
) -> NDArray[np.int64]:
    centre, nearest = np.zeros((len(centroid), 2), np.int64), np.full(len(centroid), np.inf)
    for y in range(labels.shape[0]):
        for x in range(labels.shape[1]):
            k = labels[y, x]
            if k and depth[y, x] >= least[k]:
                far = (y - centroid[k, 0]) ** 2 + (x - centroid[k, 1]) ** 2
                if far < nearest[k]:
                    nearest[k] = far
                    centre[k, 0], centre[k, 1] = y, x
    return centre
