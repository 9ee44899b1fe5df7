"""Shares of classes in mixtures: right where truth is known by construction, intervals hold what they promise."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from potency.errors import AnswerError
from potency.evaluation.prevalence import WAYS, Known, prevalence

MIDDLES = np.array([[0.0, 0.0], [1.5, 0.0], [0.0, 1.8]])


def cells(
    rng: np.random.Generator, shares: NDArray[np.float64], count: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Cells of three classes around MIDDLES, and the probabilities of the best classifier there is at equal shares."""
    truth = rng.choice(3, count, p=shares)
    place = MIDDLES[truth] + rng.standard_normal((count, 2))
    odds = np.exp(-0.5 * ((place[:, None] - MIDDLES) ** 2).sum(axis=2))
    return truth, odds / odds.sum(axis=1, keepdims=True)


def known(rng: np.random.Generator) -> Known:
    truth, probability = cells(rng, np.full(3, 1 / 3), 900)
    return Known(truth, probability, np.arange(900) // 30)


def test_corrected_shares_are_unbiased_where_counts_are_not() -> None:
    rng = np.random.default_rng(1)
    judged, shares = known(rng), np.array([0.05, 0.15, 0.8])
    _, probability = cells(rng, shares, 20_000)
    error = {}
    for how in WAYS:
        found = [each.value for each in prevalence(judged, probability, how=how, draws=1)]
        error[how] = np.abs(np.array(found) - shares).max()
    assert error["counted"] > 0.05
    assert error["adjusted"] < 0.035
    assert error["expected"] < 0.02


def test_the_interval_holds_the_share_of_the_culture_as_often_as_it_promises() -> None:
    """40 mixtures of 3 shares: a true 95 % misses more than 14 of 120 about once in a thousand."""
    rng = np.random.default_rng(2)
    held = dict.fromkeys(WAYS, 0)
    for _ in range(40):
        shares = rng.dirichlet(np.ones(3))
        judged, (_, probability) = known(rng), cells(rng, shares, 150)
        for how in WAYS:
            for found, share in zip(prevalence(judged, probability, how=how, draws=120), shares, strict=True):
                assert found.low is not None and found.high is not None
                held[how] += found.low <= share <= found.high
    assert held["adjusted"] >= 106 and held["expected"] >= 106
    assert held["counted"] < 100


def test_expectation_finds_the_maximum_of_the_likelihood() -> None:
    """Two classes: the same optimum by brute force over all shares."""
    rng = np.random.default_rng(3)
    truth = rng.integers(0, 2, 300)
    right = np.clip(rng.beta(4, 2, 300), 0.01, 0.99)
    probability = np.where(truth == 1, right, 1 - right)
    table = np.column_stack([1 - probability, probability])
    judged = Known(truth, table, np.arange(300))
    mixed = table[truth == 1][:80]
    prior = truth.mean()
    tried = np.linspace(0, 1, 20_001)[:, None]
    likelihood = np.log(mixed[:, 1] * tried / prior + mixed[:, 0] * (1 - tried) / (1 - prior)).sum(axis=1)
    found = prevalence(judged, mixed, how="expected", draws=1)[1].value
    assert found == pytest.approx(float(tried[likelihood.argmax(), 0]), abs=2e-3)


def test_perfect_classifiers_need_no_correction_and_shares_add_up() -> None:
    truth = np.tile([0, 1, 2], 40)
    judged = Known(truth, np.eye(3)[truth], np.arange(120) // 10)
    mixture = np.eye(3)[[0] * 5 + [1] * 15]
    for how in WAYS:
        shares = prevalence(judged, mixture, how=how)
        assert [share.value for share in shares] == pytest.approx([0.25, 0.75, 0.0], abs=1e-4)
        assert shares[2].high == pytest.approx(0, abs=1e-4)


def test_few_groups_give_no_interval_and_bad_input_is_explained() -> None:
    truth = np.tile([0, 1], 20)
    judged = Known(truth, np.eye(2)[truth], np.arange(40) // 10)
    assert prevalence(judged, np.eye(2)[[0, 1]])[0].low is None
    with pytest.raises(AnswerError, match="shares cannot be found by 'guess'(.|\n)*counted, adjusted, expected"):
        prevalence(judged, np.eye(2)[[0]], how="guess")
    with pytest.raises(AnswerError, match="3 classes in the mixture, 2 known"):
        prevalence(judged, np.eye(3)[[0]])
    with pytest.raises(AnswerError, match="outside 0 to 1"):
        prevalence(judged, np.array([[np.nan, 1.0]]))
    with pytest.raises(AnswerError, match=r"of 2 classes number \[1\] cannot be judged"):
        Known(np.zeros(4, np.int64), np.full((4, 2), 0.5), np.arange(4))
    with pytest.raises(AnswerError, match="differ in length"):
        Known(truth, np.eye(2)[truth], np.arange(3))
    with pytest.raises(AnswerError, match="a row a cell"):
        prevalence(judged, np.zeros((0, 2)))
