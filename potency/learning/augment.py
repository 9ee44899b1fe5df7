"""Augmentation of whole batches on tensors: what a microscope and a dish may change without changing the answer."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import torch
from torch import Generator, Tensor
from torch.nn.functional import affine_grid, conv2d, grid_sample, interpolate, pad

Augmentation = Callable[[Tensor, float, Generator], Tensor]


def _uniform(n: int, low: float, high: float, rng: Generator) -> Tensor:
    return torch.rand(n, generator=rng) * (high - low) + low


def flip(images: Tensor, strength: float, rng: Generator) -> Tensor:
    """Mirror left to right with probability strength / 2."""
    chosen = torch.rand(len(images), generator=rng) < strength / 2
    return torch.where(chosen[:, None, None, None], images.flip(3), images)


def turn(images: Tensor, strength: float, rng: Generator) -> Tensor:
    """Turn by a random multiple of 90 degrees with probability `strength`; no pixel is interpolated."""
    if images.shape[2] != images.shape[3]:
        return images
    quarter = torch.randint(0, 4, (len(images),), generator=rng)
    quarter[torch.rand(len(images), generator=rng) >= strength] = 0
    turned = images.clone()
    for k in (1, 2, 3):
        turned[quarter == k] = torch.rot90(images[quarter == k], k, (2, 3))
    return turned


def warp(images: Tensor, strength: float, rng: Generator) -> Tensor:
    """Rotate up to 180 degrees, zoom +-10 %, shift +-5 %, bend a little, in one interpolation; scaled by `strength`.

    Padding repeats the border, so a turned crop shows no black corners that a network could learn from.
    """
    n = len(images)
    angle = _uniform(n, -math.pi, math.pi, rng) * min(1.0, strength)
    zoom = torch.exp(_uniform(n, -0.1, 0.1, rng) * strength)
    shift = _uniform(2 * n, -0.1, 0.1, rng).reshape(n, 2) * strength  # in half sides
    cos, sin = torch.cos(angle) / zoom, torch.sin(angle) / zoom
    tall = images.shape[2] / images.shape[3]  # the grid counts in half sides; a turn must not shear
    matrix = torch.stack(
        [torch.stack([cos, -sin * tall, shift[:, 0]], 1), torch.stack([sin / tall, cos, shift[:, 1]], 1)], 1
    )
    grid = affine_grid(matrix, list(images.shape), align_corners=False)
    bend = torch.randn(n, 2, 4, 4, generator=rng) * 0.02 * strength
    grid = grid + interpolate(bend, images.shape[2:], mode="bicubic", align_corners=True).permute(0, 2, 3, 1)
    return grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)


def shift(images: Tensor, strength: float, rng: Generator) -> Tensor:
    """Move by whole pixels, up to `strength` of a side each way, repeating the border: no pixel is interpolated."""
    n, _, h, w = images.shape
    rows = _moved(n, h, strength, rng)[:, None, :, None].expand(-1, images.shape[1], -1, w)
    columns = _moved(n, w, strength, rng)[:, None, None, :].expand(-1, images.shape[1], h, -1)
    return images.gather(2, rows).gather(3, columns)


def _moved(n: int, side: int, strength: float, rng: Generator) -> Tensor:
    reach = int(side * strength)
    offset = torch.randint(-reach, reach + 1, (n, 1), generator=rng)
    return (torch.arange(side)[None] + offset).clamp(0, side - 1)


def blur(images: Tensor, strength: float, rng: Generator) -> Tensor:
    """Gaussian blur of sigma 0 to `strength` px, one for each image: focus."""
    n, c, h, w = images.shape
    sigma = _uniform(n, 0.01, max(0.02, strength), rng)
    reach = max(1, math.ceil(2 * strength))
    x = torch.arange(-reach, reach + 1, dtype=torch.float32)
    kernel = torch.exp(-0.5 * (x / sigma[:, None]) ** 2)
    kernel = (kernel / kernel.sum(1, keepdim=True)).repeat_interleave(c, 0)
    flat = pad(images, (reach,) * 4, mode="replicate").reshape(1, n * c, h + 2 * reach, w + 2 * reach)
    flat = conv2d(flat, kernel[:, None, :, None], groups=n * c)
    return conv2d(flat, kernel[:, None, None, :], groups=n * c).reshape(n, c, h, w)


def gain(images: Tensor, strength: float, rng: Generator) -> Tensor:
    """Multiply and shift each channel by up to +-`strength` of the scale: lamp, exposure, staining."""
    n, c = images.shape[:2]
    factor = 1 + _uniform(n * c, -strength, strength, rng).reshape(n, c, 1, 1)
    offset = _uniform(n * c, -strength, strength, rng).reshape(n, c, 1, 1) / 2
    return (images - 0.5) * factor + 0.5 + offset


def gamma(images: Tensor, strength: float, rng: Generator) -> Tensor:
    """Raise to a power between 1/(1 + strength) and 1 + strength, keeping what lies outside 0..1."""
    power = torch.exp(_uniform(len(images), -1, 1, rng) * math.log1p(strength))[:, None, None, None]
    inside = images.clamp(0, 1)
    return images + (inside.clamp(min=1e-4) ** power - inside)


def illumination(images: Tensor, strength: float, rng: Generator) -> Tensor:
    """Multiply by a smooth field that departs from 1 by about `strength`: uneven light."""
    field = torch.randn(len(images), 1, 3, 3, generator=rng) * strength
    return images * (1 + interpolate(field, images.shape[2:], mode="bicubic", align_corners=True))


def noise(images: Tensor, strength: float, rng: Generator) -> Tensor:
    """Add Gaussian noise of a standard deviation up to `strength` of the scale."""
    level = _uniform(len(images), 0, strength, rng)[:, None, None, None]
    return images + torch.randn(images.shape, generator=rng) * level


def drop_channel(images: Tensor, strength: float, rng: Generator) -> Tensor:
    """Blank one channel with probability `strength`; images of one channel stay as they are."""
    n, c = images.shape[:2]
    if c == 1:
        return images
    which = torch.randint(0, c, (n,), generator=rng)
    which[torch.rand(n, generator=rng) >= strength] = -1
    keep = torch.arange(c)[None] != which[:, None]
    return images * keep[:, :, None, None]


# The order in which they are applied; a plan names those it wants with their strengths.
AUGMENTATIONS: Mapping[str, Augmentation] = {
    one.__name__: one for one in (flip, turn, shift, warp, blur, gain, gamma, illumination, noise, drop_channel)
}
# Measured on single-cell crops: what interpolates (warp, blur) costs more texture than it adds variety.
DEFAULT: Mapping[str, float] = {"flip": 1.0, "turn": 1.0, "gain": 0.05, "noise": 0.02}


def augment(images: Tensor, chosen: Mapping[str, float], rng: Generator) -> Tensor:
    """Apply the chosen augmentations to a batch (N, C, H, W) scaled to 0..1; the same `rng` gives the same batch."""
    for name, apply in AUGMENTATIONS.items():
        if chosen.get(name, 0.0) > 0:
            images = apply(images, chosen[name], rng)
    return images
