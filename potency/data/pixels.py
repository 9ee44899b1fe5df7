"""What pixels are: the contract of a reader, and what every reader decides alike (types, sizes, names)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from potency.errors import ImageError

AXES = "TCZYX"

PIECE_LIMIT = 2**30  # bytes one compressed strip, tile or chunk may unpack to: more is a mistake or a bomb

MOST_CHANNELS = 10_000  # hyperspectral cameras have hundreds

Window = Mapping[str, slice]


class Pixels(Protocol):
    """What a reader must give: where the pixels are and how to read a window of them.

    `axes` is a part of "TCZYX" in that order and always holds Y and X; `pixel_size` is in um by axis letter
    or None; `levels` are the shapes of the pyramid, the full one first; `notes` say in words what the reader
    decided (alpha dropped, pages taken as time). `read` gets a start and stop for every axis and returns an
    array whose axes are `axes`; it must be safe to call from several threads at once.
    """

    @property
    def axes(self) -> str: ...
    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def dtype(self) -> np.dtype: ...
    @property
    def pixel_size(self) -> Mapping[str, float] | None: ...
    @property
    def channels(self) -> tuple[str, ...]: ...
    @property
    def levels(self) -> tuple[tuple[int, ...], ...]: ...
    @property
    def notes(self) -> tuple[str, ...]: ...
    def read(self, window: Window, level: int = 0) -> NDArray[Any]: ...


def native(dtype: np.dtype, where: str = "") -> np.dtype:
    """Give the type in which pixels of `dtype` are handed out: this machine's byte order, bool as uint8."""
    if dtype.kind == "b":
        return np.dtype("uint8")
    if dtype.kind in "iuf" and dtype.itemsize <= 8:
        return dtype.newbyteorder("=")
    kind = "complex" if dtype.kind == "c" else f"{dtype} (not plain numbers)"
    raise ImageError(f"the pixels are {kind}", where, "save magnitudes, or real numbers of at most 64 bits")


LARGEST = np.finfo(np.float32).max  # networks and most features work in 32-bit floats


def wild(pixels: NDArray[Any]) -> int:
    """How many values are no number, infinite, or larger than a 32-bit float can hold.

    >>> wild(np.array([1.0, np.nan, -np.inf, 1e300])), wild(np.array([0, 65535], np.uint16))
    (3, 0)
    """
    return int(np.count_nonzero(~(np.abs(pixels) <= LARGEST))) if pixels.dtype.kind == "f" else 0


def believable(sizes: Mapping[str, float | None]) -> dict[str, float] | None:
    """Keep pixel sizes (um) that a microscope can have; without a believable Y and X nothing is known.

    >>> believable({"Z": 0, "Y": 0.65, "X": 0.65}), believable({"Y": -1, "X": 1})
    ({'Y': 0.65, 'X': 0.65}, None)
    """
    kept = {axis: float(size) for axis, size in sizes.items() if size is not None and 1e-4 <= float(size) <= 1e3}
    return kept if {"Y", "X"} <= set(kept) else None


def named(names: Sequence[str] | None, count: int, where: str = "") -> tuple[str, ...]:
    """Give `count` channel names: the ones known, else grey, red/green/blue, or channel1, channel2, ..."""
    if count > MOST_CHANNELS:
        raise ImageError(f"an image of {count} channels", where, "its header is damaged, or its axes are named wrongly")
    if names is not None and len(names) != count:
        raise ImageError(f"{len(names)} channel names for {count} channels", where, "give one name a channel")
    if names is not None:
        return tuple(str(name) for name in names)
    if count == 1:
        return ("grey",)
    return tuple(f"channel{i + 1}" for i in range(count))


def undecodable(error: Exception, where: str, part: str = "pixels") -> ImageError:
    """Say that a decoder gave up on the pixels or the header, with the first line of its own reason."""
    if isinstance(error, MemoryError):  # the file may be sound
        return ImageError(
            f"there is not enough memory to decode the {part}",
            where,
            "close other programs or use fewer --workers; of a tiled TIFF or OME-Zarr only a window is read",
        )
    reason = (str(error).splitlines() or [""])[0][:200] or type(error).__name__
    return ImageError(
        f"the {part} cannot be decoded: {reason}",
        where,
        "the file is damaged, or written in a way not known here; copy or export it again",
    )
