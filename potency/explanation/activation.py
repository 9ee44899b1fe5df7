"""Explanations from the last map of a network: Grad-CAM and Grad-CAM++."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from potency.errors import PlanError
from potency.explanation.method import Map
from potency.explanation.relevance import Run, Score
from potency.explanation.tape import Tape
from potency.explanation.wiring import Wiring


def cam(run: Run, focus: Score, images: Tensor) -> Map:
    """Channels of the last map, each weighed by its mean gradient."""
    values, slopes, score = last_map(run, focus, images)
    weights = slopes.mean((2, 3), keepdim=True)
    return _enlarged((weights * values).sum(1, keepdim=True).relu(), score, images)


def cam_plus(run: Run, focus: Score, images: Tensor) -> Map:
    """Gradients weighed by their place, so that several objects of a class all count (of exp of the score)."""
    values, slopes, score = last_map(run, focus, images)
    square, cube = slopes**2, slopes**3
    alpha = square / (2 * square + values.sum((2, 3), keepdim=True) * cube).clamp_min(1e-12)
    weights = (alpha * slopes.relu()).sum((2, 3), keepdim=True)
    return _enlarged((weights * values).sum(1, keepdim=True).relu(), score, images)


def last_map(run: Run, focus: Score, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The last map (N, F, h, w) before pooling, the gradient of the score by it, and the score.

    Raises:
        PlanError: the network ends in tokens, not in a map.
    """
    tape = Tape()
    outputs = tape.record(run, images)
    ranks = Wiring(tape).ranks
    maps = [n for n, value in enumerate(tape.values) if value.ndim == 4 and len(value) == len(images) and n > 0]
    # A transformer's attention has four axes, too; what counts is whether the last map is what the answer is made of.
    deep = [n for n in maps if min(tape.values[n].shape[2:]) > 1 and ranks[n] >= max(ranks) - 1]
    if not deep:
        raise PlanError(
            "the network ends in tokens and has no last map", "method", "choose relevance, integrated or occlusion"
        )
    with torch.enable_grad():
        leaf = tape.values[deep[-1]].detach().requires_grad_()
        replayed = tape.replay(deep[-1], leaf)
        named = {
            name: replayed.get(number, value) if (number := tape.number(value)) is not None else value
            for name, value in outputs.items()
        }
        score = focus(named)
        slopes = torch.autograd.grad(score.sum(), leaf)[0]
    return leaf.detach(), slopes, score.detach()


def _enlarged(values: Tensor, score: Tensor, images: Tensor) -> Map:
    found = nn.functional.interpolate(values, images.shape[2:], mode="bilinear")
    return Map(found, score)
