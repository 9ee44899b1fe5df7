"""Mixing of samples within a batch: two images and their targets become one, in the same share."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor

from potency.data.plan import Plan
from potency.errors import PlanError, nearest
from potency.tasks import Task

STREAM = 1  # apart from the numbers that draw the order of the samples
# (images and partners (N, C, H, W), shares of the images (N,), random numbers) -> mixed images, the shares they have.
Mixing = Callable[[Tensor, Tensor, Tensor, np.random.Generator], tuple[Tensor, Tensor]]


def mixup(images: Tensor, partners: Tensor, share: Tensor, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """The weighted mean of two images (Zhang 2018, mixup)."""
    return torch.lerp(partners, images, share[:, None, None, None]), share


def cutmix(images: Tensor, partners: Tensor, share: Tensor, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """A box of the partner in place of the image's own pixels (Yun 2019, CutMix); the share is that of pixels kept."""
    high, wide = images.shape[2:]
    kept = torch.ones(len(images), 1, high, wide, dtype=torch.bool)
    for one, cut in zip(kept[:, 0], (1 - share).sqrt().tolist(), strict=True):
        y, x = rng.uniform(0, high), rng.uniform(0, wide)
        top, left = (max(0, round(middle - side * cut / 2)) for middle, side in ((y, high), (x, wide)))
        one[top : round(y + high * cut / 2), left : round(x + wide * cut / 2)] = False
    return torch.where(kept, images, partners), kept.float().mean((1, 2, 3))


MIXINGS: Mapping[str, Mixing] = {one.__name__: one for one in (mixup, cutmix)}


def refuse_unmixable(task: Task, plan: Plan) -> None:
    """Say before any learning that a plan mixes what cannot be mixed.

    Raises:
        PlanError: an unknown way of mixing, an alpha that is not positive, or a task without mixable targets.
    """
    for name, alpha in plan.mix.items():
        if name not in MIXINGS:
            raise PlanError(f"there is no mixing {name!r}", "plan.mix", nearest(name, MIXINGS))
        if not alpha > 0:
            raise PlanError(f"{name} needs an alpha above 0, not {alpha:g}", "plan.mix", "try 0.2, or leave it out")
    if plan.mix and not task.mixable:
        raise PlanError(
            f"the targets of {task.name} cannot be mixed: half of one and half of another is no target",
            "plan.mix", f"leave {' and '.join(plan.mix)} out of the plan",
        )  # fmt: skip


def mixed(batch: Mapping[str, Tensor], task: Task, plan: Plan, number: int) -> Mapping[str, Tensor]:
    """Batch `number` with each sample mixed with another one of it; all views of a sample share partner and share.

    The share of each sample is drawn from Beta(alpha, alpha); of several ways one is drawn for the batch. Everything
    comes from the plan's seed and the number of the batch, so the same batch is mixed the same way whenever asked.
    """
    if not plan.mix:
        return batch
    images = [key for key in batch if key == "image" or key.startswith("image.")]
    if not images:
        raise PlanError(
            f"{task.name} collates its images in a way of its own, which cannot be mixed", "plan.mix", "leave it out"
        )
    rng = np.random.default_rng((plan.seed, number, STREAM))
    name = str(rng.choice(sorted(plan.mix)))
    count = len(batch[images[0]])
    partner = torch.from_numpy(rng.permutation(count))
    drawn = torch.from_numpy(rng.beta(plan.mix[name], plan.mix[name], count).astype(np.float32))
    box = int(rng.integers(2**32))  # every view is cut along the same box
    made, share = dict(batch), drawn
    for key in images:
        made[key], share = MIXINGS[name](batch[key], batch[key][partner], drawn, np.random.default_rng(box))
    for key in task.mixable:
        target = batch[key]
        made[key] = torch.lerp(target[partner], target, share.reshape(-1, *[1] * (target.ndim - 1)))
    return made
