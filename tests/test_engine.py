"""Engines: compiled networks agree with eager torch, and eager torch takes over with a reason where they do not."""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from potency.errors import PotencyError
from potency.inference import compiled
from potency.inference.engine import digest, disagreement, find_device, start_engine


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


def test_a_damaged_image_in_the_first_batch_is_no_reason_to_distrust_an_engine() -> None:
    images = batch()
    images[1, 0, 2, 2] = np.nan
    run = start_engine(Small(), images)
    assert run.name == "openvino"


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
