"""The visible list of image readers, and `open_image`, which asks each whether it knows a file by its content."""

from __future__ import annotations

import builtins
import errno
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol, cast

from potency.data.image import Image
from potency.data.pixels import Pixels, undecodable
from potency.data.readers import npy, photo, tiff, zarr
from potency.data.readers.channels import Channels
from potency.errors import ImageError

HEAD = 16 * 1024  # bytes read to recognise a file; a smaller file is then already in memory


class Reader(Protocol):
    """A module that reads one family of formats: what the contract test asks of each in READERS."""

    suffixes: tuple[str, ...]

    def recognises(self, path: Path, head: bytes) -> bool:
        """Say by the first bytes (none for a folder) whether this reader reads the file."""

    def open(self, path: Path, head: bytes, size: int, pages: str | None = None) -> Pixels:
        """Read the header of a file of `size` bytes that begins with `head`."""


READERS = cast(tuple[Reader, ...], (tiff, photo, zarr, npy))
SUFFIXES: tuple[str, ...] = tuple(suffix for reader in READERS for suffix in reader.suffixes)

FOREIGN = {
    b"GIF8": "a GIF", b"RIFF": "a WebP or AVI", b"%PDF": "a PDF", b"PK\x03\x04": "a zip archive", b"\x1f\x8b": "gzip",
    b"ZISRAWFILE": "a Zeiss CZI", b"\xda\xce\xbe\x0a": "a Nikon ND2", b"\x89HDF": "an HDF5", b"<": "HTML or XML",
    b"\x00\x00\x00\x0cjP": "a JPEG 2000", b"\x80\x04": "a Python pickle", b"\x80\x05": "a Python pickle",
}  # fmt: skip


def open_image(where: str | Path | Mapping[str, str | Path], *, pages: str | None = None) -> Image:
    """Open an image file or OME-Zarr folder, or several files as the channels of one image.

    The content of a file decides over its name. `pages` ("T", "C" or "Z") says what pages are whose meaning the
    file does not give; by itself 2 to 4 are taken as channels and more as time, which `image.notes` then says.
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
        return Channels.join({name: open_image(path, pages=pages) for name, path in where.items()})
    path = Path(where)
    name = str(path)
    head, size = first_bytes(path)
    for reader in READERS:
        if reader.recognises(path, head):
            try:
                return Image(reader.open(path, head, size, pages), name)
            except ImageError as error:
                raise error if error.where else ImageError(error.what, name, error.mend) from error
            except Exception as error:  # a damaged header can break a parser in any way; the user gets one answer
                raise undecodable(error, name) from error
    raise unknown(path, head)


def first_bytes(path: Path) -> tuple[bytes, int]:
    """Give the first bytes and the length of a file; a folder gives none. All that can be wrong is said here."""
    name = str(path)
    try:
        with builtins.open(path, "rb", buffering=0) as file:
            head = file.read(HEAD) or b""
            size = len(head) if len(head) < HEAD else path.stat().st_size
    except (IsADirectoryError, PermissionError) as error:
        if path.is_dir():
            return b"", 0
        raise ImageError("the file may not be read", name, "allow this user to read it") from error
    except FileNotFoundError as error:
        raise ImageError("there is no such file", name, "check the path, and that its drive is connected") from error
    except (OSError, ValueError) as error:
        if getattr(error, "errno", None) == errno.ELOOP:
            raise ImageError("the path is a circle of links", name, "replace the link by the file") from error
        reason = getattr(error, "strerror", None) or str(error)
        raise ImageError(f"the file cannot be opened: {reason}", name, "check the path and its drive") from error
    if not head:
        raise ImageError("the file is empty (0 bytes)", name, "copy it again from where it was made")
    return head, size


def unknown(path: Path, head: bytes) -> ImageError:
    """Say what a file seems to be instead of an image."""
    name = str(path)
    if not head:
        return ImageError(
            "this is a folder, not an image", name, "name a file in it; of folders only OME-Zarr images are read"
        )
    known = "readable are " + " ".join(SUFFIXES)
    foreign = next((words for magic, words in FOREIGN.items() if head.lstrip().startswith(magic)), None)
    if foreign:
        return ImageError(f"the content is {foreign} file, not an image that can be read", name, known)
    if not set(head[:1024]) & set(range(9)):
        return ImageError("the content is text, not an image", name, known)
    return ImageError("the content is no image that can be read", name, f"the file may be damaged; {known}")
