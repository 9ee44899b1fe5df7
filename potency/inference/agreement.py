"""Whether two engines are the same network: how far their outputs differ, and whether their top answers agree."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn


def disagreement(expected: Mapping[str, NDArray[Any]], found: Mapping[str, NDArray[Any]], tolerance: float) -> float:
    """Largest deviation as a share of each output's largest value; ValueError beyond `tolerance` or when a top-1 moves.

    Whole numbers are names (of objects): they have no size, and are not compared.

    >>> disagreement({"output": np.array([[0.0, 2.0]])}, {"output": np.array([[0.0, 2.5]])}, 0.3)
    0.25
    """
    worst = 0.0
    for name, truth in expected.items():
        value = found[name]
        if truth.shape != value.shape:
            raise ValueError(f"{name}: shape {value.shape} instead of {truth.shape}")
        if not (np.isfinite(truth).all() and np.isfinite(value).all()):
            raise ValueError(f"{name}: not finite on the sample, so agreement cannot be checked")
        if not np.issubdtype(truth.dtype, np.floating):
            continue
        scale = max(float(np.abs(truth).max(initial=0)), 1e-12)
        error = float(np.abs(value - truth).max(initial=0)) / scale
        if error > tolerance:
            raise ValueError(f"{name}: differs from eager torch by {error:.2g} of its size (at most {tolerance:g})")
        if truth.ndim > 1 and truth.shape[1] > 1:
            ranked = np.sort(truth, axis=1)
            clear = ranked[:, -1] - ranked[:, -2] > tolerance * scale  # a nearer lead than that is a tie
            if (truth.argmax(1) != value.argmax(1))[clear].any():
                raise ValueError(f"{name}: another top-1 than eager torch")
        worst = max(worst, error)
    return worst


def agreement(expected: Mapping[str, NDArray[Any]], found: Mapping[str, NDArray[Any]]) -> float:
    """Share of the answers of "output" whose largest value stands in the same place; 1 where there is nothing to rank.

    >>> agreement({"output": np.array([[0.0, 2.0], [1.0, 0.9]])}, {"output": np.array([[0.1, 1.9], [0.9, 1.0]])})
    0.5
    """
    name = "output" if "output" in expected else next(iter(expected))
    truth, value = expected[name], found[name]
    return float(np.mean(truth.argmax(1) == value.argmax(1))) if truth.ndim > 1 and truth.shape[1] > 1 else 1.0


def digest(network: nn.Module) -> str:
    """A hash of the layers and of all weights and buffers by name, so that a stale compilation is noticed."""
    total = hashlib.blake2b(repr(network).encode(), digest_size=16)
    for name, value in network.state_dict().items():
        total.update(f"{name}{tuple(value.shape)}{value.dtype}".encode())
        total.update(value.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return total.hexdigest()
