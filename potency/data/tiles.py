"""Pure geometry: which windows cover an image, and how a window becomes a crop of fixed size."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

TWICE = 2  # how much larger small objects are seen
BESIDE = 2  # px around a pixel that enlarging looks at (cubic)
Size = int | tuple[int, int]  # px a side, or (height, width)


def sides(size: Size) -> tuple[int, int]:
    """Height and width of a size.

    >>> sides(64), sides((45, 60))
    ((64, 64), (45, 60))
    """
    return (size, size) if isinstance(size, int) else (int(size[0]), int(size[1]))


@dataclass(frozen=True)
class Tile:
    """One window of an image: the part it owns, and the halo of context read around it (pixels).

    Owned parts of a cover never overlap and leave nothing out, so what two tiles see twice is counted once. A network
    is shown it `times` its size.
    """

    y: int
    x: int
    height: int
    width: int
    halo: int = 0
    times: int = 1

    def window(self, shape: tuple[int, int]) -> dict[str, slice]:
        """The window to read: owned part plus halo, clipped to an image of `shape` (Y, X).

        >>> Tile(0, 32, 32, 32, halo=8).window((64, 64))
        {'Y': slice(0, 40, None), 'X': slice(24, 64, None)}
        """
        return {
            "Y": slice(max(0, self.y - self.halo), min(shape[0], self.y + self.height + self.halo)),
            "X": slice(max(0, self.x - self.halo), min(shape[1], self.x + self.width + self.halo)),
        }

    def owns(self, y: float, x: float) -> bool:
        """Whether the point (y, x), in pixels of the whole image, lies in the owned part."""
        return self.y <= y < self.y + self.height and self.x <= x < self.x + self.width


def cover(shape: tuple[int, int], size: Size, halo: int = 0, times: int = 1) -> list[Tile]:
    """Cut an image of `shape` (Y, X) into tiles that read at most `size` px, halo included.

    >>> [(t.y, t.x, t.height, t.width) for t in cover((64, 100), 64)]
    [(0, 0, 64, 64), (0, 64, 64, 36)]
    """
    high, wide = sides(size)
    if min(high, wide) <= 2 * halo:
        raise ValueError(f"a tile of {min(high, wide)} px has no room inside a halo of {halo} px on each side")

    def spans(length: int, side: int) -> Iterator[tuple[int, int]]:
        if length <= side:
            yield 0, length
            return
        step = side - 2 * halo
        for start in range(0, length, step):
            yield start, min(step, length - start)

    return [Tile(y, x, h, w, halo, times) for y, h in spans(shape[0], high) for x, w in spans(shape[1], wide)]


def border(pixels: NDArray[np.generic]) -> NDArray[np.float64]:
    """The median of each channel's outermost pixels, shape (C,): the background a crop is padded with."""
    edge = np.concatenate([pixels[:, 0], pixels[:, -1], pixels[:, :, 0], pixels[:, :, -1]], axis=1)
    return np.asarray(np.nanmedian(edge.astype(np.float64), axis=1))


