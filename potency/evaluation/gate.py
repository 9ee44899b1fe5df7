"""A sorting gate: the score from which on a cell is kept, its purity and its yield, with intervals over groups."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from potency.errors import AnswerError
from potency.evaluation.intervals import group_weights, interval
from potency.evaluation.results import Interval

FEWEST = 10  # wanted cells behind a threshold: a purity of fewer is luck


@dataclass(frozen=True)
class Gate:
    """Cells whose score is at least `threshold` are kept; `purity` and `yield_` are those it was chosen by."""

    threshold: float
    purity: float
    yield_: float
    reached: bool  # whether the purity that was asked for could be had


@dataclass(frozen=True)
class Sorted:
    """What a gate does to cells it was not chosen on, each a share with its 95 % interval.

    Attributes:
        purity: of the kept cells those that are wanted (precision); nan where nothing is kept.
        yield_: of the wanted cells those that are kept (recall).
        kept: of all cells those that are kept.
        enrichment: purity over the share of wanted cells before sorting; 1 is no gain.
    """

    purity: Interval
    yield_: Interval
    kept: Interval
    enrichment: Interval


def curve(wanted: ArrayLike, score: ArrayLike) -> tuple[NDArray[np.float64], ...]:
    """Threshold, purity and yield (T,) at every score that occurs, the strictest first.

    Args:
        wanted: (N,) whether a cell is one of those to be sorted out.
        score: (N,) how much it looks like one; higher is more.

    Raises:
        AnswerError: nothing is wanted, other lengths, a score that is no number.

    >>> threshold, purity, yielded = curve([True, False, True], [0.9, 0.5, 0.4])
    >>> threshold.tolist(), purity.round(2).tolist(), yielded.tolist()
    ([0.9, 0.5, 0.4], [1.0, 0.5, 0.67], [0.5, 0.5, 1.0])
    """
    truth, values = _checked(wanted, score)
    order = np.argsort(-values, kind="stable")
    ends = np.flatnonzero(np.append(np.diff(values[order]) != 0, True))  # cells of one score go the same way
    hits = np.cumsum(truth[order])[ends].astype(np.float64)
    return values[order][ends], hits / (ends + 1), hits / truth.sum()


def choose(wanted: ArrayLike, score: ArrayLike, purity: float) -> Gate:
    """The gate of the highest yield among those at least that pure, on rows that nothing was learned from.

    Only gates that keep ten wanted cells or more are looked at. Where none is pure enough the purest is given, and
    `reached` is False. Arguments and errors are those of `curve`.

    >>> wanted, score = np.repeat([True, False], 20), np.r_[np.arange(20.0), np.arange(20.0) - 10]
    >>> choose(wanted, score, 0.9).threshold
    9.0
    """
    truth, _ = _checked(wanted, score)
    thresholds, pure, yielded = curve(wanted, score)
    solid = yielded * truth.sum() >= min(FEWEST, truth.sum()) - 1e-9
    fine = solid & (pure >= purity - 1e-12)
    # With the highest yield, or where nothing is pure enough with the highest purity; of equal ones the purer.
    merit = np.where(fine, yielded + 1e-9 * pure, -1.0) if fine.any() else np.where(solid, pure, -1.0)
    best = int(np.argmax(merit))
    return Gate(float(thresholds[best]), float(pure[best]), float(yielded[best]), bool(fine.any()))


def judge(
    gate: Gate, wanted: ArrayLike, score: ArrayLike, groups: ArrayLike, *, draws: int = 1000, seed: int = 0
) -> Sorted:
    """What the gate does on rows it was not chosen on; intervals are by bootstrap over `groups` (N,).

    Under five groups there are no intervals. Errors are those of `curve`.

    >>> gate = Gate(0.5, 1.0, 1.0, True)
    >>> told = judge(gate, [True, True, False, False], [0.9, 0.2, 0.6, 0.1], list("abcd"))
    >>> told.purity.value, told.yield_.value, told.enrichment.value
    (0.5, 0.5, 1.0)
    """
    truth, values = _checked(wanted, score)
    kept = values >= gate.threshold
    names, place = np.unique(np.asarray(groups).astype(str), return_inverse=True)
    columns = np.stack([kept & truth, kept, truth, np.ones(len(truth))], axis=1).astype(np.float64)
    sums = np.zeros((len(names), 4))
    np.add.at(sums, place, columns)  # a group is drawn whole, so its sums are all that is needed
    whole = _shares(sums.sum(axis=0)[None])
    drawn = _shares(group_weights(len(names), seed, range(draws)).astype(np.float64) @ sums)
    return Sorted(*(interval(float(whole[k, 0]), drawn[k], len(names)) for k in range(4)))


def _shares(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    """Purity, yield, share kept and enrichment (4, draws) of sums (draws, 4)."""
    hits, kept, wanted, total = sums.T
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.stack([hits / kept, hits / wanted, kept / total, hits / kept / (wanted / total)])


def _checked(wanted: ArrayLike, score: ArrayLike) -> tuple[NDArray[np.bool_], NDArray[Any]]:
    truth, values = np.asarray(wanted, bool), np.asarray(score, np.float64)
    if truth.shape != values.shape or truth.ndim != 1:
        raise AnswerError(f"{truth.shape} truths beside {values.shape} scores", "gate", "give one of each a cell")
    if not np.isfinite(values).all():
        row = int(np.flatnonzero(~np.isfinite(values))[0])
        raise AnswerError("a score is no finite number", f"cell {row}", "leave cells without a score out")
    if not truth.any():
        raise AnswerError("no cell is one of those wanted", f"{len(truth)} cells", "give cells of both kinds")
    return truth, values
