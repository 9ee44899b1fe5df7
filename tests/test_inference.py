"""Inference: engines agree with eager torch, pools survive killed workers, predict resumes and keeps faults in rows."""

from __future__ import annotations

import errno
import logging
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.typing import NDArray
from pool_functions import Die, double, environment, fail_at_three
from torch import Tensor, nn

from potency.answers import Category
from potency.bundle import Bundle, Card, NetworkMember
from potency.data.manifest import Manifest
from potency.data.plan import Plan
from potency.errors import PotencyError
from potency.inference import compiled
from potency.inference.engine import accelerate, digest, disagreement, find_device, start_engine
from potency.inference.pool import Lost, Mapper, Pool
from potency.inference.predict import predict
from potency.inference.work import windows
from potency.tasks import TASKS

CLASSES = ("dim", "bright")


class Small(nn.Module):
    """Convolution, norm, dropout, pooling, head: what can go wrong when a network is compiled."""

    def __init__(self, channels: int = 1) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.body = nn.Sequential(nn.Conv2d(channels, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(), nn.Dropout(0.5))
        self.head = nn.Linear(6, 2)

    def forward(self, image: Tensor) -> Mapping[str, Tensor]:
        embedding = self.body(image).mean((2, 3))
        return {"output": self.head(embedding), "embedding": embedding}


def batch(count: int = 4, size: int = 12, channels: int = 1) -> NDArray[np.float32]:
    return np.random.default_rng(count).random((count, channels, size, size), np.float32)


# engines


def test_the_compiled_engine_agrees_with_eager_torch_on_any_batch_and_size() -> None:
    network = Small()
    fast = start_engine(network, batch())
    slow = start_engine(network, batch(), engine="torch", device="cpu")
    assert (fast.name, slow.name, fast.precision, fast.note) == ("openvino", "torch", "float32", "")
    assert fast.error <= 1e-3
    assert set(fast.facts) == {"name", "device", "precision", "error", "note"}
    for images in (batch(1), batch(33), batch(2, 31), batch(3)[:, :, ::2]):
        found, expected = fast(images), slow(images)
        assert {k: v.dtype for k, v in found.items()} == {"output": np.float32, "embedding": np.float32}
        np.testing.assert_allclose(found["output"], expected["output"], atol=1e-5)
        np.testing.assert_allclose(found["embedding"], expected["embedding"], atol=1e-5)
    assert network.training and network.body[3].training, "the modes of training are put back"


def test_outputs_are_not_overwritten_by_the_next_batch() -> None:
    run = start_engine(Small(), batch())
    first = run(batch(4))["output"]
    kept = first.copy()
    run(batch(4) + 1)
    np.testing.assert_array_equal(first, kept)


def test_a_network_that_returns_one_tensor_is_called_output() -> None:
    assert start_engine(nn.Conv2d(1, 2, 3), batch())(batch())["output"].shape == (4, 2, 10, 10)


def test_a_compilation_is_kept_and_renewed_when_the_weights_change(monkeypatch: pytest.MonkeyPatch) -> None:
    made, real = [], compiled._compile
    monkeypatch.setattr(compiled, "_compile", lambda *given: made.append(1) or real(*given))  # type: ignore[func-returns-value]
    monkeypatch.setattr(compiled, "_COMPILED", type(compiled._COMPILED)())
    network = Small()
    run = start_engine(network, batch())
    start_engine(Small(), batch())
    assert len(made) == 1
    with torch.no_grad():
        network.head.bias += 5
    changed = start_engine(network, batch())
    assert len(made) == 2
    np.testing.assert_allclose(changed(batch())["output"], run(batch())["output"] + 5, atol=1e-5)
    for shift in range(compiled.KEPT):
        with torch.no_grad():
            network.head.bias += shift + 1
        start_engine(network, batch())
    assert len(compiled._COMPILED) == compiled.KEPT, "old ones are let go"


def test_weights_can_still_be_asked_for_gradients_after_an_engine_was_built_in_inference_mode() -> None:
    network = Small()
    with torch.inference_mode():
        start_engine(network, batch())
    network(torch.from_numpy(batch()))["output"].sum().backward()
    assert network.head.weight.grad is not None


class Frozen(nn.Module):
    """Its output depends on the size it was traced at, in a way that tracing freezes."""

    def forward(self, image: Tensor) -> Tensor:
        return image.flatten(1)[:, :2] * float(image.shape[-1])


def test_a_size_that_tracing_froze_is_noticed_and_run_eagerly(caplog: pytest.LogCaptureFixture) -> None:
    run = start_engine(Frozen(), batch(4, 12))
    images = batch(3, 20)
    with caplog.at_level(logging.WARNING):
        found = run(images)["output"]
    np.testing.assert_allclose(found, images.reshape(3, -1)[:, :2] * 20, rtol=1e-6)
    assert run.name == "torch" or "openvino not used at 20x20 px" in caplog.text


class Stubborn(nn.Module):
    """Cannot be traced: its path depends on Python objects that tracing refuses."""

    def forward(self, image: Tensor) -> Tensor:
        if torch.jit.is_tracing():
            raise NotImplementedError("no tracing here")
        return image.mean((2, 3)).repeat(1, 2)


def test_eager_torch_takes_over_with_a_reason_when_compiling_fails(caplog: pytest.LogCaptureFixture) -> None:
    run = start_engine(Stubborn(), batch())
    assert (run.name, run.device) == ("torch", "cpu")
    assert "openvino not used" in run.note and "openvino not used" in caplog.text
    np.testing.assert_allclose(run(batch())["output"][:, 0], batch().mean((1, 2, 3)), rtol=1e-5)


def test_eager_torch_takes_over_when_openvino_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "_COMPILED", type(compiled._COMPILED)())
    monkeypatch.setitem(sys.modules, "openvino", None)
    run = start_engine(Small(), batch())
    assert run.name == "torch" and "openvino not used: " in run.note and "openvino" in run.note


