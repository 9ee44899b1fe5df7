"""Processes that learn one network together: the same curve as one process with a batch as large as all of theirs.

Every process draws the whole batch (from the seed and the number of the step, as always), learns on its share, and the
gradients are averaged. Two operations depend on the whole batch, not on the share, and are made to see it: batch norm
takes its mean and variance over all processes, and dropout its mask from the same draw as one process would make.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from potency.errors import PlanError, PotencyError
from potency.inference.engine import find_device

WAIT = timedelta(minutes=30)  # for the slowest process: one may be validating


@dataclass(frozen=True)
class Team:
    """One process of `size`, the `rank`-th; alone by default, and then nothing here does anything."""

    rank: int = 0
    size: int = 1

    @property
    def device(self) -> torch.device:
        """Where this process learns: a GPU each where there are enough, else the processor."""
        found = find_device()
        if self.size > 1:
            return torch.device("cuda", self.rank) if torch.cuda.device_count() >= self.size else torch.device("cpu")
        return found

    @property
    def leads(self) -> bool:
        """The one that validates, writes and answers."""
        return self.rank == 0

    def share(self, batch: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """What this process learns on of the whole batch; the shares of all are equally large.

        Raises:
            PlanError: a batch that is no stack of samples (of bags, say) cannot be shared.
        """
        if self.size == 1:
            return batch
        counts = {len(value) if value.ndim else 0 for value in batch.values()}
        each = min(counts) // self.size
        if len(counts) > 1 or not each:
            raise PlanError(
                f"a batch of {sorted(counts)} entries cannot be shared by {self.size} processes",
                "plan.devices",
                "learn with --devices 1",
            )
        return {name: value[self.rank * each : (self.rank + 1) * each] for name, value in batch.items()}

    def whole_batch(self) -> AbstractContextManager[Any]:
        """Inside, batch norm and dropout do to a share what they would do to it within the whole batch."""
        return _WholeBatch(self) if self.size > 1 else nullcontext()

    def average(self, net: nn.Module) -> None:
        """Make every gradient that of the whole batch."""
        found = [p.grad for p in net.parameters() if p.grad is not None] if self.size > 1 else []
        if found:
            flat = torch.cat([grad.reshape(-1) for grad in found])
            dist.all_reduce(flat)
            flat /= self.size
            for grad, part in zip(found, torch.split(flat, [grad.numel() for grad in found]), strict=True):
                grad.copy_(part.view_as(grad))

    def mean(self, value: float) -> float:
        """The mean over all processes."""
        if self.size == 1:
            return value
        told = torch.tensor(value, dtype=torch.float64, device="cpu" if self.device.type == "cpu" else self.device)
        dist.all_reduce(told)
        return float(told) / self.size

    def agreed(self, value: float) -> float:
        """What the leader says, so that all stop and choose alike."""
        if self.size == 1:
            return value
        told = torch.tensor(value, dtype=torch.float64, device="cpu" if self.device.type == "cpu" else self.device)
        dist.broadcast(told, 0)
        return float(told)


ALONE = Team()
_HERE: ContextVar[Team] = ContextVar("team", default=ALONE)


def here() -> Team:
    """The team that this process learns in, set by `joined`; the process group of torch belongs to it as well."""
    return _HERE.get()


class _WholeBatch(TorchFunctionMode):
    """Batch norm and dropout as in one process with the whole batch, for whichever layer calls them."""

    def __init__(self, team: Team) -> None:
        super().__init__()
        self.team = team

    def __torch_function__(
        self,
        function: Callable[..., Any],
        types: Any,
        given: tuple[Any, ...] = (),
        named: Mapping[str, Any] | None = None,
    ) -> Any:
        named = named or {}
        if function is functional.batch_norm:
            return self._norm(*given, **named)
        if function is functional.dropout:
            return self._dropout(*given, **named)
        return function(*given, **named)

    def _norm(self, input: Tensor, running_mean: Tensor | None, running_var: Tensor | None,
              weight: Tensor | None = None, bias: Tensor | None = None, training: bool = False,
              momentum: float = 0.1, eps: float = 1e-5) -> Tensor:  # fmt: skip
        """Mean, then variance around it, over all processes; gradients flow through both (Ioffe and Szegedy 2015)."""
        if not training:
            return functional.batch_norm(input, running_mean, running_var, weight, bias, False, momentum, eps)
        axes = [axis for axis in range(input.ndim) if axis != 1]
        shape = [-1 if axis == 1 else 1 for axis in range(input.ndim)]
        values = input.float()
        count = math.prod(input.shape[axis] for axis in axes) * self.team.size
        mean = _summed(values.sum(axes)) / count
        centred = values - mean.view(shape)
        variance = _summed(centred.square().sum(axes)) / count
        with torch.no_grad():
            if running_mean is not None and running_var is not None:
                running_mean.lerp_(mean.to(running_mean.dtype), momentum)
                running_var.lerp_((variance * count / max(1, count - 1)).to(running_var.dtype), momentum)
        out: Tensor = centred * torch.rsqrt(variance + eps).view(shape)
        if weight is not None:
            out = out * weight.view(shape)
        if bias is not None:
            out = out + bias.view(shape)
        return out.to(input.dtype)

    def _dropout(self, input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
        if not training or p == 0:
            return input
        first = self.team.rank * len(input)
        whole = torch.empty_like(input[:1].expand(self.team.size * len(input), *input.shape[1:]))
        mask = whole.bernoulli_(1 - p)[first : first + len(input)].div_(1 - p)
        return input.mul_(mask) if inplace else input * mask


class _Sum(torch.autograd.Function):
    """The sum over all processes; the gradient that goes back is the sum of all that come back."""

    @staticmethod
    def forward(context: Any, values: Tensor) -> Tensor:
        summed = values.contiguous().clone()
        dist.all_reduce(summed)
        return summed

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> Tensor:
        summed = gradients[0].contiguous().clone()
        dist.all_reduce(summed)
        return summed


def _summed(values: Tensor) -> Tensor:
    summed: Tensor = _Sum.apply(values)
    return summed


@contextmanager
def joined(meeting: Path, rank: int, size: int) -> Iterator[None]:
    """Learn as one of a team for as long as the block lasts; all meet at a file that none of them has written yet.

    Raises:
        PotencyError: another of them ended before the work did.
    """
    team = Team(rank, size)
    backend = "nccl" if team.device.type == "cuda" else "gloo"
    if team.device.type == "cuda":
        torch.cuda.set_device(team.device)
    try:
        store = dist.FileStore(str(meeting), size)  # type: ignore[attr-defined]
        dist.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=WAIT)
        before = _HERE.set(team)
        try:
            yield
        finally:
            _HERE.reset(before)
            dist.destroy_process_group()
    except RuntimeError as fault:  # what gloo and NCCL say when the other side is gone
        if not isinstance(fault, dist.DistError) and "onnection" not in str(fault) and "gloo" not in str(fault).lower():
            raise
        raise PotencyError(
            f"one of {size} processes that learn together has ended: {str(fault).splitlines()[0]}",
            str(meeting.parent),
            "its log lies there; free some memory, and --resume goes on",
        ) from fault
