"""Networks that outline by boxes and masks: what they learn and answer, how masks are painted, tiles joined."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile
import torch
from numpy.typing import NDArray
from scipy.ndimage import find_objects, label
from torch import Tensor, nn

from potency.answers import Labels
from potency.bundle import Bundle, Card, NetworkMember
from potency.data.manifest import Manifest
from potency.data.plan import Facts, Plan
from potency.decoding import DECODERS, keypoints
from potency.decoding.painting import painted
from potency.errors import PlanError
from potency.inference.predict import predict
from potency.learning.cost import tensor_peak
from potency.learning.planning import planned
from potency.learning.train import train
from potency.networks import OUTLINED, AnchoredMasks, KeypointGraph
from potency.networks.outlined import Found, Truth, planes_of, squares
from potency.tasks import find_task

TASK = find_task("instances")
SMALL = "keypoint-graph:encoder=resnet18:width=4:depth=3"


def blocks() -> NDArray[np.int32]:
    """Three objects of 64 px a side, two of which touch, and a corner that is not judged."""
    found = np.zeros((64, 64), np.int32)
    found[8:24, 8:28], found[24:44, 10:30], found[40:60, 40:62], found[0:6, 50:64] = 1, 2, 5, -1
    return found


# ---------------------------------------------------------------------------------------------- decoding, without torch


def test_masks_are_painted_as_a_grid_sampler_would_and_the_surer_has_the_pixel() -> None:
    """Against each mask pasted into a whole image by torch's `grid_sample`, one after the other."""
    rng, shape = np.random.default_rng(0), (40, 50)
    low = rng.uniform(-4, 30, (12, 2))
    edges = np.concatenate([low, low + rng.uniform(0.4, 22, (12, 2))], axis=1)
    masks, score = rng.random((12, 7, 7)).astype(np.float32), rng.permutation(12) / 12
    edges[3, 2] = edges[3, 0]  # of no size
    wanted, certain = np.zeros(shape, np.int32), np.zeros(shape)
    y, x = torch.arange(shape[0]) + 0.5, torch.arange(shape[1]) + 0.5
    for k in np.argsort(-score):
        top, left, bottom, right = edges[k]
        if bottom <= top:
            continue
        v, u = (y - top) / (bottom - top) * 2 - 1, (x - left) / (right - left) * 2 - 1
        grid = torch.stack(torch.broadcast_tensors(u[None], v[:, None]), dim=-1).float()
        pasted = nn.functional.grid_sample(torch.from_numpy(masks[k])[None, None], grid[None], align_corners=False)
        inside = ((v >= -1) & (v < 1))[:, None] & ((u >= -1) & (u < 1))[None]
        share = (pasted[0, 0] * inside).numpy()
        wanted[(share >= 0.5) & (wanted == 0)] = k + 1
        certain = np.maximum(certain, share * score[k])
    labels, sure = painted(edges, masks, score, shape)
    assert (labels == wanted).mean() > 0.999 and len(np.unique(labels)) > 8  # .5 may fall to either side by rounding
    np.testing.assert_allclose(sure, certain, atol=1e-5)
    above = score > 0.4
    alone, _ = painted(edges[above], masks[above], score[above], shape)
    numbers = np.concatenate([[0], np.where(above, np.cumsum(above), 0)])
    assert ((numbers[labels] == alone) | (numbers[labels] == 0)).all()  # others keep all they had


def test_boxes_come_back_from_their_key_points_also_where_points_are_missing() -> None:
    rng = np.random.default_rng(0)
    low = 4 + np.array(list(np.ndindex(5, 5))) * 22 + rng.integers(0, 6, (25, 2))
    edges = np.concatenate([low, low + 7 + 2 * rng.integers(0, 6, (25, 2))], axis=1).astype(np.float64)
    maps = keypoints.encode(edges, (120, 120))
    found, score = keypoints.decode(maps)
    assert sorted(map(tuple, found)) == sorted(map(tuple, edges)) and score.min() > 0.9
    points, *_ = keypoints.split(maps)
    points[[1, 3]] = 0  # nobody saw a right corner: the side lies as far from the middle as the left one
    found, score = keypoints.decode(maps)
    assert sorted(map(tuple, found)) == sorted(map(tuple, edges)) and score.max() <= 0.6
    points[4] = 0  # nor a middle: two points that do not face each other make no box
    assert not len(keypoints.decode(maps)[0])
    empty, none = keypoints.decode(keypoints.encode(np.zeros((0, 4)), (16, 24)))
    assert empty.shape == (0, 4) and none.shape == (0,)


