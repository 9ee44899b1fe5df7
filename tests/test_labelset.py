"""Several classes at once: figures as scikit-learn has them, cells of other programs, what is refused, the task."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pandas import DataFrame
from prediction_tables import CLASSES, SAMPLES, label_sets, weightings
from sklearn import metrics as other

from potency.answers import Labelset
from potency.data.manifest import Manifest
from potency.data.plan import Plan
from potency.errors import AnswerError, ManifestError, PlanError
from potency.evaluation import evaluate
from potency.tasks import TASKS, Focus, task_for


def test_figures_are_those_of_another_implementation_under_any_weights() -> None:
    evidence = Labelset.compare_columns(*label_sets())
    weights = weightings()
    found = Labelset.summarise(evidence, weights)
    true, said, share = (evidence.arrays[name] for name in ("truth", "predicted", "probability"))
    for row, w in enumerate(weights.astype(float)):
        for average in ("macro", "micro"):
            expected = other.f1_score(true, said, average=average, sample_weight=w)
            assert found[f"{average}_f1"][row] == pytest.approx(expected)
        assert found["exact_match"][row] == pytest.approx(other.accuracy_score(true, said, sample_weight=w))
        assert found["hamming_loss"][row] == pytest.approx(other.hamming_loss(true, said, sample_weight=w))
        for k, name in enumerate(CLASSES):
            area = other.roc_auc_score(true[:, k], share[:, k], sample_weight=w)
            assert found[f"auc.{name}"][row] == pytest.approx(area)
            precision = other.average_precision_score(true[:, k], share[:, k], sample_weight=w)
            assert found[f"average_precision.{name}"][row] == pytest.approx(precision)
            recall = other.recall_score(true[:, k], said[:, k], sample_weight=w)
            assert found[f"recall.{name}"][row] == pytest.approx(recall)
        assert found["brier"][row] == pytest.approx(np.average(((share - true) ** 2).mean(1), weights=w))


def test_a_class_that_a_draw_lacks_is_left_out_of_its_means() -> None:
    evidence = Labelset.compare_columns(DataFrame({"": ["a", "none", "a | b"]}), DataFrame({"": ["a", "b", "none"]}))
    found = Labelset.summarise(evidence, np.array([[1.0, 1, 1], [1, 1, 0]]))
    assert found["macro_f1"].tolist() == pytest.approx([1 / 3, 1.0]) and np.isnan(found["f1.b"][1])
    assert "auc" not in found and evidence.labels == ("a", "b")


def test_members_vote_and_their_probabilities_are_averaged() -> None:
    one, two, three = (Labelset.of_probability("ab", p) for p in ((0.9, 0.4), (0.6, 0.4), (0.2, 0.9)))
    both = Labelset.average([one, two, three])
    assert both.labels == ("a",) and both.probability is not None
    assert both.probability.tolist() == pytest.approx([1.7 / 3, 1.7 / 3])
    with pytest.raises(AnswerError, match="different classes"):
        Labelset.average([one, Labelset.of_probability("xy", (0.5, 0.5))])


def test_what_cannot_be_compared_is_named_with_its_row() -> None:
    truth = DataFrame({"": ["a", None]}, index=["cell 1", "cell 2"])
    with pytest.raises(AnswerError, match=r"a truth names no class(.|\n)*cell 2(.|\n)*'none'"):
        Labelset.compare_columns(truth, DataFrame({"": ["a", "a"]}))
    said = DataFrame({"": ["a", "a"], "probability.a": [0.5, 1.5]})
    with pytest.raises(AnswerError, match=r"outside 0 to 1: 1.5(.|\n)*row 1"):
        Labelset.compare_columns(DataFrame({"": ["a", "a"]}), said)
    with pytest.raises(AnswerError, match="the cell of the classes is empty"):
        Labelset.of_cells({"": None}, Path())


def test_a_column_of_sets_is_understood_and_told_apart_by_class() -> None:
    cells = ["Cytosol", "Nucleoplasm;Cytosol", "none", None]
    rows = Manifest.of_rows(DataFrame({"image": list("abcd"), "truth": cells}))
    assert rows.kinds["truth"] == "labelset" and rows.classes == ("Cytosol", "Nucleoplasm")
    assert rows.keep(["Cytosol"]).table["truth"].tolist() == ["Cytosol", "none"]
    with pytest.raises(ManifestError, match="no class 'Cytosl'"):
        rows.keep(["Cytosl"])
    many = DataFrame({"image": [f"{k}.png" for k in range(12)], "group": list("abcdef") * 2})
    folds = Manifest.of_rows(many.assign(truth=["x"] * 11 + ["x;y"])).split(folds=3)
    assert set(folds.table["fold"]) == {0, 1, 2}  # a set that one group alone has is no class that folds must share


def test_columns_of_any_program_are_judged_with_intervals() -> None:
    truth, said = label_sets()
    table = DataFrame({"truth": truth[""], "group": np.arange(SAMPLES) % 20})
    table = table.assign(**{f"prediction.{part}".removesuffix("."): cells for part, cells in said.items()})
    blind = DataFrame({"prediction@always": ["stem"] * SAMPLES})
    report = evaluate(Manifest.of_rows(table.join(blind).assign(image="a.png", id=[f"{k}" for k in range(SAMPLES)])),
                      predictions=("prediction", "prediction@always"), draws=100)  # fmt: skip
    assert (report.task, report.headline) == ("labelset", "macro_f1")
    assert report.numbers["prediction"]["macro_f1"].low is not None
    assert report.contests[0].verdict == "better" and report.contests[0].mcnemar_p is not None
    assert report.permutation["prediction"] < 0.05


def test_the_task_asks_for_classes_and_explains_one_or_a_difference() -> None:
    import torch

    task, plan = TASKS["multilabel"], Plan(classes=("a", "b", "c"))
    assert task_for("labelset") is task
    assert task.encode(Labelset(("a", "c")), plan)["target"].tolist() == [1, 0, 1]
    with pytest.raises(PlanError, match="'d' is not in the plan"):
        task.encode(Labelset(("d",)), plan)
    with pytest.raises(PlanError, match="no row names a class"):
        task.prepare(Plan(), [])
    logits = torch.tensor([[2.0, -1.0, 0.5]])
    answer = task.decode({"output": logits[0].numpy()}, plan)
    assert isinstance(answer, Labelset) and answer.labels == ("a", "c") and answer.probability is not None
    np.testing.assert_allclose(answer.probability, torch.sigmoid(logits[0]).numpy(), rtol=1e-6)
    assert task.focus({"output": logits}, plan, Focus()).tolist() == [2.0]
    assert task.focus({"output": logits}, plan, Focus(label="c", against="b")).tolist() == [1.5]
    assert task.focus({"output": logits}, plan, Focus("probability", "b")).item() == pytest.approx(0.26894, abs=1e-4)
