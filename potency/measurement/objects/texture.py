"""The texture family: co-occurrence, local binary patterns, granularity and Gabor waves within every object."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from potency.data.compiled import compiled
from potency.measurement.objects.columns import Columns
from potency.measurement.objects.runs import Objects
from potency.measurement.texture import DISTANCES, LEVELS, haralick, patterns

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
PATTERNS = 10  # rotation-invariant uniform ones of eight neighbours
GRAINS = (1, 2, 3, 4, 5, 6)  # px, radii of the discs of the openings
WAVES = (4, 8, 16)  # px, lengths of the Gabor waves
ANGLES = 4
TOGETHER = 4096  # objects whose matrices are in memory at once


def texture(objects: Objects, planes: Mapping[str, NDArray[Any]]) -> dict[str, Columns]:
    """Texture of each object in each plane (Y, X) by its channel; (N,) each.

    - `glcm<distance>_<feature>`: co-occurrence of pixels that are both of the object, 1, 2 and 4 px apart in four
      directions (their mean, and the range of two), in 16 steps between the object's own extremes (Haralick 1973).
    - `lbp<reach>_<pattern>`: shares of the ten rotation-invariant uniform patterns around its pixels (Ojala 2002).
    - `granularity_<radius>`: the share of light that openings with growing discs take away, of all that the largest
      of 6 px takes; what is smaller than the disc goes.
    - `gabor<length>_mean`, `_range`: mean amplitude of waves of 4, 8 and 16 px over four directions, and the
      range over them, in units of the image.

    All but the last ignore brightness and contrast. Patterns, grains and waves at the edge see what lies around the
    object, up to 2, 12 and 27 px. An object with a pixel that is no finite number has no texture.
    """
    found = {}
    for channel, plane in planes.items():
        values = np.array(plane, np.float64, order="C")
        odd = ~np.isfinite(values)
        values[odd] = 0.0
        columns = {
            **_cooccurrence(objects, values),
            **_patterns(objects, values),
            **_granularity(objects, values),
            **_gabor(objects, values),
        }
        wrong = _sums(*objects.runs, odd.astype(np.float64)) > 0
        found[channel] = {name: np.where(wrong, np.nan, column) for name, column in columns.items()}
    return found


def _cooccurrence(objects: Objects, plane: Floats) -> Columns:
    start, row, left, right = objects.runs
    levels = _levels(start, row, left, right, plane, LEVELS)
    pieces = []
    for first in range(0, max(1, len(objects)), TOGETHER):
        some = start[first : first + TOGETHER + 1]
        columns: Columns = {}
        for distance in DISTANCES:
            turns = []
            for dy, dx in ((0, distance), (distance, 0), (distance, distance), (distance, -distance)):
                pairs = _pairs(some, row, left, right, objects.numbered, levels, (dy, dx, LEVELS, first))
                count = pairs.sum((1, 2), keepdims=True)
                with np.errstate(invalid="ignore"):
                    turns.append({**haralick(pairs / np.maximum(count, 1)), "none": count[:, 0, 0] == 0})
            none = np.stack([turn.pop("none") for turn in turns])
            for name in turns[0]:
                values = np.ma.masked_array(np.stack([turn[name] for turn in turns]), none)
                columns[f"glcm{distance}_{name}"] = values.mean(0).filled(np.nan)
                if name in ("contrast", "correlation"):
                    columns[f"glcm{distance}_{name}_range"] = np.ma.filled(np.ma.ptp(values, axis=0), np.nan)
        pieces.append(columns)
    return {name: np.concatenate([piece[name] for piece in pieces]) for name in pieces[0]}


@compiled
def _levels(start: Ints, row: Ints, left: Ints, right: Ints, plane: Floats, levels: int) -> NDArray[np.uint8]:
    """The plane in equal steps between the extremes of each object."""
    found = np.zeros(plane.shape, np.uint8)
    for i in range(len(start) - 1):
        lowest, highest = np.inf, -np.inf
        for run in range(start[i], start[i + 1]):
            for x in range(left[run], right[run]):
                lowest, highest = min(lowest, plane[row[run], x]), max(highest, plane[row[run], x])
        span = highest - lowest
        for run in range(start[i], start[i + 1]):
            for x in range(left[run], right[run]):
                if span > 0:
                    found[row[run], x] = min(int((plane[row[run], x] - lowest) / span * levels), levels - 1)
    return found


@compiled
def _pairs(
    start: Ints, row: Ints, left: Ints, right: Ints, numbered: NDArray[np.int32], levels: NDArray[np.uint8],
    how: tuple[int, int, int, int],
) -> Floats:  # fmt: skip
    """How often two levels stand `how[:2]` (rows, columns) apart in an object, either way round."""
    dy, dx, most, first = how
    count = len(start) - 1
    found = np.zeros((count, most, most))
    for i in range(count):
        for run in range(start[i], start[i + 1]):
            y = row[run] + dy
            if y >= levels.shape[0]:
                continue
            for x in range(max(left[run], -dx), min(right[run], levels.shape[1] - dx)):
                if numbered[y + 1, x + dx + 1] == first + i + 1:
                    a, b = levels[row[run], x], levels[y, x + dx]
                    found[i, a, b] += 1
                    found[i, b, a] += 1
    return found


@compiled
def _sums(start: Ints, row: Ints, left: Ints, right: Ints, plane: Floats) -> Floats:
    """Sum of the plane over the pixels of each object."""
    found = np.zeros(len(start) - 1)
    for i in range(len(found)):
        for run in range(start[i], start[i + 1]):
            for x in range(left[run], right[run]):
                found[i] += plane[row[run], x]
    return found


def _patterns(objects: Objects, plane: Floats) -> Columns:
    found: Columns = {}
    within = objects.numbered[1:-1, 1:-1] > 0
    index = (objects.numbered[1:-1, 1:-1][within].astype(np.int64) - 1) * PATTERNS
    for reach in (1, 2):
        codes = patterns(plane[None], reach)[0][within]
        counts = np.bincount(index + codes, minlength=len(objects) * PATTERNS).reshape(-1, PATTERNS)
        share = counts / objects.extents[0][:, None]
        found |= {f"lbp{reach}_{k}": share[:, k] for k in range(PATTERNS)}
    return found


def _granularity(objects: Objects, plane: Floats) -> Columns:
    import cv2

    left_over = [_sums(*objects.runs, plane - plane.min())]
    for radius in GRAINS:
        y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1]
        disc = (y * y + x * x <= radius * radius).astype(np.uint8)
        opened = cv2.morphologyEx(plane - plane.min(), cv2.MORPH_OPEN, disc)
        left_over.append(_sums(*objects.runs, np.asarray(opened, np.float64)))
    gone = left_over[0] - left_over[-1]
    safe = np.where(gone > 0, gone, 1.0)
    return {
        f"granularity_{radius}": (before - after) / safe
        for radius, before, after in zip(GRAINS, left_over, left_over[1:], strict=False)
    }


def _gabor(objects: Objects, plane: Floats) -> Columns:
    import cv2

    found: Columns = {}
    for length in WAVES:
        turns = []
        for turn in range(ANGLES):
            wave = gabor_kernel(length, np.pi * turn / ANGLES)
            even, odd = (cv2.filter2D(plane, cv2.CV_64F, part, borderType=cv2.BORDER_REFLECT)
                         for part in (wave.real.copy(), wave.imag.copy()))  # fmt: skip
            turns.append(_sums(*objects.runs, np.hypot(even, odd)) / objects.extents[0])
        values = np.stack(turns)
        found |= {f"gabor{length}_mean": values.mean(0), f"gabor{length}_range": np.ptp(values, axis=0)}
    return found


def gabor_kernel(length: float, angle: float) -> NDArray[np.complex128]:
    """A wave of that length (px) across rows at angle 0, under a Gaussian of one octave: of no mean, and of gain 1.

    A plane wave of amplitude a and that length and direction is answered by a, an even plane by 0.
    """
    sigma = 0.56 * length  # a bandwidth of one octave, as in the visual cortex (Daugman 1985)
    reach = int(np.ceil(3 * sigma))
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    envelope = np.exp(-(y * y + x * x) / (2 * sigma**2))
    envelope /= envelope.sum()
    wave = np.exp(2j * np.pi * (y * np.cos(angle) + x * np.sin(angle)) / length)
    return np.asarray(2 * envelope * (wave - (envelope * wave).sum()), np.complex128)
