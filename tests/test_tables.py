"""Tables: every dialect reads alike, damaged ones say so, written ones are safe and come back as they were."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image as Picture

from potency.data.manifest import Manifest
from potency.data.tables import read_table, write_table
from potency.errors import ImageError, ManifestError

HEADER = ["file", "label", "plate", "size"]
ROWS = [["0.png", "stem", "007", "1.5"], ["1.png", "neurone é", "007", "2.5"],
        ["2.png", "stem", "008", ""], ["3.png", "neurone é", "008", "4"]]


def text(separator: str, decimal: str = ".") -> str:
    lines = [HEADER, *([*row[:3], row[3].replace(".", decimal)] for row in ROWS)]
    return "\n".join(separator.join(line) for line in lines) + "\n"


def cells(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(4):
        pixels = np.random.default_rng(number).integers(0, 255, (12, 12), dtype=np.uint8)
        Picture.fromarray(pixels).save(folder / f"{number}.png")
    return folder


@pytest.mark.parametrize(("name", "raw"), [
    ("labels.csv", text(",").encode()),
    ("labels.tsv", text("\t").encode()),
    ("labels.csv", text(",").replace("\n", "\r\n").encode()),
    ("labels.csv", text("|").encode()),
])
def test_every_dialect_reads_alike(tmp_path: Path, name: str, raw: bytes) -> None:
    (cells(tmp_path) / name).write_bytes(raw)
    made = Manifest.read(tmp_path)
    assert made.table["image"].tolist() == ["0.png", "1.png", "2.png", "3.png"]
    assert made.table["id"].is_unique
    assert made.classes == ("neurone é", "stem")
    assert made.table["plate"].tolist() == ["007", "007", "008", "008"]  # a name, not the number 7
    assert made.table["size"].iloc[:2].tolist() == [1.5, 2.5] and np.isnan(made.table["size"].iloc[2])
    assert made.origin["source"] == f"table {name}"
    assert made.origin["group"].startswith("inferred from column plate (2 groups)")


def test_parquet_and_excel_read_like_csv(tmp_path: Path) -> None:
    frame = pd.DataFrame(ROWS, columns=HEADER)
    frame.to_parquet(tmp_path / "a.parquet")
    frame.assign(number=[1, 2, 3, 4]).to_excel(tmp_path / "b.xlsx", index=False)
    for name in ("a.parquet", "b.xlsx"):
        made = Manifest.read(tmp_path / name)
        assert made.table["truth"].tolist() == [row[1] for row in ROWS]
        assert made.table["plate"].tolist() == ["007", "007", "008", "008"]
    assert made.table["number"].tolist() == [1, 2, 3, 4]


@pytest.mark.parametrize("name", ["image", "File", "PATH", "filename", "File Name", "file_name"])
def test_names_of_the_image_column_are_one(tmp_path: Path, name: str) -> None:
    (tmp_path / "t.csv").write_text(f"{name},class\na.png,x\nb.png,y\n")
    made = Manifest.read(tmp_path / "t.csv")
    assert made.table["image"].tolist() == ["a.png", "b.png"] and made.table["truth"].tolist() == ["x", "y"]


@pytest.mark.parametrize(("content", "words"), [
    ("a,b\n1,2\n", ["no column holds the image files", "columns: a, b", "name it image"]),
])
def test_damaged_tables_say_what_where_and_how_to_mend(tmp_path: Path, content: str, words: list[str]) -> None:
    (tmp_path / "t.csv").write_text(content)
    with pytest.raises(ManifestError) as caught:
        Manifest.read(tmp_path / "t.csv")
    assert str(tmp_path / "t.csv") in caught.value.where
    for word in words:
        assert word in str(caught.value)


def test_rows_without_an_image_are_refused_and_without_an_id_are_known_by_it(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("id,file,label\n1,a.png,x\n,b.png,y\n,,x\n4, ,y\n")
    with pytest.raises(ManifestError, match="2 of 4 rows name no image file") as caught:
        Manifest.read(tmp_path / "t.csv")
    assert caught.value.where == "table t.csv, rows 3, 4 below the header" and "fill in the file" in caught.value.mend
    (tmp_path / "t.csv").write_text("id,file,label\n1,a.png,x\n,b.png,y\n,c.png,x\n")
    made = Manifest.read(tmp_path / "t.csv")
    assert made.table["id"].tolist() == ["1", "b.png", "c.png"]
    assert not [each for each in made.check(pixels=False) if each.code == "duplicate-ids"]


@pytest.mark.parametrize("saved", [{"origin": ["x"], "kinds": 3}, {"origin": {"classes": "["}},
                                   {"origin": {"classes": '{"a": 1}', "group": "unknown"}, "kinds": {"gone": "x"}}])
def test_what_others_wrote_into_a_parquet_file_is_not_believed(tmp_path: Path, saved: dict[str, Any]) -> None:
    rows = pd.DataFrame({"image": ["a.png", "b.png"], "truth": ["x", "y"]})
    write_table(rows, tmp_path / "t.parquet", saved)
    made = Manifest.read(tmp_path / "t.parquet")
    assert made.classes == ("x", "y") and dict(made.kinds) == {"truth": "category"}


@pytest.mark.parametrize("window", [{"tile.y": [0, 1]}, {"tile.y": [0, 1], "tile.x": [0, 1], "tile.height": ["", "a"]}])
def test_a_window_that_is_none_is_named(tmp_path: Path, window: dict[str, Any]) -> None:
    made = Manifest.of_rows(pd.DataFrame({"image": ["a.png", "b.png"], **window}), tmp_path)
    with pytest.raises(ImageError, match="not four whole numbers") as caught:
        made.window(made.records()[1])
    assert caught.value.where == "row 'b.png'" and "tile.height" in caught.value.mend


def test_row_numbers_saved_by_other_programs_are_no_fault(tmp_path: Path) -> None:
    pd.DataFrame({"file": ["a.png", "b.png"], "label": ["x", "y"]}).to_csv(tmp_path / "t.csv")
    assert Manifest.read(tmp_path / "t.csv").table["index"].tolist() == [0, 1]


@pytest.mark.parametrize(("name", "words"), [("t.doc", "not a kind of table")])
def test_mislabelled_tables_are_refused(tmp_path: Path, name: str, words: str) -> None:
    (tmp_path / name).write_text(text(","))
    with pytest.raises(ManifestError, match=words):
        read_table(tmp_path / name)


def test_unknown_columns_and_classes_name_the_nearest(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("file,fate,donor\na.png,stem,1\nb.png,neuron,2\n")
    with pytest.raises(ManifestError, match="there is no column 'fates'") as caught:
        Manifest.read(tmp_path / "t.csv", truth="fates")
    assert "did you mean 'fate'?" in caught.value.mend and "columns: " in caught.value.where
    with pytest.raises(ManifestError, match="there is no class 'neurons'") as caught:
        Manifest.read(tmp_path / "t.csv", truth="fate", classes=["neurons"])
    assert caught.value.mend == "did you mean 'neuron'?"
    made = Manifest.read(tmp_path / "t.csv", truth="Fate", group="donor", classes=["stem", "neuron"])
    assert made.classes == ("stem", "neuron") and made.table["group"].tolist() == ["1", "2"]


def test_truth_may_be_a_number_or_several(tmp_path: Path) -> None:
    (tmp_path / "n.csv").write_text("file,label,dna\n" + "".join(f"{n}.png,x,{n * 1.5}\n" for n in range(30)))
    made = Manifest.read(tmp_path / "n.csv", truth="dna")
    assert made.kinds["truth"] == "number" and made.classes == () and made.table["label"].tolist() == ["x"] * 30
    (tmp_path / "v.csv").write_text("file,truth.y,truth.x\n" + "".join(f"{n}.png,{n},.5\n" for n in range(9)))
    assert Manifest.read(tmp_path / "v.csv").kinds["truth"] == "vector"


@pytest.mark.parametrize("name", ["m.parquet", "m.csv", "m.tsv", "m.xlsx"])
def test_writing_and_reading_back_keeps_the_table(tmp_path: Path, name: str) -> None:
    cells(tmp_path / "data")
    (tmp_path / "data" / "labels.csv").write_text(text(","))
    made = Manifest.read(tmp_path / "data").split(folds=2).fold(0)
    made = made.add({"prediction": ["=SUM(A1)", "+1", "'=x", "-a"]}, kind="category")
    again = Manifest.read(made.write(tmp_path / "out" / name))
    assert again.table["image"].iloc[0] == "../data/0.png"
    pd.testing.assert_frame_equal(again.table.drop(columns="image"), made.table.drop(columns="image"),
                                  check_dtype=name.endswith("parquet"), check_like=True)
    assert again.fingerprint() == made.fingerprint()
    if name.endswith("parquet"):
        assert again.kinds == made.kinds and again.origin == made.origin


@pytest.mark.parametrize("name", ["m.parquet", "m.csv"])
def test_every_column_of_files_follows_the_table(tmp_path: Path, name: str) -> None:
    """Masks and maps as much as images; what merely names a row, be it by the path of a file, stays as it is."""
    cells(tmp_path / "data")
    (tmp_path / "data" / "masks").mkdir()
    for k in range(3):  # the first rows have none, the last names one that is gone
        (tmp_path / "data" / "masks" / f"{k}.png").write_bytes(b"")
    frame = pd.read_csv(io.StringIO(text(",")))
    count, elsewhere = len(frame), str(tmp_path / "data" / "masks" / "0.png")
    masks = [None, "masks/0.png", "masks/1.png", "masks/gone.png"]
    frame = frame.assign(mask=masks, far=elsewhere, like=frame.iloc[::-1, 0].to_numpy(), note="a.b", plate="masks")
    frame.to_csv(tmp_path / "data" / "labels.csv", index=False)
    made = Manifest.read(tmp_path / "data").add({"map": ["masks/2.png"] * count}, kind="picture")
    assert set(made.files) == {"image", "mask", "far", "map"}
    again = Manifest.read(made.write(tmp_path / "out" / name))
    for column in made.files:
        old, new = (rows.table[column].dropna().tolist() for rows in (made, again))
        assert [(again.folder / cell).resolve() for cell in new] == [(made.folder / cell).resolve() for cell in old]
    assert again.table["mask"].isna().tolist() == made.table["mask"].isna().tolist()
    for column in ("id", "group", "like", "note", "plate"):
        assert again.table[column].tolist() == made.table[column].tolist()
    back = Manifest.read(again.write(tmp_path / "data" / f"back-{name}"))
    assert back.table["mask"].tolist()[1:] == masks[1:] and back.table["map"].tolist() == made.table["map"].tolist()


def test_a_failed_write_leaves_the_old_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = Manifest.of_rows(pd.DataFrame({"image": ["a.png"]}), tmp_path)
    path = made.write(tmp_path / "m.csv")
    before = path.read_bytes()

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pd.DataFrame, "to_csv", full)
    with pytest.raises(ManifestError, match="the table cannot be written") as caught:
        made.write(path)
    assert "No space left on device" in caught.value.what and path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["m.csv"]
    with pytest.raises(ManifestError, match="cannot be written as '.docx'"):
        made.write(tmp_path / "m.docx")


@pytest.mark.parametrize(("masks", "kind"), [
    (["m0.tif", "", "m2.tif", ""], "labels"), (["0.csv", "1.csv", "2.csv", ""], "objects"),
    (["f0", "", "f2", "f3"], "labels"), (["stem", "", "big", "stem"], "category"),
])  # fmt: skip
def test_a_blank_cell_of_truth_is_no_name(tmp_path: Path, masks: list[str], kind: str) -> None:
    for name in ("f0", "f2", "f3"):
        (cells(tmp_path) / name / "masks").mkdir(parents=True, exist_ok=True)
    rows = [f"{k}.png,{name}" for k, name in enumerate(masks)]
    (tmp_path / "labels.csv").write_text("\n".join(["image,truth", *rows]) + "\n")
    made = Manifest.read(tmp_path / "labels.csv")
    assert made.kinds["truth"] == kind
    assert made.table["truth"].isna().tolist() == [not name for name in masks]
