"""Any window of an image of any size at any power of two of its pixels, read in bounded memory."""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from potency.data.image import Image
from potency.errors import ImageError
from potency.web.bands import Bands, shrunk, write_bands

TILE = 256  # pixels a side of one tile
DIRECT = 2048  # pixels a side that are read for one tile at most
STEP = 8  # of an overview: this many pixels become one, so that a tile of a coarser level needs no more than DIRECT
BAND = 16 * 2**20  # bytes of an image that are held while its overview is made, by each of so many threads
THREADS = 2
PIECE = 2**24  # pixels of a strip or tile: of a file in larger pieces every window costs as much as all of it
HELD = 64 * 2**20  # bytes of a plane that is held in memory whole; larger ones are read window by window
KEPT = 192 * 2**20  # bytes of such planes that are held at once

_PLANES: OrderedDict[tuple[Any, ...], NDArray[Any]] = OrderedDict()
_MAKING: dict[Path, threading.Lock] = {}
_SHARES: dict[tuple[Path, str], float] = {}  # of overviews that are being made
_GUARD = threading.Lock()


@dataclass(frozen=True)
class Source:
    """Pixels (C, Y, X) `shrink` times coarser than the image, and how a window (y0, y1, x0, x1) of them is read."""

    shrink: float
    height: int
    width: int
    read: Callable[[tuple[int, int, int, int]], NDArray[Any]]


