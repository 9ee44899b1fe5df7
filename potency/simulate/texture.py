"""Endless textures: noise tiles made once, of which each cell or background takes its own window."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy import fft

TILE = 512
DIRECTIONS = 12
_SMALL = 256  # side of a tile of filaments, of which there are many
# Width of the blur in pixels; a tile is the difference of two blurs so that it has no slow drift.
GRAINS = {"cloud": (4.0, 14.0), "grain": (1.1, 3.5), "haze": (40.0, 160.0), "sand": (0.7, 1.6)}


@cache
def tile(kind: str) -> NDArray[np.float32]:
    """A periodic tile of unit-variance noise, repeated so that any window up to TILE can be cut by slicing.

    It is the same in every world: windows, not tiles, are drawn from the seed.

    >>> tile("cloud").shape
    (1024, 1024)
    """
    small, large = GRAINS[kind]
    rng = np.random.default_rng([20240229, sorted(GRAINS).index(kind)])
    white = fft.rfft2(rng.standard_normal((TILE, TILE)))
    square = fft.fftfreq(TILE)[:, None] ** 2 + fft.rfftfreq(TILE)[None, :] ** 2
    band = np.exp(-2 * (np.pi * small) ** 2 * square) - np.exp(-2 * (np.pi * large) ** 2 * square)
    noise = fft.irfft2(white * band, s=(TILE, TILE))
    noise = (noise / noise.std()).astype(np.float32)
    return np.tile(noise, (2, 2))


@cache
def strand(direction: int) -> NDArray[np.float32]:
    """A tile of filaments at `direction` twelfths of a half turn: noise blurred along one line only."""
    rng = np.random.default_rng([20240229, 99])
    white = fft.rfft2(rng.standard_normal((_SMALL, _SMALL)))
    y, x = fft.fftfreq(_SMALL)[:, None], fft.rfftfreq(_SMALL)[None, :]
    angle = np.pi * direction / DIRECTIONS
    along, across = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    lines = np.exp(-2 * (np.pi * 6.0 * along) ** 2)
    lines = lines * (np.exp(-2 * (np.pi * 0.8 * across) ** 2) - np.exp(-2 * (np.pi * 2.6 * across) ** 2))
    noise = fft.irfft2(white * lines, s=(_SMALL, _SMALL))
    return np.tile((noise / noise.std()).astype(np.float32), (2, 2))


def strands(turn: NDArray[np.float32], place: NDArray[np.int64], side: int) -> NDArray[np.float32]:
    """Windows (N, side, side) of filaments that run along each cell's own axis `turn` (N,), in radians."""
    result = np.empty((len(place), side, side), np.float32)
    which = np.rint(turn / np.pi * DIRECTIONS).astype(int) % DIRECTIONS
    for number, (top, left) in enumerate(place % _SMALL):
        result[number] = strand(int(which[number]))[top : top + side, left : left + side]
    return result


def window(kind: str, place: NDArray[np.int64], side: int) -> NDArray[np.float32]:
    """Windows (N, side, side) of texture `kind` at `place` (N, 2), mirrored and transposed by the place's own bits."""
    noise = tile(kind)
    result = np.empty((len(place), side, side), np.float32)
    if side > TILE:  # larger than what slicing can cut: go round the tile
        for number, (top, left) in enumerate(place % TILE):
            result[number] = noise[np.ix_((top + np.arange(side)) % TILE, (left + np.arange(side)) % TILE)]
        return result
    for number, (top, left) in enumerate(place % TILE):
        cut = noise[top : top + side, left : left + side]
        turned = cut[:: 1 if place[number, 0] & 1024 else -1]
        result[number] = turned.T if place[number, 1] & 1024 else turned
    return result
