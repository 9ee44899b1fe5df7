"""Explanations from gradients: saliency, SmoothGrad, gradient times input, integrated gradients."""

from __future__ import annotations

import torch
from torch import Tensor

from potency.explanation.method import Map, background
from potency.explanation.relevance import Run, Score

NOISE, NOISY = 0.1, 16  # SmoothGrad: share of an image's range, and how many noisy copies
PATH = 32  # points on the way of integrated gradients


def slope(run: Run, focus: Score, images: Tensor) -> tuple[Tensor, Tensor]:
    """Gradient of the score by the image (N, C, H, W), and the score (N,)."""
    with torch.enable_grad():
        images = images.detach().requires_grad_()
        score = focus(run(images))
        return torch.autograd.grad(score.sum(), images)[0], score.detach()


def saliency(run: Run, focus: Score, images: Tensor) -> Map:
    found, score = slope(run, focus, images)
    return Map(found.abs(), score)


def smooth(run: Run, focus: Score, images: Tensor) -> Map:
    """The mean saliency of noisy copies; the noise is the same in every call."""
    chance = torch.Generator(images.device).manual_seed(0)
    spread = NOISE * (images.amax((1, 2, 3), keepdim=True) - images.amin((1, 2, 3), keepdim=True))
    total = torch.zeros_like(images)
    for _ in range(NOISY):
        noise = torch.randn(images.shape, generator=chance, device=images.device, dtype=images.dtype)
        total += slope(run, focus, images + spread * noise)[0].abs()
    with torch.no_grad():
        return Map(total / NOISY, focus(run(images)))


def times_input(run: Run, focus: Score, images: Tensor) -> Map:
    """Gradient times what the image has beyond its background."""
    found, score = slope(run, focus, images)
    return Map(found * (images - background(images)), score)


def integrated(run: Run, focus: Score, images: Tensor) -> Map:
    """From an image of nothing but background to the image; "missing" is what the sum leaves of the difference."""
    start = background(images).expand_as(images)
    total = torch.zeros_like(images)
    for step in range(PATH):
        total += slope(run, focus, start + (step + 0.5) / PATH * (images - start))[0]
    values = total / PATH * (images - start)
    with torch.no_grad():
        score, empty = focus(run(images)), focus(run(start))
    told = values.sum((1, 2, 3))
    return Map(values, score, {"empty": empty, "input": told, "bias": empty, "missing": score - empty - told})
