"""Temperature scaling: one number that makes probabilities mean what they say, without changing any answer's class."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

SMALLEST = 1e-12


def fit_temperature(truth: NDArray[Any], probability: NDArray[Any]) -> float:
    """The temperature of least log loss (Guo et al. 2017), between 0.1 and 10; truth (N,) indices, probability (N, K).

    >>> sure = np.array([[0.99, 0.01], [0.99, 0.01], [0.01, 0.99], [0.99, 0.01]])
    >>> fit_temperature(np.array([0, 1, 1, 0]), sure) > 1
    True
    """
    from scipy.optimize import minimize_scalar

    logits = np.log(np.clip(np.asarray(probability, np.float64), SMALLEST, 1))
    rows = np.arange(len(logits))

    def loss(exponent: float) -> float:
        values = logits / np.exp(exponent)
        values -= values.max(1, keepdims=True)
        return float((np.log(np.exp(values).sum(1)) - values[rows, truth]).mean())

    return float(np.exp(minimize_scalar(loss, bounds=(np.log(0.1), np.log(10)), method="bounded").x))


def apply_temperature(probability: NDArray[Any], temperature: float) -> NDArray[np.float64]:
    """Probabilities (..., K) at another temperature; above 1 they come nearer to each other.

    >>> apply_temperature(np.array([0.8, 0.2]), 2.0).round(3)
    array([0.667, 0.333])
    """
    logits = np.log(np.clip(np.asarray(probability, np.float64), SMALLEST, 1)) / temperature
    power = np.exp(logits - logits.max(-1, keepdims=True))
    return np.asarray(power / power.sum(-1, keepdims=True))
