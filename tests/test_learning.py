"""Learning: the loop is repeatable and survives a kill bit for bit; the protocol keeps rows and groups apart."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile
import torch
from zoo import cells

from potency.bundle.estimate import Features
from potency.data.manifest import Manifest
from potency.data.plan import Facts, Plan
from potency.data.tiles import fit
from potency.errors import ManifestError, PlanError, PotencyError
from potency.learning import checkpoint, gradient
from potency.learning.estimate import measured
from potency.learning.gradient import Lesson, Order
from potency.learning.samples import cut
from potency.learning.train import train
from potency.tasks import TASKS

SHORT = {"steps": 12, "validations": 3, "batch": 8, "average": 0.5, "test_views": 1}


def weights(folder: Path) -> bytes:
    return (folder / "bundle" / "weights.safetensors").read_bytes()


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    return cells(tmp_path_factory.mktemp("cells"))


@pytest.fixture(scope="module")
def plan(rows: Manifest) -> Plan:
    return Plan.of(Facts.of(rows), **SHORT)


@pytest.fixture(scope="module")
def whole(rows: Manifest, plan: Plan, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a training that was never stopped."""
    into = tmp_path_factory.mktemp("runs") / "whole"
    train(rows, "classify", into=into, plan=plan)
    return into


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(
    rows: Manifest, plan: Plan, whole: Path, tmp_path: Path
) -> None:
    for name, seed in (("b", 0), ("c", 1)):
        train(rows, "classify", into=tmp_path / name, plan=plan.but(seed=seed))
    assert weights(whole) == weights(tmp_path / "b") != weights(tmp_path / "c")


def test_a_stopped_training_goes_on_to_the_same_weights(
    rows: Manifest, plan: Plan, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gradient, "CHECKPOINT_EVERY", 0.0)
    stopped = tmp_path / "stopped"

    class Stop(Exception):
        pass

    def stop(done: int, total: int) -> None:
        if (done, total) == (7, plan.steps):  # between two checkpoints: the steps since the last are done again
            raise Stop

    with pytest.raises(Stop):
        train(rows, "classify", into=stopped, plan=plan, progress=stop)
    train(rows, "classify", into=stopped, plan=plan)
    assert weights(whole) == weights(stopped)
    assert (whole / "log.jsonl").read_text() == (stopped / "log.jsonl").read_text()


KILLED = """
import sys, time
from pathlib import Path
from potency.data.manifest import Manifest
from potency.data.plan import Plan
from potency.learning import checkpoint, gradient
from potency.learning.train import train
gradient.CHECKPOINT_EVERY = 0.0
torch = __import__("torch"); torch.set_num_threads(1)
rows, into = Manifest.read(sys.argv[1]), Path(sys.argv[2])
plan = Plan.read(into.parent / "plan.json")
train(rows, "classify", into=into, plan=plan, progress=lambda done, total: time.sleep(0.05))
"""


def test_kill_9_and_resume_give_the_same_weights(rows: Manifest, plan: Plan, whole: Path, tmp_path: Path) -> None:
    import json

    torch.set_num_threads(1)
    (tmp_path / "plan.json").write_text(json.dumps(plan.json()))
    call = [sys.executable, "-c", KILLED, str(rows.folder), str(tmp_path / "killed")]
    first = subprocess.Popen(call, env={**os.environ, "OMP_NUM_THREADS": "1"})
    state, deadline = tmp_path / "killed" / "state.safetensors", time.monotonic() + 120
    while not state.exists() and first.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    first.send_signal(signal.SIGKILL)
    first.wait()
    assert state.exists() and not (tmp_path / "killed" / "bundle").exists()
    train(rows, "classify", into=tmp_path / "killed", plan=plan)
    assert weights(whole) == weights(tmp_path / "killed")


def test_another_plan_does_not_go_on_from_a_checkpoint(rows: Manifest, plan: Plan, whole: Path) -> None:
    with pytest.raises(PlanError, match="another plan"):
        train(rows, "classify", into=whole, plan=plan.but(rate=1e-4))


