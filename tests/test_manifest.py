"""Manifests: tables in every dialect, folders, channels, groups, safe writing, explode and gather."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image as Picture

from potency.data.groups import infer_groups
from potency.data.manifest import Manifest
from potency.data.tables import read_table
from potency.errors import ImageError, ManifestError


def picture(path: Path, seed: int = 0, size: tuple[int, int] = (12, 12)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Picture.fromarray(np.random.default_rng(seed).integers(0, 255, size, dtype=np.uint8)).save(path)
    return path


def cells(folder: Path) -> Path:
    for number in range(4):
        picture(folder / f"{number}.png", number)
    return folder


HEADER = ["file", "label", "plate", "size"]
ROWS = [["0.png", "stem", "007", "1.5"], ["1.png", "neurone é", "007", "2.5"],
        ["2.png", "stem", "008", ""], ["3.png", "neurone é", "008", "4"]]


def text(separator: str, decimal: str = ".") -> str:
    lines = [HEADER, *([*row[:3], row[3].replace(".", decimal)] for row in ROWS)]
    return "\n".join(separator.join(line) for line in lines) + "\n"


@pytest.mark.parametrize(("name", "raw"), [
    ("labels.csv", text(",").encode()),
    ("labels.csv", text(",").encode("utf-8-sig")),
    ("labels.csv", text(";", ",").encode("cp1252")),
    ("labels.csv", ("sep=;\n" + text(";", ",")).encode()),
    ("labels.csv", text(",").encode("utf-16")),
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
    ("picture,label\na.png,x\n", ["no column holds the image files", "columns: picture, label",
                                  "rename the column 'picture' to image"]),
    ("a,b\n1,2\n", ["no column holds the image files", "columns: a, b", "name it image"]),
    ("file,label,file\na.png,x,b\n", ["a column stands twice: file", "rename or remove one"]),
    ("file,label\na.png,x,y\nb.png,x\n", ["the rows do not fit the columns", "columns file, label"]),
    ("file,label,\na.png,x,\n", ["a column has no name", "name it in the first line"]),
    ("file,label\n", ["the table has no rows", "columns: file, label"]),
    ("", ["the table is empty", "export it again"]),
    ("fi\0le", ["this is not a text table", "right ending"]),
])
def test_damaged_tables_say_what_where_and_how_to_mend(tmp_path: Path, content: str, words: list[str]) -> None:
    (tmp_path / "t.csv").write_text(content)
    with pytest.raises(ManifestError) as caught:
        Manifest.read(tmp_path / "t.csv")
    assert str(tmp_path / "t.csv") in caught.value.where
    for word in words:
        assert word in str(caught.value)


def test_row_numbers_saved_by_other_programs_are_no_fault(tmp_path: Path) -> None:
    pd.DataFrame({"file": ["a.png", "b.png"], "label": ["x", "y"]}).to_csv(tmp_path / "t.csv")
    assert Manifest.read(tmp_path / "t.csv").table["index"].tolist() == [0, 1]


@pytest.mark.parametrize(("name", "words"), [("t.xlsx", "not an Excel file"), ("t.parquet", "cannot be read"),
                                             ("t.doc", "not a kind of table")])
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


def test_a_folder_is_read_by_its_table_else_by_its_classes(tmp_path: Path) -> None:
    for name in ("stem", "neuron"):
        for number in range(3):
            picture(tmp_path / name / f"well A{number + 1}.png", number)
    (tmp_path / ".DS_Store").write_text("x")
    (tmp_path / "notes.txt").write_text("washed twice")
    made = Manifest.read(tmp_path)
    assert made.classes == ("neuron", "stem") and len(made) == 6 and made.origin["truth"] == "folder"
    assert made.origin["group"] == "inferred from file names: well (3 groups)"
    assert made.open(made.table.iloc[0]).crop().shape == (1, 12, 12)
    (tmp_path / "labels.csv").write_text("file,label\nstem/well A1.png,a\nneuron/well A2.png,b\n")
    assert len(Manifest.read(tmp_path)) == 2
    (tmp_path / "labels.csv").rename(tmp_path / "one.csv")
    (tmp_path / "two.csv").write_text("x")
    with pytest.raises(ManifestError, match="several tables: one.csv, two.csv"):
        Manifest.read(tmp_path)


def test_split_folders_are_splits(tmp_path: Path) -> None:
    for part in ("train", "val", "test"):
        for name in ("a", "b"):
            picture(tmp_path / part / name / "1.png")
    made = Manifest.read(tmp_path)
    assert made.classes == ("a", "b") and made.origin["split"] == "folders"
    assert sorted(set(made.table["split"])) == ["test", "train", "validation"]


def test_empty_folders_and_loops_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="no images and no table"):
        Manifest.read(tmp_path)
    with pytest.raises(ManifestError, match="there is no such file or folder"):
        Manifest.read(tmp_path / "absent")
    picture(tmp_path / "a" / "1.png")
    (tmp_path / "a" / "again").symlink_to(tmp_path)
    with pytest.raises(ManifestError, match="leads back into a folder") as caught:
        Manifest.read(tmp_path)
    assert caught.value.where.endswith("again") and caught.value.mend == "remove the link"


def test_channels_are_columns_folders_or_words(tmp_path: Path) -> None:
    for channel in ("Brightfield", "darkfield"):
        for name in ("G1", "G2"):
            picture(tmp_path / channel / name / "1.png", len(channel))
    with pytest.raises(ManifestError, match="look like channels") as caught:
        Manifest.read(tmp_path)
    assert "--channels Brightfield,darkfield" in caught.value.mend
    made = Manifest.read(tmp_path, channels=("darkfield", "brightfield"))
    assert made.channels == ("darkfield", "brightfield") and made.classes == ("G1", "G2") and len(made) == 2
    assert made.table["image.brightfield"].tolist() == ["Brightfield/G1/1.png", "Brightfield/G2/1.png"]
    assert made.open(made.table.iloc[0]).channels == ("darkfield", "brightfield")
    (tmp_path / "labels.csv").write_text("file,label\nBrightfield/G1/1.png,x\nBrightfield/G2/1.png,y\n")
    assert len(Manifest.read(tmp_path, channels=("brightfield", "darkfield"))) == 2
    with pytest.raises(ManifestError, match="no parallel files for the channels gfp") as caught:
        Manifest.read(tmp_path, channels=("gfp",))
    assert "Brightfield, darkfield" in caught.value.mend
    (tmp_path / "c.csv").write_text("BF,GFP,label\nBrightfield/G1/1.png,darkfield/G1/1.png,x\n")
    both = Manifest.read(tmp_path / "c.csv", channels=("gfp", "bf"))
    assert both.table["image"].tolist() == ["darkfield/G1/1.png"] and both.channels == ("gfp", "bf")


def test_channels_in_file_names_make_one_image(tmp_path: Path) -> None:
    for well in ("A01", "A02"):
        for channel in ("dapi", "gfp"):
            picture(tmp_path / f"{well}_{channel}.png")
    made = Manifest.read(tmp_path, channels=("dapi", "gfp"))
    assert len(made) == 2 and made.table["image.gfp"].tolist() == ["A01_gfp.png", "A02_gfp.png"]


@pytest.mark.parametrize(("names", "groups", "note"), [
    (["donor1_A01.tif", "donor1_A02.tif", "donor2_A01.tif"], ["1", "1", "2"], "donor (2 groups)"),
    (["plate1_A01_f1.tif", "plate1_A01_f2.tif", "plate2_A01_f1.tif"], ["1", "1", "2"], "plate (2 groups)"),
    (["x_B03_s1.png", "x_B03_s2.png", "x_C11_s1.png"], ["B03", "B03", "C11"], "well (2 groups)"),
    (["20240131_1.png", "20240131_2.png", "20240201_1.png"], ["20240131", "20240131", "20240201"], "date (2 groups)"),
    (["Clone A_1.png", "Clone A_2.png", "Clone B_1.png"], ["A", "A", "B"], "clone (2 groups)"),
    (["p12_a.png", "p12_b.png", "p13_a.png"], ["12", "12", "13"], "passage (2 groups)"),
])
def test_groups_are_inferred_from_names(names: list[str], groups: list[str], note: str) -> None:
    found = infer_groups(pd.DataFrame({"image": names}))
    assert found is not None and found[0].tolist() == groups
    assert found[1].startswith("inferred from file names: " + note)


def test_a_level_serves_only_if_every_class_has_two_groups() -> None:
    rows = pd.DataFrame({"image": [f"donor{d}_A0{w}_{n}.png" for d in (1, 2) for w in (1, 2) for n in (1, 2)],
                         "truth": ["x"] * 4 + ["y"] * 4})
    found = infer_groups(rows)
    assert found is not None and found[1].startswith("inferred from file names: well")
    assert infer_groups(pd.DataFrame({"image": ["cell1.png", "cell2.png"]})) is None


def test_unknown_groups_stand_alone_and_stay_unknown_when_written(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("file,label\nx.png,a\ny.png,b\n")
    made = Manifest.read(tmp_path / "t.csv")
    assert not made.groups_known and made.origin["group"] == "unknown" and made.table["group"].is_unique
    for name in ("again.csv", "again.parquet"):
        assert not Manifest.read(made.write(tmp_path / name)).groups_known
    named = Manifest.read(tmp_path / "t.csv", group=r"([xy])\.png")
    assert named.table["group"].tolist() == ["x", "y"] and named.groups_known
    with pytest.raises(ManifestError, match="does not fit 1 of 2 paths"):
        Manifest.read(tmp_path / "t.csv", group="(x)")
    with pytest.raises(ManifestError, match="is not a pattern"):
        Manifest.read(tmp_path / "t.csv", group="(x")


def test_paths_of_others_may_not_leave_their_folder(tmp_path: Path) -> None:
    picture(tmp_path / "out.png")
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "t.csv").write_text("file,label\n../out.png,a\n")
    own = Manifest.read(tmp_path / "in" / "t.csv")
    assert own.open(own.table.iloc[0]).shape == (12, 12)
    with pytest.raises(ManifestError, match="leaves the folder"):
        Manifest.read(tmp_path / "in" / "t.csv", confined=True)


def test_spaces_unicode_and_missing_files(tmp_path: Path) -> None:
    picture(tmp_path / "mésange à côté" / "cell 1 – β.png")
    (tmp_path / "t.csv").write_text("file\nmésange à côté/cell 1 – β.png\nabsent.png\n", encoding="utf-8")
    made = Manifest.read(tmp_path / "t.csv")
    assert made.open(made.table.iloc[0]).shape == (12, 12)
    with pytest.raises(ImageError):
        made.open(made.table.iloc[1])


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


def test_no_cell_of_a_written_csv_is_a_formula(tmp_path: Path) -> None:
    risky = ["=1+1", "+1", "-1", "@x", "\tx"]
    table = pd.DataFrame({"image": risky, "id": risky, "=col": risky})
    raw = Manifest.of_rows(table, tmp_path).write(tmp_path / "x.csv").read_text()
    cells = [cell.strip('"') for line in raw.splitlines() for cell in line.split(",")]
    assert not [cell for cell in cells if cell[:1] in ("=", "+", "-", "@", "\t")]


def test_a_failed_write_leaves_the_old_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = Manifest.of_rows(pd.DataFrame({"image": ["a.png"]}), tmp_path)
    path = made.write(tmp_path / "m.csv")
    before = path.read_bytes()

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pd.DataFrame, "to_csv", full)
    with pytest.raises(ManifestError, match="the table cannot be written") as caught:
        made.write(path)
    assert "No space left on device" in caught.value.mend and path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["m.csv"]
    with pytest.raises(ManifestError, match="cannot be written as '.docx'"):
        made.write(tmp_path / "m.docx")


def test_adding_columns_joins_by_id_or_order() -> None:
    made = Manifest.of_rows(pd.DataFrame({"image": ["a", "b", "c"]}))
    added = made.add(pd.DataFrame({"id": ["c", "a"], "prediction": ["x", "y"]}), kind="category")
    assert added.table["prediction"].tolist()[::2] == ["y", "x"] and pd.isna(added.table["prediction"].iloc[1])
    assert added.kinds["prediction"] == "category" and "prediction" not in made.table
    with pytest.raises(ManifestError, match="2 values for 3 rows"):
        made.add(pd.DataFrame({"x": [1, 2]}))
    with pytest.raises(ManifestError, match="unknown ids"):
        made.add(pd.DataFrame({"id": ["z"], "x": [1]}))
    with pytest.raises(ManifestError, match="repeated ids"):
        made.add(pd.DataFrame({"id": ["a", "a"], "x": [1, 2]}))


def test_the_fingerprint_follows_contents_truth_and_group_only(tmp_path: Path) -> None:
    cells(tmp_path)
    frame = pd.DataFrame({"image": ["0.png", "1.png"], "truth": ["a", "b"], "group": ["g", "h"]})
    first = Manifest.of_rows(frame, tmp_path).fingerprint()
    picture(tmp_path / "renamed.png", 0)
    moved = frame.assign(image=["renamed.png", "1.png"]).iloc[::-1].reset_index(drop=True)
    assert Manifest.of_rows(moved, tmp_path).fingerprint() == first
    for change in ({"truth": ["a", "a"]}, {"group": ["g", "g"]}, {"image": ["2.png", "1.png"]}):
        assert Manifest.of_rows(frame.assign(**change), tmp_path).fingerprint() != first


def test_explode_and_gather_are_inverse(tmp_path: Path) -> None:
    picture(tmp_path / "s1.png", 1, (20, 30))
    picture(tmp_path / "s2.png", 2, (20, 20))
    slides = Manifest.of_rows(pd.DataFrame({"image": ["s1.png", "s2.png"], "truth": ["a", "b"], "group": ["p", "q"],
                                            "stain": ["HE", "HE"]}), tmp_path)
    tiles = slides.explode(lambda image: [(0, x, 10, 10) for x in range(0, image.sizes["X"], 10)])
    assert len(tiles) == 5 and tiles.table["id"].is_unique
    assert tiles.table["group"].tolist() == ["p"] * 3 + ["q"] * 2
    assert tiles.table["tile.x"].tolist() == [0, 10, 20, 0, 10]
    row = tiles.table.iloc[1]
    assert tiles.window(row) == {"Y": slice(0, 10), "X": slice(10, 20)} and slides.window(slides.table.iloc[0]) is None
    assert tiles.open(row).crop(tiles.window(row)).shape == (1, 10, 10)
    whole = tiles.gather()
    assert whole.table["id"].tolist() == ["s1.png", "s2.png"] and whole.table["samples"].tolist() == [3, 2]
    pd.testing.assert_frame_equal(whole.table[slides.table.columns], slides.table)


def test_gather_puts_predictions_together() -> None:
    rows = pd.DataFrame({
        "image": list("abcde"), "truth": ["x", "x", "x", "y", "y"], "group": ["g", "g", "g", "h", "h"],
        "well": ["A1", "A1", "A1", "B1", "B1"], "prediction": ["x", "y", "y", "y", None],
        "prediction.probability.x": [0.9, 0.45, 0.4, 0.2, np.nan],
        "prediction.probability.y": [0.1, 0.55, 0.6, 0.8, np.nan],
        "prediction.error": ["", "", "", "", "too dark"], "prediction@forest": [1.0, 2.0, 3.0, 4.0, 6.0]})
    made = Manifest.of_rows(rows)
    mean = made.gather("well").table
    assert mean["prediction"].tolist() == ["x", "y"] and mean["prediction@forest"].tolist() == [2.0, 5.0]
    assert mean["prediction.probability.x"].round(4).tolist() == [0.5833, 0.2]  # the row with an error does not count
    majority = made.gather("well", "majority").table
    assert majority["prediction"].tolist() == ["y", "y"]
    assert majority["prediction.probability.y"].round(4).tolist() == [0.6667, 1.0]
    own = made.gather("well", lambda frame: {"prediction": frame["prediction"].iloc[0]}).table
    assert own["prediction"].tolist() == ["x", "y"]
    with pytest.raises(ManifestError, match="cannot be gathered by 'median'"):
        made.gather("well", "median")
    with pytest.raises(ManifestError, match="differ in their truth"):
        Manifest.of_rows(rows.assign(well="A1")).gather("well")


@pytest.mark.parametrize(("name", "rows", "groups", "classes"), [
    ("jurkat_ifc_cellcycle", 3419, 116, 7), ("tcell_autofluor", 852, 6, 2),
    ("mitocheck_nuclei16", 3277, 77, 16), ("bf_293a_ht1080", 200, 62, 2)])
def test_real_sets_are_read_by_their_tables(real_images: Path, name: str, rows: int, groups: int, classes: int) -> None:
    made = Manifest.read(real_images / "classify" / name)
    assert (len(made), len(made.classes)) == (rows, classes) and made.origin["group"] == "column 'group'"
    assert made.table["group"].nunique() == groups


def test_real_channels_in_parallel_folders_are_one_image(real_images: Path) -> None:
    made = Manifest.read(real_images / "classify" / "jurkat_ifc_cellcycle", channels=("brightfield", "darkfield"),
                         classes=("G1", "G2"))
    assert made.classes == ("G1", "G2") and made.open(made.table.iloc[5]).crop().shape == (2, 40, 40)
