"""The one gradient loop: crops, augmentation, the task's losses, a step, a checkpoint; it knows no metric."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor, nn
from torch.amp.grad_scaler import GradScaler

from potency.bundle import NetworkMember
from potency.data.plan import Plan
from potency.data.tiles import scale
from potency.errors import PlanError
from potency.learning import checkpoint
from potency.learning.augment import augment
from potency.learning.heap import keep_freed_memory
from potency.learning.mix import mixed, refuse_unmixable
from potency.learning.precision import autocast, refuse_unsupported, scalers
from potency.learning.samples import Samples
from potency.learning.team import ALONE, Team, here
from potency.learning.truths import moved_together
from potency.tasks import Sample, Task

Judge = Callable[[NetworkMember], Mapping[str, float]]  # a model on the validation rows; "score" is better when higher
CHECKPOINT_EVERY = 30.0  # seconds


@dataclass(frozen=True, eq=False)
class Lesson:
    """What one training learns from: crops, the encoded truth of each, and what balanced sampling balances."""

    samples: Samples
    where: NDArray[np.intp]  # crops of the training rows
    targets: Sequence[Sample]  # one for each of them
    strata: list[str] = field(default_factory=list)


@dataclass
class State:
    """All that changes while learning; what is here is what a checkpoint holds."""

    nets: nn.ModuleDict
    average: nn.ModuleDict
    best: nn.ModuleDict
    optimisers: Mapping[str, torch.optim.Optimizer]
    scalers: Mapping[str, GradScaler]
    step: int = 0
    score: float = -math.inf
    best_step: int = 0
    without_gain: int = 0
    latest: float = -math.inf  # score of the last validation
    losses: list[float] = field(default_factory=list)  # since the last validation
    log: list[dict[str, Any]] = field(default_factory=list)
    team: Team = ALONE

    @property
    def device(self) -> torch.device:
        """Where the networks learn."""
        return next(self.nets.parameters()).device

    @property
    def told(self) -> list[dict[str, Any]]:
        """The log, with the row of the model that is kept marked as best."""
        return [{**row, "best": row["step"] == self.best_step} for row in self.log]

    def over(self, plan: Plan) -> bool:
        """Whether nothing is left to learn: all steps are done, or patience has run out."""
        return self.step >= plan.steps or bool(plan.patience and self.without_gain >= plan.patience)

    def write(self, path: Path, plan: Plan) -> None:
        """All that the next step needs; once learning is over only the best networks, a fifth of it."""
        tensors = checkpoint.module_state("best", self.best)
        if not self.over(plan):
            tensors |= checkpoint.module_state("nets", self.nets) | checkpoint.module_state("average", self.average)
            for part, optimiser in self.optimisers.items():
                tensors |= checkpoint.optimiser_state(f"optimiser.{part}", optimiser)
        facts = {k: getattr(self, k) for k in ("step", "score", "best_step", "without_gain", "losses", "log")}
        scales = {part: scaler.state_dict() for part, scaler in self.scalers.items()}
        checkpoint.write(path, tensors, {**facts, "scalers": scales, "plan": plan.json()})

    def read(self, path: Path, plan: Plan) -> None:
        tensors, facts = checkpoint.read(path)
        if facts.pop("plan") != plan.json():
            raise PlanError(
                "the run to go on with had another plan", str(path), "leave out --resume, or use the old plan"
            )
        for part, grown in facts.pop("scalers").items():
            self.scalers[part].load_state_dict(grown)
        for name, value in facts.items():
            setattr(self, name, value)
        checkpoint.restore_module("best", self.best, tensors)
        if not self.over(plan):
            checkpoint.restore_module("nets", self.nets, tensors)
            checkpoint.restore_module("average", self.average, tensors)
            for part, optimiser in self.optimisers.items():
                checkpoint.restore_optimiser(f"optimiser.{part}", optimiser, tensors)


def fit(
    task: Task,
    plan: Plan,
    lesson: Lesson,
    nets: nn.ModuleDict,
    judge: Judge | None,
    into: Path,
    *,
    progress: Callable[[int, int], object] | None = None,
    told: Callable[[State], None] | None = None,
) -> tuple[NetworkMember, State]:
    """Learn for `plan.steps` steps; the model kept is the best that `judge` saw, or the last without one.

    Everything random is drawn from the seed and the number of the step, so a run that goes on from the checkpoint in
    `into` gives, bit for bit on one machine, the weights of a run that was never stopped. After each validation the
    state is `told`.
    """
    keep_freed_memory()
    team = here()
    device = team.device
    refuse_unmixable(task, plan)
    refuse_unsupported(plan.precision, device)
    path = into / "state.safetensors"
    nets = nets.to(device).to(memory_format=torch.channels_last)
    optimisers = {part: _optimiser(net, plan) for part, net in nets.items()}
    grown = scalers(plan.precision, nets, device)
    state = State(nets, _frozen_copy(nets), _frozen_copy(nets), optimisers, grown, team=team)
    if path.is_file():
        state.read(path, plan)
    every = max(1, math.ceil(plan.steps / plan.validations))
    order = Order(lesson, plan)
    saved = time.monotonic()
    while not state.over(plan):
        state.losses.append(_learn(task, plan, lesson, state, order))
        state.step += 1
        _follow(state.average, state.nets, min(plan.average, (1 + state.step) / (10 + state.step)))
        if state.step % every == 0 or state.step == plan.steps:
            _validate(task, plan, state, judge)
            if told is not None:
                told(state)
        if state.over(plan) or time.monotonic() - saved >= CHECKPOINT_EVERY:
            if team.leads:
                state.write(path, plan)
            saved = time.monotonic()
        if progress is not None:
            progress(state.step, plan.steps)
    return NetworkMember(task, plan, state.best.cpu().eval()), state


class Order:
    """Which crops make which batch: epoch by epoch, drawn evenly by stratum as `plan.balance` asks."""

    def __init__(self, lesson: Lesson, plan: Plan) -> None:
        self.seed, self.batch, self.count = plan.seed, plan.batch * plan.devices, len(lesson.where)
        strata = np.asarray(lesson.strata or [""] * self.count)
        _, codes, sizes = np.unique(strata, return_inverse=True, return_counts=True)
        share = sizes[codes].astype(float) ** -plan.balance
        self.edges = np.cumsum(share / share.sum())
        self.epoch, self.drawn = -1, np.empty(0, np.intp)

    def __call__(self, number: int) -> NDArray[np.intp]:
        """Positions in the lesson of batch `number`, the same whenever asked."""
        size = min(self.batch, self.count)
        epoch, place = divmod(number, max(1, self.count // size))
        if epoch != self.epoch:
            rng = np.random.default_rng((self.seed, epoch))
            even = (
                np.arange(self.count) + rng.random()
            ) / self.count  # systematic: each crop as often as its share says
            self.epoch, self.drawn = epoch, rng.permutation(np.searchsorted(self.edges, even).clip(max=self.count - 1))
        return self.drawn[place * size : (place + 1) * size]


def _learn(task: Task, plan: Plan, lesson: Lesson, state: State, order: Order) -> float:
    """One step of every optimiser; the mean loss of the first part."""
    total = 0.0
    for part, net in state.nets.items():
        _free(net, plan, state.step)
        for group in state.optimisers[part].param_groups:
            group["lr"] = rate(plan, state.step)
    for micro in range(plan.accumulate):
        number = state.step * plan.accumulate + micro
        torch.manual_seed(plan.seed * 1_000_003 + number)  # dropout draws from the global generator
        batch = mixed(task.collate(list(views(task, plan, lesson, order(number), number))), task, plan, number)
        batch = _laid_out(state.team.share(batch), state.device)
        with autocast(plan.precision, state.device), state.team.whole_batch():
            for part, loss in task.losses(state.nets, batch, plan):
                # To the part's own weights only: what passes through another part on the way must not teach it.
                own = [weight for weight in state.nets[part].parameters() if weight.requires_grad]
                state.scalers[part].scale(loss / plan.accumulate).backward(inputs=own)  # type: ignore[no-untyped-call]
                total += float(loss.detach()) / plan.accumulate
                if micro == plan.accumulate - 1:  # before the next loss is asked for: a critic learns first
                    state.team.average(state.nets[part])
                    _step(state.nets[part], state.optimisers[part], state.scalers[part])
    return state.team.mean(total)


def _step(net: nn.Module, optimiser: torch.optim.Optimizer, scaler: GradScaler) -> None:
    scaler.unscale_(optimiser)
    nn.utils.clip_grad_norm_(net.parameters(), 5.0)
    scaler.step(optimiser)  # left out when a gradient overflowed
    scaler.update()
    optimiser.zero_grad(set_to_none=True)


def _laid_out(batch: Mapping[str, Tensor], device: torch.device) -> dict[str, Tensor]:
    """The batch where the networks are, images with the channels last (1.6x the speed on a CPU)."""
    last = torch.channels_last
    return {k: v.to(device, memory_format=last) if v.ndim == 4 else v.to(device) for k, v in batch.items()}


def _free(net: nn.Module, plan: Plan, step: int) -> None:
    """While frozen, only the head learns, and the body's batch statistics stay as they were loaded."""
    net.train()
    if plan.freeze:
        frozen = step < plan.freeze * plan.steps
        net.requires_grad_(not frozen)
        if frozen:
            net.eval()
            head: nn.Module = net.head()  # type: ignore[operator]
            head.train().requires_grad_(True)


