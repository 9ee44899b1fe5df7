"""Monotone steps beside a temperature: chosen on groups left out, monotone, plain numbers; ECE by other hands."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.isotonic import IsotonicRegression
from small_bundle import bundle_of

from potency.answers import Category, Evidence
from potency.answers.isotonic import MOST_KNOTS, apply_isotonic, fit_isotonic, fit_probability, mended
from potency.bundle import Bundle

CLASSES = ("a", "b", "c")


def world(seed: int, rows: int = 3000) -> tuple[np.ndarray, np.ndarray]:
    """Truths drawn from known probabilities, so that these are perfectly calibrated."""
    rng = np.random.default_rng(seed)
    power = np.exp(2 * rng.normal(size=(rows, 3)))
    probability = power / power.sum(1, keepdims=True)
    return (probability.cumsum(1) < rng.random((rows, 1))).sum(1), probability


def bent(probability: np.ndarray) -> np.ndarray:
    """Distorted as no temperature can mend: who is more than half sure says over 95 %, all others stay as they are."""
    top = probability.max(1, keepdims=True)
    said = np.where(top > 0.5, 0.95 + 0.05 * top**2, top)
    return np.where(probability == top, said, probability * (1 - said) / (1 - top))


def ece_by_hand(truth: np.ndarray, probability: np.ndarray, bins: int = 15) -> float:
    """As Guo et al. 2017 write it, one bin after the other."""
    said, sure = probability.argmax(1), probability.max(1)
    total = 0.0
    for k in range(bins):
        inside = (sure >= k / bins) & ((sure < (k + 1) / bins) | (k == bins - 1))
        if inside.any():
            total += inside.mean() * abs((said == truth)[inside].mean() - sure[inside].mean())
    return float(total)


def figures(truth: np.ndarray, probability: np.ndarray) -> dict[str, float]:
    arrays = {"truth": truth, "predicted": probability.argmax(1), "probability": probability}
    told = Category.summarise(Evidence(len(truth), arrays, CLASSES), np.ones((1, len(truth))))
    return {name: float(value[0]) for name, value in told.items()}


@pytest.mark.parametrize("distort", [bent, lambda p: p])
def test_ece_is_that_of_another_implementation(distort) -> None:  # type: ignore[no-untyped-def]
    truth, probability = world(0)
    told = distort(probability)
    assert figures(truth, told)["ece"] == pytest.approx(ece_by_hand(truth, told), abs=1e-9)


def test_what_a_temperature_mends_is_mended_by_a_temperature() -> None:
    truth, probability = world(1)
    sharp = probability**3 / (probability**3).sum(1, keepdims=True)
    found = fit_probability(truth, sharp, np.arange(len(truth)) // 30)
    assert set(found) == {"temperature"} and found["temperature"] == pytest.approx(3, abs=0.2)


def test_what_it_cannot_mend_is_mended_by_steps_and_new_groups_agree() -> None:
    truth, probability = world(2)
    found = fit_probability(truth, bent(probability), np.arange(len(truth)) // 30)
    assert "isotonic.0.from" in found and "temperature" not in found
    new, told = world(3)
    before, after = figures(new, bent(told)), figures(new, mended(bent(told), found))
    assert after["ece"] < before["ece"] / 3 and after["log_loss"] < before["log_loss"]


@pytest.mark.parametrize(("rows", "groups"), [(150, 50), (3000, 5)])
def test_few_rows_or_groups_get_a_temperature(rows: int, groups: int) -> None:
    truth, probability = world(4, rows)
    assert set(fit_probability(truth, bent(probability), np.arange(rows) % groups)) == {"temperature"}


def test_groups_are_never_torn_apart() -> None:
    """Each group shifts its scores and holds one class: steps learn groups by heart unless whole ones are left out."""
    rng = np.random.default_rng(5)
    group = np.repeat(np.arange(20), 30)
    truth = (np.arange(20) % 2)[group]
    scores = rng.normal(0, 2, 20)[group] + 0.01 * rng.normal(size=600)
    probability = np.stack([1 / (1 + np.exp(scores)), 1 / (1 + np.exp(-scores))], axis=1)
    assert set(fit_probability(truth, probability, group)) == {"temperature"}
    assert "isotonic.0.from" in fit_probability(truth, probability, None)  # as if images were independent


def test_steps_are_monotone_and_those_of_scikit_learn() -> None:
    truth, probability = world(6, 400)
    steps = fit_isotonic(truth, probability)
    for k in range(3):
        theirs = IsotonicRegression(y_min=1 / 800, y_max=1 - 1 / 800).fit(probability[:, k], truth == k)
        line = np.interp(probability[:, k], steps[f"isotonic.{k}.from"], steps[f"isotonic.{k}.to"])
        np.testing.assert_allclose(line, theirs.predict(probability[:, k]), atol=1e-9)
        assert (np.diff(steps[f"isotonic.{k}.to"]) >= 0).all() and len(steps[f"isotonic.{k}.to"]) <= MOST_KNOTS
    after = apply_isotonic(np.eye(3), steps)
    assert (after > 0).all() and np.allclose(after.sum(1), 1)


def test_the_answer_follows_its_probabilities_and_a_tie_keeps_the_class() -> None:
    steps = {f"isotonic.{k}.{end}": values for k in range(3)
             for end, values in (("from", [0.0, 1.0]), ("to", [0.5, 0.5] if k else [0.1, 0.2]))}  # fmt: skip
    moved = Category.of_probability(CLASSES, np.array([0.6, 0.3, 0.1])).calibrated(steps)
    assert moved.label == "b"
    tied = Category.of_probability(CLASSES, np.array([0.1, 0.3, 0.6])).calibrated(steps)
    assert tied.label == "c" and tied.probability is not None and tied.probability[1] == tied.probability[2]


def test_steps_stand_in_a_bundle_as_plain_numbers(tmp_path: Path) -> None:
    steps = {"isotonic.0.from": [0.0, 1.0], "isotonic.0.to": [0.2, 0.6], "isotonic.1.from": [0.0, 1.0],
             "isotonic.1.to": [0.1, 0.9], "set": 0.2}  # fmt: skip
    examples = [{"image": np.full((1, 20, 20), value, np.uint8)} for value in (10, 200)]
    made = replace(bundle_of(), examples=examples).but(trust=steps)
    made.save(tmp_path / "bundle")
    again = Bundle.load(tmp_path / "bundle")
    assert again.card.trust == steps and json.loads((tmp_path / "bundle/card.json").read_text())["schema"] == 2
    for one, two in zip(made(examples), again(examples), strict=True):
        assert isinstance(one, Category) and isinstance(two, Category)
        np.testing.assert_allclose(one.probability, two.probability, rtol=1e-5)  # type: ignore[arg-type]
        assert one.probability is not None and one.probability.min() > 0.08  # a step never reaches 0
