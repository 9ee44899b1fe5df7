"""What every network states about itself: the stride its input must divide by, and how far a pixel sees."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn


class Network(nn.Module):
    """Base of all networks: (N, C, H, W) float32 in, a mapping of named tensors out.

    Attributes:
        stride: H and W must divide by it for dense outputs; image-level networks accept any size >= `smallest`.
        halo: pixels of context each side that can change an output pixel; None: the whole input (pooling,
            attention, squeeze-excite), so the answer belongs to a fixed grid that the plan states.
        smallest: the least H and W that leave at least one value before pooling.
    """

    stride: int = 1
    halo: int | None = None
    smallest: int = 1

    def forward(self, image: Tensor) -> Mapping[str, Tensor]:
        raise NotImplementedError(f"{type(self).__name__} does not say what it computes")

    def head(self) -> nn.Module:
        """The part that stays free when the body is frozen."""
        raise NotImplementedError(f"{type(self).__name__} has no head")
