"""`flows`: a vector field that leads every pixel to the middle of its object (Cellpose, Stringer et al. 2021)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from potency.data.compiled import compiled
from potency.decoding.basins import basins, unite
from potency.decoding.census import Census, Labels, Plane, centres
from potency.decoding.decoder import KEPT, Channel, Decoder
from potency.decoding.depth import depth


class Flows(Decoder):
    """Unit vectors along the shortest path to the object's middle, where a step costs the more the nearer the outline.

    A step of length s at depth d costs s / d, as in the half-plane of hyperbolic geometry: paths leave the outline at
    right angles, so that the vectors of touching objects part, and then keep to the middle. The time of arrival is
    found by fast sweeping (Zhao 2005). Cellpose's own vectors, of simulated heat, look much the same.
    """

    name = "flows"
    channels = (Channel("inside", "logit"), Channel("flow_y", "vector", True), Channel("flow_x", "vector", True))
    thresholds: ClassVar[Mapping[str, float]] = {"inside": 0.5, "parting": 0.25, "core": 4, **KEPT}

    def reach(self, diameter: float) -> int:
        return int(np.ceil(diameter)) + 2

    def _maps(self, census: Census) -> NDArray[np.float32]:
        deep = depth(census.labels)
        centre, deepest = centres(census, deep)
        maps = np.zeros((3, *deep.shape), np.float32)
        maps[0] = census.labels > 0
        _flow(census.labels, census.box, centre, deep, maps[1], maps[2])
        return maps

    def _labels(self, maps: NDArray[np.float32], settings: Mapping[str, float]) -> tuple[Labels, Plane]:
        inside, flow_y, flow_x = maps
        apart = basins(flow_y, flow_x, inside > settings["inside"])
        return unite(apart, flow_y, flow_x, settings["parting"], int(settings["core"])), inside


@compiled
def _flow(
    labels: Labels, box: NDArray[np.int64], centre: NDArray[np.int64], depth: Plane, flow_y: Plane, flow_x: Plane
) -> None:
    """The vectors of every object, written into two planes of zeros."""
    height, width = labels.shape
    time = np.full((height + 2, width + 2), np.inf, np.float32)  # a frame spares the loops their ends
    own = np.zeros((height + 2, width + 2), np.int32)
    own[1:-1, 1:-1] = labels
    stale = np.zeros((height + 2, width + 2), np.bool_)  # a neighbour was reached earlier since a pixel was looked at
    for k in range(1, len(box)):
        top, left, bottom, right = box[k]
        y, x = centre[k, 0] + 1, centre[k, 1] + 1
        while own[y, x] == k:
            time[y, x] = 0
            _spread(stale, time, own, y, x)
            _sweep(time, own, stale, depth, box[k])
            y, x = _left_out(time, own, depth, box[k], k)
        for y in range(top + 1, bottom + 1):
            for x in range(left + 1, right + 1):
                if own[y, x] == k and 0 < time[y, x] < np.inf:
                    flow_y[y - 1, x - 1], flow_x[y - 1, x - 1] = _towards(time, own, y, x)


@compiled
def _sweep(time: Plane, own: Labels, stale: NDArray[np.bool_], depth: Plane, box: NDArray[np.int64]) -> None:
    """Let the times of an object settle, in all four directions by turns (Zhao 2005)."""
    top, left, bottom, right = box
    changed = True
    while changed:
        changed = False
        for turn in range(4):
            for i in range(bottom - top):
                y = top + 1 + i if turn < 2 else bottom - i
                for j in range(right - left):
                    x = left + 1 + j if turn % 2 else right - j
                    if stale[y, x]:
                        stale[y, x] = False
                        if _arrive(time, own, y, x, depth):
                            changed = True
                            _spread(stale, time, own, y, x)


@compiled
def _left_out(time: Plane, own: Labels, depth: Plane, box: NDArray[np.int64], k: int) -> tuple[int, int]:
    """The deepest pixel of an object that no path reaches, for each piece of it has a middle; (0, 0) if all are."""
    top, left, bottom, right = box
    deepest, v, u = np.float32(0), 0, 0
    for y in range(top + 1, bottom + 1):
        for x in range(left + 1, right + 1):
            if own[y, x] == k and time[y, x] == np.inf and depth[y - 1, x - 1] > deepest:
                deepest, v, u = depth[y - 1, x - 1], y, x
    return v, u


@compiled
def _of(time: Plane, own: Labels, y: int, x: int, k: int) -> np.float32:
    return time[y, x] if own[y, x] == k else np.float32(np.inf)


@compiled
def _spread(stale: NDArray[np.bool_], time: Plane, own: Labels, y: int, x: int) -> None:
    """Have the neighbours of a pixel looked at that may now be reached earlier."""
    for v in range(y - 1, y + 2):
        for u in range(x - 1, x + 2):
            if own[v, u] == own[y, x] and time[v, u] > time[y, x]:
                stale[v, u] = True


@compiled
def _arrive(time: Plane, own: Labels, y: int, x: int, depth: Plane) -> bool:
    """Whether a pixel is reached earlier than was known, over its sides, or over its corners where there is no side."""
    k, now = own[y, x], time[y, x]
    a = min(_of(time, own, y, x - 1, k), _of(time, own, y, x + 1, k))
    b = min(_of(time, own, y - 1, x, k), _of(time, own, y + 1, x, k))
    low = min(a, b)
    if now <= low < np.inf:
        return False
    cost, apart = np.float32(1) / (depth[y - 1, x - 1] - np.float32(0.5)), abs(a - b)
    if low < np.inf:
        new = (a + b + np.sqrt(2 * cost * cost - apart * apart)) / 2 if apart < cost else low + cost
    else:
        c = min(_of(time, own, y - 1, x - 1, k), _of(time, own, y - 1, x + 1, k))
        d = min(_of(time, own, y + 1, x - 1, k), _of(time, own, y + 1, x + 1, k))
        new = min(c, d) + np.float32(np.sqrt(2)) * cost
    if new < now * np.float32(0.9999):  # what is less is rounding, and would go on for ever
        time[y, x] = new
        return True
    return False


@compiled
def _towards(time: Plane, own: Labels, y: int, x: int) -> tuple[float, float]:
    """The unit vector against the slope of the times, of neighbours reached earlier only: the way that was taken."""
    k, now = own[y, x], time[y, x]
    above, below = _of(time, own, y - 1, x, k), _of(time, own, y + 1, x, k)
    left, right = _of(time, own, y, x - 1, k), _of(time, own, y, x + 1, k)
    down = max(now - min(above, below), np.float32(0)) * (1 if below < above else -1)
    along = max(now - min(left, right), np.float32(0)) * (1 if right < left else -1)
    if down == 0 and along == 0:
        for v in (-1, 1):
            for u in (-1, 1):
                gain = now - _of(time, own, y + v, x + u, k)
                if gain > max(abs(down), 0):
                    down, along = v * gain, u * gain
    norm = np.sqrt(down * down + along * along)
    if norm == 0:
        return 0.0, 0.0
    return float(down / norm), float(along / norm)
