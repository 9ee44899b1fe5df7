"""What the formats of truth mean, each by an example in its own words: where pixels count from, what a class is."""

from __future__ import annotations

import gzip
import json
import struct
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from made_up_masks import annotated, cells
from PIL import Image as Pillow

from potency.data import masks
from potency.data.masks import Annotation
from potency.data.masks.annotation import BOX, COLUMNS, table
from potency.data.masks.fill import split_rings
from potency.data.masks.runlength import column_runs, counts_of, packed, runs_of, unpacked
from potency.data.readers import open_image
from potency.errors import AnswerError


def test_run_lengths_in_letters() -> None:
    counts = np.array([0, 5, 100_000, 1, 3, 2_000_000, 17])
    assert (unpacked(packed(counts)) == counts).all()
    y, x = np.mgrid[:9, :9] - 4
    disk = (y**2 + x**2 <= 9).astype(np.uint32)
    [(_, start, length)] = column_runs(disk)
    flat = counts_of(start, length, 81)
    assert packed(flat) == "=164N0O20N102L7"  # as pycocotools 2.0.11 writes this disk
    assert [part.tolist() for part in runs_of(flat, 81)] == [start.tolist(), length.tolist()]
    with pytest.raises(AnswerError, match="add up to 81 pixels, the image has 80"):
        runs_of(flat, 80)


def coco(**more: object) -> dict[str, object]:
    note = {"id": 5, "image_id": 9, "category_id": 2, "bbox": [1, 2, 3, 2], "score": 0.5, **more}
    return {"info": {"a": [1, {"b": None}]}, "annotations": [note, {**note, "id": 6, "image_id": 8}],
            "images": [{"id": 9, "file_name": "in/a.png", "height": 8, "width": 10},
                       {"id": 8, "file_name": "b.png", "height": 8, "width": 10}],
            "categories": [{"id": 2, "name": "neuron"}]}  # fmt: skip


@pytest.mark.parametrize("kind, said", [
    ("outline", [[1, 2, 4, 2, 4, 4, 1, 4]]),
    ("counts", {"size": [8, 10], "counts": [10, 2, 6, 2, 6, 2, 52]}),
    ("letters", {"size": [8, 10], "counts": packed(np.array([10, 2, 6, 2, 6, 2, 52]))}),
])  # fmt: skip
def test_coco_says_the_same_in_three_ways(tmp_path: Path, kind: str, said: object) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps(coco(segmentation=said)))
    found = masks.read(path, image="elsewhere/a.png")
    expected = np.zeros((8, 10), np.uint32)
    expected[2:4, 1:4] = 5
    assert found.labels is not None and (found.labels == expected).all()
    assert found.objects[COLUMNS].values.tolist() == [[5, "neuron", 0.5, 2.5, 2.0, 2.0, 1.0, 4.0, 4.0]]
    with pytest.raises(AnswerError, match="speaks of 2 images"):
        masks.read(path)
    with pytest.raises(AnswerError, match="no image c.png"):
        masks.read(path, image="c.png")


def test_coco_boxes_and_crowds(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps(coco()))
    found = masks.read(path, image="b.png")
    assert found.labels is None
    assert found.objects[BOX].values.tolist() == [[2.0, 1.0, 4.0, 4.0]]
    path.write_text(json.dumps(coco(iscrowd=1)))
    assert masks.read(path, image="b.png").lost == {"crowds (regions of many objects) left out": 1}


def test_parts_of_a_coco_object_unite_where_they_overlap(tmp_path: Path) -> None:
    """As pycocotools has it: of squares that overlap, whichever way they run, no pixel is a hole."""
    one, two, far = [1, 1, 5, 1, 5, 5, 1, 5], [3, 3, 3, 7, 7, 7, 7, 3], [9, 0, 10, 0, 10, 1, 9, 1]
    expected = np.zeros((8, 10), bool)
    expected[1:5, 1:5] = expected[3:7, 3:7] = expected[0, 9] = True
    data = coco(segmentation=[one, two, [2, 2, 3, 2, 3, 3, 2, 3], far])
    for size in ({"height": 8, "width": 10}, {}):
        data["images"] = [{"id": 9, "file_name": "a.png", **size}]
        (tmp_path / "a.json").write_text(json.dumps(data))
        found = masks.read(tmp_path / "a.json", image="a.png")
        assert not found.lost and (found.labels is None) == (not size)
        masks.write(tmp_path / "again.geojson", found)
        again = masks.read(tmp_path / "again.geojson", shape=(8, 10)).labels
        assert again is not None and ((again > 0) == expected).all()
    data["annotations"][0]["segmentation"] = [one, two, [1, 2], [1e12] * 6]  # type: ignore[index]
    (tmp_path / "a.json").write_text(json.dumps(data))
    assert sum(masks.read(tmp_path / "a.json", image="a.png", shape=(8, 10)).lost.values()) == 1


