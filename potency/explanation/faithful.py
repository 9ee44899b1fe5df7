"""Is a map true to its model? Deletion and insertion beside chance, small shifts, and a model that knows nothing."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from potency.explanation.method import Method, Told, background
from potency.explanation.relevance import Run, Score

BLOCKS = 16  # a side of an image: pixels are hidden in blocks, or one would test noise
STEPS = 12  # points of a curve beside its start
ORDERS = 4  # of chance
AT_ONCE = 8  # images whose steps are looked at together
SHIFT = 2  # px
LIKE = 0.5  # a map that is more like one of a network without knowledge shows the image, not the model
FEWEST = 5  # images without which nothing is said of a method
STEADY = 0.5  # correlation with the map of the image moved a little

TESTS = ("deletion", "insertion", "stability", "likeness")  # what each map is told, in the order `failing` reads

Values = NDArray[np.float32]


@dataclass(frozen=True)
class Curves:
    """The number a model gives (N, STEPS + 1) as more and more is hidden: most relevant first, least first, by chance.

    Insertion, most relevant first, is hiding the least relevant first, read backwards: one curve tells both.
    """

    most: Values
    least: Values
    chance: Values

    @property
    def deletion(self) -> Values:
        """How far the area under the deletion curve lies under that of chance (N,); above 0 is better than chance."""
        return np.asarray(self.chance.mean(1) - self.most.mean(1))

    @property
    def insertion(self) -> Values:
        """How far the area under the insertion curve lies over that of chance (N,)."""
        return np.asarray(self.least.mean(1) - self.chance.mean(1))


def blocks(values: Tensor) -> Tensor:
    """The mean over channels and blocks of a map (N, C, H, W), as (N, 1, h, w) with at most BLOCKS a side."""
    return nn.functional.adaptive_avg_pool2d(values.sum(1, keepdim=True), _sides(values))


def _sides(images: Tensor) -> tuple[int, int]:
    height, width = images.shape[2:]
    return min(BLOCKS, height), min(BLOCKS, width)


def hiding(told: Told, images: Tensor, order: Tensor) -> Values:
    """Curve (N, STEPS + 1) as blocks are replaced by background in this order (N, blocks), of `blocks`'s shape."""
    count, empty, seen = order.shape[1], background(images), []
    for step in range(STEPS + 1):
        hidden = torch.zeros(order.shape).scatter_(1, order[:, : round(step / STEPS * count)], 1.0)
        mask = nn.functional.interpolate(hidden.reshape(len(images), 1, *_sides(images)), images.shape[2:]) > 0.5
        seen.append(torch.where(mask, empty, images))
    # All steps of an image go through the network together, as many images as memory is good for.
    stacked = torch.stack(seen, 1)
    found = [told(part.flatten(0, 1)).reshape(part.shape[:2]) for part in torch.split(stacked, AT_ONCE)]
    return torch.cat(found).cpu().numpy().astype(np.float32)


def chance(told: Told, images: Tensor) -> Values:
    """The mean curve of some random orders, the same for every method."""
    draw, (high, wide) = torch.Generator().manual_seed(0), _sides(images)
    orders = [torch.rand(len(images), high * wide, generator=draw).argsort(1) for _ in range(ORDERS)]
    return np.asarray(np.mean([hiding(told, images, order) for order in orders], axis=0), np.float32)


def curves(told: Told, images: Tensor, values: Tensor, by_chance: Values | None = None) -> Curves:
    """The three curves of a map (Samek 2017; Petsiuk 2018). Blocks of equal relevance stand in the order of chance."""
    flat = blocks(values).flatten(1)
    shuffled = torch.rand(flat.shape, generator=torch.Generator().manual_seed(1)).argsort(1)
    order = shuffled.gather(1, flat.gather(1, shuffled).argsort(dim=1, descending=True, stable=True))
    base = chance(told, images) if by_chance is None else by_chance
    return Curves(hiding(told, images, order), hiding(told, images, order.flip(1)), base)


def stability(method: Method, run: Run, focus: Score, images: Tensor, values: Tensor) -> Values:
    """Correlation (N,) of a map with that of the image moved by SHIFT px down and right, moved back."""
    moved = method(run, focus, torch.roll(images, (SHIFT, SHIFT), (2, 3))).values
    back = torch.roll(moved, (-SHIFT, -SHIFT), (2, 3))
    inner = (..., slice(SHIFT, -SHIFT), slice(SHIFT, -SHIFT))
    return alike(values[inner], back[inner])


def alike(one: Tensor, other: Tensor) -> Values:
    """Correlation over blocks (N,) of two maps; 0 where one of them is flat."""
    a, b = (blocks(side).flatten(1).double() for side in (one, other))
    a, b = a - a.mean(1, keepdim=True), b - b.mean(1, keepdim=True)
    size = (a.norm(dim=1) * b.norm(dim=1)).clamp_min(1e-300)
    return np.asarray(((a * b).sum(1) / size).float().numpy())


def forgetful(nets: nn.Module, seed: int = 0) -> nn.Module:
    """A copy with its weights shuffled within each tensor: the same numbers, and it knows nothing (Adebayo 2018)."""
    copied, draw = copy.deepcopy(nets), torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in copied.parameters():
            flat = weight.flatten()
            weight.copy_(flat[torch.randperm(len(flat), generator=draw)].reshape(weight.shape))
    return copied


def failing(deletion: Values, insertion: Values, stable: Values, likeness: Values) -> list[str]:
    """Which checks a method fails on a set of images, in words; [] where it passes them all.

    Deletion and insertion together must be better than chance by more than twice the standard error over images, so
    that luck is no pass; under five images that check is not made.
    """
    said, gain = [], (deletion + insertion) / 2
    if len(gain) >= FEWEST and float(gain.mean()) <= 2 * float(gain.std(ddof=1)) / np.sqrt(len(gain)):
        said.append("hiding what it marks changes the answer no more than hiding anything else")
    if len(stable) and float(np.median(stable)) < STEADY:
        said.append(f"it changes when the image moves by {SHIFT} px")
    if len(likeness) and float(np.median(np.abs(likeness))) > LIKE:
        said.append("a network with shuffled weights gives much the same map")
    return said
