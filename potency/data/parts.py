"""Which part of its file a row is: series, time point, plane, channel; and the pixel size where the file tells none."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from potency.data.image import Image
from potency.data.pixels import AXES, Pixels, Window, believable
from potency.errors import ImageError, nearest

Row = Mapping[str, Any] | pd.Series

# Column -> what it counts, from 0, in files that hold several; files that hold one have nothing to choose.
COUNTED = {"series": "series", "t": "time point", "z": "plane"}
CHANNEL = "c"  # the one channel that is seen, by name or by number from 0; without it all are
PIXEL_SIZE = "pixel_size"  # um of a pixel, for files that do not say


def is_part(name: str) -> bool:
    """Whether a column says which pixels a row is: rows of one file that differ there are different samples.

    >>> is_part("t"), is_part("tile.y"), is_part("well")
    (True, True, False)
    """
    return name in (*COUNTED, CHANNEL, PIXEL_SIZE) or (name.startswith("tile.") and name != "tile.of")


def number(row: Row, column: str, where: str = "") -> int | None:
    """The cell of a column that counts; None where there is none.

    Raises:
        ImageError: it is no whole number from 0.
    """
    cell = row.get(column)
    if cell is None or pd.isna(cell):
        return None
    try:
        value = float(cell)
    except (TypeError, ValueError):
        value = -1.0
    if value < 0 or not value.is_integer():
        raise ImageError(f"{column} is {cell!r}, which is no number of a {COUNTED[column]}", where,
                         f"number them 0, 1, 2 ... in the column {column}, or rename the column")
    return int(value)


def choose(image: Image, row: Row) -> Image:
    """The part of an image that a row names by `t`, `z` and `c`, with the row's `pixel_size` if the file has none.

    >>> stack = Image.of(np.arange(24).reshape(2, 3, 4), "TYX")
    >>> choose(stack, {"t": 1}).axes, int(choose(stack, {"t": 1})[{}][0, 0])
    ('YX', 12)

    Raises:
        ImageError: no such time point, plane or channel.
    """
    at = {}
    for column in ("t", "z"):
        axis = column.upper()
        if axis not in image.axes:
            continue
        index, size = number(row, column, image.name), image.sizes[axis]
        if index is not None and index >= size:
            raise ImageError(f"there is no {COUNTED[column]} {index}: the file holds {size}, numbered from 0",
                             image.name, f"correct the column {column}")
        if index is not None:
            at[axis] = index
    channel = _channel(image, row)
    if channel is not None:
        at["C"] = channel
    um = _stated(row, image.name)
    return Image(Part.of(image.pixels, at, um), image.name) if at or um is not None else image


def _channel(image: Image, row: Row) -> int | None:
    """The number of the channel that a row names; None where it names none or the image has no more than one."""
    cell, names = row.get(CHANNEL), image.channels
    if cell is None or pd.isna(cell) or len(names) < 2:
        return None
    told = f"{cell:g}" if isinstance(cell, float) else str(cell).strip()
    if told in names:
        return names.index(told)
    if told.isdecimal() and int(told) < len(names):
        return int(told)
    raise ImageError(f"there is no channel {told!r}: the image has {', '.join(names[:10])}, numbered from 0",
                     image.name, nearest(told, names))


def _stated(row: Row, where: str) -> float | None:
    cell = row.get(PIXEL_SIZE)
    if cell is None or pd.isna(cell):
        return None
    try:
        sizes = believable({"Y": float(cell), "X": float(cell)})
    except (TypeError, ValueError):
        sizes = None
    if sizes is None:
        raise ImageError(f"{PIXEL_SIZE} is {cell!r}, which no microscope has", where,
                         f"give um of one pixel in the column {PIXEL_SIZE}, like 0.65, or leave it empty")
    return sizes["Y"]


@dataclass(frozen=True, eq=False)
class Part:
    """Pixels of one time point, plane or channel of `source`, whose axes are gone where they were chosen."""

    source: Pixels
    at: Mapping[str, int]
    axes: str
    pixel_size: Mapping[str, float] | None
    notes: tuple[str, ...]

    @classmethod
    def of(cls, source: Pixels, at: Mapping[str, int], um: float | None) -> Part:
        """Choose `at` (axis -> number); `um` is the pixel size to state where the source knows none."""
        axes = "".join(axis for axis in source.axes if axis not in at)
        own, notes = source.pixel_size, source.notes
        if um is not None and own is None:
            own, notes = {"Y": um, "X": um}, (*notes, f"pixel size {um:g} um as the table says")
        elif um is not None and own is not None and not math.isclose(um, own["Y"], rel_tol=0.01):
            notes = (*notes, f"pixel size {own['Y']:g} um as the file says, not the {um:g} um of the table")
        return cls(source, at, axes, own, notes)

    @property
    def shape(self) -> tuple[int, ...]:
        return self.levels[0]

    @property
    def dtype(self) -> np.dtype:
        return self.source.dtype

    @property
    def channels(self) -> tuple[str, ...]:
        names = self.source.channels
        return names if "C" not in self.at else (names[self.at["C"]],)

    @property
    def levels(self) -> tuple[tuple[int, ...], ...]:
        kept = [i for i, axis in enumerate(self.source.axes) if axis not in self.at]
        return tuple(tuple(shape[i] for i in kept) for shape in self.source.levels)

    def read(self, window: Window, level: int = 0) -> NDArray[Any]:
        whole = {**window, **{axis: slice(index, index + 1) for axis, index in self.at.items()}}
        array = self.source.read({axis: whole[axis] for axis in self.source.axes}, level)
        return array.reshape([n for n, axis in zip(array.shape, self.source.axes, strict=True) if axis not in self.at])


def unchosen(image: Image) -> dict[str, int]:
    """How many series, time points and planes of an image are not read, by the column that would choose one.

    >>> unchosen(Image.of(np.zeros((5, 4, 4)), "ZYX"))
    {'z': 5}
    """
    held = {"series": image.series} | {axis.lower(): image.sizes.get(axis, 1) for axis in AXES if axis in "TZ"}
    return {column: count for column, count in held.items() if count > 1}
