"""Images made to harm: headers that claim what is not there, pieces that unpack to more than they say, circles."""

from __future__ import annotations

import gzip
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from bad_images import COLOUR, JPEG, data, read, refused
from bad_metadata import zarred
from example_images import EXAMPLES
from PIL import Image as Pillow


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


def inside(sign: bytes, write: Callable[[Path], object], off: int, value: bytes) -> Callable[[Path], object]:
    """A file in which, `off` bytes behind the first such sign, something else stands."""

    def spoil(path: Path) -> None:
        write(path)
        content = bytearray(path.read_bytes())
        at = content.index(sign) + off
        content[at : at + len(value)] = value
        path.write_bytes(content)

    return spoil


def tiled(array: np.ndarray, compression: str) -> Callable[[Path], object]:
    return lambda path: tifffile.imwrite(path, array, tile=(16, 16), compression=compression, photometric="minisblack")


lerc_tile = inside(b"Lerc2 ", tiled(COLOUR[..., 0], "lerc"), 14, struct.pack("<i", 10**9))
jpeg2000_tile = inside(b"\xff\x4f\xff\x51", tiled(COLOUR[..., 0], "jpeg2000"), 8, struct.pack(">II", 2**30, 2**30))
overlong = inside(b"BM", lambda path: Pillow.fromarray(COLOUR[:20, :30]).save(path), 18, struct.pack("<II", 286, 53))
endless_lif = inside(b"\x70\0\0\0", EXAMPLES["lif"][0], 9, struct.pack("<I", 2**32 - 1))


def endless_nd2(path: Path) -> np.ndarray:
    """The chunk is read to the end of the file, and what it means stands at its beginning."""
    spoil = inside(b"\xda\xce\xbe\x0a\xe8", EXAMPLES["nd2"][0], 8, struct.pack("<Q", 2**60))
    spoil(path)
    return EXAMPLES["nd2"][0](path.with_name("sound.nd2")).truth


def chunk(version: int, name: str, content: bytes) -> Callable[[Path], object]:
    """An array of 48 x 64, one chunk of which is something else."""

    def write(path: Path) -> None:
        import numcodecs
        from zarr import codecs

        newer = {"gzip": codecs.GzipCodec, "blosc": codecs.BloscCodec, "zstd": codecs.ZstdCodec}[name]
        zarred(path, version, compressors=newer() if version == 3 else numcodecs.get_codec({"id": name}))
        (path / "0" / ("c/1/2" if version == 3 else "1.2")).write_bytes(content)

    return write


GZIP = gzip.compress(bytes(2**20)) * 65
BLOSC = bytes([2, 1, 0x21, 2]) + struct.pack("<III", 2**31 - 1, 2**20, 64) + bytes(48)
RLE = (2**17 << 3 | 1 << 1).to_bytes(3, "little") + b"\0"  # a block of 131,072 zeros in four bytes
ZSTD = b"\x28\xb5\x2f\xfd\0\x58" + RLE * 600
CHUNKS = [(version, name, size, content) for version in (2, 3) for name, size, content in (
    ("gzip", "65 MiB", GZIP), ("blosc", "2 GiB", BLOSC), ("zstd", "75 MiB", ZSTD))]  # fmt: skip


def crowd(path: Path) -> None:
    import zarr

    zarr.create_array(path, dtype="u1", shape=(2**24, 8, 8), chunks=(1, 8, 8), dimension_names=("c", "y", "x"))


def empty(path: Path) -> None:
    import zarr

    zarr.create_array(path, dtype="u1", shape=(10**4, 10**4), chunks=(10, 10))[:20, :20] = 1


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
    refused("bomb", "a TIFF of 100,000 x 100,000 in 4 KB", retagged({}, **HUGE, RowsPerStrip=10**5),
            "the file is cut short: its pixels should reach byte 100000", "copy"),
    refused("bomb", "a TIFF of 100,000 x 100,000 whose strips are not there", retagged({"compression": "zlib"}, **HUGE),
            "in 1563 pieces, the file lists 1", "copy"),
    refused("bomb", "a TIFF of 100,000 x 100,000 whose tiles are not there",
            retagged({"compression": "zlib", "tile": (16, 16)}, **HUGE), "in 39062500 pieces, the file lists 16",
            "copy"),
    refused("bomb", "a TIFF strip that unpacks to 256 MiB", overfull_strip, "the pixels cannot be decoded", "damaged"),
    refused("bomb", "a JPEG tile in a TIFF that says 65,500 x 65,500", jpeg_tile, "a tile claims 65500 x 65500",
            "bomb"),
    refused("bomb", "a LERC tile in a TIFF that says 10^9 rows", lerc_tile, "a tile claims 16 x 1000000000", "a bomb"),
    refused("bomb", "a JPEG 2000 tile in a TIFF that says 2^30 x 2^30", jpeg2000_tile, "a tile claims 1073741824 x",
            "a bomb"),
    *(refused("bomb", f"a zarr {version} chunk of {name} that unpacks to {size}", chunk(version, name, content),
              "bytes unpacks to more than 64 MiB", "a bomb", "a.zarr") for version, name, size, content in CHUNKS),
    refused("bomb", "a zarr of 16 million channels", crowd, "an image of 16777216 channels", "named wrongly", "a.zarr"),
    refused("bomb", "a zarr of 10^6 chunks, 4 of which are there", empty, "claims 1000000 chunks and holds 4",
            "copy it again; or read it in smaller windows", "a.zarr"),
    refused("bomb", "a BMP of 286 x 53 pixels in 2 KB", overlong, "the file is cut short", "copy it again", "a.bmp"),
    read("bomb", "an ND2 whose chunk says it is 2^60 bytes long", endless_nd2, "read as TCZYX 3 x 4 x 2", "a.nd2"),
    refused("bomb", "a LIF whose XML says it is 2^33 bytes long", endless_lif, "the header cannot be decoded",
            "damaged", "a.lif"),
    refused("bomb", "a zip archive named .tif", zipped, "the content is a zip archive", "readable are"),
    refused("bomb", "TIFF pages chained in a circle", circled, "the pages are chained in a circle", "export it again"),
    refused("bomb", "a zarr of 10^6 x 10^6", lambda p: bare(p, 1024), "931.3 GiB of memory", "smaller", "a.zarr"),
    refused("bomb", "a zarr in one chunk of 10^6 x 10^6", lambda p: bare(p, 10**6),
            "would unpack to 931.3 GiB each", "chunks of some megabytes", "a.zarr"),
    refused("bomb", "a zarr that reaches into another folder", lambda p: zarred(p, levels=("../b.zarr/0",)),
            "the header cannot be decoded", "damaged", "a.zarr"),
]  # fmt: skip
