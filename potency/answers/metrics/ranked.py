"""Average precision as COCO counts it: predictions ranked by score, precision read at 101 recalls.

Source: Lin et al. 2014 (arXiv 1405.0312) and the evaluation that goes with it; areas are not told apart, and the most
predictions of an image and class is 2,000, not 100, because images of cells hold thousands.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from potency.answers.evidence import Ragged
from potency.answers.matching import Mask
from potency.answers.metrics.averages import THRESHOLDS, Figures, mean_known, percent, ratio, total

MOST = 2000  # predictions of an image and a class that count, the best scores first
RECALLS = np.linspace(0, 1, 101)
TOLD = (50, 75)  # thresholds in percent with a figure of their own
CELLS = 4_000_000  # predictions x draws held at once
HIT, MISS, LEFT_OUT = 1, 0, -1


@dataclass(frozen=True)
class Candidates:
    """Objects of one image that may be matched: classes of both sides, scores, and the pairs that overlap at all.

    `crowd` marks truths that are regions of objects nobody told apart (or too hard to tell): what lies there is no
    mistake, and they need not be found. `excused` marks predictions that are no mistake where they match nothing.
    """

    truth: NDArray[np.intp]
    said: NDArray[np.intp]
    score: NDArray[np.float64]
    row: NDArray[np.intp]
    column: NDArray[np.intp]
    iou: NDArray[np.float64]
    crowd: Mask
    excused: Mask


def evidence(found: Candidates, classes: int, most: int = MOST) -> tuple[dict[str, NDArray[np.float64]], Ragged]:
    """What one image contributes: the truths of each class, and a ranked line a prediction: score, class, hit or not.

    A line is (score, class, then for each threshold 1 = hit, 0 = miss, -1 = left out).
    """
    positives = np.bincount(found.truth[~found.crowd], minlength=max(classes, 1)).astype(np.float64)[None]
    lines = [np.empty((0, 2 + len(THRESHOLDS)))]
    for code in range(max(classes, 1)):
        mine = np.flatnonzero(found.said == code)
        mine = mine[np.argsort(-found.score[mine], kind="stable")][:most]
        if len(mine):
            marks = np.stack([_greedy(found, mine, code, threshold) for threshold in THRESHOLDS], axis=1)
            lines.append(np.column_stack([found.score[mine], np.full(len(mine), code), marks]))
    return {"positives": positives}, Ragged.of(np.concatenate(lines))


def _greedy(found: Candidates, ranked: NDArray[np.intp], code: int, threshold: float) -> NDArray[np.int8]:
    """Best score first, each prediction takes the free truth of its class that it overlaps most, a plain one first."""
    rank = np.full(len(found.said), -1)
    rank[ranked] = np.arange(len(ranked))
    close = (rank[found.column] >= 0) & (found.truth[found.row] == code) & (found.iou >= threshold - 1e-10)
    row, place, iou = found.row[close], rank[found.column[close]], found.iou[close]
    order = np.lexsort((-iou, found.crowd[row], place))
    marks = np.where(found.excused[ranked], LEFT_OUT, MISS).astype(np.int8)
    taken, done = np.zeros(len(found.truth), bool), np.zeros(len(ranked), bool)
    for truth, said in zip(row[order].tolist(), place[order].tolist(), strict=True):
        if done[said] or taken[truth]:
            continue
        done[said] = True
        taken[truth] = not found.crowd[truth]  # a crowd has room for all
        marks[said] = LEFT_OUT if found.crowd[truth] else HIT
    return marks


def figures(
    arrays: Mapping[str, NDArray[np.float64]],
    lists: Mapping[str, Ragged],
    labels: Sequence[str],
    weights: NDArray[Any],
) -> Figures:
    """AP over all thresholds and at .5 and .75, the mean over the classes that occur, and each class's own."""
    positives = total(arrays["positives"], weights)  # draws, classes
    ranked = lists["ranked"]
    each = np.stack(
        [_of_class(ranked, code, positives[:, code], weights) for code in range(positives.shape[1])], axis=1
    )  # draws, classes, thresholds
    told: Figures = {"coco_ap": mean_known(mean_known(each))}
    for k, threshold in enumerate(THRESHOLDS):
        if percent(threshold) in TOLD:
            told[f"coco_ap.{percent(threshold)}"] = mean_known(each[:, :, k])
    return told | {f"coco_ap.{label}": mean_known(each[:, code]) for code, label in enumerate(labels)}


def _of_class(
    ranked: Ragged, code: int, positives: NDArray[np.float64], weights: NDArray[Any]
) -> NDArray[np.float64]:
    mine = np.flatnonzero(ranked.values[:, 1] == code)
    mine = mine[np.argsort(-ranked.values[mine, 0], kind="stable")]
    marks, sample = ranked.values[mine, 2:], ranked.sample[mine]
    size = max(CELLS // max(len(mine), 1), 1)
    blocks = [slice(start, start + size) for start in range(0, len(weights), size)]
    made = np.full((len(weights), marks.shape[1]), np.nan)
    for block in blocks:
        heavy = np.asarray(weights[block], np.float64)[:, sample]
        for k in range(marks.shape[1]):
            made[block, k] = average_precision(marks[:, k], heavy, positives[block])
    return made


def average_precision(
    marks: NDArray[Any], weights: NDArray[np.float64], positives: NDArray[np.float64]
) -> NDArray[np.float64]:
    """AP of a ranked list under each weighting: marks (predictions,), weights (draws, predictions), positives (draws,).

    Precision at a recall is the best at that recall or beyond; recalls never reached have 0. Only hits are looked at,
    because there alone a recall is reached. nan where a draw holds no positive.

    >>> average_precision(np.array([1, 0, 1]), np.ones((1, 3)), np.array([2.0])).round(4)
    array([0.835])
    """
    made = np.where(positives > 0, 0.0, np.nan)
    hit = np.flatnonzero(marks == HIT)
    if not len(hit):
        return made
    counted = np.flatnonzero(marks != LEFT_OUT)
    seen = np.cumsum(weights[:, counted], axis=1)[:, np.searchsorted(counted, hit)]
    found = np.cumsum(weights[:, hit], axis=1)
    precision = np.nan_to_num(ratio(found, seen))
    precision = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    for draw in np.flatnonzero(positives > 0):
        recall = found[draw] / positives[draw]
        at = np.searchsorted(recall, RECALLS, side="left")
        made[draw] = precision[draw, at[at < len(recall)]].sum() / len(RECALLS)
    return made
