"""Images: windows, reading only what a window touches, types of numbers."""

from __future__ import annotations

import io
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image as Pillow

from potency.data.image import Image
from potency.data.readers import open_image, tiffpages
from potency.errors import ImageError

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 4096, (64, 80)).astype("uint16")
COLOUR = RNG.integers(0, 255, (64, 80, 3)).astype("uint8")


# ---------------------------------------------------------------------------------------------------- the image itself


def test_windows_follow_numpy() -> None:
    image = Image.of(GREY, "YX")
    np.testing.assert_array_equal(image[{"Y": slice(-9, None)}], GREY[-9:])
    np.testing.assert_array_equal(image[{"X": slice(70, 999)}], GREY[:, 70:])
    np.testing.assert_array_equal(image[{"Z": slice(0, 1), "C": slice(None)}], GREY)


@pytest.mark.parametrize(
    ("window", "words"),
    [
        ({"Y": slice(64, 70)}, "window Y=64:70 lies outside of the 64 pixels"),
        ({"X": slice(9, 3)}, "window X=9:3 lies outside"),
        ({"Y": slice(0, 9, 2)}, "has a step"),
        ({"Q": slice(0, 1)}, "'Q' is no axis"),
        ({"Z": slice(1, 2)}, "window Z=1:2 lies outside of the 1 pixels"),
    ],
)
def test_windows_that_are_refused(window: dict[str, slice], words: str) -> None:
    with pytest.raises(ImageError, match=words.replace("(", r"\(")) as caught:
        Image.of(GREY, "YX", name="cell 7")[window]
    assert caught.value.where == "cell 7"


def test_a_window_beyond_memory_is_refused(tmp_path: Path) -> None:
    np.lib.format.open_memmap(tmp_path / "huge.npy", "w+", "uint8", (80_000, 80_000))  # sparse: takes no disk
    image = open_image(tmp_path / "huge.npy")
    with pytest.raises(ImageError, match="would need 6.0 GiB of memory"):
        image[{}]
    assert image[{"Y": slice(0, 3), "X": slice(79_000, None)}].shape == (3, 1000)


def test_of_takes_axes_in_any_order() -> None:
    image = Image.of(COLOUR, "YXC", pixel_size={"Y": 0.5, "X": 0.5, "Z": 0}, channels=("red", "green", "blue"))
    assert (image.axes, image.shape, image.pixel_size) == ("CYX", (3, 64, 80), {"Y": 0.5, "X": 0.5})
    np.testing.assert_array_equal(image.crop(), COLOUR.transpose(2, 0, 1))


@pytest.mark.parametrize(
    ("array", "axes", "words"),
    [
        (GREY, "YXC", "axes 'YXC' do not fit"),
        (GREY, "YZ", "axes 'YZ' do not fit"),
        (GREY[:0], "YX", "has no pixels"),
        (GREY.astype("complex64"), "YX", "the pixels are complex"),
        (np.array([[None]]), "YX", "not plain numbers"),
    ],
)
def test_of_refuses(array: np.ndarray, axes: str, words: str) -> None:
    with pytest.raises(ImageError, match=words):
        Image.of(array, axes)


def test_of_refuses_wrong_channel_names() -> None:
    with pytest.raises(ImageError, match="2 channel names for 1 channels"):
        Image.of(GREY, "YX", channels=("a", "b"))


def test_crop_picks_time_and_plane() -> None:
    truth = RNG.integers(0, 9, (3, 2, 4, 8, 9))
    image = Image.of(truth, "TCZYX")
    np.testing.assert_array_equal(image.crop({"X": slice(2, 5)}, t=2, z=1), truth[2, :, 1, :, 2:5])
    np.testing.assert_array_equal(image.crop(t=-1, z=-1), truth[-1, :, -1])
    with pytest.raises(ImageError, match="window T=3:4 lies outside of the 3 pixels"):
        image.crop(t=3)
    with pytest.raises(ImageError, match="window Z=1:2 lies outside"):
        Image.of(GREY, "YX").crop(z=1)


@pytest.mark.parametrize("size", [0, -0.5, float("nan"), float("inf"), 5000, 1e-9, None])
def test_absurd_pixel_sizes_are_unknown(size: float | None) -> None:
    assert Image.of(GREY, "YX", pixel_size=size).pixel_size is None


# ---------------------------------------------------------------------------------------- only what the window touches


