"""`unet`: our own U-shaped network of residual blocks, which sees about 60 px each way; or one over any backbone."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from potency.networks.levels import DEEPEST, Levels
from potency.networks.plain import convolution
from potency.networks.tiny import Residual

GROWTH = (1, 2.5, 5, 8, 12)  # channels of each level, times those of the first
LEAST, MOST = 1, len(GROWTH) - 1
WIDEST = 16  # channels of the coarsest joined map over an encoder, times those of the finest


class UNet(nn.Module):
    """A map (N, width, H, W) of an image (N, C, H, W) whose sides divide by `stride` (Ronneberger 2015, with skips of
    He 2016 inside its blocks).

    Every level halves the image; on the way back its map is enlarged to that of the level above and joined with it.
    Batch norm is the only norm, and nothing looks at the whole image: a value depends on `halo` px around it.

    Args:
        channels: image channels (C).
        width: channels of the first level.
        depth: how often the image is halved, 1 to 4.
        shrink: px a side that become one value in the first layer and are drawn again in the last: objects of
            50 px and more need no finer maps, and 2 costs a quarter and sees twice as far.
    """

    def __init__(self, channels: int, width: int = 16, depth: int = 3, shrink: int = 1) -> None:
        super().__init__()
        if not (LEAST <= depth <= MOST and width >= 1 and shrink in (1, 2, 4)):
            raise TypeError(f"depth is {LEAST} to {MOST}, width at least 1, shrink 1, 2 or 4")
        widths = [round(width * share) for share in GROWTH[: depth + 1]]
        self.num_features, self.stride = width, shrink * 2**depth
        kernel = 3 if shrink == 1 else 2 * shrink
        first = nn.Conv2d(channels, width, kernel, shrink, (kernel - shrink + 1) // 2, bias=False)
        self.stem = nn.Sequential(first, nn.BatchNorm2d(width), nn.ReLU())
        self.down = nn.ModuleList(Residual(above, below, 2) for above, below in pairwise(widths))
        self.deepest = Residual(widths[-1], widths[-1], 1)
        self.narrow = nn.ModuleList(nn.Conv2d(below, above, 1, bias=False) for above, below in pairwise(widths))
        self.join = nn.ModuleList(Residual(2 * above, above, 1) for above in widths[:-1])
        drawn = [nn.ConvTranspose2d(width, width, shrink, shrink), nn.ReLU()] if shrink > 1 else []
        self.drawn = nn.Sequential(*drawn)

    def forward(self, image: Tensor) -> Tensor:
        maps = [self.stem(image)]
        for block in self.down:
            maps.append(block(maps[-1]))
        values = self.deepest(maps.pop())
        for narrow, join in zip(reversed(self.narrow), reversed(self.join), strict=True):
            larger = interpolate(narrow(values), scale_factor=2.0, mode="nearest")
            values = join(torch.cat([maps.pop(), larger], 1))
        return torch.as_tensor(self.drawn(values))


class EncodedUNet(nn.Module):
    """A map (N, width, H, W) from those of a backbone, joined from the coarsest to the image itself (Ronneberger 2015).

    Where a stride has no map (of a transformer, or between an image and a stem that divides by four), the map is
    enlarged alone.

    Args:
        channels: image channels (C).
        tile: px of the crops.
        encoder: a name of `BACKBONES`, of timm, or "torchvision/NAME".
        width: channels of the finest map; twice as many at every halving, 16 times at most.
        depth: how often the image is halved at most; fewer see less far, and their tiles cost less.
    """

    def __init__(
        self, channels: int, tile: tuple[int, int], encoder: str, width: int = 16, depth: int = DEEPEST
    ) -> None:
        super().__init__()
        if width < 1 or depth < 1:
            raise TypeError("depth and width are at least 1")
        self.encoder = Levels(encoder, channels, tile, depth)
        widths = {1: channels, **dict(zip(self.encoder.strides, self.encoder.widths, strict=True))}
        self.num_features, self.stride = width, max(widths)
        self.strides = [self.stride // 2**k for k in range(1, self.stride.bit_length())]  # the coarsest first
        before, blocks = widths[self.stride], []
        for stride in self.strides:
            after = width * min(stride, WIDEST)
            joined = convolution(before + widths.get(stride, 0), after, 3, nn.ReLU)
            blocks.append(nn.Sequential(joined, convolution(after, after, 3, nn.ReLU)))
            before = after
        self.join = nn.ModuleList(blocks)

    def forward(self, image: Tensor) -> Tensor:
        maps = {1: image, **dict(zip(self.encoder.strides, self.encoder(image), strict=True))}
        values = maps[self.stride]
        for stride, join in zip(self.strides, self.join, strict=True):
            larger = interpolate(values, scale_factor=2.0, mode="nearest")
            values = join(torch.cat([maps[stride], larger], 1) if stride in maps else larger)
        return torch.as_tensor(values)
