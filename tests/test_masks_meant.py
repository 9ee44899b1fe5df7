"""Which image of a file of many is meant: the end of its path tells, and what may be two is refused, never guessed."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image as Pillow

from potency.data import masks
from potency.data.masks import coco as coco_format
from potency.data.masks import points as points_format
from potency.data.masks.meant import Names
from potency.errors import AnswerError
from potency.evaluation import evaluate
from potency.evaluation.columns import Bare

PLATES = [f"plate{n}/A01.png" for n in range(4)]


def coco(path: Path, images: dict[int, str]) -> Path:
    """A file in which the image of id n has n boxes."""
    head = [{"id": n, "file_name": name, "height": 40, "width": 50} for n, name in images.items()]
    notes = [{"id": 100 * n + k, "image_id": n, "category_id": 1, "bbox": [8 * k, 2, 5, 5], "iscrowd": 0}
             for n in images for k in range(n)]  # fmt: skip
    told = {"images": head, "categories": [{"id": 1, "name": "cell"}], "annotations": notes}
    path.write_text(json.dumps(told, ensure_ascii=False), "utf-8")
    return path


def points(path: Path, images: dict[int, str]) -> Path:
    rows = [{"image": name, "y": 2, "x": 3 * k} for n, name in images.items() for k in range(n)]
    pd.DataFrame(rows).to_csv(path, index=False)
    return path


@pytest.mark.parametrize("write, name", [(coco, "t.json"), (points, "t.csv")])
def test_images_of_one_name_in_many_folders_are_told_apart(tmp_path: Path, write, name: str) -> None:  # type: ignore[no-untyped-def]
    path = write(tmp_path / name, dict(enumerate(PLATES, 1)))
    for n, image in enumerate(PLATES, 1):
        for before in ("", "set/", "/far/set/", "C:\\set\\"):
            assert len(masks.read(path, image=before + image).objects) == n
    for image in ("A01.png", "plate9/A01.png", "plate9/A01.tif"):
        with pytest.raises(AnswerError, match=r"speaks of 4 images that may be A01\..*plate0/A01.png, plate1"):
            masks.read(path, image=image)


@pytest.mark.parametrize("write, name", [(coco, "t.json"), (points, "t.csv")])
def test_each_image_is_judged_by_its_own_truth(tmp_path: Path, write, name: str) -> None:  # type: ignore[no-untyped-def]
    folder = tmp_path / "set"
    for image in PLATES:
        (folder / image).parent.mkdir(parents=True)
        Pillow.fromarray(np.zeros((40, 50), np.uint8)).save(folder / image)
    write(folder / name, dict(enumerate(PLATES, 1)))
    for n in range(1, 5):
        box = [[2, 8 * k, 7, 8 * k + 5] for k in range(n)]
        said = pd.DataFrame(box, columns=[f"bbox-{k}" for k in range(4)])
        if write is points:
            said = pd.DataFrame([[2, 3 * k] for k in range(n)], columns=["centroid-0", "centroid-1"])
        said.to_csv(tmp_path / f"said{n}.csv", index=False)
    rows = pd.DataFrame({"image": [f"set/{image}" for image in PLATES], "truth": f"set/{name}",
                         "group": list("abcd"), "prediction": [f"said{n}.csv" for n in range(1, 5)]})  # fmt: skip
    report = evaluate(Bare(rows, {"truth": "objects"}, tmp_path), draws=10)
    assert report.numbers["prediction"]["f1"].value == 1


def test_an_id_is_no_name_of_another_image(tmp_path: Path) -> None:
    path = coco(tmp_path / "t.json", {1: "2.png", 2: "1.png"})
    assert len(masks.read(path, image="2.tif").objects) == 1  # the image of id 1
    assert len(masks.read(path, image="1").objects) == 2
    assert len(masks.read(coco(tmp_path / "t.json", {7: "a.png", 3: "b.png"}), image="7").objects) == 7


def test_the_more_of_a_path_is_the_same_the_better_it_fits() -> None:
    names = ["b/x.tif", "a/x.png", "a/x.tif", "x.tif"]
    for name, at in (("c/a/x.tif", 2), ("a/x.png", 1), ("a/x.jpg", None), ("x.tif", 3), ("c/x.tif", 3), ("y.tif", -1)):
        if at is None:
            with pytest.raises(AnswerError, match=r"2 images that may be x.jpg: a/x.png, a/x.tif"):
                Names(names).meant(name, "t")
        else:
            assert Names(names).meant(name, "t") == (None if at < 0 else at), name


def test_what_is_written_is_read_for_the_image_it_belongs_to(tmp_path: Path) -> None:
    labels = np.zeros((40, 50), np.uint32)
    labels[3:9, 4:12] = 2
    masks.write(tmp_path / "out.json", masks.of_labels(labels))
    found = masks.read(tmp_path / "out.json", image="x/a.tif", shape=(40, 50))
    assert found.labels is not None and (found.labels == labels).all()
    with pytest.raises(AnswerError, match="40 x 50 pixels, their image of 40 x 51"):
        masks.read(tmp_path / "out.json", image="x/a.tif", shape=(40, 51))
    with pytest.raises(AnswerError, match="speaks of no image a.tif"):
        masks.read(coco(tmp_path / "out.json", {1: "b.png"}), image="x/a.tif")


@pytest.mark.parametrize("bom", ["", "\ufeff"])
def test_a_file_of_many_images_is_looked_through_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bom: str
) -> None:
    looked = []
    for module, way in ((coco_format, "placed"), (points_format, "read_table")):
        plain = getattr(module, way)
        monkeypatch.setattr(module, way, lambda *given, plain=plain, **more: looked.append(1) or plain(*given, **more))
    names = [f"ü/{n}é.png" for n in range(5)]  # letters of several bytes: objects are found by their bytes
    for write, file in ((coco, "t.json"), (points, "t.csv")):
        path = write(tmp_path / file, dict(enumerate(names, 1)))
        path.write_text(bom + path.read_text("utf-8"), "utf-8")
        looked.clear()
        assert [len(masks.read(path, image=name).objects) for name in names] == [1, 2, 3, 4, 5]
        assert len(looked) == 1
        write(path, {3: names[0]})  # another file by the same name
        assert len(masks.read(path, image=names[0]).objects) == 3 and len(looked) == 2
    packed = tmp_path / "p.json"
    packed.write_bytes(gzip.compress(coco(tmp_path / "t.json", dict(enumerate(names, 1))).read_bytes()))
    assert len(masks.read(packed, image=names[3], format="coco").objects) == 4
