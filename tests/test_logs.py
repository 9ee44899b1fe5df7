"""Logs of a training: always as JSON lines and CSV, while it goes on; copied to TensorBoard when asked for."""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path

import pandas as pd
import pytest
from zoo import cells

from potency.data.manifest import Manifest
from potency.data.plan import Facts, Plan
from potency.errors import MissingExtra, PlanError
from potency.learning import protocol
from potency.learning.logs import TensorBoard, write
from potency.learning.train import train
from potency.tasks import TASKS


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    return cells(tmp_path_factory.mktemp("cells"))


@pytest.fixture(scope="module")
def plan(rows: Manifest) -> Plan:
    return Plan.of(Facts.of(rows), steps=6, validations=3, batch=8, average=0.5, test_views=1)


def lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_logs_are_there_while_learning_goes_on(rows: Manifest, plan: Plan, tmp_path: Path) -> None:
    seen: list[int] = []

    def look(done: int, total: int) -> None:
        if total == plan.steps and done == 5:
            seen.extend(int(str(row["step"])) for row in lines(tmp_path / "log.jsonl"))

    bundle = train(rows, "classify", into=tmp_path, plan=plan, progress=look)
    assert seen == [2, 4]
    told = lines(tmp_path / "log.jsonl")
    assert [row["step"] for row in told] == [2, 4, 6] and sum(bool(row["best"]) for row in told) == 1
    assert told == bundle.card.validation["log"]
    table = pd.read_csv(tmp_path / "log.csv")
    assert list(table) == list(told[0])
    pd.testing.assert_frame_equal(table, pd.DataFrame(told))
    assert not list(tmp_path.glob(".log*"))


def scalars(folder: Path) -> dict[str, dict[int, float]]:
    pytest.importorskip("tensorboard")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    found = EventAccumulator(str(folder)).Reload()
    return {tag: {e.step: e.value for e in found.Scalars(tag)} for tag in found.Tags()["scalars"]}


def test_tensorboard_shows_every_training_of_a_run(rows: Manifest, plan: Plan, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    choices = protocol.Choices(folds=2, baselines=(), draws=0, log=("tensorboard",), audit=False, maps=False)
    into = tmp_path / "out"
    protocol.run(rows, TASKS["classify"], into=into, plan=plan, choices=choices)
    runs = sorted(path.name for path in (into / "tensorboard" / "folds").iterdir())
    assert runs == ["all", "network-0", "network-1"]
    for name in runs:
        shown = scalars(into / "tensorboard" / "folds" / name)
        told = lines(into / "folds" / name / "log.jsonl")
        assert shown["train/loss"] == pytest.approx({row["step"]: row["train_loss"] for row in told})
        assert ("validation/accuracy" in shown) == (name != "all")


def test_what_is_new_is_told_once_and_an_older_board_is_replaced(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    nan = float("nan")
    rows = [{"step": step, "train_loss": 1 / step, "validation_auc": nan, "best": True} for step in (1, 2, 3)]
    write(tmp_path, rows[:2])
    board = TensorBoard(tmp_path)
    for told in (rows[:2], rows[:1], rows):  # once more, done again after a kill, and going on
        write(tmp_path, told)
        board.look()
    assert scalars(tmp_path / "tensorboard") == {"train/loss": pytest.approx({1: 1.0, 2: 0.5, 3: 1 / 3})}
    TensorBoard(tmp_path).look()
    assert scalars(tmp_path / "tensorboard") == {"train/loss": pytest.approx({1: 1.0, 2: 0.5, 3: 1 / 3})}


def test_a_missing_extra_and_an_unknown_log_are_named(
    rows: Manifest, plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = {"into": tmp_path / "out", "plan": plan}
    with pytest.raises(PlanError, match="no log 'tensorbord'.*\n.*\n.*did you mean 'tensorboard'"):
        protocol.run(rows, TASKS["classify"], choices=protocol.Choices(log=("tensorbord",)), **run)  # type: ignore[arg-type]
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(MissingExtra, match="tensorboard, which is not installed") as raised:
        protocol.run(rows, TASKS["classify"], choices=protocol.Choices(log=("tensorboard",)), **run)  # type: ignore[arg-type]
    assert raised.value.mend == 'pip install "potency[board]"'
    assert not (tmp_path / "out").exists()  # refused before any work
