"""Matching of label images at ten thresholds, beside the whole table of pairs that the plain way fills and assigns."""

from __future__ import annotations

import os

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import argparse  # noqa: E402
from typing import Any  # noqa: E402

import numpy as np  # noqa: E402
from numpy.typing import NDArray  # noqa: E402
from scipy.optimize import linear_sum_assignment  # noqa: E402
from side_by_side import interleaved, tell  # noqa: E402

from potency.answers import Labels  # noqa: E402
from potency.answers.matching import overlap  # noqa: E402
from potency.answers.metrics.averages import THRESHOLDS  # noqa: E402

Pair = tuple[NDArray[np.uint16], NDArray[np.uint16]]
IMAGES, CELLS, SIDE = 100, 200, 512


def pair(seed: int, cells: int = CELLS, side: int = SIDE) -> Pair:
    """Round cells side by side, most of them touching, and the same moved, grown or shrunk, some lost, some joined."""
    rng = np.random.default_rng(seed)
    step = side / np.ceil(np.sqrt(cells))
    centres = (np.indices((round(side / step),) * 2).reshape(2, -1).T[:cells] + 0.5) * step
    images = []
    for moved, kept in ((0.0, 1.0), (0.12, 0.95)):
        made = np.zeros((side, side), np.uint16)
        places = centres + rng.normal(0, moved * step, centres.shape)
        for number, (y, x) in enumerate(places, 1):
            if rng.random() > kept:
                continue
            radius = rng.uniform(0.42, 0.55) * step
            top, left = (max(int(at - radius), 0) for at in (y, x))
            view = made[top : int(y + radius) + 2, left : int(x + radius) + 2]
            rows, columns = np.ogrid[: view.shape[0], : view.shape[1]]
            same = number - 1 if kept < 1 and rng.random() < 0.05 and number > 1 else number
            view[(rows + top - y) ** 2 + (columns + left - x) ** 2 <= radius**2] = same
        images.append(made)
    return images[0], images[1]


def ours(pairs: list[Pair]) -> list[list[int]]:
    """Hits at each threshold of each pair, by what `evaluate` calls."""
    found = (overlap(truth, said) for truth, said in pairs)
    return [[int(np.count_nonzero(one.pairs(threshold))) for threshold in THRESHOLDS] for one in found]


def plain(pairs: list[Pair]) -> list[list[int]]:
    """The same by a table of all objects against all, and an assignment at each threshold."""
    made = []
    for truth, said in pairs:
        table = np.zeros((int(truth.max()) + 1, int(said.max()) + 1), np.int64)
        np.add.at(table, (truth.ravel(), said.ravel()), 1)
        areas = table.sum(axis=1)[:, None] + table.sum(axis=0)[None]
        iou = (table / np.maximum(areas - table, 1))[1:, 1:]
        hits = []
        for threshold in THRESHOLDS:
            close = iou > threshold
            chosen = linear_sum_assignment(-(close + close * iou / (2 * min(iou.shape))))
            hits.append(int(np.count_nonzero(close[chosen])))
        made.append(hits)
    return made


def rows(quick: bool) -> list[dict[str, Any]]:
    pairs = [pair(seed) for seed in range(IMAGES)]
    assert ours(pairs[:5]) == plain(pairs[:5])
    repeats = 3 if quick else 9
    taken = interleaved({"ours": lambda: ours(pairs), "other": lambda: plain(pairs)}, repeats)
    size = {"images": IMAGES, "cells": CELLS, "height": SIDE, "width": SIDE, "thresholds": len(THRESHOLDS)}
    name = "matching at ten thresholds"
    sides = {**taken, "ratio": taken["other"] / taken["ours"]}
    made: list[dict[str, Any]] = [
        {"name": name, "source": "potency", "role": "target", **size, "seconds": taken["ours"], **sides},
        {"name": name, "source": "a table of all pairs and scipy", "role": "other", **size, "seconds": taken["other"]},
    ]
    some = pairs[:10]
    answers = [(Labels.of(truth), Labels.of(said)) for truth, said in some]
    large = pair(0, 10_000, 2048)
    more = interleaved(
        {
            "all": lambda: [said.compare(truth) for truth, said in answers],
            "large": lambda: ours([large]),
        },
        repeats,
    )
    return [
        *made,
        {"name": "evidence of all figures", "source": "potency", "role": "other", **size, "images": len(some),
         "seconds": more["all"]},
        {"name": name, "source": "potency", "role": "other", **size, "images": 1, "cells": 10_000, "height": 2048,
         "width": 2048, "seconds": more["large"]},
    ]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer repeats of the same size")
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    chosen = parser.parse_args()
    tell(rows(chosen.quick), chosen.json)


if __name__ == "__main__":
    main()
