"""Figures of matched objects: AP of the Data Science Bowl, precision, recall, F1, PQ, AJI, Dice and Jaccard, mistakes.

Sources: AP, Caicedo et al. 2019 (doi 10.1038/s41592-019-0612-7); PQ, Kirillov et al. 2019 (arXiv 1801.00868); AJI,
Kumar et al. 2017 (doi 10.1109/TMI.2017.2677499); AJI+, Graham et al. 2019 (doi 10.1016/j.media.2019.101563).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from pandas import DataFrame

from potency.answers.matching import Mask, Overlap, paired
from potency.answers.metrics.averages import NAMED, THRESHOLDS, Figures, mean, mean_known, percent, ratio, total

Arrays = dict[str, NDArray[np.float64]]
MISTAKES = ("missed", "split", "merged", "spurious")


def evidence(found: Overlap) -> Arrays:
    """What one pair of label images contributes."""
    matched = [found.pairs(threshold) for threshold in THRESHOLDS]
    kinds = counts_of_mistakes(mistakes(found))
    return {
        "objects": np.array([len(found.truths)], np.float64),
        "answered": np.array([np.count_nonzero(found.spurious(matched[0])) + np.count_nonzero(matched[0])], np.float64),
        "hits": np.array([[np.count_nonzero(pairs) for pairs in matched]], np.float64),
        "spurious": np.array([[np.count_nonzero(found.spurious(pairs)) for pairs in matched]], np.float64),
        "quality": np.array([[found.iou[pairs].sum() for pairs in matched]]),
        "aji": _jaccard(found, *_best(found)),
        "aji_plus": _jaccard(found, *_apart(found)),
        "best": _best_of_each(found),
        "mistakes": np.array([[kinds[kind] for kind in MISTAKES]], np.float64),
    }


def areas(found: Overlap) -> Arrays:
    """Foreground of one pair of label images: shared pixels, those of the truth, those of the prediction."""
    return {"foreground": np.array([[found.shared.sum(), found.truth_area.sum(), found.said_area.sum()]], np.float64)}


def _best(found: Overlap) -> tuple[NDArray[np.intp], Mask]:
    """The pair of largest IoU of every truth; a prediction may serve several."""
    order = np.lexsort((-found.iou, found.row))
    pairs = order[np.flatnonzero(np.diff(found.row[order], prepend=-1))]
    used = np.zeros(len(found.said), bool)
    used[found.column[pairs]] = True
    return pairs, used


def _apart(found: Overlap) -> tuple[NDArray[np.intp], Mask]:
    """The one-to-one pairs of largest total IoU."""
    pairs = np.flatnonzero(paired(found.row, found.column, found.iou))
    used = np.zeros(len(found.said), bool)
    used[found.column[pairs]] = True
    return pairs, used


def _jaccard(found: Overlap, pairs: NDArray[np.intp], used: Mask) -> NDArray[np.float64]:
    shared = found.shared[pairs].sum()
    lone = np.ones(len(found.truths), bool)
    lone[found.row[pairs]] = False
    joint = (found.truth_area[found.row[pairs]] + found.said_area[found.column[pairs]] - found.shared[pairs]).sum()
    return np.array([[shared, joint + found.truth_area[lone].sum() + found.said_area[~used & ~found.excused].sum()]],
                    np.float64)  # fmt: skip


def _best_of_each(found: Overlap) -> NDArray[np.float64]:
    """Summed over the truths: the largest Jaccard index and the largest Dice coefficient with any predicted object."""
    iou = np.zeros(len(found.truths))
    np.maximum.at(iou, found.row, found.iou)
    return np.array([[iou.sum(), (2 * iou / (1 + iou)).sum()]])


def mistakes(found: Overlap) -> DataFrame:
    """What became of every object: columns `side` (truth, prediction), `label` and `what`.

    A truth is `split` if several predicted objects lie mainly (by more than half) in it, `merged` if most of it lies in
    a predicted object that holds most of another truth too, else `found` if it is matched at IoU above one half, else
    `missed`. A predicted object is `split` or `merged` if it belongs to such an event, else `found`, else `spurious`,
    or `ignored` where it lies mainly in ignored pixels.

    >>> from potency.answers.matching import overlap
    >>> mistakes(overlap(np.array([[1, 1, 1, 1, 0]]), np.array([[1, 1, 2, 2, 3]])))["what"].tolist()
    ['split', 'split', 'split', 'spurious']
    """
    inside = 2 * found.shared > found.said_area[found.column]  # the predicted object is mainly in this truth
    holds = 2 * found.shared > found.truth_area[found.row]  # this truth is mainly in the predicted object
    pieces = np.bincount(found.row[inside], minlength=len(found.truths))
    held = np.bincount(found.column[holds], minlength=len(found.said))
    matched = found.pairs(0.5)
    truth, said = np.full(len(found.truths), "missed", object), np.full(len(found.said), "spurious", object)
    said[found.excused] = "ignored"
    truth[found.row[matched]] = said[found.column[matched]] = "found"
    into = holds & (held[found.column] > 1)
    truth[found.row[into]] = said[found.column[into]] = "merged"
    piece = inside & (pieces[found.row] > 1)
    truth[found.row[piece]] = said[found.column[piece]] = "split"
    sides = np.repeat(np.array(["truth", "prediction"], object), [len(truth), len(said)])
    labels = np.concatenate([found.truths, found.said])
    return DataFrame({"side": sides, "label": labels, "what": np.concatenate([truth, said])})


def counts_of_mistakes(table: DataFrame) -> dict[str, int]:
    """How many true objects are missed, split and merged, and how many predicted ones are spurious."""
    of = {side: table["what"][table["side"] == side].value_counts() for side in ("truth", "prediction")}
    return {kind: int(of["prediction" if kind == "spurious" else "truth"].get(kind, 0)) for kind in MISTAKES}


def figures(arrays: Mapping[str, NDArray[np.float64]], weights: NDArray[np.float64]) -> Figures:
    """All figures of matched objects under each weighting."""
    objects, hits, spurious = arrays["objects"], arrays["hits"], arrays["spurious"]
    ever = objects[:, None] + spurious  # hits + missed + spurious
    single = mean(ratio(hits, ever), weights)
    truths, found, false = total(objects, weights)[:, None], total(hits, weights), total(spurious, weights)
    pooled = ratio(found, truths + false)
    told: Figures = {"dsb_ap": mean_known(single), "dsb_ap_pooled": mean_known(pooled)}
    for k, threshold in enumerate(THRESHOLDS):
        told[f"dsb_ap.{percent(threshold)}"] = single[:, k]
    for k, threshold in enumerate(THRESHOLDS):
        if percent(threshold) in NAMED:
            told[f"dsb_ap_pooled.{percent(threshold)}"] = pooled[:, k]
            told |= scores(found[:, k], false[:, k], truths[:, 0] - found[:, k], f".{percent(threshold)}")
    sq, rq = ratio(total(arrays["quality"], weights)[:, 0], found[:, 0]), told["f1.50"]
    told |= {"pq": np.where(found[:, 0] == 0, rq, sq * rq), "sq": sq, "rq": rq}
    for name in ("aji", "aji_plus"):
        told[name] = mean(ratio(arrays[name][:, 0], arrays[name][:, 1]), weights)
    best = ratio(total(arrays["best"], weights), truths)
    told |= {"object_jaccard": best[:, 0], "object_dice": best[:, 1]}
    wrong = total(arrays["mistakes"], weights)
    for k, kind in enumerate(MISTAKES):
        told[kind] = ratio(wrong[:, k], truths[:, 0] if kind != "spurious" else total(arrays["answered"], weights))
    return told | _foreground(arrays, weights)


def each(arrays: Mapping[str, NDArray[np.float64]]) -> DataFrame:
    """Of every image its AP, and how many objects there are, are answered, missed, split, merged and spurious."""
    single = mean_known(ratio(arrays["hits"], arrays["objects"][:, None] + arrays["spurious"]))
    counts = {"true": arrays["objects"], "answered": arrays["answered"]}
    counts |= dict(zip(MISTAKES, arrays["mistakes"].T, strict=True))
    return DataFrame({"dsb_ap": single, **{name: count.astype(np.int64) for name, count in counts.items()}})


def _foreground(arrays: Mapping[str, NDArray[np.float64]], weights: NDArray[np.float64]) -> Figures:
    if "foreground" not in arrays:
        return {}
    shared, truth, said = arrays["foreground"].T
    joint = truth + said - shared
    return {"dice": mean(ratio(2 * shared, truth + said), weights), "jaccard": mean(ratio(shared, joint), weights)}


def scores(
    found: NDArray[np.float64], false: NDArray[np.float64], missed: NDArray[np.float64], part: str = ""
) -> Figures:
    """Precision, recall and F1 of counts (draws,)."""
    return {
        f"f1{part}": ratio(2 * found, 2 * found + false + missed),
        f"precision{part}": ratio(found, found + false),
        f"recall{part}": ratio(found, found + missed),
    }
