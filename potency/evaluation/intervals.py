"""Intervals by a bootstrap over groups, and the permutation test, for any answer's figures."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from potency.answers.answer import Answer
from potency.answers.evidence import Evidence
from potency.evaluation.results import Interval

FEWEST_GROUPS = 5  # under five groups an interval over groups says nothing
BLOCK_CELLS = 2_500_000  # samples x draws held at once by a thread (10 MB of weights)
LEAST_FINITE = 0.5  # a figure that most draws cannot form gets no interval

Draws = dict[str, NDArray[np.float64]]


def group_weights(groups: int, seed: int, draws: Sequence[int]) -> NDArray[np.float32]:
    """How often each group is drawn, (draws, groups): as many groups as there are, with replacement.

    A draw depends on the seed, its own number and the number of groups only, never on blocks or threads.

    >>> group_weights(4, 0, range(3)).sum(axis=1)
    array([4., 4., 4.], dtype=float32)
    """
    counts = np.empty((len(draws), groups), np.float32)
    for row, draw in enumerate(draws):
        picked = np.random.default_rng([seed, draw]).integers(0, groups, groups, dtype=np.int64)
        counts[row] = np.bincount(picked, minlength=groups)
    return counts


def bootstrap(
    answer: type[Answer],
    evidence: Sequence[tuple[NDArray[np.intp], Evidence]],
    groups: NDArray[np.intp],
    draws: int = 1000,
    seed: int = 0,
) -> list[Draws]:
    """Every figure of several pieces of evidence in every draw of groups, the same draws for all.

    `evidence` are (rows, evidence of these rows); `groups` is the group number of every row. One weight matrix (draws,
    samples) does it all, in blocks of draws so that memory stays bounded; blocks run in threads (NumPy and SciPy let go
    of the interpreter). Resampling whole groups is the cluster bootstrap of Davison and Hinkley (1997), section 3.8.
    """
    number = int(groups.max()) + 1
    size = min(max(BLOCK_CELLS // max(len(groups), 1), 16), 250)
    blocks = [range(start, min(start + size, draws)) for start in range(0, draws, size)]
    own = len(groups) == number and bool((groups == np.arange(number)).all())

    def figures(block: range) -> list[Draws]:
        columns = np.ascontiguousarray(group_weights(number, seed, block).T)
        if not own:
            columns = columns[groups]
        whole = len(columns)
        return [
            answer.summarise(piece, (columns if len(rows) == whole else columns[rows]).T) for rows, piece in evidence
        ]

    if len(blocks) > 1:
        with ThreadPoolExecutor(min(len(blocks), processors())) as pool:
            found = list(pool.map(figures, blocks))
    else:
        found = [figures(block) for block in blocks]
    if not found:
        return [{} for _ in evidence]
    whole = range(len(evidence))
    return [{name: np.concatenate([part[k][name] for part in found]) for name in found[0][k]} for k in whole]


def processors() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def levels(groups: int) -> tuple[float, float]:
    """The percentiles of a 95 % interval over so many groups: 2.5 and 97.5, moved outwards where groups are few.

    A bootstrap of n groups is too narrow by sqrt((n - 1) / n) and knows nothing of Student's t; Hesterberg (2015, The
    American Statistician 69) moves the percentiles to make up for both. `benchmarks/bootstrap.py` counts how often the
    truth is held with and without.

    >>> [round(level, 2) for level in (*levels(6), *levels(10_000))]
    [0.24, 99.76, 2.5, 97.5]
    """
    from scipy.special import ndtr, stdtrit  # light, but not for those who only read tables

    tail = 100 * float(ndtr(-np.sqrt(groups / (groups - 1)) * stdtrit(groups - 1, 0.975)))
    return tail, 100 - tail


def interval(
    value: float, draws: NDArray[np.float64] | None, groups: int, grows: bool = False
) -> Interval:
    """The 95 % percentile interval over so many groups, the value alone under five, or where most draws are nan.

    Percentiles, not BCa: its acceleration needs a jackknife over groups and jumps about with the few groups that
    microscopy has, and percentiles of paired differences stay consistent with those of their parts. A figure that
    `grows` when samples are drawn again (a distance that noise can only lengthen, never below zero) has draws that
    all lie above it: they are moved down by the excess of their median (Efron and Tibshirani 1993, chapter 10).

    >>> print(interval(0.5, np.array([0.4, 0.5, 0.6, np.nan]), 10_000), interval(0.5, np.array([0.4, 0.6]), 4))
    0.500 [0.405, 0.595] 0.500
    """
    if draws is None or not len(draws) or groups < FEWEST_GROUPS:
        return Interval(float(value))
    finite = draws[np.isfinite(draws)]
    if len(finite) < LEAST_FINITE * len(draws):
        return Interval(float(value))
    low, high = np.percentile(finite, levels(groups))
    if grows:
        excess = max(0.0, float(np.median(finite)) - value)
        low, high = max(0.0, low - excess), high - excess
    return Interval(float(value), float(low), float(high))


def values_of(answer: type[Answer], evidence: Evidence) -> dict[str, float]:
    """The figures on all samples; those that cannot be computed are absent."""
    found = answer.summarise(evidence, np.ones((1, evidence.samples)))
    return {name: float(values[0]) for name, values in found.items() if np.isfinite(values[0])}


def numbers_of(
    answer: type[Answer], evidence: Evidence, groups: NDArray[np.intp], draws: Draws
) -> dict[str, Interval]:
    """Every figure of a column with its interval, none where it rests on fewer than five groups."""
    behind = groups_behind(answer, evidence, groups)
    values = values_of(answer, evidence)
    return {
        name: interval(value, draws.get(name), behind(name), name in answer.growing) for name, value in values.items()
    }


def groups_behind(answer: type[Answer], evidence: Evidence, groups: NDArray[np.intp]) -> Callable[[str], int]:
    """Tells on how many groups a figure rests: a class's recall on those that hold the class."""
    every = len(np.unique(groups))
    some = {name: len(np.unique(groups[mask])) for name, mask in answer.bearers(evidence).items()}
    return lambda name: some.get(name, every)


