"""Explanation by what a network of patches weighs: the attention that it pools an image's patches with."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from potency.errors import PlanError
from potency.explanation.method import Map
from potency.explanation.relevance import Run, Score
from potency.networks.bag import Bag, starts


def attention(run: Run, focus: Score, images: Tensor) -> Map:
    """How many times its even share each patch weighs in the answer (Ilse 2018, section 2.4): 1 where all weigh alike.

    It says where a network looks, not which class that speaks for; where patches overlap, their mean.

    Raises:
        PlanError: the network does not pool patches.
    """
    asked: list[tuple[Bag, Tensor]] = []

    def note(module: nn.Module, given: tuple[Any, ...], _: object) -> None:
        if isinstance(module, Bag):
            asked.append((module, given[0]))

    listening = nn.modules.module.register_module_forward_hook(note)
    try:
        with torch.no_grad():
            score = focus(run(images))
    finally:
        listening.remove()
    if not asked:
        raise PlanError("the network pools no patches and has no attention", "method",
                        "choose relevance, or train with --network bag:pool=gated")  # fmt: skip
    bag, seen = asked[-1]
    with torch.no_grad():
        _, weights = bag.pooled(seen)
    painted = _painted(weights * weights[0].numel(), bag.patch, (int(seen.shape[2]), int(seen.shape[3])))
    return Map(nn.functional.interpolate(painted, images.shape[2:], mode="nearest"), score)


def _painted(weights: Tensor, patch: int, shape: tuple[int, int]) -> Tensor:
    """Weights (N, rows, columns) of patches as an image (N, 1, *shape)."""
    tops, lefts = (starts(length, patch) for length in shape)
    total = weights.new_zeros(len(weights), 1, *shape)
    count = weights.new_zeros(shape)
    for row, top in enumerate(tops):
        for column, left in enumerate(lefts):
            here = slice(top, top + patch), slice(left, left + patch)
            total[:, :, here[0], here[1]] += weights[:, row, column, None, None, None]
            count[here] += 1
    return total / count
