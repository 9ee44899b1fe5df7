"""The intensity family: how bright, how spread, and how brightness runs from the centre of a crop to its edge."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

PERCENTILES = (0, 1, 5, 10, 25, 50, 75, 90, 95, 99, 100)
RINGS = 10  # of the radial profile, from the centre to the middle of the longer side
LEVELS = 32  # of the histogram behind the entropy


def intensity(planes: NDArray[np.float64]) -> dict[str, NDArray[Any]]:
    """Moments, percentiles, entropy and the radial profile of (N, H, W) planes, each (N,).

    >>> found = intensity(np.arange(9.0).reshape(1, 3, 3))
    >>> float(found["mean"][0]), float(found["p50"][0])
    (4.0, 4.0)
    """
    flat = planes.reshape(len(planes), -1)
    mean, deviation = flat.mean(1), flat.std(1)
    safe = np.where(deviation > 0, deviation, 1.0)
    normal = (flat - mean[:, None]) / safe[:, None]
    square = normal * normal
    found: dict[str, NDArray[Any]] = {
        "mean": mean,
        "std": deviation,
        "skewness": (square * normal).mean(1),
        "kurtosis": (square * square).mean(1),
        "variation": deviation / np.where(mean != 0, np.abs(mean), 1.0),
        "entropy": entropy(flat),
    }
    values = np.percentile(flat, PERCENTILES, axis=1)
    found |= {f"p{q}": row for q, row in zip(PERCENTILES, values, strict=True)}
    found["mad"] = np.median(np.abs(flat - values[PERCENTILES.index(50)][:, None]), axis=1)
    found["share_above_2std"] = (normal > 2).mean(1)
    found["share_below_2std"] = (normal < -2).mean(1)
    return found | radial(planes, mean)


def entropy(flat: NDArray[np.float64]) -> NDArray[np.float64]:
    """Shannon entropy in bits of each row's histogram of 32 levels between its own extremes."""
    low = flat.min(1, keepdims=True)
    span = flat.max(1, keepdims=True) - low
    level = np.minimum((flat - low) / np.where(span > 0, span, 1.0) * LEVELS, LEVELS - 1).astype(np.int64)
    rows = np.arange(len(flat))[:, None] * LEVELS
    share = np.bincount((level + rows).ravel(), minlength=len(flat) * LEVELS).reshape(len(flat), LEVELS) / flat.shape[1]
    return np.asarray(-(share * np.log2(np.where(share > 0, share, 1.0))).sum(1))


def radial(planes: NDArray[np.float64], mean: NDArray[np.float64]) -> dict[str, NDArray[Any]]:
    """Mean and spread within rings about the crop's centre, and the edge's mean against the centre's.

    Ring means are differences from the image's mean, so that they tell the profile and not the exposure. A ring that
    holds no pixel (tiny crops) takes the value of the ring inside it.
    """
    count, height, width = planes.shape
    y, x = np.mgrid[:height, :width] - np.array([(height - 1) / 2, (width - 1) / 2])[:, None, None]
    radius = np.hypot(y, x).ravel() / max(height, width) * 2
    ring = np.minimum((radius * RINGS).astype(np.int64), RINGS - 1)
    inside = np.zeros((ring.size, RINGS))
    inside[np.arange(ring.size), ring] = 1
    pixels = inside.sum(0)
    flat = planes.reshape(count, -1) - mean[:, None]
    sums, squares = flat @ inside, flat**2 @ inside
    means, spreads = np.zeros((count, RINGS)), np.zeros((count, RINGS))
    for r in range(RINGS):
        if pixels[r]:
            means[:, r] = sums[:, r] / pixels[r]
            spreads[:, r] = np.sqrt(np.maximum(squares[:, r] / pixels[r] - means[:, r] ** 2, 0))
        elif r:
            means[:, r], spreads[:, r] = means[:, r - 1], spreads[:, r - 1]
    found = {f"ring{r}_mean": means[:, r] for r in range(RINGS)}
    found |= {f"ring{r}_std": spreads[:, r] for r in range(RINGS)}
    scale = np.maximum(np.abs(flat).mean(1), np.finfo(np.float64).tiny)
    return found | {"edge_minus_centre": (means[:, RINGS - 2] - means[:, :2].mean(1)) / scale}
