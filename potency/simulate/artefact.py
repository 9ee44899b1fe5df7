"""Shortcuts: faint artefacts of a plate that agree with the label as often as they are told to, with their masks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]
Ints = NDArray[np.int64]
KINDS = ("vignette", "ring", "stripes", "scratch")


@dataclass(frozen=True)
class Artefact:
    """Light (N, side, side) to multiply pictures with, and the mask where it differs from 1."""

    light: Floats
    mask: NDArray[np.bool_]


def name(which: int) -> str:
    """What artefact number `which` is called in a table.

    >>> name(1), name(5)
    ('ring', 'ring-2')
    """
    kind, again = KINDS[which % len(KINDS)], which // len(KINDS)
    return f"{kind}-{again + 1}" if again else kind


def choose(rng: np.random.Generator, label: Ints, classes: int, agreement: float) -> Ints:
    """Which artefact each picture gets: that of its own class with probability `agreement`, else that of another.

    >>> label = np.zeros(1000, np.int64)
    >>> 0.85 < float((choose(np.random.default_rng(0), label, 4, 0.9) == 0).mean()) < 0.95
    True
    """
    other = (label + rng.integers(1, max(2, classes), len(label))) % classes
    return np.where(rng.random(len(label)) < agreement, label, other)


def paint(which: Ints, shift: Floats, side: int, strength: float = 0.16) -> Artefact:
    """Paint artefact number `which` (N,) at nearly the same place each time; `shift` (N, 2) in -1..1 moves it a little.

    Every four artefacts the kinds come again, in another corner.
    """
    axis = np.linspace(0, 1, side, dtype=np.float32)
    light = np.ones((len(which), side, side), np.float32)
    for number, (kind, move) in enumerate(zip(which, shift, strict=True)):
        y, x = axis[:, None] + move[0] * 0.02, axis[None, :] + move[1] * 0.02
        corner = int(kind) // len(KINDS)
        if corner & 1:
            x = 1 - x
        if corner & 2:
            y = 1 - y
        light[number] = 1 + strength * _SHAPES[int(kind) % len(KINDS)](y, x)
    return Artefact(light, np.abs(light - 1) > 0.25 * strength)


def _vignette(y: Floats, x: Floats) -> Floats:
    return np.asarray(-np.clip(1.3 - np.hypot(y, x) * 3.2, 0, 1))


def _ring(y: Floats, x: Floats) -> Floats:
    far = np.hypot(y - 0.82, x - 0.16) * 64
    return np.asarray(np.exp(-(((far - 5.5) / 1.1) ** 2)) - 0.7 * np.exp(-(((far - 7.8) / 1.1) ** 2)))


def _stripes(y: Floats, x: Floats) -> Floats:
    return np.asarray(np.sin(y * 64 * 2 * np.pi / 4) * np.clip((x - 0.78) * 12, 0, 1) * 0.8)


def _scratch(y: Floats, x: Floats) -> Floats:
    line = (y - 0.80 - 0.25 * (x - 0.8)) * 64
    return np.asarray((np.exp(-((line / 0.8) ** 2)) - 0.5 * np.exp(-(((line - 2) / 0.9) ** 2))) * (x > 0.62))


_SHAPES = (_vignette, _ring, _stripes, _scratch)
