"""Bad images, one by one: what is refused in which words, and what looks bad and is read as it was meant."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pandas as pd
import tifffile
from bad_case import Case
from PIL import Image as Pillow

from potency.data.image import Image
from potency.data.manifest import Manifest
from potency.data.readers import open_image

GREY = np.random.default_rng(0).integers(0, 4096, (48, 64)).astype("uint16")
COLOUR = np.random.default_rng(1).integers(0, 255, (48, 64, 3)).astype("uint8")
FIELD = np.random.default_rng(2).normal(0, 40, (24, 32))
AGAIN = "copy it again from where it was made"


def refused(item: str, given: str, write: Callable[[Path], object], says: str, mend: str, name: str = "a.tif") -> Case:
    """A file that `write` leaves behind, which must be refused when its pixels are asked for."""

    def do(folder: Path) -> str:
        write(folder / name)
        return described(open_image(folder / name), open_image(folder / name)[{}])

    return Case(item, given, do, says, mend, where=name)


def read(
    item: str, given: str, write: Callable[[Path], np.ndarray], says: str, name: str = "a.tif", off: int = 0
) -> Case:
    """A file that must be read as the array that `write` returns, but for `off` in each value."""

    def do(folder: Path) -> str:
        truth = write(folder / name)
        image = open_image(folder / name)
        pixels = image[{}]
        assert pixels.shape == truth.shape, given
        if off:
            assert np.abs(pixels.astype(int) - truth.astype(int)).max() <= off, given
        else:
            np.testing.assert_array_equal(pixels, truth, given)
        return described(image, pixels)

    return Case(item, given, do, says)


def described(image: Image, pixels: np.ndarray) -> str:
    size = "unknown" if image.pixel_size is None else f"{image.pixel_size['Y']:g} um"
    sides = " x ".join(map(str, pixels.shape))
    return "; ".join([f"read as {image.axes} {sides} {pixels.dtype}, pixel size {size}", *image.notes])


def tiff(array: np.ndarray, **options: Any) -> Callable[[Path], np.ndarray]:
    """Write an array as it is, and expect it back."""
    return lambda path: (tifffile.imwrite(path, array, **options), array)[1]


def data(content: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(content)


def cut(write: Callable[[Path], object], share: float = 0.5) -> Callable[[Path], object]:
    """The file that `write` leaves, without its end."""

    def half(path: Path) -> None:
        write(path)
        whole = path.read_bytes()
        path.write_bytes(whole[: int(share * len(whole))])

    return half


def last(array: np.ndarray) -> np.ndarray:
    """Colours first, as images are given out."""
    return np.ascontiguousarray(array.transpose(2, 0, 1))


# --------------------------------------------------------------------------------------------------- not a file at all


def linked(folder: Path) -> str:
    (folder / "archive").mkdir()
    tifffile.imwrite(folder / "archive" / "a.tif", GREY)
    (folder / "mine").symlink_to(folder / "archive")
    (folder / "b.tif").symlink_to(folder / "mine" / "a.tif")
    image = open_image(folder / "b.tif")
    np.testing.assert_array_equal(image[{}], GREY)
    return described(image, GREY)


def circle(folder: Path) -> None:
    for one, other in ("ab", "ba"):
        (folder / f"{one}.tif").symlink_to(folder / f"{other}.tif")
    open_image(folder / "a.tif")


def pipe(folder: Path) -> None:
    os.mkfifo(folder / "a.tif")
    open_image(folder / "a.tif")


PLACES = [
    Case("missing", "no file", lambda f: open_image(f / "a.tif")[{}], "there is no such file", "check the path"),
    Case("missing", "a folder that is no OME-Zarr", lambda f: open_image(f)[{}], "a folder, not an image",
         "name a file"),
    Case("remote path", "s3://bucket/a.tif", lambda _: open_image("s3://bucket/a.tif")[{}], "addresses are not read",
         "download the image", "s3://"),
    Case("symlinked", "a link to a file in a linked folder", linked, "read as YX 48 x 64 uint16"),
    Case("symlinked", "links in a circle", circle, "the path is a circle of links", "replace the link"),
    Case("symlinked", "a named pipe", pipe, "a device, not a file", "again from where it was made",
         needs="" if hasattr(os, "mkfifo") else "this system has no named pipes"),
]  # fmt: skip

# --------------------------------------------------------------------------------------- empty, cut short, mislabelled

SMOOTH = np.linspace(0, 250, 90 * 120 * 3).reshape(90, 120, 3).astype("uint8")
PNG, JPEG = imagecodecs.png_encode(COLOUR), imagecodecs.jpeg8_encode(COLOUR)


def damaged_tile(path: Path) -> None:
    tifffile.imwrite(path, GREY, compression="zlib", tile=(16, 16))
    content = bytearray(path.read_bytes())
    content[-600:-300] = b"\xff" * 300
    path.write_bytes(content)


FILES = [
    *(refused("zero bytes", f"{name}: 0 bytes", data(b""), "the file is empty (0 bytes)", "where it was made", name)
      for name in ("a.tif", "a.png", "a.npy")),
    refused("truncated", "a PNG without its end", data(PNG[: len(PNG) // 2]), "the file is cut short", AGAIN, "a.png"),
    refused("truncated", "a JPEG without its end", data(JPEG[: len(JPEG) // 2]), "the file is cut short", AGAIN,
            "a.jpg"),
    refused("truncated", "a TIFF without its end", cut(tiff(GREY)), "the file is cut short", "copy"),
    refused("truncated", "a stack of which half the pages are gone", cut(tiff(np.stack([GREY] * 8), metadata=None)),
            "the chain of pages breaks off", "copy the file again"),
    refused("truncated", "an array without its end", cut(lambda p: np.save(p, GREY)), "should fill 6144 bytes", AGAIN,
            "a.npy"),
    refused("truncated", "one damaged tile", damaged_tile, "the pixels cannot be decoded", "damaged"),
    read("wrong extension", "a TIFF named .png", tiff(GREY), "read as YX 48 x 64 uint16", "a.png"),
    read("wrong extension", "a PNG named .tif", lambda p: (p.write_bytes(PNG), last(COLOUR))[1],
         "read as CYX 3 x 48 x 64"),
    refused("wrong extension", "a table named .tif", data(b"file,label\na.png,stem\n"), "the content is text",
            "readable"),
    refused("wrong extension", "a web page named .png", data(b"<html>log in first</html>"), "HTML or XML", "readable",
            "a.png"),
    refused("wrong extension", "a pickle named .npy", data(b"\x80\x04\x95" + bytes(9)), "a Python pickle", "readable",
            "a.npy"),
    refused("wrong extension", "an array of Python objects", lambda p: np.save(p, np.array([[{}]], object)),
            "which could run code", "np.save", "a.npy"),
]  # fmt: skip

# ----------------------------------------------------------------------------------------------- values and their kinds


def strange(values: list[float], *, code: str) -> Callable[[Path], str]:
    """Four images, one of which holds these values: what `check` finds."""

    def do(folder: Path) -> str:
        for number in range(4):
            np.save(folder / f"{number}.npy", np.random.default_rng(number).random((9, 9), np.float32))
        pixels = np.full((9, 9), values[0], np.float32)
        pixels[0, : len(values)] = values
        np.save(folder / "2.npy", pixels)
        table = pd.DataFrame({"image": [f"{n}.npy" for n in range(4)], "truth": [*"abab"], "group": [*"xyyx"]})
        findings = Manifest.of_rows(table, folder).check()
        found = next(each for each in (*findings.faults, *findings.warnings) if each.code == code)
        assert found.rows == ("2.npy",)
        return f"{'fault' if found in findings.faults else 'warning'} of check: {found.what}"

    return do


def array(values: np.ndarray) -> Callable[[Path], np.ndarray]:
    return lambda path: (np.save(path, values), values)[1]


def packed(path: Path) -> np.ndarray:
    path.write_bytes(imagecodecs.png_encode(GREY))
    return GREY


VALUES = [
    Case("NaN, inf, constant", "pixels that are no number", strange([0.5, np.nan], code="not-finite"),
         "fault of check: 1 images hold pixels that are no number"),
    Case("NaN, inf, constant", "infinite pixels", strange([0.5, np.inf], code="not-finite"), "or infinite"),
    Case("NaN, inf, constant", "an image of one value", strange([0.5], code="constant"), "1 images are of one value"),
    read("1x1, 1xN", "one pixel", tiff(GREY[:1, :1]), "read as YX 1 x 1 uint16"),
    read("1x1, 1xN", "one row", tiff(GREY[:1], compression="zlib"), "read as YX 1 x 64 uint16"),
    read("1x1, 1xN", "one column", array(GREY[:, :1]), "read as YX 48 x 1 uint16", "a.npy"),
    read("12-in-16", "12 bits in a PNG of 16", packed, "read as YX 48 x 64 uint16", "a.png"),
    read("signed", "16 bits with a sign", tiff(FIELD.astype("i2")), "int16"),
    read("float64", "64-bit floats", tiff(FIELD), "float64"),
    read("bool", "a mask", lambda p: tiff(FIELD > 0)(p).astype("uint8"), "uint8"),
    refused("complex", "complex numbers", tiff(GREY.astype("complex64")), "the pixels are complex", "save magnitudes"),
    read("big-endian", "16 bits, big end first", tiff(GREY, byteorder=">"), "read as YX 48 x 64 uint16"),
]  # fmt: skip

# ------------------------------------------------------------------------------------------------- colours and layouts


def pictured(mode: str) -> Callable[[Path], np.ndarray]:
    """COLOUR in a colour model of Pillow's, and what Pillow makes of it."""

    def write(path: Path) -> np.ndarray:
        picture = Pillow.fromarray(COLOUR).convert(mode)
        picture.save(path)
        return last(np.asarray(picture.convert("RGB")))

    return write