def test_a_finished_training_keeps_its_best_networks_only_and_learns_nothing_again(
    rows: Manifest, plan: Plan, whole: Path
) -> None:
    before = weights(whole)
    tensors, facts = checkpoint.read(whole / "state.safetensors")
    assert tensors and all(name.startswith("best.") for name in tensors) and facts["step"] == plan.steps
    train(rows, "classify", into=whole, plan=plan, progress=lambda done, total: pytest.fail("it learns again"))
    assert weights(whole) == before


def test_a_damaged_checkpoint_is_named(rows: Manifest, plan: Plan, tmp_path: Path) -> None:
    (tmp_path / "state.safetensors").write_bytes(b"half a file")
    with pytest.raises(PotencyError, match="checkpoint is damaged"):
        train(rows, "classify", into=tmp_path, plan=plan)


def test_training_starts_from_a_bundle(rows: Manifest, plan: Plan, tmp_path: Path) -> None:
    first = train(rows, "classify", into=tmp_path / "first", plan=plan)
    none = train(rows, "classify", into=tmp_path / "tuned", plan=plan.but(rate=1e-12, average=0.0), start=first)
    one, two = (b.members[0].nets["net"].linear.weight for b in (first, none))  # type: ignore[attr-defined]
    torch.testing.assert_close(one, two, rtol=1e-4, atol=1e-5)
    with pytest.raises(PlanError, match="another network"):
        train(rows, "classify", into=tmp_path / "other", plan=plan.but(network="mobilenetv3"), start=first)


def test_a_frozen_body_stays_as_it_was(rows: Manifest, plan: Plan, tmp_path: Path) -> None:
    frozen = train(rows, "classify", into=tmp_path / "a", plan=plan.but(freeze=1.0, average=0.0))
    torch.manual_seed(plan.seed)
    fresh = TASKS["classify"].build(plan)
    ours, theirs = frozen.members[0].nets["net"], fresh["net"]  # type: ignore[attr-defined]
    for (name, one), two in zip(ours.body.state_dict().items(), theirs.body.state_dict().values(), strict=True):  # type: ignore[union-attr, operator]
        assert torch.equal(one, two), name
    assert not torch.equal(ours.linear.weight, theirs.linear.weight)  # type: ignore[arg-type, union-attr]


def test_accumulated_batches_are_one_large_batch(rows: Manifest, plan: Plan, tmp_path: Path) -> None:
    bundle = train(rows, "classify", into=tmp_path, plan=plan.but(accumulate=2, steps=2, validations=1))
    assert bundle.card.validation["log"][-1]["step"] == 2


def test_balanced_sampling_shows_every_class_equally_often() -> None:
    strata = ["rare"] * 10 + ["common"] * 90
    lesson = Lesson(None, np.arange(100), [], strata)  # type: ignore[arg-type]
    for balance, share in ((0.0, 0.1), (1.0, 0.5)):
        order = Order(lesson, Plan(batch=20, balance=balance))
        drawn = np.concatenate([order(number) for number in range(50)])
        assert abs(np.mean(drawn < 10) - share) < 0.02
    again = Order(lesson, Plan(batch=20, balance=1.0))
    assert np.array_equal(again(37), Order(lesson, Plan(batch=20, balance=1.0))(37))


def test_a_network_learns_from_oblong_crops(rows: Manifest, plan: Plan, tmp_path: Path) -> None:
    bundle = train(rows, "classify", into=tmp_path, plan=plan.but(tile="24x32", augment={"turn": 1, "warp": 0.5}))
    crop = rows.open(rows.table.iloc[0]).crop()
    again = type(bundle).load(tmp_path / "bundle")
    assert again.card.plan.tile == (24, 32)
    assert again([{"image": crop}])[0].label == bundle([{"image": crop}])[0].label  # type: ignore[attr-defined]


