"""The texture family: co-occurrence, local binary patterns, edges, granularity bands and oriented gradients."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

Planes = NDArray[np.float64]
Found = dict[str, NDArray[Any]]

LEVELS = 16  # grey levels of the co-occurrence matrix
DISTANCES = (1, 2, 4)  # px
SCALES = (0.7, 1.0, 1.5, 2.2, 3.3, 5.0, 7.5)  # px, Gaussian sigmas whose differences are the granularity bands
GRID, BEARINGS = 3, 8  # cells a side and orientations of the gradient histogram
SPAN = (1.0, 99.0)  # percentiles of a plane between which its grey levels lie


def texture(planes: Planes) -> Found:
    """Texture of (N, H, W) planes, each feature (N,); all but the `edge` features ignore brightness and contrast.

    >>> flat = texture(np.ones((2, 8, 8)))
    >>> float(flat["glcm1_contrast"][0]), bool(np.isfinite(np.stack(list(flat.values()))).all())
    (0.0, True)
    """
    low, high = np.percentile(planes, SPAN, axis=(1, 2), keepdims=True)
    unit = np.clip((planes - low) / np.where(high > low, high - low, 1.0), 0, 1)
    found = cooccurrence(np.minimum(unit * LEVELS, LEVELS - 1).astype(np.int64))
    return found | binary_patterns(planes) | edges(planes) | granularity(unit) | oriented(unit)


def cooccurrence(levels: NDArray[np.int64]) -> Found:
    """Haralick's contrast, homogeneity, energy, correlation, ... at three distances, over four directions.

    `levels` is (N, H, W) with values below 16. For each distance the mean over directions is given, and their range
    for the two features that tell oriented texture. Haralick et al. 1973, doi 10.1109/TSMC.1973.4309314.
    """
    found: Found = {}
    for distance in DISTANCES:
        offsets = ((0, distance), (distance, 0), (distance, distance), (distance, -distance))
        turns = [haralick(_pairs(levels, dy, dx)) for dy, dx in offsets]
        for name in turns[0]:
            values = np.stack([turn[name] for turn in turns])
            found[f"glcm{distance}_{name}"] = values.mean(0)
            if name in ("contrast", "correlation"):
                found[f"glcm{distance}_{name}_range"] = np.ptp(values, axis=0)
    return found


def _pairs(levels: NDArray[np.int64], dy: int, dx: int) -> NDArray[np.float64]:
    """Symmetric, normalised co-occurrence (N, LEVELS, LEVELS); zero where the crop is smaller than the offset."""
    count, height, width = levels.shape
    if dy >= height or abs(dx) >= width:
        return np.zeros((count, LEVELS, LEVELS))
    first = levels[:, : height - dy, max(0, -dx) : width - max(0, dx)]
    second = levels[:, dy:, max(0, dx) : width - max(0, -dx)]
    index = (first * LEVELS + second) + (np.arange(count) * LEVELS**2)[:, None, None]
    matrix = np.bincount(index.ravel(), minlength=count * LEVELS**2).reshape(count, LEVELS, LEVELS)
    return np.asarray((matrix + matrix.transpose(0, 2, 1)) / (2.0 * first[0].size))


def haralick(matrix: NDArray[np.float64]) -> Found:
    """Haralick's features of symmetric, normalised matrices (N, LEVELS, LEVELS), each (N,)."""
    i, j = np.mgrid[:LEVELS, :LEVELS]
    flat = matrix.reshape(len(matrix), LEVELS * LEVELS)
    mean = flat @ i.ravel()
    variance = flat @ (i.ravel() ** 2.0) - mean**2
    joint = flat @ (i * j).ravel() - mean**2
    return {
        "contrast": flat @ ((i - j) ** 2.0).ravel(),
        "dissimilarity": flat @ np.abs(i - j).ravel(),
        "homogeneity": flat @ (1 / (1 + (i - j) ** 2.0)).ravel(),
        "energy": np.sqrt((flat**2).sum(1)),
        "correlation": np.where(variance > 1e-12, joint / np.where(variance > 1e-12, variance, 1.0), 1.0),
        "entropy": -(flat * np.log2(np.where(flat > 0, flat, 1.0))).sum(1),
    }


@cache
def _uniform_code() -> NDArray[np.int64]:
    """Pattern of 8 bits -> number of ones if it has at most two changes around the circle, else 9."""
    bits = (np.arange(256)[:, None] >> np.arange(8)) & 1
    changes = (bits != np.roll(bits, 1, axis=1)).sum(1)
    return np.asarray(np.where(changes <= 2, bits.sum(1), 9), np.int64)


