"""Looks over the directory of a CZI file before a library in C++ believes it: damage there ends the whole program."""

from __future__ import annotations

import builtins
import math
import mmap
import struct
from collections.abc import Iterator

from potency.errors import ImageError

SEGMENT = struct.Struct("<16sqq")  # name, bytes set aside, bytes used
HEADER = struct.Struct("<52xqqiq")  # of the file: where the directory, the metadata and the attachments are
ENTRY = struct.Struct("<2siqiibB4xi")  # DV, type of pixels, place, part, compression, pyramid, -, count of dimensions
DIMENSION = struct.Struct("<4siifi")  # name, first, size, coordinate, size as stored
BLOCK = struct.Struct("<iiq")  # lengths of metadata, attachment and data of a block
LETTERS = b"XYCZTRSIBHVM"
FAR, MANY = 2**30, 40
SPARSE = 10_000  # scenes may lie far apart on a slide, and blocks of a film be missing; this much emptiness is damage


def look_over(path: str, size: int) -> None:
    """Check places, sizes and dimensions of all blocks (ZISRAW file format, DV entries); pixels are not looked at.

    Raises:
        ImageError: damaged, cut short, or far more is claimed than there is.
    """
    with builtins.open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        try:
            directory, metadata, _, attachments = HEADER.unpack_from(data, SEGMENT.size)
            _expect(data, directory, b"ZISRAWDIRECTORY")
            if metadata:
                _expect(data, metadata, b"ZISRAWMETADATA")
            if attachments:
                _expect(data, attachments, b"ZISRAWATTDIR")
            claimed, held = _extent(_entries(data, directory))
        except (struct.error, ValueError, IndexError) as fault:
            raise ImageError(f"the directory of the CZI file is damaged or cut short: {fault}", path,
                             "copy the file again from where it was made") from fault
    if claimed > SPARSE * held:
        raise ImageError(f"the CZI claims {claimed} pixels and holds {held}", path,
                         "the file is damaged; copy it again from where it was made")


def _expect(data: mmap.mmap, at: int, name: bytes) -> None:
    """Refuse a place where the segment of that name does not lie whole."""
    if not 0 <= at <= len(data) - SEGMENT.size:
        raise ValueError(f"{name.decode()} should lie at byte {at} of {len(data)}")
    found, _, used = SEGMENT.unpack_from(data, at)
    if found.rstrip(b"\0") != name or not 0 <= used <= len(data) - at - SEGMENT.size:
        raise ValueError(f"there is no whole {name.decode()} at byte {at}")


def _entries(data: mmap.mmap, at: int) -> Iterator[dict[bytes, tuple[int, int, int]]]:
    """The dimensions of each block: first, size, size as stored."""
    at += SEGMENT.size
    (count,) = struct.unpack_from("<i", data, at)
    at += 128
    if not 0 < count <= len(data) // ENTRY.size:
        raise ValueError(f"it counts {count} blocks")
    for _ in range(count):
        kind, _, place, part, _, _, _, dimensions = ENTRY.unpack_from(data, at)
        if kind != b"DV" or part != 0 or not 2 <= dimensions <= MANY:
            raise ValueError("an entry that is none")
        length = ENTRY.size + DIMENSION.size * dimensions
        _expect(data, place, b"ZISRAWSUBBLOCK")
        inside = place + SEGMENT.size
        about, attached, pixels = BLOCK.unpack_from(data, inside)
        used = max(256, BLOCK.size + length) + about + attached + pixels
        if min(about, attached, pixels) < 0 or inside + used > len(data):
            raise ValueError(f"the block at byte {place} reaches beyond the file")
        again = ENTRY.unpack_from(data, inside + BLOCK.size)
        if again[0] != b"DV" or again[-1] != dimensions:  # its copy beside the pixels
            raise ValueError(f"the block at byte {place} is not the one that is listed")
        found = {}
        for number in range(dimensions):
            name, first, size, _, stored = DIMENSION.unpack_from(data, at + ENTRY.size + DIMENSION.size * number)
            letter = name.rstrip(b"\0")
            if len(letter) != 1 or letter not in LETTERS or letter in found:
                raise ValueError("a dimension that is none")
            if not (0 < size < FAR and abs(first) < FAR and 0 <= stored <= size):
                raise ValueError(f"a block of {size} pixels, {stored} of them stored")
            found[letter] = (first, size, stored or size)
        if not {b"X", b"Y"} <= set(found):
            raise ValueError("a block without X and Y")
        yield found
        at += length


def _extent(blocks: Iterator[dict[bytes, tuple[int, int, int]]]) -> tuple[int, int]:
    """How many pixels the box around all blocks has, and how many they hold."""
    low: dict[bytes, int] = {}
    high: dict[bytes, int] = {}
    held = 0
    for block in blocks:
        held += block[b"X"][2] * block[b"Y"][2]
        for letter, (first, size, _) in block.items():
            low[letter] = min(low.get(letter, first), first)
            high[letter] = max(high.get(letter, first + size), first + size)
    return math.prod(high[letter] - low[letter] for letter in low if letter not in (b"M", b"S")), held