def test_connected_components_tell_apart_what_does_not_touch() -> None:
    decoder, truth = DECODERS["components"], np.maximum(blocks(), 0)
    labels, scores = decoder.decode(decoder.encode(truth))
    assert len(scores) == 2 and (labels == label(truth > 0)[0]).all()
    assert decoder.decode(decoder.encode(truth), smallest=500).labels.max() == 1


# ------------------------------------------------------------------------------------------------------------- networks


def built(name: str, classes: int) -> KeypointGraph | AnchoredMasks:
    torch.manual_seed(0)
    if name == "keypoint-graph":
        return KeypointGraph(SMALL, 1, classes, 64)
    return AnchoredMasks("mask-rcnn:body=resnet18", 1, classes, 8.0, 4)


@pytest.mark.parametrize("name", OUTLINED)
def test_a_network_answers_on_the_pixels_and_its_losses_lead_downhill(name: str) -> None:
    net = built(name, 2)
    labels = torch.from_numpy(np.stack([blocks(), np.zeros_like(blocks())]))  # the second image shows nothing
    kinds = torch.where(labels == 5, 1, 0)
    kinds[labels == 2] = -1  # of no known class
    image = (labels[:, None] > 0) + torch.rand(2, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    told = net.eval()(image)
    assert told["output"].shape == (2, 1, 64, 64) and told["labels"].shape == (2, 2, 64, 64)
    assert not told["labels"].is_floating_point() and set(told["labels"][:, 1].unique().tolist()) <= {0, 1}
    net.train()
    optimiser, seen = torch.optim.SGD(net.parameters(), 2e-3), []
    for _ in range(2):
        torch.manual_seed(0)  # what is judged is drawn
        parts = net.outlines(image, labels, kinds)
        # Not of the boxes proposed: with these change the questions.
        kept = [parts[k] for k in parts if k not in ("loss_classifier", "loss_box_reg", "loss_mask")]
        loss = torch.stack(kept).sum()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        optimiser.zero_grad()
        seen.append(float(loss.detach()))
    assert seen[1] < seen[0] and any("mask" in part for part in parts)


def test_what_is_not_judged_and_what_is_not_there_teaches_nothing() -> None:
    net, labels = built("keypoint-graph", 1).eval(), torch.from_numpy(blocks())[None]
    image = torch.rand(1, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    said = net.outlines(image, torch.full_like(labels, -1))
    assert not any(part.detach().any() for part in said.values()) and set(said) == {"points", "short", "long"}
    truth = Truth.of(labels[0], None)
    assert truth.edges.tolist() == [[8, 8, 24, 28], [24, 10, 44, 30], [40, 40, 60, 62]]
    assert len(Truth.of(squares(image)[0], None).edges) == 2
    # What it takes to answer is at least the maps of the points.
    assert tensor_peak(lambda: net(image)) > 55 * 64 * 64 * 4


def test_an_object_has_the_mean_of_its_pixels_and_faint_ones_are_left_out() -> None:
    plan = Plan(network="keypoint-graph", channels=("a",), classes=("round", "long"), fitting="extend")
    edges = torch.tensor([[2.0, 2, 12, 12], [8, 8, 20, 20], [20, 24, 30, 34]])
    found = Found(edges, torch.ones(3, 28, 28), torch.tensor([0.2, 0.9, 0.6]), torch.tensor([0, 1, 0]))
    told = {k: v[0].numpy() for k, v in planes_of([found], torch.zeros(1, 1, 40, 40)).items()}
    answer = TASK.decode(told, plan)
    assert isinstance(answer, Labels) and answer.objects["class"].tolist() == ["long", "round"]
    np.testing.assert_allclose(answer.objects["score"], [0.9, 0.6], atol=0.05)
    all_of_them = TASK.decode(told, plan.but(settings={"least": 0.1}))
    assert isinstance(all_of_them, Labels) and all_of_them.count == 3
    kept = all_of_them.instances == all_of_them.instances[15, 15]
    assert (kept == (answer.instances == answer.instances[15, 15])).all()


@pytest.mark.parametrize(("name", "told"), [
    ("keypoint-graph:wide=3", "cannot be built with"), ("mask-rcnn:body=vgg", "body=vgg"),
    ("keypoint-graph:encoder=bag", "take another encoder"),
])  # fmt: skip
def test_a_network_that_cannot_be_is_refused(name: str, told: str) -> None:
    with pytest.raises(PlanError, match=told):
        TASK.build(Plan(channels=("a",), network=name, tile=64))


# ------------------------------------------------------------------------------------ from a table to labels, and tiles


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    """Three images with discs, two of 64 px to learn from and one of 160 px, larger than a tile."""
    folder = tmp_path_factory.mktemp("discs")
    for name, side in (("a", 64), ("b", 64), ("large", 160)):
        y, x = np.mgrid[:side, :side]
        discs = np.zeros((side, side), np.uint16)
        for k, (v, u) in enumerate(np.ndindex(side // 20, side // 20), 1):
            discs[np.hypot(y - 10 - 20 * v, x - 10 - 20 * u) < 7 + (k % 3)] = k
        tifffile.imwrite(folder / f"{name}.tif", (200 * (discs > 0)).astype(np.uint8))
        tifffile.imwrite(folder / f"{name}_mask.tif", discs)
    table = pd.DataFrame({"image": [f"{n}.tif" for n in ("a", "b", "large")], "group": ["1", "2", "3"]})
    table["truth"] = table["image"].str.replace(".tif", "_mask.tif")
    return Manifest.of_rows(table, folder, kinds={"truth": "labels"})


def test_a_bundle_learns_settles_its_threshold_and_comes_back(world: Manifest, tmp_path: Path) -> None:
    rows = world.where(world.table["group"] != "3").add({"split": ["train", "validation"]})
    plan = planned(Facts.of(rows), TASK, network=SMALL, tile=64, steps=1, batch=1, validations=1)
    assert plan.rate == KeypointGraph.rate
    bundle = train(rows, TASK, into=tmp_path / "run", plan=plan)
    learned = bundle.card.plan
    assert learned.halo == 32 and learned.decoder == "" and learned.settings["most"] == 9
    again = Bundle.load(tmp_path / "run" / "bundle")  # which checks its answers to its examples
    told = predict(rows, again, into=tmp_path / "told")
    assert told.table["prediction.error"].isna().all() and told.origin["prediction.engine"].startswith("torch on cpu")


class Bright(nn.Module):
    """Finds what is bright, in place of a network that has learned to."""

    compiles = False

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        return planes_of(map(self.found, image[:, 0]), image)

    def found(self, plane: Tensor) -> Found:
        places, _ = label(plane.numpy() > 0.5)
        boxes = [(y.start, x.start, y.stop, x.stop) for y, x in find_objects(places)]
        edges = torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4)
        return Found(edges, torch.ones(len(boxes), 28, 28), torch.full((len(boxes),), 0.9), torch.zeros(len(boxes)))


def test_an_image_larger_than_a_tile_is_answered_as_the_whole(
    world: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = world.where(world.table["group"] == "3")
    plan = Plan(task=TASK.name, channels=("a",), network="mask-rcnn", tile=64, halo=32, fitting="extend",
                scaling={"a": (0.0, 200.0)}, normalise="none", settings={"largest": 17.0})  # fmt: skip
    bundle = Bundle(Card(TASK.name, (plan,)), (NetworkMember(TASK, plan, nn.ModuleDict({"net": Bright()})),))
    seen = []
    monkeypatch.setattr("potency.inference.view.MOST", 0)
    for read in (1280, 32):
        monkeypatch.setattr("potency.inference.view.READ", read)
        told = predict(rows, bundle, into=tmp_path / str(read))
        assert told.table["prediction.count"].tolist() == [64]
        seen.append(tifffile.imread(rows.folder / told.table["prediction"].iloc[0]))
    pairs = np.unique(np.stack([one.ravel() for one in seen]), axis=1)  # numbers may differ, objects may not
    assert pairs.shape[1] == 65 and all(len(set(side)) == 65 for side in pairs.tolist())
