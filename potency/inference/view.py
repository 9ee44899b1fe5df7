"""Which pixels a row means: its image at the plan's pixel size, its window of that, and the tiles of the window."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from potency.data.image import Image
from potency.data.manifest import Manifest
from potency.data.one import single
from potency.data.plan import Plan
from potency.data.tiles import BESIDE, FITTINGS, Tile, cover, exposure

READ = 1280  # px a side that are read at once where tiles cover an image exactly; a multiple of every stride
HALOS, MOST = 12, 4096  # or so many halos, lest most of what is read be halo; at most so many px
EVEN = 16  # px: halos of images that are seen larger are multiples of it, so that tiles begin where maps have values
SHARED = 8  # of a view's side, what it sees beyond its core where every pixel is answered and no halo is known
SEEN, LOOKS = 2**22, 8  # pixels that are looked at whole; of a larger image, windows along each side


@dataclass(frozen=True)
class View:
    """The part of an image that a row is about: all of it, or the window of an exploded manifest.

    Attributes:
        image: lazy, at the pixel size asked for.
        top, left, height, width: the part, in pixels of `image`.
    """

    image: Image
    top: int
    left: int
    height: int
    width: int

    @classmethod
    def of(cls, manifest: Manifest, row: Mapping[str, Any], plan: Plan | None = None) -> View:
        """Open the image of a row as a plan asks: at its pixel size, and as one channel where it knows but one."""
        whole, image = cls._seen(manifest.open(row), plan)
        height, width = image.shape[-2:]  # Y and X are the last of "TCZYX"
        start = row.get("tile.y")
        if start is None or pd.isna(start):
            return cls(image, 0, 0, height, width)
        # Tiles of an exploded manifest are in pixels of the file.
        tall, broad = height / whole.sizes["Y"], width / whole.sizes["X"]
        top, bottom = round(row["tile.y"] * tall), round((row["tile.y"] + row["tile.height"]) * tall)
        left, right = round(row["tile.x"] * broad), round((row["tile.x"] + row["tile.width"]) * broad)
        return cls(image, top, left, max(1, bottom - top), max(1, right - left))

    @classmethod
    def whole(cls, image: Image, plan: Plan) -> View:
        """All of an image, as a plan asks."""
        seen = cls._seen(image, plan)[1]
        return cls(seen, 0, 0, *seen.shape[-2:])

    @staticmethod
    def _seen(whole: Image, plan: Plan | None) -> tuple[Image, Image]:
        if plan is not None and len(plan.channels) == 1:
            whole = single(whole, plan.channels[0])
        return whole, whole if plan is None or plan.pixel_size is None else whole.at(plan.pixel_size)

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.height, self.width

    @cached_property
    def exposure(self) -> NDArray[np.float32]:
        """The values (C, 2) of each channel that are mapped to 0 and 1 when an image is scaled by itself.

        Seen on all of the image, or on windows spread over all of it, so that tiles of one image are scaled alike.
        """
        high, wide = self.image.shape[-2:]
        if high * wide <= SEEN:
            return exposure(self.image.crop())
        side = int(SEEN**0.5) // LOOKS
        starts = [np.linspace(0, max(0, length - side), LOOKS).astype(int) for length in (high, wide)]
        windows = [{"Y": slice(y, y + side), "X": slice(x, x + side)} for y in starts[0] for x in starts[1]]
        seen = [self.image.crop(window) for window in windows]
        return exposure(np.concatenate([pixels.reshape(len(pixels), 1, -1) for pixels in seen], axis=2))

    def given(self, plan: Plan) -> dict[str, NDArray[Any]]:
        """What a model must be told of the whole image beside the pixels of a part."""
        return {"exposure": self.exposure} if plan.scale_by == "image" else {}

    def crop(self, tile: Tile) -> NDArray[Any]:
        """The pixels (C, H, W) of one tile of the view, its halo included as far as the view goes."""
        if (tile.y, tile.x, tile.height, tile.width) == (0, 0, *self.image.shape[-2:]):
            return self.image.crop()  # small crops come by the thousand: no window is worked out for the whole
        inner = tile.window(self.shape)
        return self.image.crop(
            {
                "Y": slice(self.top + inner["Y"].start, self.top + inner["Y"].stop),
                "X": slice(self.left + inner["X"].start, self.left + inner["X"].stop),
            }
        )


def windows(shape: tuple[int, int], plan: Plan, times: int = 1) -> list[Tile]:
    """The tiles of an image of `shape` (Y, X): with a halo an exact cover, without one views of the plan's size.

    Where every pixel must be answered, views overlap, and each answers for its core. An image that is seen `times` its
    size needs a smaller halo, and the pixels beyond that enlarging looks at.
    """
    fitting = FITTINGS[plan.fitting]
    if fitting.whole:
        return [Tile(0, 0, *shape)]
    if plan.halo is not None:  # the answer does not depend on the size of the tiles, so the plan does not say it
        halo = plan.halo if times == 1 else -(-(plan.halo / times + BESIDE) // EVEN) * EVEN
        return cover(shape, max(READ, 4 * plan.halo, min(HALOS * plan.halo, MOST)), int(halo), times)
    return cover(shape, plan.tile, min(plan.tile) // SHARED) if fitting.covers else grid(shape, plan)


def grid(shape: tuple[int, int], plan: Plan) -> list[Tile]:
    """An even grid of whole views, as images are learned from.

    A network that sees everything gets views of the full size, as many as fit best: no sliver at an edge may weigh
    as much as a view of a whole cell, and an image little larger than the tile is one view (its centre).

    >>> [(t.y, t.x, t.height, t.width) for t in grid((70, 130), Plan(tile=64))]
    [(3, 0, 64, 64), (3, 66, 64, 64)]
    """
    if FITTINGS[plan.fitting].whole:
        return [Tile(0, 0, *shape)]

    # Where answers lie on the pixels none may go unseen.
    every = FITTINGS[plan.fitting].filled

    def starts(length: int, side: int) -> list[int]:
        count = -(-length // side) if every else max(1, round(length / side))
        last = max(0, length - side)
        return [last // 2] if count == 1 else [round(s) for s in np.linspace(0, last, count)]

    high, wide = (min(side, length) for side, length in zip(plan.tile, shape, strict=True))
    return [Tile(y, x, high, wide) for y in starts(shape[0], plan.tile[0]) for x in starts(shape[1], plan.tile[1])]
