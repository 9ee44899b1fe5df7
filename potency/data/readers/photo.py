"""Read PNG, JPEG, WebP and BMP: formats without windows, decoded whole after a look at the size in their header."""

from __future__ import annotations

import builtins
import struct
from collections.abc import Callable, Mapping
from itertools import count
from typing import Any, NamedTuple

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from potency.data.pixels import Window
from potency.data.readers.pngpixels import decode_plain
from potency.data.readers.resolution import from_resolution
from potency.errors import ImageError

suffixes = (".png", ".jpg", ".jpeg", ".webp", ".bmp")

DECODED_LIMIT = 2 * 2**30  # bytes: these formats can only be decoded whole, so the header is asked first
DEFLATE = 1100  # deflate packs at most 1032 to 1: a header that promises more has no pixels behind it
HUFFMAN = 8 * 64  # pixels of one channel in a byte of JPEG: a block of 64 takes at least one bit

ARITHMETIC = 0xC9  # JPEG markers from here on code several blocks in a bit
PLAIN, DEEP = np.dtype("uint8"), np.dtype("uint16")
PNG_CHANNELS = {0: 1, 2: 3, 3: 3, 4: 1, 6: 3}  # colour type -> channels given out (palette expanded, alpha dropped)
LARGE = 2**15  # bytes of a PNG that libpng does not decode: of smaller ones threads would wait for one another's turns
FEW = 32  # large PNGs of a process that it does decode: they are not worth the start of what decodes the others
_decoded = count()
PNG_NOTES = {3: ("palette expanded to RGB",), 4: ("alpha dropped",), 6: ("alpha dropped",)}


class Header(NamedTuple):
    """What the first bytes of a file promise."""

    height: int
    width: int
    channels: int
    dtype: np.dtype
    pixel_size: Mapping[str, float] | None = None
    notes: tuple[str, ...] = ()
    most: int = 2**62  # bytes that one byte of the file can unpack to

    @property
    def claim(self) -> str:
        return f"the header claims {self.width} x {self.height} pixels of {self.channels} channels"


class Photo:
    """The pixels of one PNG, JPEG, WebP or BMP file."""

    def __init__(self, path: str, header: Header, decode: Callable[[bytes], NDArray[Any]], data: bytes | None) -> None:
        self.path, self.decode = path, decode
        self.data = data  # of a small file, which was read with its header
        self.whole: NDArray[Any] | None = None  # kept once somebody asks for parts of it
        self.dtype = header.dtype
        self.pixel_size, self.notes = header.pixel_size, header.notes
        self.count = header.channels
        self.axes = "YX" if self.count == 1 else "CYX"
        self.shape = (header.height, header.width) if self.count == 1 else (self.count, header.height, header.width)
        self.channels = ("grey",) if self.count == 1 else ("red", "green", "blue")

    @property
    def levels(self) -> tuple[tuple[int, ...], ...]:
        return (self.shape,)

    def read(self, window: Window, level: int = 0) -> NDArray[Any]:
        whole = self.whole if self.whole is not None else self._decoded()
        array = whole[tuple([window[axis] for axis in self.axes])]
        if array.size < whole.size:
            # Who reads a part will read the next one: keep the whole, and hand out a copy that does not.
            self.whole = whole
            return array.copy()
        return array.copy() if self.whole is not None else array

    def _decoded(self) -> NDArray[Any]:
        data = self.data
        if data is None:
            with builtins.open(self.path, "rb") as file:
                data = file.read()
        array = self.decode(data)
        if array.ndim == 3:
            array = array[..., : self.count].transpose(2, 0, 1)
            array = array[0] if self.count == 1 else np.ascontiguousarray(array)
        if array.shape != self.shape or array.dtype != self.dtype:
            raise ImageError(
                f"the file decodes to {array.shape} {array.dtype} where its header promised {self.shape} {self.dtype}",
                self.path,
                "export the image again: its header and its pixels disagree",
            )
        return array

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "whole": None}  # a worker decodes for itself, from what it is asked for


def recognises(path: str, head: bytes) -> bool:
    """Say whether the first bytes are those of a PNG, JPEG, WebP or BMP file."""
    return marked(head).startswith(MAGICS)


