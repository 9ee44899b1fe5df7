"""Read TIFF, BigTIFF, OME-TIFF and ImageJ files: only the strips and tiles that a window touches."""

from __future__ import annotations

import builtins
import logging
import struct
import threading
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from potency.data.pixels import Window, named, native
from potency.data.readers.layout import Layout
from potency.data.readers.tiffcolour import Colour
from potency.data.readers.tiffmeta import channel_names, interval, pixel_size
from potency.data.readers.tiffpages import Level
from potency.data.readers.tiffpieces import refuse_jpeg_xr
from potency.errors import ImageError

suffixes = (".tif", ".tiff", ".btf", ".tf8", ".lsm", ".svs")

MAGIC = (b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+")


def recognises(path: str, head: bytes) -> bool:
    """Say whether the first bytes are those of a TIFF or BigTIFF file."""
    return head[:4] in MAGIC


def open(path: str, head: bytes, size: int, pages: str | None = None, series: int = 0) -> Tiff:
    """Open one series of a file; `pages` ("T", "C", "Z") says what pages without a meaning are."""
    refuse_circle(path, head)
    try:
        with Complaints() as complaints, tifffile.TiffFile(path) as file:
            if not len(file.pages):
                raise ImageError("the TIFF file holds no pages", path, "export the image again")
            image = Tiff(path, file, size, pages, series)
            complaints.settle(path)
            return image
    except (tifffile.TiffFileError, struct.error, IndexError, EOFError) as error:
        raise ImageError(
            f"the TIFF structure is damaged or cut short: {str(error)[:200]}",
            path,
            "copy the file again from where it was made",
        ) from error


def refuse_circle(path: str, head: bytes) -> None:
    """Refuse pages that are chained in a circle: whoever counts them never ends."""
    order = "<" if head[:2] == b"II" else ">"
    big = head[2:4] in (b"+\x00", b"\x00+")
    # BigTIFF widens every number: of entries, of an entry, of an offset (TIFF 6.0, section 2; BigTIFF proposal).
    number, entry, offset = (f"{order}Q", 20, f"{order}Q") if big else (f"{order}H", 12, f"{order}I")
    seen: set[int] = set()
    with builtins.open(path, "rb") as file:
        file.seek(8 if big else 4)
        while len(data := file.read(struct.calcsize(offset))) == struct.calcsize(offset):
            page = int(struct.unpack(offset, data)[0])
            if page in seen:
                raise ImageError("the pages are chained in a circle", path, "the file is damaged; export it again")
            if page == 0:
                return
            seen.add(page)
            file.seek(page)
            if len(data := file.read(struct.calcsize(number))) < struct.calcsize(number):
                return
            file.seek(int(struct.unpack(number, data)[0]) * entry, 1)


class Complaints(logging.Handler):
    """Hear what tifffile only logs: a chain of pages that breaks off gives a shorter stack and no error."""

    broken = ("invalid page offset", "corrupted tag list", "invalid offset to page", "circular reference")

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.thread, self.heard = threading.get_ident(), list[str]()

    def emit(self, record: logging.LogRecord) -> None:
        if record.thread == self.thread:
            self.heard.append(record.getMessage())

    def __enter__(self) -> Complaints:
        logging.getLogger("tifffile").addHandler(self)
        return self

    def __exit__(self, *_: object) -> None:
        logging.getLogger("tifffile").removeHandler(self)

    def settle(self, path: str) -> None:
        """Refuse a file whose pages cannot all be found."""
        if any(sign in line for line in self.heard for sign in self.broken):
            raise ImageError(
                "the chain of pages breaks off: the file is cut short or damaged",
                path,
                "copy the file again from where it was made",
            )


class Tiff:
    """The pixels of one series of a TIFF file, its pyramid (SubIFDs, reduced pages) as levels."""

    def __init__(self, path: str, file: tifffile.TiffFile, size: int, pages: str | None, number: int) -> None:
        self.path, self._opened = path, (path, b"", size, pages, number)
        where = path
        # Of a slide or an LSM stack the other series are its label, its overview, its thumbnails.
        self.series = 1 if file.is_svs or file.is_lsm else len(file.series)
        series = file.series[min(number, self.series - 1)]  # one that is not there is refused by who opens it
        if file.is_imagej and series.kind != "imagej":
            raise ImageError(
                "the ImageJ stack holds fewer planes than it says",
                where,
                "the file is cut short; copy it again, or save the stack again from ImageJ",
            )
        page = series.keyframe
        if page.dtype is None or 0 in page.shaped:
            raise ImageError(
                f"the TIFF holds {page.bitspersample}-bit pixels of a kind that is not read, {page.shape} of them",
                where,
                "save it as 8- or 16-bit integers or 32-bit floats",
            )
        refuse_jpeg_xr(int(page.compression), where)
        self.colour = Colour.of(page, file.is_imagej or file.is_ome, where)
        self.dtype = native(np.dtype(self.colour.dtype), where)
        self.level = [Level(one, where) for one in series.levels]
        self.level[0].check(size)
        self.layout = [Layout.of(*self.colour.given(one.letters, one.sizes), pages, where) for one in self.level]
        self.axes, self.shape = self.layout[0].axes, self.layout[0].shape
        same = [i for i, one in enumerate(self.layout) if one.axes == self.axes]
        self.level, self.layout = [self.level[i] for i in same], [self.layout[i] for i in same]
        self.levels = tuple(one.shape for one in self.layout)
        self.pixel_size, self.interval = pixel_size(file, number), interval(file, number)
        count = self.shape[self.axes.index("C")] if "C" in self.axes else 1
        names = channel_names(file, count, number)
        if names is None and count == 3 and self.colour.rgb:
            names = ("red", "green", "blue")
        self.channels = named(names, count, where)
        more: tuple[str, ...] = (f"the first of {self.series} series is read",) if number == 0 < self.series - 1 else ()
        if file.is_ome and series.kind != "ome":
            more = (*more, "the OME metadata does not describe these pages, which are read as they lie")
        self.notes = (*self.colour.notes, *self.layout[0].notes, *more)

    def read(self, window: Window, level: int = 0) -> NDArray[Any]:
        """Read a window of one level."""
        layout, source = self.layout[level], self.level[level]
        raw = self.colour.needed(source.letters, layout.raw(window))
        array = self.colour.given_pixels(source.letters, source.read(raw), layout.raw(window))
        array = array.astype(self.dtype, copy=False)
        return np.ascontiguousarray(layout.arrange(array, window))

    def __reduce__(self) -> tuple[object, ...]:
        return open, self._opened  # a worker opens the file for itself
