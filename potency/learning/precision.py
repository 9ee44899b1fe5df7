"""The arithmetic of a training: float32, or half the bits by autocast, with losses scaled where gradients vanish."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn
from torch.amp.grad_scaler import GradScaler

from potency.errors import PlanError

TYPES: Mapping[str, torch.dtype] = {
    "float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16,
}  # fmt: skip
SCALE = 2.0**16  # what losses are multiplied by at first; halved whenever a gradient overflows


def autocast(precision: str, device: torch.device) -> torch.autocast:
    """Where networks and losses are computed; in float32 nothing is changed."""
    return torch.autocast(device.type, TYPES[precision], enabled=precision != "float32")


def scalers(precision: str, nets: nn.ModuleDict, device: torch.device) -> dict[str, GradScaler]:
    """One scaler for each part (Micikevicius 2018, mixed precision training); they do nothing but in float16.

    bfloat16 has the range of float32, so its gradients neither vanish nor overflow.
    """
    return {part: GradScaler(device.type, SCALE, enabled=precision == "float16") for part in nets}


def refuse_unsupported(precision: str, device: torch.device) -> None:
    """Say before any learning that this machine cannot compute so.

    Raises:
        PlanError: float16 on a processor without it, bfloat16 on an old GPU.
    """
    if precision == "float16" and not _has_float16(device):
        raise PlanError(
            "float16 needs a CUDA GPU, or a processor that computes in it; this one would be slow and inexact",
            f"plan.precision, device {device}",
            'set precision to "bfloat16" (2x as fast where the processor has it) or "float32"',
        )
    if precision == "bfloat16" and device.type == "cuda" and not torch.cuda.is_bf16_supported(False):
        raise PlanError("this GPU does not compute in bfloat16", f"plan.precision, device {device}",
                        'set precision to "float16" or "float32"')  # fmt: skip


def _has_float16(device: torch.device) -> bool:
    if device.type == "cpu":
        return bool(torch.ops.mkldnn._is_mkldnn_fp16_supported())
    return device.type == "cuda"
