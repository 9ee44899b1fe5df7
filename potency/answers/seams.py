"""Joining the answers of tiles: objects belong to the tile whose core holds their centre, pixels to their core."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pandas import DataFrame, concat

from potency.answers.objecttable import LABEL, box, centre, objects_of
from potency.data.tiles import Tile
from potency.errors import AnswerError


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


def fitting(tile: Tile, pixels: NDArray[Any], shape: tuple[int, int]) -> tuple[slice, slice]:
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


def joined(parts: Iterable[tuple[Tile, NDArray[Any]]], canvas: tuple[int, int]) -> NDArray[Any]:
    """Maps of tiles (..., H, W), halo included, as one map: of each tile the core, so that no pixel is there twice."""
    whole: NDArray[Any] | None = None
    for tile, pixels in parts:
        place = fitting(tile, pixels, canvas)
        if whole is None:
            whole = np.zeros((*pixels.shape[:-2], *canvas), pixels.dtype)
        core = whole[..., tile.y : tile.y + tile.height, tile.x : tile.x + tile.width]  # less where the image ends
        y, x = tile.y - place[0].start, tile.x - place[1].start
        core[...] = pixels[..., y : y + core.shape[-2], x : x + core.shape[-1]]
    if whole is None:
        raise AnswerError("there is no tile to stitch", "stitch", "give at least one")
    return whole


class Seams:
    """A whole label image that grows tile by tile; `joined` gives it with its table.

    Tiles that see things alike never disagree. Where they do, a pixel that two objects claim goes to the nearer centre,
    and of two objects that share more than half of the smaller the larger stays: they are one, seen twice.
    """

    def __init__(self, shape: tuple[int, int]) -> None:
        self.shape = (int(shape[0]), int(shape[1]))
        self.whole: NDArray[np.uint32] | None = None
        self.tables: list[DataFrame] = []
        self.centres: list[NDArray[np.float64]] = [np.zeros(0)]
        self.boxes: list[tuple[slice, ...]] = [()]
        self.areas = [0]

    def add(self, tile: Tile, pixels: NDArray[Any], table: DataFrame) -> None:
        """Put in the objects that a tile owns; `pixels` are those of its window."""
        axes, place = pixels.ndim, fitting(tile, pixels, self.shape)
        if self.whole is None:
            self.whole = np.zeros((*pixels.shape[:-2], *self.shape), np.uint32)
        mine = owned(tile, table, self.shape, axes)
        view = self.whole[(..., *place)]
        first = len(self.areas)
        boxes = table.loc[mine.index, box(axes)].to_numpy(np.int64)
        middles = mine[centre(axes)].to_numpy(np.float64)
        for label, ends, middle in zip(mine[LABEL], boxes, middles, strict=True):
            where = tuple(slice(low, high) for low, high in zip(ends[:axes], ends[axes:], strict=True))
            at = [0] * (axes - 2) + [place[0].start, place[1].start]
            self.boxes.append(tuple(slice(s.start + a, s.stop + a) for s, a in zip(where, at, strict=True)))
            self.centres.append(middle)
            self._put(view[where], pixels[where] == label)
        self.tables.append(mine.assign(**{LABEL: np.arange(first, len(self.areas))}))

    def _put(self, there: NDArray[np.uint32], mask: NDArray[np.bool_]) -> None:
        number, area = len(self.areas), int(np.count_nonzero(mask))
        self.areas.append(area)
        for other, shared in zip(*np.unique(there[mask & (there > 0)], return_counts=True), strict=True):
            if 2 * shared > min(area, self.areas[other]):
                if area <= self.areas[other]:
                    return
                assert self.whole is not None
                old = self.whole[self.boxes[other]]
                old[old == other] = 0
                continue
            both = mask & (there == other)
            pixels = np.argwhere(both) + [side.start for side in self.boxes[number]]
            mine, theirs = (((pixels - self.centres[k]) ** 2).sum(axis=1) for k in (number, other))
            mask[both] = mine < theirs
        there[mask] = number

    def joined(self) -> tuple[NDArray[np.uint32], DataFrame]:
        """The whole, its objects numbered by place, and what the tiles told of them."""
        whole = np.zeros(self.shape, np.uint32) if self.whole is None else self.whole
        found = objects_of(whole)
        whole, found = numbered_by_place(whole, found)
        if not len(found):
            return whole, found.drop(columns="before")
        told = concat(self.tables, ignore_index=True).set_index(LABEL)
        own = [name for name in told.columns if name not in found.columns]
        before = found["before"].to_numpy()
        return whole, found.drop(columns="before").assign(**{name: told.loc[before, name].to_numpy() for name in own})


def numbered_by_place(pixels: NDArray[Any], table: DataFrame) -> tuple[NDArray[np.uint32], DataFrame]:
    """Objects numbered 1, 2 ... by their centres, from the top, then from the left; their table in that order.

    The column `before` holds the numbers they had.
    """
    axes = centre(pixels.ndim)
    order = np.lexsort([table[name] for name in reversed(axes)]) if len(table) else np.empty(0, np.intp)
    new = np.zeros(int(table[LABEL].max()) + 1 if len(table) else 1, np.uint32)
    new[table[LABEL].to_numpy()[order]] = np.arange(1, len(table) + 1)
    told = table.iloc[order].reset_index(drop=True).rename(columns={LABEL: "before"})
    told.insert(0, LABEL, np.arange(1, len(table) + 1))
    return new[pixels], told
