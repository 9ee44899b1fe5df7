"""What networks share that outline by boxes with a mask inside each: truths as boxes, and answers as painted maps."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from potency.decoding.census import Census
from potency.decoding.painting import painted

SIDE = 32  # px of the objects that a network is timed with


class Found(NamedTuple):
    """The objects in one image: boxes (n, 4: top, left, bottom, right), masks (n, S, S) of probabilities on each box,
    scores (n,), and the place of its class (n,)."""

    edges: Tensor
    masks: Tensor
    score: Tensor
    kind: Tensor


def planes_of(found: Iterable[Found], image: Tensor) -> dict[str, Tensor]:
    """Answers for images (N, C, H, W) on their pixels, where they are cut and joined like any map.

    "output" (N, 1, H, W): how sure it is that an object is there; "labels" (N, 2, H, W), whole numbers: of the object,
    from 1, 0 is background, and the place of its class. Of two masks the one of higher score has the pixel.
    """
    size = int(image.shape[2]), int(image.shape[3])
    labels, sure = [np.zeros((0, 2, *size), np.int32)], [np.zeros((0, 1, *size), np.float32)]
    for one in found:
        edges, masks, score, kind = (part.detach().float().cpu().numpy() for part in one)
        number, certain = painted(edges, masks, score, size)
        kinds = np.concatenate([[0], kind]).astype(np.int32)
        labels.append(np.stack([number, kinds[number]])[None])
        sure.append(certain[None, None])
    return {name: torch.from_numpy(np.concatenate(planes)).to(image.device)
            for name, planes in (("output", sure), ("labels", labels))}  # fmt: skip


class Truth(NamedTuple):
    """What a label image shows: its objects numbered from 1 without gaps (H, W), boxes (n, 4) and classes (n,).

    A class is its place in the plan, 0 without any, -1 where it is not known.
    """

    labels: NDArray[np.int32]
    edges: NDArray[np.int64]
    kind: NDArray[np.int64]

    @classmethod
    def of(cls, labels: Tensor, kinds: Tensor | None) -> Truth:
        """Of labels (H, W), negative where nothing is judged, and the class at every pixel."""
        census = Census.of(np.maximum(labels.cpu().numpy(), 0))
        count = len(census.area) - 1
        told = np.zeros(count, np.int64)
        if kinds is not None:
            inside = np.flatnonzero(census.labels)
            told[census.labels.ravel()[inside] - 1] = kinds.cpu().numpy().ravel()[inside]
        return cls(census.labels, census.box[1:], told)


def squares(image: Tensor) -> Tensor:
    """Labels (N, H, W) for images of noise, to be learned while a network is timed: squares of `SIDE` px, every other
    one an object."""
    y, x = (torch.arange(side, device=image.device) // SIDE for side in image.shape[2:])
    number = y[:, None] * (len(x) // SIDE + 1) + x + 1
    return (number * ((y[:, None] + x) % 2 == 0)).expand(len(image), -1, -1)