def test_eager_torch_takes_over_when_the_compiled_network_disagrees(monkeypatch: pytest.MonkeyPatch) -> None:
    real = compiled._compile

    def wrong(*given: Any) -> Any:
        run, precision = real(*given)
        return lambda images: {k: 1.01 * v for k, v in run(images).items()}, precision

    monkeypatch.setattr(compiled, "_COMPILED", type(compiled._COMPILED)())
    monkeypatch.setattr(compiled, "_compile", wrong)
    run = start_engine(Small(), batch())
    assert run.name == "torch" and "differs from eager torch by 0.01 of its size (at most 0.001)" in run.note


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ([[1.0, 2.0, 3.0]], "shape (1, 3) instead of (2, 2)"),
        ([[1.0, 2.0], [2.0, np.nan]], "not finite"),
        ([[1.0, 2.0], [1.9, 2.0]], "differs from eager torch by 0.5"),
        ([[2.0, 1.999], [2.0, 1.0]], "differs"),
    ],
)
def test_disagreement_says_what_differs(found: list[list[float]], said: str) -> None:
    with pytest.raises(ValueError, match=said.replace("(", r"\(").replace(")", r"\)")):
        disagreement({"output": np.array([[1.0, 2.0], [2.0, 1.0]])}, {"output": np.array(found)}, 1e-3)


def test_a_top_1_that_moves_within_the_tolerance_of_a_clear_lead_is_refused() -> None:
    expected = {"output": np.array([[1.0, 0.8]])}
    assert disagreement(expected, {"output": np.array([[0.98, 0.82]])}, 0.15) == pytest.approx(0.02)
    assert disagreement(expected, {"output": np.array([[0.89, 0.91]])}, 0.25) == pytest.approx(0.11)
    with pytest.raises(ValueError, match="another top-1"):
        disagreement(expected, {"output": np.array([[0.89, 0.91]])}, 0.15)


def test_bfloat16_says_what_precision_it_really_got() -> None:
    run = start_engine(Small(), batch(), precision="bfloat16")
    assert run.precision in ("float32", "bfloat16") and run.error <= 5e-2
    slow = start_engine(Small(), batch(), precision="bfloat16", engine="torch", device="cpu")
    assert (slow.name, slow.precision) == ("torch", "bfloat16") and 0 < slow.error <= 5e-2


