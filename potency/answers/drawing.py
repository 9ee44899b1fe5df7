"""How answers are drawn: the image as RGB with bars and a caption below it, with contours or boxes on it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import cache
from heapq import heapify, heappop, heappush
from typing import Any

import numpy as np
from numpy.typing import NDArray

from potency.errors import AnswerError

RGB = tuple[int, int, int]
# Okabe and Ito's colours, and a grey; any two are told apart by colour-blind readers too: at least 16 apart in CIE Lab
# for each kind of dichromacy (Machado et al. 2009); about 2 can just be seen. Classes beyond the eighth start again.
COLOURS: tuple[RGB, ...] = (
    (0, 114, 178), (230, 159, 0), (0, 158, 115), (204, 121, 167),
    (86, 180, 233), (213, 94, 0), (240, 228, 66), (90, 90, 90),
)  # fmt: skip
CAPTION = 14  # pixels of one line of text
BESIDE = ((0, 1), (1, 0), (1, 1), (1, -1), (0, 2), (2, 0))  # steps in pixels to what an eye takes for touching


def levels_of(pixels: Any) -> tuple[float, float]:
    """What becomes black and white of the first channel of pixels (H, W) or (C, H, W): percentiles 0.5 and 99.5.

    >>> levels_of(np.arange(201.0).reshape(3, 67))
    (1.0, 199.0)
    """
    pixels = np.asarray(pixels)
    grey = np.asarray(pixels if pixels.ndim == 2 else pixels[0], np.float64)
    finite = grey[np.isfinite(grey)]
    low, high = np.percentile(finite, (0.5, 99.5)) if finite.size else (0.0, 1.0)
    return float(low), float(high)


def as_rgb(image: Any, levels: tuple[float, float] | None = None) -> NDArray[np.uint8]:
    """Pixels for the eye: an Image, (H, W) or (C, H, W) of any type -> (H, W, 3).

    Stretched between `levels`, which a part of an image has from the whole (`levels_of`) so that parts can be
    compared, else between its own. Three 8-bit channels are taken as colour, other channel counts as the grey of the
    first channel.

    >>> as_rgb(np.arange(6.0).reshape(1, 2, 3)).shape
    (2, 3, 3)
    """
    pixels = np.asarray(image.crop() if hasattr(image, "crop") else image)
    if pixels.ndim == 2:
        pixels = pixels[None]
    if pixels.shape[0] == 3 and pixels.dtype == np.uint8:
        return np.ascontiguousarray(np.moveaxis(pixels, 0, -1))
    grey = np.asarray(pixels[0], np.float64)
    low, high = levels or levels_of(grey)
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

    So a track keeps its colour. Numbers that follow one another get different colours; all can be told apart by
    colour-blind readers.

    >>> colours_of(np.array([1, 2, 1])).tolist()
    [[0, 158, 115], [86, 180, 233], [0, 158, 115]]
    """
    return np.array(COLOURS, np.uint8)[_places(numbers)]


def _places(numbers: NDArray[Any]) -> NDArray[np.intp]:
    hues = np.uint64(len(COLOURS) - 1)  # grey is for what has none
    return ((np.asarray(numbers, np.uint64) * np.uint64(2)) % hues).astype(np.intp)


def colours_apart(labels: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.uint8]]:
    """The numbers in a plane of labels (H, W), sorted, and a colour for each, (objects, 3): neighbours never share one.

    For numbers that name nobody beyond their image: an object has the colour of `colours_of`, which tracks keep, unless
    one that it touches took it first. Objects are coloured in smallest-last order (Matula and Beck 1983,
    doi 10.1145/2402.322385), in which each meets few that have a colour; seven colours are enough for objects of one
    piece. Where pieces lie such that they are not, the one that the fewest neighbours have is shared.

    >>> numbers, colours = colours_apart(np.array([[1, 8, 0, 0, 8]]))
    >>> numbers.tolist(), (colours_of(numbers) == colours).all(axis=1).tolist()
    ([1, 8], [False, True])
    """
    numbers = np.unique(labels)
    numbers = numbers[numbers != 0]
    place = _places(numbers)
    beside = _beside(labels, numbers)
    hues = len(COLOURS) - 1
    done: set[int] = set()
    for one in _smallest_last(beside):
        taken = np.bincount(place[[other for other in beside[one] if other in done]], minlength=hues)
        place[one] = min(range(hues), key=lambda hue: (taken[hue], (hue - place[one]) % hues))
        done.add(one)
    return numbers, np.array(COLOURS, np.uint8)[place]


