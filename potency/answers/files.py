"""Answers that are files beside the table: label images as TIFF, tables of objects as Parquet or CSV."""

from __future__ import annotations

import hashlib
import io
import os
import re
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pandas import DataFrame, read_csv, read_parquet

from potency.errors import AnswerError

Writer = Callable[[io.BytesIO], object]


def path_of(cell: Any, folder: Path, what: str) -> Path:
    """The file that a cell names, from the table's folder."""
    if not isinstance(cell, str) or not cell.strip():
        raise AnswerError(f"the cell {cell!r} names no file", what, "write a path from the table's folder")
    path = folder / cell
    if not path.is_file():
        raise AnswerError(f"there is no file {cell}", what, f"paths start at {folder}")
    return path


def read_pixels(path: Path) -> NDArray[Any]:
    """The integers of a label image or semantic map, (H, W) or (Z, H, W)."""
    reader = PIXELS.get(path.suffix.lower())
    if reader is None:
        raise AnswerError(f"label images are not read from {path.suffix or 'files without a suffix'}", str(path),
                          "write one of " + ", ".join(PIXELS))  # fmt: skip
    try:
        return np.asarray(reader(path))
    except Exception as fault:  # whatever a broken file does to a decoder
        raise AnswerError(f"the label image cannot be read: {fault}", str(path), "write it again") from fault


def read_table(path: Path) -> DataFrame:
    """A table of objects."""
    reader = TABLES.get(path.suffix.lower())
    if reader is None:
        raise AnswerError(f"tables of objects are not read from {path.suffix or 'files without a suffix'}", str(path),
                          "write one of " + ", ".join(TABLES))  # fmt: skip
    try:
        return reader(path)
    except Exception as fault:  # whatever a broken file does to a decoder
        raise AnswerError(f"the table of objects cannot be read: {fault}", str(path), "write it again") from fault


def _tiff(path: Path) -> NDArray[Any]:
    import tifffile

    with tifffile.TiffFile(path) as file:
        if not len(file.pages):
            raise ValueError("the file holds no image")
        return np.asarray(file.asarray())


# The visible lists of what is read, by suffix.
PIXELS: Mapping[str, Callable[[Path], NDArray[Any]]] = {".tif": _tiff, ".tiff": _tiff}
TABLES: Mapping[str, Callable[[Path], DataFrame]] = {".parquet": read_parquet, ".csv": read_csv}


def write_pixels(pixels: NDArray[Any], folder: Path, name: str) -> str:
    """Write a label image as TIFF (zlib), uint16 where its numbers fit, else uint32; gives the path from `folder`.

    Many programs take no other integers.
    """
    import tifffile

    fits = np.uint16 if not pixels.size or int(pixels.max()) <= np.iinfo(np.uint16).max else np.uint32

    def tiff(file: io.BytesIO) -> None:
        tifffile.imwrite(file, pixels.astype(fits), photometric="minisblack", compression="zlib", metadata=None)

    return _written(tiff, folder, name, ".tif")


def write_table(table: DataFrame, folder: Path, name: str) -> str:
    """Write a table of objects as Parquet; gives the path from `folder`."""
    return _written(lambda file: table.to_parquet(file, index=False), folder, name, ".parquet")


def _written(write: Writer, folder: Path, name: str, suffix: str) -> str:
    """Write a file named after what is in it, whole or not at all.

    So no two samples share a file unless they are alike, what a killed run has written is found again by the next,
    and two processes cannot spoil one another's.
    """
    made = io.BytesIO()
    write(made)
    place = Path(re.sub(r"[^\w.@-]+", "_", name)) / (hashlib.sha256(made.getvalue()).hexdigest()[:20] + suffix)
    path = folder / place
    if not path.is_file():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
            try:
                with os.fdopen(handle, "wb") as file:
                    file.write(made.getvalue())
                    file.flush()
                    os.fsync(file.fileno())
                os.chmod(temporary, 0o644)
                os.replace(temporary, path)
            except BaseException:
                Path(temporary).unlink(missing_ok=True)
                raise
        except OSError as fault:
            raise AnswerError(f"an answer cannot be written: {fault.strerror or fault}", str(path),
                              "free some space, or choose a folder that can be written to") from fault  # fmt: skip
    return place.as_posix()
