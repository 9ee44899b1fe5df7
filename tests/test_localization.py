"""System localization: several compartments at once, what networks must beat, the gate and the time of a decision."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from small_bundle import bundle_of
from zoo import proteins

from potency import systems
from potency.data.manifest import Manifest
from potency.errors import ManifestError, PotencyError
from potency.inference.latency import latency
from potency.simulate import proteins as drawn
from potency.systems import SYSTEMS, localization, reproduce
from potency.systems.recipe import Arm, Budget, Order

CHEAP = {"tile": 32, "batch": 16, "steps": 12, "validations": 1, "test_views": 1}
SMALL = Budget("quick", (Arm("tiny", {"network": "tiny"}),), cells=96, changes=CHEAP)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("POTENCY_DATA", raising=False)
        patch.setattr("potency.estimators.pipelines.TREES", 20)
        patch.setattr(localization, "GROUPS", 20)
        patch.setattr(localization, "CALLS", 100)
        patch.setitem(systems.SYSTEMS, "localization", replace(SYSTEMS["localization"], budgets=(SMALL,)))
        return reproduce("localization", into=tmp_path_factory.mktemp("proteins") / "out")


def test_a_network_stands_beside_forests_and_the_commonest_set(done: Path) -> None:
    scene = json.loads((done.parent / "report.json").read_text("utf-8"))["scenes"]["simulated"]
    assert scene["task"] == "labelset" and scene["simulated"]
    assert {"forest", "trivial", "constant"} <= set(scene["baselines"])
    assert {"macro_f1", "micro_f1", "exact_match", "average_precision"} <= set(scene["metrics"])
    (grid,) = scene["grids"]
    assert grid["head"][1:] == list(drawn.COMPARTMENTS) and len(grid["rows"]) >= 7  # a constant has no precision curve
    rows = pd.read_parquet(done.parent / "simulated/rows.parquet")
    common = rows["prediction@constant"].unique()
    assert len(common) == 1
    assert scene["baselines"]["forest"]["macro_f1"]["value"] > scene["baselines"]["constant"]["macro_f1"]["value"]
    text = done.read_text("utf-8")
    assert "SIMULATED: a program drew these images" in text and "No real images were used" in text


def test_the_gate_was_chosen_on_rows_of_other_groups_than_those_it_is_judged_on(done: Path) -> None:
    sheets = json.loads((done.parent / "report.json").read_text("utf-8"))["sheets"]
    (grid,) = sheets["simulated-gate"]["grids"]
    assert grid["head"][4:6] == ["purity", "yield"]
    assert {row[0] for row in grid["rows"]} <= set(drawn.COMPARTMENTS) and len(grid["rows"]) % 3 == 0
    rows = localization.dealt(Manifest.read(done.parent / "simulated"))
    parts = {part: set(rows.of(part).table["group"]) for part in ("train", "validation", "test")}
    assert not (parts["validation"] & parts["test"] or parts["train"] & (parts["test"] | parts["validation"]))
    assert "fold" not in rows.table
    (times,) = sheets["simulated-latency"]["grids"]
    (line,) = times["rows"]
    assert 0 < float(line[1]) <= float(line[2]) <= float(line[3])


def test_images_without_names_are_refused(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        np.save(tmp_path / f"{name}.npy", np.zeros((8, 8), np.uint8))
    pd.DataFrame({"file": ["a.npy", "b.npy", "c.npy"], "label": [0.5, 1.25, 2.5]}).to_csv(tmp_path / "labels.csv")
    order = Order(tmp_path / "out", tmp_path, SMALL, lambda *asked: None, print)  # type: ignore[arg-type, return-value]
    with pytest.raises(ManifestError, match=r"no column names what is in each image(.|\n)*nucleus \| membrane"):
        next(localization.problems(order))


def test_a_protein_shines_where_it_is_said_to_be(tmp_path: Path) -> None:
    """In cells of one compartment the light above the ground lies there, measured against the cell's own mask."""
    rows = proteins(tmp_path / "cells", cells=60, size=64, pixel_size=0.65)
    assert rows.kinds["truth"] == "labelset" and rows.classes == drawn.COMPARTMENTS
    inside: dict[str, list[float]] = {}
    for row in rows.records():
        dna, protein = rows.open(row).crop().astype(float)
        nucleus = dna > (dna.min() + dna.max()) / 2
        light = protein - np.median(protein)
        inside.setdefault(row["truth"], []).append(light[nucleus].mean() / light.max())
    share = {name: float(np.mean(values)) for name, values in inside.items()}
    assert share["nucleus"] > 0.5 > share["nucleoli"] and share["nucleus"] > share["cytoplasm"] > share["membrane"]
    assert "none" in inside and any(" | " in name for name in inside)


def test_a_decision_is_timed_alone_and_its_tail_is_told() -> None:
    samples = [{"image": np.zeros((1, 16, 16), np.uint8)}]
    told = latency(bundle_of(), samples, 100)
    assert 0 < told.p50 <= told.p99 <= told.longest and told.calls == 100 and "cpu" in told.engine
    with pytest.raises(PotencyError, match="99th percentile"):
        latency(bundle_of(), samples, 10)
    with pytest.raises(PotencyError, match="0 crops"):
        latency(bundle_of(), [])
