"""Operations that are linear in what they read, each with its weights, their sizes, and its transpose."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from potency.explanation.tape import Step

aten = torch.ops.aten


class Linear(ABC):
    """z = W x + bias, where neither W nor the bias reads x.

    Attributes:
        kind: what a composite calls it: "convolution", "dense", "pool", "norm", "product".
        x: what it reads.
        bias: what it adds, in a shape that goes with its output; None: nothing.
        fixed: W is the same for every image.
    """

    kind: ClassVar[str]
    fixed: ClassVar[bool] = True
    x: Tensor
    bias: Tensor | None

    @abstractmethod
    def onward(self, x: Tensor, size: bool) -> Tensor:
        """W x, or |W| x."""

    @abstractmethod
    def back(self, s: Tensor, size: bool) -> Tensor:
        """The transpose of W, or of |W|, on something of the shape of the output."""


@dataclass
class Convolution(Linear):
    kind: ClassVar[str] = "convolution"
    x: Tensor
    weight: Tensor
    bias: Tensor | None
    how: tuple[Any, ...]  # stride, padding, dilation, transposed, output padding, groups

    def onward(self, x: Tensor, size: bool) -> Tensor:
        return torch.as_tensor(aten.convolution(x, self.weight.abs() if size else self.weight, None, *self.how))

    def back(self, s: Tensor, size: bool) -> Tensor:
        weight = self.weight.abs() if size else self.weight
        found = aten.convolution_backward(s, self.x, weight, None, *self.how, [True, False, False])
        return torch.as_tensor(found[0])

    def folded(self, scale: Tensor, shift: Tensor) -> Convolution:
        """The same with a scale and a shift a channel after it: a batch norm that has learned is no layer."""
        bias = shift if self.bias is None else self.bias.flatten() * scale + shift
        side = (1,) * (self.weight.ndim - 2)
        return Convolution(self.x, self.weight * scale.reshape(-1, 1, *side), bias.reshape(-1, *side), self.how)


@dataclass
class Dense(Linear):
    """x @ weight, of two or three axes."""

    kind: ClassVar[str] = "dense"
    x: Tensor
    weight: Tensor
    bias: Tensor | None = None

    def onward(self, x: Tensor, size: bool) -> Tensor:
        return x @ (self.weight.abs() if size else self.weight)

    def back(self, s: Tensor, size: bool) -> Tensor:
        return s @ (self.weight.abs() if size else self.weight).transpose(-1, -2)


@dataclass
class Weighing(Linear):
    """weight @ x: attention, where what it looks at is given and what it sees is explained."""

    kind: ClassVar[str] = "product"
    fixed: ClassVar[bool] = False
    weight: Tensor
    x: Tensor
    bias: Tensor | None = None

    def onward(self, x: Tensor, size: bool) -> Tensor:
        return (self.weight.abs() if size else self.weight) @ x

    def back(self, s: Tensor, size: bool) -> Tensor:
        return (self.weight.abs() if size else self.weight).transpose(-1, -2) @ s


@dataclass
class Directed(Linear):
    """One sum over outputs for each sample: (N, F) weights of its own, (N, 1) out."""

    kind: ClassVar[str] = "dense"
    x: Tensor
    weight: Tensor
    bias: Tensor | None = None

    def onward(self, x: Tensor, size: bool) -> Tensor:
        return (x * (self.weight.abs() if size else self.weight)).sum(1, keepdim=True)

    def back(self, s: Tensor, size: bool) -> Tensor:
        return s * (self.weight.abs() if size else self.weight)


@dataclass
class Scaling(Linear):
    """Value by value: a batch norm that follows no convolution."""

    kind: ClassVar[str] = "norm"
    x: Tensor
    weight: Tensor
    bias: Tensor | None = None

    def onward(self, x: Tensor, size: bool) -> Tensor:
        return x * (self.weight.abs() if size else self.weight)

    def back(self, s: Tensor, size: bool) -> Tensor:
        return s * (self.weight.abs() if size else self.weight)


@dataclass
class Centring(Linear):
    """weight * (x - mean of x) over blocks of an image, the spread taken as given: layer and group norm.

    `blocks` is the shape (..., n) in which a block lies along the last axis; `weight` goes with it.
    """

    kind: ClassVar[str] = "norm"
    fixed: ClassVar[bool] = False
    x: Tensor
    weight: Tensor
    bias: Tensor | None
    blocks: tuple[int, ...]

    def onward(self, x: Tensor, size: bool) -> Tensor:
        return (self._mixed(x.reshape(self.blocks), size) * self._weights(size)).reshape(x.shape)

    def back(self, s: Tensor, size: bool) -> Tensor:
        return self._mixed(s.reshape(self.blocks) * self._weights(size), size).reshape(s.shape)

    def _weights(self, size: bool) -> Tensor:
        return self.weight.abs() if size else self.weight

    def _mixed(self, x: Tensor, size: bool) -> Tensor:
        """I - 1/n on the values of a block, or the sizes of its entries; it is its own transpose."""
        mean = x.mean(-1, keepdim=True)
        return x * (1 - 2 / x.shape[-1]) + mean if size else x - mean


@dataclass
class Averaging(Linear):
    """Any operation whose weights are fixed and not negative: mean, sum, pooling, enlarging."""

    kind: ClassVar[str] = "pool"
    x: Tensor
    op: Callable[[Tensor], Tensor]
    bias: Tensor | None = None

    def onward(self, x: Tensor, size: bool) -> Tensor:
        return self.op(x)

    def back(self, s: Tensor, size: bool) -> Tensor:
        with torch.enable_grad():
            x = self.x.detach().requires_grad_()
            return torch.autograd.grad(self.op(x), x, s)[0]


def convolution(step: Step, args: tuple[Any, ...], places: Sequence[int]) -> Linear | None:
    x, weight, bias, *how = args
    if list(places) != [0]:
        return None
    return Convolution(x, weight, None if bias is None else bias.reshape(-1, *(1,) * (weight.ndim - 2)), tuple(how))


def dense(step: Step, args: tuple[Any, ...], places: Sequence[int]) -> Linear | None:
    bias, x, weight = args if step.name == "addmm" else (None, *args)
    first = 1 if step.name == "addmm" else 0
    if list(places) == [first]:
        return Dense(x, weight, bias)
    return Weighing(x, weight) if list(places) == [first + 1] and bias is None else None


def averaging(step: Step, args: tuple[Any, ...], places: Sequence[int]) -> Linear | None:
    x, *rest = args
    return Averaging(x, lambda x: torch.as_tensor(step.op(x, *rest, **step.kwargs)))


def batch_norm(step: Step, args: tuple[Any, ...], places: Sequence[int]) -> Linear | None:
    scale, shift = norm_of(step, args)
    side = (1,) * (args[0].ndim - 2)
    return Scaling(args[0], scale.reshape(-1, *side), shift.reshape(-1, *side))


def norm_of(step: Step, args: tuple[Any, ...]) -> tuple[Tensor, Tensor]:
    """Scale and shift of each channel of a batch norm as it is after training, exactly."""
    x, weight, bias, mean, variance = args[:5]
    eps = args[7] if step.name == "native_batch_norm" else args[6]
    scale = (variance.double() + eps).rsqrt()
    scale = scale if weight is None else scale * weight.double()
    shift = -mean.double() * scale + (0 if bias is None else bias.double())
    return scale.to(x.dtype), shift.to(x.dtype)


def layer_norm(step: Step, args: tuple[Any, ...], places: Sequence[int]) -> Linear | None:
    x, shape, weight, bias, eps = args
    blocks = x.reshape(*x.shape[: x.ndim - len(shape)], -1)
    spread = (blocks.var(-1, unbiased=False, keepdim=True) + eps).rsqrt()
    return Centring(x, spread if weight is None else spread * weight.flatten(), bias, tuple(blocks.shape))


def group_norm(step: Step, args: tuple[Any, ...], places: Sequence[int]) -> Linear | None:
    x, weight, bias, _, channels, _, groups, eps = args
    blocks = x.reshape(len(x), groups, -1)
    spread = (blocks.var(-1, unbiased=False, keepdim=True) + eps).rsqrt()
    side = (1,) * (x.ndim - 2)
    if weight is not None:
        spread = spread * weight.reshape(-1, *side).expand(x.shape[1:]).reshape(1, groups, -1)
    return Centring(x, spread, None if bias is None else bias.reshape(-1, *side), tuple(blocks.shape))


# Of a step, its arguments and the places of those that are explained: what is linear in them; None where nothing is.
LINEAR: Mapping[str, Callable[[Step, tuple[Any, ...], Sequence[int]], Linear | None]] = {
    "convolution": convolution,
    **dict.fromkeys(("addmm", "mm", "bmm"), dense),
    **dict.fromkeys(("native_batch_norm", "_native_batch_norm_legit_no_training"), batch_norm),
    "native_layer_norm": layer_norm,
    "native_group_norm": group_norm,
    **dict.fromkeys(
        ("mean", "sum", "avg_pool2d", "_adaptive_avg_pool2d", "upsample_bilinear2d", "upsample_nearest2d"), averaging
    ),
}
