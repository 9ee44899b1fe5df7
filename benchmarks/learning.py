"""What a crop costs while learning: each augmentation, the default ones, and a step of `tiny` in both precisions.

`python benchmarks/learning.py [--quick] [--json]`; one thread, crops of 64 px, batches of 64.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import argparse
import json
import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Generator, nn

from potency.data.plan import Plan
from potency.learning.augment import AUGMENTATIONS, augment, decided
from potency.learning.precision import autocast
from potency.tasks import TASKS

SIDE, BATCH = 64, 64
STRENGTH = {**dict.fromkeys(AUGMENTATIONS, 0.1), "warp": 1.0, "affine": 1.0, "elastic": 1.0, "blur": 1.0,
            "drop_channel": 0.5, "flip": 1.0, "turn": 1.0, "halfturn": 1.0}  # fmt: skip


def medians(calls: Mapping[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Seconds of each call, the calls in turn, so that a busy machine is busy for all of them."""
    taken: dict[str, list[float]] = {name: [] for name in calls}
    for call in calls.values():
        call()
    for _ in range(repeats):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            taken[name].append(time.perf_counter() - start)
    return {name: statistics.median(times) for name, times in taken.items()}


def step(precision: str) -> Callable[[], object]:
    """One step of `tiny` on images that are at hand: forward, backward, AdamW."""
    plan = Plan(channels=("grey",), classes=("a", "b", "c", "d"), tile=SIDE)
    task = TASKS["classify"]
    nets = task.build(plan).to(memory_format=torch.channels_last)
    optimiser = torch.optim.AdamW(nets.parameters())
    images = torch.rand(BATCH, 1, SIDE, SIDE).to(memory_format=torch.channels_last)
    batch = {"image": images, "target": nn.functional.one_hot(torch.arange(BATCH) % 4).float()}

    def run() -> None:
        with autocast(precision, torch.device("cpu")):
            _, loss = next(task.losses(nets, batch, plan))
            loss.backward()
        optimiser.step()
        optimiser.zero_grad()

    return run


def measured(repeats: int) -> list[dict[str, Any]]:
    images = torch.rand(BATCH, 1, SIDE, SIDE)
    inside = torch.zeros(BATCH, 1, SIDE, SIDE, dtype=torch.bool)
    inside[:, :, 8:56] = True
    rng, default = Generator(), decided({}, 8)[0]
    calls: dict[str, Callable[[], object]] = {
        name: lambda apply=apply, name=name: apply(images, STRENGTH[name], rng.manual_seed(0))
        for name, apply in AUGMENTATIONS.items()
    }
    calls["default"] = lambda: augment(images, default, rng.manual_seed(0))
    calls["default, padded crops"] = lambda: augment(images, default, rng.manual_seed(0), inside)
    calls |= {f"step {precision}": step(precision) for precision in ("float32", "bfloat16")}
    seconds = medians(calls, repeats)
    whole = seconds["step float32"]
    size = f"{BATCH} crops of {SIDE} px, 1 channel, 1 thread"
    rows = [
        {"name": name, "source": "potency", "role": "other", "size": size, "us_per_crop": 1e6 * taken / BATCH,
         "share_of_step": taken / whole}
        for name, taken in seconds.items()
    ]  # fmt: skip
    shared = {"source": "potency", "role": "other", "size": size}
    return [*rows, {"name": "bfloat16 over float32", **shared, "ratio": whole / seconds["step bfloat16"]}]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="3 repeats instead of 30")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    made = measured(3 if options.quick else 30)
    print(json.dumps(made) if options.json else "\n".join(map(str, made)))


if __name__ == "__main__":
    main()