def pure(truth: NDArray[Any], groups: NDArray[np.intp]) -> bool:
    """Whether every group holds one truth only.

    >>> pure(np.array([1, 1, 0]), np.array([0, 0, 1])), pure(np.array([1, 0, 0]), np.array([0, 0, 1]))
    (True, False)
    """
    first = np.unique(groups, return_index=True)[1]
    return bool(np.array_equal(truth[first][np.unique(groups, return_inverse=True)[1]], truth))


def permutation(
    answer: type[Answer], evidence: Evidence, groups: NDArray[np.intp], draws: int = 1000, seed: int = 0
) -> float:
    """How probable a headline this good is if truth and answer had nothing to do with one another.

    What may be exchanged is what the design leaves exchangeable (Winkler et al. 2015, NeuroImage 123): where every
    group holds one truth (a well, one dose), whole groups exchange their truths; else rows exchange theirs within
    their group. p = (1 + permutations at least as good) / (1 + permutations), Phipson and Smyth (2010).
    """
    truth = evidence.arrays["truth"]
    groups = np.unique(groups, return_inverse=True)[1]
    orders = _between if pure(truth, groups) else _within
    size = min(max(BLOCK_CELLS // max(len(groups), 1), 8), 250)
    identity = np.arange(evidence.samples)[None]
    seen = float(answer.reordered(evidence, identity)[0])

    def figures(block: range) -> NDArray[np.float64]:
        return answer.reordered(evidence, orders(groups, seed, block))

    blocks = [range(start, min(start + size, draws)) for start in range(0, draws, size)]
    with ThreadPoolExecutor(min(len(blocks), processors()) or 1) as pool:
        found = np.concatenate([np.empty(0), *pool.map(figures, blocks)])
    # Equal headlines may differ in their last digits after another order of summing.
    good = answer.better * (found - seen) >= -1e-12 * max(1.0, abs(seen))
    return float((1 + np.count_nonzero(good)) / (1 + draws))


def _between(groups: NDArray[np.intp], seed: int, draws: Sequence[int]) -> NDArray[np.int32]:
    first = np.unique(groups, return_index=True)[1].astype(np.int32)  # half the traffic of intp
    found = np.empty((len(draws), len(groups)), np.int32)
    for row, draw in enumerate(draws):
        found[row] = np.random.default_rng([seed, 1, draw]).permutation(first)[groups]
    return found


def _within(groups: NDArray[np.intp], seed: int, draws: Sequence[int]) -> NDArray[np.int32]:
    ordered = np.argsort(groups, kind="stable").astype(np.int32)
    found = np.empty((len(draws), len(groups)), np.int32)
    for row, draw in enumerate(draws):
        keys = groups[ordered] + np.random.default_rng([seed, 1, draw]).random(len(groups))
        found[row, ordered] = ordered[np.argsort(keys)]
    return found
