"""Objects as rows: what `potency measure` writes, image by image, and what it says of images it cannot measure."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile
import zoo

from potency.cli import run
from potency.data import masks
from potency.data.manifest import Manifest
from potency.data.readers import open_image
from potency.errors import ManifestError
from potency.measurement.objects import OBJECT_FAMILIES, measure_objects
from potency.measurement.objects.rows import measure_rows


@pytest.fixture(scope="module")
def fields(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    return zoo.fields(tmp_path_factory.mktemp("objects") / "fields")


def pair(folder: Path, name: str, labels: np.ndarray, channels: int = 1) -> None:
    np.save(folder / f"{name}_mask.npy", labels)
    np.save(folder / f"{name}.npy", np.arange(channels * labels.size).reshape(channels, *labels.shape))


def table(folder: Path, names: list[str], **more: object) -> Manifest:
    files = {"image": [f"{n}.npy" for n in names], "cells": [f"{n}_mask.npy" for n in names]}
    return Manifest.of_rows(pd.DataFrame({**files, **more}), folder)


@pytest.mark.parametrize("suffix", ["parquet", "csv"])
def test_objects_of_all_images_are_a_manifest_of_crops(fields: Manifest, suffix: str, tmp_path: Path) -> None:
    path, account = measure_rows(fields, "mask", tmp_path / f"out/cells.{suffix}")
    found = Manifest.read(path)
    assert (account.images, account.objects, account.wrong) == (4, len(found), {})
    row = fields.records()[2]
    image, labels = fields.open(row), open_image(fields.folder / row["mask"]).crop()[0]
    size = (image.pixel_size or {})["X"]
    alone = measure_objects(labels, image.crop(), pixel_size=size, channels=image.channels)
    here = found.table[found.table["tile.of"] == row["id"]].reset_index(drop=True)
    assert here["id"].tolist() == [f"{row['id']}#{number}" for number in alone["label"]]
    assert here["group"].eq(row["group"]).all() and here["object"].tolist() == alone["label"].tolist()
    np.testing.assert_allclose(here[list(alone.columns[1:])].astype(float), alone.iloc[:, 1:].astype(float))
    for each, number in list(zip(found.records(), found.table["object"], strict=True))[::7]:
        inside = open_image(found.folder / each["mask"]).crop(found.window(each))[0] == number
        assert all(side.any() for side in (inside[0], inside[-1], inside[:, 0], inside[:, -1]))
        assert found.open(each).crop(found.window(each)).shape[1:] == inside.shape


def test_images_that_cannot_be_measured_are_rows_that_say_why(tmp_path: Path) -> None:
    square = np.zeros((9, 12), np.uint8)
    square[2:5, 3:9] = 4
    for name, labels in (("size", square), ("good", square), ("none", 0 * square), ("float", square / 8)):
        pair(tmp_path, name, labels)
    pair(tmp_path, "last", square)
    np.save(tmp_path / "size.npy", np.zeros((1, 8, 12)))
    pair(tmp_path, "two", square, 2)
    names = ["size", "good", "none", "float", "two", "lost", "last"]
    rows = table(tmp_path, names, area=range(7), truth=list("aabbaab"))
    path, account = measure_rows(rows, "cells", tmp_path / "all.parquet")
    assert (account.images, account.objects, account.empty, len(account.wrong)) == (3, 2, 1, 4)
    found = pd.read_parquet(path).set_index("tile.of")
    assert found.index.tolist() == [f"{name}.npy" for name in ("good", "size", "float", "two", "lost", "last")]
    said = found["measure.error"].dropna()
    for name, what in (("size", "8 x 12 pixels and the label image 9 x 12"), ("two", "has channels"),
                       ("float", "18 pixels are no whole numbers"), ("lost", "no such")):  # fmt: skip
        assert what in said[f"{name}.npy"], name
    assert found.loc["good.npy", "area"] == 18 and found.loc["good.npy", "area@table"] == 1
    assert found.loc["good.npy", "id"] == "good.npy#4" and found.loc["size.npy", "id"] == "size.npy"
    with pytest.raises(ManifestError, match="no image could be measured; the first"):
        measure_rows(rows.where(rows.table["id"].isin(["size.npy", "lost.npy"])), "cells", tmp_path / "none.parquet")
    assert not list(tmp_path.glob("*none.par*")) and not list(tmp_path.glob(".*"))
    with pytest.raises(ManifestError, match="cannot be written as '.xlsx'"):
        measure_rows(rows, "cells", tmp_path / "all.xlsx")


def test_objects_are_read_from_all_that_evaluate_reads(tmp_path: Path) -> None:
    labels = np.zeros((30, 40), np.uint32)
    labels[2:9, 3:9], labels[12:28, 14:33] = 4, 7
    pair(tmp_path, "a", labels)
    np.save(tmp_path / "whole.npy", labels.astype(np.float32))
    truth = masks.of_labels(labels)
    written = ["t.zarr", "t.geojson", "t.json", "t.zip", "t.csv", "t.png"]
    for name in written:
        masks.write(tmp_path / name, truth)
    masks.write(tmp_path / "dsb", truth, format="folder")
    files = ["a_mask.npy", "whole.npy", "t.zarr/labels/objects", "dsb", *written]
    rows = pd.DataFrame({"image": "a.npy", "id": files, "cells": files})
    window = {"tile.y": 10, "tile.x": 12, "tile.height": 20, "tile.width": 28}
    for part, areas in (({}, [42, 304]), (window, [304])):
        path, account = measure_rows(Manifest.of_rows(rows.assign(**part), tmp_path), "cells", tmp_path / "all.parquet")
        assert account.wrong == {}
        found = pd.read_parquet(path).groupby("tile.of", sort=False)["area"].agg(list)
        assert found.to_dict() == dict.fromkeys(files, areas)


def test_what_holds_no_outlines_says_so(tmp_path: Path) -> None:
    square = np.zeros((9, 12), np.uint8)
    square[2:5, 3:9] = 4
    pair(tmp_path, "a", square)
    (tmp_path / "points.csv").write_text("x,y\n3,4\n")
    np.save(tmp_path / "a_seg.npy", np.array({"masks": square}))  # type: ignore[arg-type]
    files = ["a_mask.npy", "points.csv", "a_seg.npy", "gone.tif"]
    rows = Manifest.of_rows(pd.DataFrame({"image": "a.npy", "id": files, "cells": files}), tmp_path)
    path, account = measure_rows(rows, "cells", tmp_path / "all.parquet")
    assert account.images == 1
    for name, words in (("points.csv", "boxes or points, no outlines"), ("a_seg.npy", "Cellpose's _seg.npy"),
                        ("a_seg.npy", "File > Save masks"),
                        ("gone.tif", "there is no file gone.tif")):  # fmt: skip
        assert words in account.wrong[name]


def test_the_planes_of_a_mask_are_not_those_of_a_flat_image(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((9, 12), np.uint8))
    tifffile.imwrite(tmp_path / "m.tif", np.ones((5, 9, 12), np.uint8), metadata={"axes": "ZYX"})
    rows = Manifest.of_rows(pd.DataFrame({"image": ["a.tif"], "cells": ["m.tif"]}), tmp_path)
    with pytest.raises(ManifestError, match="several planes or times"):
        measure_rows(rows, "cells", tmp_path / "out.csv")


def test_um_stand_where_any_image_knows_its_pixels(tmp_path: Path) -> None:
    labels = np.zeros((9, 12), np.uint8)
    labels[2:5, 3:9] = 4
    for name in ("a", "b"):
        pair(tmp_path, name, labels)
    path, _ = measure_rows(table(tmp_path, ["a", "b"], pixel_size=[None, 0.5]), "cells", tmp_path / "um.csv")
    found = pd.read_csv(path)
    assert found["area"].tolist() == [18, 18] and found["area_um2"].isna().tolist() == [True, False]
    assert found["area_um2"].iloc[1] == 4.5


def test_the_command_measures_objects_and_images(
    fields: Manifest, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    start, into = ["measure", str(fields.folder), "--into"], str(tmp_path / "cells.csv")
    assert run([*start, into, "--objects", "mask", "--families", "shape", "--naming", "qupath", "--json"]) == 0
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    found = pd.read_csv(told["table"])
    assert told["objects"] == len(found) and {"object", "Area µm^2", "Circularity"} <= set(found)
    assert run([*start, into, "--json"]) == 0
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert told["images"] == len(pd.read_csv(into)) == 4 and "measure.shape.phase.area_um2" in told["columns"]
    for words, said in ((["--objects", "maks"], "did you mean 'mask'"), (["--families", ","], "no family is named"),
                        (["--naming", "qupath"], "add --objects"),
                        (["--objects", "mask", "--families", "spatial"], "needs types or regions")):  # fmt: skip
        assert run([*start, into, *words]) == 2
        assert said in capsys.readouterr().err
    source = shutil.copytree(fields.folder, tmp_path / "copy") / "labels.csv"
    before = source.read_bytes()
    for words in ([], ["--objects", "mask"]):
        assert run(["measure", str(source), "--into", str(source), *words]) == 2
        assert "take the place of the table" in capsys.readouterr().err and source.read_bytes() == before


def test_the_page_names_every_column() -> None:
    page = (Path(__file__).parents[1] / "docs/measure-objects.md").read_text("utf-8")
    labels = np.zeros((40, 40), np.uint8)
    labels[3:9, 4:9], labels[20:30, 20:30] = 1, 2
    found = measure_objects(labels, np.ones((1, 40, 40)), families=OBJECT_FAMILIES, types=["a", "b"],
                            regions=labels // 2, channels=["dna"])  # fmt: skip
    many = re.compile(r"(zernike_|glcm|lbp\d_|granularity_|gabor|type_distance-|region_distance-)")  # a row of all
    for name in (str(name).removesuffix("-dna") for name in found if name != "label"):
        several = many.match(name)
        told = f"`{several[1]}<" if several else f"`{name}`"
        assert told in page, f"docs/measure-objects.md does not name {name}"
