"""Scenes: drawn cells become layers (optical path and stains), and layers become pictures of a look."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from potency.simulate import optics
from potency.simulate.cells import Bodies
from potency.simulate.optics import Setting
from potency.simulate.texture import window
from potency.simulate.trace import Points, stamp

Floats = NDArray[np.floating[Any]]
Ints = NDArray[np.int64]
STAINS = ("nucleus", "TUBB3", "GFAP", "OLIG2")  # all nuclei; neurons; astrocytes; oligodendrocytes
LOOKS: dict[str, tuple[str, ...]] = {
    "brightfield": ("brightfield",),
    "phase": ("phase",),
    "fluorescence": STAINS,
    "nuclei": STAINS[:1],
    "all": ("brightfield", "phase", *STAINS),
}
Layers = dict[str, Floats]  # "path" (optical path in radians) and the stains in use, each (N, side, side)


def express(rng: np.random.Generator, fate: Ints, maturity: Floats) -> Floats:
    """Brightness (N, 4) of each stain in each cell: its own marker comes with maturity, the others leak."""
    own = fate[:, None] == np.arange(4)[None, :]
    level = 0.10 + 0.95 * maturity[:, None] * own
    level[:, 0] = 1.0
    return np.asarray(level * np.exp(0.35 * rng.standard_normal(level.shape)), np.float32)


def layers(bodies: Bodies, level: Floats, channels: Sequence[str]) -> Layers:
    """The optical path and those stain densities that `channels` need, from drawn cells and `level` (N, 4)."""
    made: Layers = {"path": bodies.phase}
    for number, stain in enumerate(STAINS):
        if stain in channels:
            made[stain] = _density(stain, bodies) * level[:, number, None, None]
    return made


def _density(stain: str, bodies: Bodies) -> Floats:
    """Where a stain binds in each cell, about 0..1."""
    if stain == "nucleus":
        return bodies.nucleus * (0.85 + 0.5 * np.maximum(bodies.phase - 1, 0) * 0.4)
    if stain == "OLIG2":
        return bodies.nucleus * 0.9 + 0.12 * bodies.cytoplasm
    if stain == "TUBB3":
        return 0.55 * bodies.cytoplasm + 1.1 * np.minimum(bodies.processes, 1.2)
    return 0.30 * bodies.cytoplasm + 0.45 * np.maximum(bodies.fibre, 0) + 0.5 * np.minimum(bodies.processes, 1)


def specks(rng: np.random.Generator, rate: Floats, side: int, pixel: float) -> Floats:
    """Debris (N, side, side) as optical path: `rate` (N,) specks a picture, small and of either sign."""
    cell = np.repeat(np.arange(len(rate)), rng.poisson(rate))
    y, x = (rng.uniform(1, side - 2, len(cell)) for _ in range(2))
    weight = 0.35 * np.exp(0.9 * rng.standard_normal(len(cell)))
    # Some specks are clumps: points of one speck lie a little apart.
    where = [Points(cell, y + jump, x - jump * turn, weight * share)
             for jump, turn, share in ((0.0, 1, 1.0), (1.1, rng.normal(), 0.6), (-1.3, rng.normal(), 0.4))]  # fmt: skip
    return sum((stamp(one, len(rate), side, 0.6 / pixel) for one in where), np.zeros((), np.float32))


def intrude(rng: np.random.Generator, scene: Layers, chance: float, distance: float) -> None:
    """Let neighbours reach into some pictures: the next cell of the same scene, about `distance` pixels away."""
    source = {name: layer.copy() for name, layer in scene.items()}
    cells, side = len(scene["path"]), scene["path"].shape[1]
    for number in np.nonzero(rng.random((cells,)) < chance)[0]:
        angle, far = rng.uniform(0, 2 * np.pi), distance * rng.uniform(0.85, 1.25)
        shift = (round(far * np.sin(angle)), round(far * np.cos(angle)))
        into, out_of = zip(*(_overlap(s, side) for s in shift), strict=True)
        for name, layer in scene.items():
            layer[number][into] += source[name][(number + 1) % cells][out_of]


def _overlap(shift: int, side: int) -> tuple[slice, slice]:
    """Where a copy moved by `shift` lands, and which part of it does."""
    shift = int(np.clip(shift, -side, side))
    return slice(max(0, shift), min(side, side + shift)), slice(max(0, -shift), min(side, side - shift))


def picture(scene: Layers, channel: str, setting: Setting, pixel: float, place: Ints | None) -> Floats:
    """Light (N, side, side) that reaches the camera in one channel, before illumination artefacts and noise."""
    side = scene["path"].shape[1:]
    lit = optics.illumination(setting, (side[0], side[1]))
    if channel in STAINS:
        bright = 0.30 * setting.stain[:, STAINS.index(channel), None, None]
        stain = optics.fluorescence(scene[channel], setting, pixel)
        return np.asarray(lit * (bright * stain + 0.035), np.float32)
    look = optics.brightfield if channel == "brightfield" else optics.phase_contrast
    # Medium and plastic are never quite clean: a faint texture lies under every picture.
    grime = window("sand", place, side[0]) * 0.010 if place is not None else 0
    return np.asarray(look(scene["path"], setting, pixel) * lit + grime, np.float32)
