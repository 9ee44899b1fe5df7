"""From a label image to a table of its objects: the list of families, and the call."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from potency.errors import ImageError, PlanError, nearest
from potency.measurement.objects.columns import NAMINGS, Columns, named
from potency.measurement.objects.intensity import intensity
from potency.measurement.objects.neighbours import neighbours
from potency.measurement.objects.runs import Objects, find_objects
from potency.measurement.objects.shape import shape
from potency.measurement.objects.spatial import Types, between_types, of_types, to_regions
from potency.measurement.objects.texture import texture

if TYPE_CHECKING:
    import pandas as pd

# Families by what they look at: the objects alone, or a picture of them too.
OF_OBJECTS: Mapping[str, Callable[[Objects], Columns]] = {"shape": shape, "neighbours": neighbours}
OF_PLANES: Mapping[str, Callable[[Objects, Mapping[str, NDArray[Any]]], dict[str, Columns]]] = {
    "intensity": intensity,
    "texture": texture,
}
OBJECT_FAMILIES = ("shape", "intensity", "texture", "neighbours", "spatial")


def measure_objects(
    labels: NDArray[Any],
    image: NDArray[Any] | None = None,
    *,
    families: Sequence[str] | None = None,
    pixel_size: float | None = None,
    naming: str = "regionprops",
    types: Types | None = None,
    regions: NDArray[Any] | None = None,
    channels: Sequence[str] = (),
) -> pd.DataFrame:
    """Measure every object of a label image: one row an object by ascending id, the columns by family.

    Args:
        labels: (Y, X) whole numbers: 0 is the background, every other an object. Ids may have gaps and any size, and
            an object may lie in pieces.
        image: (C, Y, X), what intensity and texture are measured in.
        families: of `shape`, `intensity`, `texture`, `neighbours`, `spatial`; by default shape, and intensity where
            there is an image.
        pixel_size: um a pixel. Then lengths and areas are given in um too, as `<name>_um` and `<name>_um2`.
        naming: whose names the columns have: `regionprops` (scikit-image), `cellprofiler` or `qupath`; what means
            something else there keeps its name.
        types: of the objects, by id or in their order: a column `type`, and for `spatial` the distance to each type.
        regions: (Y, X) map of regions, 0 for none: for `spatial` the distance to each of them.
        channels: names of the channels in the columns, by default their numbers.

    Raises:
        ImageError: labels that are no label image; an image of another size.
        PlanError: an unknown family or naming, a family that lacks what it needs.

    >>> labels = np.zeros((6, 8), int); labels[1:4, 2:6] = 5
    >>> measure_objects(labels, pixel_size=0.5)[["label", "area", "area_um2", "perimeter"]].values.tolist()
    [[5.0, 12.0, 3.0, 10.0]]
    """
    import pandas as pd

    asked = tuple(families) if families is not None else ("shape", "intensity")[: 1 + (image is not None)]
    _refuse(asked, image is not None, types is not None or regions is not None, naming)
    if pixel_size is not None and not 0 < pixel_size < np.inf:
        raise PlanError(f"a pixel is not {pixel_size} um wide", "pixel_size", "give um a pixel, or None if unknown")
    objects = find_objects(np.asarray(labels))
    planes = _planes(objects, image, channels)
    found = {"label": objects.ids}
    kinds = None if types is None else of_types(objects, types)
    if kinds is not None:
        found["type"] = kinds
    for family in asked:
        found |= named(_parts(family, objects, planes, kinds, regions), pixel_size, naming)
    found = named({"": {"label": found.pop("label")}}, None, naming) | found
    return pd.DataFrame(found)


def _parts(
    family: str, objects: Objects, planes: Mapping[str, NDArray[Any]], kinds: Any, regions: NDArray[Any] | None
) -> dict[str, Columns]:
    """What a family finds, by channel, type or region."""
    if family in OF_OBJECTS:
        return {"": OF_OBJECTS[family](objects)}
    if family in OF_PLANES:
        return OF_PLANES[family](objects, planes)
    found: dict[str, Columns] = {}
    if kinds is not None:
        found |= between_types(objects, kinds)
    if regions is not None:
        found |= to_regions(objects, _region_map(objects, regions))
    return found


def _refuse(families: Sequence[str], image: bool, places: bool, naming: str) -> None:
    for name in families:
        if name not in OBJECT_FAMILIES:
            raise PlanError(f"there is no family {name!r}", "families", nearest(name, OBJECT_FAMILIES))
        if name in OF_PLANES and not image:
            raise PlanError(f"the family {name} needs an image", "families", "give the image, (channels, Y, X)")
        if name == "spatial" and not places:
            raise PlanError("the family spatial needs types or regions", "families",
                            "give the type of each object, or a map of regions")  # fmt: skip
    if naming not in NAMINGS:
        raise PlanError(f"there is no naming {naming!r}", "naming", nearest(naming, NAMINGS))


def _planes(objects: Objects, image: NDArray[Any] | None, channels: Sequence[str]) -> dict[str, NDArray[Any]]:
    if image is None:
        return {}
    image = np.asarray(image)
    if image.ndim != 3 or image.dtype.kind not in "biuf":
        raise ImageError(f"the image to measure in has the axes (C, Y, X) and numbers, this {image.shape} "
                         f"of {image.dtype}", "image", "of a plane of one channel give image[None]")  # fmt: skip
    if image.shape[1:] != objects.shape:
        raise ImageError(f"the image has {image.shape[1]} x {image.shape[2]} pixels and the label image "
                         f"{objects.shape[0]} x {objects.shape[1]}", "image",
                         "give the label image of this image, at its size")  # fmt: skip
    names = [str(name) for name in channels] or [str(c) for c in range(len(image))]
    if len(names) != len(image) or len(set(names)) != len(names):
        raise PlanError(f"{len(names)} names are given for {len(image)} channels, or one of them twice", "channels",
                        "name each channel once")  # fmt: skip
    return dict(zip(names, image, strict=True))


def _region_map(objects: Objects, regions: NDArray[Any]) -> NDArray[Any]:
    regions = np.asarray(regions)
    if regions.shape != objects.shape or regions.dtype.kind not in "biu":
        raise ImageError(f"a map of regions has whole numbers in {objects.shape[0]} x {objects.shape[1]} pixels, as "
                         f"the label image, this has {regions.dtype} in {regions.shape}", "regions",
                         "give 0 for no region, and a number for each")  # fmt: skip
    return regions
