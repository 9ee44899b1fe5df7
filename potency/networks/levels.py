"""The maps of a backbone at every stride, for networks that join them on the way back to the pixels."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call

from potency.errors import PlanError
from potency.networks.bodies import body

LARGEST = 32  # px; what most backbones reduce an image by
DEEPEST = 5


class Levels(nn.Module):
    """From an image (N, C, H, W) a list of maps, the finest first: of each stride the last map the backbone has.

    A transformer on patches has one stride: all its blocks are asked for by `blocks`, evenly spread, the last included.

    Args:
        backbone: a name of `BACKBONES`, any name of timm with intermediate maps, or "torchvision/NAME".
        channels: image channels (C).
        tile: px of the crops; the patches of a transformer are chosen by it.
        depth: how often the image is halved at most; what the backbone does beyond that is left out.
        blocks: how many maps of one stride are given; 0: one of each stride.

    Attributes:
        strides, widths: px from one value to the next, and channels, of each map.

    Raises:
        PlanError: no such backbone, or one whose maps do not halve the image.
    """

    def __init__(self, backbone: str, channels: int, tile: tuple[int, int], depth: int = DEEPEST, blocks: int = 0):
        super().__init__()
        whole = -(-tile[0] // LARGEST) * LARGEST, -(-tile[1] // LARGEST) * LARGEST
        self.name = backbone
        self.body = body(backbone, channels, whole)
        self.listed = hasattr(self.body, "forward_intermediates")  # timm's own way
        self.steps = [] if self.listed else [name for name, _ in _steps(self.body)]
        self.taken: list[int] | None = None
        shapes = self._shapes(channels, whole)
        strides = [_stride(whole, shape) for shape in shapes]
        if blocks:
            last = [i for i, stride in enumerate(strides) if stride == strides[-1]]
            taken = [last[-(-len(last) * k // blocks) - 1] for k in range(1, blocks + 1)]
        else:
            ends = [i for i, stride in enumerate(strides) if stride not in strides[i + 1 :]]
            taken = [i for i in ends if 0 < strides[i] <= 2**depth]
        if depth < 1 or not taken or 0 in (strides[i] for i in taken) or strides[taken[-1]] == 1:
            raise PlanError(f"{backbone!r} gives no maps to join, each half as large as the one before", "plan.network",
                            "take another encoder, such as resnet18")  # fmt: skip
        self.strides, self.widths = [strides[i] for i in taken], [shapes[i][1] for i in taken]
        self.taken = self._left(taken)

    def forward(self, image: Tensor) -> list[Tensor]:
        if self.listed:
            return list(self.body.forward_intermediates(image, indices=self.taken, intermediates_only=True))  # type: ignore[operator]
        maps = []
        for i, name in enumerate(self.steps):
            image = self.body.get_submodule(name)(image)
            if self.taken is None or i in self.taken:
                maps.append(image)
        return maps

    def _shapes(self, channels: int, size: tuple[int, int]) -> Sequence[tuple[int, ...]]:
        """The shapes of all maps, of an image without pixels."""
        weights = {k: v.to("meta") for k, v in (*self.named_parameters(), *self.named_buffers())}
        self.eval()
        try:
            with torch.no_grad(), torch.device("meta"):
                found = functional_call(self, weights, (torch.empty(1, channels, *size),))
        except (RuntimeError, TypeError) as error:
            raise PlanError(f"{self.name!r} cannot be followed step by step: {error}", "plan.network",
                            "take another encoder, such as resnet18") from error  # fmt: skip
        finally:
            self.train()
        return [tuple(one.shape) for one in found]

    def _left(self, taken: list[int]) -> list[int]:
        """Leave out what no map needs, so that every weight learns; the places of the maps in what is left."""
        if self.listed:
            return list(self.body.prune_intermediate_layers(taken, prune_norm=True, prune_head=True))  # type: ignore[operator]
        for name in self.steps[taken[-1] + 1 :]:
            self.body.set_submodule(name, nn.Identity())
        self.steps = self.steps[: taken[-1] + 1]
        return taken


def _steps(network: nn.Module, path: str = "") -> Iterator[tuple[str, nn.Module]]:
    """The parts of a network that are one after the other, unpacked as far as they are plain sequences."""
    for name, part in network.named_children():
        if isinstance(part, nn.Sequential):
            yield from _steps(part, f"{path}{name}.")
        else:
            yield f"{path}{name}", part


def _stride(size: tuple[int, int], shape: tuple[int, ...]) -> int:
    """Px from one value of a map to the next where that is a power of two, else 0."""
    if len(shape) != 4 or 0 in shape or any(side % part for side, part in zip(size, shape[2:], strict=True)):
        return 0
    down, across = size[0] // shape[2], size[1] // shape[3]
    return down if down == across and math.log2(down).is_integer() else 0
