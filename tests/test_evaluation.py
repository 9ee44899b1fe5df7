"""Evaluation: intervals over groups, contests, permutation, and what a table may lack."""

from __future__ import annotations

from math import erfc, sqrt

import numpy as np
import pandas as pd
import pytest
from pandas import DataFrame
from scipy import stats
from sklearn import metrics as other

from potency.answers import Category
from potency.data.manifest import Manifest
from potency.errors import AnswerError
from potency.evaluation import Interval, evaluate, intervals
from potency.evaluation.contest import delong, mcnemar, verdict
from potency.evaluation.intervals import bootstrap, group_weights, levels, permutation

CLASSES = ("astro", "neuron", "stem")


def table_of(samples=240, groups=12, seed=0, sources=(("prediction", 2.0),), classes=CLASSES):
    """A table of predictions: a source with a larger sharpness is more often right."""
    rng = np.random.default_rng(seed)
    names = np.asarray(classes, dtype=object)
    truth = rng.integers(0, len(classes), samples)
    columns = {"id": [f"cell {k}" for k in range(samples)], "image": "a.png", "truth": names[truth]}
    columns["group"] = [f"well {k}" for k in rng.permutation(np.arange(samples) % groups)]
    for name, sharp in sources:
        score = rng.normal(size=(samples, len(classes)))
        score[np.arange(samples), truth] += sharp
        probability = np.exp(score) / np.exp(score).sum(axis=1, keepdims=True)
        columns[name] = names[probability.argmax(axis=1)]
        columns |= {f"{name}.probability.{label}": probability[:, k] for k, label in enumerate(classes)}
    return DataFrame(columns)


def test_intervals_are_those_of_a_plain_loop_over_the_same_draws():
    table = table_of(samples=90)
    found = evaluate(table, draws=60, seed=5).numbers["prediction"]
    codes = pd.factorize(table["group"], sort=True)[0]
    probability = table[[f"prediction.probability.{label}" for label in CLASSES]].to_numpy()
    loop = {"balanced_accuracy": [], "auc": [], "macro_f1": []}
    for draw in group_weights(codes.max() + 1, 5, range(60)):
        rows = np.repeat(np.arange(90), draw[codes].astype(int))
        truth, said = table["truth"].to_numpy()[rows], table["prediction"].to_numpy()[rows]
        loop["balanced_accuracy"].append(other.balanced_accuracy_score(truth, said))
        loop["macro_f1"].append(other.f1_score(truth, said, average="macro"))
        loop["auc"].append(other.roc_auc_score(truth, probability[rows], multi_class="ovr"))
    for name, values in loop.items():
        ends = np.percentile(values, levels(12))
        assert (found[name].low, found[name].high) == pytest.approx(tuple(ends), abs=1e-9)
        assert found[name].low < found[name].value < found[name].high


def test_draws_depend_on_the_seed_and_not_on_blocks(monkeypatch):
    table = table_of()
    shuffled = evaluate(table.sample(frac=1, random_state=0), draws=100, seed=1).numbers["prediction"]["auc"]
    first, again, third = (evaluate(table, draws=100, seed=seed).numbers for seed in (1, 1, 2))
    assert first == again and first != third
    straight = first["prediction"]["auc"]
    assert (shuffled.value, shuffled.low, shuffled.high) == pytest.approx((straight.value, straight.low, straight.high))
    monkeypatch.setattr(intervals, "BLOCK_CELLS", 1)
    blocked = evaluate(table, draws=100, seed=1).numbers
    for name, interval in first["prediction"].items():
        same = blocked["prediction"][name]
        assert (interval.low, interval.high) == pytest.approx((same.low, same.high))


def test_intervals_over_groups_hold_the_truth_and_those_over_images_do_not():
    """Wells differ: 60 worlds in which an image's chance to be found right depends on its well."""
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(20), 30)
    held = {"group": 0, "own": 0}
    for _ in range(60):
        chance = rng.beta(2.1, 0.9, 20)[groups]  # mean 0.7
        said = (rng.random(600) < chance).astype(int)
        evidence = Category.compare_columns(DataFrame({"": np.ones(600, int)}), DataFrame({"": said}), ("0", "1"))
        for name, codes in (("group", groups), ("own", np.arange(600))):
            draws = bootstrap(Category, [(np.arange(600), evidence)], codes, 100)[0]["accuracy"]
            low, high = np.percentile(draws, levels(codes.max() + 1))
            held[name] += low <= 0.7 <= high
    assert held["group"] >= 51 and held["own"] <= 42


def test_no_interval_under_five_groups_and_the_report_says_so():
    report = evaluate(table_of(groups=4), draws=50)
    assert report.groups == 4
    assert all(i.low is None and i.high is None for i in report.numbers["prediction"].values())
    assert report.notes[0] == "4 groups: no interval is given under 5 groups"
    assert evaluate(table_of(groups=5), draws=50).numbers["prediction"]["accuracy"].low is not None
    assert evaluate(table_of(), draws=0).numbers["prediction"]["accuracy"].low is None


