"""Probabilities mended by a temperature or, where held-out groups show that it is better, by monotone steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from potency.answers.temperature import SMALLEST, apply_temperature, fit_temperature

STEPS = "isotonic"
FOLDS = 5
FEWEST_GROUPS = 10  # under which it cannot be told on held-out groups which of the two is better
FEWEST = 200  # images; each class is fitted by itself, and steps have as many parameters as images allow
ALLOWED = 0.005  # balanced accuracy that steps may cost: they are there for the probabilities
MOST_KNOTS = 100  # kept of a class: a card is a page of text

Trust = Mapping[str, float | Sequence[float]]


def fit_isotonic(truth: NDArray[Any], probability: NDArray[Any]) -> dict[str, list[float]]:
    """Monotone steps of each class against the rest: {"isotonic.0.from": [...], "isotonic.0.to": [...], ...}.

    Zadrozny and Elkan 2002. No step reaches 0 or 1: half an image is left on either side.

    Args:
        truth: indices (N,).
        probability: (N, K), of rows nothing was learned from.

    >>> steps = fit_isotonic(np.array([0, 1, 0, 1]), np.array([[0.9, 0.1], [0.8, 0.2], [0.7, 0.3], [0.1, 0.9]]))
    >>> steps["isotonic.0.from"], steps["isotonic.0.to"]
    ([0.1, 0.7, 0.8, 0.9], [0.125, 0.5, 0.5, 0.875])
    """
    from sklearn.isotonic import IsotonicRegression

    found: dict[str, list[float]] = {}
    half = 0.5 / len(truth)
    for k in range(probability.shape[1]):
        fitted = IsotonicRegression(y_min=half, y_max=1 - half).fit(probability[:, k], truth == k)
        before, after = np.asarray(fitted.X_thresholds_, float), np.asarray(fitted.y_thresholds_, float)
        if len(before) > MOST_KNOTS:
            chosen = np.unique(np.linspace(0, len(before) - 1, MOST_KNOTS).round().astype(int))
            before, after = before[chosen], after[chosen]
        found |= {f"{STEPS}.{k}.from": before.tolist(), f"{STEPS}.{k}.to": after.tolist()}
    return found


def apply_isotonic(probability: NDArray[Any], steps: Trust) -> NDArray[np.float64]:
    """Probabilities (..., K) after the steps of `fit_isotonic`, linear between knots, made to sum to 1 again."""
    values = np.asarray(probability, np.float64)
    mended = np.stack([
        np.interp(values[..., k], np.asarray(steps[f"{STEPS}.{k}.from"]), np.asarray(steps[f"{STEPS}.{k}.to"]))
        for k in range(values.shape[-1])
    ], axis=-1)  # fmt: skip
    return np.asarray(mended / mended.sum(-1, keepdims=True))


def fit_probability(
    truth: NDArray[Any], probability: NDArray[Any], groups: NDArray[Any] | None
) -> dict[str, float | list[float]]:
    """{"temperature": ...}, or the steps of `fit_isotonic` where they give the lower log loss on groups left out.

    Both are fitted on four fifths of the groups and judged on the rest, in turn. Steps can change the class that is
    answered, so they must not cost more than half a point of balanced accuracy either. Under 10 groups, 200 images or
    10 images of a class nothing but a temperature is tried.
    """
    places = np.unique(np.arange(len(truth)) if groups is None else groups.astype(str), return_inverse=True)[1]
    counts = np.bincount(truth, minlength=probability.shape[1])
    if len(truth) >= FEWEST and places.max() + 1 >= FEWEST_GROUPS and counts.min() >= FOLDS * 2:
        fold = np.random.default_rng(0).permutation(places.max() + 1)[places] % FOLDS
        cooler, stepped = np.empty(probability.shape), np.empty(probability.shape)
        for k in range(FOLDS):
            learned, asked = fold != k, fold == k
            temperature = fit_temperature(truth[learned], probability[learned])
            cooler[asked] = apply_temperature(probability[asked], temperature)
            steps = fit_isotonic(truth[learned], probability[learned])
            stepped[asked] = apply_isotonic(probability[asked], steps)
        lost = _found(truth, cooler, cooler) - _found(truth, stepped, cooler)
        if _surprise(truth, stepped) < _surprise(truth, cooler) and lost <= ALLOWED:
            return dict(fit_isotonic(truth, probability))
    return {"temperature": fit_temperature(truth, probability)}


def mends(trust: Trust) -> bool:
    """Whether a card's numbers say anything of probabilities."""
    return "temperature" in trust or f"{STEPS}.0.from" in trust


def mended(probability: NDArray[Any], trust: Trust) -> NDArray[np.float64]:
    """Probabilities (..., K) as a card's numbers mend them, see `fit_probability`."""
    if f"{STEPS}.0.from" in trust:
        return apply_isotonic(probability, trust)
    temperature = trust["temperature"]
    assert isinstance(temperature, int | float)
    return apply_temperature(probability, float(temperature))


def _surprise(truth: NDArray[Any], probability: NDArray[Any]) -> float:
    return float(-np.log(np.clip(probability[np.arange(len(truth)), truth], SMALLEST, 1)).sum())


def _found(truth: NDArray[Any], probability: NDArray[Any], before: NDArray[Any]) -> float:
    """Balanced accuracy of the most probable class; of equals it is the one that was most probable before."""
    said, rows = before.argmax(1), np.arange(len(truth))
    tied = probability[rows, said] >= probability.max(1)
    right = np.where(tied, said, probability.argmax(1)) == truth
    return float(np.mean([right[truth == k].mean() for k in np.unique(truth)]))
