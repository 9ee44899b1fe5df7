"""Rows that are a part of their file: a series, a time point, a plane; unread ones are said; sizes from the table."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile
from PIL import Image

from potency.data import image as images
from potency.data.manifest import Manifest
from potency.data.one import single
from potency.data.plan import Plan
from potency.data.readers import open_image
from potency.errors import ImageError, ManifestError
from potency.inference.view import View
from potency.inference.work import Batch

STACK = np.random.default_rng(0).integers(0, 4000, (4, 3, 2, 30, 40)).astype("uint16")  # T, Z, C, Y, X


def hyperstack(path: Path, stack: np.ndarray = STACK, um: float | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    size = {} if um is None else {"resolution": (1 / um, 1 / um)}
    unit = {} if um is None else {"unit": "um"}
    tifffile.imwrite(path, stack, imagej=True, metadata={"axes": "TZCYX", **unit}, **size)
    return path


def rows(folder: Path, **columns: object) -> Manifest:
    return Manifest.of_rows(pd.DataFrame({"image": "a.tif", **columns}), folder)


def test_columns_t_and_z_choose_the_plane(tmp_path: Path) -> None:
    hyperstack(tmp_path / "a.tif", um=0.5)
    made = rows(tmp_path, t=[0, 3, 3], z=[2, 0, 1])
    assert made.table["id"].tolist() == ["a.tif#t0#z2", "a.tif#t3#z0", "a.tif#t3#z1"]
    for row in made.records():
        image = made.open(row)
        expected = STACK[row["t"], row["z"]]
        assert (image.axes, image.shape, image.pixel_size) == ("CYX", (2, 30, 40), {"Y": 0.5, "X": 0.5})
        np.testing.assert_array_equal(image.crop(), expected)
        window = {"C": slice(1, 2), "Y": slice(3, 9), "X": slice(5, 6)}
        np.testing.assert_array_equal(image[window], expected[1:2, 3:9, 5:6])
        np.testing.assert_array_equal(image.at(0.5)[{}], expected)
        halved = open_image(tmp_path / "a.tif").at(1.0).crop(t=row["t"], z=row["z"])
        np.testing.assert_array_equal(View.of(made, row, Plan(pixel_size=1.0)).image.crop(), halved)


def test_what_says_which_part_a_row_is_travels_to_the_workers(tmp_path: Path) -> None:
    made = rows(tmp_path, t=[0, 1], z=[0, 0], pixel_size=[0.5, 0.5], note=["x", "y"])
    assert {"t", "z", "pixel_size"} <= set(Batch.of(made, [(0, None)], ["a", "b"]).rows.table.columns)
    assert "note" not in Batch.of(made, [(0, None)], ["a", "b"]).rows.table.columns


def test_only_one_of_them_may_be_chosen_and_a_missing_cell_chooses_nothing(tmp_path: Path) -> None:
    hyperstack(tmp_path / "a.tif")
    one = rows(tmp_path, t=[1.0, None])
    assert [one.open(row).axes for row in one.records()] == ["CZYX", "TCZYX"]
    np.testing.assert_array_equal(one.open(one.records()[0]).crop(z=2), STACK[1, 2])
    np.testing.assert_array_equal(one.open(one.records()[1]).crop(), STACK[0, 0])


@pytest.mark.parametrize(("column", "cell", "what", "mend"), [
    ("t", 4, "there is no time point 4: the file holds 4, numbered from 0", "correct the column t"),
    ("z", 3, "there is no plane 3: the file holds 3, numbered from 0", "correct the column z"),
    ("t", float("inf"), "t is inf, which is no number of a time point", "number them 0"),
    ("z", 1.5, "z is 1.5, which is no number of a plane", "number them 0, 1, 2 ... in the column z"),
    ("t", "late", "t is 'late', which is no number of a time point", "or rename the column"),
    ("series", 1, "there is no series 1: the file holds 1, numbered from 0", "correct the column series"),
    ("series", -1, "series is -1, which is no number of a series", "number them 0"),
    ("pixel_size", "20x", "pixel_size is '20x', which no microscope has", "um of one pixel"),
    ("pixel_size", 0, "pixel_size is 0, which no microscope has", "or leave it empty"),
])
def test_a_part_that_is_not_there_is_refused(tmp_path: Path, column: str, cell: object, what: str, mend: str) -> None:
    path = hyperstack(tmp_path / "a.tif")
    made = rows(tmp_path, **{column: [cell]})
    with pytest.raises(ImageError) as caught:
        made.open(made.records()[0])
    assert caught.value.what == what and mend in caught.value.mend
    assert Path(caught.value.where).name == path.name


def test_columns_called_t_and_z_mean_nothing_to_files_of_one_plane(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", STACK[0, 0, 0])
    made = rows(tmp_path, t=["day 3"], z=[12.5])
    np.testing.assert_array_equal(made.open(made.records()[0])[{}], STACK[0, 0, 0])


def test_the_table_states_a_pixel_size_where_the_file_does_not(tmp_path: Path) -> None:
    hyperstack(tmp_path / "a.tif", um=0.5)
    hyperstack(tmp_path / "b.tif")
    made = Manifest.of_rows(pd.DataFrame({"image": ["a.tif", "b.tif"], "pixel_size": [0.25, 0.25]}), tmp_path)
    first, second = (made.open(row) for row in made.records())
    assert first.pixel_size == {"Y": 0.5, "X": 0.5}  # what the microscope wrote stands
    assert second.pixel_size == {"Y": 0.25, "X": 0.25} and second.notes == ("pixel size 0.25 um as the table says",)
    assert second.at(0.5).sizes["X"] == 20
    assert "pixel-size" not in {finding.code for finding in made.check().warnings}


def test_what_is_not_read_is_said_and_a_row_of_each_mends_it(tmp_path: Path) -> None:
    for name in "ab":
        hyperstack(tmp_path / f"{name}.tif", np.random.default_rng(ord(name)).integers(0, 9, STACK.shape).astype("u2"))
    made = Manifest.read(tmp_path)
    unread = [finding for finding in made.check().warnings if finding.code == "unread"]
    assert [finding.what for finding in unread] == [
        "2 files hold more than one time point, and only the first is read: 4 (2)",
        "2 files hold more than one plane, and only the first is read: 3 (2)"]
    assert "--each t" in unread[0].mend and unread[0].rows == ("a.tif", "b.tif")
    spread = made.each("t").each("z")
    assert len(spread) == 24 and spread.table["id"].is_unique
    assert spread.table["id"].iloc[4] == "a.tif#t1#z1" and spread.table["t"].tolist()[:4] == [0, 0, 0, 1]
    assert spread.table["group"].nunique() == 2  # time points of one film are no independent samples
    codes = {finding.code for finding in spread.check()}
    assert not codes & {"unread", "copies", "duplicate-ids"}
    assert spread.fingerprint() != made.fingerprint()
    again = Manifest.read(spread.write(tmp_path / "rows.csv"))
    np.testing.assert_array_equal(again.open(again.records()[-1]).crop(), spread.open(spread.records()[-1]).crop())
    assert spread.each("t").table.equals(spread.table)  # what is chosen stays chosen
    with pytest.raises(ManifestError, match="'time' does not count what a file holds") as caught:
        made.each("time")
    assert "t" in caught.value.mend


def test_rows_that_share_a_file_share_a_group(tmp_path: Path) -> None:
    hyperstack(tmp_path / "a.tif")
    hyperstack(tmp_path / "b.tif")
    made = Manifest.of_rows(pd.DataFrame({"image": ["a.tif"] * 2 + ["b.tif"] * 2, "t": [0, 1, 0, 1]}), tmp_path)
    assert made.origin["group"] == "inferred from files that several rows share (2 groups)"


def test_series_of_an_ome_tiff_are_rows_with_names_and_sizes_of_their_own(tmp_path: Path) -> None:
    planes = [STACK[0, 0], STACK[1, 0][:, :20]]
    with tifffile.TiffWriter(tmp_path / "a.ome.tif", ome=True) as file:
        for plane, um, names in zip(planes, (0.5, 0.25), (("DAPI", "GFP"), ("BF", "Cy5")), strict=True):
            file.write(plane, photometric="minisblack", metadata={
                "axes": "CYX", "PhysicalSizeX": um, "PhysicalSizeY": um, "Channel": {"Name": list(names)}})
    made = Manifest.read(tmp_path)
    assert [f.what for f in made.check().warnings if f.code == "unread"] == [
        "1 files hold more than one series, and only the first is read: 2 (1)"]
    spread = made.each("series")
    first, second = (spread.open(row) for row in spread.records())
    assert (first.channels, second.channels) == (("DAPI", "GFP"), ("BF", "Cy5"))
    assert (first.pixel_size, second.pixel_size) == ({"Y": 0.5, "X": 0.5}, {"Y": 0.25, "X": 0.25})
    np.testing.assert_array_equal(second[{}], planes[1])


def test_column_c_chooses_the_channel_by_name_or_number(tmp_path: Path) -> None:
    hyperstack(tmp_path / "a.tif")
    made = rows(tmp_path, c=["1", "channel1", None], t=[0, 1, 2])
    first, second, third = (made.open(row) for row in made.records())
    assert (first.axes, first.channels, second.channels) == ("ZYX", ("channel2",), ("channel1",))
    assert third.axes == "CZYX"
    np.testing.assert_array_equal(first.crop(z=1), STACK[0, 1, 1][None])
    np.testing.assert_array_equal(second.crop(z=1), STACK[1, 1, 0][None])
    assert made.table["id"].tolist() == ["a.tif#t0#c1", "a.tif#t1#cchannel1", "a.tif#t2"]
    wrong = rows(tmp_path, c=["channel3"])
    with pytest.raises(ImageError, match="there is no channel 'channel3'.*channel1, channel2"):
        wrong.open(wrong.records()[0])


def test_a_model_of_one_channel_sees_it_by_name_or_colour_as_grey(tmp_path: Path) -> None:
    Image.new("RGB", (8, 6), (200, 100, 50)).save(tmp_path / "a.png")
    made = Manifest.of_rows(pd.DataFrame({"image": ["a.png"]}), tmp_path)
    view = View.of(made, made.records()[0], Plan(channels=("grey",)))
    assert view.image.channels == ("grey",)
    np.testing.assert_allclose(view.image.crop(), 0.299 * 200 + 0.587 * 100 + 0.114 * 50, rtol=1e-6)
    np.testing.assert_allclose(view.image.crop()[0], Image.open(tmp_path / "a.png").convert("L"), atol=1)
    window = {"Y": slice(1, 4), "X": slice(0, 5)}
    np.testing.assert_array_equal(view.image.crop(window), view.image.crop()[:, 1:4, :5])
    pixels = np.arange(24).reshape(2, 3, 4)
    stained = images.Image.of(pixels, "CYX", channels=["DAPI", "phase"])
    np.testing.assert_array_equal(single(stained, "phase").crop(), pixels[1:])
    with pytest.raises(ImageError, match="2 channels .DAPI, phase., the model sees one, GFP"):
        single(stained, "GFP")
