"""`embedding`: every pixel says where its object's middle lies, and meets its fellows there (EmbedSeg, InstanSeg)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from potency.data.compiled import compiled
from potency.decoding.census import Census, Labels, Plane, centres
from potency.decoding.decoder import KEPT, Channel, Decoder
from potency.decoding.depth import depth
from potency.decoding.flood import flood


class Embedding(Decoder):
    """Offsets in pixels to the middle of the object, and how far from it an offset may end (Neven et al. 2019).

    `seed` is the probability that a pixel ends at its object's middle, so that of being inside; `spread` is the depth
    of the object at its deepest, within which no other object's middle can lie. Pixels vote with `seed` for where they
    end; the fullest places, none within another's spread, are the objects; a pixel is of the one within whose spread it
    ends, or of its neighbours' where it ends in none. An object in several pieces stays one.
    """

    name = "embedding"
    channels = (
        Channel("seed", "logit"), Channel("to_y", "embedding", True), Channel("to_x", "embedding", True),
        Channel("spread", "embedding", True),
    )  # fmt: skip
    thresholds: ClassVar[Mapping[str, float]] = {"inside": 0.5, "votes": 0.1, **KEPT}

    def reach(self, diameter: float) -> int:
        return int(np.ceil(2 * diameter)) + 2

    def _maps(self, census: Census) -> NDArray[np.float32]:
        deep = depth(census.labels)
        centre, deepest = centres(census, deep)
        maps = np.zeros((4, *deep.shape), np.float32)
        maps[0] = census.labels > 0
        # An object that leaves the image may seem deeper than it is wide.
        spread = np.minimum(deepest, np.sqrt(census.area / np.pi)).astype(np.float32)
        _offsets(census.labels, centre, spread, maps)
        return maps

    def _labels(self, maps: NDArray[np.float32], settings: Mapping[str, float]) -> tuple[Labels, Plane]:
        where, _ = _meetings(_votes(maps, settings["inside"]), maps, settings["votes"])
        labels, strays = _members(maps, where, settings["inside"])
        if strays:
            labels = flood(maps[0], labels, maps[0] > settings["inside"])
        return labels, maps[0]


@compiled
def _offsets(labels: Labels, centre: NDArray[np.int64], spread: Plane, maps: NDArray[np.float32]) -> None:
    for y in range(labels.shape[0]):
        for x in range(labels.shape[1]):
            k = labels[y, x]
            if k:
                maps[1, y, x], maps[2, y, x] = centre[k, 0] - y, centre[k, 1] - x
                maps[3, y, x] = spread[k]


@compiled
def _end(maps: NDArray[np.float32], y: int, x: int) -> tuple[int, int]:
    """The pixel at which the offset of a pixel ends, the nearest in the image."""
    _, height, width = maps.shape
    v, u = y + np.rint(maps[1, y, x]), x + np.rint(maps[2, y, x])
    return int(min(max(v, 0), height - 1)), int(min(max(u, 0), width - 1))


@compiled
def _votes(maps: NDArray[np.float32], inside: float) -> Plane:
    _, height, width = maps.shape
    votes = np.zeros((height, width), np.float32)
    for y in range(height):
        for x in range(width):
            if maps[0, y, x] > inside:
                v, u = _end(maps, y, x)
                votes[v, u] += maps[0, y, x]
    return votes


@compiled
def _meetings(votes: Plane, maps: NDArray[np.float32], share: float) -> tuple[Labels, NDArray[np.int32]]:
    """The number of the nearest middle within its spread at every pixel, and the middles (n + 1, 2) as y, x."""
    height, width = votes.shape
    sums = np.zeros((height, width), np.float32)
    for y in range(height):
        for x in range(width):
            if votes[y, x] > 0:
                for v in range(max(y - 1, 0), min(y + 2, height)):
                    for u in range(max(x - 1, 0), min(x + 2, width)):
                        sums[y, x] += votes[v, u]
    places = np.empty(height * width, np.int32)
    count = 0
    for y in range(height):
        for x in range(width):
            most = votes[y, x] > 0 and sums[y, x] >= share * np.pi * maps[3, y, x] ** 2
            if most:
                for v in range(max(y - 1, 0), min(y + 2, height)):
                    for u in range(max(x - 1, 0), min(x + 2, width)):
                        most &= sums[v, u] <= sums[y, x]
            if most:
                places[count] = y * width + x
                count += 1
    places = places[:count]
    fullness = np.empty(count, np.float32)
    for i in range(count):
        fullness[i] = -sums[places[i] // width, places[i] % width] - votes[places[i] // width, places[i] % width]
    where = np.zeros((height, width), np.int32)
    middles = np.zeros((count + 1, 2), np.int32)
    found = 0
    for i in np.argsort(fullness, kind="mergesort"):
        y, x = places[i] // width, places[i] % width
        if where[y, x]:
            continue
        found += 1
        middles[found, 0], middles[found, 1] = y, x
        spread = max(maps[3, y, x], np.float32(1))
        far = int(min(spread, np.float32(height + width)))
        for v in range(max(y - far, 0), min(y + far + 1, height)):
            for u in range(max(x - far, 0), min(x + far + 1, width)):
                own = (v - y) ** 2 + (u - x) ** 2
                k = where[v, u]
                if own <= spread * spread and (not k or own < (v - middles[k, 0]) ** 2 + (u - middles[k, 1]) ** 2):
                    where[v, u] = found
    return where, middles[: found + 1]


@compiled
def _members(maps: NDArray[np.float32], where: Labels, inside: float) -> tuple[Labels, int]:
    """The object at the end of each pixel's offset, and how many pixels end in none."""
    _, height, width = maps.shape
    labels, strays = np.zeros((height, width), np.int32), 0
    for y in range(height):
        for x in range(width):
            if maps[0, y, x] > inside:
                v, u = _end(maps, y, x)
                labels[y, x] = where[v, u]
                strays += where[v, u] == 0
    return labels, strays
