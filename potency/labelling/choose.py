"""Which images to label next: ways to rank a pool of unlabelled ones, by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist
from scipy.special import entr

from potency.errors import PlanError, nearest

Values = NDArray[np.float64]
Ranked = tuple[NDArray[np.intp], Values]  # positions in the pool, best first, and the score of each of them
LEAST = 1e-6  # of a probability, in a logarithm
BLOCK = 2048  # rows of a table of distances


@dataclass(frozen=True, eq=False)
class Pool:
    """What is known of the unlabelled rows.

    Attributes:
        count: rows (N).
        opinions: (M, N, K) class probabilities of each of M members or passes; None: nothing answers yet.
        embedding: (N, F); None where nothing needs it.
        labelled: (L, F) embeddings of what has a label already.
        losses: (L,) what a model loses on each of those (minus the logarithm of the probability of the truth).
        seed: of what a way draws for itself.
    """

    count: int
    opinions: Values | None = None
    embedding: Values | None = None
    labelled: Values | None = None
    losses: Values | None = None
    seed: int = 0

    @property
    def probability(self) -> Values:
        """(N, K), the mean of all opinions."""
        assert self.opinions is not None
        return np.asarray(self.opinions.mean(0))


def entropy(pool: Pool) -> Values:
    """Entropy of the mean probability, in nats (Shannon 1948; Settles 2009, section 3.1).

    >>> entropy(Pool(2, np.array([[[0.5, 0.5], [1.0, 0.0]]]))).round(3).tolist()
    [0.693, 0.0]
    """
    return np.asarray(entr(pool.probability).sum(1))


def margin(pool: Pool) -> Values:
    """1 minus the lead of the most probable class over the next (Scheffer 2001).

    >>> margin(Pool(1, np.array([[[0.6, 0.1, 0.3]]]))).round(3).tolist()
    [0.7]
    """
    ordered = np.sort(pool.probability, axis=1)
    return np.asarray(1 - (ordered[:, -1] - ordered[:, -2]))


def bald(pool: Pool) -> Values:
    """What the members disagree about: entropy of their mean minus the mean of their entropies, in nats.

    Houlsby 2011 (arXiv 1112.5745); with dropout as the members Gal 2017 (arXiv 1703.02910). 0 where all agree, however
    unsure they are.

    >>> split, unsure = [[1.0, 0.0], [0.5, 0.5]], [[0.0, 1.0], [0.5, 0.5]]
    >>> bald(Pool(2, np.array([split, unsure]))).round(3).tolist()
    [0.693, 0.0]
    """
    assert pool.opinions is not None
    return np.asarray(np.maximum(0.0, entropy(pool) - entr(pool.opinions).sum(2).mean(0)))


def loss(pool: Pool) -> Values:
    """The order in which a small model expects the losses of the rows (learning loss, Yoo 2019; see `lossy`)."""
    from potency.labelling.lossy import expected_loss

    assert pool.embedding is not None and pool.labelled is not None and pool.losses is not None
    return expected_loss(pool.labelled, pool.losses, pool.embedding, pool.seed)


def coreset(pool: Pool, count: int, rng: np.random.Generator) -> Ranked:
    """Greedy k-centre (Sener 2018, arXiv 1708.00489; Gonzalez 1985): each time the row that lies farthest from all that
    is labelled or chosen. The largest distance left is at most twice that of the best choice there is.

    The score is that distance. Where nothing is labelled, the first row is drawn at random.

    >>> pool = Pool(3, embedding=np.array([[0.0], [1.0], [5.0]]), labelled=np.array([[0.0]]))
    >>> coreset(pool, 2, np.random.default_rng(0))[0].tolist()
    [2, 1]
    """
    rows = pool.embedding
    assert rows is not None
    far = np.full(len(rows), np.inf)
    if pool.labelled is not None and len(pool.labelled):
        for start in range(0, len(pool.labelled), BLOCK):
            far = np.minimum(far, cdist(rows, pool.labelled[start : start + BLOCK]).min(1))
    chosen: list[int] = []
    scores: list[float] = []
    for _ in range(min(count, len(rows))):
        next_one = int(rng.integers(len(rows))) if np.isinf(far).all() else int(far.argmax())
        chosen.append(next_one)
        scores.append(float(far[next_one]))
        far = np.minimum(far, np.linalg.norm(rows - rows[next_one], axis=1))
        far[chosen] = -1.0  # a copy of a chosen row is no second choice of the same row
    return np.array(chosen, np.intp), np.array(scores)


def random(pool: Pool, count: int, rng: np.random.Generator) -> Ranked:
    """Any rows, all equally likely: what every other way is held against."""
    return rng.permutation(pool.count)[:count], np.zeros(min(count, pool.count))


def _scored(score: Callable[[Pool], Values]) -> Callable[[Pool, int, np.random.Generator], Ranked]:
    def rank(pool: Pool, count: int, rng: np.random.Generator) -> Ranked:
        values = score(pool)
        order = np.lexsort((rng.random(len(values)), -values))[:count]  # ties are broken at random
        return order, values[order]

    return rank


@dataclass(frozen=True)
class How:
    """A way to choose.

    Attributes:
        title: what it is.
        needs: "opinions", those of "members", an "embedding", or known "losses"; "": nothing.
        rank: the pool, how many, and a source of chance.
    """

    title: str
    needs: str
    rank: Callable[[Pool, int, np.random.Generator], Ranked]


HOWS: Mapping[str, How] = {
    "entropy": How("the answer is least certain", "opinions", _scored(entropy)),
    "margin": How("two classes are nearly equally probable", "opinions", _scored(margin)),
    "bald": How("members of the model contradict each other (BALD)", "members", _scored(bald)),
    "coreset": How("farthest from all that is labelled (greedy k-centre)", "embedding", coreset),
    "loss": How("a small model expects the answer to be wrong (learning loss)", "losses", _scored(loss)),
    "random": How("drawn at random", "", random),
}


def find_how(name: str) -> How:
    """The way of this name; an unknown one is refused and the nearest named."""
    if name not in HOWS:
        raise PlanError(f"there is no way to choose {name!r}", "how", nearest(name, HOWS))
    return HOWS[name]
