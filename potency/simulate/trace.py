"""Thin things drawn by points: processes, branches, nucleoli and granules, splatted and blurred for all cells at once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Floats = NDArray[np.float32]

ARMS = 12
SPOTS = 40
STEPS = 56
_NUCLEOLI = 3


def splat(y: Floats, x: Floats, weight: Floats, side: int) -> Floats:
    """Add points (N, M) in pixels, with bilinear weights, to N canvases (side, side); points outside are dropped."""
    cells = len(y)
    inside = (y > 0) & (x > 0) & (y < side - 1) & (x < side - 1) & (weight != 0)
    cell, _ = np.nonzero(inside)
    y, x, weight = y[inside], x[inside], weight[inside]
    top, left = y.astype(np.int64), x.astype(np.int64)
    down, right = y - top, x - left
    base = (cell * side + top) * side + left
    size = cells * side * side
    corners = np.concatenate([base, base + 1, base + side, base + side + 1])
    shares = np.concatenate([(1 - down) * (1 - right), (1 - down) * right, down * (1 - right), down * right])
    canvas = np.bincount(corners, shares * np.tile(weight, 4), minlength=size)
    return canvas.reshape(cells, side, side).astype(np.float32)


def blur(canvas: Floats, sigma: float) -> Floats:
    """Gaussian blur of each canvas by `sigma` pixels."""
    return ndimage.gaussian_filter(canvas, (0, sigma, sigma), mode="constant", truncate=2.6)


def arms(gene: Floats, turn: Floats, shape: dict[str, Floats], side: int, pixel: float) -> tuple[Floats, Floats]:
    """Processes of N cells as a thin and a broad canvas (N, side, side), in units of one micrometre of height.

    `gene` (N, ARMS, 6): angle, length, curve, wave, side and place of the branch. A process tapers to its tip; its
    number is real, so that in a movie a process grows out instead of appearing.
    """
    number = np.arange(ARMS, dtype=np.float32)
    there = np.clip(shape["processes"][:, None] - number + 0.3 * (gene[:, :, 0] - 0.5), 0, 1)
    # The golden ratio keeps neighbouring processes apart; two opposite ones make a spindle along the cell.
    turns = np.where(number < 2, number * np.pi, np.pi / 2 + number * 2.399963)
    angle = turn[:, None] + turns + (gene[:, :, 0] - 0.5) * np.where(number < 2, 0.9, 1.6)
    length = shape["length"][:, None] * np.where(number == 0, shape["axon"][:, None], 0.55 + 0.8 * gene[:, :, 1])
    length = np.minimum(length * there, (side * 0.72) * pixel)
    step = np.linspace(0, 1, STEPS, dtype=np.float32)
    curve = (gene[:, :, 2] - 0.5) * 1.8
    y, x, run = _walk(angle, length, curve, gene[:, :, 3], step)
    width = shape["width"][:, None, None] * (0.45 + 1.3 * (1 - step) ** 2.2) * np.minimum(1, there[..., None] * 2)
    width *= 1 + 0.22 * np.sin(step * 40 * (0.6 + gene[:, :, 3, None]))  # varicosities
    strands = [(y, x, width * (length / STEPS)[..., None])]

    start = (STEPS * (0.35 + 0.35 * gene[:, :, 5])).astype(np.int64)[..., None]
    fork = np.where(gene[:, :, 4] > 0.5, 0.75, -0.75)
    forked = np.clip(shape["branching"][:, None] * 1.3 - gene[:, :, 4] * 0.6, 0, 1) * there
    stub = length * 0.5 * forked
    half = step[::2]
    by, bx, _ = _walk(np.take_along_axis(run, start, 2)[..., 0] + fork, stub, curve, gene[:, :, 3], half)
    by += np.take_along_axis(y, start, 2)
    bx += np.take_along_axis(x, start, 2)
    strands.append((by, bx, (shape["width"][:, None] * forked * stub / len(half))[..., None] * (0.75 - 0.3 * half)))

    flat = [np.concatenate([s[i].reshape(len(turn), -1) for s in strands], axis=1) for i in range(3)]
    middle = (side - 1) / 2
    rows, columns, weight = flat[0] / pixel + middle, flat[1] / pixel + middle, flat[2] / pixel
    thick = np.clip(flat[2] * 0 + _broadness(shape, step, half), 0, 1)
    fine, wide = 0.55 / pixel, 1.7 / pixel
    thin = blur(splat(rows, columns, weight * (1 - thick), side), fine) * np.float32(fine * 2.5)
    broad = blur(splat(rows, columns, weight * thick, side), wide) * np.float32(wide * 1.1)
    return thin, broad


def _broadness(shape: dict[str, Floats], step: Floats, half: Floats) -> Floats:
    """Share (N, points) of each strand point that belongs to the broad canvas: the root of a thick process."""
    root = np.clip((shape["width"][:, None] - 0.5) * 0.45, 0, 1) * (1 - step) ** 0.8 + 0.6 * np.maximum(0, 0.25 - step)
    branch = np.zeros((len(root), len(half)), np.float32)
    return np.concatenate([np.tile(root, (1, ARMS)), np.tile(branch, (1, ARMS))], axis=1)


def _walk(angle: Floats, length: Floats, curve: Floats, wave: Floats, step: Floats) -> tuple[Floats, Floats, Floats]:
    """Points (N, ARMS, steps) of curved walks in micrometres from the origin, and the direction at each."""
    run = angle[..., None] + curve[..., None] * step + 0.45 * np.sin(step * 9 * (0.5 + wave[..., None]) + 6 * wave[..., None])
    stride = (length / len(step))[..., None]
    y = np.cumsum(np.sin(run) * stride, axis=2, dtype=np.float32)
    x = np.cumsum(np.cos(run) * stride, axis=2, dtype=np.float32)
    return y, x, run


def spots(gene: Floats, turn: Floats, shape: dict[str, Floats], side: int, pixel: float) -> tuple[Floats, Floats]:
    """Nucleoli and granules (N, side, side): nucleoli peak at about 1, granules are of either sign."""
    middle = np.float32((side - 1) / 2)
    radius = shape["radius"][:, None] / pixel
    around = gene[:, :, 1] * 2 * np.pi
    far = radius * (0.35 + 0.95 * gene[:, :, 0])
    # Granules gather on one side of the nucleus, as organelles do.
    y = middle + far * np.sin(around) + 0.35 * radius * np.sin(turn * 3)[:, None]
    x = middle + far * np.cos(around) + 0.35 * radius * np.cos(turn * 3)[:, None]
    there = np.clip(shape["granules"][:, None] - np.arange(SPOTS), 0, 1)
    strength = there * (0.35 + gene[:, :, 2]) * np.where(gene[:, :, 1] * 7 % 1 < 0.72, 1, -0.8)
    size = 0.5 / pixel
    granule = blur(splat(y, x, strength.astype(np.float32), side), size) * np.float32(size * size * 5.0)

    core = slice(0, _NUCLEOLI)
    reach = shape["nucleus"][:, None] / pixel * 0.45
    ny = middle + reach * gene[:, core, 2] * np.sin(around[:, core] * 3)
    nx = middle + reach * gene[:, core, 2] * np.cos(around[:, core] * 3)
    size = 0.8 / pixel
    nucleoli = blur(splat(ny, nx, (0.5 + 0.5 * gene[:, core, 0]), side), size) * np.float32(size * size * 6.3)
    return nucleoli, granule