def deep_colour(path: Path) -> np.ndarray:
    deep = COLOUR.astype("uint16") * 250
    path.write_bytes(imagecodecs.png_encode(deep))
    return last(deep)


def jpeg_tiles(path: Path) -> np.ndarray:
    tifffile.imwrite(path, SMOOTH, bigtiff=True, tile=(32, 48), compression="jpeg", photometric="rgb")
    return last(tifffile.imread(path))


LAYOUTS = [
    read("planar", "colours one after the other", tiff(last(COLOUR), photometric="rgb", planarconfig="separate"),
         "read as CYX 3 x 48 x 64 uint8"),
    read("CMYK, palette, RGBA", "CMYK", pictured("CMYK"), "CMYK converted to RGB", off=1),
    read("CMYK, palette, RGBA", "a palette", pictured("P"), "palette expanded to RGB", "a.png"),
    read("CMYK, palette, RGBA", "RGB with alpha", pictured("RGBA"), "alpha dropped", "a.png"),
    read("16-bit RGB", "16-bit RGB in a PNG", deep_colour, "read as CYX 3 x 48 x 64 uint16", "a.png"),
    read("BigTIFF", "a BigTIFF", tiff(GREY, bigtiff=True), "read as YX 48 x 64 uint16"),
    read("tiled JPEG-in-TIFF", "JPEG tiles in a BigTIFF", jpeg_tiles, "read as CYX 3 x 90 x 120 uint8"),
    refused("colour models, compressions", "JPEG XR", tiff(COLOUR, compression="jpegxr", photometric="rgb"),
            "compressed as JPEG XR are not read", "save it with another compression"),
    refused("colour models, compressions", "CIELAB", tiff(COLOUR, photometric="cielab"), "model CIELAB is not read",
            "grey or RGB"),
]  # fmt: skip
CASES = [*PLACES, *FILES, *VALUES, *LAYOUTS]
