"""Evaluation: intervals over groups, and what a table may lack."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from pandas import DataFrame
from prediction_tables import FATES, table_of
from sklearn import metrics as other

from potency.answers import Category
from potency.data.manifest import Manifest
from potency.errors import AnswerError
from potency.evaluation import evaluate, intervals
from potency.evaluation.intervals import bootstrap, group_weights, levels


def test_intervals_are_those_of_a_plain_loop_over_the_same_draws():
    table = table_of(samples=90)
    found = evaluate(table, draws=60, seed=5).numbers["prediction"]
    codes = pd.factorize(table["group"], sort=True)[0]
    probability = table[[f"prediction.probability.{label}" for label in FATES]].to_numpy()
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
    assert report.labels == FATES
    assert "recall.stem" not in report.numbers["prediction"]
    assert any(note == "never in the truth, so left out of the means over classes: stem" for note in report.notes)
    table.loc[table.index[:50], "truth"] = "microglia"
    report = evaluate(table, draws=50)
    assert report.labels == (*FATES, "microglia")
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
    manifest = Manifest.of_rows(table, origin={"split_kind": "random"})
    report = evaluate(manifest, draws=20, facts={"banner": ["simulated images"]})
    starts = [line.split(":")[0] for line in report.facts["banner"]]
    assert starts == ["groups unknown", "simulated images"] and report.facts["split_kind"] == "random"
    assert "random split" in report.markdown().splitlines()[2].casefold()
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
    table["prediction.probability.stem"] *= 3
    with pytest.raises(AnswerError, match="the probabilities of a row") as caught:
        evaluate(table)
    assert "columns 'truth' and 'prediction'; row cell" in caught.value.where


def test_columns_without_a_common_row_have_figures_but_no_contest():
    table = table_of()
    half = np.arange(len(table)) < 100
    split = table.assign(prediction=table["truth"].where(half), reader=table["truth"].where(~half))
    split["second"] = table["truth"].iloc[::-1].to_numpy()
    split = split.drop(columns=table.filter(like="prob").columns)
    report = evaluate(split, predictions=("prediction", "reader", "second"), draws=50)
    assert report.numbers["reader"]["accuracy"].value == 1
    assert [contest.second for contest in report.contests] == ["second"]
    assert "not compared with prediction, for want of rows both answered: reader" in report.notes


def test_human_readers_need_no_probabilities_and_may_be_named_freely():
    table = table_of(sources=(("prediction", 2.0), ("prediction@reader2", 1.0)))
    table = table.drop(columns=table.filter(like="reader2.").columns).rename(columns={"prediction@reader2": "Dr. A"})
    report = evaluate(table, predictions=("prediction", "Dr. A"), draws=100)
    assert "auc" in report.numbers["prediction"] and "auc" not in report.numbers["Dr. A"]
    assert "auc" not in report.contests[0].differences and report.contests[0].verdict == "better"


@pytest.mark.parametrize("cell, said", [(True, True), ("True", True), (False, False), (None, None)])
def test_predictions_of_simulated_images_are_called_simulated(cell, said):
    table = table_of(samples=90)
    report = evaluate(table if cell is None else table.assign(simulated=cell), draws=20)
    assert report.facts.get("simulated") == said
    assert evaluate(table, draws=20, facts={"simulated": True}).facts["simulated"]