def binary_patterns(planes: Planes) -> Found:
    """Shares of the ten rotation-invariant uniform local binary patterns, at 1 and 2 px.

    Ojala et al. 2002, doi 10.1109/TPAMI.2002.1017623; neighbours are taken from the square ring, not interpolated.
    """
    found: Found = {}
    count, height, width = planes.shape
    for reach in (1, 2):
        index = patterns(planes, reach) + (np.arange(count) * 10)[:, None, None]
        share = np.bincount(index.ravel(), minlength=count * 10).reshape(count, 10) / (height * width)
        found |= {f"lbp{reach}_{k}": share[:, k] for k in range(10)}
    return found


def patterns(planes: NDArray[Any], reach: int) -> NDArray[np.int64]:
    """Which of the ten patterns each pixel of (N, H, W) planes has around it; beyond the border its pixels repeat."""
    ring = ((0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1), (-1, 0), (-1, 1))
    _, height, width = planes.shape
    wide = np.pad(planes, ((0, 0), (reach, reach), (reach, reach)), mode="edge")
    code = np.zeros(planes.shape, np.int64)
    for bit, (dy, dx) in enumerate(ring):
        y, x = reach + dy * reach, reach + dx * reach
        code |= (wide[:, y : y + height, x : x + width] >= planes).astype(np.int64) << bit
    return np.asarray(_uniform_code()[code], np.int64)


def edges(planes: Planes) -> Found:
    """Size of gradient and Laplacian in units of intensity, and against the plane's own spread (focus measures)."""
    from scipy import ndimage

    gy, gx = (ndimage.correlate1d(planes, [-0.5, 0, 0.5], axis=axis, mode="nearest") for axis in (1, 2))
    magnitude = np.hypot(gy, gx).reshape(len(planes), -1)
    second = sum(ndimage.correlate1d(planes, [1, -2, 1], axis=axis, mode="nearest") for axis in (1, 2))
    curvature = np.asarray(second).reshape(len(planes), -1)
    spread = planes.std((1, 2))
    safe = np.where(spread > 0, spread, 1.0)
    high = np.percentile(magnitude, [50, 90, 99], axis=1)
    return {
        "edge_gradient": magnitude.mean(1),
        "edge_gradient_std": magnitude.std(1),
        "edge_laplacian": curvature.std(1),
        "edge_gradient_relative": magnitude.mean(1) / safe,
        "edge_laplacian_relative": curvature.std(1) / safe,
        "edge_gradient_p50": high[0],
        "edge_gradient_p90": high[1],
        "edge_gradient_p99": high[2],
    }


def granularity(unit: Planes) -> Found:
    """Energy, skewness and share of each band between two Gaussian scales: how coarse is what is seen."""
    from scipy import ndimage

    blurred = [ndimage.gaussian_filter(unit, (0, scale, scale), mode="nearest", truncate=3.0) for scale in SCALES]
    bands = [fine - coarse for fine, coarse in zip([unit, *blurred], blurred, strict=False)]
    squares = [band * band for band in bands]
    energy = np.stack([square.mean((1, 2)) for square in squares])
    total = energy.sum(0)
    found: Found = {}
    for k, (band, square) in enumerate(zip(bands, squares, strict=True)):
        spread = np.sqrt(np.maximum(energy[k], 1e-30))
        found[f"band{k}_energy"] = np.sqrt(energy[k])
        found[f"band{k}_share"] = energy[k] / np.where(total > 0, total, 1.0)
        found[f"band{k}_skewness"] = (square * band).mean((1, 2)) / spread**3
        found[f"band{k}_kurtosis"] = (square * square).mean((1, 2)) / spread**4
    return found


def oriented(unit: Planes) -> Found:
    """Gradient energy by direction (8) in a 3 x 3 grid of the crop, normalised to one over the crop."""
    from scipy import ndimage

    count, height, width = unit.shape
    gy, gx = (ndimage.correlate1d(unit, [-0.5, 0, 0.5], axis=axis, mode="nearest") for axis in (1, 2))
    bearing = (np.mod(np.arctan2(gy, gx), np.pi) / np.pi * BEARINGS).astype(np.int64) % BEARINGS
    row, column = (np.arange(length) * GRID // length for length in (height, width))
    cell = (row[:, None] * GRID + column[None]) * BEARINGS
    size = GRID**2 * BEARINGS
    index = bearing + cell[None] + (np.arange(count) * size)[:, None, None]
    sums = np.bincount(index.ravel(), weights=np.hypot(gy, gx).ravel(), minlength=count * size).reshape(count, size)
    total = sums.sum(1, keepdims=True)
    share = sums / np.where(total > 0, total, 1.0)
    return {f"hog{k // BEARINGS}_{k % BEARINGS}": share[:, k] for k in range(size)}
