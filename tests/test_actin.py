"""System actin: transfer, scratch and enhancement on the same rows, and the answers of people beside the networks'."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import zoo
from cheap_learner import Learner

from potency import systems
from potency.evaluation.reading import code
from potency.systems import SYSTEMS, actin, reproduce
from potency.systems.recipe import Budget, Order

SMALL = Budget("quick", actin.ARMS, rows=60, cells=120, passes=1, changes={"seed": 0})


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Learner]:
    learner = Learner(families=("intensity",))
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("POTENCY_DATA", raising=False)
        patch.setitem(systems.SYSTEMS, "actin", replace(SYSTEMS["actin"], budgets=(SMALL,)))
        page = reproduce("actin", into=tmp_path_factory.mktemp("actin") / "out", learn=learner)
    return page, learner


def test_one_arm_goes_on_from_what_was_learned_before(done: tuple[Path, Learner]) -> None:
    page, learner = done
    asked = [(scene, told.start, told.random) for scene, told in learner.asked]
    begun = str(page.parent / "simulated-before" / "bundle")
    assert asked == [
        ("out", "", False), ("simulated", begun, True), ("simulated", "", True), ("simulated-enhanced", begun, True),
    ]  # fmt: skip
    before, raw, _, enhanced = (manifest for _, manifest in learner.seen)
    assert not set(before.table["id"]) & set(raw.table["id"])
    assert raw.table["id"].tolist() == enhanced.table["id"].tolist() and raw.folder != enhanced.folder


def test_the_page_tells_what_transfer_and_enhancement_change(done: tuple[Path, Learner]) -> None:
    page, _ = done
    found = json.loads((page.parent / "report.json").read_text("utf-8"))
    scene = found["scenes"]["simulated"]
    assert {"from-scratch", "another-set-first-enhanced", "forest", "trivial"} <= set(scene["baselines"])
    assert len(found["findings"]) == 2
    assert all(" in accuracy: " in line and "McNemar p" in line for line in found["findings"])
    text = page.read_text("utf-8")
    assert "Nobody has answered yet" in text and 'href="simulated-reader/reader.html"' in text
    assert "97.6 %" in text and "78.6 %" in text


def test_people_stand_beside_the_networks_when_they_have_read(
    done: tuple[Path, Learner], monkeypatch: pytest.MonkeyPatch
) -> None:
    page, learner = done
    monkeypatch.delenv("POTENCY_DATA", raising=False)
    monkeypatch.setitem(systems.SYSTEMS, "actin", replace(SYSTEMS["actin"], budgets=(SMALL,)))
    place = page.parent / "simulated-reader"
    blind = (place / "reader.html").read_text("utf-8")
    truth = learner.seen[1][1].table.set_index("id")["truth"]
    shown = {name: code(name) for name in truth.index if code(name) in blind}
    assert len(shown) == 24  # one fold of five was tested, and only that is read
    with (place / "ann.csv").open("w", newline="", encoding="utf-8") as stream:
        rows = csv.writer(stream)
        rows.writerow(["id", "answer", "seconds"])
        rows.writerows([known, truth[name] if at % 4 else "stem", 1] for at, (name, known) in enumerate(shown.items()))
    reproduce("actin", into=page.parent, learn=Learner(families=("intensity",)))
    scene = json.loads((page.parent / "report.json").read_text("utf-8"))["scenes"]["simulated"]
    wrong = sum(truth[name] != "stem" for at, name in enumerate(shown) if at % 4 == 0)
    assert scene["baselines"]["ann"]["accuracy"]["value"] == pytest.approx(1 - wrong / 24)
    assert scene["baselines"]["ann"]["accuracy"]["low"] is not None
    assert "a person (ann)" in page.read_text("utf-8")


def test_enhancement_raises_local_contrast_and_keeps_the_rows(tmp_path: Path) -> None:
    cells = zoo.cells(tmp_path / "cells", cells=12)
    made = actin.enhanced(cells, tmp_path / "better")
    assert made.table[["id", "group", "truth"]].equals(cells.table[["id", "group", "truth"]])
    dull = np.tile(np.linspace(100, 1000, 64), (64, 1)) + 4 * np.random.default_rng(0).standard_normal((64, 64))
    sharp = actin.enhance(dull[None])
    assert sharp.shape == (64, 64) and sharp.dtype == np.uint8
    before = np.std(np.diff(dull, axis=0)) / np.ptp(dull)
    assert np.std(np.diff(sharp.astype(float), axis=0)) / np.ptp(sharp) > 2 * before
    first = (made.folder / made.table["image"][0]).read_bytes()
    assert actin.enhanced(cells, tmp_path / "better").table["image"].equals(made.table["image"])
    assert (made.folder / made.table["image"][0]).read_bytes() == first


def test_weights_at_hand_become_an_arm(tmp_path: Path) -> None:
    order = Order(tmp_path, None, SMALL, Learner(), lambda line: None)
    cells = zoo.cells(tmp_path / "cells")
    problem = actin.Problem("real", "Real", "", cells, False)
    arms = actin._arms(problem, None, "/weights.safetensors", order)
    assert [arm.name for arm in arms] == [actin.ELSEWHERE, actin.SCRATCH]
    assert arms[0].changes["weights"] == "/weights.safetensors" and arms[0].changes["normalise"] == "half"
