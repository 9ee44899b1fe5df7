"""Images too large for memory: joined in bands, the same for any tile, resumed where they stopped, what is cut told."""

from __future__ import annotations

import errno
import json
import logging
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import zarr
from numpy.typing import NDArray
from slides_world import SIZE, TILE, bundle_of, discs, told
from small_bundle import Counting

from potency.answers import Labels, Regions, files
from potency.answers.seams import numbered_by_place
from potency.data import masks
from potency.data.manifest import Manifest
from potency.data.masks import ngff
from potency.data.tiles import cover
from potency.errors import AnswerError
from potency.evaluation.evaluate import evaluate
from potency.inference import view
from potency.inference.predict import predict


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything that is large in life is small here, so that there are tiles, bands and levels."""
    monkeypatch.setattr(files, "LARGE", 10_000)
    monkeypatch.setattr(ngff, "CHUNK", 64)
    monkeypatch.setattr(ngff, "SMALLEST", 128)
    monkeypatch.setattr(view, "READ", TILE)
    monkeypatch.setattr(view, "MOST", 0)


def test_the_answer_does_not_depend_on_the_size_of_the_tiles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows, answers = discs(tmp_path / "in"), []
    for side in (TILE, 200, 4096):
        monkeypatch.setattr(view, "READ", side)
        answers.append(told(predict(rows, bundle_of(), into=tmp_path / str(side)), tmp_path / str(side)))
    pixels, table, name = answers[0]
    assert len(table) > 100 and name.endswith(".zarr") and answers[2][2].endswith(".tif")
    assert name == answers[1][2], "a file is named after what is in it"
    for other, more, _ in answers[1:]:
        other, more = numbered_by_place(other, more)  # a decoder numbers by first pixels
        np.testing.assert_array_equal(pixels, other)
        pd.testing.assert_frame_equal(table, more[table.columns], check_dtype=False)
    assert sorted(path.name for path in (tmp_path / str(TILE)).rglob("*") if path.suffix in (".tif", ".part")) == []


def test_others_can_read_the_labels(tmp_path: Path) -> None:
    rows, into = discs(tmp_path / "in"), tmp_path / "out"
    found = predict(rows, bundle_of(), into=into)
    path = found.folder / found.table["prediction"].iloc[0]
    pixels, table, _ = told(found, into)
    group = zarr.open_group(str(path / "labels" / "objects"), mode="r")
    assert zarr.open_group(str(path / "labels"), mode="r").attrs["labels"] == ["objects"]
    (image,) = group.attrs["multiscales"]
    assert [axis["name"] for axis in image["axes"]] == ["y", "x"] and image["version"] == "0.4"
    for level, one in enumerate(image["datasets"]):
        array = np.asarray(group[one["path"]][:])
        np.testing.assert_array_equal(array, pixels[:: 2**level, :: 2**level])
        assert array.dtype == np.uint32
        assert one["coordinateTransformations"] == [{"type": "scale", "scale": [2.0**level] * 2}]
    assert len(image["datasets"]) == 2, "the last level is the first that is small"
    np.testing.assert_array_equal(masks.read(path, image=tmp_path / "in" / "a.zarr").labels, pixels)
    judged = found.add({"truth": found.table["prediction"]}, {"truth": "labels"})
    assert evaluate(judged, draws=0).numbers["prediction"]["f1.50"].value == 1
    assert (table["label"] == np.arange(1, len(table) + 1)).all() and (np.diff(table["centroid-0"]) >= 0).all()


def test_a_call_that_was_killed_goes_on_with_the_next_tile(tmp_path: Path) -> None:
    rows, out = discs(tmp_path / "in"), tmp_path / "out"
    whole = told(predict(rows, bundle_of(), into=tmp_path / "whole"), tmp_path / "whole")
    tiles = len(cover(SIZE, TILE, 32))
    with pytest.raises(KeyboardInterrupt):
        predict(rows, bundle_of(), into=out, on=Counting(stop=8))
    assert len(list((out / "parts").glob("*/prediction/*.tif"))) == 7
    (out / "prediction" / ".killed.part.zarr").mkdir(parents=True)  # as kill -9 leaves it while tiles are joined
    shown = list[tuple[int, int]]()
    found = predict(rows, bundle_of(), into=out, on=(rest := Counting()), progress=lambda *now: shown.append(now))
    assert rest.handed == 1 + tiles - 7 and shown[-1] == (tiles, tiles) and (7, tiles) in shown
    pixels, table, name = told(found, out)
    assert name == whole[2]
    pd.testing.assert_frame_equal(table, whole[1])
    assert [path.name for path in (out / "parts").iterdir()] == ["all.parquet"]
    assert not list(out.rglob("*.part.zarr"))


@pytest.mark.parametrize("where", ["tile", "join"])
def test_a_full_disk_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    rows, out, bundle = discs(tmp_path / "in"), tmp_path / "out", bundle_of()
    tiles, calls = len(cover(SIZE, TILE, 32)), []

    def full(*given: Any, **named: Any) -> Any:
        calls.append("dir" not in named or named["dir"].parents[1].name == "parts")
        if sum(calls) > (4 if where == "tile" else 2) and calls[-1]:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(*given, **named)

    holder, name = (tempfile, "mkdtemp") if where == "tile" else (ngff.Pyramid, "put")
    real = getattr(holder, name)
    with monkeypatch.context() as patch:
        patch.setattr(holder, name, full)
        if where == "tile":
            found = predict(rows, bundle, into=out, on=(counting := Counting()))
            assert counting.handed == 1 + 3, "what belongs to a row that failed is not worked on"
        else:
            found = predict(rows, bundle, into=out)
    assert "No space left on device" in found.table["prediction.error"][0]
    assert "free some space" in found.table["prediction.error"][0]
    assert not list(out.rglob("*.part*"))
    again = predict(rows, bundle, into=out, on=(rest := Counting()))
    assert rest.handed == 1 + (tiles - 2 if where == "tile" else 0)
    assert told(again, out)[2] == told(predict(rows, bundle, into=tmp_path / "whole"), tmp_path)[2]


def test_a_damaged_chunk_fails_its_row_and_says_where(tmp_path: Path) -> None:
    rows = discs(tmp_path / "in")
    sound = discs(tmp_path / "sound")
    both = Manifest.of_rows(pd.DataFrame({"image": ["in/a.zarr", "sound/a.zarr"]}), tmp_path)
    (tmp_path / "in" / "a.zarr" / "3.2").write_bytes(b"nonsense")
    found = predict(both, bundle_of(), into=tmp_path / "out").table
    error = found["prediction.error"][0]
    assert "the pixels cannot be decoded" in error and "in/a.zarr" in error and "tile: 128, 64" in error
    assert pd.isna(found["prediction.error"][1]) and found["prediction.count"][1] > 100
    (tmp_path / "in" / "a.zarr" / "3.2").write_bytes((tmp_path / "sound" / "a.zarr" / "3.2").read_bytes())
    pixels = told(predict(rows, bundle_of(), into=tmp_path / "out"), tmp_path / "out")[0]
    np.testing.assert_array_equal(pixels, told(predict(sound, bundle_of(), into=tmp_path / "s"), tmp_path / "s")[0])


def test_an_answer_of_a_tile_that_is_gone_is_made_again(tmp_path: Path) -> None:
    rows, out, bundle = discs(tmp_path / "in"), tmp_path / "out", bundle_of()
    with pytest.raises(KeyboardInterrupt):
        predict(rows, bundle, into=out, on=Counting(stop=6))
    next((out / "parts").glob("*/prediction/*.tif")).unlink()
    assert "there is no file" in predict(rows, bundle, into=out).table["prediction.error"][0]
    assert predict(rows, bundle, into=out, on=(rest := Counting())).table["prediction.error"].isna().all()
    assert rest.handed == 2


@pytest.mark.parametrize("side", [TILE, 4096])
def test_a_finished_row_whose_answer_was_deleted_is_done_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, side: int
) -> None:
    monkeypatch.setattr(view, "READ", side)
    rows, out, bundle = discs(tmp_path / "in"), tmp_path / "out", bundle_of()
    first = told(predict(rows, bundle, into=out), out)
    kept = predict(rows, bundle, into=out, on=(rest := Counting()))
    assert rest.handed == 0
    answer = kept.folder / kept.table["prediction"].iloc[0]
    shutil.rmtree(answer) if answer.is_dir() else answer.unlink()
    again = told(predict(rows, bundle, into=out), out)
    np.testing.assert_array_equal(again[0], first[0])
    pd.testing.assert_frame_equal(again[1], first[1])


def test_an_object_larger_than_a_tile_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, logger="potency"):  # whatever other libraries asked of the root
        found = predict(discs(tmp_path / "in", large=True), bundle_of(), into=tmp_path / "out")
    assert found.table["prediction.cut"][0] >= 2
    assert "an object reached further than its tile sees" in caplog.text
    assert "prediction.cut" not in predict(discs(tmp_path / "b"), bundle_of(), into=tmp_path / "o").table
    pixels, table, _ = told(found, tmp_path / "out")
    assert (np.bincount(pixels.ravel())[1:] == table["area"]).all(), "table and pixels agree all the same"


def test_a_large_map_of_classes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows, bundle = discs(tmp_path / "in"), bundle_of("segment")
    found = predict(rows, bundle, into=tmp_path / "out")
    row = found.table.iloc[0]
    large = Regions.of_cells({"": row["prediction"], "classes": row["prediction.classes"]}, found.folder)
    monkeypatch.setattr(view, "READ", 4096)
    row = predict(rows, bundle, into=tmp_path / "small").table.iloc[0]
    assert row["prediction"].endswith(".tif")
    np.testing.assert_array_equal(large.codes, Regions.of_cells({"": row["prediction"]}, found.folder).codes)
    said = json.loads(next((tmp_path / "out").rglob("objects/.zattrs")).read_text())["image-label"]
    assert said["properties"][1] == {"label-value": 1, "class": "edge"}


def grid(side: int) -> NDArray[np.uint32]:
    """An object at every second pixel."""
    pixels = np.zeros((side, side), np.uint32)
    pixels[::2, ::2] = np.arange(1, (side // 2) ** 2 + 1).reshape(side // 2, side // 2)
    return pixels


def test_more_than_65535_objects(tmp_path: Path) -> None:
    side = 520
    whole, tiles = grid(side), cover((side, side), 300, 4)
    parts = []
    for tile in tiles:
        window = tile.window((side, side))
        parts.append((tile, Labels.of(np.ascontiguousarray(whole[window["Y"], window["X"]]))))
    cells = Labels.join(iter(parts), (side, side), tmp_path, "prediction")
    assert cells["prediction.count"] == 260**2 > 65_535
    found = Labels.of_cells({"": cells["prediction"], "objects": cells["prediction.objects"]}, tmp_path)
    np.testing.assert_array_equal(found.instances, whole)
    with pytest.raises(AnswerError, match="give tiles from the top of the image to its bottom"):
        Labels.join(iter(parts[::-1]), (side, side), tmp_path, "prediction")
    with pytest.raises(AnswerError, match="there is no tile to join"):
        Labels.join(iter([]), (side, side), tmp_path, "prediction")


def test_an_object_that_is_taken_back_leaves_no_pixel_on_disk(tmp_path: Path) -> None:
    """A long object is settled in part when a later tile, which sees more of it, owns it as well."""
    tiles = cover((300, 65), (164, 65), 32)  # cores of 100 rows
    first, second = (np.zeros((tile.window((300, 65))["Y"].stop - tile.window((300, 65))["Y"].start, 65), np.uint32)
                     for tile in tiles[:2])  # fmt: skip
    first[40:132, 10:20] = 1  # rows 40 to 132, of 92 px, its centre in the first core
    second[:142, 10:20] = 1  # rows 68 to 210, its centre in the second: the same object, and more of it
    third = np.zeros((132, 65), np.uint32)
    parts = [(tile, Labels.of(pixels)) for tile, pixels in zip(tiles, (first, second, third), strict=True)]
    cells = Labels.join(iter(parts), (300, 65), tmp_path, "prediction")
    found = Labels.of_cells({"": cells["prediction"], "objects": cells["prediction.objects"]}, tmp_path)
    assert found.count == 1 and found.objects["area"].tolist() == [1420] and cells["prediction.cut"] >= 1
    expected = Labels.stitch(iter(parts), (300, 65))
    np.testing.assert_array_equal(found.instances, expected.instances)
