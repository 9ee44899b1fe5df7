"""Rough parts of an image, found without learning: cell, its rim, enclosed holes, debris in the ground."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from potency.measurement.quality.ground import covered
from potency.measurement.quality.objects import SMALLEST, speck_places
from potency.measurement.shape import foreground

Mask = NDArray[np.bool_]
AUTOMATIC = "auto"
GROUND, CELL, RIM, HOLE, DEBRIS = "ground", "cell", "rim", "hole", "debris"
SEGMENTS = (GROUND, CELL, RIM, HOLE, DEBRIS)  # the values of `automatic`, in order
WIDTH = 0.03  # of the shorter side: how far a rim reaches inwards
LEAST = 4  # px2; an enclosed piece that is smaller is grain
SPREAD = 5  # px, across what is counted to a speck


def enclosed(cells: Mask) -> Mask:
    """Ground (H, W) that is cut off from the border by `cells`: holes of at least LEAST pixels.

    >>> ring = np.zeros((9, 9), bool); ring[1:8, 1:8] = True; ring[3:6, 3:6] = False
    >>> enclosed(ring).sum()
    np.int64(9)
    """
    import cv2

    count, pieces, stats, _ = cv2.connectedComponentsWithStats((~cells).astype(np.uint8), connectivity=4)
    outer = np.unique(np.concatenate([pieces[0], pieces[-1], pieces[:, 0], pieces[:, -1]]))
    inner = (stats[:, cv2.CC_STAT_AREA] >= LEAST) & ~np.isin(np.arange(count), outer)
    inner[0] = False  # the cells themselves
    return np.asarray(inner[pieces], np.bool_)


def automatic(pixels: NDArray[Any]) -> NDArray[np.int64]:
    """Rough parts of an image (C, H, W), as (H, W) of places in SEGMENTS.

    Cells are what differs from the border in brightness in any channel (Otsu); from 128 pixels a side on what is
    textured, and specks in the ground are then debris. Enclosed ground is a hole. Without any learning this is
    rough: a cell as smooth and bright as the ground is ground.
    """
    import cv2

    planes = [np.where(np.isfinite(plane), plane, 0).astype(np.float64) for plane in pixels]
    large = min(pixels.shape[1:]) >= SMALLEST
    cells = np.zeros(pixels.shape[1:], np.bool_)
    debris = np.zeros(pixels.shape[1:], np.bool_)
    for plane in planes:
        cells |= covered(plane.astype(np.float32), pixels.dtype.kind in "ui") if large else foreground(plane) > 0
    if large:
        for plane in planes:
            places = speck_places(plane.astype(np.float32), cells)
            if places is not None:
                debris |= cv2.dilate(places[0].astype(np.uint8), np.ones((SPREAD, SPREAD), np.uint8)) > 0
    found = np.zeros(pixels.shape[1:], np.int64)
    found[cells] = SEGMENTS.index(CELL)
    reach = max(1, round(WIDTH * min(pixels.shape[1:])))
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    core = cv2.erode(cells.astype(np.uint8), disc, borderType=cv2.BORDER_CONSTANT, borderValue=1) > 0
    found[cells & ~core] = SEGMENTS.index(RIM)
    found[enclosed(cells)] = SEGMENTS.index(HOLE)
    found[debris & ~cells] = SEGMENTS.index(DEBRIS)
    return found
