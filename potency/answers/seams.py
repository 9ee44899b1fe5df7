"""Joining the objects of tiles: each belongs to the tile whose core holds its centre."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pandas import DataFrame, concat

from potency.answers.objecttable import AREA, LABEL, box, centre, objects_of_bands, sums_of
from potency.data.tiles import Tile
from potency.errors import AnswerError

Place = tuple[slice, slice]  # rows and columns of a whole image


def owned(tile: Tile, table: DataFrame, shape: tuple[int, int], axes: int = 2) -> DataFrame:
    """The objects of a tile whose centre its core holds, in the coordinates of the whole image of `shape`.

    Centres are sums of whole numbers over areas, so no rounding carries one across a seam: of two tiles that see an
    object alike exactly one owns it.
    """
    window = tile.window(shape)
    moved = table.copy()
    for axis, at in zip((-2, -1), (window["Y"].start, window["X"].start), strict=True):
        for names in (centre(axes)[axis:][:1], box(axes)[:axes][axis:][:1], box(axes)[axes:][axis:][:1]):
            for name in names:
                if name in moved.columns:
                    moved[name] = moved[name] + at
    y, x = (moved[name].to_numpy(np.float64) for name in centre(axes)[-2:])
    inside = (y >= tile.y) & (y < tile.y + tile.height) & (x >= tile.x) & (x < tile.x + tile.width)
    return moved[inside]


def fitting(tile: Tile, pixels: NDArray[Any], shape: tuple[int, int]) -> Place:
    """The window of a tile in the whole; an answer of another size is refused."""
    window = tile.window(shape)
    place = window["Y"], window["X"]
    size = tuple(side.stop - side.start for side in place)
    if pixels.shape[-2:] != size:
        raise AnswerError(
            f"the answer of a tile is {pixels.shape[-2]} x {pixels.shape[-1]} pixels, its window {size[0]} x {size[1]}",
            f"tile at {tile.y}, {tile.x}", "answer with the pixels that the tile reads, halo included",
        )  # fmt: skip
    return place


def peeked(parts: Iterable[tuple[Tile, Any]]) -> tuple[tuple[Tile, Any], Iterator[tuple[Tile, Any]]]:
    """The first of some tiles with its answer, and all of them."""
    every = iter(parts)
    first = next(every, None)
    if first is None:
        raise AnswerError("there is no tile to join", "the tiles of an image", "give at least one")
    return first, chain([first], every)


class Band:
    """The rows of an image that may still change; those above are settled and no longer here.

    Args:
        shape: of the whole image, (Y, X).
    """

    def __init__(self, shape: tuple[int, int]) -> None:
        self.shape = (int(shape[0]), int(shape[1]))
        self.top = 0
        self.rows: NDArray[Any] | None = None

    def at(self, place: Place, like: NDArray[Any]) -> NDArray[Any]:
        """The pixels of a window, to be changed in place; planes and type are those of the first `like`.

        Errors: the window begins above what is settled.
        """
        if place[0].start < self.top:
            raise AnswerError(f"a tile begins at row {place[0].start}, and rows up to {self.top} are settled",
                              "joining tiles", "give tiles from the top of the image to its bottom")  # fmt: skip
        if self.rows is None:
            self.rows = np.zeros((*like.shape[:-2], 0, self.shape[1]), like.dtype)
        self._reach(place[0].stop)
        return self.rows[..., place[0].start - self.top : place[0].stop - self.top, place[1]]

    def _reach(self, bottom: int) -> None:
        assert self.rows is not None
        missing = bottom - self.top - self.rows.shape[-2]
        if missing > 0:
            more = np.zeros((*self.rows.shape[:-2], missing, self.shape[1]), self.rows.dtype)
            self.rows = np.concatenate([self.rows, more], axis=-2)

    def settle(self, row: int | None = None) -> tuple[int, NDArray[Any]] | None:
        """Let go of the rows above `row` (None: of all): the number of the first, and their pixels.

        None where there are none.
        """
        if row is None:
            self.rows = np.zeros((0, self.shape[1]), np.uint32) if self.rows is None else self.rows
            self._reach(self.shape[0])
        count = (self.shape[0] if row is None else row) - self.top
        if self.rows is None or count <= 0:
            return None
        self._reach(self.top + count)
        top, done = self.top, self.rows[..., :count, :]
        self.top, self.rows = top + count, self.rows[..., count:, :].copy()
        return top, done


class Known(NamedTuple):
    """An object that lies in the band: its centre and box in the whole image, and its pixels."""

    centre: NDArray[np.float64]
    box: tuple[slice, ...]
    area: int


class Seams:
    """A whole label image that grows tile by tile; `settle` gives its rows away, `numbered` the numbers they are due.

    Tiles that see things alike never disagree. Where they do, a pixel that two objects claim goes to the nearer centre,
    and of two objects that share more than half of the smaller the larger stays: they are one, seen twice.

    Attributes:
        cut: how often an object reached from the core of a tile to the edge of what it saw, where it was cut off.
    """

    def __init__(self, shape: tuple[int, int]) -> None:
        self.band = Band(shape)
        self.count = self.cut = 0
        self.known: dict[int, Known] = {}
        self.gone: set[int] = set()
        self.told: list[DataFrame] = []
        self.sums: list[DataFrame] = []

    def add(self, tile: Tile, pixels: NDArray[Any], table: DataFrame) -> None:
        """Put in the objects that a tile owns; `pixels` are those of its window."""
        axes, place = pixels.ndim, fitting(tile, pixels, self.band.shape)
        view = self.band.at(place, pixels.astype(np.uint32, copy=False))
        self.cut += cut_off(tile, pixels, table, self.band.shape)
        mine = owned(tile, table, self.band.shape, axes)
        labels = mine[LABEL].to_numpy(np.int64)
        new = np.zeros(int(table[LABEL].max()) + 1 if len(table) else 1, np.uint32)
        new[labels] = numbers = np.arange(self.count + 1, self.count + 1 + len(mine))
        self.count += len(mine)
        own = np.zeros(pixels.shape, np.uint32)
        named = (pixels > 0) & (pixels < len(new))  # what is not judged may have a number beyond all others
        own[named] = new[pixels[named]]
        disputed = np.unique(own[np.logical_and(own, view)])
        boxes, middles = mine[box(axes)].to_numpy(np.int64).tolist(), mine[centre(axes)].to_numpy(np.float64)
        for number, ends, middle, area in zip(numbers.tolist(), boxes, middles, mine[AREA].tolist(), strict=True):
            self.known[number] = Known(middle, tuple(map(slice, ends[:axes], ends[axes:])), int(area))
        np.maximum(view, np.where(np.isin(own, disputed), 0, own) if len(disputed) else own, out=view)
        for number in disputed.tolist():
            where = self.known[number].box
            inside = (*where[:-2], *(slice(side.start - at.start, side.stop - at.start)
                                     for side, at in zip(where[-2:], place, strict=True)))  # fmt: skip
            self._put(number, view[inside], own[inside] == number)
        names = [name for name in mine.columns if name not in (AREA, *centre(axes), *box(axes))]
        self.told.append(mine[names].assign(**{LABEL: numbers}))

    def _put(self, number: int, there: NDArray[np.uint32], mask: NDArray[np.bool_]) -> None:
        area = self.known[number].area
        for other, shared in zip(*np.unique(there[mask & (there > 0)], return_counts=True), strict=True):
            if 2 * shared > min(area, self.known[other].area):
                if area <= self.known[other].area:
                    return
                self._drop(int(other))
                continue
            both = mask & (there == other)
            pixels = np.argwhere(both) + [side.start for side in self.known[number].box]
            mine, theirs = (((pixels - self.known[k].centre) ** 2).sum(axis=1) for k in (number, int(other)))
            mask[both] = mine < theirs
        there[mask] = number

    def _drop(self, number: int) -> None:
        """Take an object out; what is settled of it is left without a number in the end."""
        self.gone.add(number)
        *planes, y, x = self.known[number].box
        assert self.band.rows is not None
        view = self.band.at((slice(max(y.start, self.band.top), y.stop), x), self.band.rows)[tuple(planes)]
        view[view == number] = 0

    def settle(self, row: int | None = None) -> tuple[int, NDArray[np.uint32]] | None:
        """Let go of the rows above `row` (None: all) as `Band.settle` does; no later tile may see them."""
        done = self.band.settle(row)
        if done is not None:
            self.sums.append(sums_of(done[1], top=done[0]))
            self.known = {k: one for k, one in self.known.items() if one.box[-2].stop > self.band.top}
        return done

    def numbered(self) -> tuple[NDArray[np.uint32], DataFrame]:
        """Once all is settled: what each number in the rows stands for, numbered by place, and the table of objects."""
        found = objects_of_bands(self.sums)
        axes = 2 if self.band.rows is None else self.band.rows.ndim
        new, found = by_place(found[~found[LABEL].isin(self.gone)], self.count, axes)
        before = found.pop("before").to_numpy()
        if not self.told:
            return new, found
        told = concat(self.told, ignore_index=True).set_index(LABEL)
        own = [name for name in told.columns if name not in found.columns]
        return new, found.assign(**{name: told.loc[before, name].to_numpy() for name in own})


def cut_off(tile: Tile, pixels: NDArray[Any], table: DataFrame, shape: tuple[int, int]) -> int:
    """How many objects reach from the core of a tile to an edge of its window that is no edge of the image.

    Where the halo holds the largest object there are none.
    """
    axes, place = pixels.ndim, fitting(tile, pixels, shape)
    ends = table[box(axes)].to_numpy(np.int64)
    low, high = ends[:, axes - 2 : axes], ends[:, 2 * axes - 2 :]
    first = np.array([tile.y, tile.x]) - [side.start for side in place]
    last = first + [tile.height, tile.width]
    inner = [side.start > 0 for side in place], [side.stop < size for side, size in zip(place, shape, strict=True)]
    touching = ((low == 0) & inner[0] | (high == pixels.shape[-2:]) & inner[1]).any(axis=1)
    touching &= (low < last).all(axis=1) & (high > first).all(axis=1)
    core = pixels[..., first[0] : last[0], first[1] : last[1]]
    return sum(bool((core == label).any()) for label in table[LABEL].to_numpy()[touching])


def numbered_by_place(pixels: NDArray[Any], table: DataFrame) -> tuple[NDArray[np.uint32], DataFrame]:
    """A label image and its table with numbers from 1 in the order of the centres: from the top, then from the left.

    The column `before` holds the numbers they had.
    """
    new, told = by_place(table, int(table[LABEL].max()) if len(table) else 0, pixels.ndim)
    return new[pixels], told


def by_place(table: DataFrame, largest: int, axes: int) -> tuple[NDArray[np.uint32], DataFrame]:
    """The new number of each old one up to `largest`, and the table in the order of the new ones."""
    order = np.lexsort([table[name] for name in reversed(centre(axes))]) if len(table) else np.empty(0, np.intp)
    new = np.zeros(largest + 1, np.uint32)
    new[table[LABEL].to_numpy()[order]] = np.arange(1, len(table) + 1)
    told = table.iloc[order].reset_index(drop=True).rename(columns={LABEL: "before"})
    told.insert(0, LABEL, np.arange(1, len(table) + 1))
    return new, told
