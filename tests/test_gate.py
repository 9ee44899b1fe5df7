"""The sorting gate: its curve as scikit-learn has it, the choice on one set of cells, what it is worth on another."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import precision_recall_curve

from potency.errors import AnswerError
from potency.evaluation.gate import Gate, choose, curve, judge
from potency.evaluation.intervals import levels


def cells(seed: int = 0, count: int = 400, sharp: float = 1.5) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Whether each cell is wanted, its score in tenths (many are alike), and its group."""
    rng = np.random.default_rng(seed)
    wanted = rng.random(count) < 0.3
    return wanted, np.round(rng.normal(size=count) + sharp * wanted, 1), np.arange(count) % 10


def test_the_curve_is_precision_and_recall_of_another_implementation() -> None:
    wanted, score, _ = cells()
    threshold, purity, yielded = curve(wanted, score)
    precision, recall, at = precision_recall_curve(wanted, score)
    np.testing.assert_allclose(threshold, at[::-1])
    np.testing.assert_allclose(purity, precision[:-1][::-1])
    np.testing.assert_allclose(yielded, recall[:-1][::-1])


def test_the_gate_yields_most_of_those_that_are_pure_enough() -> None:
    wanted, score, _ = cells()
    made = choose(wanted, score, 0.7)
    assert made.reached and made.purity >= 0.7
    threshold, purity, yielded = curve(wanted, score)
    better = (purity >= 0.7) & (yielded > made.yield_) & (yielded * wanted.sum() >= 10)
    assert not better.any() and made.threshold in threshold


def test_a_purity_that_cannot_be_had_and_one_by_luck() -> None:
    wanted, score, _ = cells(sharp=0.0)
    made = choose(wanted, score, 0.99)
    assert not made.reached and made.purity < 0.99
    lucky = np.zeros(100, bool)
    lucky[[0, *range(50, 80)]] = True
    made = choose(lucky, np.arange(100.0, 0, -1), 0.9)  # the first cell alone would be a purity of one, of one cell
    assert made.yield_ * lucky.sum() >= 10


def test_what_a_gate_does_to_other_cells_has_intervals_over_groups() -> None:
    wanted, score, groups = cells()
    gate, other = choose(wanted, score, 0.7), cells(1)
    told = judge(gate, *other, draws=400)
    kept = other[1] >= gate.threshold
    assert told.purity.value == pytest.approx(other[0][kept].mean())
    assert told.yield_.value == pytest.approx(kept[other[0]].mean())
    assert told.enrichment.value == pytest.approx(other[0][kept].mean() / other[0].mean())
    assert told.purity.low is not None and told.purity.high is not None
    assert told.purity.low < told.purity.value < told.purity.high
    same = judge(gate, *other, draws=400)
    assert same == told
    by_hand = [np.random.default_rng([0, draw]).integers(0, 10, 10) for draw in range(400)]
    rows = [np.concatenate([np.flatnonzero(other[2] == g) for g in drawn]) for drawn in by_hand]
    drawn = [other[0][row][kept[row]].mean() for row in rows]
    assert [told.purity.low, told.purity.high] == pytest.approx(np.percentile(drawn, levels(10)))
    assert judge(gate, *(part[:40] for part in other[:2]), np.arange(40) % 4).purity.low is None


def test_nothing_kept_and_what_is_refused() -> None:
    wanted, score, groups = cells()
    told = judge(Gate(99.0, 1.0, 0.0, True), wanted, score, groups)
    assert np.isnan(told.purity.value) and told.yield_.value == told.kept.value == 0
    with pytest.raises(AnswerError, match="no cell is one of those wanted"):
        choose(np.zeros(5, bool), np.arange(5.0), 0.9)
    with pytest.raises(AnswerError, match="cell 1"):
        curve([True, False], [0.1, np.nan])
    with pytest.raises(AnswerError, match="one of each a cell"):
        curve([True], [0.1, 0.2])
