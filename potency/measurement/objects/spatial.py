"""The spatial family, and statistics of a field: how objects of types lie to each other and to regions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from potency.errors import PlanError
from potency.measurement.objects.columns import Columns
from potency.measurement.objects.runs import Objects

if TYPE_CHECKING:
    import pandas as pd

Floats = NDArray[np.float64]
Types = Mapping[Any, str] | Sequence[str]


def of_types(objects: Objects, types: Types) -> NDArray[np.object_]:
    """The type of each object: from a mapping of ids to types, or one entry an object in the order of ids.

    Raises:
        PlanError: an object has no type, or there are more or fewer types than objects.
    """
    if isinstance(types, Mapping):
        missing = [number for number in objects.ids.tolist() if number not in types]
        if missing:
            raise PlanError(f"{len(missing)} objects have no type, the first is {missing[0]}", "types",
                            "name a type for every id of the label image")  # fmt: skip
        types = [types[number] for number in objects.ids.tolist()]
    if len(types) != len(objects):
        raise PlanError(f"there are {len(types)} types for {len(objects)} objects", "types",
                        "give one an object by ascending id, or a mapping of ids to types")  # fmt: skip
    return np.array([str(kind) for kind in types], object)


def between_types(objects: Objects, kinds: NDArray[np.object_]) -> dict[str, Columns]:
    """By type, `type_distance`: how far each object's centroid is from that of the nearest other object of the type."""
    from scipy.spatial import cKDTree

    points, found = objects.moments[0], {}
    for kind in sorted(set(kinds)):
        within = kinds == kind
        most = min(2, int(within.sum()))
        away = cKDTree(points[within]).query(points, most)[0].reshape(len(points), most)
        alone = np.full(len(points), np.nan) if most < 2 else away[:, 1]
        found[kind] = {"type_distance": np.where(within, alone, away[:, 0])}  # the nearest of its own kind is itself
    return found


