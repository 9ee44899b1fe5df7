"""Bad truth: what is refused says what, where and how to mend it, what is survived is counted, damage never hangs."""

from __future__ import annotations

import json
import struct
import time
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
from damage import damage_folder, damaged, headers
from made_up_masks import annotated, cells, name_of, noise, written
from PIL import Image as Pillow

from potency.data import masks
from potency.data.masks import FORMATS, Annotation, Format, whole_labels
from potency.errors import AnswerError

EACH = 100  # damaged files of a format
SECONDS = 5.0  # of the processor that one of them may cost on a busy machine


def refused(path: Path, **more: object) -> str:
    with pytest.raises(AnswerError) as caught:
        masks.read(path, **more)  # type: ignore[arg-type]
    error = caught.value
    assert error.what and error.mend
    assert str(path) in error.where
    return error.what


@pytest.mark.parametrize("one", FORMATS, ids=name_of)
def test_truth_of_another_size_than_its_image(tmp_path: Path, one: Format) -> None:
    if name_of(one) in ("geojson", "imagej", "yolo"):
        pytest.skip("these files do not say how large their image is")
    path = written(tmp_path, one, annotated(noise()))
    assert "24 x 31" in refused(path, shape=(25, 31))
    assert "turned by 90 degrees?" in refused(path, shape=(31, 24))


@pytest.mark.parametrize("array, words", [
    (np.array([[-1, 2]], np.int16), "1 pixels have negative ids, the lowest is -1"),
    (np.array([[0.5, 2.0]]), "1 pixels are no whole numbers, the first is 0.5 at (0, 0)"),
    (np.array([[np.nan, 2.0]]), "1 pixels are no whole numbers, the first is nan"),
    (np.array([[-3.0, 2.0]]), "negative"),
    (np.array([[2**40]], np.int64), "does not fit into 32 bits"),
    (np.array([[1e30]]), "does not fit into 32 bits"),
])  # fmt: skip
def test_ids_that_are_none(tmp_path: Path, array: np.ndarray, words: str) -> None:
    np.save(tmp_path / "a.npy", array)
    assert words in refused(tmp_path / "a.npy")


def test_a_file_that_may_not_be_read_is_a_fault_of_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.save(tmp_path / "a.npy", np.ones((3, 3), np.uint8))

    def closed(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(masks.labelled, "refuse_others", closed)
    with pytest.raises(AnswerError, match="it cannot be read: Permission denied"):
        masks.numbered(tmp_path / "a.npy")


def test_ids_that_are_survived(tmp_path: Path) -> None:
    for array in (np.array([[0.0, 7.0], [4e9, 0]]), np.array([[0, 7], [4_000_000_000, 0]], np.int64)):
        labels, said = whole_labels(array)
        assert labels.tolist() == [[0, 7], [4_000_000_000, 0]]
        assert not said
        np.save(tmp_path / "a.npy", array)
        assert masks.read(tmp_path / "a.npy").objects["label"].tolist() == [7, 4_000_000_000]


@pytest.mark.filterwarnings("error")
def test_half_precision_holds_ids(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.array([[0, 7, 2048]], np.float16))
    assert masks.read(tmp_path / "a.npy").objects["label"].tolist() == [7, 2048]


def test_a_zarr_that_cannot_be_written_leaves_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("potency.data.masks.ngff.Pyramid.put", full)
    (tmp_path / "old").mkdir()
    for place in ("a.zarr", "new/b.zarr", "old/c.zarr"):
        with pytest.raises(AnswerError, match="No space left on device"):
            masks.write(tmp_path / place, annotated(noise()))
    assert [one.name for one in tmp_path.rglob("*")] == ["old"]


def test_colours_are_told_apart(tmp_path: Path) -> None:
    array = np.zeros((4, 6, 3), np.uint8)
    array[0, 0], array[1, 2:4], array[3] = (255, 0, 0), (0, 255, 0), (255, 0, 1)
    Pillow.fromarray(array).save(tmp_path / "a.png")
    found = masks.read(tmp_path / "a.png")
    assert found.lost == {"objects told apart by their colour": 3}
    assert sorted((found.objects["bottom"] - found.objects["top"]).tolist()) == [1, 1, 1]
    grey = np.repeat(noise()[..., None], 3, axis=2).astype(np.uint8)
    Pillow.fromarray(grey).save(tmp_path / "grey.png")
    assert (masks.read(tmp_path / "grey.png").labels == noise()).all()


def test_pictures_are_no_labels(tmp_path: Path) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (90, 90, 3)).astype(np.uint8)
    Pillow.fromarray(picture).save(tmp_path / "a.png")
    assert "a picture, not labels" in refused(tmp_path / "a.png")
    Pillow.fromarray(picture).save(tmp_path / "a.jpg")
    assert "JPEG changes the values" in refused(tmp_path / "a.jpg")
    Pillow.fromarray(picture).save(tmp_path / "a.webp", quality=50)
    assert "WebP changes the values" in refused(tmp_path / "a.webp")
    Pillow.fromarray(picture[..., 0] // 64).save(tmp_path / "b.webp", lossless=True)
    assert masks.read(tmp_path / "b.webp").labels is not None
    (tmp_path / "masks").mkdir()
    Pillow.fromarray(picture).save(tmp_path / "masks/1.jpg")
    assert "1 of the masks are of a kind that is not read here, as 1.jpg" in refused(tmp_path / "masks")
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((2, 3, 8, 9), np.uint8), imagej=True, metadata={"axes": "TCYX"})
    assert "holds no labels" in refused(tmp_path / "a.tif")


