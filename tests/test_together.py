"""Two processes that learn together: the curve and the weights of one with twice the batch, and no way to hang."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from zoo import cells

from potency.bundle import Bundle
from potency.cli.learn import Train, decided
from potency.data.manifest import Manifest
from potency.data.plan import Facts, Plan
from potency.errors import PlanError, PotencyError
from potency.learning import gradient, together
from potency.learning.train import train
from potency.tasks import find_task


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    return cells(tmp_path_factory.mktemp("cells"))


@pytest.fixture(scope="module")
def plan(rows: Manifest) -> Plan:
    """Batch norms of timm's own kind, and dropout: both depend on the whole batch."""
    changes = {"steps": 4, "validations": 4, "batch": 8, "average": 0.5, "dropout": 0.3, "rate": 1e-3, "test_views": 1}
    return Plan.of(Facts.of(rows), network="mobilenetv3", **changes)


def curve(bundle: Bundle) -> list[float]:
    return [row["train_loss"] for row in bundle.card.validation["log"]]


def weights(bundle: Bundle) -> dict[str, torch.Tensor]:
    return dict(bundle.members[0].nets.state_dict())  # type: ignore[attr-defined]


def apart(first: Bundle, second: Bundle) -> float:
    """The distance of all weights together: one by one a gradient of nearly nothing may step either way in AdamW."""
    other = weights(second)
    return float(sum((value - other[name]).square().sum() for name, value in weights(first).items())) ** 0.5


@pytest.fixture(scope="module")
def two(rows: Manifest, plan: Plan, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """What two processes learned together, never stopped."""
    into = tmp_path_factory.mktemp("team") / "two"
    made = train(rows, "classify", into=into, plan=plan.but(devices=2))
    assert not list(into.glob("team-*")), "what they shared is cleared away"
    return made


def test_two_processes_give_the_curve_of_one_with_twice_the_batch(
    rows: Manifest, plan: Plan, two: Bundle, tmp_path: Path
) -> None:
    one = train(rows, "classify", into=tmp_path / "one", plan=plan.but(batch=16))
    np.testing.assert_allclose(curve(two), curve(one), rtol=2e-3)
    half = train(rows, "classify", into=tmp_path / "half", plan=plan)
    assert max(abs(np.subtract(curve(half), curve(one)))) > 2e-2, "with half the batch the curve is another"
    assert apart(two, one) < 0.1 * apart(half, one), "and so are the weights"


def test_a_stopped_team_goes_on_to_the_same_weights(
    rows: Manifest, plan: Plan, two: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gradient, "CHECKPOINT_EVERY", 0.0)

    class Stop(Exception):
        pass

    def stop(done: int, total: int) -> None:
        if (done, total) == (2, plan.steps):
            raise Stop

    asked = plan.but(devices=2)
    with pytest.raises(Stop):
        train(rows, "classify", into=tmp_path / "stopped", plan=asked, progress=stop)
    again = train(rows, "classify", into=tmp_path / "stopped", plan=asked)
    assert curve(again) == curve(two)
    assert all(torch.equal(weights(again)[name], expected) for name, expected in weights(two).items())


def test_fewer_crops_than_processes_and_one_that_cannot_start_are_told(
    rows: Manifest, plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = rows.where(np.arange(len(rows)) % 40 == 0).add({"split": ["train"] * -(-len(rows) // 40)})
    with pytest.raises(PlanError, match=r"\d+ crops cannot be shared by 99 processes"):
        train(few, "classify", into=tmp_path / "few", plan=plan.but(devices=99))
    monkeypatch.setattr(together, "__name__", "potency.learning.no_such_module")
    with pytest.raises(PotencyError, match="process 1 of those that learn together could not start: .*no_such_module"):
        train(rows, "classify", into=tmp_path / "broken", plan=plan.but(devices=2))


def test_helpers_end_with_their_leader(tmp_path: Path) -> None:
    call = [sys.executable, "-c", "import sys; sys.argv = ['', '.', '1']; from potency.learning.together import "
            "_end_with_the_leader; _end_with_the_leader()"]  # fmt: skip
    helper = subprocess.Popen(call, stdin=subprocess.PIPE)
    time.sleep(0.1)
    assert helper.poll() is None
    assert helper.stdin is not None
    helper.stdin.close()
    assert helper.wait(timeout=60) == 1


def test_devices_of_the_command_line_are_those_of_the_plan(rows: Manifest) -> None:
    asked = Train(source=rows.folder, into=Path("out"), devices=2, epochs=4, set=["batch=6"])
    plan = decided(asked, rows, find_task("classify"))
    assert (plan.devices, plan.steps) == (2, 16), "48 rows, twice 6 a step"
