"""The radially binned power spectrum of a plane: windowed, per pixel, so that crops of any size can be compared."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]
SMALLEST = 8  # px a side; below there is no spectrum to speak of
RINGS = 20  # at most, evenly spaced in the logarithm of the frequency where there are coefficients enough
HALF = 0.5  # cycles a pixel: no finer wave can be sampled


def power(plane: NDArray[Any]) -> Values:
    """The power of every frequency of a (H, W) plane under a Hann window, (H, W // 2 + 1) as of a real transform.

    The mean under the window is taken off first, and what the window takes is made good, so that the powers sum to the
    plane's variance under the window (Parseval): columns that stand for two frequencies count twice already. Welch
    1967, doi 10.1109/TAU.1967.1161901.

    >>> plane = np.random.default_rng(0).normal(size=(32, 48))
    >>> 0.7 < float(power(plane).sum()) < 1.3
    True
    """
    from scipy import fft

    height, width = plane.shape
    # Half a pixel inside its zeros: a window that is 0 at the rim would waste it.
    window = np.outer(*(np.sin(np.pi * (np.arange(side) + 0.5) / side) ** 2 for side in (height, width)))
    values = np.asarray(plane, np.float64)
    values = (values - (values * window).sum() / window.sum()) * window
    found = np.abs(fft.rfft2(values)) ** 2 * twice(width)
    return np.asarray(found / (plane.size * float((window**2).sum())))


def twice(width: int) -> Values:
    """How many frequencies each column of a real transform of this width stands for, (W // 2 + 1,)."""
    count = np.full(width // 2 + 1, 2.0)
    count[0] = 1
    if width % 2 == 0:
        count[-1] = 1
    return count


def frequencies(height: int, width: int) -> Values:
    """The radial frequency of every coefficient of a real transform, in cycles a pixel, (H, W // 2 + 1)."""
    from scipy import fft

    return np.asarray(np.hypot(fft.fftfreq(height)[:, None], fft.rfftfreq(width)[None]))


def edges_of(side: int) -> Values:
    """The edges (R + 1,) of rings for planes of a shorter side of so many pixels, in cycles a pixel, up to a half.

    >>> edges_of(16).round(3).tolist()
    [0.031, 0.094, 0.156, 0.219, 0.281, 0.344, 0.406, 0.5]
    """
    steps = np.unique(np.round(np.geomspace(1, max(2, side // 2), RINGS + 1)).astype(int))
    return np.append((steps[:-1] - 0.5) / side, HALF)


def middles(edges: Values) -> Values:
    """The middle frequency of every ring."""
    return np.asarray(np.sqrt(edges[:-1] * edges[1:]))


def radial(plane: NDArray[Any], edges: Values) -> Values:
    """The mean power density of a (H, W) plane in every ring (R,), in squared intensity times square pixels.

    A density does not depend on the size of the crop. A ring that holds no frequency of it is NaN.

    Raises:
        ValueError: a plane of fewer than 8 pixels a side.
    """
    height, width = plane.shape
    if min(height, width) < SMALLEST:
        raise ValueError(f"a plane of {height}x{width} pixels has no spectrum to speak of")
    ring = np.searchsorted(edges, frequencies(height, width), side="right").ravel()
    many = np.broadcast_to(twice(width), (height, width // 2 + 1)).ravel()
    count = np.bincount(ring, many, len(edges) + 1)[1:-1]
    total = np.bincount(ring, power(plane).ravel(), len(edges) + 1)[1:-1]
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(count > 0, total / count * plane.size, np.nan)
