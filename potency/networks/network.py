"""What every network states about itself: its stride, how far a pixel sees, and how fast it can learn."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

HEAD_FIRST = 0.3  # share of the steps in which a body that knows something is left alone
RATES = {"batch": 3e-3, "layer": 5e-4, "none": 2e-4}  # by what holds the activations; see docs/networks.md


class Network(nn.Module):
    """Base of all networks: (N, C, H, W) float32 in, a mapping of named tensors out.

    Attributes:
        stride: px from one value of the coarsest map to the next; H and W must divide by it for dense outputs.
        halo: px beyond its own cell (`stride` x `stride`) that can change a value of the map that the network
            computes, before any pooling; None: the whole input (attention, squeeze-excite, norms over the image), so
            the answer belongs to a fixed grid that the plan states.
        rate: peak learning rate (AdamW) at which fresh weights learn.
        compiles: whether engines other than torch can run it: not where the number of its steps depends on the image.
    """

    stride: int = 1
    halo: int | None = None
    rate: float = 3e-3
    compiles: bool = True

    def forward(self, image: Tensor) -> Mapping[str, Tensor]:
        raise NotImplementedError(f"{type(self).__name__} does not say what it computes")

    def exercise(self, image: Tensor) -> Tensor:
        """A number whose gradients cost about what a step of learning costs, of images without a truth (to time it)."""
        return torch.stack([value.float().square().mean() for value in self(image).values()]).sum()

    def bodies(self) -> Mapping[str, nn.Module]:
        """The parts that may start from weights, the largest first; the last has the name of its published ones."""
        return {}

    def head(self) -> nn.Module:
        """The part that stays free when the body is frozen."""
        raise NotImplementedError(f"{type(self).__name__} has no head")

    def learning(self, started: bool) -> Mapping[str, float]:
        """Decisions of a plan that suit this network, where nobody says otherwise.

        What is learned already must not be washed away: a third of the rate, and the head alone at first.
        """
        return {"rate": self.rate / 3, "freeze": HEAD_FIRST} if started else {"rate": self.rate}


def rate_of(network: nn.Module) -> float:
    """The peak rate, by what keeps activations in bounds: batch norm, layer norm, or nothing."""
    kinds = {type_ for part in network.modules() for type_ in type(part).__mro__}
    if kinds & {nn.LayerNorm, nn.GroupNorm}:  # attention blocks have them, whatever the convolutions before
        return RATES["layer"]
    return RATES["batch" if nn.modules.batchnorm._BatchNorm in kinds else "none"]
