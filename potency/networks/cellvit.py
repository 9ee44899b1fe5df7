"""`cellvit`: a transformer as encoder and a decoder a head, all of which share its skips (Hörst et al. 2024)."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from potency.errors import PlanError
from potency.networks.levels import Levels
from potency.networks.plain import convolution

FOUR = 4  # maps of the transformer that are joined: after a quarter of its blocks, a half, three quarters, all
WIDTHS = (1, 2, 4, 8, 8)  # channels at each halving, times those of the finest map


class CellVit(nn.Module):
    """Maps (N, branches x width, H, W): UNETR (Hatamizadeh 2022) with the branches of HoVer-Net (Graham 2019).

    So CellViT (arXiv 2306.15350) joins them; there is one branch for each head of the task (inside, places, types).

    The image and the maps of four depths of the transformer are brought to their place on the way back once; each
    branch has its own way. Attention looks at the whole image, so the answer belongs to the tile that it is shown.

    Args:
        channels: image channels (C).
        tile: px of the crops; the positions of the transformer are laid out for it.
        branches: how many ways back there are.
        encoder: a transformer on patches of timm: "vit-small" (as CellViT-256), "vit-tiny", "samvit_base_patch16", ...
        width: channels of the finest maps (published: 64).
    """

    def __init__(
        self, channels: int, tile: tuple[int, int], branches: int = 1, encoder: str = "vit-small", width: int = 64
    ) -> None:
        super().__init__()
        if width < 4:
            raise TypeError("width is at least 4")
        self.encoder = Levels(encoder, channels, tile, blocks=FOUR)
        self.stride, embedded, halvings = self.encoder.strides[0], self.encoder.widths[0], _halvings(self.encoder)
        widths = [width * WIDTHS[min(k, len(WIDTHS) - 1)] for k in range(halvings + 1)]
        self.num_features, self.branches = branches * width, branches
        # The coarser a place, the later the block whose map belongs there; the image belongs to the pixels themselves.
        self.places = [max(0, FOUR - 1 - halvings + k) for k in range(1, halvings)]
        self.image = nn.Sequential(
            convolution(channels, max(1, width // 2), 3, nn.ReLU), convolution(max(1, width // 2), width, 3, nn.ReLU)
        )
        self.skips = nn.ModuleList(_brought(embedded, widths[halvings - 1 : k - 1 : -1]) for k in range(1, halvings))
        self.ways = nn.ModuleList(_Way(embedded, widths) for _ in range(branches))

    def forward(self, image: Tensor) -> Tensor:
        maps = self.encoder(image)
        skips = [self.image(image)]
        skips += [skip(maps[place]) for skip, place in zip(self.skips, self.places, strict=True)]
        return torch.cat([way(maps[-1], skips) for way in self.ways], 1)


class _Way(nn.Module):
    """From the last map of the transformer to the pixels: doubled, joined, convolved, at every halving."""

    def __init__(self, embedded: int, widths: list[int]) -> None:
        super().__init__()
        above = widths[-2::-1]  # of the places, the coarsest first
        self.enlarge = nn.ModuleList(
            nn.ConvTranspose2d(before, after, 2, 2) for before, after in pairwise([embedded, *above])
        )
        self.join = nn.ModuleList(
            nn.Sequential(convolution(2 * w, w, 3, nn.ReLU), convolution(w, w, 3, nn.ReLU)) for w in above
        )

    def forward(self, values: Tensor, skips: list[Tensor]) -> Tensor:
        for enlarge, join, skip in zip(self.enlarge, self.join, reversed(skips), strict=True):
            values = join(torch.cat([skip, enlarge(values)], 1))
        return values


def _brought(embedded: int, widths: list[int]) -> nn.Sequential:
    """A map of the transformer, doubled and convolved as often as its place asks."""
    parts: list[nn.Module] = []
    for before, after in pairwise([embedded, *widths]):
        parts += [nn.ConvTranspose2d(before, after, 2, 2), convolution(after, after, 3, nn.ReLU)]
    return nn.Sequential(*parts)


def _halvings(encoder: Levels) -> int:
    if len(set(encoder.strides)) > 1 or len(encoder.strides) != FOUR or encoder.strides[0] > 2**FOUR:
        raise PlanError(
            f"cellvit joins {FOUR} maps of one stride, {2**FOUR} px at most; {encoder.name!r} has other ones",
            "cellvit:encoder=", "take a transformer on patches, such as vit-small; of others, unet:encoder=NAME",
        )  # fmt: skip
    return encoder.strides[0].bit_length() - 1
