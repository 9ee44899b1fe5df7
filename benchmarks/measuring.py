"""Every object of a large label image measured, beside scikit-image's table of the same columns in the same run."""

from __future__ import annotations

import os

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import argparse  # noqa: E402
import time  # noqa: E402
from collections.abc import Callable, Sequence  # noqa: E402
from typing import Any  # noqa: E402

import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402
from numpy.typing import NDArray  # noqa: E402
from side_by_side import interleaved, tell  # noqa: E402
from skimage.measure import regionprops_table  # noqa: E402

from potency.measurement.objects import measure_objects  # noqa: E402

SHAPE = (
    "label", "area", "bbox", "centroid", "area_bbox", "extent", "axis_major_length", "axis_minor_length",
    "eccentricity", "orientation", "equivalent_diameter_area", "perimeter", "euler_number", "area_convex", "solidity",
    "feret_diameter_max",
)  # fmt: skip
INTENSITY = ("intensity_mean", "intensity_std", "intensity_min", "intensity_max", "centroid_weighted")


def world(cells: int, side: int) -> tuple[NDArray[np.uint32], NDArray[np.uint16]]:
    """Ellipses of all sizes and directions on a shaken grid, some of which touch, and a picture of them with noise."""
    random = np.random.default_rng(0)
    across = int(np.ceil(cells**0.5))
    step = side / across
    labels = np.zeros((side, side), np.uint32)
    for number in range(cells):
        y, x = (np.array(divmod(number, across)) + 0.5) * step + random.uniform(-3, 3, 2)
        (a, b), turn = random.uniform(0.25, 0.52, 2) * step, random.uniform(0, np.pi)
        rows, columns = (slice(max(0, int(at - step)), min(side, int(at + step) + 1)) for at in (y, x))
        down, along = np.mgrid[rows, columns] - np.array([y, x])[:, None, None]
        one, other = down * np.cos(turn) + along * np.sin(turn), along * np.cos(turn) - down * np.sin(turn)
        labels[rows, columns][(one / a) ** 2 + (other / b) ** 2 < 1] = number + 1
    light = 400 + 1500 * (labels > 0) + random.normal(0, 60, labels.shape)
    return labels, light.clip(0, 65535).astype(np.uint16)


def difference(ours: pd.DataFrame, theirs: pd.DataFrame) -> float:
    """The largest difference of any figure that both tables have, relative where figures are larger than 1."""
    worst = 0.0
    for name in theirs:
        here, there = (table[name].to_numpy(np.float64) for table in (ours, theirs))
        apart = np.abs(here - there)
        if name == "orientation":  # an angle, and one of no meaning where an object is round
            apart = np.minimum(apart, np.pi - apart) * theirs["eccentricity"].to_numpy() ** 2
        worst = max(worst, float((apart / np.maximum(1, np.abs(there))).max()))
    return worst


def row(name: str, cells: int, side: int, sides: dict[str, Callable[[], pd.DataFrame]], repeats: int) -> dict[str, Any]:
    """Both sides timed in turns, or ours alone."""
    found = {"name": name, "source": "potency", "role": "other", "cells": cells, "height": side, "width": side}
    taken = interleaved(sides, repeats)
    found |= {"repeats": repeats, "seconds": taken["ours"]}
    start = time.process_time()  # what a machine that is busy with something else does not change much
    found |= {"columns": sides["ours"]().shape[1], "cpu_seconds": time.process_time() - start}
    if "other" in sides:
        found |= {"beside": "scikit-image", "other": taken["other"], "ratio": taken["other"] / taken["ours"],
                  "max_difference": difference(sides["ours"](), sides["other"]())}  # fmt: skip
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a thousand cells, and fewer repeats")
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    chosen = parser.parse_args(arguments)
    cells, side, repeats = (1000, 648, 1) if chosen.quick else (10_000, 2048, 3)
    labels, image = world(cells, side)
    signed, last = labels.astype(np.int64), np.moveaxis(image[None], 0, -1)
    shape, light = SHAPE, (*SHAPE, *INTENSITY)

    def beside(properties: Sequence[str]) -> pd.DataFrame:
        return pd.DataFrame(regionprops_table(signed, last, properties))

    both = {"ours": lambda: measure_objects(labels, image[None]), "other": lambda: beside(light)}
    found = [row("shape and intensity", cells, side, both, repeats) | {"role": "target"}]
    forms = {"ours": lambda: measure_objects(labels), "other": lambda: beside(shape)}
    found.append(row("shape", cells, side, forms, 1))
    for family in ("texture", "neighbours"):
        alone = {"ours": lambda family=family: measure_objects(labels, image[None], families=(family,))}
        found.append(row(family, cells, side, alone, 1))
    tell(found, chosen.json)


if __name__ == "__main__":
    main()
