"""Figures of size: how large true and predicted objects are, and how many of each size are found.

Sizes are diameters in pixels: of the disc (of a stack the ball) of the object's area, so that lengths can be compared.
They are counted in steps of 1/16 octave (4.4 %), and objects are judged in half octaves (16 to 23 px, 23 to 32 px ...),
the same in every report.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from potency.answers.matching import Mask, Overlap
from potency.answers.metrics.averages import Figures, ratio, total

FINE, OCTAVES = 16, 12  # steps of an octave; octaves from 1 px on, beyond which all counts as the last
JUDGED = 8  # fine steps of a range that is judged: half an octave
PERCENTILES = (5, 10, 25, 50, 75, 90, 95)
RANGES = tuple(
    f"{2 ** (k * JUDGED / FINE):.0f}-{2 ** ((k + 1) * JUDGED / FINE):.0f}" for k in range(OCTAVES * FINE // JUDGED)
)


def diameters(area: NDArray[Any], axes: int) -> NDArray[np.float64]:
    """The diameters of discs (of balls where there are three axes) of these areas in pixels.

    >>> diameters(np.array([78.54]), 2).round(3).tolist()
    [10.0]
    """
    area = np.asarray(area, np.float64)
    return np.asarray(2 * np.sqrt(area / np.pi) if axes == 2 else np.cbrt(6 * area / np.pi))


def evidence(found: Overlap, axes: int) -> dict[str, NDArray[np.float64]]:
    """What one pair of label images of two or three axes contributes.

    `sizes` (1, 2, steps): true and predicted objects of each size; `sized` (1, 2, ranges): true ones found and
    predicted ones right (IoU above one half) in each range; `grown` (1, 2): the logarithms of predicted over true
    diameter of pairs, added up, and how many.
    """
    true, said = diameters(found.truth_area, axes), diameters(found.said_area, axes)
    pairs = found.pairs(0.5)
    hit, right = np.zeros(len(true), bool), np.zeros(len(said), bool)
    hit[found.row[pairs]] = right[found.column[pairs]] = True
    judged = right | ~found.excused
    grown = np.log(said[found.column[pairs]] / true[found.row[pairs]])
    return {
        "sizes": np.stack([_counted(true), _counted(said[judged])])[None],
        "sized": _ranges(np.stack([_counted(true[hit]), _counted(said[right])]))[None],
        "grown": np.array([[grown.sum(), len(grown)]]),
    }


def _counted(diameter: NDArray[np.float64]) -> NDArray[np.float64]:
    step = np.floor(FINE * np.log2(np.maximum(diameter, 1))).astype(np.intp)
    return np.bincount(np.minimum(step, FINE * OCTAVES - 1), minlength=FINE * OCTAVES).astype(np.float64)


def _ranges(steps: NDArray[np.float64]) -> NDArray[np.float64]:
    """Counts of steps (..., steps) as counts of ranges."""
    return np.asarray(steps.reshape(*steps.shape[:-1], -1, JUDGED).sum(-1))


def figures(arrays: Mapping[str, NDArray[np.float64]], weights: NDArray[np.float64]) -> Figures:
    """Percentiles of both sizes, the bias of size, and by range of size recall, precision and the share of objects."""
    fine = total(arrays["sizes"], weights)
    told: Figures = {}
    for side, name in enumerate(("size_true", "size_said")):
        told |= {f"{name}.p{percent:02}": _percentile(fine[:, side], percent / 100) for percent in PERCENTILES}
    grown = total(arrays["grown"], weights)
    told["size_bias"] = np.expm1(ratio(grown[:, 0], grown[:, 1]))
    judged, right = _ranges(fine), total(arrays["sized"], weights)
    share = ratio(judged[:, 0], judged[:, 0].sum(-1, keepdims=True))
    for k, name in enumerate(RANGES):
        if arrays["sizes"][:, :, k * JUDGED : (k + 1) * JUDGED].any():  # the same figures in every draw
            told[f"recall_size.{name}"] = ratio(right[:, 0, k], judged[:, 0, k])
            told[f"precision_size.{name}"] = ratio(right[:, 1, k], judged[:, 1, k])
            told[f"share_size.{name}"] = share[:, k]
    return told


def bearers(arrays: Mapping[str, NDArray[np.float64]]) -> dict[str, Mask]:
    """The samples on which a figure of a range rests: those with an object of that size."""
    there = _ranges(arrays["sizes"]) > 0
    return {
        f"{name}.{part}": there[:, side, k]
        for side, name in enumerate(("recall_size", "precision_size"))
        for k, part in enumerate(RANGES)
    }


def _percentile(counts: NDArray[np.float64], share: float) -> NDArray[np.float64]:
    """The diameter under which a share of the objects lies: (draws, steps) -> (draws,), between the ends of a step."""
    below = np.cumsum(counts, axis=1)
    wanted = share * below[:, -1:]
    step = np.minimum((below < wanted).sum(axis=1), counts.shape[1] - 1)[:, None]
    inside = np.take_along_axis(counts, step, 1)[:, 0]
    into = ratio(wanted[:, 0] - np.take_along_axis(below, step, 1)[:, 0] + inside, inside)
    return np.asarray(2 ** ((step[:, 0] + into) / FINE))
