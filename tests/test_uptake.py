"""System uptake: patches to an image's score, and the intensity that should decide beside it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from cheap_learner import Learner

from potency import systems
from potency.systems import SYSTEMS, reproduce, uptake
from potency.systems.recipe import Budget
from potency.systems.uptake import Image, by_intensity, scored

SMALL = Budget("quick", uptake.OWN, rows=60, cells=480, passes=1, folds=3, changes={"seed": 0})


def test_an_image_is_the_mean_of_ten_patches() -> None:
    rng = np.random.default_rng(0)
    scores = rng.random(40)
    table = pd.DataFrame({"prediction.probability.high": scores})
    few, many = Image("few", "high", "a", np.arange(6), 5.0), Image("many", "low", "b", np.arange(6, 40), 1.0)
    made = scored(table, [few, many], ["prediction"])
    assert made["prediction.probability.high"][0] == pytest.approx(scores[:6].mean())
    again = scored(table, [few, many], ["prediction"])
    assert made.equals(again)
    assert made["prediction"].tolist() == ["high" if p > 0.5 else "low" for p in made["prediction.probability.high"]]
    sure = scored(pd.DataFrame({"prediction.probability.high": np.linspace(0.6, 0.9, 40)}), [many], ["prediction"])
    assert sure["prediction"][0] == "high" and 0.6 < sure["prediction.probability.high"][0] < 0.9


def test_references_are_images_of_other_groups() -> None:
    rows = np.arange(1)
    images = [
        Image("1", "high", "a", rows, 30.0), Image("2", "low", "a", rows, 90.0), Image("3", "high", "b", rows, 34.0),
        Image("4", "low", "b", rows, 17.0),
    ]  # fmt: skip
    assert by_intensity(images[0], images) == "high"  # 34 and 17 of b, not the 90 of its own group
    assert by_intensity(images[3], images) == "high"  # 30 and 90 of a: 17 is nearer to 30
    assert by_intensity(images[0], images[:2]) is None


def test_the_page_has_patches_and_images_and_the_intensity(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("POTENCY_DATA", raising=False)
    monkeypatch.setitem(systems.SYSTEMS, "uptake", replace(SYSTEMS["uptake"], budgets=(SMALL,)))
    learner = Learner(families=("intensity",))
    page = reproduce("uptake", into=tmp_path / "out", learn=learner)
    found = json.loads((tmp_path / "out" / "report.json").read_text("utf-8"))
    assert list(found["scenes"]) == ["simulated", "simulated-images"]
    images = found["scenes"]["simulated-images"]
    assert {"measured", "own-cnn-5-layers"} <= set(images["baselines"]) and images["groups"] >= 5
    assert images["metrics"]["balanced_accuracy"]["low"] is not None
    grid = next(grid for grid in images["grids"] if grid["title"] == "Agreement with the measured intensity")
    assert [row[0] for row in grid["rows"]] == ["own CNN, 3 layers", "own CNN, 5 layers", "trivial"]
    text = page.read_text("utf-8")
    assert "intensity alone should decide" in text and ".742 = high uptake" in text
    assert learner.seen[0][1].classes == ("high", "low")
    assert [asked.folds for _, asked in learner.asked] == [3, 3]
