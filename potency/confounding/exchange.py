"""The test behind the audit: does one thing go with another, where whole groups are exchanged and never an image."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from potency.evaluation.intervals import group_weights, interval
from potency.evaluation.results import Interval

Values = NDArray[np.float64]
Codes = NDArray[np.intp]
WITHIN, BETWEEN = "within groups", "between groups"
FEWEST = 6  # groups: of fewer, no arrangement of them is rare enough to speak of (2 ** 5 = 32 mirrorings)
LEAST_WITHIN = 0.2  # share of the truth's variation inside groups from which the question is asked inside groups
MOST_GROUPS, MOST_IMAGES = 60, 30  # a group, in pairs of which it is counted how often they are told apart
BOOTSTRAP = 1000
BLOCK = 250  # dealings at once


@dataclass(frozen=True)
class Outcome:
    """What one test found: the statistic, its draws under the null (draws,), and how well pairs are told apart."""

    level: str
    observed: float
    null: Values
    concordance: Interval


def level_of(suspect: Values, truth: Values, groups: Codes) -> str:
    """Whether a question is asked within groups or between them; "" where neither has groups enough for an answer.

    Within groups wherever that is possible, since there everything that groups differ in is the same on both sides.
    """
    inner_x, inner_y = centred(suspect, groups), centred(truth, groups)
    count = np.bincount(groups)
    moving = np.zeros(len(count), bool)
    np.logical_or.at(moving, groups, (np.abs(inner_y) > 1e-9).any(1))
    varied = np.zeros(len(count), bool)
    np.logical_or.at(varied, groups, (np.abs(inner_x) > 1e-9).any(1))
    total = float(((truth - truth.mean(0)) ** 2).sum())
    share = float((inner_y**2).sum()) / total if total > 0 else 0.0
    if int((moving & varied).sum()) >= FEWEST and share >= LEAST_WITHIN:
        return WITHIN
    means_x, means_y = means(suspect, groups), means(truth, groups)
    if len(count) < FEWEST or not np.ptp(means_x, axis=0).any():
        return ""
    return BETWEEN if arrangements(means_y) >= 2 ** (FEWEST - 1) else ""


def arrangements(rows: Values) -> float:
    """In how many ways the groups' truths can be dealt to the groups, as far as they differ.

    >>> arrangements(np.array([[0.0], [0.0], [1.0], [1.0]]))
    6.0
    """
    from scipy.special import gammaln

    _, times = np.unique(np.round(rows, 9), axis=0, return_counts=True)
    return float(np.round(np.exp(min(700.0, gammaln(len(rows) + 1) - gammaln(times + 1).sum()))))


def association(suspect: Values, truth: Values, groups: Codes, level: str, draws: int, seed: int) -> Outcome:
    """Whether `suspect` (N, P) goes with `truth` (N, Q) in the groups (N,) more than chance would have it.

    Within groups: each group gives one matrix, the covariance of suspect and truth inside it, and the statistic is the
    squared length of their sum. Under the null no group's matrix prefers a direction, so each may be turned round as a
    whole: with two classes, the labels of the whole group change places. Between groups: the statistic is the squared
    covariance of the groups' means, and under the null the groups' truths may be dealt to the groups anew. Both are
    linear in the suspect (whitened with shrinkage, Ledoit and Wolf 2004), so that a class which merely varies more
    than another raises no alarm. The same seed draws the same exchanges for every suspect, which is what the
    correction for many suspects needs. Sources: Winkler et al. 2014 (doi 10.1016/j.neuroimage.2014.01.060), 2015.
    """
    count = int(groups.max()) + 1
    if level == WITHIN:
        x = centred(suspect, groups)
        x = x @ whitening(x)
        y = balanced(centred(truth, groups), truth)
        parts = covariances(x, y, groups, count)
        gram = parts.reshape(count, -1) @ parts.reshape(count, -1).T
        signs = np.concatenate([np.ones((1, count)), turned(count, draws, seed)])
        lengths = np.einsum("dg,dg->d", signs @ gram, signs)
        return Outcome(level, float(lengths[0]), lengths[1:], _inside(x, y, parts, groups))
    every = suspect - means(suspect, groups).mean(0)
    x, y = means(every, groups), balanced(means(truth, groups), truth)
    x = x @ whitening(x)
    orders = np.concatenate([np.arange(count)[None], dealt(means(truth, groups), draws, seed)])
    blocks = [orders[start : start + BLOCK] for start in range(0, len(orders), BLOCK)]
    lengths = np.concatenate([_lengths(x, y[block]) for block in blocks])
    return Outcome(level, float(lengths[0]), lengths[1:], _beside(every @ whitening(every), y, groups))


def _lengths(x: Values, y: Values) -> Values:
    """The squared length of the covariance of x (G, R) with each y (D, G, Q): (D,)."""
    draws, groups, width = y.shape
    flat = x.T @ np.moveaxis(y, 1, 0).reshape(groups, draws * width)
    return np.asarray((flat**2).sum(0).reshape(draws, width).sum(1))


def turned(groups: int, draws: int, seed: int) -> Values:
    """Which groups are turned round in each draw: (draws, groups) of 1 and -1; every way once where there are no more.

    To turn all groups is to turn none, so the first never is, and what is seen is left out.

    >>> turned(2, 99, 0)
    array([[ 1., -1.]])
    """
    if 2.0 ** (groups - 1) <= draws + 1:
        return np.array([(1.0, *signs) for signs in product((1.0, -1.0), repeat=groups - 1)][1:]).reshape(-1, groups)
    return np.random.default_rng([seed, 11]).choice(np.array([-1.0, 1.0]), (draws, groups))


def dealt(rows: Values, draws: int, seed: int) -> NDArray[np.integer[Any]]:
    """Orders of the groups with the truths `rows` (groups, Q): (draws, groups); each dealing once if there are few.

    What is seen itself is left out.

    >>> dealt(np.array([[0.0], [0.0], [1.0]]), 99, 0).tolist()
    [[0, 2, 1], [2, 0, 1]]
    """
    kinds = np.unique(np.round(rows, 9), axis=0, return_inverse=True)[1].ravel()
    return _dealt(tuple(kinds.tolist()), arrangements(rows) <= draws + 1, draws, seed)


@lru_cache(maxsize=1)
def _dealt(of: tuple[int, ...], few: bool, draws: int, seed: int) -> NDArray[np.integer[Any]]:
    """The orders for groups of these kinds; kept, as every suspect asks for the same."""
    count, kinds = len(of), np.array(of)
    if not few:
        every = np.tile(np.arange(count, dtype=np.int32), (draws, 1))
        return np.random.default_rng([seed, 12]).permuted(every, axis=1)
    homes = [np.flatnonzero(kinds == kind) for kind in range(int(kinds.max()) + 1)]
    found = []
    for way in _ways(tuple(map(len, homes)), count):
        places = np.array(way)
        if not np.array_equal(places, kinds):
            order = np.empty(count, np.intp)
            for kind, home in enumerate(homes):
                order[places == kind] = home
            found.append(order)
    return np.array(found, np.intp).reshape(-1, count)


def _ways(left: tuple[int, ...], count: int) -> Iterator[tuple[int, ...]]:
    """All different rows of kinds that use up what is left of each."""
    if not count:
        yield ()
        return
    for kind, times in enumerate(left):
        if times:
            rest = (*left[:kind], times - 1, *left[kind + 1 :])
            yield from ((kind, *way) for way in _ways(rest, count - 1))


def family_wise(tests: Sequence[Outcome]) -> tuple[list[float], list[float]]:
    """The p of each test by itself, and corrected for having looked at all of them.

    Step-down minP of Westfall and Young (1993): in each draw the smallest p of all tests that are not yet rejected is
    what the next one is held against; draws are shared, so that suspects which say the same count once.
    """
    if not tests:
        return [], []
    most = max(len(test.null) for test in tests)  # where some tests know every exchange, theirs come again
    table = np.array([[test.observed, *np.resize(test.null, most)] for test in tests])  # (tests, 1 + draws)
    slack = 1e-9 * np.maximum(1e-300, np.abs(table).max(1, keepdims=True))  # equal sums may differ in the last digits
    ranked = np.sort(table, axis=1)
    above = np.stack([table.shape[1] - np.searchsorted(row, values - s, side="left")
                      for row, values, s in zip(ranked, table, slack, strict=True)])  # fmt: skip
    chance = above / table.shape[1]
    raw = chance[:, 0]
    order = np.argsort(raw, kind="stable")
    adjusted, least = np.zeros(len(tests)), 0.0
    for place, test in enumerate(order):
        smallest = chance[order[place:]].min(0)
        least = max(least, float((smallest <= raw[test] + 1e-12).mean()))
        adjusted[test] = least
    return raw.tolist(), adjusted.tolist()


def centred(values: Values, groups: Codes) -> Values:
    """Values (N, P) less the mean of their group."""
    return np.asarray(values - means(values, groups)[groups])


def means(values: Values, groups: Codes) -> Values:
    """The mean of every group, (groups, P)."""
    count = np.maximum(np.bincount(groups), 1)
    sums = np.stack([np.bincount(groups, column, len(count)) for column in values.T], axis=1)
    return np.asarray(sums / count[:, None])


def covariances(x: Values, y: Values, groups: Codes, count: int) -> Values:
    """The sum of the products of x (N, P) and y (N, Q) in every group, (groups, P, Q)."""
    order = np.argsort(groups, kind="stable")
    edges = np.searchsorted(groups[order], np.arange(count + 1))
    return np.stack([x[order[a:b]].T @ y[order[a:b]] for a, b in zip(edges, edges[1:], strict=False)])


def whitening(values: Values) -> Values:
    """What takes scale and correlation out of rows (N, P) about zero, (P, R), as far as so many rows can tell."""
    spread = np.sqrt((values**2).mean(0))
    keep = spread > 1e-9 * max(1e-300, float(spread.max(initial=0)))
    scale = np.diag(1 / np.where(keep, spread, 1.0))[:, keep]
    if keep.sum() < 2:
        return scale if keep.any() else np.zeros((values.shape[1], 1))
    from sklearn.covariance import ledoit_wolf

    width, turn = np.linalg.eigh(ledoit_wolf(values @ scale, assume_centered=True)[0])
    wide = width > 1e-6 * width.max()
    return np.asarray(scale @ turn[:, wide] / np.sqrt(width[wide]))


def balanced(values: Values, truth: Values) -> Values:
    """Truths about their mean, in units of their spread: a rare class counts as much as a common one."""
    spread = truth.std(0)
    return np.asarray((values - values.mean(0)) / np.where(spread > 0, spread, 1.0))


def _inside(x: Values, y: Values, parts: Values, groups: Codes) -> Interval:
    """How often the suspect tells which of two images of one group has more of a class, learned on other groups."""
    count, total = len(parts), parts.sum(0)
    right, pairs = np.zeros(count), np.zeros(count)
    for group in range(count):
        rows = np.flatnonzero(groups == group)
        if len(rows) > 300:
            rows = np.random.default_rng([group, 5]).choice(rows, 300, replace=False)
        said = x[rows] @ (total - parts[group])
        found = [agreeing(said[:, column], y[rows, column]) for column in range(y.shape[1])]
        right[group], pairs[group] = np.sum(found, axis=0)
    value = float(right.sum() / pairs.sum()) if pairs.sum() else 0.5
    weights = _times(count)
    with np.errstate(invalid="ignore", divide="ignore"):
        draws = (weights @ right) / (weights @ pairs)
    return interval(value, draws, int((pairs > 0).sum()))


@lru_cache(maxsize=4)
def _times(groups: int) -> NDArray[np.float32]:
    """How often each group is drawn, the same draws for every suspect; kept, as every suspect asks for them."""
    return group_weights(groups, 0, range(BOOTSTRAP))


def agreeing(said: Values, truth: Values) -> tuple[float, float]:
    """Pairs put in the right order (ties count half), and pairs that differ in truth.

    >>> agreeing(np.array([0.1, 0.9, 0.9]), np.array([0.0, 1.0, 0.0]))
    (1.5, 2.0)
    """
    apart = np.sign(truth[:, None] - truth[None])
    order = np.sign(np.round(said[:, None] - said[None], 12))
    differ = apart > 0
    return float((order[differ] > 0).sum() + 0.5 * (order[differ] == 0).sum()), float(differ.sum())


def _beside(x: Values, y: Values, groups: Codes) -> Interval:
    """How often the suspect tells which of two images comes from the group with more of a class; x (N, R), y (G, Q).

    Both groups are left out of what is learned, else the pair would be known.
    """
    random = np.random.default_rng(5)
    chosen = np.sort(random.choice(len(y), MOST_GROUPS, replace=False)) if len(y) > MOST_GROUPS else np.arange(len(y))
    inside = [np.flatnonzero(groups == group) for group in chosen]
    some = [random.choice(rows, MOST_IMAGES, replace=False) if len(rows) > MOST_IMAGES else rows for rows in inside]
    images = [x[rows] for rows in some]
    middle, y = np.stack([x[rows].mean(0) for rows in inside]), y[chosen]
    total, count = middle.T @ y, len(chosen)
    right, pairs = np.zeros((count, count)), np.zeros((count, count))
    for one in range(count):
        for two in range(one + 1, count):
            apart = y[one] - y[two]
            if np.abs(apart).max() <= 1e-9:
                continue
            weights = total - np.outer(middle[one], y[one]) - np.outer(middle[two], y[two])
            order = np.sign(np.round((images[one] @ weights)[:, None] - (images[two] @ weights)[None], 12))
            share = 0.5 + 0.5 * order.mean((0, 1)) * np.sign(apart)
            right[one, two], pairs[one, two] = float(np.abs(apart) @ share), float(np.abs(apart).sum())
    value = float(right.sum() / pairs.sum()) if pairs.sum() else 0.5
    times = _times(count)
    with np.errstate(invalid="ignore", divide="ignore"):
        draws = ((times @ right) * times).sum(1) / ((times @ pairs) * times).sum(1)
    return interval(value, draws, count)


def codes_of(names: Any) -> Codes:
    """Group numbers 0, 1, 2 ... of names, in sorted order so that no draw depends on the order of rows."""
    return np.asarray(np.unique(np.asarray(names).astype(str), return_inverse=True)[1], np.intp)
