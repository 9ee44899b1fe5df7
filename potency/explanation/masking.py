"""Explanations from hiding: occlusion block by block, and random masks."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from potency.explanation.method import Map, background
from potency.explanation.relevance import Run, Score

BLOCKS = 12  # a side: how finely occlusion looks
MASKS, CELLS, SEEN = 256, 7, 0.5  # random masks: how many, cells a side, share of the image that is left


def occlusion(run: Run, focus: Score, images: Tensor) -> Map:
    """What the score loses when a block shows nothing but background (Zeiler 2014)."""
    height, width = images.shape[2:]
    side = max(1, round(min(height, width) / BLOCKS))
    empty, values = background(images), torch.zeros_like(images[:, :1])
    with torch.no_grad():
        score = focus(run(images))
        for y in range(0, height, side):
            for x in range(0, width, side):
                hidden = images.clone()
                hidden[:, :, y : y + side, x : x + side] = empty
                values[:, :, y : y + side, x : x + side] = (score - focus(run(hidden)))[:, None, None, None]
    return Map(values, score)


def masks(run: Run, focus: Score, images: Tensor) -> Map:
    """The mean score over random soft masks that show a pixel, beside the mean over all (RISE; Petsiuk 2018)."""
    height, width = images.shape[2:]
    chance = torch.Generator().manual_seed(0)
    step = -(-height // CELLS), -(-width // CELLS)
    empty, total = background(images), torch.zeros_like(images[:, :1])
    seen, mean = torch.zeros(height, width).to(images), torch.zeros(len(images)).to(images)
    with torch.no_grad():
        for _ in range(MASKS):
            coarse = (torch.rand(1, 1, CELLS + 1, CELLS + 1, generator=chance) < SEEN).to(images)
            top, left = (int(torch.randint(0, side, (1,), generator=chance)) for side in step)
            wide = nn.functional.interpolate(coarse, [(CELLS + 1) * side for side in step], mode="bilinear")
            mask = wide[0, 0, top : top + height, left : left + width]
            score = focus(run(empty + mask * (images - empty)))
            total += score[:, None, None, None] * mask
            seen += mask
            mean += score / MASKS
        found = total / seen.clamp_min(1e-6) - mean[:, None, None, None]
        return Map(found, focus(run(images)))
