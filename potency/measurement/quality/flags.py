"""The visible table of limits: which measure, beyond which value, is called what."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FEWEST = 8  # images, under which a set has no usual value to differ from


@dataclass(frozen=True)
class Limit:
    """When a flag is raised: beyond an absolute value, or far from what is usual among images taken alike.

    Args:
        flag: the word in `quality.flags`.
        measure: which column is judged.
        absolute: the value that is wrong by itself; NaN where physics names none.
        spreads: how many robust standard deviations (1.4826 median absolute deviations) from the median are unusual;
            NaN where the set is not asked.
        step: what the difference must be at least, so that a set of equals has no outliers: a factor where `ratio`,
            else a difference.
        ratio: compare logarithms.
        least: what is smaller counts as this much before logarithms are taken.
        low: the measure is too low, not too high.
    """

    flag: str
    measure: str
    why: str
    absolute: float = math.nan
    spreads: float = math.nan
    step: float = 0.0
    ratio: bool = False
    low: bool = False
    least: float = 1e-9

    def raised(self, values: NDArray[np.float64], alike: Sequence[object]) -> NDArray[np.bool_]:
        """Which of `values` (N,) are beyond the limit; `alike` (N,) says which images were taken alike.

        >>> limit = Limit("dark", "brightness", "", spreads=3, step=1, low=True)
        >>> limit.raised(np.array([9.0, 9, 9, 8, 9, 9, 10, 9, 2]), ["a"] * 9).tolist()[-2:]
        [False, True]
        """
        sign = -1.0 if self.low else 1.0
        with np.errstate(invalid="ignore"):
            beyond = sign * values > sign * self.absolute
        if not math.isnan(self.spreads):
            beyond |= self._unusual(values, alike, sign)
        return beyond

    def _unusual(self, values: NDArray[np.float64], alike: Sequence[object], sign: float) -> NDArray[np.bool_]:
        scale = np.log2(np.maximum(values, self.least)) if self.ratio else values
        step = math.log2(self.step) if self.ratio else self.step
        names = np.array([str(name) for name in alike], dtype=object)
        beyond = np.zeros(len(values), np.bool_)
        # Among all images too: a plate that is wrong throughout has no outliers of its own.
        for here in (np.ones(len(values), np.bool_), *(names == name for name in set(names))):
            middle, spread = usual(scale[here])
            with np.errstate(invalid="ignore"):
                beyond[here] |= sign * (scale[here] - middle) > max(self.spreads * spread, step)
        return beyond


def usual(values: NDArray[np.float64]) -> tuple[float, float]:
    """Median and robust standard deviation of the finite values; NaN where they are too few."""
    known = values[np.isfinite(values)]
    if len(known) < FEWEST:
        return math.nan, math.nan
    middle = float(np.median(known))
    return middle, 1.4826 * float(np.median(np.abs(known - middle)))


LIMITS: tuple[Limit, ...] = (
    Limit("not finite", "not_finite", "pixels that are no numbers", absolute=0.0),
    Limit("constant", "contrast", "one brightness throughout", absolute=1e-12, low=True),
    Limit("empty", "confluence", "under 0.2 % of the image is textured", absolute=0.002, low=True),
    Limit("out of focus", "focus_blur_px", "blur beyond 5 px, whatever the others are", absolute=5.0),
    Limit("out of focus", "focus_laplacian", "under half the usual sharpness and 2.5 spreads away", spreads=2.5,
          step=2.0, ratio=True, low=True),
    Limit("saturated", "saturated", "over 0.1 % of the pixels at the camera's top: their signal is lost",
          absolute=0.001),
    Limit("noisy", "signal_to_noise", "contrast under 5 times the noise: the Rose criterion", absolute=5.0, low=True),
    Limit("uneven light", "unevenness", "the ground differs by over 30 %, or by 10 % more than usual",
          absolute=0.3, spreads=4.0, step=0.1),
    Limit("odd exposure", "brightness", "1.5 times brighter than usual and 5 spreads away", spreads=5.0, step=1.5,
          ratio=True),
    Limit("odd exposure", "brightness", "1.5 times darker than usual and 5 spreads away", spreads=5.0, step=1.5,
          ratio=True, low=True),
    Limit("hazy: washed?", "haze", "the ground is by 0.1 of the signal brighter than usual", spreads=4.0, step=0.1),
    Limit("debris?", "specks_per_mpx", "2.5 times the usual specks (100 at least) and 4 spreads away", spreads=4.0,
          step=2.5, ratio=True, least=100.0),
    Limit("bubble?", "bubbles", "a round rim far larger than a cell", absolute=0.5),
)  # fmt: skip
