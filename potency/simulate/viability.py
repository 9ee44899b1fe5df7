"""Living and dead cells: fields of view without a label, a stain of the dead beside them, with and without a drug."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from potency.simulate.batch import Wells
from potency.simulate.cells import TRAITS, Genes, rounded, traits
from potency.simulate.field import Ground, Residents, scatter, take
from potency.simulate.population import overview
from potency.simulate.world import World, wells_of
from potency.simulate.write import mask, microscope, table

Progress = Callable[[int, int], None]
STAIN = "nucleus"  # what is drawn: a stain of nuclei, which only dead cells let in
TREATED = {"none": (0.02, 0.30), "drug": (0.35, 0.90)}  # the share of dead cells of a well lies between these
LEAK = 0.03  # of the stain that living cells take up


def viability(world: World, folder: Path, progress: Progress) -> list[str]:
    """Fields with `treatment`, the share of the `dead`, and the stain of the dead in a folder of its own."""
    wells = wells_of(world)
    cells = np.bincount(np.arange(world.cells) % len(wells), minlength=len(wells))
    labels = wells.labels(np.arange(len(wells)))
    for part in ("images", "stain", "masks", "evidence"):
        (folder / part).mkdir()
    rows, each = [], []
    for well in range(len(wells)):
        rng = np.random.default_rng([world.seed, 29, well])
        treatment = list(TREATED)[well % len(TREATED)]
        dead = rng.random(cells[well]) < rng.uniform(*TREATED[treatment])
        who = residents(world, wells, well, dead, rng)
        ground = Ground.of(rng, world.field, world.pixel_size, float(wells.debris[well]))
        field = take(who, ground, overview(wells, well, rng), (*world.channels, STAIN), world.pixel_size, rng)
        place = {name: values[well] for name, values in labels.items()}
        stem = f"{place['plate']}_{place['well']}_{place['group']}_{treatment}"
        pictures = dict(field.pictures)
        microscope(folder / f"stain/{stem}.ome.tif", {"stain": pictures.pop(STAIN)}, world.pixel_size, world.seed)
        microscope(folder / f"images/{stem}.ome.tif", pictures, world.pixel_size, world.seed)
        mask(folder / f"masks/{stem}.tif", field.labels)
        gone = np.isin(field.labels, who.number[dead])
        mask(folder / f"evidence/{stem}.tif", gone.astype(np.uint8) * 255)
        rows.append({"file": f"images/{stem}.ome.tif", **place, "treatment": treatment, "cells": len(dead),
                     "dead": int(dead.sum()), "stain": f"stain/{stem}.ome.tif", "mask": f"masks/{stem}.tif",
                     "evidence": f"evidence/{stem}.tif", "simulated": True})  # fmt: skip
        each += [{"file": rows[-1]["file"], "number": number + 1, "dead": bool(dead[number]), "simulated": True,
                  "y": round(float(who.y[number]), 2), "x": round(float(who.x[number]), 2)}
                 for number in range(len(dead))]  # fmt: skip
        progress(well + 1, len(wells))
    table(folder / "labels.csv", rows)
    if each:
        table(folder / "cells.csv", each)
    return [
        "labels.csv      one row a field: file, group (clone), donor, plate, well, treatment, cells, how many are dead",
        "cells.csv       one row a cell: its number in the mask, whether it is dead, centre in pixels",
        "images/         pictures without a label, OME-TIFF, 16 bit",
        "stain/          the same fields in fluorescence: a stain that only dead cells let in, as propidium iodide",
        "masks/          the number of each cell, 16 bit, 0 = ground",
        "evidence/       255 where a dead cell is",
    ]


def residents(
    world: World, wells: Wells, well: int, dead: NDArray[np.bool_], rng: np.random.Generator
) -> Residents:
    """Cells of one well, numbered from 1; the `dead` (N,) are rounded up, smaller, and take up the stain."""
    cells = len(dead)
    genes, young = Genes.of(rng, cells), np.zeros(cells, np.float32)
    fate = np.zeros(cells, np.int64)
    shape = traits(genes, fate, young, np.repeat(wells.habit[well][None, : len(TRAITS)], cells, axis=0))
    shape = rounded(shape, np.where(dead, rng.uniform(0.6, 1.0, cells), rng.uniform(0.0, 0.15, cells)))
    shape["radius"] = shape["radius"] * np.where(dead, 0.8, 1.0).astype(np.float32)
    level: NDArray[Any] = np.full((cells, 4), LEAK, np.float32)
    level[:, 0] = np.where(dead, 1.0, LEAK) * np.exp(0.35 * rng.standard_normal(cells))
    y, x = scatter(rng, cells, world.field, 16 / world.pixel_size)
    return Residents(genes, shape, fate, young, level, y, x, np.arange(1, cells + 1))
