"""Search: what may change is checked at once, what is not to be seen is not seen, and a kill changes nothing."""

from __future__ import annotations

import json
import os
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import optuna
import pandas as pd
import pytest
import torch
from zoo import cells

from potency.bundle import Bundle
from potency.cli import run
from potency.data.manifest import Manifest
from potency.data.plan import Facts, Plan
from potency.errors import MissingExtra, PlanError, PotencyError
from potency.inference.view import View
from potency.learning import protocol
from potency.learning.planning import planned
from potency.learning.search import PRUNERS, Search, explore, search
from potency.learning.space import Space
from potency.tasks import TASKS

CLASSIFY = TASKS["classify"]
SHORT = {"steps": 4, "validations": 2, "batch": 8, "average": 0.5, "test_views": 1}
QUICK = {"network": ["tree", "knn"], "families": [["trivial"], ["shape"]]}
RATES = {"rate": {"low": 1e-4, "high": 1e-2, "log": True}, "dropout": [0.0, 0.3]}


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    """48 cells in 6 groups, of which one is marked test and one validation."""
    made = cells(tmp_path_factory.mktemp("cells"))
    names = sorted(made.table["group"].unique())
    parts = dict.fromkeys(names, "train") | {names[0]: "test", names[1]: "validation"}
    return made.add({"split": made.table["group"].map(parts)})


@pytest.fixture(scope="module")
def plan(rows: Manifest) -> Plan:
    return Plan.of(Facts.of(rows), **SHORT)


@pytest.fixture(scope="module")
def classical(plan: Plan) -> Plan:
    return plan.but(learner="estimator", network="tree")


@pytest.mark.parametrize(
    ("axes", "message"),
    [
        ({"rat": [1.0]}, "did you mean 'rate'"),
        ({"classes": [["a"]]}, "classes is not to be searched"),
        ({"rate": {"low": 1e-3, "hihg": 1}}, "is no range"),
        ({"rate": {"low": 1, "high": 0.1}}, "low below high"),
        ({"dropout": {"low": 0.0, "high": 1.5}}, "impossible values: dropout"),
        ({"rate": {"low": 0.0, "high": 1.0, "log": True}}, "low below high"),
        ({"batch": []}, "neither choices nor a range"),
        ({"batch": 8}, "neither choices nor a range"),
        ({"rate.part": [1]}, "rate has no entries"),
        ({"batch": [8, "many"]}, "does not fit"),
    ],
)
def test_a_space_is_refused_before_anything_is_learned(axes: dict[str, Any], message: str, plan: Plan) -> None:
    with pytest.raises(PlanError, match=message):
        Space(axes).refuse(plan)


def test_a_space_is_read_from_a_file_and_holds_anything_a_plan_may_be(plan: Plan, tmp_path: Path) -> None:
    path = tmp_path / "space.json"
    axes = {"tile": ["45x60", 64], "augment.noise": {"low": 0.0, "high": 0.1}, "members": [["tiny"], []], "steps": [4]}
    path.write_text(json.dumps(axes))
    space = Space.read(path)
    space.refuse(plan)
    values = {"tile": '"45x60"', "augment.noise": 0.05, "members": "[]", "steps": "4"}
    drawn = space.suggest(optuna.trial.FixedTrial(values))
    assert drawn == {"tile": "45x60", "augment.noise": 0.05, "members": [], "steps": 4}
    assert space.own(plan.but(tile=64)) == {"tile": "64", "members": "[]", "steps": "4"}  # where a search begins
    for wrong, message in (("{", "cannot be read"), ("[1]", "a JSON object of"), ("{}", "a JSON object of")):
        path.write_text(wrong)
        with pytest.raises(PlanError, match=message):
            Space.read(path)


