"""Small pictures of images of any size and kind, made once and kept beside them."""

from __future__ import annotations

import math
import secrets
import threading
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from potency.errors import PotencyError
from potency.web.pyramid import TILE

FOLDER = "thumbnails"
TURNS = threading.BoundedSemaphore(2)  # pictures made at once: each takes memory


def thumbnail(path: Path, place: Path, name: str, side: int) -> Path:
    """The PNG of an image whose longer side has at most `side` pixels; the middle plane of a stack.

    Raises:
        ImageError: the image cannot be read.
    """
    made = place / FOLDER / f"{name}-{side}.png"
    if made.is_file():
        return made
    from PIL import Image as Picture

    with TURNS:
        pixels = plane(path, side, place, name)
    picture = Picture.fromarray(pixels)
    picture.thumbnail((side, side), Picture.Resampling.BOX)
    made.parent.mkdir(exist_ok=True)
    part = made.with_name(f".{made.name}.{secrets.token_hex(4)}")
    try:
        picture.save(part, format="PNG")
        part.replace(made)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise PotencyError(f"the picture cannot be kept: {error.strerror or error}", "the disk", "make room") from error
    return made


def plane(path: Path, side: int, place: Path, name: str) -> NDArray[np.uint8]:
    """Pixels (H, W) or (H, W, 3) of 8 bits for the eye, of about the size that `side` allows."""
    from potency.evaluation.gallery import stretched

    pixels = coarse(path, side, place, name)
    if pixels.shape[0] == 3 and pixels.dtype == np.uint8:
        return np.ascontiguousarray(np.moveaxis(stretched(pixels), 0, -1))
    return np.ascontiguousarray(stretched(pixels[0]))


def coarse(path: Path, side: int, place: Path, name: str) -> NDArray[Any]:
    """Pixels (C, H, W) of the middle plane and time, read in bounded memory at about the size that `side` allows.

    Raises:
        ImageError: the image cannot be read.
    """
    from potency.web.views import opened

    pyramid = opened(path, place, name).pyramid()
    level = min(pyramid.top, max(0, math.ceil(math.log2(side / TILE)) + 1))
    pixels: NDArray[Any] = pyramid.window(level, (0, pyramid.height, 0, pyramid.width))
    return pixels
