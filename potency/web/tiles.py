"""Pictures of parts of images and of label images: colours, contrast, outlines, as PNG, the last ones kept at hand."""

from __future__ import annotations

import io
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from potency.data.image import Image
from potency.errors import PotencyError
from potency.web.pyramid import TILE, Pyramid

RGB = ("red", "green", "blue")
PALE = (0.5, 99.5)  # percentiles that become black and white
MARGIN = 0.25  # of a contrast slider beyond what is in the image, of what is in it
SEEN = 3  # channels that are shown at first
KEPT = 48 * 2**20  # bytes of tiles that are kept
CLEAR = (0, 0, 0, 0)
# Colours of channels by what their names hold; then in this order, which colour-blind readers tell apart best.
STAINS = {"dapi": "3d7bff", "hoechst": "3d7bff", "nucle": "3d7bff", "h2b": "3d7bff", "gfp": "35d04a", "fitc": "35d04a",
          "488": "35d04a", "cy3": "ff9d2e", "tritc": "ff9d2e", "rfp": "ff5340", "cherry": "ff5340", "cy5": "ff4fd8",
          "647": "ff4fd8", "red": "ff5340", "green": "35d04a", "blue": "3d7bff"}  # fmt: skip
ORDER = ("35d04a", "ff4fd8", "ffb000", "3fd5ff", "ff5340", "3d7bff")
WHITE = "ffffff"


@dataclass(frozen=True)
class Channel:
    """One channel as the viewer shows it at first.

    Attributes:
        colour: six hex digits.
        low, high: values that become black and full colour.
        least, most: ends of the sliders.
        on: whether it is shown.
    """

    name: str
    colour: str
    low: float
    high: float
    least: float
    most: float
    on: bool


@dataclass(frozen=True)
class Shown:
    """Which channels are drawn: their numbers, and for each its colour, black and white."""

    channels: tuple[int, ...]
    colours: tuple[str, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]


class Drawer:
    """The last tiles by what they show, at most KEPT bytes of them."""

    def __init__(self) -> None:
        self._tiles: OrderedDict[Hashable, bytes] = OrderedDict()
        self._bytes, self._lock = 0, threading.Lock()

    def tile(self, key: Hashable, draw: Callable[[], bytes]) -> bytes:
        """The tile of a key, drawn where it is not there."""
        with self._lock:
            if key in self._tiles:
                self._tiles.move_to_end(key)
                return self._tiles[key]
        made = draw()
        with self._lock:
            if key not in self._tiles:
                self._tiles[key] = made
                self._bytes += len(made)
            while self._bytes > KEPT:
                self._bytes -= len(self._tiles.popitem(last=False)[1])
        return made


def is_colour(image: Image) -> bool:
    """Whether three channels of 8 bits are the colours of a picture, which nobody wants stretched."""
    return image.dtype == np.uint8 and tuple(map(str.lower, image.channels)) == RGB


def channels_of(image: Image, pyramid: Pyramid) -> list[Channel]:
    """The channels of an image with the contrast that is fixed for all of it; `pyramid` has them all."""
    if is_colour(image):
        return [Channel(name, STAINS[name].replace("ff5340", "ff0000"), 0, 255, 0, 255, True) for name in RGB]
    found: list[Channel] = []
    alone = len(image.channels) == 1
    pixels = pyramid.sample()
    for number, name in enumerate(image.channels):
        values = pixels[number].astype(np.float64)
        values = values[np.isfinite(values)]
        low, high = np.percentile(values, PALE) if values.size else (0.0, 1.0)
        least, most = (float(values.min()), float(values.max())) if values.size else (0.0, 1.0)
        if not high > low:  # hardly anything but one value: what differs is shown, where anything does
            low, high = (least, most) if most > least else (low, low + 1)
        flat = not most > least
        colour = WHITE if alone else colour_of(name, number, tuple(one.colour for one in found))
        if image.dtype == np.uint8:
            least, most = 0.0, 255.0
        elif flat:
            least, most = min(0.0, least), max(most * (1 + MARGIN), float(high))
        else:  # of a camera with a high offset the ends lie near what it saw, or the sliders would jump over all of it
            room = (most - least) * MARGIN
            least, most = 0.0 if 0 <= least <= room else least - room, most + room
        if flat and alone:  # as bright as it is; among other channels it is seen as nothing
            low, high = least, most
        found.append(Channel(name, colour, float(low), float(high), least, most, number < SEEN))
    return found


def colour_of(name: str, number: int, taken: tuple[str, ...] = ()) -> str:
    """The colour of a channel, by the stain that its name holds, else the next that is not taken.

    >>> colour_of("DAPI", 3), colour_of("TUBB3", 1), colour_of("GFAP", 2, ("3d7bff", "35d04a"))
    ('3d7bff', 'ff4fd8', 'ff4fd8')
    """
    known = next((colour for part, colour in STAINS.items() if part in name.lower()), "")
    left = [colour for colour in ORDER if colour not in taken] if taken else []
    return known or (left[0] if left else ORDER[number % len(ORDER)])


