"""Turn the colour models of TIFF (palette, CMYK, alpha) into plain intensities or RGB."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from potency.errors import ImageError

GREY, RGB, PALETTE, CMYK = (0, 1, 4, 32803, 34892, 51177), 2, 3, 5  # PhotometricInterpretation (TIFF 6.0, p. 117)
YCBCR, JPEGS = 6, (6, 7, 33003, 33005, 34712, 34892, 33007, 34933, 34934, 50001, 50002)


@dataclass(frozen=True)
class Colour:
    """What has to be done to the stored samples; `samples` of them are stored, `kept` are given out."""

    dtype: np.dtype
    samples: int
    kept: int
    table: NDArray[Any] | None = None
    cmyk: bool = False
    rgb: bool = False
    notes: tuple[str, ...] = ()

    @classmethod
    def of(cls, page: tifffile.TiffPage, scientific: bool, where: str) -> Colour:
        """Decide from the tags of a page; in `scientific` files (OME, ImageJ) a palette only colours the display."""
        model, samples, dtype = int(page.photometric), int(page.samplesperpixel), np.dtype(page.dtype)
        alpha = [i for i in page.extrasamples if i in (1, 2)]
        if model == PALETTE and page.colormap is not None:
            table = np.asarray(page.colormap)
            if scientific:
                return cls(dtype, samples, samples, notes=("display palette ignored",))
            for step in (257, 256):  # 16-bit tables of 8-bit colours: 255 stands as 65535, or as 65280
                if not (table % step).any():
                    table = (table // step).astype("uint8")
                    break
            return cls(table.dtype, 1, 3, table=table, rgb=True, notes=("palette expanded to RGB",))
        if model == CMYK and samples >= 4 and dtype.kind == "u":
            return cls(dtype, samples, 3, cmyk=True, rgb=True, notes=("CMYK converted to RGB",))
        if model == RGB or (model == YCBCR and page.compression in JPEGS):
            kept = 3 if samples == 4 and alpha else samples
            return cls(dtype, samples, kept, rgb=kept == 3, notes=("alpha dropped",) if kept < samples else ())
        if model in GREY:
            kept = 1 if samples == 2 and alpha else samples
            # ImageJ's inverting display and masks saved as bool are both white-is-zero: values stay as they were meant.
            notes = ("alpha dropped",) * (kept < samples) + ("white is zero, values left as stored",) * (model == 0)
            return cls(dtype, samples, kept, notes=notes)
        name = getattr(page.photometric, "name", model)
        raise ImageError(f"the colour model {name} is not read", where, "save the image as grey or RGB")

    def given(self, letters: str, sizes: Sequence[int]) -> tuple[str, tuple[int, ...]]:
        """Give the axes after the colours are turned: a palette adds samples, alpha and black take them away."""
        if self.table is not None:
            return letters + "S", (*sizes, 3)
        at = self._samples(letters, sizes)
        return letters, tuple(self.kept if i == at else n for i, n in enumerate(sizes))

    def needed(self, letters: str, window: Sequence[slice]) -> tuple[slice, ...]:
        """Give the stored window for a window of what is given out."""
        if self.table is not None:
            return tuple(window[:-1])
        if self.cmyk:
            return tuple(slice(0, self.samples) if a == "S" else s for a, s in zip(letters, window, strict=True))
        return tuple(window)

    def given_pixels(self, letters: str, array: NDArray[Any], window: Sequence[slice]) -> NDArray[Any]:
        """Turn stored samples, read at `needed(window)`, into what is given out at `window`."""
        if self.table is not None:
            return np.moveaxis(self.table[window[-1]][:, array], 0, -1)
        if self.cmyk:
            top = np.iinfo(array.dtype).max
            at = letters.index("S")
            light = (top - np.moveaxis(array, at, 0)).astype("float64")
            mixed = np.rint(light[:3] * light[3] / top).astype(array.dtype)
            return np.moveaxis(mixed[window[at]], 0, at)
        return array

    def _samples(self, letters: str, sizes: Sequence[int]) -> int:
        if self.kept == self.samples:
            return -1
        return next(i for i, (a, n) in enumerate(zip(letters, sizes, strict=True)) if a == "S" and n == self.samples)
