"""The answers: cells both ways, evidence, and every figure against another implementation under weights."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from pandas import DataFrame, Series
from scipy import stats
from sklearn import metrics as other

from potency.answers import ANSWERS, Answer, Category, Evidence, Number, Ordinal, Vector
from potency.answers.answer import group_sums
from potency.answers.category import as_labels, class_names
from potency.answers.ranking import ranking
from potency.errors import AnswerError

CLASSES = ("astro", "neuron", "oligo", "stem")
SAMPLES = 200


def world(seed=0, classes=CLASSES, tied=True):
    """Truth, predicted class and probabilities; tied probabilities are tenths, so that many scores are equal."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, len(classes), SAMPLES)
    lean = np.full((SAMPLES, len(classes)), 1.0)
    lean[np.arange(SAMPLES), truth] += 1.5
    share = lean / lean.sum(axis=1, keepdims=True)
    probability = np.stack([rng.multinomial(10, row) / 10 if tied else rng.dirichlet(20 * row) for row in share])
    return truth, probability.argmax(axis=1), probability


def frames(truth, said, probability, classes=CLASSES):
    names = np.asarray(classes, dtype=object)
    columns = {"": names[said]}
    if probability is not None:
        columns |= {f"probability.{name}": probability[:, k] for k, name in enumerate(classes)}
    return DataFrame({"": names[truth]}), DataFrame(columns)


def evidence_of(answer=Category, seed=0, classes=CLASSES, tied=True):
    truth, said, probability = world(seed, classes, tied)
    return answer.compare_columns(*frames(truth, said, probability, classes), classes)


def weightings(draws=6, seed=1):
    weights = np.random.default_rng(seed).integers(0, 4, (draws, SAMPLES)).astype(np.float32)
    weights[0] = 1
    return weights


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


def pairs_of(answer: type[Answer]):
    """Truth and predicted frames and their evidence, of any answer in the list."""
    if answer.labelled:
        truth, predicted = frames(*world())
    else:
        rng = np.random.default_rng(0)
        shape = (SAMPLES, 3) if answer is Vector else (SAMPLES,)
        truth, predicted = (DataFrame({"": list(rng.normal(size=shape))}) for _ in range(2))
    return truth, predicted, answer.compare_columns(truth, predicted, CLASSES if answer.labelled else ())


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
def test_whole_columns_compare_as_row_by_row(answer):
    truth, predicted, whole = pairs_of(answer)
    rows = [
        answer.of_cells(p, Path()).compare(answer.of_cells(t, Path()))
        for t, p in zip(truth.to_dict("records"), predicted.to_dict("records"), strict=True)
    ]
    default = Answer.compare_columns.__func__(answer, truth, predicted, whole.labels)
    for stacked in (Evidence.stack(rows), default):
        assert stacked.samples == whole.samples and stacked.labels == whole.labels
        for name, values in whole.arrays.items():
            np.testing.assert_allclose(stacked.arrays[name], values)


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
def test_cells_make_the_round_trip(answer):
    _, predicted, _ = pairs_of(answer)
    cells = predicted.iloc[0].to_dict()
    back = answer.of_cells(cells, Path()).cells(Path(), "prediction")
    assert list(back) == [f"prediction.{part}" if part else "prediction" for part in cells]
    for mine, given in zip(back.values(), cells.values(), strict=True):
        assert np.all(np.asarray(mine) == np.asarray(given))
    assert "prediction@forest" in answer.of_cells(cells, Path()).cells(Path(), "prediction@forest")


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
def test_every_answer_can_be_drawn_averaged_and_permuted(answer):
    _, predicted, evidence = pairs_of(answer)
    some = [answer.of_cells(row, Path()) for row in predicted.head(3).to_dict("records")]
    noise = np.random.default_rng(0).normal(size=(200, 300))
    for image in (np.zeros((1, 5, 7), np.uint16), noise, np.ones((3, 4, 5), np.uint8)):
        drawn = some[0].draw(image)
        assert drawn.dtype == np.uint8 and drawn.ndim == 3 and drawn.shape[2] == 3 and drawn.shape[1] >= 128
    assert isinstance(answer.average(some), answer)
    same = answer.stitch(iter([(None, some[0]), (None, some[0])]), None)
    assert same.cells(Path(), "p") == some[0].cells(Path(), "p")
    as_it_is = answer.reordered(evidence, np.arange(SAMPLES)[None])[0]
    assert as_it_is == pytest.approx(answer.summarise(evidence, np.ones((1, SAMPLES)))[answer.headline][0])
    with pytest.raises(AnswerError, match="no answer to average"):
        answer.average([])


def test_an_average_is_of_probabilities_and_of_votes():
    sure, unsure = (Category.of_probability("ab", p) for p in ((0.9, 0.1), (0.45, 0.55)))
    assert Category.average([sure, unsure, unsure]).label == "a"
    votes = Category.average([Category("b"), Category("a"), Category("b")])
    assert votes.label == "b" and votes.classes == ("a", "b")
    with pytest.raises(AnswerError, match="different classes cannot be averaged"):
        Category.average([sure, Category.of_probability("xy", (0.5, 0.5))])


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


