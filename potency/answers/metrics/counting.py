"""Figures of counts: how far the number of objects is off."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from potency.answers.metrics.averages import Figures, mean, ratio


def figures(objects: NDArray[Any], answered: NDArray[Any], weights: NDArray[Any]) -> Figures:
    """Mean absolute error, bias (answered minus true) and mean relative error, over images that hold an object."""
    error = answered - objects
    return {
        "count_mae": mean(np.abs(error), weights),
        "count_bias": mean(error, weights),
        "count_mape": mean(ratio(np.abs(error), objects), weights),
    }
