"""How sharp an image is: six measures freed of noise, and one blur in pixels that they are calibrated to."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from potency.measurement.quality.calibration import CENTRE, KNOTS, LEVELS, NAMES, SPREAD, WEIGHTS

Plane = NDArray[Any]
SMALLEST = 16  # pixels a side; below there is no spectrum to speak of
SIDE = 1024  # the spectrum is taken from the middle, at most so wide
# The least of each measure that is told from 0.
LEAST = {"laplacian": 1e-5, "tenengrad": 1e-4, "brenner": 1e-4, "high_share": 1e-3, "reblur": 0.01}
REBLUR = 1.0  # px, of the further blur
GAIN = 24 / 64  # what the two Sobel kernels over 8 make of the variance of white noise
LAPLACE = np.array([[0, 1, 0], [1, -4, 1], [0, 1, 0]], np.float32)


def measures(plane: Plane, noise: float) -> dict[str, float]:
    """Focus measures of a (H, W) plane, each larger where the image is sharper; NaN where nothing can be said.

    `noise` is the standard deviation of white noise in the plane: what it adds to each measure is taken off, as a
    grainy image would pass for a sharp one. All are free of brightness and contrast.

    - `laplacian`: variance of the Laplacian after a blur of a pixel, over that of the image (Pech-Pacheco et al. 2000).
    - `tenengrad`: mean square of the Sobel gradient over the variance (Tenenbaum 1970, Krotkov 1987).
    - `brenner`: mean square difference of pixels two apart over the variance (Brenner et al. 1976).
    - `high_share`: share of the spectrum's power above an eighth of the sampling rate.
    - `slope`: exponent of the radial power spectrum, after Field & Brady 1997: about -2 sharp, steeper blurred.
    - `reblur`: how much of the gradient a further small blur takes away (Crete et al. 2007); a sharp image loses most.

    Pertuz et al. 2013 (doi 10.1016/j.patcog.2012.11.011) compare them.
    """
    import cv2

    nothing = dict.fromkeys(NAMES, float("nan"))
    if min(plane.shape) < SMALLEST:
        return nothing
    plane = plane - np.float32(plane.mean())
    grain = noise**2 if np.isfinite(noise) else 0.0
    variance = float(np.mean(np.square(plane))) - grain
    if variance <= max(0.05 * grain, 1e-12):  # all of it is noise
        return nothing
    again = cv2.GaussianBlur(plane, (0, 0), REBLUR, borderType=cv2.BORDER_REPLICATE)
    curve = cv2.filter2D(again, cv2.CV_32F, LAPLACE)[1:-1, 1:-1]
    gradient = _gradient(plane)
    step = (_square(plane[2:] - plane[:-2]) + _square(plane[:, 2:] - plane[:, :-2])) / 2
    before, after = gradient - grain * GAIN, _gradient(again) - grain * after_blur()[0]
    found = {
        "laplacian": (_square(curve) - grain * after_blur()[1]) / variance,
        "tenengrad": before / variance,
        "brenner": (step - 2 * grain) / variance,
        "reblur": 1 - after / before if before > 0.05 * gradient else 0.0,
    }
    found |= _spectrum(plane)
    return {name: max(found[name], 0.0) if name != "slope" else found[name] for name in NAMES}


def _square(values: Plane) -> float:
    return float(np.mean(np.square(values, dtype=np.float32), dtype=np.float64))


def _gradient(plane: Plane) -> float:
    import cv2

    parts = (cv2.Sobel(plane, cv2.CV_32F, *way, ksize=3, scale=1 / 8)[1:-1, 1:-1] for way in ((1, 0), (0, 1)))
    return float(sum(_square(part) for part in parts))


@cache
def after_blur() -> tuple[float, float]:
    """What the further blur and then Sobel, or Laplace, make of the variance of white noise: squares of the kernels."""
    import cv2

    impulse = np.zeros((21, 21), np.float32)
    impulse[10, 10] = 1
    blurred = cv2.GaussianBlur(impulse, (0, 0), REBLUR)
    sobel = (cv2.Sobel(blurred, cv2.CV_32F, *way, ksize=3, scale=1 / 8) for way in ((1, 0), (0, 1)))
    laplace = cv2.filter2D(blurred, cv2.CV_32F, LAPLACE)
    return float(sum(np.square(part).sum() for part in sobel)), float(np.square(laplace).sum())


def _spectrum(plane: Plane) -> dict[str, float]:
    """`high_share` and `slope` of the middle of the plane, under a Hann window."""
    from scipy import fft

    height, width = (min(side, SIDE) for side in plane.shape)
    top, left = (plane.shape[0] - height) // 2, (plane.shape[1] - width) // 2
    middle = plane[top : top + height, left : left + width]
    window = np.outer(np.hanning(height), np.hanning(width)).astype(np.float32)
    middle = (middle - float((middle * window).sum() / window.sum())) * window
    power = np.abs(fft.rfft2(middle)) ** 2
    y, x = fft.fftfreq(height)[:, None], fft.rfftfreq(width)[None]
    twice = np.broadcast_to(np.where((x > 0) & (x < 0.5), 2.0, 1.0), power.shape)
    ring = np.minimum((np.hypot(y, x) * 2 * RINGS).astype(np.int64), RINGS).ravel()  # the last one holds the corners
    count = np.bincount(ring, twice.ravel(), minlength=RINGS + 1)
    total = np.bincount(ring, (power * twice).ravel(), minlength=RINGS + 1)
    # What is left at the finest scales is noise, white or not quite; the optics let nothing else through.
    floor = float(total[-3:].sum() / max(count[-3:].sum(), 1))
    seen = total > floor * (count + 6 * np.sqrt(count))  # rings that stand out of the scatter of the noise
    clean = np.where(seen, total - floor * count, 0.0)
    whole = float(clean[1:].sum())
    end = 1 + int(np.argmin(np.append(seen[1 : RINGS // 2], False)))  # where noise begins
    if whole <= 0 or end < 3:
        return {"high_share": 0.0, "slope": STEEPEST}
    rings = np.arange(1, end)
    line = np.polyfit(np.log(rings + 0.5), np.log(clean[rings] / count[rings]), 1)
    return {"high_share": float(clean[HIGH:RINGS].sum()) / whole, "slope": max(float(line[0]), STEEPEST)}


RINGS = 16  # up to half the sampling rate
HIGH = 4  # the first ring that counts as fine detail: an eighth of the sampling rate
STEEPEST = -8.0  # of the slope


def logarithms(found: Mapping[str, float]) -> NDArray[np.float64]:
    """The measures (6,) in the form in which they are added up: logarithms, but of the slope."""
    return np.array([found[name] if name == "slope" else np.log(max(found[name], LEAST[name])) for name in NAMES])


def blur(found: Mapping[str, float]) -> float:
    """The blur in pixels (sigma of a Gaussian) that the measures together speak of; NaN where one is missing.

    A weighted sum of the logarithms, then a rising line through a few knots; both were learned from sharp images that
    were blurred by known amounts (`recipes/focus.py` prints them). Beyond the last knot it says the last knot.
    """
    values = logarithms(found)
    if not np.isfinite(values).all():
        return float("nan")
    score = float((values - np.asarray(CENTRE)) / np.asarray(SPREAD) @ np.asarray(WEIGHTS))
    return float(np.interp(score, KNOTS, LEVELS))
