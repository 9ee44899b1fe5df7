"""One channel of an image that has several, for models that see one: the one they know, or colour seen as grey."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from potency.data.image import Image
from potency.data.parts import Part
from potency.data.pixels import Pixels, Window
from potency.errors import ImageError

RGB = (("red", "green", "blue"), ("r", "g", "b"))
WEIGHTS = (0.299, 0.587, 0.114)  # of them in what an eye calls bright (ITU-R BT.601)


def single(image: Image, name: str) -> Image:
    """The image with the channel `name` only, or as it is where it has one, or grey where it is red, green and blue.

    >>> single(Image.of(np.zeros((4, 4, 2), "uint8"), "YXC", channels=["DAPI", "phase"]), "DAPI").axes
    'YX'
    >>> float(single(Image.of(np.full((4, 4, 3), 50, "uint8"), "YXC", channels=RGB[0]), "grey").crop().mean().round())
    50.0

    Raises:
        ImageError: several channels, none of that name, that are not red, green and blue.
    """
    names = image.channels
    if image.sizes.get("C", 1) == 1:
        return image
    if name in names:
        return Image(Part.of(image.pixels, {"C": names.index(name)}, None), image.name)
    if tuple(map(str.lower, names)) in RGB:
        return Image(Grey(image.pixels), image.name)
    raise ImageError(
        f"the image has {len(names)} channels ({', '.join(names[:10])}), the model sees one, {name}", image.name,
        "say which of them it is to see, by name or number from 0: --channel, or a column c",
    )  # fmt: skip


@dataclass(frozen=True, eq=False)
class Grey:
    """The brightness of the red, green and blue of `source`, float32, its axis C gone."""

    source: Pixels
    channels: tuple[str, ...] = ("grey",)
    dtype: np.dtype[Any] = np.dtype("float32")

    @property
    def axes(self) -> str:
        return self.source.axes.replace("C", "")

    @property
    def shape(self) -> tuple[int, ...]:
        return self.levels[0]

    @property
    def levels(self) -> tuple[tuple[int, ...], ...]:
        at = self.source.axes.index("C")
        return tuple((*shape[:at], *shape[at + 1 :]) for shape in self.source.levels)

    @property
    def pixel_size(self) -> Mapping[str, float] | None:
        return self.source.pixel_size

    @property
    def notes(self) -> tuple[str, ...]:
        return (*self.source.notes, "colour seen as grey")

    def read(self, window: Window, level: int = 0) -> NDArray[Any]:
        at = self.source.axes.index("C")
        colours = self.source.read({**window, "C": slice(0, len(WEIGHTS))}, level)
        # Channel by channel: a product of matrices may round by the size of the window, this does not.
        red, green, blue = (colours.take(k, at) * np.float32(weight) for k, weight in enumerate(WEIGHTS))
        return np.asarray(red + green + blue)
