"""Small pictures of images of any size and kind, made once and kept beside them."""

from __future__ import annotations

import secrets
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from potency.errors import ImageError, PotencyError

if TYPE_CHECKING:
    from potency.data.image import Image

FOLDER = "thumbnails"
TURNS = threading.BoundedSemaphore(2)  # pictures made at once: each may take the memory of a whole image
BAND = 2**26  # values of a plane that are read at once


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
        pixels = plane(path, side)
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


def plane(path: Path, side: int) -> NDArray[np.uint8]:
    """Pixels (H, W) or (H, W, 3) of 8 bits for the eye, read at the coarsest size that `side` allows."""
    from potency.evaluation.gallery import stretched

    crop = coarse(path, side)
    if crop.shape[0] == 3 and crop.dtype == np.uint8:
        return np.ascontiguousarray(np.moveaxis(stretched(crop), 0, -1))
    return np.ascontiguousarray(stretched(crop[0]))


def coarse(path: Path, side: int) -> NDArray[Any]:
    """Pixels (C, H, W) of an image, its middle plane and time, read at the coarsest size that `side` allows.

    Raises:
        ImageError: the image cannot be read.
    """
    from potency.data.readers import open_image

    image = open_image(path)
    sizes = image.sizes
    longest = max(sizes["Y"], sizes["X"])
    if longest > 4 * side and image.pixel_size:
        image = image.at(max(image.pixel_size["Y"], image.pixel_size["X"]) * longest / (2 * side))
        sizes = image.sizes
    step = max(1, max(sizes["Y"], sizes["X"]) // (2 * side)) if longest > 4096 else 1
    crop = thinned(image, step)
    if not crop.size:
        raise ImageError("the image has no pixels", str(path), "export it again")
    return crop


def thinned(image: Image, step: int) -> NDArray[Any]:
    """Every so many pixels (C, h, w) of the middle plane; of a large one read in bands, so that it fits the memory."""
    sizes = image.sizes
    t, z = sizes.get("T", 1) // 2, sizes.get("Z", 1) // 2
    if sizes["Y"] * sizes["X"] * sizes.get("C", 1) <= BAND:
        return image.crop(None, t=t, z=z)[:, ::step, ::step]
    rows = max(step, BAND // (sizes["X"] * sizes.get("C", 1)) // step * step)
    windows = [{"Y": slice(y, min(y + rows, sizes["Y"]))} for y in range(0, sizes["Y"], rows)]
    return np.concatenate([image.crop(window, t=t, z=z)[:, ::step, ::step] for window in windows], axis=1)
