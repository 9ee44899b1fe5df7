"""COCO and YOLO as other programs write them: ids as numbers or texts, what belongs to nothing, classes by line."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from potency.data import masks
from potency.errors import AnswerError


def noted(folder: Path, **more: object) -> Path:
    """A COCO file of one box in an image with the id 1."""
    note = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 1, 3, 3], **more}
    data = {"images": [{"id": 1, "file_name": "a.png", "height": 8.0, "width": "9"}], "annotations": [note],
            "categories": [{"id": 1, "name": "cell"}]}  # fmt: skip
    path = folder / "a.json"
    path.write_text(json.dumps(data))
    return path


def test_ids_of_coco_are_the_same_as_numbers_and_as_texts(tmp_path: Path) -> None:
    for more in ({}, {"image_id": "1"}, {"image_id": 1.0, "category_id": "1"}):
        found = masks.read(noted(tmp_path, **more), image="a.png")
        assert found.shape == (8, 9) and found.objects["class"].tolist() == ["cell"] and not found.lost


def test_annotations_of_coco_that_belong_to_nothing_are_told(tmp_path: Path) -> None:
    with pytest.raises(AnswerError, match="none of its annotations belongs to an image that it lists"):
        masks.read(noted(tmp_path, image_id=7), image="a.png")
    lost = masks.read(noted(tmp_path, category_id=7), image="a.png").lost
    assert list(lost.values()) == [1] and "category that the file does not list" in next(iter(lost))


def test_an_empty_line_of_yolos_classes_counts_and_names_are_one_line(tmp_path: Path) -> None:
    (tmp_path / "classes.txt").write_text("red\n\nwhite\n\n")
    (tmp_path / "a.txt").write_text("2 .5 .5 .2 .2\n0 .2 .2 .2 .2\n")
    found = masks.read(tmp_path / "a.txt", shape=(10, 10))
    assert found.objects["class"].tolist() == ["white", "red"]
    odd = found.objects.assign(**{"class": ["two\nlines", "red"]})
    masks.write(tmp_path / "b.txt", replace(found, objects=odd))
    assert masks.read(tmp_path / "b.txt", shape=(10, 10)).objects["class"].tolist() == ["two lines", "red"]
