"""Colonies: found by their texture, their form and Haralick's thirteen features, and what lies inside of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pandas as pd

Planes = NDArray[np.float64]
Mask = NDArray[np.bool_]
Found = dict[str, NDArray[Any]]

LEVELS = 16  # grey levels of the co-occurrence matrix
SPAN = (1.0, 99.0)  # percentiles of a colony between which its grey levels lie
DIRECTIONS = ((0, 1), (1, 0), (1, 1), (1, -1))
BRIDGED = 9  # px: pieces closer than that belong to one colony
COUNTS = 2**16  # more is no count of a camera
# What the form of a colony is told by, and the column of `measure_objects` that tells it.
FORM = {
    "centroid_y_px": "centroid-0", "centroid_x_px": "centroid-1", "area_px2": "area", "eccentricity": "eccentricity",
    "perimeter_px": "perimeter", "orientation": "orientation", "major_axis_px": "axis_major_length",
    "minor_axis_px": "axis_minor_length", "diameter_px": "equivalent_diameter_area", "solidity": "solidity",
    "extent": "extent",
}  # fmt: skip
TEXTURES = (
    "energy", "contrast", "correlation", "variance", "homogeneity", "sum_average", "sum_variance", "sum_entropy",
    "entropy", "difference_variance", "difference_entropy", "information_1", "information_2",
)  # fmt: skip


def colony(plane: NDArray[Any]) -> Mask:
    """The largest textured piece of a (H, W) plane without its holes: a colony on empty ground; empty where none is.

    Texture is parted from ground as for confluence (`quality.ground.covered`): a threshold on the local standard
    deviation, not on brightness, because a colony in phase contrast is as bright as its ground.
    """
    import cv2
    from scipy import ndimage

    from potency.measurement.quality.ground import covered

    low, extent = float(plane.min()), float(np.ptp(plane))
    counts = extent < COUNTS and bool((plane == np.rint(plane)).all())
    values = plane if counts or not extent else (plane / extent - low / extent)  # of huge numbers no square is finite
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (BRIDGED, BRIDGED))
    there = cv2.morphologyEx(covered(values, counts).astype(np.uint8), cv2.MORPH_CLOSE, disc)
    _, labels, stats, _ = cv2.connectedComponentsWithStats(there, connectivity=8)
    if len(stats) < 2:
        return np.zeros(plane.shape, np.bool_)
    largest = 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax())
    return np.asarray(ndimage.binary_fill_holes(labels == largest), np.bool_)


def form(planes: Planes) -> Found:
    """Place, size and form of the colony in each of (N, H, W) planes, each (N,), as regionprops defines them.

    These are the morphological features of Kavitha et al. 2017 (doi 10.1371/journal.pone.0189974). All are 0 where
    there is no colony.
    """
    from potency.measurement.objects import measure_objects

    rows = np.zeros((len(planes), len(FORM)))
    for row, plane in enumerate(planes):
        table = measure_objects(colony(plane).astype(np.uint8), families=("shape",))
        if len(table):
            rows[row] = table[list(FORM.values())].to_numpy(np.float64)[0]
    return dict(zip(FORM, rows.T, strict=True))


def haralick(planes: Planes) -> Found:
    """Haralick's first thirteen features of the colony in each of (N, H, W) planes, each (N,), mean of four directions.

    Co-occurrence of neighbours that both lie in the colony, in 16 steps between its own percentiles 1 and 99: neither
    brightness nor contrast counts. These are the textural features of Kavitha et al. 2017. All are 0 where there is no
    colony.
    """
    rows = np.zeros((len(planes), len(TEXTURES)))
    for row, plane in enumerate(planes):
        inside = colony(plane)
        if not inside.any():
            continue
        low, high = np.percentile(plane[inside], SPAN)
        unit = (plane - low) / (high - low) if high > low else np.zeros(plane.shape)
        levels = (np.clip(unit, 0, 1) * (LEVELS - 1) + 0.5).astype(np.int64)
        turns = [thirteen(pairs) for way in DIRECTIONS if (pairs := neighbours(levels, inside, way)).any()]
        if turns:
            rows[row] = np.mean([[turn[name] for name in TEXTURES] for turn in turns], axis=0)
    return dict(zip(TEXTURES, rows.T, strict=True))


def neighbours(levels: NDArray[np.int64], inside: Mask, way: tuple[int, int]) -> NDArray[np.float64]:
    """Symmetric, normalised co-occurrence (LEVELS, LEVELS) of pixels inside and those `way` (dy, dx) from them."""
    dy, dx = way
    height, width = levels.shape
    here = (slice(0, height - dy), slice(max(0, -dx), width - max(0, dx)))
    there = (slice(dy, height), slice(max(0, dx), width - max(0, -dx)))
    both = inside[here] & inside[there]
    pairs = np.bincount(levels[here][both] * LEVELS + levels[there][both], minlength=LEVELS**2).astype(np.float64)
    matrix = pairs.reshape(LEVELS, LEVELS)
    return np.asarray((matrix + matrix.T) / max(1.0, 2 * matrix.sum()))


def thirteen(matrix: NDArray[np.float64]) -> dict[str, float]:
    """The first thirteen features of a symmetric, normalised matrix (L, L), levels counted from 1, logarithms natural.

    Haralick et al. 1973, doi 10.1109/TSMC.1973.4309314; `energy` is the angular second moment, `homogeneity` the
    inverse difference moment, `sum_variance` is taken about the sum average (the paper prints the entropy there).
    """
    i, j = np.mgrid[1 : len(matrix) + 1, 1 : len(matrix) + 1]
    side = matrix.sum(axis=1)
    of = np.arange(1, len(matrix) + 1)
    mean = float(of @ side)
    variance = float((of - mean) ** 2 @ side)
    total = np.asarray(np.bincount((i + j).ravel(), matrix.ravel()), np.float64)
    apart = np.asarray(np.bincount(np.abs(i - j).ravel(), matrix.ravel()), np.float64)
    sums, gaps = np.arange(len(total)), np.arange(len(apart))
    average, gap = float(sums @ total), float(gaps @ apart)
    whole, alone, product = _entropy(matrix), _entropy(side), np.outer(side, side)
    cross = -float((matrix * _log(product)).sum())
    return {
        "energy": float((matrix**2).sum()),
        "contrast": float(gaps**2 @ apart),
        "correlation": (float((i * j * matrix).sum()) - mean**2) / variance if variance > 0 else 1.0,
        "variance": variance,
        "homogeneity": float((matrix / (1 + (i - j) ** 2)).sum()),
        "sum_average": average,
        "sum_variance": float((sums - average) ** 2 @ total),
        "sum_entropy": _entropy(total),
        "entropy": whole,
        "difference_variance": float((gaps - gap) ** 2 @ apart),
        "difference_entropy": _entropy(apart),
        "information_1": (whole - cross) / alone if alone > 0 else 0.0,
        "information_2": float(np.sqrt(max(0.0, 1 - np.exp(-2 * (_entropy(product) - whole))))),
    }


def _log(share: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.log(np.where(share > 0, share, 1.0))


def _entropy(share: NDArray[np.float64]) -> float:
    return -float((share * _log(share)).sum())


def inclusions(
    codes: NDArray[Any],
    body: int,
    *,
    least: float = 400.0,
    pixel_size: float | None = None,
    names: tuple[str, ...] = (),
) -> tuple[pd.DataFrame, NDArray[np.int32]]:
    """Every colony of a semantic map (H, W), with roundness, size, centre and inclusions; and its number at each pixel.

    A colony is a piece of the class `body` with all that it encloses. Columns: `label`, `area`, `centroid-0`,
    `centroid-1` (and in um where the pixel size is known), `roundness` (4 pi area / perimeter^2), `holes` (enclosed
    pieces of background, class 0), `islands` (of other classes), `inclusion_share` (of its area), and of each other
    class by its name the share of the area, `share-<name>`.

    Args:
        least: um2, or px2 where the pixel size is unknown: smaller pieces are no colonies; enclosed pieces of under a
            fiftieth of it are not counted.
    """
    from scipy import ndimage

    from potency.measurement.objects import measure_objects

    scale = pixel_size**2 if pixel_size is not None else 1.0
    others = {name: code for code, name in enumerate(names) if code not in (0, body)}
    pieces, count = ndimage.label(codes == body, np.ones((3, 3)))
    numbers = np.zeros(codes.shape, np.int32)
    rows: list[dict[str, float]] = []
    for number, box in enumerate(ndimage.find_objects(pieces), 1):
        own = pieces[box] == number
        filled = ndimage.binary_fill_holes(own)
        if filled.sum() * scale < least or numbers[box][filled].any():  # a colony inside a colony is a part of it
            continue
        numbers[box][filled] = len(rows) + 1
        rows.append(_enclosed(codes[box], filled & ~own, float(filled.sum()), least / 50 / scale, others))
    table = measure_objects(numbers, families=("shape",), pixel_size=pixel_size)
    kept = [name for name in table if str(name).startswith(("label", "area", "centroid")) and "bbox" not in str(name)]
    made = table[[name for name in kept if "convex" not in str(name)]].assign(roundness=table["form_factor"])
    enclosed = {name: [row[name] for row in rows] for name in (rows[0] if rows else ())}
    return made.assign(**enclosed), numbers


def _enclosed(
    codes: NDArray[Any], gaps: Mask, area: float, least: float, others: Mapping[str, int]
) -> dict[str, float]:
    """Holes and islands among the enclosed pixels of one colony."""
    from scipy import ndimage

    pieces, _ = ndimage.label(gaps)
    size = np.bincount(pieces.ravel())[1:]
    empty = np.bincount(pieces[codes == 0], minlength=len(size) + 1)[1:]
    counted, hole = size >= max(1.0, least), 2 * empty > size
    shares = {f"share-{name}": float((codes[gaps] == code).sum()) / area for name, code in others.items()}
    return {"holes": float((counted & hole).sum()), "islands": float((counted & ~hole).sum()),
            "inclusion_share": float(gaps.sum()) / area, **shares}  # fmt: skip