class Pyramid:
    """One time and plane of an image as tiles.

    Level 0 is one tile that shows all of it; each level has twice the pixels of the one before along each side; `top`
    has those of the file. Levels that the file holds are used. Where it holds too few, an overview is made once, in one
    pass over the image in bands, and kept in `place`; so is a copy of what cannot be read in parts (a large PNG or
    JPEG, a TIFF in one piece). Averages of pixels are shown, of labels every so many-th pixel.

    Args:
        image: what is shown.
        place: folder of overviews and copies.
        name: what their files are called; it must change with the image.
        t: time point.
        z: plane.
        channels: which are read, by number; all where none is named.
        labels: numbers of objects, which have no average.
    """

    def __init__(
        self, image: Image, place: Path, name: str, t: int = 0, z: int = 0, channels: tuple[int, ...] = (),
        labels: bool = False,
    ) -> None:  # fmt: skip
        sizes = image.sizes
        self.image, self.place, self.name, self.t, self.z, self.labels = image, place, name, t, z, labels
        self.channels = channels or tuple(range(sizes.get("C", 1)))
        self.height, self.width = sizes["Y"], sizes["X"]
        self.top = max(0, math.ceil(math.log2(max(self.height, self.width) / TILE)))
        self.sources = self._levels()

    def window(self, level: int, box: tuple[int, int, int, int]) -> NDArray[Any]:
        """Pixels (C, h, w) of a box (y0, y1, x0, x1) in pixels of a level, cut where the image ends.

        Raises:
            ImageError: there is nothing there, or the file cannot be read.
        """
        factor = 2 ** (self.top - level) if 0 <= level <= self.top else 0
        high, wide = (-(-side // factor) if factor else 0 for side in (self.height, self.width))
        y0, y1, x0, x1 = max(0, box[0]), min(high, box[1]), max(0, box[2]), min(wide, box[3])
        if y0 >= y1 or x0 >= x1:
            raise ImageError("the image has no such tile", f"level {level}", f"levels go from 0 to {self.top}")
        try:
            return self._window(factor, (y0, y1, x0, x1))
        except FileNotFoundError:  # somebody has cleared the overviews away: they are made again
            self.sources = self._levels()
            return self._window(factor, (y0, y1, x0, x1))

    def _window(self, factor: int, box: tuple[int, int, int, int]) -> NDArray[Any]:
        y0, y1, x0, x1 = box
        source = self._source(factor, max(y1 - y0, x1 - x0))
        step = factor / source.shrink
        near = [math.floor(edge * step) for edge in (y0, x0)]
        far = [min(end, math.ceil(edge * step)) for edge, end in ((y1, source.height), (x1, source.width))]
        near = [min(start, stop - 1) for start, stop in zip(near, far, strict=True)]
        pixels = source.read((near[0], far[0], near[1], far[1]))
        if step == 1:
            return pixels
        return shrunk(pixels, step, (y1 - y0, x1 - x0), self.labels)

    def tile(self, level: int, x: int, y: int) -> NDArray[Any]:
        """Pixels (C, h, w) of one tile."""
        return self.window(level, (y * TILE, (y + 1) * TILE, x * TILE, (x + 1) * TILE))

    @property
    def ready(self) -> bool:
        """Whether all tiles come at once: an overview that is needed was made before, or none is needed."""
        last = self.sources[-1]
        return max(last.height, last.width) <= DIRECT or self._path(last.shrink * STEP).is_file()

    @property
    def share(self) -> float:
        """How much of an overview that is being made is there, 0 to 1."""
        return min(1.0, _SHARES.get((self.place, self.name), 0.0))

    def sample(self) -> NDArray[Any]:
        """Pixels (C, n) from all over the image, quickly, to tell how bright it is."""
        if max(self.sources[-1].height, self.sources[-1].width) <= DIRECT:
            source = self.sources[-1]
            pixels = source.read((0, source.height, 0, source.width))
            return pixels.reshape(len(pixels), -1)
        source, side = self.sources[0], 128
        starts = [np.linspace(0, max(0, length - side), 8).astype(int) for length in (source.height, source.width)]
        parts = [source.read((int(y), int(min(y + side, source.height)), int(x), int(min(x + side, source.width))))
                 for y in starts[0] for x in starts[1]]  # fmt: skip
        return np.concatenate([part.reshape(len(part), -1) for part in parts], axis=1)

    def _levels(self) -> list[Source]:
        """What the file holds, from the finest; a plane that fits is held in memory."""
        image, axes = self.image, self.image.axes
        size = self.height * self.width * len(self.channels) * image.dtype.itemsize
        if size <= (HELD if len(image.pixels.levels) == 1 else HELD // 8):
            return [Source(1.0, self.height, self.width, _part_of(partial(_held, self)))]
        if not _in_pieces(image):
            return [self._copy()]
        found = []
        for number, shape in enumerate(image.pixels.levels):
            other = [(n, m) for axis, n, m in zip(axes, image.shape, shape, strict=True) if axis not in "YX"]
            by_axis = dict(zip(axes, shape, strict=True))
            shrink = max(self.height / by_axis["Y"], self.width / by_axis["X"])
            if all(n == m for n, m in other):
                nearest = round(shrink)
                shrink = float(nearest) if abs(shrink - nearest) < 0.01 * nearest else shrink  # 4443 to 2221 is 2
                found.append(Source(shrink, by_axis["Y"], by_axis["X"], partial(self._read, number)))
        return sorted(found, key=lambda source: source.shrink)

    def _read(self, level: int, box: tuple[int, int, int, int]) -> NDArray[Any]:
        """A window (C, h, w) of a level of the file."""
        first, last = min(self.channels), max(self.channels) + 1
        wanted = {"T": slice(self.t, self.t + 1), "Z": slice(self.z, self.z + 1), "C": slice(first, last),
                  "Y": slice(box[0], box[1]), "X": slice(box[2], box[3])}  # fmt: skip
        window = {axis: wanted[axis] for axis in self.image.axes}
        try:
            pixels = self.image.pixels.read(window, level)
        except ImageError:
            raise
        except Exception as error:  # decoders raise whatever they like
            from potency.data.pixels import undecodable

            raise undecodable(error, self.image.name) from error
        pixels = pixels.reshape(-1, *pixels.shape[-2:])
        return pixels if len(pixels) == len(self.channels) else pixels[[c - first for c in self.channels]]

    def _source(self, factor: int, side: int) -> Source:
        """The coarsest pixels from which those of a factor can be made, an overview where the file has none."""
        while True:
            source = max((one for one in self.sources if one.shrink <= factor * 1.01), key=lambda one: one.shrink)
            if side * factor / source.shrink <= DIRECT + STEP or source.shrink < self.sources[-1].shrink:
                return source
            self.sources.append(self._overview(self.sources[-1]))

    def _overview(self, source: Source) -> Source:
        """Pixels STEP times coarser than the coarsest there are, made once."""
        height, width = -(-source.height // STEP), -(-source.width // STEP)
        shrink = source.shrink * STEP
        shape, dtype = (len(self.channels), height, width), self.image.dtype

        row = STEP * source.width * dtype.itemsize * len(self.channels)
        rows = max(1, BAND // row)  # of the overview

        def band(top: int) -> tuple[int, NDArray[Any]]:
            stop = min(height, top + rows)
            pixels = source.read((top * STEP, min(source.height, stop * STEP), 0, source.width))
            return top, shrunk(pixels, STEP, (stop - top, width), self.labels)

        def bands() -> Iterator[tuple[int, NDArray[Any]]]:
            with ThreadPoolExecutor(THREADS) as threads:
                yield from threads.map(band, range(0, height, rows))

        return self._mapped(shrink, shape, bands)

    def _counted(self, bands: Bands) -> Bands:
        """Bands, told of as they come."""
        key = (self.place, self.name)
        try:
            for top, pixels in bands:
                yield top, pixels
                _SHARES[key] = (top + pixels.shape[1]) * self.width / pixels.shape[2] / self.height
        finally:
            _SHARES.pop(key, None)

    def _copy(self) -> Source:
        """The plane of a file that can only be read whole, unpacked once."""

        def bands() -> Iterator[tuple[int, NDArray[Any]]]:
            yield 0, self._read(0, (0, self.height, 0, self.width))

        return self._mapped(1.0, (len(self.channels), self.height, self.width), bands)

    def _path(self, shrink: float) -> Path:
        chosen = "-".join(map(str, self.channels))
        return self.place / f"{self.name}-t{self.t}z{self.z}c{chosen}-{shrink:g}.npy"

    def _mapped(self, shrink: float, shape: tuple[int, int, int], bands: Callable[[], Bands]) -> Source:
        """An array on the disk that is written once, however many ask for it at the same time."""
        path = self._path(shrink)
        with _GUARD:
            lock = _MAKING.setdefault(path, threading.Lock())
        with lock:
            if not path.is_file():
                write_bands(path, self.image.dtype, shape, self._counted(bands()))
        with _GUARD:
            _MAKING.pop(path, None)
        return Source(shrink, shape[1], shape[2], _part_of(partial(np.load, path, "r")))


def _part_of(whole: Callable[[], NDArray[Any]]) -> Callable[[tuple[int, int, int, int]], NDArray[Any]]:
    return lambda box: np.array(whole()[:, box[0] : box[1], box[2] : box[3]])


def _held(pyramid: Pyramid) -> NDArray[Any]:
    """A plane (C, Y, X) from memory, read where it is not there; the least used ones make room."""
    key = (str(pyramid.place), pyramid.name, pyramid.t, pyramid.z, pyramid.channels)
    with _GUARD:
        found = _PLANES.get(key)
        if found is not None:
            _PLANES.move_to_end(key)
            return found
    found = pyramid._read(0, (0, pyramid.height, 0, pyramid.width))
    with _GUARD:
        _PLANES[key] = found
        while sum(plane.nbytes for plane in _PLANES.values()) > KEPT:
            _PLANES.popitem(last=False)
    return found


def _in_pieces(image: Image) -> bool:
    """Whether a window of an image is read without reading all of it."""
    from potency.data.readers.photo import Photo
    from potency.data.readers.tiff import Tiff

    pixels = image.pixels
    if isinstance(pixels, Tiff):
        return pixels.level[0].final or math.prod(pixels.level[0].chunk) <= PIECE
    return not isinstance(pixels, Photo)
