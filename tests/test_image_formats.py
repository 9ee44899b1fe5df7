"""What files say about themselves: colour models, physical size, channel names, pages of unknown meaning."""

from __future__ import annotations

import io
import os
import struct
import zlib
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image as Pillow

from potency.data.readers import open_image
from potency.errors import ImageError

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 4096, (48, 64)).astype("uint16")
COLOUR = RNG.integers(0, 255, (48, 64, 3)).astype("uint8")
BANDS = ("red", "green", "blue")


# ------------------------------------------------------------------------------------------------------------- colours


MODES = {
    "png": ("L", "LA", "P", "RGB", "RGBA"),
    "tif": ("L", "LA", "P", "RGB", "RGBA", "CMYK"),
    "bmp": ("L", "P", "RGB"),
}


@pytest.mark.parametrize(("suffix", "mode"), [(suffix, mode) for suffix, modes in MODES.items() for mode in modes])
def test_colour_models_are_grey_or_rgb_as_pillow_sees_them(tmp_path: Path, mode: str, suffix: str) -> None:
    picture = Pillow.fromarray(COLOUR).convert(mode)
    path = tmp_path / f"a.{suffix}"
    picture.save(path)
    image = open_image(path)
    grey = mode in ("L", "LA")
    expected = np.asarray(picture.convert("L" if grey else "RGB"))
    assert image.channels == (("grey",) if grey else BANDS)
    assert image.dtype == np.uint8
    error = image.crop().transpose(1, 2, 0).squeeze().astype(int) - expected
    assert np.abs(error).max() <= (1 if mode == "CMYK" else 0)
    note = {"LA": "alpha dropped", "RGBA": "alpha dropped", "P": "palette expanded", "CMYK": "CMYK converted"}.get(mode)
    assert note is None or any(note in said for said in image.notes)
    np.testing.assert_array_equal(image[{"Y": slice(5, 9), "X": slice(7, 20)}], image[{}][..., 5:9, 7:20])


def test_one_colour_of_a_converted_image_can_be_read_alone(tmp_path: Path) -> None:
    for mode in ("P", "CMYK", "RGBA"):
        Pillow.fromarray(COLOUR).convert(mode).save(tmp_path / "a.tif")
        image = open_image(tmp_path / "a.tif")
        np.testing.assert_array_equal(image[{"C": slice(1, 2)}], image[{}][1:2])


def test_cmyk_jpeg(tmp_path: Path) -> None:
    smooth = np.linspace(0, 255, 48 * 64 * 3).reshape(48, 64, 3).astype("uint8")
    picture = Pillow.fromarray(smooth).convert("CMYK")
    picture.save(tmp_path / "a.jpg", quality=95)
    image = open_image(tmp_path / "a.jpg")
    with Pillow.open(tmp_path / "a.jpg") as theirs:
        expected = np.asarray(theirs.convert("RGB")).transpose(2, 0, 1)
    assert image.notes == ("CMYK converted to RGB",)
    assert np.abs(image[{}].astype(int) - expected).max() <= 1


def test_sixteen_bit_colour_png(tmp_path: Path) -> None:
    truth = RNG.integers(0, 65_535, (20, 30, 3)).astype("uint16")
    (tmp_path / "a.png").write_bytes(imagecodecs.png_encode(truth))
    image = open_image(tmp_path / "a.png")
    assert (image.axes, image.dtype, image.channels) == ("CYX", np.uint16, BANDS)
    np.testing.assert_array_equal(image[{}], truth.transpose(2, 0, 1))


def test_a_display_palette_of_imagej_is_not_an_rgb_image(tmp_path: Path) -> None:
    truth = GREY.astype("uint8")
    table = np.zeros((3, 256), "uint16")
    table[1] = np.arange(256) * 257  # the green lookup table of a fluorescence channel
    tifffile.imwrite(tmp_path / "a.tif", truth, imagej=True, colormap=table)
    image = open_image(tmp_path / "a.tif")
    assert (image.axes, image.notes) == ("YX", ("display palette ignored",))
    np.testing.assert_array_equal(image[{}], truth)


def test_four_samples_without_alpha_stay_four_channels(tmp_path: Path) -> None:
    truth = RNG.integers(0, 255, (32, 48, 4)).astype("uint8")
    tifffile.imwrite(tmp_path / "a.tif", truth, photometric="rgb", extrasamples=["unspecified"])
    np.testing.assert_array_equal(open_image(tmp_path / "a.tif")[{}], truth.transpose(2, 0, 1))


def test_jpeg_in_tiff(tmp_path: Path) -> None:
    smooth = np.linspace(0, 255, 128 * 160 * 3).reshape(128, 160, 3).astype("uint8")
    tifffile.imwrite(tmp_path / "a.tif", smooth, tile=(64, 64), compression="jpeg", photometric="rgb")
    image = open_image(tmp_path / "a.tif")
    assert (image.axes, image.channels) == ("CYX", BANDS)
    np.testing.assert_allclose(image[{}].astype(int), smooth.transpose(2, 0, 1), atol=3)
    np.testing.assert_array_equal(image[{"X": slice(60, 70)}], image[{}][:, :, 60:70])