def views(
    task: Task, plan: Plan, lesson: Lesson, chosen: NDArray[np.intp], number: int
) -> Iterator[Mapping[str, Tensor]]:
    """The samples at these positions of the lesson, augmented as batch `number` is: every view of each, its target."""
    where = lesson.where[chosen]
    seen = lesson.samples.inside(where)
    inside = None if seen is None else torch.from_numpy(seen)
    images = torch.from_numpy(scale(lesson.samples.crops[where], plan.ranges(), plan.level))
    rng = Generator().manual_seed(plan.seed * 1_000_003 + number)
    if task.maps:  # what lies on the pixels moves with them, and only then is what the maps should be
        images, moved = moved_together(task, images, [lesson.targets[i] for i in chosen], plan.augment, rng)
        plan = plan if images.shape[2:] == plan.tile else replace(plan, tile=(images.shape[2], images.shape[3]))
        for image, own in zip(images, moved, strict=True):
            yield {"image": image, **{k: torch.as_tensor(v) for k, v in task.target(own, plan).items()}}
        return
    made = [augment(images, plan.augment, rng, inside) for _ in range(task.views)]
    targets = [{k: torch.as_tensor(v) for k, v in lesson.targets[i].items()} for i in chosen]
    for i, target in enumerate(targets):
        names = ("image", *(f"image.{k}" for k in range(1, task.views)))
        yield {**{name: view[i] for name, view in zip(names, made, strict=True)}, **target}


