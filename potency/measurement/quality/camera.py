"""What the camera did: noise, signal against noise, saturation, clipped black."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Plane = NDArray[np.float32]
HAAR = 0.6744897501960817  # the median of |x| of a standard normal
DEPTHS = (8, 10, 12, 14, 16)  # bits of cameras: the brightest count of any of them may be where a camera stops
PIECE, QUIETEST = 16, 10  # details along a side, and the percentile of pieces that counts as quiet
PILE = 10  # pixels at the brightest value that are no accident
CONTRAST = (0.5, 99.5)  # percentiles, of the image smoothed a little


def noise(plane: Plane, whole: bool, *, quietest: bool = False) -> float:
    """Standard deviation of the noise of a (H, W) plane, in its own units; NaN under 4 x 4 pixels.

    The median of the diagonal Haar details (Donoho & Johnstone 1994): edges are few among them. Counts (`whole`) are
    first spread by half a count, without which the median of a quiet image would be 0. Fine texture that fills the
    image passes for noise; `quietest` takes the tenth of the image, in pieces of 32 pixels, that has the least of it.

    >>> grain = np.random.default_rng(0).normal(0, 5, (256, 256)).astype(np.float32)
    >>> round(noise(grain + np.linspace(0, 900, 256, dtype=np.float32), False), 1)
    5.0
    """
    height, width = (side // 2 * 2 for side in plane.shape)
    if min(height, width) < 4:
        return float("nan")
    corners = [plane[top:height:2, left:width:2] for top in (0, 1) for left in (0, 1)]
    if whole:
        rng = np.random.default_rng(0)
        corners = [corner + rng.random(corner.shape, np.float32) - np.float32(0.5) for corner in corners]
    detail = (corners[0] - corners[1] - corners[2] + corners[3]) / 2
    size = np.abs(detail)
    rows, columns = (side // PIECE for side in size.shape)
    if quietest and min(rows, columns) > 1:
        pieces = size[: rows * PIECE, : columns * PIECE].reshape(rows, PIECE, columns, PIECE).swapaxes(1, 2)
        found = float(np.percentile(np.median(pieces.reshape(rows * columns, -1), axis=1), QUIETEST)) / HAAR
    else:
        found = float(np.median(size)) / HAAR
    return float(np.sqrt(max(0.0, found**2 - (1 / 12 if whole else 0.0))))


def saturated(plane: Plane, dtype: np.dtype[Any]) -> float:
    """Share of the pixels (0..1) that stand at the top of the camera's range; 0 where none pile up there.

    The top is the largest count of 8, 10, 12, 14 or 16 bits, or a maximum that ten times as many pixels share as each
    of the ten counts below it: a camera with another full well, or an image that was stretched too far.

    >>> plane = np.full((20, 20), 7, np.float32); plane[:2] = 4095
    >>> saturated(plane, np.dtype("uint16"))
    0.1
    """
    if not plane.size:
        return 0.0
    top = float(plane.max())
    if dtype.kind not in "ui" or top <= float(plane.min()):
        return 0.0
    at_top = int(np.count_nonzero(plane == top))
    limits = {float(2**bits - 1) for bits in DEPTHS if bits <= 8 * dtype.itemsize}
    below = int(np.count_nonzero(plane >= top - 10)) - at_top
    if top in limits or (at_top >= PILE and at_top > below):
        return at_top / plane.size if at_top > 1 else 0.0
    return 0.0


def black(plane: Plane, dtype: np.dtype[Any]) -> float:
    """Share of the pixels (0..1) that are exactly 0, of images of counts: what a wrong offset cut off below."""
    return float(np.mean(plane == 0)) if dtype.kind in "ui" and plane.size and plane.max() > 0 else 0.0


def contrast(plane: Plane) -> float:
    """The range of brightness from the darkest to the brightest half per cent, after smoothing away pixel noise."""
    import cv2

    smooth = cv2.GaussianBlur(plane, (0, 0), 1.0, borderType=cv2.BORDER_REPLICATE)
    step = max(1, int(np.sqrt(smooth.size / 2**18)))
    low, high = np.percentile(smooth[::step, ::step], CONTRAST)
    return float(high - low)
