"""Images and label images that are being looked at: opened once, their tiles drawn as a query asks."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from potency.data.image import Image
from potency.errors import PotencyError
from potency.web.pyramid import Pyramid
from potency.web.tiles import (
    Channel,
    Drawer,
    Shown,
    channels_of,
    colour_of,
    is_colour,
    outlined,
    picture,
    png,
    with_edge,
)

FOLDER = "views"  # of overviews, in the folder of a set or a job
TOGETHER = 4  # channels that are read at once; of more each is read when it is shown
OPEN = 64  # images that are kept open (their headers are)
APART = 2**22  # pixels of labels whose neighbours get different colours; in larger ones a number has its colour
GAMMA = 0.7  # of a map's numbers, so that what is weak is seen, too
FOR, AGAINST = (214, 39, 40), (31, 80, 200)  # of a map's numbers above and below 0, as pictures of maps have them
DRAWER = Drawer()


@dataclass(frozen=True, eq=False)
class View:
    """An image that is looked at; `stamp` tells it from another of that name."""

    image: Image
    place: Path
    name: str
    stamp: str
    labels: bool = False
    _pyramids: dict[tuple[int, int, tuple[int, ...]], Pyramid] = field(default_factory=dict)

    @property
    def frames(self) -> int:
        return self.image.sizes.get("T", 1)

    @property
    def planes(self) -> int:
        return self.image.sizes.get("Z", 1)

    @property
    def top(self) -> int:
        return self.pyramid().top

    def pyramid(self, t: int | None = None, z: int | None = None, channel: int = 0) -> Pyramid:
        """The tiles of a time and plane (of the middle ones); of many channels those of one.

        Raises:
            PotencyError: the image has no such time or plane.
        """
        t, z = self.frames // 2 if t is None else t, self.planes // 2 if z is None else z
        if not (0 <= t < self.frames and 0 <= z < self.planes):
            raise PotencyError(f"there is no time {t} or no plane {z}", "the address",
                               f"the image has {self.frames} times and {self.planes} planes, from 0")  # fmt: skip
        every = self.image.sizes.get("C", 1)
        group = tuple(range(every)) if every <= TOGETHER else (channel,)
        key = (t, z, group)
        if key not in self._pyramids:
            while len(self._pyramids) > OPEN:
                self._pyramids.pop(next(iter(self._pyramids)), None)
            self._pyramids[key] = Pyramid(self.image, self.place, self.name, t, z, group, self.labels)
        return self._pyramids[key]

    @cached_property
    def channels(self) -> list[Channel]:
        """Its channels, with the contrast that holds for all of it."""
        every = self.image.sizes.get("C", 1)
        if every <= TOGETHER:
            return channels_of(self.image, self.pyramid())
        found = []
        for number, name in enumerate(self.image.channels):
            one = Image(_Named(self.image, name), self.image.name)  # type: ignore[arg-type]
            (channel,) = channels_of(one, self.pyramid(channel=number))
            colour = colour_of(name, number)
            found.append(Channel(name, colour, channel.low, channel.high, channel.least, channel.most, number < 1))
        return found

    @property
    def colour(self) -> bool:
        return is_colour(self.image)

    def read(self, level: int, x: int, y: int, t: int, z: int, channels: tuple[int, ...]) -> NDArray[Any]:
        """Pixels (C, h, w) of some channels of a tile."""
        if self.image.sizes.get("C", 1) <= TOGETHER:
            return self.pyramid(t, z).tile(level, x, y)[list(channels)]
        return np.concatenate([self.pyramid(t, z, channel).tile(level, x, y) for channel in channels])

    def tile(self, level: int, x: int, y: int, t: int, z: int, shown: Shown) -> bytes:
        """A tile of the image as PNG."""

        def draw() -> bytes:
            pixels = self.read(level, x, y, t, z, shown.channels)
            if self.colour and shown.channels == (0, 1, 2) and set(shown.low + shown.high) == {0.0, 255.0}:
                return png(np.ascontiguousarray(np.moveaxis(pixels, 0, -1)))
            return png(picture(pixels, shown))

        return DRAWER.tile((str(self.place), self.name, self.stamp, level, x, y, t, z, shown), draw)

    def drawn(self, level: int, x: int, y: int, style: str, classes: tuple[tuple[int, int], ...] = ()) -> bytes:
        """A tile of labels as PNG that can be seen through; `classes` are (number, place of its colour), if any."""

        def draw() -> bytes:
            colours = _by_class(dict(classes)) if style == "class" else self._colours
            return png(outlined(with_edge(self.pyramid(0, 0), level, x, y), style, colours))

        return DRAWER.tile((str(self.place), self.name, self.stamp, level, x, y, style, classes), draw)

    def ramp(self, level: int, x: int, y: int) -> bytes:
        """A tile of a map of numbers, 0 to 1 or -1 to 1, as PNG: what is 0 can be seen through."""

        def draw() -> bytes:
            values = np.clip(np.nan_to_num(self.pyramid(0, 0).tile(level, x, y)[0].astype(np.float32)), -1, 255)
            values = values / 255 if self.image.dtype == np.uint8 else np.minimum(values, 1)
            made = np.zeros((*values.shape, 4), np.uint8)
            made[..., :3] = np.where(values[..., None] < 0, AGAINST, FOR)
            made[..., 3] = np.abs(values) ** GAMMA * 255
            return png(made)

        return DRAWER.tile((str(self.place), self.name, level, x, y, "map"), draw)

    @cached_property
    def _colours(self) -> Callable[[NDArray[Any]], NDArray[np.uint8]]:
        from potency.answers.drawing import colours_apart, colours_of

        pyramid = self.pyramid(0, 0)
        if pyramid.height * pyramid.width > APART:
            return colours_of
        known, colours = colours_apart(pyramid.window(pyramid.top, (0, pyramid.height, 0, pyramid.width))[0])
        return lambda values: colours[np.searchsorted(known, values)]

    def at(self, x: int, y: int, t: int, z: int) -> list[float]:
        """The values of all channels at a pixel.

        Raises:
            PotencyError: it lies outside of the image.
        """
        pyramid = self.pyramid(t, z)
        if not (0 <= y < pyramid.height and 0 <= x < pyramid.width):
            raise PotencyError("that is outside of the image", f"{x}, {y}", "point at the image")
        box = (y, y + 1, x, x + 1)
        every = self.image.sizes.get("C", 1)
        if every <= TOGETHER:
            return [float(value) for value in pyramid.window(pyramid.top, box).ravel()]
        return [float(self.pyramid(t, z, c).window(pyramid.top, box).ravel()[0]) for c in range(every)]


@dataclass(frozen=True, eq=False)
class _Named:
    """One channel's facts of an image of many, enough to say how it is shown."""

    image: Image
    name: str

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.image.dtype

    @property
    def channels(self) -> tuple[str, ...]:
        return (self.name,)