def test_geojson_of_qupath(tmp_path: Path) -> None:
    hole = [[[0, 0], [8, 0], [8, 8], [0, 8], [0, 0]], [[2, 2], [4, 2], [4, 6], [2, 6], [2, 2]]]
    feature = {"type": "Feature", "id": "0-1", "geometry": {"type": "Polygon", "coordinates": hole}, "properties": {
        "objectType": "cell", "classification": {"names": ["Tumor", "Positive"], "color": [1, 2, 3]},
        "measurements": [{"name": "Area um^2", "value": 12.5}]}, "nucleusGeometry": {}}  # fmt: skip
    parts = [[[[10, 1], [12, 1], [12, 3], [10, 3]]], [[[14, 1], [15, 1], [15, 1.9]]]]
    two = {"type": "MultiPolygon", "coordinates": parts}
    point, line = {"type": "Point", "coordinates": [3.5, 9.5]}, {"type": "LineString", "coordinates": [[1, 2], [3, 4]]}
    more = [{"type": "Feature", "geometry": one, "properties": {"classification": {"name": "Stroma"}}}
            for one in (two, point, line)]  # fmt: skip
    path = tmp_path / "a.geojson"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": [feature, *more]}, indent=1))
    found = masks.read(path, shape=(12, 16))
    assert found.labels is not None
    assert [int((found.labels == label).sum()) for label in (1, 2)] == [64 - 8, 4]
    assert found.objects["class"].tolist() == ["Tumor: Positive", "Stroma", "Stroma"]
    assert found.objects["Area um^2"].tolist()[0] == 12.5
    assert found.objects[["y", "x"]].values.tolist()[2] == [9.0, 3.0]
    assert [words for words in found.lost if "LineString" in words or "nuclei" in words or "no outline" in words] != []
    assert [len(split_rings(one)) for one in found.objects["polygon"][:2]] == [2, 2]
    as_list = tmp_path / "list.json.gz"
    as_list.write_bytes(gzip.compress(json.dumps([feature, *more]).encode()))
    pd.testing.assert_frame_equal(masks.read(as_list, shape=(12, 16)).objects, found.objects)


def test_geojson_says_the_plane_and_time_of_a_stack(tmp_path: Path) -> None:
    found = masks.of_labels(np.array([[0, 1, 1], [0, 1, 1]], np.uint32))
    for part, plane in (({}, None), ({"z": 3}, {"c": -1, "z": 3, "t": 0}), ({"t": 2}, {"c": -1, "z": 0, "t": 2})):
        masks.write(tmp_path / "a.geojson", replace(found, part=part))
        [feature] = json.loads((tmp_path / "a.geojson").read_text())["features"]
        assert feature["geometry"].get("plane") == plane
        assert len(masks.read(tmp_path / "a.geojson", shape=(2, 3)).objects) == 1


def test_holes_of_geojson_are_holes_whichever_way_they_run(tmp_path: Path) -> None:
    outer, hole = [[0, 0], [8, 0], [8, 8], [0, 8], [0, 0]], [[2, 2], [4, 2], [4, 6], [2, 6], [2, 2]]
    other = [[[10, 1], [10, 3], [12, 3], [12, 1], [10, 1]]]
    for shape, places in (("Polygon", [outer, hole]), ("Polygon", [outer, hole[::-1]]),
                          ("Polygon", [outer[::-1], hole]), ("MultiPolygon", [[outer, hole], other])):  # fmt: skip
        geometry = {"type": shape, "coordinates": places}
        (tmp_path / "a.geojson").write_text(json.dumps({"type": "Feature", "geometry": geometry, "properties": {}}))
        masks.write(tmp_path / "b.geojson", masks.read(tmp_path / "a.geojson"))
        [feature] = json.loads((tmp_path / "b.geojson").read_text())["features"]
        assert feature["geometry"]["type"] == shape
        parts = [feature["geometry"]["coordinates"]] if shape == "Polygon" else feature["geometry"]["coordinates"]
        assert [len(part) for part in parts] == ([2] if shape == "Polygon" else [2, 1])