def marked(head: bytes) -> bytes:
    """Give the first bytes; of a RIFF file those that say which kind it is, after those that say how long."""
    return head[8:12] if head.startswith(b"RIFF") else head


def open(path: str, head: bytes, size: int, pages: str | None = None, series: int = 0) -> Photo:
    """Open a file of which `head` are the first bytes and `size` is the length; there are no pages, nor series."""
    parse, decode = FORMATS[next(filter(marked(head).startswith, MAGICS))]
    try:
        header = parse(head if len(head) == size else whole_head(path, head))
    except (struct.error, IndexError) as error:
        raise cut_short(path, "or damaged in its header") from error
    decoded = header.height * header.width * header.channels * header.dtype.itemsize
    if min(header.height, header.width) < 1 or max(header.height, header.width) > 2**31 - 1:
        raise ImageError(header.claim, path, "export the image again: its header is damaged")
    if decoded > DECODED_LIMIT:
        raise ImageError(
            f"{header.claim}, {decoded / 2**30:.1f} GiB to decode",
            path,
            "if the image is genuine, save it as tiled TIFF or OME-Zarr, which are read window by window",
        )
    if decoded > header.most * size:
        raise ImageError(
            f"{header.claim}, more than {size} bytes can hold",
            path,
            "the file is cut short or a decompression bomb; copy or export it again",
        )
    return Photo(path, header, decode, head if len(head) == size else None)


def whole_head(path: str, head: bytes) -> bytes:
    """Give enough of a file to hold its header: a JPEG may carry megabytes of metadata before it."""
    if not head.startswith(JPEG):
        return head
    with builtins.open(path, "rb") as file:
        return file.read(4 * 2**20)


def cut_short(path: str, where: str) -> ImageError:
    """Say that a file ends too early."""
    return ImageError(f"the file is cut short {where}", path, "copy it again from where it was made")


def png_header(head: bytes) -> Header:
    """Read IHDR, and the physical size if it stands before the pixels (W3C PNG, 11.2.2 and 11.3.4.3)."""
    width, height, depth, colour = struct.unpack_from(">IIBB", head, 16)
    if head[12:16] != b"IHDR" or colour not in PNG_CHANNELS:
        raise struct.error("no IHDR")
    pixel_size = None
    at = head.find(b"pHYs", 0, head.find(b"IDAT"))
    if at > 0:
        x, y, unit = struct.unpack_from(">IIB", head, at + 4)
        pixel_size = from_resolution(x, y, 1e6) if unit == 1 else None
    dtype, notes = DEEP if depth == 16 else PLAIN, PNG_NOTES.get(colour, ())
    return Header(height, width, PNG_CHANNELS[colour], dtype, pixel_size, notes, DEFLATE)


def png_pixels(data: bytes) -> NDArray[Any]:
    """Decode a PNG; one-bit images give 0 and 1 like any other mask."""
    if data.rfind(b"IEND") < 0:
        raise cut_short("", "before the end of its pixels")
    plain = decode_plain(data) if len(data) >= LARGE and next(_decoded) >= FEW else None
    if plain is not None:
        return plain
    array: NDArray[Any] = imagecodecs.png_decode(data)
    return (array > 0).astype("uint8") if data[24:26] == b"\x01\x00" else array


def jpeg_header(head: bytes) -> Header:
    """Walk the segments to the start of frame (ITU-T T.81, B.2.2)."""
    at = 2
    while True:
        if head[at] != 0xFF:
            raise struct.error("no segment")
        marker = head[at + 1]
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            depth, height, width, count = struct.unpack_from(">BHHB", head, at + 4)
            notes = ("CMYK converted to RGB",) if count == 4 else ()
            channels, dtype = 1 if count == 1 else 3, PLAIN if depth == 8 else DEEP
            most = HUFFMAN * channels * dtype.itemsize if marker < ARITHMETIC else Header._field_defaults["most"]
            return Header(height, width, channels, dtype, None, notes, most)
        at += 1 if marker == 0xFF else 2 + struct.unpack_from(">H", head, at + 2)[0]


