"""System xresnet-count: five ways to count join in one table, draws as published, transfer by what is at hand."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from potency import systems
from potency.data.manifest import Manifest
from potency.data.plan import Facts
from potency.errors import ManifestError
from potency.learning.planning import planned
from potency.learning.truths import truths
from potency.systems import SYSTEMS, counted, reproduce, xresnet_count
from potency.systems.counted import BLOOD, CELLS, drawn, views
from potency.systems.recipe import Asked, Budget, Learned
from potency.systems.xresnet_count import AREA, CENTRES, DENSITY, FOREST, SCRATCH, TRANSFER
from potency.tasks import task_for

SMALL = Budget("quick", xresnet_count.arms(2, 2), rows=20, cells=60)
# What each way answers in place of a network: the truth times so much. Its mean relative error is then known.
OFF = {TRANSFER: 1.1, SCRATCH: 1.2, FOREST: 1.5, AREA: 1.4, DENSITY: 1.01, CENTRES: 0.5}


class Liar:
    """Stands for the protocol: test rows are answered in the way of their task, by the true number times a factor."""

    def __init__(self) -> None:
        self.seen: list[tuple[Manifest, Asked]] = []

    def __call__(self, manifest: Manifest, asked: Asked, into: Path, say: object) -> Learned:
        self.seen.append((manifest, asked))
        tested = manifest.of("test") if "split" in manifest.table else manifest
        task = task_for(manifest.kinds["truth"])
        true = [getattr(one, "count", None) for one in truths(tested, task)]
        true = true if task.answer.in_files else tested.table["truth"].tolist()
        name = next((name for name in OFF if name in asked.title), TRANSFER)
        counts = np.array(true, float) * OFF[name]
        rows = pd.DataFrame({"id": tested.table["id"]})
        if task.answer.in_files:
            rows = rows.assign(**{"prediction": "a.tif", "prediction.count": counts})
        else:
            rows = rows.assign(prediction=counts)
        if asked.baselines:
            rows = rows.assign(**{"prediction@trivial": 7.0, "prediction@trivial-random": 0.0})
        return Learned(rows, {"split_kind": "own", "split": "a split", "plan": {}, "fingerprint": "f" * 64})


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Liar]:
    liar = Liar()
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("POTENCY_DATA", raising=False)
        patch.setattr("potency.networks.weights.fetched", lambda backbone: False)
        patch.setattr(counted, "CLONES", 5)
        patch.setitem(systems.SYSTEMS, "xresnet-count", replace(SYSTEMS["xresnet-count"], budgets=(SMALL,)))
        page = reproduce("xresnet-count", into=tmp_path_factory.mktemp("counts") / "out", learn=liar)
    return page, liar


def test_every_way_stands_in_one_table_beside_what_was_published(done: tuple[Path, Liar]) -> None:
    found = json.loads((done[0].parent / "report.json").read_text("utf-8"))
    scene = found["scenes"]["simulated-fields"]
    assert scene["simulated"] and scene["title"].startswith("Simulated")
    (grid,) = scene["grids"]
    rows = {row[0]: dict(zip(grid["head"], row, strict=True)) for row in grid["rows"]}
    assert set(rows) == {*OFF, xresnet_count.MEAN, "trivial"}
    assert [rows[name]["published error ± sd"] for name in (TRANSFER, SCRATCH, FOREST)] == [
        "12 ± 15", "32 ± 33", "41 ± 37"
    ]  # fmt: skip
    truth = pd.read_parquet(done[0].parent / "simulated-fields/rows.parquet")["truth"]
    for name, factor in OFF.items():  # no row of another way or another image was taken
        off = (truth * (factor - 1)).abs()
        assert rows[name]["error ± sd"] == f"{off.mean():.1f} ± {off.std():.1f}"
        assert float(rows[name]["MAE"].partition(" ")[0]) == pytest.approx(off.mean(), rel=0.1)
    text = done[0].read_text("utf-8")
    assert "SIMULATED: a program drew these images" in text and "No real images were used" in text


def test_the_first_way_goes_on_from_other_simulated_images_and_says_so(done: tuple[Path, Liar]) -> None:
    before, *others = done[1].seen
    assert "fluorescence" in str(before[0].folder) and before[0].kinds["truth"] == "number"
    assert [bool(asked.start) for _, asked in others] == [True, *[False] * 5]
    assert [manifest.kinds["truth"] for manifest, _ in others] == [*["number"] * 4, "density", "objects"]
    assert all(not asked.random for _, asked in done[1].seen) and others[0][1].baselines == ("trivial",)
    (words,) = json.loads((done[0].parent / "report.json").read_text("utf-8"))["findings"]
    assert "no ImageNet weights" in words and "simulated here" in words


def test_weights_that_can_be_fetched_are_what_transfer_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from potency.systems.recipe import Order

    monkeypatch.setattr("potency.networks.weights._hub", lambda backbone: {"stem": np.zeros(1)})
    first, words = xresnet_count.begun(Order(tmp_path, None, SMALL, Liar(), print))
    assert (first.changes["weights"], first.start, words) == ("imagenet", "", "ImageNet weights")


def test_a_plain_number_is_learned_by_the_ways_that_need_no_places() -> None:
    table = pd.DataFrame({"image": ["a.png", "b.png", "c.png", "d.png"], "truth": ["3", "4", "3", "4"]})
    rows = Manifest.of_rows(table)
    assert rows.kinds["truth"] == "category" and list(views(rows)) == ["number"]
    assert views(rows)["number"].table["truth"].tolist() == [3.0, 4.0, 3.0, 4.0]
    with pytest.raises(ManifestError, match="a count is no number"):
        views(Manifest.of_rows(table.assign(truth=["few", "many", "few", "many"])))


def test_what_the_sets_ask_for_fits_the_networks() -> None:
    facts = Facts(200, ("0",), 256, None, {"0": (0.0, 255.0)})
    for shapes in counted.SHAPES.values():
        for arm in xresnet_count.DEFAULT.arms:
            kind = xresnet_count.WAYS[arm.name]
            changes = {**xresnet_count.DEFAULT.changes, **arm.changes, **shapes.get(kind, {})}
            plan = planned(facts, task_for(kind), **changes)
            if plan.learner == "gradient":
                with torch.device("meta"):
                    task_for(kind).build(plan)


def test_draws_are_as_published() -> None:
    table = pd.DataFrame({"image": [f"train/images/cells_{k:03d}.png" for k in range(1, 201)], "truth": 1.5})
    rows = Manifest.of_rows(table)
    first, second = (drawn(rows, draw) for draw in (0, 1))
    for one in (first, second):
        numbers = one.table["image"].str[-7:-4].astype(int)
        assert set(numbers[one.table["split"].eq("test")]) == set(range(101, 201))
        known = numbers[one.table["split"].eq("train")]
        assert len(known) == known.nunique() == 50 and known.max() <= 100
    learned = [set(one.of("train").table["image"]) for one in (first, second)]
    assert learned[0] != learned[1] and set(drawn(rows, 0).of("train").table["image"]) == learned[0]


def test_the_real_sets_hold_the_counts_that_are_said(real_images: Path) -> None:
    cells = Manifest.read(real_images / CELLS.folder)
    cells = cells.where(np.arange(len(cells)) % 40 == 0)
    listed = pd.read_csv(real_images / CELLS.folder / "manifest.csv").set_index("name")["count"]
    made = views(cells)
    assert list(made) == ["number", "density", "objects"]
    names = made["number"].table["image"].str.extract(r"(\w+)\.\w+$")[0]
    assert made["number"].table["truth"].tolist() == listed[names].tolist()
    blood = Manifest.read(real_images / BLOOD.folder / "boxes.csv")
    assert {"train", "validation", "test"} == set(blood.table["split"])
    some = views(blood.where(np.arange(len(blood)) < 5))["number"].table
    boxes = pd.read_csv(real_images / BLOOD.folder / "boxes.csv").groupby("image").size()
    assert some["truth"].tolist() == boxes[some["image"].str.extract(r"([^/]+)$")[0]].tolist()
