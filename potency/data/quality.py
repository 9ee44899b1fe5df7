"""What one reading of an image tells: its digest, size, type, whether its pixels are sound, and a thumbnail."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from stat import S_ISREG
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from potency.data.parts import is_part, unchosen
from potency.data.pixels import wild
from potency.errors import ImageError

if TYPE_CHECKING:
    from potency.data.image import Image
    from potency.data.pixels import Window

_PLANE_LIMIT = 2**27  # pixels of a plane that is still read whole
_MIDDLE = 4096


@dataclass(frozen=True)
class Facts:
    """What `inspect` found in one image; an image that cannot be read has `error` and nothing else.

    `shape` is (height, width) in pixels, `unread` what else the file holds (see `parts.unchosen`), `thumbnail` see
    `duplicates.thumbnail`.
    """

    error: str = ""
    digest: str = ""
    shape: tuple[int, int] = (0, 0)
    channels: int = 0
    dtype: str = ""
    pixel_size: tuple[float, float] | None = None
    finite: bool = True
    constant: bool = False
    unread: Mapping[str, int] = field(default_factory=dict)
    thumbnail: NDArray[np.float32] | None = None


def inspect(image: Image, digest: str, *, thumbnail: bool = False, window: Window | None = None) -> Facts:
    """Read the first plane of an image once and say what is in it.

    A plane beyond the memory limit is judged by its middle.

    Args:
        image: the image.
        digest: of its files (see `digest`).
        thumbnail: keep the thumbnail by which near-duplicates are found.
        window: the part of the image that is the sample; the whole where None.

    Raises:
        ImageError: the pixels cannot be decoded.
    """
    from potency.data import duplicates

    height, width = image.sizes["Y"], image.sizes["X"]
    if window is None and height * width > _PLANE_LIMIT:
        top, left = max(0, height // 2 - _MIDDLE // 2), max(0, width // 2 - _MIDDLE // 2)
        pixels = image.crop({"Y": slice(top, top + _MIDDLE), "X": slice(left, left + _MIDDLE)})
    else:
        pixels = image.crop(window)
        height, width = pixels.shape[1:]
    size = image.pixel_size
    finite = not wild(pixels)
    flat = pixels.reshape(len(pixels), -1)
    return Facts(digest=digest, shape=(height, width), channels=len(pixels), dtype=str(pixels.dtype),
                 pixel_size=None if size is None else (size["Y"], size["X"]),
                 finite=finite, constant=bool((flat.min(axis=1) == flat.max(axis=1)).all()),
                 unread=unchosen(image), thumbnail=duplicates.thumbnail(pixels) if thumbnail and finite else None)


@lru_cache(maxsize=1_000_000)
def _file_digest(path: str, size: int, changed: int) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest(files: Sequence[Path]) -> str:
    """SHA-256 of the contents of the files of one image, in their order; a folder (zarr) counts by its files.

    Raises:
        ImageError: a file is missing or may not be read.
    """
    parts = []
    for file in files:
        try:
            for path in _contents(file):
                stat = path.stat()
                if not S_ISREG(stat.st_mode):  # to open a named pipe would wait for ever
                    raise ImageError("this is no plain file", str(path), "remove it, or put the image itself there")
                parts.append(_file_digest(str(path), stat.st_size, stat.st_mtime_ns))
        except OSError as fault:
            raise ImageError("the file cannot be read", str(file), _reason(fault)) from fault
    return parts[0] if len(parts) == 1 else hashlib.sha256(" ".join(parts).encode()).hexdigest()


def _contents(file: Path) -> Iterator[Path]:
    if not file.is_dir():
        yield file
        return
    for folder, inner, names in os.walk(file):
        inner.sort()
        yield from (Path(folder) / name for name in sorted(names))


def _reason(fault: OSError) -> str:
    if isinstance(fault, FileNotFoundError):
        return "the file is missing: check the path in the table, which starts at the table's folder"
    return f"{fault.strerror or fault}: check the link or the rights"


def fingerprint(table: pd.DataFrame, digests: Sequence[str], files: Collection[str] = (), folder: Path = Path()) -> str:
    """SHA-256 over the sorted (contents, truth, group, tile) of the rows; of truths in `files`, what these hold."""
    wanted = [name for name in table.columns
              if name in ("truth", "group") or name.startswith("truth.") or is_part(name)]
    cells = [["" if pd.isna(cell) else repr(cell) if isinstance(cell, float) else
              _held(folder, str(cell)) if name in files else str(cell) for cell in table[name]]
             for name in sorted(wanted)]  # fmt: skip
    rows = sorted("\x1f".join(row) for row in zip(digests, *cells, strict=True))
    return hashlib.sha256("\x1e".join([*sorted(wanted), *rows]).encode()).hexdigest()


def _held(folder: Path, cell: str) -> str:
    """SHA-256 of the file that a cell names; the cell itself where there is none."""
    path = folder / cell
    return digest((path,)) if cell and os.path.exists(path) else cell
