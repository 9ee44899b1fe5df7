"""Many looks, one price: which of many gains are over 0 when all are asked together, by whole groups."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

CHANCE = 0.05  # of one false alarm among all looks
ALIKE = 1e-9  # spread of draws that are all the same
Floats = NDArray[np.float64]


def sign_flips(shares: NDArray[Any], draws: int, seed: int = 0) -> NDArray[np.bool_]:
    """Which of the looks (T,) are over 0, from what each group adds to each, `shares` (groups, T).

    Where nothing is gained, what a group adds is as likely below 0 as above, and its sign may be flipped at all looks
    together, which keeps how looks go together. The largest sum / sqrt(sum of squares) over all looks is compared with
    that of the flips; looks found are set aside and the rest is asked again (Romano and Wolf 2005). Unlike a bootstrap
    it keeps its promise with few groups (Canay, Romano and Shaikh 2017): of n groups no p is under 2 ** -n.

    >>> shares = np.random.default_rng(0).normal([0.0, 0.6], 0.3, (10, 2))
    >>> sign_flips(shares, 500).tolist()
    [False, True]
    """
    signs = np.random.default_rng([seed, 31]).choice([-1.0, 1.0], (draws, len(shares)))
    size = np.sqrt((shares**2).sum(axis=0))
    size = np.where(size > ALIKE, size, np.inf)
    seen, flipped = shares.sum(axis=0) / size, signs @ shares / size
    kept = np.ones(shares.shape[1], bool)
    while kept.any():
        largest = flipped[:, kept].max(axis=1)
        p = (1 + (largest[:, None] >= seen[None] - 1e-12).sum(axis=0)) / (1 + draws)
        new = kept & (p <= CHANCE)
        if not new.any():
            break
        kept &= ~new
    return ~kept


def stretched(critical: float, groups: int) -> float:
    """A critical value made larger for few groups: a bootstrap of n is too narrow by sqrt((n - 1) / n) and normal.

    Student's t takes the place of the normal at the same tail (Hesterberg 2015), far out where many times are seen.

    >>> round(stretched(2.5, 6), 2), round(stretched(2.5, 10_000), 2)
    (4.18, 2.5)
    """
    from scipy.special import ndtr, stdtrit

    return float(np.sqrt(groups / (groups - 1)) * stdtrit(groups - 1, ndtr(critical)))


def step_down(gain: Floats, drawn: Floats, groups: int, least: Floats) -> tuple[Floats, NDArray[np.bool_]]:
    """Lower bounds (T,) of all gains at once, and which of them are over 0, at most CHANCE of any false alarm.

    The bound is gain - c s, s the spread of the draws and c the 95 % point of the largest (draw - gain) / s over all
    times (Beran 1988): times are not independent, and the draws know how much they go together. Those over 0 are set
    aside and c is taken anew over what is left, until nothing more is over 0 (Romano and Wolf 2005, algorithm 4.1).
    `drawn` (draws, T) from the same draws of groups; `least` (T,) is s where all draws are alike, because a score of
    exactly 1 in every draw is not known exactly; it is added to them as noise. c is stretched for few groups, see
    `stretched`.

    >>> rng = np.random.default_rng(0)
    >>> drawn = np.array([0.0, 0.5]) + 0.1 * rng.standard_normal((2000, 2))
    >>> step_down(np.array([0.0, 0.5]), drawn, 20, np.zeros(2))[1].tolist()
    [False, True]
    """
    with np.errstate(invalid="ignore"):
        own = np.nan_to_num(np.nanstd(drawn, axis=0, ddof=1))
        alike = own < ALIKE
        spread = np.where(alike, np.maximum(least, ALIKE), own)
        drawn = drawn + alike * spread * np.random.default_rng(0).standard_normal(drawn.shape)
        above = np.where(np.isfinite(drawn), (drawn - gain) / spread, -np.inf)

    def critical(kept: NDArray[np.bool_]) -> float:
        return stretched(max(0.0, float(np.quantile(above[:, kept].max(axis=1), 1 - CHANCE))), groups)

    kept = np.ones(len(gain), bool)
    lower = gain - critical(kept) * spread
    while kept.any():
        new = kept & (gain - critical(kept) * spread > 0)
        if not new.any():
            break
        kept &= ~new
    return lower, ~kept
