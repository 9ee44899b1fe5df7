"""System live-dead: labels from a stain, empty patches, two test sets, and scores that go with the fluorescence."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile
import zoo
from cheap_learner import Learner

from potency import systems
from potency.data.manifest import Manifest
from potency.errors import ManifestError
from potency.simulate import simulate
from potency.systems import SYSTEMS, live_dead, reproduce
from potency.systems.empty import emptiness, grid, pixels, shares
from potency.systems.recipe import Arm, Budget, Order

SMALL = Budget(
    "quick", (Arm("SqueezeNet", {"network": "squeezenet"}), Arm("ResNet", {"network": "resnet18"})), rows=120,
    cells=480, passes=1, changes={"seed": 0},
)  # fmt: skip


@pytest.fixture(scope="module")
def fields(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    return simulate(tmp_path_factory.mktemp("via") / "set", kind="viability", cells=90, groups=10, wells=1, field=256)


def test_labels_come_from_the_learning_rows_alone(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for number in range(24):
        plane = rng.normal(100, 2, (32, 32))
        if number % 2:
            plane[8:16, 8:16] += 400
        tifffile.imwrite(tmp_path / f"{number}.tif", plane.astype(np.uint16))
    names = [f"{number}.tif" for number in range(24)]
    rows = Manifest.of_rows(pd.DataFrame({"image": names, "stain": names, "group": names}), tmp_path)
    learned = np.arange(24) < 16
    made, threshold = live_dead.labelled(rows, learned)
    assert made.table["truth"].tolist() == ["live", "dead"] * 12
    assert 0 < threshold < 25 and made.table["stained"][1] == pytest.approx(25, abs=1.5)
    odd = made.table["stained"].to_numpy().copy()
    odd[~learned] = 1e6  # whatever a test row holds moves no threshold
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(live_dead, "stained", lambda rows: odd)
        assert live_dead.labelled(rows, learned)[1] == threshold
    with pytest.raises(ManifestError, match="tells no two classes apart"), pytest.MonkeyPatch.context() as patch:
        patch.setattr(live_dead, "stained", lambda rows: np.ones(24))
        live_dead.labelled(rows, learned)


def test_whole_groups_are_tested(fields: Manifest) -> None:
    made = live_dead.dealt(fields).table
    sides = made.groupby("group")["split"].nunique()
    assert (sides == 1).all() and made[made["split"] == "test"]["group"].nunique() == 3
    with pytest.raises(ManifestError, match="at least three groups"):
        live_dead.dealt(fields.where(fields.table["group"].isin(sorted(set(fields.table["group"]))[:2])))


def test_empty_patches_are_found_without_a_label(fields: Manifest) -> None:
    patches = fields.explode(grid(64))
    found, share = emptiness(pixels(patches), np.arange(len(patches)) % 3 > 0), shares(patches, "mask")
    empty, full = share == 0, share > 0.08
    assert empty.sum() > 20 and full.sum() > 10
    assert found.empty[empty].mean() > 0.8 and found.empty[full].mean() < 0.2
    assert found.parted[empty].mean() > found.parted[full].mean() + 0.5
    assert found.seen.shape == (len(patches), 11)


def test_the_stain_marks_the_dead(fields: Manifest) -> None:
    rows = fields.explode(grid(64))
    dead = shares(rows, "evidence") > 0.02
    made, _ = live_dead.labelled(rows, np.ones(len(rows), np.bool_))
    said = made.table["truth"].eq("dead").to_numpy()
    assert said[dead].mean() > 0.75 and said[shares(rows, "evidence") == 0].mean() < 0.1


def test_the_page_has_two_test_sets_and_their_correlations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("POTENCY_DATA", raising=False)
    monkeypatch.setitem(systems.SYSTEMS, "live-dead", replace(SYSTEMS["live-dead"], budgets=(SMALL,)))
    learner = Learner(families=("intensity",))
    page = reproduce("live-dead", into=tmp_path / "out", learn=learner)
    found = json.loads((tmp_path / "out" / "report.json").read_text("utf-8"))
    assert list(found["scenes"]) == ["simulated-empties", "simulated-none", "simulated-drug"]
    for name in ("simulated-none", "simulated-drug"):
        scene = found["scenes"][name]
        assert scene["simulated"] and scene["metrics"]["balanced_accuracy"]["low"] is not None
        held = next(grid for grid in scene["grids"] if grid["title"] == "Mean score against mean fluorescence")
        assert [row[0] for row in held["rows"]] == ["SqueezeNet", "ResNet"] and "[" in held["rows"][0][1]
    assert found["scenes"]["simulated-drug"]["metrics"]["balanced_accuracy"]["value"] > 0.6
    text = page.read_text("utf-8")
    assert ".866 [.851, .881]" in text and "r −.281" in text and "What the labels are worth" in text
    rows = learner.seen[0][1].table
    assert set(rows["truth"]) == {"live", "dead"} and "stain" not in learner.seen[0][1].channels


def test_a_table_without_a_stain_is_refused(tmp_path: Path) -> None:
    zoo.cells(tmp_path / "own")
    order = Order(tmp_path / "out", tmp_path / "own", SMALL, Learner(), print)
    with pytest.raises(ManifestError, match="no column holds the fluorescence(.|\n)*file, stain, group"):
        live_dead.run(order)
