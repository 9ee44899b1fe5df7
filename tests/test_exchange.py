"""The test behind the audit: whole groups are exchanged, alarms are as rare as they claim, p and pairs are exact."""

from __future__ import annotations

import numpy as np
import pytest
from made_up_experiments import GROUPS, kinds, numbers, rows, told_of
from scipy.stats import binomtest

from potency.confounding.audit import ask_embedding
from potency.confounding.exchange import (
    BETWEEN,
    WITHIN,
    Outcome,
    arrangements,
    association,
    dealt,
    family_wise,
    level_of,
    turned,
)
from potency.confounding.suspects import Suspect
from potency.evaluation.results import Interval


def test_a_family_of_idle_suspects_raises_few_alarms_in_both_designs() -> None:
    """Suspects that say nothing, but are alike inside groups and wells, as pictures of one well are."""
    alarms = {False: 0, True: 0}
    for pure in alarms:
        for seed in range(120):
            random = np.random.default_rng([seed, 1])
            _, truth, group = rows(seed, pure=pure)
            batch = random.standard_normal((GROUPS, 6))[group]
            found = [numbers(f"n{k}", batch[:, k] + 0.5 * random.standard_normal(len(group))) for k in range(6)]
            alarms[pure] += any((row.family or 1) <= 0.05 for row in told_of(found, truth, group, seed=seed).values())
    for count in alarms.values():  # no evidence of more than .05 in 120 experiments
        assert binomtest(count, 120, 0.05, alternative="greater").pvalue > 0.01


def test_what_images_share_inside_a_group_is_no_evidence_between_groups() -> None:
    """Three groups a class and hundreds of images: a test over images would be sure, the groups are too few."""
    group = np.repeat(np.arange(4), 200)
    truth = np.eye(2)[(group > 1).astype(int)]
    shade = np.array([0.0, 0.3, 5.0, 5.2])[group] + np.random.default_rng(0).standard_normal(800) * 0.01
    row = told_of([numbers("shade", shade)], truth, group)["shade"]
    assert row.rule == "untested" and row.p is None and "too few groups" in row.told


@pytest.mark.parametrize("pure", [False, True])
@pytest.mark.parametrize("classes", [2, 3])
def test_a_planted_column_is_found_and_an_idle_one_is_not(pure: bool, classes: int) -> None:
    code, truth, group = rows(3, classes=classes, pure=pure)
    random = np.random.default_rng(8)
    day = np.where(random.random(len(code)) < 0.9, code, random.integers(0, classes, len(code)))
    told = told_of([kinds("day", day), numbers("time", random.random(len(code)))], truth, group)
    assert told["day"].rule == "shortcut" and told["day"].level == (BETWEEN if pure else WITHIN)
    assert told["time"].rule == "nothing"
    assert told["day"].pairs is not None and told["day"].pairs.value > 0.75


def test_what_so_few_groups_cannot_show_is_called_undecided_and_not_absent() -> None:
    code, truth, group = rows(2, groups=6)
    random = np.random.default_rng(0)
    found = [numbers("light", code + 0.1 * random.random(len(code)))]
    found += [numbers(f"n{k}", random.random(len(code))) for k in range(8)]
    told = told_of(found, truth, group)
    assert told["light"].p == pytest.approx(1 / 32) and told["light"].rule == "undecided"
    assert told["light"].mark == "caution" and told_of(found[:1], truth, group)["light"].rule == "shortcut"


def test_a_class_that_only_varies_more_raises_no_alarm() -> None:
    alarms = 0
    for seed in range(60):
        code, truth, group = rows(seed)
        spread = np.random.default_rng([seed, 2]).standard_normal((len(code), 8)) * np.where(code, 4.0, 1.0)[:, None]
        row = told_of([Suspect("place", "background", spread)], truth, group, seed=seed)["place"]
        alarms += row.mark == "bad"
    assert binomtest(alarms, 60, 0.05, alternative="greater").pvalue > 0.01


