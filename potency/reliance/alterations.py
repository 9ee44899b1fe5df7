"""The visible list of what is done to an image: a band of frequencies removed or kept alone, phases or tiles mixed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[Any]
Values = NDArray[np.float64]
WIDTH = 1.0  # octaves over which the edge of a band falls, as a raised cosine
MOST_EDGES = 6
WAVES = 2.0  # in the shorter side: a coarser band would hold a handful of numbers
TILES = (2, 4, 8)  # a side
REMOVED, KEPT, MIXED = "removed", "kept alone", "mixed"


@dataclass(frozen=True)
class Alteration:
    """One thing done to a window (C, H, W) of pixels.

    Attributes:
        name: of its column, `prediction@<name>`.
        arm: "removed" or "kept alone" (a band), or "mixed" (phases, tiles).
        title: for people.
        of: from pixels and a generator to float32 pixels of the same shape; None where the window is too small.
        band: the frequencies in cycles a pixel of a band, from and to.
    """

    name: str
    arm: str
    title: str
    of: Callable[[Pixels, np.random.Generator], Pixels | None]
    band: tuple[float, float] = (0.0, 0.0)


def edges_of(side: int) -> list[float]:
    """The edges between bands an octave wide for windows of a shorter side of so many pixels, in cycles a pixel.

    >>> edges_of(40), len(edges_of(1000))
    ([0.0625, 0.125, 0.25], 6)
    """
    found: list[float] = []
    edge = 0.25
    while edge * side >= WAVES and len(found) < MOST_EDGES:
        found.append(edge)
        edge /= 2
    return found[::-1]


def share(frequency: Values, band: tuple[float, float]) -> Values:
    """How much of each frequency belongs to a band, 0..1; all bands together make 1 everywhere.

    An edge is a raised cosine an octave wide in the logarithm of the frequency: a sharp one would ring.
    """
    def above(edge: float) -> Values:
        if edge <= 0 or edge >= 0.5:
            return np.full(frequency.shape, 1.0 if edge <= 0 else 0.0)
        octaves = np.log2(np.maximum(frequency, 1e-9) / edge)
        return np.asarray(0.5 - 0.5 * np.cos(np.pi * np.clip(octaves / WIDTH + 0.5, 0, 1)))

    return above(band[0]) - above(band[1])


def filtered(pixels: Pixels, gain: Callable[[Values], Values]) -> Pixels:
    """Pixels (C, H, W) with each frequency weighted by `gain`; the mean stays, and nothing wraps around the borders.

    The cosine transform is that of the image and its mirror images, so no border is a step.
    """
    from scipy import fft

    height, width = pixels.shape[1:]
    wave = np.hypot(np.arange(height)[:, None] / (2 * height), np.arange(width)[None] / (2 * width))
    weight = gain(wave)
    weight[0, 0] = 1.0
    found = fft.dctn(pixels.astype(np.float64), axes=(1, 2), norm="ortho") * weight
    return np.asarray(fft.idctn(found, axes=(1, 2), norm="ortho"), np.float32)


def phases_mixed(pixels: Pixels, chance: np.random.Generator) -> Pixels:
    """Pixels (C, H, W) with random phases and the same power at every frequency: what is left is no arrangement.

    The phases are those of white noise, so the result is real; the same in all channels, so that what channels have in
    common stays. The mean stays. Oppenheim & Lim 1981, doi 10.1109/PROC.1981.12022.
    """
    from scipy import fft

    turn = fft.fft2(chance.normal(size=pixels.shape[1:]))
    turn /= np.abs(turn)
    turn[0, 0] = 1.0
    return np.asarray(fft.ifft2(fft.fft2(pixels.astype(np.float64)) * turn).real, np.float32)


def tiles_mixed(pixels: Pixels, count: int, chance: np.random.Generator) -> Pixels | None:
    """Pixels (C, H, W) cut into count x count tiles that change places, none staying where it was.

    A rim that is left over stays. None where a tile would have fewer than two pixels a side.

    >>> tiles_mixed(np.arange(16.0).reshape(1, 4, 4), 2, np.random.default_rng(0)).shape
    (1, 4, 4)
    """
    channels, height, width = pixels.shape
    high, wide = height // count, width // count
    if min(high, wide) < 2:
        return None
    top, left = (height - high * count) // 2, (width - wide * count) // 2
    made = pixels.astype(np.float32)
    inner = made[:, top : top + high * count, left : left + wide * count]
    tiles = inner.reshape(channels, count, high, count, wide).transpose(1, 3, 0, 2, 4)
    mixed = tiles.reshape(count * count, channels, high, wide)[_moved(count * count, chance)]
    whole = mixed.reshape(count, count, channels, high, wide).transpose(2, 0, 3, 1, 4)
    made[:, top : top + high * count, left : left + wide * count] = whole.reshape(inner.shape)
    return made


def _moved(count: int, chance: np.random.Generator) -> NDArray[np.intp]:
    """A random order in which nothing keeps its place: one cycle (Sattolo 1986)."""
    order = np.arange(count)
    for last in range(count - 1, 0, -1):
        other = int(chance.integers(0, last))
        order[[last, other]] = order[[other, last]]
    return order


def _removed(band: tuple[float, float]) -> Callable[[Pixels, np.random.Generator], Pixels]:
    return lambda pixels, _: filtered(pixels, lambda wave: 1 - share(wave, band))


def _kept(band: tuple[float, float]) -> Callable[[Pixels, np.random.Generator], Pixels]:
    return lambda pixels, _: filtered(pixels, lambda wave: share(wave, band))


def _shuffled(count: int) -> Callable[[Pixels, np.random.Generator], Pixels | None]:
    return lambda pixels, chance: tiles_mixed(pixels, count, chance)


def alterations(side: int, tiles: Sequence[int] = TILES) -> list[Alteration]:
    """All alterations of windows whose shorter side has so many pixels."""
    cuts = [0.0, *edges_of(side), 0.5]
    bands = list(zip(cuts[:-1], cuts[1:], strict=True))
    found = [Alteration(f"remove-{k}", REMOVED, "", _removed(band), band) for k, band in enumerate(bands)]
    found += [Alteration(f"keep-{k}", KEPT, "", _kept(band), band) for k, band in enumerate(bands)]
    found.append(Alteration("phases", MIXED, "phases mixed", phases_mixed))
    found += [Alteration(f"tiles-{k}", MIXED, f"{k} x {k} tiles mixed", _shuffled(k)) for k in tiles]
    return found
