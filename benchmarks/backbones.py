"""Every backbone on one thread: parameters, stride, halo, and milliseconds a crop, eager torch beside the engine.

`python benchmarks/backbones.py [--names tiny,resnet18] [--quick] [--json]` prints the table of docs/networks.md. Time
is that of the processor, not of the clock, so that a busy machine does not count; the sides take turns.
"""

from __future__ import annotations

import os

# Before torch is imported: threads that spin on the same cores are noise.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import argparse  # noqa: E402
import json  # noqa: E402
import statistics  # noqa: E402
import sys  # noqa: E402
import time  # noqa: E402
from collections.abc import Callable, Mapping, Sequence  # noqa: E402
from typing import Any  # noqa: E402

import numpy as np  # noqa: E402
import torch  # noqa: E402

from potency.inference.engine import eager, start_engine  # noqa: E402
from potency.networks import BACKBONES, Encoder  # noqa: E402

TILE, BATCH = 64, 32


def measured(backbone: str, batch: int, repeats: int) -> dict[str, Any]:
    """One row: what the network states, and how long a crop takes in a batch."""
    torch.manual_seed(0)
    network = Encoder(backbone, 1, 4, TILE).eval()
    images = np.random.default_rng(0).random((batch, 1, TILE, TILE), np.float32)
    engine, plain = start_engine(network, images, device="cpu"), eager(network)
    seconds = in_turns({"engine": lambda: engine(images), "eager": lambda: plain(images)}, repeats)
    return {
        "name": backbone,
        "source": "potency",
        "role": "other",
        "tile": TILE,
        "batch": batch,
        "repeats": repeats,
        "parameters_m": sum(p.numel() for p in network.parameters()) / 1e6,
        "stride": network.stride,
        "halo": network.halo,
        "eager_ms": 1000 * seconds["eager"] / batch,
        "engine": engine.name,
        "engine_ms": 1000 * seconds["engine"] / batch,
        "ratio": seconds["eager"] / seconds["engine"],
        "error": engine.error,
    }


def in_turns(sides: Mapping[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Median seconds of the processor for each side."""
    taken: dict[str, list[float]] = {name: [] for name in sides}
    for repeat in range(repeats + 1):
        for name, work in sides.items():
            start = time.process_time()
            work()
            if repeat:  # the first call pays for memory and caches
                taken[name].append(time.process_time() - start)
    return {name: statistics.median(values) for name, values in taken.items()}


def as_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """The rows as the table of the documentation."""
    lines = ["| network | parameters (M) | stride | halo | eager (ms) | engine (ms) | ratio |", "|---|" + "---:|" * 6]
    for row in rows:
        halo = "whole" if row["halo"] is None else row["halo"]
        figures = f"{row['eager_ms']:.2f} | {row['engine_ms']:.2f} | {row['ratio']:.1f}"
        lines.append(f"| `{row['name']}` | {row['parameters_m']:.2f} | {row['stride']} | {halo} | {figures} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--names", default=",".join(BACKBONES), help="backbones to measure (default: the whole list)")
    parser.add_argument("--quick", action="store_true", help="batches of 4, once")
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    chosen = parser.parse_args()
    rows = []
    for name in chosen.names.split(","):
        rows.append(measured(name, *((4, 1) if chosen.quick else (BATCH, 3))))
        print(f"{name} done", file=sys.stderr, flush=True)
    print(json.dumps(rows) if chosen.json else as_table(rows))


if __name__ == "__main__":
    main()