def test_a_pickle_is_never_opened(tmp_path: Path) -> None:
    head = b"{'descr': '|O', 'fortran_order': False, 'shape': (), }"
    (tmp_path / "a_seg.npy").write_bytes(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head + b"cos\nsystem\n")
    with pytest.raises(AnswerError, match="_cp_masks.tif") as caught:
        masks.read(tmp_path / "a_seg.npy")
    assert "pickle" in caught.value.what


def test_objects_on_every_border_and_one_that_fills_the_image(tmp_path: Path) -> None:
    frame = np.ones((9, 9), np.uint32)
    frame[1:-1, 1:-1] = 0
    frame[4, 4] = 2  # an island in the hole of an object that touches all borders
    for labels in (frame, np.full((9, 9), 65_536, np.uint32)):
        for one in FORMATS:
            if name_of(one) not in ("yolo", "voc"):
                after = masks.read(written(tmp_path / str(labels[0, 0]), one, annotated(labels)), shape=(9, 9))
                assert (after.labels == labels).all(), name_of(one)


BOXES = "label,left,top,right,bottom\n1,-3,-3,4,4\n2,5,5,5,9\n3,50,50,60,60\n4,8,1,2,4\n5,1,1,3,3\n6,nan,1,2,3\n"


def test_boxes_outside_and_of_no_size(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(BOXES)
    found = masks.read(tmp_path / "a.csv", shape=(20, 20))
    assert found.objects[["label", "top", "right", "y"]].values.tolist() == [[1, 0, 4, 1.5], [5, 1, 3, 1.5]]
    assert found.lost == {
        "objects whose place is no number left out": 1,
        "boxes of no size left out": 2,
        "objects outside the image left out": 1,
        "boxes cut at the edge of the image": 1,
    }
    (tmp_path / "b.csv").write_text("x,y\n1,2\nfour,2\n")
    assert "'four' is no number" in refused(tmp_path / "b.csv")
    (tmp_path / "c.csv").write_text("Centroid X µm,Centroid Y µm\n1,2\n", "utf-8")
    assert "in micrometres" in refused(tmp_path / "c.csv")


def test_outlines_that_cannot_be_kept_are_counted(tmp_path: Path) -> None:
    def feature(*corners: tuple[float, float]) -> dict[str, object]:
        return {"type": "Feature", "geometry": {"type": "Polygon", "coordinates": [corners]}}

    square = ((0, 0), (8, 0), (8, 8), (0, 8), (0, 0))
    bow, line, hidden = ((0, 0), (9, 9), (9, 0), (0, 9)), ((1, 1), (2, 2), (1, 1)), ((1, 1), (2, 1), (2, 2), (1, 2))
    wild = ((1, "x"), (2, 3), (3, 4))
    features = [feature(*one) for one in (hidden, square, line, bow, wild)]
    (tmp_path / "a.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    found = masks.read(tmp_path / "a.geojson", shape=(9, 9))
    assert found.objects["label"].tolist() == [2, 3]
    counts = dict(found.lost)
    assert counts.pop("pixels of an object that a later object covers") > 1
    assert sorted(counts.values()) == [1, 1, 1, 1]


LAUGHS = '<!DOCTYPE a [<!ENTITY b "ha">' + "".join(f'<!ENTITY b{i} "{"&b;" * 10}">' for i in range(9)) + "]>"


@pytest.mark.parametrize("name, content, words", [
    ("a.xml", LAUGHS + "<annotation>&b9;</annotation>", "document type or entities"),
    ("a.xml", '<!DOCTYPE a SYSTEM "file:///etc/hostname"><annotation/>', "document type or entities"),
    ("a.xml", '<?xml version="1.0" encoding="nobody"?><annotation/>', "unknown encoding"),
    ("a.xml", '<?xml version="1.0" encoding="utf-7"?><annotation/>', "damaged"),
    ("a.xml", "<annotation><object>", "cut short"),
    ("a.xml", "<html/>", "not of a VOC"),
    ("a.xml", "<a>" * 100, "nested too deeply"),
    ("a.xml", "<annotation><object><name>x</name></object></annotation>", "no box of four numbers"),
    ("a.json", '{"images": [{"id": 1}], "annotations": [{"id"', "cut short"),
    ("a.json", '{"log": [1, 2]}', "lists no images"),
    ("a.json", "[" * 100_000, ""),
    ("a.json", '{"images": [{"id": 1, "height": 3, "width": 3}], "annotations": [{"image_id": 1, "segmentation": '
               '{"size": [3, 3], "counts": "zzzz~"}}]}', ""),
    ("a.json", '{"images": [{"id": 1, "height": 100000000, "width": 100000000}]}', "cannot be drawn"),
    ("a.geojson", '{"a": 1}', "no features"),
    ("a.geojson", '{"type": "FeatureCollection", "features": [{"type": }]}', "damaged near"),
    ("a.txt", "0 0.1 0.1 0.2 0.2 0.3 0.3 0.4\n", "neither box nor outline"),
    ("a.roi", "Iout\0", "no ImageJ region"),
    ("a.csv", "a,b\n1,2\n", "no columns of places"),
    ("a.bin", "nothing of all this", "no format"),
    ("a.tif", "", "empty"),
])  # fmt: skip
def test_files_of_another_kind(tmp_path: Path, name: str, content: str, words: str) -> None:
    (tmp_path / name).write_text(content)
    assert words in refused(tmp_path / name, shape=None if name == "a.json" else (30, 30))


def test_zips_that_are_bombs_or_of_something_else(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("word/document.xml", "x")
    assert "holds no ImageJ regions" in refused(tmp_path / "a.zip")
    with zipfile.ZipFile(tmp_path / "b.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("1.roi", bytes(2**26 + 1))
    assert "claims 1 regions" in refused(tmp_path / "b.zip")


def test_a_corrupt_chunk_of_zarr(tmp_path: Path) -> None:
    masks.write(tmp_path / "a.zarr", annotated(noise()))
    chunk = next(path for path in (tmp_path / "a.zarr" / "labels" / "objects" / "0").rglob("0") if path.is_file())
    chunk.write_bytes(chunk.read_bytes()[:9])
    assert refused(tmp_path / "a.zarr")


def test_what_is_there_is_not_written_over_by_a_folder_or_half_a_file(tmp_path: Path) -> None:
    for one in FORMATS:
        if name_of(one) in ("folder", "ngff"):
            path = written(tmp_path, one, annotated(noise()))
            with pytest.raises(AnswerError, match="already"):
                masks.write(path, annotated(noise()), format=name_of(one))
    (tmp_path / "a.tif").write_text("precious")
    with pytest.raises(AnswerError, match="no labels to write"):
        masks.write(tmp_path / "a.tif", Annotation((3, 3), None, annotated(noise()).objects))
    assert (tmp_path / "a.tif").read_text() == "precious"
    with pytest.raises(AnswerError, match="cannot be written"):
        masks.write(tmp_path / "a.tif" / "b.tif", annotated(noise()))
    with pytest.raises(AnswerError, match="says nothing of the format"):
        masks.write(tmp_path / "a.what", annotated(noise()))
    with pytest.raises(AnswerError, match="no format 'cocoa'\n.*\nmend: did you mean 'coco'"):
        masks.write(tmp_path / "a.json", annotated(noise()), format="cocoa")


def outcome(path: Path) -> str:
    """Read a damaged file: an annotation that holds together, or a refusal."""
    begin = time.process_time()
    try:
        found = masks.read(path, shape=(40, 40))
    except AnswerError as error:
        assert error.what and error.where and error.mend, repr(error)
        return "refused"
    finally:
        assert time.process_time() - begin < SECONDS
    if found.labels is not None:
        assert found.labels.dtype == np.uint32 and found.labels.shape == (40, 40)
        known = np.unique(found.labels[found.labels > 0])
        assert np.isin(known, found.objects["label"]).all()
    assert len(found.objects) == found.objects["label"].nunique()
    return "read"


@pytest.mark.filterwarnings("ignore")  # libraries warn of damage in their own words
@pytest.mark.parametrize("one", FORMATS, ids=name_of)
def test_damaged_files_are_read_or_refused(tmp_path: Path, one: Format) -> None:
    path = whole = written(tmp_path, one, annotated(cells(9, 40)))
    if name_of(one) == "folder":
        path = next((whole / "masks").iterdir())
    sound = path.read_bytes() if path.is_file() else b""
    outcomes = set()
    for number in range(EACH):
        rng = np.random.default_rng([number, zlib.crc32(name_of(one).encode())])
        if path.is_file():
            path.write_bytes(damaged(sound, headers(sound), rng))
            outcomes.add(outcome(whole))
        else:
            mend: Callable[[], object] = damage_folder(path, rng)
            outcomes.add(outcome(path))
            mend()
    assert outcomes == {"read", "refused"}