def count_bytes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Count what the TIFF reader reads from its file."""
    counts: list[int] = []

    class Counting(io.FileIO):
        def read(self, size: int | None = -1) -> bytes:
            data = super().read(size)
            counts.append(len(data))
            return data

    monkeypatch.setattr(tiffpages, "builtins", SimpleNamespace(open=Counting))
    return counts


def test_a_window_of_a_tiled_tiff_reads_one_tile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    truth = RNG.integers(0, 60_000, (512, 512)).astype("uint16")
    path = tmp_path / "tiled.tif"
    tifffile.imwrite(path, truth, tile=(64, 64), compression="zlib")
    image = open_image(path)
    counts = count_bytes(monkeypatch)
    window = {"Y": slice(130, 190), "X": slice(200, 250)}
    np.testing.assert_array_equal(image[window], truth[130:190, 200:250])
    assert len(counts) == 1
    assert sum(counts) < path.stat().st_size / 50
    counts.clear()
    image[{"Y": slice(60, 70), "X": slice(60, 70)}]
    assert len(counts) == 4


def test_a_window_of_a_striped_tiff_reads_its_strips(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    truth = RNG.integers(0, 60_000, (3, 512, 100)).astype("uint16")
    path = tmp_path / "strips.tif"
    tifffile.imwrite(
        path, truth, rowsperstrip=16, compression="zlib", photometric="minisblack", metadata={"axes": "ZYX"}
    )
    image = open_image(path)
    counts = count_bytes(monkeypatch)
    np.testing.assert_array_equal(image[{"Z": slice(1, 2), "Y": slice(100, 120)}], truth[1:2, 100:120])
    assert len(counts) == 2


def test_damage_elsewhere_does_not_reach_a_window(tmp_path: Path) -> None:
    path = tmp_path / "tiled.tif"
    tifffile.imwrite(path, np.arange(65_536, dtype="uint16").reshape(256, 256), tile=(64, 64), compression="zlib")
    with tifffile.TiffFile(path) as file:
        offsets, lengths = file.pages[0].dataoffsets, file.pages[0].databytecounts
    data = bytearray(path.read_bytes())
    for offset, length in zip(offsets[1:], lengths[1:], strict=True):
        data[offset : offset + length] = b"\xff" * length
    path.write_bytes(data)
    assert open_image(path)[{"Y": slice(0, 64), "X": slice(0, 64)}][1, 1] == 257
    with pytest.raises(ImageError, match="the pixels cannot be decoded"):
        open_image(path)[{}]


@pytest.mark.parametrize("version", [2, 3])
def test_a_window_of_a_zarr_reads_its_chunks(tmp_path: Path, version: int, monkeypatch: pytest.MonkeyPatch) -> None:
    import zarr
    from zarr.storage import LocalStore

    array = zarr.create_array(
        tmp_path / "a.zarr", shape=(256, 256), chunks=(32, 32), dtype="u2", zarr_format=version, fill_value=0
    )
    truth = RNG.integers(1, 60_000, (256, 256)).astype("uint16")
    array[:] = truth
    image = open_image(tmp_path / "a.zarr")
    read: list[str] = []
    get = LocalStore.get

    async def counted(self: LocalStore, key: str, *args: Any, **kwargs: Any) -> Any:
        read.append(key)
        return await get(self, key, *args, **kwargs)

    monkeypatch.setattr(LocalStore, "get", counted)
    np.testing.assert_array_equal(image[{"Y": slice(33, 60), "X": slice(1, 30)}], truth[33:60, 1:30])
    assert len(read) == 1
    image[{"Y": slice(20, 40), "X": slice(20, 40)}]
    assert len(read) == 5


def test_opening_keeps_no_file_open(tmp_path: Path) -> None:
    folder = Path("/proc/self/fd")
    if not folder.exists():
        pytest.skip("this system does not list open files")
    for name in ("a.tif", "a.png"):
        Pillow.fromarray(COLOUR).save(tmp_path / name)
    np.save(tmp_path / "a.npy", GREY)
    before = len(os.listdir(folder))
    images = [open_image(tmp_path / name) for name in ("a.tif", "a.png", "a.npy")]
    arrays = [image[{"Y": slice(0, 4)}] for image in images]
    assert len(os.listdir(folder)) == before
    assert len(arrays) == 3


def test_parts_of_a_png_decode_it_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.png").write_bytes(imagecodecs.png_encode(GREY))
    image = open_image(tmp_path / "a.png")
    for start in range(0, 64, 16):
        np.testing.assert_array_equal(image[{"Y": slice(start, start + 16)}], GREY[start : start + 16])
        monkeypatch.setattr(image.pixels, "decode", None)


# ---------------------------------------------------------------------------------------------------- types of numbers

TYPES = ["u1", "i1", "u2", "i2", "u4", "i4", "i8", "f2", "f4", "f8", ">u2", ">i4", ">f4", ">f8"]


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_tiff_of_any_number(tmp_path: Path, dtype: str, compression: str | None) -> None:
    truth = RNG.normal(scale=40, size=(40, 32)).astype(dtype)
    order = ">" if dtype.startswith(">") else "<"
    tifffile.imwrite(tmp_path / "a.tif", truth, byteorder=order, compression=compression)
    image = open_image(tmp_path / "a.tif")
    assert image.dtype == truth.dtype.newbyteorder("=")
    np.testing.assert_array_equal(image[{"X": slice(3, 9)}], truth[:, 3:9])


@pytest.mark.parametrize("dtype", TYPES)
def test_npy_of_any_number(tmp_path: Path, dtype: str) -> None:
    truth = RNG.normal(scale=40, size=(6, 40, 32)).astype(dtype)
    np.save(tmp_path / "a.npy", truth)
    image = open_image(tmp_path / "a.npy")
    assert image.dtype == truth.dtype.newbyteorder("=")
    np.testing.assert_array_equal(image[{}], truth)


def test_masks_read_as_zero_and_one(tmp_path: Path) -> None:
    mask = GREY > 2000
    tifffile.imwrite(tmp_path / "a.tif", mask)
    tifffile.imwrite(tmp_path / "packed.tif", mask, compression="packbits", photometric="minisblack")
    np.save(tmp_path / "a.npy", mask)
    Pillow.fromarray(mask).save(tmp_path / "a.png")
    for name in ("a.tif", "packed.tif", "a.npy", "a.png"):
        image = open_image(tmp_path / name)
        assert image.dtype == np.uint8
        np.testing.assert_array_equal(image[{}], mask.astype("uint8"))


def test_twelve_bits_in_sixteen(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(imagecodecs.png_encode(GREY))
    image = open_image(tmp_path / "a.png")
    assert image.dtype == np.uint16
    assert image[{}].max() == GREY.max() < 4096


def test_nan_and_infinity_are_read(tmp_path: Path) -> None:
    truth = np.array([[np.nan, np.inf], [-np.inf, 1]], "float32")
    tifffile.imwrite(tmp_path / "a.tif", truth)
    np.testing.assert_array_equal(open_image(tmp_path / "a.tif")[{}], truth)


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1)])
def test_tiny_images_are_images(tmp_path: Path, shape: tuple[int, int]) -> None:
    truth = np.arange(np.prod(shape), dtype="uint8").reshape(shape)
    tifffile.imwrite(tmp_path / "a.tif", truth)
    tifffile.imwrite(tmp_path / "c.tif", truth, compression="zlib")
    np.save(tmp_path / "a.npy", truth)
    Pillow.fromarray(truth).save(tmp_path / "a.png")
    for name in ("a.tif", "c.tif", "a.npy", "a.png"):
        image = open_image(tmp_path / name)
        assert (image.axes, image.shape) == ("YX", shape)
        np.testing.assert_array_equal(image.crop()[0], truth)
    assert Image.of(truth, "YX", pixel_size=1.0).at(50.0)[{}].shape == (1, 1)


@pytest.mark.parametrize("suffix", ["tif", "png", "npy"])
def test_links_to_files_and_folders_are_read(tmp_path: Path, suffix: str) -> None:
    (tmp_path / "archive").mkdir()
    pixels = np.arange(64, dtype=np.uint8).reshape(8, 8)
    path = tmp_path / "archive" / f"a.{suffix}"
    writers = {"tif": tifffile.imwrite, "png": lambda p, a: Pillow.fromarray(a).save(p), "npy": np.save}
    writers[suffix](path, pixels)
    (tmp_path / "mine").symlink_to(tmp_path / "archive")
    (tmp_path / f"link.{suffix}").symlink_to(path)
    for link in (tmp_path / "mine" / f"a.{suffix}", tmp_path / f"link.{suffix}"):
        np.testing.assert_array_equal(open_image(link).crop()[0], pixels)
