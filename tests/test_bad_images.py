"""Every bad image file gets its own message: what is wrong, where, and how to mend it; nothing else is raised."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image as Pillow
from refused_images import refuse, write

from potency.data.readers import npy, open_image
from potency.errors import ImageError

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 4096, (64, 80)).astype("uint16")
COLOUR = RNG.integers(0, 255, (64, 80, 3)).astype("uint8")


# --------------------------------------------------------------------------------------------------- not a file at all


@pytest.mark.skipif(getattr(os, "geteuid", lambda: 0)() == 0, reason="root, or this system, may read everything")
def test_forbidden(tmp_path: Path) -> None:
    write(tmp_path / "a.png", b"x").chmod(0)
    refuse(tmp_path / "a.png", "may not be read", mend="allow this user")


def test_address_and_impossible_paths() -> None:
    for where, words in (
        ("s3://bucket/a.tif", "addresses are not read"),
        ("a\0b.png", "cannot be opened: embedded null"),
        ("a" * 5000, "cannot be opened"),
    ):
        with pytest.raises(ImageError, match=words):
            open_image(where)


def test_paths_with_spaces_and_unicode(tmp_path: Path) -> None:
    folder = tmp_path / "Zürich 2026" / "細胞 #1 %20"
    folder.mkdir(parents=True)
    for name, save in (("a b.tif", tifffile.imwrite), ("é.npy", np.save)):
        save(folder / name, GREY)
        np.testing.assert_array_equal(open_image(folder / name)[{}], GREY)
    write(folder / "ß (1).png", imagecodecs.png_encode(GREY))
    np.testing.assert_array_equal(open_image(str(folder / "ß (1).png"))[{}], GREY)


# --------------------------------------------------------------------------------------------- mislabelled and foreign


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"file,label\na.png,stem\n", "the content is text, not an image"),
        (b"<html>log in first</html>", "the content is HTML or XML, not an image"),
        (b"PK\x03\x04" + bytes(50), "the content is a zip archive"),
        (b"RIFF" + bytes(50), "the content is an AVI or WAV file"),
        (b"\x80\x04\x95" + bytes(9), "the content is a Python pickle"),
        (bytes(range(256)), "the content is no image that can be read"),
    ],
)
@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.npy"])
def test_other_content(tmp_path: Path, data: bytes, words: str, name: str) -> None:
    refuse(write(tmp_path / name, data), words, mend="readable are .tif")


# ----------------------------------------------------------------------------------------------------------- cut short


@pytest.mark.parametrize("keep", [8, 20, 33, 100, 0.5, -20, -10])
def test_cut_png(tmp_path: Path, keep: float) -> None:
    data = imagecodecs.png_encode(COLOUR)
    cut = data[: int(keep * len(data))] if 0 < keep < 1 else data[: int(keep)]
    refuse(write(tmp_path / "a.png", cut), "the file is cut short", mend="copy it again")


@pytest.mark.parametrize("keep", [3, 12, 100, 0.5, -2])
def test_cut_jpeg(tmp_path: Path, keep: float) -> None:
    data = imagecodecs.jpeg8_encode(COLOUR)
    cut = data[: int(keep * len(data))] if 0 < keep < 1 else data[: int(keep)]
    refuse(write(tmp_path / "a.jpg", cut), "the file is cut short", mend="copy it again")


@pytest.mark.parametrize("options", [{}, {"compression": "zlib", "tile": (16, 16)}, {"compression": "lzw"}])
@pytest.mark.parametrize("keep", [4, 12, 100, 200, 0.5, -1])
def test_cut_tiff(tmp_path: Path, keep: float, options: dict[str, Any]) -> None:
    tifffile.imwrite(tmp_path / "a.tif", GREY, **options)
    data = (tmp_path / "a.tif").read_bytes()
    cut = data[: int(keep * len(data))] if 0 < keep < 1 else data[: int(keep)]
    with pytest.raises(ImageError, match="cut short|the file lists 0") as caught:
        open_image(write(tmp_path / "a.tif", cut))
    assert "copy" in caught.value.mend


def test_cut_stack_is_not_a_shorter_stack(tmp_path: Path) -> None:
    pages = RNG.integers(0, 255, (8, 64, 80)).astype("uint8")
    for name, options in (("plain.tif", {"metadata": None}), ("ij.tif", {"imagej": True}), ("a.ome.tif", {})):
        path = tmp_path / name
        tifffile.imwrite(path, pages, photometric="minisblack", **options)
        whole = path.read_bytes()
        assert open_image(path).shape == (8, 64, 80)
        with pytest.raises(ImageError) as caught:
            open_image(write(path, whole[: len(whole) // 2]))[{}]
        assert any(words in caught.value.what for words in ("cut short", "fewer planes", "pages are there"))


def test_damaged_pixels(tmp_path: Path) -> None:
    png = bytearray(imagecodecs.png_encode(COLOUR))
    png[len(png) // 2] ^= 255
    refuse(write(tmp_path / "a.png", bytes(png)), "the pixels cannot be decoded: IDAT: CRC error", mend="damaged")
    tifffile.imwrite(tmp_path / "a.tif", GREY, compression="zlib", tile=(16, 16))
    tiff = bytearray((tmp_path / "a.tif").read_bytes())
    tiff[-600:-300] = b"\xff" * 300
    refuse(write(tmp_path / "a.tif", bytes(tiff)), "the pixels cannot be decoded", mend="damaged")


def test_cut_npy(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", GREY)
    data = (tmp_path / "a.npy").read_bytes()
    refuse(write(tmp_path / "a.npy", data[:-1]), "the file is cut short: (64, 80) uint16 should fill 10240 bytes")
    refuse(write(tmp_path / "a.npy", data[:20]), "the header cannot be decoded: EOF")


# ------------------------------------------------------------------------------------------------------- wrong content


def test_complex_numbers(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", GREY.astype("complex64"))
    np.save(tmp_path / "a.npy", GREY.astype("complex128"))
    for name in ("a.tif", "a.npy"):
        refuse(tmp_path / name, "the pixels are complex", mend="save magnitudes")


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.zeros((4, 4), [("a", "i4")]), "not plain numbers"),
        (np.zeros((4, 4), "U3"), "not plain numbers"),
        (np.zeros(5), "an array of 1 axes is no image"),
        (np.zeros((0, 5)), "hold no picture"),
        (np.zeros((2,) * 6), "an array of 6 axes is no image"),
    ],
)
def test_arrays_that_are_no_image(tmp_path: Path, array: np.ndarray, words: str) -> None:
    np.save(tmp_path / "a.npy", array)
    refuse(tmp_path / "a.npy", words)


def test_colour_models_that_are_not_read(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", COLOUR, photometric="cielab")
    refuse(tmp_path / "a.tif", "the colour model CIELAB is not read", mend="grey or RGB")
    Pillow.fromarray(COLOUR).convert("RGBA").save(tmp_path / "a.bmp")
    refuse(tmp_path / "a.bmp", "a BMP of 32 bits a pixel is not read", mend="save it as PNG")


def test_too_many_unnamed_axes(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((2, 5, 3, 6, 8, 9), "uint8"), photometric="minisblack")
    refuse(tmp_path / "a.tif", "are more than TCZYX", mend="one position")


def test_an_image_may_not_reach_into_other_folders(tmp_path: Path) -> None:
    for folder in ("mine", "other"):
        (tmp_path / folder).mkdir()
    tifffile.imwrite(tmp_path / "other" / "secret.ome.tif", GREY)
    with tifffile.TiffFile(tmp_path / "other" / "secret.ome.tif") as file:
        xml = str(file.ome_metadata)
    name = '<UUID FileName="../other/secret.ome.tif">urn:uuid:1</UUID>'
    body = xml[: xml.index("<TiffData")] + f'<TiffData IFD="0" PlaneCount="1">{name}</TiffData></Pixels></Image></OME>'
    tifffile.imwrite(tmp_path / "mine" / "a.tif", GREY, description=body, metadata=None)
    refuse(tmp_path / "mine" / "a.tif", "lies in another folder", mend="into one folder")
    (tmp_path / "other" / "secret.ome.tif").unlink()
    np.testing.assert_array_equal(open_image(tmp_path / "mine" / "a.tif")[{}], GREY)


def test_parts_of_one_image_may_lie_in_the_same_folder(tmp_path: Path) -> None:
    stack = RNG.integers(0, 255, (2, 40, 48)).astype("uint8")
    ids = ["urn:uuid:1", "urn:uuid:2"]
    data = "".join(
        f'<TiffData IFD="0" FirstZ="{z}" PlaneCount="1"><UUID FileName="z{z}.ome.tif">{ids[z]}</UUID></TiffData>'
        for z in range(2)
    )
    sizes = 'SizeX="48" SizeY="40" SizeC="1" SizeZ="2" SizeT="1" Type="uint8" PhysicalSizeX="0.5" PhysicalSizeY="0.5"'
    for z in range(2):
        root = f'<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" UUID="{ids[z]}">'
        xml = f'{root}<Image><Pixels DimensionOrder="XYZCT" {sizes}>{data}</Pixels></Image></OME>'
        tifffile.imwrite(tmp_path / f"z{z}.ome.tif", stack[z], description=xml, metadata=None)
    image = open_image(tmp_path / "z0.ome.tif")
    assert (image.axes, image.pixel_size) == ("ZYX", {"Y": 0.5, "X": 0.5})
    np.testing.assert_array_equal(image[{"X": slice(5, 9)}], stack[:, :, 5:9])
    (tmp_path / "z1.ome.tif").unlink()
    refuse(tmp_path / "z0.ome.tif", "1 of 2 pages are there", mend="other files that are missing")


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("kind", ["u1", "<u2", ">u2", "<i4", "<f4", ">f8", "?"])
def test_headers_of_arrays_are_read_as_numpy_reads_them(tmp_path: Path, kind: str, order: str) -> None:
    for shape in ((7, 5), (3, 8, 9), (2, 3, 12, 11)):
        array = np.asarray(np.random.default_rng(0).integers(0, 2, shape), kind, order=order)
        np.save(tmp_path / "a.npy", array)
        with (tmp_path / "a.npy").open("rb") as file:
            version = np.lib.format.read_magic(file)
            start = file.tell()
            ours, end = npy.described(file, version), file.tell()
            file.seek(start)
            assert ours == np.lib.format.read_array_header_1_0(file)
            assert end == file.tell()


def test_a_header_written_by_another_program_is_read(tmp_path: Path) -> None:
    text = b"{'shape':(4,5),'fortran_order':False,'descr':'<u2'}\n"
    head = b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text
    (tmp_path / "a.npy").write_bytes(head + np.arange(20, dtype="<u2").tobytes())
    assert open_image(tmp_path / "a.npy").crop().sum() == 190
