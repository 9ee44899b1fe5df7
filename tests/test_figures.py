"""Every figure of every answer against another implementation, under weights and with ties."""

from __future__ import annotations

import numpy as np
import pytest
from pandas import DataFrame
from prediction_tables import CLASSES, SAMPLES, evidence_of, frames, pairs_of, weightings, world
from scipy import stats
from sklearn import metrics as other

from potency.answers import ANSWERS, Category, Number, Ordinal, Vector
from potency.answers.answer import group_sums
from potency.answers.ranking import ranking


@pytest.mark.parametrize("tied", [True, False])
def test_label_figures_agree_with_scikit_learn_under_weights(tied):
    truth, said, _ = world(tied=tied)
    weights = weightings()
    found = Category.summarise(evidence_of(tied=tied), weights)
    for d, w in enumerate(weights):
        mine = {name: values[d] for name, values in found.items()}
        how = {"sample_weight": w}
        assert mine["accuracy"] == pytest.approx(other.accuracy_score(truth, said, **how), abs=1e-12)
        assert mine["balanced_accuracy"] == pytest.approx(other.balanced_accuracy_score(truth, said, **how))
        assert mine["kappa"] == pytest.approx(other.cohen_kappa_score(truth, said, **how))
        assert mine["mcc"] == pytest.approx(other.matthews_corrcoef(truth, said, **how))
        each = other.precision_recall_fscore_support(truth, said, labels=range(4), zero_division=0, **how)
        for name, macro, values in zip(("precision", "recall", "f1"), range(3), each, strict=False):
            assert mine[f"macro_{name}"] == pytest.approx(np.mean(each[macro]))
            assert [mine[f"{name}.{label}"] for label in CLASSES] == pytest.approx(values)


@pytest.mark.parametrize("tied", [True, False])
def test_probability_figures_agree_with_scikit_learn_under_weights(tied):
    truth, _, probability = world(tied=tied)
    weights = weightings()
    found = Category.summarise(evidence_of(tied=tied), weights)
    hot = np.eye(4)[truth]
    for d, w in enumerate(weights):
        mine = {name: values[d] for name, values in found.items()}
        how = {"sample_weight": w}
        areas = [other.roc_auc_score(hot[:, k], probability[:, k], **how) for k in range(4)]
        precisions = [other.average_precision_score(hot[:, k], probability[:, k], **how) for k in range(4)]
        assert [mine[f"auc.{label}"] for label in CLASSES] == pytest.approx(areas, abs=1e-12)
        assert [mine[f"average_precision.{label}"] for label in CLASSES] == pytest.approx(precisions, abs=1e-12)
        assert mine["auc"] == pytest.approx(
            other.roc_auc_score(truth, probability, multi_class="ovr", average="macro", **how)
        )
        assert mine["average_precision"] == pytest.approx(np.mean(precisions))
        assert mine["log_loss"] == pytest.approx(other.log_loss(truth, probability, labels=range(4), **how))
        assert mine["brier"] == pytest.approx(other.brier_score_loss(truth, probability, labels=range(4), **how))


def test_two_classes_have_the_usual_brier_score_and_area():
    classes = ("dead", "live")
    truth, _, probability = world(3, classes)
    found = Category.summarise(evidence_of(seed=3, classes=classes), weightings())
    w = weightings()[2]
    assert found["brier"][2] == pytest.approx(other.brier_score_loss(truth, probability[:, 1], sample_weight=w))
    area = other.roc_auc_score(truth, probability[:, 1], sample_weight=w)
    assert [found[name][2] for name in ("auc", "auc.live", "auc.dead")] == pytest.approx([area] * 3)


def test_calibration_error_agrees_with_a_plain_loop_over_bins():
    truth, said, probability = world(tied=False)
    confidence = probability[np.arange(SAMPLES), said]
    for d, w in enumerate(weightings()):
        total = 0.0
        for low in np.arange(15) / 15:
            inside = (confidence >= low) & (confidence < low + 1 / 15)
            if w[inside].sum():
                right = np.average(truth[inside] == said[inside], weights=w[inside])
                total += w[inside].sum() / w.sum() * abs(np.average(confidence[inside], weights=w[inside]) - right)
        assert Category.summarise(evidence_of(tied=False), weightings())["ece"][d] == pytest.approx(total)


def test_ordinal_figures_agree_with_scikit_learn_under_weights():
    truth, said, _ = world()
    weights = weightings()
    found = Ordinal.summarise(evidence_of(Ordinal), weights)
    for d, w in enumerate(weights):
        kappa = other.cohen_kappa_score(truth, said, weights="quadratic", sample_weight=w)
        assert found["weighted_kappa"][d] == pytest.approx(kappa)
        assert found["rank_mae"][d] == pytest.approx(other.mean_absolute_error(truth, said, sample_weight=w))
    assert "weighted_kappa" not in Category.summarise(evidence_of(), weights)


