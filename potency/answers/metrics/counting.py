"""Figures of counts: how far the number of objects is off, in the whole image and in parts of it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from potency.answers.metrics.averages import Figures, mean, ratio

PARTS = 4  # a side of the grid in whose cells counts are compared


def figures(objects: NDArray[Any], answered: NDArray[Any], weights: NDArray[Any]) -> Figures:
    """Mean absolute error, bias (answered minus true) and mean relative error, over images that hold an object."""
    error = answered - objects
    return {
        "count_mae": mean(np.abs(error), weights),
        "count_bias": mean(error, weights),
        "count_mape": mean(ratio(np.abs(error), objects), weights),
    }


def average(values: NDArray[Any], weights: NDArray[Any]) -> NDArray[np.float64]:
    """The mean over images."""
    return mean(values, weights)


def apart(truth: NDArray[Any], said: NDArray[Any]) -> float:
    """GAME of one image: the errors of all cells of a grid added up."""
    return float(np.abs(truth - said).sum())


def summed(values: NDArray[Any]) -> NDArray[np.float64]:
    """The sum of a map (H, W) in each cell of a grid of 4 x 4; a pixel belongs to the cell of its middle.

    >>> summed(np.ones((8, 4))).tolist()[0]
    [2.0, 2.0, 2.0, 2.0]
    """
    row, column = (np.arange(side) * PARTS // side for side in values.shape)
    cells = row[:, None] * PARTS + column
    found = np.bincount(cells.ravel(), values.ravel().astype(np.float64), PARTS**2)
    return np.asarray(found.reshape(PARTS, PARTS), np.float64)


def counted(centres: NDArray[np.float64], size: tuple[int, ...]) -> NDArray[np.float64]:
    """How many points (n, 2) lie in each cell of that grid on an image of this size; those outside at its edge."""
    high, wide = size[-2:]
    row = np.clip(np.rint(centres[:, 0]).astype(np.intp), 0, high - 1) * PARTS // high
    column = np.clip(np.rint(centres[:, 1]).astype(np.intp), 0, wide - 1) * PARTS // wide
    return np.bincount(row * PARTS + column, minlength=PARTS**2).reshape(PARTS, PARTS).astype(np.float64)
