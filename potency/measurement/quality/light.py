"""How the light falls in one image: unevenness of its ground, and how much of the signal is haze."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Plane = NDArray[Any]
GRID = 24  # pieces of the longer side
SMALLEST = 128  # pixels a side; of a smaller crop the cell is the light
ROUNDS = 6
FEWEST = 40  # pieces of ground, for six coefficients
GROUND, SIGNAL = 25.0, 99.5  # percentiles
DARK = 0.25  # of the signal above it: ground under it is dark, and counts as this much


def unevenness(plane: Plane, cells: NDArray[np.bool_]) -> float:
    """How much brighter the brightest part of the ground of a (H, W) plane is than the darkest, over its mean.

    Over a quarter of the signal above the ground where that is more: of dark ground, as in fluorescence, light that
    strays from the cells makes any share.
    A curved surface (second order in y and x) is laid through the medians of pieces without `cells` (H, W), and again
    without those that do not fit (bisquare weights). NaN for crops under 128 pixels and where too little ground is
    seen: there only many images together can tell (see `flatfield`). An offset of the camera makes light look more
    even than it is.

    >>> y, x = np.mgrid[-1:1:200j, -1:1:200j]
    >>> round(unevenness((1000 + 100 * x).astype(np.float32), np.zeros((200, 200), bool)), 1)
    0.2
    """
    if min(plane.shape) < SMALLEST:
        return float("nan")
    step = -(-max(plane.shape) // GRID)
    rows, columns = plane.shape[0] // step, plane.shape[1] // step
    inside = (slice(0, rows * step), slice(0, columns * step))
    pieces = (rows, step, columns, step)
    value = np.where(cells[inside], np.nan, plane[inside]).reshape(pieces).swapaxes(1, 2).reshape(rows * columns, -1)
    free = np.isfinite(value).mean(1) > 0.3
    if free.sum() < FEWEST:
        return float("nan")
    level = np.nanmedian(value[free], axis=1).astype(np.float64)
    y, x = (axis.ravel() for axis in np.mgrid[-1 : 1 : rows * 1j, -1 : 1 : columns * 1j])
    terms = np.stack([np.ones_like(y), y, x, y * y, y * x, x * x], axis=1)
    weight = np.ones(len(level))
    for _ in range(ROUNDS):
        root = np.sqrt(weight)[:, None]
        bend = np.linalg.lstsq(terms[free] * root, level * root[:, 0], rcond=None)[0]
        away = level - terms[free] @ bend
        scale = max(float(np.median(np.abs(away))) / 0.6745, 1e-9 * float(np.abs(level).max()) + 1e-30)
        weight = np.clip(1 - (away / (4.685 * scale)) ** 2, 1e-4, None) ** 2
    surface = terms @ bend
    middle = float(np.mean(surface))
    level = max(middle, DARK * (float(np.percentile(plane, SIGNAL)) - middle))
    return float(np.ptp(surface)) / level if middle > 0 else float("nan")


def haze(plane: Plane, cells: NDArray[np.bool_]) -> float:
    """Level of the ground over that of the brightest signal, 0..1: what washing should have taken away.

    Of fluorescence: 0 is dark ground, 1 a signal that drowns. In transmitted light the ground is bright by nature, so
    that only a change within a set tells something.
    """
    free = plane[~cells] if (~cells).sum() > plane.size // 50 else plane.ravel()
    ground = float(np.percentile(free, 50 if free.size < plane.size else GROUND))
    signal = float(np.percentile(plane, SIGNAL))
    return float(np.clip(ground / signal, 0, 1)) if signal > 0 else float("nan")
