"""Tables as truth: cells that hold nothing, headers alone, and cells that are not what they should be."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from made_up_masks import annotated, cells
from PIL import Image as Picture

from potency.data import masks
from potency.data.manifest import Manifest
from potency.data.masks import Annotation
from potency.data.masks.annotation import BOX, COLUMNS, table
from potency.errors import AnswerError


@pytest.mark.parametrize("suffix", ["parquet", "csv", "tsv"])
def test_tables_with_cells_that_hold_nothing_come_back(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"t.{suffix}"
    points = table([1, 2], [3, 4], [5, 6], [[np.nan] * 2] * 4)
    for before in (annotated(cells(20, 60)), Annotation(None, None, points)):
        masks.write(path, before)
        after = masks.read(path)
        pd.testing.assert_frame_equal(after.objects[COLUMNS], before.objects[COLUMNS])
        assert before.labels is None or (after.labels == before.labels).all()  # type: ignore[attr-defined]
    frame = pd.DataFrame({"x": [1.0, 2.0], "y": [3.0, 4.0], "class": ["a", None], "image": ["a.png", None]})
    frame.to_parquet(tmp_path / "missing.parquet")
    assert masks.read(tmp_path / "missing.parquet", image="a.png").objects["class"].tolist() == ["a"]
    frame.drop(columns="image").to_parquet(tmp_path / "missing.parquet")
    assert masks.read(tmp_path / "missing.parquet").objects["class"].tolist() == ["a", ""]


@pytest.mark.parametrize("name, header", [
    ("a.csv", "x,y"), ("a.csv", "x;y;score"), ("a.tsv", "x\ty"), ("a.csv", "x\ty"), ("a.csv", '"x","y"'),
    ("a.csv", "\ufeffx|y"),
])  # fmt: skip
def test_a_header_alone_is_an_image_without_objects(tmp_path: Path, name: str, header: str) -> None:
    for end in ("", "\n", "\r\n\r\n"):
        (tmp_path / name).write_text(header + end, "utf-8", newline="")
        assert not len(masks.read(tmp_path / name, image="b.png").objects)
    pd.DataFrame(columns=["x", "y"]).to_parquet(tmp_path / "a.parquet")
    assert not len(masks.read(tmp_path / "a.parquet").objects)


def test_run_lengths_that_are_none_are_named_with_their_row(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("ImageId,EncodedPixels\na,1 2\na,one two\n")
    with pytest.raises(AnswerError, match=r"'one two' are no run lengths\nwhere: .*a.csv, row 3"):
        masks.read(tmp_path / "a.csv", shape=(3, 4))


def test_boxes_by_a_corner_and_a_size(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("left,top,width,height,class\n4,3,10,6,a\n1,2,3,4,b\n")
    found = masks.read(tmp_path / "a.csv", shape=(20, 20))
    assert found.objects[BOX].values.tolist() == [[3, 4, 9, 14], [2, 1, 6, 4]]
    (tmp_path / "a.csv").write_text("image,left,top,width,height\na.png,4,3,10,6\na.png,1,2,3,4\n")
    Picture.fromarray(np.zeros((20, 20), np.uint8)).save(tmp_path / "a.png")
    rows = Manifest.read(tmp_path / "a.csv")
    assert len(rows) == 1 and rows.kinds["truth"] == "objects"


def test_what_may_be_boxes_or_points_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    for row in ("4,3,10,6", "4,3,20,20"):
        path.write_text(f"x,y,width,height\n{row}\n")
        for shape in (None, (30, 30)):
            with pytest.raises(AnswerError, match="may be boxes by their corner.*\n.*\nmend: rename x and y to left"):
                masks.read(path, shape=shape)
    assert masks.read(path, shape=(20, 20)).objects[["y", "x"]].values.tolist() == [[3, 4]]  # the size of the image
    for names in ("x,y,image_width,image_height", "x_center,y_center,width,height", "cx,cy,width,height"):
        path.write_text(f"{names}\n4,3,10,6\n")
        assert masks.read(path).objects[["y", "x"]].values.tolist() == [[3, 4]]
