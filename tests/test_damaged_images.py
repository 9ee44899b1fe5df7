"""Images made to harm, damaged OME-Zarr folders and random damage: refused in words, never anything worse."""

from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from refused_images import refuse, write

from potency.data.readers import open_image

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 4096, (64, 80)).astype("uint16")
COLOUR = RNG.integers(0, 255, (64, 80, 3)).astype("uint8")


# --------------------------------------------------------------------------------------------------------------- bombs


def png_of(width: int, height: int, colour: int = 0) -> bytes:
    """Make a PNG whose header may claim anything."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(9999))) + chunk(b"IEND", b"")


def test_a_png_of_no_pixels_or_no_known_colours(tmp_path: Path) -> None:
    bomb = tmp_path / "a.png"
    refuse(write(bomb, png_of(0, 5)), "the header claims 0 x 5 pixels", mend="export the image again")
    refuse(write(bomb, png_of(5, 5, colour=7)), "damaged in its header")


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("to", [0, 3, 120])
def test_pages_in_a_circle_end(tmp_path: Path, big: bool, to: int) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.zeros((130, 4, 4), "uint8"), metadata=None, photometric="minisblack", bigtiff=big)
    assert open_image(path).shape == (130, 4, 4)
    with tifffile.TiffFile(path) as file:
        offsets = [page.offset for page in file.pages]
    data = bytearray(path.read_bytes())
    count, entry, width = ("<Q", 20, "<Q") if big else ("<H", 12, "<I")
    end = offsets[-1] + struct.calcsize(count) + entry * struct.unpack_from(count, data, offsets[-1])[0]
    struct.pack_into(width, data, end, offsets[to])
    refuse(write(path, bytes(data)), "the pages are chained in a circle", mend="export it again")


# ---------------------------------------------------------------------------------------------------------------- zarr


def ome_zarr(path: Path, version: int, **changes: Any) -> Path:
    import zarr

    group = zarr.open_group(path, mode="w", zarr_format=version)
    array = group.create_array("0", shape=(50, 70), dtype="u2", chunks=(16, 16))
    array[:] = np.arange(1, 3501).reshape(50, 70)
    facts = {"multiscales": [{"axes": [{"name": "y"}, {"name": "x"}], "datasets": [{"path": "0"}]}]} | changes
    facts = {key: value for key, value in facts.items() if value is not None}
    group.attrs.update(facts if version == 2 else {"ome": facts})
    return path


def chunk_of(path: Path, version: int) -> Path:
    return path / "0" / ("1.2" if version == 2 else "c/1/2")


@pytest.mark.parametrize("version", [2, 3])
def test_corrupt_and_missing_chunks(tmp_path: Path, version: int) -> None:
    path = ome_zarr(tmp_path / "a.zarr", version)
    whole = open_image(path)[{}]
    chunk_of(path, version).write_bytes(b"garbage!")
    # Of blosc (zarr 2) the nonsense is read as a length.
    words = "a chunk of 8 bytes unpacks to more than 64 MiB" if version == 2 else "the pixels cannot be decoded"
    refuse(path, words, mend="again")
    refuse(path, words, part={"Y": slice(20, 21), "X": slice(40, 41)})
    np.testing.assert_array_equal(open_image(path)[{"Y": slice(0, 16)}], whole[:16])
    chunk_of(path, version).unlink()  # a chunk that was never written is its fill value, says the format
    holed = open_image(path)[{}]
    assert (holed[16:32, 32:48] == 0).all()
    np.testing.assert_array_equal(holed[:16], whole[:16])


@pytest.mark.parametrize("version", [2, 3])
def test_damaged_zarr_metadata(tmp_path: Path, version: int) -> None:
    path = ome_zarr(tmp_path / "a.zarr", version)
    facts = path / "0" / (".zarray" if version == 2 else "zarr.json")
    facts.write_text(facts.read_text()[:40])
    refuse(path, "the header cannot be decoded")
    facts.unlink()
    refuse(path, "the level '0' of the OME-Zarr is missing", mend="copy the whole folder again")
    root = path / (".zattrs" if version == 2 else "zarr.json")
    root.write_text("{")
    refuse(path, "the header cannot be decoded")


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize(
    ("changes", "words", "mend"),
    [
        ({"multiscales": None}, "describes no image (it holds 0)", "write it as OME-Zarr"),
        ({"multiscales": None, "plate": {"wells": [{"path": "B/3"}]}}, "a plate of images", os.path.join("B/3", "0")),
        ({"multiscales": None, "bioformats2raw.layout": 3}, "a collection of images", "open one of them"),
        ({"multiscales": [{"axes": ["y", "x"], "datasets": []}]}, "lists no levels", "copy"),
        ({"multiscales": [{"axes": ["c", "y", "x"], "datasets": [{"path": "0"}]}]}, "axes CYX do not fit", "axes"),
        ({"multiscales": [{"axes": ["y", "x"], "datasets": [{"path": "../b.zarr/0"}]}]}, "'.' or '..'", "damaged"),
    ],
)
def test_zarr_folders_that_are_no_image(
    tmp_path: Path, version: int, changes: dict[str, Any], words: str, mend: str
) -> None:
    ome_zarr(tmp_path / "b.zarr", version)
    refuse(ome_zarr(tmp_path / "a.zarr", version, **changes), words, mend=mend)


