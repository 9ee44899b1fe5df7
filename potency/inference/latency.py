"""How long one decision takes: from the pixels of a crop to its answer, one crop at a time."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from potency.errors import PotencyError
from potency.inference.engine import accelerate
from potency.inference.origin import described
from potency.tasks import Sample

if TYPE_CHECKING:
    from potency.bundle import Bundle

FIRST = 5  # calls that are not counted: engines start, memory is taken


@dataclass(frozen=True)
class Latency:
    """Milliseconds of a decision: median, 99th percentile and the longest of `calls`, and what computed them."""

    p50: float
    p99: float
    longest: float
    calls: int
    engine: str


def latency(bundle: Bundle, samples: Sequence[Sample], calls: int = 300) -> Latency:
    """Time `calls` decisions about single samples, taken by turns, on the fastest engine that this machine has.

    A decision is all that is done to pixels in memory: scaling, the networks, decoding, calibration. Reading a file is
    not among it. Calls are made one after the other in this process, so that a p99 has the machine's own hiccups in it.

    Args:
        bundle: what decides.
        samples: crops {"image": (C, H, W)} as read.
        calls: how many are timed; 100 at least, for a 99th percentile.

    Raises:
        PotencyError: no samples, or too few calls.
    """
    if not samples or calls < 100:
        raise PotencyError(f"{len(samples)} crops and {calls} calls tell no 99th percentile", "latency",
                           "give a crop or more, and 100 calls or more")  # fmt: skip
    fast = accelerate(bundle)
    for turn in range(FIRST):
        fast([samples[turn % len(samples)]])
    taken = np.empty(calls)
    for turn in range(calls):
        sample = samples[turn % len(samples)]
        start = time.perf_counter()
        fast([sample])
        taken[turn] = time.perf_counter() - start
    p50, p99 = np.percentile(1e3 * taken, [50, 99])
    return Latency(float(p50), float(p99), float(1e3 * taken.max()), calls, described(fast))
