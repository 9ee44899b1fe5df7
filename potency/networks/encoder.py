"""Image-level networks: any backbone by name, channel count and crop size, one linear head on pooled features."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from potency.data.tiles import Size, sides
from potency.errors import PlanError, nearest
from potency.networks.network import Network
from potency.networks.tiny import Tiny

# Short names people type -> where the network comes from; any other name of timm, or of torchvision behind
# "torchvision/", works as it is.
BACKBONES: Mapping[str, str] = {
    "tiny": "potency/tiny",
    "resnet18": "timm/resnet18",
    "resnet50": "timm/resnet50",
    "mobilenetv2": "torchvision/mobilenet_v2",
    "mobilenetv3": "timm/mobilenetv3_small_100",
    "mobilenetv3-large": "timm/mobilenetv3_large_100",
    "squeezenet": "torchvision/squeezenet1_1",
}
FEWEST = 3  # values a side that must be left before pooling, or a crop is reduced to nothing


class Encoder(Network):
    """Backbone, mean pooling, dropout, linear head: {"output": (N, outputs), "embedding": (N, F)}.

    Args:
        backbone: a name of `BACKBONES`, any name of timm, or "torchvision/NAME".
        channels: image channels (C).
        outputs: numbers a sample.
        tile: px a side of the crops, or (height, width); early strides are undone until a crop keeps 3 x 3 values.
        dropout: share of the pooled features dropped while learning.

    Raises:
        PlanError: there is no such network; the nearest name is given.
    """

    def __init__(self, backbone: str, channels: int, outputs: int, tile: Size = 64, dropout: float = 0.0) -> None:
        super().__init__()
        tile = sides(tile)
        self.body = body(backbone, channels, tile)
        features, left = _run_once(self.body, channels, tile)
        self.enlarge, self.stride, self.smallest = 1, 1, min(tile)
        if left is not None:
            _keep_some(self.body, channels, tile, left)
            while (_run_once(self.body, channels, (tile[0] * self.enlarge, tile[1] * self.enlarge))[1] or 0) < FEWEST:
                self.enlarge *= 2
            features, left = _run_once(self.body, channels, (128, 128))
            self.stride = self.smallest = max(1, round(128 / (left or 1)))
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(features, outputs)
        nn.init.zeros_(self.linear.bias)

    def forward(self, image: Tensor) -> Mapping[str, Tensor]:
        if self.enlarge > 1:
            image = nn.functional.interpolate(image, scale_factor=self.enlarge, mode="bilinear")
        values = self.body(2 * image - 1)  # the plan scales to 0..1, networks like zero in the middle
        embedding = values.mean((2, 3)) if values.ndim == 4 else values
        return {"output": self.linear(self.dropout(embedding)), "embedding": embedding}

    def head(self) -> nn.Module:
        return self.linear


def body(backbone: str, channels: int, tile: tuple[int, int]) -> nn.Module:
    """The network without its classifier; features (N, F, h, w), or (N, F) from a transformer."""
    source, _, name = BACKBONES.get(backbone, backbone if "/" in backbone else f"timm/{backbone}").partition("/")
    if source not in _SOURCES:
        raise PlanError(f"there is no network {backbone!r}", "plan.network", nearest(backbone, BACKBONES))
    return _SOURCES[source](name, channels, tile)


def _own(name: str, channels: int, tile: tuple[int, int]) -> nn.Module:
    return Tiny(channels, min(tile))


def _timm(name: str, channels: int, tile: tuple[int, int]) -> nn.Module:
    import timm

    if not timm.is_model(name):
        raise PlanError(
            f"there is no network {name!r}", "plan.network", nearest(name, [*BACKBONES, *timm.list_models()])
        )
    options: dict[str, Any] = {"in_chans": channels, "num_classes": 0}
    if hasattr(timm.models, "is_model_in_modules") and timm.models.is_model_in_modules(
        name, ("vision_transformer", "deit")
    ):
        return nn.Module.train(timm.create_model(name, img_size=tile, **options))
    return nn.Module.train(timm.create_model(name, global_pool="", **options))


def _torchvision(name: str, channels: int, tile: tuple[int, int]) -> nn.Module:
    import torchvision

    try:
        whole = torchvision.models.get_model(name, weights=None)
    except ValueError as error:
        known = [f"torchvision/{n}" for n in torchvision.models.list_models(module=torchvision.models)]
        raise PlanError(
            f"there is no network {name!r}", "plan.network", nearest(f"torchvision/{name}", known)
        ) from error
    features = getattr(whole, "features", None)
    made = nn.Sequential()
    if isinstance(features, nn.Module):
        made.add_module("features", features)
    else:  # ResNet and its kin: everything before pooling and classifier
        for key, part in whole.named_children():
            if key not in ("avgpool", "fc"):
                made.add_module(key, part)
    key, first = first_convolution(made)
    if first.in_channels != channels:
        fresh = nn.Conv2d(channels, first.out_channels, first.kernel_size, first.stride, first.padding,  # type: ignore[arg-type]
                          bias=first.bias is not None)  # fmt: skip
        parent, _, leaf = key.rpartition(".")
        setattr(made.get_submodule(parent), leaf, fresh)
    return made


_SOURCES = {"potency": _own, "timm": _timm, "torchvision": _torchvision}


def first_convolution(network: nn.Module) -> tuple[str, nn.Conv2d]:
    """The convolution that reads the image, with its name."""
    return next((key, m) for key, m in network.named_modules() if isinstance(m, nn.Conv2d))


def _run_once(network: nn.Module, channels: int, tile: tuple[int, int]) -> tuple[int, int | None]:
    """(features, values left on the shorter side) for crops of this size; None: it gives a vector, 0: too small."""
    was = network.training
    try:
        with torch.no_grad():
            out = network.eval()(torch.zeros(1, channels, *tile))
    except RuntimeError:  # a map smaller than its kernel, or a skip that halves where its block does not
        return 0, 0
    finally:
        network.train(was)
    return out.shape[1], min(out.shape[2:]) if out.ndim == 4 else None


def _keep_some(network: nn.Module, channels: int, tile: tuple[int, int], left: int) -> None:
    """Undo early strides until a crop keeps 3 x 3 values, as far as the stem goes."""
    for layer in _halving(network):
        if left >= FEWEST:
            return
        before = {name: getattr(layer, name) for name in ("stride", "padding", "ceil_mode") if hasattr(layer, name)}
        _undo(layer)
        now = _run_once(network, channels, tile)[1] or 0
        if now <= left:  # inside a block whose skip still halves
            for name, value in before.items():
                setattr(layer, name, value)
            return
        left = now


def _halving(network: nn.Module) -> Iterator[nn.Conv2d | nn.MaxPool2d]:
    """The layers that halve the image, in the order of computation; the first ones stand before any skip."""
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.MaxPool2d) and layer.stride in (2, (2, 2)):
            yield layer


def _undo(layer: nn.Conv2d | nn.MaxPool2d) -> None:
    layer.stride = (1, 1) if isinstance(layer, nn.Conv2d) else 1
    if isinstance(layer, nn.MaxPool2d) and isinstance(layer.kernel_size, int):
        layer.padding = layer.kernel_size // 2
        layer.ceil_mode = False
