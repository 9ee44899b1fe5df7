"""Takes archives apart: entries as streams, bounded by number and size before and while they are read."""

from __future__ import annotations

import os
import re
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from typing import IO

from potency.data.folders import of_the_system
from potency.errors import PotencyError

METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # others can ask for any amount of memory
ENTRY = 4 * 2**10  # bytes that one entry may take in the list of an archive: 46, its name and what systems add
FAULTS = (zipfile.BadZipFile, zipfile.LargeZipFile, NotImplementedError, EOFError, ValueError, zlib.error, OSError,
          RuntimeError, struct.error)  # fmt: skip
CHUNK = re.compile(r"(?!\.{1,2}$)[A-Za-z0-9._-]{1,64}")  # names inside an OME-Zarr, the only ones that become paths


class Allowed:
    """What one upload may still unpack; shared by all its archives."""

    def __init__(self, entries: int, bytes: int) -> None:
        self.entries, self.bytes = entries, bytes


def entries(stream: IO[bytes], name: str, allowed: Allowed) -> Iterator[tuple[str, IO[bytes]]]:
    """The files of an archive by the names that it tells; an archive within it stays as it is.

    Raises:
        PotencyError: it is encrypted, damaged, or would unpack to more than is allowed.
    """
    _counted(stream, name, allowed)
    try:
        archive = zipfile.ZipFile(stream)
    except FAULTS as error:
        raise damaged(error, name) from None
    with archive:
        found = [one for one in archive.infolist() if one.filename.strip("/")
                 and not one.filename.endswith("/") and not of_the_system(one.filename)]  # fmt: skip
        if sum(one.file_size for one in found) > allowed.bytes:
            raise PotencyError(f"unpacked it would be larger than {_size(allowed.bytes)}", name,
                               "send the images in several archives")  # fmt: skip
        for one in found:
            if one.flag_bits & 1:
                raise PotencyError("the archive is encrypted", name, "pack the images without a password")
            if one.compress_type not in METHODS:
                raise PotencyError("the archive is packed in a way that is not read", name,
                                   "pack the images again, as a plain zip")  # fmt: skip
            if stat.S_ISLNK(one.external_attr >> 16):
                raise PotencyError("the archive holds a link to a file, not the file", name,
                                   "pack the files themselves")  # fmt: skip
            try:
                opened = archive.open(one)
            except FAULTS as error:
                raise damaged(error, name) from None
            with opened:
                yield one.filename, Measured(opened, allowed, name)  # type: ignore[misc]


class Measured:
    """A stream of an archive that gives no more than was allowed, whatever its list promised."""

    def __init__(self, stream: IO[bytes], allowed: Allowed, name: str) -> None:
        self.stream, self.allowed, self.name = stream, allowed, name

    def read(self, count: int) -> bytes:
        try:
            piece = self.stream.read(count)
        except FAULTS as error:
            raise damaged(error, self.name) from None
        self.allowed.bytes -= len(piece)
        if self.allowed.bytes < 0:
            raise PotencyError("unpacked it is larger than it says", self.name, "send the images without an archive")
        return piece


def damaged(error: Exception, name: str) -> PotencyError:
    """The refusal of an archive that cannot be read; the names in it, which a library may quote, are left out."""
    kinds = {"crc": "a file in it is damaged", "overlap": "its files overlap, as those of a bomb do"}
    what = next((words for sign, words in kinds.items() if sign in str(error).lower()), "it is damaged or cut short")
    return PotencyError(f"the archive cannot be read: {what}", name, "pack the images again, as a plain zip")


def _counted(stream: IO[bytes], name: str, allowed: Allowed) -> None:
    """Refuse an archive of too many entries by its last bytes, before its list is read into memory."""
    size = stream.seek(0, os.SEEK_END)
    stream.seek(max(0, size - 2**16 - 100))
    tail = stream.read()
    stream.seek(0)
    at = tail.rfind(b"PK\x05\x06")
    count, listed = 0, size
    if at >= 0 and len(tail) >= at + 22:
        count, listed = struct.unpack("<10xHI", tail[at : at + 16])
        at = tail.rfind(b"PK\x06\x06", 0, at)  # where the numbers above are too small, larger ones stand before them
        if at >= 0 and len(tail) >= at + 56:
            more, larger = struct.unpack("<32xQQ", tail[at : at + 48])
            count, listed = max(count, more), max(listed if listed < 2**32 - 1 else 0, larger)
    if count > allowed.entries or listed > allowed.entries * ENTRY:
        raise PotencyError(f"the archive holds more than {allowed.entries} files", name,
                           "send them in several archives")  # fmt: skip
    allowed.entries -= count


def _size(count: int) -> str:
    return f"{count / 2**30:.3g} GB" if count >= 2**30 else f"{count / 2**20:.3g} MB"
