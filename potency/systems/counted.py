"""Sets of images that are counted: as numbers and as places, divided as was published, real ones and drawn ones."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from potency.errors import ManifestError
from potency.systems.arms import Problem
from potency.systems.lineage_panel import quarters
from potency.systems.recipe import Order
from potency.systems.sources import SEED, Relative, real, simulated

if TYPE_CHECKING:
    from potency.data.manifest import Manifest

DRAWS = {"quick": 1, "default": 3, "full": 5}  # of images to learn from, of the set whose protocol asks for several
DRAWN, OF = 50, 100  # images drawn to learn from, of the first so many; the rest is tested
CLONES = 20  # of simulated fields: a fifth of them must nearly give an interval


def boxes(folder: Path) -> Manifest:
    """Images with their boxes in one table, as BCCD has them."""
    from potency.data.manifest import Manifest

    return Manifest.read(folder / "boxes.csv")


CELLS = Relative(
    "count/vgg_cells",
    "Fluorescent cells drawn by a program, not by us (Lempitsky and Zisserman 2010): 256 px, 74 to 317 an image. 50 of "
    "the first 100 images are drawn to learn from, the last 100 tested, as published; of several draws each image "
    "counts once a draw, and intervals are over images.",
)
BLOOD = Relative(
    "count/bccd",
    "Stained blood smears (BCCD), all boxes of red cells, white cells and platelets counted; the set's own split. It "
    "names no slides, so each image is its own group, and its boxes are incomplete where cells crowd.",
    rows=boxes,
)
SHAPES: Mapping[str, Mapping[str, Mapping[str, Any]]] = {  # of each set, what its images ask of a plan, by kind
    "cells": {"number": {"tile": 192}},
    "blood": {"number": {"tile": [192, 256]}, "density": {"network": "unet:depth=4:shrink=4", "tile": [224, 320]},
              "objects": {"network": "unet:depth=4:shrink=4", "tile": [224, 320]}},
}  # fmt: skip


@dataclass(frozen=True)
class Counted:
    """Images with as many objects as they hold: their rows by kind of truth, and how often they are divided anew."""

    problem: Problem
    views: Mapping[str, Manifest]
    draws: Sequence[Manifest]  # rows with `split`, one a draw
    shapes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


def sets(order: Order) -> Iterator[Counted]:
    """The user's own images, or those at hand: real ones first, then drawn ones."""
    cells = real(order, CELLS)
    if cells is not None and cells.own:
        rows = cells.manifest
        yield Counted(Problem("real", "Your images", cells.about, rows, False), views(rows), [divided(rows, order)])
        return
    blood = real(order, BLOOD)
    if blood is not None:
        problem = Problem("real-blood", "Real images: blood smears", blood.about, blood.manifest, False)
        yield Counted(problem, views(blood.manifest), [blood.manifest], SHAPES["blood"])
    if cells is not None:
        title = "Simulated images: fluorescent cells (Lempitsky 2010)"
        draws = [drawn(cells.manifest, draw) for draw in range(DRAWS[order.budget.name])]
        problem = Problem("simulated-cells", title, cells.about, cells.manifest, True)
        yield Counted(problem, views(cells.manifest), draws, SHAPES["cells"])
    else:
        rows = fields(order, "phase", "fields to count in")
        about = "Quarters of simulated fields in phase contrast; groups are clones. Their difficulty is ours."
        problem = Problem("simulated-fields", "Simulated images: cells in phase contrast", about, rows, True)
        yield Counted(problem, views(rows), [divided(rows, order)])


def fields(order: Order, look: str, what: str) -> Manifest:
    """Quarters of simulated fields with the points of their cells."""
    place = order.into / f"simulated-{look}"
    whole = simulated(place, order, what, kind="fields", look=look, cells=order.budget.cells, groups=CLONES, wells=2,
                      field=256)  # fmt: skip
    return quarters(whole, order.into / f"quarters-{look}")


def views(rows: Manifest) -> dict[str, Manifest]:
    """The same rows with their truth as each kind that it can be: of a plain number the number alone.

    Raises:
        ManifestError: a count is no number.
    """
    import pandas as pd

    from potency.learning.truths import truths
    from potency.tasks import find_task

    if rows.kinds.get("truth") in ("number", "category"):  # few whole numbers are taken for names of classes
        values = pd.to_numeric(rows.table["truth"], errors="coerce")
        if values.isna().any():
            raise ManifestError("a count is no number", f"{rows.folder}, column 'truth'",
                                "give a number, points or boxes for every image")  # fmt: skip
        return {"number": rows.add({"truth": values.astype(float)}, "number")}
    counts = [float(one.count) for one in truths(rows, find_task("count"))]  # type: ignore[attr-defined]
    placed = {kind: replace(rows, kinds={**rows.kinds, "truth": kind}) for kind in ("density", "objects")}
    return {"number": rows.add({"truth": counts}, "number"), **placed}


def drawn(rows: Manifest, draw: int, most: int = DRAWN) -> Manifest:
    """The published division: of the first 100 images some drawn to learn from, all of the others tested.

    The number of an image is the last one in its name. Those of the first 100 that are not drawn are left out.
    """
    number = rows.table["image"].str.extract(r"(\d+)\.\w+$")[0].astype(int).to_numpy()
    first = np.sort(number[number <= OF])
    known = np.random.default_rng(draw).choice(first, min(most, len(first)), replace=False)
    split = np.where(np.isin(number, known), "train", "test")
    return rows.add({"split": split}).where(((number > OF) | np.isin(number, known)).tolist())


def divided(rows: Manifest, order: Order) -> Manifest:
    """The rows with `split`: as they came, else one fold of whole groups is the test."""
    if "split" in rows.table and {"train", "test"} <= set(rows.table["split"]):
        return rows
    return rows.split(folds=order.budget.folds, seed=SEED).fold(0, 0.1, SEED)
