"""Many thumbnails as one picture: what a page shows under the pointer, bounded in size."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from potency.data.manifest import Manifest
from potency.evaluation.gallery import stretched

LARGEST, SMALLEST = 56, 24  # px a side of a thumbnail
PIXELS = 4_000_000  # of the whole sheet: about a megabyte of JPEG
QUALITY = 72
WIDEST = 1024  # of a large image only the middle is looked at


@dataclass(frozen=True)
class Sheet:
    """Square thumbnails in rows; number k stands at column k % columns, row k // columns.

    Attributes:
        uri: the picture (JPEG) as a data URI.
        side: pixels of a thumbnail.
        columns: thumbnails in a row.
    """

    uri: str
    side: int
    columns: int


def side_for(count: int) -> int:
    """Pixels a side of so many thumbnails.

    >>> side_for(100), side_for(5000), side_for(100000)
    (56, 28, 24)
    """
    return int(np.clip((PIXELS / max(1, count)) ** 0.5, SMALLEST, LARGEST))


def sheet(manifest: Manifest, places: Sequence[int], progress: Callable[[int, int], object] | None = None) -> Sheet:
    """The thumbnails of these rows; one that cannot be read is grey."""
    side = side_for(len(places))
    columns = max(1, int(np.ceil(len(places) ** 0.5)))
    canvas = np.full((-(-len(places) // columns) * side, columns * side, 3), 128, np.uint8)
    rows = manifest.records()

    def one(place: int) -> NDArray[np.uint8] | None:
        try:
            return thumbnail(pixels_of(manifest, rows[place]), side)
        except Exception:  # whatever a broken file does to a decoder, the map does not depend on its picture
            return None

    with ThreadPoolExecutor(max_workers=4) as pool:
        for k, picture in enumerate(pool.map(one, places)):
            if picture is not None:
                y, x = k // columns * side, k % columns * side
                canvas[y : y + side, x : x + side] = picture
            if progress is not None and (k % 100 == 99 or k + 1 == len(places)):
                progress(k + 1, len(places))
    return Sheet(uri_of(canvas, "JPEG"), side, columns)


def pixels_of(manifest: Manifest, row: Any) -> NDArray[Any]:
    """The pixels (C, H, W) of a row, of a large one the middle."""
    image, window = manifest.open(row), manifest.window(row)
    if window is None:
        window = {axis: slice(max(0, (image.sizes[axis] - WIDEST) // 2), (image.sizes[axis] + WIDEST) // 2)
                  for axis in "YX" if image.sizes[axis] > WIDEST}  # fmt: skip
    return image.crop(window or None)


def thumbnail(pixels: NDArray[Any], side: int) -> NDArray[np.uint8]:
    """Pixels (C, H, W) for the eye, (side, side, 3): three channels of 8 bits are colour, else their mean."""
    from PIL import Image

    if len(pixels) == 3 and pixels.dtype == np.uint8:
        rgb = np.ascontiguousarray(np.moveaxis(pixels, 0, -1))
    else:
        rgb = np.repeat(stretched(np.nan_to_num(pixels.astype(np.float32)).mean(0))[..., None], 3, 2)
    high, wide = rgb.shape[:2]
    scale = side / max(high, wide)
    size = (max(1, round(wide * scale)), max(1, round(high * scale)))
    way = Image.Resampling.BOX if scale < 1 else Image.Resampling.BICUBIC
    small = np.asarray(Image.fromarray(rgb).resize(size, way))
    framed = np.full((side, side, 3), 128, np.uint8)
    top, left = (side - size[1]) // 2, (side - size[0]) // 2
    framed[top : top + size[1], left : left + size[0]] = small
    return framed


def uri_of(rgb: NDArray[np.uint8], kind: str = "PNG") -> str:
    """A picture (H, W, 3) as a data URI; one without colour is kept as grey."""
    from PIL import Image

    grey = bool((rgb[..., 0] == rgb[..., 1]).all() and (rgb[..., 1] == rgb[..., 2]).all())
    written = io.BytesIO()
    options: dict[str, Any] = {"quality": QUALITY} if kind == "JPEG" else {}
    Image.fromarray(rgb[..., 0] if grey else rgb).save(written, format=kind, optimize=True, **options)
    return f"data:image/{kind.lower()};base64," + base64.b64encode(written.getvalue()).decode("ascii")
