"""Prediction sets: they hold the truth of new groups as often as they promise, and they survive a table."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from potency.answers import Category
from potency.answers.conformal import fit_sets, held, plausible
from potency.data.manifest import Manifest
from potency.evaluation.evaluate import evaluate
from potency.learning.calibration import calibration
from potency.tasks import TASKS

CLASSES = ("a", "b", "c")


def drawn(rng: np.random.Generator, groups: int, each: int = 25) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    truth, group = rng.integers(0, 3, groups * each), np.repeat(np.arange(groups), each)
    scores = rng.normal(size=(len(truth), 3)) + rng.normal(0, 0.8, (groups, 3))[group]
    scores[np.arange(len(truth)), truth] += 1.5
    power = np.exp(scores)
    return truth, power / power.sum(1, keepdims=True), group


@pytest.mark.parametrize("groups", [5, 40])
def test_sets_hold_the_truth_of_new_groups_as_often_as_promised(groups: int) -> None:
    covered, sizes = [], []
    for seed in range(60):
        rng = np.random.default_rng([groups, seed])
        truth, probability, group = drawn(rng, groups)
        new, told, _ = drawn(rng, 40)
        sets = plausible(told, fit_sets(truth, probability, group))
        covered.append(sets[np.arange(len(new)), new].mean())
        sizes.append(sets.sum(1).mean())
    assert 0.9 <= np.mean(covered) <= 0.96 and np.mean(sizes) < 2.6


def test_a_group_counts_once_however_many_images_it_has() -> None:
    """One hard group among twenty easy ones: as half of all images it decides, as one group of many it does not."""
    easy, hard = np.tile([[0.95, 0.05]], (20, 1)), np.tile([[0.2, 0.8]], (20, 1))
    probability, truth = np.vstack([easy, hard]), np.zeros(40, int)
    groups = np.r_[np.arange(20), np.full(20, 99)]
    assert fit_sets(truth, probability, None) == pytest.approx(0.2)
    assert fit_sets(truth, probability, groups) == pytest.approx(0.95)


def test_every_class_stays_where_no_sample_is_sure_enough() -> None:
    assert fit_sets(np.zeros(1, int), np.array([[0.1, 0.9]]), None, miss=0.01) <= 0.1
    assert plausible(np.array([0.1, 0.9]), 0.0).all()
    assert plausible(np.array([0.2, 0.3, 0.5]), 0.99).tolist() == [False, False, True]  # never empty


def test_a_set_goes_through_a_table_and_back() -> None:
    answer = Category.of_probability(CLASSES, np.array([0.5, 0.4, 0.1])).calibrated({"temperature": 1.0, "set": 0.3})
    cells = answer.cells(Path(), "prediction")
    assert cells["prediction.set"] == "a | b" and cells["prediction.abstain"] == "set"
    parts = {name.removeprefix("prediction").removeprefix("."): value for name, value in cells.items()}
    again = Category.of_cells(parts, Path())
    assert again.plausible == ("a", "b")
    sure = Category.of_probability(CLASSES, np.array([0.9, 0.06, 0.04])).calibrated({"temperature": 1.0, "set": 0.3})
    assert sure.cells(Path(), "p")["p.abstain"] == "no"
    bare = Category.of_probability(CLASSES, np.array([0.9, 0.06, 0.04])).calibrated({"temperature": 1.0})
    assert "p.set" not in bare.cells(Path(), "p")  # bundles from before there were sets
    whole = Category.stitch([(None, answer), (None, sure)], None)
    assert whole.plausible == ("a", "b") and whole.label == "a"


def test_figures_of_sets_are_those_counted_by_hand() -> None:
    truth = pd.DataFrame({"": ["a", "b", "c", "a"]})
    told = pd.DataFrame({"": ["a", "a", "c", "b"], "set": ["a", "a | b", "c", "b | c"],
                         **{f"probability.{k}": [1 / 3] * 4 for k in CLASSES}})  # fmt: skip
    evidence = Category.compare_columns(truth, told, CLASSES)
    found = Category.summarise(evidence, np.ones((1, 4)))
    assert {k: float(found[k][0]) for k in ("coverage", "set_size", "abstained", "accuracy_kept")} == {
        "coverage": 0.75, "set_size": 1.5, "abstained": 0.5, "accuracy_kept": 1.0
    }  # fmt: skip
    weighted = Category.summarise(evidence, np.array([[0.0, 1, 0, 1]]))
    assert float(weighted["coverage"][0]) == 0.5 and np.isnan(weighted["accuracy_kept"][0])


def test_single_answers_and_columns_give_the_same_evidence() -> None:
    answer = Category(label="a", classes=CLASSES, probability=np.array([0.5, 0.4, 0.1]), plausible=("a", "b"))
    one = answer.compare(Category("b"))
    assert bool(one.arrays["covered"][0]) and float(one.arrays["named"][0]) == 2
    assert held(["a | b"], np.array([1]), CLASSES)["covered"].tolist() == [True]


def test_sets_are_fitted_by_group_and_reported_with_intervals() -> None:
    rng = np.random.default_rng(0)
    truth, probability, group = drawn(rng, 12)
    table = pd.DataFrame({"image": [f"{i}.png" for i in range(len(truth))], "truth": [CLASSES[k] for k in truth],
                          "group": [f"g{g}" for g in group], "prediction": [CLASSES[k] for k in probability.argmax(1)],
                          **{f"prediction.probability.{c}": probability[:, k] for k, c in enumerate(CLASSES)}})
    rows = Manifest.of_rows(table, kinds={"truth": "category", "prediction": "category"})
    trust = calibration(rows, TASKS["classify"], CLASSES)
    assert set(trust) == {"temperature", "set"} and 0 < trust["set"] < 1
    answers = [Category.of_probability(CLASSES, p).calibrated(trust).cells(Path(), "prediction") for p in probability]
    told = rows.add(pd.DataFrame(answers).drop(columns="prediction"), {"prediction": "category"})
    assert calibration(told, TASKS["classify"], CLASSES)["temperature"] == pytest.approx(1, abs=0.05)
    coverage = evaluate(told, draws=200).numbers["prediction"]["coverage"]
    assert coverage.low is not None and coverage.low <= coverage.value <= (coverage.high or 0)
    assert coverage.value > 0.88


def test_the_benchmark_tells_coverage_by_groups(tmp_path: Path) -> None:
    script = Path(__file__).parents[1] / "benchmarks" / "conformal.py"
    call = [sys.executable, str(script), "--quick", "--json"]
    environment = {"PATH": "/usr/bin:/bin"}  # no real images
    ran = subprocess.run(call, capture_output=True, text=True, check=True, cwd=tmp_path, timeout=300, env=environment)
    rows = json.loads(ran.stdout.splitlines()[-1])
    ours = [row for row in rows if row["role"] == "target"]
    assert ours and all(row["coverage"] >= row["target"] and row["groups"] > 0 for row in ours)