def test_missing_probability_columns_of_one_class_are_the_rest_of_one():
    truth, predicted = frames(*world(3, ("dead", "live")), ("dead", "live"))
    full = Category.compare_columns(truth, predicted, ("dead", "live"))
    half = Category.compare_columns(truth, predicted.drop(columns="probability.dead"), ("dead", "live"))
    np.testing.assert_allclose(half.arrays["probability"], full.arrays["probability"])
    extra = Category.compare_columns(truth, predicted, ("dead", "live", "blebbing", "lysed"))
    assert (extra.arrays["probability"][:, 2:] == 0).all()
    none = Category.compare_columns(truth, predicted[[""]], ("dead", "live"))
    assert "auc" not in Category.summarise(none, np.ones((1, SAMPLES)))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([[0.5, 0.5], [2.0, 1.0]], "lie outside 0 to 1"),
        ([[0.5, 0.5], [0.5, 0.2]], r"sum to 0.7, not to 1: \[0.5, 0.2\]"),
        ([[0.5, 0.5], [np.nan, 1.0]], "lie outside 0 to 1"),
        ([[0.5, 0.5], [-0.2, 1.2]], "lie outside 0 to 1"),
        ([[0.5, 0.5], [np.inf, 0.0]], "lie outside 0 to 1"),
    ],
)
def test_what_is_no_probability_is_refused_with_its_row(values, message):
    truth, predicted = frames(np.array([0, 1]), np.array([0, 1]), np.array(values), ("a", "b"))
    with pytest.raises(AnswerError, match=message) as caught:
        Category.compare_columns(truth, predicted.set_axis(["cell 1", "cell 2"]), ("a", "b"))
    assert "row cell 2 (1 such rows)" in caught.value.where and "softmax" in caught.value.mend


def test_errors_say_what_where_and_how():
    truth, predicted = frames(np.array([0, 1]), np.array([0, 1]), None, ("stem", "astro"))
    with pytest.raises(AnswerError) as caught:
        Category.compare_columns(truth, predicted, ("stem", "astrocyte"))
    assert str(caught.value) == (
        "a truth names the class 'astro', which is not among the classes\n"
        "where: row 1 (1 such rows)\nmend: did you mean 'astrocyte'?"
    )
    with pytest.raises(AnswerError, match="a prediction has no class"):
        Category.compare_columns(truth, DataFrame({"": ["stem", None]}), ("stem", "astro"))
    with pytest.raises(AnswerError, match="a prediction is not a finite number: 'many'"):
        Number.compare_columns(DataFrame({"": [1]}), DataFrame({"": ["many"]}))
    with pytest.raises(AnswerError, match="a truth is not a finite number: inf"):
        Number.compare_columns(DataFrame({"": [np.inf]}), DataFrame({"": [1.0]}))
    with pytest.raises(AnswerError, match="a prediction is not a list of 2 finite numbers"):
        Vector.compare_columns(DataFrame({"": [[1, 2], [1, 2]]}), DataFrame({"": [[1, 2], [1]]}))
    with pytest.raises(AnswerError, match="have 3 values, the true ones 2"):
        Vector.compare_columns(DataFrame({"": [[1, 2]]}), DataFrame({"": [[1, 2, 3]]}))
    with pytest.raises(AnswerError, match="the cell of the class is empty"):
        Category.of_cells({"": None}, Path())
    with pytest.raises(AnswerError, match="'x' is not a number"):
        Number.of_cells({"": "x"}, Path())
    with pytest.raises(AnswerError, match="vectors of different lengths"):
        Vector.average([Vector(np.ones(2)), Vector(np.ones(3))])


def test_evidence_is_checked_joined_and_cut():
    with pytest.raises(AnswerError, match="holds 2 samples but its array 'x' has 3 rows"):
        Evidence(2, {"x": np.zeros(3)})
    one, two = Evidence(1, {"x": np.zeros(1)}, ("a",)), Evidence(1, {"x": np.zeros(1)}, ("b",))
    with pytest.raises(AnswerError, match="different classes or parts"):
        Evidence.stack([one, two])
    with pytest.raises(AnswerError, match="no sample to compare"):
        Evidence.stack([])
    evidence = evidence_of()
    mask = np.arange(SAMPLES) % 3 == 0
    weights = weightings(2)
    cut = Category.summarise(evidence.take(mask), weights[:, mask])
    zeroed = Category.summarise(evidence, weights * mask)
    for name, values in cut.items():
        np.testing.assert_allclose(values, zeroed[name], atol=1e-12, err_msg=name)


def test_class_names_of_columns_that_gaps_made_floating():
    assert as_labels(Series([1.0, np.nan, 2.0])).tolist() == ["1", None, "2"]
    assert as_labels(Series([1, 2])).tolist() == as_labels(Series(["1", "2"])).tolist() == ["1", "2"]
    assert as_labels(Series(["a", None], dtype="category")).tolist() == ["a", None]
    assert as_labels(Series([True, False])).tolist() == ["True", "False"]
    assert as_labels(Series([1, None], dtype="Int64")).tolist() == ["1", None]
    assert class_names(Series([10.0, 9.0, None])) == ("9", "10")


def test_sums_by_group_and_an_empty_ranking():
    codes = np.array([2, 0, -1, 2])
    weights = np.arange(8.0).reshape(4, 2)
    np.testing.assert_array_equal(group_sums(codes, 4, weights), [[2, 3], [0, 0], [6, 8], [0, 0]])
    np.testing.assert_array_equal(group_sums(codes, 3, weights, np.array([1.0, 2, 3, 4]))[2], [24, 29])
    area, precision = ranking(np.zeros(3, bool), np.arange(3.0), np.ones((3, 2)))
    assert np.isnan(area).all() and np.isnan(precision).all()
    area, precision = ranking(np.ones(3, bool), np.arange(3.0), np.ones((3, 2)))
    assert np.isnan(area).all() and (precision == 1).all()


def test_answers_and_evaluation_need_no_torch():
    code = (
        "import sys; sys.modules['torch'] = None; import potency.answers, potency.evaluation;"
        "print('matplotlib' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "False"  # nor a plotting library, until a page is written
