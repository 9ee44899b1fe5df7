"""What tasks share whose answer lies on the pixels: a network that gives maps, truths that move with the image."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from potency.answers.answer import Answer
from potency.data.plan import Plan
from potency.networks import Network
from potency.tasks.task import Sample, Task

STEP = 32  # px: halos are multiples of it, so that tiles begin where the coarsest map has a value
WIDEST = 512  # px of halo; what is wider than that is seen in part, and tiles may then show
VOID = -1  # of what is not judged


class Dense(Task):
    """Base of tasks with maps: `drawn` or `places` say where the truth lies, `target` what the maps should be there."""

    parts: ClassVar[Mapping[str, str]] = {"net": "dense"}
    maps: ClassVar[tuple[str, ...]] = ("output",)
    usual: ClassVar[Mapping[str, object]] = {
        "network": "unet", "fitting": "extend", "scale_by": "image", "batch": 8, "test_views": 1, "balance": 0.0,
        "augment": {"flip": 1.0, "turn": 1.0, "zoom": 0.25, "gain": 0.1, "gamma": 0.2, "noise": 0.03, "blur": 1.0},
    }  # fmt: skip

    @abstractmethod
    def around(self, plan: Plan, truths: Sequence[Answer]) -> float:
        """Pixels that must be seen around a pixel beyond what its network sees, so that its answer is whole."""

    def encode(self, truth: Answer, plan: Plan) -> Sample:
        return self.target(self.drawn(truth, plan), plan)

    def prepare(self, plan: Plan, truths: Sequence[Answer]) -> Plan:
        """The halo of its tiles, where its network sees no further than that."""
        with torch.device("meta"):
            nets = self.build(plan).values() if plan.learner == "gradient" else ()  # a rule has none
        halos = [net.halo for net in nets if isinstance(net, Network)]
        if any(halo is None for halo in halos):
            return plan.but(halo=None)
        wide = max(halos, default=0) + np.ceil(self.around(plan, truths))  # type: ignore[type-var]
        return plan.but(halo=min(WIDEST, -(-int(wide) // STEP) * STEP))


def seen_whole(largest: float) -> int:
    """The halo (px) of tiles for networks that find boxes: as wide as the largest object, so its owner sees it whole.

    Near the edge of what a tile sees such networks may err, but what lies there belongs to the next tile.
    """
    return min(WIDEST, STEP * (1 + int(largest) // STEP))


def dice(share: Tensor, target: Tensor) -> Tensor:
    """1 - Dice of each class over the batch, averaged over the classes that it shows (Milletari 2016).

    `share` (N, K, H, W) is the probability of each class, `target` (N, H, W) its number, VOID where it is not judged.
    """
    known = (target != VOID)[:, None]
    truth = nn.functional.one_hot(target.clamp(min=0), share.shape[1]).movedim(-1, 1) * known
    share = share * known
    both, each = (share * truth).sum((0, 2, 3)), (share + truth).sum((0, 2, 3))
    there = truth.sum((0, 2, 3)) > 0
    return 1 - torch.where(there, 2 * both / each.clamp(min=1e-6), 1.0).sum() / len(there)
