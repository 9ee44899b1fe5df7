"""Active learning rehearsed: won by construction, one start for all ways, held-out groups that are never chosen."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from potency.errors import ManifestError, PlanError
from potency.evaluation.results import Interval
from potency.labelling.page import labels
from potency.labelling.rehearse import Setting, first_reach, rehearse

RNG = np.random.default_rng


def rare(count: int = 1200) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Rows of which 4 % are of the second class: who draws at random labels the first class again and again."""
    rng = RNG(5)
    truth = np.where(rng.random(count) < 0.04, "rare", "usual")
    values = rng.normal(0, 1, (count, 2)) + np.where(truth == "rare", 3.5, 0.0)[:, None] * [1.0, 0.0]
    groups = np.array([f"g{k % 24}" for k in range(count)])
    return values, truth, groups, np.isin(groups, [f"g{k}" for k in range(12)])


def test_entropy_wins_where_a_class_is_rare_and_random_stands_beside_it() -> None:
    values, truth, groups, test = rare()
    setting = Setting(hows=("entropy", "bald"), start=6, each=4, rounds=7, seeds=6, target=0.7)
    found = rehearse(values, truth, groups, test, setting, draws=200)
    last = found.table[found.table["labels"].eq(34)].set_index("how")
    assert list(dict.fromkeys(found.table["how"])) == ["entropy", "bald", "random"]
    assert last.loc["entropy", "value"] > 0.75 and last.loc["entropy", "gain_low"] > 0.1
    assert last.loc["random", "gain"] == 0 and math.isinf(found.needed["random"].value)
    assert found.needed["entropy"].value < 34 and found.saved["entropy"].low > 0  # type: ignore[operator]
    again = rehearse(values, truth, groups, test, setting, draws=200)
    pd.testing.assert_frame_equal(found.table, again.table)


def test_all_ways_start_from_the_same_labels_and_never_see_the_test_groups() -> None:
    values, truth, groups, test = rare(400)
    found = rehearse(values, truth, groups, test, Setting(start=8, each=4, rounds=2, seeds=3), draws=20)
    starts = found.table[found.table["labels"].eq(8)]["value"]
    assert len(starts) == 6 and starts.nunique() == 1
    mixed = groups.copy()
    mixed[np.flatnonzero(~test)[0]] = groups[test][0]
    with pytest.raises(ManifestError, match="is tested and chosen from"):
        rehearse(values, truth, mixed, test, Setting())
    with pytest.raises(ManifestError, match="labels to start with"):
        rehearse(values, truth, groups, test, Setting(start=400))
    with pytest.raises(PlanError, match="no way to choose"):
        Setting(hows=("luck",))


def test_labels_to_a_target_are_read_off_the_curve() -> None:
    counts, curve = np.array([10.0, 20.0, 40.0]), np.array([[0.5, 0.2, 0.9], [0.6, 0.2, 0.5], [0.8, 0.3, 0.9]])
    assert first_reach(counts, curve, 0.7).tolist() == pytest.approx([30.0, math.inf, 10.0])
    assert labels(Interval(math.inf, 33.0, math.inf)) == "more [33, more]"
