"""The three families on one page: accuracy and cost in one table, and whether the review's words hold."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile
from scipy.ndimage import label
from trivial_masks import trivial
from zoo import fields

from potency import systems
from potency.bundle import Bundle, Card, NetworkMember
from potency.data.manifest import Manifest
from potency.data.plan import Facts
from potency.learning.planning import planned
from potency.learning.truths import truths
from potency.systems import SYSTEMS, families, reproduce
from potency.systems.arms import Problem
from potency.systems.families import COSTS, FAMILIES, QUICK
from potency.systems.outlines import CELLS
from potency.systems.recipe import Arm, Asked, Budget, Learned
from potency.tasks import find_task

TASK = find_task("instances")
# Mask R-CNN itself learns and answers in test_outlined.py: its 31 million weights would take most of this test's time.
GRAPH = "keypoint-graph:encoder=tiny:depth=2"
NETWORKS = ("unet:width=4:depth=1", f"{GRAPH}:width=4", f"{GRAPH}:width=8")


def learned(manifest: Manifest, asked: Asked, into: Path, say: Callable[[str], None]) -> Learned:
    """In place of learning: the truth, in which a semantic network merges what touches; weights as they are drawn."""
    plan = planned(Facts.of(manifest), TASK, **asked.changes)
    plan = TASK.prepare(plan, truths(manifest, TASK))
    Bundle(Card(TASK.name, (plan,)), (NetworkMember(TASK, plan, TASK.build(plan)),)).save(into / "bundle")
    rows = manifest.table[["id", "truth"]].rename(columns={"truth": "prediction"})
    if asked.changes.get("decoder") == "components":
        for k, path in enumerate(rows["prediction"]):
            merged, _ = label(tifffile.imread(manifest.folder / path) > 0)
            tifffile.imwrite(manifest.folder / f"merged-{k}.tif", merged.astype(np.uint16))
        rows["prediction"] = [f"merged-{k}.tif" for k in range(len(rows))]
    if "trivial" in asked.baselines:
        rows = rows.merge(trivial(manifest, manifest, into), on="id")
    return Learned(pd.DataFrame(rows), {"plan": plan.json()}, into / "bundle")


def test_three_families_in_one_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arms = tuple(Arm(arm.name, {**arm.changes, "network": name}) for arm, name in zip(QUICK, NETWORKS, strict=True))
    small = Budget("quick", arms, folds=3, changes={"tile": 32, "batch": 2, "steps": 1})
    world = fields(tmp_path / "fields", cells=60, groups=5, wells=1, field=96)
    problem = Problem("simulated-cells", "Simulated cells", CELLS, Manifest.read(world.folder, truth="mask"), True)
    monkeypatch.delenv("POTENCY_DATA", raising=False)
    monkeypatch.setattr(families, "problems", lambda *_: [problem])
    monkeypatch.setattr(families, "LOOKED", 1)
    monkeypatch.setitem(systems.SYSTEMS, "mask-rcnn", replace(SYSTEMS["mask-rcnn"], budgets=(small,)))
    page = reproduce("mask-rcnn", into=tmp_path / "out", budget="quick", learn=learned)
    told = json.loads((tmp_path / "out/report.json").read_text("utf-8"))
    (grid,) = told["scenes"]["simulated-cells"]["grids"]
    unet, graph, mask = FAMILIES.values()
    rows = {row[0]: dict(zip(grid["head"], row, strict=True)) for row in grid["rows"]}
    assert list(rows) == [mask, unet, graph, "trivial"]  # that of the system first
    for name in FAMILIES.values():
        assert all(float(rows[name][cost].replace(",", "")) > 0 for cost in COSTS)
    weights = [float(rows[name]["parameters (M)"]) for name in FAMILIES.values()]
    assert weights[0] < weights[1] < weights[2] and rows["trivial"]["s an image"] == "-"
    assert rows[graph]["Merged"].startswith(".00") and not rows[unet]["Merged"].startswith(".00")
    assert rows[mask]["Panoptic quality (PQ)"].startswith("1.0")
    (words,) = told["findings"]
    assert words.startswith(f"Simulated cells (simulated): the fastest is {unet}, ")
    text = page.read_text("utf-8")
    assert "2 h 30 on a 24 GB card" in text and "SIMULATED: a program drew these images" in text
    assert "grey 256x256" in text and f"{mask} against {unet}" in text