def centre(pixels: NDArray[np.generic], size: Size) -> NDArray[np.generic]:
    """The middle of a (C, H, W) window, at most of `size`.

    >>> centre(np.zeros((1, 9, 4)), 5).shape
    (1, 5, 4)
    """
    high, wide = sides(size)
    _, height, width = pixels.shape
    top, left = max(0, (height - high) // 2), max(0, (width - wide) // 2)
    return pixels[:, top : top + high, left : left + wide]


def fit(pixels: NDArray[np.generic], size: Size) -> NDArray[np.generic]:
    """Centre a (C, H, W) window in a crop of `size` and the same dtype: pad with background or cut, never stretch.

    Stretching would hide the size of a cell, which often is the evidence.

    >>> fit(np.full((1, 2, 4), 7, np.uint8), 4).shape, fit(np.ones((1, 9, 9)), (3, 12)).shape
    ((1, 4, 4), (1, 3, 12))
    """
    high, wide = sides(size)
    if pixels.shape[1:] == (high, wide):
        return pixels
    inner = centre(pixels, size)
    if inner.shape[1:] == (high, wide):
        return inner
    crop = np.empty((len(pixels), high, wide), pixels.dtype)
    crop[:] = border(pixels).astype(pixels.dtype)[:, None, None]
    y, x = (high - inner.shape[1]) // 2, (wide - inner.shape[2]) // 2
    crop[:, y : y + inner.shape[1], x : x + inner.shape[2]] = inner
    return crop


def stretch(pixels: NDArray[np.generic], size: Size) -> NDArray[np.generic]:
    """Resize a (C, H, W) image to `size`, whatever its shape: what many publications did; the size of a cell is lost.

    >>> stretch(np.eye(4, dtype=np.uint8)[None] * 100, (2, 8)).shape
    (1, 2, 8)
    """
    high, wide = sides(size)
    if pixels.shape[1:] == (high, wide):
        return pixels
    known = pixels.dtype in (np.uint8, np.uint16, np.int16, np.float32, np.float64)  # what OpenCV resizes as it is
    given = pixels if known else pixels.astype(np.float32)
    smaller = high * wide < pixels.shape[1] * pixels.shape[2]
    how = cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
    made = np.stack([cv2.resize(np.ascontiguousarray(channel), (wide, high), interpolation=how) for channel in given])
    return made if known else np.rint(made).astype(pixels.dtype) if pixels.dtype.kind in "iu" else made > 0.5


def unfit(values: NDArray[np.float32], size: Size) -> NDArray[np.float32]:
    """Values (C, H, W) of a crop that `fit` made, back on the window of `size` it came from; 0 where it was cut.

    >>> unfit(np.ones((1, 4, 4), np.float32), (2, 6)).tolist()
    [[[0.0, 1.0, 1.0, 1.0, 1.0, 0.0], [0.0, 1.0, 1.0, 1.0, 1.0, 0.0]]]
    """
    high, wide = sides(size)
    inner = centre(values, size)
    found = np.zeros((len(values), high, wide), np.float32)
    y, x = (high - inner.shape[1]) // 2, (wide - inner.shape[2]) // 2
    found[:, y : y + inner.shape[1], x : x + inner.shape[2]] = inner
    return found


def unstretch(values: NDArray[np.float32], size: Size) -> NDArray[np.float32]:
    """Values (C, H, W) of a crop that `stretch` made, back on an image of `size`; their sum stays what it was."""
    found = np.asarray(stretch(values, size), np.float32)
    return found * np.float32(values.shape[1] * values.shape[2] / (found.shape[1] * found.shape[2]))


def extend(pixels: NDArray[np.generic], size: Size) -> NDArray[np.generic]:
    """Continue a (C, H, W) window below and to the right by its mirror image up to `size`; larger ones are cut there.

    Top and left stay where they are, so the maps of a network keep their place.

    >>> extend(np.array([[[1, 2, 3]]]), (1, 5)).tolist()
    [[[1, 2, 3, 3, 2]]]
    """
    high, wide = sides(size)
    inner = pixels[:, :high, :wide]
    missing = high - inner.shape[1], wide - inner.shape[2]
    return inner if missing == (0, 0) else np.pad(inner, ((0, 0), (0, missing[0]), (0, missing[1])), "symmetric")


def unextend(values: NDArray[np.float32], size: Size) -> NDArray[np.float32]:
    """Values (C, H, W) of a crop that `extend` made, back on the window of `size` it came from; 0 where it was cut."""
    high, wide = sides(size)
    inner = values[:, :high, :wide]
    if inner.shape[1:] == (high, wide):
        return inner
    return np.pad(inner, ((0, 0), (0, high - inner.shape[1]), (0, wide - inner.shape[2])))


@dataclass(frozen=True)
class Fitting:
    """How an image becomes crops of one size: cut into windows of it or taken whole, then made to fit; and back.

    `filled` says that all of a crop is image: none of it is padding; `covers` that every pixel must be answered.
    """

    whole: bool
    apply: Callable[[NDArray[np.generic], Size], NDArray[np.generic]]
    undo: Callable[[NDArray[np.float32], Size], NDArray[np.float32]]
    filled: bool = False
    covers: bool = False


FITTINGS: Mapping[str, Fitting] = {
    "pad": Fitting(False, fit, unfit), "stretch": Fitting(True, stretch, unstretch, filled=True),
    "extend": Fitting(False, extend, unextend, filled=True, covers=True),
}  # fmt: skip


LEVELS = ("none", "mean", "patch")
# Of an image, mapped to 0 and 1 where images are scaled by themselves; even, so that a negative becomes a negative.
PERCENTILES = (0.2, 99.8)
MIDDLE, SPREAD = 0.5, 0.2  # what a crop's own mean, and deviation, are brought to on the scale of 0..1
FLAT = 1e-6  # of that scale: a crop of less contrast holds nothing to be stretched


def scale(pixels: NDArray[np.generic], ranges: NDArray[np.float32], level: str = "none") -> NDArray[np.float32]:
    """Map each channel of (..., C, H, W) from its (low, high) in `ranges` (C, 2) to 0..1, float32, without clipping.

    `level` then takes out what a crop has as a whole: "mean" its own mean in each channel, which becomes MIDDLE;
    "patch" its own mean and deviation, which become MIDDLE and SPREAD. A flat crop is MIDDLE throughout. This is the
    one place where that is done: learning, prediction, every engine and every explanation see the same values.

    >>> scale(np.array([[[0, 100]]], np.uint8), np.array([[0, 200]], np.float32), "mean").tolist()
    [[[0.25, 0.75]]]
    """
    low, high = ranges[..., 0, None, None], ranges[..., 1, None, None]
    values = np.asarray((pixels.astype(np.float32) - low) / (high - low), np.float32)
    if level == "none":
        return values
    mean = values.mean((-2, -1), keepdims=True, dtype=np.float64)
    own = values - mean
    if level == "patch":
        spread = np.sqrt((own * own).mean((-2, -1), keepdims=True))
        flat = spread <= FLAT * np.maximum(1.0, np.abs(mean))
        own = np.where(flat, 0.0, own * (SPREAD / np.where(flat, 1.0, spread)))
    return np.asarray(own + MIDDLE, np.float32)


def exposure(pixels: NDArray[Any]) -> NDArray[np.float32]:
    """The values (C, 2) of pixels (C, H, W) that are mapped to 0 and 1: low and high percentiles of each channel."""
    flat = pixels.reshape(len(pixels), -1)[:, :: max(1, pixels[0].size // 2**20)].astype(np.float32)
    known = ~np.isnan(np.fmin.reduce(flat, axis=1))  # where nothing is a number NumPy would warn of it on the terminal
    low, high = found = np.full((2, len(flat)), np.nan)
    found[:, known] = np.nanpercentile(flat[known], PERCENTILES, axis=1)
    return np.stack([low, np.where(high > low, high, low + 1)], axis=1).astype(np.float32)
