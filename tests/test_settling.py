"""Thresholds that validation rows choose: the best of those tried, and none moved without a gain."""

from __future__ import annotations

import logging

import numpy as np
import pandas as pd
import pytest
import tifffile
import torch
from torch import nn

from potency.answers import Labels
from potency.bundle import NetworkMember
from potency.data.manifest import Manifest
from potency.data.plan import Plan
from potency.decoding import DECODERS
from potency.inference import view
from potency.learning import settling
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


class Hesitant(nn.Module):
    """A detector that gives true centres `share`, and as many places without an object `beyond`."""

    def __init__(self, share: float, beyond: float) -> None:
        super().__init__()
        self.share, self.beyond = share, beyond

    def forward(self, image: torch.Tensor) -> dict[str, torch.Tensor]:
        heat = torch.full((1, 64, 64), 0.001)
        heat[0, 11::20, 11::20], heat[0, 1::20, 1::20] = self.share, self.beyond
        maps = torch.cat([heat.logit(), torch.zeros(4, 64, 64)])
        return {"output": maps.repeat(len(image), 1, 1, 1)}


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


def test_thresholds_that_were_chosen_beside_others_are_looked_at_again(
    world: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Alone `core` 8 is best; beside another `parting` it is not, nor is it then `core` 16 but the usual one."""
    told = {(8, None): 1, (None, 0.5): 3, (8, 0.5): 2, (None, None): 0}

    def score(task: object, plan: Plan, *_: object) -> float:
        return told.get((plan.settings.get("core"), plan.settings.get("parting")), -1)

    monkeypatch.setattr(type(TASK), "trials", lambda *_: {"core": (8, 16), "parting": (0.5,)})
    monkeypatch.setattr(settling, "_score", score)
    assert with_thresholds(member(world, 0.99, 0.01), world).plan.settings == {"parting": 0.5}


@pytest.mark.parametrize(("share", "beyond", "least"), [(0.25, 0.02, 0.1), (0.85, 0.65, 0.7), (0.9, 0.02, None)])
def test_what_a_detector_calls_an_object_is_chosen_by_f1(world: Manifest, share: float, beyond: float,
                                                         least: float | None) -> None:  # fmt: skip
    detect = find_task("detect")
    plan = member(world, 0.5, 0.5).plan.but(task="detect", decoder="")
    plan = plan.but(settings={"boxes": 1.0, "height": 13.0, "width": 13.0, "largest": 13.0})
    told = with_thresholds(NetworkMember(detect, plan, nn.ModuleDict({"net": Hesitant(share, beyond)})), world)
    assert told.plan.settings.get("least") == least


def test_what_is_tried_warns_of_nothing(world: Manifest, monkeypatch: pytest.MonkeyPatch,
                                        caplog: pytest.LogCaptureFixture) -> None:  # fmt: skip
    """Tiles that cut every object are joined for every threshold, and what is said of the join is said of answers."""
    def one_object(self: NetworkMember, samples: list[dict[str, np.ndarray]]) -> list[dict[str, np.ndarray]]:
        size = samples[0]["image"].shape[-2:]
        return [{"output": np.full((3, *size), [[[4.0]], [[0.0]], [[-4.0]]], np.float32)}]  # as wide as the tile sees

    joined, stitch = list[Labels](), Labels.stitch
    monkeypatch.setattr(view, "READ", 32)
    monkeypatch.setattr(view, "MOST", 0)
    monkeypatch.setattr(NetworkMember, "outputs", one_object)
    monkeypatch.setattr(Labels, "stitch", staticmethod(lambda *parts: joined.append(stitch(*parts)) or joined[-1]))
    made = member(world, 0.99, 0.01)
    with caplog.at_level(logging.WARNING, logger="potency"):
        with_thresholds(NetworkMember(TASK, made.plan.but(halo=2, decoder="boundary"), made.nets), world)
    assert len(joined) > 4 and all(answer.cut for answer in joined)
    assert not caplog.records
