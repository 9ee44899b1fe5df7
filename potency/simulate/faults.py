"""Faults of pictures, planted on purpose so that a quality check can be tested: shade, bubbles, specks, haze."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Plane = NDArray[Any]


def shade(
    shape: tuple[int, int], bowl: float = 0.2, tilt: float = 0.1, middle: tuple[float, float] = (-0.1, 0.2)
) -> Plane:
    """Uneven light (H, W) of mean 1: darker by `bowl` at a half field from the `middle` (y, x), tilted to the right.

    >>> light = shade((60, 80))
    >>> round(float(light.mean()), 6), round(float(light.min()), 1)
    (1.0, 0.4)
    """
    y, x = np.mgrid[-1 : 1 : shape[0] * 1j, -1 : 1 : shape[1] * 1j]
    light = 1 - bowl * ((y - middle[0]) ** 2 + (x - middle[1]) ** 2) + tilt * x
    light = np.maximum(light, 0.05)
    return np.asarray(light / light.mean())


def bubble(plane: Plane, rng: np.random.Generator) -> Plane:
    """A (H, W) plane with a bubble: a dark rim, a bright line inside it, and what lies below it blurred; float32."""
    from scipy.ndimage import gaussian_filter

    plane = np.asarray(plane, np.float32)
    short = min(plane.shape)
    radius = rng.uniform(0.1, 0.3) * short
    middle = [rng.uniform(0.2, 0.8) * side for side in plane.shape]
    y, x = np.mgrid[: plane.shape[0], : plane.shape[1]]
    away = np.hypot(y - middle[0], x - middle[1]) - radius
    wide = 0.05 * radius + 2
    rim = 0.5 * np.exp(-(((away + 0.15 * radius) / wide) ** 2)) - np.exp(-((away / wide) ** 2))
    depth = 0.6 * float(np.ptp(np.percentile(plane, (1, 99))))
    below = np.where(away < 0, gaussian_filter(plane, 6.0), plane)
    return np.asarray(below + depth * rim, np.float32)


def specks(plane: Plane, rng: np.random.Generator, count: int) -> Plane:
    """A (H, W) plane with `count` small bright or dark spots, as bacteria and debris are; float32."""
    plane = np.array(plane, np.float32)
    depth = 0.5 * float(np.ptp(np.percentile(plane, (1, 99))))
    for sign in rng.choice([-1.0, 1.0], count):
        row, column = (int(rng.integers(4, side - 4)) for side in plane.shape)
        y, x = np.mgrid[-4:5, -4:5]
        spot = np.exp(-(y**2 + x**2) / (2 * rng.uniform(0.8, 1.6) ** 2))
        plane[row - 4 : row + 5, column - 4 : column + 5] += sign * depth * spot
    return plane


def haze(plane: Plane, share: float = 0.3) -> Plane:
    """A (H, W) plane of fluorescence with stain left in the medium: `share` of the brightest signal everywhere."""
    plane = np.asarray(plane, np.float32)
    return np.asarray(plane + share * np.percentile(plane, 99.5), np.float32)
