"""Plate maps and plates: wells by one spelling, truth joined on them, fields of OME-Zarr plates as rows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image as Picture

from potency.cli import run
from potency.data.manifest import Manifest
from potency.data.wells import read_map, well_name
from potency.errors import ImageError, ManifestError

WELLS = ("A01", "A02", "B01", "B02")
NAMES = [f"{plate}_{well}_s{site}.png" for plate in ("P1", "P2") for well in WELLS for site in (1, 2)]


@pytest.fixture
def plates(tmp_path: Path) -> Path:
    for number, name in enumerate(NAMES):
        pixels = np.random.default_rng(number).integers(0, 255, (12, 12), dtype=np.uint8)
        Picture.fromarray(pixels).save(tmp_path / name)
    return tmp_path


def test_every_spelling_of_a_well_is_one() -> None:
    spellings = ["A1", "A01", "a01", "r01c01", "R1C1", "Well A1", "A-1", "A 01", "well_a001"]
    assert {well_name(text) for text in spellings} == {"A01"}
    assert [well_name(text) for text in ("AF48", "P24", "AG1", "A49", "A0", "1A", "", "total")] == [
        "AF48", "P24", None, None, None, None, None, None]


LONG = "Well,Treatment,dose\na1,DMSO,0\nr01c02,retinoic acid,0.5\nB-1,DMSO,0\nB02,retinoic acid,1\n"


def test_a_list_of_wells_gives_truth_and_columns(plates: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("map") / "layout.csv"
    path.write_text(LONG)
    made = Manifest.read(plates, plate_map=path, truth="Treatment")
    assert made.classes == ("DMSO", "retinoic acid") and made.kinds["truth"] == "category"
    assert made.table["dose"].tolist() == [0.0, 0.0, 0.5, 0.5, 0.0, 0.0, 1.0, 1.0] * 2
    assert made.origin["plate map"] == "layout.csv: Treatment, dose of 4 wells"
    assert made.origin["truth"] == "column 'Treatment'"
    assert made.origin["group"].startswith("inferred from file names: plate (2 groups); also seen: well (8)")
    assert Manifest.read(plates, plate_map=path, truth="dose").kinds["truth"] == "number"
    assert "truth" not in Manifest.read(plates, plate_map=path).table  # two facts, and none is called label


def test_a_grid_gives_the_truth(plates: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("map")
    grid = pd.DataFrame({"": ["A", "B"], 1: ["stem", "stem"], 2: ["neuron", "neuron"], 12: ["", "blank"]})
    (folder / "grid.csv").write_text(grid.to_csv(index=False))
    (folder / "semicolon.csv").write_text(grid.to_csv(index=False, sep=";"))
    grid.to_excel(folder / "grid.xlsx", index=False)
    for name in ("grid.csv", "semicolon.csv", "grid.xlsx"):
        assert read_map(folder / name).to_dict("list") == {
            "well": ["A01", "A02", "B01", "B02", "B12"], "truth": ["stem", "neuron", "stem", "neuron", "blank"]}
        made = Manifest.read(plates, plate_map=folder / name)
        assert made.classes == ("neuron", "stem")
        assert made.table["truth"].tolist()[:4] == ["stem", "stem", "neuron", "neuron"]
        assert made.origin["plate map"] == f"{name}: truth of 4 wells"
    (folder / "doses.csv").write_text(",1,2\nA,0,0.5\nB,1,2.5\n")
    assert Manifest.read(plates, plate_map=folder / "doses.csv").kinds["truth"] == "number"


def test_rows_and_columns_apart_and_plates(plates: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("map") / "map.tsv"
    path.write_text("plate\trow\tcol\tlabel\nP1\tA\t1\tx\nP1\t2\t02\ty\nP2\tA\t1\ty\nP3\tA\t1\tz\n")
    assert read_map(path)["well"].tolist() == ["A01", "B02", "A01", "A01"]
    made = Manifest.read(plates, plate_map=path)
    told = made.table.dropna(subset="truth").groupby(["plate", "well"])["truth"].first().to_dict()
    assert told == {("P1", "A01"): "x", ("P1", "B02"): "y", ("P2", "A01"): "y"}
    found = {finding.code: finding for finding in made.check(pixels=False).warnings}
    assert found["wells-not-in-map"].what == (
        "5 wells with images are not in the plate map: P1 A02, P1 B01, P2 A02, P2 B01, P2 B02")
    assert found["wells-without-images"].what == "1 wells of the plate map have no image: P3 A01"
    assert "no-truth" in found and "add them to the map" in found["wells-not-in-map"].mend


def test_the_label_of_the_map_counts_more_than_a_folder(tmp_path: Path) -> None:
    for number, name in enumerate(("monday/P_A01_s1.png", "tuesday/P_A02_s1.png")):
        (tmp_path / name).parent.mkdir()
        Picture.fromarray(np.full((12, 12), number, "uint8")).save(tmp_path / name)
    assert Manifest.read(tmp_path).classes == ("monday", "tuesday")
    (tmp_path / "map.csv").write_text("well,label,dose\nA1,x,0\nA2,y,1\n")  # among the images, and yet no table of them
    made = Manifest.read(tmp_path, plate_map=tmp_path / "map.csv")
    assert made.classes == ("x", "y") and made.origin["truth"] == "column 'label'"


def test_a_map_for_a_table_that_names_its_wells(plates: Path) -> None:
    (plates / "labels.csv").write_text("file,Well ID,label\nP1_A01_s1.png,a1,old\nP1_B02_s1.png,B2,old\n")
    (plates / "map.csv").write_text("well,label\nA1,x\nB2,y\n")
    made = Manifest.read(plates / "labels.csv", plate_map=plates / "map.csv")
    assert made.table["truth"].tolist() == ["x", "y"] and made.table["Well ID"].tolist() == ["a1", "B2"]


@pytest.mark.parametrize(("text", "what", "mend"), [
    ("drug,dose\nDMSO,0\n", "the plate map names no wells", "a list with a column well"),
    ("well,label\nA1,x\ntotal,4\n", "1 cells of the plate map are no wells: total", "write them like A1"),
    ("well,label\nA1,x\na01,y\n", "1 wells stand twice in the plate map: A01", "keep one line a well"),
    ("well,label\nH12,x\n", "no well of the plate map has an image", "called alike"),
    ("plate,well,label\nQ,A1,x\n", "no well of the plate map has an image", "called alike"),
])
def test_a_map_that_cannot_be_used_says_why(plates: Path, text: str, what: str, mend: str,
                                            tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("map") / "map.csv"
    path.write_text(text)
    with pytest.raises(ManifestError) as caught:
        Manifest.read(plates, plate_map=path)
    assert caught.value.what == what and mend in caught.value.mend and str(path) in caught.value.where


def test_a_map_that_is_not_there(plates: Path) -> None:
    with pytest.raises(ManifestError, match="there is no such plate map"):
        Manifest.read(plates, plate_map=plates / "absent.csv")


def test_rows_without_wells_or_plates_are_told_so(plates: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("map") / "map.csv"
    path.write_text("plate,well,label\nP1,A1,x\nP2,A1,y\n")
    with pytest.raises(ManifestError, match="the rows have no wells to look up") as caught:
        Manifest.read(plates, plate_map=path, names="none")
    assert "--names" in caught.value.mend
    with pytest.raises(ManifestError, match="the plate map names plates and the rows do not"):
        Manifest.read(plates, plate_map=path, names=r"(?P<dish>P\d)_(?P<well>A01)_s(?P<field>\d)")


def test_check_shows_how_names_and_map_were_understood(plates: Path, capsys: pytest.CaptureFixture[str],
                                                       tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("map") / "map.csv"
    path.write_text(LONG.replace("Treatment", "label"))
    assert run(["check", str(plates), "--plate-map", str(path), "--no-pixels"]) == 0
    shown = capsys.readouterr().out
    assert "file names: plate_well_site: 2 plates, 8 wells, 2 sites" in shown
    assert "plate map: map.csv: label, dose of 4 wells" in shown


# ------------------------------------------------------------------------------------------------------ OME-Zarr plates


def zarr_plate(path: Path, version: int, wells: tuple[str, ...] = ("A/1", "B/12"), **changes: Any) -> Path:
    import zarr

    def say(group: Any, facts: dict[str, Any]) -> None:
        group.attrs.update(facts if version == 2 else {"ome": {"version": "0.5", **facts}})

    plate = zarr.open_group(path, mode="w", zarr_format=version)
    say(plate, {"plate": {"name": "P7", "wells": [{"path": well} for well in wells], **changes}})
    for number, well in enumerate(wells):
        group = plate.require_group(well)
        say(group, {"well": {"images": [{"path": "0"}, {"path": "1"}]}})
        for field in range(2):
            image = group.create_group(str(field))
            array = image.create_array("0", shape=(2, 20, 30), dtype="u2", chunks=(1, 16, 16))
            array[:] = np.random.default_rng(2 * number + field).integers(0, 999, (2, 20, 30))
            say(image, {"multiscales": [{"axes": [{"name": name} for name in "cyx"], "datasets": [{"path": "0"}]}]})
    return path


@pytest.mark.parametrize("version", [2, 3])
def test_a_plate_of_ome_zarr_is_a_row_a_field(tmp_path: Path, version: int) -> None:
    plate = zarr_plate(tmp_path / "in" / "x.zarr", version)
    for source in (plate, plate.parent):  # the plate itself, or the folder it lies in
        made = Manifest.read(source)
        assert made.table["image"].tolist() == [f"x.zarr/{part}" for part in ("A/1/0", "A/1/1", "B/12/0", "B/12/1")]
        assert made.table[["plate", "well", "field"]].iloc[3].tolist() == ["P7", "B12", "1"]
        assert made.origin["group"] == "inferred from column well (2 groups)"
        expected = np.random.default_rng(3).integers(0, 999, (2, 20, 30))
        np.testing.assert_array_equal(made.open(made.records()[3])[{}], expected)
        assert not [fault for fault in made.check().faults if fault.code != "one-class"]
    (tmp_path / "map.csv").write_text("well,label\nA1,x\nB12,y\n")
    assert Manifest.read(plate, plate_map=tmp_path / "map.csv").table["truth"].tolist() == ["x", "x", "y", "y"]


def test_a_plate_cannot_lead_out_of_its_folder_and_damage_is_said(tmp_path: Path) -> None:
    plate = zarr_plate(tmp_path / "x.zarr", 2)
    facts = plate / ".zattrs"
    facts.write_text(json.dumps({"plate": {"wells": [{"path": "../.."}]}}))
    with pytest.raises(ManifestError, match=r"the plate names a well at '../..'"):
        Manifest.read(plate)
    facts.write_text(json.dumps({"plate": {"wells": []}}))
    with pytest.raises(ManifestError, match="the plate holds no fields"):
        Manifest.read(plate)
    facts.write_text("{")
    with pytest.raises(ImageError, match="the metadata of the OME-Zarr cannot be read") as caught:
        Manifest.read(plate)
    assert caught.value.where == str(facts) and caught.value.mend == "copy the whole folder again"
