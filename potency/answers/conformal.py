"""Prediction sets that hold the truth as often as they promise, for images of groups never seen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from potency.answers.confusion import Figures
from potency.answers.evidence import Evidence

MISS = 0.1  # share of images whose set may lack the truth
JOIN = " | "  # between the classes of a set in a cell


def fit_sets(truth: NDArray[Any], probability: NDArray[Any], groups: NDArray[Any] | None, miss: float = MISS) -> float:
    """The probability below which a class is left out of the set, so that sets hold the truth in 1 - miss of images.

    Split conformal prediction with 1 - probability of the truth as its score (Vovk 2005; Sadinle 2019), for a new image
    of a new group: every group weighs the same, and one more group that nobody has seen weighs as much, all of it
    worst (Dunn 2022; Lee 2023). That is a promise from 29 groups on. Of fewer it would leave nearly every class in
    every set, so the unseen group weighs miss / 3 at most, and coverage is only measured (benchmarks/conformal.py).

    Args:
        truth: indices (N,).
        probability: (N, K), of rows nothing was learned from.
        groups: (N,), the units that were sampled; None: each image is its own.
        miss: the share that may be missed.

    >>> fit_sets(np.zeros(20, int), np.tile([[0.9, 0.1]], (20, 1)), None)
    0.9
    """
    strange = 1 - probability[np.arange(len(truth)), truth]
    names, place = np.unique(np.arange(len(truth)) if groups is None else groups.astype(str), return_inverse=True)
    unseen = min(1 / (len(names) + 1), miss / 3)
    weights = (1 - unseen) / (np.bincount(place)[place] * len(names))
    order = np.argsort(strange, kind="stable")
    reached = np.cumsum(weights[order])
    enough = np.flatnonzero(reached >= 1 - miss - 1e-9)
    return float(1 - strange[order[enough[0]]]) if len(enough) else 0.0


def plausible(probability: NDArray[Any], least: float) -> NDArray[np.bool_]:
    """Which classes (..., K) stay in the set: those as probable as `least`, and always the most probable.

    >>> plausible(np.array([[0.6, 0.3, 0.1], [0.4, 0.35, 0.25]]), 0.5).tolist()
    [[True, False, False], [True, False, False]]
    """
    top = probability == probability.max(-1, keepdims=True)
    return np.asarray((probability >= least - 1e-9) | top)


def held(cells: Sequence[Any], truth: NDArray[Any], labels: Sequence[str]) -> dict[str, NDArray[Any]]:
    """Of a column of sets: whether each holds the truth, and how many classes it names."""
    sets = [str(cell).split(JOIN) for cell in cells]
    return {
        "covered": np.array([labels[k] in found for k, found in zip(truth, sets, strict=True)], bool),
        "named": np.array([len(found) for found in sets], np.float64),
    }


def set_figures(evidence: Evidence, columns: NDArray[Any]) -> Figures:
    """Coverage, mean size, share without one answer, and accuracy of the rest, of weights (samples, draws)."""
    right = evidence.arrays["truth"] == evidence.arrays["predicted"]
    alone = evidence.arrays["named"] == 1
    told = np.stack([np.ones(len(alone)), evidence.arrays["covered"], evidence.arrays["named"], alone, alone & right])
    total, covered, named, kept, good = told @ columns.astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):  # a draw that holds no sample has no figures
        return {
            "coverage": covered / total,
            "set_size": named / total,
            "abstained": 1 - kept / total,
            "accuracy_kept": good / kept,
        }
