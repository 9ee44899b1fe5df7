"""Paired comparisons and permutation tests: against SciPy, the textbook, and worlds whose truth is known."""

from __future__ import annotations

from math import erfc, sqrt

import numpy as np
import pytest
from pandas import DataFrame
from prediction_tables import table_of
from scipy import stats
from sklearn import metrics as other

from potency.answers import Category
from potency.evaluation import Interval, evaluate, intervals
from potency.evaluation.contest import delong, mcnemar, verdict
from potency.evaluation.intervals import permutation


def test_two_columns_are_compared_on_the_rows_both_answer():
    table = table_of(sources=(("prediction", 2.5), ("prediction@trivial", 0.3)))
    table.loc[:29, "prediction@trivial"] = None
    report = evaluate(table, predictions=("prediction", "prediction@trivial"), draws=200)
    (duel,) = report.contests
    assert (duel.first, duel.second, duel.samples, duel.verdict) == ("prediction", "prediction@trivial", 210, "better")
    both = table.iloc[30:]
    accuracy = [other.accuracy_score(both["truth"], both[c]) for c in ("prediction", "prediction@trivial")]
    assert duel.differences["accuracy"].value == pytest.approx(accuracy[0] - accuracy[1])
    assert duel.mcnemar_p < 1e-6 and duel.delong_p is None
    other_way = evaluate(both, predictions=("prediction@trivial", "prediction"), draws=200).contests[0]
    assert other_way.verdict == "worse"
    mirrored, straight = other_way.differences["auc"], duel.differences["auc"]
    assert mirrored.value == pytest.approx(-straight.value)
    assert (mirrored.low, mirrored.high) == pytest.approx((-straight.high, -straight.low))


def test_a_column_against_itself_is_inconclusive():
    table = table_of(classes=("dead", "live"))
    for column in list(table.filter(like="prediction")):
        table[column.replace("prediction", "prediction@copy")] = table[column]
    duel = evaluate(table, predictions=("prediction", "prediction@copy"), draws=100).contests[0]
    assert (duel.verdict, duel.mcnemar_p, duel.delong_p) == ("inconclusive", 1.0, 1.0)
    assert all(d == Interval(0.0, 0.0, 0.0) for d in duel.differences.values() if d.low is not None)


def test_paired_differences_are_narrower_than_two_intervals():
    """The same rows are hard for both: pairing must use it."""
    table = table_of(sources=(("prediction", 1.0),))
    table["prediction@twin"] = table["prediction"].where(np.arange(len(table)) % 20 > 0, "stem")
    report = evaluate(table, predictions=("prediction", "prediction@twin"), draws=300)
    difference = report.contests[0].differences["accuracy"]
    alone = report.numbers["prediction"]["accuracy"]
    assert difference.high - difference.low < 0.7 * (alone.high - alone.low)


def test_verdicts_follow_the_interval_and_the_direction():
    assert verdict(Interval(-1, -2, -0.5), -1) == "better"
    assert verdict(Interval(-1, -2, 0.5), -1) == "inconclusive"
    assert verdict(Interval(1, 0.0, 2), +1) == "inconclusive"
    assert verdict(None, +1) == verdict(Interval(3.0), +1) == "inconclusive"
    table = table_of(groups=3, sources=(("prediction", 9), ("prediction@x", 0)))
    few = evaluate(table, predictions=("prediction", "prediction@x"), draws=20)
    assert few.contests[0].verdict == "inconclusive"


@pytest.mark.parametrize(("first", "second"), [(0, 0), (5, 0), (3, 9), (12, 12), (10, 30), (26, 25)])
def test_mcnemar_agrees_with_scipy(first, second):
    right = np.r_[np.ones(first, bool), np.zeros(second, bool), np.ones(7, bool), np.zeros(3, bool)]
    also = np.r_[np.zeros(first, bool), np.ones(second, bool), np.ones(7, bool), np.zeros(3, bool)]
    apart = first + second
    if apart == 0:
        expected = 1.0
    elif apart < 25:
        expected = stats.binomtest(first, apart).pvalue
    else:
        expected = stats.chi2.sf(max(abs(first - second) - 1, 0) ** 2 / apart, 1)
    assert mcnemar(right, also) == pytest.approx(expected)