def rate(plan: Plan, step: int) -> float:
    """Learning rate: linear warm-up, then cosine to zero.

    >>> plan = Plan(steps=100, rate=1.0, warmup=0.1)
    >>> [round(rate(plan, s), 3) for s in (0, 9, 10, 55, 99)]
    [0.1, 1.0, 1.0, 0.5, 0.0]
    """
    warm = round(plan.warmup * plan.steps)
    if step < warm:
        return plan.rate * (step + 1) / warm
    return plan.rate * 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, plan.steps - warm)))


def _optimiser(net: nn.Module, plan: Plan) -> torch.optim.Optimizer:
    """AdamW; weight decay on matrices and kernels only, never on biases and the gains of norms."""
    decayed = [p for p in net.parameters() if p.ndim > 1]
    plain = [p for p in net.parameters() if p.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": plan.decay}, {"params": plain, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=plan.rate)


def _frozen_copy(nets: nn.ModuleDict) -> nn.ModuleDict:
    return copy.deepcopy(nets).requires_grad_(False).eval()


def _follow(average: nn.ModuleDict, nets: nn.ModuleDict, decay: float) -> None:
    """Move the averaged weights towards the present ones; counters are copied."""
    with torch.no_grad():
        for old, new in zip(average.state_dict().values(), nets.state_dict().values(), strict=True):
            if old.is_floating_point():
                old.lerp_(new, 1 - decay)
            else:
                old.copy_(new)


def _validate(task: Task, plan: Plan, state: State, judge: Judge | None) -> None:
    # Judged on the CPU: validation is what a user calls, wherever the learning is done.
    seen = NetworkMember(task, plan, copy.deepcopy(state.average).cpu())
    figures = dict(judge(seen)) if judge is not None else {}
    score = state.latest = state.team.agreed(figures.pop("score", math.inf))
    state.log.append({"step": state.step, "train_loss": float(np.mean(state.losses)), **figures})
    state.losses = []
    if score >= state.score:
        state.score, state.best_step, state.without_gain = score, state.step, 0
        state.best.load_state_dict(state.average.state_dict())
    else:
        state.without_gain += 1
