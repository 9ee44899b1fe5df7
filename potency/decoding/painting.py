"""Boxes with a mask inside each become one label image: where masks overlap, the surer object has the pixel."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from potency.data.compiled import compiled
from potency.decoding.census import Labels, Plane

INSIDE = 0.5  # of a mask's probability from which on a pixel belongs to the object


def painted(
    edges: NDArray[np.floating], masks: NDArray[np.floating], score: NDArray[np.floating], shape: tuple[int, int]
) -> tuple[Labels, Plane]:
    """Labels int32 (Y, X), and how sure it is that an object is there (Y, X), of boxes and their masks.

    Boxes (n, 4) are top, left, bottom, right in pixel edges, masks (n, S, S).
    A mask is a probability at the S x S middles of a grid on its box, and is read between them linearly at the middle
    of every pixel, 0 beyond the box (Detectron2's way of pasting masks, Wu 2019). Object i of the arrays gets the
    number i + 1; of two that claim a pixel the one of higher `score` keeps it, the first of equals. So leaving out all
    objects under any score changes nothing of the others. How sure it is of a pixel is the highest score of any object
    times its mask there: that goes on where labels jump from one number to another.

    >>> edges, masks = np.array([[0, 0, 2, 3], [0, 1, 2, 4.0]]), np.ones((2, 4, 4))
    >>> painted(edges, masks, np.array([0.2, 0.7]), (2, 5))[0].tolist()
    [[1, 2, 2, 2, 0], [1, 2, 2, 2, 0]]
    """
    order = np.argsort(-np.asarray(score, np.float64), kind="stable")
    planes = np.ascontiguousarray(masks, np.float32)
    labels, sure = np.zeros(shape, np.int32), np.zeros(shape, np.float32)
    boxes, each = (np.ascontiguousarray(values, np.float64) for values in (edges, score))
    _paint(boxes, planes, each, order, labels, sure)
    return labels, sure


@compiled
def _paint(
    edges: NDArray[np.float64], masks: NDArray[np.float32], score: NDArray[np.float64], order: NDArray[np.int64],
    labels: Labels, sure: Plane,
) -> None:  # fmt: skip
    height, width = labels.shape
    size = masks.shape[1]
    for k in order:
        top, left, bottom, right = edges[k]
        if not (bottom > top and right > left):
            continue
        for y in range(max(0, int(np.ceil(top - 0.5))), min(height, int(np.ceil(bottom - 0.5)))):
            v = (y + 0.5 - top) / (bottom - top) * size - 0.5
            for x in range(max(0, int(np.ceil(left - 0.5))), min(width, int(np.ceil(right - 0.5)))):
                u = (x + 0.5 - left) / (right - left) * size - 0.5
                share = _between(masks[k], v, u)
                sure[y, x] = max(sure[y, x], share * score[k])
                if labels[y, x] == 0 and share >= INSIDE:
                    labels[y, x] = k + 1


@compiled
def _between(mask: Plane, v: float, u: float) -> float:
    """The value between the grid's middles, 0 beyond it."""
    size = len(mask)
    row, column = int(np.floor(v)), int(np.floor(u))
    down, across = v - row, u - column
    total = 0.0
    for i in range(2):
        for j in range(2):
            if 0 <= row + i < size and 0 <= column + j < size:
                total += (down if i else 1 - down) * (across if j else 1 - across) * mask[row + i, column + j]
    return total
