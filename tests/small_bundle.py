"""A small bundle, images of all sizes and a counting mapper: what the tests of prediction share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import nn

from potency.answers import Category
from potency.bundle import Bundle, Card, NetworkMember
from potency.data.manifest import Manifest
from potency.data.plan import Plan
from potency.tasks import TASKS

CLASSES = ("dim", "bright")


def bundle_of(**changes: Any) -> Bundle:
    plan = Plan(channels=("0",), classes=CLASSES, tile=16, scaling={"0": (0.0, 255.0)}, network="tiny").but(**changes)
    torch.manual_seed(5)
    task = TASKS["classify"]
    nets = task.build(plan).eval()
    for parameter in nets.parameters():
        nn.init.normal_(parameter, std=0.3)
    return Bundle(Card("classify", (plan,)), (NetworkMember(task, plan, nets),))


def images(folder: Path, sizes: Sequence[tuple[int, ...]]) -> Manifest:
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(7)
    names = [f"im {i:02}.npy" for i in range(len(sizes))]
    for name, size in zip(names, sizes, strict=True):
        np.save(folder / name, random.integers(0, 255, size, np.uint8))
    table = pd.DataFrame({"image": names, "truth": [CLASSES[i % 2] for i in range(len(sizes))]})
    return Manifest.of_rows(table, folder)


MIXED = [(16, 16), (9, 30), (16, 16), (40, 7), (20, 20), (16, 16), (33, 31), (1, 1), (16, 16), (17, 16)]
PARTS = ["prediction.probability.dim", "prediction.probability.bright"]


def columns(manifest: Manifest) -> pd.DataFrame:
    return manifest.table[[c for c in manifest.table.columns if str(c).startswith("prediction")]]


def direct(bundle: Bundle, crops: Sequence[NDArray[Any]]) -> NDArray[np.float64]:
    answers = bundle([{"image": crop[None]} for crop in crops])
    return np.array([answer.probability for answer in answers if isinstance(answer, Category)])


@dataclass
class Counting:
    """A mapper that counts the samples handed out, and breaks off where it is told to."""

    stop: int = 10**9
    handed: int = 0

    def __call__(self, function: Callable[[Any], Any], items: Any) -> Any:
        for item in items:
            if self.handed >= self.stop:
                raise KeyboardInterrupt
            self.handed += len(item.places)
            yield function(item)