def test_a_full_disk_is_told_while_crops_are_cut_and_leaves_nothing(
    rows: Manifest, plan: Plan, tmp_path: Path
) -> None:
    resource = pytest.importorskip("resource", reason="limits of file sizes: not on this system")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))  # the next byte is refused, as on a full disk
    try:
        with pytest.raises(PotencyError, match="the crops cannot be cached: File too large") as caught:
            cut(rows, plan, tmp_path / "cache")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert caught.value.where == str(tmp_path / "cache") and "free some space" in caught.value.mend
    assert not list((tmp_path / "cache").iterdir())
    assert len(cut(rows, plan, tmp_path / "cache").crops) == len(rows)


def test_crops_of_planes_of_one_file_are_kept_apart(tmp_path: Path) -> None:
    planes = np.arange(3, dtype=np.uint8)[:, None, None] * np.ones((16, 16), np.uint8)
    tifffile.imwrite(tmp_path / "stack.tif", planes, imagej=True, metadata={"axes": "ZYX"})
    table = pd.DataFrame({"image": ["stack.tif"] * 3, "id": list("abc"), "z": [0, 1, 2], "truth": list("xyx")})
    for order in ([0, 1, 2], [2, 0, 1]):
        rows = Manifest.of_rows(table.iloc[order].reset_index(drop=True), tmp_path)
        plan = Plan(channels=("grey",), tile=16, scaling={"grey": (0, 3)})
        assert cut(rows, plan, tmp_path / "cache").crops[:, 0, 0, 0].tolist() == order


def test_crops_are_cut_once_padded_and_never_stretched(rows: Manifest, plan: Plan, tmp_path: Path) -> None:
    samples = cut(rows, plan.but(tile=40), tmp_path)
    image = rows.open(rows.table.iloc[3]).crop()
    np.testing.assert_array_equal(samples.crops[3], fit(image, 40))
    np.testing.assert_array_equal(samples.crops[3][:, 4:36, 4:36], image)
    turned = replace(rows, table=rows.table.iloc[::-1].reset_index(drop=True))
    np.testing.assert_array_equal(cut(turned, plan.but(tile=40), tmp_path).crops[-4], samples.crops[3])
    before = sorted(path.stat().st_mtime_ns for path in tmp_path.iterdir())
    cut(rows, plan.but(tile=40), tmp_path)
    assert sorted(path.stat().st_mtime_ns for path in tmp_path.iterdir()) == before


def test_an_unknown_augmentation_or_learner_is_named(rows: Manifest, plan: Plan, tmp_path: Path) -> None:
    with pytest.raises(PlanError, match="did you mean 'flip'"):
        train(rows, "classify", into=tmp_path / "a", plan=plan.but(augment={"flp": 1}))
    with pytest.raises(PlanError, match="did you mean 'gradient'"):
        train(rows, "classify", into=tmp_path / "b", plan=plan.but(learner="gradiant"))
    with pytest.raises(ManifestError, match="no truth"):
        bare = Manifest.of_rows(rows.table.drop(columns="truth"), rows.folder)
        train(bare.add({"split": ["train"] * len(bare)}), "classify", into=tmp_path / "c", plan=plan)


def test_an_estimator_is_a_plan_of_the_same_task(rows: Manifest, plan: Plan, tmp_path: Path) -> None:
    chosen = plan.but(learner="estimator", network="logistic")
    bundle = train(rows, "classify", into=tmp_path, plan=chosen)
    assert {p.name for p in (tmp_path / "bundle").iterdir()} == {
        "card.json", "weights.skops", "examples.safetensors", "known.safetensors", "MODEL_CARD.md"
    }
    assert len(bundle([{"image": rows.open(rows.table.iloc[0]).crop()}])) == 1
    assert len(measured(rows, Features(chosen, ()))) == len(rows)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the C library of Linux")
def test_memory_that_a_step_gives_back_is_kept_for_the_next() -> None:
    script = """
import resource, torch
from potency.learning.heap import keep_freed_memory
def faults(count=10):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(count):
        kept = [torch.zeros(2**24) for _ in range(2)]  # 128 MB, as the maps of a step are
        del kept
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
faults(2)
as_it_comes = faults()
keep_freed_memory()
faults()
print(as_it_comes, faults())
"""
    told = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    as_it_comes, kept = map(int, told.split())
    assert kept < as_it_comes / 3, told