def textbook_delong(positive, scores):
    """DeLong et al. 1988 as printed: all pairs, structural components, covariance matrices."""
    x, y = positive.nonzero()[0], (~positive).nonzero()[0]
    v10, v01 = np.zeros((2, len(x))), np.zeros((2, len(y)))
    for r, score in enumerate(scores):
        for i, a in enumerate(x):
            for j, b in enumerate(y):
                psi = 1.0 if score[a] > score[b] else 0.5 if score[a] == score[b] else 0.0
                v10[r, i] += psi / len(y)
                v01[r, j] += psi / len(x)
    s = np.cov(v10) / len(x) + np.cov(v01) / len(y)
    difference = v10[0].mean() - v10[1].mean()
    return difference, erfc(abs(difference) / sqrt(s[0, 0] + s[1, 1] - 2 * s[0, 1]) / sqrt(2))


@pytest.mark.parametrize("digits", [1, 8])
def test_delong_agrees_with_the_textbook_with_and_without_ties(digits):
    rng = np.random.default_rng(2)
    positive = rng.random(70) < 0.4
    scores = [np.round(rng.normal(size=70) + lift * positive, digits) for lift in (1.2, 0.6)]
    found = delong(positive, *scores)
    assert found == pytest.approx(textbook_delong(positive, scores), rel=1e-9)
    areas = [other.roc_auc_score(positive, score) for score in scores]
    assert found[0] == pytest.approx(areas[0] - areas[1])
    assert np.isnan(delong(np.ones(3, bool), np.arange(3.0), np.arange(3.0))[1])
    table = DataFrame({"truth": np.where(positive, "b", "a"), "group": np.arange(70) % 9})
    for name, score in zip(("prediction", "prediction@x"), scores, strict=True):
        table[f"{name}.probability.b"] = probability = 1 / (1 + np.exp(-score))
        table[name] = np.where(probability > 0.5, "b", "a")
    duel = evaluate(table, predictions=("prediction", "prediction@x"), draws=50).contests[0]
    assert duel.delong_p == pytest.approx(found[1])


def test_permutation_finds_a_signal_and_no_other():
    assert evaluate(table_of(samples=90), draws=199).permutation["prediction"] == pytest.approx(1 / 200)
    blind = [table_of(samples=60, seed=seed, sources=(("prediction", 0.0),)) for seed in range(20)]
    p = np.array([evaluate(table, draws=99).permutation["prediction"] for table in blind])
    assert 0.2 < p.mean() < 0.8 and (p <= 0.05).sum() <= 4


def test_permutation_respects_groups_that_hold_one_truth():
    """Eight wells, one class a well, and answers that know the well but nothing of the class."""
    low = {"whole": 0, "rows": 0}
    for seed in range(30):
        rng = np.random.default_rng(seed)
        groups = np.repeat(np.arange(8), 25)
        truth = rng.permutation([0, 1] * 4)[groups]
        said = np.where(rng.random(200) < 0.9, rng.integers(0, 2, 8)[groups], rng.integers(0, 2, 200))
        evidence = Category.compare_columns(DataFrame({"": truth}), DataFrame({"": said}), ("0", "1"))
        low["whole"] += permutation(Category, evidence, groups, 99) <= 0.05
        low["rows"] += permutation(Category, evidence, np.arange(200), 99) <= 0.05
    assert low["whole"] <= 4 < low["rows"]


def test_permutation_exchanges_only_what_may_be_exchanged():
    groups = np.array([0, 0, 1, 1, 1, 2])
    for order in intervals._within(groups, 0, range(20)):
        assert (groups[order] == groups).all() and sorted(order) == list(range(6))
    orders = intervals._between(groups, 0, range(50))
    assert (orders[:, 0] == orders[:, 1]).all() and (orders[:, 2] == orders[:, 4]).all()
    assert len(np.unique(orders, axis=0)) == 6
    table = table_of()
    assert evaluate(table, draws=9).facts["permutation"] == "truths exchanged between samples of the same group"
    table["group"] = table["truth"] + [str(k % 4) for k in range(len(table))]
    assert evaluate(table, draws=9).facts["permutation"].startswith("truths exchanged between whole groups")
