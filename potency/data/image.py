"""Lazy images: pixels with named axes and a physical size; the one place where pixels are read."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from potency.data.pixels import AXES, Pixels, Window, believable, named, native, undecodable
from potency.data.rescale import Rescaled
from potency.errors import ImageError

WINDOW_LIMIT = 4 * 2**30  # bytes one read may ask for: a laptop with 8 GB must survive a wrong window

__all__ = ["AXES", "WINDOW_LIMIT", "Image", "Memory", "Pixels", "Window"]


@dataclass(frozen=True)
class Image:
    """Pixels that are read when a window of them is asked for, and only that window.

    >>> image = Image.of(np.arange(12).reshape(3, 4), "YX", pixel_size=0.5)
    >>> image[{"Y": slice(1, 3), "X": slice(0, 2)}].tolist()
    [[4, 5], [8, 9]]
    >>> image.at(1.0).shape
    (2, 2)
    """

    pixels: Pixels
    name: str = ""

    @property
    def axes(self) -> str:
        """The letters of the axes, a part of "TCZYX" in that order."""
        return self.pixels.axes

    @property
    def shape(self) -> tuple[int, ...]:
        """Pixels along each of `axes`."""
        return self.pixels.shape

    @property
    def dtype(self) -> np.dtype:
        """The type of the numbers, in the byte order of this machine."""
        return self.pixels.dtype

    @property
    def pixel_size(self) -> Mapping[str, float] | None:
        """Micrometres by axis letter; None where unknown, which is never guessed."""
        return self.pixels.pixel_size

    @property
    def channels(self) -> tuple[str, ...]:
        """One name a channel; an image without a C axis has one."""
        return self.pixels.channels

    @property
    def notes(self) -> tuple[str, ...]:
        """What the reader decided on the way, in words."""
        return self.pixels.notes

    @property
    def series(self) -> int:
        """How many images (positions, scenes) the file holds, of which this is one."""
        return int(getattr(self.pixels, "series", 1))

    @property
    def interval(self) -> float | None:
        """Seconds from one time to the next; None where unknown (of TIFF only it is read)."""
        return getattr(self.pixels, "interval", None)

    @property
    def sizes(self) -> Mapping[str, int]:
        """Pixels by axis letter."""
        return dict(zip(self.pixels.axes, self.pixels.shape, strict=True))

    def __getitem__(self, window: Window) -> NDArray[Any]:
        """Read a window (axis letter -> slice; an absent axis is read whole) with the axes of `axes`.

        Slices follow NumPy: they are clipped to the image. An empty or stepped one is an ImageError, as are a
        window beyond the memory limit and a file that cannot be decoded there.
        """
        pixels, shape = self.pixels, self.pixels.shape
        full = {axis: slice(0, size) for axis, size in zip(pixels.axes, shape, strict=True)}
        if window:  # small images come by the thousand, and mostly whole
            for axis, part in window.items():
                resolved = self._resolve(axis, part, full)
                if axis in full:
                    full[axis] = resolved
            shape = tuple([part.stop - part.start for part in full.values()])
        size = math.prod(shape) * pixels.dtype.itemsize
        if size > WINDOW_LIMIT:
            raise ImageError(
                f"the window {shape} of axes {pixels.axes} would need {size / 2**30:.1f} GiB of memory",
                self.name,
                "read it in smaller windows, or at a coarser pixel size with image.at(um)",
            )
        try:
            array = pixels.read(full)
        except ImageError as error:
            raise error if error.where else ImageError(error.what, self.name, error.mend) from error
        except Exception as error:  # decoders raise whatever they like; the user gets one kind of answer
            raise undecodable(error, self.name) from error
        if array.shape != shape:
            raise ImageError(
                f"the file gave {array.shape} pixels where its header promised {shape}",
                self.name,
                "export the image again: its header and its pixels disagree",
            )
        return array

    def _resolve(self, axis: str, part: slice, full: Window) -> slice:
        """Turn one slice of a window into a plain start and stop inside the image."""
        if axis not in AXES or len(axis) != 1:
            raise ImageError(f"{axis!r} is no axis of an image", self.name, f"use the letters of {AXES}")
        size = full[axis].stop if axis in full else 1
        start, stop, step = part.indices(size)
        if step != 1 or stop <= start:
            what = "has a step" if step != 1 else f"lies outside of the {size} pixels there"
            raise ImageError(
                f"the window {axis}={part.start}:{part.stop} {what}",
                self.name,
                f"the image has axes {self.axes} and shape {self.shape}",
            )
        return slice(start, stop)

    def crop(self, window: Window | None = None, t: int = 0, z: int = 0) -> NDArray[Any]:
        """Read one time and one plane as (C, Y, X), the form in which samples are learned from.

        >>> Image.of(np.zeros((5, 8, 9), "uint16"), "TYX").crop({"Y": slice(0, 4)}, t=3).shape
        (1, 4, 9)
        """
        axes = self.pixels.axes
        chosen = dict(window or {})
        for axis, index in (("T", t), ("Z", z)):
            if axis in axes or index:
                chosen[axis] = slice(index, index + 1 or None)
        array = self[chosen]
        if axes == "YX":
            return array[np.newaxis]
        drop = tuple(i for i, axis in enumerate(axes) if axis in "TZ")
        array = array.reshape([n for i, n in enumerate(array.shape) if i not in drop])
        return array if "C" in axes else array[np.newaxis]

    def at(self, um: float, *, labels: bool = False) -> Image:
        """Give the image at another pixel size (um): the nearest finer pyramid level, rescaled as it is read.

        Shrinking averages (a triangle as wide as two new pixels, so nothing aliases), enlarging is linear, and a
        window is the same as that window of the whole. `labels=True` takes the nearest pixel instead and keeps
        the type. An image of unknown pixel size is returned as it is.
        """
        if not (math.isfinite(um) and um > 0):
            raise ImageError(f"{um} is no pixel size", self.name, "give micrometres, more than 0")
        source = self.pixels.source if isinstance(self.pixels, Rescaled) else self.pixels
        if source.pixel_size is None:
            return self
        if all(math.isclose(source.pixel_size[axis], um, rel_tol=1e-3) for axis in "YX"):
            return Image(source, self.name)
        return Image(Rescaled(source, um, labels), self.name)

    @classmethod
    def of(
        cls,
        array: NDArray[Any],
        axes: str,
        pixel_size: Mapping[str, float] | float | None = None,
        channels: Sequence[str] | None = None,
        name: str = "",
    ) -> Image:
        """Make an image of an array in memory; `axes` names its axes, in any order.

        >>> Image.of(np.zeros((8, 9, 3), "uint8"), "YXC").shape
        (3, 8, 9)
        """
        array = np.asarray(array)
        if len(axes) != array.ndim or len(set(axes)) != len(axes) or not {"Y", "X"} <= set(axes) <= set(AXES):
            raise ImageError(
                f"axes {axes!r} do not fit an array of shape {array.shape}",
                name,
                f"name each axis once with a letter of {AXES}; Y and X are needed",
            )
        if 0 in array.shape:
            raise ImageError(f"an image of shape {array.shape} has no pixels", name, "leave it out")
        order = sorted(range(array.ndim), key=lambda i: AXES.index(axes[i]))
        array = array.transpose(order).astype(native(array.dtype, name), copy=False)
        letters = "".join(axes[i] for i in order)
        count = array.shape[letters.index("C")] if "C" in letters else 1
        sizes = pixel_size if isinstance(pixel_size, Mapping) else {"Y": pixel_size, "X": pixel_size}
        return cls(Memory(array, letters, believable(sizes), named(channels, count, name)), name)


@dataclass(frozen=True, eq=False)
class Memory:
    """Pixels of an array that is already in memory."""

    array: NDArray[Any]
    axes: str
    pixel_size: Mapping[str, float] | None
    channels: tuple[str, ...]
    notes: tuple[str, ...] = ()

    @property
    def shape(self) -> tuple[int, ...]:
        return self.array.shape

    @property
    def dtype(self) -> np.dtype:
        return self.array.dtype

    @property
    def levels(self) -> tuple[tuple[int, ...], ...]:
        return (self.array.shape,)

    def read(self, window: Window, level: int = 0) -> NDArray[Any]:
        return self.array[tuple(window[axis] for axis in self.axes)].copy()