def test_planar_tiles_of_big_endian_bigtiff(tmp_path: Path) -> None:
    truth = RNG.integers(0, 65_535, (3, 100, 90)).astype("uint16")
    options = {"photometric": "rgb", "planarconfig": "separate", "tile": (32, 32), "compression": "lzw"}
    tifffile.imwrite(tmp_path / "a.tif", truth, bigtiff=True, byteorder=">", predictor=True, **options)
    image = open_image(tmp_path / "a.tif")
    np.testing.assert_array_equal(image[{"C": slice(1, 3), "Y": slice(30, 70)}], truth[1:3, 30:70])


def test_channels_of_rgb_samples_become_one_axis(tmp_path: Path) -> None:
    truth = RNG.integers(0, 255, (2, 32, 48, 3)).astype("uint8")
    meta = {"axes": "CYXS", "Channel": {"Name": ["bright", "stained"]}}
    tifffile.imwrite(tmp_path / "a.ome.tif", truth, photometric="rgb", metadata=meta)
    image = open_image(tmp_path / "a.ome.tif")
    assert (image.axes, image.shape) == ("CYX", (6, 32, 48))
    assert image.channels[3:] == ("stained.red", "stained.green", "stained.blue")
    np.testing.assert_array_equal(image[{"C": slice(2, 5)}], truth.transpose(0, 3, 1, 2).reshape(6, 32, 48)[2:5])


# ------------------------------------------------------------------------------------------------------- physical size


@pytest.mark.parametrize(
    ("unit", "resolution", "um"),
    [
        ("micron", (2.0, 2.0), 0.5),
        ("um", (4.0, 4.0), 0.25),
        ("\\u00B5m", (4.0, 4.0), 0.25),
        ("nm", (0.002, 0.002), 0.5),
        ("mm", (2000.0, 2000.0), 0.5),
        ("pixel", (1.0, 1.0), None),
        ("inch", (300.0, 300.0), None),
        ("parsec", (1.0, 1.0), None),
    ],
)
def test_imagej_units(tmp_path: Path, unit: str, resolution: tuple[float, float], um: float | None) -> None:
    tifffile.imwrite(tmp_path / "a.tif", GREY, imagej=True, resolution=resolution, metadata={"unit": unit})
    found = open_image(tmp_path / "a.tif").pixel_size
    assert found == (None if um is None else pytest.approx({"Y": um, "X": um}))


@pytest.mark.parametrize(
    ("size", "unit", "um"),
    [
        (0.65, "µm", 0.65),
        (650, "nm", 0.65),
        (6500, "Å", 0.65),
        (0.00065, "mm", 0.65),
        (0, "µm", None),
        (-0.65, "µm", None),
        (1, "pixel", None),
        (1, "reference frame", None),
        (25, "mm", None),
    ],
)
def test_ome_units(tmp_path: Path, size: float, unit: str, um: float | None) -> None:
    meta = {f"PhysicalSize{axis}": size for axis in "XY"} | {f"PhysicalSize{axis}Unit": unit for axis in "XY"}
    tifffile.imwrite(tmp_path / "a.ome.tif", GREY, metadata={"axes": "YX", **meta})
    found = open_image(tmp_path / "a.ome.tif").pixel_size
    assert found == (None if um is None else pytest.approx({"Y": um, "X": um}))


@pytest.mark.parametrize(
    ("resolution", "unit", "um"),
    [
        ((72, 72), "INCH", None),
        ((300, 300), "INCH", None),
        ((1, 1), "NONE", None),
        ((0, 0), "CENTIMETER", None),
        ((20_000, 20_000), "CENTIMETER", 0.5),
        ((50_800, 50_800), "INCH", 0.5),
    ],
)
def test_print_resolutions_are_no_pixel_size(
    tmp_path: Path, resolution: tuple[int, int], unit: str, um: float | None
) -> None:
    tifffile.imwrite(tmp_path / "a.tif", GREY, resolution=resolution, resolutionunit=unit, metadata=None)
    found = open_image(tmp_path / "a.tif").pixel_size
    assert found == (None if um is None else pytest.approx({"Y": um, "X": um}))


@pytest.mark.parametrize(("per_metre", "um"), [(2835, None), (11_811, None), (2_000_000, 0.5)])
def test_png_physical_size(tmp_path: Path, per_metre: int, um: float | None) -> None:
    stream = io.BytesIO()
    Pillow.fromarray(COLOUR).save(stream, "PNG")
    chunk = b"pHYs" + struct.pack(">IIB", per_metre, per_metre, 1)
    data = stream.getvalue()
    with_size = data[:33] + struct.pack(">I", 9) + chunk + struct.pack(">I", zlib.crc32(chunk)) + data[33:]
    (tmp_path / "a.png").write_bytes(with_size)
    image = open_image(tmp_path / "a.png")
    assert image.pixel_size == (None if um is None else pytest.approx({"Y": um, "X": um}))
    np.testing.assert_array_equal(image.crop().transpose(1, 2, 0), COLOUR)


