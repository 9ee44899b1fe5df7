"""Worlds over time: nothing to see before the onset, more of it afterwards, debris until the wash."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import zoo

from potency.data.readers import open_image
from potency.simulate import World
from potency.simulate.course import Colony, emerged, hours_of, starts
from potency.simulate.field import compose
from potency.simulate.world import wells_of

WORLD = World(look="phase", classes=2, cells=12, groups=1, wells=1, field=96, frames=4, hours=(6.0, 66.0), wash=50.0)


def colony() -> Colony:
    return Colony.of(np.random.default_rng(0), WORLD, wells_of(WORLD), 0, np.array([0.5, 0.5]), 0.0)


def test_until_the_onset_no_pixel_knows_the_fate_and_afterwards_some_do() -> None:
    one = colony()
    other = replace(one, fate=1 - one.fate)
    for frame, hour in enumerate(hours_of(WORLD).tolist()):
        pictures = [
            compose(who.residents(frame, hour, WORLD), 96, ("phase",), 0.65)[0]["path"] for who in (one, other)
        ]
        assert np.array_equal(*pictures) == (hour <= WORLD.onset), hour


def test_no_cell_begins_before_the_onset_and_late_wells_begin_later() -> None:
    early = starts(np.random.default_rng(0), WORLD, 500, 0.0)
    late = starts(np.random.default_rng(0), WORLD, 500, 0.5)
    assert early.min() >= WORLD.onset and (late >= early).all() and late.mean() > early.mean() + 3
    ripe = np.stack([emerged(hour, early, WORLD.ripening) for hour in range(20, 120, 10)])
    assert (np.diff(ripe, axis=0) >= 0).all() and ripe[0].max() == 0 and ripe[-1].min() == 1


def test_debris_gathers_until_the_wash_takes_it() -> None:
    wide = replace(WORLD, field=256)
    one = Colony.of(np.random.default_rng(0), wide, wells_of(wide), 0, np.array([0.5, 0.5]), 0.0)
    hours = hours_of(WORLD).tolist()
    rough = [float(np.abs(one.below(hour, wide).path).sum()) for hour in hours]
    assert rough[0] < rough[1] < rough[2] and rough[3] < 0.6 * rough[0]
    never = replace(wide, wash=0.0)
    assert float(np.abs(one.below(hours[3], never).path).sum()) > rough[1]


def test_a_course_has_its_evidence_after_the_onset_and_says_when_it_was_washed(tmp_path: Path) -> None:
    table = zoo.course(tmp_path / "set", cells=72).table
    assert sorted(table["time"].astype(float).unique()) == [6.0, 26.0, 46.0, 66.0]
    before = table["time"].astype(float) <= 24
    assert (table.loc[before, "changed"] == 0).all() and (table.loc[~before, "changed"]).sum() > 0
    seen = np.array([open_image(tmp_path / "set" / path)[{}].max() > 0 for path in table["evidence"]])
    assert not seen[before].any() and seen[table["time"].astype(float) > 60].any()
    assert (table["washed"] == (table["time"].astype(float) >= 50)).all()
    assert (table.groupby(["plate", "well"])["truth"].nunique() == 1).all()


def test_half_of_each_experiment_is_induced(tmp_path: Path) -> None:
    table = zoo.induction(tmp_path / "set").table
    assert (table.groupby("group")["truth"].nunique() == 2).all()
    assert (table.loc[table["truth"] == "control", "changed"] == 0).all()
    assert table.loc[(table["truth"] == "induced") & (table["frame"] == 3), "changed"].sum() > 0


def test_a_tracked_cell_begins_after_the_onset_and_its_marker_comes_last(tmp_path: Path) -> None:
    import pandas as pd

    made = zoo.tracks(tmp_path / "set", shortcut=1.0)
    cells = pd.read_csv(tmp_path / "set/tracks.csv").set_index("track")
    assert (cells["onset"] >= 12).all() and np.allclose(cells["marker"] - cells["onset"], 15)
    assert set(cells["label"]) == {"neuron", "astrocyte"}
    assert (cells.groupby("group")["label"].nunique() == 2).all(), "every round holds both lineages"
    for name, track in made.table.groupby("track"):
        time = track["time"].astype(float).to_numpy()
        assert (np.diff(time) > 0).all() and track["truth"].nunique() == 1 == track["artefact"].nunique()
        ripe = track["maturity"].astype(float).to_numpy()
        assert ((ripe > 0) == (time > cells.loc[name, "onset"])).all()
        assert np.allclose(track["before_marker"].astype(float), time - cells.loc[name, "marker"], atol=2e-3)
        assert track["displacement"].astype(float).iloc[0] == 0 < track["displacement"].astype(float).iloc[1:].min()
