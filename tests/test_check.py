"""The check: every fault and warning is found, all at once, each with its rows and its way to mend it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image as Picture

from potency.data.findings import Finding, Findings
from potency.data.manifest import Manifest
from potency.errors import ManifestError


def picture(path: Path, seed: int = 0, shape: tuple[int, ...] = (12, 12)) -> str:
    pixels = np.random.default_rng(seed).integers(0, 255, shape, dtype=np.uint8)
    Picture.fromarray(pixels).save(path)
    return path.name


def sound(folder: Path, rows: int = 12) -> pd.DataFrame:
    """Twelve images of two classes in four groups: nothing wrong but the unknown pixel size."""
    return pd.DataFrame({"image": [picture(folder / f"{n}.png", n) for n in range(rows)],
                         "truth": ["a", "b"] * (rows // 2), "group": [f"g{n % 4 // 2}{n % 2}" for n in range(rows)]})


def found(table: pd.DataFrame, folder: Path, **how: Any) -> dict[str, tuple[str, Finding]]:
    result = Manifest.of_rows(table, folder).check(**how)
    return {each.code: (kind, each) for kind, several in (("fault", result.faults), ("warning", result.warnings))
            for each in several}


def test_a_sound_manifest_has_no_fault(tmp_path: Path) -> None:
    checked = found(sound(tmp_path), tmp_path)
    assert set(checked) == {"pixel-size"} and checked["pixel-size"][0] == "warning"
    assert len(checked["pixel-size"][1].rows) == 12
    assert not Manifest.of_rows(sound(tmp_path), tmp_path).check()
    Manifest.of_rows(sound(tmp_path), tmp_path).refuse_faults()


@pytest.mark.parametrize(("change", "code", "words"), [
    ({"truth": "a"}, "one-class", "only one class: 'a'"),
    ({"group": "g"}, "one-group", "belong to one group: 'g'"),
    ({"truth": ["a"] * 11 + ["rare"]}, "few-groups", "fewer than two groups: rare"),
    ({"id": ["x", "x", *map(str, range(10))]}, "duplicate-ids", "1 ids stand more than once: x"),
    ({"split": ["train"] * 6 + ["tset"] * 6}, "unknown-split", "unknown names of splits: tset"),
    ({"split": "external"}, "nothing-to-learn", "no row with a truth may be learned from: all are external"),
    ({"split": ["test", "validation"] * 6}, "nothing-to-learn", "all are test, validation"),
    ({"truth": None}, "no-truths", "no row has a truth to learn from"),
    ({"truth": 1.5}, "one-value", "all truths are the same number: 1.5"),
    ({"truth": [float("inf"), *(n + 0.5 for n in range(11))]}, "not-finite-truth", "1 truths are infinite"),
    ({"fold": ["a", None] * 6}, "folds", "12 rows have no number of a fold: 'a', nan"),
    ({"fold": [0.5] + [1.0] * 11}, "folds", "1 rows have no number of a fold: '0.5'"),
    ({"fold": 3}, "one-fold", "all rows stand in one fold"),
    ({"fold": [0, 1, 0, 2] * 3, "truth": ["a", "b", "a", "a"] * 3}, "missing-class", "stand in one fold: b"),
])
def test_faults_of_the_table(tmp_path: Path, change: dict[str, Any], code: str, words: str) -> None:
    kind, finding = found(sound(tmp_path).assign(**change), tmp_path)[code]
    assert kind == "fault" and words in finding.what and finding.mend
    with pytest.raises(ManifestError) as caught:
        Manifest.of_rows(sound(tmp_path).assign(**change), tmp_path).refuse_faults()
    assert words in caught.value.what


def test_one_image_is_a_fault_for_learning_and_none_for_prediction(tmp_path: Path) -> None:
    table = sound(tmp_path).head(1)
    assert found(table, tmp_path)["one-image"][0] == "fault"
    assert not Manifest.of_rows(table.drop(columns=["truth", "group"]), tmp_path).check()


def test_folds_of_the_table_are_no_fault_with_external_rows_beside_them(tmp_path: Path) -> None:
    parts = ["train"] * 12
    parts[3::4] = ["external"] * 3
    table = sound(tmp_path).assign(truth=["a", "a", "b", "b", "b", "b", "a", "a"] + ["a", "a", "b", "b"], split=parts)
    given = table.assign(fold=[0, 1, 2, -1] * 3)
    assert not Manifest.of_rows(given, tmp_path).check()
    torn = found(given.assign(fold=[0, 1, 2, -1, 1, 1, 2, -1, 0, 1, 2, -1]), tmp_path)["leak-groups"]
    assert torn[0] == "fault" and "1 groups stand in more than one part: g00" in torn[1].what


def test_faults_of_the_files(tmp_path: Path) -> None:
    table = sound(tmp_path)
    (tmp_path / "0.png").write_bytes(b"")
    (tmp_path / "1.png").write_bytes((tmp_path / "2.png").read_bytes()[:60])
    (tmp_path / "3.png").write_text("this is no image")
    (tmp_path / "4.png").unlink()
    (tmp_path / "5.png").unlink()
    (tmp_path / "5.png").symlink_to(tmp_path / "5.png")
    kind, finding = found(table, tmp_path)["unreadable"]
    assert kind == "fault" and finding.rows == ("0.png", "1.png", "3.png", "4.png", "5.png")
    assert finding.what == "5 of 12 images are missing or cannot be read" and "0.png: " in finding.where
    kind, finding = found(table, tmp_path, pixels=False)["unreadable"]  # files are opened but not decoded
    assert finding.rows == ("4.png", "5.png") and "the file is missing" in finding.where


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes: not on this system")
def test_a_named_pipe_is_a_fault_and_never_waited_for(tmp_path: Path) -> None:
    table = sound(tmp_path)
    (tmp_path / "0.png").unlink()
    os.mkfifo(tmp_path / "0.png")
    kind, finding = found(table, tmp_path)["unreadable"]
    assert kind == "fault" and finding.rows == ("0.png",) and "this is no plain file" in finding.where


def test_channels_sizes_and_types(tmp_path: Path) -> None:
    table = sound(tmp_path)
    picture(tmp_path / "0.png", 0, (12, 12, 3))
    picture(tmp_path / "1.png", 1, (9, 12))
    Picture.fromarray(np.random.default_rng(0).integers(0, 60000, (12, 12)).astype(np.uint16)).save(tmp_path / "2.png")
    checked = found(table, tmp_path)
    assert checked["channels"][0] == "fault" and checked["channels"][1].rows == ("0.png",)
    assert "1 (11), 3 (1)" in checked["channels"][1].what
    assert checked["sizes"][0] == "warning" and "12x12 (11), 9x12 (1)" in checked["sizes"][1].what
    assert checked["dtypes"][0] == "warning" and "uint8 (11), uint16 (1)" in checked["dtypes"][1].what


def test_pixels_that_are_no_numbers_or_all_the_same(tmp_path: Path) -> None:
    table = sound(tmp_path)
    for name, value in (("0", np.nan), ("1", np.inf), ("2", 1.0), ("4", 1e300)):
        pixels = np.random.default_rng(0).random((12, 12)).astype(np.float64 if value == 1e300 else np.float32)
        pixels[3, 4] = value
        np.save(tmp_path / f"{name}.npy", pixels)
    np.save(tmp_path / "3.npy", np.full((12, 12), 7, np.uint8))
    checked = found(table.assign(image=[f"{n}.npy" for n in range(5)] + table["image"].tolist()[5:]), tmp_path)
    assert checked["not-finite"][0] == "fault" and checked["not-finite"][1].rows == ("0.npy", "1.npy", "4.npy")
    assert checked["constant"][0] == "warning" and checked["constant"][1].rows == ("3.npy",)


def test_one_pixel_is_an_image(tmp_path: Path) -> None:
    table = sound(tmp_path)
    picture(tmp_path / "0.png", 0, (1, 1))
    checked = found(table, tmp_path)
    assert "unreadable" not in checked and checked["constant"][1].rows == ("0.png",)


def test_groups_on_both_sides_are_refused_unless_the_split_is_random(tmp_path: Path) -> None:
    table = sound(tmp_path).assign(split=["train"] * 6 + ["test"] * 6)
    kind, finding = found(table, tmp_path)["leak-groups"]
    assert kind == "fault" and finding.what.startswith("4 groups stand in more than one part")
    assert len(finding.rows) == 12
    by_group = Manifest.of_rows(table.drop(columns="split"), tmp_path).split(folds=2)
    assert not by_group.check() and not by_group.fold(0).check().faults
    at_random = Manifest.of_rows(table.drop(columns="split"), tmp_path).split(folds=2, kind="random")
    assert not at_random.check() and "leak-groups" in [each.code for each in at_random.check().warnings]
    assert not at_random.fold(0).check()


def test_copies_are_refused_on_both_sides_and_told_on_one(tmp_path: Path) -> None:
    table = sound(tmp_path)
    for name in ("1", "8"):
        (tmp_path / f"{name}.png").write_bytes((tmp_path / "0.png").read_bytes())
    kind, finding = found(table, tmp_path)["copies"]
    assert kind == "warning" and finding.rows == ("0.png", "1.png", "8.png")
    assert found(table, tmp_path)["two-truths"][1].rows == ("0.png", "1.png", "8.png")
    split = table.assign(split=["train" if group < "g1" else "test" for group in table["group"]])
    assert "leak-copies" not in found(split, tmp_path)
    (tmp_path / "2.png").write_bytes((tmp_path / "0.png").read_bytes())
    kind, finding = found(split, tmp_path)["leak-copies"]
    assert kind == "fault" and "byte for byte, in more than one part" in finding.what and "2.png" in finding.rows


def test_a_class_missing_from_a_part_of_the_users_own_split(tmp_path: Path) -> None:
    groups = ["g0", "g1", "g2", "g3"] * 3
    table = sound(tmp_path).assign(group=groups, truth=["a", "b", "a", "a"] * 3,
                                   split=["train" if group in ("g0", "g2") else "test" for group in groups])
    result = Manifest.of_rows(table, tmp_path).check()
    missing = [each for each in result.faults if each.code == "missing-class"]
    assert [each.what for each in missing] == ["the train rows have no image of: b"]


def test_neighbours_in_time_and_space_on_both_sides(tmp_path: Path) -> None:
    table = sound(tmp_path).assign(movie=["m1", "m2", "m1", "m2"] * 3, frame=range(12))
    table = table.assign(group=[f"cell{n}" for n in range(12)])
    split = Manifest.of_rows(table, tmp_path).split(folds=3)
    warning = next(each for each in split.check().warnings if each.code == "neighbours")
    assert "frames (column 'frame') of one movie" in warning.what and warning.mend.startswith("split by these columns")
    whole = Manifest.of_rows(table.assign(group=table["movie"], truth=["a", "b", "b", "a"] * 3), tmp_path)
    assert "neighbours" not in [each.code for each in whole.split(folds=2).check()]


def test_rows_without_truth_and_unknown_groups_are_said(tmp_path: Path) -> None:
    table = sound(tmp_path)
    checked = found(table.assign(truth=[None, *table["truth"][1:]]).drop(columns="group"), tmp_path)
    assert checked["no-truth"][1].rows == ("0.png",)
    assert checked["groups-unknown"][1].what == "groups unknown: intervals assume independent images"


def test_all_faults_come_at_once_and_never_raise(tmp_path: Path) -> None:
    table = sound(tmp_path).assign(id="same", truth="a", group="g")
    (tmp_path / "0.png").unlink()
    manifest = Manifest.of_rows(table, tmp_path)
    seen: list[tuple[int, int]] = []
    result = manifest.check(progress=lambda done, all_: seen.append((done, all_)))
    assert {each.code for each in result.faults} == {"duplicate-ids", "one-class", "one-group", "unreadable"}
    assert seen[-1] == (12, 12) and len(result.table()) == len(result.faults) + len(result.warnings)
    with pytest.raises(ManifestError, match="^4 faults: ") as caught:
        manifest.refuse_faults()
    assert caught.value.what.count(";") == 3 and "keep one row a sample" in caught.value.mend
    manifest.refuse_faults(ignore=[each.code for each in result.faults])


def test_every_truth_in_a_file_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    good = np.zeros((12, 12), np.int32)
    good[2:5, 2:5] = 1
    odd = {1: -good, 2: good / 2, 3: good[:8], 4: np.array({"masks": good}), 5: good.astype(float), 6: good + 70_000}
    for n in range(12):
        np.save(tmp_path / f"t{n}.npy", odd.get(n, good))  # type: ignore[arg-type]
    table = sound(tmp_path).assign(truth=[f"t{n}.npy" for n in range(12)])
    table.loc[7, "truth"] = None
    kind, finding = found(table, tmp_path)["truth"]
    assert kind == "fault" and finding.rows == ("1.png", "2.png", "3.png", "4.png")
    for words in ("4 truths", "t1.npy: 9 pixels have negative ids", "t2.npy: 9 pixels are no whole numbers",
                  "t3.npy: the objects are of 8 x 12 pixels, their image of 12 x 12", "t4.npy: the array holds Python"):
        assert words in finding.what + finding.where
    assert "truth" not in found(table, tmp_path, pixels=False) and "truth" not in found(sound(tmp_path), tmp_path)
    monkeypatch.setattr("potency.data.truths.LARGE", 10)  # what is larger is not read whole
    assert found(table, tmp_path)["truth"][1].rows == ("2.png", "3.png", "4.png")


def test_masks_that_number_no_cells_and_what_reading_left_out_are_told(tmp_path: Path) -> None:
    table = sound(tmp_path).assign(truth=[f"t{n}.npy" for n in range(12)])
    apart = np.zeros((12, 12), np.uint8)
    apart[2:5, 2:5] = apart[7:9, 7:9] = 255

    def told(*masks: np.ndarray) -> dict[str, tuple[str, Finding]]:
        for n in range(12):
            np.save(tmp_path / f"t{n}.npy", masks[n % len(masks)])
        return found(table, tmp_path)

    assert "one-object" not in told(apart > 300, (apart > 0) * 1 + (np.arange(12) > 5) * (apart > 0))
    kind, finding = told(apart, np.triu(apart))["one-object"]
    assert kind == "warning" and "in several pieces in 12 of 12" in finding.what
    notes = [{"id": n, "image_id": n, "category_id": 1, "bbox": [1, 1, 3, 3], "iscrowd": n % 2} for n in range(12)]
    images = [{"id": n, "file_name": f"{n}.png", "height": 12, "width": 12} for n in range(12)]
    data = {"images": images, "annotations": notes, "categories": [{"id": 1, "name": "cell"}]}
    (tmp_path / "t.json").write_text(json.dumps(data))
    kind, finding = found(sound(tmp_path).assign(truth="t.json"), tmp_path)["truth-lost"]
    assert kind == "warning" and "crowds (regions of many objects) left out (6)" in finding.what


def test_a_file_of_many_images_is_looked_up_for_each(tmp_path: Path) -> None:
    rows = [f"{n}.png,3,4" for n in range(11)]
    (tmp_path / "t.csv").write_text("\n".join(["image,x,y", *rows]))
    table = sound(tmp_path).assign(truth="t.csv")
    kind, finding = found(table, tmp_path)["truth"]
    assert kind == "fault" and finding.rows == ("11.png",) and "speaks of no image 11.png" in finding.where
    parts = table.assign(**{"tile.y": 0, "tile.x": 0, "tile.height": 6, "tile.width": 6})
    assert "truth" not in found(parts, tmp_path)


def test_findings_are_true_where_there_is_a_fault() -> None:
    assert not Findings(warnings=(Finding("a", "b"),)) and Findings(faults=(Finding("a", "b"),))


def test_real_sets_have_no_fault_but_their_known_ones(real_images: Path) -> None:
    cells = Manifest.read(real_images / "classify" / "bf_293a_ht1080")
    assert not cells.check() and not cells.split().fold(0).check()
    result = Manifest.read(real_images / "classify" / "wbc5_tecom").check()
    assert [each.code for each in result.faults] == ["few-groups"] and "basophil" in result.faults[0].what
    copies = next(each for each in result.warnings if each.code == "copies")
    assert copies.rows == ("lymphocyte/112.png", "lymphocyte/139.png")
    alike = next(each for each in result.warnings if each.code == "near-duplicates")
    assert {"neutrophil/166.png", "neutrophil/171.png"} <= set(alike.rows)
