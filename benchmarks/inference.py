"""Inference on all cores: engines beside eager float32 torch on trained weights, and `predict` beside mere decoding.

The networks are trained here, for a minute, on simulated cells: 64 px for MobileNetV3; ResNet50 learns on the same
crops enlarged to 112 px and takes its batch statistics at 224 px. Agreement is counted on cells it never saw.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch is imported: two sides that spin are noise

import argparse
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import torch
from numpy.typing import NDArray
from pandas import DataFrame
from side_by_side import interleaved, tell
from torch import nn

from potency.bundle import Bundle, Card, NetworkMember
from potency.data.manifest import Manifest
from potency.data.plan import Plan
from potency.inference.agreement import agreement
from potency.inference.engine import accelerate, eager, start_engine
from potency.inference.predict import predict
from potency.simulate import World, crops
from potency.simulate.world import wells_of
from potency.tasks import TASKS

CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
TILE = 64
CLASSES = ("stem", "neuron", "astrocyte", "oligodendrocyte")
PRECISIONS = ("float32", "bfloat16", "int8")
DEFAULT = "auto"  # what a user gets


@dataclass(frozen=True)
class Case:
    """One network at one size; `learn` is the side of the crops it learns on."""

    network: str
    tile: int
    learn: int
    steps: int
    learn_batch: int
    batch: int  # in one call when the time is taken
    asked: int  # unseen cells whose answers are compared
    role: str = "other"


CASES = (
    Case("resnet50", 224, 112, 60, 16, 16, 300, "target"),
    Case("mobilenetv3-large", TILE, TILE, 400, 32, 64, 1000, "target"),
    Case("tiny", TILE, TILE, 150, 32, 64, 1000),
    Case("resnet18", TILE, TILE, 80, 32, 64, 1000),
)


def cells(count: int, seed: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Simulated crops (N, 1, 64, 64) scaled to 0..1, and their classes."""
    look = {"look": "phase", "hours": (110.0, 140.0), "density": 0.0, "batch": 0.5, "pixel_size": 0.65}
    world = World.of({"classes": 4, "size": TILE, "cells": count, "groups": 8, "wells": 2, "seed": seed, **look})
    plates = wells_of(world)
    who = crops.cast(world, plates, np.random.default_rng([world.seed, 2]))
    drawn = np.concatenate([chunk.pictures[world.channels[0]] for chunk in crops.render(world, plates, who)])
    low, high = np.percentile(drawn, [0.5, 99.5])
    order = np.random.default_rng(seed).permutation(count)
    scaled = ((drawn - low) / (high - low)).astype(np.float32)[:, None]
    return scaled[order], who.fate[order]


def sized(images: NDArray[np.float32], side: int) -> NDArray[np.float32]:
    """The crops enlarged to `side` px."""
    if images.shape[-1] == side:
        return images
    return nn.functional.interpolate(torch.from_numpy(images), size=side, mode="bilinear").numpy()


def trained(case: Case, steps: int) -> tuple[NetworkMember, NDArray[np.float32]]:
    """A network that has learned for `steps` steps, and some of the crops it learned from."""
    images, classes = cells(1500, 0)
    plan = Plan(channels=("phase",), classes=CLASSES, tile=case.tile, scaling={"phase": (0, 1)}, network=case.network)
    torch.manual_seed(0)
    nets = TASKS["classify"].build(plan).to(memory_format=torch.channels_last).train()
    optimiser = torch.optim.AdamW(nets.parameters(), lr=2e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 3e-3, total_steps=steps)
    rng = np.random.default_rng(0)
    for _ in range(steps):
        chosen = rng.choice(len(images), case.learn_batch, replace=False)
        batch = torch.from_numpy(sized(images[chosen], case.learn)).to(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16, enabled=case.network.startswith("resnet")):  # else it is slower
            output = nets["net"](batch)["output"].float()
        nn.functional.cross_entropy(output, torch.from_numpy(classes[chosen])).backward()
        optimiser.step()
        schedule.step()
        optimiser.zero_grad()
    norms = [part for part in nets.modules() if isinstance(part, nn.BatchNorm2d)]
    for part in norms:
        part.reset_running_stats()
        part.momentum = None  # the plain mean over what follows
    with torch.no_grad():
        for i in range(0, 96, 16):
            nets["net"](torch.from_numpy(sized(images[i : i + 16], case.tile)))
    for part in norms:
        part.momentum = 0.1
    return NetworkMember(TASKS["classify"], plan, nets.eval()), images[:128]


def engines(case: Case, repeats: int, quick: bool) -> list[dict[str, Any]]:
    """Every precision of one trained network beside eager torch in float32, timed in turns."""
    steps, asked = (case.steps // 4, case.asked // 5) if quick else (case.steps, case.asked)
    member, seen = trained(case, steps)
    module, plain = member.module(), eager(member.module())
    images, classes = cells(asked, 1)
    images = sized(images, case.tile)
    started = {
        name: start_engine(module, images, device="cpu", precision=name, calibration=sized(seen, case.tile))
        for name in (DEFAULT, *PRECISIONS)
    }
    parts = [images[i : i + case.batch] for i in range(0, asked, case.batch)]

    def answered(run: Callable[[NDArray[Any]], Mapping[str, NDArray[Any]]]) -> dict[str, NDArray[Any]]:
        return {"output": np.concatenate([run(part)["output"] for part in parts])}

    expected = answered(plain)
    middle = interleaved(
        {"other": lambda: plain(parts[0])} | {k: (lambda e=e: e(parts[0])) for k, e in started.items()}, repeats
    )
    size = {"tile": case.tile, "batch": len(parts[0]), "unit": "images/s", "repeats": repeats, "threads": CORES,
            "trained": f"{steps} steps on simulated cells", "compared_on": asked}  # fmt: skip
    rows = []
    for name, engine in started.items():
        found = answered(engine)
        what = "the default engine" if name == DEFAULT else name
        rates = {side: len(parts[0]) / middle[side] for side in (name, "other")}
        row = {
            "name": f"{case.network}, {case.tile} px: {what} beside eager float32 torch",
            "source": "potency",
            "role": case.role if name == DEFAULT else "other",
            **size,
            "engine": engine.name,
            "precision": engine.precision,
            "top1_agreement": agreement(expected, found),
            "accuracy": float(np.mean(found["output"].argmax(1) == classes)),
            "accuracy_other": float(np.mean(expected["output"].argmax(1) == classes)),
            "ours": rates[name],
            "other": rates["other"],
            "ratio": rates[name] / rates["other"],
        }
        rows.append(row)
    return rows


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
        plan = Plan(channels=("grey",), classes=CLASSES, tile=TILE, scaling={"grey": (0, 255)}, symmetries=1)
        torch.manual_seed(0)
        one = NetworkMember(TASKS["classify"], plan, TASKS["classify"].build(plan).eval())
        bundle = accelerate(Bundle(Card("classify", (plan,)), (one,)), "cpu")
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
        {"name": name, "source": "potency", "role": "other", **size, **sides},
        {"name": name, "source": other, "role": "other", **size, "other": rates["other"]},
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a quarter of the training, fewer repeats and files")
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    parser.add_argument("--networks", default="", help="only these, by name, separated by commas")
    chosen = parser.parse_args()
    torch.set_num_threads(CORES)
    named = [case for case in CASES if not chosen.networks or case.network in chosen.networks.split(",")]
    found = [row for case in named for row in engines(case, 3 if chosen.quick else 15, chosen.quick)]
    if not chosen.networks:
        found += whole(512, 1) if chosen.quick else whole(4096, 3)
    tell(found, chosen.json)


if __name__ == "__main__":
    main()
