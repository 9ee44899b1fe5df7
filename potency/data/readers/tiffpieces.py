"""What a strip or tile of a TIFF says of its own size: decoders in C believe it, so it is looked at first."""

from __future__ import annotations

import math
import struct

from potency.data.pixels import PIECE_LIMIT
from potency.data.readers.photo import jpeg_header, png_header
from potency.errors import ImageError

JPEG, PNG, LERC = b"\xff\xd8", b"\x89PNG", b"Lerc2 "
JPEG_XR = (22610, 34934)  # its one free decoder is kept by nobody, and damage made it write where it must not
SIZ = b"\xff\x4f\xff\x51"  # start of a JPEG 2000 codestream, which may lie in a box


def refuse_jpeg_xr(compression: int, where: str) -> None:
    """Refuse the one compression whose decoder a damaged file can make end the program.

    Raises:
        ImageError: it is that one.
    """
    if compression in JPEG_XR:
        raise ImageError("TIFFs compressed as JPEG XR are not read", where,
                         "save it with another compression (deflate, LZW, JPEG), or as OME-TIFF")


def guard(data: bytes, where: str) -> None:
    """Refuse a piece that says it would unpack to more than a piece may.

    Raises:
        ImageError: it does, or its header is damaged.
    """
    try:
        size = claimed(data)
    except (struct.error, IndexError) as error:
        raise ImageError("a strip or tile is cut short or damaged in its header", where,
                         "copy the file again from where it was made") from error
    if size is not None and math.prod(size) > PIECE_LIMIT:
        raise ImageError(
            f"a tile claims {size[1]} x {size[0]} pixels",
            where,
            "the file is damaged or a bomb; export the image again",
        )


def claimed(data: bytes) -> tuple[int, int, int] | None:
    """Height, width and channels by the header of a piece; None for compressions that carry none.

    JPEG: ITU-T T.81, B.2.2. JPEG 2000: ITU-T T.800, A.5.1. LERC: Esri, Lerc2 blob, versions 2 to 6.
    """
    if data.startswith(JPEG):
        header = jpeg_header(data)
        return header.height, header.width, header.channels
    if data.startswith(PNG):
        header = png_header(data)
        return header.height, header.width, header.channels
    if data.startswith(LERC):
        version = struct.unpack_from("<i", data, 6)[0]
        rows, columns = struct.unpack_from("<ii", data, 10 + 4 * (version >= 3))
        depth = struct.unpack_from("<i", data, 22)[0] if version >= 4 else 1
        return abs(rows), abs(columns), abs(depth)
    at = data.find(SIZ, 0, 200)
    if at < 0:
        return None
    right, bottom, left, top = struct.unpack_from(">IIII", data, at + 8)
    return abs(bottom - top), abs(right - left), struct.unpack_from(">H", data, at + 40)[0]
