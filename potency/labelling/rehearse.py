"""Active learning rehearsed on labelled rows: how many labels each way needs, always beside random choice."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from potency.answers import Category
from potency.answers.evidence import Evidence
from potency.errors import ManifestError, PlanError
from potency.estimators import find_estimator
from potency.evaluation.intervals import FEWEST_GROUPS, group_weights, levels
from potency.evaluation.results import Interval
from potency.labelling.choose import LEAST, Pool, find_how

MEMBERS = 8  # models of the committee that BALD asks
PARTS = 5  # of the labelled rows, for the losses of rows that a model has not seen
SHARE = 0.95  # of what all labels reach: the target unless one is given
RANDOM = "random"
Values = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Setting:
    """One rehearsal: `start` labels at random, then `rounds` times `each` more; again for every seed."""

    hows: tuple[str, ...] = ("entropy", "margin", "bald", "coreset", "loss")
    start: int = 20
    each: int = 20
    rounds: int = 10
    seeds: int = 5
    learner: str = "logistic"
    target: float | None = None  # of the headline; None: SHARE of what all labels reach

    def __post_init__(self) -> None:
        for how in self.hows:
            find_how(how)
        if min(self.start, self.each, self.rounds, self.seeds) < 1:
            raise PlanError("a rehearsal needs labels to start with, rounds and seeds", "rehearse", "give 1 or more")

    @property
    def ways(self) -> tuple[str, ...]:
        """All ways, random choice last: it is never left out."""
        return (*(how for how in dict.fromkeys(self.hows) if how != RANDOM), RANDOM)


@dataclass(frozen=True, eq=False)
class Rehearsal:
    """What came of it.

    Attributes:
        table: one row a way and number of labels: `how`, `labels`, `value`, `low`, `high` of the headline on held-out
            groups, its `spread` over seeds, and `gain` over random choice with `gain_low`, `gain_high`.
        needed: labels until the target by way, with the interval; infinite where it was not reached.
        saved: labels saved against random choice, by way; no number where neither reached the target.
        target: of the headline. ceiling: what all labels of the pool reach.
    """

    table: pd.DataFrame
    needed: Mapping[str, Interval]
    saved: Mapping[str, Interval]
    target: float
    ceiling: Interval
    groups: int
    pool: int
    tested: int


def rehearse(
    embedding: Values,
    truth: Sequence[str],
    groups: Sequence[str],
    test: NDArray[np.bool_],
    setting: Setting | None = None,
    *,
    draws: int = 300,
    seed: int = 0,
    progress: Callable[[int, int], object] | None = None,
) -> Rehearsal:
    """Choose labels round by round from the rows that are not `test`, and judge each model on the test rows.

    The model is a classical learner on the embedding, the same for all ways; BALD asks a committee of it under random
    weights of the labelled rows (Rubin 1981). All ways start from the same labels in a seed. Intervals resample test
    groups and seeds together, the same for all ways, so that differences from random choice are paired.

    Args:
        embedding: (N, F) numbers of each row. truth: (N,) its class. groups: (N,) its group.
        test: (N,) true for rows of held-out groups, which are never chosen from.

    Raises:
        ManifestError: a group on both sides, fewer than two classes, or too few rows for the rounds.
    """
    setting = setting or Setting()
    made = _Rehearsal(embedding, np.asarray(truth).astype(str), np.asarray(groups).astype(str), test, setting)
    total = len(setting.ways) * setting.seeds
    curves: dict[str, list[list[Evidence]]] = {way: [] for way in setting.ways}
    for number in range(setting.seeds):
        for k, way in enumerate(setting.ways):
            curves[way].append(made.curve(way, seed + number))
            if progress is not None:
                progress(number * len(setting.ways) + k + 1, total)
    return made.told(curves, draws, seed)


class _Rehearsal:
    def __init__(
        self, embedding: Values, truth: NDArray[Any], groups: NDArray[Any], test: NDArray[np.bool_], setting: Setting
    ) -> None:
        self.setting, self.values, self.truth = setting, np.asarray(embedding, np.float64), truth
        both = set(groups[test]) & set(groups[~test])
        if both:
            raise ManifestError(f"the group {sorted(both)[0]!r} is tested and chosen from", "groups", "split by group")
        self.pool, self.tested = np.flatnonzero(~test), np.flatnonzero(test)
        self.classes = tuple(np.unique(truth))
        if len(np.unique(truth[~test])) < 2 or not len(self.tested):
            raise ManifestError("there are not two classes to choose from and rows to test on", "truth", "add rows")
        if setting.start >= len(self.pool):
            what = f"{len(self.pool)} rows to choose from, {setting.start} labels to start with"
            raise ManifestError(what, "rehearse", "start with fewer")
        self.codes = np.unique(groups[self.tested], return_inverse=True)[1]
        self.learner = find_estimator(setting.learner)
        self.counts = [min(setting.start + k * setting.each, len(self.pool)) for k in range(setting.rounds + 1)]

    def fitted(self, rows: NDArray[np.intp], weights: Values | None = None) -> Callable[[Values], Values]:
        model = self.learner.fit(self.values[rows], self.truth[rows], weights, classes=self.classes)
        return lambda values: np.asarray(model.predict(values)["probability"])

    def curve(self, way: str, seed: int) -> list[Evidence]:
        """The evidence of the test rows after each round of one way."""
        rng = np.random.default_rng([seed, 11])
        labelled = self._first(rng)  # the same for all ways
        found = [self.evidence(self.fitted(labelled))]
        for count in self.counts[1:]:
            left = np.setdiff1d(self.pool, labelled)
            chosen, _ = find_how(way).rank(self._pool(way, left, labelled, rng), count - len(labelled), rng)
            labelled = np.concatenate([labelled, left[chosen]])
            found.append(self.evidence(self.fitted(labelled)))
        return found

    def _first(self, rng: np.random.Generator) -> NDArray[np.intp]:
        order = rng.permutation(self.pool)
        other = int(np.flatnonzero(self.truth[order] != self.truth[order[0]])[0])  # a model needs two classes
        order[1], order[other] = order[other], order[1]
        return order[: max(2, self.setting.start)]

    def _pool(self, way: str, left: NDArray[np.intp], labelled: NDArray[np.intp], rng: np.random.Generator) -> Pool:
        needs, values = find_how(way).needs, self.values[left]
        if needs == "embedding":
            return Pool(len(left), embedding=values, labelled=self.values[labelled])
        if needs == "losses":
            known, seed = self.values[labelled], int(rng.integers(2**31))
            return Pool(len(left), embedding=values, labelled=known, losses=self._losses(labelled, rng), seed=seed)
        if needs == "members":
            weights = rng.exponential(size=(MEMBERS, len(labelled)))
            return Pool(len(left), np.stack([self.fitted(labelled, each)(values) for each in weights]))
        return Pool(len(left), self.fitted(labelled)(values)[None] if needs else None)

    def _losses(self, labelled: NDArray[np.intp], rng: np.random.Generator) -> Values:
        """The loss on each labelled row of a model of the other labelled rows: what has been seen is never hard."""
        parts, found = np.array_split(rng.permutation(len(labelled)), PARTS), np.zeros(len(labelled))
        truth = np.searchsorted(self.classes, self.truth[labelled])
        for part in parts:
            rest = np.setdiff1d(np.arange(len(labelled)), part)
            if len(part) and len(np.unique(truth[rest])) > 1:
                said = self.fitted(labelled[rest])(self.values[labelled[part]])
                found[part] = -np.log(np.maximum(said[np.arange(len(part)), truth[part]], LEAST))
        return found

    def evidence(self, model: Callable[[Values], Values]) -> Evidence:
        said = model(self.values[self.tested])
        truth = np.searchsorted(self.classes, self.truth[self.tested])
        return Evidence(len(truth), {"truth": truth, "predicted": said.argmax(1)}, self.classes)

    def told(self, curves: Mapping[str, list[list[Evidence]]], draws: int, seed: int) -> Rehearsal:
        count = int(self.codes.max()) + 1
        weights = np.concatenate([np.ones((1, count)), group_weights(count, seed, range(draws))])[:, self.codes]
        weights = np.ascontiguousarray(weights, np.float32)  # the first weighting is the rows as they are
        ceiling = _headline(self.evidence(self.fitted(self.pool)), weights)
        target = self.setting.target if self.setting.target is not None else SHARE * float(ceiling[0])
        seeds = np.random.default_rng([seed, 12]).integers(0, self.setting.seeds, (draws, self.setting.seeds))
        means: dict[str, Values] = {}
        spread: dict[str, Values] = {}
        for way, runs in curves.items():
            each = np.array([[_headline(step, weights) for step in run] for run in runs])  # (seeds, rounds, 1 + draws)
            again = np.stack([each[seeds[d], :, d + 1].mean(0) for d in range(draws)], axis=1)
            means[way] = np.concatenate([each[:, :, 0].mean(0)[:, None], again], axis=1)
            spread[way] = each[:, :, 0].std(0, ddof=1) if len(runs) > 1 else np.zeros(len(self.counts))
        rows = [
            {"how": way, "labels": n, **_cells("", _span(values[k], count)), "spread": spread[way][k],
             **_cells("gain", _span(values[k] - means[RANDOM][k], count))}
            for way, values in means.items() for k, n in enumerate(self.counts)
        ]  # fmt: skip
        first = {way: first_reach(np.array(self.counts, float), values, target) for way, values in means.items()}
        with np.errstate(invalid="ignore"):
            saved = {way: first[RANDOM] - reached for way, reached in first.items() if way != RANDOM}
        return Rehearsal(
            pd.DataFrame(rows), {way: _span(values, count) for way, values in first.items()},
            {way: _span(values, count) for way, values in saved.items()}, target, _span(ceiling, count), count,
            len(self.pool), len(self.tested),
        )  # fmt: skip


def first_reach(counts: Values, values: Values, target: float) -> Values:
    """Labels (draws,) at which curves (rounds, draws) first reach the target, on straight lines between the rounds.

    Infinite where they never do, and the first count where they begin above it.

    >>> first_reach(np.array([10.0, 20.0]), np.array([[0.5, 0.9, 0.1], [0.7, 0.9, 0.2]]), 0.6).tolist()
    [15.0, 10.0, inf]
    """
    above = values >= target
    at = above.argmax(0)
    found = np.where(above.any(0), counts[at], np.inf)
    for draw in np.flatnonzero(above.any(0) & (at > 0)):
        k = at[draw]
        low, high = values[k - 1, draw], values[k, draw]
        found[draw] = counts[k - 1] + (counts[k] - counts[k - 1]) * (target - low) / (high - low)
    return np.asarray(found)


def _headline(evidence: Evidence, weights: NDArray[Any]) -> Values:
    return np.asarray(Category.summarise(evidence, weights)[Category.headline])


def _span(values: Values, groups: int) -> Interval:
    """The first value with the 95 % interval of the others; infinities keep their place among them.

    A difference of two infinities is no number; among the draws of an interval it counts as no difference.
    """
    values = np.concatenate([values[:1], np.where(np.isnan(values[1:]), 0.0, values[1:])])
    if groups < FEWEST_GROUPS or len(values) < 3:
        return Interval(float(values[0]))
    ordered, (low, high) = np.sort(values[1:]), levels(groups)
    last = len(ordered) - 1
    return Interval(float(values[0]), float(ordered[int(np.floor(low / 100 * last))]),
                    float(ordered[int(np.ceil(high / 100 * last))]))  # fmt: skip


def _cells(name: str, found: Interval) -> dict[str, float | None]:
    if name:
        return {name: found.value, f"{name}_low": found.low, f"{name}_high": found.high}
    return {"value": found.value, "low": found.low, "high": found.high}
