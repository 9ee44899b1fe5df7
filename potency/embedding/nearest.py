"""Which rows lie nearest in an embedding: exact search in bounded memory, and what the neighbourhoods are made of."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from potency.errors import PlanError

Values = NDArray[np.float32]
Codes = NDArray[np.intp]
BLOCK = 2**24  # similarities held at once (64 MB)
NONE = -1


@dataclass(frozen=True)
class Nearest:
    """The nearest rows of each query, the nearest first.

    Attributes:
        rows: their places (Q, k); -1 where fewer are allowed.
        similarity: cosines (Q, k); -inf there.
    """

    rows: Codes
    similarity: Values


def directions(values: Values) -> Values:
    """Vectors (N, F) of length 1; one of zeros has no direction and stays as it is: its cosine with anything is 0."""
    values = np.asarray(values, np.float32)
    return values / _lengths(values)[:, None]


def _lengths(values: Values) -> Values:
    size = float(np.abs(values).max(initial=0)) or 1.0  # squares of huge numbers would be infinite
    if not 1e-15 < size < 1e15:
        return np.asarray(size * _lengths(values / np.float32(size)), np.float32)
    lengths = np.sqrt(np.einsum("nf,nf->n", values, values))
    return np.asarray(np.where(lengths > 0, lengths, 1), np.float32)


def nearest_rows(
    queries: Values,
    among: Values,
    count: int = 5,
    *,
    own: Codes | None = None,
    groups: tuple[Codes, Codes] | None = None,
) -> Nearest:
    """The `count` rows of `among` (N, F) with the largest cosine to each query (Q, F); exact, in blocks.

    Args:
        queries: (Q, F).
        among: (N, F).
        count: neighbours of each.
        own: place of each query in `among` (Q,), or -1; a row is no neighbour of itself.
        groups: group codes of the queries (Q,) and of the others (N,); rows of a query's own group are left out.

    Raises:
        PlanError: vectors of different lengths, or no neighbour asked for.

    >>> points = np.eye(3, dtype=np.float32)
    >>> nearest_rows(points[:1] + 0.1 * points[1:2], points, 2).rows.tolist()
    [[0, 1]]
    """
    if count < 1:
        raise PlanError(f"{count} neighbours are none", "count", "ask for 1 or more")
    if queries.shape[1] != among.shape[1]:
        raise PlanError(
            f"vectors of {queries.shape[1]} numbers cannot be compared with vectors of {among.shape[1]}",
            "the two embeddings", "embed both with the same bundle",
        )  # fmt: skip
    among = np.asarray(among, np.float32)
    lengths, seen = _lengths(among), directions(queries)
    count = min(count, len(among))
    rows, cosines = np.full((len(seen), count), NONE, np.intp), np.full((len(seen), count), -np.inf, np.float32)
    step = max(1, BLOCK // max(1, len(among)))
    for start in range(0, len(seen), step):
        part = slice(start, min(start + step, len(seen)))
        alike = (seen[part] @ among.T) / lengths  # no second copy of what may be a gigabyte
        if groups is not None:
            alike[groups[0][part, None] == groups[1][None]] = -np.inf
        if own is not None:
            known = np.flatnonzero(own[part] >= 0)
            alike[known, own[part][known]] = -np.inf
        best = np.argpartition(-alike, count - 1, axis=1)[:, :count] if count < len(among) else np.argsort(-alike, 1)
        told = np.take_along_axis(alike, best, 1)
        order = np.lexsort((best, -told), axis=1)  # equal ones by their place, the same on every machine
        best, told = np.take_along_axis(best, order, 1), np.take_along_axis(told, order, 1)
        rows[part], cosines[part] = np.where(np.isfinite(told), best, NONE), told
    return Nearest(rows, cosines)


def votes(found: Nearest, codes: Codes, kinds: int) -> NDArray[np.float64]:
    """How the neighbours of each query vote (Q, K): the share of each kind among them; not-a-number without any."""
    there = found.rows != NONE
    named = np.where(there, codes[found.rows], 0)
    shares = np.stack([((named == kind) & there).sum(1) for kind in range(kinds)], 1).astype(np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(shares / there.sum(1)[:, None])


@dataclass(frozen=True)
class Purity:
    """How often neighbours are of one kind, and how often they would be by chance."""

    share: float
    chance: float
    points: int

    @property
    def gain(self) -> float:
        """0 by chance, 1 where all neighbours are of the same kind."""
        return (self.share - self.chance) / max(1 - self.chance, 1e-12)


def purity(
    values: Values, kinds: Codes, *, apart: Codes | None = None, within: Codes | None = None, count: int = 10
) -> Purity:
    """Of the `count` nearest neighbours of each point (N, F), the share of the same kind (N,).

    Args:
        apart: neighbours with the same code here (a point's own group) are left out: are the classes near each other
            across groups?
        within: only neighbours with the same code here (the same class) count: do groups gather within a class?

    Points that no allowed neighbour could resemble are left out. Chance is what neighbours drawn from the allowed ones
    at random would give.
    """
    share, chance, points = 0.0, 0.0, 0
    parts = [np.arange(len(values))] if within is None else [np.flatnonzero(within == c) for c in np.unique(within)]
    for part in parts:
        own = kinds[part]
        if len(part) < 3 or len(np.unique(own)) < 2:
            continue
        far = None if apart is None else (apart[part], apart[part])
        found = nearest_rows(values[part], values[part], count, own=np.arange(len(part)), groups=far)
        there = found.rows != NONE
        same = ((own[found.rows] == own[:, None]) & there).sum(1) / np.maximum(there.sum(1), 1)
        expected = _expected(own, None if apart is None else apart[part])
        usable = there.any(1) & (expected > 0)
        share += float(same[usable].sum())
        chance += float(expected[usable].sum())
        points += int(usable.sum())
    return Purity(share / points, chance / points, points) if points else Purity(np.nan, np.nan, 0)


def _expected(kinds: Codes, apart: Codes | None) -> NDArray[np.float64]:
    """The share of its own kind among those that may be a point's neighbours (N,)."""
    totals = np.bincount(kinds)[kinds].astype(np.float64)
    if apart is None:
        return (totals - 1) / max(1, len(kinds) - 1)
    pairs, place, sizes = np.unique(np.stack([kinds, apart], 1), axis=0, return_inverse=True, return_counts=True)
    others = len(kinds) - np.unique(apart, return_counts=True)[1][np.unique(apart, return_inverse=True)[1]]
    return np.asarray((totals - sizes[place.ravel()]) / np.maximum(others, 1))
