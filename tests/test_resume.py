"""Resuming predictions: nothing finished is done twice, lost or half-written, whatever happens in between."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from small_bundle import MIXED, PARTS, Counting, bundle_of, columns, images

from potency.bundle import Bundle
from potency.inference.engine import accelerate
from potency.inference.predict import predict


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return accelerate(bundle_of())


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


def test_a_damaged_part_is_left_out_and_its_rows_are_done_again(tmp_path: Path, bundle: Bundle) -> None:
    rows, out = images(tmp_path / "in", MIXED), tmp_path / "out"
    expected = predict(rows, bundle, into=out)
    (out / "parts" / "all.parquet").write_bytes(b"PAR1 cut off")
    found = predict(rows, bundle, into=out, on=(counting := Counting()))
    assert counting.handed == 10
    pd.testing.assert_frame_equal(columns(found), columns(expected))
