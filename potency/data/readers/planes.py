"""Pixels of files whose library hands out one plane at a time: only the planes that a window touches are read."""

from __future__ import annotations

import io
import itertools
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from potency.data.pixels import PIECE_LIMIT, Window, named, native
from potency.data.readers.layout import Layout
from potency.errors import ImageError, MissingExtra


def extra(library: str) -> ModuleType:
    """Import a library of the extra `vendor`, or say how to install it.

    Raises:
        MissingExtra: it is not installed.
    """
    from importlib import import_module

    try:
        return import_module(library)
    except ImportError as error:
        raise MissingExtra(library.partition(".")[0], "vendor") from error


class Bounded(io.FileIO):
    """A file that sets no memory aside for more than it holds, whatever length a damaged header asks for."""

    def __init__(self, path: str) -> None:
        super().__init__(path, "rb")
        self.length = self.seek(0, io.SEEK_END)
        self.seek(0)

    def read(self, size: int | None = -1, /) -> bytes:
        left = max(0, self.length - self.tell())
        return super().read(left if size is None or size < 0 else min(size, left)) or b""


class Planes(ABC):
    """The pixels of one image of a file; a reader adds `plane`, which opens the file, reads and closes it.

    Args:
        again: what `reader` takes to open the file once more, in a worker.
        reader: the `open` of the reader's module.
        letters: axes of the file, those that count planes first, then YX, then S where a plane has samples.
        sizes: their lengths.
        dtype: as stored.
        facts: `pixel_size`, `names` (of the channels), `notes`, `series`: what the file says of itself.
    """

    def __init__(
        self,
        again: tuple[Any, ...],
        reader: Any,
        letters: str,
        sizes: Sequence[int],
        dtype: np.dtype,
        facts: Mapping[str, Any],
    ) -> None:
        self._again, self._reader = again, reader
        self.path, pages = str(again[0]), again[3]
        self.letters, self.sizes = letters, tuple(int(n) for n in sizes)
        self.layout = Layout.of(letters, self.sizes, pages, self.path)
        self.axes, self.shape = self.layout.axes, self.layout.shape
        self.levels = (self.shape,)
        self.dtype = native(np.dtype(dtype), self.path)
        plane = math.prod(n for a, n in zip(letters, self.sizes, strict=True) if a in "YXS") * self.dtype.itemsize
        if plane > PIECE_LIMIT:
            raise ImageError(
                f"the header claims planes of {plane / 2**30:.1f} GiB",
                self.path,
                "if the image is genuine, export it as tiled TIFF or OME-Zarr, which are read window by window",
            )
        self.pixel_size: Mapping[str, float] | None = facts.get("pixel_size")
        self.series = int(facts.get("series", 1))
        count = self.shape[self.axes.index("C")] if "C" in self.axes else 1
        names = tuple(facts.get("names") or ())
        if len(names) != count or not all(names):
            names = ("red", "green", "blue") if "S" in self.layout.names and count == 3 else ()
        self.channels = named(names or None, count)
        self.notes = (*facts.get("notes", ()), *self.layout.notes)
        if self.series > 1 and not again[4]:
            self.notes = (*self.notes, f"the first of {self.series} series is read")

    @abstractmethod
    def plane(self, at: Mapping[str, int], rows: slice, columns: slice) -> NDArray[Any]:
        """Read the window of one plane as (Y, X) or (Y, X, S); `at` counts the other axes by their letters."""

    def read(self, window: Window, level: int = 0) -> NDArray[Any]:
        """Read a window, plane by plane."""
        raw = self.layout.raw(window)
        by_letter = dict(zip(self.letters, raw, strict=True))
        lead = [letter for letter in self.letters if letter not in "YXS"]
        out = np.empty([part.stop - part.start for part in raw], self.dtype)
        for place in itertools.product(*(range(by_letter[a].start, by_letter[a].stop) for a in lead)):
            pixels = self.plane(dict(zip(lead, place, strict=True)), by_letter["Y"], by_letter["X"])
            if "S" in by_letter:
                pixels = pixels[..., by_letter["S"]]
            into = tuple(n - by_letter[a].start for a, n in zip(lead, place, strict=True))
            if pixels.shape != out[into].shape:
                raise ImageError(
                    f"a plane has {pixels.shape} pixels where the header promised {out[into].shape}",
                    self.path,
                    "export the image again: its header and its pixels disagree",
                )
            out[into] = pixels
        return np.ascontiguousarray(self.layout.arrange(out, window))

    def __reduce__(self) -> tuple[object, ...]:
        return self._reader, self._again  # a worker opens the file for itself
