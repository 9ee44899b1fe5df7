"""How much of each class a mixture holds: counts of a classifier, corrected for what it confuses, with intervals."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from potency.errors import AnswerError
from potency.evaluation.intervals import group_weights, interval
from potency.evaluation.results import Interval

Floats = NDArray[np.float64]
STEPS, STILL = 500, 1e-6  # of expectation-maximisation; a change of every share below which it stands still
ONE = 1e3  # weight of "the shares add up to one" beside the counts


@dataclass(frozen=True)
class Known:
    """What is known of a classifier: rows with a truth that it did not learn from, in the groups they were sampled in.

    Args:
        truth: (N,) index of the true class.
        probability: (N, K), as it answered.
        groups: (N,) what belongs together.

    Raises:
        AnswerError: the sizes do not fit, a probability is none, or a class has no row.
    """

    truth: NDArray[np.int64]
    probability: Floats
    groups: NDArray[Any]

    def __post_init__(self) -> None:
        _refuse(self.probability, "the known rows")
        if not len(self.truth) == len(self.groups) == len(self.probability):
            raise AnswerError("truth, probability and groups differ in length", "Known(...)", "give one of each a row")
        classes = self.probability.shape[1]
        missing = sorted(set(range(classes)) - set(self.truth.tolist()))
        if missing or self.truth.min() < 0 or self.truth.max() >= classes:
            raise AnswerError(f"of {classes} classes number {missing or 'beyond them'} cannot be judged", "Known.truth",
                              "give rows of every class, numbered from 0")  # fmt: skip

    def drawn(self, draws: int, seed: int) -> Floats:
        """How often each row counts, (1 + draws, N): once, then in draws of whole groups."""
        codes = np.unique(self.groups.astype(str), return_inverse=True)[1]
        weights = group_weights(int(codes.max()) + 1, seed, range(draws))[:, codes]
        return np.concatenate([np.ones((1, len(codes))), weights])


def counted(known: Known, weights: Floats, probability: Floats, cells: Floats) -> Floats:
    """Shares (D, K) as counted: what each cell is called. Biased towards what the classifier confuses others with."""
    called = np.eye(probability.shape[1])[probability.argmax(axis=1)]
    return np.asarray(cells @ called / cells.sum(axis=1, keepdims=True))


def adjusted(known: Known, weights: Floats, probability: Floats, cells: Floats) -> Floats:
    """Shares (D, K) that explain the counts best, given how often each class is called which (adjusted count).

    Counts q and the confusion matrix M (true class by called class, rows add up to one) are linked by q = p M. The
    shares p are found by least squares under p >= 0 and sum p = 1, for any number of classes (Gart and Buck 1966;
    Forman 2008; Hopkins and King 2010). It holds where a class looks the same in the mixture as in the known rows.
    """
    from scipy.optimize import nnls

    classes = probability.shape[1]
    tables = _tables(known, weights, classes)
    found = counted(known, weights, probability, cells)
    made = np.empty_like(found)
    for draw, (table, share) in enumerate(zip(tables, found, strict=True)):
        sides = np.vstack([table.T, np.full(classes, ONE)])
        shares = nnls(sides, np.append(share, ONE))[0]
        made[draw] = shares / shares.sum()
    return made


def expected(known: Known, weights: Floats, probability: Floats, cells: Floats) -> Floats:
    """Shares (D, K) by expectation-maximisation of the class priors (Saerens et al. 2002, Neural Computation 14).

    Probabilities are turned to the shares of the known rows, then to new shares until these no longer change. It uses
    how sure each answer is, and holds where probabilities are calibrated on the known rows.
    """
    classes = probability.shape[1]
    prior = np.stack([weights @ (known.truth == k) for k in range(classes)], axis=1)
    prior = np.maximum(prior / prior.sum(axis=1, keepdims=True), 1e-9)
    share, total = prior.copy(), cells.sum(axis=1)
    moving = np.arange(len(share))
    for _ in range(STEPS):
        raised = probability[None] * (share[moving] / prior[moving])[:, None, :]
        raised /= np.maximum(raised.sum(axis=2, keepdims=True), 1e-300)
        new = np.einsum("dn,dnk->dk", cells[moving], raised) / total[moving, None]
        still = np.abs(new - share[moving]).max(axis=1) < STILL
        share[moving] = new
        moving = moving[~still]
        if not len(moving):
            break
    return np.asarray(share)


Way = Callable[[Known, Floats, Floats, Floats], Floats]
WAYS: Mapping[str, Way] = {"counted": counted, "adjusted": adjusted, "expected": expected}


def prevalence(
    known: Known, probability: Floats, *, how: str = "adjusted", draws: int = 300, seed: int = 0
) -> tuple[Interval, ...]:
    """The share of each class in a mixture, with a 95 % interval.

    An interval holds two doubts at once: which groups the classifier happened to be judged on (they are drawn whole),
    and which cells of the culture happened to be pictured (they are drawn singly). It is of the culture that the cells
    were taken from, and knows nothing of a shift that makes a class look different there.

    Args:
        known: rows of known class, none of which the classifier learned from.
        probability: (M, K) answers to the cells of the mixture, classes in the order of the known rows.
        how: one of WAYS.

    Raises:
        AnswerError: no such way, no cells, or another number of classes.

    >>> rng = np.random.default_rng(0)
    >>> truth = rng.integers(0, 2, 400)
    >>> sure = np.where(rng.random(400) < 0.8, truth, 1 - truth)  # right in four of five cells of either class
    >>> known = Known(truth, np.eye(2)[sure] * 0.6 + 0.2, np.arange(400) // 20)
    >>> mixed = np.where(rng.random(500) < 0.8, 0, 1)  # of a culture that holds class 0 only
    >>> answers = np.eye(2)[mixed] * 0.6 + 0.2
    >>> prevalence(known, answers, how="counted")[0].value < 0.85, prevalence(known, answers)[0].value > 0.95
    (True, True)
    """
    if how not in WAYS:
        raise AnswerError(f"shares cannot be found by {how!r}", "prevalence(how=...)", "known: " + ", ".join(WAYS))
    probability = np.asarray(probability, np.float64)
    _refuse(probability, "the mixture")
    if probability.shape[1] != known.probability.shape[1]:
        raise AnswerError(f"{probability.shape[1]} classes in the mixture, {known.probability.shape[1]} known",
                          "prevalence(probability=...)", "give the known classes in their order")  # fmt: skip
    weights = known.drawn(draws, seed)
    cells = np.random.default_rng([seed, 2]).multinomial(
        len(probability), np.full(len(probability), 1 / len(probability)), draws
    )
    shares = WAYS[how](known, weights, probability, np.concatenate([np.ones((1, len(probability))), cells]))
    groups = len(np.unique(known.groups.astype(str)))
    return tuple(interval(float(share[0]), share[1:], groups) for share in shares.T)


def _tables(known: Known, weights: Floats, classes: int) -> Floats:
    """How often each true class (row) is called which (column), (D, K, K); what a draw lacks is as in all rows."""
    called = known.probability.argmax(axis=1)
    flat = np.zeros((len(called), classes * classes))
    flat[np.arange(len(called)), known.truth * classes + called] = 1
    tables = (weights @ flat).reshape(-1, classes, classes)
    totals = tables.sum(axis=2, keepdims=True)
    whole = tables[:1] / totals[:1]
    made = np.divide(tables, totals, out=np.zeros_like(tables), where=totals > 0)
    return np.asarray(np.where(totals > 0, made, whole))


def _refuse(probability: Floats, where: str) -> None:
    if probability.ndim != 2 or not len(probability) or probability.shape[1] < 2:
        raise AnswerError("a table of probabilities has a row a cell and a column a class, two at least", where,
                          f"its shape is {probability.shape}")  # fmt: skip
    if not np.isfinite(probability).all() or (probability < 0).any() or (probability > 1 + 1e-6).any():
        raise AnswerError("some probabilities lie outside 0 to 1", where, "leave out the rows that were not answered")
