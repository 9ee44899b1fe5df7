"""Pixels at another pixel size: a pyramid level and a lazy resampling whose windows equal the whole."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from potency.data.pixels import Pixels, Window


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
        weigh = nearest if self.labels else triangle
        taps = {
            axis: weigh(window[axis], factor, self.sizes[axis]) for axis, factor in self.factors.items() if factor != 1
        }
        needed = {a: slice(int(i.min()), int(i.max()) + 1) for a, (i, _) in taps.items()}
        array = self.source.read({**window, **needed}, self.level).astype(self.dtype, copy=False)
        for axis, (index, weight) in taps.items():
            array = gather(array, self.axes.index(axis), index - needed[axis].start, weight)
        return array


def gather(array: NDArray[Any], axis: int, index: NDArray[Any], weight: NDArray[Any] | None) -> NDArray[Any]:
    """Sum `weight` times the pixels at `index` (both (new pixels, taps)) along one axis."""
    if weight is None:
        return array.take(index[:, 0], axis)
    # Tap by tap rather than one matrix product: a BLAS sum depends on the size of the window, this one does not.
    shape = [-1 if i == axis else 1 for i in range(array.ndim)]
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


def nearest(window: slice, factor: float, size: int) -> tuple[NDArray[Any], None]:
    """Give for each new pixel of a window the old pixel under its centre."""
    centre = (np.arange(window.start, window.stop) + 0.5) * factor
    return np.clip(np.floor(centre).astype(int), 0, size - 1)[:, None], None


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
