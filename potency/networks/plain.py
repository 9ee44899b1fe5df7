"""`plain`: a family of small convolutional networks whose depth, width, modules and pooling are arguments."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from potency.errors import PlanError, nearest

Module = Callable[[int, int, int, Callable[[], nn.Module]], nn.Module]


def convolution(before: int, after: int, kernel: int, act: Callable[[], nn.Module]) -> nn.Module:
    """Convolution, batch norm, activation: the module of AlexNet and VGG."""
    return nn.Sequential(_padded(before, after, kernel), nn.BatchNorm2d(after), act())


def separable(before: int, after: int, kernel: int, act: Callable[[], nn.Module]) -> nn.Module:
    """A convolution for each channel, then one of 1 x 1 across them (Howard 2017): fewest parameters."""
    each = nn.Conv2d(before, before, kernel, padding=kernel // 2, groups=before, bias=False)
    return nn.Sequential(each, nn.BatchNorm2d(before), act(), convolution(before, after, 1, act))


class Residual(nn.Module):
    """Two convolutions beside a skip (He 2016)."""

    def __init__(self, before: int, after: int, kernel: int, act: Callable[[], nn.Module]) -> None:
        super().__init__()
        last = nn.Sequential(_padded(after, after, kernel), nn.BatchNorm2d(after))
        self.body = nn.Sequential(convolution(before, after, kernel, act), last)
        self.skip = nn.Identity() if before == after else nn.Conv2d(before, after, 1, bias=False)
        self.last = act()

    def forward(self, x: Tensor) -> Tensor:
        return torch.as_tensor(self.last(self.body(x) + self.skip(x)))


class Inception(nn.Module):
    """Three scales side by side, concatenated (Szegedy 2015): 1 x 1, the kernel, and the kernel twice."""

    def __init__(self, before: int, after: int, kernel: int, act: Callable[[], nn.Module]) -> None:
        super().__init__()
        third = max(1, after // 3)
        self.one = convolution(before, after - 2 * third, 1, act)
        self.near = convolution(before, third, kernel, act)
        self.far = nn.Sequential(convolution(before, third, kernel, act), convolution(third, third, kernel, act))

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.one(x), self.near(x), self.far(x)], 1)


class Gate(nn.Module):
    """Channels weighted by what the whole image shows (squeeze-and-excitation, Hu 2018)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        inner = max(4, channels // 8)
        squeeze, excite = nn.Conv2d(channels, inner, 1), nn.Conv2d(inner, channels, 1)
        self.weigh = nn.Sequential(squeeze, nn.ReLU(), excite, nn.Sigmoid())

    def forward(self, x: Tensor) -> Tensor:
        return torch.as_tensor(x * self.weigh(x.mean((2, 3), keepdim=True)))


def _padded(before: int, after: int, kernel: int) -> nn.Conv2d:
    return nn.Conv2d(before, after, kernel, padding=kernel // 2, bias=False)


def _halved(channels: int) -> nn.Module:
    return nn.Conv2d(channels, channels, 3, 2, 1, bias=False)


MODULES: Mapping[str, Module] = {
    "convolution": convolution, "separable": separable, "residual": Residual, "inception": Inception
}  # fmt: skip
POOLS: Mapping[str, Callable[[int], nn.Module]] = {
    "max": lambda channels: nn.MaxPool2d(2, ceil_mode=True),
    "mean": lambda channels: nn.AvgPool2d(2, ceil_mode=True, count_include_pad=False),
    "stride": _halved,
}
ACTIVATIONS: Mapping[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU, "leaky": nn.LeakyReLU, "elu": nn.ELU, "silu": nn.SiLU, "gelu": nn.GELU
}  # fmt: skip


class Plain(nn.Module):
    """Features (N, F, h, w) from (N, C, H, W): `depth` modules, each halving the image and doubling the channels.

    Args:
        channels: image channels (C).
        depth: how many modules; each sees twice as far as the one before.
        width: channels after the first module, doubled by each up to eight times as many.
        kernel: side of the convolutions in px, odd.
        module: what a module is made of, one of MODULES.
        pool: how a module halves the image, one of POOLS.
        activation: one of ACTIVATIONS.
        attention: squeeze-and-excitation after each module.

    Raises:
        PlanError: a value that no network of the family has; the nearest is named.
    """

    def __init__(
        self, channels: int, depth: int = 3, width: int = 16, kernel: int = 3, module: str = "convolution",
        pool: str = "max", activation: str = "relu", attention: bool = False,
    ) -> None:  # fmt: skip
        super().__init__()
        for name, value, known in (
            ("module", module, MODULES), ("pool", pool, POOLS), ("activation", activation, ACTIVATIONS)
        ):  # fmt: skip
            if value not in known:
                raise PlanError(f"plain has no {name} {value!r}", f"plain:{name}=", nearest(str(value), known))
        if depth < 1 or width < 3 or kernel < 1 or kernel % 2 == 0:
            raise PlanError(
                f"a plain network of depth {depth}, width {width} and kernel {kernel} is impossible", "plain:",
                "depth of 1 or more, width of 3 or more, an odd kernel",
            )  # fmt: skip
        sizes = [width * 2 ** min(k, 3) for k in range(depth)]
        stages = []
        for before, after in zip([channels, *sizes], sizes, strict=False):
            parts = [MODULES[module](before, after, kernel, ACTIVATIONS[activation]), POOLS[pool](after)]
            stages.append(nn.Sequential(*parts, *([Gate(after)] if attention else [])))
        self.stages = nn.Sequential(*stages)
        self.num_features = sizes[-1]

    def forward(self, image: Tensor) -> Tensor:
        return torch.as_tensor(self.stages(image))
