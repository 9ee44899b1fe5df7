"""How far a network sees: its receptive field, followed through every operation it calls on an image without pixels."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.weak import WeakTensorKeyDictionary

aten = torch.ops.aten


@dataclass(frozen=True)
class Sight:
    """What value i of a map sees along one axis: the pixels i * jump + low ... i * jump + high."""

    jump: int = 1
    low: int = 0
    high: int = 0

    def window(self, kernel: int, stride: int, padding: int, dilation: int = 1) -> Sight:
        """Seen through a window that slides: a convolution or a pooling.

        >>> Sight().window(3, 2, 1).window(3, 1, 1)
        Sight(jump=2, low=-3, high=3)
        """
        first, last = -padding, dilation * (kernel - 1) - padding
        return Sight(self.jump * stride, self.low + self.jump * first, self.high + self.jump * last)

    def enlarged(self, factor: int) -> Sight | None:
        """Seen after every value was repeated `factor` times; None where a value would stand for part of a pixel.

        >>> Sight().window(2, 2, 0).enlarged(2)
        Sight(jump=1, low=-1, high=1)
        """
        if self.jump % factor:
            return None
        jump = self.jump // factor
        return Sight(jump, self.low - (factor - 1) * jump, self.high)

    def between(self, factor: int) -> Sight | None:
        """Seen after every value was replaced by `factor` values on the way to its neighbours (bilinear).

        >>> Sight().window(2, 2, 0).between(2)
        Sight(jump=1, low=-2, high=2)
        """
        if self.jump % factor:
            return None
        jump = self.jump // factor
        before, after = (factor - 2) // 2 if factor % 2 == 0 else (factor - 3) // 2, factor // 2 + factor % 2
        return Sight(jump, self.low - self.jump - before * jump, self.high + self.jump - after * jump)

    def __or__(self, other: Sight) -> Sight:
        return replace(self, low=min(self.low, other.low), high=max(self.high, other.high))

    @property
    def halo(self) -> int:
        """Pixels that are seen beyond the value's own cell of `jump` pixels, on the side where that is more."""
        return max(0, -self.low, self.high - (self.jump - 1))


Sights = tuple[Sight, Sight]  # along Y and X


@dataclass(frozen=True)
class Trace:
    """What running a network once tells.

    Attributes:
        size: height and width of the image.
        shape: of the output.
        halo: pixels beyond its own cell that a value of the output sees; None: the whole input, or what cannot be
            followed (tokens, pooled values, gates made of them).
    """

    size: tuple[int, int]
    shape: tuple[int, ...]
    halo: int | None


def trace(network: nn.Module, channels: int, size: tuple[int, int]) -> Trace:
    """Run `network` on an image (1, channels, *size) of which only the shape exists, and follow each pixel.

    Raises:
        RuntimeError: the image is too small for the network.
    """
    shapes = {k: v.to("meta") for k, v in (*network.named_parameters(), *network.named_buffers())}
    follower, was = _Follower(), network.training
    try:
        network.eval()
        with torch.no_grad(), torch.device("meta"):
            image = torch.empty(1, channels, *size)
            follower.seen[image] = (Sight(), Sight())
            with follower:
                out = functional_call(network, shapes, (image,))
    finally:
        network.train(was)
    sights = follower.seen.get(out) if out.ndim == 4 else None
    return Trace(size, tuple(out.shape), max(s.halo for s in sights) if sights else None)


