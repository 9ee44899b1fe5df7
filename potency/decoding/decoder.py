"""What a decoder is: which maps a network must give, how they are made of known labels, and the way back to labels."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from potency.data.compiled import compiled
from potency.decoding.census import Census, Labels, Plane
from potency.decoding.holes import fill
from potency.errors import AnswerError, PlanError, nearest

# Pixels and score of an object from which on it is told, and the largest hole that is filled, as a share of its pixels.
KEPT: Mapping[str, float] = {"smallest": 1, "least": 0, "holes": 1}
KINDS: Mapping[str, str] = {
    "logit": "a probability by itself: sigmoid, binary cross-entropy",
    "class": "a probability among the channels of this kind: softmax, cross-entropy",
    "regression": "a number: L1 or L2",
    "length": "one of several lengths in pixels: L1 as a share of their mean, weighed by the probability before them",
    "vector": "a part of a vector, with the other channels of this kind: L2",
    "embedding": "a part of an offset in pixels, the last of the kind how far it may miss: L1 as a share of that",
}


class Channel(NamedTuple):
    """One map that a network gives.

    `inside`: its loss counts within objects only, for outside there is nothing to learn.
    """

    name: str
    kind: str
    inside: bool = False


class Decoded(NamedTuple):
    """Objects of one image: labels uint32 (Y, X), numbered 1 ... n from the top, and n scores between 0 and 1."""

    labels: NDArray[np.uint32]
    scores: NDArray[np.float32]


class Decoder(ABC):
    """A way from maps to instances and back; everything in it is fixed, thresholds are given at every call.

    `encode` and `decode` speak of the same maps, float32 (C, Y, X) in the order of `channels`: probabilities (after
    sigmoid or softmax) for the kinds logit and class, else what the network gives. An object's score is the mean
    probability that its pixels are inside an object.
    """

    name: ClassVar[str]
    channels: ClassVar[tuple[Channel, ...]]
    thresholds: ClassVar[Mapping[str, float]]  # names and defaults, KEPT among them; tuned on validation rows

    def encode(self, labels: NDArray[Any]) -> NDArray[np.float32]:
        """The maps (C, Y, X) of a perfect network for a label image (Y, X) of any integers, 0 = background.

        Errors: floating or negative numbers, other axes.
        """
        if not labels.size:
            Census.of(labels)
            return np.zeros((len(self.channels), *labels.shape), np.float32)
        return self._maps(Census.of(labels))

    def decode(self, maps: NDArray[Any], **thresholds: float) -> Decoded:
        """The objects in maps (C, Y, X) of any float type and memory order.

        A pixel where any map is not finite is background. `thresholds` replace the defaults of the same name.

        Errors: another number of maps, unknown thresholds.
        """
        if maps.ndim != 3 or len(maps) != len(self.channels):
            raise AnswerError(
                f"maps of shape {maps.shape} cannot be decoded as {self.name}", "maps of a network",
                f"give {len(self.channels)} maps (C, Y, X): {', '.join(channel.name for channel in self.channels)}",
            )  # fmt: skip
        unknown = [name for name in thresholds if name not in self.thresholds]
        if unknown:
            raise PlanError(f"unknown threshold {unknown[0]!r}", f"decoder {self.name}",
                            nearest(unknown[0], self.thresholds))  # fmt: skip
        planes = np.ascontiguousarray(maps, np.float32)
        if not planes.size:
            return Decoded(np.zeros(planes.shape[1:], np.uint32), np.zeros(0, np.float32))
        planes = _finite(planes)
        settings = {**self.thresholds, **thresholds}
        labels, sure = self._labels(planes, settings)
        found = Decoded(*_number(labels, sure, int(labels.max()), int(settings["smallest"]), settings["least"]))
        fill(found.labels, settings["holes"])
        return found

    @abstractmethod
    def reach(self, diameter: float) -> int:
        """How many pixels around an object of at most this diameter decide where it ends."""

    @abstractmethod
    def _maps(self, census: Census) -> NDArray[np.float32]: ...

    @abstractmethod
    def _labels(self, maps: NDArray[np.float32], settings: Mapping[str, float]) -> tuple[Labels, Plane]:
        """Labels of finite maps, numbered in any way; and a plane whose mean over an object is its score."""


def _finite(maps: NDArray[np.float32]) -> NDArray[np.float32]:
    """The maps with all channels 0 where any is not finite, themselves if all is."""
    if np.isfinite(maps.sum()):  # any NaN or inf shows in the sum, at a fraction of the cost of asking every value
        return maps
    return np.where(np.isfinite(maps).all(axis=0), maps, np.float32(0))


@compiled
def _number(
    labels: Labels, sure: Plane, count: int, smallest: int, least: float
) -> tuple[NDArray[np.uint32], Plane]:
    """Labels renumbered 1 ... n as a reader meets them, and scores, without those of fewer pixels or a lower score."""
    area, total, new = np.zeros(count + 1, np.int64), np.zeros(count + 1), np.zeros(count + 1, np.uint32)
    height, width = labels.shape
    for y in range(height):
        for x in range(width):
            k = labels[y, x]
            if k:
                area[k] += 1
                total[k] += sure[y, x]
    scores, found = np.zeros(count, np.float32), 0
    out = np.zeros((height, width), np.uint32)
    for y in range(height):
        for x in range(width):
            k = labels[y, x]
            if k and area[k] >= smallest and total[k] >= least * area[k]:
                if not new[k]:
                    scores[found] = min(max(total[k] / area[k], 0.0), 1.0)
                    found += 1
                    new[k] = found
                out[y, x] = new[k]
    return out, scores[:found].copy()