def test_a_class_of_few_groups_gets_no_interval_of_its_own():
    table = table_of()
    stem = table["truth"] == "stem"
    table.loc[stem, "group"] = [f"well {k % 2}" for k in range(stem.sum())]
    report = evaluate(table, draws=50)
    numbers = report.numbers["prediction"]
    assert numbers["recall.stem"].low is None and numbers["auc.stem"].low is None
    assert numbers["recall.astro"].low is not None and numbers["balanced_accuracy"].low is not None
    assert any("classes found in fewer than 5 groups: stem (2)" in note for note in report.notes)


def test_rows_without_truth_or_answer_are_left_out_and_counted():
    table = table_of()
    whole = evaluate(table.iloc[20:], draws=50)
    table["prediction.error"] = None
    table.loc[0:3, "truth"] = None
    table.loc[4:9, "prediction"] = None
    table.loc[10:11, "prediction"] = " "
    table.loc[9:14, "prediction.error"] = "truncated file"
    table.loc[15:19, "prediction.probability.stem"] = np.nan
    report = evaluate(table, draws=50)
    reasons = {"no truth": 4, "an error instead of an answer": 6, "no answer": 5, "no probability": 5}
    assert report.left_out["prediction"] == reasons
    assert len(report.rows) == 220 and report.numbers == whole.numbers
    assert "prediction: rows left out: 4 with no truth, 6 with an error instead of an answer" in report.notes[-1]
    assert list(report.rows["id"])[0] == "cell 20" and {"group", "truth", "prediction", "image"} <= set(report.rows)


def test_classes_only_one_side_knows():
    table = table_of()
    table["truth"] = table["truth"].where(table["truth"] != "stem", "astro")
    report = evaluate(table, draws=50)
    assert report.labels == CLASSES
    assert "recall.stem" not in report.numbers["prediction"]
    assert any(note == "never in the truth, so left out of the means over classes: stem" for note in report.notes)
    table.loc[table.index[:50], "truth"] = "microglia"
    report = evaluate(table, draws=50)
    assert report.labels == (*CLASSES, "microglia")
    assert report.numbers["prediction"]["recall.microglia"].value == 0
    assert report.numbers["prediction"]["auc.microglia"].value == 0.5


def test_one_class_leaves_what_cannot_be_computed_out():
    report = evaluate(table_of().assign(truth="stem"), draws=50)
    assert {"accuracy", "recall.stem"} <= set(report.numbers["prediction"])
    assert not {"kappa", "mcc", "auc", "auc.stem"} & set(report.numbers["prediction"])
    assert any("only the class 'stem' occurs in the truth" in note for note in report.notes)


def test_without_probabilities_their_figures_are_absent():
    table = table_of()[["id", "group", "truth", "prediction"]]
    report = evaluate(table, draws=50)
    assert "macro_f1" in report.numbers["prediction"]
    assert not {"auc", "log_loss", "brier", "ece", "average_precision"} & set(report.numbers["prediction"])
    assert any("no probabilities" in note for note in report.notes)


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


def test_numbers_are_compared_as_numbers():
    rng = np.random.default_rng(0)
    table = DataFrame({"truth": rng.normal(10, 3, 120), "group": np.arange(120) % 10})
    table["prediction"] = table["truth"] + rng.normal(0, 1, 120)
    table["prediction@mean"] = 10.0
    report = evaluate(table, predictions=("prediction", "prediction@mean"), draws=100)
    assert (report.task, report.labels, report.headline) == ("number", (), "mae")
    assert report.contests[0].verdict == "better" and report.contests[0].differences["mae"].value < 0
    assert report.contests[0].mcnemar_p is None
    assert report.permutation["prediction"] == pytest.approx(1 / 101)
    assert "pearson" not in report.numbers["prediction@mean"]
    assert report.numbers["prediction"]["limits_low"].value < report.numbers["prediction"]["bias"].value


def test_vectors_are_compared_as_vectors():
    rng = np.random.default_rng(0)
    truth = rng.normal(size=(60, 4))
    near = truth + rng.normal(size=(60, 4))
    table = DataFrame({"truth": list(truth), "prediction": list(near), "group": np.arange(60) % 6})
    report = evaluate(table, draws=100)
    assert report.task == "vector" and set(report.numbers["prediction"]) == {"cosine", "distance", "rmse"}
    assert report.permutation["prediction"] < 0.05


@pytest.mark.parametrize(
    ("truth", "prediction", "kind"),
    [
        (["a", "b"], ["a", "a"], "category"),
        ([True, False], [True, True], "category"),
        ([0, 1], [1, 1], "category"),
        ([0.0, 1.0], [1.0, 0.0], "category"),
        ([0, 1], [1, 2], "number"),
        ([0, 1], [0.5, 1], "number"),
        ([0.5, 1.5], [0.5, 1.5], "number"),
        (list(range(25)), list(range(25)), "number"),
        ([[0, 1], [1, 1]], [[0, 1], [1, 1]], "vector"),
        (pd.Categorical(["low", "high"], ["low", "high"], ordered=True), ["low", "low"], "ordinal"),
        (pd.Categorical(["low", "high"]), ["low", "low"], "category"),
    ],
)
def test_the_kind_of_answer_is_seen_from_the_cells(truth, prediction, kind):
    assert evaluate(DataFrame({"truth": truth, "prediction": prediction}), draws=0).task == kind