def picture(pixels: NDArray[Any], shown: Shown) -> NDArray[np.uint8]:
    """Channels (C, h, w) added up in their colours, (h, w, 3), or (h, w) where it is but one in white.

    >>> picture(np.array([[[0, 50, 100]]]), Shown((0,), ("ff0000",), (0,), (100,)))[0].tolist()
    [[0, 0, 0], [127, 0, 0], [255, 0, 0]]
    """
    grey = shown.colours == (WHITE,)
    total = np.zeros(pixels.shape[1:] if grey else (*pixels.shape[1:], 3), np.float32)
    for plane, colour, low, high in zip(pixels, shown.colours, shown.low, shown.high, strict=True):
        part = np.nan_to_num(plane.astype(np.float32), nan=low, posinf=high, neginf=low)
        part = np.clip((part - low) / (max(high - low, 1e-12)), 0, 1)
        total += part * 255 if grey else part[..., None] * np.array(list(bytes.fromhex(colour)), np.float32)
    return np.clip(total, 0, 255).astype(np.uint8)


def outlined(labels: NDArray[Any], style: str, colours: Callable[[NDArray[Any]], NDArray[np.uint8]]) -> Any:
    """A tile (h, w, 4) of labels that were read with one pixel more on each side, (h + 2, w + 2): outlines or areas."""
    inner = labels[1:-1, 1:-1]
    if style == "outline":
        drawn = np.zeros(inner.shape, bool)
        for y, x in ((0, 1), (2, 1), (1, 0), (1, 2)):
            drawn |= labels[y : y + inner.shape[0], x : x + inner.shape[1]] != inner
        drawn &= inner != 0
    else:
        drawn = inner != 0
    made = np.zeros((*inner.shape, 4), np.uint8)
    made[drawn, :3] = colours(inner[drawn])
    made[drawn, 3] = 255
    return made


def with_edge(pyramid: Pyramid, level: int, x: int, y: int) -> NDArray[Any]:
    """The labels of a tile with one pixel more on each side; the last row is repeated where the image ends."""
    box = (y * TILE - 1, (y + 1) * TILE + 1, x * TILE - 1, (x + 1) * TILE + 1)
    pixels = pyramid.window(level, box)[0]
    top, left = int(y == 0), int(x == 0)
    factor = 2 ** (pyramid.top - level)
    high = min(TILE, -(-pyramid.height // factor) - y * TILE) + 2
    wide = min(TILE, -(-pyramid.width // factor) - x * TILE) + 2
    short = (high - top - pixels.shape[0], wide - left - pixels.shape[1])
    return np.pad(pixels, ((top, max(0, short[0])), (left, max(0, short[1]))), mode="edge")


def png(pixels: NDArray[Any]) -> bytes:
    """Pixels (h, w), (h, w, 3) or (h, w, 4) as PNG, quickly rather than small."""
    from PIL import Image as Picture

    held = io.BytesIO()
    Picture.fromarray(pixels).save(held, format="PNG", compress_level=1)
    return held.getvalue()


def numbers(text: str, what: str) -> tuple[float, ...]:
    """Numbers of a query.

    >>> numbers("0,2.5", "low")
    (0.0, 2.5)

    Raises:
        PotencyError: they are none.
    """
    try:
        found = tuple(float(part) for part in text.split(",") if part.strip())
    except ValueError:
        found = (float("nan"),)
    if not all(abs(value) < 1e30 for value in found):
        raise PotencyError(f"{text[:40]!r} are no numbers", what, "write them with commas between: 0,2.5")
    return found


def chosen(channels: Sequence[Channel], c: str, colour: str, low: str, high: str) -> Shown:
    """What a query asks to be drawn; what it leaves out is as it is shown at first.

    Raises:
        PotencyError: no such channel, no colour, or as many of one as of another.
    """
    wanted = tuple(int(value) for value in numbers(c, "c")) if c else tuple(
        number for number, one in enumerate(channels) if one.on)  # fmt: skip
    if not all(0 <= number < len(channels) for number in wanted) or len(set(wanted)) < len(wanted):
        raise PotencyError(f"there is no channel {c[:40]!r}", "c", f"channels are numbered 0 to {len(channels) - 1}")
    first = [channels[number] for number in wanted]
    colours = tuple(colour.lower().split(",")) if colour else tuple(one.colour for one in first)
    darks = numbers(low, "low") if low else tuple(one.low for one in first)
    brights = numbers(high, "high") if high else tuple(one.high for one in first)
    if not len(wanted) == len(colours) == len(darks) == len(brights):
        raise PotencyError("colours and contrast are not those of as many channels", "the address",
                           "give as many of colour, low and high as of c")  # fmt: skip
    if not all(len(one) == 6 and set(one) <= set("0123456789abcdef") for one in colours):
        raise PotencyError(f"{colour[:40]!r} are no colours", "colour", "write six hex digits each: ff0000,00ff00")
    return Shown(wanted, colours, darks, brights)
