"""Figures of semantic maps: pixel accuracy, IoU and Dice of each class, of pixels pooled over images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from potency.answers.answer import group_sums
from potency.answers.evidence import Ragged
from potency.answers.metrics.averages import Figures, mean_known, ratio


def evidence(truth: NDArray[Any], said: NDArray[Any], lengths: NDArray[np.int64]) -> Ragged:
    """Which codes meet in one image and in how many pixels, of runs of pixels: lines (true code, code said, pixels)."""
    if not len(truth):
        return Ragged.of(np.empty((0, 3), np.int64))
    pairs, place = np.unique(np.stack([truth, said], axis=1).astype(np.int64), axis=0, return_inverse=True)
    return Ragged.of(np.column_stack([pairs, np.bincount(place.ravel(), lengths).astype(np.int64)]))


def figures(confusion: Ragged, labels: Sequence[str], weights: NDArray[Any]) -> Figures:
    """Figures of all pixels together; a class that neither truth nor prediction of a draw has counts for no mean."""
    codes = np.unique(confusion.values[:, :2])
    known = np.searchsorted(codes, confusion.values[:, :2])
    names = list(labels) or [str(code) for code in range(int(codes.max(initial=-1)) + 1)]
    size = len(codes)
    heavy = np.ascontiguousarray(weights.T.astype(np.float64))[confusion.sample]
    pixels = confusion.values[:, 2].astype(np.float64)
    right = group_sums(np.where(known[:, 0] == known[:, 1], known[:, 0], -1), size, heavy, pixels)
    truth, said = (group_sums(known[:, side], size, heavy, pixels) for side in (0, 1))
    iou, dice = ratio(right, truth + said - right), ratio(2 * right, truth + said)
    told: Figures = {
        "mean_iou": mean_known(iou, axis=0),
        "mean_dice": mean_known(dice, axis=0),
        "pixel_accuracy": ratio(right.sum(axis=0), truth.sum(axis=0)),
    }
    nowhere = np.full(len(weights), np.nan)
    for code, name in enumerate(names):
        at = int(np.searchsorted(codes, code))
        there = at < size and codes[at] == code
        told |= {f"iou.{name}": iou[at] if there else nowhere, f"dice.{name}": dice[at] if there else nowhere}
    return told
