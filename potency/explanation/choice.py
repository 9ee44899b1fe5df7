"""Which way of a method suits a network: the one whose maps, when hidden and shown, change what it says the most."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from potency.explanation import faithful
from potency.explanation.method import Method, Told
from potency.explanation.relevance import Run, Score

ENOUGH = 16  # images a choice rests on


@dataclass(frozen=True)
class Case:
    """Images whose map is asked for in one way: (N, C, H, W), the score explained, and what curves are drawn of."""

    images: Tensor
    focus: Score
    told: Told


def fitted(method: Method, run: Run, cases: Sequence[Case]) -> Method:
    """The way of its ladder with the largest gain over chance, deletion and insertion together (Pahde 2022).

    One choice for a network, not one an image: a map that was picked by its own test would have no test left. To
    measure what is gained, choose on other images than are measured. A method without a ladder, or fewer than
    `faithful.FEWEST` images, leave it as it is.
    """
    if not method.ladder or sum(len(case.images) for case in cases) < faithful.FEWEST:
        return method
    chances, gains = [faithful.chance(case.told, case.images) for case in cases], {}
    for way in method.ladder:
        maps = [method.taking(way)(run, case.focus, case.images).values for case in cases]
        if all(torch.isfinite(values).all() for values in maps):
            drawn = [faithful.curves(case.told, case.images, values, chance)
                     for case, values, chance in zip(cases, maps, chances, strict=True)]  # fmt: skip
            gains[way] = float(np.mean(np.concatenate([curves.deletion + curves.insertion for curves in drawn])))
    return method.taking(max(gains, key=gains.__getitem__)) if gains else method
