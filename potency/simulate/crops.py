"""Single-cell crops: one cell in the middle of each picture, with its class, its group, its mask and its evidence."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from potency.simulate import artefact, scene
from potency.simulate.batch import FIELD, Wells
from potency.simulate.cells import Genes, draw, traits
from potency.simulate.optics import expose
from potency.simulate.world import World

Floats = NDArray[np.floating[Any]]
Ints = NDArray[np.int64]
CHUNK = 64  # cells drawn at once: their arrays stay in the cache
MARGIN = 8  # pixels drawn around a crop and cut away, so that no halo wraps around


@dataclass(frozen=True)
class Cast:
    """Who is pictured: `N` cells with their well, fate, time and maturity."""

    well: Ints
    fate: Ints
    time: Floats  # hours since the start of differentiation
    maturity: Floats  # 0..1
    y: Floats  # pixels in the field
    x: Floats
    column: dict[str, list[object]]  # what the table says of their group
    genes: Genes | None = None  # of cells that are pictured more than once
    planted: Ints | None = None  # the artefact of each, where not every picture chooses its own


@dataclass(frozen=True)
class Crops:
    """A chunk of crops: pictures by channel (N, side, side) uint16, and their truth."""

    rows: slice
    pictures: dict[str, NDArray[np.uint16]]
    mask: NDArray[np.bool_]
    evidence: NDArray[np.bool_]
    shortcut: NDArray[np.bool_] | None
    planted: Ints | None


def ripen(rng: np.random.Generator, time: Floats, delay: Floats) -> Floats:
    """Maturity 0..1 at `time` hours: each cell turns at its own hour, late in clones with a `delay`."""
    turn = 44.0 + delay + 15.0 * rng.standard_normal(len(time))
    pace = 6.0 * np.exp(0.25 * rng.standard_normal(len(time)))
    return np.asarray(1 / (1 + np.exp(-(time - turn) / pace)), np.float32)


def cast(world: World, wells: Wells, rng: np.random.Generator) -> Cast:
    """Choose the cells: groups of equal size, fates by each clone's taste, a time for each well's visit."""
    group = np.sort(np.arange(world.cells) % world.groups)
    well = group * world.wells + rng.integers(0, world.wells, world.cells)
    well.sort()
    fate = np.empty(world.cells, np.int64)
    for number in range(world.groups):
        here = np.nonzero(group == number)[0]
        share = wells.taste[number * world.wells]
        # Largest remainders give every clone its mixture exactly; drawing would leave small groups without a class.
        edges = np.rint(np.cumsum(share) * len(here)).astype(int)
        fate[here] = rng.permutation(np.searchsorted(edges, np.arange(len(here)), side="right"))
    fate = np.minimum(fate, world.classes - 1)
    visits = np.linspace(world.hours[0], world.hours[1], 7)
    time = rng.choice(visits, world.cells).astype(np.float32)
    y, x = (rng.uniform(world.size, FIELD - world.size, world.cells).astype(np.float32) for _ in range(2))
    return Cast(well, fate, time, ripen(rng, time, wells.delay[well]), y, x, wells.labels(well))


def render(world: World, wells: Wells, who: Cast) -> Iterator[Crops]:
    """Yield the crops of all cells, CHUNK at a time, each chunk from a seed of its own."""
    side = world.size + 2 * MARGIN
    for first in range(0, len(who.fate), CHUNK):
        rows = slice(first, min(first + CHUNK, len(who.fate)))
        rng = np.random.default_rng([world.seed, 7, first])
        well, fate, ripe = who.well[rows], who.fate[rows], who.maturity[rows]
        genes = Genes.of(rng, len(fate)) if who.genes is None else who.genes.take(rows)
        bodies = draw(genes, traits(genes, fate, ripe, wells.habit[well]), fate, ripe, side, world.pixel_size)
        view = scene.layers(bodies, scene.express(rng, fate, ripe), world.channels)
        scene.intrude(rng, view, world.density, world.size * 0.62)
        area = (side / 64) ** 2
        view["path"] += scene.specks(rng, wells.debris[well] * area, side, world.pixel_size)
        setting = wells.photograph(rng, well, who.y[rows], who.x[rows], side)
        shift = rng.integers(-3, 4, (len(fate), 2)) + MARGIN
        planted = painted = None
        if world.shortcut > 0:
            own = who.planted
            planted = artefact.choose(rng, fate, world.classes, world.shortcut) if own is None else own[rows]
            painted = artefact.paint(planted, rng.uniform(-1, 1, (len(fate), 2)).astype(np.float32), world.size)
        taken = {}
        for channel in world.channels:
            light = _cut(scene.picture(view, channel, setting, world.pixel_size, genes.place), shift, world.size)
            if painted is not None and channel not in scene.STAINS:
                light = light * painted.light
            taken[channel] = expose(light, setting, rng)
        mask, seen = _cut(bodies.mask, shift, world.size), _cut(bodies.evidence, shift, world.size)
        yield Crops(rows, taken, mask, seen, None if painted is None else painted.mask, planted)


def _cut(stack: NDArray[Any], shift: Ints, size: int) -> NDArray[Any]:
    """Windows of `size` pixels at `shift` (N, 2) of a stack (N, H, W)."""
    return np.stack([one[top : top + size, left : left + size] for one, (top, left) in zip(stack, shift, strict=True)])
