"""`hover`: where a pixel lies between left and right, top and bottom of its object (HoVer-Net, Graham et al. 2019)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from potency.data.compiled import compiled
from potency.decoding.census import Census, Labels, Plane
from potency.decoding.decoder import KEPT, Channel, Decoder
from potency.decoding.flood import Mask, flood, peaks


class Hover(Decoder):
    """Places relative to the centroid, from -1 at one end of the object to 1 at the other, along x and along y.

    Within an object they rise, from one object to the next they fall: where they fall by more than `edge` a pixel,
    there is an outline. What is left between the outlines is a marker, and grows over them, the steepest last. CellViT
    decodes the same maps.
    """

    name = "hover"
    channels = (Channel("inside", "logit"), Channel("across", "vector", True), Channel("down", "vector", True))
    thresholds: ClassVar[Mapping[str, float]] = {"inside": 0.5, "edge": 0.07, "core": 4, **KEPT}

    def reach(self, diameter: float) -> int:
        return int(np.ceil(diameter)) + 3

    def _maps(self, census: Census) -> NDArray[np.float32]:
        maps = np.zeros((3, *census.labels.shape), np.float32)
        maps[0] = census.labels > 0
        _places(census.labels, census.centroid, census.box, maps[1], maps[2])
        return maps

    def _labels(self, maps: NDArray[np.float32], settings: Mapping[str, float]) -> tuple[Labels, Plane]:
        mask = maps[0] > settings["inside"]
        calm = _calm(maps[1], maps[2], mask)
        return flood(calm, peaks(calm, 1 - settings["edge"], 0, settings["core"], 4), mask), maps[0]


@compiled
def _places(
    labels: Labels, centroid: NDArray[np.float64], box: NDArray[np.int64], across: Plane, down: Plane
) -> None:
    for y in range(labels.shape[0]):
        for x in range(labels.shape[1]):
            k = labels[y, x]
            if k:
                middle_y, middle_x = centroid[k]
                tall = middle_y - box[k, 0] if y < middle_y else box[k, 2] - 1 - middle_y
                wide = middle_x - box[k, 1] if x < middle_x else box[k, 3] - 1 - middle_x
                down[y, x] = (y - middle_y) / max(tall, 0.5)
                across[y, x] = (x - middle_x) / max(wide, 0.5)


@compiled
def _calm(across: Plane, down: Plane, mask: Mask) -> Plane:
    """1 less the steepest fall of either map at each pixel, by Sobel's filter; towards the background nothing falls."""
    height, width = mask.shape
    out = np.zeros((height, width), np.float32)
    for y in range(height):
        for x in range(width):
            if not mask[y, x]:
                continue
            fall_x = fall_y = np.float32(0)
            for i in range(-1, 2):
                weight = np.float32(2 - abs(i))
                v, u = y + i, x + i
                if 0 <= v < height and mask[v, x]:
                    left = across[v, x - 1] if x and mask[v, x - 1] else across[v, x]
                    right = across[v, x + 1] if x + 1 < width and mask[v, x + 1] else across[v, x]
                    fall_x += weight * (left - right)
                if 0 <= u < width and mask[y, u]:
                    above = down[y - 1, u] if y and mask[y - 1, u] else down[y, u]
                    below = down[y + 1, u] if y + 1 < height and mask[y + 1, u] else down[y, u]
                    fall_y += weight * (above - below)
            out[y, x] = 1 - min(max(max(fall_x, fall_y) / 8, np.float32(0)), np.float32(1))
    return out
