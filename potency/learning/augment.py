"""Augmentation of whole batches on tensors: what a microscope and a dish may change without changing the answer."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import torch
from torch import Generator, Tensor
from torch.nn.functional import affine_grid, conv2d, grid_sample, interpolate, pad

GRID = 32  # px; a multiple of every stride
Augmentation = Callable[[Tensor, float, Generator], Tensor]


def _uniform(n: int, low: float, high: float, rng: Generator) -> Tensor:
    return torch.rand(n, generator=rng) * (high - low) + low


def flip(images: Tensor, strength: float, rng: Generator) -> Tensor:
    """Mirror left to right with probability strength / 2."""
    chosen = torch.rand(len(images), generator=rng) < strength / 2
    return torch.where(chosen[:, None, None, None], images.flip(3), images)


def halfturn(images: Tensor, strength: float, rng: Generator) -> Tensor:
    """Turn upside down with probability strength / 2; no pixel is interpolated."""
    chosen = torch.rand(len(images), generator=rng) < strength / 2
    return torch.where(chosen[:, None, None, None], images.flip((2, 3)), images)


def turn(images: Tensor, strength: float, rng: Generator) -> Tensor:
    """Turn by a random multiple of 90 degrees with probability `strength`; no pixel is interpolated.

    A crop that is no square is turned upside down or left: its network knows crops of one shape.
    """
    if images.shape[2] != images.shape[3]:
        return halfturn(images, strength, rng)
    quarter = torch.randint(0, 4, (len(images),), generator=rng)
    quarter[torch.rand(len(images), generator=rng) >= strength] = 0
    turned = images.clone()
    for k in (1, 2, 3):
        turned[quarter == k] = torch.rot90(images[quarter == k], k, (2, 3))
    return turned


def affine(images: Tensor, strength: float, rng: Generator) -> Tensor:
    """Rotate up to 180 degrees, zoom +-10 %, shift +-5 % of a side, scaled by `strength`."""
    return _sampled(images, _moved_grid(images, strength, rng))


def crop(images: Tensor, strength: float, rng: Generator) -> Tensor:
    """A part of the image, enlarged to its size; its area is 1 - `strength` of the whole or more (Chen 2020)."""
    n = len(images)
    side = _uniform(n, max(0.05, 1 - strength), 1.0, rng).sqrt()
    place = _uniform(2 * n, -1.0, 1.0, rng).reshape(n, 2) * (1 - side)[:, None]  # in half sides
    flat = torch.zeros(n)
    matrix = torch.stack([torch.stack([side, flat, place[:, 0]], 1), torch.stack([flat, side, place[:, 1]], 1)], 1)
    return _sampled(images, affine_grid(matrix, list(images.shape), align_corners=False))


def elastic(images: Tensor, strength: float, rng: Generator) -> Tensor:
    """Bend along a smooth random field that moves a pixel by about `strength` % of a side (Simard 2003)."""
    straight = torch.eye(2, 3).expand(len(images), 2, 3)
    grid = affine_grid(straight, list(images.shape), align_corners=False)
    return _sampled(images, grid + _bend(images, strength, rng))


def warp(images: Tensor, strength: float, rng: Generator) -> Tensor:
    """`affine` and `elastic` in one interpolation, which costs less texture than two."""
    return _sampled(images, _moved_grid(images, strength, rng) + _bend(images, strength, rng))


def _moved_grid(images: Tensor, strength: float, rng: Generator) -> Tensor:
    n = len(images)
    angle = _uniform(n, -math.pi, math.pi, rng) * min(1.0, strength)
    zoom = torch.exp(_uniform(n, -0.1, 0.1, rng) * strength)
    shift = _uniform(2 * n, -0.1, 0.1, rng).reshape(n, 2) * strength  # in half sides
    cos, sin = torch.cos(angle) / zoom, torch.sin(angle) / zoom
    tall = images.shape[2] / images.shape[3]  # the grid counts in half sides; a turn must not shear
    matrix = torch.stack(
        [torch.stack([cos, -sin * tall, shift[:, 0]], 1), torch.stack([sin / tall, cos, shift[:, 1]], 1)], 1
    )
    return affine_grid(matrix, list(images.shape), align_corners=False)


def _bend(images: Tensor, strength: float, rng: Generator) -> Tensor:
    knots = torch.randn(len(images), 2, 4, 4, generator=rng) * 0.02 * strength  # in half sides
    return _smooth(knots, images).permute(0, 2, 3, 1)


def _smooth(knots: Tensor, images: Tensor) -> Tensor:
    """Values at a few knots (N, K, y, x) as a smooth field over the images: bicubic, as two small matrix products."""
    down, across = (
        interpolate(torch.eye(count)[None, None], (side, count), mode="bicubic", align_corners=True)[0, 0]
        for count, side in zip(knots.shape[2:], images.shape[2:], strict=True)
    )
    return down @ knots @ across.T


def _sampled(images: Tensor, grid: Tensor) -> Tensor:
    """Padding repeats the border, so a turned crop shows no black corners that a network could learn from.

    Whole numbers in float64 are what is drawn on the pixels: they are names, and never mixed.
    """
    mode = "nearest" if images.dtype == torch.float64 else "bilinear"
    return grid_sample(images, grid.to(images.dtype), mode=mode, padding_mode="border", align_corners=False)


def zoom(images: Tensor, strength: float, rng: Generator) -> Tensor:
    """Zoom by 1/(1 + strength) to 1 + strength, even on a logarithm; what comes in is the mirror image."""
    n = len(images)
    side = torch.exp(_uniform(n, -1, 1, rng) * math.log1p(strength))
    flat = torch.zeros(n)
    matrix = torch.stack([torch.stack([side, flat, flat], 1), torch.stack([flat, side, flat], 1)], 1)
    grid = affine_grid(matrix, list(images.shape), align_corners=False)
    folded = 1 - ((grid + 1).remainder(4) - 2).abs()  # a mirror at each edge, and again at the next
    return _sampled(images, folded)


def window(images: Tensor, strength: float, rng: Generator) -> Tensor:
    """A part of the image at a random place, 1 - `strength` of its sides: smaller, so that a step costs less.

    Its sides are multiples of `GRID`, whatever a network halves. One place for the whole batch.
    """
    at = torch.rand(2, generator=rng)
    parts = []
    for length, share in zip(images.shape[2:], at.tolist(), strict=True):
        side = min(length, max(GRID, round(length * (1 - strength) / GRID) * GRID))
        start = round(share * (length - side))
        parts.append(slice(start, start + side))
    return images[:, :, parts[0], parts[1]]


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
    return images * (1 + _smooth(field, images))


def negative(images: Tensor, strength: float, rng: Generator) -> Tensor:
    """Bright for dark with probability `strength`: the negative of the image on the scale of 0..1."""
    chosen = torch.rand(len(images), generator=rng) < strength
    return torch.where(chosen[:, None, None, None], 1 - images, images)


def noise(images: Tensor, strength: float, rng: Generator) -> Tensor:
    """Add Gaussian noise of a standard deviation up to `strength` of the scale."""
    level = _uniform(len(images), 0, strength, rng)[:, None, None, None]
    return images + torch.randn(images.shape, generator=rng) * level


def grain(images: Tensor, strength: float, rng: Generator) -> Tensor:
    """Add Gaussian noise in grains of 2 px, of a standard deviation up to `strength` of the scale: of an image that was
    noisy before somebody enlarged it."""
    n, c, h, w = images.shape
    level = _uniform(n, 0, strength, rng)[:, None, None, None]
    coarse = torch.randn(n, c, -(-h // 2), -(-w // 2), generator=rng) * level
    return images + interpolate(coarse, (h, w), mode="bilinear", align_corners=False)


def drop_channel(images: Tensor, strength: float, rng: Generator) -> Tensor:
    """Blank one channel with probability `strength`; images of one channel stay as they are."""
    n, c = images.shape[:2]
    if c == 1:
        return images
    which = torch.randint(0, c, (n,), generator=rng)
    which[torch.rand(n, generator=rng) >= strength] = -1
    keep = torch.arange(c)[None] != which[:, None]
    return images * keep[:, :, None, None]


# What moves pixels, then what changes their values, in the order of application; a plan names those it wants.
GEOMETRY: Mapping[str, Augmentation] = {
    one.__name__: one for one in (flip, halfturn, turn, zoom, shift, affine, crop, elastic, warp, window)
}  # fmt: skip
LIGHT: Mapping[str, Augmentation] = {
    one.__name__: one for one in (blur, gain, gamma, illumination, negative, noise, grain, drop_channel)
}  # fmt: skip
AUGMENTATIONS: Mapping[str, Augmentation] = {**GEOMETRY, **LIGHT}
# Measured on single-cell crops: what interpolates (warp, blur) costs more texture than it adds variety.
DEFAULT: Mapping[str, float] = {"gain": 0.05, "noise": 0.02}
# Symmetries of a plan -> what shows them to the network while it learns.
ORIENTATION: Mapping[int, Mapping[str, float]] = {
    1: {}, 2: {"flip": 1.0}, 4: {"flip": 1.0, "halfturn": 1.0}, 8: {"flip": 1.0, "turn": 1.0},
}  # fmt: skip


def decided(chosen: Mapping[str, float], symmetries: int) -> tuple[dict[str, float], int]:
    """What augments and how many symmetries the network is then shown: of no others may answers be averaged.

    >>> decided({}, 2)
    ({'flip': 1.0, 'gain': 0.05, 'noise': 0.02}, 2)
    >>> decided({"noise": 0.1}, 8)  # orientation is left as it was, so it may mean something
    ({'noise': 0.1}, 1)
    """
    augment = dict(chosen) or {**ORIENTATION[symmetries], **DEFAULT}
    shown = 2 if augment.get("flip", 0) > 0 else 1
    if shown == 2 and augment.get("halfturn", 0) > 0:
        shown = 4
    if shown > 1 and (augment.get("turn", 0) > 0 or max(augment.get("affine", 0), augment.get("warp", 0)) >= 1):
        shown = 8
    return augment, min(symmetries, shown)


def augment(images: Tensor, chosen: Mapping[str, float], rng: Generator, inside: Tensor | None = None) -> Tensor:
    """Apply the chosen augmentations to a batch (N, C, H, W) scaled to 0..1; the same `rng` gives the same batch.

    Args:
        inside: (N, 1, H, W), true in the field of view; None: everywhere. It moves with the pixels, and what lies
            outside stays as even as padding is at prediction: no noise, no shading.
    """
    channels = images.shape[1]
    if inside is not None:
        images = torch.cat([images, inside.to(images.dtype)], 1)
    images = _applied(images, chosen, GEOMETRY, rng)
    if inside is None:
        return _applied(images, chosen, LIGHT, rng)
    images, inside = images[:, :channels], images[:, channels:] > 0.5
    images = _applied(images, chosen, LIGHT, rng)
    outside = ~inside
    count = outside.sum((2, 3), keepdim=True).clamp(min=1)
    return torch.where(inside, images, (images * outside).sum((2, 3), keepdim=True) / count)


def augment_both(
    images: Tensor, drawn: Tensor, chosen: Mapping[str, float], rng: Generator
) -> tuple[Tensor, Tensor]:
    """`augment` of images (N, C, H, W), and what is drawn on their pixels (N, K, H, W) moved alike.

    Whole numbers are names and stay as they are; broken ones are values, mixed like those of the images.
    """
    again = Generator()
    again.set_state(rng.get_state())
    made = augment(images, chosen, rng)
    if drawn.is_floating_point():
        return made, _applied(drawn.float(), chosen, GEOMETRY, again)
    return made, _applied(drawn.double(), chosen, GEOMETRY, again).round().to(drawn.dtype)


def _applied(images: Tensor, chosen: Mapping[str, float], table: Mapping[str, Augmentation], rng: Generator) -> Tensor:
    for name, apply in table.items():
        if chosen.get(name, 0.0) > 0:
            images = apply(images, chosen[name], rng)
    return images
