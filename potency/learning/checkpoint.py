"""The state of a training as numbers in one file, written whole or not at all: a kill at any moment loses seconds."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from potency.data.whole import replaced
from potency.errors import BundleError, PotencyError


def write(path: Path, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
    """Write named tensors and a small JSON mapping, atomically."""
    from safetensors.torch import save

    try:
        own = {name: value.detach().contiguous() for name, value in tensors.items()}
        replaced(path, save(own, {"facts": json.dumps(dict(facts))}))
    except OSError as error:
        reason = error.strerror or error
        raise PotencyError(
            f"the checkpoint cannot be written: {reason}", str(path), "free some space; --resume goes on"
        ) from error


def read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read what `write` wrote; nothing in it is executed."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as file:
            return {k: file.get_tensor(k) for k in file.keys()}, json.loads(file.metadata()["facts"])  # noqa: SIM118
    except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
        raise BundleError(
            f"the checkpoint is damaged: {error}", str(path), "delete it and train again without --resume"
        ) from error


def optimiser_state(name: str, optimiser: Optimizer) -> dict[str, Tensor]:
    """The tensors an optimiser keeps for each parameter, by index (AdamW: step and two moments)."""
    return {
        f"{name}.{i}.{key}": value if isinstance(value, Tensor) else torch.tensor(value)
        for i, state in optimiser.state_dict()["state"].items()
        for key, value in state.items()
    }


def restore_optimiser(name: str, optimiser: Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Put `optimiser_state` back; parameters that had no state yet have none again."""
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        if key.startswith(f"{name}."):
            i, _, what = key.removeprefix(f"{name}.").partition(".")
            state.setdefault(int(i), {})[what] = value
    whole = optimiser.state_dict()
    optimiser.load_state_dict({"state": state, "param_groups": whole["param_groups"]})


def module_state(name: str, nets: nn.Module) -> dict[str, Tensor]:
    """All weights and buffers under a prefix."""
    return {f"{name}.{key}": value for key, value in nets.state_dict().items()}


def restore_module(name: str, nets: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Put `module_state` back."""
    nets.load_state_dict({k.removeprefix(f"{name}."): v for k, v in tensors.items() if k.startswith(f"{name}.")})
