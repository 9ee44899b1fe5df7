"""Means, shares and sums of per-sample figures under many weightings at once."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Figures = dict[str, NDArray[np.float64]]
THRESHOLDS = tuple(k / 20 for k in range(10, 20))  # .5, .55 ... .95
NAMED = (50, 75, 90)  # thresholds in percent at which precision, recall and F1 are told


def percent(threshold: float) -> int:
    """A threshold as it stands in the name of a figure.

    >>> percent(0.55)
    55
    """
    return round(100 * threshold)


def ratio(above: NDArray[Any], below: NDArray[Any]) -> NDArray[np.float64]:
    """A quotient that is nan where nothing stands below.

    >>> ratio(np.array([1.0, 0.0]), np.array([2.0, 0.0])).tolist()
    [0.5, nan]
    """
    above, below = np.asarray(above, np.float64), np.asarray(below, np.float64)
    empty = np.full(np.broadcast(above, below).shape, np.nan)
    return np.asarray(np.divide(above, below, out=empty, where=below != 0))


def mean(values: NDArray[Any], weights: NDArray[Any]) -> NDArray[np.float64]:
    """The mean over the samples that have a value (the rest is nan): (samples, ...), (draws, samples) -> (draws, ...).

    >>> mean(np.array([1.0, np.nan, 0.0]), np.array([[1.0, 1.0, 3.0]])).tolist()
    [0.25]
    """
    known = np.isfinite(values)
    return ratio(total(np.where(known, values, 0.0), weights), total(known, weights))


def total(values: NDArray[Any], weights: NDArray[Any]) -> NDArray[np.float64]:
    """The weighted sum over samples: (samples, ...), (draws, samples) -> (draws, ...)."""
    return np.tensordot(weights.astype(np.float64), np.asarray(values, np.float64), axes=1)


def mean_known(values: NDArray[np.float64], axis: int = -1) -> NDArray[np.float64]:
    """The mean over an axis of what is not nan; nan where nothing is."""
    known = np.isfinite(values)
    return ratio(np.where(known, values, 0.0).sum(axis), known.sum(axis))
