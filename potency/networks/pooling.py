"""Heads that pool: many embeddings of one unit become one (attention), or one at every step of a sequence (forward)."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

FAR = -1e9  # the score of what is not there: its weight is exactly 0 in float32


def weights_of(scores: Tensor, mask: Tensor) -> Tensor:
    """Softmax of scores (N, L) over what is there (mask (N, L)); what is not there gets 0.

    >>> weights_of(torch.zeros(1, 3), torch.tensor([[True, True, False]])).tolist()
    [[0.5, 0.5, 0.0]]
    """
    return torch.softmax(scores.masked_fill(~mask, FAR), 1) * mask


class Mean(nn.Module):
    """The mean of the embeddings: what every learned head must beat."""

    def __init__(self, width: int) -> None:
        super().__init__()

    def forward(self, x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        weights = weights_of(torch.zeros_like(x[..., 0]), mask)
        return torch.einsum("nl,nlf->nf", weights, x), weights


class Attention(nn.Module):
    """Weights from a perceptron on each embedding: softmax of w . tanh(V h) (Ilse, Tomczak and Welling 2018, eq. 8)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.see, self.score = nn.Linear(width, width), nn.Linear(width, 1, bias=False)

    def forward(self, x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        weights = weights_of(self.score(torch.tanh(self.see(x)))[..., 0], mask)
        return torch.einsum("nl,nlf->nf", weights, x), weights


class GatedAttention(nn.Module):
    """The same with a gate beside it: w . (tanh(V h) * sigmoid(U h)) (Ilse, Tomczak and Welling 2018, eq. 9)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.see, self.gate, self.score = (
            nn.Linear(width, width), nn.Linear(width, width), nn.Linear(width, 1, bias=False)
        )  # fmt: skip

    def forward(self, x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        seen = torch.tanh(self.see(x)) * torch.sigmoid(self.gate(x))
        weights = weights_of(self.score(seen)[..., 0], mask)
        return torch.einsum("nl,nlf->nf", weights, x), weights


class Blocks(nn.Module):
    """Transformer layers in which each embedding sees the others it may; normalised first, so that they train well."""

    def __init__(self, width: int, layers: int = 1, heads: int = 4) -> None:
        super().__init__()
        self.heads = heads
        self.first = nn.ModuleList(nn.LayerNorm(width) for _ in range(layers))
        self.mix = nn.ModuleList(nn.Linear(width, 3 * width) for _ in range(layers))
        self.join = nn.ModuleList(nn.Linear(width, width) for _ in range(layers))
        self.last = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))
            for _ in range(layers)
        )

    def forward(self, x: Tensor, seen: Tensor) -> Tensor:
        """x (N, L, F); seen (N, L, L): whether the first may look at the second."""
        far = torch.zeros(seen.shape, dtype=x.dtype, device=x.device).masked_fill(~seen, FAR)[:, None]
        for first, mix, join, last in zip(self.first, self.mix, self.join, self.last, strict=True):
            n, length, width = x.shape
            parts = mix(first(x)).reshape(n, length, 3, self.heads, width // self.heads)
            query, key, value = parts.permute(2, 0, 3, 1, 4)
            scores = query @ key.transpose(2, 3) / (width // self.heads) ** 0.5 + far
            mixed = (scores.softmax(3) @ value).transpose(1, 2).reshape(n, length, width)
            x = x + join(mixed)
            x = x + last(x)
        return x


class Transformer(nn.Module):
    """Embeddings that look at one another, then attention. No positions: the order of a bag means nothing."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.blocks, self.attend = Blocks(width), GatedAttention(width)

    def forward(self, x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        pooled, weights = self.attend(self.blocks(x, mask[:, None, :].expand(-1, x.shape[1], -1)), mask)
        return pooled, weights


class Recurrent(nn.Module):
    """A GRU (Cho 2014) from step to step: what it says at a step rests on that step and those before."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gru = nn.GRU(width, width, batch_first=True)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        return torch.as_tensor(self.gru(x)[0])


class Causal(nn.Module):
    """Attention in which a step sees itself and those before, never those after."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.blocks = Blocks(width, layers=2)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        length = x.shape[1]
        past = torch.ones(length, length, dtype=torch.bool, device=x.device).tril()
        # What is not there stands at the end and sees itself, so that its softmax is a number.
        return torch.as_tensor(self.blocks(x, past[None] & (mask[:, None, :] | torch.eye(length).bool()[None])))


# name -> head of `width`; bags give (pooled (N, F), weights (N, L)), sequences one embedding a step (N, L, F)
BAGS: Mapping[str, Callable[[int], nn.Module]] = {
    "mean": Mean, "attention": Attention, "gated": GatedAttention, "transformer": Transformer,
}  # fmt: skip
SEQUENCES: Mapping[str, Callable[[int], nn.Module]] = {"gru": Recurrent, "causal": Causal}