@pytest.mark.parametrize(
    ("how", "seconds"),
    [
        ({"ome": True, "metadata": {"axes": "TYX", "TimeIncrement": 10, "TimeIncrementUnit": "min"}}, 600),
        ({"ome": True, "metadata": {"axes": "TYX", "TimeIncrement": 2.5}}, 2.5),
        ({"imagej": True, "metadata": {"axes": "TYX", "finterval": 30}}, 30),
        ({"imagej": True, "metadata": {"axes": "TYX", "finterval": 2, "tunit": "h"}}, 7200),
        ({"imagej": True, "metadata": {"axes": "TYX", "finterval": 2, "tunit": "frames"}}, None),
        ({"imagej": True, "metadata": {"axes": "TYX"}}, None),
    ],
)
def test_the_time_between_frames(tmp_path: Path, how: dict[str, Any], seconds: float | None) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((5, 8, 9), "uint8"), photometric="minisblack", **how)
    assert open_image(tmp_path / "a.tif").interval == seconds


# -------------------------------------------------------------------------------------------- pages of unknown meaning


@pytest.mark.parametrize(
    ("shape", "pages", "axes"),
    [
        ((9, 20, 30), None, "TYX"),
        ((3, 20, 30), None, "CYX"),
        ((9, 20, 30), "Z", "ZYX"),
        ((9, 20, 30), "C", "CYX"),
        ((9, 3, 20, 30), None, "TCYX"),
        ((9, 7, 20, 30), None, "TZYX"),
    ],
)
@pytest.mark.parametrize("suffix", ["tif", "npy"])
def test_pages_without_a_meaning(
    tmp_path: Path, shape: tuple[int, ...], pages: str | None, axes: str, suffix: str
) -> None:
    truth = RNG.integers(0, 255, shape).astype("uint8")
    path = tmp_path / f"a.{suffix}"
    if suffix == "tif":
        tifffile.imwrite(path, truth, photometric="minisblack")
    else:
        np.save(path, truth)
    image = open_image(path, pages=pages)
    assert image.axes == axes
    words = {"T": "times (T)", "Z": "planes (Z)", "C": "channels (C)"}
    for n, axis in zip(shape, axes[:-2], strict=False):
        assert f"{n} pages of unknown meaning read as {words[axis]}" in image.notes
    np.testing.assert_array_equal(image[{}], truth)


def test_arrays_with_colours_last(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", COLOUR)
    image = open_image(tmp_path / "a.npy")
    assert (image.axes, image.channels) == ("CYX", BANDS)
    np.testing.assert_array_equal(image[{"C": slice(2, 3)}][0], COLOUR[..., 2])


def test_wrong_word_for_pages(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="pages cannot be 'time'"):
        open_image(tmp_path / "a.npy", pages="time")


def test_only_the_first_series_is_read_and_said(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        file.write(GREY)
        file.write(COLOUR, photometric="rgb")
    image = open_image(tmp_path / "a.tif")
    assert image.notes == ("the first of 2 series is read",)
    np.testing.assert_array_equal(image[{}], GREY)


# --------------------------------------------------------------------------------------------------------- real images


@pytest.mark.parametrize(
    "folder",
    ["classify/jurkat_ifc_cellcycle", "classify/tcell_autofluor", "classify/mitocheck_nuclei16", "classify/wbc5_tecom"]
    + ["classify/bf_293a_ht1080", "segment/dsb2018", "segment/usiigaci_phase", "count/bccd", "hcs/nf1_cellpainting"]
    + ["track/fluo_n2dl_hela", "tissue/consep", "restore/isl_transmitted_to_fluo"],
)
def test_real_images_read_as_pillow_or_tifffile_read_them(folder: str) -> None:
    root = os.environ.get("POTENCY_DATA")
    if not root:
        pytest.skip("POTENCY_DATA names no folder of real images")
    paths = sorted(p for s in ("png", "jpg", "tif") for p in (Path(root) / folder).rglob(f"*.{s}"))
    assert paths
    for path in paths[:: max(1, len(paths) // 12)]:
        image = open_image(path)
        if path.suffix == ".tif":
            expected = tifffile.imread(path)
        else:
            with Pillow.open(path) as theirs:
                plain = theirs.mode in ("L", "I;16", "I")
                expected = np.asarray(theirs if plain else theirs.convert("RGB"))
        expected = np.atleast_3d(expected).transpose(2, 0, 1)
        np.testing.assert_array_equal(image.crop(), expected)
