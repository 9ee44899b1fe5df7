"""Figures of detected objects: precision, recall and F1 of points within a radius, of boxes at thresholds of IoU."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from pandas import DataFrame

from potency.answers.matching import Mask, paired
from potency.answers.metrics.averages import NAMED, THRESHOLDS, Figures, percent, ratio, total
from potency.answers.metrics.instances import scores

Arrays = dict[str, NDArray[np.float64]]
Pairs = tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float64]]


def boxes(pairs: Pairs, sizes: tuple[int, int], crowd: Mask) -> Arrays:
    """What the boxes of one image contribute: plain truths, predictions, hits and spurious ones at each threshold.

    A pair counts above the threshold; as many are made as can be. A prediction without a partner that lies mainly in a
    crowd is no mistake.
    """
    row, column, iou = pairs
    plain = ~crowd[row]
    excused = np.zeros(sizes[1], bool)
    excused[column[crowd[row] & (iou > 0.5)]] = True
    hits, spurious = [], []
    for threshold in THRESHOLDS:
        close = np.flatnonzero(plain & (iou > threshold))
        kept = close[paired(row[close], column[close], 1 + iou[close] / (2 * max(len(close), 1)))]
        alone = ~excused
        alone[column[kept]] = False
        hits.append(len(kept))
        spurious.append(int(np.count_nonzero(alone)))
    return {
        "objects": np.array([np.count_nonzero(~crowd)], np.float64),
        "answered": np.array([hits[0] + spurious[0]], np.float64),
        "hits": np.array([hits], np.float64),
        "spurious": np.array([spurious], np.float64),
    }


def each(arrays: Mapping[str, NDArray[np.float64]]) -> DataFrame:
    """Of every image its F1, and how many objects there are, are answered, missed and spurious."""
    if "detected" in arrays:
        found, false, missed = arrays["detected"].T
    else:
        found, false = arrays["hits"][:, 0], arrays["spurious"][:, 0]
        missed = arrays["objects"] - found
    counts = {"true": arrays["objects"], "answered": arrays["answered"], "missed": missed, "spurious": false}
    told = {name: count.astype(np.int64) for name, count in counts.items()}
    return DataFrame({"f1": ratio(2 * found, 2 * found + false + missed), **told})


def figures(arrays: Mapping[str, NDArray[np.float64]], weights: NDArray[np.float64]) -> Figures:
    """Precision, recall and F1 of all objects together; of points also how far the pairs are apart on average."""
    if "detected" in arrays:
        found, false, missed = total(arrays["detected"], weights).T
        return {**scores(found, false, missed), "distance": ratio(total(arrays["apart"], weights), found)}
    hits, spurious = total(arrays["hits"], weights), total(arrays["spurious"], weights)
    missed = total(arrays["objects"], weights)[:, None] - hits
    told = scores(hits[:, 0], spurious[:, 0], missed[:, 0])
    for k, threshold in enumerate(THRESHOLDS):
        if percent(threshold) in NAMED[1:]:
            told |= scores(hits[:, k], spurious[:, k], missed[:, k], f".{percent(threshold)}")
    return told