def test_declared_kinds_and_orders_win():
    rows = DataFrame({"image": "a.png", "truth": [1, 2, 3, 1], "prediction": [1, 3, 3, 2]}).assign(id=list("abcd"))
    report = evaluate(Manifest.of_rows(rows, kinds={"truth": "number"}), draws=0)
    assert report.task == "number"
    report = evaluate(Manifest.of_rows(rows, kinds={"truth": "ordinal"}), draws=0)
    assert report.labels == ("1", "2", "3") and "weighted_kappa" in report.numbers["prediction"]
    named = rows.assign(truth=["mid", "low", "high", "low"], prediction="low")
    with pytest.raises(AnswerError, match="the order of the classes is not known"):
        evaluate(Manifest.of_rows(named, kinds={"truth": "ordinal"}), draws=0)
    facts = {"plan": {"classes": ["low", "mid", "high"]}}
    ordered = evaluate(Manifest.of_rows(named, kinds={"truth": "ordinal"}), draws=0, facts=facts)
    assert ordered.labels == ("low", "mid", "high")
    with pytest.raises(AnswerError, match="answers of kind 'catgory' cannot be compared") as caught:
        evaluate(Manifest.of_rows(rows, kinds={"truth": "catgory"}), draws=0)
    assert caught.value.mend == "did you mean 'category'?"


def test_unknown_groups_and_random_splits_stand_on_the_first_lines():
    table = table_of().drop(columns="group")
    report = evaluate(table, draws=20)
    assert report.facts["banner"] == ["groups unknown: intervals assume independent images"] and report.groups == 240
    manifest = Manifest.of_rows(table, origin={"split": "random"})
    report = evaluate(manifest, draws=20, facts={"banner": ["simulated images"]})
    starts = [line.split(":")[0] for line in report.facts["banner"]]
    assert starts == ["groups unknown", "random split", "simulated images"]
    known = Manifest.of_rows(table_of(), folder="wells")
    assert evaluate(known, draws=20).facts["banner"] == [] and evaluate(known, draws=0).facts["folder"] == "wells"


def test_rows_may_be_grouped_by_another_column():
    table = table_of().assign(plate=np.arange(240) % 7)
    assert evaluate(table, by="plate", draws=20).groups == 7
    with pytest.raises(AnswerError, match="there is no column 'plat' to group by") as caught:
        evaluate(table, by="plat")
    assert caught.value.mend == "did you mean 'plate'?"
    table["plate"] = table["plate"].where(table["plate"] > 0)
    assert evaluate(table, by="plate", draws=20).groups == 6 + 35


def test_errors_of_a_table_say_what_where_and_how():
    table = table_of()
    with pytest.raises(AnswerError, match="there is no prediction column 'prediction@forst'") as caught:
        evaluate(table.assign(**{"prediction@forest": "stem"}), predictions=("prediction", "prediction@forst"))
    assert caught.value.mend == "did you mean 'prediction@forest'?"
    with pytest.raises(AnswerError, match="there is no truth column 'label'"):
        evaluate(table, truth="label")
    with pytest.raises(AnswerError, match="no row has both a truth and an answer"):
        evaluate(table.assign(prediction=None))
    with pytest.raises(AnswerError, match="the table has no rows"):
        evaluate(table.head(0))
    with pytest.raises(AnswerError, match="must be named, each once"):
        evaluate(table, predictions=("prediction", "prediction"))
    with pytest.raises(AnswerError, match="have no row in common"):
        half = np.arange(len(table)) < 100
        split = table.assign(prediction=table["truth"].where(half), reader=table["truth"].where(~half))
        evaluate(split.drop(columns=table.filter(like="prob").columns), predictions=("prediction", "reader"))
    table["prediction.probability.stem"] *= 3
    with pytest.raises(AnswerError, match="the probabilities of a row") as caught:
        evaluate(table)
    assert "columns 'truth' and 'prediction'; row cell" in caught.value.where


def test_human_readers_need_no_probabilities_and_may_be_named_freely():
    table = table_of(sources=(("prediction", 2.0), ("prediction@reader2", 1.0)))
    table = table.drop(columns=table.filter(like="reader2.").columns).rename(columns={"prediction@reader2": "Dr. A"})
    report = evaluate(table, predictions=("prediction", "Dr. A"), draws=100)
    assert "auc" in report.numbers["prediction"] and "auc" not in report.numbers["Dr. A"]
    assert "auc" not in report.contests[0].differences and report.contests[0].verdict == "better"
