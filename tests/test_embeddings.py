"""Embeddings as features: an estimator stands on networks, keeps them in its bundle, and answers everywhere alike."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from zoo import ages, cells

from potency.bundle import Bundle, EstimatorMember, Features
from potency.cli.learn import Train, decided
from potency.data.manifest import Manifest
from potency.data.plan import Facts, Plan
from potency.errors import BundleError, PlanError
from potency.inference.engine import Engine, accelerate
from potency.inference.pool import Pool
from potency.inference.predict import predict
from potency.learning import estimate, protocol
from potency.learning.folds import refitted
from potency.learning.train import train
from potency.networks.bodies import expected_values
from potency.tasks import TASKS

CLASSIFY = TASKS["classify"]
COLUMNS = ["prediction.probability.neuron", "prediction.probability.stem"]


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    return cells(tmp_path_factory.mktemp("cells"))


@pytest.fixture(scope="module")
def plan(rows: Manifest) -> Plan:
    """A linear model on the shapes of the cells and the embeddings of two small random networks."""
    return Plan.of(
        Facts.of(rows), learner="estimator", network="logistic", families=["shape"], test_views=1, steps=6,
        batch=8, validations=1, members=["tiny@24x32", {"network": "tiny", "seed": 3}],
    )  # fmt: skip


@pytest.fixture(scope="module")
def outcome(rows: Manifest, plan: Plan, tmp_path_factory: pytest.TempPathFactory) -> protocol.Outcome:
    into = tmp_path_factory.mktemp("run") / "out"
    choices = protocol.Choices(folds=2, draws=20, baselines=("trivial",))
    return protocol.run(rows, CLASSIFY, into=into, plan=plan, choices=choices)


def test_members_are_whole_plans_told_by_their_differences(plan: Plan) -> None:
    first, second = plan.member_plans(steps=0)
    assert (first.learner, first.network, first.tile, first.seed, first.steps) == ("gradient", "tiny", (24, 32), 0, 0)
    assert (second.tile, second.seed, second.channels, second.members) == (plan.tile, 3, plan.channels, ())
    assert plan.of_members((first, second)).member_plans() == (first, second)
    assert Plan.read(json.loads(json.dumps(plan.json()))) == plan
    assert plan.but(members=["tiny@80x20"]).window == (80, 32)
    nested = {"members": [{"members": [{"members": ["tiny"]}]}]}
    for wrong, message in (
        ([{"nettwork": "x"}], "did you mean 'network'"), (["tiny@4x4"], "impossible"), ("tiny", "a list is needed"),
        ([nested], "at most 2 deep"), ([3], "does not fit"),
    ):  # fmt: skip
        with pytest.raises(PlanError, match=message):
            plan.but(members=wrong)


def test_weights_are_fed_as_they_expect_unless_a_plan_says_otherwise(plan: Plan) -> None:
    pretrained = {"network": "resnet18", "weights": "imagenet"}
    first, second = estimate.settled(
        plan.but(members=[pretrained, {**pretrained, "normalise": "half"}]), CLASSIFY
    ).member_plans()
    assert first.normalise == expected_values("resnet18") == "imagenet" and second.normalise == "half"
    assert first.rate < plan.rate and estimate.settled(plan.but(rate=0.7, members=[pretrained]), CLASSIFY).rate == 0.7


def test_features_are_measured_once_for_all_folds_and_the_refit(
    outcome: protocol.Outcome, rows: Manifest, plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = outcome.bundle.parent / "cache"
    tables = sorted(pd.read_parquet(path).shape for path in cache.glob("features-*.parquet"))
    assert [rows for rows, _ in tables] == [48, 48] and tables[1][1] > 2 * 88  # trivial; shapes and two embeddings
    assert outcome.manifest.table["prediction"].notna().all() and "trivial" in outcome.report.json()["baselines"]
    shutil.rmtree(outcome.bundle.parent / "folds")
    monkeypatch.setattr(estimate, "measured", lambda *_: pytest.fail("measured again"))
    choices = protocol.Choices(folds=2, draws=20, baselines=("trivial",), resume=True)
    again = protocol.run(rows, CLASSIFY, into=outcome.bundle.parent, plan=plan, choices=choices)
    pd.testing.assert_frame_equal(again.manifest.table[COLUMNS], outcome.manifest.table[COLUMNS])


def test_the_bundle_holds_its_networks_and_answers_offline_in_a_pool_and_compiled(
    outcome: protocol.Outcome, rows: Manifest, tmp_path: Path
) -> None:
    names = {path.name for path in outcome.bundle.iterdir()}
    assert {"weights.skops", "weights.0.safetensors", "weights.1.safetensors"} < names
    bundle = Bundle.load(outcome.bundle)
    member = bundle.members[0]
    assert isinstance(member, EstimatorMember)
    assert [network.plan.tile for network in member.features.networks] == [(24, 32), (32, 32)]
    fast = accelerate(bundle).members[0]
    assert isinstance(fast, EstimatorMember)
    assert all(isinstance(network.run, Engine) for network in fast.features.networks)
    assert not any(isinstance(network.run, Engine) for network in member.features.networks)
    here = predict(rows, bundle, into=tmp_path / "here").table
    with Pool(1) as on:
        there = predict(rows, bundle, into=tmp_path / "there", on=on).table
    assert here["prediction.error"].isna().all()
    np.testing.assert_allclose(here[COLUMNS], there[COLUMNS], atol=1e-5)
    crops = [{"image": rows.open(row).crop()} for _, row in rows.table.iterrows()]
    eager = [answer.probability for answer in bundle(crops)]  # type: ignore[attr-defined]
    np.testing.assert_allclose(here[COLUMNS], eager, atol=1e-2)  # bfloat16 where the processor has it


def test_a_hostile_or_missing_network_is_refused(outcome: protocol.Outcome, tmp_path: Path) -> None:
    for name, data, message in (
        ("weights.1.safetensors", b"\x80\x04cos\nsystem\n.", r"never opened(.|\n)*weights\.1\.safetensors"),
        ("weights.0.safetensors", b"{}", "weights are damaged"),
        ("weights.0.safetensors", None, "a file of the bundle is missing: weights.0.safetensors"),
    ):
        shutil.copytree(outcome.bundle, tmp_path / "spoiled", dirs_exist_ok=True)
        spoiled = tmp_path / "spoiled" / name
        spoiled.unlink()
        if data is not None:
            spoiled.write_bytes(data)
        with pytest.raises(BundleError, match=message):
            Bundle.load(tmp_path / "spoiled")
    shutil.copytree(outcome.bundle, tmp_path / "spoiled", dirs_exist_ok=True)
    card = json.loads((outcome.bundle / "card.json").read_text())
    card["members"][0]["plan"]["members"][0]["learner"] = "estimator"
    (tmp_path / "spoiled" / "card.json").write_text(json.dumps(card))
    with pytest.raises(BundleError, match="stands on networks, not on a estimator"):
        Bundle.load(tmp_path / "spoiled")


def test_networks_that_learn_do_so_inside_the_fold_and_their_bundle_serves_others(
    rows: Manifest, plan: Plan, tmp_path: Path
) -> None:
    learning = plan.but(families=(), members=[{"network": "tiny", "steps": 6}])
    assert estimate.seen(learning, CLASSIFY) is None  # another network in every fold: nothing to keep
    choices = protocol.Choices(folds=2, draws=0, baselines=(), holdout=True, audit=False, maps=False)
    made = protocol.run(rows, CLASSIFY, into=tmp_path / "out", plan=learning, choices=choices)
    first, all_rows = tmp_path / "out" / "folds" / "network-0", tmp_path / "out" / "folds" / "all"
    assert (first / "member0" / "log.jsonl").is_file() and (all_rows / "member0" / "log.jsonl").is_file()
    assert Bundle.load(made.bundle).card.plan.member_plans()[0].augment  # as the network learned, for the record
    log = [{"member": 0, "step": step, "best": True} for step in (2, 4, 4)]
    assert refitted(learning, log).member_plans(steps=0)[0].steps == 4
    assert refitted(plan, []).member_plans(steps=0) == plan.member_plans(steps=0)

    everything = rows.add({"split": ["train"] * len(rows)})
    network = train(everything, "classify", into=tmp_path / "network", plan=Plan.of(Facts.of(rows), **SHORT))
    source = {"weights": str(tmp_path / "network" / "bundle")}
    probe = plan.but(families=(), members=[source])
    assert estimate.settled(probe, CLASSIFY).member_plans()[0].tile == (24, 24)
    bundle = train(rows, "classify", into=tmp_path / "probe", plan=probe)
    member = bundle.members[0]
    assert isinstance(member, EstimatorMember)
    crops = [{"image": rows.open(row).crop()} for _, row in rows.table.head(3).iterrows()]
    (theirs,), (ours,) = network.members, member.features.networks
    np.testing.assert_allclose(
        [o["embedding"] for o in with_views(theirs, 1)(crops)], [o["embedding"] for o in ours.outputs(crops)],
        atol=1e-5,
    )  # fmt: skip
    told = protocol.run(rows, CLASSIFY, into=tmp_path / "again", plan=probe, choices=choices)
    assert any("had learned from these very images" in line for line in told.report.json()["banner"])
    with pytest.raises(PlanError, match="is no network: its learner is 'estimator'"):
        estimate.settled(plan.but(members=[{"weights": str(tmp_path / "probe" / "bundle")}]), CLASSIFY)
    with pytest.raises(PlanError, match="its channels are"):
        estimate.settled(probe.but(channels=["other"], scaling={"other": [0, 1]}), CLASSIFY)


SHORT = {"steps": 4, "validations": 1, "batch": 8, "average": 0.5, "tile": 24}


def with_views(member: object, count: int) -> object:
    """The outputs of a network's member with another number of views averaged."""
    changed = type(member)(member.task, member.plan.but(test_views=count), member.nets)  # type: ignore[attr-defined, call-arg]
    return changed.outputs  # type: ignore[attr-defined]


