"""What a method of explanation is: a function from images and a score to a map, with what its paper calls it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from potency.explanation.relevance import Run, Score


@dataclass(frozen=True)
class Map:
    """How much each pixel counts for a score.

    Attributes:
        values: (N, C, H, W), or (N, 1, H, W) where a method does not tell channels apart; positive speaks for the
            score, negative against it.
        score: what was explained (N,).
        parts: of the score, in its units, by name (N,), where a method accounts for it: "input", "bias", "absorbed",
            "missing" (what a sum over a way leaves), which together are the score; and "empty", the score of the
            background alone.
    """

    values: Tensor
    score: Tensor
    parts: Mapping[str, Tensor] = field(default_factory=dict)


Explain = Callable[[Run, Score, Tensor], Map]
Told = Callable[[Tensor], Tensor]  # images to one number each, that curves are drawn of


@dataclass(frozen=True)
class Method:
    """One line of `METHODS`.

    Attributes:
        title, source: a sentence for people, and the paper.
        explain: the function.
        ladder: ways of the function by name, of which `choice.fitted` takes the one that suits a network.
        way: the name of the one it is.
    """

    title: str
    source: str
    explain: Explain
    ladder: Mapping[str, Explain] = field(default_factory=dict)
    way: str = ""

    def __call__(self, run: Run, focus: Score, images: Tensor) -> Map:
        return self.explain(run, focus, images)

    def taking(self, way: str) -> Method:
        """The same, done this way."""
        return replace(self, explain=self.ladder[way], way=way)


def background(images: Tensor) -> Tensor:
    """Of each channel the median of its outermost pixels, (N, C, 1, 1): what a crop is padded with, "no cell here".

    >>> background(torch.arange(9.0).reshape(1, 1, 3, 3)).item()
    3.0
    """
    edge = torch.cat([images[:, :, 0], images[:, :, -1], images[:, :, 1:-1, 0], images[:, :, 1:-1, -1]], 2)
    return edge.median(2).values[:, :, None, None]
