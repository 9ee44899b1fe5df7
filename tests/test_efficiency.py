"""Systems beta-efficiency and cardio-efficiency: patches to wells over time, the shortcut is caught, maps add up."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import zoo
from cheap_learner import Learner

from potency import systems
from potency.data.manifest import Manifest
from potency.errors import ManifestError
from potency.evaluation.evaluate import evaluate
from potency.systems import SYSTEMS, efficiency, reproduce
from potency.systems.efficiency import Outcome, Scale, courses, tiles
from potency.systems.efficiency_page import study, too_early
from potency.systems.learn import learn
from potency.systems.maps import spread
from potency.systems.recipe import Arm, Budget, Order
from potency.timing import early

SMALL = Budget("quick", (Arm("tiny", {"network": "tiny"}),), passes=1, folds=3, changes={"seed": 0})
SCALE = Scale(12, 2, 8, 5, 64, 1.6, 32, 6, 12, 100)


@pytest.fixture(scope="module", params=["beta-efficiency", "cardio-efficiency"])
def page(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path, Learner]:
    learner = Learner(families=("intensity",))
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("POTENCY_DATA", raising=False)
        patch.setitem(systems.SYSTEMS, request.param, replace(SYSTEMS[request.param], budgets=(SMALL,)))
        patch.setitem(efficiency.SCALES, "quick", SCALE)
        made = reproduce(request.param, into=tmp_path_factory.mktemp("out") / "out", learn=learner)
    return request.param, made, learner


def test_the_audit_catches_the_planted_shortcut_and_its_words_stand_first(page: tuple[str, Path, Learner]) -> None:
    _, path, _ = page
    found = json.loads((path.parent / "report.json").read_text("utf-8"))
    plain, planted = found["banner"][:2]
    assert "A shortcut is in the pictures" in planted and planted.startswith("Confounder audit. Planted shortcut")
    assert "shortcut is in" not in plain
    text = path.read_text("utf-8")
    assert text.index("A shortcut is in the pictures") < text.index("This recipe is <b>partial</b>")
    for column in ("artefact", "efficiency", "changed", "shows"):  # the auditor is not told what only a simulator knows
        audit = json.loads((path.parent / "planted/audit/audit.json").read_text("utf-8"))
        assert column not in {row["suspect"] for row in audit["rows"]}


def test_every_part_of_the_row_is_on_the_page(page: tuple[str, Path, Learner]) -> None:
    name, path, learner = page
    found = json.loads((path.parent / "report.json").read_text("utf-8"))
    assert list(found["scenes"]) == ["simulated-24h", "simulated-53h", "planted-24h"]
    sheets = {key: [grid["title"] for grid in sheet["grids"]] for key, sheet in found["sheets"].items()}
    assert list(sheets) == [
        *(f"simulated-{part}" for part in ("audit", "time", "patches", "controls", "maps")),
        *(f"planted-{part}" for part in ("audit", "time", "patches", "maps")),
    ]
    patches = sheets["simulated-patches"]
    assert patches == ["Ways to pool", "Single patches, normalised and not, at each time",
                       "Single patches, before and after the wash", "What a random split would have said"]  # fmt: skip
    assert "One plain number as a classifier" in sheets["simulated-controls"]
    asked = [(scene, one.changes.get("level"), one.random, one.holdout) for scene, one in learner.asked]
    assert asked == [("simulated", None, True, False), ("simulated", "patch", False, False),
                     ("planted", None, False, False)]  # fmt: skip
    text = path.read_text("utf-8")
    assert "SIMULATED: a program drew these images" in text and "our choice" in text
    scene = found["scenes"]["simulated-53h"]
    assert scene["groups"] == 12 and scene["rows"] == 24
    figure = scene["metrics"]["mae" if name == "cardio-efficiency" else "accuracy"]
    assert figure["low"] <= figure["value"] <= figure["high"]
    if name == "beta-efficiency":
        assert "published 76.7 %" in text and "published 96.7 %" in text
    else:
        assert scene["metrics"]["pearson"]["low"] is not None
    ids = [part.split('"')[0] for part in text.split(' id="')[1:]]
    assert len(ids) == len(set(ids))


def test_wells_are_their_patches_and_no_clone_is_torn(page: tuple[str, Path, Learner]) -> None:
    name, path, learner = page
    _, patches = learner.seen[0]
    assert len(patches) == 24 * 5 * 4
    rows = pd.read_parquet(path.parent / "simulated-53h" / "rows.parquet")
    assert len(rows) == 24 and rows["group"].nunique() == 12
    truth = patches.table.drop_duplicates("tile.of").set_index("tile.of")["truth"]
    assert (truth.dtype.kind == "f") == (name == "cardio-efficiency")


def test_an_answer_before_the_onset_is_called_what_it_is() -> None:
    rng = np.random.default_rng(0)
    rows = [(f"g{w // 4}", f"w{w}", t, "ab"[w % 2], "ab"[w % 2] if t > first else "ab"[int(rng.integers(2))])
            for first, t in ((0, 9.5), (0, 24.0)) for w in range(48)]  # fmt: skip
    table = pd.DataFrame(rows, columns=["group", "well", "hours", "truth", "prediction"])
    told = too_early(early(table, "hours", chance=(200, 0)))
    assert "prediction (at 9.5 h)" in told and "something else than the cells" in told
    table.loc[table["hours"] < 15, "prediction"] = "a"
    assert not too_early(early(table, "hours", chance=(200, 0)))


def test_patches_cover_an_image_evenly(tmp_path: Path) -> None:
    image = zoo.course(tmp_path / "w").open(zoo_row(tmp_path / "w"))
    for side in (96, 64, 40, 200):
        seen = np.zeros((96, 96), int)
        boxes = list(tiles(side, image))
        for y, x, high, wide in boxes:
            assert high == wide == min(side, 96)
            seen[y : y + high, x : x + wide] += 1
        assert seen.min() >= 1 and len(boxes) == max(1, -(-96 // side)) ** 2


def zoo_row(folder: Path) -> dict[str, object]:
    return Manifest.read(folder).records()[0]


def test_rows_are_spread_over_truths_and_groups() -> None:
    table = pd.DataFrame({"truth": list("ab") * 40, "group": [f"g{k // 10}" for k in range(80)]})
    chosen = table[spread(table, 16, 0)]
    assert chosen["truth"].value_counts().to_dict() == {"a": 8, "b": 8}
    assert chosen.groupby("truth")["group"].nunique().tolist() == [8, 8]
    assert len(table[spread(table, 500, 0)]) == 80
    numbers = table.assign(truth=np.arange(80.0))
    assert (numbers[spread(numbers, 10, 1)]["truth"] > 39.5).sum() == 5


def test_the_users_own_wells_are_read_or_refused_in_words(tmp_path: Path) -> None:
    order = Order(tmp_path / "out", tmp_path / "none", SMALL, Learner(), print)
    outcome = Outcome("cells", "label")
    with pytest.raises(ManifestError, match="no such folder"):
        next(courses(order, outcome))
    own = zoo.course(tmp_path / "own")
    assert next(courses(replace(order, data=tmp_path / "own"), outcome)).title == "Your wells"
    with pytest.raises(ManifestError, match="a number is foretold(.|\n)*label wells"):
        next(courses(replace(order, data=tmp_path / "own"), Outcome("cells", "efficiency")))
    table = own.table.drop(columns=["well", "time"])
    replace(own, table=table).write(tmp_path / "own" / "bare.csv")
    with pytest.raises(ManifestError, match="no column 'well' and no column 'time'"):
        next(courses(replace(order, data=tmp_path / "own" / "bare.csv"), outcome))


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, object]:
    """One planted course with real, if short, networks."""
    into = tmp_path_factory.mktemp("net")
    budget = replace(SMALL, passes=1, folds=2, changes={"seed": 0, "batch": 32, "test_views": 1, "validations": 1})
    order = Order(into, None, budget, learn, lambda line: None)
    small = Scale(6, 2, 8, 3, 64, 1.6, 32, 6, 12, 100)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(efficiency.SCALES, "quick", small)
        course = list(courses(order, Outcome("cells", "label")))[1]
        return into, study(course, Outcome("cells", "label"), order)


def test_maps_account_for_the_score_and_are_summed_over_the_artefact(networks: tuple[Path, object]) -> None:
    into, made = networks
    sheet = next(one for one in made.sheets if one.name == "planted-maps")  # type: ignore[attr-defined]
    titles = [grid.title for grid in sheet.grids]
    assert titles[0] == "Is every unit of the score accounted for?" and any("artefact" in title for title in titles)
    cells = {row[0]: row[1] for row in sheet.grids[0].rows}
    worst = [float(value) for key, value in cells.items() if key.startswith(("worst step", "image, biases"))]
    assert len(worst) == 2 and max(worst) <= 1e-3
    shares = [float(value) for key, value in cells.items() if key.startswith("of the difference")]
    assert len(shares) == 3
    assert sheet.pictures and sheet.pictures[0].source.startswith("data:image/png")
    assert {row[1] for row in sheet.grids[-1].rows} >= {"ground", "artefact"}
    maps = pd.concat([pd.read_parquet(p) for p in (into / "planted" / "maps").glob("fold-*/explanations.parquet")])
    folds = pd.read_parquet(into / "planted" / "tiny" / "predictions.parquet").set_index("id")["fold"]
    assert len(maps) == 6
    for place in (into / "planted" / "maps").glob("fold-*"):  # each by the network of the fold that left it out
        own = pd.read_parquet(place / "explanations.parquet")["id"]
        assert set(folds.loc[own]) == {int(place.name.removeprefix("fold-"))}


def test_learned_pooling_stands_beside_the_rules(networks: tuple[Path, object]) -> None:
    _, made = networks
    grid = next(one for one in made.sheets if one.name == "planted-patches").grids[0]  # type: ignore[attr-defined]
    assert [row[0] for row in grid.rows] == [
        "pooled by logodds", "pooled by mean", "pooled by vote", "pooled by noisyor", "pooled by max",
        "learned, the mean of patches", "learned, gated attention",
    ]  # fmt: skip
    assert all(cell.startswith((".", "1", "0")) for row in grid.rows for cell in row[1:])


def test_pooled_columns_are_what_evaluate_says(page: tuple[str, Path, Learner]) -> None:
    name, path, learner = page
    table = pd.read_parquet(path.parent / "simulated-53h" / "rows.parquet")
    report = json.loads((path.parent / "report.json").read_text("utf-8"))
    metric = "mae" if name == "cardio-efficiency" else "accuracy"
    again = evaluate(table).numbers["prediction"][metric].value
    assert again == pytest.approx(report["scenes"]["simulated-53h"]["metrics"][metric]["value"])