def test_a_large_image_is_seen_in_windows_when_learning_as_when_answering(rows: Manifest, plan: Plan) -> None:
    small = plan.but(tile=16, members=(), families=["trivial"])
    table = estimate.measured(rows.where(lambda table: table.index < 3), Features(small))
    assert list(table.index.value_counts()) == [4, 4, 4] and set(table.filter(like="width_px").iloc[:, 0]) == {16.0}
    wide = Features(replace(small, tile=(16, 99)))
    assert len(estimate.measured(rows.where(lambda table: table.index < 3), wide)) == 6


def test_a_number_is_learned_from_embeddings(tmp_path: Path) -> None:
    rows = ages(tmp_path / "cells")
    plan = Plan.of(Facts.of(rows), task="quantify", learner="estimator", network="forest", members=["tiny"])
    bundle = train(rows, "quantify", into=tmp_path, plan=plan.but(test_views=1))
    told = predict(rows, bundle, into=None).table
    assert np.corrcoef(told["prediction"], told["truth"])[0, 1] > 0.5


def test_the_command_line_says_it_in_words(rows: Manifest, tmp_path: Path) -> None:
    def plan_of(**options: object) -> Plan:
        return decided(Train(source=rows.folder, into=tmp_path, **options), rows, CLASSIFY)  # type: ignore[arg-type]

    probe = plan_of(estimator="logistic", network="resnet18@45x60,tiny", weights="a.safetensors,b.safetensors")
    assert (probe.learner, probe.network, probe.families) == ("estimator", "logistic", ())
    assert [(m.network, m.tile, m.weights) for m in probe.member_plans()] == [
        ("resnet18", (45, 60), "a.safetensors"), ("tiny", probe.tile, "b.safetensors"),
    ]  # fmt: skip
    assert plan_of(estimator="forest", families="shape,texture").families == ("shape", "texture")
    assert plan_of(network="tiny@45x60").tile == (45, 60)
    pair = plan_of(network="tiny,resnet18", steps=7)
    assert pair.learner == "average" and [m.steps for m in pair.member_plans()] == [7, 7]
    with pytest.raises(PlanError, match="3 networks with 2 weights"):
        plan_of(network="a,b,c", weights="d,e")
