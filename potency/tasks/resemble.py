"""Pre-training without labels: two augmented views of an image must resemble each other (SimCLR, VICReg)."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from potency.answers import Vector
from potency.answers.answer import Answer
from potency.data.plan import Plan
from potency.tasks.task import Sample, Task

WIDTH = 128  # numbers in which views are compared
TEMPERATURE = 0.2
LEAST_SPREAD, LEAST_RANK = 0.01, 1.5  # under either all images look the same to the network
# What a dish and a microscope may change, stronger than where a class must stay recognisable. `crop` matters most
# (Chen 2020, section 3), but a part of a single cell is another thing than a part of a photograph.
STRONG: Mapping[str, float] = {
    "flip": 1.0, "turn": 1.0, "affine": 1.0, "crop": 0.5, "blur": 0.7, "gain": 0.3, "gamma": 0.3, "noise": 0.05,
}  # fmt: skip


class Resemble(Task):
    """Base of tasks without truth: what is kept is the body; the head is thrown away when others start from it."""

    answer = Vector
    needs: ClassVar[tuple[str, ...]] = ("image",)
    parts: ClassVar[Mapping[str, str]] = {"net": "projector"}
    views: ClassVar[int] = 2
    usual: ClassVar[Mapping[str, object]] = {"classes": (), "augment": STRONG, "dropout": 0.0, "test_views": 1}

    def outputs(self, plan: Plan) -> int:
        return WIDTH

    def encode(self, truth: Answer, plan: Plan) -> Sample:
        return {}

    @abstractmethod
    def distance(self, one: Tensor, other: Tensor, plan: Plan) -> Tensor:
        """The loss of two views (N, K) of the same images, row by row."""

    def losses(self, nets: nn.ModuleDict, batch: Mapping[str, Tensor], plan: Plan) -> Iterator[tuple[str, Tensor]]:
        one, other = nets["net"](torch.cat([batch["image"], batch["image.1"]]))["output"].float().chunk(2)
        yield "net", self.distance(one, other, plan)

    def watch(self, views: Sequence[Mapping[str, Tensor]], plan: Plan) -> Mapping[str, float]:
        """The loss, and `sphere` of the embeddings; a collapsed network is never the one that is kept."""
        loss = self.distance(views[0]["output"].float(), views[1]["output"].float(), plan)
        found = {"loss": float(loss), **sphere(views[0]["embedding"], views[1]["embedding"])}
        return {**found, "score": -math.inf} if found["collapsed"] else found

    def decode(self, output: Mapping[str, NDArray[np.float32]], plan: Plan) -> Vector:
        """The embedding (F,); the projection that the loss compares is of no use to others."""
        return Vector(output["embedding"].astype(np.float64))


class Simclr(Resemble):
    """Views of one image are told from those of all others in the batch (Chen 2020, arXiv 2002.05709)."""

    name = "simclr"
    title = "an encoder without labels: views of an image told from those of others (SimCLR)"

    def distance(self, one: Tensor, other: Tensor, plan: Plan) -> Tensor:
        return contrast(one, other, plan.settings.get("temperature", TEMPERATURE))


class Vicreg(Resemble):
    """Views agree while every number varies and no two say the same (Bardes 2022, arXiv 2105.04906)."""

    name = "vicreg"
    title = "an encoder without labels: views agree, numbers vary and differ (VICReg)"

    def distance(self, one: Tensor, other: Tensor, plan: Plan) -> Tensor:
        said = plan.settings
        terms = agreement(one, other)
        return sum(
            (said.get(name, usual) * term for (name, usual), term in zip(SHARES.items(), terms, strict=True)),
            torch.zeros((), device=one.device),
        )


SHARES: Mapping[str, float] = {"invariance": 25.0, "variance": 25.0, "covariance": 1.0}  # of the three terms


def contrast(one: Tensor, other: Tensor, temperature: float) -> Tensor:
    """NT-Xent of two views (N, K): the cross-entropy of finding the other view among 2 N - 1 by cosine.

    >>> views = torch.eye(4)
    >>> float(contrast(views, views, 0.05)) < 1e-6 < float(contrast(views, views.roll(1, 0), 0.05))
    True
    """
    count = len(one)
    both = nn.functional.normalize(torch.cat([one, other]), dim=1)
    likeness = both @ both.T / temperature
    likeness = likeness.masked_fill(torch.eye(2 * count, dtype=torch.bool, device=one.device), -torch.inf)
    partner = torch.arange(2 * count, device=one.device).roll(count)
    return nn.functional.cross_entropy(likeness, partner)


def agreement(one: Tensor, other: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Invariance, variance and covariance of two views (N, K): mean square, shortfall of each deviation from 1, and
    squared covariances off the diagonal by K; the last two are means over both views (variance) and sums (covariance),
    as published."""
    invariance = nn.functional.mse_loss(one, other)
    variance, covariance = torch.zeros_like(invariance), torch.zeros_like(invariance)
    for view in (one, other):
        variance = variance + torch.relu(1 - (view.var(0) + 1e-4).sqrt()).mean() / 2
        centred = view - view.mean(0)
        matrix = centred.T @ centred / max(1, len(view) - 1)
        covariance = covariance + (matrix.square().sum() - matrix.diagonal().square().sum()) / view.shape[1]
    return invariance, variance, covariance


def sphere(one: Tensor, other: Tensor) -> dict[str, float]:
    """How embeddings (N, F) of two views lie on the unit sphere, and whether they have collapsed.

    alignment: mean squared distance of the two views of an image; uniformity: logarithm of the mean of exp(-2 d^2) over
    pairs of images, 0 where all are one point, about -4 where they fill the sphere (Wang and Isola 2020, arXiv
    2005.10242). spread: root mean square deviation of a dimension times sqrt(F): 0 one point, 1 the whole sphere.
    rank: effective number of dimensions in use (Roy and Vetterli 2007), of the centred embeddings.

    >>> sphere(torch.ones(8, 4), torch.ones(8, 4))["collapsed"]
    1.0
    """
    first, second = (nn.functional.normalize(view.double(), dim=1) for view in (one, other))
    centred = first - first.mean(0)
    spread = float(centred.square().sum(1).mean().sqrt())
    share = torch.linalg.svdvals(centred).square()
    share = share / share.sum().clamp_min(1e-300)
    rank = float(torch.exp(-(share * share.clamp_min(1e-300).log()).sum())) if spread > 1e-9 else 1.0
    apart = torch.pdist(first).square() if len(first) > 1 else torch.zeros(1, dtype=first.dtype)
    return {
        "alignment": float((first - second).square().sum(1).mean()),
        "uniformity": float(torch.logsumexp(-2 * apart, 0) - math.log(len(apart))),
        "spread": spread,
        "rank": rank,
        "collapsed": float(spread < LEAST_SPREAD or rank < LEAST_RANK),
    }
