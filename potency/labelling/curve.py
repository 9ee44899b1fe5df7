"""A study of few labels as values: what it is asked, and the table that comes of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from potency.evaluation.contest import verdict
from potency.evaluation.intervals import interval
from potency.evaluation.results import Interval
from potency.labelling.draws import FRACTIONS

SCRATCH, RANDOM = "scratch", "probe@random"
Key = tuple[str, float, int]  # a method, a fraction, the number of a draw


@dataclass(frozen=True)
class Start:
    """Where a body comes from: weights (a bundle's folder, a file, "imagenet"), or `pretrain` steps in every fold.

    `plan` says the rest of it (network, tile, scaling); a bundle brings its own.
    """

    name: str
    weights: str = ""
    pretrain: int = 0
    how: str = "simclr"
    plan: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Choices:
    """How a study is done."""

    fractions: tuple[float, ...] = FRACTIONS
    draws: int = 3  # of labels, the same for every method; all labels are drawn once
    steps: int = 200  # of fine-tuning and of training from scratch, whatever the number of labels
    folds: int = 5
    holdout: bool = False  # the first fold only
    tune: bool = True  # else linear probes only: minutes instead of hours
    seed: int = 0
    resamples: int = 1000
    changes: Mapping[str, Any] = field(default_factory=dict)  # of the plan of every network that learns here


@dataclass(frozen=True, eq=False)
class Study:
    """What came of it.

    Attributes:
        table: a row a method and fraction: `method`, `fraction`, `labels` and `groups` (means), `draws`, `value`,
            `low`, `high` of the headline on held-out groups, `spread` over the draws of labels, and `gain`, `gain_low`,
            `gain_high`, `verdict` against scratch (against the random probe for probes, where nothing is tuned).
        headline: the figure. notes: what must be known of the encoders.
    """

    table: pd.DataFrame
    headline: str
    groups: int
    tested: int
    notes: tuple[str, ...]


def tabled(
    values: Mapping[Key, float], again: Mapping[Key, NDArray[Any]], sizes: Mapping[Key, Sequence[tuple[int, int]]],
    beside: str, groups: int, better: int,
) -> pd.DataFrame:  # fmt: skip
    """The table of a study: means over draws of labels, inside each weighting of the test groups.

    Args:
        values: the headline of each method, fraction and draw. again: (draws,) the same under each weighting.
        sizes: labels and groups that were learned from, of each fold.
        beside: the method that gains are against. groups: of the test rows. better: +1 where more is better.
    """
    own = {pair: [key for key in values if key[:2] == pair] for pair in dict.fromkeys(key[:2] for key in values)}
    means = {pair: float(np.mean([values[key] for key in keys])) for pair, keys in own.items()}
    draws = {pair: np.mean([again[key] for key in keys], axis=0) for pair, keys in own.items()}
    rows = []
    for (method, fraction), keys in own.items():
        pair, rival = (method, fraction), (beside, fraction)
        labels, held = np.mean([size for key in keys for size in sizes[key]], axis=0)
        found = interval(means[pair], draws[pair], groups)
        row = {"method": method, "fraction": fraction, "labels": labels, "groups": held, "draws": len(keys),
               "value": found.value, "low": found.low, "high": found.high,
               "spread": float(np.std([values[key] for key in keys]))}  # fmt: skip
        if pair != rival:
            row |= _gain(interval(means[pair] - means[rival], draws[pair] - draws[rival], groups), better)
        rows.append(row)
    return pd.DataFrame(rows)


def _gain(found: Interval, better: int) -> dict[str, Any]:
    said = verdict(found, better)
    return {"gain": found.value, "gain_low": found.low, "gain_high": found.high, "verdict": said}
