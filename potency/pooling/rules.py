"""How many answers become one: rules for probabilities of classes and for numbers, all units at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
LEAST = 1e-6  # a probability of 0 would decide alone, whatever the other rows say
TRIM = 0.1  # share of the rows left out at either end by "trimmed"


@dataclass(frozen=True, eq=False)
class Bags:
    """Which unit each row belongs to: `unit` (rows,) numbers from 0 to `count` - 1, `weight` (rows,) sums over 0 each.

    >>> bags = Bags(np.array([0, 0, 1]), 2, np.array([1.0, 3.0, 1.0]))
    >>> bags.mean(np.array([[0.0], [1.0], [0.5]])).ravel().tolist()
    [0.75, 0.5]
    """

    unit: NDArray[np.intp]
    count: int
    weight: Floats

    def total(self, values: Floats) -> Floats:
        """Weighted sums (count, K) of values (rows, K)."""
        weighted = values * self.weight[:, None]
        columns = [np.bincount(self.unit, weighted[:, k], self.count) for k in range(values.shape[1])]
        return np.stack(columns, axis=1)

    def mean(self, values: Floats) -> Floats:
        """Weighted means (count, K) of values (rows, K)."""
        return self.total(values) / self.total(np.ones((len(values), 1)))

    def largest(self, values: Floats) -> Floats:
        """The largest value (count,) of the rows of each unit; rows of weight 0 do not count."""
        found = np.full(self.count, -np.inf)
        seen = self.weight > 0
        np.maximum.at(found, self.unit[seen], values[seen])
        return found

    def quantile(self, values: Floats, low: float, high: float) -> Floats:
        """The weighted mean (count,) of what lies between two shares of the sorted weight of each unit.

        low = high = 1/2 is the median: the middle value, or the mean of the two middle ones.
        """
        order = np.lexsort((values, self.unit))
        unit, sorted_values, weight = self.unit[order], values[order], self.weight[order]
        total = np.bincount(unit, weight, self.count)
        after = np.cumsum(weight) - np.concatenate([[0.0], np.cumsum(total)[:-1]])[unit]
        share = np.stack([after - weight, after], axis=1) / total[unit][:, None]
        if low < high:
            kept = np.clip(np.minimum(share[:, 1], high) - np.maximum(share[:, 0], low), 0, None)
        else:  # the values whose share touches the middle
            slack = 1e-9
            kept = ((share[:, 0] <= low + slack) & (share[:, 1] >= low - slack) & (weight > 0)).astype(float)
        return np.bincount(unit, kept * sorted_values, self.count) / np.bincount(unit, kept, self.count)


def mean_probability(p: Floats, bags: Bags, positive: int) -> Floats:
    """The weighted mean of the probabilities: how many of the rows are expected to show each class."""
    return bags.mean(p)


def mean_log_odds(p: Floats, bags: Bags, positive: int) -> Floats:
    """The softmax of the mean logarithm: of two classes, the mean of the log-odds. A sure row counts more."""
    mean = bags.mean(np.log(np.clip(p, LEAST, 1.0)))
    power = np.exp(mean - mean.max(axis=1, keepdims=True))
    return np.asarray(power / power.sum(axis=1, keepdims=True))


def noisy_or(p: Floats, bags: Bags, positive: int) -> Floats:
    """The positive class is shown where one row at least shows it, rows taken as independent: 1 - prod (1 - p).

    A row of weight w counts as w rows. The other classes share the rest as their means do. Rows of one unit are seldom
    independent, so this rule is too sure of large units.
    """
    none = bags.total(np.log(np.clip(1 - p[:, [positive]], LEAST, 1.0)))[:, 0]
    return _rest(1 - np.exp(none), p, bags, positive)


def maximum(p: Floats, bags: Bags, positive: int) -> Floats:
    """The positive class is as probable as in the row that shows it best; the other classes share the rest."""
    return _rest(bags.largest(p[:, positive]), p, bags, positive)


def vote(p: Floats, bags: Bags, positive: int) -> Floats:
    """The share of the rows in which each class is the most probable."""
    return bags.mean(np.eye(p.shape[1])[p.argmax(axis=1)])


def _rest(own: Floats, p: Floats, bags: Bags, positive: int) -> Floats:
    means = bags.mean(p)
    means[:, positive] = 0
    total = means.sum(axis=1, keepdims=True)
    others = p.shape[1] - 1
    spread = np.where(total > 0, means / np.where(total > 0, total, 1), np.arange(p.shape[1]) != positive)
    spread = np.where(total > 0, spread, spread / others)
    found = spread * (1 - own)[:, None]
    found[:, positive] = own
    return np.asarray(found)


def _mean(values: Floats, bags: Bags) -> Floats:
    return bags.mean(values[:, None])[:, 0]


def _median(values: Floats, bags: Bags) -> Floats:
    return bags.quantile(values, 0.5, 0.5)


def _trimmed(values: Floats, bags: Bags) -> Floats:
    return bags.quantile(values, TRIM, 1 - TRIM)


def _largest(values: Floats, bags: Bags) -> Floats:
    return bags.largest(values)


@dataclass(frozen=True)
class Rule:
    """One way to pool: `title` in words; what it makes of probabilities and of numbers, None where it makes nothing.

    `favours` says whether it needs a class that counts as the positive one.
    """

    title: str
    classes: Callable[[Floats, Bags, int], Floats] | None
    number: Callable[[Floats, Bags], Floats] | None
    favours: bool = False


RULES: Mapping[str, Rule] = {
    "mean": Rule("the mean of probabilities, or of numbers", mean_probability, _mean),
    "logodds": Rule("the mean of log-odds: sure rows count more", mean_log_odds, None),
    "noisyor": Rule("one row that shows the positive class is enough, rows taken as independent", noisy_or, None, True),
    "max": Rule("the row that shows the positive class best decides, or the largest number", maximum, _largest, True),
    "vote": Rule("the share of rows that name each class", vote, None),
    "median": Rule("the median of numbers", None, _median),
    "trimmed": Rule("the mean of the middle four fifths of numbers", None, _trimmed),
}
