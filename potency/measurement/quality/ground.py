"""How full an image is: confluence by texture alone, without training, and whether there is anything at all."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from potency.measurement.quality import camera

Plane = NDArray[Any]
Mask = NDArray[np.bool_]
WINDOW = 1.5  # px, sigma of the window in which texture is measured
MARGIN = 3  # px taken off the rim of what is found, which the window and the halo have widened
STANDS_OUT = 0.8  # doublings of the noise, by which texture must exceed it
CROWD = (2.4, 5.0)  # noise of wide over that of fine pixels: 1 to 2 where ground is seen, 4 where none is
LEAST = 0.35  # counts; of less noise there is nothing to compare, as JPEG takes it away
AROUND = 2.5  # px, sigma of the surroundings that decide where cells crowd
HOLE, SPECK = 400, 40  # px2: a smaller hole belongs to the cell, a smaller piece is none
LARGEST = 2**21  # pixels; larger images are halved until they fit
SHRINK = 8  # the light is looked at on a coarse grid
COARSE = 4.0  # cells of that grid, sigma of the blur that leaves the light only


def covered(plane: Plane, whole: bool) -> Mask:
    """Where cells are in a (H, W) plane of any modality: True where it is textured, at the size of the plane.

    The logarithm of the local standard deviation, after uneven light is taken off, has two kinds of pixels; Otsu's
    threshold (1979) parts them. It never falls under the noise of the camera, so that an empty field stays empty. Where
    even the quietest pieces hold more than noise, cells crowd, and the threshold comes down. Holes are filled, and the
    rim that halo and window have added is taken off. `whole` says that the plane holds counts.

    After PHANTAST (Jaccard et al. 2014, doi 10.1002/bit.25115), whose threshold is set by hand.

    Cells whose inside is as smooth as the ground (very flat ones) are missed; debris counts as cells.
    """
    import cv2

    height, width = plane.shape
    if min(height, width) < 8 or not float(np.ptp(plane)):
        return np.zeros(plane.shape, np.bool_)
    plane = np.asarray(plane, np.float32)
    while plane.size > LARGEST:
        plane, whole = _halved(plane), False
    level = texture(plane)
    noise, crowd = quiet(plane, whole)
    floor = float(np.log2(max(noise, 1e-9 * float(np.ptp(plane))))) + STANDS_OUT
    some = level[::3, ::3]
    threshold = max(otsu(some), floor)
    mask: NDArray[Any] = (level > threshold + crowd * (float(np.percentile(some, 2)) - threshold)).astype(np.uint8)
    _drop(mask, 0, HOLE)
    if crowd > 0.5:  # what is quiet may be the smooth middle of a cell: its surroundings decide
        share = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), AROUND)
        mask = (share > 0.5).astype(np.uint8)
    else:
        rim = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * MARGIN + 1, 2 * MARGIN + 1))
        mask = cv2.erode(mask, rim, borderType=cv2.BORDER_CONSTANT, borderValue=1)
    _drop(mask, 1, SPECK)
    if plane.shape != (height, width):
        mask = cv2.resize(mask, (width, height), interpolation=cv2.INTER_NEAREST)
    return np.asarray(mask, np.bool_)


def light(plane: Plane) -> Plane:
    """The slow part of a (H, W) plane: what is left after a blur far wider than a cell."""
    import cv2

    height, width = plane.shape
    grid = (max(1, width // SHRINK), max(1, height // SHRINK))
    coarse = cv2.GaussianBlur(cv2.resize(plane, grid, interpolation=cv2.INTER_AREA), (0, 0), COARSE)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR)


def texture(plane: Plane) -> Plane:
    """Logarithm (base 2) of the local standard deviation of a (H, W) float32 plane, of what the light leaves over."""
    import cv2

    slow = light(plane)
    fine = plane - slow
    middle = float(np.median(slow[::SHRINK, ::SHRINK]))
    if float(slow.min()) > 0.3 * middle:  # a bright ground: cells take their share of the light that is there
        fine *= middle / slow
    mean = cv2.GaussianBlur(fine, (0, 0), WINDOW)
    variance = cv2.GaussianBlur(fine * fine, (0, 0), WINDOW) - mean * mean
    least = 1e-8 * float(np.ptp(plane)) ** 2
    return np.asarray(0.5 * np.log2(np.maximum(variance, max(least, 1e-30))))


def quiet(plane: Plane, whole: bool) -> tuple[float, float]:
    """Noise where a plane is quietest, and how far (0..1) even there cells crowd.

    Pixels twice as wide have half the noise, if it is noise. Where it shrinks less, it is texture: no ground is seen.
    """
    fine = camera.noise(plane, whole, quietest=True)
    half = _halved(plane)
    wide = camera.noise(half, False, quietest=True)
    if whole and fine < LEAST:
        fine, wide = 2 * wide, 2 * camera.noise(_halved(half), False, quietest=True)
    if not fine > 0 or not np.isfinite(wide):
        return max(fine, 0.0) if np.isfinite(fine) else 0.0, 0.0
    return fine, float(np.clip((2 * wide / fine - CROWD[0]) / (CROWD[1] - CROWD[0]), 0, 1))


def _halved(plane: Plane) -> Plane:
    import cv2

    size = (max(1, plane.shape[1] // 2), max(1, plane.shape[0] // 2))
    return cv2.resize(plane, size, interpolation=cv2.INTER_AREA)


def otsu(level: Plane) -> float:
    """The threshold that parts two kinds of values best (Otsu 1979).

    >>> rng = np.random.default_rng(0)
    >>> 0.5 < otsu(np.concatenate([rng.normal(0, 0.2, 900), rng.normal(4, 0.5, 300)])) < 3.5
    True
    """
    values = level.ravel().astype(np.float64)
    if float(np.ptp(values)) < 1e-3:  # one texture throughout
        return float(values[0])
    counts, edges = np.histogram(values, 128)
    middle = (edges[1:] + edges[:-1]) / 2
    below = np.cumsum(counts).astype(np.float64)
    above = below[-1] - below
    total = np.cumsum(counts * middle)
    with np.errstate(divide="ignore", invalid="ignore"):
        between = np.nan_to_num(below * above * (total / below - (total[-1] - total) / above) ** 2)
    return float(edges[int(np.argmax(between)) + 1])


def _drop(mask: NDArray[Any], value: int, size: int) -> None:
    """Turn pieces of `value` that are smaller than `size` pixels, in place."""
    import cv2

    _, labels, stats, _ = cv2.connectedComponentsWithStats((mask == value).astype(np.uint8), connectivity=4)
    small = stats[:, cv2.CC_STAT_AREA] < size
    small[0] = False
    mask[small[labels]] = 1 - value
