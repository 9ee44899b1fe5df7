"""Damages valid files on purpose: bits flipped, runs overwritten, cut short, numbers enlarged, in headers above all."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

HEAD = 600  # bytes at both ends of a file in which most formats keep what they say of themselves
NEAR = 96  # bytes of a part of a file behind the sign by which it is found
SIGNS = (b"ZISRAW", b"\xda\xce\xbe\x0a", b"DV", b"IHDR", b"PLTE", b"IDAT", b"\xff\xc0", b"\xff\xc2", b"VP8")
ODD = (0, 1, 2, *(2**n - 1 for n in (7, 8, 15, 16, 31, 32, 63, 64)), *(2**n for n in (7, 15, 16, 24, 31, 40)))

Random = np.random.Generator


def headers(data: bytes) -> list[tuple[int, int]]:
    """Where a file speaks of itself: both ends, the signs of its parts, and the directories of a TIFF."""
    found = [(0, min(HEAD, len(data))), (max(0, len(data) - HEAD), len(data))]
    for sign in SIGNS:
        found += [(hit.start(), min(hit.start() + NEAR, len(data))) for hit in re.finditer(re.escape(sign), data)][:20]
    if data[:2] in (b"II", b"MM"):
        found += list(_directories(data))
    return found


def _directories(data: bytes) -> Iterator[tuple[int, int]]:
    import io

    with tifffile.TiffFile(io.BytesIO(data)) as file:
        for page in list(file.pages)[:4]:
            for tag in page.tags:
                yield tag.offset, min(tag.offset + 12, len(data))
                yield tag.valueoffset, min(tag.valueoffset + 24, len(data))


def damaged(data: bytes, places: Sequence[tuple[int, int]], rng: Random) -> bytes:
    """A file with one to three kinds of damage, most of it in `places`."""
    out = bytearray(data)
    for _ in range(rng.integers(1, 4)):
        if not out:
            break
        low, high = places[rng.integers(len(places))] if rng.random() < 0.8 else (0, len(out))
        at = int(rng.integers(min(low, len(out) - 1), max(min(high, len(out)), min(low, len(out) - 1) + 1)))
        DAMAGES[rng.choice(len(DAMAGES), p=ODDS)](out, at, rng)
    return bytes(out)


def flip(out: bytearray, at: int, rng: Random) -> None:
    for _ in range(rng.integers(1, 5)):
        out[min(at + int(rng.integers(8)), len(out) - 1)] ^= 1 << int(rng.integers(8))


def overwrite(out: bytearray, at: int, rng: Random) -> None:
    length = min(int(rng.integers(1, 17)), len(out) - at)
    value = [b"\0" * length, b"\xff" * length, rng.bytes(length)][rng.integers(3)]
    out[at : at + length] = value


def number(out: bytearray, at: int, rng: Random) -> None:
    """Another number where one may stand: a strange one, or the one that stands there times a power of two."""
    width, order = int(rng.choice([1, 2, 4, 8])), ("little", "big")[rng.integers(2)]
    at -= at % min(width, 4) if rng.random() < 0.7 else 0
    old = int.from_bytes(out[at : at + width], order)  # type: ignore[arg-type]
    new = ODD[rng.integers(len(ODD))] if rng.random() < 0.6 else old << int(rng.integers(1, 24))
    length = min(width, len(out) - at)
    out[at : at + length] = (new % 2 ** (8 * length)).to_bytes(length, order)  # type: ignore[arg-type]


def digits(out: bytearray, at: int, rng: Random) -> None:
    """Digits of a text (XML, JSON, a header in words) near the place become others, in one or two bytes a letter."""
    found = next(re.finditer(rb"(?:[0-9]\0?){1,9}", bytes(out[at : at + 2000])), None)
    for i in range(found.start() + at, found.end() + at) if found else ():
        if out[i] and rng.random() < 0.8:
            out[i] = ord(rng.choice([*"0199995-."]))


def cut(out: bytearray, at: int, rng: Random) -> None:
    del out[at if rng.random() < 0.5 else int(rng.integers(len(out))) :]


def shift(out: bytearray, at: int, rng: Random) -> None:
    """A few bytes more or less, so that all that follows lies elsewhere."""
    length = int(rng.integers(1, 9))
    if rng.random() < 0.5:
        del out[at : at + length]
    else:
        out[at:at] = out[at : at + length]


DAMAGES: tuple[Callable[[bytearray, int, Random], None], ...] = (flip, overwrite, number, digits, cut, shift)
ODDS = (0.2, 0.2, 0.35, 0.1, 0.08, 0.07)

# ------------------------------------------------------------------------------------------------------ folders of zarr

STRANGE: tuple[Any, ...] = (
    0, -1, 1, 3, 2**31, 2**63, 1e308, 0.5, "", "gzip", "<i8", "x", None, True, [], {}, [[]], [2**40], "../../etc",
)  # fmt: skip


def damage_folder(folder: Path, rng: Random) -> Callable[[], None]:
    """Damage one file of a zarr folder, its metadata above all; gives what mends it again."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    texts = [path for path in files if path.name.startswith(".z") or path.name == "zarr.json"]
    path = texts[rng.integers(len(texts))] if rng.random() < 0.85 else files[rng.integers(len(files))]
    data = path.read_bytes()
    if path in texts and rng.random() < 0.7:
        path.write_text(json.dumps(_changed(json.loads(data), rng)), "utf-8")
    elif rng.random() < 0.05:
        path.unlink()
    else:
        path.write_bytes(damaged(data, [(0, len(data))], rng))
    return lambda: (path.write_bytes(data), None)[1]


def _changed(value: Any, rng: Random) -> Any:
    """The same metadata with one to three values strange, gone, or twice."""
    made = copy.deepcopy(value)
    for _ in range(rng.integers(1, 4)):
        inner = made
        while True:
            keys = list(inner) if isinstance(inner, dict) else list(range(len(inner)))
            if not keys:
                break
            key = keys[rng.integers(len(keys))]
            if isinstance(inner[key], dict | list) and inner[key] and rng.random() < 0.85:
                inner = inner[key]
                continue
            if rng.random() < 0.15:
                del inner[key]
            elif isinstance(inner[key], int) and rng.random() < 0.4:
                inner[key] = int(inner[key]) * 2 ** int(rng.integers(1, 30))
            else:
                inner[key] = copy.deepcopy(STRANGE[rng.integers(len(STRANGE))])
            break
    return made
