"""Several files as the channels of one image: brightfield here, darkfield in the folder beside it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from potency.data.image import Image
from potency.data.pixels import AXES, Window
from potency.errors import ImageError


@dataclass(frozen=True, eq=False)
class Channels:
    """The pixels of several images of one size, one after the other along C."""

    images: tuple[Image, ...]
    channels: tuple[str, ...]
    axes: str
    shape: tuple[int, ...]
    dtype: np.dtype
    pixel_size: Mapping[str, float] | None
    notes: tuple[str, ...]
    levels: tuple[tuple[int, ...], ...]

    @classmethod
    def join(cls, images: Mapping[str, Image]) -> Image:
        """Make one image of images of equal size; a file of several channels gives `name.channel` each."""
        if not images:
            raise ImageError("an image of no channels", "", "name at least one channel and its file")
        parts = tuple(images.values())
        first = parts[0]
        for image in parts[1:]:
            if spatial(image.sizes) != spatial(first.sizes):
                raise ImageError(
                    f"channels differ in size: {spatial(first.sizes)} and {spatial(image.sizes)}",
                    f"{first.name}, {image.name}",
                    "give files of one field of view at one binning, or leave the channel out",
                )
        axes = "".join(axis for axis in AXES if axis == "C" or axis in first.axes)
        channels = tuple(
            name if len(image.channels) == 1 else f"{name}.{channel}"
            for name, image in images.items()
            for channel in image.channels
        )
        sizes, notes = agreed([image.pixel_size for image in parts])
        levels = [tuple(stacked(image, i, len(channels)) for image in parts) for i in range(depth(parts))]
        same = tuple(shapes[0] for shapes in levels if len(set(shapes)) == 1)
        notes += tuple(f"{name}: {note}" for name, image in images.items() for note in image.notes)
        dtype = np.result_type(*(image.dtype for image in parts))
        pixels = cls(parts, channels, axes, same[0], dtype, sizes, notes, same)
        return Image(pixels, " + ".join(image.name for image in parts))

    def read(self, window: Window, level: int = 0) -> NDArray[Any]:
        """Read only the files whose channels are asked for."""
        wanted, start, out = window["C"], 0, []
        for image in self.images:
            low, high = max(wanted.start, start), min(wanted.stop, start + len(image.channels))
            if low < high:
                part = {**{a: s for a, s in window.items() if a in image.axes}}
                if "C" in image.axes:
                    part["C"] = slice(low - start, high - start)
                out.append(self._one(image, part, level))
            start += len(image.channels)
        return np.concatenate(out, self.axes.index("C"), dtype=self.dtype)

    def _one(self, image: Image, window: Window, level: int) -> NDArray[Any]:
        array = image[window] if level == 0 else image.pixels.read(window, level)
        return array if "C" in image.axes else np.expand_dims(array, self.axes.index("C"))


def spatial(sizes: Mapping[str, int]) -> dict[str, int]:
    """Give the sizes that the channels of one image share."""
    return {axis: size for axis, size in sizes.items() if axis != "C"}


def depth(images: tuple[Image, ...]) -> int:
    """Say how many levels all images have."""
    return min(len(image.pixels.levels) for image in images)


def stacked(image: Image, level: int, channels: int) -> tuple[int, ...]:
    """Give the shape of one level of an image as if it had all channels."""
    shape = dict(zip(image.axes, image.pixels.levels[level], strict=True))
    return tuple(channels if axis == "C" else shape[axis] for axis in AXES if axis == "C" or axis in shape)


def agreed(sizes: list[Mapping[str, float] | None]) -> tuple[Mapping[str, float] | None, tuple[str, ...]]:
    """Give the one pixel size that files state; files that contradict each other leave it unknown."""
    stated = [size for size in sizes if size is not None]
    if not stated:
        return None, ()
    same = all(math.isclose(size[a], stated[0][a], rel_tol=0.01) for size in stated for a in "YX")
    return (stated[0], ()) if same else (None, ("pixel sizes of the channels disagree, so it is unknown",))