def _beside(labels: NDArray[Any], numbers: NDArray[Any]) -> dict[int, set[int]]:
    """Which objects, by their place among the numbers, touch which others."""
    found: dict[int, set[int]] = {}
    height, width = labels.shape
    for down, right in BESIDE:
        left = max(0, -right)
        one = labels[: max(height - down, 0), left : max(width - max(right, 0), left)]
        other = labels[down:, left + right :][: one.shape[0], : one.shape[1]]
        seam = (one != other) & (one != 0) & (other != 0)
        ends = np.searchsorted(numbers, np.stack([one[seam], other[seam]], axis=1))
        for a, b in np.unique(ends, axis=0).tolist():
            found.setdefault(a, set()).add(b)
            found.setdefault(b, set()).add(a)
    return found


def _smallest_last(beside: Mapping[int, Collection[int]]) -> list[int]:
    """The objects in the order of colouring: the last has the fewest neighbours, the one before of what is left."""
    left = {one: len(others) for one, others in beside.items()}
    queue = [(many, one) for one, many in left.items()]
    heapify(queue)
    order = []
    while queue:
        many, one = heappop(queue)
        if left.get(one) != many:
            continue
        del left[one]
        order.append(one)
        for other in beside[one]:
            if other in left:
                left[other] -= 1
                heappush(queue, (left[other], other))
    return order[::-1]


@cache
def font(size: int) -> Any:
    """Letters of so many pixels for Pillow: DejaVu, which knows µ and ², as Pillow's own do not."""
    from matplotlib import get_data_path
    from PIL import ImageFont

    return ImageFont.truetype(f"{get_data_path()}/fonts/ttf/DejaVuSans.ttf", size)


def barred(rgb: NDArray[np.uint8], pixel: float, unit: str) -> NDArray[np.uint8]:
    """The picture (H, W, 3) with a scale bar at the lower left; a pixel of it is `pixel` units ("µm", "px") wide.

    The bar is 1, 2 or 5 times a power of ten long and at most a third of the width; without room there is none.

    >>> picture = np.zeros((60, 120, 3), np.uint8)
    >>> int((barred(picture, 0.5, "µm")[-6] == 255).all(axis=1).sum())
    40
    """
    from PIL import Image, ImageDraw

    height, width = rgb.shape[:2]
    most = width / 3 * pixel
    if min(height, width) < 3 * CAPTION or not most > 0:
        return rgb
    ten = 10.0 ** np.floor(np.log10(most))
    long = max(step * ten for step in (1, 2, 5) if step * ten <= most)
    sheet = Image.fromarray(rgb)
    pen, end = ImageDraw.Draw(sheet), 5 + round(long / pixel)
    pen.rectangle([4, height - 8, end, height - 4], fill=(0, 0, 0))
    pen.rectangle([5, height - 7, end - 1, height - 5], fill=(255, 255, 255))
    letters = font(max(10, round(width / 28)))  # larger on larger pictures, which are shown smaller
    pen.text((5, height - 11), f"{long:g} {unit}", fill=(255, 255, 255), font=letters, anchor="ls", stroke_width=1,
             stroke_fill=(0, 0, 0))  # fmt: skip
    return np.asarray(sheet)


def scale_of(image: Any, pixels: float = 1.0) -> tuple[float, str]:
    """How wide a pixel of a picture is that shows so many pixels of an Image: in um where that is known, else in px."""
    sizes = image.pixel_size
    return (pixels * sizes["X"], "µm") if sizes else (pixels, "px")


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


def fitted(image: Any, size: Sequence[int]) -> NDArray[np.uint8]:
    """The enlarged picture of an image on which an answer of `size` (Y, X) is drawn; refused where it is of another."""
    rgb = as_rgb(image)
    if rgb.shape[:2] != tuple(size):
        raise AnswerError(
            f"the image is {rgb.shape[0]} x {rgb.shape[1]} pixels, the answer {size[0]} x {size[1]}",
            "draw", "draw an answer on the image it was given for",
        )  # fmt: skip
    return enlarged(rgb)


def resized(rgb: NDArray[np.uint8], longer: int) -> NDArray[np.uint8]:
    """A picture (H, W, 3) whose longer side has so many pixels: averaged where it shrinks, cubic where it grows.

    >>> resized(np.zeros((20, 10, 3), np.uint8), 100).shape
    (100, 50, 3)
    """
    from PIL import Image

    scale = longer / max(rgb.shape[:2])
    size = (max(1, round(rgb.shape[1] * scale)), max(1, round(rgb.shape[0] * scale)))
    how = Image.Resampling.BOX if scale < 1 else Image.Resampling.BICUBIC
    return np.asarray(Image.fromarray(rgb).resize(size, how))
