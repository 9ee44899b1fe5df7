"""The shape family: size and form of the object that stands out from the background of a crop."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.uint8]
NAMES = (
    "area_px2", "perimeter_px", "major_axis_px", "minor_axis_px", "diameter_px", "eccentricity", "solidity", "extent",
    "circularity", "aspect_ratio", "feret_px", "off_centre_px", "hu1", "hu2", "hu3", "hu4", "foreground_share",
    "objects", "holes", "hole_share", "contrast",
)  # fmt: skip


def foreground(plane: NDArray[np.float64]) -> Mask:
    """Pixels that differ from the background, brighter or darker: Otsu on |plane - median of its border| (1 or 0).

    A plane without any difference has no foreground.
    """
    import cv2

    border = np.concatenate([plane[0], plane[-1], plane[:, 0], plane[:, -1]])
    away = np.abs(plane - np.median(border))
    top = float(away.max())
    if top <= 0:
        return np.zeros(plane.shape, np.uint8)
    smooth = cv2.GaussianBlur((away / top).astype(np.float32), (0, 0), 1.0, borderType=cv2.BORDER_REPLICATE)
    bytes_ = np.round(smooth * (255 / max(float(smooth.max()), 1e-6))).astype(np.uint8)
    _, mask = cv2.threshold(bytes_, 0, 1, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
    return np.asarray(mask, np.uint8)


def shape(planes: NDArray[np.float64]) -> dict[str, NDArray[Any]]:
    """Form of the largest object in each of (N, H, W) planes, each (N,); all zero where there is no object.

    Names and definitions follow scikit-image's regionprops where it has them (axes and eccentricity from second
    moments, solidity against the convex hull, extent against the bounding box); `circularity` is 4 pi area /
    perimeter^2, `off_centre` the distance of the centroid from the crop's centre.

    >>> plane = np.zeros((1, 40, 40)); plane[0, 10:30, 10:20] = 1
    >>> round(float(shape(plane)["aspect_ratio"][0]), 1)
    2.0
    """
    rows = np.array([_one(plane) for plane in planes], np.float64).reshape(len(planes), len(NAMES))
    return dict(zip(NAMES, rows.T, strict=True))


def _one(plane: NDArray[np.float64]) -> tuple[float, ...]:
    import cv2

    mask = foreground(plane)
    labels, marks, stats, centres = cv2.connectedComponentsWithStats(mask, connectivity=8)
    if labels < 2:
        return (0.0,) * len(NAMES)
    sizes = stats[1:, cv2.CC_STAT_AREA]
    largest = 1 + int(sizes.argmax())
    body: Mask = (marks == largest).astype(np.uint8)
    contours, _ = cv2.findContours(body, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    outline = max(contours, key=len)
    filled = np.asarray(cv2.drawContours(np.zeros_like(body), [outline], -1, 1, cv2.FILLED), np.uint8)
    area = float(filled.sum())
    moments = cv2.moments(filled, binaryImage=True)
    major, minor = _axes(moments, area)
    hull = cv2.convexHull(outline)
    hull_area = float(cv2.fillConvexPoly(np.zeros_like(body), hull, 1).sum())
    # The outline runs through pixel centres; a straight count would call a pixel's own width nothing.
    perimeter = float(cv2.arcLength(outline, closed=True)) + math.pi
    width, height = (int(stats[largest, i]) for i in (cv2.CC_STAT_WIDTH, cv2.CC_STAT_HEIGHT))
    y, x = moments["m01"] / area, moments["m10"] / area
    points = hull[:, 0].astype(np.float64)
    feret = float(np.hypot(*(points[:, None] - points[None]).transpose(2, 0, 1)).max()) + 1
    hu = cv2.HuMoments(moments).ravel()[:4]
    inside, outside = plane[filled > 0], plane[filled == 0]
    spread = float(plane.std())
    return (
        area, perimeter, major, minor, 2 * math.sqrt(area / math.pi),
        math.sqrt(max(0.0, 1 - (minor / major) ** 2)) if major > 0 else 0.0,
        area / hull_area, area / (width * height), min(1.0, 4 * math.pi * area / perimeter**2),
        max(1.0, major / max(minor, 1.0)), feret,
        math.hypot(y - (plane.shape[0] - 1) / 2, x - (plane.shape[1] - 1) / 2),
        *(float(-math.copysign(math.log10(abs(h)), h)) if abs(h) > 1e-30 else 30.0 for h in hu),
        float(mask.mean()), float((sizes >= max(4.0, 0.02 * area)).sum()), *_holes(body, filled, area),
        (float(inside.mean()) - float(outside.mean())) / spread if outside.size and spread > 0 else 0.0,
    )  # fmt: skip


def _axes(moments: dict[str, float], area: float) -> tuple[float, float]:
    """Lengths of the axes of the ellipse with the same second moments."""
    yy, xx, xy = moments["mu02"] / area, moments["mu20"] / area, moments["mu11"] / area
    middle, half = (yy + xx) / 2, math.hypot((yy - xx) / 2, xy)
    return 4 * math.sqrt(middle + half), 4 * math.sqrt(max(middle - half, 0.0))


def _holes(body: Mask, filled: Mask, area: float) -> tuple[float, float]:
    import cv2

    gaps = filled - body
    return float(cv2.connectedComponents(gaps, connectivity=4)[0] - 1), float(gaps.sum()) / area
