"""`bag`: an image as a bag of patches, each seen by a body of its own and pooled by a learned head, end to end."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from potency.errors import PlanError, nearest
from potency.networks.pooling import BAGS

LEAST_PATCH = 8


class Bag(nn.Module):
    """Features (N, F) from (N, C, H, W): patches side by side, or overlapping a little where they do not divide it.

    Args:
        channels: image channels (C).
        side: the shorter side of the crop, px.
        build: makes the body of `channels` and the side of a patch.
        patch: side of a patch in px; 0: a quarter of the crop, 16 at least.
        pool: one of BAGS.

    Raises:
        PlanError: no such head, or a patch that does not fit.
    """

    def __init__(
        self, channels: int, side: int, build: Callable[[int, int], nn.Module], patch: int = 0, pool: str = "gated"
    ) -> None:
        super().__init__()
        patch = patch or min(side, max(16, side // 4))
        if pool not in BAGS:
            raise PlanError(f"bag has no head {pool!r}", "bag:pool=", nearest(str(pool), BAGS))
        if not LEAST_PATCH <= patch <= side:
            raise PlanError(f"a patch of {patch} px does not fit a crop of {side} px", "bag:patch=",
                            f"give {LEAST_PATCH} to {side} px")  # fmt: skip
        self.patch, self.body = patch, build(channels, patch)
        self.num_features = int(self.body.num_features)  # type: ignore[arg-type]
        self.feature_info = [{"reduction": patch}]  # px from one patch to the next, where they divide the crop
        self.pool = BAGS[pool](self.num_features)

    def forward(self, image: Tensor) -> Tensor:
        pooled, _ = self.pooled(image)
        return pooled

    def pooled(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Of an image (N, C, H, W): features (N, F), and the weight (N, rows, columns) of each patch."""
        # Whole numbers, also while an engine traces: a network with attention has one size of crop.
        tops, lefts = (starts(int(length), self.patch) for length in image.shape[2:])
        patches = torch.stack([
            image[:, :, top : top + self.patch, left : left + self.patch] for top in tops for left in lefts
        ], dim=1)  # fmt: skip
        features = self.body(patches.flatten(0, 1))
        features = features.mean((2, 3)) if features.ndim == 4 else features
        seen = features.reshape(-1, len(tops) * len(lefts), self.num_features)
        mask = torch.ones_like(seen[..., 0], dtype=torch.bool)
        pooled, weights = self.pool(seen, mask)
        return pooled, weights.reshape(-1, len(tops), len(lefts))


def starts(length: int, patch: int) -> list[int]:
    """Where patches start so that they cover a length: as few as that takes, evenly spread.

    >>> starts(64, 32), starts(70, 32), starts(20, 32)
    ([0, 32], [0, 19, 38], [0])
    """
    count = max(1, -(-length // patch))
    return [round(k * max(0, length - patch) / max(1, count - 1)) for k in range(count)]
