"""Pictures that a network scores highest: gradient ascent on the spectrum of an image, regularised, from a seed."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from potency.errors import PlanError

Score = Callable[[Tensor], Tensor]  # images (N, C, H, W), scaled as the network reads them, to one score each (N,)
INSIDE = 0.02  # how near 0 and 1 a start may be: at the ends nothing moves
LASTING = 0.9  # of the mean score, from step to step
TRIED = 16  # random pictures from which the size of a score is taken, where no other is known


@dataclass(frozen=True)
class Ascent:
    """How a picture is sought; the defaults are for classes of single cells.

    Attributes:
        steps: of Adam.
        seeds: pictures of each goal, each from its own noise.
        rate: of Adam, on the spectrum.
        decay: a frequency f starts, and moves, as 1 / f ** decay; 0: all alike, and fine noise wins (Olah 2017).
        contrast: of the first noise, in units before the sigmoid.
        shift: largest random shift, as a share of a side, in every step; so a picture must hold wherever it lies.
        turn: largest random turn, degrees.
        zoom: largest random change of size, as a share.
        variation: weight of the mean absolute difference of neighbours, in spreads of the score.
        energy: weight of the mean square distance from the start, in spreads of the score (L2; Simonyan 2014).
        blur: standard deviation in pixels of a blur of the picture, in every fourth step (Yosinski 2015); 0: none.
        clip: largest norm of a gradient.
    """

    steps: int = 200
    seeds: int = 3
    rate: float = 0.05
    decay: float = 1.0
    contrast: float = 0.6
    shift: float = 0.08
    turn: float = 15.0
    zoom: float = 0.08
    variation: float = 2.0
    energy: float = 1.0
    blur: float = 0.0
    clip: float = 1.0

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            whole = name in ("steps", "seeds")
            if not math.isfinite(value) or value < 0 or (whole and value < 1):
                raise PlanError(f"{name} {value} is impossible", "visualise", "give 1 or more" if whole
                                else "give 0 or more")  # fmt: skip


@dataclass(frozen=True)
class Found:
    """Pictures (S, C, H, W) in 0..1, the score that each reaches (S,), and the scores on the way (steps, S)."""

    pictures: Tensor
    scores: Tensor
    way: Tensor


class Spectrum(nn.Module):
    """Images in 0..1 as sigmoids of a start plus an inverse Fourier transform, low frequencies first."""

    def __init__(self, start: Tensor, ascent: Ascent, draw: torch.Generator) -> None:
        super().__init__()
        count, (channels, height, width) = ascent.seeds, start.shape
        rows, columns = torch.fft.fftfreq(height), torch.fft.rfftfreq(width)
        frequency = (rows[:, None] ** 2 + columns[None] ** 2).sqrt().clamp_min(1 / max(height, width))
        weight = frequency**-ascent.decay
        # So that noise of size 1 in every frequency is noise of size 1 in the image.
        weight = weight * math.sqrt(height * width) / weight.square().mean().sqrt()
        self.register_buffer("weight", weight)
        self.register_buffer("start", torch.logit(start.clamp(INSIDE, 1 - INSIDE)))
        shape = (count, channels, *weight.shape, 2)
        self.values = nn.Parameter(torch.randn(shape, generator=draw) * ascent.contrast / math.sqrt(2))
        self.size = (height, width)

    def forward(self) -> Tensor:
        weighed = torch.view_as_complex(self.values) * self.weight
        return torch.sigmoid(self.start + torch.fft.irfft2(weighed, s=self.size))

    weight: Tensor
    start: Tensor


def ascend(score: Score, start: Tensor, ascent: Ascent | None = None, seed: int = 0, spread: float = 0.0) -> Found:
    """Seek pictures with a high score (Erhan 2009; Yosinski 2015; Olah 2017).

    Args:
        score: images to one number each; differentiable.
        start: (C, H, W) in 0..1, what the noise is laid over: a level, or a mean image.
        ascent: how.
        seed: of the noise and of all transforms: the same seed gives the same pictures.
        spread: what is a usual difference between scores; 0: that of random pictures.

    >>> told = ascend(lambda images: images.mean((1, 2, 3)), torch.full((1, 8, 8), 0.5), Ascent(steps=60, rate=0.2))
    >>> bool((told.scores > 0.7).all())
    True
    """
    ascent, draw = ascent or Ascent(), torch.Generator().manual_seed(seed)
    with torch.enable_grad():
        picture = Spectrum(start, ascent, draw)
        size = spread or _spread(score, start, ascent, draw)
        optimiser = torch.optim.Adam([picture.values], ascent.rate)
        way, best = [], _Best(ascent.seeds)
        for step in range(ascent.steps):
            # Small steps at the end: under random moves large ones never come to rest.
            optimiser.param_groups[0]["lr"] = ascent.rate * (0.55 + 0.45 * math.cos(math.pi * step / ascent.steps))
            images = picture()
            if ascent.blur and step % 4 == 3:
                images = blurred(images, ascent.blur)
            told = score(moved(images, ascent, draw))
            loss = _cost(images, start, ascent) - told / size
            (picture.values.grad,) = torch.autograd.grad(loss.sum(), [picture.values])
            for own in picture.values.grad:  # each picture by itself: their number must not matter
                own.mul_(min(1.0, ascent.clip / max(float(own.norm()), 1e-12)))
            best.see(-loss.detach(), picture.values.detach())
            optimiser.step()
            way.append(told.detach())
    with torch.no_grad():
        images = picture()
        last = score(moved(images, ascent, draw)) / size - _cost(images, start, ascent)
        picture.values.copy_(best.kept(picture.values.detach(), last))
        images = picture()
        return Found(images, score(images), torch.stack(way))


def _cost(images: Tensor, start: Tensor, ascent: Ascent) -> Tensor:
    return ascent.variation * rough(images) + ascent.energy * (images - start).square().mean((1, 2, 3))


class _Best:
    """Of each picture the state that did best over the moves of the last steps: some networks lead astray."""

    def __init__(self, count: int) -> None:
        self.mean, self.top = torch.zeros(count), torch.full((count,), -torch.inf)
        self.seen = 0
        self.values: Tensor | None = None

    def see(self, worth: Tensor, values: Tensor) -> None:
        self.seen += 1
        self.mean = LASTING * self.mean + (1 - LASTING) * worth
        mean = self.mean / (1 - LASTING**self.seen)  # as if it had begun long ago
        better = mean > self.top
        self.top = torch.where(better, mean, self.top)
        self.values = values.clone() if self.values is None else self.values
        self.values[better] = values[better]

    def kept(self, values: Tensor, worth: Tensor) -> Tensor:
        """The best state, the last one included."""
        self.see(worth, values)
        assert self.values is not None
        return self.values


def rough(images: Tensor) -> Tensor:
    """Mean absolute difference between neighbours (N,): total variation, for one pixel."""
    down, right = images.diff(dim=2).abs(), images.diff(dim=3).abs()
    return down.mean((1, 2, 3)) + right.mean((1, 2, 3))


def moved(images: Tensor, ascent: Ascent, draw: torch.Generator) -> Tensor:
    """Each image (N, C, H, W) shifted, turned and resized a little; what comes in at an edge is mirrored."""
    if not (ascent.shift or ascent.turn or ascent.zoom):
        return images
    chance = (torch.rand((4, len(images)), generator=draw) * 2 - 1).to(images)
    angle, size = chance[0] * math.radians(ascent.turn), 1 + chance[1] * ascent.zoom
    cos, sin, shift = angle.cos() / size, angle.sin() / size, 2 * ascent.shift * chance[2:]
    aspect = images.shape[2] / images.shape[3]
    first, second = torch.stack([cos, -sin * aspect, shift[0]], 1), torch.stack([sin / aspect, cos, shift[1]], 1)
    grid = nn.functional.affine_grid(torch.stack([first, second], 1), list(images.shape), align_corners=False)
    return nn.functional.grid_sample(images, grid, padding_mode="reflection", align_corners=False)


def blurred(images: Tensor, sigma: float) -> Tensor:
    """Images under a Gaussian of this width in pixels."""
    reach = max(1, math.ceil(3 * sigma))
    line = torch.exp(-0.5 * (torch.arange(-reach, reach + 1).to(images) / sigma) ** 2)
    line = line / line.sum()
    channels = images.shape[1]
    wide = nn.functional.pad(images, (reach, reach, reach, reach), mode="replicate")
    across = nn.functional.conv2d(wide, line.expand(channels, 1, 1, -1), groups=channels)
    return nn.functional.conv2d(across, line[:, None].expand(channels, 1, -1, 1), groups=channels)


def _spread(score: Score, start: Tensor, ascent: Ascent, draw: torch.Generator) -> float:
    from dataclasses import replace

    with torch.no_grad():
        random = Spectrum(start, replace(ascent, seeds=TRIED, contrast=1.0), draw)()
        return max(float(score(random).std()), 1e-6)