def test_number_figures_agree_with_scikit_learn_and_scipy_on_repeated_rows():
    rng = np.random.default_rng(0)
    truth = rng.integers(1, 12, SAMPLES).astype(float)  # many ties
    said = np.round(truth + rng.normal(1, 2, SAMPLES))
    weights = weightings()
    found = Number.summarise(Number.compare_columns(DataFrame({"": truth}), DataFrame({"": said})), weights)
    for d, w in enumerate(weights):
        mine = {name: values[d] for name, values in found.items()}
        t, p = np.repeat(truth, w.astype(int)), np.repeat(said, w.astype(int))
        assert mine["mae"] == pytest.approx(other.mean_absolute_error(t, p))
        assert mine["rmse"] == pytest.approx(other.root_mean_squared_error(t, p))
        assert mine["mape"] == pytest.approx(other.mean_absolute_percentage_error(t, p))
        assert mine["r2"] == pytest.approx(other.r2_score(t, p))
        assert mine["pearson"] == pytest.approx(stats.pearsonr(t, p).statistic)
        assert mine["spearman"] == pytest.approx(stats.spearmanr(t, p).statistic)
        lin = 2 * np.cov(t, p, ddof=0)[0, 1] / (t.var() + p.var() + (t.mean() - p.mean()) ** 2)
        assert mine["concordance"] == pytest.approx(lin)
        assert mine["bias"] == pytest.approx((p - t).mean())
        spread = 1.96 * (p - t).std(ddof=1)
        limits = (mine["bias"] - spread, mine["bias"] + spread)
        assert (mine["limits_low"], mine["limits_high"]) == pytest.approx(limits)


def test_vector_figures_agree_with_scikit_learn():
    rng = np.random.default_rng(0)
    truth, said = rng.normal(size=(2, SAMPLES, 5))
    truth[3] = 0
    evidence = Vector.compare_columns(DataFrame({"": list(truth)}), DataFrame({"": list(said)}))
    w = weightings()[1]
    found = {name: values[1] for name, values in Vector.summarise(evidence, weightings()).items()}
    cosine = np.diag(other.pairwise.cosine_similarity(truth, said))
    assert found["cosine"] == pytest.approx(np.average(cosine, weights=w))
    distance = other.pairwise.paired_euclidean_distances(truth, said)
    assert found["distance"] == pytest.approx(np.average(distance, weights=w))
    assert found["rmse"] ** 2 == pytest.approx(other.mean_squared_error(truth, said, sample_weight=w))


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
def test_single_precision_weights_agree_with_double(answer):
    evidence = pairs_of(answer)[2]
    weights = np.random.default_rng(0).integers(0, 5, (20, evidence.samples))
    single = answer.summarise(evidence, weights.astype(np.float32))
    double = answer.summarise(evidence, weights.astype(np.float64))
    for name, values in double.items():
        np.testing.assert_allclose(single[name], values, rtol=0, atol=1e-6, equal_nan=True, err_msg=name)


def test_a_draw_without_a_class_leaves_it_out_of_the_means():
    evidence = evidence_of()
    weights = weightings(3)
    weights[1, evidence.arrays["truth"] == 2] = 0
    found = Category.summarise(evidence, weights)
    assert np.isnan(found["recall.oligo"][1]) and np.isnan(found["auc.oligo"][1]) and np.isnan(found["f1.oligo"][1])
    left = [found[f"recall.{label}"][1] for label in CLASSES if label != "oligo"]
    assert found["balanced_accuracy"][1] == pytest.approx(np.mean(left))
    assert np.isfinite(found["auc"]).all() and np.isfinite(found["average_precision"]).all()


def test_one_class_and_no_weight_at_all_give_nan_not_a_crash():
    truth, predicted = frames(np.zeros(4, int), np.array([0, 0, 1, 0]), None, ("a", "b"))
    found = Category.summarise(Category.compare_columns(truth, predicted, ("a", "b")), np.ones((1, 4)))
    assert found["accuracy"][0] == 0.75 and np.isnan([found["kappa"][0], found["mcc"][0], found["recall.b"][0]]).all()
    for answer in ANSWERS.values():
        nothing = answer.summarise(pairs_of(answer)[2], np.zeros((2, SAMPLES), np.float32))
        assert all(np.isnan(values).all() for values in nothing.values())


def test_a_constant_number_has_no_correlation_and_a_zero_truth_no_share():
    def figures(truth, said):
        evidence = Number.compare_columns(DataFrame({"": truth}), DataFrame({"": said}))
        return {name: float(v[0]) for name, v in Number.summarise(evidence, np.ones((1, len(truth)))).items()}

    flat = figures([1.0, 2.0, 3.0], [2.0, 2.0, 2.0])
    assert np.isnan([flat["pearson"], flat["spearman"], flat["concordance"]]).all() and flat["r2"] == 0
    assert np.isnan(figures([0.0, 1.0], [1.0, 1.0])["mape"])
    # A constant that is no exact binary number must not pass for a spread.
    assert np.isnan(figures([0.1] * 7, [0.1, 0.2, 0.1, 0.3, 0.1, 0.1, 0.1])["r2"])
    same = figures([1.0, 2.0, 4.0], [1.0, 2.0, 4.0])
    assert [same[name] for name in ("r2", "pearson", "spearman", "concordance")] == pytest.approx([1.0] * 4)


def test_sums_by_group_and_an_empty_ranking():
    codes = np.array([2, 0, -1, 2])
    weights = np.arange(8.0).reshape(4, 2)
    np.testing.assert_array_equal(group_sums(codes, 4, weights), [[2, 3], [0, 0], [6, 8], [0, 0]])
    np.testing.assert_array_equal(group_sums(codes, 3, weights, np.array([1.0, 2, 3, 4]))[2], [24, 29])
    area, precision = ranking(np.zeros(3, bool), np.arange(3.0), np.ones((3, 2)))
    assert np.isnan(area).all() and np.isnan(precision).all()
    area, precision = ranking(np.ones(3, bool), np.arange(3.0), np.ones((3, 2)))
    assert np.isnan(area).all() and (precision == 1).all()
