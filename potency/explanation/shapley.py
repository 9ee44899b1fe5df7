"""What each feature of a table brings to a score: Shapley values of any model, exact or sampled, with errors."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from potency.errors import PlanError

Values = NDArray[np.float64]
Score = Callable[[Values], Values]  # rows (N, F) to one number each (N,)
Players = Sequence[NDArray[np.intp]]
ORDERS = 1  # random orders for each background row, and each of them backwards, too
FEW = 64  # coalitions that are all tried
CELLS = 2**22  # numbers of a table given to the model at once


@dataclass(frozen=True)
class Shares:
    """Shapley values of rows.

    Attributes:
        values: what each player brings (N, P), in units of the score.
        error: standard error of each that sampling leaves (N, P); 0 where all coalitions were tried.
        score: of each row (N,).
        base: the mean score of the background.
        exact: whether all coalitions were tried.
    """

    values: Values
    error: Values
    score: Values
    base: float
    exact: bool

    @property
    def missing(self) -> Values:
        """What the values leave of score minus base (N,): 0 but for rounding (efficiency)."""
        return np.asarray(self.score - self.base - self.values.sum(1))


def shapley(score: Score, rows: Values, background: Values, players: Players = (), seed: int = 0) -> Shares:
    """Shapley values of the game "which of the row's own features are known; the others are the background's".

    The value of a coalition is the mean score over the background with the coalition's features set to the row's
    (interventional: Lundberg 2017, Janzing 2020). All coalitions are tried of up to six players; else
    random orders, each forwards and backwards, each on one background row, all of these equally often (Strumbelj and
    Kononenko 2014; Mitchell 2022), so that the values add up to score minus mean background score in any case, and are
    exact for a linear score.

    Args:
        score: any function of rows.
        rows: (N, F), explained one by one.
        background: (B, F), what is usual.
        players: the columns of each player; every column by itself where none are given.
        seed: of the orders.

    Raises:
        PlanError: no background, other columns, or players that are not all columns once.

    >>> told = shapley(lambda x: 2 * x[:, 0] + x[:, 1] * x[:, 2], np.ones((1, 3)), np.zeros((1, 3)))
    >>> told.values.tolist(), told.exact
    ([[2.0, 0.5, 0.5]], True)
    """
    rows, background = np.asarray(rows, np.float64), np.asarray(background, np.float64)
    players = players or [np.array([k]) for k in range(rows.shape[1])]
    if not len(background) or rows.ndim != 2 or background.shape[1:] != rows.shape[1:]:
        raise PlanError(f"a background of shape {background.shape} for rows of shape {rows.shape}", "shapley",
                        "give rows of the same columns")  # fmt: skip
    if sorted(np.concatenate(list(players)).tolist()) != list(range(rows.shape[1])):
        raise PlanError("the players are not all columns, each once", "shapley", "leave players out")
    count = len(players)
    exact = 2**count <= FEW
    base = float(np.mean(score(background)))
    one = _enumerated if exact else _sampled
    found = [one(score, row, background, players, np.random.default_rng([seed, k])) for k, row in enumerate(rows)]
    shape = (len(rows), count)
    values, error = (np.array([part[side] for part in found]).reshape(shape) for side in (0, 1))
    return Shares(values, error, score(rows) if len(rows) else np.zeros(0), base, exact)


def _enumerated(
    score: Score, row: Values, background: Values, players: Players, draw: np.random.Generator
) -> tuple[Values, Values]:
    count, size = len(players), len(background)
    known = (np.arange(2**count)[:, None] >> np.arange(count)) & 1 == 1  # (coalitions, P)
    masks = np.zeros((2**count, len(row)), bool)
    for place, columns in enumerate(players):
        masks[:, columns] = known[:, place : place + 1]
    told = np.concatenate([
        score(np.where(part[:, None], row, background).reshape(-1, len(row))).reshape(len(part), size).mean(1)
        for part in np.array_split(masks, max(1, masks.size * size // CELLS))
        if len(part)
    ])  # fmt: skip
    weight = np.array([math.factorial(s) * math.factorial(count - s - 1) / math.factorial(count) for s in range(count)])
    values = np.zeros(count)
    for place in range(count):
        without = np.flatnonzero(~known[:, place])
        values[place] = weight[known[without].sum(1)] @ (told[without | (1 << place)] - told[without])
    return values, np.zeros(count)


def _sampled(
    score: Score, row: Values, background: Values, players: Players, draw: np.random.Generator
) -> tuple[Values, Values]:
    count, size = len(players), len(background)
    owner = np.empty(len(row), np.intp)
    for place, columns in enumerate(players):
        owner[columns] = place
    orders = draw.permuted(np.tile(np.arange(count), (ORDERS * size, 1)), axis=1)
    both = np.stack([orders, orders[:, ::-1]], 1).reshape(-1, count)  # an order and the same backwards, in turn
    behind = background[np.repeat(np.tile(np.arange(size), ORDERS), 2)]
    gains = np.empty((len(both), count))
    step = max(1, CELLS // ((count + 1) * len(row)))
    for first in range(0, len(both), step):
        part = both[first : first + step]
        rank = np.argsort(part, 1)[:, owner]  # when each column becomes known
        known = rank[:, None] < np.arange(count + 1)[:, None]
        table = np.where(known, row, behind[first : first + step, None])
        told = score(table.reshape(-1, len(row))).reshape(len(part), count + 1)
        np.put_along_axis(gains[first : first + step], part, np.diff(told, axis=1), 1)
    pairs = gains.reshape(-1, 2, count).mean(1)
    return pairs.mean(0), pairs.std(0, ddof=1) / np.sqrt(len(pairs)) if len(pairs) > 1 else np.zeros(count)
