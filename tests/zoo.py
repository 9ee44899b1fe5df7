"""The zoo: a tiny simulated world with known truth that every test can build in its own folder in a second."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import tifffile
from numpy.typing import NDArray

from potency.data.manifest import Manifest
from potency.simulate import World, crops, simulate
from potency.simulate.survey import Visit, visits
from potency.simulate.world import wells_of

# Late pictures of cells that are large in their crops: two classes that a tiny network can tell apart in seconds.
EASY: dict[str, Any] = {
    "classes": 2, "size": 32, "pixel_size": 1.3, "hours": (110.0, 140.0), "density": 0.0, "look": "phase", "batch": 0.5,
}  # fmt: skip


def cells(into: Path, **changes: Any) -> Manifest:
    """48 single-cell crops of 32 pixels in 6 groups, classes stem and neuron: truth is a category.

    Any setting of `potency.simulate.World` may be changed, for example `classes=4`, `look="all"`, `shortcut=0.9`.
    """
    return simulate(into, kind="crops", **{**EASY, "cells": 48, "groups": 6, "wells": 2, **changes})


def ages(into: Path, **changes: Any) -> Manifest:
    """Crops as `cells` makes them, with a number as truth: how mature the cell is, 0..1."""
    made = cells(into, **{"hours": (20.0, 100.0), **changes})
    return Manifest.read(made.folder, truth="maturity")


def fields(into: Path, **changes: Any) -> Manifest:
    """4 fields of 128 pixels in 2 groups with masks, evidence and `cells.csv`; 32 cells in all."""
    small = {"cells": 32, "groups": 2, "wells": 2, "field": 128, "look": "phase", "hours": (110.0, 140.0)}
    return simulate(into, kind="fields", **{**small, **changes})


def discs(into: Path) -> Manifest:
    """4 images of 128 pixels with 16 bright discs each, 11 to 25 px across, and their masks: a few steps learn them."""
    rng, rows = np.random.default_rng(0), []
    into.mkdir(parents=True, exist_ok=True)
    for name in map(str, range(4)):
        known = np.zeros((128, 128), np.uint8)
        for number, (v, u) in enumerate(np.ndindex(4, 4), 1):
            y, x = np.rint(rng.uniform(12, 20, 2)).astype(int) + 32 * np.array([v, u])
            cv2.circle(known, (int(x), int(y)), int(rng.integers(5, 13)), number, -1)
        pixels = (rng.normal(40, 8, known.shape) + 100 * (known > 0)).clip(0, 255).astype(np.uint8)
        tifffile.imwrite(into / f"{name}.tif", pixels)
        tifffile.imwrite(into / f"{name}.cells.tif", known)
        rows.append({"image": f"{name}.tif", "truth": f"{name}.cells.tif", "group": name})
    return Manifest.of_rows(pd.DataFrame(rows), into, kinds={"truth": "labels"})


def movie(into: Path, **changes: Any) -> Manifest:
    """6 frames of 128 pixels, an hour or two apart, with `01_GT/TRA/man_track.txt` and `lineage.csv`; 5 founders."""
    small = {"cells": 5, "groups": 1, "wells": 1, "field": 128, "frames": 6, "hours": (36.0, 46.0)}
    return simulate(into, kind="movie", **{**small, **changes})


def wells(into: Path, **changes: Any) -> Manifest:
    """12 wells in 3 groups, efficient or not (a category), with `efficiency` as a number; 6 cells a well."""
    small = {"cells": 72, "groups": 3, "wells": 4, "field": 96, "look": "phase", "hours": (80.0, 100.0)}
    return simulate(into, kind="wells", **{**small, **changes})


def course(into: Path, **changes: Any) -> Manifest:
    """6 wells in 3 groups, each seen at 4 hours: two before the onset, one after the wash; efficient or not."""
    small = {"cells": 36, "groups": 3, "wells": 2, "field": 96, "frames": 4, "hours": (6.0, 66.0), "wash": 50.0}
    return simulate(into, kind="course", **{**small, **changes})


def induction(into: Path, **changes: Any) -> Manifest:
    """6 wells in 3 groups, each seen at 4 times within three hours of induction; induced or control."""
    small = {"cells": 36, "groups": 3, "wells": 2, "field": 96, "frames": 4}
    return simulate(into, kind="induction", **{**small, **changes})


def tracks(into: Path, **changes: Any) -> Manifest:
    """8 cells in 4 groups, followed over 6 frames of 32 pixels; two lineages, `tracks.csv` with onset and marker."""
    small = {"cells": 8, "groups": 4, "wells": 1, "frames": 6, "size": 32, "pixel_size": 1.3}
    return simulate(into, kind="tracks", **{**small, **changes})


def viability(into: Path, **changes: Any) -> Manifest:
    """8 fields of 96 pixels in 4 groups, half with a drug, 5 cells a field, and the stain of the dead."""
    small = {"cells": 40, "groups": 4, "wells": 2, "field": 96}
    return simulate(into, kind="viability", **{**small, **changes})


def rods(into: Path, **changes: Any) -> Manifest:
    """Two films of bacteria, 4 frames of 96 pixels within 24 minutes, with tracks and growth rates; 2 founders each."""
    small = {"cells": 4, "groups": 2, "field": 96, "frames": 4, "hours": (0.0, 0.4)}
    return simulate(into, kind="rods", **{**small, **changes})


def proteins(into: Path, **changes: Any) -> Manifest:
    """36 cells of 32 pixels in 6 groups whose protein stands in several compartments: truth is a set of classes."""
    small = {"cells": 36, "groups": 6, "wells": 2, "size": 32, "pixel_size": 1.0, "density": 0.0, "batch": 0.5}
    return simulate(into, kind="proteins", **{**small, **changes})


def colonies(into: Path, **changes: Any) -> Manifest:
    """4 pictures of 64 pixels in 2 groups, a colony of 20 cells in each, good or bad, with masks and maps of states."""
    small = {"cells": 80, "groups": 2, "wells": 2, "field": 64}
    return simulate(into, kind="colonies", **{**small, **changes})


def states(into: Path, **changes: Any) -> Manifest:
    """2 wells of 96 pixels in 2 groups, each seen at 2 hours: one colony of 40 cells, with maps of states."""
    small = {"cells": 80, "groups": 2, "wells": 1, "field": 96, "frames": 2}
    return simulate(into, kind="states", **{**small, **changes})


def arrays(count: int = 32, **changes: Any) -> tuple[NDArray[np.uint16], NDArray[np.int64], NDArray[np.bool_]]:
    """Crops in memory, nothing written: pictures (N, C, H, W), class numbers (N,), masks (N, H, W)."""
    world = World.of({**EASY, "cells": count, "groups": 2, "wells": 1, **changes})
    plates = wells_of(world)
    who = crops.cast(world, plates, np.random.default_rng([world.seed, 2]))
    chunks = list(crops.render(world, plates, who))
    pictures = [np.stack([chunk.pictures[channel] for channel in world.channels], axis=1) for chunk in chunks]
    return np.concatenate(pictures), who.fate, np.concatenate([chunk.mask for chunk in chunks])


def field(**changes: Any) -> Visit:
    """One field in memory: `.field.pictures`, `.field.labels`, `.field.evidence` and the cells in `.who`."""
    small = {"cells": 8, "groups": 1, "wells": 1, "field": 128, "look": "phase"}
    world = World.of({**small, **changes})
    return next(visits(world, wells_of(world)))
