"""Thin things drawn by points: processes, branches, nucleoli and granules, stamped for all cells at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]
Ints = NDArray[np.int64]

ARMS = 12
SPOTS = 40
STEPS = 44
_NUCLEOLI = 3
_GOLDEN = np.float32(2.399963)


@dataclass(frozen=True)
class Points:
    """Points of many cells in one row: which cell, where (pixels of its patch), how heavy."""

    cell: Ints
    y: Floats
    x: Floats
    weight: Floats


def stamp(points: Points, cells: int, side: int, sigma: float) -> NDArray[np.float32]:
    """Gaussian spots of width `sigma` pixels on `cells` canvases (side, side); a spot's height is its weight.

    Points whose spot would leave the canvas are dropped.

    >>> one = Points(np.zeros(1, int), np.array([4.0]), np.array([4.0]), np.array([2.0]))
    >>> float(stamp(one, 1, 9, 1.0)[0, 4, 4])
    2.0
    """
    radius = max(1, round(2.3 * sigma))
    top, left = np.rint(points.y).astype(np.int64), np.rint(points.x).astype(np.int64)
    keep = (points.weight != 0) & (np.minimum(top, left) >= radius) & (np.maximum(top, left) < side - radius)
    cell, top, left = points.cell[keep], top[keep], left[keep]
    offset = np.arange(-radius, radius + 1)
    fall = np.float32(-0.5 / sigma**2)
    down = np.exp((offset + (top - points.y[keep])[:, None]) ** 2 * fall) * points.weight[keep][:, None]
    right = np.exp((offset + (left - points.x[keep])[:, None]) ** 2 * fall)
    row = ((cell * side + top)[:, None] + offset) * side + left[:, None]
    place = row[:, :, None] + offset
    canvas = np.bincount(place.ravel(), (down[:, :, None] * right[:, None, :]).ravel(), minlength=cells * side * side)
    return canvas.reshape(cells, side, side).astype(np.float32)


def arms(gene: Floats, turn: Floats, shape: dict[str, Floats], side: int, pixel: float) -> tuple[Floats, Floats]:
    """Processes of N cells as a thin and a broad canvas (N, side, side); their height is their width in micrometres.

    `gene` (N, ARMS, 6): angle, length, curve, wave, side and place of the branch. A process tapers to its tip; the
    number of processes is real, so that in a movie a process grows out instead of appearing.
    """
    number = np.arange(ARMS, dtype=np.float32)
    there = np.clip(shape["processes"][:, None] - number + 0.3 * (gene[:, :, 0] - 0.5), 0, 1)
    cell, arm = np.nonzero(there > 0.02)  # only processes that are there are walked
    there, gene, own = there[cell, arm], gene[cell, arm], {name: value[cell] for name, value in shape.items()}
    # The golden angle keeps neighbouring processes apart; the first two are opposite and make a spindle.
    turns = np.where(arm < 2, arm * np.pi, np.pi / 2 + arm * _GOLDEN)
    angle = turn[cell] + turns.astype(np.float32) + (gene[:, 0] - 0.5) * np.where(arm < 2, 0.9, 1.6).astype(np.float32)
    length = own["length"] * np.where(arm == 0, own["axon"], 0.55 + 0.8 * gene[:, 1]) * there
    length = np.minimum(length, side * 0.72 * pixel)
    curve = (gene[:, 2] - 0.5) * 1.8
    step = np.linspace(0, 1, STEPS, dtype=np.float32)
    y, x, run = _walk(angle, length, curve, gene[:, 3], step)
    width = (own["width"] * np.minimum(1, there * 2))[:, None] * (0.40 + 1.0 * (1 - step) ** 2 + 1.6 * (1 - step) ** 6)
    width *= 1 + 0.25 * np.sin(step * 40 * (0.6 + gene[:, 3, None]))  # varicosities
    root = np.clip((own["width"][:, None] - 0.6) * 0.42, 0, 1) * (1 - step) ** 0.8 + 2.4 * np.maximum(0, 0.30 - step)
    root = np.clip(root, 0, 1)

    start = (STEPS * (0.35 + 0.35 * gene[:, 5])).astype(np.int64)
    here = np.arange(len(cell))
    forked = np.clip(own["branching"] * 1.3 - gene[:, 4] * 0.6, 0, 1) * there
    stub = length * 0.5 * forked
    half = step[::2]
    fork = np.where(gene[:, 4] > 0.5, 0.75, -0.75).astype(np.float32)
    b_y, b_x, _ = _walk(run[here, start] + fork, stub, curve, gene[:, 3], half)
    b_y, b_x = b_y + y[here, start][:, None], b_x + x[here, start][:, None]
    b_width = (own["width"] * forked)[:, None] * (0.75 - 0.3 * half)

    fine, wide, middle = 0.50 / pixel, 1.7 / pixel, (side - 1) / 2
    gap, b_gap = (length / STEPS / pixel)[:, None], (stub / len(half) / pixel)[:, None]
    thin = _join(cell, [y, b_y], [x, b_x], [width * gap * (1 - root), b_width * b_gap], pixel, middle)
    broad = _join(cell, [y[:, ::2]], [x[:, ::2]], [(width * gap * root)[:, ::2] * 2], pixel * 2, (middle - 0.5) / 2)
    return (
        stamp(thin, len(turn), side, fine) * np.float32(0.4 / fine),
        _twice(stamp(broad, len(turn), side // 2, wide / 2)) * np.float32(0.75 / wide),
    )


def _join(cell: Ints, y: list[Floats], x: list[Floats], weight: list[Floats], pixel: float, middle: float) -> Points:
    """Strands (M, steps) in micrometres from the centre of their cell as points in pixels."""
    counts = sum(part.shape[1] for part in y)
    rows, columns, weights = (np.concatenate(parts, axis=1).ravel() for parts in (y, x, weight))
    return Points(np.repeat(cell, counts), rows / pixel + middle, columns / pixel + middle, weights)


def _twice(canvas: NDArray[np.float32]) -> NDArray[np.float32]:
    """Canvases at twice the size, smoothed so that no blocks show."""
    large = canvas.repeat(2, 1).repeat(2, 2)
    large[:, 1:-1] = 0.25 * (large[:, :-2] + 2 * large[:, 1:-1] + large[:, 2:])
    large[:, :, 1:-1] = 0.25 * (large[:, :, :-2] + 2 * large[:, :, 1:-1] + large[:, :, 2:])
    return large


def _walk(angle: Floats, length: Floats, curve: Floats, wave: Floats, step: Floats) -> tuple[Floats, Floats, Floats]:
    """Points (M, steps) of curved walks in micrometres from the origin, and the direction at each."""
    wiggle = 0.40 * np.sin(step * 9 * (0.5 + wave[:, None]) + 6 * wave[:, None])
    run = angle[:, None] + curve[:, None] * step + wiggle
    stride = (length / len(step))[:, None]
    y = np.cumsum(np.sin(run) * stride, axis=1, dtype=np.float32)
    x = np.cumsum(np.cos(run) * stride, axis=1, dtype=np.float32)
    return y, x, run


def spots(gene: Floats, turn: Floats, shape: dict[str, Floats], side: int, pixel: float) -> tuple[Floats, Floats]:
    """Nucleoli and granules (N, side, side): nucleoli peak at about 1, granules are of either sign."""
    middle = np.float32((side - 1) / 2)
    radius = shape["radius"][:, None] / pixel
    around = gene[:, :, 1] * np.float32(2 * np.pi)
    far = radius * (0.35 + 0.95 * gene[:, :, 0])
    # Granules gather on one side of the nucleus, as organelles do.
    y = middle + far * np.sin(around) + 0.35 * radius * np.sin(turn * 3)[:, None]
    x = middle + far * np.cos(around) + 0.35 * radius * np.cos(turn * 3)[:, None]
    there = np.clip(shape["granules"][:, None] - np.arange(SPOTS), 0, 1)
    strength = there * (0.35 + gene[:, :, 2]) * np.where(gene[:, :, 1] * 7 % 1 < 0.72, 1, -0.8)
    cell, spot = np.nonzero(there)
    points = Points(cell, y[cell, spot], x[cell, spot], strength[cell, spot])
    granule = stamp(points, len(turn), side, 0.5 / pixel)

    reach = shape["nucleus"][:, None] / pixel * 0.5 * gene[:, :_NUCLEOLI, 2]
    turned = around[:, :_NUCLEOLI] * 3
    rows, columns = middle + reach * np.sin(turned), middle + reach * np.cos(turned)
    heavy = 0.5 + 0.5 * gene[:, :_NUCLEOLI, 0]
    points = Points(np.repeat(np.arange(len(turn)), _NUCLEOLI), rows.ravel(), columns.ravel(), heavy.ravel())
    return stamp(points, len(turn), side, 0.75 / pixel), granule