def test_devices_and_engines_that_are_not_there_are_refused_by_name() -> None:
    with pytest.raises(PotencyError, match="there is no device 'gpu'"):
        find_device("gpu")
    if not torch.cuda.is_available():
        with pytest.raises(PotencyError, match="device 'cuda' is not there") as refused:
            find_device("cuda")
        assert "doctor" in refused.value.mend
    with pytest.raises(PotencyError, match="there is no engine 'openvin'") as refused:
        start_engine(Small(), batch(), engine="openvin")
    assert refused.value.mend == "did you mean 'openvino'?"
    with pytest.raises(PotencyError, match="there is no precision 'fp8'"):
        start_engine(Small(), batch(), precision="fp8")


def test_the_digest_of_weights_changes_with_one_weight() -> None:
    network = Small()
    before = digest(network)
    assert digest(network) == before
    with torch.no_grad():
        network.head.weight[0, 0] += 1e-6
    assert digest(network) != before


# pools


def test_a_pool_gives_results_in_order_from_quiet_workers() -> None:
    with Pool(2) as on:
        assert list(on(double, range(9))) == [2 * i for i in range(9)]
        found = set(on(environment, range(8)))
    assert {entry[:2] for entry in found} == {("1", "PASSIVE")}
    assert len({entry[2] for entry in found}) <= 2 and str(os.getpid()) not in {entry[2] for entry in found}


def test_a_pool_draws_items_only_as_far_ahead_as_it_works() -> None:
    drawn = []

    def items() -> Any:
        for i in range(100):
            drawn.append(i)
            yield i

    with Pool(1, ahead=2) as on:
        results = iter(on(double, items()))
        assert next(results) == 0
        assert len(drawn) <= 3
        results.close()  # type: ignore[attr-defined]


def test_killed_workers_lose_nothing(tmp_path: Path) -> None:
    with Pool(2) as on:
        assert list(on(Die(str(tmp_path), once=2), range(7))) == [2 * i for i in range(7)]


def test_an_item_that_kills_its_worker_twice_is_lost_and_the_rest_goes_on(tmp_path: Path) -> None:
    with Pool(1) as on:
        found = list(on(Die(str(tmp_path), always=2), [0, 2, 3, 4]))
    assert [found[0], *found[2:]] == [0, 6, 8]
    assert isinstance(found[1], Lost) and "twice" in found[1].reason


def test_an_error_of_the_function_comes_back_as_itself() -> None:
    with Pool(1) as on:
        with pytest.raises(PotencyError) as raised:
            list(on(fail_at_three, range(6)))
        assert (raised.value.what, raised.value.mend) == ("three is no number", "leave it out")
        assert list(on(double, [1])) == [2], "the pool is usable afterwards"


def test_an_impossible_pool_is_refused() -> None:
    with pytest.raises(PotencyError, match="a pool of -1 workers"):
        Pool(-1)
    assert Pool().workers >= 1


def test_workers_end_with_their_parent(tmp_path: Path) -> None:
    script = tmp_path / "parent.py"
    script.write_text(
        textwrap.dedent("""
        import os, time
        from potency.inference.pool import Pool
        def pid(item): return os.getpid()
        if __name__ == "__main__":
            on = Pool(1)
            print(list(on(pid, [1]))[0], flush=True)
            time.sleep(60)
        """)
    )
    parent = subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    parent.stdout.close()
    deadline = time.monotonic() + 20
    while _alive(child) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _alive(child)


