"""How rare a number is among those of known images, on one scale: 2 is one in a hundred, 3 one in a thousand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

LIMIT = 2.0  # rarity from which an image is unlike what was learned: one known image in a hundred is called so
SHARES = np.array([1, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001])
RARITIES = -np.log10(SHARES)
FEWEST = 20  # known images under which nothing can be said of one in a hundred
BEHIND = 10  # images beyond a value that make its share worth believing; rarer values follow from the tail
TAIL = 0.1  # share of the known images that the tail is fitted to; more where those would be fewer than 20


def fit_rarity(values: NDArray[Any], groups: NDArray[Any] | None = None) -> list[float]:
    """The values that each of SHARES of the known images reaches or exceeds, where every group weighs alike.

    Shares with fewer than 10 images behind them follow from an exponential tail fitted to the upper tenth, or the 20
    largest (the mean excess: Pickands 1975 with shape 0, exact for a logarithm of what has a power-law tail).

    Args:
        values: (N,), of images that nothing was learned from; larger is stranger.
        groups: (N,), the units that were sampled; None: each image is its own.

    >>> known = -np.log10(1 - np.arange(1000) / 1000)
    >>> rarity(np.array([1.0, 2.0, 3.0]), fit_rarity(known)).round(1).tolist()
    [1.0, 2.0, 3.0]
    """
    known, weights = _sorted(values, groups)
    reaching = np.cumsum(weights[::-1])[::-1]  # share of the images at or above each value
    tail = float(np.clip(2 * BEHIND / len(known), TAIL, 0.5))
    least = float(SHARES[(SHARES * len(known) >= BEHIND) | (tail <= SHARES)].min())
    table = np.array([known[np.flatnonzero(reaching >= min(share, reaching[0]) - 1e-12)[-1]] for share in SHARES])
    start = float(known[np.flatnonzero(reaching >= tail - 1e-12)[-1]])
    above = known >= start
    scale = float(np.average(known[above] - start, weights=weights[above])) if above.any() else 0.0
    scale = max(scale, 1e-6 * max(1.0, abs(start)))
    beyond = least > SHARES
    table[beyond] = table[least == SHARES] + scale * np.log(least / SHARES[beyond])
    return [float(value) for value in np.maximum.accumulate(table + np.arange(len(table)) * 1e-12)]


def limit_of(rarities: NDArray[Any], groups: NDArray[Any] | None = None, share: float = 0.01) -> float:
    """The limit, 2 or above, beyond which at most this share of known images lies; every group weighs alike.

    Args:
        rarities: (N,), by tables that were fitted to other images.

    >>> limit_of(np.array([*np.zeros(197), 2.4, 2.8, 3.0])), limit_of(np.ones(50))
    (2.4, 2.0)
    """
    known, weights = _sorted(rarities, groups)
    beyond = 1 - np.cumsum(weights)
    return max(LIMIT, float(known[np.flatnonzero(beyond <= share + 1e-9)[0]]))


def _sorted(values: NDArray[Any], groups: NDArray[Any] | None) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    values = np.asarray(values, np.float64)
    _, place = np.unique(np.arange(len(values)) if groups is None else groups.astype(str), return_inverse=True)
    weights = 1 / np.bincount(place)[place]
    order = np.argsort(values, kind="stable")
    return values[order], weights[order] / weights.sum()


def rarity(values: NDArray[Any], table: Sequence[float]) -> NDArray[np.float64]:
    """-log10 of the share of known images that are as strange, by the table of `fit_rarity`.

    Linear between its values, and beyond them as from one in ten to one in a thousand.

    >>> float(rarity(np.array(0.1), [k / 10 for k in range(16)]).round(3))
    0.046
    """
    places = np.asarray(table, np.float64)
    seen = np.asarray(values, np.float64)
    inside = np.interp(seen, places, RARITIES)
    tenth = int(np.flatnonzero(SHARES == TAIL)[0])
    slope = (RARITIES[-1] - RARITIES[tenth]) / max(places[-1] - places[tenth], 1e-12)
    return np.asarray(np.where(seen > places[-1], RARITIES[-1] + slope * (seen - places[-1]), inside))
