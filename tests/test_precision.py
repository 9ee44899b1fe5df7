"""Half precision: as good as float32 where the machine has it, refused where not, and resumed with its scale."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from zoo import cells

from potency.data.manifest import Manifest
from potency.data.plan import Facts, Plan
from potency.errors import PlanError
from potency.learning import checkpoint, gradient, precision
from potency.learning.train import train

SCALE = 2.0**22  # overflows at once, so that the first steps are left out and the scale comes down


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    return cells(tmp_path_factory.mktemp("cells"))


@pytest.fixture(scope="module")
def plan(rows: Manifest) -> Plan:
    return Plan.of(Facts.of(rows), steps=8, validations=1, batch=8, average=0.0, rate=1e-3, dropout=0.0)


def weights(folder: Path) -> torch.Tensor:
    state = checkpoint.read(folder / "state.safetensors")[0]
    return torch.cat([v.flatten() for k, v in sorted(state.items()) if k.startswith("best") and v.is_floating_point()])


def test_bfloat16_learns_what_float32_learns(rows: Manifest, plan: Plan, tmp_path: Path) -> None:
    loss = {}
    for name in ("float32", "bfloat16"):
        bundle = train(rows, "classify", into=tmp_path / name, plan=plan.but(precision=name))
        loss[name] = bundle.card.validation["log"][-1]["train_loss"]
    assert loss["bfloat16"] == pytest.approx(loss["float32"], rel=0.05)
    assert not torch.equal(weights(tmp_path / "float32"), weights(tmp_path / "bfloat16"))
    assert weights(tmp_path / "bfloat16").dtype == torch.float32  # only the arithmetic is short, never the weights


def test_float16_scales_its_losses_and_resumes_with_the_scale(
    rows: Manifest, plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gradient, "CHECKPOINT_EVERY", 0.0)
    monkeypatch.setattr(precision, "_has_float16", lambda device: True)  # slow here, but it computes
    monkeypatch.setattr(precision, "SCALE", SCALE)
    half = plan.but(precision="float16", steps=8, batch=2)

    def stop(done: int, total: int) -> None:
        if (done, total) == (4, half.steps):  # while the scale is still coming down
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(rows, "classify", into=tmp_path / "stopped", plan=half, progress=stop)
    scale = checkpoint.read(tmp_path / "stopped" / "state.safetensors")[1]["scalers"]["net"]["scale"]
    assert scale == SCALE / 2**4
    for name in ("whole", "stopped"):
        train(rows, "classify", into=tmp_path / name, plan=half)
    assert torch.equal(weights(tmp_path / "whole"), weights(tmp_path / "stopped"))
    found = checkpoint.read(tmp_path / "whole" / "state.safetensors")[1]["scalers"]["net"]["scale"]
    assert SCALE / 2**8 < found < SCALE / 2**4  # some steps were left out, not all
    assert torch.isfinite(weights(tmp_path / "whole")).all()


def test_float16_where_there_is_none_is_refused(
    rows: Manifest, plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precision, "_has_float16", lambda device: False)
    with pytest.raises(PlanError, match="float16 needs a CUDA GPU") as raised:
        train(rows, "classify", into=tmp_path, plan=plan.but(precision="float16"))
    assert "device" in raised.value.where and "bfloat16" in raised.value.mend


def test_a_gpu_without_bfloat16_is_told_of_float16(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda emulated: False)
    with pytest.raises(PlanError, match="does not compute in bfloat16.*\n.*cuda.*\n.*float16"):
        precision.refuse_unsupported("bfloat16", torch.device("cuda"))
    precision.refuse_unsupported("float16", torch.device("cuda"))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA GPU")
def test_float16_on_a_gpu(rows: Manifest, plan: Plan, tmp_path: Path) -> None:
    train(rows, "classify", into=tmp_path, plan=plan.but(precision="float16"))
    assert checkpoint.read(tmp_path / "state.safetensors")[1]["scalers"]["net"]["scale"] >= 1