def to_regions(objects: Objects, regions: NDArray[Any]) -> dict[str, Columns]:
    """`region`, the value of a (Y, X) map under each centroid, and by value the `region_distance` to that region.

    The distance is from the pixel that holds the centroid: outside of the region to its nearest pixel, inside it, below
    0, to the nearest pixel that is not of it. 0 in the map is no region. Where the map is one region and nothing else
    the distance is no number.
    """
    import cv2

    height, width = objects.shape
    y, x = np.floor(objects.moments[0] + 0.5).astype(np.int64).T
    y, x = np.clip(y, 0, height - 1), np.clip(x, 0, width - 1)
    found: dict[str, Columns] = {"": {"region": regions[y, x].astype(np.int64)}}
    for value in np.unique(regions):
        if value == 0:
            continue
        inside = (regions == value).astype(np.uint8)
        away, into = (
            cv2.distanceTransform(np.ascontiguousarray(mask), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[y, x]
            for mask in (1 - inside, inside)
        )
        distance = np.where(inside[y, x] > 0, -into, away).astype(np.float64)
        found[str(value)] = {"region_distance": np.where(inside.all(), np.nan, distance)}
    return found


def ripley(
    points: Floats,
    field: tuple[float, float],
    radii: Sequence[float] | Floats,
    types: Sequence[str] | None = None,
) -> pd.DataFrame:
    """Ripley's K and L of points (N, 2) in a rectangular field (height, width), between all types.

    K(r) is the expected number of points of one type within r of a point of another, by that type's density: pi r^2
    where they lie independently, more where they gather. L = sqrt(K / pi) is then r. Pairs are weighted by the
    translation correction (Ohser 1983): the share of the field in which a pair so far apart both ways can be seen.
    All is in the unit of the points; radii beyond a quarter of the shorter side are refused, where few pairs tell.

    Returns one row a pair of types and radius: `from`, `to`, `radius`, `k`, `l`, `l_minus_r`, `from_count`, `to_count`.
    Types with too few points have no K.

    Raises:
        PlanError: points outside of the field or nowhere, a radius out of bounds, types of another length.

    >>> points = np.random.default_rng(0).random((2000, 2)) * 100
    >>> table = ripley(points, (100, 100), [5, 10])
    >>> bool((table["l_minus_r"].abs() < 0.2).all())
    True
    """
    import pandas as pd
    from scipy.spatial import cKDTree

    points, reach = np.asarray(points, np.float64).reshape(-1, 2), np.asarray(radii, np.float64)
    kinds = _checked(points, field, types)
    if not len(reach) or not (reach.min() > 0 and reach.max() <= min(field) / 4):
        raise PlanError(f"radii lie above 0 and up to a quarter of the shorter side, {min(field) / 4:g}",
                        "radii", "choose others, or measure a larger field")  # fmt: skip
    pairs = cKDTree(points).query_pairs(float(reach.max()), output_type="ndarray") if len(points) else np.empty((0, 2))
    pairs = pairs.astype(np.int64)
    apart = np.abs(points[pairs[:, 0]] - points[pairs[:, 1]])
    weight = 1 / ((field[0] - apart[:, 0]) * (field[1] - apart[:, 1]))
    away = np.hypot(apart[:, 0], apart[:, 1])
    rows = []
    for one in sorted(set(kinds)):
        for other in sorted(set(kinds)):
            first, second = kinds[pairs[:, 0]], kinds[pairs[:, 1]]
            chosen = (first == one) & (second == other) | (first == other) & (second == one)
            n, m = int((kinds == one).sum()), int((kinds == other).sum())
            possible = n * (m - 1) if one == other else n * m
            both = 2 if one == other else 1  # a pair of one type is seen from either end
            for radius in reach:
                total = both * weight[chosen & (away <= radius)].sum()
                k = (field[0] * field[1]) ** 2 / possible * total if possible else np.nan
                rows.append((one, other, float(radius), k, np.sqrt(k / np.pi), np.sqrt(k / np.pi) - radius, n, m))
    names = ["from", "to", "radius", "k", "l", "l_minus_r", "from_count", "to_count"]
    return pd.DataFrame(rows, columns=names)


def nearest_between(
    points: Floats, field: tuple[float, float], types: Sequence[str] | None = None
) -> pd.DataFrame:
    """How far points (N, 2) in a field (height, width) are from the nearest of each type, against chance.

    Returns one row a pair of types: `from`, `to`, `mean`, `median`, `expected` (the mean where points lie at random,
    1 / (2 sqrt(density)), Clark and Evans 1954), `ratio` of mean and expected (under 1: they gather; over 1: they keep
    apart), `used`, `from_count`, `to_count`. A point whose nearest may lie beyond the border, which is nearer, is left
    out, and the others are weighted by the part of the field in which such a distance can be seen whole (Hanisch
    1984); `used` says how many stay. In the unit of the points.

    Raises:
        PlanError: points outside of the field or nowhere, types of another length.
    """
    import pandas as pd
    from scipy.spatial import cKDTree

    points = np.asarray(points, np.float64).reshape(-1, 2)
    kinds = _checked(points, field, types)
    border = np.minimum(points, np.asarray(field) - points).min(1) if len(points) else np.zeros(0)
    rows = []
    for other in sorted(set(kinds)):
        there = points[kinds == other]
        for one in sorted(set(kinds)):
            here, own = points[kinds == one], one == other
            away = np.full(len(here), np.inf)
            if len(there) > own:
                away = cKDTree(there).query(here, 1 + own)[0].reshape(len(here), -1)[:, -1]
            kept = np.sort(away[away <= border[kinds == one]])
            weight = 1 / ((field[0] - 2 * kept) * (field[1] - 2 * kept))
            half = np.searchsorted(np.cumsum(weight), weight.sum() / 2)
            expected = 0.5 / np.sqrt(len(there) / (field[0] * field[1]))
            mean, median = (np.average(kept, weights=weight), kept[half]) if len(kept) else (np.nan, np.nan)
            rows.append((one, other, mean, median, expected, mean / expected, len(kept), len(here), len(there)))
    names = ["from", "to", "mean", "median", "expected", "ratio", "used", "from_count", "to_count"]
    return pd.DataFrame(rows, columns=names).sort_values(["from", "to"], ignore_index=True)


def _checked(points: Floats, field: tuple[float, float], types: Sequence[str] | None) -> NDArray[np.object_]:
    if not np.isfinite(points).all():
        raise PlanError(f"{int((~np.isfinite(points)).any(axis=1).sum())} points have a place that is no number",
                        "points", "leave these points out, and their types")  # fmt: skip
    if len(points) and (points.min() < 0 or (points > np.asarray(field)).any()):
        raise PlanError(f"points lie outside of the field of {field[0]:g} x {field[1]:g}", "points",
                        "give points and field (height, width) in one unit")  # fmt: skip
    if types is not None and len(types) != len(points):
        raise PlanError(f"there are {len(types)} types for {len(points)} points", "types", "give one a point")
    return np.array([str(kind) for kind in types] if types is not None else ["all"] * len(points), object)
