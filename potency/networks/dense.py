"""Networks that give a map: several numbers for every pixel of the image."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from potency.data.tiles import Size, sides
from potency.errors import PlanError, nearest
from potency.networks.backbones import Backbone, find_backbone, normalisation
from potency.networks.network import Network
from potency.networks.reach import trace
from potency.networks.unet import UNet

# Short names people type; options follow, each after a colon.
DENSE: Mapping[str, Backbone] = {
    "unet": Backbone("potency/unet", 0.87, "ours: residual U-Net that sees about 60 px; width, depth", build=UNet),
}


class Dense(Network):
    """A body that gives a map and one linear layer on it: {"output": (N, outputs, H, W)}.

    Args:
        name: of `DENSE`.
        channels: image channels (C).
        outputs: numbers a pixel.
        tile: px a side of the crops; must divide by the stride.
        normalise: what the body expects of values that the plan scaled to 0..1, a name of `NORMALISATIONS`.

    Raises:
        PlanError: there is no such network or normalisation, or the tile does not divide by the stride.
    """

    mean: Tensor
    spread: Tensor

    def __init__(self, name: str, channels: int, outputs: int, tile: Size = 256, normalise: str = "half") -> None:
        super().__init__()
        self.normalise = normalise
        for kind, values in zip(("mean", "spread"), normalisation(normalise, channels), strict=True):
            self.register_buffer(kind, torch.tensor(values)[:, None, None], persistent=False)
        found = find_backbone(name)
        known = DENSE.get(name.partition(":")[0])
        if known is None or known.build is None:
            raise PlanError(f"there is no network {name!r} that gives a map", "plan.network", nearest(name, DENSE))
        try:
            self.body = known.build(channels, **found.options)
        except TypeError as error:
            told = f"{name.partition(':')[0]} cannot be built with {dict(found.options)}"
            raise PlanError(told, "plan.network", str(error)) from error
        self.stride = int(self.body.stride)  # type: ignore[arg-type]
        if any(side % self.stride for side in sides(tile)):
            raise PlanError(f"a tile of {'x'.join(map(str, sides(tile)))} px does not divide by {self.stride}",
                            "plan.tile", f"give multiples of {self.stride}")  # fmt: skip
        self.halo = trace(self.body, channels, sides(tile)).halo
        self.linear = nn.Conv2d(int(self.body.num_features), outputs, 1)  # type: ignore[arg-type]
        nn.init.zeros_(self.linear.bias)  # type: ignore[arg-type]

    def forward(self, image: Tensor) -> Mapping[str, Tensor]:
        return {"output": self.linear(self.body((image - self.mean) / self.spread))}

    def head(self) -> nn.Module:
        return self.linear

    def extra_repr(self) -> str:
        """What a compiled network depends on beside layers and weights."""
        return f"normalise={self.normalise!r}"
