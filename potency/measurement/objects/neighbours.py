"""The neighbours family: who touches whom, who lies next to whom, and how dense it is around every object."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from potency.measurement.objects.columns import Columns
from potency.measurement.objects.outline import touching
from potency.measurement.objects.runs import Objects

NEAREST = (1, 2, 5)  # which of the nearest objects are told the distance of
Floats = NDArray[np.float64]


def neighbours(objects: Objects) -> Columns:
    """Neighbours of each object, (N,) each, distances in pixels between centroids.

    `touching_neighbours` is how many objects meet it on a side or at a corner of a pixel, `touching_fraction` the share
    of its edge pixels that are met; `delaunay_neighbours` and `delaunay_distance` count the objects beside it in the
    Delaunay triangulation of the centroids and give their mean distance; `nearest_distance_<k>` is that of the k-th
    nearest; `local_density` is 4 / (pi d^2) objects a pixel with d the distance of the fifth nearest, which is
    unbiased where they lie at random (Pollard 1971). Distances to objects beyond the image are not known, so all this
    is biased near its border. What there are too few objects for is no number.
    """
    count, centre = len(objects), objects.moments[0]
    length, met, meetings = touching(objects.numbered, objects.edge, count)
    meetings = np.unique(meetings @ np.array([count, 1]))  # a pair as one number
    beside = _beside(centre)
    numbers, distances = _degrees(beside, count), np.full(count, np.nan)
    if len(beside):
        away = np.hypot(*(centre[beside[:, 0]] - centre[beside[:, 1]]).T)
        sums = np.bincount(beside.ravel(), np.repeat(away, 2), minlength=count)
        distances[numbers > 0] = sums[numbers > 0] / numbers[numbers > 0]
    nearest = _nearest(centre, max(NEAREST))
    with np.errstate(divide="ignore"):
        density = (max(NEAREST) - 1) / (np.pi * nearest[:, -1] ** 2)
    return {
        "touching_neighbours": _degrees(np.stack(np.divmod(meetings, max(count, 1)), axis=1), count),
        "touching_fraction": met / length,
        "delaunay_neighbours": numbers,
        "delaunay_distance": distances,
        **{f"nearest_distance_{k}": nearest[:, k - 1] for k in NEAREST},
        "local_density": density,
    }


def _degrees(pairs: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    return np.asarray(np.bincount(pairs.ravel(), minlength=count), np.int64)


def _nearest(points: Floats, most: int) -> Floats:
    """Distances (N, most) of the nearest other points; not a number where there are fewer."""
    from scipy.spatial import cKDTree

    found = np.full((len(points), most), np.nan)
    if len(points) > 1:
        known = min(most, len(points) - 1)
        found[:, :known] = cKDTree(points).query(points, known + 1)[0][:, 1:]
    return found


def _beside(points: Floats) -> NDArray[np.int64]:
    """Pairs of points (K, 2) that a Delaunay triangulation joins; on a line, those that follow one another."""
    from scipy.spatial import Delaunay

    if len(points) < 2:
        return np.zeros((0, 2), np.int64)
    away = points - points.mean(0)
    axis = np.linalg.svd(away, full_matrices=False)[2]
    across = np.abs(away @ axis[1]).max() if len(axis) > 1 else 0.0
    if across < 1e-9 * max(1.0, float(np.abs(away).max())):
        order = np.argsort(away @ axis[0], kind="stable")
        return np.sort(np.stack([order[:-1], order[1:]], axis=1), axis=1)
    mesh = Delaunay(points)
    sides = np.concatenate([mesh.simplices[:, [0, 1]], mesh.simplices[:, [1, 2]], mesh.simplices[:, [2, 0]]])
    again = mesh.coplanar[:, [0, 2]]  # a point that lies on another is beside that one
    return np.unique(np.sort(np.concatenate([sides, again]).astype(np.int64), axis=1), axis=0)
