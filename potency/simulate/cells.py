"""Shapes of simulated cells: a soma, a flat lamella, a nucleus and branching processes from a few traits per fate."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from potency.simulate.texture import strands, window
from potency.simulate.trace import ARMS, SPOTS, arms, spots

Floats = NDArray[np.floating[Any]]
Ints = NDArray[np.int64]
_WINDOWS = (32, 48, 64, 96, 128, 176, 240)  # sides in which a soma is drawn

FATES = ("stem", "neuron", "astrocyte", "oligodendrocyte")
# Lengths in micrometres; thickness is optical path in radians; the rest are counts or relative strengths.
TRAITS = {
    #              stem  neuron astro  oligo
    "radius":     (6.6,  5.2,   8.4,   5.4),
    "aspect":     (1.7,  1.20,  1.35,  1.15),
    "processes":  (2.2,  3.2,   5.5,   8.5),
    "length":     (15.0, 30.0,  17.0,  15.0),
    "width":      (1.7,  0.95,  3.0,   0.95),
    "spread":     (0.50, 0.14,  0.88,  0.25),
    "thickness":  (0.85, 1.45,  0.62,  1.15),
    "nucleus":    (4.3,  3.4,   4.9,   3.6),
    "nucleoli":   (0.60, 0.16,  0.34,  0.16),
    "granules":   (5.0,  4.0,   7.0,   16.0),
    "fibre":      (0.04, 0.03,  0.30,  0.04),
    "ruffle":     (0.40, 0.15,  0.75,  0.25),
    "branching":  (0.15, 0.25,  0.25,  0.95),
    "axon":       (1.20, 2.10,  1.10,  1.05),
}  # fmt: skip
SPREAD = {  # standard deviation of the logarithm from cell to cell of one fate
    "radius": 0.13, "aspect": 0.19, "processes": 0.22, "length": 0.26, "width": 0.20, "spread": 0.26, "thickness": 0.18,
    "nucleus": 0.09, "nucleoli": 0.35, "granules": 0.50, "fibre": 0.45, "ruffle": 0.40, "branching": 0.40, "axon": 0.16,
}  # fmt: skip
_TABLE = np.log(np.array(list(TRAITS.values()), np.float32)).T
_SIGMA = np.array([SPREAD[name] for name in TRAITS], np.float32)


@dataclass(frozen=True)
class Genes:
    """What a cell keeps for life: `N` cells, first axis of every array; draws nothing by itself."""

    luck: Floats  # (N, traits) standard normal: how this cell differs from its fate's mean
    turn: Floats  # (N,) orientation in radians
    arm: Floats  # (N, ARMS, 6) uniform: angle, length, curve, wave, side of the branch, place of the branch
    spot: Floats  # (N, SPOTS, 3) uniform: radius, angle, strength
    nucleus: Floats  # (N, 3) normal: offset along and across, elongation
    bend: Floats  # (N,) normal
    place: Ints  # (N, 2) where in the endless textures this cell lies

    def __len__(self) -> int:
        return len(self.turn)

    def take(self, rows: NDArray[np.bool_] | Ints | slice) -> Genes:
        """The same genes of fewer cells."""
        return replace(self, **{f.name: getattr(self, f.name)[rows] for f in fields(self)})

    @classmethod
    def of(cls, rng: np.random.Generator, cells: int) -> Genes:
        """Draw the genes of `cells` cells."""
        normal = rng.standard_normal
        return cls(
            luck=np.clip(normal((cells, len(TRAITS)), np.float32), -2.5, 2.5),
            turn=rng.uniform(0, 2 * np.pi, cells).astype(np.float32),
            arm=rng.random((cells, ARMS, 6), np.float32),
            spot=rng.random((cells, SPOTS, 3), np.float32),
            nucleus=normal((cells, 3), np.float32),
            bend=normal(cells, np.float32),
            place=rng.integers(0, 1 << 16, (cells, 2)),
        )


@dataclass(frozen=True)
class Bodies:
    """Drawn cells, every array (N, side, side): what optics turn into pictures and what is kept as truth."""

    phase: Floats  # optical path difference in radians
    mask: NDArray[np.bool_]  # all that belongs to the cell
    nucleus: Floats  # 0..1
    processes: Floats  # 0..about 1, thin processes only
    cytoplasm: Floats  # 0..1
    fibre: Floats  # 0..1 filaments in the cytoplasm
    evidence: NDArray[np.bool_]  # where the fate of this cell can be seen


def traits(genes: Genes, fate: Ints, maturity: Floats, habit: Floats) -> dict[str, Floats]:
    """Traits (N,) by name, moving in log space from the stem cell's to the fate's as `maturity` goes from 0 to 1.

    `habit` (N, traits) shifts the logarithm: what a clone or a donor does to all its cells.

    >>> genes = Genes.of(np.random.default_rng(0), 2)
    >>> grown = traits(genes, np.array([1, 1]), np.array([0, 1], np.float32), np.zeros((2, len(TRAITS)), np.float32))
    >>> bool(grown["length"][1] > grown["length"][0] * 0.5)
    True
    """
    weight = maturity[:, None].astype(np.float32)
    mean = (1 - weight) * _TABLE[0] + weight * _TABLE[fate]
    return dict(zip(TRAITS, np.exp(mean + genes.luck * _SIGMA + habit).T, strict=True))


def reach(shape: dict[str, Floats]) -> Floats:
    """How far each cell extends from its centre, in micrometres, to choose the patch it is drawn in."""
    soma = shape["radius"] * np.sqrt(shape["aspect"]) * 2.1
    return np.asarray(np.maximum(soma, shape["length"] * np.maximum(shape["axon"], 1.35) + 3))


def rounded(shape: dict[str, Floats], amount: Floats) -> dict[str, Floats]:
    """Traits of cells that round up, as before a division or a death: `amount` (N,) from 0 (spread) to 1 (a ball)."""
    amount = amount.astype(np.float32)
    ball = {"aspect": 1.05, "processes": 0.0, "spread": 0.05, "ruffle": 0.1, "thickness": 3.4, "fibre": 0.02,
            "nucleoli": 0.05, "granules": 22.0}  # fmt: skip
    made = {name: value * (1 - amount) + ball.get(name, 0.0) * amount if name in ball else value
            for name, value in shape.items()}  # fmt: skip
    made["radius"] = made["radius"] * (1 - 0.12 * amount)
    return made


def _smooth(value: Floats) -> Floats:
    """Smooth step of values from 0 to 1."""
    value = np.clip(value, 0, 1)
    return np.asarray(value * value * (3 - 2 * value))


def draw(genes: Genes, shape: dict[str, Floats], fate: Ints, maturity: Floats, side: int, pixel: float) -> Bodies:
    """Draw cells with `shape` (from `traits`), one to each (side, side) patch of `pixel` micrometres, centred.

    `side` is even. Everything is vectorised over cells; all randomness is in the genes, so a movie redraws the same
    cell. A soma fills a small part of its patch, so it is drawn in a window as large as it needs.
    """
    thin, broad = arms(genes.arm, genes.turn, shape, side, pixel)
    blank = np.zeros_like(thin)
    made = Bodies(0.55 * thin + 0.28 * np.minimum(broad, 1.2), thin > 0.20, blank, thin, blank.copy(), blank.copy(),
                  np.zeros(thin.shape, np.bool_))  # fmt: skip
    need = np.sqrt(shape["aspect"]) * shape["radius"] * (3.0 + np.minimum(shape["ruffle"], 1) + shape["width"] * 0.35)
    need = np.minimum(_even(need / pixel), min(side, _WINDOWS[-1]))
    for window_side in sorted({min(side, s) for s in _WINDOWS}):
        rows = np.nonzero((need <= window_side) & (need > 0))[0]
        if len(rows):
            need[rows] = 0
            _soma(made, rows, window_side, (genes, shape, fate, maturity, broad), pixel)
    np.logical_and(made.evidence, made.mask, out=made.evidence)
    return made


def _even(value: Floats) -> Ints:
    """The next even number."""
    return 2 * np.ceil(value / 2).astype(np.int64)


def _soma(
    made: Bodies, rows: Ints, side: int, known: tuple[Genes, dict[str, Floats], Ints, Floats, Floats], pixel: float
) -> None:
    """Add soma, lamella, nucleus and granules of cells `rows` in the middle (side, side) of their patches."""
    genes, shape, fate, maturity, broad = known
    genes, fate, maturity = genes.take(rows), fate[rows], maturity[rows]
    shape = {name: value[rows].astype(np.float32) for name, value in shape.items()}
    first = (broad.shape[1] - side) // 2
    inner = (rows, slice(first, first + side), slice(first, first + side))
    web, thin = np.minimum(broad[inner], 1.0), made.processes[inner]
    col = {name: value[:, None, None] for name, value in shape.items()}
    ruffle = np.minimum(col["ruffle"], 1)
    cloud, grain = window("cloud", genes.place, side), window("grain", genes.place, side)

    soma, nucleus, dome = _outline(genes, col, side, pixel, cloud)
    body = np.exp(-0.8 * soma) + web * (0.32 + 0.4 * np.minimum(col["spread"], 1.2))
    body += 0.06 * ruffle * grain * (body > 0.12)
    lamella = _smooth((body - 0.36) * 5.5)
    nucleoli, granule = spots(genes.spot, genes.turn, shape, side, pixel)

    flat = np.minimum(col["spread"], 1.0)
    fibres = strands(genes.turn, genes.place, side) * lamella * (1 - 0.8 * nucleus)
    height = flat * lamella * (0.60 + 0.06 * cloud + 0.07 * grain) + (1 - flat) * dome * (0.95 + 0.05 * grain)
    height += 0.28 * dome * lamella + nucleus * (0.20 + 0.07 * grain)
    phase = col["thickness"] * height + 0.16 * col["fibre"] * fibres + col["nucleoli"] * nucleoli * nucleus
    # A process starts in the middle of its cell; inside the body it is not seen.
    phase -= lamella * (0.48 * thin + 0.18 * web)
    phase += granule * (0.08 + 0.40 * lamella)
    inside = (lamella > 0.4) | (soma < 1.0)
    arm, dots = (thin > 0.14) & (soma > 1.35), np.abs(granule) > 0.2
    made.evidence[inner] = _evidence(fate, maturity, inside, arm, nucleus > 0.5, dots)
    if side < broad.shape[1]:
        outer = (made.processes[rows] > 0.14) & (_shows(fate, maturity) & ((fate == 1) | (fate == 3)))[:, None, None]
        outer[(slice(None), *inner[1:])] = made.evidence[inner]
        made.evidence[rows] = outer
    made.phase[inner] += phase
    made.mask[inner] |= inside
    made.nucleus[inner] = nucleus
    made.processes[inner] = thin * (1 - nucleus)
    made.cytoplasm[inner] = lamella * (1 - 0.55 * nucleus)
    made.fibre[inner] = fibres


def _outline(
    genes: Genes, col: dict[str, Floats], side: int, pixel: float, cloud: Floats
) -> tuple[Floats, Floats, Floats]:
    """Squared distance from the centre in soma radii, the nucleus 0..1, and the dome of a round cell 0..1."""
    axis = (np.arange(side, dtype=np.float32) - np.float32((side - 1) / 2)) * np.float32(pixel)
    cos, sin = np.cos(genes.turn)[:, None, None], np.sin(genes.turn)[:, None, None]
    along, across = axis * cos + axis[:, None] * sin, axis[:, None] * cos - axis * sin
    long_axis, short_axis = col["radius"] * np.sqrt(col["aspect"]), col["radius"] / np.sqrt(col["aspect"])
    across += along * along * (0.12 * genes.bend[:, None, None] / long_axis)
    soma = (along / long_axis) ** 2 + (across / short_axis) ** 2
    soma *= np.clip(1 + 0.28 * np.minimum(col["ruffle"], 1) * cloud, 0.70, 1.5)
    offset = np.tanh(genes.nucleus)[:, :, None, None] * np.array([0.30, 0.18, 0.12], np.float32)[:, None, None]
    stretch = 1 + offset[:, 2]
    along -= offset[:, 0] * col["radius"]
    across -= offset[:, 1] * short_axis
    nucleus = (along * stretch / col["nucleus"]) ** 2 + (across / stretch / np.minimum(col["nucleus"], short_axis)) ** 2
    return soma, _smooth((1.15 - nucleus) * 3.0), np.sqrt(np.maximum(0, 1 - soma * 0.75))


def _shows(fate: Ints, maturity: Floats) -> NDArray[np.bool_]:
    """Which cells (N,) are mature enough to show their fate; a stem cell always is one."""
    return np.asarray((maturity >= 0.25) | (fate == 0))


def _evidence(
    fate: Ints,
    maturity: Floats,
    inside: NDArray[np.bool_],
    arm: NDArray[np.bool_],
    nucleus: NDArray[np.bool_],
    granule: NDArray[np.bool_],
) -> NDArray[np.bool_]:
    """Where a fate shows: neurites, textured lamella, branches and granules; a stem cell by its nucleus.

    A cell whose maturity is below a quarter shows nothing of its fate yet: its evidence is empty.
    """
    kinds = (nucleus, arm, inside & ~nucleus, arm | (granule & inside & ~nucleus))
    which = fate[:, None, None]
    seen = np.zeros_like(inside)
    for number, region in enumerate(kinds):
        seen |= (which == number) & region
    return np.asarray(seen & _shows(fate, maturity)[:, None, None])