class _Follower(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Keeps beside every map what its values see; what it cannot follow it forgets, and that counts as everything."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # else torch imports its compiler, which nothing here needs: seconds of every process

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.seen: Any = WeakTensorKeyDictionary()  # map -> what its values see along Y and X

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        if func.overloadpacket in _NORMS:  # torch works out their shapes in dozens of steps
            out: Any = (torch.empty_like(args[0]), *(args[0].new_empty(0) for _ in range(2)))
        elif func.overloadpacket in _PLAIN and len({t.dtype for t in args if isinstance(t, Tensor)}) == 1:
            try:
                shape = np.broadcast_shapes(*(tuple(t.shape) for t in args if isinstance(t, Tensor)))
            except ValueError as fault:
                raise RuntimeError(str(fault)) from fault  # as torch would say it
            out = args[0] if func._schema.is_mutable else args[0].new_empty(shape)
        else:
            out = func(*args, **(kwargs or {}))
        for made in tree_leaves(out):
            if not isinstance(made, Tensor) or made.ndim != 4:
                continue
            sights = self._sights(func, args, made)
            if sights is None:
                self.seen.pop(made, None)  # an operation in place may have made the map see everything
            else:
                self.seen[made] = sights
        return out

    def _sights(self, func: Any, args: Sequence[Any], out: Tensor) -> Sights | None:
        tensors = [a for a in tree_leaves(args) if isinstance(a, Tensor)]
        known = [self.seen[t] for t in tensors if t in self.seen]
        if not known:
            return None
        rule = _RULES.get(func.overloadpacket)
        if rule is not None:
            return rule(known[0], args)
        alike = torch.Tag.pointwise in func.tags or func.overloadpacket in _ALIKE
        maps = [t for t in tensors if t.ndim > 1]  # the rest are numbers, or one value a channel
        if not alike or len(maps) != len(known) or any(t.shape[2:] != out.shape[2:] for t in maps):
            return None  # a matrix product, a mean, a gate made of the whole map
        return tuple(_union(axis) for axis in zip(*known, strict=True))  # type: ignore[return-value]


def _union(sights: Sequence[Sight]) -> Sight:
    whole = sights[0]
    for sight in sights[1:]:
        whole |= sight
    return whole


def _both(sights: Sights, *numbers: Any) -> Sights:
    """Each axis through its window; a number that is one for both axes is given once."""
    pairs = [(n, n) if isinstance(n, int) else (n[0], n[-1]) for n in numbers]
    y, x = (sight.window(*(pair[axis] for pair in pairs)) for axis, sight in enumerate(sights))
    return y, x


def _convolution(sights: Sights, args: Sequence[Any]) -> Sights | None:
    _, weight, _, stride, padding, dilation, transposed, *_ = args
    if not transposed:
        return _both(sights, weight.shape[2:], stride, padding, dilation)
    if list(weight.shape[2:]) != list(stride) or any(padding) or set(dilation) != {1}:
        return None  # values that overlap
    return _alike(sight.enlarged(factor) for sight, factor in zip(sights, stride, strict=True))


def _pooling(sights: Sights, args: Sequence[Any]) -> Sights:
    kernel, stride, padding = args[1], args[2] if len(args) > 2 else [], args[3] if len(args) > 3 else 0
    return _both(sights, kernel, stride or kernel, padding)


def _padding(sights: Sights, args: Sequence[Any]) -> Sights:
    left, _, top, _ = [*args[1], 0, 0][:4]
    return sights[0].window(1, 1, top), sights[1].window(1, 1, left)


def _repeated(sights: Sights, args: Sequence[Any]) -> Sights | None:
    """Enlargement by whole numbers that repeats each value."""
    return _alike(s.enlarged(f) if f else None for s, f in zip(sights, _factors(args), strict=True))


def _bilinear(sights: Sights, args: Sequence[Any]) -> Sights | None:
    """Enlargement by whole numbers between values; with aligned corners it depends on the size of the whole map."""
    return _alike(s.between(f) if f and not args[2] else None for s, f in zip(sights, _factors(args), strict=True))


def _factors(args: Sequence[Any]) -> list[int]:
    """How many times larger a map becomes along each axis; 0: no whole number."""
    return [0 if after % before else after // before for after, before in zip(args[1], args[0].shape[2:], strict=True)]


def _alike(axes: Iterable[Sight | None]) -> Sights | None:
    y, x = axes
    return None if y is None or x is None else (y, x)


_RULES: Mapping[Any, Callable[[Sights, Sequence[Any]], Sights | None]] = {
    aten.convolution: _convolution,
    aten.max_pool2d_with_indices: _pooling,
    aten.avg_pool2d: _pooling,
    aten.constant_pad_nd: _padding,
    aten.upsample_nearest2d: _repeated,
    aten.upsample_bilinear2d: _bilinear,
}
_NORMS = {aten.native_batch_norm, aten._native_batch_norm_legit_no_training}
_PLAIN = {aten.relu, aten.relu_, aten.add, aten.add_}  # torch would import its compiler for their shapes: seconds
# Value by value, though torch does not call them pointwise.
_ALIKE = {
    *(*_NORMS, aten.cat, aten.detach, aten.alias),
    *(aten.split, aten.split_with_sizes, aten.native_dropout, aten.hardswish_, aten.hardsigmoid_, aten.hardtanh_),
    *(aten.relu_, aten.relu6_, aten.silu_, aten.gelu_, aten.mish_, aten.elu_, aten.leaky_relu_),
}
