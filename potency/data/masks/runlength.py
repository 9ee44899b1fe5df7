"""Run lengths of masks, counted down the columns: COCO's two codes and the Data Science Bowl's."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from potency.data.masks.annotation import Labels, runs
from potency.errors import AnswerError

Counts = NDArray[np.int64]


def column_runs(labels: Labels) -> Iterator[tuple[int, Counts, Counts]]:
    """Give of every object its id, and the first pixels and lengths of its runs, counted down the columns from 0.

    >>> list(column_runs(np.array([[0, 2], [2, 2]], np.uint32)))
    [(2, array([1]), array([3]))]
    """
    height = labels.shape[0]
    values, columns, first, end = runs(labels.T)
    order = np.argsort(values, kind="stable")
    start, stop = (columns * height + first)[order], (columns * height + end)[order]
    owner = values[order].astype(np.int64)
    if not len(owner):
        return
    fresh = np.append(True, (start[1:] != stop[:-1]) | (owner[1:] != owner[:-1]))  # a run may go on in the next column
    last = np.append(fresh[1:], True)
    start, stop, owner = start[fresh], stop[last], owner[fresh]
    cuts = np.flatnonzero(owner[1:] != owner[:-1]) + 1
    for one, begin, finish in zip(owner[np.append(0, cuts)].tolist(), np.split(start, cuts), np.split(stop, cuts),
                                  strict=True):  # fmt: skip
        yield one, begin, finish - begin


def counts_of(start: Counts, length: Counts, size: int) -> Counts:
    """Give COCO's counts (outside, inside, outside, ...) of runs in an image of `size` pixels.

    >>> counts_of(np.array([1]), np.array([3]), 6).tolist()
    [1, 3, 2]
    """
    stop = start + length
    counts = np.empty(2 * len(start) + 1, np.int64)
    counts[0:-1:2] = start - np.append(0, stop[:-1])
    counts[1::2] = length
    counts[-1] = size - (stop[-1] if len(stop) else 0)
    return counts[:-1] if counts[-1] == 0 and len(counts) > 1 else counts


def runs_of(counts: Counts, size: int, where: str = "") -> tuple[Counts, Counts]:
    """Give the first pixels and lengths of the runs that COCO's counts speak of.

    >>> [part.tolist() for part in runs_of(np.array([1, 3, 2]), 6)]
    [[1], [3]]
    """
    counts = np.asarray(counts, np.int64)
    if (counts < 0).any() or (counts > size).any() or int(counts.sum()) != size:
        raise AnswerError(f"the run lengths add up to {int(counts.sum())} pixels, the image has {size}", where,
                          "the mask is of another image, or the file is damaged")
    start = np.cumsum(counts) - counts
    inside = counts[1::2] > 0
    return start[1::2][inside], counts[1::2][inside]


def unpacked(text: str) -> Counts:
    """Read the letters in which pycocotools writes counts: 5 bits each, the sixth says that more follow.

    From the fourth on a count is written as the difference to the one before the last. Plain Python, because an object
    has some tens of letters, for which NumPy takes ten times as long.

    >>> unpacked("132").tolist()
    [1, 3, 2]
    """
    counts: list[int] = []
    value = shift = 0
    for letter in text.encode("ascii"):
        bits = letter - 48
        if not 0 <= bits < 64 or shift > 55:
            raise ValueError("these letters are no run lengths")
        value |= (bits & 31) << shift
        shift += 5
        if bits & 32:
            continue
        if bits & 16:
            value -= 1 << shift
        counts.append(value + counts[-2] if len(counts) > 2 else value)
        value = shift = 0
    if shift:
        raise ValueError("the run lengths break off")
    return np.array(counts, np.int64)


def packed(counts: Counts) -> str:
    """Write counts in pycocotools' letters.

    >>> packed(np.array([1, 3, 2])), unpacked(packed(np.array([5, 70, 8, 1, 9000, 2]))).tolist()
    ('132', [5, 70, 8, 1, 9000, 2])
    """
    numbers = counts.tolist()
    letters = bytearray()
    for i, value in enumerate(numbers):
        if i > 2:
            value -= numbers[i - 2]
        more = True
        while more:
            bits = value & 31
            value >>= 5
            more = value != (-1 if bits & 16 else 0)
            letters.append(bits + 32 * more + 48)
    return letters.decode("ascii")
