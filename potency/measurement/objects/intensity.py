"""The intensity family: how bright every object is, where in it, and against the ground around it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from potency.data.compiled import compiled
from potency.measurement.objects.columns import Columns
from potency.measurement.objects.runs import Objects

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
RINGS = 4  # from the centre to the edge
GAP, REACH = 2, 6  # px: the ground around an object is further away than the one, and not further than the other


def intensity(objects: Objects, planes: Mapping[str, NDArray[Any]]) -> dict[str, Columns]:
    """Brightness of each object in each plane (Y, X) by its channel; (N,) each.

    As in scikit-image: `intensity_mean`, `_std`, `_min`, `_max` and `centroid_weighted-<axis>`. Beyond it:
    `intensity_sum`; `intensity_edge_mean` over the pixels at the edge; `mass_displacement`, the distance of the
    weighted centroid from the centroid; `radial_fraction_<ring>`, the share of the sum in each of four rings, and
    `radial_mean_<ring>`, the mean of the ring by that of the object; `intensity_background`, the median of the pixels
    that belong to no object and are more than 2 and at most 6 px away, and `intensity_corrected`, the mean less that.

    A pixel's ring goes by d / (d + e), where d is its distance from the centroid and e that to the nearest pixel at
    the edge, plus 1. An object without ground around it has no background. A pixel that is no finite number makes the
    figures of its object none.
    """
    depth = _depth(objects)
    ground = _ground(*objects.runs, objects.numbered, _discs(), objects.extents[1])
    found = {}
    for channel, plane in planes.items():
        values = np.ascontiguousarray(plane, np.float64)
        sums, rings = _brightness(*objects.runs, values, objects.edge, depth, objects.moments[0])
        behind = _medians(values.ravel(), *ground)
        found[channel] = _named(objects, sums, rings, behind)
    return found


def _named(objects: Objects, sums: Floats, rings: Floats, background: Floats) -> Columns:
    area, centre = objects.extents[0], objects.moments[0]
    total, edge, lowest, highest, deviation, down, right = sums.T
    with np.errstate(divide="ignore", invalid="ignore"):
        heavy = centre + np.stack([down, right], axis=1) / total[:, None]
        heavy[~np.isfinite(heavy)] = np.nan
        share = rings[:, 0] / total[:, None]
        even = share / (rings[:, 1] / area[:, None])
    share[~np.isfinite(share)] = np.nan
    even[~np.isfinite(even)] = np.nan
    mean = total / area
    away = heavy - centre
    return {
        "intensity_mean": mean,
        "intensity_std": deviation,
        "intensity_min": lowest,
        "intensity_max": highest,
        "intensity_sum": total,
        "intensity_edge_mean": edge,
        "intensity_background": background,
        "intensity_corrected": mean - background,
        "centroid_weighted-0": heavy[:, 0],
        "centroid_weighted-1": heavy[:, 1],
        "mass_displacement": np.hypot(away[:, 0], away[:, 1]),
        **{f"radial_fraction_{ring + 1}": share[:, ring] for ring in range(RINGS)},
        **{f"radial_mean_{ring + 1}": even[:, ring] for ring in range(RINGS)},
    }


def _depth(objects: Objects) -> NDArray[np.float32]:
    """Distance of each pixel of an object from the nearest pixel at its edge.

    Objects need not be told apart for it: on the way to the nearest pixel that is not of the object, the last step
    leaves a pixel at its edge.
    """
    import cv2

    inner = ((objects.numbered > 0) & (objects.edge == 0)).astype(np.uint8)
    return np.asarray(cv2.distanceTransform(inner, cv2.DIST_L2, cv2.DIST_MASK_PRECISE), np.float32)


@compiled
def _brightness(
    start: Ints, row: Ints, left: Ints, right: Ints, plane: Floats, edge: NDArray[np.uint8],
    depth: NDArray[np.float32], centre: Floats,
) -> tuple[Floats, Floats]:  # fmt: skip
    """Sum, mean at the edge, least, most, deviation and first moments about the centroid; sums and pixels by ring."""
    count = len(start) - 1
    sums, rings = np.zeros((count, 7)), np.zeros((count, 2, RINGS))
    for i in range(count):
        total = rim = down = along = 0.0
        pixels = rim_pixels = 0
        lowest, highest = np.inf, -np.inf
        for run in range(start[i], start[i + 1]):
            y = row[run] - centre[i, 0]
            for column in range(left[run], right[run]):
                value, x = plane[row[run], column], column - centre[i, 1]
                total += value
                down += value * y
                along += value * x
                pixels += 1
                lowest, highest = min(lowest, value), max(highest, value)
                if edge[row[run] + 1, column + 1]:
                    rim += value
                    rim_pixels += 1
                away = math.sqrt(y * y + x * x)
                ring = min(int(RINGS * away / (away + depth[row[run] + 1, column + 1] + 1)), RINGS - 1)
                rings[i, 0, ring] += value
                rings[i, 1, ring] += 1
        mean, square = total / pixels, 0.0
        for run in range(start[i], start[i + 1]):
            for column in range(left[run], right[run]):
                square += (plane[row[run], column] - mean) ** 2
        finite = square < np.inf
        sums[i, 0], sums[i, 1], sums[i, 4] = total, rim / rim_pixels, math.sqrt(square / pixels)
        sums[i, 2], sums[i, 3], sums[i, 5], sums[i, 6] = lowest, highest, down, along
        if not finite:
            sums[i], rings[i, 0] = np.nan, np.nan
    return sums, rings


def _discs() -> Ints:
    """Half the width of a disc of REACH and of one of GAP, at each row from -REACH to REACH; -1 where there is none."""
    rows = np.arange(-REACH, REACH + 1)
    return np.array([[math.isqrt(r * r - y * y) if abs(y) <= r else -1 for y in rows] for r in (REACH, GAP)])


@compiled
def _ground(
    start: Ints, row: Ints, left: Ints, right: Ints, numbered: NDArray[np.int32], discs: Ints, box: Ints
) -> tuple[Ints, Ints]:
    """The pixels around each object that are its ground: where each object's begin, and their places in the plane."""
    count, height, width = len(start) - 1, numbered.shape[0] - 2, numbered.shape[1] - 2
    begin, places, at = np.zeros(count + 1, np.int64), np.empty(1024, np.int64), 0
    reach = len(discs[0]) // 2
    for i in range(count):
        top, bottom = max(0, box[i, 0] - reach), min(height, box[i, 2] + reach)
        first, last = max(0, box[i, 1] - reach), min(width, box[i, 3] + reach)
        # How many discs lie on a pixel, as steps from column to column; one of the small ones outweighs all large ones.
        steps = np.zeros((bottom - top, last - first + 1), np.int64)
        for run in range(start[i], start[i + 1]):
            for disc in range(2):
                for k in range(2 * reach + 1):
                    y, wide = row[run] + k - reach, discs[disc, k]
                    if wide >= 0 and top <= y < bottom:
                        weight = 1 if disc == 0 else -(1 << 32)
                        steps[y - top, max(first, left[run] - wide) - first] += weight
                        steps[y - top, min(last, right[run] + wide) - first] -= weight
        while at + (bottom - top) * (last - first) > len(places):
            places = np.concatenate((places, np.empty_like(places)))
        for y in range(top, bottom):
            within = np.int64(0)
            for x in range(first, last):
                within += steps[y - top, x - first]
                if within > 0 and not numbered[y + 1, x + 1]:
                    places[at] = y * width + x
                    at += 1
        begin[i + 1] = at
    return begin, places[:at]


@compiled
def _medians(values: Floats, begin: Ints, places: Ints) -> Floats:
    found = np.full(len(begin) - 1, np.nan)
    for i in range(len(found)):
        if begin[i + 1] > begin[i]:
            found[i] = np.median(values[places[begin[i] : begin[i + 1]]])
    return found