def test_the_best_plan_is_found_and_no_test_row_is_opened(
    rows: Manifest, classical: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: set[str] = set()
    opened = View.of
    monkeypatch.setattr(View, "of", lambda m, row, um: (seen.add(str(row["id"])), opened(m, row, um))[1])
    found = explore(rows, "classify", Search(QUICK, trials=6), into=tmp_path, plan=classical)
    table = found.table
    assert len(table) == 6 and set(table["state"]) == {"complete"} and table["score"].between(0, 1).all()
    first = table.iloc[0]  # the plan as it is competes, as far as the space can say it
    assert first["network"] == "tree" and first["families"] in ('["trivial"]', '["shape"]')
    best = table.loc[table["score"].eq(table["score"].max())].iloc[0]
    assert found.plan.network == best["network"]
    assert Plan.read(tmp_path / "plan.json") == found.plan and len(pd.read_csv(tmp_path / "trials.csv")) == 6
    hidden = set(rows.table.loc[rows.table["split"].eq("test"), "id"])
    assert seen and not seen & hidden
    measured = list((tmp_path / "cache").glob("features-*.parquet"))
    assert len(measured) == table["families"].nunique()  # once each
    more = search(rows, "classify", QUICK, into=tmp_path, plan=classical, trials=7)  # goes on
    assert isinstance(more, Plan) and len(pd.read_csv(tmp_path / "trials.csv")) == 7
    with pytest.raises(PlanError, match="another --into"):
        search(rows, "classify", {"network": ["tree", "lda"]}, into=tmp_path, plan=classical)
    with pytest.raises(PlanError, match="did you mean 'median'"):
        search(rows, "classify", QUICK, into=tmp_path, plan=classical, pruner="medain")


KILLED = """
import sys, time, json
from pathlib import Path
from potency.data.manifest import Manifest
from potency.data.plan import Plan
from potency.learning.search import search
torch = __import__("torch"); torch.set_num_threads(1)
into = Path(sys.argv[1])
rows = Manifest.read(into.parent / "rows.csv")
plan, axes = Plan.read(into.parent / "plan.json"), json.loads((into.parent / "space.json").read_text())
search(rows, "classify", axes, into=into, plan=plan, trials=3, progress=lambda done, total: time.sleep(0.2))
"""


def test_kill_9_and_the_same_call_give_the_same_trials(rows: Manifest, plan: Plan, tmp_path: Path) -> None:
    torch.set_num_threads(1)
    table = rows.table[["id", "truth", "group", "split"]]
    table = table.assign(image=[str(rows.folder / name) for name in rows.table["image"]])
    table.to_csv(tmp_path / "rows.csv", index=False)
    told = Manifest.read(tmp_path / "rows.csv")
    (tmp_path / "plan.json").write_text(json.dumps(plan.json()))
    (tmp_path / "space.json").write_text(json.dumps(RATES))
    call = [sys.executable, "-c", KILLED, str(tmp_path / "killed")]
    first = subprocess.Popen(call, env={**os.environ, "OMP_NUM_THREADS": "1"})
    sign, deadline = tmp_path / "killed" / "trials" / "1" / "log.jsonl", time.monotonic() + 240
    while not sign.exists() and first.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    first.send_signal(signal.SIGKILL)
    first.wait()
    assert sign.exists() and not (tmp_path / "killed" / "trials.csv").exists()
    found = [
        explore(told, "classify", Search(RATES, trials=3), into=tmp_path / name, plan=plan)
        for name in ("killed", "whole")
    ]
    columns = ["number", "state", "score", "looks", *RATES]
    pd.testing.assert_frame_equal(found[0].table[columns], found[1].table[columns])
    assert found[0].plan == found[1].plan and list(found[0].table["number"]) == [0, 1, 2]
    weights = [(tmp_path / n / "trials/1/bundle/weights.safetensors").read_bytes() for n in ("killed", "whole")]
    assert weights[0] == weights[1]


def test_a_trial_is_given_up_at_a_look_and_a_search_without_any_end_says_why(
    rows: Manifest, plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("potency.learning.search.PRUNERS", {"high": lambda o: o.pruners.ThresholdPruner(lower=2.0)})
    with pytest.raises(PotencyError, match="none of 2 trials came to its end"):
        search(rows, "classify", RATES, into=tmp_path / "a", plan=plan, trials=2, pruner="high")
    table = pd.read_csv(tmp_path / "a" / "trials.csv")
    assert list(table["state"]) == ["pruned", "pruned"] and list(table["looks"]) == [1, 1]
    assert not list((tmp_path / "a").rglob("card.json"))
    monkeypatch.undo()
    assert set(PRUNERS) == {"median", "hyperband", "none"}
    axes = {"network": ["vgg"], "rate": [0.001, 0.01]}
    with pytest.raises(PotencyError, match="none of 1 trials came to its end: there is no network 'vgg'"):
        search(rows, "classify", axes, into=tmp_path / "b", plan=plan, trials=1, pruner="hyperband")


def test_a_protocol_searches_in_each_fold_on_its_own_learning_rows(
    rows: Manifest, classical: Plan, tmp_path: Path
) -> None:
    whole = Manifest.of_rows(rows.table.drop(columns="split"), rows.folder)
    (tmp_path / "space.json").write_text(json.dumps(QUICK))
    how = Search(Space.read(tmp_path / "space.json").axes, trials=2)
    choices = protocol.Choices(folds=2, draws=20, baselines=(), search=how, audit=False, maps=False)
    assert pickle.loads(pickle.dumps(how)) == how  # it travels to the workers of a pool
    made = protocol.run(whole, CLASSIFY, into=tmp_path, plan=classical, choices=choices)
    assert "settings searched in each fold on its own learning rows (2 trials over network, families)" in (
        made.report.facts["split"]
    )
    for fold in range(2):
        place = tmp_path / "folds" / f"network-{fold}"
        chosen = Plan.read(place / "search" / "plan.json")
        assert Bundle.load(place / "bundle").card.plan.network == chosen.network
        tested = whole.table["id"][made.manifest.table["fold"].eq(fold).to_numpy()]
        for cached in (place / "search" / "cache").glob("features-*.parquet"):
            assert not set(pd.read_parquet(cached).index) & set(tested.astype(str))
    final = Plan.read(tmp_path / "folds" / "all" / "search" / "plan.json")
    assert Bundle.load(made.bundle).card.plan.network == final.network


def test_a_searched_network_learns_as_it_states_itself(rows: Manifest) -> None:
    from potency.learning.planning import followed
    from potency.learning.space import applied

    base = planned(Facts.of(rows), CLASSIFY, network="tiny")
    other = planned(Facts.of(rows), CLASSIFY, network="vit-tiny")
    assert base.rate != other.rate
    assert followed(CLASSIFY, base, applied(base, {"network": "vit-tiny"}), {"network"}) == other
    said = {"network": "vit-tiny", "rate": 0.5}
    assert followed(CLASSIFY, base, applied(base, said), said).rate == 0.5


def test_without_optuna_the_line_that_installs_it_is_named(
    rows: Manifest, plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(MissingExtra, match=r"needs optuna(.|\n)*pip install \"potency\[search\]\""):
        search(rows, "classify", into=tmp_path, plan=plan)


def test_the_command_shows_its_trials(rows: Manifest, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "space.json").write_text(json.dumps({"network": ["tree", "knn"], "learner": ["estimator"]}))
    words = ["search", str(rows.folder), "--space", tmp_path / "space.json", "--trials", 2, "--into", tmp_path / "out"]
    settings = ["--set", "families=[\"trivial\"]", "--set", "learner=estimator", "--set", "network=tree"]
    assert run([*map(str, words), *settings, "--json"]) == 0
    caught = capsys.readouterr()
    told = json.loads(caught.out.splitlines()[-1])
    assert Path(told["plan"]).is_file() and told["best"]["state"] == "complete"
    assert "potency train --search" in caught.err and "knn" in caught.err
