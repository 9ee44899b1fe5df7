"""Partial correlation: does a score go with a number beyond what the truth, and other numbers, explain of both."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]
NEGLIGIBLE = 1e-10  # of a column's variance: what the others leave of it is rounding, and goes with nothing
BLOCK = 100  # weightings at once


def ranks(values: Values) -> Values:
    """Mid-ranks of every column (N, P) as 0..1: a partial correlation of ranks minds no long tail."""
    from scipy.stats import rankdata

    return np.asarray((rankdata(values, axis=0) - 0.5) / len(values), np.float64)


def partial(score: Values, numbers: Values, given: Values, weights: Values) -> tuple[Values, Values]:
    """Partial correlation of a score (N,) with each of the numbers (N, P) under each weighting (D, N) of the rows.

    Returns two arrays (D, P): given the columns `given` (N, Q) alone, and given the other numbers too. 0 where nothing
    of the number, or of the score, is left. From covariances: what is left of a and b once z is known has the
    covariance S_ab - S_az S_zz^-1 S_zb (Anderson 2003, section 2.5).

    >>> x = np.random.default_rng(0).normal(size=(500, 1))
    >>> first, second = partial(x[:, 0] * 2, x, np.ones((500, 1)), np.ones((1, 500)))
    >>> first.round(6).item(), second.round(6).item()
    (1.0, 1.0)
    """
    table = np.column_stack([score, numbers, given])
    table = table - table.mean(0)
    count = numbers.shape[1]
    rest = list(range(1 + count, table.shape[1]))
    alone, beside = np.zeros((len(weights), count)), np.zeros((len(weights), count))
    products = (table[:, :, None] * table[:, None, :]).reshape(len(table), -1)
    for start in range(0, len(weights), BLOCK):
        some = np.asarray(weights[start : start + BLOCK], np.float64)
        some = some / some.sum(1, keepdims=True)
        middle = some @ table
        spread = (some @ products).reshape(len(some), table.shape[1], -1) - middle[:, :, None] * middle[:, None, :]
        for k in range(count):
            others = [1 + j for j in range(count) if j != k]
            alone[start : start + BLOCK, k] = _left(spread, 1 + k, rest)
            beside[start : start + BLOCK, k] = _left(spread, 1 + k, rest + others)
    return alone, beside


def _left(spread: Values, number: int, given: list[int]) -> Values:
    """The correlation of column 0 and a number once the columns `given` are known, from covariances (D, C, C)."""
    pair = [0, number]
    both = spread[:, pair][:, :, pair]
    if given:
        across, inner = spread[:, pair][:, :, given], spread[:, given][:, :, given]
        both = both - across @ np.linalg.pinv(inner, rcond=1e-9, hermitian=True) @ across.transpose(0, 2, 1)
    before = spread[:, pair, pair]
    left = both[:, [0, 1], [0, 1]]
    there = (left > NEGLIGIBLE * np.maximum(before, 1e-300)).all(1)
    size = np.sqrt(np.where(there, left[:, 0] * left[:, 1], 1.0))
    return np.where(there, np.clip(both[:, 0, 1] / size, -1, 1), 0.0)
