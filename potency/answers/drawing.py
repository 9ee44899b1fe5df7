"""How answers are drawn: the image as RGB with bars and a caption below it, with contours or boxes on it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from potency.errors import AnswerError

RGB = tuple[int, int, int]
# Okabe and Ito's colours, told apart by colour-blind readers as well; classes beyond the eighth start again.
COLOURS: tuple[RGB, ...] = (
    (0, 114, 178), (230, 159, 0), (0, 158, 115), (204, 121, 167),
    (86, 180, 233), (213, 94, 0), (240, 228, 66), (120, 120, 120),
)  # fmt: skip
CAPTION = 14  # pixels of one line of text


def as_rgb(image: Any) -> NDArray[np.uint8]:
    """Pixels for the eye: an Image, (H, W) or (C, H, W) of any type -> (H, W, 3).

    Stretched between the percentiles 0.5 and 99.5. Three 8-bit channels are taken as
    colour, other channel counts as the grey of the first channel.

    >>> as_rgb(np.arange(6.0).reshape(1, 2, 3)).shape
    (2, 3, 3)
    """
    pixels = np.asarray(image.crop() if hasattr(image, "crop") else image)
    if pixels.ndim == 2:
        pixels = pixels[None]
    if pixels.shape[0] == 3 and pixels.dtype == np.uint8:
        return np.ascontiguousarray(np.moveaxis(pixels, 0, -1))
    grey = np.asarray(pixels[0], np.float64)
    finite = grey[np.isfinite(grey)]
    low, high = np.percentile(finite, (0.5, 99.5)) if finite.size else (0.0, 1.0)
    scaled = np.nan_to_num((grey - low) / max(high - low, 1e-12), nan=0.0, posinf=1.0, neginf=0.0)
    eight = np.round(np.clip(scaled, 0, 1) * 255).astype(np.uint8)
    return np.repeat(eight[..., None], 3, axis=-1)


def captioned(rgb: NDArray[np.uint8], text: str, bars: Sequence[tuple[float, RGB]] = ()) -> NDArray[np.uint8]:
    """A small picture enlarged to at least 128 pixels' width; below it bars (0 to 1) and a line of text."""
    from PIL import Image, ImageDraw  # late: evaluation draws nothing until a report asks

    factor = max(1, -(-128 // max(rgb.shape[1], 1)))
    picture = np.repeat(np.repeat(rgb, factor, axis=0), factor, axis=1)
    width = picture.shape[1]
    below = np.full((4 * len(bars) + CAPTION, width, 3), 24, np.uint8)
    for row, (length, colour) in enumerate(bars):
        filled = round(width * min(max(length, 0.0), 1.0)) if np.isfinite(length) else 0
        below[4 * row : 4 * row + 3, :filled] = colour
    sheet = Image.fromarray(below)
    ImageDraw.Draw(sheet).text((2, 4 * len(bars) + 1), text, fill=(240, 240, 240))
    return np.concatenate([picture, np.asarray(sheet)])


def colours_of(numbers: NDArray[Any]) -> NDArray[np.uint8]:
    """The colour of each object's number, (objects, 3): the same in every image, view and time point.

    Numbers that follow one another get different colours; all can be told apart by colour-blind readers.

    >>> colours_of(np.array([1, 2, 1])).tolist()
    [[0, 158, 115], [86, 180, 233], [0, 158, 115]]
    """
    places = (np.asarray(numbers, np.uint64) * np.uint64(2)) % np.uint64(len(COLOURS) - 1)  # grey is for what has none
    return np.array(COLOURS, np.uint8)[places.astype(np.intp)]


def enlarged(pixels: NDArray[Any]) -> NDArray[Any]:
    """Pixels (H, W) or (H, W, 3) repeated until they are 128 wide, so that an outline does not hide what it goes round.

    >>> enlarged(np.ones((2, 100))).shape
    (4, 200)
    """
    factor = max(1, -(-128 // max(pixels.shape[1], 1)))
    return np.repeat(np.repeat(pixels, factor, axis=0), factor, axis=1)


def flat(labels: NDArray[Any]) -> NDArray[Any]:
    """A label image as a plane: of a stack the largest number along z."""
    return labels if labels.ndim == 2 else labels.max(axis=0)


def upon(labels: NDArray[Any], image: Any) -> tuple[NDArray[Any], NDArray[np.uint8]]:
    """A label image as a plane and the pixels it is drawn on, both enlarged; refused where their sizes differ."""
    rgb, plane = as_rgb(image), flat(labels)
    if rgb.shape[:2] != plane.shape:
        raise AnswerError(
            f"the image is {rgb.shape[0]} x {rgb.shape[1]} pixels, the answer {plane.shape[0]} x {plane.shape[1]}",
            "draw", "draw an answer on the image it was given for",
        )  # fmt: skip
    return enlarged(plane), enlarged(rgb)
