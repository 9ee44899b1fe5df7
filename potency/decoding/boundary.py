"""`boundary`: every pixel is interior, boundary or background (DeepCell, Van Valen et al. 2016)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from potency.data.compiled import compiled
from potency.decoding.census import Census, Labels, Plane
from potency.decoding.decoder import KEPT, Channel, Decoder
from potency.decoding.flood import Mask, flood, peaks


def _simple() -> NDArray[np.bool_]:
    """Which of 256 neighbourhoods let a pixel go without tearing its object; bit i is neighbour i of `RING`.

    Sides with the corner between them are one (4-connected objects); where that leaves one, the pixel joins nothing.
    """
    ring = np.arange(256)[:, None] >> np.arange(8) & 1
    sides, corners = ring[:, 0::2], ring[:, 1::2]
    return np.asarray(sides.sum(axis=1) - (sides & corners & np.roll(sides, -1, axis=1)).sum(axis=1) == 1)


RING = np.array([[-1, 0], [-1, 1], [0, 1], [1, 1], [1, 0], [1, -1], [0, -1], [-1, -1]])
SIMPLE = _simple()


class Boundary(Decoder):
    """Three classes: interior, the outermost pixels of each object, the rest.

    The boundary is all pixels that have a neighbour (of 8) of another number, less those that hold the interior
    together: a line through each neck, and one pixel of an object that has no interior. So every object is one piece of
    interior, and grows over its boundary again.
    """

    name = "boundary"
    channels = (Channel("interior", "class"), Channel("boundary", "class"), Channel("background", "class"))
    thresholds: ClassVar[Mapping[str, float]] = {"inside": 0.5, "interior": 0.5, "core": 4, **KEPT}

    def reach(self, diameter: float) -> int:
        return int(np.ceil(diameter)) + 2

    def _maps(self, census: Census) -> NDArray[np.float32]:
        maps = np.zeros((3, *census.labels.shape), np.float32)
        inside = census.labels > 0
        interior = _interior(census.labels, census.centroid, RING, SIMPLE)
        maps[0], maps[1], maps[2] = interior, inside & ~interior, ~inside
        return maps

    def _labels(self, maps: NDArray[np.float32], settings: Mapping[str, float]) -> tuple[Labels, Plane]:
        interior, boundary, _ = maps
        inside = interior + boundary
        mask = inside > settings["inside"]
        markers = peaks(interior * mask, settings["interior"], settings["interior"], settings["core"], 4)
        return flood(interior, markers, mask), inside


@compiled
def _interior(labels: Labels, centroid: NDArray[np.float64], ring: NDArray[np.int64], simple: Mask) -> Mask:
    height, width = labels.shape
    kept = labels > 0
    outer = np.empty((height * width, 2), np.int32)
    whole = np.zeros(len(centroid), np.bool_)
    count = 0
    for y in range(height):
        for x in range(width):
            k = labels[y, x]
            if not k:
                continue
            edge = False
            for v in range(max(y - 1, 0), min(y + 2, height)):
                for u in range(max(x - 1, 0), min(x + 2, width)):
                    edge |= labels[v, u] != k
            if edge:
                outer[count, 0], outer[count, 1] = y, x
                count += 1
            else:
                whole[k] = True
    held = np.full((len(centroid), 2), -1, np.int32)
    near = np.full(len(centroid), np.inf)
    for y, x in outer[:count]:
        k = labels[y, x]
        far = (y - centroid[k, 0]) ** 2 + (x - centroid[k, 1]) ** 2
        if not whole[k] and far < near[k]:
            near[k], held[k, 0], held[k, 1] = far, y, x
    peeled = True
    while peeled:
        peeled = False
        for y, x in outer[:count]:
            k = labels[y, x]
            if not kept[y, x] or (held[k, 0] == y and held[k, 1] == x):
                continue
            code = 0
            for i in range(8):
                v, u = y + ring[i, 0], x + ring[i, 1]
                if 0 <= v < height and 0 <= u < width and labels[v, u] == k and kept[v, u]:
                    code |= 1 << i
            if simple[code]:
                kept[y, x] = False
                peeled = True
    return kept
