"""Surveys: one picture of every well, with masks and a table of cells, or with the outcome of the well."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from potency.simulate import artefact
from potency.simulate.batch import Wells
from potency.simulate.field import Field, Ground, Residents, take
from potency.simulate.population import overview, settle
from potency.simulate.world import World, wells_of
from potency.simulate.write import mask, microscope, table

Floats = NDArray[np.floating[Any]]
Ints = NDArray[np.int64]
Progress = Callable[[int, int], None]
Row = dict[str, object]
OUTCOMES = ("inefficient", "efficient")
NEURON = 1  # the fate that a well is asked to give
_FILES = [
    "images/         pictures, OME-TIFF, 16 bit, with pixel size and channel names",
    "masks/          the number of each cell, 16 bit, 0 = ground",
    "evidence/       255 where the fate of a cell can be seen",
    "cells.csv       one row a cell: its number in the mask, fate, centre in pixels, area, maturity",
]


@dataclass(frozen=True)
class Visit:
    """One picture of one well: the start of its row, who was there, and what was taken."""

    well: int
    row: Row
    who: Residents
    field: Field


def visits(
    world: World, wells: Wells, efficiency: Floats | None = None, planted: Ints | None = None
) -> Iterator[Visit]:
    """Visit every well once, at one of the world's hours, and take one picture of a field.

    With `efficiency` (wells,) that share of the cells becomes neurons, and poor wells are late; `planted` (wells,)
    are the artefacts painted over the pictures.
    """
    share = np.bincount(np.arange(world.cells) % len(wells), minlength=len(wells))
    labels = wells.labels(np.arange(len(wells)))
    for well in range(len(wells)):
        rng = np.random.default_rng([world.seed, 11, well])
        taste, late = wells.taste[well].astype(float), 0.0
        if efficiency is not None:
            taste[NEURON] = 0
            taste *= (1 - efficiency[well]) / taste.sum()
            taste[NEURON], late = efficiency[well], 10.0 * (0.5 - efficiency[well])
        fate = rng.choice(world.classes, share[well], p=taste / taste.sum())
        time = float(rng.choice(np.linspace(*world.hours, 7)))
        who = settle(world, wells, well, fate, time - late, rng)
        ground = Ground.of(rng, world.field, world.pixel_size, float(wells.debris[well]))
        if planted is not None:
            shift = rng.uniform(-1, 1, (1, 2)).astype(np.float32)
            paint = artefact.paint(planted[well : well + 1], shift, world.field)
            ground = replace(ground, light=ground.light * paint.light[0])
        field = take(who, ground, overview(wells, well, rng), world.channels, world.pixel_size, rng)
        if planted is not None:
            field = replace(field, shortcut=paint.mask[0])
        start: Row = {name: values[well] for name, values in labels.items()}
        yield Visit(well, start | {"time": round(time, 2)}, who, field)


def fields(world: World, folder: Path, progress: Progress) -> list[str]:
    """Fields of view: `labels.csv` (a row a field), `cells.csv` (a row a cell), masks and evidence."""
    wells = wells_of(world)
    rows, cells = [], []
    for part in ("images", "masks", "nuclei", "evidence"):
        (folder / part).mkdir()
    for visit in visits(world, wells):
        row = _keep(folder, world, visit, visit.field.evidence)
        nuclei = str(row["mask"]).replace("masks/", "nuclei/")
        mask(folder / nuclei, visit.field.nuclei)
        counts = np.bincount(visit.who.fate[visit.who.number > 0], minlength=world.classes)
        rows.append(row | {"nuclei": nuclei, "simulated": True}
                    | {f"count.{name}": int(n) for name, n in zip(world.fates, counts, strict=False)})  # fmt: skip
        cells += _cells(world, visit, str(row["file"]))
        progress(visit.well + 1, len(wells))
    table(folder / "labels.csv", rows)
    table(folder / "cells.csv", cells)
    return ["labels.csv      one row a field: file, group (clone), donor, plate, well, time in hours, counts",
            "nuclei/         the nucleus of each cell by the cell's number", *_FILES]  # fmt: skip


def efficiencies(world: World, wells: Wells, rng: np.random.Generator | None = None) -> Floats:
    """The chance (wells,) of a cell to become a neuron; half of the wells lie above a half, clones lean a little."""
    rng = np.random.default_rng([world.seed, 3]) if rng is None else rng
    leaning = 0.5 * rng.standard_normal(world.groups)[wells.group] + rng.standard_normal(len(wells))
    leaning -= np.median(leaning)
    return np.asarray(1 / (1 + np.exp(-0.9 * leaning - 0.35 * np.sign(leaning))))


def outcomes(world: World, folder: Path, progress: Progress) -> list[str]:
    """Wells that will be efficient or not, pictured before it is obvious; the evidence is where neurons show."""
    wells = wells_of(world)
    rng = np.random.default_rng([world.seed, 3])
    efficiency = efficiencies(world, wells, rng)
    outcome = (efficiency > 0.5).astype(np.int64)
    planted = artefact.choose(rng, outcome, len(OUTCOMES), world.shortcut) if world.shortcut > 0 else None
    rows, cells = [], []
    for part in ("images", "masks", "evidence", *(["shortcut"] if world.shortcut > 0 else [])):
        (folder / part).mkdir()
    for visit in visits(world, wells, efficiency, planted):
        neurons = visit.who.number[visit.who.fate == NEURON]
        seen = visit.field.evidence & np.isin(visit.field.labels, neurons[neurons > 0])
        row = _keep(folder, world, visit, seen)
        row |= {"label": OUTCOMES[outcome[visit.well]], "efficiency": round(float(efficiency[visit.well]), 4)}
        if planted is not None and visit.field.shortcut is not None:
            where = str(row["mask"]).replace("masks/", "shortcut/")
            mask(folder / where, visit.field.shortcut.astype(np.uint8) * 255)
            row |= {"artefact": artefact.name(int(planted[visit.well])), "shortcut": where}
        rows.append(row | {"simulated": True})
        cells += _cells(world, visit, str(row["file"]))
        progress(visit.well + 1, len(wells))
    table(folder / "labels.csv", rows)
    table(folder / "cells.csv", cells)
    return [
        "labels.csv      one row a well: file, label (its outcome), efficiency (chance of a cell to become a neuron),",
        "                group (clone), donor, plate, well, time of the picture in hours",
        *_FILES,
    ]


def _keep(folder: Path, world: World, visit: Visit, evidence: NDArray[np.bool_]) -> Row:
    """Write picture, mask and evidence of a visit; returns the start of its row."""
    row = visit.row
    stem = f"{row['plate']}_{row['well']}_{row['group']}_t{visit.row['time']:03.0f}h"
    microscope(folder / f"images/{stem}.ome.tif", visit.field.pictures, world.pixel_size, world.seed)
    mask(folder / f"masks/{stem}.tif", visit.field.labels)
    mask(folder / f"evidence/{stem}.tif", evidence.astype(np.uint8) * 255)
    return {"file": f"images/{stem}.ome.tif", **row, "cells": int((visit.who.number > 0).sum()),
            "mask": f"masks/{stem}.tif", "evidence": f"evidence/{stem}.tif"}  # fmt: skip


def _cells(world: World, visit: Visit, file: str) -> list[Row]:
    """One row a living cell of a visit."""
    who = visit.who
    area = np.bincount(visit.field.labels.ravel(), minlength=int(who.number.max(initial=0)) + 1)
    return [
        {"file": file, "number": int(number), "label": world.fates[who.fate[cell]], **visit.row,
         "y": round(float(who.y[cell]), 2), "x": round(float(who.x[cell]), 2), "area": int(area[number]),
         "maturity": round(float(who.maturity[cell]), 4), "simulated": True}
        for cell, number in enumerate(who.number) if number
    ]  # fmt: skip
