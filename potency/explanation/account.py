"""The books of an explanation: where a score went, how much of it is on no account, and what is told of that."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

PARTS = ("input", "bias", "absorbed", "missing")  # of a score, in its units, where a method accounts for it
REFERENCE = "empty"  # beside them: what an image of nothing but background scores
LEAST = 0.5  # of the sizes of its parts: a smaller difference is what is left of parts that cancel, not their sum
HALF = 0.5


@dataclass
class Account:
    """Where the explained score went; every figure is one a sample (N,), in units of the score.

    Attributes:
        relevance: of the image, in its shape (N, C, H, W).
        score: what was explained.
        input, bias, absorbed: what reached the image, biases and constants, and nobody, each summed from the rules.
        reference: what the reference scores, which is on the account of the biases; 0 without one.
        steps: each step that shares, the last first, with the part of what entered it that is on no account, in the
            worst sample.
    """

    relevance: Tensor
    score: Tensor
    input: Tensor
    bias: Tensor
    absorbed: Tensor
    reference: Tensor
    steps: list[tuple[str, float]] = field(default_factory=list)

    @property
    def layer_error(self) -> float:
        """The worst step's."""
        return max((error for _, error in self.steps), default=0.0)

    @property
    def sum_error(self) -> Tensor:
        """How far input, bias and absorbed together are from the score, as a share of it."""
        left = self.score - self.input - self.bias - self.absorbed
        return left.abs() / self.score.abs().clamp_min(1e-12)

    @property
    def parts(self) -> dict[str, Tensor]:
        """What `Map.parts` holds."""
        return {REFERENCE: self.reference, "input": self.input, "bias": self.bias, "absorbed": self.absorbed}

    def share(self, part: str) -> Tensor:
        """A part ("input", "bias" or "absorbed") as a share of what the score is beyond that of the reference."""
        parts, difference = beyond({"score": self.score, **self.parts})
        return torch.as_tensor(parts[part] / difference)


def beyond(told: Mapping[str, Any]) -> tuple[dict[str, Any], Any]:
    """The parts of a score without what the reference scores too, and the difference that they add up to."""
    parts = {part: told[part] for part in PARTS if part in told}
    if "bias" in parts:
        parts["bias"] = parts["bias"] - told[REFERENCE]
    return parts, told["score"] - told[REFERENCE]


def shares(told: Mapping[str, Any]) -> dict[str, NDArray[np.float64]]:
    """Each part as a share of the difference between a score and that of an empty image; {} without an account.

    Not-a-number where the difference is small against its parts: these cancel, and per cent of it would say nothing.

    >>> found = shares({"score": [2.0, 0.2], "empty": [1.0, 0.1], "input": [0.9, 3.0], "bias": [1.1, -2.8]})
    >>> {part: values.round(2).tolist() for part, values in found.items()}
    {'input': [0.9, nan], 'bias': [0.1, nan]}
    """
    if "input" not in told:
        return {}
    arrays = {part: np.asarray(told[part], np.float64) for part in ("score", REFERENCE, *PARTS) if part in told}
    parts, difference = beyond(arrays)
    enough = np.abs(difference) > LEAST * sum(np.abs(values) for values in parts.values())
    return {part: values / np.where(enough, difference, np.nan) for part, values in parts.items()}


def shares_of(table: pd.DataFrame, name: str = "explanation") -> pd.DataFrame:
    """`shares` of explained rows, a column a part, from the columns of this name."""
    prefix = f"{name}."
    told = {str(column).removeprefix(prefix): table[column] for column in table.columns
            if str(column).startswith(prefix)}  # fmt: skip
    return pd.DataFrame(shares(told), index=table.index)


def in_words(told: Mapping[str, Any]) -> list[str]:
    """What became of one score, for its face: shares of the difference, or units of the score; [] without an account.

    >>> in_words({"score": 2.0, "empty": 1.0, "input": 0.9, "bias": 1.1})
    ['beyond an empty image +1.00: input 90 %, bias 10 %']
    >>> in_words({"score": 0.2, "empty": 0.1, "input": 3.0, "bias": -2.8})[0]
    'beyond an empty image +0.10: input +3.00, bias -2.90'
    """
    found = shares(told)
    if not found:
        return []
    parts, difference = beyond(told)
    cancel = bool(np.isnan(found["input"]))
    said = (f"{part} {_near(value):+.2f}" if cancel else f"{part} {_near(100 * found[part], 0):.0f} %"
            for part, value in parts.items())  # fmt: skip
    lines = [f"beyond an empty image {_near(difference):+.2f}: {', '.join(said)}"]
    if cancel:
        return [*lines, "these cancel, so they are told in units of the score and not in per cent"]
    return [*lines, "less than half of that reached the image"] if found["input"] < HALF else lines


def _near(value: Any, digits: int = 2) -> float:
    """Rounded; never a zero with a minus."""
    return round(float(value), digits) + 0.0
