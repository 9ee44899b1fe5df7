"""Predict: rows of any size become prediction columns, each fault stays in its row, the same here and from a pool."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from small_bundle import CLASSES, MIXED, PARTS, Counting, bundle_of, columns, direct, images

from potency.bundle import Bundle, Card
from potency.data.manifest import Manifest
from potency.data.plan import Plan
from potency.errors import PotencyError
from potency.inference.engine import accelerate
from potency.inference.pool import Lost, Pool
from potency.inference.predict import predict
from potency.inference.view import windows


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return accelerate(bundle_of())


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


def test_not_a_number_in_one_image_fails_that_row_only(tmp_path: Path, bundle: Bundle) -> None:
    rows = images(tmp_path / "in", MIXED[:4])
    np.save(tmp_path / "in" / "im 01.npy", np.full((16, 16), np.nan, np.float32))
    found = predict(rows, bundle, into=None).table
    assert found["prediction.error"].notna().tolist() == [False, True, False, False]
    assert "256 pixels are no number or infinite, or beyond 3.4e+38; where: im 01.npy" in found["prediction.error"][1]


def test_all_rows_may_fail(tmp_path: Path, bundle: Bundle) -> None:
    found = predict(images(tmp_path / "in", [(2, 16, 16)] * 3), bundle, into=tmp_path / "out")
    assert found.table["prediction"].isna().all() and found.table["prediction.error"].notna().all()


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


def test_an_ensemble_of_different_tiles_is_predicted(tmp_path: Path) -> None:
    rows = images(tmp_path / "in", MIXED)
    first, second = bundle_of(), bundle_of(tile=32)
    both = Bundle(Card("classify", first.card.plans + second.card.plans), first.members + second.members)
    found = predict(rows, both, into=None).table[PARTS]
    singles = [predict(rows, one, into=None).table[PARTS] for one in (first, second)]
    whole = [i for i, size in enumerate(MIXED) if max(size) < 24]
    np.testing.assert_allclose(found.iloc[whole], (singles[0] + singles[1]).iloc[whole] / 2, atol=1e-6)


@pytest.mark.parametrize("name", ["", "truth", "image", "id", "a.b", "prediction.error", "prediction@", "a@b@c"])
def test_a_prediction_never_replaces_another_column(tmp_path: Path, bundle: Bundle, name: str) -> None:
    rows = images(tmp_path / "in", MIXED[:2])
    with pytest.raises(PotencyError, match="column") as caught:
        predict(rows, bundle, into=tmp_path / "out", name=name)
    assert "prediction@SOURCE" in caught.value.mend and not (tmp_path / "out").exists()


def test_an_impossible_batch_is_refused(tmp_path: Path, bundle: Bundle) -> None:
    with pytest.raises(PotencyError, match="a batch of 0 samples is impossible"):
        predict(images(tmp_path, MIXED[:1]), bundle, into=None, batch=0)


def test_even_windows_leave_no_sliver() -> None:
    plan = Plan(tile=64)
    assert [(t.y, t.x) for t in windows((64, 96), plan)] == [(0, 0), (0, 32)]
    assert [(t.y, t.x, t.height) for t in windows((95, 30), plan)] == [(15, 0, 64)]
    exact = windows((100, 100), plan.but(halo=4))
    assert sum(t.height * t.width for t in exact) == 100 * 100


def test_real_cells_in_two_channels_get_the_same_answers_from_the_engine_and_from_torch(real_images: Path) -> None:
    source = real_images / "classify" / "jurkat_ifc_cellcycle"
    rows = Manifest.read(source, channels=("brightfield", "darkfield"))
    rows = rows.where(np.arange(len(rows)) % 40 == 0)
    scaling = {"brightfield": (0.0, 4096.0), "darkfield": (0.0, 4096.0)}
    model = bundle_of(channels=("brightfield", "darkfield"), scaling=scaling, tile=40)
    fast = predict(rows, model, into=None, precision="float32")
    slow = predict(rows, accelerate(model, "cpu", engine="torch"), into=None)
    assert fast.table["prediction.error"].isna().all() and fast.table[PARTS[0]].nunique() > 40
    np.testing.assert_allclose(fast.table[PARTS], slow.table[PARTS], atol=1e-5)
