"""The hog family: histograms of oriented gradients in cells of a grid, normalised over blocks of 2 x 2 cells."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

GRID, BEARINGS, BLOCK = 8, 9, 2  # cells a side, orientations of half a turn, cells a side of a block
CLIP, LEAST = 0.2, 1e-5  # of a normalised block (L2-Hys), and what keeps an empty one from dividing by nothing


def hog(planes: NDArray[np.float64]) -> dict[str, NDArray[Any]]:
    """HOG of Dalal and Triggs 2005 (doi 10.1109/CVPR.2005.177) of (N, H, W) planes, each feature (N,).

    The grid has 8 x 8 cells whatever the size of the plane, so that all images have the same features. On planes whose
    sides divide by 8 they are those of scikit-image with cells of an eighth of the side and blocks of 2 x 2.

    >>> len(hog(np.eye(16)[None])), float(max(values[0] for values in hog(np.ones((1, 16, 16))).values()))
    (1764, 0.0)
    """
    count, high, wide = planes.shape
    down, across = np.zeros_like(planes), np.zeros_like(planes)
    down[:, 1:-1] = planes[:, 2:] - planes[:, :-2]
    across[:, :, 1:-1] = planes[:, :, 2:] - planes[:, :, :-2]
    turn = np.mod(np.rad2deg(np.arctan2(down, across)), 180)
    bearing = np.minimum((turn * BEARINGS / 180).astype(np.int64), BEARINGS - 1)
    row, column = (np.arange(side) * GRID // side for side in (high, wide))
    cell = (row[:, None] * GRID + column[None]) * BEARINGS
    size = GRID * GRID * BEARINGS
    index = bearing + cell[None] + (np.arange(count) * size)[:, None, None]
    sums = np.bincount(index.ravel(), np.hypot(down, across).ravel(), count * size)
    cells = sums.reshape(count, GRID, GRID, BEARINGS) * (GRID * GRID / (high * wide))
    blocks = np.lib.stride_tricks.sliding_window_view(cells, (BLOCK, BLOCK), axis=(1, 2)).transpose(0, 1, 2, 4, 5, 3)
    flat = blocks.reshape(count, (GRID - 1) ** 2, -1)
    flat = np.minimum(_unit(flat), CLIP)
    found = _unit(flat).reshape(count, -1)
    return {f"{k}": found[:, k] for k in range(found.shape[1])}


def _unit(blocks: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(blocks / np.sqrt((blocks**2).sum(-1, keepdims=True) + LEAST**2))
