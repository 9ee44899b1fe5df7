"""The simulator: known truth, the same bytes for the same seed, and pictures in which the truth can be seen."""

from __future__ import annotations

import csv
import hashlib
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import tifffile
import zoo

from potency.errors import ManifestError, PlanError
from potency.simulate import World, artefact, crops, optics, simulate
from potency.simulate.cells import FATES, TRAITS, Genes, draw, rounded, traits
from potency.simulate.experiment import EXPERIMENTS
from potency.simulate.scene import LOOKS
from potency.simulate.world import wells_of

BUILDERS = {"crops": zoo.cells} | {kind: getattr(zoo, kind) for kind in EXPERIMENTS if kind != "crops"}


def fingerprint(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def read(path: Path) -> np.ndarray:
    from potency.data.readers import open_image

    return np.asarray(open_image(path)[{}])


@pytest.mark.parametrize("kind", EXPERIMENTS)
def test_every_kind_is_whole_repeatable_and_says_that_it_is_simulated(kind: str, tmp_path: Path) -> None:
    assert set(BUILDERS) == set(EXPERIMENTS), "the zoo shows every kind"
    manifest = BUILDERS[kind](tmp_path / "one")
    BUILDERS[kind](tmp_path / "two")
    BUILDERS[kind](tmp_path / "other", seed=1)
    first = fingerprint(tmp_path / "one")
    assert first == fingerprint(tmp_path / "two")
    assert first["labels.csv"] != fingerprint(tmp_path / "other")["labels.csv"]
    assert "SIMULATED" in (tmp_path / "one/README.txt").read_text("utf-8")
    parameters = json.loads((tmp_path / "one/parameters.json").read_text("utf-8"))
    assert parameters["simulated"] is True and parameters["kind"] == kind and parameters["seed"] == 0
    assert manifest.table["simulated"].all() and manifest.groups_known
    assert not manifest.check().faults
    for table in (tmp_path / "one").glob("*.csv"):
        assert all(row["simulated"] == "True" for row in rows(table)), table.name
    for row in rows(tmp_path / "one/labels.csv"):
        for column in {"file", "mask", "nuclei", "evidence"} & row.keys():
            assert (tmp_path / "one" / row[column]).is_file()


def test_crops_have_their_cell_in_the_middle_and_their_evidence_on_it(tmp_path: Path) -> None:
    zoo.cells(tmp_path / "set", classes=4, size=64, pixel_size=0.65)
    table = rows(tmp_path / "set/labels.csv")
    assert Counter(row["group"] for row in table) == dict.fromkeys({row["group"] for row in table}, 8)
    assert {row["label"] for row in table} == set(FATES)
    for row in table:
        picture, mask, evidence = (read(tmp_path / "set" / row[name]) for name in ("file", "mask", "evidence"))
        assert picture.shape == mask.shape == evidence.shape == (64, 64)
        assert picture.dtype == np.uint16 and mask.dtype == np.uint16 and set(np.unique(mask)) <= {0, 1}
        assert mask[28:36, 28:36].mean() > 0.5
        assert not evidence[mask == 0].any(), "evidence lies on the cell"
        if row["label"] == "stem" or float(row["maturity"]) > 0.9:
            assert evidence.any()
        inside, outside = picture[mask == 1].std(), np.median(np.abs(np.diff(picture[mask == 0].astype(float))))
        assert inside > outside, "a cell can be seen"


def test_fates_emerge_with_time() -> None:
    """Young cells of all fates look alike; old ones do not: measured on the drawn cells, without any microscope."""
    fate = np.repeat(np.arange(4), 40)
    genes, none = Genes.of(np.random.default_rng(0), 160), np.zeros((160, len(TRAITS)), np.float32)

    def apart(maturity: float) -> tuple[float, float]:
        ripe = np.full(160, maturity, np.float32)
        made = draw(genes, traits(genes, fate, ripe, none), fate, ripe, 96, 0.65)
        areas = made.mask.sum((1, 2)).reshape(4, 40).mean(1)
        return float(np.ptp(areas) / areas.mean()), float(made.evidence[fate > 0].mean())

    young, old = apart(0.0), apart(1.0)
    assert young[0] < 0.2 < 0.5 < old[0]
    assert young[1] == 0 < old[1]


def test_time_decides_how_mature_a_cell_is_and_that_number_can_be_the_truth(tmp_path: Path) -> None:
    early, late = (zoo.ages(tmp_path / str(hour), hours=(hour, hour)) for hour in (10, 120))
    assert early.kinds["truth"] == "number"
    assert early.table["truth"].mean() < 0.15 and late.table["truth"].mean() > 0.9


def test_a_shortcut_agrees_with_the_label_as_often_as_it_is_told(tmp_path: Path) -> None:
    chosen = artefact.choose(np.random.default_rng(0), np.repeat(np.arange(4), 1000), 4, 0.8)
    assert abs((chosen == np.repeat(np.arange(4), 1000)).mean() - 0.8) < 0.03
    sure = rows(zoo.cells(tmp_path / "sure", shortcut=1.0).folder / "labels.csv")
    assert {(row["label"], row["artefact"]) for row in sure} == {("stem", "vignette"), ("neuron", "ring")}
    for row in sure[:6]:
        planted = read(tmp_path / "sure" / row["shortcut"])
        assert 0.005 < (planted > 0).mean() < 0.3
    assert "artefact" not in rows(zoo.cells(tmp_path / "none").folder / "labels.csv")[0]


def test_a_shortcut_changes_only_its_own_pixels() -> None:
    plain, planted = zoo.arrays(8, look="brightfield")[0], zoo.arrays(8, look="brightfield", shortcut=1.0)[0]
    world = World.of({**zoo.EASY, "look": "brightfield", "cells": 8, "groups": 2, "wells": 1, "shortcut": 1.0})
    wells = wells_of(world)
    mask = next(crops.render(world, wells, crops.cast(world, wells, np.random.default_rng([0, 2])))).shortcut
    assert mask is not None
    # Beyond the mask the artefact fades to nothing: at most a quarter of its strength.
    change = np.abs(planted[:, 0] / plain[:, 0] - 1)
    assert change[mask].mean() > 4 * change[~mask].mean()


def test_groups_differ_and_batch_is_the_knob() -> None:
    """A random split flatters because clones differ in light and in their mixture of fates, unless `batch` is 0."""
    spread = {}
    for batch in (0.0, 1.0):
        wells = wells_of(World(groups=12, batch=batch))
        spread[batch] = np.log(wells.gain).std(), wells.taste.std(0).mean(), wells.focus.std()
    assert spread[0.0] == pytest.approx((0, 0, 0), abs=1e-6)
    assert min(spread[1.0]) > 0.04


@pytest.mark.parametrize("look", LOOKS)
def test_every_look_has_its_channels(look: str, tmp_path: Path) -> None:
    manifest = zoo.cells(tmp_path / "set", look=look, cells=4, groups=2)
    image = manifest.open(manifest.table.iloc[0])
    assert image.crop().shape == (len(LOOKS[look]), 32, 32)
    picture = next(iter(zoo.field(look=look).field.pictures.values()))
    assert picture.dtype == np.uint16 and picture.std() > 0


def ball(focus: float, thickness: float = 3.0) -> tuple[np.ndarray, optics.Setting]:
    y, x = np.mgrid[-40:40, -40:40] * 0.65
    path = (thickness * np.sqrt(np.maximum(0, 1 - (y**2 + x**2) / 64)))[None].astype(np.float32)
    one = np.ones(1, np.float32)
    return path, optics.Setting(one * focus, one, one, one, np.zeros((1, 5), np.float32), one * 1e9, np.ones((1, 4)))


def test_brightfield_inverts_through_focus_and_vanishes_in_it() -> None:
    middle, rim = (slice(36, 44), slice(36, 44)), (slice(39, 41), slice(53, 56))
    above, below, focused = (optics.brightfield(*ball(z), 0.65)[0] for z in (16.0, -16.0, 0.0))
    assert above[middle].mean() > 1 > above[rim].mean()
    assert below[middle].mean() < 1 < below[rim].mean()
    assert np.abs(focused - 1).mean() < 0.3 * np.abs(above - 1).mean()


def test_phase_contrast_has_a_halo_shade_off_and_bright_round_cells() -> None:
    path, setting = ball(0.0, 0.8)
    thin = optics.phase_contrast(path, setting, 0.65)[0]
    assert thin[39:41, 54:58].mean() > 1.02, "a bright halo outside"
    assert thin[39:41, 45:50].mean() < 0.9, "a dark cell inside"
    flat = (np.hypot(*np.mgrid[-40:40, -40:40]) < 30)[None].astype(np.float32) * 0.8
    shaded = optics.phase_contrast(flat, setting, 0.65)[0]
    assert shaded[38:42, 38:42].mean() > shaded[38:42, 64:67].mean() + 0.05, "a flat cell fades towards its middle"
    thick = optics.phase_contrast(*ball(0.0, 4.5), 0.65)[0]
    assert thick.max() > thin.max(), "a round cell turns bright"


def test_fluorescence_keeps_light_and_blurs_out_of_focus() -> None:
    path, sharp = ball(0.0)
    near, far = (optics.fluorescence(path, ball(z)[1], 0.65)[0] for z in (0.0, 20.0))
    assert near.sum() == pytest.approx(path.sum(), rel=0.05) and far.sum() == pytest.approx(path.sum(), rel=0.05)
    assert far.max() < 0.9 * near.max()


def test_stains_mark_their_own_fate() -> None:
    pictures, fate, mask = zoo.arrays(200, classes=4, look="fluorescence", size=64, pixel_size=0.65, batch=0.0)
    light = (pictures.astype(float) * mask[:, None]).sum((2, 3)) / mask.sum((1, 2))[:, None]
    for number, channel in ((1, 1), (2, 2), (3, 3)):
        own, others = light[fate == number, channel], light[fate != number, channel]
        assert np.median(own) > 1.5 * np.median(others), LOOKS["fluorescence"][channel]


def test_movies_obey_the_rules_of_the_cell_tracking_challenge(tmp_path: Path) -> None:
    folder = zoo.movie(tmp_path / "set", cells=10, field=256, frames=12, hours=(30.0, 60.0)).folder
    table = [tuple(map(int, line.split())) for line in (folder / "01_GT/TRA/man_track.txt").read_text().splitlines()]
    life = {track: (begin, end, parent) for track, begin, end, parent in table}
    assert len(life) == len(table) > 10, "cells divided"
    seen: dict[int, list[int]] = {}
    for frame in range(12):
        mask = tifffile.imread(folder / f"01_GT/TRA/man_track{frame:03d}.tif")
        for track in np.unique(mask[mask > 0]):
            seen.setdefault(int(track), []).append(frame)
    assert seen == {track: list(range(begin, end + 1)) for track, (begin, end, _) in life.items()}
    endings = {int(row["track"]): row["ending"] for row in rows(folder / "lineage.csv")}
    children = Counter(parent for _, _, parent in life.values() if parent)
    for parent, number in children.items():
        assert number == 2 and endings[parent] == "divides"
    assert all(end == 11 for track, (_, end, _) in life.items() if endings[track] == "stays")
    for begin, _, parent in life.values():
        assert not parent or life[parent][1] == begin - 1
    places: dict[str, list[tuple[float, float]]] = {}
    for row in rows(folder / "cells.csv"):
        places.setdefault(row["track"], []).append((float(row["y"]), float(row["x"])))
    steps = [np.hypot(*np.diff(np.array(path), axis=0).T) for path in places.values() if len(path) > 1]
    assert 1 < np.median(np.concatenate(steps)) < 60, "cells move, and not by more than their own length"


def test_wells_are_efficient_where_many_cells_become_neurons(tmp_path: Path) -> None:
    folder = zoo.wells(tmp_path / "set", cells=480).folder
    share: dict[str, list[bool]] = {}
    for cell in rows(folder / "cells.csv"):
        share.setdefault(cell["file"], []).append(cell["label"] == "neuron")
    table = rows(folder / "labels.csv")
    assert {row["label"] for row in table} == {"efficient", "inefficient"}
    assert all((float(row["efficiency"]) > 0.5) == (row["label"] == "efficient") for row in table)
    pairs = [(np.mean(share[row["file"]]), float(row["efficiency"])) for row in table]
    assert np.corrcoef(np.array(pairs).T)[0, 1] > 0.8


def test_cells_round_up() -> None:
    genes, none = Genes.of(np.random.default_rng(0), 16), np.zeros((16, len(TRAITS)), np.float32)
    fate, ripe = np.zeros(16, np.int64), np.zeros(16, np.float32)
    spread = traits(genes, fate, ripe, none)
    flat, ball = (draw(genes, rounded(spread, np.full(16, a, np.float32)), fate, ripe, 64, 0.65) for a in (0.0, 1.0))
    assert ball.mask.sum() < flat.mask.sum() and ball.phase.max((1, 2)).mean() > 1.5 * flat.phase.max((1, 2)).mean()
    assert ball.processes.max() < 0.05


def test_wrong_settings_are_all_named_at_once(tmp_path: Path) -> None:
    with pytest.raises(PlanError) as caught:
        simulate(tmp_path / "set", look="brightfeild", classes=9, shortcut=2, size=63, hours=(5, 1), cells="many")
    for part in ("did you mean 'brightfield'?", "classes is 9", "shortcut is 2", "must be even", "hours are", "'many'"):
        assert part in str(caught.value)
    with pytest.raises(PlanError, match="unknown setting 'cell', did you mean 'cells'?"):
        simulate(tmp_path / "set", cell=3)
    with pytest.raises(PlanError, match="no simulated experiment 'crop'"):
        simulate(tmp_path / "set", kind="crop")
    with pytest.raises(PlanError, match="no label that a shortcut could agree with"):
        zoo.movie(tmp_path / "set", shortcut=0.9)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_with_something_in_it_is_refused(tmp_path: Path) -> None:
    (tmp_path / "note.txt").touch()
    with pytest.raises(ManifestError, match="not empty"):
        zoo.cells(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["note.txt"]


def test_what_is_cut_short_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An interruption or a full disk half-way: no folder, not even a hidden one; an empty folder stays empty."""
    (tmp_path / "set").mkdir()

    def stop(*_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        simulate(tmp_path / "set", cells=4, groups=2, progress=stop)

    def full(path: Path, pixels: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("potency.simulate.experiment.png", full)
    with pytest.raises(ManifestError, match="No space left on device"):
        simulate(tmp_path / "set", cells=4, groups=2)
    assert [path.name for path in tmp_path.iterdir()] == ["set"] and list((tmp_path / "set").iterdir()) == []


def test_progress_is_told_to_its_end(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    simulate(tmp_path / "set", cells=70, groups=4, size=16, progress=lambda *now: told.append(now))
    assert told == [(64, 70), (70, 70)]


def test_the_simulator_needs_no_torch() -> None:
    heavy = "{'torch', 'matplotlib', 'cv2', 'numba'}"
    code = f"import sys, potency.simulate.experiment; assert not {heavy} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
