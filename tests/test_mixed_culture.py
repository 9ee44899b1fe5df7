"""System mixed-culture: wells of known fractions, from single cells and as a whole, and intervals that are counted."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import zoo
from cheap_learner import Learner

from potency import systems
from potency.data.readers import open_image
from potency.evaluation.results import Interval
from potency.systems import SYSTEMS, mixed_culture, reproduce
from potency.systems.mixed_culture import SIDE, Well, coverage, mixtures, mosaic, parted
from potency.systems.recipe import Arm, Budget

SMALL = Budget("quick", (Arm("tiny", {"network": "tiny"}),), cells=300, passes=1, folds=3, changes={"seed": 0})


def test_wells_are_mixed_of_other_groups_in_the_shares_they_say(tmp_path: Path) -> None:
    cells = zoo.cells(tmp_path / "cells")
    side = parted(cells)
    table = cells.table
    assert side.any() and not side.all()
    assert not set(table["group"][side]) & set(table["group"][~side])
    assert set(table["truth"][side]) == set(table["truth"][~side]) == set(cells.classes)
    others = cells.where(side.tolist())
    wells = list(mixtures(others, 30, np.random.default_rng(0)))
    for well in wells:
        found = others.table["truth"].iloc[well.cells].value_counts(normalize=True)
        assert [found.get(label, 0.0) for label in cells.classes] == pytest.approx(well.own)
        assert well.culture.sum() == pytest.approx(1) and len(well.cells) == SIDE**2
    shares = np.array([well.culture[0] for well in wells])
    assert shares.min() < 0.2 and shares.max() > 0.8


def test_a_mixed_image_is_its_cells_side_by_side(tmp_path: Path) -> None:
    cells = zoo.cells(tmp_path / "cells")
    well = next(mixtures(cells, 1, np.random.default_rng(1)))
    mosaic(tmp_path / "wells" / "well.png", cells, well)
    whole = open_image(tmp_path / "wells" / "well.png").crop()[0]
    assert whole.shape == (32 * SIDE, 32 * SIDE) and whole.dtype == np.uint16
    for at in (0, 7, 8, 63):
        row = cells.records()[int(well.cells[at])]
        y, x = 32 * (at // SIDE), 32 * (at % SIDE)
        assert np.array_equal(whole[y : y + 32, x : x + 32], cells.open(row).crop()[0])


def test_coverage_is_counted() -> None:
    half, cells = np.array([0.5, 0.5]), np.arange(4)
    wells = [Well("a", half, cells, np.array([0.4, 0.6])), Well("b", np.array([0.9, 0.1]), cells, half)]
    wide, shifted = Interval(0.5, 0.3, 0.7), Interval(0.5, 0.45, 0.55)
    grid = coverage(wells, {"counted": [(wide, wide), (wide, wide)], "adjusted": [(shifted, shifted), (wide, wide)]})
    assert [row[1:3] for row in grid.rows] == [("50%", "100%"), ("50%", "50%")]
    bare = Interval(0.5)
    assert "under five groups" in coverage(wells, {"counted": [(bare, bare), (bare, bare)]}).rows[0][1]


def test_the_page_tells_fractions_both_ways(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("POTENCY_DATA", raising=False)
    monkeypatch.setitem(systems.SYSTEMS, "mixed-culture", replace(SYSTEMS["mixed-culture"], budgets=(SMALL,)))
    monkeypatch.setattr(mixed_culture, "_counts", lambda order: (12, 10))
    learner = Learner(families=("intensity",))
    page = reproduce("mixed-culture", into=tmp_path / "out", learn=learner)
    found = json.loads((tmp_path / "out" / "report.json").read_text("utf-8"))
    assert list(found["scenes"]) == ["simulated-cells", "simulated-fractions", "simulated-whole"]
    cells, fractions, whole = found["scenes"].values()
    assert cells["metrics"]["balanced_accuracy"]["value"] > 0.4
    assert fractions["groups"] == 10 and fractions["metrics"]["mae"]["low"] is not None
    assert set(fractions["baselines"]) == {"counted", "em"}
    assert len(fractions["grids"][0]["rows"]) == 3
    assert {"adjusted", "counted", "forest", "trivial"} <= set(whole["baselines"]) and whole["rows"] == 10
    sheet = found["sheets"]["simulated-wells"]
    assert len(sheet["grids"][0]["rows"]) == 10 and "true" in sheet["grids"][0]["rows"][0][1]
    text = page.read_text("utf-8")
    assert "Do the intervals hold?" in text and "EM (Saerens 2002)" in text
    scene, seen = learner.seen[-1]
    assert scene == "simulated-whole" and seen.table["split"].value_counts().to_dict() == {"train": 12, "test": 10}
