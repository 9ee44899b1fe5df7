"""The visible list of image readers, and `open_image`, which asks each whether it knows a file by its content."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol, cast

from potency.data.image import Image
from potency.data.pixels import Pixels, undecodable
from potency.data.readers import czi, dicom, lif, nd2, npy, photo, tiff, zarr
from potency.data.readers.channels import Channels
from potency.data.readers.plate import plate_rows
from potency.errors import ImageError, MissingExtra

# Non-blocking, or a named pipe among the images would wait for ever.
READ_FLAGS = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0)
HEAD = 16 * 1024  # bytes read to recognise a file; a smaller file is then already in memory


class Reader(Protocol):
    """A module that reads one family of formats: what the contract test asks of each in READERS."""

    __name__: str
    suffixes: tuple[str, ...]

    def recognises(self, path: str, head: bytes) -> bool:
        """Say by the first bytes (none for a folder) whether this reader reads the file."""

    def open(self, path: str, head: bytes, size: int, pages: str | None = None, series: int = 0) -> Pixels:
        """Read the header of a file of `size` bytes that begins with `head`; choose one of its series."""


__all__ = ["READERS", "SUFFIXES", "Reader", "open_image", "plate_rows"]

READERS = cast(tuple[Reader, ...], (tiff, photo, zarr, npy, nd2, czi, lif, dicom))
SUFFIXES: tuple[str, ...] = tuple(suffix for reader in READERS for suffix in reader.suffixes)

FOREIGN = {
    b"GIF8": "a GIF file", b"RIFF": "an AVI or WAV file", b"%PDF": "a PDF file", b"PK\x03\x04": "a zip archive",
    b"\x89HDF": "an HDF5 file", b"\x00\x00\x00\x0cjP": "a JPEG 2000 file, or an ND2 file from before 2010",
    b"\x1f\x8b": "gzip data", b"<": "HTML or XML",
    b"\x80\x04": "a Python pickle", b"\x80\x05": "a Python pickle",
}  # fmt: skip


def open_image(where: str | Path | Mapping[str, str | Path], *, pages: str | None = None, series: int = 0) -> Image:
    """Open an image file or OME-Zarr folder, or several files as the channels of one image.

    The content of a file decides over its name. `pages` ("T", "C" or "Z") says what pages are whose meaning the
    file does not give; by itself 2 to 4 are taken as channels and more as time, which `image.notes` then says.
    `series` counts the images of a file that holds several (positions, scenes) from 0.
    A mapping (channel name -> file) makes one image; its files must agree in size. Raises ImageError.

    >>> open_image("no/such.tif")
    Traceback (most recent call last):
    potency.errors.ImageError: there is no such file
    where: no/such.tif
    mend: check the path, and that its drive is connected
    """
    if pages is not None and pages not in ("T", "C", "Z"):
        raise ImageError(f"pages cannot be {pages!r}", str(where), "say T, C or Z")
    if isinstance(where, Mapping):
        return Channels.join({name: open_image(path, pages=pages, series=series) for name, path in where.items()})
    name = os.fspath(where)
    head, size = first_bytes(name)
    for reader in READERS:
        if reader.recognises(name, head):
            try:
                return Image(chosen(reader.open(name, head, size, pages, series), series, name), name)
            except ImageError as error:
                raise error if error.where else ImageError(error.what, name, error.mend) from error
            except MissingExtra as error:
                raise ImageError(error.what, name, f"install it: {error.mend}") from error
            except Exception as error:  # a damaged header can break a parser in any way; the user gets one answer
                raise undecodable(error, name, "header") from error
    raise unknown(name, head)


def chosen(pixels: Pixels, series: int, name: str) -> Pixels:
    """Give the pixels back, unless the file holds fewer series than asked for."""
    count = int(getattr(pixels, "series", 1))
    if not 0 <= series < count:
        raise ImageError(f"there is no series {series}: the file holds {count}, numbered from 0", name,
                         "correct the column series, or leave it out")
    return pixels


def first_bytes(name: str) -> tuple[bytes, int]:
    """Give the first bytes and the length of a file; a folder gives none. All that can be wrong is said here."""
    if "://" in name:
        raise ImageError("addresses are not read", name, "download the image and name the file")
    try:
        # Straight to the system: for crops of a few kilobytes a file object costs as much as reading.
        file = os.open(name, READ_FLAGS)
        try:
            facts = os.fstat(file)
            head = os.read(file, HEAD) if stat.S_ISREG(facts.st_mode) else b""
        finally:
            os.close(file)
    except FileNotFoundError as error:
        raise ImageError("there is no such file", name, "check the path, and that its drive is connected") from error
    except (OSError, ValueError) as error:
        if os.path.isdir(name):  # Windows opens no folder, it says "permission denied"
            return b"", 0
        code = getattr(error, "errno", None)
        if code == errno.ELOOP:
            raise ImageError("the path is a circle of links", name, "replace the link by the file") from error
        if code in (errno.EACCES, errno.EPERM):
            raise ImageError("the file may not be read", name, "allow this user to read it") from error
        reason = getattr(error, "strerror", None) or str(error)
        raise ImageError(f"the file cannot be opened: {reason}", name, "check the path and its drive") from error
    if not head and not stat.S_ISDIR(facts.st_mode):
        what = "the file is empty (0 bytes)" if stat.S_ISREG(facts.st_mode) else "this is a device, not a file"
        raise ImageError(what, name, "copy the image again from where it was made")
    return head, facts.st_size


def unknown(name: str, head: bytes) -> ImageError:
    """Say what a file seems to be instead of an image."""
    if not head:
        return ImageError(
            "this is a folder, not an image", name, "name a file in it; of folders only OME-Zarr images are read"
        )
    known = "readable are " + " ".join(SUFFIXES)
    foreign = next((words for magic, words in FOREIGN.items() if head.lstrip().startswith(magic)), None)
    if foreign:
        return ImageError(f"the content is {foreign}, not an image that can be read", name, known)
    if not set(head[:1024]) & set(range(9)):
        return ImageError("the content is text, not an image", name, known)
    return ImageError("the content is no image that can be read", name, f"the file may be damaged; {known}")
