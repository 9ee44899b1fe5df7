"""The plan's `level`: a crop's own mean, or mean and deviation, taken out at one place for learning and prediction."""

from __future__ import annotations

import json
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from small_bundle import CLASSES, bundle_of, images
from zoo import cells

from potency.bundle import Bundle
from potency.data.plan import Facts, Plan
from potency.data.tiles import MIDDLE, SPREAD, exposure, scale
from potency.errors import PlanError
from potency.explanation.explain import explain
from potency.inference.engine import accelerate
from potency.inference.predict import predict
from potency.learning import gradient
from potency.learning.samples import cut
from potency.learning.train import train
from potency.tasks import TASKS, Focus

RANGES = np.array([[10, 210], [0, 50]], np.float32)


def test_a_crop_loses_its_own_mean_or_mean_and_deviation() -> None:
    crops = np.random.default_rng(0).integers(0, 255, (3, 2, 9, 7)).astype(np.uint8)
    plain, even, patch = (scale(crops, RANGES, level) for level in ("none", "mean", "patch"))
    assert plain.dtype == even.dtype == patch.dtype == np.float32
    np.testing.assert_allclose(even, plain - plain.mean((2, 3), keepdims=True) + MIDDLE, atol=1e-5)
    np.testing.assert_allclose(patch.mean((2, 3)), MIDDLE, atol=1e-6)
    np.testing.assert_allclose(patch.std((2, 3)), SPREAD, atol=1e-6)
    brighter = (crops.astype(np.float32) * np.float32(1.7) + 31).astype(np.float32)  # another lamp, another exposure
    np.testing.assert_allclose(scale(brighter, RANGES, "patch"), patch, atol=1e-5)
    assert np.abs(scale(brighter, RANGES, "mean") - even).max() > 0.1  # contrast is still seen


@pytest.mark.parametrize("level", ["mean", "patch"])
@pytest.mark.parametrize("value", [0, 7, 65535])
def test_a_flat_crop_is_even_and_never_not_a_number(level: str, value: int) -> None:
    for dtype in (np.uint16, np.float32):
        found = scale(np.full((1, 2, 33, 31), value, dtype), RANGES, level)
        np.testing.assert_allclose(found, MIDDLE, atol=1e-4)
    answer = bundle_of(level=level)([{"image": np.full((1, 16, 16), value, np.float32)}])[0]
    assert np.isfinite(answer.probability).all()  # type: ignore[attr-defined]


def test_learning_and_prediction_see_the_same_values(tmp_path: Path) -> None:
    rows = cells(tmp_path / "images")
    plan = Plan.of(Facts.of(rows), task="classify", level="patch", tile=40, augment={"flip": 0.0}, batch=8)
    samples = cut(rows, plan, tmp_path / "cache")
    task = TASKS["classify"]
    targets = [task.encode(task.answer.of_cells({"": row["truth"]}, Path()), plan) for row in rows.records()]
    lesson = gradient.Lesson(samples, np.arange(len(rows)), targets)
    learned = torch.stack([v["image"] for v in gradient.views(task, plan, lesson, np.arange(8), 0)])
    member = bundle_of(**{n: getattr(plan, n) for n in ("level", "tile", "channels", "scaling")}).members[0]
    predicted = member.crops([{"image": rows.open(row).crop()} for row in rows.records()[:8]])  # type: ignore[attr-defined]
    np.testing.assert_allclose(learned.numpy(), predicted, atol=1e-6)  # augmentation lays padding anew, in float32
    assert abs(predicted.std((2, 3)) - SPREAD).max() < 1e-5


@pytest.mark.parametrize("level", ["mean", "patch"])
def test_the_level_stands_in_the_bundle_and_every_engine_obeys_it(level: str, tmp_path: Path) -> None:
    rows = images(tmp_path / "images", [(16, 16)] * 12)
    bundle = bundle_of(level=level)
    some = [{"image": rows.open(row).crop()} for row in rows.records()]
    bundle = replace(bundle, examples=some[:4], calibration=some).save(tmp_path / "bundle")
    back = Bundle.load(tmp_path / "bundle")
    assert back.card.plan.level == level and back.members[0].plan.level == level
    plain = np.array([answer.probability for answer in back(some)])  # type: ignore[attr-defined]
    dimmer = [{"image": sample["image"].astype(np.float32) - 9} for sample in some]
    for precision, off in [("float32", 1e-3), *([("int8", 0.2)] if find_spec("nncf") else [])]:
        fast = accelerate(back, precision=precision)
        for asked in (some, dimmer):  # the lamp changes nothing
            told = np.array([answer.probability for answer in fast(asked)])  # type: ignore[attr-defined]
            np.testing.assert_allclose(told, plain, atol=off)
    table = predict(rows, back, into=None, precision="float32").table
    np.testing.assert_allclose(table[f"prediction.probability.{CLASSES[0]}"], plain[:, 0], atol=1e-3)
    told = explain(rows.where([True, *[False] * 11]), back, into=tmp_path / "why", checks=False, focus=Focus("logit"))
    label = str(told.table["explanation.label"][0])
    with torch.no_grad():
        member = back.members[0]
        logit = TASKS["classify"].forward(member.nets, {"image": torch.from_numpy(member.crops(some[:1]))})["output"]  # type: ignore[attr-defined]
    assert float(told.table["explanation.score"][0]) == pytest.approx(float(logit[0, CLASSES.index(label)]), abs=1e-3)


def test_a_bundle_and_a_plan_from_before_have_no_level(tmp_path: Path) -> None:
    bundle_of().save(tmp_path / "old")
    card = json.loads((tmp_path / "old" / "card.json").read_text())
    assert card["members"][0]["plan"].pop("level") == "none"
    (tmp_path / "old" / "card.json").write_text(json.dumps(card))
    assert Bundle.load(tmp_path / "old").card.plan.level == "none"
    assert Plan.read({"tile": [16, 16]}).level == "none"


def test_an_unknown_level_is_refused() -> None:
    with pytest.raises(PlanError, match="impossible values: level = 'pach'"):
        Plan().but(level="pach")


def test_training_under_a_level_answers_whatever_the_lamp(tmp_path: Path) -> None:
    rows = cells(tmp_path / "images").split(folds=3).fold(0)
    plan = Plan.of(Facts.of(rows), task="classify", level="patch", steps=4, batch=8, validations=1, test_views=1)
    bundle = train(rows, TASKS["classify"], into=tmp_path / "run", plan=plan)
    pixels = rows.open(rows.records()[0]).crop().astype(np.float32)
    one, two = bundle([{"image": pixels}, {"image": pixels * 0.5 + 3}])
    np.testing.assert_allclose(one.probability, two.probability, atol=1e-4)  # type: ignore[attr-defined]


@pytest.mark.filterwarnings("error")
def test_a_channel_of_nothing_but_nan_has_no_exposure_and_warns_of_none() -> None:
    crop = np.stack([np.arange(100.0).reshape(10, 10), np.full((10, 10), np.nan)])
    np.testing.assert_allclose(exposure(crop)[0], exposure(crop[:1])[0])
    assert np.isnan(exposure(crop)[1]).all() and np.isnan(exposure(crop[1:])).all()
