"""Find and decode the strips and tiles of TIFF pages that a window touches, and no others."""

from __future__ import annotations

import builtins
import itertools
import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from potency.data.pixels import PIECE_LIMIT
from potency.data.readers.tiffpieces import guard
from potency.errors import ImageError


@dataclass(frozen=True)
class Plane:
    """Where one page lies: its file, and the offset and length of each of its strips or tiles."""

    path: str
    offsets: tuple[int, ...]
    counts: tuple[int, ...]


class Level:
    """One resolution of a series: pages of (planes, depth, rows, columns, samples) under the axes of the file.

    Nothing is kept open: each read opens the file for itself, so threads never share a position, and a manifest
    of any length needs no more than one open file.
    """

    def __init__(self, series: tifffile.TiffPageSeries, where: str) -> None:
        page = series.keyframe
        self.where = os.path.abspath(where)
        self.real = os.path.realpath(where)  # files and folders are often links, and tifffile spells them out
        self.letters, self.sizes = series.get_axes(False), tuple(series.get_shape(False))
        self.page_shape = tuple(page.shaped)
        self.dtype = np.dtype(page.dtype)
        self.stored = self.dtype.newbyteorder(page.parent.byteorder)
        self.nodata = page.nodata
        self.split = self._split()
        self.final = series.dataoffset is not None or page.is_final
        strip = (1, min(page.rowsperstrip, page.imagelength), page.imagewidth)
        self.chunk = (page.tiledepth, page.tilelength, page.tilewidth) if page.is_tiled else strip
        self.compressed = page.compression != 1
        self.decode = page.decode
        self.tables = {"jpegtables": page.jpegtables, "jpegheader": page.jpegheader}
        self.planes = self._planes(series)

    def _split(self) -> int:
        """Find how many leading axes number the pages; the others lie within a page."""
        inside = math.prod(self.page_shape)
        first = min(self.letters.index("Y"), self.letters.index("X"))
        for split in range(first, -1, -1):
            if math.prod(self.sizes[split:]) == inside:
                return split
        raise ImageError(
            f"pages of {self.page_shape} do not make up axes {self.letters} of lengths {self.sizes}",
            self.where,
            "the metadata contradicts the pixels; export the image again",
        )

    def _planes(self, series: tifffile.TiffPageSeries) -> list[Plane]:
        count = math.prod(self.sizes[: self.split])
        if series.dataoffset is not None and not series.is_multifile:
            path = os.path.realpath(series.keyframe.parent.filehandle.path)
            step = math.prod(self.page_shape) * self.stored.itemsize
            planes = [Plane(path, (series.dataoffset + i * step,), (step,)) for i in range(count)]
        else:
            pages = [page for page in series if page is not None]
            if len(pages) != count:
                raise ImageError(
                    f"{len(pages)} of {count} pages are there",
                    self.where,
                    "a part of the image lies in other files that are missing, or the file is cut short",
                )
            planes = [
                Plane(os.path.realpath(page.parent.filehandle.path), page.dataoffsets, page.databytecounts)
                for page in pages
            ]
        folder = os.path.dirname(self.real)
        if any(os.path.dirname(plane.path) != folder for plane in planes):
            # Metadata must not be able to name any file of this machine: an upload would read what it likes.
            raise ImageError(
                "a part of the image lies in another folder",
                self.where,
                "put all files of the image into one folder",
            )
        return planes

    def check(self, size: int) -> None:
        """Refuse what the file cannot hold before anything is decoded."""
        here = [plane for plane in self.planes if plane.path == self.real]
        ends = [o + n for plane in here for o, n in zip(plane.offsets, plane.counts, strict=False)]
        if self.final:
            need = math.prod(self.page_shape) * self.stored.itemsize
            ends += [plane.offsets[0] + need for plane in here]
        if ends and max(ends) > size:
            raise ImageError(
                f"the file is cut short: its pixels should reach byte {max(ends)} of {size}",
                self.where,
                "copy the file again from where it was made",
            )
        pieces = 1 if self.final else math.prod(self._counts())
        listed = min(min(len(plane.offsets), len(plane.counts)) for plane in self.planes)
        if listed < pieces:
            raise ImageError(
                f"the header claims {self.page_shape[3]} x {self.page_shape[2]} pixels in {pieces} pieces,"
                f" the file lists {listed}",
                self.where,
                "the file is cut short or damaged; copy or export it again",
            )
        segment = math.prod(self.chunk) * self.page_shape[4] * self.stored.itemsize
        if not self.final and segment > PIECE_LIMIT:
            raise ImageError(
                f"the header claims {self.page_shape[3]} x {self.page_shape[2]} pixels in pieces of"
                f" {segment / 2**30:.1f} GiB",
                self.where,
                "if the image is genuine, save it again as tiled TIFF; otherwise the file is damaged or a bomb",
            )

    def read(self, window: Sequence[slice]) -> NDArray[Any]:
        """Read start and stop of each axis of the file."""
        lead, tail = window[: self.split], window[self.split :]
        part, direct = self._inside(tail)
        tail_shape = tuple(s.stop - s.start for s in tail)
        out = np.empty((math.prod(s.stop - s.start for s in lead), *tail_shape), self.dtype)
        numbers = np.arange(len(self.planes)).reshape(self.sizes[: self.split] or (1,))
        for target, number in zip(out, numbers[tuple(lead)].ravel(), strict=True):
            pixels = self._page(self.planes[number], part)
            target[...] = (
                pixels.reshape(tail_shape) if direct else pixels.reshape(self.sizes[self.split :])[tuple(tail)]
            )
        return out.reshape(tuple(s.stop - s.start for s in window))

    def _inside(self, tail: Sequence[slice]) -> tuple[tuple[slice, ...], bool]:
        """Turn slices of the axes within a page into slices of its five, where they are the same axes."""
        long = [(n, s) for n, s in zip(self.sizes[self.split :], tail, strict=True) if n > 1]
        if [n for n, _ in long] != [n for n in self.page_shape if n > 1]:
            return tuple(slice(0, n) for n in self.page_shape), False
        slices = iter([s for _, s in long])
        return tuple(next(slices) if n > 1 else slice(0, 1) for n in self.page_shape), True

    def _page(self, plane: Plane, part: tuple[slice, ...]) -> NDArray[Any]:
        if self.final:
            return np.memmap(plane.path, self.stored, "r", plane.offsets[0], self.page_shape)[part]
        out = np.full([s.stop - s.start for s in part], self.nodata, self.dtype)
        with builtins.open(plane.path, "rb") as file:
            for index, corner in self._touched(part):
                offset, count = plane.offsets[index], plane.counts[index]
                if count == 0:
                    continue  # a sparse tile: never written, so it holds the value for no data
                file.seek(offset)
                data = file.read(count)
                if self.compressed:
                    guard(data, self.where)
                pixels = self.decode(data, index, **self.tables)[0]
                if pixels is not None:
                    paste(out, [s.start for s in part], pixels[np.newaxis], corner)
        return out

    def _counts(self) -> list[int]:
        """Count the strips or tiles of a page along planes, depth, rows and columns."""
        return [math.ceil(n / step) for n, step in zip(self.page_shape[:4], (1, *self.chunk), strict=True)]

    def _touched(self, part: tuple[slice, ...]) -> Iterator[tuple[int, tuple[int, ...]]]:
        """List the strips or tiles a part of a page touches: number and first pixel."""
        steps, counts = (1, *self.chunk), self._counts()
        ranges = [range(s.start // step, -(-s.stop // step)) for s, step in zip(part[:4], steps, strict=True)]
        for place in itertools.product(*ranges):
            index = int(np.ravel_multi_index(place, counts))
            yield index, (*(i * step for i, step in zip(place, steps, strict=True)), 0)


def paste(out: NDArray[Any], origin: Sequence[int], pixels: NDArray[Any], corner: Sequence[int]) -> None:
    """Copy what `pixels`, whose first pixel is `corner`, shares with `out`, whose first pixel is `origin`."""
    into, cut = [], []
    for start, size, first, length in zip(origin, out.shape, corner, pixels.shape, strict=True):
        low, high = max(start, first), min(start + size, first + length)
        into.append(slice(low - start, high - start))
        cut.append(slice(low - first, high - first))
    out[tuple(into)] = pixels[tuple(cut)]
