"""An image of discs in tiles, and a bundle that outlines them by looking one pixel far."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import torch
import zarr
from numpy.typing import NDArray

from potency.answers import Labels
from potency.bundle import Bundle, Card, NetworkMember
from potency.data.manifest import Manifest
from potency.data.plan import Plan
from potency.inference.engine import Engine
from potency.tasks import find_task

SIZE = (230, 180)
TILE = 128


def seen(crops: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
    """What a network could say that sees one pixel far: where a grey value ends there is a boundary."""
    said = []
    for (crop,) in crops:
        edge = cv2.dilate(crop, np.ones((3, 3))) > cv2.erode(crop, np.ones((3, 3)))
        inside = crop > 0.1
        said.append(20.0 * np.stack([inside & ~edge, inside & edge, ~inside]))
    return {"output": np.stack(said).astype(np.float32)}


def bundle_of(name: str = "instances") -> Bundle:
    """A bundle whose network is `seen`, decoded by the boundary decoder or, for segment, pixel by pixel."""
    task = find_task(name)
    plan = Plan(task=name, channels=("grey",), tile=64, scaling={"grey": (0.0, 255.0)})
    plan = plan.but(**{**task.usual, "network": "unet:width=4:depth=1", "halo": 32, "scale_by": "set"})
    told = {"decoder": "boundary"} if "decoder" in task.usual else {"classes": ("in", "edge", "out")}
    plan = plan.but(**told)
    torch.manual_seed(0)
    engine = Engine("made", "cpu", "float32", 0.0, "", seen)
    return Bundle(Card(name, (plan,)), (NetworkMember(task, plan, task.build(plan), engine),))


def discs(folder: Path, large: bool = False) -> Manifest:
    """An image of some 150 discs of at most 17 px, side by side or touching, as OME-Zarr; or with one that is large."""
    rng, picture = np.random.default_rng(0), np.zeros(SIZE, np.uint8)
    for y, x in rng.uniform(0, SIZE, (150, 2)):
        cv2.circle(picture, (int(x), int(y)), int(rng.integers(3, 9)), int(rng.integers(60, 255)), -1)
    if large:
        cv2.rectangle(picture, (20, 100), (270, 130), 255, -1)
    folder.mkdir(exist_ok=True)
    array = zarr.create_array(store=str(folder / "a.zarr"), data=picture, chunks=(64, 64), zarr_format=2)
    array.attrs["name"] = "discs"
    return Manifest.of_rows(pd.DataFrame({"image": ["a.zarr"]}), folder)


def told(found: Manifest, into: Path) -> tuple[NDArray[Any], pd.DataFrame, str]:
    """Labels, table and path of the only row."""
    row = found.table.iloc[0]
    assert pd.isna(row["prediction.error"]), row["prediction.error"]
    answer = Labels.of_cells({"": row["prediction"], "objects": row["prediction.objects"]}, found.folder)
    return answer.instances, answer.objects, Path(row["prediction"]).name
