"""Image-level networks: any backbone by name, channel count and crop size, one linear head on pooled features."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from potency.data.tiles import Size, sides
from potency.errors import PlanError
from potency.networks.backbones import normalisation
from potency.networks.bodies import body
from potency.networks.network import Network, rate_of
from potency.networks.reach import Trace, trace

FEWEST = 3  # values a side that must be left before pooling, or a crop is reduced to nothing
LARGER = (2, 4, 8, 16, 32)  # times a side
FURTHER = 128  # px; every stride there is divides it


class Encoder(Network):
    """Backbone, mean pooling, dropout, linear head: {"output": (N, outputs), "embedding": (N, F)}.

    Args:
        backbone: a name of `BACKBONES`, any name of timm, or "torchvision/NAME".
        channels: image channels (C).
        outputs: numbers a sample.
        tile: px a side of the crops, or (height, width); early strides are undone until a crop keeps 3 x 3 values.
        dropout: share of the pooled features dropped while learning.
        hidden: width of a layer between the pooled features and the outputs; 0: the head is linear.
        normalise: what the body expects of values that the plan scaled to 0..1, a name of `NORMALISATIONS`.

    Raises:
        PlanError: there is no such network or normalisation; the nearest name is given.
    """

    mean: Tensor
    spread: Tensor

    def __init__(
        self,
        backbone: str,
        channels: int,
        outputs: int,
        tile: Size = 64,
        dropout: float = 0.0,
        normalise: str = "half",
        hidden: int = 0,
    ) -> None:
        super().__init__()
        self.normalise = normalise
        for name, values in zip(("mean", "spread"), normalisation(normalise, channels), strict=True):
            self.register_buffer(name, torch.tensor(values)[:, None, None], persistent=False)  # the plan keeps its name
        self.name, self.body = backbone, body(backbone, channels, sides(tile))
        _, self.enlarge, seen, self.stride = _fitted(self.body, (backbone, channels, sides(tile)))
        self.halo = seen.halo
        if self.enlarge > 1:  # both were counted in pixels of the enlarged crop; interpolation sees one more
            self.stride = max(1, self.stride // self.enlarge)
            self.halo = None if self.halo is None else -(-self.halo // self.enlarge) + 1
        self.rate = rate_of(self.body)
        self.dropout = nn.Dropout(dropout)
        self.linear: nn.Module = _head(seen.shape[1], hidden, outputs)

    def forward(self, image: Tensor) -> Mapping[str, Tensor]:
        values = self.body(self.seen(image))
        embedding = values.mean((2, 3)) if values.ndim == 4 else values
        return {"output": self.linear(self.dropout(embedding)), "embedding": embedding}

    def seen(self, image: Tensor) -> Tensor:
        """The image as the body sees it: the one place where values scaled to 0..1 become those it expects."""
        if self.enlarge > 1:
            image = nn.functional.interpolate(image, scale_factor=self.enlarge, mode="bilinear")
        return (image - self.mean) / self.spread

    def bodies(self) -> Mapping[str, nn.Module]:
        return {self.name: self.body}

    def head(self) -> nn.Module:
        return self.linear

    def extra_repr(self) -> str:
        """What a compiled network depends on beside layers and weights."""
        return f"normalise={self.normalise!r}, enlarge={self.enlarge}"


def _head(features: int, hidden: int, outputs: int) -> nn.Module:
    last = nn.Linear(hidden or features, outputs)
    nn.init.zeros_(last.bias)
    return nn.Sequential(nn.Linear(features, hidden), nn.ReLU(), last) if hidden else last


class _Fit(NamedTuple):
    """How a body takes a crop: how many strides are undone, how much the crop is enlarged, and what a trace tells."""

    undone: int
    enlarge: int
    seen: Trace
    stride: int


_Key = tuple[str, int, tuple[int, int]]  # backbone, channels, tile: all that a fit depends on
_FITS: dict[_Key, _Fit] = {}  # one process builds the same network for every fold, bundle and engine


def _fitted(network: nn.Module, key: _Key) -> _Fit:
    """Make a network keep 3 x 3 values of a crop: undo strides, then say how much to enlarge the crop."""
    if key in _FITS:
        for layer in _early(network)[: _FITS[key].undone]:
            _undo(layer)
        return _FITS[key]
    _, channels, tile = key
    undone, seen = _keep_some(network, channels, tile)
    for enlarge in (1, *LARGER):
        seen = seen if enlarge == 1 else _seen(network, channels, (tile[0] * enlarge, tile[1] * enlarge))
        if seen is not None and _left(seen) >= FEWEST:
            return _FITS.setdefault(key, _Fit(undone, enlarge, seen, _stride(network, channels, seen)))
    raise PlanError(
        f"the network takes no crop of {tile[0]} x {tile[1]} px, enlarged or not", "plan.tile, plan.network",
        "take a tile that divides by 32, such as 64, or another network",
    )  # fmt: skip


def _seen(network: nn.Module, channels: int, size: tuple[int, int]) -> Trace | None:
    """What a crop of this size becomes; None: it is too small for the network."""
    try:
        return trace(network, channels, size)
    except (RuntimeError, AssertionError):  # a map smaller than its kernel, or a skip that halves where no block does
        return None


def _left(seen: Trace | None) -> int:
    """Values left on the shorter side; a vector is enough, as a transformer chose its patch by the crop."""
    return 0 if seen is None or 0 in seen.shape else min(seen.shape[2:], default=FEWEST)


def _stride(network: nn.Module, channels: int, seen: Trace) -> int:
    """Pixels from one value to the next: how many values a crop larger by 128 px has more."""
    if len(seen.shape) < 4:
        stages: Any = getattr(network, "feature_info", [{"reduction": min(seen.size)}])  # as timm describes itself
        return int(stages[-1]["reduction"])
    more = trace(network, channels, (seen.size[0] + FURTHER, seen.size[1] + FURTHER))
    return max(1, FURTHER // (more.shape[2] - seen.shape[2]))


def _keep_some(network: nn.Module, channels: int, tile: tuple[int, int]) -> tuple[int, Trace | None]:
    """Undo early strides until a crop keeps 3 x 3 values, as far as the stem goes; how many, and what a trace tells."""
    seen = _seen(network, channels, tile)
    for undone, layer in enumerate(layers := _early(network)):
        if _left(seen) >= FEWEST:
            return undone, seen
        before = {name: getattr(layer, name) for name in ("stride", "padding", "ceil_mode") if hasattr(layer, name)}
        _undo(layer)
        now = _seen(network, channels, tile)
        if _left(now) <= _left(seen):  # inside a block whose skip still halves
            for name, value in before.items():
                setattr(layer, name, value)
            return undone, seen
        seen = now
    return len(layers), seen


def _early(network: nn.Module) -> list[nn.Conv2d | nn.MaxPool2d]:
    """The layers whose strides are undone, the first one first; where only pools halve, the last."""
    layers = list(_halving(network))
    if all(isinstance(layer, nn.MaxPool2d) for layer in layers):  # no skip halves beside them: late is as good, and
        layers.reverse()  # VGG19 is four times as fast with wide maps at its end only (docs/networks.md)
    return layers


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
