"""The protocol: rows and groups stay apart, columns, report and bundle agree, a stopped run goes on."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from zoo import ages, cells

from potency.bundle import Bundle
from potency.data.manifest import Manifest
from potency.data.plan import Facts, Plan
from potency.errors import PlanError
from potency.inference.pool import Pool
from potency.inference.predict import predict
from potency.learning import folds, protocol
from potency.learning.mark import marked
from potency.tasks import TASKS

pytestmark = pytest.mark.usefixtures("few_trees")
SHORT = {"steps": 12, "validations": 3, "batch": 8, "average": 0.5, "test_views": 1}
BRIEF = {"audit": False, "maps": False}  # what `outcome` has, and the run of a number


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    return cells(tmp_path_factory.mktemp("cells"))


@pytest.fixture(scope="module")
def plan(rows: Manifest) -> Plan:
    return Plan.of(Facts.of(rows), **SHORT)


@pytest.fixture(scope="module")
def outcome(rows: Manifest, plan: Plan, tmp_path_factory: pytest.TempPathFactory) -> protocol.Outcome:
    into = tmp_path_factory.mktemp("run") / "out"
    choices = protocol.Choices(folds=2, draws=50, random_split=True, command="potency train cells")
    return protocol.run(rows, TASKS["classify"], into=into, plan=plan, choices=choices)


def test_the_protocol_leaves_columns_a_report_and_a_bundle(outcome: protocol.Outcome) -> None:
    table = outcome.manifest.table
    for column in (
        "prediction",
        "prediction@forest",
        "prediction@trivial",
        "prediction@random",
        "prediction@forest-random",
    ):
        assert table[column].notna().all()
    report = outcome.report.json()
    assert {"metrics", "baselines", "random_split", "data_fingerprint", "command", "versions"} <= report.keys()
    assert set(report["baselines"]) == {"forest", "trivial"}
    assert outcome.page.is_file() and outcome.report.groups == 6
    bundle = Bundle.load(outcome.bundle)
    assert bundle.card.data["simulated"] and bundle.card.validation["metrics"] == report["metrics"]
    assert "temperature" in bundle.card.trust


@pytest.mark.usefixtures("one_figure")
@pytest.mark.parametrize("learner", ["gradient", "average", "estimator"])
def test_crops_are_cut_once_before_the_folds_share_them(
    rows: Manifest, plan: Plan, tmp_path: Path, learner: str
) -> None:
    members = [{"network": "tiny", "tile": side, "steps": 2} for side in (24, 32)]
    network = "logistic" if learner == "estimator" else "tiny"
    own = plan.but(steps=2, validations=1) if learner == "gradient" else plan.but(
        learner=learner, network=network, families=(), members=members, validations=1
    )  # fmt: skip
    seen: list[list[str]] = []

    def on(work: Callable[[Any], Any], jobs: Iterable[Any]) -> Iterator[Any]:
        seen.append(sorted(path.name for path in (tmp_path / "run" / "cache").glob("crops-*")))
        return map(work, jobs)

    choices = protocol.Choices(folds=4, baselines=(), holdout=True, keep_folds=True, draws=100)
    protocol.run(rows, TASKS["classify"], into=tmp_path / "run", plan=own, choices=choices, on=on)
    assert len(seen[0]) == (2 if learner == "gradient" else 4)  # crops and their fields
    assert sorted(path.name for path in (tmp_path / "run" / "cache").glob("crops-*")) == seen[0]


def test_no_group_is_learned_from_and_tested_on(rows: Manifest) -> None:
    divided = rows.split(folds=3)
    for k in range(3):
        parts = divided.fold(k, 0.2).table.groupby("split")["group"].agg(set)
        assert not parts["train"] & parts["test"] and not parts["train"] & parts["validation"]


@pytest.mark.usefixtures("one_figure")
def test_a_pool_and_a_resumed_run_give_the_same_columns(
    outcome: protocol.Outcome, rows: Manifest, plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    choices = protocol.Choices(folds=2, draws=50, baselines=(), **BRIEF)
    with Pool(2) as on:
        made = protocol.run(rows, TASKS["classify"], into=tmp_path / "out", plan=plan, choices=choices, on=on)
    column = "prediction.probability.stem"
    np.testing.assert_allclose(made.manifest.table[column], outcome.manifest.table[column], rtol=1e-4, atol=1e-5)
    with pytest.raises(PlanError, match="add --resume"):
        protocol.run(rows, TASKS["classify"], into=tmp_path / "out", plan=plan, choices=choices)
    with pytest.raises(PlanError, match="another --into"):
        protocol.run(rows, TASKS["classify"], into=tmp_path / "out", plan=plan.but(seed=9), choices=choices)
    renamed = replace(rows, table=rows.table.assign(id="new " + rows.table["id"]))
    with pytest.raises(PlanError, match="other images"):  # what is kept there is kept by the old names
        protocol.run(renamed, TASKS["classify"], into=tmp_path / "out", plan=plan, choices=choices)
    shutil.rmtree(tmp_path / "out" / "bundle")
    resumed = protocol.Choices(folds=2, draws=50, baselines=(), resume=True, **BRIEF)
    damaged = tmp_path / "out" / "folds" / "network-0" / "answers.parquet"
    damaged.write_bytes(damaged.read_bytes()[:100])
    asked: list[str] = []

    def watched(rows: Manifest, bundle: Bundle, **given: Any) -> Manifest:
        asked.append(given["name"])
        return predict(rows, bundle, **given)

    monkeypatch.setattr(folds, "predict", watched)
    again = protocol.run(rows, TASKS["classify"], into=tmp_path / "out", plan=plan, choices=resumed)
    assert again.manifest.table[column].equals(made.manifest.table[column])
    assert asked == ["prediction"], "only the fold whose answers were damaged is asked again"


def test_a_damaged_note_of_a_run_is_named_and_nothing_is_written(rows: Manifest, plan: Plan, tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text('{"plan": ')
    with pytest.raises(PlanError, match="note of what this folder holds is damaged") as caught:
        protocol.run(rows, TASKS["classify"], into=tmp_path, plan=plan, choices=protocol.Choices(resume=True))
    assert caught.value.where == str(tmp_path / "run.json") and "--into" in caught.value.mend
    assert {path.name for path in tmp_path.iterdir()} == {"run.json", ".lock"}


def test_a_run_is_known_again_by_its_note_whatever_columns_tell_beside_it(tmp_path: Path) -> None:
    marked(tmp_path, {"plan": {"steps": 3}, "ids": "a"}, resume=False)
    note = json.loads((tmp_path / "run.json").read_text("utf-8"))
    (tmp_path / "run.json").write_text(json.dumps({**note, "explanation": {"method": "relevance"}}))
    marked(tmp_path, {"plan": {"steps": 3}, "ids": "a"}, resume=True)
    with pytest.raises(PlanError, match="other images, plan or choices"):
        marked(tmp_path, {"plan": {"steps": 4}, "ids": "a"}, resume=True)


@pytest.mark.usefixtures("one_figure")
def test_external_rows_are_answered_once_and_reported_apart(rows: Manifest, plan: Plan, tmp_path: Path) -> None:
    outside = rows.table["group"].eq(rows.table["group"].iloc[0])
    marked = rows.add({"split": np.where(outside, "external", "train")})
    choices = protocol.Choices(folds=2, draws=0, baselines=(), split="external", holdout=True, **BRIEF)
    made = protocol.run(marked, TASKS["classify"], into=tmp_path, plan=plan.but(steps=3), choices=choices)
    assert (tmp_path / "report-external" / "report.html").is_file()
    table = made.manifest.table
    assert table.loc[table["fold"].lt(0), "prediction"].notna().all()
    assert made.report.groups <= 5 and Bundle.load(made.bundle).card.data["groups"] == 5


@pytest.mark.usefixtures("one_figure")
def test_a_table_that_came_divided_is_obeyed(rows: Manifest, plan: Plan, tmp_path: Path) -> None:
    names = sorted(rows.table["group"].unique())
    parts = dict.fromkeys(names, "train") | {names[0]: "test", names[1]: "validation"}
    marked = rows.add({"split": rows.table["group"].map(parts)})
    choices = protocol.Choices(draws=0, baselines=("trivial",), **BRIEF)
    made = protocol.run(marked, TASKS["classify"], into=tmp_path, plan=plan.but(steps=3), choices=choices)
    answered = made.manifest.table.dropna(subset=["prediction"])
    assert set(answered["group"]) == {names[0]} and len(made.report.rows) == len(answered)
    assert "column 'split'" in made.report.facts["split"]


def test_a_number_is_learned_by_network_and_forest(tmp_path: Path) -> None:
    rows = ages(tmp_path / "cells")
    plan = Plan.of(Facts.of(rows), task="quantify", **SHORT)
    choices = protocol.Choices(folds=2, draws=20)
    made = protocol.run(rows, TASKS["quantify"], into=tmp_path / "out", plan=plan, choices=choices)
    assert {"mae", "r2"} <= made.report.numbers["prediction"].keys()
    assert made.report.numbers["prediction@forest"]["mae"].value < 0.5


@pytest.mark.usefixtures("one_figure")
def test_the_folds_models_can_stay_an_ensemble(rows: Manifest, plan: Plan, tmp_path: Path) -> None:
    choices = protocol.Choices(folds=2, draws=0, baselines=(), keep_folds=True, **BRIEF)
    made = protocol.run(rows, TASKS["classify"], into=tmp_path, plan=plan.but(steps=4), choices=choices)
    assert len(Bundle.load(made.bundle).members) == 2