def _alive(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return False


# predict


def bundle_of(**changes: Any) -> Bundle:
    plan = Plan(channels=("0",), classes=CLASSES, tile=16, scaling={"0": (0.0, 255.0)}, network="tiny").but(**changes)
    torch.manual_seed(5)
    task = TASKS["classify"]
    nets = task.build(plan).eval()
    for parameter in nets.parameters():
        nn.init.normal_(parameter, std=0.3)
    return Bundle(Card("classify", (plan,)), (NetworkMember(task, plan, nets),))


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return accelerate(bundle_of())


def images(folder: Path, sizes: Sequence[tuple[int, ...]]) -> Manifest:
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(7)
    names = [f"im {i:02}.npy" for i in range(len(sizes))]
    for name, size in zip(names, sizes, strict=True):
        np.save(folder / name, random.integers(0, 255, size, np.uint8))
    table = pd.DataFrame({"image": names, "truth": [CLASSES[i % 2] for i in range(len(sizes))]})
    return Manifest.of_rows(table, folder)


MIXED = [(16, 16), (9, 30), (16, 16), (40, 7), (20, 20), (16, 16), (33, 31), (1, 1), (16, 16), (17, 16)]
PARTS = ["prediction.probability.dim", "prediction.probability.bright"]


def columns(manifest: Manifest) -> pd.DataFrame:
    return manifest.table[[c for c in manifest.table.columns if str(c).startswith("prediction")]]


def direct(bundle: Bundle, crops: Sequence[NDArray[Any]]) -> NDArray[np.float64]:
    answers = bundle([{"image": crop[None]} for crop in crops])
    return np.array([answer.probability for answer in answers if isinstance(answer, Category)])


def test_predict_adds_the_prediction_its_parts_and_an_error_column(tmp_path: Path, bundle: Bundle) -> None:
    rows, seen = images(tmp_path / "in", MIXED), list[tuple[int, int]]()
    found = predict(rows, bundle, into=tmp_path / "out", progress=lambda done, total: seen.append((done, total)))
    assert list(columns(found)) == ["prediction", *PARTS, "prediction.error"]
    assert found.kinds["prediction"] == "category"
    assert set(found.table["prediction"]) <= set(CLASSES)
    assert found.table["prediction.error"].isna().all()
    np.testing.assert_allclose(found.table[PARTS].sum(axis=1), 1)
    assert seen[0] == (0, 10) and seen[-1][0] == seen[-1][1]
    assert list(rows.table.columns) == ["id", "image", "group", "truth"], "the manifest given stays as it was"
    read = Manifest.read(tmp_path / "out" / "predictions.parquet")
    pd.testing.assert_frame_equal(columns(read), columns(found))
    assert (tmp_path / "out" / "predictions.csv").read_text("utf-8").count("\n") == 11
    assert read.open(read.table.iloc[0].to_dict()).shape == (16, 16), "paths follow the table to its new folder"


def test_every_row_of_a_mixed_batch_is_answered_as_if_alone(tmp_path: Path, bundle: Bundle) -> None:
    rows = images(tmp_path / "in", MIXED)
    together = predict(rows, bundle, into=None)
    alone = predict(rows, bundle, into=None, batch=1)
    np.testing.assert_allclose(alone.table[PARTS], together.table[PARTS], atol=1e-6)
    assert together.table[PARTS].nunique().min() > 5, "answers differ from image to image"


def test_a_large_image_is_cut_into_tiles_and_their_answers_are_stitched(tmp_path: Path, bundle: Bundle) -> None:
    rows = images(tmp_path / "in", [(16, 16), (80, 64), (16, 16)])
    seen = list[tuple[int, int]]()
    few = predict(rows, bundle, into=tmp_path / "few", batch=4, progress=lambda done, total: seen.append((done, total)))
    many = predict(rows, bundle, into=tmp_path / "many", batch=64)
    pd.testing.assert_frame_equal(columns(few), columns(many), rtol=1e-6)
    assert seen[-1] == (22, 22), "20 tiles and two rows"
    pixels = np.load(tmp_path / "in" / "im 01.npy")
    mean = direct(bundle, [pixels[y : y + 16, x : x + 16] for y in range(0, 80, 16) for x in range(0, 64, 16)]).mean(0)
    np.testing.assert_allclose(few.table.loc[1, PARTS].astype(float), mean, atol=1e-6)
    again = predict(rows, bundle, into=tmp_path / "few", batch=4)
    pd.testing.assert_frame_equal(columns(again), columns(few))


def test_rows_of_an_exploded_manifest_are_their_own_window(tmp_path: Path, bundle: Bundle) -> None:
    boxes = [(0, 0, 16, 16), (0, 16, 16, 16), (16, 16, 16, 16)]
    tiles = images(tmp_path / "in", [(32, 32)]).explode(lambda image: boxes)
    found = predict(tiles, bundle, into=None)
    pixels = np.load(tmp_path / "in" / "im 00.npy")
    expected = direct(bundle, [pixels[:16, :16], pixels[:16, 16:], pixels[16:, 16:]])
    np.testing.assert_allclose(found.table[PARTS], expected, atol=1e-6)


def test_a_row_that_fails_keeps_its_error_and_the_rest_goes_on(tmp_path: Path, bundle: Bundle) -> None:
    rows = images(tmp_path / "in", [*MIXED[:4], (2, 16, 16)])
    (tmp_path / "in" / "im 01.npy").write_bytes(b"")
    (tmp_path / "in" / "im 02.npy").unlink()
    found = predict(rows, bundle, into=tmp_path / "out").table
    assert found["prediction"].isna().tolist() == [False, True, True, False, True]
    assert found[PARTS[0]].isna().tolist() == [False, True, True, False, True]
    errors = found["prediction.error"]
    assert errors.isna().tolist() == [True, False, False, True, False]
    assert "im 01.npy" in errors[1] and "im 02.npy" in errors[2] and "2 channels" in errors[4]
    assert not any("\n" in error for error in errors.dropna())


def test_all_rows_may_fail(tmp_path: Path, bundle: Bundle) -> None:
    found = predict(images(tmp_path / "in", [(2, 16, 16)] * 3), bundle, into=tmp_path / "out")
    assert found.table["prediction"].isna().all() and found.table["prediction.error"].notna().all()


@dataclass
class Counting:
    """A mapper that counts the samples handed out, and breaks off where it is told to."""

    stop: int = 10**9
    handed: int = 0

    def __call__(self, function: Callable[[Any], Any], items: Any) -> Any:
        for item in items:
            if self.handed >= self.stop:
                raise KeyboardInterrupt
            self.handed += len(item.places)
            yield function(item)


def test_a_second_call_does_only_what_is_missing_or_changed(tmp_path: Path, bundle: Bundle) -> None:
    rows, out = images(tmp_path / "in", MIXED), tmp_path / "out"
    (tmp_path / "in" / "im 03.npy").write_bytes(b"damaged")
    kept = predict(rows, bundle, into=out)
    assert kept.table["prediction.error"].notna().tolist() == [i == 3 for i in range(10)]
    np.save(tmp_path / "in" / "im 03.npy", np.zeros((16, 16), np.uint8))
    mended = predict(rows, bundle, into=out, on=(again := Counting()))
    assert again.handed == 1, "errors are tried again, finished rows are not"
    assert mended.table["prediction.error"].isna().all()
    same = np.arange(10) != 3
    pd.testing.assert_frame_equal(columns(mended)[same], columns(kept)[same])
    assert [path.name for path in (out / "parts").iterdir()] == ["all.parquet"], "parts are put together at the end"
    np.save(tmp_path / "in" / "im 05.npy", np.ones((18, 16), np.uint8))
    predict(rows, bundle, into=out, on=(changed := Counting()))
    assert changed.handed == 1, "a file that changed is predicted again"
    other = bundle_of(tile=24)
    predict(rows, other, into=out, on=(new := Counting()))
    assert new.handed == 10, "another bundle answers for itself"
    predict(rows, bundle, into=out, name="prediction@old", on=(named := Counting()))
    assert named.handed == 10
    final = predict(rows, bundle, into=out, on=(none := Counting()))
    assert none.handed == 0 and list(columns(final)) == ["prediction", *PARTS, "prediction.error"]


def test_what_was_finished_before_an_interruption_is_kept(tmp_path: Path, bundle: Bundle) -> None:
    rows, out = images(tmp_path / "in", [*MIXED, (80, 64)]), tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        predict(rows, bundle, into=out, on=Counting(stop=8), batch=4)
    assert not (out / "predictions.parquet").exists()
    found = predict(rows, bundle, into=out, on=(rest := Counting()), batch=4)
    assert rest.handed == 3 + 20
    pd.testing.assert_frame_equal(columns(found), columns(predict(rows, bundle, into=None, batch=4)))
    with pytest.raises(KeyboardInterrupt):  # in the middle of the tiles of the large image
        predict(rows, bundle, into=tmp_path / "other", on=Counting(stop=19), batch=4)
    predict(rows, bundle, into=tmp_path / "other", on=(left := Counting()), batch=4)
    assert left.handed == 1 + 12


def test_one_image_in_several_rows_is_predicted_once(tmp_path: Path, bundle: Bundle) -> None:
    rows = images(tmp_path / "in", MIXED[:3])
    twice = Manifest.of_rows(pd.concat([rows.table, rows.table.assign(id=["x", "y", "z"])]), rows.folder)
    found = predict(twice, bundle, into=None, on=(counting := Counting()))
    assert counting.handed == 3
    np.testing.assert_array_equal(found.table[PARTS][:3], found.table[PARTS][3:])


def test_rows_are_identical_from_map_and_from_a_pool(tmp_path: Path, bundle: Bundle) -> None:
    rows = images(tmp_path / "in", [*MIXED, (80, 64)])
    (tmp_path / "in" / "im 02.npy").write_bytes(b"damaged")
    here = predict(rows, bundle, into=tmp_path / "map", batch=4)
    saved = bundle_of().save(tmp_path / "bundle")
    with Pool(2) as on:
        there = predict(rows, saved, into=tmp_path / "pool", on=on, batch=4)
        pd.testing.assert_frame_equal(there.table, here.table)
        unsaved = predict(rows, bundle, into=tmp_path / "unsaved", on=on, batch=4)
        pd.testing.assert_frame_equal(unsaved.table, here.table)
        with pytest.raises(PotencyError, match="lives in the memory of this process only") as refused:
            predict(rows, bundle, into=None, on=on)
    assert "bundle.save(folder)" in refused.value.mend


def test_a_bundle_changed_behind_the_back_of_the_workers_is_refused(tmp_path: Path) -> None:
    rows, saved = images(tmp_path / "in", MIXED[:2]), bundle_of().save(tmp_path / "bundle")
    bundle_of(tile=24).save(tmp_path / "bundle")
    with Pool(1) as on, pytest.raises(PotencyError, match="the bundle was changed while it was in use"):
        predict(rows, saved, into=tmp_path / "out", on=on)


@dataclass
class Losing:
    """A mapper whose worker dies of one image."""

    poison: int

    def __call__(self, function: Callable[[Any], Any], items: Any) -> Any:
        for item in items:
            yield Lost("its worker process died twice") if self.poison in item.places else function(item)


def test_an_image_that_kills_its_worker_costs_only_its_own_row(tmp_path: Path, bundle: Bundle) -> None:
    rows = images(tmp_path / "in", MIXED)
    found = predict(rows, bundle, into=tmp_path / "out", on=Losing(6), batch=4).table
    assert found["prediction.error"].notna().tolist() == [i == 6 for i in range(10)]
    assert "died twice" in found["prediction.error"][6]


def test_a_kill_loses_at_most_the_running_batch(tmp_path: Path) -> None:
    rows, saved = images(tmp_path / "in", [(16, 16)] * 40), bundle_of().save(tmp_path / "bundle")
    rows.write(tmp_path / "in" / "rows.csv")
    script = textwrap.dedent(f"""
        import sys, time
        from pathlib import Path
        from potency.bundle import Bundle
        from potency.data.manifest import Manifest
        from potency.inference.predict import predict
        def slowly(function, items):
            for item in items:
                yield function(item)
                time.sleep(0.05)
        def told(done, total):
            print(done, flush=True)
        rows = Manifest.read(Path({str(tmp_path / "in" / "rows.csv")!r}))
        predict(rows, Bundle.load(Path({str(tmp_path / "bundle")!r})), into=Path({str(tmp_path / "out")!r}),
                on=slowly, batch=4, progress=told)
    """)
    child = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    told = 0
    for line in child.stdout:
        told = int(line)
        if told >= 12:
            child.kill()
    child.wait()
    child.stdout.close()
    assert child.returncode == -signal.SIGKILL and 12 <= told < 40
    found = predict(rows, saved, into=tmp_path / "out", on=(rest := Counting()), batch=4)
    assert 40 - told - 4 <= rest.handed <= 40 - told
    pd.testing.assert_frame_equal(columns(found), columns(predict(rows, saved, into=None, batch=4)))
    assert not [path for path in (tmp_path / "out" / "parts").iterdir() if path.name.startswith(".")]


def test_a_full_disk_is_said_and_nothing_half_written_stays(
    tmp_path: Path, bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows, out = images(tmp_path / "in", [(16, 16)] * 10), tmp_path / "out"
    real, calls = os.replace, []

    def full(source: Any, target: Any) -> None:
        calls.append(target)
        if len(calls) == 3:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(source, target)

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(PotencyError) as raised:
        predict(rows, bundle, into=out, batch=2)
    assert "cannot be written" in raised.value.what and str(out) in raised.value.where
    assert "No space left" in raised.value.mend
    assert len(list(out.rglob("*"))) == 3, "the folder of parts and two parts"
    monkeypatch.undo()
    found = predict(rows, bundle, into=out, on=(rest := Counting()), batch=2)
    assert rest.handed == 6 and found.table["prediction"].notna().all()


def test_a_folder_that_cannot_be_written_is_refused_before_any_work(tmp_path: Path, bundle: Bundle) -> None:
    rows = images(tmp_path / "in", MIXED[:2])
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(PotencyError) as raised:
        predict(rows, bundle, into=tmp_path / "file" / "out", on=(counting := Counting()))
    assert counting.handed == 0
    assert "cannot be written" in raised.value.what and raised.value.mend


def test_a_damaged_part_is_left_out_and_its_rows_are_done_again(tmp_path: Path, bundle: Bundle) -> None:
    rows, out = images(tmp_path / "in", MIXED), tmp_path / "out"
    expected = predict(rows, bundle, into=out)
    (out / "parts" / "all.parquet").write_bytes(b"PAR1 cut off")
    found = predict(rows, bundle, into=out, on=(counting := Counting()))
    assert counting.handed == 10
    pd.testing.assert_frame_equal(columns(found), columns(expected))


def test_an_ensemble_of_different_tiles_is_predicted(tmp_path: Path) -> None:
    rows = images(tmp_path / "in", MIXED)
    first, second = bundle_of(), bundle_of(tile=32)
    both = Bundle(Card("classify", first.card.plans + second.card.plans), first.members + second.members)
    found = predict(rows, both, into=None).table[PARTS]
    singles = [predict(rows, one, into=None).table[PARTS] for one in (first, second)]
    whole = [i for i, size in enumerate(MIXED) if max(size) < 24]
    np.testing.assert_allclose(found.iloc[whole], (singles[0] + singles[1]).iloc[whole] / 2, atol=1e-6)


def test_an_impossible_batch_is_refused(tmp_path: Path, bundle: Bundle) -> None:
    with pytest.raises(PotencyError, match="a batch of 0 samples is impossible"):
        predict(images(tmp_path, MIXED[:1]), bundle, into=None, batch=0)


def test_the_builtin_map_and_pools_are_mappers() -> None:
    mappers: list[Mapper] = [map, Pool(1)]
    assert list(mappers[0](double, [1, 2])) == [2, 4]


def test_even_windows_leave_no_sliver() -> None:
    plan = Plan(tile=64)
    assert [(t.y, t.x) for t in windows((64, 96), plan)] == [(0, 0), (0, 32)]
    assert [(t.y, t.x, t.height) for t in windows((95, 30), plan)] == [(15, 0, 64)]
    exact = windows((100, 100), plan.but(halo=4))
    assert sum(t.height * t.width for t in exact) == 100 * 100
