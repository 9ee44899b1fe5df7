"""System localization: several compartments at once, what networks must beat, the gate and the time of a decision."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.ndimage import binary_erosion
from small_bundle import bundle_of
from zoo import proteins

from potency import systems
from potency.bundle import Bundle, Card, NetworkMember
from potency.data.manifest import Manifest
from potency.data.plan import Facts, Plan
from potency.errors import ManifestError, PotencyError
from potency.inference.latency import latency
from potency.inference.predict import predict
from potency.simulate import proteins as drawn
from potency.simulate.cells import TRAITS, Genes, draw, traits
from potency.systems import SYSTEMS, localization, reproduce
from potency.systems.recipe import Arm, Asked, Budget, Learned, Order
from potency.tasks import task_for

SMALL = Budget("quick", (Arm("tiny", {"network": "tiny"}),), cells=60, changes={"tile": 32, "test_views": 1})


def untrained(manifest: Manifest, asked: Asked, into: Path, say: object) -> Learned:
    """Stands for the protocol: a network that has learned nothing answers the test rows."""
    task = task_for(manifest.kinds["truth"])
    plan = Plan.of(Facts.of(manifest), task=task.name, **asked.changes)
    torch.manual_seed(0)
    member = NetworkMember(task, plan, task.build(plan).eval())
    bundle = Bundle(Card(task.name, (plan,)), (member,)).save(into / "bundle")
    told = predict(manifest.of("test"), bundle, into=None).table
    columns = ["id", *(name for name in told if str(name).startswith("prediction"))]
    return Learned(told[columns], {"split_kind": "own", "split": "a split", "plan": plan.json()}, into / "bundle")


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("POTENCY_DATA", raising=False)
        patch.setattr("potency.estimators.pipelines.TREES", 20)
        patch.setattr(localization, "GROUPS", 12)
        patch.setattr(localization, "CALLS", 100)
        patch.setitem(systems.SYSTEMS, "localization", replace(SYSTEMS["localization"], budgets=(SMALL,)))
        return reproduce("localization", into=tmp_path_factory.mktemp("proteins") / "out", learn=untrained)


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
    """The picture of a protein in the nucleus is that of the DNA, those of other compartments are not."""
    rows = proteins(tmp_path / "cells", cells=48, size=64, pixel_size=0.65)
    assert rows.kinds["truth"] == "labelset" and rows.classes == drawn.COMPARTMENTS
    alike: dict[str, list[float]] = {}
    for row in rows.records():
        dna, protein = rows.open(row).crop().astype(float)
        alike.setdefault(row["truth"], []).append(float(np.corrcoef(dna.ravel(), protein.ravel())[0, 1]))
    means = {name: float(np.mean(values)) for name, values in alike.items()}
    assert means["nucleus"] > 0.9 > 0.7 > max(means[name] for name in ("cytoplasm", "membrane", "nucleoli"))
    assert "none" in alike and any(" | " in name for name in alike)


def test_each_compartment_lies_where_it_belongs_in_a_drawn_cell() -> None:
    genes, young = Genes.of(np.random.default_rng(0), 6), np.zeros(6, np.float32)
    shape = traits(genes, np.zeros(6, np.int64), young, np.zeros((6, len(TRAITS)), np.float32))
    shape["processes"] = 0 * shape["processes"]
    bodies = draw(genes, shape, np.zeros(6, np.int64), young, 80, 0.65)
    places = drawn.compartments(bodies, genes, shape, 0.65)
    assert set(places) == set(drawn.COMPARTMENTS)
    for k in range(6):
        cell, nucleus = bodies.mask[k], bodies.nucleus[k] > 0.5
        rim, deep = cell & ~binary_erosion(cell, iterations=2), binary_erosion(cell, iterations=4)
        assert places["membrane"][k][rim].mean() > 2 * places["membrane"][k][deep].mean()
        assert not places["membrane"][k][~cell].any()
        assert places["nucleoli"][k][nucleus].sum() > 0.95 * places["nucleoli"][k].sum() > 0
        assert places["nucleoli"][k].sum() < 0.5 * places["nucleus"][k].sum()
        assert places["cytoplasm"][k][nucleus].mean() < 0.6 * places["cytoplasm"][k][deep & ~nucleus].mean()


def test_a_decision_is_timed_alone_and_its_tail_is_told() -> None:
    samples = [{"image": np.zeros((1, 16, 16), np.uint8)}]
    told = latency(bundle_of(), samples, 100)
    assert 0 < told.p50 <= told.p99 <= told.longest and told.calls == 100 and "cpu" in told.engine
    with pytest.raises(PotencyError, match="99th percentile"):
        latency(bundle_of(), samples, 10)
    with pytest.raises(PotencyError, match="0 crops"):
        latency(bundle_of(), [])