def _by_class(places: dict[int, int]) -> Callable[[NDArray[Any]], NDArray[np.uint8]]:
    from potency.answers.drawing import COLOURS

    palette = np.array(COLOURS, np.uint8)
    known = np.array(sorted(places), np.int64)
    at = np.array([places[number] for number in sorted(places)], np.intp)

    def colours(values: NDArray[Any]) -> NDArray[np.uint8]:
        if not len(known):
            return np.tile(palette[-1], (len(values), 1))
        place = np.minimum(np.searchsorted(known, values), len(known) - 1)
        return palette[np.where(known[place] == values, at[place] % len(palette), len(palette) - 1)]

    return colours


_OPENED: OrderedDict[tuple[str, str], View] = OrderedDict()
_GUARD = threading.Lock()


def opened(path: Path, place: Path, name: str, labels: bool = False) -> View:
    """The view of a file; of the last ones the headers are in memory.

    Raises:
        ImageError: it cannot be read.
    """
    from potency.data.masks import ngff
    from potency.data.readers import open_image

    stamp = _stamp(path)
    key = (str(path), stamp)
    with _GUARD:
        if key in _OPENED:
            _OPENED.move_to_end(key)
            return _OPENED[key]
    inside = ngff.labels_in(path) if labels and path.suffix.lower() == ".zarr" else path
    view = View(open_image(inside), place / FOLDER, f"{name}-{stamp}", stamp, labels)
    with _GUARD:
        _OPENED[key] = view
        while len(_OPENED) > OPEN:
            _OPENED.popitem(last=False)
    return view


def _stamp(path: Path) -> str:
    try:
        facts = path.stat()
    except OSError:
        return ""
    return f"{facts.st_mtime_ns:x}-{facts.st_size:x}"


@lru_cache(maxsize=4)
def table_of(path: Path, stamp: int) -> Any:
    """A table of objects, of the last ones in memory; `stamp` is the time of the file."""
    from potency.answers.files import read_table

    return read_table(path)
