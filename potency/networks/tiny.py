"""`tiny`: our own residual network of under 0.3 M parameters for single-cell crops of 32-128 px on a laptop."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Residual(nn.Module):
    """Two 3x3 convolutions beside a skip; the first may halve the image (He 2016; pooled skip: ResNet-D, He 2019)."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        last = nn.BatchNorm2d(after)
        self.body = nn.Sequential(
            nn.Conv2d(before, after, 3, stride, 1, bias=False),
            nn.BatchNorm2d(after),
            nn.ReLU(),
            nn.Conv2d(after, after, 3, 1, 1, bias=False),
            last,
        )
        nn.init.zeros_(last.weight)  # each block starts as its skip: deep nets learn from step one
        skip: list[nn.Module] = [nn.AvgPool2d(2, 2, ceil_mode=True, count_include_pad=False)] if stride == 2 else []
        if before != after:
            skip += [nn.Conv2d(before, after, 1, bias=False), nn.BatchNorm2d(after)]
        self.skip = nn.Sequential(*skip)
        self.last = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        return torch.as_tensor(self.last(self.body(x) + self.skip(x)))


class Tiny(nn.Module):
    """Features (N, 88, h, w) from (N, C, H, W): a stem fitted to the crop, then five residual blocks, three that halve.

    Small crops keep every pixel in the stem (a cell of 20 px has no detail to spare), large ones are reduced there
    by 2 or 4, so an image costs about the same. No squeeze-excite and no attention: relevance stays easy to
    propagate, and the network fits any machine.
    """

    num_features = 88

    def __init__(self, channels: int, tile: int) -> None:
        super().__init__()
        stem: list[nn.Module] = [nn.Conv2d(channels, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU()]
        if tile > 48:
            stem[0] = nn.Conv2d(channels, 16, 5, 2, 2, bias=False)
        if tile > 96:
            stem.append(nn.MaxPool2d(2))
        self.stem = nn.Sequential(*stem)
        # A crop of under 24 px must keep three values a side: its first blocks do not halve.
        first, second = 1 if tile < 24 else 2, 1 if tile < 12 else 2
        self.body = nn.Sequential(
            Residual(16, 32, first),
            Residual(32, 32, 1),
            Residual(32, 64, second),
            Residual(64, 64, 1),
            Residual(64, 88, 2),
        )
        self.reduction = 2 * first * second * (1 if tile <= 48 else 2 if tile <= 96 else 4)

    def forward(self, image: Tensor) -> Tensor:
        return torch.as_tensor(self.body(self.stem(image)))