def test_features_are_read_piece_by_piece(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = annotated(cells(30, 60))
    for name in ("a.geojson", "a.json"):
        masks.write(tmp_path / name, before)
        for size in (1, 7, 64):
            monkeypatch.setattr("potency.data.masks.jsonstream.PIECE", size)
            assert (masks.read(tmp_path / name, shape=(60, 60)).labels == before.labels).all()


def region(kind: int, box: tuple[int, int, int, int], places: bytes = b"", count: int = 0, options: int = 0) -> bytes:
    """A region as ImageJ lays it out."""
    head = struct.pack(">4shBx4hH", b"Iout", 227, kind, *box, count).ljust(50, b"\0") + struct.pack(">h", options)
    return head.ljust(64, b"\0") + places


def test_regions_of_imagej(tmp_path: Path) -> None:
    triangle = np.array([[0, 8, 0], [0, 0, 8]], ">i2").tobytes()
    floats = np.array([[2.5, 10.5, 2.5], [1.5, 1.5, 9.5]], ">f4").tobytes()
    regions = {
        "freehand": region(7, (1, 2, 9, 10), triangle, 3),
        "subpixel": region(0, (1, 2, 9, 10), triangle + floats, 3, 128),
        "box": region(1, (3, 4, 6, 8)),
        "oval": region(2, (0, 0, 10, 10)),
        "points": region(10, (1, 2, 1, 2), np.array([[0, 3], [0, 1]], ">i2").tobytes(), 2),
        "line": region(3, (1, 2, 9, 10)),
    }
    boxes = {}
    for name, data in regions.items():
        (tmp_path / f"{name}.roi").write_bytes(data)
        boxes[name] = masks.read(tmp_path / f"{name}.roi").objects[BOX].values.tolist()
    assert boxes["freehand"] == [[1, 2, 9, 10]]
    assert boxes["subpixel"] == [[1.5, 2.5, 9.5, 10.5]]
    assert boxes["box"] == [[3, 4, 6, 8]]
    assert masks.read(tmp_path / "points.roi").objects[["y", "x"]].values.tolist() == [[1, 2], [2, 5]]
    assert masks.read(tmp_path / "line.roi").lost == {"lines left out": 1}
    oval = masks.read(tmp_path / "oval.roi", shape=(10, 10)).labels
    y, x = np.mgrid[:10, :10] - 4.5
    assert oval is not None and (oval == (y**2 + x**2 <= 25)).all()


def test_names_of_regions_that_are_no_numbers_are_counted(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for name in ("0001-0200.roi", "0003-0400.roi"):
            archive.writestr(name, region(1, (3, 4, 6, 8)))
        archive.writestr("notes.txt", "x")
        archive.writestr("RoiSet/", "")  # what a Mac adds
        archive.writestr("__MACOSX/RoiSet/._0001-0200.roi", b"\0\5\x16\7")
        archive.writestr("._0003-0400.roi", b"\0\5\x16\7")
    found = masks.read(tmp_path / "a.zip")
    assert found.objects["label"].tolist() == [1, 2]
    assert list(found.lost.values()) == [1]


def test_yolo_and_its_classes(tmp_path: Path) -> None:
    (tmp_path / "classes.txt").write_text("RBC\nWBC\n\n")
    (tmp_path / "a.txt").write_text("1 0.5 0.5 0.2 0.5\n0 0.1 0.1 0.1 0.1 0.9\n0 0 0 0.5 0 0.5 0.5 0 0.5\n")
    found = masks.read(tmp_path / "a.txt", shape=(40, 20))
    assert found.objects["class"].tolist() == ["WBC", "RBC", "RBC"]
    assert found.objects[BOX].values.tolist()[0] == [10, 8, 30, 12]
    assert found.objects["score"].tolist()[1] == 0.9
    assert found.labels is not None and (found.labels[:20, :10] == 3).all() and (found.labels > 0).sum() == 200
    (tmp_path / "c.txt").write_text("\ufeff1 0.5 0.5 0.2 0.5\n", "utf-8")
    assert masks.read(tmp_path / "c.txt", shape=(40, 20)).objects["class"].tolist() == ["WBC"]
    with pytest.raises(AnswerError, match="size of the image is not known"):
        masks.read(tmp_path / "a.txt")
    boxes = Annotation((40, 20), None, table([1], [1], [1], [[0], [0], [3], [4]], "new", [0.5]))
    masks.write(tmp_path / "b.txt", boxes)
    assert (tmp_path / "classes.txt").read_text().split() == ["RBC", "WBC", "new"]
    assert masks.read(tmp_path / "b.txt", shape=(40, 20)).objects[["class", *BOX]].values.tolist() == [
        ["new", 0.0, 0.0, 3.0, 4.0]]  # fmt: skip


def test_voc_counts_pixels_from_one(tmp_path: Path) -> None:
    box = "<bndbox><xmin>1</xmin><ymin>2</ymin><xmax>3</xmax><ymax>2</ymax></bndbox>"
    part = "<part><name>head</name><bndbox><xmin>7</xmin></bndbox></part>"
    (tmp_path / "a.xml").write_text(f"<annotation><size><width>9</width><height>8</height></size><object><name>a&amp;b"
                                    f"</name>{part}{box}</object></annotation>")  # fmt: skip
    found = masks.read(tmp_path / "a.xml")
    assert found.shape == (8, 9)
    assert found.objects[["class", *BOX]].values.tolist() == [["a&b", 1, 0, 2, 3]]


@pytest.mark.parametrize("header, row", [
    ("x,y", "4,3"), ("index,axis-0,axis-1", "0,3,4"), ("Location_Center_X;Location_Center_Y", "4;3"),
    ("Centroid X px\tCentroid Y px", "4\t3"), ("centroid-0,centroid-1,label", "3,4,1"), ("col,row,class", "4,3,"),
])  # fmt: skip
def test_points_by_the_names_of_many_programs(tmp_path: Path, header: str, row: str) -> None:
    (tmp_path / "a.csv").write_text(f"{header}\n{row}\n")
    objects = masks.read(tmp_path / "a.csv").objects
    assert objects[["label", "class", "y", "x"]].values.tolist() == [[1, "", 3.0, 4.0]]
    assert objects[BOX].isna().all(axis=None)


def test_tables_of_many_images(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("image,x,y,label\nin/a.png,1,2,positive\nin/b.png,3,4,negative\n")
    found = masks.read(tmp_path / "a.csv", image="/elsewhere/b.tif")
    assert found.objects[["class", "y", "x"]].values.tolist() == [["negative", 4, 3]]
    for image, words in ((None, "speaks of 2 images"), ("c.png", "no image c.png")):
        with pytest.raises(AnswerError, match=words):
            masks.read(tmp_path / "a.csv", image=image)


def test_run_lengths_of_the_data_science_bowl(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("ImageId,EncodedPixels\na,1 2 5 1\na,8 2\nb,\n")
    found = masks.read(tmp_path / "a.csv", image="a.png", shape=(3, 4))
    assert found.labels is not None
    assert found.labels.tolist() == [[1, 0, 0, 0], [1, 1, 2, 0], [0, 0, 2, 0]]
    assert len(masks.read(tmp_path / "a.csv", image="b", shape=(3, 4)).objects) == 0
    with pytest.raises(AnswerError, match="do not fit an image of 2 x 4"):
        masks.read(tmp_path / "a.csv", image="a", shape=(2, 4))


def test_masks_of_single_objects(tmp_path: Path) -> None:
    for folder, name, filled in (("masks", "a", slice(0, 3)), ("masks", "b", slice(2, 5)), ("masks", "c", slice(0, 0))):
        mask = np.zeros((6, 7), np.uint8)
        mask[filled] = 255
        (tmp_path / folder).mkdir(exist_ok=True)
        Pillow.fromarray(mask).save(tmp_path / folder / f"{name}.png")
    found = masks.read(tmp_path)
    assert found.labels is not None and found.labels[:, 0].tolist() == [1, 1, 2, 2, 2, 0]
    assert sorted(found.lost.values()) == [1, 7]
    assert (masks.read(tmp_path / "masks").labels == found.labels).all()
    (tmp_path / "images").mkdir()
    Pillow.fromarray(np.zeros((6, 8), np.uint8)).save(tmp_path / "images" / "a.png")
    with pytest.raises(AnswerError, match="6 x 7 pixels, their image of 6 x 8"):
        masks.read(tmp_path)


@pytest.mark.parametrize("version", [2, 3])
def test_labels_of_an_ome_zarr_image(tmp_path: Path, version: int) -> None:
    import zarr

    path, labels = tmp_path / "a.zarr", cells(30, 600)
    group = zarr.create_group(str(path), zarr_format=version)
    group.create_array("0", data=np.zeros((600, 600), np.uint8))
    axes = [{"name": axis, "type": "space", "unit": "micrometer"} for axis in "yx"]
    scale = [{"type": "scale", "scale": [0.5, 0.5]}]
    image = {"multiscales": [{"axes": axes, "datasets": [{"path": "0", "coordinateTransformations": scale}]}]}
    group.attrs.update({"ome": {"version": "0.5", **image}} if version == 3 else image)
    with pytest.raises(AnswerError, match="an image without labels"):
        masks.read(path)
    masks.write(path / "labels" / "nuclei", annotated(labels), format="ngff")
    masks.write(path / "labels" / "cells", annotated(labels), format="ngff")
    found = masks.read(path / "labels" / "nuclei", image=path)
    assert (found.labels == labels).all()
    assert (found.objects["class"] != "").sum() == 1
    with pytest.raises(AnswerError, match="2 kinds of labels: nuclei, cells"):
        masks.read(path)
    opened = open_image(path / "labels" / "cells")
    assert opened.pixel_size == {"Y": 0.5, "X": 0.5}
    assert len(opened.pixels.levels) == 3
    assert (opened.pixels.read({"Y": slice(0, 300), "X": slice(0, 300)}, 1) == labels[::2, ::2]).all()
