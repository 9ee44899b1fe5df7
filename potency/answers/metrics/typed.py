"""Figures of objects with classes: PQ of PanNuke, strict and as published, and the F1 of HoVer-Net.

Sources: bPQ and mPQ, Gamper et al. 2020 (arXiv 2003.10778) and the script that goes with it; F_d and F_c, Graham et al.
2019 (doi 10.1016/j.media.2019.101563), as their published code counts them: pairs of which neither side has the class
do not count for it. Type accuracy, as DeepCell tells it (Van Valen et al. 2016): of the true objects that are found, in
all or of a class, the share whose class is answered right.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from potency.answers.matching import Overlap, near
from potency.answers.metrics.averages import Figures, mean, mean_known, ratio, total

Codes = NDArray[np.intp]
Arrays = dict[str, NDArray[np.float64]]
RADIUS = 12.0  # pixels between centres of one nucleus: HoVer-Net's for images at 40x (0.25 um)


def panoptic(found: Overlap, truth: Codes, said: Codes, classes: int) -> Arrays:
    """Of one image: hits, spurious, missed and summed IoU of all objects together, and of each class on its own."""
    every = [_parts(found)]
    each = [_parts(found.only(truth == code, said == code)) for code in range(classes)]
    return {"binary": np.array(every), **({"typed": np.array([each])} if classes else {})}


def _parts(found: Overlap) -> tuple[float, float, float, float]:
    pairs = found.pairs(0.5)
    hits = int(np.count_nonzero(pairs))
    return hits, int(np.count_nonzero(found.spurious(pairs))), len(found.truths) - hits, float(found.iou[pairs].sum())


def centred(
    centres: tuple[NDArray[np.float64], NDArray[np.float64]],
    kinds: tuple[Codes, Codes],
    classes: int,
    radius: float = RADIUS,
) -> Arrays:
    """Of one image, objects paired by their centres: pairs and lone objects, in all and of each class.

    `detected` is (pairs, lone predictions, lone truths); `kinds` is for each class (pairs of which both sides, only the
    prediction, only the truth has it, lone predictions, lone truths).
    """
    row, column, _ = near(*centres, radius)
    truth, said = kinds
    alone = [np.ones(len(side), bool) for side in kinds]
    alone[0][row], alone[1][column] = False, False
    counts = [len(row), np.count_nonzero(alone[1]), np.count_nonzero(alone[0])]
    made: Arrays = {"detected": np.array([counts], np.float64)}
    if not classes:
        return made
    table = np.zeros((classes, 5))
    for code in range(classes):
        is_true, is_said = truth[row] == code, said[column] == code
        table[code] = [
            np.count_nonzero(is_true & is_said), np.count_nonzero(~is_true & is_said),
            np.count_nonzero(is_true & ~is_said), np.count_nonzero(said[alone[1]] == code),
            np.count_nonzero(truth[alone[0]] == code),
        ]  # fmt: skip
    return {**made, "kinds": table[None]}


def figures(
    arrays: Mapping[str, NDArray[np.float64]], labels: Sequence[str], weights: NDArray[np.float64]
) -> Figures:
    """bPQ and mPQ both ways, F_d, F_c and type accuracy; those of classes only where both sides have classes."""
    told: Figures = {}
    if "binary" in arrays:
        strict, published = _quality(arrays["binary"])
        told |= {"bpq": mean(strict, weights), "bpq_published": mean(published, weights)}
    if "typed" in arrays:
        strict, published = _quality(arrays["typed"])  # samples, classes
        own = mean(strict, weights)
        told |= {"mpq": mean_known(own), "mpq_published": mean(mean_known(published), weights)}
        told |= {f"mpq.{label}": own[:, code] for code, label in enumerate(labels)}
    pairs, lone, missed = total(arrays["detected"], weights).T
    told["f_d"] = ratio(2 * pairs, 2 * pairs + lone + missed)
    if "kinds" in arrays:
        both, wrong, lost, lone, missed = np.moveaxis(total(arrays["kinds"], weights), -1, 0)
        each = ratio(2 * both, 2 * both + 2 * wrong + 2 * lost + lone + missed)
        told["f_c"] = mean_known(each)
        told |= {f"f_c.{label}": each[:, code] for code, label in enumerate(labels)}
        told["type_accuracy"] = ratio(both.sum(-1), (both + lost).sum(-1))
        told |= {f"type_accuracy.{label}": ratio(both, both + lost)[:, code] for code, label in enumerate(labels)}
    return told


def _quality(parts: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """PQ of each image (and class): nan without any object, and, as published, also without a true one."""
    hits, spurious, missed, shared = np.moveaxis(parts, -1, 0)
    strict = ratio(shared, hits + spurious / 2 + missed / 2)
    return strict, np.where(hits + missed > 0, strict, np.nan)
