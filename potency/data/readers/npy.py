"""Read `.npy` arrays through a memory map; arrays of Python objects (pickle) are refused."""

from __future__ import annotations

import builtins
import math
import re
from typing import Any, BinaryIO, Literal

import numpy as np
from numpy.lib import format as npformat
from numpy.typing import NDArray

from potency.data.pixels import Window, named, native
from potency.data.readers.layout import Layout, unnamed
from potency.errors import ImageError

suffixes = (".npy",)
LONGEST = 10_000  # bytes of a header; NumPy's own bound
WRITTEN = re.compile(  # plain numbers only: what else a header may describe is left to NumPy
    rb"\{'descr': '([<>|=][biufc]\d{1,2})', 'fortran_order': (True|False), "
    rb"'shape': \((\d+,|(?:\d+, )+\d+|)\), \}\s*"
)


def recognises(path: str, head: bytes) -> bool:
    """Say whether the first bytes are those of a NumPy array."""
    return head.startswith(npformat.MAGIC_PREFIX)


def open(path: str, head: bytes, size: int, pages: str | None = None, series: int = 0) -> Npy:
    """Open an array; it names no axes, so they follow from its shape (`layout.unnamed`) and `pages`."""
    with builtins.open(path, "rb") as file:
        version = npformat.read_magic(file)
        if version not in ((1, 0), (2, 0), (3, 0)):
            raise ImageError(f"NumPy format {version} is not known", path, "save it again with np.save")
        shape, fortran, dtype = described(file, version)
        offset = file.tell()
    if dtype.hasobject:
        raise ImageError(
            "the array holds Python objects (a pickle), which could run code when loaded",
            path,
            "save plain numbers: np.save(path, np.asarray(image, dtype='float32'))",
        )
    native(dtype, path)
    if offset + math.prod(shape) * dtype.itemsize > size:
        raise ImageError(
            f"the file is cut short: {shape} {dtype} should fill {math.prod(shape) * dtype.itemsize} bytes",
            path,
            "copy it again from where it was made",
        )
    return Npy(path, dtype, Layout.of(unnamed(shape, path), shape, pages, path), offset, fortran)


def described(file: BinaryIO, version: tuple[int, int]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Read the shape, order and type that the header gives, as `np.save` writes it.

    NumPy reads it by Python's own parser, which in some versions (3.11) is not safe in threads: of thousands of
    arrays read at once, one was refused for a "recursion depth mismatch". What is written otherwise goes that way.
    """
    start = file.tell()
    length = int.from_bytes(file.read(2 if version == (1, 0) else 4), "little")
    found = WRITTEN.fullmatch(file.read(length)) if length < LONGEST else None
    if found:
        shape = tuple(int(size) for size in found[3].replace(b",", b" ").split())
        return shape, found[2] == b"True", np.dtype(found[1].decode("ascii"))
    file.seek(start)
    read = npformat.read_array_header_1_0 if version == (1, 0) else npformat.read_array_header_2_0
    return read(file)


class Npy:
    """The pixels of one array file."""

    def __init__(self, path: str, stored: np.dtype, layout: Layout, offset: int, fortran: bool) -> None:
        self.path, self.stored, self.layout, self.offset, self.fortran = path, stored, layout, offset, fortran
        self.axes, self.shape = layout.axes, layout.shape
        self.levels = (self.shape,)
        self.dtype = native(stored, path)
        self.pixel_size = None
        count = self.shape[self.axes.index("C")] if "C" in self.axes else 1
        rgb = "S" in self.layout.names and count == 3
        self.channels = named(("red", "green", "blue") if rgb else None, count)
        self.notes = self.layout.notes

    def read(self, window: Window, level: int = 0) -> NDArray[Any]:
        """Copy a window out of the memory map."""
        order: Literal["F", "C"] = "F" if self.fortran else "C"
        mapped = np.memmap(self.path, self.stored, "r", self.offset, self.layout.sizes, order)
        array = np.asarray(mapped[self.layout.raw(window)])
        return self.layout.arrange(array, window).astype(self.dtype, order="C")
