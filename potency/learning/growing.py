"""An .npy file that grows row by row and appears whole or not at all: for arrays that fit no memory."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from io import BytesIO
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

import numpy as np
from numpy.typing import NDArray

ABANDONED = 24 * 3600.0  # seconds after which a part that nobody writes to is nobody's
AT_ONCE = 2**24  # values changed at a time when another type of number turns up


class Growing:
    """Pieces (n, ...) appended to one array on disk; in a ``with`` block that ends well both files appear.

    Pieces of one dtype keep it; where they differ the whole array is float32, as if all had been joined at once.
    NumPy pads the header for any length of the first axis, so it is written in place when that length is known.

    Args:
        path: of the array.
        index: of a second array, (N, 1 + k): which piece each entry came from, and what was said of it.
    """

    def __init__(self, path: Path, index: Path) -> None:
        self.path, self.index = path, index
        self.own = f"part{os.getpid()}-{threading.get_ident()}"  # two threads of a worker may cut the same images
        self.part = path.with_name(f".{path.name}.{self.own}")
        self.said: list[NDArray[np.intp]] = []
        self.shape: tuple[int, ...] = ()
        self.dtype: np.dtype[Any] | None = None
        self.file: BinaryIO | None = None

    def add(self, piece: NDArray[Any], said: NDArray[np.intp]) -> None:
        """Append a piece and what is `said` (n, k) of its entries; the first one decides the shape of an entry."""
        if self.file is None:
            self.dtype, self.shape = piece.dtype, piece.shape[1:]
            self.file = self.part.open("w+b")
            self.file.write(self._header(0))
        elif piece.dtype != self.dtype and self.dtype != np.float32:
            self._change(np.dtype(np.float32))
        if piece.shape[1:] != self.shape:
            raise ValueError(f"a piece of {piece.shape[1:]} cannot follow pieces of {self.shape}")
        self.file.write(np.ascontiguousarray(piece, self.dtype).data)
        self.said.append(np.column_stack([np.full(len(piece), len(self.said)), said]))

    def _header(self, length: int) -> bytes:
        assert self.dtype is not None
        head, shape = BytesIO(), (length, *self.shape)
        described = np.lib.format.dtype_to_descr(self.dtype)
        np.lib.format.write_array_header_1_0(head, {"descr": described, "fortran_order": False, "shape": shape})
        return head.getvalue()

    def _change(self, dtype: np.dtype[Any]) -> None:
        """Write what is there again as numbers of another type."""
        assert self.file is not None and self.dtype is not None
        old, size = self.file, self.dtype.itemsize
        old.seek(len(self._header(0)))
        before, self.dtype = self.dtype, dtype
        other = self.part.with_name(f"{self.part.name}b")
        with other.open("w+b") as file:
            file.write(self._header(0))
            while data := old.read(AT_ONCE * size):
                file.write(np.frombuffer(data, before).astype(dtype).data)
        old.close()
        os.replace(other, self.part)
        self.file = self.part.open("r+b")
        self.file.seek(0, os.SEEK_END)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.file is None:
            return
        try:
            if kind is None:
                self._finish(self.file)
        finally:
            with contextlib.suppress(OSError):  # on a full disk what was not yet written fails once more
                self.file.close()
            for left in (self.part, self.part.with_name(f"{self.part.name}b")):
                left.unlink(missing_ok=True)

    def _finish(self, file: BinaryIO) -> None:
        empty, head = self._header(0), self._header(sum(map(len, self.said)))
        if len(empty) != len(head):
            raise ValueError("this version of NumPy pads its headers no longer")
        file.seek(0)
        file.write(head)
        file.flush()
        os.fsync(file.fileno())
        index = self.index.with_name(f".{self.index.name}.{self.own}")
        with index.open("wb") as beside:
            np.save(beside, np.concatenate(self.said), allow_pickle=False)
        os.replace(index, self.index)  # first, because whoever finds the array expects it
        file.close()
        os.replace(self.part, self.path)


def cleared(folder: Path, pattern: str) -> None:
    """Remove half-written parts that were left behind by a killed process, a day after anybody wrote to them."""
    for left in folder.glob(pattern):
        try:
            if ".part" in left.name and time.time() - left.stat().st_mtime > ABANDONED:
                left.unlink()
        except OSError:  # another process was quicker, or still holds it
            continue
