"""Holes: background that one object encloses, as where a network doubts the middle of a large nucleus."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from potency.data.compiled import compiled
from potency.decoding.basins import root_of

Labels = NDArray[np.uint32]
Ints = NDArray[np.int64]
NOBODY, SEVERAL = 0, -1  # owners of background that meets no object yet, and of what is no hole


def fill(labels: Labels, share: float) -> None:
    """Give the holes of each object in labels (Y, X) to it, in place, where they have at most `share` of its pixels.

    A hole is background, connected over sides, that meets one object only and no border of the image: what
    `scipy.ndimage.binary_fill_holes` fills of an object that holds no other one.
    """
    if share <= 0 or not labels.size:
        return
    first, start, stop = _runs(labels)
    owner, root = _owned(labels, first, start, stop)
    if (owner > 0).any():
        area = np.bincount(labels.ravel())
        holes = np.bincount(root, stop - start, len(root))
        filled = (owner > 0) & (holes <= share * area[np.maximum(owner, 0)])
        _give(labels, first, start, stop, np.where(filled, owner, NOBODY)[root])


@compiled
def _runs(labels: Labels) -> tuple[Ints, Ints, Ints]:
    """Background as runs along the rows: where each starts and stops, and the first run (Y + 1) of every row."""
    height, width = labels.shape
    first, count = np.zeros(height + 1, np.int64), 0
    for y in range(height):
        for x in range(width):
            if not labels[y, x] and (x == 0 or labels[y, x - 1]):
                count += 1
        first[y + 1] = count
    start, stop, at = np.zeros(count, np.int64), np.zeros(count, np.int64), 0
    for y in range(height):
        for x in range(width):
            if not labels[y, x]:
                if x == 0 or labels[y, x - 1]:
                    start[at] = x
                if x == width - 1 or labels[y, x + 1]:
                    stop[at] = x + 1
                    at += 1
    return first, start, stop


@compiled
def _owned(labels: Labels, first: Ints, start: Ints, stop: Ints) -> tuple[Ints, Ints]:
    """The one object that the runs of each connected background meet, at its root; and the root of every run."""
    height, width = labels.shape
    root, owner = np.arange(len(start)), np.zeros(len(start), np.int64)
    for y in range(height):
        above = first[y - 1] if y else 0
        for run in range(first[y], first[y + 1]):
            low, high = start[run], stop[run]
            if y == 0 or y == height - 1 or low == 0 or high == width:
                owner[run] = SEVERAL
            else:
                owner[run] = _both(np.int64(labels[y, low - 1]), np.int64(labels[y, high]))
                for x in range(low, high):
                    if owner[run] == SEVERAL:
                        break
                    owner[run] = _both(owner[run], np.int64(labels[y - 1, x]))
                    owner[run] = _both(owner[run], np.int64(labels[y + 1, x]))
            while y and above < first[y] and stop[above] <= low:
                above += 1
            other = above
            while y and other < first[y] and start[other] < high:
                one, two = root_of(root, run), root_of(root, other)
                owner[min(one, two)] = _both(owner[one], owner[two])
                root[max(one, two)] = min(one, two)
                other += 1
    for run in range(len(root)):
        root[run] = root_of(root, run)
    for run in range(len(root)):
        if root[run] != run:
            owner[run] = NOBODY
    return owner, root


@compiled
def _both(one: Any, other: Any) -> Any:
    """The owner of what two owners share."""
    if one in (NOBODY, other):
        return other
    return one if other == NOBODY else SEVERAL


@compiled
def _give(labels: Labels, first: Ints, start: Ints, stop: Ints, owner: NDArray[Any]) -> None:
    for y in range(labels.shape[0]):
        for run in range(first[y], first[y + 1]):
            if owner[run]:
                labels[y, start[run] : stop[run]] = owner[run]
