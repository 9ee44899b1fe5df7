"""Made-up fields of bright discs on dark ground, as files to upload."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image

PLACES = ((24, 24), (24, 72), (24, 120), (72, 40), (72, 100), (104, 140))  # centres y, x of cells in a field
RADIUS = 9


def field(places: Sequence[tuple[int, int]] = PLACES, shape: tuple[int, int] = (128, 160), seed: int = 0) -> NDArray:
    """A field (H, W) of 8 bits: a soft disc at each place, and noise."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    light = np.full(shape, 20.0)
    for top, left in places:
        light += 170 / (1 + np.exp(np.hypot(y - top, x - left) - RADIUS))
    return np.clip(light + np.random.default_rng(seed).normal(0, 3, shape), 0, 255).astype(np.uint8)


def png(pixels: NDArray) -> bytes:
    written = io.BytesIO()
    Image.fromarray(pixels).save(written, format="PNG")
    return written.getvalue()


def tiff(pixels: NDArray, axes: str, um: float = 0.5, **more: object) -> bytes:
    """An OME-TIFF of named axes with a pixel size."""
    written = io.BytesIO()
    told = {"axes": axes, "PhysicalSizeX": um, "PhysicalSizeY": um, **more}
    tifffile.imwrite(written, pixels, ome=True, metadata=told, photometric="minisblack")
    return written.getvalue()


def stack() -> bytes:
    """Two times, three planes, two channels: the value is 100 t + 10 z + 1000 c, but for a disc."""
    t, z, c = np.meshgrid(range(2), range(3), range(2), indexing="ij")
    light = (100 * t + 10 * z + 1000 * c)[..., None, None] + 2 * field().astype(int)
    return tiff(light.astype(np.uint16), "TZCYX", Channel={"Name": ["DAPI", "GFP"]})
