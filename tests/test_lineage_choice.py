"""System lineage-choice: heads over tracks look forward only, and AUC is drawn against the time before the marker."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from cheap_learner import Learner

from potency import systems
from potency.systems import SYSTEMS, lineage_choice, reproduce
from potency.systems.learn import learn
from potency.systems.lineage_choice import EVERY, RIPENING, Scale, over_tracks, ripe
from potency.systems.recipe import Arm, Budget, Order
from potency.systems.sources import simulated

SMALL = Budget("quick", (Arm("tiny", {"network": "tiny"}),), passes=1, folds=3, changes={"seed": 0})
SCALE = Scale(6, 36, 10, 32, 1.3, 60, 100)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(systems.SYSTEMS, "lineage-choice", replace(SYSTEMS["lineage-choice"], budgets=(SMALL,)))
        patch.setitem(lineage_choice.SCALES, "quick", SCALE)
        into = tmp_path_factory.mktemp("lineage") / "out"
        return reproduce("lineage-choice", into=into, learn=Learner(families=("intensity", "shape")))


def test_auc_stands_against_the_time_before_the_marker(page: Path) -> None:
    found = json.loads((page.parent / "report.json").read_text("utf-8"))
    assert found["status"] == "partial" and any("movies are not tracked" in part for part in found["missing"])
    grids = {grid["title"]: grid["rows"] for grid in found["sheets"]["time"]["grids"]}
    times = [float(row[0]) for row in grids["ROC AUC (macro) at each time"]]
    assert min(times) < 0 < max(times) and np.allclose(np.mod(times, EVERY), 0)
    assert any(row[0].startswith("CNN + recurrent (GRU)") for row in grids["When each curve beats the trivial answer"])
    ripeness = {float(row[0]): float(row[1]) for row in grids["What there is to see (known)"]}
    assert all(value == 0 for end, value in ripeness.items() if end <= -RIPENING)
    assert max(ripeness.values()) > 0.9
    scene = found["scenes"]["tracks"]
    assert scene["groups"] == 6 and scene["rows"] <= 36
    assert {"frame", "causal", "trivial"} <= set(scene["baselines"])
    assert "frame" in scene["random_split"] and "prediction" not in scene["random_split"]
    assert "published" in page.read_text("utf-8") and "3 generations early" in found["published"]


def test_ripeness_is_counted_in_bins_that_end() -> None:
    table = pd.DataFrame({"before_marker": [-20.0, -13.0, -1.0, 1.0], "maturity": [0.0, 0.1, 0.9, 1.0]})
    assert ripe(table).rows == (("-18", "0.00"), ("-12", "0.10"), ("0", "0.90"), ("6", "1.00"))


def test_heads_learn_on_the_networks_of_other_rounds_and_see_no_later_frame(tmp_path: Path) -> None:
    budget = replace(SMALL, changes={"seed": 0, "batch": 16, "test_views": 1, "validations": 1})
    order = Order(tmp_path, None, budget, learn, lambda line: None)
    frames = simulated(tmp_path / "sim", order, "tracks", kind="tracks", cells=12, groups=3, wells=1, frames=4, size=16,
                       pixel_size=2.6, classes=3, hours=(0.0, 45.0))  # fmt: skip
    asked = lineage_choice.Asked({**budget.changes, "network": "tiny"}, passes=1, folds=3, holdout=False, random=False)
    place = tmp_path / "net"
    found = learn(frames, asked, place, lambda line: None)
    rows, names = over_tracks(frames.add(found.rows), place, {"prediction": "alone"}, replace(SCALE, steps=5))
    assert names["prediction@gru"] == "CNN + recurrent (GRU)"  # on embeddings, not on answers
    answered = rows.table["prediction@gru.probability.neuron"]
    assert answered.notna().all() and answered.nunique() > 12
