"""Prototypes that stand for a set of points, and criticisms that they do not stand for: MMD-critic."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from potency.errors import PlanError

Values = NDArray[np.float64]
Places = NDArray[np.intp]
MOST = 3000  # points looked at: their kernel is held in memory
RIDGE = 1e-6  # of the kernel's diagonal, so that a determinant of equal points is not 0


@dataclass(frozen=True)
class Exemplars:
    """What stands for a set and what does not.

    Attributes:
        prototypes: places of the points that the others gather around, the most telling first.
        criticisms: places of points that the prototypes do not explain: rare, odd, at the rim.
        distance: squared maximum mean discrepancy between the prototypes and the set; 0: they are distributed alike.
    """

    prototypes: Places
    criticisms: Places
    distance: float


def kernel(values: NDArray[np.floating], scale: float | None = None) -> Values:
    """exp(-d^2 / scale) of points (N, F), (N, N); by default the scale is the median squared distance."""
    points = np.asarray(values, np.float64)
    sizes = np.einsum("nf,nf->n", points, points)
    squares = np.maximum(sizes[:, None] + sizes[None] - 2 * points @ points.T, 0)
    if scale is None:
        apart = squares[np.triu_indices(len(points), 1)]
        scale = float(np.median(apart[apart > 0])) if (apart > 0).any() else 1.0
    return np.asarray(np.exp(-squares / scale))


def discrepancy(alike: Values, chosen: Places) -> float:
    """The squared maximum mean discrepancy between the chosen points and all (Gretton 2012), from a kernel (N, N)."""
    return float(alike.mean() - 2 * alike[:, chosen].mean() + alike[np.ix_(chosen, chosen)].mean())


def exemplars(values: NDArray[np.floating], prototypes: int = 6, criticisms: int = 6, seed: int = 0) -> Exemplars:
    """Choose both greedily (Kim, Khanna and Koyejo 2016, "Examples are not enough, learn to criticize!").

    Each prototype is the point that lowers the discrepancy most. Each criticism is the point where the witness function
    (how differently set and prototypes are dense there) is largest, with a log-determinant that keeps criticisms apart.

    Args:
        values: points (N, F); of more than MOST a random part is looked at.
        prototypes: how many stand for the set, at most N.
        criticisms: how many do not, at most what is left.
        seed: of that part.

    Raises:
        PlanError: no point, or no prototype asked for.

    >>> found = exemplars(np.array([[0.0], [0.1], [0.2], [5.0], [5.1], [5.2], [9.0]]), 2, 1)
    >>> sorted(found.prototypes.tolist()), found.criticisms.tolist()
    ([0, 3], [6])
    """
    if not len(values) or prototypes < 1 or criticisms < 0:
        raise PlanError(
            f"{prototypes} prototypes and {criticisms} criticisms of {len(values)} points", "exemplars", "give more"
        )
    looked = np.arange(len(values))
    if len(values) > MOST:
        looked = np.sort(np.random.default_rng(seed).choice(len(values), MOST, replace=False))
    alike = kernel(np.asarray(values)[looked])
    chosen = stand_for(alike, min(prototypes, len(looked)))
    odd = criticise(alike, chosen, min(criticisms, len(looked) - len(chosen)))
    return Exemplars(looked[chosen], looked[odd], discrepancy(alike, chosen))


def stand_for(alike: Values, count: int) -> Places:
    """The greedy prototypes of a kernel (N, N): each is the one that lowers the discrepancy most."""
    chosen: list[int] = []
    near = alike.mean(0)  # of each point to the whole set
    shared, inner = np.zeros(len(alike)), 0.0  # sums of the kernel to and within what is chosen
    for size in range(1, count + 1):
        gain = 2 * (near[chosen].sum() + near) / size - (inner + 2 * shared + alike.diagonal()) / size**2
        gain[chosen] = -np.inf
        best = int(gain.argmax())
        inner += 2 * shared[best] + alike[best, best]
        shared = shared + alike[best]
        chosen.append(best)
    return np.array(chosen, np.intp)


def criticise(alike: Values, prototypes: Places, count: int) -> Places:
    """The greedy criticisms of a kernel (N, N): |witness| plus the growth of log det of the kernel of the chosen."""
    witness = np.abs(alike.mean(0) - alike[prototypes].mean(0))
    left = alike.diagonal() + RIDGE  # variance of each point that those chosen leave
    chosen: list[int] = []
    factor = np.zeros((count, len(alike)))  # rows of the Cholesky factor as it grows
    for step in range(count):
        gain = witness + np.log(np.maximum(left, RIDGE))
        gain[[*chosen, *prototypes]] = -np.inf
        best = int(gain.argmax())
        own = alike[best] - factor[:step, best] @ factor[:step]
        factor[step] = own / np.sqrt(max(left[best], RIDGE))
        left = left - factor[step] ** 2
        chosen.append(best)
    return np.array(chosen, np.intp)
