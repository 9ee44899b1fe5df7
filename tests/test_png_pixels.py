"""Plain PNGs are decoded as libpng does, whatever filters their rows have; all others are left to libpng."""

from __future__ import annotations

import struct
import zlib

import imagecodecs
import numpy as np
import pytest

from potency.data.readers import photo
from potency.data.readers.pngpixels import decode_plain

HEIGHT, WIDTH, NUMBERS = 11, 7, {0: 1, 2: 3, 4: 2, 6: 4}


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(rows: bytes, depth: int = 8, colour: int = 0, laced: int = 0, parts: int = 1, extra: bytes = b"") -> bytes:
    """A PNG of rows that carry their filters, packed into so many chunks."""
    packed = zlib.compress(rows)
    cut = np.linspace(0, len(packed), parts + 1).astype(int)
    body = b"".join(chunk(b"IDAT", packed[a:b]) for a, b in zip(cut[:-1], cut[1:], strict=True))
    head = struct.pack(">IIBBBBB", WIDTH, HEIGHT, depth, colour, 0, 0, laced)
    return photo.PNG + chunk(b"IHDR", head) + extra + body + chunk(b"IEND", b"")


def rows_of(depth: int, colour: int, first: int = 0) -> bytes:
    """Rows of noise, whose filters take turns: any bytes are the filtered rows of some picture."""
    random = np.random.default_rng(first)
    rows = random.integers(0, 256, (HEIGHT, 1 + WIDTH * NUMBERS[colour] * depth // 8), np.uint8)
    rows[:, 0] = (first + np.arange(HEIGHT)) % 5
    return rows.tobytes()


@pytest.mark.parametrize("first", range(5))
@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("colour", NUMBERS)
def test_filters_are_undone_as_libpng_does(colour: int, depth: int, first: int) -> None:
    data = png(rows_of(depth, colour, first), depth, colour, parts=3)
    expected = imagecodecs.png_decode(data)
    found = decode_plain(data)
    assert found is not None
    assert found.dtype == expected.dtype
    assert np.array_equal(found, expected)


ROWS = rows_of(8, 0)
WHOLE = png(ROWS)
FLIPPED = bytearray(WHOLE)
FLIPPED[45] ^= 1


@pytest.mark.parametrize(
    "data",
    [
        png(ROWS, laced=1), png(ROWS, depth=1), png(ROWS, colour=3), png(ROWS, extra=chunk(b"tRNS", b"\0\0")),
        png(ROWS[:-1]), png(ROWS + b"\0"), png(b"\5" + ROWS[1:]), WHOLE[:-12], WHOLE[:60], bytes(FLIPPED),
    ],
    ids=["interlaced", "1 bit", "palette", "transparent", "too short", "too long", "unknown filter", "no end", "cut",
         "damaged"],
)  # fmt: skip
def test_what_is_not_plain_and_whole_is_left_to_libpng(data: bytes) -> None:
    assert decode_plain(data) is None


def test_the_first_large_images_and_the_later_ones_are_read_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    data = png(rows_of(16, 0), 16)
    asked = []
    monkeypatch.setattr(photo, "decode_plain", lambda data: asked.append(data) or decode_plain(data))
    monkeypatch.setattr(photo, "_decoded", iter([0, photo.FEW]))
    photo.png_pixels(data)
    assert len(data) < photo.LARGE and not asked
    monkeypatch.setattr(photo, "LARGE", len(data))
    early, late = photo.png_pixels(data), photo.png_pixels(data)
    assert len(asked) == 1
    assert np.array_equal(early, late)
