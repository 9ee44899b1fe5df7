"""Ensembles: members with crops of their own answer as one bundle, trained together or joined afterwards."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from small_bundle import bundle_of
from zoo import cells

from potency.bundle import Bundle
from potency.cli import run
from potency.data.facts import Facts
from potency.data.manifest import Manifest
from potency.data.plan import Plan
from potency.errors import BundleError, PlanError
from potency.evaluation.evaluate import evaluate
from potency.inference.predict import predict
from potency.learning import protocol
from potency.learning.ensemble import ensemble
from potency.learning.train import train
from potency.tasks import TASKS

CROPS = ((45, 60), (60, 60), (75, 75))
COLUMNS = ["prediction.probability.neuron", "prediction.probability.stem"]


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    return cells(tmp_path_factory.mktemp("cells"), size=80)


@pytest.fixture(scope="module")
def outcome(rows: Manifest, tmp_path_factory: pytest.TempPathFactory) -> protocol.Outcome:
    """An average of three networks, each with its own crop, through the whole protocol."""
    plan = Plan.of(
        Facts.of(rows), learner="average", steps=3, batch=8, validations=1, average=0.5, test_views=1,
        members=[f"tiny@{high}x{wide}" for high, wide in CROPS],
    )  # fmt: skip
    choices = protocol.Choices(folds=2, draws=20, baselines=(), audit=False, maps=False)
    return protocol.run(rows, TASKS["classify"], into=tmp_path_factory.mktemp("run"), plan=plan, choices=choices)


def crops(rows: Manifest) -> list[dict[str, object]]:
    return [{"image": rows.open(row).crop()} for _, row in rows.table.head(6).iterrows()]


def alone(bundle: Bundle, number: int) -> Bundle:
    from dataclasses import replace

    card = replace(bundle.card, plans=(bundle.card.plans[number],), trust={})
    return replace(bundle, card=card, members=(bundle.members[number],))


def test_an_average_is_learned_tested_and_kept_as_one_bundle(outcome: protocol.Outcome, rows: Manifest) -> None:
    bundle = Bundle.load(outcome.bundle)
    assert tuple(plan.tile for plan in bundle.card.plans) == CROPS and "temperature" in bundle.card.trust
    names = {path.name for path in outcome.bundle.iterdir()}
    assert {"weights.safetensors", "weights1.safetensors", "weights2.safetensors", "card.json"} < names
    each = [np.array([a.probability for a in alone(bundle, i)(crops(rows))]) for i in range(3)]  # type: ignore[attr-defined]
    assert not np.allclose(each[0], each[1], atol=1e-4)
    joint = np.array([a.probability for a in bundle.but(trust={})(crops(rows))])  # type: ignore[attr-defined]
    np.testing.assert_allclose(joint, np.mean(each, axis=0), atol=1e-6)
    curves = {(row["fold"], row["member"]) for row in outcome.report.facts["learning"]}
    assert curves == {(fold, member) for fold in range(2) for member in range(3)}


def test_its_members_crops_reach_predict_whole(outcome: protocol.Outcome, rows: Manifest) -> None:
    bundle = Bundle.load(outcome.bundle)
    few = rows.where(lambda table: table.index < 6)
    here = predict(few, bundle, into=None).table[COLUMNS]
    np.testing.assert_allclose(here, [a.probability for a in bundle(crops(rows))], atol=1e-3)  # type: ignore[attr-defined]


def test_bundles_are_joined_and_the_mean_is_calibrated_on_other_rows(
    outcome: protocol.Outcome, rows: Manifest, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    forest = train(
        rows.add({"split": ["train"] * len(rows)}), "classify", into=tmp_path / "forest",
        plan=Plan.of(Facts.of(rows), learner="estimator", network="tree"),
    )  # fmt: skip
    assert forest.folder is not None
    words = ["ensemble", str(outcome.bundle), str(forest.folder), "--into", str(tmp_path / "both"), "--json"]
    assert run(words) == 0
    told = capsys.readouterr()
    assert json.loads(told.out.splitlines()[-1])["members"] == 4 and "not calibrated" in told.err
    both = Bundle.load(tmp_path / "both")
    assert both.card.trust == {} and both.card.data["simulated"] and len(both.examples) == 4
    parts = [[a.probability for a in one.but(trust={})(crops(rows))] for one in (Bundle.load(outcome.bundle), forest)]  # type: ignore[attr-defined]
    found = [a.probability for a in both(crops(rows))]  # type: ignore[attr-defined]
    np.testing.assert_allclose(found, (3 * np.array(parts[0]) + np.array(parts[1])) / 4, atol=1e-6)
    report = evaluate(predict(rows, both, into=None), draws=0)
    assert 0 <= report.numbers["prediction"]["accuracy"].value <= 1
    others = cells(tmp_path / "others", size=80, seed=5)
    calibrated = ensemble([outcome.bundle, forest], into=tmp_path / "both", rows=others)
    assert calibrated.card.trust["temperature"] > 0 and Bundle.load(tmp_path / "both").card.trust
    with pytest.raises(PlanError, match="those a member learned from"):
        ensemble([outcome.bundle, forest], into=tmp_path / "x", rows=rows)


def test_strangers_are_not_joined(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match="an ensemble of 1 bundles"):
        ensemble([bundle_of()], into=tmp_path)
    with pytest.raises(BundleError, match="classes .*'dim'.* beside"):
        ensemble([bundle_of(), bundle_of(classes=("a", "b"))], into=tmp_path / "x")
    with pytest.raises(BundleError, match="pixel_size None beside 0.5"):
        ensemble([bundle_of(), bundle_of(pixel_size=0.5)], into=tmp_path / "x")
    assert not (tmp_path / "x").exists()


def test_an_average_needs_two_and_no_common_start(rows: Manifest, tmp_path: Path) -> None:
    plan = Plan.of(Facts.of(rows), learner="average", steps=1, members=["tiny"])
    with pytest.raises(PlanError, match="an average of 1 members"):
        train(rows, "classify", into=tmp_path / "a", plan=plan)
    with pytest.raises(PlanError, match="cannot all go on from one bundle"):
        train(rows, "classify", into=tmp_path / "b", plan=plan.but(members=["tiny", "tiny"]), start=bundle_of())
