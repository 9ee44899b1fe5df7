"""`ric-unet`: a U-Net of residual inception blocks whose joins are weighted by channel attention (Zeng et al. 2019)."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from potency.networks.plain import Inception, convolution


class RicUNet(nn.Module):
    """A map (N, width, H, W) by the three techniques of RIC-UNet (doi 10.1109/ACCESS.2019.2896920): residual blocks,
    several scales side by side in each, and channel attention where the two ways of the U meet.

    The paper's widths are not known to us; ours follow the published U-Net at half its width. Attention looks at the
    whole image, so the answer belongs to the tile that it is shown.

    Args:
        channels: image channels (C).
        width: channels of the first level, doubled by each.
        depth: how often the image is halved.
    """

    def __init__(self, channels: int, width: int = 32, depth: int = 4) -> None:
        super().__init__()
        if depth < 1 or width < 3:
            raise TypeError("depth is at least 1, width at least 3")
        widths = [width * 2**k for k in range(depth + 1)]
        self.num_features, self.stride = width, 2**depth
        self.down = nn.ModuleList(ResidualInception(before, after) for before, after in pairwise([channels, *widths]))
        self.pool = nn.MaxPool2d(2)
        self.narrow = nn.ModuleList(convolution(below, above, 1, nn.ReLU) for above, below in pairwise(widths))
        self.join = nn.ModuleList(ChannelAttention(above) for above in widths[:-1])
        self.up = nn.ModuleList(ResidualInception(above, above) for above in widths[:-1])

    def forward(self, image: Tensor) -> Tensor:
        maps = [self.down[0](image)]
        for block in self.down[1:]:
            maps.append(block(self.pool(maps[-1])))
        values = maps.pop()
        for narrow, join, up in zip(reversed(self.narrow), reversed(self.join), reversed(self.up), strict=True):
            larger = interpolate(narrow(values), scale_factor=2.0, mode="nearest")
            values = up(join(maps.pop(), larger))
        return torch.as_tensor(values)


class ResidualInception(nn.Module):
    """Three scales side by side (Szegedy 2015) beside a skip (He 2016)."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.scales = Inception(before, after, 3, nn.ReLU)
        self.mixed = nn.Sequential(nn.Conv2d(after, after, 1, bias=False), nn.BatchNorm2d(after))
        self.skip = nn.Sequential(nn.Conv2d(before, after, 1, bias=False), nn.BatchNorm2d(after))
        self.last = nn.ReLU()

    def forward(self, values: Tensor) -> Tensor:
        return torch.as_tensor(self.last(self.mixed(self.scales(values)) + self.skip(values)))


class ChannelAttention(nn.Module):
    """A fine map whose channels are weighted by what both maps show as a whole, and the coarse one (Yu et al. 2018)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        first, second = nn.Conv2d(2 * channels, channels, 1), nn.Conv2d(channels, channels, 1)
        self.weigh = nn.Sequential(first, nn.ReLU(), second, nn.Sigmoid())

    def forward(self, fine: Tensor, coarse: Tensor) -> Tensor:
        shown = torch.cat([fine, coarse], 1).mean((2, 3), keepdim=True)
        return torch.as_tensor(fine * self.weigh(shown) + coarse)
