"""Subgroups of a prediction with their largest gap, and what a forest says of plates and of more groups or images."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from made_up_experiments import table_of_figures

from potency.confounding.forest import Ground, curve_of, gap_of
from potency.evaluation.subgroups import subgroups


def test_a_subgroup_that_does_worse_is_found_over_groups_and_another_is_not() -> None:
    random = np.random.default_rng(0)
    group = np.repeat(np.arange(20), 20)
    truth = random.integers(0, 2, len(group))
    sex, line = np.where(group % 2, "f", "m"), np.where(group % 5 < 2, "l1", "l2")
    right = random.random(len(group)) < np.where(sex == "f", 0.6, 0.95)
    answers = pd.DataFrame({"truth": truth.astype(str), "prediction": np.where(right, truth, 1 - truth).astype(str),
                            "group": group, "sex": sex, "line": line, "one": "x", "rare": ["y"] * 5 + ["z"] * 395,
                            "batch": np.tile(["b1", "b2"], 200)})  # fmt: skip
    found = {each.column: each for each in subgroups(answers, ["sex", "line", "one", "rare", "batch"], draws=400)}
    assert set(found) == {"sex", "line", "batch"}
    assert found["sex"].worst == "f" and found["sex"].p is not None and found["sex"].p < 0.01
    assert found["sex"].gap.low is not None and found["sex"].gap.low > 0
    assert found["line"].p is not None and found["line"].p > 0.05
    assert found["batch"].p is None and found["batch"].untested == "the values change inside groups"
    inside = answers[answers["sex"] == "f"]
    from sklearn.metrics import balanced_accuracy_score

    part = next(part for part in found["sex"].parts if part.value == "f")
    assert part.figure.value == pytest.approx(balanced_accuracy_score(inside["truth"], inside["prediction"]))
    assert (part.rows, part.groups) == (200, 10)


def test_errors_of_numbers_are_compared_the_right_way_round() -> None:
    truth = np.arange(120.0)
    worse = np.repeat(["old", "new"], 60)
    table = pd.DataFrame({"truth": truth, "prediction": truth + np.where(worse == "old", 9.0, 1.0), "line": worse,
                          "group": [f"g{k // 10}" for k in range(120)]})  # fmt: skip
    found = subgroups(table, ["line"], draws=200)[0]
    assert (found.best, found.worst, found.metric) == ("new", "old", "mae") and found.gap.value == pytest.approx(8.0)


def test_leaving_plates_out_shows_what_the_split_by_group_hides(monkeypatch: pytest.MonkeyPatch) -> None:
    """Groups are wells of plates; each plate has its own light, which goes with the class on that plate only."""
    monkeypatch.setattr("potency.estimators.pipelines.TREES", 20)
    random = np.random.default_rng(0)
    plate = np.repeat(np.arange(4), 120)
    group = np.array([f"p{p}w{k % 6}" for k, p in enumerate(plate)])
    truth = random.integers(0, 2, len(plate))
    light = truth * np.array([1, -1, 1, -1])[plate] + 10 * plate + 0.2 * random.standard_normal(len(plate))
    made = table_of_figures(truth, group, plate)
    ground = Ground(made.table, light[:, None], True)
    gap = gap_of(ground, made, "plate", 200)
    assert gap is not None and gap.left_out is not None and gap.difference is not None
    assert gap.by_group.value > 0.95 and gap.left_out.value < 0.7
    assert gap.difference.high is not None and gap.difference.high < 0 and "split by plate" in gap.told
    curve = curve_of(ground, made, "", 200)
    assert curve is not None and {point.arm for point in curve.points} == {"groups", "images"}
    grown = [point for point in curve.points if point.arm == "groups"]
    assert len({point.images for point in grown}) == 1 and grown[0].groups < grown[-1].groups
    thinned = [point for point in curve.points if point.arm == "images"]
    one_well = ground.table.assign(well=ground.table["group"])
    again = curve_of(Ground(one_well, light[:, None], True), made, "well", 99)
    assert again is not None and [point.images for point in again.points] == [point.images for point in curve.points]
    assert len({point.groups for point in thinned}) == 1 and thinned[0].images < thinned[-1].images
