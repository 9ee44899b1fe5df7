"""File names as microscopes write them: recognised, made into columns, channels put together, oddities said."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Picture

from potency.data.manifest import Manifest
from potency.data.names import PATTERNS, own, recognise
from potency.errors import ImageError, ManifestError

GUID = "0A1B2C3D-0000-4111-8222-ABCDEF012345"


def written(folder: Path, *files: str) -> Path:
    for number, file in enumerate(files):
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(number).integers(0, 255, (12, 12), dtype=np.uint8)
        Picture.fromarray(pixels).save(folder / file, "TIFF" if file.lower().endswith(("tif", "tiff")) else None)
    return folder


@pytest.mark.parametrize("pattern", PATTERNS, ids=lambda pattern: pattern.name)
def test_each_pattern_recognises_its_example_and_no_other_is_asked_before(pattern: object) -> None:
    named = recognise([pattern.example], "", Path())  # type: ignore[attr-defined]
    assert named is not None and named.pattern == pattern.name  # type: ignore[attr-defined]


@pytest.mark.parametrize(("file", "columns"), [
    ("P7__2024-05-02T10_11_12-Measurement 1/Images/r02c12f03p01-ch2sk5fk1fl1.tiff",
     {"plate": "P7", "measurement": "2024-05-02T10_11_12-Measurement 1", "well": "B12", "field": "03", "z": 1,
      "channel": "ch2", "timepoint": 5}),
    (f"TimePoint_3/ZStep_2/screen 4_H01_s12_w2{GUID}.TIF",
     {"plate": "screen 4", "well": "H01", "field": "12", "z": 2, "channel": "w2", "timepoint": 3}),
    ("screen_4_H01_w1.tif", {"plate": "screen_4", "well": "H01", "channel": "w1"}),
    ("P7_B03_T0004F002L01A01Z03C02.tif",
     {"plate": "P7", "well": "B03", "timepoint": 4, "field": "002", "z": 3, "channel": "C02"}),
    ("SkBr3_Phase_H3_2_02d06h30m_4.tif",
     {"cell_line": "SkBr3", "channel": "Phase", "well": "H03", "field": "2", "time": 54.5, "crop": "4"}),
    ("vessel_12_Green_A1_1_00d00h00m.tif", {"cell_line": "vessel_12", "channel": "Green", "well": "A01", "time": 0.0}),
    ("P7_B3_site04.png", {"plate": "P7", "well": "B03", "field": "04"}),
    ("B3_s2_t5_z1_GFP.tif", {"well": "B03", "field": "2", "timepoint": 5, "z": 1, "channel": "GFP"}),
    ("donor1_plate2_C11_1_17.jpg", {"plate": "donor1_plate2", "well": "C11", "field": "1", "crop": "17"}),
])
def test_names_become_columns(file: str, columns: dict[str, object]) -> None:
    named = recognise([file], "", Path())
    assert named is not None
    row = named.frame.iloc[0]
    assert {name: row[name] for name in columns} == columns


@pytest.mark.parametrize("file", ["stem/well A1.png", "IMG_2041.tif", "cell_17.png", "Z9_1.tif", "A25_1.tif",
                                  "a1_3.tif", "Anaphase/e1_Anaphase_CP0001_r00c00.png", "293A/293A-000000.j-1-1.jpg"])
def test_other_names_are_left_alone(file: str) -> None:
    assert recognise([file], "", Path()) is None


def test_channels_in_separate_files_become_one_image(tmp_path: Path) -> None:
    files = [f"P7_{well}_s{site}_w{channel}{GUID[:-1]}{channel}.TIF" for well in ("A01", "A02", "B01", "B02")
             for site in (1, 2) for channel in (1, 2)]
    written(tmp_path, *files, f"P7_A01_s1_w1_thumb{GUID}.TIF")
    made = Manifest.read(tmp_path)
    assert made.origin["file names"] == "ImageXpress: 1 plate, 4 wells, 2 sites, 2 channels"
    assert len(made) == 8 and made.channels == ("w1", "w2") and made.origin["truth"] == "none"
    assert made.origin["group"] == "inferred from file names: well (4 groups)"
    image = made.open(made.records()[0])
    assert image.channels == ("w1", "w2") and image.shape == (2, 12, 12)
    with Picture.open(tmp_path / files[1]) as second:
        np.testing.assert_array_equal(image.crop()[1], np.asarray(second))
    turned = Manifest.read(tmp_path, channels=("w2", "w1"))
    np.testing.assert_array_equal(turned.open(turned.records()[0]).crop(), image.crop()[::-1])
    assert Manifest.read(tmp_path, channels=("w2",)).open(turned.records()[0]).channels == ("w2",)
    assert not made.check().faults


def test_an_image_that_lacks_a_channel_is_a_fault_and_its_row_says_so(tmp_path: Path) -> None:
    written(tmp_path, *(f"P_A0{well}_s1_w{channel}.tif" for well in (1, 2, 3) for channel in (1, 2)))
    (tmp_path / "P_A02_s1_w2.tif").unlink()
    made = Manifest.read(tmp_path)
    assert len(made) == 3
    with pytest.raises(ImageError, match="there is no such file") as caught:
        made.open(made.records()[1])
    assert caught.value.where.endswith("P_A02_s1_w1.tif: there is no file of channel w2")
    assert [fault.code for fault in made.check().faults] == ["unreadable"]


def test_folders_are_plates_where_wells_recur_and_classes_where_they_do_not(tmp_path: Path) -> None:
    names = [f"X_A0{well}_s1_w1.tif" for well in (1, 2, 3)]
    plates = Manifest.read(written(tmp_path / "p", *(f"day{day}/{name}" for day in (1, 2) for name in names)))
    assert "truth" not in plates.table and plates.table["plate"].tolist() == ["day1"] * 3 + ["day2"] * 3
    assert plates.origin["file names"] == "ImageXpress: 2 plates, 6 wells, 1 site, 1 channel"
    assert plates.origin["group"].startswith("inferred from file names: plate (2 groups)")
    sorted_ = Manifest.read(written(tmp_path / "c", f"stem/{names[0]}", f"stem/{names[1]}", f"neuron/{names[2]}"))
    assert sorted_.classes == ("neuron", "stem") and sorted_.table["well"].tolist() == ["A03", "A01", "A02"]
    cells = [f"{name}/P_A01_s1_{cell}.png" for name in ("stem", "neuron") for cell in (1, 2)]
    crops = Manifest.read(written(tmp_path / "k", *cells))  # single cells, numbered anew in each class
    assert crops.classes == ("neuron", "stem") and len(crops) == 4
    alone = Manifest.read(written(tmp_path / "one", *(f"screen/{name}" for name in names)))
    assert "truth" not in alone.table  # one folder above all is no class


def test_a_split_and_a_class_above_the_pattern(tmp_path: Path) -> None:
    files = [f"livecell/{part}/{line}/{line}_Phase_A{well}_1_00d0{hour}h00m_1.tif" for part in ("train", "val")
             for line, well in (("A172", 1 + (part == "val")), ("BV2", 3 + (part == "val"))) for hour in (0, 4)]
    made = Manifest.read(written(tmp_path, *files))
    assert made.classes == ("A172", "BV2") and sorted(set(made.table["split"])) == ["train", "validation"]
    assert sorted(set(made.table["time"])) == [0.0, 4.0]
    assert made.origin["file names"].startswith("Incucyte: 4 wells, 1 site, 1 channel, 2 time points, 2 cell lines")
    assert made.origin["group"].startswith("inferred from file names: well (4 groups)")  # a line is its own class


def test_clock_times_are_hours_since_the_first(tmp_path: Path) -> None:
    times = ("2019y03m12d_22h30m", "2019y03m13d_01h00m")
    made = Manifest.read(written(tmp_path, *(f"hESC_Phase_B2_1_{time}.png" for time in times)))
    assert made.table["time"].tolist() == [0.0, 2.5]
    assert made.table["date"].tolist() == ["2019y03m12d", "2019y03m13d"]


def test_the_most_independent_level_of_names_is_the_group(tmp_path: Path) -> None:
    files = [f"donor{donor}_plate{plate}_A01_{site}.png" for donor in (1, 2) for plate in (1, 2) for site in (1, 2)]
    made = Manifest.read(written(tmp_path, *files))
    assert made.origin["group"].startswith("inferred from file names: donor (2 groups); also seen: plate (4)")


def test_nearly_all_is_enough_and_what_does_not_fit_is_said(tmp_path: Path) -> None:
    files = [f"P_A{well:02d}_s{site}_w1.tif" for well in range(1, 11) for site in (1, 2)]
    made = Manifest.read(written(tmp_path, *files, "overview.tif"))
    assert len(made) == 20
    odd = [finding for finding in made.check(pixels=False).warnings if finding.code == "names"]
    assert odd[0].what == "1 of 21 file names do not fit ImageXpress and are left out"
    assert odd[0].where == "overview.tif" and "--names" in odd[0].mend
    written(tmp_path, "overview2.tif")
    unsure = Manifest.read(tmp_path)
    assert len(unsure) == 22 and "file names" not in unsure.origin
    assert len(Manifest.read(tmp_path, names="ImageXpress")) == 20
    (tmp_path / "overview.tif").unlink()
    assert "file names" not in Manifest.read(tmp_path, names="none").origin


def test_a_regular_expression_of_ones_own(tmp_path: Path) -> None:
    files = [f"D{day}/{well}_01_{number}_{site}_{channel}_001.png" for day in (1, 2)
             for well, site in (("D7", 1), ("F7", 2)) for number, channel in ((1, "DAPI"), (2, "GFP"))]
    written(tmp_path, *files)
    regex = r"D(?P<day>\d)/(?P<well>[A-P]\d+)_01_\d_(?P<field>\d)_(?P<channel>[A-Z]+)_"
    made = Manifest.read(tmp_path, names=regex)
    assert len(made) == 4 and made.channels == ("DAPI", "GFP") and sorted(set(made.table["day"])) == ["1", "2"]
    assert made.origin["file names"] == "your pattern: 2 wells, 2 sites, 2 channels, 2 days"
    with pytest.raises(ManifestError, match="leaves files alike: it finds the same in two names") as caught:
        Manifest.read(tmp_path, names=r"D\d/(?P<channel>[A-Z])")
    assert "D1/D7_01_1_1_DAPI_001.png and D1/D7_01_2_1_GFP_001.png" in caught.value.where
    assert caught.value.mend == "add a named group for what differs between them"


@pytest.mark.parametrize(("asked", "what", "mend"), [
    ("Imagexpres", "'Imagexpres' is no pattern of file names", "did you mean 'ImageXpress'?; or a regular expression"),
    ("(?P<well>[A", "'(?P<well>[A' is no regular expression", "unterminated"),
    ("Opera", "Opera fits none of 1 file names", "it fits names like P7__2024"),
    ("(?P<day>day\\d)", "your pattern fits none of 1 file names", "compare it with this name"),
])
def test_a_pattern_that_cannot_be_used_says_why(tmp_path: Path, asked: str, what: str, mend: str) -> None:
    with pytest.raises(ManifestError, match=re.escape(what)) as caught:
        Manifest.read(written(tmp_path, "P_A01_s1_w1.tif"), names=asked)
    assert mend in caught.value.mend


def test_a_channel_that_no_name_has_is_named(tmp_path: Path) -> None:
    written(tmp_path, "P_A01_s1_w1.tif", "P_A01_s1_w2.tif")
    with pytest.raises(ManifestError, match="no parallel files for the channels w1, w3"):
        Manifest.read(tmp_path, channels=("w1", "w3"))


def test_parallel_channel_folders_are_no_plates(tmp_path: Path) -> None:
    written(tmp_path, *(f"{channel}/A0{well}_1.tif" for channel in ("brightfield", "darkfield") for well in (1, 2)))
    with pytest.raises(ManifestError, match="look like channels"):
        Manifest.read(tmp_path)
    made = Manifest.read(tmp_path, channels=("brightfield", "darkfield"))
    assert made.channels == ("brightfield", "darkfield") and made.table["well"].tolist() == ["A01", "A02"]


def test_a_table_keeps_its_columns_and_gains_those_of_its_names_when_asked(tmp_path: Path) -> None:
    written(tmp_path, "P_A01_1.tif", "P_B02_1.tif")
    (tmp_path / "labels.csv").write_text("file,label,plate\nP_A01_1.tif,x,007\nP_B02_1.tif,y,007\n")
    assert "well" not in Manifest.read(tmp_path).table
    made = Manifest.read(tmp_path, names="plate_well_site")
    assert made.table["well"].tolist() == ["A01", "B02"] and made.table["plate"].tolist() == ["007", "007"]


INDEX = """<?xml version="1.0"?><EvaluationInputData xmlns="http://www.perkinelmer.com/PEHH/HarmonyV6">
<Maps><Map><Entry ChannelID="1"><ChannelName>HOECHST 33342</ChannelName>
<ImageResolutionX Unit="m">6.5E-07</ImageResolutionX></Entry><Entry ChannelID="2"><ChannelName>Alexa 488</ChannelName>
<ImageResolutionX Unit="m">6.5E-07</ImageResolutionX></Entry></Map></Maps><Images>{}</Images></EvaluationInputData>"""


def opera(folder: Path) -> Path:
    names = [(f"r01c0{well}f01p01-ch{channel}sk{time}fk1fl1.tiff", channel, time) for well in (1, 2) for time in (1, 2)
             for channel in (1, 2)]
    written(folder, *(f"P7__m1/Images/{name}" for name, _, _ in names))
    images = "".join(f"<Image><URL>{name}</URL><ChannelID>{channel}</ChannelID>"
                     f'<MeasurementTimeOffset Unit="s">{5400 * (time - 1) + channel}</MeasurementTimeOffset></Image>'
                     for name, channel, time in names)
    (folder / "P7__m1/Images/Index.idx.xml").write_text(INDEX.format(images))
    return folder


def test_the_index_of_an_opera_names_channels_times_and_pixel_size(tmp_path: Path) -> None:
    made = Manifest.read(opera(tmp_path))
    how = "Opera: 1 plate, 2 wells, 1 site, 2 channels, 2 time points, 1 plane, 1 measurement"
    assert made.origin["file names"] == how
    assert made.channels == ("Alexa 488", "HOECHST 33342") and len(made) == 4
    assert made.table["time"].round(2).tolist() == [0.0, 1.5, 0.0, 1.5] and made.table["well"].iloc[-1] == "A02"
    assert made.open(made.records()[0]).pixel_size == pytest.approx({"Y": 0.65, "X": 0.65})
    assert "pixel-size" not in {finding.code for finding in made.check().warnings}
    index = tmp_path / "P7__m1/Images/Index.idx.xml"
    for damaged in (index.read_text()[:300], '<?xml version="1.0" encoding="nobody"?><a/>'):
        index.write_text(damaged)
        with pytest.raises(ManifestError, match="the index of the plate cannot be read") as caught:
            Manifest.read(tmp_path)
        assert caught.value.where == str(index) and "take it away" in caught.value.mend
    index.unlink()
    assert Manifest.read(tmp_path).channels == ("ch1", "ch2")


def test_names_of_patterns_are_known_in_any_case() -> None:
    assert own("opera").name == "Opera"


def test_the_page_of_names_lists_every_pattern() -> None:
    page = (Path(__file__).parents[1] / "docs" / "names.md").read_text("utf-8")
    for pattern in PATTERNS:
        assert f"| {pattern.name} | `{pattern.example}` |" in page
