"""How deep every pixel lies in its object: the exact Euclidean distance to the nearest pixel that is not of it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from potency.data.compiled import compiled
from potency.decoding.census import Labels, Plane


def depth(labels: Labels) -> Plane:
    """Distance of every pixel to the nearest of another number, (Y, X); 0 in the background.

    Neighbouring objects bound each other, the edge of the image bounds nothing: where an object leaves the image nobody
    knows its outline. The distance transform of Felzenszwalb and Huttenlocher (2012) within runs of one label.

    >>> depth(np.array([[0, 1, 1, 1, 2, 2]], np.int32)).tolist()
    [[0.0, 1.0, 2.0, 1.0, 1.0, 2.0]]
    """
    far = labels.shape[0] + labels.shape[1]
    return _across(labels, _down(labels, far), far)


@compiled
def _down(labels: Labels, far: int) -> NDArray[np.int32]:
    """Distance to another number within each column."""
    height, width = labels.shape
    out = np.empty((height, width), np.int32)
    for x in range(width):
        out[0, x] = far if labels[0, x] else 0
    for y in range(1, height):
        for x in range(width):
            same = out[y - 1, x] + 1 if labels[y, x] == labels[y - 1, x] else 1
            out[y, x] = min(same, far) if labels[y, x] else 0
    for y in range(height - 2, -1, -1):
        for x in range(width):
            same = out[y + 1, x] + 1 if labels[y, x] == labels[y + 1, x] else 1
            out[y, x] = min(same, out[y, x])
    return out


@compiled
def _across(labels: Labels, down: NDArray[np.int32], far: int) -> Plane:
    """The lower envelope of the parabolas that the columns give, run by run."""
    height, width = labels.shape
    out = np.zeros((height, width), np.float32)
    place, start = np.empty(width + 2, np.int64), np.empty(width + 3)
    value = np.empty(width + 2, np.float64)
    half = np.zeros(width + 3)  # 1 / 2n, for a division is the dearest step here
    half[1:] = 0.5 / np.arange(1, width + 3)
    for y in range(height):
        x = 0
        while x < width:
            if labels[y, x] == 0:
                x += 1
                continue
            end = x + 1
            while end < width and labels[y, end] == labels[y, x]:
                end += 1
            first, last = max(x - 1, 0), min(end, width - 1)
            top = -1
            for i in range(first, last + 1):
                height_here = np.float64(down[y, i]) ** 2 if x <= i < end else 0.0
                cut = -np.inf
                while top >= 0:
                    cut = (height_here + i * i - value[top] - place[top] * place[top]) * half[i - place[top]]
                    if cut > start[top]:
                        break
                    top -= 1
                    cut = -np.inf
                top += 1
                place[top], value[top], start[top] = i, height_here, cut
            start[top + 1] = np.inf
            at = 0
            for i in range(x, end):
                while start[at + 1] < i:
                    at += 1
                out[y, i] = min(np.sqrt(np.float32(value[at] + (i - place[at]) ** 2)), np.float32(far))
            x = end
    return out
