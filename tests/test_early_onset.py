"""System early-onset: accuracy against time since induction, and the time found beside the known onset."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from potency import systems
from potency.data.manifest import Manifest
from potency.systems import SYSTEMS, early_onset, reproduce
from potency.systems.early_onset import ONSET, Scale, known
from potency.systems.recipe import Arm, Asked, Budget, Learned
from potency.timing import early

ARMS = (Arm("tiny", {"network": "tiny"}), Arm("plain", {"network": "plain"}))
SMALL = Budget("quick", ARMS, passes=1, folds=3, changes={"seed": 0})


class Knowing:
    """Answers by what the simulator knows: right where a cell has begun to change, else at random."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []

    def __call__(self, manifest: Manifest, asked: Asked, into: Path, say: object) -> Learned:
        self.asked.append(asked)
        table, rng = manifest.table, np.random.default_rng(len(self.asked))
        sure = table["time"].to_numpy() > 1.5
        truth = table["truth"].eq("induced").to_numpy().astype(float)
        score = np.where(sure, np.where(truth == 1, 0.9, 0.1), rng.random(len(table)))
        rows = table[["id"]].copy()
        for column in ("prediction", *(["prediction@random"] if asked.random else [])):
            rows[column] = np.where(score > 0.5, "induced", "control")
            rows[f"{column}.probability.induced"], rows[f"{column}.probability.control"] = score, 1 - score
        for name in asked.baselines:
            rows[f"prediction@{name}"] = "control"
            rows[f"prediction@{name}.probability.induced"], rows[f"prediction@{name}.probability.control"] = 0.4, 0.6
        return Learned(rows, {"split": "by experiment", "split_kind": "stratified", "plan": {"seed": 0}})


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Knowing]:
    learner = Knowing()
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(systems.SYSTEMS, "early-onset", replace(SYSTEMS["early-onset"], budgets=(SMALL,)))
        patch.setitem(early_onset.SCALES, "quick", Scale(8, 4, 6, 5, 64, 1.3, 200))
        return reproduce("early-onset", into=tmp_path_factory.mktemp("onset") / "out", learn=learner), learner


def test_the_time_found_stands_beside_the_known_onset(page: tuple[Path, Knowing]) -> None:
    found = json.loads((page[0].parent / "report.json").read_text("utf-8"))
    grid = found["sheets"]["time"]["grids"][0]
    rows = {row[0]: row[1] for row in grid["rows"]}
    assert rows["no pixel depends on induction before (known)"] == f"{60 * ONSET:.0f}"
    assert rows["tiny: first beats guessing"] == rows["plain: first beats guessing"] == "120"
    assert rows["the first picture in which any cell has begun to change (known)"] == "60"
    assert "first beats guessing 120 min after induction" in found["findings"][0]
    assert "> 99 %" in found["findings"][0] and "known onset of these simulated cells is 20 min" in found["findings"][0]
    scene = found["scenes"]["last"]
    assert scene["metrics"]["accuracy"]["value"] == 1 and scene["rows"] == 32 and scene["groups"] == 8
    assert "published &gt; 99 %" in page[0].read_text("utf-8")


def test_every_network_is_asked_for_by_experiment_in_all_folds(page: tuple[Path, Knowing]) -> None:
    told = [(one.changes["network"], one.holdout, one.random, one.baselines) for one in page[1].asked]
    assert told == [("tiny", False, True, ("trivial",)), ("plain", False, False, ())]
    networks = [[arm.changes["network"] for arm in budget.arms] for budget in SYSTEMS["early-onset"].budgets]
    published = ["resnet50", "densenet121"]
    assert networks[1:] == [[*published, "tiny"], published]


def test_a_curve_that_never_beats_the_trivial_answer_says_never() -> None:
    rng = np.random.default_rng(0)
    rows = [(f"e{w // 4}", f"w{w}", t, ("control", "induced")[w % 2], ("control", "induced")[int(rng.integers(2))])
            for w in range(48) for t in (0.0, 1.0, 2.0)]  # fmt: skip
    table = pd.DataFrame(rows, columns=["group", "well", "time", "truth", "prediction"])
    table["changed"], table["shows"], table["cells"] = (table["time"] > 0) * 5, (table["time"] > 1) * 5, 10
    grid = known(early(table, score="accuracy", chance=(200, 0)), table)
    assert [row[1] for row in grid.rows] == ["20", "never", "never", "60"]
    assert grid.rows[-1][2:] == ("50%", "0%") and "every 60 min" in grid.note
