"""`unet-ronneberger`: the U-Net as published (Ronneberger et al. 2015, arXiv 1505.04597)."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

DROPPED = 0.5  # of the two coarsest maps while learning, "at the end of the contracting path"


class Ronneberger(nn.Module):
    """A map (N, width, H, W): two convolutions a level, max pooling down, transposed convolutions and joins up.

    As published: no norm, dropout at the end of the way down, weights drawn with deviation sqrt(2 / inputs). Unlike
    there, convolutions are padded, so that the map is as large as the image; away from the border of what it is shown
    by more than its halo, a value is the same.

    Args:
        channels: image channels (C).
        width: channels of the first level, doubled by each (published: 64).
        depth: how often the image is halved (published: 4).
    """

    def __init__(self, channels: int, width: int = 64, depth: int = 4) -> None:
        super().__init__()
        if depth < 1 or width < 1:
            raise TypeError("depth and width are at least 1")
        widths = [width * 2**k for k in range(depth + 1)]
        self.num_features, self.stride = width, 2**depth
        self.down = nn.ModuleList(_two(before, after) for before, after in pairwise([channels, *widths]))
        self.pool, self.drop = nn.MaxPool2d(2), nn.Dropout(DROPPED)
        self.enlarge = nn.ModuleList(nn.ConvTranspose2d(below, above, 2, 2) for above, below in pairwise(widths))
        self.join = nn.ModuleList(_two(below, above) for above, below in pairwise(widths))
        for part in self.modules():
            if isinstance(part, nn.Conv2d | nn.ConvTranspose2d):
                nn.init.kaiming_normal_(part.weight, nonlinearity="relu")
                nn.init.zeros_(part.bias)  # type: ignore[arg-type]

    def forward(self, image: Tensor) -> Tensor:
        maps = [self.down[0](image)]
        for block in self.down[1:]:
            maps.append(block(self.pool(maps[-1])))
        maps[-2:] = [self.drop(one) for one in maps[-2:]]
        values = maps.pop()
        for enlarge, join in zip(reversed(self.enlarge), reversed(self.join), strict=True):
            values = join(torch.cat([maps.pop(), enlarge(values)], 1))
        return torch.as_tensor(values)


def _two(before: int, after: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(before, after, 3, padding=1), nn.ReLU(), nn.Conv2d(after, after, 3, padding=1), nn.ReLU()
    )
