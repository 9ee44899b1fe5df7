"""What should not be there: specks (debris, dead cells, bacteria) and bubbles, as candidates to look at."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Plane = NDArray[Any]
SMALL = (0.9, 1.8)  # px, sigmas whose difference answers to specks of about three to six pixels
SMALLEST = 128  # pixels a side: a crop of one cell has no ground to speak of
STRONG = 6.0  # times the usual answer of the ground around
BUBBLE = (0.1, 0.45)  # of the shorter side: radius of a bubble
FIELD = 384  # pixels a side: a whole field of view
GRID = 192  # pixels of the longer side in which bubbles are looked for
RIM = 0.6  # of the circle's rim must be an edge that runs along it
DEPTH = 3.0  # times the usual edge of the image: a bubble's rim is strong
CLEAR = 0.3  # of the image's contrast: how far the inside may differ from the outside, else it is a stained cell


def specks(plane: Plane, cells: NDArray[np.bool_]) -> float:
    """Small spots per megapixel of ground that are darker or brighter than anything there; NaN where all is cells."""
    places = speck_places(plane, cells)
    return float("nan") if places is None else float(np.count_nonzero(places[0])) / int(places[1].sum()) * 1e6


def speck_places(plane: Plane, cells: NDArray[np.bool_]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]] | None:
    """The peaks of the specks, and the ground they are looked for in, (H, W) both; None where there is too little.

    A difference of two Gaussians answers to spots; those beyond six times the ground's own scatter (median absolute
    deviation) count, one a peak. `cells` (H, W) is where cells are: single specks in it are small pieces and stay.
    """
    import cv2

    if min(plane.shape) < SMALLEST:
        return None
    pieces = cv2.morphologyEx(cells.astype(np.uint8), cv2.MORPH_OPEN, np.ones((9, 9), np.uint8))
    wide = cv2.dilate(pieces, np.ones((13, 13), np.uint8))
    ground = wide == 0
    if int(ground.sum()) < 1024:
        return None
    answer = np.abs(cv2.GaussianBlur(plane, (0, 0), SMALL[0]) - cv2.GaussianBlur(plane, (0, 0), SMALL[1]))
    scatter = float(np.median(answer[ground])) / 0.6745
    if scatter <= 0:
        scatter = float(answer[ground].mean())
    peak = (answer == cv2.dilate(answer, np.ones((7, 7), np.uint8))) & ground & (answer > STRONG * max(scatter, 1e-9))
    return np.asarray(peak, np.bool_), np.asarray(ground, np.bool_)


def bubbles(plane: Plane) -> float:
    """How many round rims far larger than a cell there are: candidates for bubbles and drops.

    On a coarse grid, circles are proposed by the Hough transform (Yuen et al. 1990) and kept where the gradient is
    strong and points to or from the centre along most of the rim, and the inside is about as bright as what lies
    around: one sees through a bubble. NaN for images under 384 pixels, in which the rim of one cell would pass for one.
    """
    import cv2

    scale = GRID / max(plane.shape)
    if min(plane.shape) < FIELD:
        return float("nan")
    size = (max(8, round(plane.shape[1] * scale)), max(8, round(plane.shape[0] * scale)))
    small = cv2.GaussianBlur(cv2.resize(plane, size, interpolation=cv2.INTER_AREA), (0, 0), 1.0)
    low, high = (float(value) for value in np.percentile(small, (0.5, 99.5)))
    if high <= low:
        return 0.0
    grey = np.clip((small - low) / (high - low) * 255, 0, 255).astype(np.uint8)
    down, across = (cv2.Sobel(small, cv2.CV_32F, *way, ksize=3) for way in ((0, 1), (1, 0)))
    strength = np.hypot(down, across)
    usual = max(float(np.median(strength)), 1e-12)
    short = min(size)
    least, most = max(5, round(BUBBLE[0] * short)), round(BUBBLE[1] * short)
    found = cv2.HoughCircles(grey, cv2.HOUGH_GRADIENT, 1.5, minDist=2 * least, param1=120, param2=18,
                             minRadius=least, maxRadius=most)  # fmt: skip
    if found is None:
        return 0.0
    fields = (down / np.maximum(strength, 1e-12), across / np.maximum(strength, 1e-12), strength > DEPTH * usual)
    rims = [circle for circle in found.reshape(-1, 3)[:40] if _round(fields, *circle)]
    return float(sum(_clear(grey, *circle) for circle in rims))


def _round(fields: tuple[Plane, Plane, Plane], x: float, y: float, radius: float) -> bool:
    """Whether enough of a circle's rim is a strong edge along it."""
    down, across, strong = fields
    turn = np.linspace(0, 2 * np.pi, 72, endpoint=False)
    best = np.zeros(turn.size, np.bool_)
    for reach in (-1.5, 0.0, 1.5):  # the rim has a width
        row = np.rint(y + (radius + reach) * np.sin(turn)).astype(int)
        column = np.rint(x + (radius + reach) * np.cos(turn)).astype(int)
        inside = (row >= 0) & (row < strong.shape[0]) & (column >= 0) & (column < strong.shape[1])
        row, column = row[inside], column[inside]
        along = np.abs(down[row, column] * np.sin(turn[inside]) + across[row, column] * np.cos(turn[inside]))
        best[inside] |= (along > 0.9) & strong[row, column]
    return bool(best.mean() > RIM)


def _clear(grey: Plane, x: float, y: float, radius: float) -> bool:
    """Whether a circle is inside about as bright as around it; `grey` runs from 0 to 255."""
    rows, columns = np.ogrid[: grey.shape[0], : grey.shape[1]]
    away = np.hypot(rows - y, columns - x) / radius
    inside, around = grey[away < 0.7], grey[(away > 1.15) & (away < 1.5)]
    return bool(around.size) and abs(float(np.median(inside)) - float(np.median(around))) < CLEAR * 255
