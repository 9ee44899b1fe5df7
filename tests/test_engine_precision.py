"""Precision: bfloat16 by default where the processor has it, int8 when asked, and what was used is written down."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from small_bundle import MIXED, PARTS, bundle_of, columns, images
from test_engine import Small, batch
from torch import Tensor, nn

from potency.bundle import Bundle
from potency.data.manifest import Manifest
from potency.errors import BundleError, ManifestError, MissingExtra, PotencyError
from potency.inference import compiled
from potency.inference.agreement import agreement
from potency.inference.compiled import has_bfloat16
from potency.inference.engine import accelerate, start_engine
from potency.inference.origin import described
from potency.inference.predict import predict
from potency.learning.quantise import quantise


class Torn(nn.Module):
    """Two answers so near to each other that rounding decides: bfloat16 must not be trusted with it."""

    def forward(self, image: Tensor) -> Tensor:
        mean = image.mean((1, 2, 3))
        return torch.stack([mean + 1.0001, mean + 1.0], 1)


def test_bfloat16_is_the_default_where_the_processor_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    run = start_engine(Small(), batch(), precision="auto", device="cpu")
    assert run.precision == ("bfloat16" if has_bfloat16() else "float32") and run.name == "openvino"
    monkeypatch.setattr(compiled, "has_bfloat16", lambda: False)
    plain = start_engine(Small(), batch(), precision="auto", device="cpu")
    assert (plain.precision, plain.note) == ("float32", "")


def test_a_network_whose_top_answers_bfloat16_would_change_stays_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "has_bfloat16", lambda: True)
    real = compiled._compile

    def turned(flat: Any, sample: Any, setting: Any) -> Any:
        """As bfloat16 does to a tie: on any processor."""
        run, precision = real(flat, sample, setting)
        swap = (lambda v: v[:, ::-1]) if setting.precision == "bfloat16" else (lambda v: v)
        return lambda given: {k: swap(v) for k, v in run(given).items()}, setting.precision

    monkeypatch.setattr(compiled, "_COMPILED", type(compiled._COMPILED)())
    monkeypatch.setattr(compiled, "_compile", turned)
    run = start_engine(Torn(), batch(), precision="auto", device="cpu")
    assert (run.name, run.precision) == ("openvino", "float32")
    assert "openvino not used in bfloat16: ValueError: another top-1 than eager torch" in run.note


@pytest.mark.parametrize("network", ["tiny", "mobilenetv3"])
def test_a_row_does_not_depend_on_its_batch_nor_on_how_often_it_is_asked(tmp_path: Path, network: str) -> None:
    """Bit for bit in the compiled engine, in whatever precision this processor takes by default."""
    rows, model = images(tmp_path / "in", MIXED), accelerate(bundle_of(network=network, tile=32))
    assert "openvino" in described(model)
    whole = predict(rows, model, into=None)
    for size in (1, 3, 7):
        found = predict(rows, model, into=None, batch=size)
        pd.testing.assert_frame_equal(columns(found), columns(whole), check_exact=True)


def test_what_computed_the_rows_is_written_beside_them_and_kept_over_calls(tmp_path: Path) -> None:
    rows, model, out = images(tmp_path / "in", MIXED[:6]), bundle_of(), tmp_path / "out"
    first = rows.where(np.arange(6) < 4)
    predict(first, accelerate(model, "cpu", engine="torch", precision="float32"), into=out)
    found = predict(rows, accelerate(model, precision="float32"), into=out)
    told = json.loads((out / "run.json").read_text("utf-8"))["prediction"]
    assert told["engines"] == {"torch on cpu in float32": 4, "openvino on cpu in float32": 2}
    assert told["bundle"] == model.fingerprint and told["precision"] == "auto" and told["versions"]["torch"]
    assert "openvino on cpu in float32" in found.origin["prediction.engine"]
    assert Manifest.read(out / "predictions.parquet").origin["prediction.engine"] == found.origin["prediction.engine"]
    other = predict(rows, model, into=out, precision="bfloat16", name="prediction@half")
    told = json.loads((out / "run.json").read_text("utf-8"))
    assert set(told) == {"prediction", "prediction@half"} and told["prediction@half"]["precision"] == "bfloat16"
    assert other.table["prediction@half"].notna().all()


def test_another_precision_is_predicted_anew(tmp_path: Path) -> None:
    rows, model, out = images(tmp_path / "in", MIXED[:3]), bundle_of(), tmp_path / "out"
    predict(rows, model, into=out, precision="float32")
    told = predict(rows, model, into=out, precision="bfloat16").origin["prediction.engine"]
    assert ("bfloat16" in told) == has_bfloat16()


def test_unknown_and_impossible_precisions_are_told(tmp_path: Path) -> None:
    rows = images(tmp_path / "in", MIXED[:2])
    with pytest.raises(PotencyError, match="there is no precision 'half'"):
        predict(rows, bundle_of(), into=None, precision="half")
    with pytest.raises(BundleError, match="holds no images to calibrate int8 on") as raised:
        predict(rows, bundle_of(), into=None, precision="int8")
    assert "potency quantise" in raised.value.mend


def test_agreement_counts_the_top_answers_of_the_output() -> None:
    expected = {"embedding": np.eye(3), "output": np.array([[0.0, 1.0], [1.0, 0.0]])}
    assert agreement(expected, {**expected, "embedding": -np.eye(3)}) == 1.0
    assert agreement({"value": np.zeros((4, 1))}, {"value": np.ones((4, 1))}) == 1.0, "nothing to rank"


@pytest.fixture(scope="module")
def divided(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    rows = images(tmp_path_factory.mktemp("rows"), [(16, 16)] * 40)
    return rows.add({"split": ["train"] * 24 + ["validation"] * 16})


def test_int8_is_fitted_to_training_rows_and_its_accuracy_stands_in_the_card(
    divided: Manifest, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("nncf", reason="the extra int8 is not installed")
    made, report = quantise(bundle_of(), divided, into=tmp_path / "int8", images=12, draws=0)
    assert set(report.numbers) == {"prediction", "prediction@int8"}
    assert capsys.readouterr().out == "", "stdout is for answers"
    loaded = Bundle.load(tmp_path / "int8")
    told = loaded.card.validation["int8"]
    assert (told["fitted_to"], told["compared_on"], told["engine"]) == (12, 16, "openvino on cpu in int8")
    assert 0.5 <= told["agreement"]["value"] <= 1 and {"accuracy"} <= told["float32"].keys() & told["int8"].keys()
    assert loaded.fingerprint == made.fingerprint != bundle_of().fingerprint
    np.testing.assert_array_equal(loaded.calibration[3]["image"], made.calibration[3]["image"])
    whole = predict(divided, loaded, into=tmp_path / "out", precision="int8")
    assert json.loads((tmp_path / "out" / "run.json").read_text("utf-8"))["prediction"]["precision"] == "int8"
    exact = predict(divided, loaded, into=None, precision="float32").table[PARTS]
    off = np.abs(whole.table[PARTS].to_numpy() - exact.to_numpy())
    assert 0 < off.max() < 0.2, "coarser than float32, and still the same network"


def test_int8_without_nncf_or_without_rows_is_told(
    divided: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ManifestError, match=r"there are no rows to compare on \(split: validation or test\)"):
        quantise(bundle_of(), divided.of("train"), into=tmp_path / "a")
    monkeypatch.setattr(compiled, "_COMPILED", type(compiled._COMPILED)())
    monkeypatch.setitem(sys.modules, "nncf", None)
    with pytest.raises(MissingExtra) as raised:
        quantise(bundle_of(), divided, into=tmp_path / "b", draws=0)
    assert raised.value.mend == 'pip install "potency[int8]"'
    assert not (tmp_path / "b").exists()
