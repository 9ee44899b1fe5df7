"""`stardist`: how far every pixel sees in 32 directions before its object ends (Schmidt et al. 2018)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import cv2
import numpy as np
from numpy.typing import NDArray

from potency.data.compiled import compiled
from potency.decoding.census import Census, Labels, Plane, deepest_of
from potency.decoding.decoder import KEPT, Channel, Decoder
from potency.decoding.depth import depth

RAYS = 32
ANGLES = 2 * np.pi / RAYS * np.arange(RAYS)
DIRECTIONS = np.stack([np.sin(ANGLES), np.cos(ANGLES)], axis=1)  # y, x: StarDist's order


class StarDist(Decoder):
    """The distance to the outline along 32 rays, and how much a pixel is its object's middle.

    Pixels whose probability is the highest among their neighbours propose polygons, the most probable first. One that
    shares more than `overlap` of the smaller of both with an earlier one is the same object; else it is painted where
    nothing is yet. A shape that its middle does not see whole is cut: that is the limit of this decoder.
    """

    name = "stardist"
    channels = (Channel("middle", "logit"), *(Channel(f"ray{k}", "length", True) for k in range(RAYS)))
    thresholds: ClassVar[Mapping[str, float]] = {"middle": 0.5, "overlap": 0.3, **KEPT}

    def reach(self, diameter: float) -> int:
        return int(np.ceil(2 * diameter)) + 2

    def _maps(self, census: Census) -> NDArray[np.float32]:
        deep = depth(census.labels)
        deepest = deepest_of(census.labels, deep, len(census.area))
        maps = np.empty((1 + RAYS, *deep.shape), np.float32)
        np.divide(deep, np.take(np.maximum(deepest, 1), census.labels, mode="clip"), out=maps[0])
        flat = np.empty(deep.shape[::-1], np.float32)
        for labels, steep in ((census.labels, True), (np.ascontiguousarray(census.labels.T), False)):
            inside, joined = _joined(labels)
            for k, (y, x) in enumerate(DIRECTIONS):
                if steep and abs(y) >= abs(x):
                    _sight(inside, joined, y, x, maps[1 + k])
                elif not steep and abs(y) < abs(x):
                    _sight(inside, joined, x, y, flat)
                    cv2.transpose(flat, dst=maps[1 + k])
        return maps

    def _labels(self, maps: NDArray[np.float32], settings: Mapping[str, float]) -> tuple[Labels, Plane]:
        labels, chosen = _painted(maps, DIRECTIONS, _proposed(maps[0], settings["middle"]), settings["overlap"])
        return labels, np.concatenate([[np.float32(0)], maps[0].ravel()[chosen]])[labels]


@compiled
def _joined(labels: Labels) -> tuple[Plane, NDArray[np.float32]]:
    """Which pixels are inside an object, and which are of one with the pixel below and -1, 0 or 1 to the right.

    The latter in a frame of one pixel, in which nothing is joined.
    """
    height, width = labels.shape
    inside, joined = np.empty((height, width), np.float32), np.zeros((3, height + 2, width + 2), np.float32)
    for y in range(height):
        for x in range(width):
            inside[y, x] = labels[y, x] > 0
        if y + 1 < height:
            for side in range(-1, 2):
                for x in range(max(0, -side), min(width, width - side)):
                    joined[side + 1, y + 1, x + 1] = labels[y, x] > 0 and labels[y, x] == labels[y + 1, x + side]
    return inside, joined


@compiled
def _sight(inside: Plane, joined: NDArray[np.float32], y_step: float, x_step: float, out: Plane) -> None:
    """How far each pixel sees along a ray steeper than 45 degrees, up or down, before its object ends.

    Pixels of one ray lie on one digital line, and parallel lines cover the image: so a pixel sees one step further than
    the next of its line, and the time does not depend on how far that is. It ends half a step after the last pixel.
    """
    height, width = inside.shape
    slope, half = x_step / abs(y_step), np.float32(0.5 / abs(y_step))
    seen = np.zeros(width + 2, np.float32)
    for i in range(height):
        y = height - 1 - i if y_step > 0 else i
        shift = int(np.rint(slope * i) - np.rint(slope * (i - 1)))
        if y_step > 0:
            same = joined[1 + shift, y + 1, 1 : 1 + width]
        else:
            same = joined[1 - shift, y, 1 + shift : 1 + shift + width]
        row, own, ahead = out[y], inside[y], seen[1 + shift : 1 + shift + width]
        for x in range(width):
            row[x] = half * own[x] + same[x] * (ahead[x] + half)
        seen[1:-1] = row


@compiled
def _proposed(middle: Plane, least: float) -> NDArray[np.int64]:
    """Pixels that are the highest of their 3 x 3 (the first of equals), highest first."""
    height, width = middle.shape
    found = np.empty(height * width, np.int64)
    count = 0
    for y in range(height):
        for x in range(width):
            own = middle[y, x]
            if not own > least or (x and middle[y, x - 1] >= own) or (x + 1 < width and middle[y, x + 1] > own):
                continue
            top = True
            for u in range(max(x - 1, 0), min(x + 2, width)):
                top &= (y == 0 or middle[y - 1, u] < own) and (y + 1 == height or middle[y + 1, u] <= own)
            if top:
                found[count] = y * width + x
                count += 1
    found = found[:count].copy()
    height_of = np.empty(count, np.float32)
    for i in range(count):
        height_of[i] = -middle[found[i] // width, found[i] % width]
    return found[np.argsort(height_of, kind="mergesort")]


@compiled
def _painted(
    maps: NDArray[np.float32], directions: NDArray[np.float64], proposed: NDArray[np.int64], overlap: float
) -> tuple[Labels, NDArray[np.int64]]:
    """Polygons painted in the order of `proposed`, less those that repeat another, and the pixels they are of."""
    _, height, width = maps.shape
    rays = len(directions)
    labels = np.zeros((height, width), np.int32)
    chosen, area = np.empty(len(proposed), np.int64), np.zeros(len(proposed) + 1, np.int64)
    shared = np.zeros(len(proposed) + 1, np.int64)
    owners = np.empty(len(proposed) + 1, np.int64)
    corners = np.empty((rays, 2))
    inside = np.zeros(1, np.bool_)
    count = 0
    for place in proposed:
        y, x = place // width, place % width
        for k in range(rays):
            far = max(maps[1 + k, y, x], np.float32(0.5))
            corners[k, 0] = min(max(y + far * directions[k, 0], -0.5), height - 0.5)
            corners[k, 1] = min(max(x + far * directions[k, 1], -0.5), width - 0.5)
        top, left = int(np.ceil(corners[:, 0].min())), int(np.ceil(corners[:, 1].min()))
        tall = int(np.floor(corners[:, 0].max())) + 1 - top
        wide = int(np.floor(corners[:, 1].max())) + 2 - left  # a last column for what ends beyond it
        if len(inside) < tall * wide:
            inside = np.zeros(2 * tall * wide, np.bool_)
        inside[: tall * wide] = False
        _fill(corners, inside, top, left, wide)
        size, met = 0, 0
        for i in range(tall):
            for j in range(wide - 1):
                if inside[i * wide + j]:
                    size += 1
                    owner = labels[top + i, left + j]
                    if owner:
                        if not shared[owner]:
                            owners[met] = owner
                            met += 1
                        shared[owner] += 1
        repeated = size == 0
        for m in range(met):
            repeated |= shared[owners[m]] > overlap * min(size, area[owners[m]])
            shared[owners[m]] = 0
        if repeated:
            continue
        chosen[count] = place
        count += 1
        area[count] = size
        for i in range(tall):
            for j in range(wide - 1):
                if inside[i * wide + j] and not labels[top + i, left + j]:
                    labels[top + i, left + j] = count
    return labels, chosen[:count].copy()


@compiled
def _fill(corners: NDArray[np.float64], inside: NDArray[np.bool_], top: int, left: int, wide: int) -> None:
    """Pixels whose middle is in a polygon (even-odd): every edge turns all that lies right of it, row by row."""
    last = 0
    for k in range(len(corners)):
        y0, x0 = corners[k]
        y1, x1 = corners[(k + 1) % len(corners)]
        if y0 > y1:
            y0, x0, y1, x1 = y1, x1, y0, x0
        for y in range(int(np.ceil(y0)), int(np.ceil(y1))):
            x = x0 + (y - y0) / (y1 - y0) * (x1 - x0)
            at = (y - top) * wide + int(np.ceil(x)) - left
            inside[at] = not inside[at]
            last = max(last, y - top + 1)
    for i in range(last):
        on = False
        for j in range(wide):
            on ^= inside[i * wide + j]
            inside[i * wide + j] = on
