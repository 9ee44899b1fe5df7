"""Truth beside images: found by the names of many programs, left alone where classes are named, refused if locked."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import tifffile
from made_up_masks import annotated, cells
from PIL import Image as Pillow

from potency.data import masks
from potency.data.beside import KNOWN
from potency.data.columns import HELD
from potency.data.manifest import Manifest
from potency.data.masks import FORMATS
from potency.errors import ManifestError

LABELS = cells(6, 40)


def image(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Pillow.fromarray(np.full((40, 40), 9, np.uint8)).save(path)


def test_every_suffix_of_a_format_is_a_truth() -> None:
    assert {suffix for one in FORMATS for suffix in one.suffixes} <= set(KNOWN)
    assert not set(HELD["labels"]) & set(HELD["objects"])


@pytest.mark.parametrize("truth, kind", [
    ("a/{}_masks.tif", "masks"), ("a/{}_cp_masks.png", "cp_masks"), ("a/{}_labels.npy", "labels"),
    ("a/{}.geojson", "geojson"), ("a/{}_RoiSet.zip", "roiset"), ("a/{}.zip", "zip"),
    ("masks/{}.tif", "masks"), ("labels/{}_masks.png", "labels"), ("Annotations/{}.json", "annotations"),
])  # fmt: skip
def test_masks_beside_images_are_their_truth(tmp_path: Path, truth: str, kind: str) -> None:
    for name in ("n1", "n2", "N 3"):
        image(tmp_path / ("a" if truth.startswith("a/") else "images") / f"{name}.png")
        if name != "n2":  # one image was not annotated
            masks.write(tmp_path / truth.format(name), annotated(LABELS))
    found = Manifest.read(tmp_path)
    assert found.kinds["truth"] == "labels" and found.origin["truth"] == f"{kind} beside the images"
    assert len(found) == 3 and found.table["truth"].isna().tolist() == [name.endswith("n2.png") for name in
                                                                        found.table["image"]]  # fmt: skip
    for row in found.records():
        if isinstance(row["truth"], str):
            assert (masks.read(found.folder / row["truth"], image=found.folder / row["image"]).labels == LABELS).all()
    moved = Manifest.read(found.write(tmp_path / "elsewhere" / "rows.csv"))
    assert all((moved.folder / cell).is_file() for cell in moved.table["truth"].dropna())


def test_boxes_of_yolo_and_voc_in_the_folders_of_these_programs(tmp_path: Path) -> None:
    for place, folder, suffix in (("images", "labels", "txt"), ("JPEGImages", "Annotations", "xml")):
        root = tmp_path / suffix
        for split in ("train", "val"):
            inner = (place, split) if suffix == "txt" else (split, place)
            image(root.joinpath(*inner, "x.png"))
            other = (folder, split) if suffix == "txt" else (split, folder)
            masks.write(root.joinpath(*other, f"x.{suffix}"), annotated(LABELS))
        found = Manifest.read(root)
        assert found.kinds["truth"] == "objects" and len(found) == 2 and found.table["truth"].notna().all()


def test_a_mask_an_object(tmp_path: Path) -> None:
    for name in ("one", "two"):
        image(tmp_path / name / "images" / f"{name}.png")
        masks.write(tmp_path / name, annotated(LABELS), format="folder")
    found = Manifest.read(tmp_path)
    assert found.table["truth"].tolist() == ["one", "two"] and found.kinds["truth"] == "labels"
    assert found.table["image"].tolist() == ["one/images/one.png", "two/images/two.png"]
    found.write(tmp_path / "rows.csv")
    assert Manifest.read(tmp_path / "rows.csv").kinds["truth"] == "labels"


def test_classes_named_by_folders_stay_the_truth(tmp_path: Path) -> None:
    for kind in ("astro", "neuron"):
        for k in range(3):
            image(tmp_path / kind / f"{k}.png")
            masks.write(tmp_path / kind / f"{k}_masks.tif", annotated(LABELS))
    found = Manifest.read(tmp_path)
    assert len(found) == 6 and found.classes == ("astro", "neuron")
    assert found.table["masks"].notna().all() and found.kinds["masks"] == "file"
    assert Manifest.read(tmp_path, truth="masks").kinds["truth"] == "labels"


def test_two_kinds_of_masks_are_columns_to_choose_from(tmp_path: Path) -> None:
    for k in range(2):
        image(tmp_path / f"{k}.png")
        masks.write(tmp_path / f"{k}_masks.tif", annotated(LABELS))
        masks.write(tmp_path / f"{k}.geojson", annotated(LABELS))
    found = Manifest.read(tmp_path)
    assert "truth" not in found.table and {"masks", "geojson"} <= set(found.table.columns)
    assert Manifest.read(tmp_path, truth="geojson").table["truth"].tolist() == ["0.geojson", "1.geojson"]


def test_a_name_by_chance_is_an_image_like_any_other(tmp_path: Path) -> None:
    for name in ("a", "b", "c", "a_masks", "masks"):
        image(tmp_path / f"{name}.png")
    assert len(Manifest.read(tmp_path)) == 5


def test_a_locked_file_is_no_image_and_asks_for_masks(tmp_path: Path) -> None:
    image(tmp_path / "a.png")
    (tmp_path / "a_seg.npy").write_bytes(b"nobody opens it")
    with pytest.raises(ManifestError, match="a pickle") as caught:
        Manifest.read(tmp_path)
    assert "Save masks as PNG" in caught.value.mend
    tifffile.imwrite(tmp_path / "a_cp_masks.tif", LABELS.astype(np.uint16))
    assert Manifest.read(tmp_path).table["truth"].tolist() == ["a_cp_masks.tif"]
    shutil.rmtree(tmp_path)
