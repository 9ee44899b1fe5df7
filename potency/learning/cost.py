"""What a training will cost, measured on this machine before it starts."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from potency.bundle import NetworkMember
from potency.data.plan import Plan
from potency.inference.engine import find_device
from potency.learning.heap import keep_freed_memory
from potency.learning.precision import autocast
from potency.tasks import Task

TIMED = 2  # steps; one more before them is not counted, it pays for memory


@dataclass(frozen=True)
class Cost:
    """What a network takes: weights, layers with weights, multiplications and additions (FLOP) and time of a crop."""

    parameters: int
    layers: int
    flop: int  # of one crop, forward
    milliseconds: float  # of one crop in a batch, eager, on all cores of this process


def cost_of(task: Task, plan: Plan) -> Cost:
    """The cost of the plan's networks at prediction."""
    from torch.utils.flop_counter import FlopCounterMode

    nets = task.build(plan).eval()
    one, batch = (torch.rand(n, len(plan.channels), *plan.tile) for n in (1, plan.batch))
    with torch.no_grad():
        with FlopCounterMode(display=False) as counter:
            task.forward(nets, {"image": one})
        taken = [_timed(task, nets, batch) for _ in range(1 + TIMED)]
    layers = sum(isinstance(layer, nn.Conv2d | nn.Linear) for layer in nets.modules())
    parameters = sum(p.numel() for p in nets.parameters())
    return Cost(parameters, layers, counter.get_total_flops(), 1000 * min(taken[1:]) / plan.batch)


def _timed(task: Task, nets: nn.ModuleDict, images: Tensor) -> float:
    start = time.perf_counter()
    task.forward(nets, {"image": images})
    return time.perf_counter() - start


def seconds_a_step(task: Task, plan: Plan) -> float:
    """Seconds of one step of the plan on all cores of this process: losses and gradients on crops of noise."""
    step, taken = _step(task, plan), []
    for _ in range(1 + TIMED):
        start = time.perf_counter()
        step()
        taken.append(time.perf_counter() - start)
    return min(taken[1:]) * plan.accumulate


def peak_of_step(task: Task, plan: Plan) -> tuple[float, int]:
    """Seconds of one step of the plan as `seconds_a_step` has them, and the most bytes its tensors take at once.

    Beside the weights: crops, what the outputs leave for the gradients, and the gradients.
    """
    step = _step(task, plan)
    seconds = []

    def timed() -> None:
        start = time.perf_counter()
        step()
        seconds.append(time.perf_counter() - start)

    held = tensor_peak(timed)
    timed()
    return min(seconds) * plan.accumulate, held


def _step(task: Task, plan: Plan) -> Callable[[], None]:
    """One step of learning on crops of noise."""
    keep_freed_memory()
    device = find_device()
    nets = task.build(plan).to(device).to(memory_format=torch.channels_last).train()

    def step() -> None:
        crops = torch.rand(plan.batch, len(plan.channels), *plan.tile, device=device)
        crops = crops.to(memory_format=torch.channels_last)
        with autocast(plan.precision, device):
            total = torch.stack([net.exercise(crops) for net in nets.values()]).sum()  # type: ignore[operator]
        total.backward()  # type: ignore[no-untyped-call]
        nets.zero_grad()
        if device.type == "cuda":
            torch.cuda.synchronize()

    return step


def tensor_peak(work: Callable[[], object]) -> int:
    """The most bytes that tensors made by `work` take at once: on a GPU where there is one, else in memory.

    Told by torch's own allocator, so that it is the same in every run; what Python and libraries take is not in it.

    >>> tensor_peak(lambda: torch.zeros(1000, dtype=torch.float32).sum()) >= 4000
    True
    """
    if find_device().type == "cuda":
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        work()
        return torch.cuda.max_memory_allocated() - before
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # else it tells people that it looked for a GPU
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as seen:
        work()
    assert seen.profiler is not None
    events = [one for one in seen.profiler.kineto_results.events() if one.name() == "[memory]"]
    held = most = 0
    for event in sorted(events, key=lambda one: one.start_ns()):
        held += event.nbytes()
        most = max(most, held)
    return most


def spoken_cost(task: Task, plan: Plan, trainings: int = 1) -> str:
    """The budget of some trainings by one plan in words: its own networks, or those it stands on."""
    networks = [plan] if plan.learner == NetworkMember.learner else list(plan.member_plans())
    if not networks:
        return f"{plan.network} on features, {trainings} times"
    weights = sum(p.numel() for own in networks for p in task.build(own).parameters())
    sizes = [f"{p.steps} steps of {p.batch * p.accumulate} crops of {p.tile[0]} x {p.tile[1]} px" for p in networks]
    seconds = trainings * sum(seconds_a_step(task, own) * own.steps for own in networks)
    return f"{weights / 1e6:.1f} M weights, {' and '.join(dict.fromkeys(sizes))}, {trainings} times: {spoken(seconds)}"


def spoken(seconds: float) -> str:
    """A time as people say it.

    >>> spoken(20), spoken(70), spoken(400), spoken(9000)
    ('under a minute', 'about 1 minute', 'about 7 minutes', 'about 2.5 hours')
    """
    if seconds < 45:
        return "under a minute"
    if seconds < 5400:
        minutes = round(seconds / 60)
        return f"about {minutes} minute{'s' if minutes > 1 else ''}"
    return f"about {seconds / 3600:.1f} hours"
