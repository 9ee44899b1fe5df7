"""The trivial family: size, mean intensity and variance, the figures a network must beat before anyone believes it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from potency.measurement.shape import foreground

Planes = NDArray[np.float64]


def trivial(planes: Planes) -> dict[str, NDArray[Any]]:
    """Crop width, height and area, area of the Otsu foreground, mean intensity and variance of (N, H, W) planes.

    >>> trivial(np.ones((1, 3, 5)))["width_px"]
    array([5.])
    """
    count, height, width = planes.shape
    return {
        "width_px": np.full(count, float(width)),
        "height_px": np.full(count, float(height)),
        "area_px2": np.full(count, float(width * height)),
        "object_area_px2": np.array([foreground(plane).sum() for plane in planes], np.float64),
        "mean": planes.mean((1, 2)),
        "variance": planes.var((1, 2)),
    }