def jpeg_pixels(data: bytes) -> NDArray[Any]:
    """Decode a JPEG; libjpeg fills a cut file with grey and says nothing, so its end is looked for first."""
    if data.rfind(b"\xff\xd9") < data.rfind(b"\xff\xda"):
        raise cut_short("", "before the end of its pixels")
    array: NDArray[Any] = imagecodecs.jpeg_decode(data)
    if array.ndim == 3 and array.shape[2] == 4:
        # Four channels come from Adobe programs, which store them inverted: so the product is the light left.
        array = (array[..., :3].astype("uint16") * array[..., 3:] // 255).astype("uint8")
    return array


def bmp_header(head: bytes) -> Header:
    """Read the Windows bitmap header; a negative height only means that rows run downwards."""
    size, width, height, _, depth = struct.unpack_from("<IiiHH", head, 14)
    if depth not in (8, 24):
        raise ImageError(f"a BMP of {depth} bits a pixel is not read", "", "save it as PNG")
    palette = np.frombuffer(head, "uint8")[14 + size :][:1024].reshape(-1, 4) if depth == 8 else None
    if palette is not None and (palette[:, :3] == np.arange(len(palette))[:, None]).all():
        return Header(abs(height), width, 1, PLAIN)
    return Header(abs(height), width, 3, PLAIN, None, () if palette is None else PNG_NOTES[3])


def bmp_pixels(data: bytes) -> NDArray[Any]:
    """Lay out a Windows bitmap, a palette as RGB; in Python, because decoders in C read beyond a file cut short."""
    start, size, width, height, _, depth, packed = struct.unpack_from("<IIiiHHI", data, 10)
    if packed:
        raise ImageError("a compressed BMP is not read", "", "save it as PNG")
    rows, line = abs(height), -(-width * depth // 32) * 4
    if start + rows * line > len(data):
        raise cut_short("", "before the end of its pixels")
    stored = np.frombuffer(data, PLAIN, rows * line, start).reshape(rows, line)[:, : width * depth // 8]
    pixels = stored[:: -1 if height > 0 else 1]
    if depth == 24:
        return np.ascontiguousarray(pixels.reshape(rows, width, 3)[..., ::-1])
    palette = np.frombuffer(data[14 + size : min(start, 14 + size + 1024)], PLAIN)
    palette = palette[: len(palette) // 4 * 4].reshape(-1, 4)[:, 2::-1]
    grey = bmp_header(data).channels == 1
    colours: NDArray[Any] = pixels if grey else palette[pixels]
    return np.ascontiguousarray(colours)


def webp_header(head: bytes) -> Header:
    """Read the first chunk, one of three kinds (RFC 9649, 2.5 to 2.7)."""
    kind, alpha = head[12:16], False
    if kind == b"VP8X":
        alpha = bool(head[20] & 0x10)
        if head[20] & 0x02:
            raise ImageError("the WebP file is an animation", "", "save its frames as images, or as a TIFF stack")
        width, height = (int.from_bytes(head[at : at + 3], "little") + 1 for at in (24, 27))
    elif kind == b"VP8L" and head[20] == 0x2F:
        bits = struct.unpack_from("<I", head, 21)[0]
        width, height, alpha = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1, bool(bits >> 28 & 1)
    elif kind == b"VP8 " and head[23:26] == b"\x9d\x01\x2a":
        width, height = (side & 0x3FFF for side in struct.unpack_from("<HH", head, 26))
    else:
        raise struct.error("no picture")
    return Header(height, width, 3, PLAIN, None, ("alpha dropped",) if alpha else ())


def webp_pixels(data: bytes) -> NDArray[Any]:
    """Decode a WebP to RGB; the file says how long it is, so one that is cut short is known."""
    if struct.unpack_from("<I", data, 4)[0] + 8 > len(data):
        raise cut_short("", "before the end of its pixels")
    array: NDArray[Any] = imagecodecs.webp_decode(data, hasalpha=False)
    return array


PNG, JPEG, WEBP, BMP = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"WEBP", b"BM"
FORMATS: dict[bytes, tuple[Callable[[bytes], Header], Callable[[bytes], NDArray[Any]]]] = {
    PNG: (png_header, png_pixels),
    JPEG: (jpeg_header, jpeg_pixels),
    WEBP: (webp_header, webp_pixels),
    BMP: (bmp_header, bmp_pixels),
}
MAGICS = tuple(FORMATS)
