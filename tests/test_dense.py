"""The contract of every task with maps and of every network that gives one: tiles, turns, sizes, learning, answers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from torch import nn
from zoo import discs, fields

from potency.answers import Regions
from potency.bundle import Bundle, NetworkMember
from potency.data.manifest import Manifest
from potency.data.plan import Facts, Plan
from potency.data.tiles import cover, exposure
from potency.errors import ManifestError, PlanError, PotencyError
from potency.evaluation.evaluate import evaluate
from potency.inference.predict import predict
from potency.inference.view import READ, View, windows
from potency.learning.augment import GEOMETRY, augment_both
from potency.learning.planning import continued, planned
from potency.learning.train import examples, train
from potency.networks import Dense
from potency.tasks import TASKS, Task, find_task

MAPPED = {name: task for name, task in TASKS.items() if task.maps}
SMALL = "unet:width=4:depth=2"
SEEN = {"boxes": 1.0, "height": 12.0, "width": 12.0, "largest": 20.0, "near": 12.0, "spread": 2.0}  # of objects


def lively(network: nn.Module) -> nn.Module:
    """Weights that let every block speak: fresh ones begin as their skips."""
    torch.manual_seed(0)
    for part in network.modules():
        if isinstance(part, nn.BatchNorm2d):
            nn.init.uniform_(part.weight, 0.5, 1.5)
            part.running_var.uniform_(0.5, 2.0)  # type: ignore[union-attr, operator]
    return network.eval()


@pytest.fixture(scope="module")
def worlds(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Manifest]:
    """Four fields by kind of answer: every cell with its number; cell or background; discs, each with a box."""
    folder = fields(tmp_path_factory.mktemp("fields"), cells=60, groups=4, wells=1).folder
    labels = Manifest.read(folder, truth="mask")
    for path in labels.table["truth"]:
        tifffile.imwrite(folder / f"{path}.cells.tif", (tifffile.imread(folder / path) > 0).astype(np.uint8))
    cells = labels.table["truth"] + ".cells.tif"
    maps = replace(labels, table=labels.table.assign(truth=cells))
    return {"labels": labels, "regions": maps, "objects": discs(folder / "discs"), "density": labels}


@pytest.mark.parametrize("task", MAPPED.values(), ids=MAPPED)
def test_tiles_give_what_the_whole_image_gives(task: Task) -> None:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 255, (1, 203, 310)).astype(np.uint8)  # no multiple of anything
    pixels = np.asarray(torch.nn.functional.avg_pool2d(torch.from_numpy(pixels).float(), 9, 1, 4).byte())
    plan = Plan(task=task.name, channels=("a",), classes=("x", "y"), tile=64, scaling={"a": (0.0, 1.0)})
    plan = plan.but(**{**task.usual, "network": SMALL, "halo": 32, "settings": SEEN})
    member = NetworkMember(task, plan, lively(task.build(plan)))  # type: ignore[arg-type]
    whole = member.outputs([{"image": pixels, "exposure": exposure(pixels)}])[0]["output"]
    assert whole.shape[1:] == pixels.shape[1:]
    tiles = cover(pixels.shape[1:], 128, 32)
    assert len(tiles) > 4
    for tile in tiles:
        window = tile.window(pixels.shape[1:])
        seen = {"image": pixels[:, window["Y"], window["X"]], "exposure": exposure(pixels)}
        part = member.outputs([seen])[0]["output"]
        inner = part[:, tile.y - window["Y"].start :, tile.x - window["X"].start :][:, : tile.height, : tile.width]
        core = whole[:, tile.y : tile.y + tile.height, tile.x : tile.x + tile.width]
        assert np.abs(inner - core).max() <= 1e-5 * np.abs(whole).max()


@pytest.mark.parametrize("task", MAPPED.values(), ids=MAPPED)
def test_a_task_with_maps_learns_saves_answers_evaluates_and_draws(
    task: Task, worlds: dict[str, Manifest], tmp_path: Path
) -> None:
    world = worlds[task.answer.kind]
    steps = 60 if task.answer.kind in ("regions", "density") else 120
    plan = planned(Facts.of(world), task, network=SMALL, tile=64, steps=steps, validations=1, average=0.8, rate=0.01)
    plan = plan.but(settings={"least": 0.1} if task.listed else {})  # so early nothing is sure
    train(world, task, into=tmp_path / "run", plan=plan)
    bundle = Bundle.load(tmp_path / "run" / "bundle")
    assert bundle.card.plan.halo in range(32, 257, 32) and {*bundle.card.plan.scaling.values()} == {(0.0, 1.0)}
    told = predict(world, bundle, into=tmp_path / "whole")
    assert told.kinds["prediction"] == task.answer.kind and told.table["prediction.error"].isna().all()
    figures = evaluate(told, draws=20).numbers["prediction"]
    name, least = {
        "labels": ("dice", 0.6), "regions": ("mean_iou", 0.6), "objects": ("recall", 0.5),
        "density": ("count_mape", -0.3),
    }[task.answer.kind]  # fmt: skip
    assert figures[name].value * np.sign(least) > least
    image = world.open(world.table.iloc[0])
    assert bundle([{"image": image.crop()}])[0].draw(image).shape[2] == 3
    # The table stands by itself: files are found from where it was written.
    again = Manifest.read(tmp_path / "whole" / "predictions.parquet")
    assert evaluate(again, draws=0).numbers["prediction"][name].value == figures[name].value
    with pytest.raises(PotencyError, match="lie in files"):
        predict(world, bundle, into=None)


@pytest.mark.parametrize("name", sorted({*GEOMETRY} - {"window"}))
def test_what_is_drawn_moves_with_the_image(name: str) -> None:
    drawn = torch.kron(torch.randint(1, 9, (4, 1, 8, 8)), torch.ones(1, 1, 8, 8, dtype=torch.long)).int()
    image, moved = augment_both(drawn.float(), drawn, {name: 0.8}, torch.Generator().manual_seed(1))
    assert moved.dtype == drawn.dtype and set(moved.unique().tolist()) <= set(drawn.unique().tolist())
    assert not torch.equal(moved, drawn)
    assert (image - moved).abs().median() < 0.05 and (image - moved).abs().lt(0.5).float().mean() > 0.8


def test_a_large_image_is_scaled_by_itself_alike_in_every_tile(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    pixels = rng.integers(100, 200, (2200, 2100)).astype(np.uint16)
    pixels[:300] += 5000  # bright where most tiles do not look
    tifffile.imwrite(tmp_path / "large.tif", pixels)
    rows = Manifest.read(tmp_path)
    view = View.of(rows, rows.records()[0])
    tiles = windows(view.shape, Plan(tile=64, halo=64))
    assert max(tile.height for tile in tiles) == READ - 128 and len(tiles) == 4
    assert view.exposure.shape == (1, 2) and np.allclose(view.exposure, exposure(pixels[None]), rtol=0.05)


@pytest.mark.parametrize("task", MAPPED.values(), ids=MAPPED)
def test_what_is_not_judged_teaches_nothing(task: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = Plan(task=task.name, channels=("a",), classes=("0", "1"), tile=32)
    plan = plan.but(**{**task.usual, "network": SMALL, "settings": SEEN})
    drawn = np.zeros((2, 32, 32), np.int32)  # the second plane: classes of objects
    drawn[0, 8:20, 8:20], drawn[:, 24:] = 1, -1
    if task.listed:
        drawn = np.array([[8, 8, 20, 20, 1], [24, 0, 32, 32, -1]])
    batch = {name: torch.as_tensor(value)[None] for name, value in task.target(drawn, plan).items()}
    output = torch.randn(1, task.outputs(plan), 32, 32)
    losses = []
    for _ in range(2):
        monkeypatch.setattr(task, "forward", lambda nets, batch: {"output": output})
        losses.append(float(next(task.losses(nn.ModuleDict({"net": nn.Identity()}), batch, plan))[1]))
        output[:, :, 24:] += 3.0
    assert losses[0] == pytest.approx(losses[1])


@pytest.mark.parametrize("decoder", ["stardist", "embedding"])
def test_lengths_are_learned_as_shares_of_the_size(decoder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """By another way: object by object and pixel by pixel, where one object is three times as wide as the other."""
    task, drawn = find_task("instances"), np.zeros((1, 32, 32), np.int32)
    plan = Plan(task="instances", channels=("a",), network=SMALL, decoder=decoder, tile=32)
    drawn[0, 4:22, 4:22], drawn[0, 24:30, 24:30], drawn[0, :, 31] = 1, 2, -1
    batch = {name: torch.as_tensor(value)[None] for name, value in task.target(drawn, plan).items()}
    true = batch["target"][0].double().numpy()
    output = 5 * torch.randn(1, len(true), 32, 32)
    monkeypatch.setattr(task, "forward", lambda nets, batch: {"output": output})
    found = float(next(task.losses(nn.ModuleDict({"net": nn.Identity()}), batch, plan))[1])
    said, total, weight = output[0].double().numpy(), 0.0, 0.0
    for y, x in np.argwhere(drawn[0] > 0):
        error, middle = np.abs(said[1:, y, x] - true[1:, y, x]), true[0, y, x]
        size = true[1:, y, x].mean() if decoder == "stardist" else true[3, y, x]
        much = middle if decoder == "stardist" else 1.0
        total += much * (error.mean() if decoder == "stardist" else error.sum()) / max(size, 1)
        weight += much
    known = drawn[0] >= 0
    entropy = np.logaddexp(0, said[0]) - true[0] * said[0]
    assert found == pytest.approx(entropy[known].mean() + total / weight, rel=1e-5)


def test_a_last_layer_is_taken_over_only_with_its_decoder(worlds: dict[str, Manifest], tmp_path: Path) -> None:
    task, rows = find_task("instances"), worlds["labels"]
    plan = planned(Facts.of(rows), task, network=SMALL, tile=64, steps=1, validations=1, decoder="flows")
    first = train(rows, task, into=tmp_path / "first", plan=plan)
    assert continued(first.card.plan, task)["decoder"] == "flows"
    assert "decoder" not in continued(plan, TASKS["classify"])
    for decoder in ("flows", "hover"):  # both have three maps
        still = plan.but(decoder=decoder, rate=1e-12, average=0.0)
        again = train(rows, task, into=tmp_path / decoder, plan=still, start=first)
        old, new = (bundle.members[0].nets["net"].state_dict() for bundle in (first, again))  # type: ignore[attr-defined]
        learned = {name for name, _ in first.members[0].nets["net"].named_parameters()}  # type: ignore[attr-defined]
        same = {name for name in learned if torch.allclose(old[name], new[name], atol=1e-6)}
        last = {name for name in learned if not name.startswith("body.")}
        assert learned - last <= same
        assert last and last <= same if decoder == "flows" else not last <= same


def test_masks_that_do_not_fit_are_refused(worlds: dict[str, Manifest], tmp_path: Path) -> None:
    rows = worlds["labels"]
    tifffile.imwrite(tmp_path / "small.tif", np.ones((9, 9), np.uint8))
    table = rows.table.assign(truth=str(tmp_path / "small.tif"))
    plan = planned(Facts.of(rows), find_task("instances"), network=SMALL, tile=64, steps=1)
    with pytest.raises(ManifestError, match="the objects are of 9 x 9 pixels, their image of 128 x 128") as told:
        train(replace(rows, table=table), "instances", into=tmp_path / "run", plan=plan)
    assert told.value.where.startswith(f"row {table['id'].iloc[0]!r}: ")
    with pytest.raises(PlanError, match="more than 32 numbers"):
        many = np.arange(64 * 64, dtype=np.uint16).reshape(64, 64) % 99
        find_task("segment").prepare(Plan(channels=("a",)), [Regions(many)])
    with pytest.raises(PlanError, match="did you mean 'flows'"):
        find_task("instances").build(plan.but(decoder="flow"))
    with pytest.raises(PlanError, match="does not divide by 4"):
        Dense(SMALL, 1, (1,), 30)
    with pytest.raises(PlanError, match="gives a map"):
        Dense("resnet18", 1, (1,))


def test_images_of_several_sizes_leave_examples_of_one(tmp_path: Path) -> None:
    for name, side in (("a", 96), ("b", 40), ("c", 96), ("d", 200)):
        tifffile.imwrite(tmp_path / f"{name}.tif", np.full((side, side), side, np.uint8))
    rows = Manifest.read(tmp_path)
    plan = Plan(tile=64, halo=32, fitting="extend", channels=("grey",))
    assert [one["image"].shape for one in examples(rows, plan)] == [(1, 64, 64)] * 3
