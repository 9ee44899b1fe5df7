"""Inference on one thread: the engine beside eager torch, and all of `predict` beside mere decoding of its files."""

from __future__ import annotations

import os

# Before torch is imported: a ratio of two sides that spin on the same cores is noise.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import argparse  # noqa: E402
import json  # noqa: E402
import statistics  # noqa: E402
import tempfile  # noqa: E402
import time  # noqa: E402
from collections.abc import Callable, Mapping  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

import imagecodecs  # noqa: E402
import numpy as np  # noqa: E402
import torch  # noqa: E402
from pandas import DataFrame  # noqa: E402

from potency.bundle import Bundle, Card, NetworkMember  # noqa: E402
from potency.data.manifest import Manifest  # noqa: E402
from potency.data.plan import Plan  # noqa: E402
from potency.inference.engine import accelerate, eager, start_engine  # noqa: E402
from potency.inference.predict import predict  # noqa: E402
from potency.tasks import TASKS  # noqa: E402

TILE, BATCH, NETWORKS = 64, 64, ("tiny", "resnet18")


def member(network: str) -> NetworkMember:
    plan = Plan(
        channels=("phase",), classes=("a", "b", "c", "d"), tile=TILE, scaling={"phase": (0, 255)}, network=network
    )
    torch.manual_seed(0)
    return NetworkMember(TASKS["classify"], plan, TASKS["classify"].build(plan).eval())


def interleaved(sides: Mapping[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Median seconds of each side, taken in turns so that a busy moment of the machine hits both."""
    taken: dict[str, list[float]] = {name: [] for name in sides}
    for repeat in range(repeats + 1):
        for name, work in sides.items():
            start = time.perf_counter()
            work()
            if repeat:  # the first call pays for memory and caches
                taken[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in taken.items()}


def engines(repeats: int) -> list[dict[str, Any]]:
    made: list[dict[str, Any]] = []
    images = np.random.default_rng(0).random((BATCH, 1, TILE, TILE), np.float32)
    for network in NETWORKS:
        module = member(network).module()
        start = time.perf_counter()
        engine = start_engine(module, images, device="cpu")
        built = time.perf_counter() - start
        plain = eager(module)
        middle = interleaved({"ours": lambda: engine(images), "other": lambda: plain(images)}, repeats)  # noqa: B023
        rates = {side: BATCH / seconds for side, seconds in middle.items()}
        size = {"tile": TILE, "batch": BATCH, "unit": "images/s", "repeats": repeats}
        facts = {"engine": engine.name, "precision": engine.precision, "error": engine.error, "build_seconds": built}
        name = f"{network}, {TILE} px: engine beside eager torch"
        made += pair(name, "torch", {**size, **facts}, rates)
    return made


def whole(count: int, repeats: int) -> list[dict[str, Any]]:
    """From PNG files to a table of answers with `tiny`, beside reading and decoding these files and nothing else."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        random = np.random.default_rng(0)
        for i in range(count):
            crop = random.normal(120, 9, (TILE, TILE)).clip(0, 255).astype(np.uint8)
            (folder / f"{i:05}.png").write_bytes(imagecodecs.png_encode(crop))
        files = sorted(folder.glob("*.png"))
        rows = Manifest.of_rows(DataFrame({"image": [file.name for file in files]}), folder)
        one = member("tiny")
        bundle = accelerate(Bundle(Card("classify", (one.plan,)), (one,)), "cpu")
        calls = iter(range(10**6))
        middle = interleaved(
            {
                "ours": lambda: predict(rows, bundle, into=folder / f"out{next(calls)}"),
                "other": lambda: [imagecodecs.png_decode(file.read_bytes()) for file in files],
            },
            repeats,
        )
    rates = {side: count / seconds for side, seconds in middle.items()}
    size = {"tile": TILE, "images": count, "unit": "images/s", "repeats": repeats}
    title = f"predict with tiny, {TILE} px PNG files: all of it beside decoding alone"
    return pair(title, "imagecodecs", size, rates)


def pair(name: str, other: str, size: Mapping[str, Any], rates: Mapping[str, float]) -> list[dict[str, Any]]:
    """The row of ours with both figures, and the row of the other side."""
    sides = {**rates, "ratio": rates["ours"] / rates["other"]}
    return [
        {"name": name, "source": "potency", "role": "target", **size, **sides},
        {"name": name, "source": other, "role": "other", **size, "other": rates["other"]},
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer repeats and fewer files")
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    chosen = parser.parse_args()
    found = engines(5 if chosen.quick else 25) + (whole(512, 1) if chosen.quick else whole(4096, 3))
    if chosen.json:
        print(json.dumps(found))
        return
    for row in found:
        print(", ".join(f"{k} {v:.3g}" if isinstance(v, float) else f"{k} {v}" for k, v in row.items()))


if __name__ == "__main__":
    main()
