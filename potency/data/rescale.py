"""Pixels at another pixel size: a pyramid level and a lazy resampling whose windows equal the whole."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from potency.data.pixels import Pixels, Window

BLOCK = 32  # new rows made at a time: what they need stays in the cache
READ = 2**28  # bytes of old pixels held at a time: an overview of a slide must not load the slide


class Rescaled:
    """The pixels of `source` resampled to `um` micrometres along Y and X; other axes stay as they are."""

    def __init__(self, source: Pixels, um: float, labels: bool = False) -> None:
        sizes = level_sizes(source)
        finer = [i for i, size in enumerate(sizes) if max(size["Y"], size["X"]) <= um * 1.001]
        self.source, self.labels = source, labels
        self.level = max(finer, key=lambda i: sizes[i]["Y"] * sizes[i]["X"], default=0)
        chosen = sizes[self.level]
        # Within a thousandth the level is taken as it is: a rounded pixel size must not blur an image.
        equal = {axis: math.isclose(um, chosen[axis], rel_tol=1e-3) for axis in "YX"}
        self.factors = {axis: 1.0 if equal[axis] else um / chosen[axis] for axis in "YX"}
        self.axes, self.channels, self.notes = source.axes, source.channels, source.notes
        self.pixel_size: Mapping[str, float] | None = {**(source.pixel_size or {}), "Y": um, "X": um}
        self.sizes = dict(zip(source.axes, source.levels[self.level], strict=True))
        self.shape = tuple(
            max(1, round(n / self.factors[a])) if a in self.factors else n for a, n in self.sizes.items()
        )
        untouched = labels or set(self.factors.values()) == {1.0}
        self.dtype = source.dtype if untouched else np.dtype("float32")

    @property
    def levels(self) -> tuple[tuple[int, ...], ...]:
        return (self.shape,)

    def read(self, window: Window, level: int = 0) -> NDArray[Any]:
        """Read the pixels that a window averages, and average them."""
        rows, row_weights = self._taps("Y", window["Y"])
        columns, column_weights = self._taps("X", window["X"])
        wide = span(columns)
        lead = [window[axis].stop - window[axis].start for axis in self.axes[:-2]]
        row = math.prod(lead) * (wide.stop - wide.start) * self.source.dtype.itemsize * max(1.0, self.factors["Y"])
        step = max(1, int(READ / row) // BLOCK) * BLOCK
        out = np.empty((*lead, len(rows), len(columns)), self.dtype)
        for start in range(0, len(rows), step):
            tall = span(rows[start : start + step])
            array = self.source.read({**window, "Y": tall, "X": wide}, self.level)
            for first in range(start, min(start + step, len(rows)), BLOCK):
                block = slice(first, min(first + BLOCK, start + step))
                local = span(rows[block])
                part = array[..., local.start - tall.start : local.stop - tall.start, :].astype(self.dtype, copy=False)
                part = gather(part, -2, rows[block] - local.start, row_weights[block])
                out[..., block, :] = gather(part, -1, columns - wide.start, column_weights)
        return out

    def _taps(self, axis: str, window: slice) -> tuple[NDArray[Any], NDArray[Any]]:
        """Give the old pixels that each new pixel of a window takes, and their weights."""
        choose = nearest if self.labels or self.factors[axis] == 1 else triangle
        return choose(window, self.factors[axis], self.sizes[axis])


def span(index: NDArray[Any]) -> slice:
    """Give the slice that holds all of `index`."""
    return slice(int(index.min()), int(index.max()) + 1)


def gather(array: NDArray[Any], axis: int, index: NDArray[Any], weight: NDArray[Any]) -> NDArray[Any]:
    """Sum `weight` times the pixels at `index` (both (new pixels, taps)) along rows (-2) or columns (-1)."""
    if index.shape[1] == 1:
        return array.take(index[:, 0], axis)  # the nearest pixel as it is: labels are not multiplied
    # Tap by tap rather than one matrix product: a BLAS sum depends on the size of the window, this one does not.
    shape = (-1, 1) if axis == -2 else (-1,)
    total: NDArray[Any] = array.take(index[:, 0], axis) * weight[:, 0].reshape(shape)
    for tap in range(1, index.shape[1]):
        total += array.take(index[:, tap], axis) * weight[:, tap].reshape(shape)
    return total


def triangle(window: slice, factor: float, size: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Give for each new pixel of a window the old pixels it averages and their weights."""
    radius = max(factor, 1.0)
    centre = (np.arange(window.start, window.stop) + 0.5) * factor
    index = np.floor(centre - radius).astype(int)[:, None] + np.arange(math.ceil(2 * radius) + 1)
    weight = np.maximum(1 - np.abs(index + 0.5 - centre[:, None]) / radius, 0) * ((index >= 0) & (index < size))
    weight[weight.sum(1) == 0, 0] = 1  # a last pixel that only just touches the image copies its edge
    return np.clip(index, 0, size - 1), (weight / weight.sum(1, keepdims=True)).astype("float32")


def nearest(window: slice, factor: float, size: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Give for each new pixel of a window the old pixel under its centre."""
    centre = (np.arange(window.start, window.stop) + 0.5) * factor
    index = np.clip(np.floor(centre).astype(int), 0, size - 1)[:, None]
    return index, np.ones(index.shape, "float32")


def level_sizes(source: Pixels) -> list[dict[str, float]]:
    """Give the pixel size (um, Y and X) of every usable level; one that shrinks another axis is not usable."""
    known = source.pixel_size or {}
    full, result = source.levels[0], []
    for shape in source.levels:
        same = all(n == m for a, n, m in zip(source.axes, full, shape, strict=True) if a not in "YX")
        by_axis = dict(zip(source.axes, zip(full, shape, strict=True), strict=True))
        size = {axis: known[axis] * shrink(*by_axis[axis]) if same else math.inf for axis in "YX"}
        result.append(size)
    return result


def shrink(full: int, small: int) -> float:
    """Say how many full pixels one pixel of a level spans; 101 -> 50 is 2, not 2.02."""
    whole = max(1, round(full / small))
    return float(whole) if small in (full // whole, math.ceil(full / whole)) else full / small
