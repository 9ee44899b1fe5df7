"""Figures of outlines: boundary F within a tolerance, and Hausdorff distances in pixels.

Sources: boundary F, Martin et al. 2004 and Csurka et al. 2013 (BMVC); the 95th percentile of both directed distances,
of which the larger counts, as in Taha and Hanbury 2015 (doi 10.1186/s12880-015-0068-x).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from potency.answers.matching import Mask
from potency.answers.metrics.averages import Figures, mean, ratio

TOLERANCE = 2.0  # pixels by which an outline may be off and still is in its place


def outline(labels: NDArray[Any]) -> Mask:
    """Pixels of an object (not 0) beside a pixel of another value, in each axis; the border of the image is no outline.

    >>> outline(np.array([[0, 1, 1, 2]])).tolist()
    [[False, True, True, True]]
    """
    found = np.zeros(labels.shape, bool)
    for axis in range(labels.ndim):
        low = tuple(slice(0, -1) if k == axis else slice(None) for k in range(labels.ndim))
        high = tuple(slice(1, None) if k == axis else slice(None) for k in range(labels.ndim))
        apart = labels[low] != labels[high]
        found[low] |= apart
        found[high] |= apart
    return np.asarray(found & (labels != 0))


def away(outlined: Mask) -> NDArray[np.float64]:
    """The distance of every pixel to the nearest outline, in pixels."""
    if outlined.ndim == 2:
        import cv2

        nothing = np.where(outlined, 0, 255).astype(np.uint8)
        return np.asarray(cv2.distanceTransform(nothing, cv2.DIST_L2, cv2.DIST_MASK_PRECISE), np.float64)
    from scipy.ndimage import distance_transform_edt

    return np.asarray(distance_transform_edt(~outlined), np.float64)


def evidence(truth: NDArray[Any], said: NDArray[Any], ignored: Mask | None = None) -> dict[str, NDArray[np.float64]]:
    """Of one pair of images: outline pixels in their place and in all, of both; Hausdorff distance and its 95 %."""
    outlines = [outline(truth), outline(said)]
    if ignored is not None:
        from scipy.ndimage import binary_dilation

        known = ~binary_dilation(ignored)  # what borders on ignored pixels has no outline there, only an end
        outlines = [outlined & known for outlined in outlines]
    there = [bool(outlined.any()) for outlined in outlines]
    counts, far = np.zeros(4), np.full(2, np.nan)
    counts[1::2] = [np.count_nonzero(outlined) for outlined in outlines]
    if all(there):
        apart = [away(outlines[1])[outlines[0]], away(outlines[0])[outlines[1]]]
        counts[::2] = [np.count_nonzero(distances <= TOLERANCE) for distances in apart]
        far[:] = [max(map(np.max, apart)), max(np.percentile(distances, 95) for distances in apart)]
    return {"outline": counts[None], "hausdorff": far[None]}


def figures(arrays: Mapping[str, NDArray[np.float64]], weights: NDArray[np.float64]) -> Figures:
    """Means over images; one without outlines in either counts for none, in one of both for boundary F alone, as 0."""
    found, truth, right, said = arrays["outline"].T
    recall, precision = ratio(found, truth), ratio(right, said)
    harmonic = ratio(2 * recall * precision, recall + precision)
    value = np.where((truth + said > 0) & ~(harmonic > 0), 0.0, harmonic)
    return {
        "boundary_f": mean(value, weights),
        "hausdorff": mean(arrays["hausdorff"][:, 0], weights),
        "hausdorff95": mean(arrays["hausdorff"][:, 1], weights),
    }
