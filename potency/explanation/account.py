"""The books of an explanation: where a score went, and how much of it is on no account."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor


@dataclass
class Account:
    """Where the explained score went; every figure is one a sample (N,).

    Attributes:
        relevance: of the image, in its shape (N, C, H, W).
        score: what was explained.
        input, bias, absorbed: what reached the image, biases and constants, and nobody, each summed from the rules.
        steps: each step that shares, the last first, with the part of what entered it that is on no account, in the
            worst sample.
    """

    relevance: Tensor
    score: Tensor
    input: Tensor
    bias: Tensor
    absorbed: Tensor
    steps: list[tuple[str, float]] = field(default_factory=list)

    @property
    def layer_error(self) -> float:
        """The worst step's."""
        return max((error for _, error in self.steps), default=0.0)

    @property
    def sum_error(self) -> Tensor:
        """How far input, bias and absorbed together are from the score, as a share of it."""
        left = self.score - self.input - self.bias - self.absorbed
        return left.abs() / self.score.abs().clamp_min(1e-12)

    def share(self, part: str) -> Tensor:
        """A part as a share of the score: "input", "bias" or "absorbed"."""
        return torch.as_tensor(getattr(self, part) / self.score)
