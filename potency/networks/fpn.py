"""`fpn`: a feature pyramid over any backbone, added up to one map (Lin et al. 2017; Kirillov et al. 2019)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from potency.networks.levels import DEEPEST, Levels
from potency.networks.plain import convolution

FINEST = 4  # px: the stride of the map in which all levels meet, where the backbone has it


class Fpn(nn.Module):
    """A map (N, width / 4, H, W): the maps of a backbone, each with what all coarser ones show added to it, brought to
    the finest stride and added up (the semantic branch of Panoptic FPN), then enlarged four times.

    Lighter than a U-Net, and blind to detail under four px. Batch norm takes the place of Kirillov's group norm,
    which looks at the whole image: a value depends on `halo` px around it where the backbone's do.

    Args:
        channels: image channels (C).
        tile: px of the crops.
        encoder: a name of `BACKBONES`, of timm, or "torchvision/NAME".
        width: channels of the pyramid (published: 256 and 128).
        depth: how often the image is halved at most.
    """

    def __init__(
        self, channels: int, tile: tuple[int, int], encoder: str = "resnet18", width: int = 128, depth: int = DEEPEST
    ) -> None:
        super().__init__()
        if width < 4 or depth < 1:
            raise TypeError("width is at least 4, depth at least 1")
        self.encoder = Levels(encoder, channels, tile, depth)
        told = list(zip(self.encoder.strides, self.encoder.widths, strict=True))
        told = [one for one in told if one[0] >= FINEST] or told[-1:]
        self.strides, widths = [stride for stride, _ in told], [wide for _, wide in told]
        self.num_features, self.stride = width // 4, self.strides[-1]
        self.lateral = nn.ModuleList(nn.Conv2d(wide, width, 1) for wide in widths)
        self.smooth = nn.ModuleList(nn.Conv2d(width, width, 3, padding=1) for _ in widths)
        self.level = nn.ModuleList(_level(width, stride // self.strides[0]) for stride in self.strides)
        self.last = convolution(width, self.num_features, 1, nn.ReLU)
        self.whole = _enlarged(self.strides[0])

    def forward(self, image: Tensor) -> Tensor:
        maps = self.encoder(image)[-len(self.strides) :]
        seen: list[Tensor] = []  # the coarsest first
        for k in reversed(range(len(maps))):
            values = self.lateral[k](maps[k])
            if seen:
                times = float(self.strides[k + 1] // self.strides[k])
                values = values + interpolate(seen[-1], scale_factor=times, mode="nearest")
            seen.append(values)
        total: Tensor | None = None
        for k, values in enumerate(reversed(seen)):
            values = self.level[k](self.smooth[k](values))
            total = values if total is None else total + values
        return torch.as_tensor(self.whole(self.last(total)))


def _level(width: int, times: int) -> nn.Sequential:
    """Convolved and doubled until a map is `times` as large, once convolved where it is large enough."""
    if times == 1:
        return nn.Sequential(convolution(width, width, 3, nn.ReLU))
    parts = ((convolution(width, width, 3, nn.ReLU), _enlarged(2)) for _ in range(times.bit_length() - 1))
    return nn.Sequential(*(part for two in parts for part in two))


def _enlarged(times: int) -> nn.Module:
    """Between the middles of values, which does not depend on how large the map is (as aligned corners would)."""
    return nn.Upsample(scale_factor=float(times), mode="bilinear", align_corners=False)
