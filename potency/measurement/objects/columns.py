"""The names of columns: in whose vocabulary, with which channel, and in which unit."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from numpy.typing import NDArray

Columns = dict[str, NDArray[Any]]

# Powers of a pixel; what is not named here has no unit, or that of the image's intensity.
POWERS: Mapping[str, int] = {
    **dict.fromkeys(("area", "area_bbox", "area_convex"), 2),
    **dict.fromkeys(
        (
            "centroid-0", "centroid-1", "axis_major_length", "axis_minor_length", "equivalent_diameter_area",
            "perimeter", "feret_diameter_max", "feret_diameter_min", "centroid_weighted-0", "centroid_weighted-1",
            "mass_displacement", "delaunay_distance", "nearest_distance_1", "nearest_distance_2", "nearest_distance_5",
            "type_distance", "region_distance",
        ),
        1,
    ),
    "local_density": -2,
}  # fmt: skip

# Only what means the same there has a name of theirs; {} is the channel.
CELLPROFILER: Mapping[str, str] = {
    "label": "ObjectNumber",
    "area": "AreaShape_Area",
    "bbox-0": "AreaShape_BoundingBoxMinimum_Y",
    "bbox-1": "AreaShape_BoundingBoxMinimum_X",
    "bbox-2": "AreaShape_BoundingBoxMaximum_Y",
    "bbox-3": "AreaShape_BoundingBoxMaximum_X",
    "centroid-0": "AreaShape_Center_Y",
    "centroid-1": "AreaShape_Center_X",
    "area_bbox": "AreaShape_BoundingBoxArea",
    "extent": "AreaShape_Extent",
    "axis_major_length": "AreaShape_MajorAxisLength",
    "axis_minor_length": "AreaShape_MinorAxisLength",
    "eccentricity": "AreaShape_Eccentricity",
    "equivalent_diameter_area": "AreaShape_EquivalentDiameter",
    "perimeter": "AreaShape_Perimeter",
    "form_factor": "AreaShape_FormFactor",
    "euler_number": "AreaShape_EulerNumber",
    "area_convex": "AreaShape_ConvexArea",
    "solidity": "AreaShape_Solidity",
    "feret_diameter_max": "AreaShape_MaxFeretDiameter",
    "feret_diameter_min": "AreaShape_MinFeretDiameter",
    **{f"zernike_{n}_{m}": f"AreaShape_Zernike_{n}_{m}" for n in range(10) for m in range(n % 2, n + 1, 2)},
    "intensity_mean": "Intensity_MeanIntensity_{}",
    "intensity_std": "Intensity_StdIntensity_{}",
    "intensity_min": "Intensity_MinIntensity_{}",
    "intensity_max": "Intensity_MaxIntensity_{}",
    "intensity_sum": "Intensity_IntegratedIntensity_{}",
    "intensity_edge_mean": "Intensity_MeanIntensityEdge_{}",
    "centroid_weighted-0": "Location_CenterMassIntensity_Y_{}",
    "centroid_weighted-1": "Location_CenterMassIntensity_X_{}",
    "mass_displacement": "Intensity_MassDisplacement_{}",
    "touching_neighbours": "Neighbors_NumberOfNeighbors_Adjacent",
    "nearest_distance_1": "Neighbors_FirstClosestDistance_Adjacent",
    "nearest_distance_2": "Neighbors_SecondClosestDistance_Adjacent",
}
# A length or an area of QuPath ends in its unit.
QUPATH: Mapping[str, str] = {
    "area": "Area",
    "centroid-0": "Centroid Y",
    "centroid-1": "Centroid X",
    "perimeter": "Length",
    "form_factor": "Circularity",
    "solidity": "Solidity",
    "feret_diameter_max": "Max diameter",
    "feret_diameter_min": "Min diameter",
    "intensity_mean": "{}: Mean",
    "intensity_std": "{}: Std.Dev.",
    "intensity_min": "{}: Min",
    "intensity_max": "{}: Max",
    "intensity_sum": "{}: Sum",
    "delaunay_neighbours": "Delaunay: Num neighbors",
    "delaunay_distance": "Delaunay: Mean distance",
}


# What a column in um ends in, by the power of a pixel: 1, 2 and -2.
UNITS: Mapping[str, tuple[str, str, str]] = {
    "regionprops": ("_um", "_um2", "_per_mm2"),
    "qupath": (" µm", " µm^2", " per mm^2"),
}


def _regionprops(name: str, of: str, unit: str) -> str:
    return name + (f"-{of}" if of else "") + unit


def _cellprofiler(name: str, of: str, unit: str) -> str:
    return CELLPROFILER[name].format(of) + unit if name in CELLPROFILER else _regionprops(name, of, unit)


def _qupath(name: str, of: str, unit: str) -> str:
    if name not in QUPATH:
        return _regionprops(name, of, unit)
    pixels = {1: " px", 2: " px^2"}.get(POWERS.get(name, 0), "")
    return QUPATH[name].format(of) + (UNITS["qupath"][UNITS["regionprops"].index(unit)] if unit else pixels)


NAMINGS: Mapping[str, Callable[[str, str, str], str]] = {
    "regionprops": _regionprops,
    "cellprofiler": _cellprofiler,
    "qupath": _qupath,
}


def named(parts: Mapping[str, Columns], pixel_size: float | None, naming: str) -> Columns:
    """Columns by channel (type, region; "" for none), under their names and, where the pixel size is known, in um too.

    >>> import numpy as np
    >>> list(named({"": {"area": np.ones(1)}, "dapi": {"intensity_mean": np.ones(1)}}, 0.5, "regionprops"))
    ['area', 'area_um2', 'intensity_mean-dapi']
    """
    spell, found = NAMINGS[naming], {}
    for of, columns in parts.items():
        for name, values in columns.items():
            found[spell(name, of, "")] = values
            power = POWERS.get(name, 0)
            if power and pixel_size is not None:
                unit = UNITS["regionprops"][(1, 2, -2).index(power)]
                found[spell(name, of, unit)] = values * (pixel_size**power * (1e6 if power < 0 else 1))
    return found
