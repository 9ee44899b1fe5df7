"""Images made to harm: headers that claim what is not there, pieces that unpack to more than they say, circles."""

from __future__ import annotations

import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from bad_images import COLOUR, JPEG, data, refused
from bad_metadata import zarred


def png_of(width: int, height: int) -> bytes:
    """A PNG whose header may claim anything."""

    def chunk(name: bytes, inside: bytes) -> bytes:
        return struct.pack(">I", len(inside)) + name + inside + struct.pack(">I", zlib.crc32(name + inside))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(9999))) + chunk(b"IEND", b"")


def jpeg_of(side: int) -> bytes:
    content = bytearray(JPEG)
    at = content.index(b"\xff\xc0")
    content[at + 5 : at + 9] = struct.pack(">HH", side, side)
    return bytes(content)


def retagged(options: dict[str, Any], **tags: int) -> Callable[[Path], object]:
    """A TIFF of 64 x 64 zeros whose tags say something else."""

    def write(path: Path) -> None:
        tifffile.imwrite(path, np.zeros((64, 64), "uint8"), metadata=None, **options)
        with tifffile.TiffFile(path, mode="r+") as file:
            for tag, value in tags.items():
                file.pages[0].tags[tag].overwrite(value)

    return write


def overfull_strip(path: Path) -> None:
    """A strip of 4 KiB whose data unpack to 256 MiB."""
    tifffile.imwrite(path, np.zeros((64, 64), "uint8"), compression="zlib", metadata=None)
    end, blob = path.stat().st_size, zlib.compress(bytes(2**28))
    with tifffile.TiffFile(path, mode="r+") as file:
        for tag, value in {"StripOffsets": end, "StripByteCounts": len(blob)}.items():
            file.pages[0].tags[tag].overwrite(value)
    with path.open("ab") as file:
        file.write(blob)


def jpeg_tile(path: Path) -> None:
    tifffile.imwrite(path, COLOUR, tile=(64, 64), compression="jpeg", photometric="rgb")
    content = bytearray(path.read_bytes())
    at = content.index(b"\xff\xc0")
    content[at + 5 : at + 9] = struct.pack(">HH", 65_500, 65_500)
    path.write_bytes(content)


def circled(path: Path) -> None:
    """Two pages, the second of which names the first as the next."""
    tifffile.imwrite(path, np.zeros((2, 4, 4), "uint8"), metadata=None, photometric="minisblack")
    with tifffile.TiffFile(path) as file:
        first, second = (page.offset for page in file.pages)
    content = bytearray(path.read_bytes())
    struct.pack_into("<I", content, second + 2 + 12 * struct.unpack_from("<H", content, second)[0], first)
    path.write_bytes(content)


def zipped(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("a.tif", bytes(10**7))


def bare(path: Path, chunk: int) -> None:
    import zarr

    zarr.create_array(path, dtype="u1", shape=(10**6, 10**6), chunks=(chunk, chunk))


HUGE = {"ImageWidth": 100_000, "ImageLength": 100_000}
CASES = [
    refused("bomb", "a PNG of 100,000 x 100,000 in 105 bytes", data(png_of(100_000, 100_000)), "9.3 GiB to decode",
            "tiled TIFF or OME-Zarr", "a.png"),
    refused("bomb", "a PNG of 20,000 x 20,000 in 105 bytes", data(png_of(20_000, 20_000)), "bytes can hold",
            "a decompression bomb", "a.png"),
    refused("bomb", "a JPEG that says 65,500 x 65,500", data(jpeg_of(65_500)), "12.0 GiB to decode", "tiled TIFF",
            "a.jpg"),
    refused("bomb", "a JPEG that says 20,000 x 20,000", data(jpeg_of(20_000)), "bytes can hold", "bomb", "a.jpg"),
    refused("bomb", "a TIFF in one strip of 100,000 x 100,000",
            retagged({"compression": "zlib"}, **HUGE, RowsPerStrip=10**5), "pieces of 9.3 GiB", "a bomb"),
    refused("bomb", "a TIFF of 100,000 x 100,000 whose tiles are not there",
            retagged({"compression": "zlib", "tile": (16, 16)}, **HUGE), "in 39062500 pieces, the file lists 16",
            "copy"),
    refused("bomb", "a TIFF strip that unpacks to 256 MiB", overfull_strip, "the pixels cannot be decoded", "damaged"),
    refused("bomb", "a JPEG tile in a TIFF that says 65,500 x 65,500", jpeg_tile, "a JPEG tile claims 65500 x 65500",
            "bomb"),
    refused("bomb", "a zip archive named .tif", zipped, "the content is a zip archive", "readable are"),
    refused("bomb", "TIFF pages chained in a circle", circled, "the pages are chained in a circle", "export it again"),
    refused("bomb", "a zarr of 10^6 x 10^6", lambda p: bare(p, 1024), "931.3 GiB of memory", "smaller", "a.zarr"),
    refused("bomb", "a zarr in one chunk of 10^6 x 10^6", lambda p: bare(p, 10**6),
            "would unpack to 931.3 GiB each", "chunks of some megabytes", "a.zarr"),
    refused("bomb", "a zarr that reaches into another folder", lambda p: zarred(p, levels=("../b.zarr/0",)),
            "the header cannot be decoded", "damaged", "a.zarr"),
]  # fmt: skip
