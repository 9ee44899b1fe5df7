"""Truth of segmentation and detection: every format gives back what was written, and what each convention means."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile
from made_up_masks import EXACT, annotated, cells, name_of, noise, written
from skimage.draw import polygon2mask
from skimage.measure import regionprops_table

from potency.data import masks
from potency.data.image import Image
from potency.data.masks import FORMATS, Annotation, Format
from potency.data.masks.annotation import BOX, COLUMNS
from potency.data.masks.fill import Canvas
from potency.data.masks.trace import area, outlines, polygons
from potency.errors import AnswerError

PLACES = ["label", "y", "x", *BOX]


def by_label(annotation: Annotation) -> pd.DataFrame:
    return annotation.objects.sort_values("label").reset_index(drop=True)


@pytest.mark.parametrize("one", FORMATS, ids=name_of)
@pytest.mark.parametrize("labels", [
    pytest.param(noise(), id="noise"), pytest.param(cells(40, 120), id="cells"),
    pytest.param(np.zeros((5, 6), np.uint32), id="no object"), pytest.param(np.full((4, 3), 7, np.uint32), id="one"),
])  # fmt: skip
def test_formats_give_back_what_was_written(tmp_path: Path, one: Format, labels: masks.annotation.Labels) -> None:
    before = annotated(labels)
    path = written(tmp_path, one, before)
    after = masks.read(path, shape=labels.shape)
    assert after.shape == labels.shape
    assert list(after.objects.columns[: len(COLUMNS)]) == COLUMNS
    assert list(map(str, after.objects.dtypes[:3])) == ["int64", "str", "float64"]
    if name_of(one) in EXACT:
        assert after.labels is not None
        assert after.labels.dtype == np.uint32
        assert (after.labels == labels).all()
        assert not after.lost
        pd.testing.assert_frame_equal(by_label(after)[PLACES], by_label(before)[PLACES])
    if name_of(one) not in ("labelled", "folder", "yolo", "voc"):  # the first two hold no classes
        known = by_label(before)["class"] != ""
        assert by_label(after)["class"][known].tolist() == by_label(before)["class"][known].tolist()
        assert by_label(after)["score"].tolist() == pytest.approx(by_label(before)["score"].tolist(), nan_ok=True)
    if name_of(one) == "voc":
        assert after.objects[BOX].to_numpy() == pytest.approx(before.objects[BOX].to_numpy())
    assert not list(tmp_path.glob(".*")), "a half-written file was left"


@pytest.mark.parametrize("name", ["a.png", "a.npy", "a.tif", "cell_cp_masks.png"])
@pytest.mark.parametrize("largest", [255, 65_535])
def test_label_images_take_16_bits_where_these_do(tmp_path: Path, name: str, largest: int) -> None:
    labels = noise()
    labels[3, 4] = largest
    masks.write(tmp_path / name, masks.of_labels(labels))
    assert (masks.read(tmp_path / name).labels == labels).all()
    if name.endswith(".tif"):
        assert tifffile.imread(tmp_path / name).dtype == np.uint16


def test_more_than_65535_objects_stay_apart(tmp_path: Path) -> None:
    labels = np.arange(1, 70_001, dtype=np.uint32).reshape(250, 280)
    for one in FORMATS:
        if name_of(one) in ("labelled", "ngff"):  # the others hold no pixels, and take seconds for so many
            after = masks.read(written(tmp_path, one, masks.of_labels(labels)))
            assert after.labels is not None and (after.labels == labels).all(), name_of(one)
            assert len(after.objects) == 70_000
    with pytest.raises(AnswerError, match="ids up to 65535.*\n.*\nmend: write .tif"):
        masks.write(tmp_path / "a.png", masks.of_labels(labels))


@pytest.mark.parametrize("suffix", [".tif", ".npy", ".zarr"])
def test_volumes_are_kept(tmp_path: Path, suffix: str) -> None:
    labels = noise((3, 24, 31))
    masks.write(tmp_path / f"a{suffix}", masks.of_labels(labels))
    after = masks.read(tmp_path / f"a{suffix}")
    assert after.shape == (3, 24, 31)
    assert (after.labels == labels).all()
    theirs = regionprops_table(labels, properties=("centroid",))
    assert after.objects[["z", "y", "x"]].to_numpy() == pytest.approx(np.stack(list(theirs.values()), axis=1))


def test_the_table_agrees_with_regionprops() -> None:
    labels = cells(60, 150)
    theirs = pd.DataFrame(regionprops_table(labels, properties=("label", "centroid", "bbox")))
    assert masks.of_labels(labels).objects[PLACES].to_numpy() == pytest.approx(theirs.to_numpy())


# ---------------------------------------------------------------------------------------------------------- outlines


def test_outlines_are_drawn_back_to_the_same_labels() -> None:
    for seed in range(300):
        rng = np.random.default_rng(seed)
        labels = noise(tuple(rng.integers(1, 13, 2)), int(rng.integers(2, 5)), seed)
        found = polygons(labels)
        canvas = Canvas(labels.shape)
        canvas.draw(list(found.values()), list(found))
        assert (canvas.labels == labels).all()
        assert not canvas.lost


def test_outlines_are_rings_that_touch_no_corner_twice_and_enclose_the_area() -> None:
    labels = noise((40, 40), 3)
    for label, parts in outlines(labels):
        assert sum(area(ring) for part in parts for ring in part) == (labels == label).sum()
        for part in parts:
            assert area(part[0]) > 0, "outer rings run clockwise"
            assert all(area(hole) < 0 for hole in part[1:])
            for ring in part:
                assert len(np.unique(ring, axis=0)) == len(ring)


def test_bands_of_a_large_image_give_the_outlines_of_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    labels = cells(100, 200)
    whole = {label: sorted(ring.tolist() for part in parts for ring in part) for label, parts in outlines(labels)}
    monkeypatch.setattr("potency.data.masks.trace.ROWS", 200 * 17)
    banded = {label: sorted(ring.tolist() for part in parts for ring in part) for label, parts in outlines(labels)}
    assert banded == whole


def test_small_batches_draw_what_large_ones_do(monkeypatch: pytest.MonkeyPatch) -> None:
    labels = cells(100, 200)
    found = polygons(labels)
    for name in ("POINTS", "PIXELS"):
        monkeypatch.setattr(f"potency.data.masks.fill.{name}", 100)
    canvas = Canvas(labels.shape)
    canvas.draw(list(found.values()), list(found))
    assert (canvas.labels == labels).all()


def test_outlines_between_pixels_agree_with_scikit_image() -> None:
    rng = np.random.default_rng(1)
    for _ in range(50):
        angle = np.sort(rng.uniform(0, 2 * np.pi, rng.integers(3, 12)))
        corners = 20 + np.stack([np.sin(angle), np.cos(angle)], axis=1) * rng.uniform(3, 18, (len(angle), 1))
        canvas = Canvas((40, 40))
        canvas.draw([corners], [1])
        theirs = polygon2mask((40, 40), corners - 0.5)  # theirs counts from the middle of the first pixel
        assert (canvas.labels != theirs).sum() == 0


def test_neighbours_share_no_pixel_and_leave_none() -> None:
    rng = np.random.default_rng(2)
    y = np.concatenate([[0], np.sort(rng.uniform(0, 50, 20)), [50]])
    x = rng.uniform(10, 40, 22)
    line = np.stack([y, x], axis=1)
    left, right = [np.concatenate([line, [[50, edge], [0, edge]]]) for edge in (0, 50)]
    canvas = Canvas((50, 50))
    canvas.draw([left, right[::-1]], [1, 2])
    assert (canvas.labels > 0).all()
    assert not canvas.lost


def test_what_outlines_lose_is_counted() -> None:
    square = np.array([[1, 1], [1, 5], [5, 5], [5, 1.0]])
    bow = np.array([[0, 0], [6, 6], [6, 0], [0, 6.0]])
    twice = np.concatenate([square, square])
    for outline, words in ((bow, "cross themselves"), (twice, "cross themselves"), (square[:2], "fewer than three"),
                           (square * np.inf, "no number"), (np.array([[1, 1e12], [2, 3], [3, 1]]), "no number")):
        canvas = Canvas((8, 8))
        canvas.draw([outline], [1])
        assert [number for text, number in canvas.lost.items() if words in text] == [1], words
    canvas = Canvas((8, 8))
    canvas.draw([square, square + 1, square + [0, 100]], [4, 5, 6])
    assert canvas.lost == {"pixels of an object that a later object covers": 9}
    assert [int((canvas.labels == label).sum()) for label in (4, 5, 6)] == [7, 16, 0]


# -------------------------------------------------------------------------------------------------- whose image it is


def test_outlines_without_an_image_stay_outlines(tmp_path: Path) -> None:
    before = annotated(cells(20, 60))
    path = tmp_path / "a.geojson"
    masks.write(path, before)
    free = masks.read(path)
    assert free.labels is None and free.shape is None
    pd.testing.assert_frame_equal(by_label(free)[["label", *BOX]], by_label(before)[["label", *BOX]])
    assert by_label(free)[["y", "x"]].to_numpy() == pytest.approx(by_label(before)[["y", "x"]].to_numpy())
    for name in ("b.zip", "b.json", "b.geojson"):
        masks.write(tmp_path / name, free)
        again = masks.read(tmp_path / name, shape=(60, 60))
        assert (again.labels == before.labels).all()


def test_sizes_come_from_the_image_itself(tmp_path: Path) -> None:
    masks.write(tmp_path / "a.geojson", annotated(noise()))
    image = Image.of(np.zeros((3, 24, 31), np.uint8), "CYX")
    assert (masks.read(tmp_path / "a.geojson", image=image).labels == noise()).all()
    tifffile.imwrite(tmp_path / "image.tif", np.zeros((24, 31), np.uint16))
    assert (masks.read(tmp_path / "a.geojson", image=tmp_path / "image.tif").labels == noise()).all()


REAL = ("segment/dsb2018/test/labels/*", "segment/usiigaci_phase/test/labels/*", "tissue/monuseg_train/inst/*",
        "tissue/deepliif_ki67/inst/*", "count/vgg_cells/test/points/*")  # fmt: skip


@pytest.mark.parametrize("files", REAL)
def test_real_truth_is_read(real_images: Path, files: str) -> None:
    """A few of each set, with as many objects as its manifest tells."""
    paths = sorted(real_images.glob(files))
    assert len(paths) >= 5
    manifest = pd.read_csv(real_images / Path(*Path(files).parts[:2]) / "manifest.csv")
    told = manifest.set_index("name" if "name" in manifest else "group")[
        next(name for name in ("objects", "n_objects", "count") if name in manifest)]  # fmt: skip
    for path in paths[:5]:
        found = masks.read(path)
        key = path.stem if path.stem in told.index else path.stem[:12]  # patients are the first part of MoNuSeg's names
        assert len(found.objects) == told[key]
        assert not found.lost
