"""Decode plain PNGs faster than libpng: whole rows of deflate by libdeflate, the filters of rows as machine code."""

from __future__ import annotations

import struct
import zlib
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray

SAMPLES = {0: 1, 2: 3, 4: 2, 6: 4}  # colour type -> numbers a pixel; palettes are for another decoder


def decode_plain(data: bytes) -> NDArray[Any] | None:
    """The pixels of a PNG, (H, W) or (H, W, 2..4), uint8 or uint16; None where libpng is to say what there is.

    It takes 8 and 16 bit without palette, transparent colour and interlacing (W3C PNG, 3rd edition), and only what is
    whole: each checksum is looked at, so whatever is amiss is left to libpng and its errors.
    """
    width, height, depth, colour, packing, filtering, laced = struct.unpack_from(">IIBBBBB", data, 16)
    if depth not in (8, 16) or colour not in SAMPLES or packing or filtering or laced:
        return None
    packed = _packed(data)
    if packed is None:
        return None
    step = SAMPLES[colour] * depth // 8  # bytes of a pixel
    line = 1 + width * step
    try:
        rows = imagecodecs.deflate_decode(packed, out=height * line)
    except RuntimeError:  # cut short, or not what it says
        return None
    if len(rows) != height * line:
        return None
    from potency.data.readers.pngfilters import unfiltered  # late: numba takes a third of a second to start

    pixels = np.empty((height, width * step), np.uint8)
    if not unfiltered(np.frombuffer(rows, np.uint8).reshape(height, line), step, pixels):
        return None
    array: NDArray[Any] = pixels.view(">u2").astype(np.uint16) if depth == 16 else pixels
    return array if colour == 0 else array.reshape(height, width, SAMPLES[colour])


def _packed(data: bytes) -> bytes | None:
    """What the IDAT chunks hold together; None where a chunk is damaged or asks for more than pixels."""
    parts, at, end, seen = [], 8, len(data), memoryview(data)
    while at + 12 <= end:
        length, kind = struct.unpack_from(">I4s", data, at)
        after = at + 12 + length
        if after > end or zlib.crc32(seen[at + 4 : after - 4]) != int.from_bytes(data[after - 4 : after], "big"):
            return None
        if kind == b"IDAT":
            parts.append(seen[at + 8 : after - 4])
        elif kind == b"IEND":
            return b"".join(parts) or None
        elif kind in (b"tRNS", b"acTL"):
            return None
        at = after
    return None
