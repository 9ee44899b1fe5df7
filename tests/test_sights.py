"""What the network of a recipe sees stands on its page: features of images it had not seen, and pictures of classes."""

from __future__ import annotations

import re
from base64 import b64decode
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from zoo import cells

from potency.evaluation.results import Interval
from potency.learning.protocol import Choices
from potency.learning.protocol import run as protocol
from potency.systems import arms, learn, nsc_fate
from potency.systems.comparison import Comparison, Scene, guessing, page
from potency.systems.recipe import Arm, Budget, Order
from potency.systems.sights import sights

ARMS = (Arm("tiny", {"network": "tiny"}), Arm("plain", {"network": "plain"}))
BUDGET = Budget("quick", ARMS, passes=1, folds=3, changes={"batch": 16, "validations": 1, "test_views": 1})


def test_a_scene_shows_what_one_network_sees_and_its_features_are_of_test_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("potency.systems.sights.STEPS", 3)
    rows = cells(tmp_path / "cells")
    order = Order(tmp_path / "out", None, BUDGET, learn.learn, lambda line: None)
    problem = arms.Problem("small", "Small", "Simulated.", rows, True)
    scene = arms.compare(problem, ARMS[:1], order, baselines=(), look="tiny").scene
    (features,), (classes,) = scene.pictures, scene.walls
    tested = int(scene.report.rows["prediction"].notna().sum())
    assert features.look.startswith(f"{tested} test images in the features of tiny") and tested < len(rows)
    assert "of the variance" in features.look and b64decode(features.source.partition(",")[2]).count(b"<svg") == 1
    assert [card.title for card in classes.cards] == ["neuron"] * 2 + ["neuron, real"] + ["stem"] * 2 + ["stem, real"]
    assert "no cell looks like this" in classes.look
    text = page(Comparison(nsc_fate.RECIPE, (scene,), ()))
    assert "What tiny answers to" in text and text.count('<div class="frame"><img src="data:image/jpeg') == 6
    ids = re.findall(r' id="([^"]+)"', text)
    assert len(ids) == len(set(ids))


def test_an_ensemble_has_no_rows_that_all_its_networks_had_not_seen(tmp_path: Path) -> None:
    from potency.data.plan import Facts, Plan
    from potency.tasks import TASKS

    rows = cells(tmp_path / "cells")
    plan = Plan.of(Facts.of(rows), steps=2, validations=1, batch=8, test_views=1)
    choices = Choices(folds=2, draws=0, baselines=(), keep_folds=True, audit=False)
    made = protocol(rows, TASKS["classify"], into=tmp_path / "out", plan=plan, choices=choices)
    assert sights(made.manifest, made.bundle, "tiny", tmp_path) == ((), ())


def test_nsc_fate_looks_into_the_small_network_or_the_cheapest() -> None:
    assert nsc_fate._looked_into(nsc_fate.DEFAULT) == "tiny (ours)"
    assert nsc_fate._looked_into(nsc_fate.QUICK) == "MobileNet (v1)"
    searched = replace(nsc_fate.QUICK, arms=(*nsc_fate.QUICK.arms, Arm("x", {"network": "tiny"}, trials=3)))
    assert nsc_fate._looked_into(searched) == "MobileNet (v1)"


def test_the_report_of_a_training_shows_what_its_network_looked_at_in_rows_it_had_not_seen(tmp_path: Path) -> None:
    from potency.data.plan import Facts, Plan
    from potency.tasks import TASKS

    rows = cells(tmp_path / "cells")
    plan = Plan.of(Facts.of(rows), steps=60, validations=1, batch=8, test_views=1, network="plain")
    choices = Choices(folds=2, draws=0, baselines=(), holdout=True, audit=False)
    made = protocol(rows, TASKS["classify"], into=tmp_path / "out", plan=plan, choices=choices)
    found = made.report.facts["explanation"]
    tested = made.manifest.table.loc[made.manifest.table["fold"].eq(0), "id"].astype(str)
    assert len(found["maps"]) == 6 and {each["id"] for each in found["maps"]} <= set(tested)
    assert {each["truth"] for each in found["maps"]} == set(rows.classes)
    text = made.page.read_text("utf-8")
    assert text.count('alt="where ') == 6 and "What it looked at" in text
    assert "6 test images by relevance" in (made.bundle / "MODEL_CARD.md").read_text("utf-8")


def test_a_network_that_hardly_learned_has_no_maps_and_a_picture_that_is_gone_is_left_out(tmp_path: Path) -> None:
    from potency.evaluation.gallery import maps
    from potency.explanation.brief import brief

    rows = cells(tmp_path / "cells")
    assert brief(rows, [], tmp_path / "nothing", tmp_path / "maps") == {}

    class Told:
        gone = {"picture": str(tmp_path / "gone.png"), "answer": "x", "truth": "x", "id": "1"}
        facts = {"explanation": {"maps": [gone]}}

    assert maps(Told()) == ()  # type: ignore[arg-type]


def test_learners_that_may_as_well_guess_are_named() -> None:
    figures = {"prediction": (0.6, 0.5, 0.7), "prediction@slow": (0.25,) * 3, "prediction@one": (0.3, None, None),
               "prediction@unsure": (0.4, 0.2, 0.5), "prediction@slow-random": (0.1, 0.1, 0.1)}  # fmt: skip
    numbers = {column: {"balanced_accuracy": Interval(*said)} for column, said in figures.items()}
    report: Any = SimpleNamespace(labels=("a", "b", "c", "d"), numbers=numbers, facts={})
    (said,) = guessing(Scene("s", "S", "", False, report))
    assert "accuracy .25): slow, unsure." in said
    report.numbers = {"prediction": numbers["prediction"]}
    assert guessing(Scene("s", "S", "", False, report)) == []
