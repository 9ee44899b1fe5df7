"""Thresholds that validation rows choose: the best of those tried, and none moved without a gain."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import tifffile
import torch
from torch import nn

from potency.bundle import NetworkMember
from potency.data.manifest import Manifest
from potency.data.plan import Plan
from potency.decoding import DECODERS
from potency.learning.settling import with_thresholds
from potency.tasks import find_task

TASK = find_task("instances")


class Sure(nn.Module):
    """Maps of a perfect network but for how sure it is: inside an object it says `share`, outside `beyond`."""

    def __init__(self, truths: dict[bytes, np.ndarray], share: float, beyond: float) -> None:
        super().__init__()
        self.truths, self.share, self.beyond = truths, share, beyond

    def forward(self, image: torch.Tensor) -> dict[str, torch.Tensor]:
        found = []
        for one in image.numpy():
            maps = DECODERS["flows"].encode(self.truths[one.tobytes()])
            inside = np.where(maps[0] > 0, self.share, self.beyond)
            maps[0] = np.log(inside / (1 - inside))
            found.append(maps)
        return {"output": torch.from_numpy(np.stack(found))}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    """Two images of noise, each with nine discs as its truth."""
    folder, rng = tmp_path_factory.mktemp("discs"), np.random.default_rng(0)
    y, x = np.mgrid[:64, :64]
    discs = np.zeros((64, 64), np.uint16)
    for k, (v, u) in enumerate(np.ndindex(3, 3), 1):
        discs[np.hypot(y - 11 - 20 * v, x - 11 - 20 * u) < 7] = k
    for name in "ab":
        tifffile.imwrite(folder / f"{name}.tif", rng.integers(0, 200, (64, 64)).astype(np.uint8))
        tifffile.imwrite(folder / f"{name}_mask.tif", discs)
    table = pd.DataFrame({"image": ["a.tif", "b.tif"], "truth": ["a_mask.tif", "b_mask.tif"]})
    return Manifest.of_rows(table, folder, kinds={"truth": "labels"})


def member(world: Manifest, share: float, beyond: float) -> NetworkMember:
    plan = Plan(task=TASK.name, channels=("a",), tile=64, halo=64, scaling={"a": (0.0, 1.0)}, normalise="none")
    plan = plan.but(decoder="flows", fitting="extend")
    truths = {}
    for row in world.records():
        pixels = world.open(row).crop()
        truths[np.ascontiguousarray(pixels, np.float32).tobytes()] = tifffile.imread(world.folder / row["truth"])
    return NetworkMember(TASK, plan, nn.ModuleDict({"net": Sure(truths, share, beyond)}))


def test_a_network_that_is_never_sure_is_believed_earlier(world: Manifest) -> None:
    settled = with_thresholds(member(world, 0.4, 0.1), world)
    assert 0.1 < settled.plan.settings["inside"] < 0.4
    assert set(settled.plan.settings) == {"inside"}  # nothing else gained, so nothing else moved


def test_what_makes_no_difference_stays_and_without_rows_all_does(world: Manifest) -> None:
    perfect = member(world, 0.99, 0.01)
    assert with_thresholds(perfect, world).plan == perfect.plan
    nobody = world.where(lambda table: table.index < 0)
    assert with_thresholds(member(world, 0.4, 0.1), nobody).plan.settings == {}
