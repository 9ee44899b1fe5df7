"""The frame family: what lies at a fixed place near the border of a picture, its background level and its focus."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

SIDE = 64  # pixels that every plane is brought to, so that a stripe is as wide in all of them
BLOCKS = 8  # along a side; quadrants are mirrored onto each other block by block
DEEP = 2  # blocks from the border inwards that count as outside the cell
FLOOR = 1e-6  # of the relative roughness: a flat block has no logarithm


def frame(planes: NDArray[np.float64]) -> dict[str, NDArray[Any]]:
    """Differences of mirrored places near the border of (N, H, W) planes, the border's level, and focus, each (N,).

    A cell lies in any direction: over many cells nothing that mirrors a picture left to right or top to bottom changes
    what is seen, whatever the class. A shadow in a corner, a scratch, a reflection or a dirty camera stays where it
    is. So each block of an 8 x 8 grid is compared with its three mirror images: `across` (left minus right), `down`
    (top minus bottom) and `cross` (one diagonal minus the other). What remains is zero on average for cells and differs
    from zero for what is fixed in the frame. Only the two outer rings of blocks are kept. `light` is the mean
    brightness relative to the border's, `grain` the logarithm of the fine contrast.

    `level` is the median of the border, `focus` the logarithm of the variance of the Laplacian relative to that of the
    plane (LAPV of Pertuz et al. 2013, doi 10.1016/j.patcog.2012.11.011). Both see the cell too.

    >>> shadow = np.ones((1, 64, 64)); shadow[0, :8, :8] = 0.5
    >>> found = frame(shadow)
    >>> float(found["light_across_0_0"][0]) < 0, float(found["light_across_3_0"][0])
    (True, 0.0)
    """
    import cv2

    light = np.zeros((len(planes), BLOCKS, BLOCKS))
    grain = np.zeros_like(light)
    border = _border(planes)
    level, spread = np.median(border, axis=1), border.std(1)
    scale = np.maximum(np.abs(level), spread)  # of the border's level, or its spread where that is larger
    even = (planes - level[:, None, None]) / np.where(scale > 0, scale, 1.0)[:, None, None]
    for number, plane in enumerate(even.astype(np.float32)):
        small = cv2.resize(plane, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
        fine = np.abs(small - cv2.GaussianBlur(small, (0, 0), 1.5, borderType=cv2.BORDER_REFLECT_101))
        light[number] = _blocks(small)
        grain[number] = np.log(np.maximum(_blocks(fine), FLOOR))
    found = {name: values for kind, grid in (("light", light), ("grain", grain)) for name, values in _odd(kind, grid)}
    return found | {"level": level, "focus": _sharpness(planes)}


def _border(planes: NDArray[np.float64]) -> NDArray[np.float64]:
    """The pixels along the sides of (N, H, W) planes, (N, pixels); those of a corner count once."""
    inside = np.ones(planes.shape[1:], bool)
    edge = max(1, min(planes.shape[1:]) // BLOCKS)
    inside[edge:-edge, edge:-edge] = False
    return planes[:, inside]


def _sharpness(planes: NDArray[np.float64]) -> NDArray[np.float64]:
    import cv2

    spread = planes.var((1, 2))
    fine = np.array([cv2.Laplacian(plane, cv2.CV_64F).var() for plane in planes])
    return np.where(spread > 0, np.log(np.maximum(fine / np.where(spread > 0, spread, 1.0), FLOOR)), 0.0)


def _blocks(plane: NDArray[Any]) -> NDArray[np.float64]:
    step = SIDE // BLOCKS
    return np.asarray(plane.reshape(BLOCKS, step, BLOCKS, step).mean((1, 3)), np.float64)


def _odd(kind: str, grid: NDArray[np.float64]) -> list[tuple[str, NDArray[np.float64]]]:
    half, found = BLOCKS // 2, []
    for i in range(half):
        for j in range(half):
            if min(i, j) >= DEEP:
                continue
            here, right = grid[:, i, j], grid[:, i, -1 - j]
            below, across = grid[:, -1 - i, j], grid[:, -1 - i, -1 - j]
            found += [
                (f"{kind}_across_{i}_{j}", (here + below - right - across) / 2),
                (f"{kind}_down_{i}_{j}", (here + right - below - across) / 2),
                (f"{kind}_cross_{i}_{j}", (here + across - right - below) / 2),
            ]
    return found
