"""System culture-qc: real and simulated sets judged on one page, growth beside counted cells, planted faults found."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
import zoo

from potency import systems
from potency.errors import ManifestError, PlanError
from potency.simulate.faulty import FAULTS, SOUND, faulty, spoil
from potency.systems import SYSTEMS, culture_qc, reproduce
from potency.systems.fields import Fields, counted, evenly, read
from potency.systems.recipe import Budget, Order

TINY = Budget("quick", (), rows=6, cells=1200)


@pytest.fixture(scope="module")
def collection(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A collection with one film whose cells become more from frame to frame."""
    root = tmp_path_factory.mktemp("collection")
    film = root / "track" / "phc_c2dh_u373"
    (film / "02").mkdir(parents=True)
    (film / "02_GT" / "TRA").mkdir(parents=True)
    for frame in range(8):
        plane = zoo.field(seed=3, field=160, cells=4 + frame).field.pictures["phase"]
        tifffile.imwrite(film / "02" / f"t{frame:03d}.tif", plane)
    lives = [f"{track} {max(0, track - 4)} 7 0" for track in range(1, 12)]
    (film / "02_GT" / "TRA" / "man_track.txt").write_text("\n".join(lives) + "\n", encoding="ascii")
    return root


def test_the_page_judges_every_set_and_finds_what_was_planted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("POTENCY_DATA", raising=False)
    monkeypatch.setitem(systems.SYSTEMS, "culture-qc", replace(SYSTEMS["culture-qc"], budgets=(TINY,)))
    monkeypatch.setattr(culture_qc, "FILMED", 12.0)
    page = reproduce("culture-qc", into=tmp_path / "out")
    text, found = page.read_text("utf-8"), json.loads((tmp_path / "out" / "report.json").read_text("utf-8"))
    assert "No real images were used: everything below is simulated" in text
    assert list(found["sheets"]) == ["simulated-growth"] and found["sheets"]["simulated-growth"]["simulated"]
    planted = found["scenes"]["planted"]
    assert planted["simulated"] and planted["metrics"]["balanced_accuracy"]["low"] is not None
    rows = {row[0]: row[2:] for row in planted["grids"][0]["rows"]}
    for fault in ("out of focus", "uneven light"):
        named, _, planted_here = rows[fault][0].partition(" of ")
        assert named == planted_here != "0"
    assert set(rows) == {*FAULTS, SOUND}
    assert (tmp_path / "out" / "simulated-growth" / "quality.csv").is_file()
    assert "No figure was published" in text and "Confluence over time" in text
    grids = {grid["title"]: grid for grid in found["sheets"]["simulated-growth"]["grids"]}
    assert len(grids["Growth"]["rows"]) == 2


def test_a_collection_is_read_set_by_set_with_growth_beside_the_cells_counted(
    collection: Path, tmp_path: Path
) -> None:
    order = Order(tmp_path, collection, TINY, lambda *_: None, lambda line: None)  # type: ignore[arg-type]
    found = list(culture_qc._real(order))
    assert len(found) == 1
    name, rows, about, tracks = found[0]
    assert len(rows) == TINY.rows and rows.table["time"].tolist() == [0, 0.25, 0.75, 1.0, 1.5, 1.75]
    sheet = culture_qc._sheet(name, rows, about, False, order, tracks)
    growth = next(grid for grid in sheet.grids if grid.title == "Growth")
    assert growth.rows[0][4] == "6" and growth.rows[0][5] != "–"
    assert (tmp_path / "phase-movie" / "quality.html").is_file()


def test_cells_are_counted_from_tracks_and_frames_are_far_apart() -> None:
    assert counted("1 0 3 0\n2 1 2 1\n\n").tolist() == [1, 2, 2, 1]
    film = Fields("film", "", "*.tif", "", 0.5)
    with pytest.raises(ManifestError, match="holds none of its images"):
        read(Path("/nonexistent"), film)


def test_evenly_spread_frames(tmp_path: Path) -> None:
    for frame in range(9):
        tifffile.imwrite(tmp_path / f"t{frame}.tif", np.zeros((8, 8), np.uint8))
    rows = read(tmp_path, Fields("film", "", "*.tif", "", 0.5))
    assert evenly(rows, 3).table["time"].tolist() == [0.0, 2.0, 4.0]
    assert len(evenly(rows, 0)) == len(evenly(rows, 20)) == 9


def test_planted_faults_are_drawn_once_and_named(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match="hold not every fault"):
        faulty(tmp_path / "few", 10)
    plane = zoo.field(seed=1, field=160, cells=8).field.pictures["phase"].astype(np.float32)
    rng = np.random.default_rng(0)
    changed = {fault: float(np.abs(spoil(plane, fault, rng) - plane).mean()) for fault in (*FAULTS, SOUND)}
    assert changed.pop(SOUND) == 0 and min(changed.values()) > 0
    with pytest.raises(PlanError, match="no fault 'scratch'"):
        spoil(plane, "scratch", rng)
