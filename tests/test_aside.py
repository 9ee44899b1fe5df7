"""A second prediction into the same folder: what it would write over is kept."""

from __future__ import annotations

import logging
from pathlib import Path

import pandas as pd
import pytest
from small_bundle import bundle_of, images

from potency.data.manifest import Manifest
from potency.inference.aside import set_aside
from potency.inference.predict import predict


def test_a_table_of_other_rows_is_kept_and_one_of_the_same_replaced(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rows, bundle, out = images(tmp_path / "in", [(16, 16)] * 6), bundle_of(), tmp_path / "out"
    first, second = rows.where(lambda table: table.index < 4), rows.where(lambda table: table.index >= 4)
    for _ in range(2):
        predict(first, bundle, into=out)
    assert sorted(path.name for path in out.glob("predictions*")) == ["predictions.csv", "predictions.parquet"]
    with caplog.at_level(logging.WARNING):
        predict(second, bundle, into=out)
    assert "kept as predictions.1.parquet" in caplog.text
    assert Manifest.read(out / "predictions.1.parquet").table["id"].tolist() == first.table["id"].tolist()
    assert Manifest.read(out / "predictions.parquet").table["id"].tolist() == second.table["id"].tolist()
    predict(rows, bundle, into=out)  # has those of the second as well: nothing is lost
    assert not (out / "predictions.2.parquet").exists()


@pytest.mark.parametrize("content", ["my,own\n1,2\n", "id,grade\na,2\n", "", "\x00"])
def test_a_table_of_somebody_else_is_kept(tmp_path: Path, content: str) -> None:
    (tmp_path / "predictions.csv").write_text(content)
    (kept,) = set_aside(tmp_path, pd.DataFrame({"id": ["a"], "prediction": ["x"]}))
    assert kept.name == "predictions.1.csv" and kept.read_text() == content
    assert not (tmp_path / "predictions.csv").exists()