def test_the_pairs_put_in_order_are_the_area_under_the_curve_inside_groups() -> None:
    from sklearn.metrics import roc_auc_score

    code, truth, group = rows(5)
    light = code + np.random.default_rng(1).standard_normal(len(code))
    found = association(light[:, None], truth, group, WITHIN, 99, 0).concordance
    areas, weights = [], []
    for one in range(GROUPS):
        inside = group == one
        areas.append(roc_auc_score(code[inside], light[inside]))
        weights.append(code[inside].sum() * (1 - code[inside]).sum())
    assert found.value == pytest.approx(np.average(areas, weights=weights), abs=1e-9)
    assert found.low is not None and found.high is not None and found.low < found.value < found.high


def test_few_exchanges_are_all_looked_at_and_the_p_is_exact() -> None:
    assert len(turned(6, 999, 0)) == 2**5 - 1 and len({tuple(signs) for signs in turned(6, 999, 0)}) == 31
    labels = np.eye(2)[[0, 0, 0, 0, 1, 1, 1, 1]]
    orders = dealt(labels, 999, 0)
    ways = {tuple(labels[order].argmax(1)) for order in orders}
    assert len(orders) == len(ways) == arrangements(labels) - 1 == 69
    assert tuple(labels.argmax(1)) not in ways
    group = np.repeat(np.arange(8), 5)
    test = association(np.repeat(np.arange(8.0), 5)[:, None], labels[group], group, BETWEEN, 999, 0)
    assert family_wise([test])[0] == [pytest.approx(2 / 70)]  # the order itself, and the order turned round


def test_the_correction_is_that_of_westfall_and_young() -> None:
    random = np.random.default_rng(0)
    table = random.standard_normal((3, 400))
    table[0, 0] = 5.0
    tests = [Outcome(WITHIN, row[0], row[1:], Interval(0.5)) for row in table]
    raw, family = family_wise(tests)
    p = np.array([[(row >= value).mean() for value in row] for row in table])
    order, before = np.argsort(p[:, 0], kind="stable"), 0.0
    for place, k in enumerate(order):
        before = max(before, float((p[order[place:]].min(0) <= p[k, 0]).mean()))
        assert family[k] == pytest.approx(before) and raw[k] == pytest.approx(p[k, 0])
    same = family_wise([tests[0]] * 5)[1]
    assert same == pytest.approx([raw[0]] * 5)  # five times the same suspect is one suspect
    assert family_wise([]) == ([], [])


def test_the_level_is_where_both_vary() -> None:
    code, truth, group = rows(1)
    assert level_of(np.random.default_rng(0).random((len(code), 1)), truth, group) == WITHIN
    plate = (group // 3)[:, None].astype(float)
    assert level_of(plate, truth, group) == BETWEEN
    _, pure, group = rows(1, pure=True)
    assert level_of(np.random.default_rng(0).random((len(code), 1)), pure, group) == BETWEEN
    assert level_of(plate, truth, np.minimum(group, 3)) == ""


def test_the_same_rows_in_another_order_say_the_same() -> None:
    code, truth, group = rows(4)
    light = code + np.random.default_rng(1).standard_normal(len(code))
    order = np.random.default_rng(2).permutation(len(code))
    one = told_of([numbers("light", light)], truth, group)["light"]
    two = told_of([numbers("light", light[order])], truth[order], group[order])["light"]
    assert one.p == two.p and one.pairs is not None and two.pairs is not None
    assert one.pairs.value == pytest.approx(two.pairs.value)


def test_what_a_network_has_learned_beside_the_class_is_found_given_the_class() -> None:
    code, truth, group = rows(6)
    random = np.random.default_rng(3)
    time = random.random(len(code))
    vectors = random.standard_normal((len(code), 40))
    vectors[:, 0] += 3 * code  # the class, which is what it is for
    vectors[:, 1] += 4 * time
    day = np.where(random.random(len(code)) < 0.8, code, 1 - code)
    vectors[:, 2] += 4 * day
    found = [numbers("time", time), numbers("exposure", random.random(len(code))), kinds("day", day)]
    before = list(told_of(found, truth, group).values())
    told = {row.suspect: row for row in ask_embedding(vectors, found, truth, group, before, (), (499, 0))}
    assert told["time"].rule == "known" and told["exposure"].rule == "nothing" and told["day"].rule == "carried"
    # What knows the class alone knows nothing of a day that goes with the class.
    alone = random.standard_normal((len(code), 5)) + 3 * code[:, None]
    assert ask_embedding(alone, found[2:], truth, group, before, (), (499, 0))[0].rule == "nothing"
