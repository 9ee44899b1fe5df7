"""Stained proteins: single cells in fluorescence whose protein stands in one compartment, in several, or in none."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from potency.simulate import crops, optics, scene
from potency.simulate.batch import FIELD, Wells
from potency.simulate.cells import Bodies, Genes, draw, traits
from potency.simulate.trace import spots
from potency.simulate.world import World, wells_of
from potency.simulate.write import mask, microscope, table

Floats = NDArray[np.floating[Any]]
Progress = Callable[[int, int], None]
COMPARTMENTS = ("cytoplasm", "membrane", "nucleoli", "nucleus")
SHARES = {"cytoplasm": 0.45, "membrane": 0.30, "nucleoli": 0.25, "nucleus": 0.40}  # of cells, of a clone without habits
LEANING = 0.5  # standard deviation from clone to clone of the logarithm of the odds of a share
UNSTAINED = 0.08  # share of cells that do not make the protein
FAINTEST = 0.25  # of the usual brightness: what is called there is no fainter than this
LEAK = 0.05  # of the usual brightness, in every cell: the stain binds a little everywhere
RIM = 0.7  # micrometres: how thick a membrane looks
ABOVE = 0.12  # of the membrane's rim: its parts above and below the cell, seen face on
BETWEEN = " | "


def proteins(world: World, folder: Path, progress: Progress) -> list[str]:
    """Crops of two channels, DNA and protein, with the compartments that the protein stands in as `label`."""
    wells = wells_of(world)
    rng = np.random.default_rng([world.seed, 37])
    well = np.sort(np.arange(world.cells) % world.groups) * world.wells + rng.integers(0, world.wells, world.cells)
    well.sort()
    there = expressed(rng, wells, well)
    columns = wells.labels(well)
    for part in ("images", "masks"):
        (folder / part).mkdir()
    rows = []
    for first in range(0, world.cells, crops.CHUNK):
        chunk = slice(first, min(first + crops.CHUNK, world.cells))
        pictures, outlines = render(world, wells, well[chunk], there[chunk], first)
        for place, number in enumerate(range(chunk.start, chunk.stop)):
            own = {name: values[number] for name, values in columns.items()}
            name = f"{own['plate']}_{own['well']}_{own['group']}_{number:05d}"
            channels = {channel: stack[place] for channel, stack in pictures.items()}
            microscope(folder / f"images/{name}.ome.tif", channels, world.pixel_size, world.seed)
            mask(folder / f"masks/{name}.tif", outlines[place].astype(np.uint16))
            label = BETWEEN.join(np.array(COMPARTMENTS)[there[number]]) or "none"
            rows.append({"file": f"images/{name}.ome.tif", "label": label, **own, "mask": f"masks/{name}.tif",
                         "simulated": True})  # fmt: skip
        progress(chunk.stop, world.cells)
    table(folder / "labels.csv", rows)
    return [
        "labels.csv      one row a cell: file, label (where its protein is: names with | between them, or none), group",
        "                (clone), donor, plate, well",
        "images/         two channels, DNA and protein, OME-TIFF, 16 bit",
        "masks/          1 where the cell is",
    ]


def expressed(rng: np.random.Generator, wells: Wells, well: NDArray[np.int64]) -> NDArray[np.bool_]:
    """In which compartments (N, K) the protein of each cell stands; clones lean towards some of them."""
    odds = np.log([SHARES[name] / (1 - SHARES[name]) for name in COMPARTMENTS])
    clones = odds + LEANING * rng.standard_normal((int(wells.group.max()) + 1, len(COMPARTMENTS)))
    share = 1 / (1 + np.exp(-clones[wells.group[well]]))
    there = rng.random(share.shape) < share
    bare = np.flatnonzero(~there.any(axis=1))
    there[bare, (rng.random((len(bare), 1)) * share[bare].sum(1, keepdims=True) > share[bare].cumsum(1)).sum(1)] = True
    there[rng.random(len(well)) < UNSTAINED] = False
    return np.asarray(there)


def compartments(bodies: Bodies, genes: Genes, shape: Mapping[str, Floats], pixel: float) -> dict[str, Floats]:
    """Where a protein of each compartment stands in drawn cells, by name, each (N, side, side) about 0..1."""
    side = bodies.mask.shape[1]
    nucleoli = spots(genes.spot, genes.turn, dict(shape), side, pixel)[0] * bodies.nucleus
    # Cells lie infinitely far apart along the first axis, so that each is measured by itself.
    depth = distance_transform_edt(np.pad(bodies.mask, ((0, 0), (1, 1), (1, 1))), sampling=(1e6, pixel, pixel))
    depth = np.asarray(depth, np.float32)[:, 1:-1, 1:-1]
    rim = np.exp(-0.5 * ((depth - RIM) / (0.6 * RIM)) ** 2) + ABOVE
    return {
        "cytoplasm": bodies.cytoplasm * (1 - 0.6 * bodies.nucleus),  # widefield: some lies above the nucleus
        "membrane": np.where(bodies.mask, rim, 0).astype(np.float32),
        "nucleoli": np.minimum(nucleoli, 1.5),
        "nucleus": bodies.nucleus,
    }


def render(
    world: World, wells: Wells, well: NDArray[np.int64], there: NDArray[np.bool_], first: int
) -> tuple[dict[str, NDArray[np.uint16]], NDArray[np.bool_]]:
    """Pictures by channel (N, size, size) and masks of a chunk of cells, from a seed of its own."""
    rng = np.random.default_rng([world.seed, 41, first])
    count, side, margin = len(well), world.size + 2 * crops.MARGIN, crops.MARGIN
    genes, young, fate = Genes.of(rng, count), np.zeros(count, np.float32), np.zeros(count, np.int64)
    shape = traits(genes, fate, young, wells.habit[well])
    shape = {**shape, "processes": 0 * shape["processes"]}  # processes would be all rim and no inside
    bodies = draw(genes, shape, fate, young, side, world.pixel_size)
    places = compartments(bodies, genes, shape, world.pixel_size)
    level = np.maximum(np.exp(0.5 * rng.standard_normal(there.shape)), FAINTEST) * there
    protein = LEAK * (bodies.cytoplasm + bodies.nucleus)
    for k, name in enumerate(COMPARTMENTS):
        protein = protein + level[:, k, None, None].astype(np.float32) * places[name]
    stained = {"path": bodies.phase, "DNA": bodies.nucleus, "protein": np.asarray(protein, np.float32)}
    scene.intrude(rng, stained, world.density, world.size * 0.62)
    y, x = (rng.uniform(world.size, FIELD - world.size, count).astype(np.float32) for _ in range(2))
    setting = wells.photograph(rng, well, y, x, side)
    lit = optics.illumination(setting, (side, side))
    inner = slice(margin, margin + world.size)
    taken = {}
    for k, channel in enumerate(("DNA", "protein")):
        light = 0.30 * setting.stain[:, k, None, None] * optics.fluorescence(stained[channel], setting,
                                                                             world.pixel_size)  # fmt: skip
        taken[channel] = optics.expose(np.asarray(lit * (light + 0.035))[:, inner, inner], setting, rng)
    return taken, bodies.mask[:, inner, inner]
