"""Manifests: folders, channels, groups, paths, added columns, fingerprints, explode and gather."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image as Picture

from potency.data.groups import infer_groups
from potency.data.manifest import Manifest
from potency.errors import ImageError, ManifestError


def picture(path: Path, seed: int = 0, size: tuple[int, int] = (12, 12)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Picture.fromarray(np.random.default_rng(seed).integers(0, 255, size, dtype=np.uint8)).save(path)
    return path


def cells(folder: Path) -> Path:
    for number in range(4):
        picture(folder / f"{number}.png", number)
    return folder


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


def test_records_are_plain_values_of_every_kind() -> None:
    table = pd.DataFrame({
        "image": ["a.png", "b.png"], "hour": [1, 2], "dose": [0.5, None], "well": pd.Series(["A1", None], dtype="str"),
        "fate": pd.Categorical(["x", "y"]), "seen": pd.to_datetime(["2026-01-01", None]), "live": [True, False],
        "count": pd.array([3, None], "Int64"), "note": pd.Series(["x", np.int64(7)], dtype=object),
        5: np.float32([1.5, 2.5]),
    })  # fmt: skip
    made = Manifest(table)
    found = pd.DataFrame(made.records(), dtype=object)
    plain = pd.DataFrame([{str(k): v for k, v in row.items()} for row in table.to_dict("records")], dtype=object)
    pd.testing.assert_frame_equal(found, plain)
    assert found.map(type).equals(plain.map(type)), "numbers are Python's, not NumPy's"
    assert Manifest(table[:0]).records() == []


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
    (tmp_path / "a" / "again").unlink()
    (tmp_path / "a" / "self").symlink_to("self")  # no file, no folder: it leads nowhere
    with pytest.raises(ManifestError, match="a link leads to itself") as caught:
        Manifest.read(tmp_path)
    assert caught.value.where.endswith("self") and caught.value.mend == "remove the link"


def test_what_a_run_has_written_is_no_class(tmp_path: Path) -> None:
    for name in ("a", "b", "out/cache"):
        (tmp_path / name).mkdir(parents=True)
        picture(tmp_path / name / "1.png")
    assert Manifest.read(tmp_path).classes == ("a", "b", "out")
    (tmp_path / "out" / "run.json").write_text("{}")
    assert Manifest.read(tmp_path).classes == ("a", "b")


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


def test_a_level_of_the_file_names_can_be_named_as_group(tmp_path: Path) -> None:
    for place in ("neuron/donor1_A01.tif", "neuron/donor2_A02.tif", "stem/donor1_B01.tif", "stem/donor2_B02.tif"):
        (tmp_path / place).parent.mkdir(exist_ok=True)
        (tmp_path / place).touch()
    for asked in ("donor", "Patient"):  # any word for the level
        made = Manifest.read(tmp_path, group=asked)
        assert made.table["group"].tolist() == ["1", "2", "1", "2"] and made.groups_known
        assert made.origin["group"] == "file names: donor (2 groups)"
    with pytest.raises(ManifestError) as told:
        Manifest.read(tmp_path, group="clone")
    assert told.value.what == "there is no column 'clone'" and str(tmp_path) in told.value.where
    assert "what the file names tell (donor, well)" in told.value.mend


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
    picture(tmp_path / "in" / "own.png")
    (tmp_path / "in" / "m.csv").write_text("file,label,mask\nown.png,a,../out.png\n")
    with pytest.raises(ManifestError, match="leaves the folder") as caught:
        Manifest.read(tmp_path / "in" / "m.csv", confined=True)
    assert caught.value.where.endswith("out.png")


def test_spaces_unicode_and_missing_files(tmp_path: Path) -> None:
    picture(tmp_path / "mésange à côté" / "cell 1 – β.png")
    (tmp_path / "t.csv").write_text("file\nmésange à côté\\cell 1 – β.png\nabsent.png\n", encoding="utf-8")
    made = Manifest.read(tmp_path / "t.csv")
    assert made.open(made.table.iloc[0]).shape == (12, 12)
    with pytest.raises(ImageError):
        made.open(made.table.iloc[1])


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


def test_the_fingerprint_follows_what_the_files_of_truths_hold(tmp_path: Path) -> None:
    cells(tmp_path)
    for name, number in (("a.png", 1), ("b.png", 2)):
        picture(tmp_path / name, number)
    frame = pd.DataFrame({"image": ["0.png", "1.png"], "truth": ["a.png", "b.png"]})

    def seen(table: pd.DataFrame) -> str:
        return Manifest.of_rows(table, tmp_path, kinds={"truth": "labels"}).fingerprint()

    first = seen(frame)
    (tmp_path / "a.png").rename(tmp_path / "c.png")
    assert seen(frame.assign(truth=["c.png", "b.png"])) == first
    picture(tmp_path / "c.png", 3)
    assert seen(frame.assign(truth=["c.png", "b.png"])) != first


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
