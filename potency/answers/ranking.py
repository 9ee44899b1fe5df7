"""ROC area and average precision of one class under many weightings at once, ties counted right."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from potency.answers.answer import group_sums


def ranking(
    positive: NDArray[np.bool_], score: NDArray[np.floating[Any]], weights: NDArray[Any]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Area under the ROC curve and average precision: positive and score (samples,), weights (samples, draws).

    Both depend on the ranked list only through the weight of positives at each score that holds a positive (a level),
    and of negatives at it and between it and the level above. So the samples are summed into those cells first (a
    sparse product in the weights' own type, exact for whole numbers) and only levels x draws numbers are cumulated,
    in double precision. A tie counts half for the area; the precision at a score counts all that share it: the
    definitions of scikit-learn. nan in draws without positives (both) or without negatives (area).

    >>> area, precision = ranking(np.array([True, False, True]), np.array([.9, .5, .5]), np.ones((3, 1)))
    >>> float(area[0]), round(float(precision[0]), 4)
    (0.75, 0.8333)
    """
    draws = weights.shape[1]
    levels = np.unique(score[positive])[::-1]
    if not len(levels):
        return np.full(draws, np.nan), np.full(draws, np.nan)
    # The level at or directly below each sample's score: a sample above every level belongs before the first.
    below = np.searchsorted(-levels, -score, side="left")
    tied = levels[np.minimum(below, len(levels) - 1)] == score
    # Cells of a level: 3k negatives between it and the level above, 3k + 1 negatives at it, 3k + 2 positives at it.
    # Negatives below the last level fall into cell 3 * len(levels).
    cell = 3 * below + np.where(positive, 2, np.where(tied & (below < len(levels)), 1, 0))
    sums = group_sums(cell, 3 * len(levels) + 1, weights).astype(np.float64)
    between, at, hits = sums[0:-1:3], sums[1::3], sums[2::3]
    negatives = between.sum(axis=0) + at.sum(axis=0) + sums[-1]
    positives = hits.sum(axis=0)
    alarms = np.cumsum(between + at, axis=0)  # negatives with at least this level's score
    found = np.cumsum(hits, axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        area = np.einsum("ld,ld->d", hits, negatives - alarms + 0.5 * at) / (positives * negatives)
        # A level that no draw has reached yet is 0/0, weighted with 0 hits: leave it out.
        reached = found + alarms
        precision = np.divide(found, reached, out=np.zeros_like(found), where=reached > 0)
        average = np.einsum("ld,ld->d", hits, precision) / positives
    return area, average
