"""`distance`: how deep a pixel lies in its object, and markers that grow from the heights (the classic watershed)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from potency.data.compiled import compiled
from potency.decoding.census import Census, Labels, Plane, centres
from potency.decoding.decoder import KEPT, Channel, Decoder
from potency.decoding.depth import depth
from potency.decoding.flood import flood, peaks


class Distance(Decoder):
    """The distance to the outline as a share of the object's largest, side peaks cut to the pass that leads to them.

    So every object has one peak of height 1 whatever its shape, and what lies above any height is connected: of pieces
    above `marker` that reach `peak` there is one an object, and the flood gives it the rest.
    """

    name = "distance"
    channels = (Channel("inside", "logit"), Channel("distance", "regression", True))
    thresholds: ClassVar[Mapping[str, float]] = {"inside": 0.5, "marker": 0.5, "peak": 0.7, "core": 4, **KEPT}

    def reach(self, diameter: float) -> int:
        return int(np.ceil(diameter)) + 2

    def _maps(self, census: Census) -> NDArray[np.float32]:
        maps = np.zeros((2, *census.labels.shape), np.float32)
        maps[0] = census.labels > 0
        deep = depth(census.labels)
        _lower(census.labels, census.box, *centres(census, deep, share=1), deep, maps[1])
        return maps

    def _labels(self, maps: NDArray[np.float32], settings: Mapping[str, float]) -> tuple[Labels, Plane]:
        inside, height = maps
        mask = inside > settings["inside"]
        markers = peaks(height * mask, settings["marker"], settings["peak"], settings["core"])
        return flood(height, markers, mask), inside


@compiled
def _lower(
    labels: Labels, box: NDArray[np.int64], peak: NDArray[np.int64], deepest: Plane, depth: Plane, out: Plane
) -> None:
    """Cut side peaks of every object: the largest depth below which no path to `peak` need fall (Vincent 1993)."""
    height, width = labels.shape
    for k in range(1, len(box)):
        top, left, bottom, right = box[k]
        out[peak[k, 0], peak[k, 1]] = deepest[k]
        changed = True
        while changed:
            changed = False
            for turn in range(2):
                for i in range(bottom - top):
                    y = top + i if turn == 0 else bottom - 1 - i
                    for j in range(right - left):
                        x = left + j if turn == 0 else right - 1 - j
                        if labels[y, x] != k or out[y, x] >= depth[y, x]:
                            continue
                        best = out[y, x]
                        for v in range(max(y - 1, 0), min(y + 2, height)):
                            for u in range(max(x - 1, 0), min(x + 2, width)):
                                if labels[v, u] == k and out[v, u] > best:
                                    best = out[v, u]
                        best = min(best, depth[y, x])
                        if best > out[y, x]:
                            out[y, x] = best
                            changed = True
        half = np.float32(0.5)  # the outline lies half a pixel from the outermost pixels
        for y in range(top, bottom):
            for x in range(left, right):
                if labels[y, x] == k:
                    out[y, x] = max(out[y, x] - half, np.float32(0)) / (deepest[k] - half)
