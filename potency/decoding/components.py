"""`components`: one map that says where any object is, and its connected pieces (as of a semantic U-Net)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from potency.decoding.census import Census, Labels, Plane
from potency.decoding.decoder import KEPT, Channel, Decoder
from potency.decoding.flood import pieces


class Components(Decoder):
    """Every piece of the foreground, connected by sides, is an object (as of the U-Net of Ronneberger 2015).

    The fastest way, and objects that touch are one.
    """

    name = "components"
    channels = (Channel("inside", "logit"),)
    thresholds: ClassVar[Mapping[str, float]] = {"inside": 0.5, **KEPT}

    def reach(self, diameter: float) -> int:
        return int(np.ceil(diameter)) + 1

    def _maps(self, census: Census) -> NDArray[np.float32]:
        return np.asarray(census.labels > 0, np.float32)[None]

    def _labels(self, maps: NDArray[np.float32], settings: Mapping[str, float]) -> tuple[Labels, Plane]:
        return pieces(maps[0] > settings["inside"], 4), maps[0]
