"""Whether the network's score goes with a plain number beyond what the truth explains: partial rank correlations."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from potency.confounding.exchange import codes_of
from potency.evaluation.intervals import group_weights, interval
from potency.evaluation.results import Interval
from potency.reliance.asking import MAIN
from potency.reliance.partial import partial, ranks

Values = NDArray[np.float64]
LEAST = 1e-6  # of a probability, whose logarithm is taken


@dataclass(frozen=True)
class Beyond:
    """One number and the score of one class ("" for numbers): correlation given the truth, and given the others too."""

    number: str
    label: str
    given_truth: Interval
    given_all: Interval


def beyond(
    table: pd.DataFrame, told: pd.DataFrame, numbers: pd.DataFrame, how: tuple[bool, int, int]
) -> tuple[Beyond, ...]:
    """Partial correlations of ranks, with intervals over groups; `how`: classes or not, draws, seed.

    The score of a class is its log-odds; of two classes the second one's says all. Within the classes a network that
    sees nothing but the class goes with no number. Rows without an answer are left out.
    """
    category, draws, seed = how
    if MAIN not in told or not len(numbers.columns):
        return ()
    scores = _scores(told, category)
    if not scores:
        return ()
    whole = told[MAIN].notna().to_numpy() & np.all([np.isfinite(score) for score in scores.values()], axis=0)
    values = numbers.fillna(numbers.median()).to_numpy(float)[whole]
    truth, groups = table["truth"][whole], codes_of(table["group"][whole])
    given = ranks(truth.to_numpy(float)[:, None]) if not category else (
        pd.get_dummies(truth.astype(str)).to_numpy(float)[:, 1:])  # fmt: skip
    count = int(groups.max()) + 1
    times = np.concatenate([np.ones((1, count)), group_weights(count, seed, range(draws))])[:, groups]
    found = []
    for label, score in scores.items():
        alone, beside = partial(ranks(score[whole][:, None])[:, 0], ranks(values), given, times)
        for k, name in enumerate(numbers.columns):
            first, second = (interval(float(part[0, k]), part[1:, k], count) for part in (alone, beside))
            found.append(Beyond(str(name), label, first, second))
    return tuple(found)


def _scores(told: pd.DataFrame, category: bool) -> dict[str, Values]:
    if not category:
        return {"": told[MAIN].to_numpy(float)}
    prefix = f"{MAIN}.probability."
    chances = {str(c).removeprefix(prefix): told[c].to_numpy(float) for c in told if str(c).startswith(prefix)}
    odds = {label: np.log(np.clip(p, LEAST, 1) / np.clip(1 - p, LEAST, 1)) for label, p in chances.items()}
    return dict(list(odds.items())[-1:]) if len(odds) == 2 else odds


def strongest(found: tuple[Beyond, ...]) -> list[Beyond]:
    """Of every number the class with whose score it goes most, given the truth; in the order of the numbers."""
    best: dict[str, Beyond] = {}
    for one in found:
        if one.number not in best or abs(one.given_truth.value) > abs(best[one.number].given_truth.value):
            best[one.number] = one
    return list(best.values())
