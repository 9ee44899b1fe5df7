"""The shape family: size, form and place of every object."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from potency.measurement.objects.columns import Columns
from potency.measurement.objects.hull import hulls
from potency.measurement.objects.outline import WEIGHTS, euler_numbers, perimeters
from potency.measurement.objects.runs import Objects
from potency.measurement.objects.zernike import zernike


def shape(objects: Objects) -> Columns:
    """Size, form and place of each object, (N,) each, in pixels.

    As scikit-image's regionprops defines them: area, box, extent, centroid, axes, eccentricity and orientation of the
    ellipse of the same second moments, equivalent diameter, perimeter (by `measure.perimeter`), Euler number (pixels
    that meet at a corner are together), area of the convex hull (through the middles of the pixels' sides), solidity,
    largest Feret diameter. What it lacks: `feret_diameter_min` (the smallest distance of two parallels that hold the
    same outline as the largest), `form_factor` (4 pi area / perimeter^2), `convexity` (perimeter of the filled hull /
    perimeter, 1 for what is convex), `touches_border`, Zernike moments. What cannot be said, such as the form factor
    of one pixel, whose perimeter is 0, is no number.
    """
    height, width = objects.shape
    area, box = objects.extents
    centre, spread = objects.moments
    perimeter = perimeters(objects.numbered, objects.edge, len(objects), WEIGHTS)
    hull_area, lengths, circles = hulls(*objects.runs, box, WEIGHTS)
    around = (box[:, 2] - box[:, 0]) * (box[:, 3] - box[:, 1])
    length = np.where(perimeter > 0, perimeter, np.nan)
    return {
        "area": area.astype(np.float64),
        **{f"bbox-{k}": box[:, k] for k in range(4)},
        "centroid-0": centre[:, 0],
        "centroid-1": centre[:, 1],
        "area_bbox": around.astype(np.float64),
        "extent": area / around,
        **_ellipse(spread),
        "equivalent_diameter_area": np.sqrt(4 / np.pi * area),
        "perimeter": perimeter,
        "form_factor": 4 * np.pi * area / length**2,
        "euler_number": euler_numbers(objects.numbered, len(objects)),
        "area_convex": hull_area.astype(np.float64),
        "solidity": area / hull_area,
        "convexity": lengths[:, 2] / length,
        "feret_diameter_max": lengths[:, 0],
        "feret_diameter_min": lengths[:, 1],
        "touches_border": (box[:, :2] == 0).any(1) | (box[:, 2] == height) | (box[:, 3] == width),
        **zernike(objects, circles),
    }


def _ellipse(spread: NDArray[np.float64]) -> Columns:
    """Axes, eccentricity and orientation from the variances of row and column and their covariance (N, 3).

    The orientation is that of the major axis against the rows' axis, in radians from -pi/2 to pi/2.
    """
    rows, columns, both = spread.T
    middle, half = (rows + columns) / 2, np.hypot((rows - columns) / 2, both)
    large, small = middle + half, np.maximum(middle - half, 0)
    small[small < 1e-12 * large] = 0  # a line of pixels: what is left is rounding
    ratio = small / np.where(large > 0, large, 1.0)
    even = np.where(both > 0, np.pi / 4, -np.pi / 4)
    return {
        "axis_major_length": 4 * np.sqrt(large),
        "axis_minor_length": 4 * np.sqrt(small),
        "eccentricity": np.where(large > 0, np.sqrt(1 - ratio), 0.0),
        "orientation": np.where(rows == columns, even, np.arctan2(2 * both, rows - columns) / 2),
    }
