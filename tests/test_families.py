"""The three families on one page: accuracy and cost in one table, and whether the review's words hold."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from zoo import fields

from potency import systems
from potency.data.manifest import Manifest
from potency.learning import cost
from potency.systems import SYSTEMS, families, reproduce
from potency.systems.arms import Problem
from potency.systems.families import COSTS, FAMILIES, QUICK
from potency.systems.outlines import CELLS
from potency.systems.recipe import Arm, Budget
from potency.systems.threshold import TRIVIAL

CHEAP = {"tile": 32, "batch": 2, "steps": 1, "validations": 1, "test_views": 1}
# Mask R-CNN itself learns and answers in test_outlined.py: its 31 million weights would take most of this test's time.
GRAPH = "keypoint-graph:encoder=tiny:depth=2"
NETWORKS = ("unet:width=4:depth=1", f"{GRAPH}:width=4", f"{GRAPH}:width=8")


def test_three_families_in_one_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arms = tuple(Arm(arm.name, {**arm.changes, "network": name}) for arm, name in zip(QUICK, NETWORKS, strict=True))
    small = Budget("quick", arms, folds=3, changes=CHEAP)
    world = fields(tmp_path / "fields", cells=40, groups=5, wells=1, field=96)
    problem = Problem("simulated-cells", "Simulated cells", CELLS, Manifest.read(world.folder, truth="mask"), True)
    monkeypatch.delenv("POTENCY_DATA", raising=False)
    monkeypatch.setattr(families, "problems", lambda *_: [problem])
    monkeypatch.setattr(families, "LOOKED", 1)
    monkeypatch.setattr(cost, "TIMED", 1)
    monkeypatch.setitem(systems.SYSTEMS, "mask-rcnn", replace(SYSTEMS["mask-rcnn"], budgets=(small,)))
    page = reproduce("mask-rcnn", into=tmp_path / "out", budget="quick")
    told = json.loads((tmp_path / "out/report.json").read_text("utf-8"))
    scene = told["scenes"]["simulated-cells"]
    assert {"dsb_ap.50", "dsb_ap", "f1.50", "pq", "aji"} <= set(scene["metrics"])
    (grid,) = scene["grids"]
    assert [row[0] for row in grid["rows"]] == [FAMILIES["mask-rcnn"], FAMILIES["unet"], FAMILIES["keypoint-graph"],
                                                TRIVIAL]  # fmt: skip
    priced = {row[0]: dict(zip(COSTS, row[-len(COSTS) :], strict=True)) for row in grid["rows"]}
    assert all(float(cell.replace(",", "")) > 0 for name in FAMILIES.values() for cell in priced[name].values())
    weights = [float(priced[name]["parameters (M)"]) for name in FAMILIES.values()]
    assert weights[0] < weights[1] < weights[2] and set(priced[TRIVIAL].values()) == {"-"}
    (words,) = told["findings"]
    assert words.startswith("Simulated cells (simulated): the fastest is ") and f"{FAMILIES['unet']} " in words
    text = page.read_text("utf-8")
    assert "5 a cell, grouped by a graph" not in text and "grey 256x256" in text
    assert "2 h 30 on a 24 GB card" in text and "SIMULATED: a program drew these images" in text
