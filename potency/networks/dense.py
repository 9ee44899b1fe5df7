"""Networks that give a map: several numbers for every pixel of the image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from potency.data.tiles import Size, sides
from potency.errors import PlanError, nearest
from potency.networks.backbones import BACKBONES, Backbone, find_backbone, normalisation
from potency.networks.cellvit import CellVit
from potency.networks.fpn import Fpn
from potency.networks.levels import Levels
from potency.networks.network import Network, rate_of
from potency.networks.reach import trace
from potency.networks.ric import RicUNet
from potency.networks.ronneberger import Ronneberger
from potency.networks.unet import EncodedUNet, UNet


def _unet(channels: int, tile: tuple[int, int], branches: int, encoder: str = "", **options: Any) -> nn.Module:
    return EncodedUNet(channels, tile, encoder, **options) if encoder else UNet(channels, **options)


# Short names people type; options follow, each after a colon.
DENSE: Mapping[str, Backbone] = {
    "unet": Backbone(
        "potency/unet", 0.91,
        "ours: residual U-Net that sees about 60 px; width, depth; over any backbone as encoder=NAME", build=_unet,
    ),
    "unet-ronneberger": Backbone(
        "potency/unet-ronneberger", 31.03, "U-Net as published (Ronneberger 2015), padded; width, depth",
        build=lambda channels, tile, branches, **options: Ronneberger(channels, **options),
    ),
    "fpn": Backbone(
        "potency/fpn", 12.93, "feature pyramid over encoder=NAME (Lin 2017, Kirillov 2019); width, depth",
        build=lambda channels, tile, branches, **options: Fpn(channels, tile, **options),
    ),
    "ric-unet": Backbone(
        "potency/ric-unet", 3.22, "residual inception and channel attention (Zeng 2019); width, depth",
        build=lambda channels, tile, branches, **options: RicUNet(channels, **options),
    ),
    "cellvit": Backbone(
        "potency/cellvit", 44.54, "transformer and a decoder a head (Hörst 2024); encoder=NAME, width", build=CellVit
    ),
}  # fmt: skip


# By all that a body depends on: one process builds the same network for every fold, bundle and engine.
_HALOS: dict[tuple[str, int, int, tuple[int, int]], int | None] = {}


class Dense(Network):
    """A body that gives a map and a linear layer on it: {"output": (N, the sum of `heads`, H, W)}.

    A body of several branches has one for each head, with a linear layer of its own.

    Args:
        name: of `DENSE`.
        channels: image channels (C).
        heads: numbers a pixel, head by head.
        tile: px a side of the crops; must divide by the stride.
        normalise: what the body expects of values that the plan scaled to 0..1, a name of `NORMALISATIONS`.

    Raises:
        PlanError: there is no such network or normalisation, or the tile does not divide by the stride.
    """

    mean: Tensor
    spread: Tensor

    def __init__(
        self, name: str, channels: int, heads: Sequence[int], tile: Size = 256, normalise: str = "half"
    ) -> None:
        super().__init__()
        self.name, self.normalise = name, normalise
        for kind, values in zip(("mean", "spread"), normalisation(normalise, channels), strict=True):
            self.register_buffer(kind, torch.tensor(values)[:, None, None], persistent=False)
        found = find_backbone(name)
        known = DENSE.get(name.partition(":")[0])
        if known is None or known.build is None:
            raise PlanError(f"there is no network {name!r} that gives a map", "plan.network", _instead(name))
        try:
            self.body = known.build(channels, sides(tile), len(heads), **found.options)
        except TypeError as error:
            told = f"{name.partition(':')[0]} cannot be built with {dict(found.options)}"
            raise PlanError(told, "plan.network", str(error)) from error
        self.stride = int(self.body.stride)  # type: ignore[arg-type]
        if any(side % self.stride for side in sides(tile)):
            raise PlanError(f"a tile of {'x'.join(map(str, sides(tile)))} px does not divide by {self.stride}",
                            "plan.tile", f"give multiples of {self.stride}")  # fmt: skip
        key = (name, channels, len(heads), sides(tile))
        if key not in _HALOS:
            _HALOS[key] = trace(self.body, channels, sides(tile)).halo
        self.halo, self.rate = _HALOS[key], rate_of(self.body)
        self.branches = int(getattr(self.body, "branches", 1))
        own = int(self.body.num_features) // self.branches  # type: ignore[arg-type]
        layers = [nn.Conv2d(own, count, 1) for count in (heads if self.branches > 1 else [sum(heads)])]
        for layer in layers:
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
        self.linear: nn.Module = nn.ModuleList(layers) if self.branches > 1 else layers[0]

    def forward(self, image: Tensor) -> Mapping[str, Tensor]:
        maps = self.body((image - self.mean) / self.spread)
        if not isinstance(self.linear, nn.ModuleList):
            return {"output": self.linear(maps)}
        own = maps.chunk(self.branches, 1)
        return {"output": torch.cat([linear(part) for linear, part in zip(self.linear, own, strict=True)], 1)}

    def bodies(self) -> Mapping[str, nn.Module]:
        encoder = getattr(self.body, "encoder", None)
        return {self.name: self.body} | ({encoder.name: encoder.body} if isinstance(encoder, Levels) else {})

    def head(self) -> nn.Module:
        """All but the encoder, where there is one: a decoder knows nothing of published weights."""
        if not isinstance(getattr(self.body, "encoder", None), Levels):
            return self.linear
        return nn.ModuleList([*(part for name, part in self.body.named_children() if name != "encoder"), self.linear])

    def extra_repr(self) -> str:
        """What a compiled network depends on beside layers and weights."""
        return f"normalise={self.normalise!r}"


def _instead(name: str) -> str:
    """What to type: a backbone by itself becomes an encoder."""
    short = name.partition(":")[0]
    return f"a backbone is an encoder: unet:encoder={short}" if short in BACKBONES else nearest(name, DENSE)
