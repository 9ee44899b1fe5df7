"""Fields of view: many cells on one ground, with debris, dead cells and ghosts, and a mask that knows each cell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from potency.simulate import scene
from potency.simulate.cells import Bodies, Genes, draw, reach, rounded
from potency.simulate.optics import Setting, expose
from potency.simulate.texture import window

Floats = NDArray[np.floating[Any]]
Ints = NDArray[np.int64]
Labels = NDArray[np.uint16]
Masks = NDArray[np.bool_]
Slices = tuple[slice, slice]
NUCLEUS = 0.5  # of its height, from where a pixel is nucleus
_SIDES = (64, 96, 128, 160)


@dataclass(frozen=True)
class Residents:
    """The cells of one picture; first axis of every array. `number` is their label in the mask, 0 = not in it."""

    genes: Genes
    shape: dict[str, Floats]
    fate: Ints
    maturity: Floats
    level: Floats  # (N, 4) brightness of each stain
    y: Floats  # pixels
    x: Floats
    number: Ints


@dataclass(frozen=True)
class Ground:
    """What stays in place from picture to picture: specks, uneven medium, rings of dust on the optics."""

    path: Floats  # (H, W) optical path in radians
    light: Floats  # (H, W) factor

    @classmethod
    def of(cls, rng: np.random.Generator, side: int, pixel: float, debris: float) -> Ground:
        """Draw the ground of a (side, side) field; `debris` is the number of specks in 64 x 64 pixels."""
        area = (side / 64) ** 2
        path = scene.specks(rng, np.array([debris * area]), side, pixel)[0]
        light = 1 + 0.008 * window("haze", rng.integers(0, 1 << 16, (1, 2)), side)[0]
        light += 0.008 * window("sand", rng.integers(0, 1 << 16, (1, 2)), side)[0]
        for _ in range(rng.poisson(0.02 * area * debris / 0.25)):
            _ghost(rng, light, pixel)
        return cls(path, light)


@dataclass(frozen=True)
class Field:
    """One picture in all channels, (H, W) uint16 each; labels of cells and of their nuclei; evidence of all cells."""

    pictures: dict[str, Labels]
    labels: Labels  # (H, W) uint16
    nuclei: Labels  # (H, W) uint16, the numbers of the cells
    evidence: Masks  # (H, W)
    shortcut: Masks | None = None


def _ghost(rng: np.random.Generator, light: Floats, pixel: float) -> None:
    """A speck far out of focus: faint rings, added to `light` in place."""
    radius = rng.uniform(7, 26) / pixel
    span = int(radius * 1.4) + 2
    y, x = rng.integers(0, light.shape[0], 2)
    rows, columns = (np.arange(max(0, c - span), min(light.shape[0], c + span + 1)) for c in (y, x))
    far = np.hypot(rows[:, None] - y, columns[None, :] - x) / radius
    rings = np.exp(-(((far - 1) / 0.10) ** 2)) - 0.8 * np.exp(-(((far - 0.84) / 0.10) ** 2)) + 0.25 * (far < 0.7)
    faint = rng.uniform(0.01, 0.05) * rng.choice([-1, 1])
    light[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] += faint * rings


class Claims:
    """Which cell's a pixel of a (side, side) field is: the thickest one's, and which nucleus': the plainest one's."""

    def __init__(self, side: int) -> None:
        """Nobody has anything yet."""
        self.labels, self.nuclei = (np.zeros((side, side), np.uint16) for _ in range(2))
        self.evidence = np.zeros((side, side), np.bool_)
        self._thickest, self._plainest = (np.zeros((side, side), np.float32) for _ in range(2))

    def add(self, bodies: Bodies, place: int, at: Slices, of: Slices, number: int) -> None:
        """Give the cell at `place` of its batch, whose patch `of` lands `at`, the pixels where it is the thickest."""
        phase, thickest = bodies.phase[place][of], self._thickest[at]
        wins = bodies.mask[place][of] & (phase > thickest)
        thickest[wins], self.labels[at][wins] = phase[wins], number
        self.evidence[at][wins] = bodies.evidence[place][of][wins]
        nucleus, plainest = bodies.nucleus[place][of], self._plainest[at]
        wins = (nucleus > NUCLEUS) & (nucleus > plainest)
        plainest[wins], self.nuclei[at][wins] = nucleus[wins], number


def compose(who: Residents, side: int, channels: Sequence[str], pixel: float) -> tuple[scene.Layers, Claims]:
    """Lay all cells into a (side, side) field: layers (1, H, W) for `picture`, and what belongs to which cell.

    Where cells overlap their optical paths add up and the mask belongs to the thicker one; every cell keeps its centre.
    """
    stains = [channel for channel in channels if channel in scene.STAINS]
    view: scene.Layers = {name: np.zeros((1, side, side), np.float32) for name in ("path", *stains)}
    claims = Claims(side)
    limit = _SIDES[-1] / 2 * pixel - 3
    shape = who.shape | {"length": np.minimum(who.shape["length"], limit / np.maximum(who.shape["axon"], 1.35))}
    need = np.ceil(2 * reach(shape) / pixel)
    size = np.array([min([s for s in _SIDES if s >= n], default=_SIDES[-1]) for n in need])
    for patch in _SIDES:
        rows = np.nonzero(size == patch)[0]
        for first in range(0, len(rows), 32):
            part = rows[first : first + 32]
            own = {name: value[part] for name, value in shape.items()}
            bodies = draw(who.genes.take(part), own, who.fate[part], who.maturity[part], patch, pixel)
            made = scene.layers(bodies, who.level[part], channels)
            for place, cell in enumerate(part):
                at, of = _land(who.y[cell], who.x[cell], patch, side)
                for name, layer in made.items():
                    view[name][0][at] += layer[place][of]
                if who.number[cell]:
                    claims.add(bodies, place, at, of, int(who.number[cell]))
    for y, x, number in zip(who.y, who.x, who.number, strict=True):
        if number:
            row, column = round(float(y)), round(float(x))
            claims.labels[max(0, row - 1) : row + 2, max(0, column - 1) : column + 2] = number
    return view, claims


def _land(y: float, x: float, patch: int, side: int) -> tuple[Slices, Slices]:
    """Where a patch centred at (y, x) falls in the field, and which part of it does."""
    at, of = [], []
    for centre in (y, x):
        first = round(float(centre)) - patch // 2
        low, high = max(0, first), max(0, min(side, first + patch))
        at.append(slice(low, high))
        of.append(slice(low - first, max(low, high) - first))
    return (at[0], at[1]), (of[0], of[1])


def take(
    who: Residents, ground: Ground, setting: Setting, channels: Sequence[str], pixel: float, rng: np.random.Generator
) -> Field:
    """Take one picture of a field in all `channels`."""
    view, claims = compose(who, ground.path.shape[0], channels, pixel)
    pictures = photograph(view, ground, setting, channels, pixel, rng)
    return Field(pictures, claims.labels, claims.nuclei, claims.evidence)


def photograph(
    view: scene.Layers, ground: Ground, setting: Setting, channels: Sequence[str], pixel: float,
    rng: np.random.Generator,
) -> dict[str, Labels]:
    """The pictures (H, W) of a field by channel; `view` are the layers (1, H, W) of its cells, changed in place."""
    view["path"] += ground.path
    lights = {channel: scene.picture(view, channel, setting, pixel, None) for channel in channels}
    return {channel: expose(light * ground.light, setting, rng)[0] for channel, light in lights.items()}


def scatter(rng: np.random.Generator, cells: int, side: int, apart: float) -> tuple[Floats, Floats]:
    """Places (y, x) of cells in a field, in loose clusters, at least about `apart` pixels from each other."""
    places = np.empty((0, 2))
    for _ in range(cells):
        for _ in range(12):
            if len(places) and rng.random() < 0.55:
                spot = places[rng.integers(len(places))] + rng.normal(0, 2.2 * apart, 2)
            else:
                spot = rng.uniform(0, side, 2)
            inside = (spot > 4).all() and (spot < side - 5).all()
            if inside and (len(places) == 0 or np.hypot(*(places - spot).T).min() > apart):
                break
        places = np.vstack([places, np.clip(spot, 4, side - 5)])
    return places[:, 0].astype(np.float32), places[:, 1].astype(np.float32)


def corpses(rng: np.random.Generator, cells: int, side: int) -> Residents:
    """Dead cells that lie about: small bright balls that belong to no class and to no mask."""
    from potency.simulate.cells import TRAITS, traits

    genes, ripe = Genes.of(rng, cells), np.zeros(cells, np.float32)
    fate = np.zeros(cells, np.int64)
    shape = rounded(traits(genes, fate, ripe, np.zeros((cells, len(TRAITS)), np.float32)), np.ones(cells, np.float32))
    shape["radius"] = shape["radius"] * 0.75
    y, x = (rng.uniform(0, side, cells).astype(np.float32) for _ in range(2))
    return Residents(genes, shape, fate, ripe, np.full((cells, 4), 0.2, np.float32), y, x, fate)


def together(first: Residents, second: Residents) -> Residents:
    """All cells of both."""

    def join(one: Any, two: Any) -> Any:
        return np.concatenate([one, two])

    genes = Genes(*(join(getattr(first.genes, n), getattr(second.genes, n)) for n in Genes.__dataclass_fields__))
    shape = {name: join(value, second.shape[name]) for name, value in first.shape.items()}
    rest = ("fate", "maturity", "level", "y", "x", "number")
    return Residents(genes, shape, *(join(getattr(first, n), getattr(second, n)) for n in rest))
