"""Few labels: nested draws, ways to choose against truth known by construction, curves, commands."""

from __future__ import annotations

import itertools
import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import spearmanr
from zoo import cells

from potency.bundle import Bundle
from potency.cli import run
from potency.data.manifest import Manifest
from potency.data.plan import Facts
from potency.errors import ManifestError, PlanError
from potency.labelling import HOWS, Pool, find_how
from potency.labelling.choose import bald, coreset, entropy, margin
from potency.labelling.curve import tabled
from potency.labelling.draws import draw
from potency.labelling.lossy import expected_loss
from potency.labelling.suggest import opinions, suggest
from potency.learning.planning import planned
from potency.learning.train import train
from potency.tasks import find_task

RNG = np.random.default_rng


def test_draws_are_nested_per_class_and_tear_one_group_a_class_at_most() -> None:
    rng = RNG(0)
    groups = np.repeat([f"clone{k}" for k in range(20)], 15)
    truth = rng.choice(["a", "b", "c"], len(groups), p=[0.6, 0.3, 0.1])
    chosen = draw(truth, groups, (0.01, 0.1, 0.5, 1.0), seed=3)
    masks = list(chosen.values())
    assert all((small <= large).all() for small, large in itertools.pairwise(masks)) and masks[-1].all()
    for fraction, mask in chosen.items():
        for kind in "abc":
            own = truth == kind
            assert (mask & own).sum() == max(1, round(fraction * own.sum()))
            shares = [mask[own & (groups == g)].mean() for g in np.unique(groups) if (own & (groups == g)).any()]
            assert sum(0 < share < 1 for share in shares) <= 1
    assert all(np.array_equal(a, b) for a, b in zip(masks, draw(truth, groups, chosen, seed=3).values(), strict=True))
    assert not np.array_equal(masks[1], draw(truth, groups, (0.1,), seed=4)[0.1])
    with pytest.raises(PlanError, match="no share"):
        draw(truth, groups, (0.0,))


def test_few_labels_of_pure_groups_come_from_few_groups() -> None:
    groups = np.repeat(np.arange(40), 10)
    truth = np.where(groups < 20, "a", "b")
    assert len(np.unique(groups[draw(truth, groups, (0.1,), seed=0)[0.1]])) == 4  # two whole groups of each class


def test_greedy_k_centre_takes_the_farthest_and_is_within_twice_the_best() -> None:
    for seed in range(8):
        rng = RNG(seed)
        rows, known = rng.normal(size=(11, 2)), rng.normal(size=(2, 2))
        order, scores = coreset(Pool(11, embedding=rows, labelled=known), 3, rng)
        have = list(known)
        for place, score in zip(order, scores, strict=True):  # each by looking at every pair
            far = [min(float(np.linalg.norm(row - other)) for other in have) for row in rows]
            assert far[place] == pytest.approx(max(far)) and score == pytest.approx(max(far))
            have.append(rows[place])

        def radius(chosen: tuple[int, ...] | list[int], rows: np.ndarray = rows, known: np.ndarray = known) -> float:
            centres = np.concatenate([known, rows[list(chosen)]])
            return float(np.linalg.norm(rows[:, None] - centres[None], axis=2).min(1).max())

        best = min(radius(some) for some in itertools.combinations(range(11), 3))
        assert best <= radius(order.tolist()) <= 2 * best + 1e-12


def test_k_centre_never_takes_a_row_twice_nor_more_than_there_are() -> None:
    order, _ = coreset(Pool(4, embedding=np.zeros((4, 2))), 9, RNG(0))
    assert sorted(order.tolist()) == [0, 1, 2, 3]


def test_bald_is_nothing_where_members_agree_and_all_where_they_contradict() -> None:
    rng = RNG(0)
    one = rng.dirichlet([1, 1, 1], 50)
    assert np.allclose(bald(Pool(50, np.repeat(one[None], 7, 0))), 0, atol=1e-12)
    sure = np.eye(3)[[0, 1, 2]][:, None]  # three members, each sure of another class
    assert bald(Pool(1, sure))[0] == pytest.approx(math.log(3))
    many = rng.dirichlet([1, 1, 1], (6, 50))
    middle = many.mean(0)
    by_hand = [np.mean([(p * np.log(p / m)).sum() for p in many[:, i]]) for i, m in enumerate(middle)]  # mean KL
    assert np.allclose(bald(Pool(50, many)), by_hand)


def test_entropy_and_margin_agree_for_two_classes_and_not_for_three() -> None:
    two = RNG(0).dirichlet([1, 1], 40)[None]
    assert np.argsort(entropy(Pool(40, two))).tolist() == np.argsort(margin(Pool(40, two))).tolist()
    three = np.array([[[0.5, 0.5, 0.0], [0.4, 0.3, 0.3]]])
    assert margin(Pool(2, three)).argmax() == 0 and entropy(Pool(2, three)).argmax() == 1


def test_random_is_random_and_ties_are_broken_at_random() -> None:
    first = [int(find_how("random").rank(Pool(10), 1, RNG(seed))[0][0]) for seed in range(2000)]
    counts = np.bincount(first, minlength=10)
    assert ((counts - 200) ** 2 / 200).sum() < 27.9  # chi-squared, 9 degrees of freedom, 0.001
    level = Pool(10, np.full((1, 10, 2), 0.5))
    tied = [int(find_how("entropy").rank(level, 1, RNG(seed))[0][0]) for seed in range(2000)]
    assert ((np.bincount(tied, minlength=10) - 200) ** 2 / 200).sum() < 27.9
    with pytest.raises(PlanError, match="did you mean 'entropy'"):
        find_how("entropie")


def test_the_table_of_a_study_is_a_mean_over_draws_with_paired_gains() -> None:
    rng = RNG(0)
    keys = [(method, 0.1, d) for method in ("a", "scratch") for d in range(3)]
    values = {key: float(i) / 10 for i, key in enumerate(keys)}
    shared = rng.normal(0, 0.2, 500)  # what the draw of test groups does to all methods alike
    again = {key: value + shared for key, value in values.items()}
    table = tabled(values, again, dict.fromkeys(keys, [(10, 2), (14, 4)]), "scratch", 12, 1).set_index("method")
    assert table.loc["a", "value"] == pytest.approx(0.1) and table.loc["a", "labels"] == 12
    assert table.loc["a", "gain"] == pytest.approx(-0.3) and table.loc["a", "verdict"] == "worse"
    own, paired = (table.loc["a", f"{name}high"] - table.loc["a", f"{name}low"] for name in ("", "gain_"))
    assert paired < 1e-9 < own
    assert table.loc["a", "spread"] == pytest.approx(np.std([0, 0.1, 0.2]))


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> tuple[Manifest, Bundle, Bundle, Path]:
    """Half-labelled cells, a classifier and an encoder that learned on them for a moment."""
    place = tmp_path_factory.mktemp("few")
    rows = cells(place / "cells")
    table = rows.table.assign(truth=rows.table["truth"].where(np.arange(len(rows)) % 2 == 0))
    half = replace(rows, table=table)
    made = []
    for name in ("classify", "simclr"):
        known = half.where(table["truth"].notna()) if name == "classify" else half
        plan = planned(Facts.of(known), find_task(name), steps=12, batch=12, validations=1, test_views=1)
        made.append(train(known, name, into=place / name, plan=plan))
    return half, made[0], made[1], place


@pytest.mark.parametrize("how", HOWS)
def test_every_way_ranks_the_rows_without_a_label(how: str, world: tuple[Manifest, Bundle, Bundle, Path]) -> None:
    half, classifier, _, _ = world
    made = suggest(half, classifier, count=7, how=how)
    assert made.table["suggestion"].tolist() == [1, 2, 3, 4, 5, 6, 7]
    left = set(half.table["id"][half.table["truth"].isna()])
    assert set(made.table["id"]) <= left and made.table["id"].is_unique
    assert made.table["suggestion.reason"].str.len().gt(0).all()
    assert (made.table["suggestion.score"].diff().dropna() <= 1e-12).all()
    again = suggest(half, classifier, count=7, how=how)
    assert again.table["id"].tolist() == made.table["id"].tolist()


def test_suggestions_are_those_that_the_predictions_say(world: tuple[Manifest, Bundle, Bundle, Path]) -> None:
    from potency.inference.predict import predict

    half, classifier, _, _ = world
    told = predict(half.where(half.table["truth"].isna()), classifier, into=None).table.set_index("id")
    unsure = -(told.filter(like="prediction.probability.").max(axis=1))
    made = suggest(half, classifier, count=len(told), how="margin").table.set_index("id")
    assert np.corrcoef(made["suggestion.score"], unsure.loc[made.index])[0, 1] > 0.99
    assert (made["suggestion.prediction"] == told.loc[made.index, "prediction"]).mean() > 0.9


def test_dropout_and_members_have_opinions_and_one_sure_member_has_none(
    world: tuple[Manifest, Bundle, Bundle, Path]
) -> None:
    half, classifier, encoder, _ = world
    left = half.where(half.table["truth"].isna())
    passes = opinions(left, classifier, passes=5)
    assert passes.shape == (5, len(left), 2) and np.allclose(passes.sum(2), 1)
    assert passes.std(0).max() > 1e-4  # dropout is on ...
    plain = opinions(left, classifier)
    assert plain.shape[0] == 1 and np.array_equal(plain, opinions(left, classifier))  # ... and off again afterwards
    member = classifier.members[0]
    two = replace(classifier, members=(member, member),
                  card=replace(classifier.card, plans=classifier.card.plans * 2))  # fmt: skip
    assert np.allclose(bald(Pool(len(left), opinions(left, two, passes=5))), 0, atol=1e-9)
    for module in member.nets.modules():  # type: ignore[attr-defined]
        if hasattr(module, "p"):
            module.p, kept = 0.0, module.p
    try:
        with pytest.raises(PlanError, match="nothing can disagree"):
            suggest(half, classifier, how="bald")
    finally:
        for module in member.nets.modules():  # type: ignore[attr-defined]
            if hasattr(module, "p"):
                module.p = kept
    with pytest.raises(PlanError, match="needs class probabilities"):
        suggest(half, encoder, how="entropy")
    assert len(suggest(half, encoder, count=3, how="coreset")) == 3


def test_expected_losses_have_the_order_of_the_true_ones_on_new_rows_and_leave_chance_alone() -> None:
    rng = RNG(3)
    known, asked = rng.normal(size=(200, 6)), rng.normal(size=(300, 6))
    before = torch.get_rng_state()
    found = expected_loss(known, known[:, 0] ** 2, asked)
    assert spearmanr(found, asked[:, 0] ** 2).statistic > 0.7
    assert torch.equal(before, torch.get_rng_state())
    assert np.array_equal(found, expected_loss(known, known[:, 0] ** 2, asked))
    assert not expected_loss(known, np.ones(200), asked).any()
    assert not expected_loss(known[:3], np.arange(3.0), asked).any()


def test_loss_is_learned_from_labels_of_the_bundles_classes(world: tuple[Manifest, Bundle, Bundle, Path]) -> None:
    half, classifier, _, _ = world
    made = suggest(half, classifier, count=5, how="loss").table
    assert len(made) == 5 and (np.diff(made["suggestion.score"]) <= 0).all() and made["truth"].isna().all()
    with pytest.raises(PlanError, match="0 rows have a label, and loss learns"):
        suggest(half.where(half.table["truth"].isna()), classifier, how="loss")
    strange = replace(half, table=half.table.assign(truth=half.table["truth"].where(half.table["truth"].isna(), "odd")))
    with pytest.raises(PlanError, match="a label is no class of the bundle"):
        suggest(strange, classifier, how="loss")


def test_test_rows_are_never_suggested_and_nothing_left_is_said(world: tuple[Manifest, Bundle, Bundle, Path]) -> None:
    half, classifier, _, _ = world
    groups = half.table["group"]
    part = replace(half, table=half.table.assign(split=np.where(groups.eq(groups.iloc[0]), "test", "train")))
    made = suggest(part, classifier, count=100, how="random")
    assert len(made) and not made.table["group"].eq(groups.iloc[0]).any()
    with pytest.raises(ManifestError, match="has a label already"):
        suggest(half.where(half.table["truth"].notna()), classifier)


def test_the_commands_leave_tables_and_pages(
    world: tuple[Manifest, Bundle, Bundle, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    half, _, _, place = world
    half.write(tmp_path / "half.csv")
    words = ["suggest", str(tmp_path / "half.csv"), "--model", str(place / "classify" / "bundle"), "--n", "4",
             "--into", str(tmp_path / "next"), "--json"]  # fmt: skip
    assert run(words) == 0
    answer = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert len(answer["rows"]) == 4 and "data:image/png" in (tmp_path / "next" / "suggestions.html").read_text("utf-8")
    assert pd.read_csv(tmp_path / "next" / "suggestions.csv")["suggestion"].tolist() == [1, 2, 3, 4]

    words = ["rehearse", str(place / "cells"), "--encoder", str(place / "simclr" / "bundle"), "--how", "coreset",
             "--start", "6", "--per-round", "4", "--rounds", "2", "--seeds", "2", "--folds", "2",
             "--into", str(tmp_path / "re"), "--json"]  # fmt: skip
    assert run(words) == 0
    answer = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert set(answer["needed"]) == {"coreset", "random"} and 0 < answer["seen"] <= 1
    assert "<svg" in (tmp_path / "re" / "rehearsal.html").read_text("utf-8")


def test_a_study_compares_encoders_and_goes_on_where_it_was(
    world: tuple[Manifest, Bundle, Bundle, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, _, _, place = world
    words = ["labels", str(place / "cells"), "--encoder", str(place / "simclr" / "bundle"), "--pretrain", "4",
             "--fractions", "20,100", "--draws", "2", "--steps", "3", "--folds", "2", "--holdout",
             "--into", str(tmp_path / "run"), "--json"]  # fmt: skip
    assert run(words) == 0
    answer = json.loads(capsys.readouterr().out.splitlines()[-1])
    table = pd.DataFrame(answer["rows"])
    methods = {f"{how}@{start}" for how in ("probe", "fine-tuned") for start in ("simclr", "pretrained")}
    assert set(table["method"]) == methods | {"probe@random", "scratch"} and table["fraction"].tolist().count(0.2) == 6
    assert table.set_index("fraction").loc[0.2, "draws"].eq(2).all()
    notes = " ".join(answer["notes"])
    assert "pretrained: had seen no test image" in notes
    assert "simclr: had seen" in notes and "without their labels" in notes
    assert "<svg" in (tmp_path / "run" / "labels.html").read_text("utf-8")
    made = sorted((tmp_path / "run").rglob("card.json"))
    before = [path.stat().st_mtime_ns for path in made]
    assert run(words) == 0
    again = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert again["rows"] == answer["rows"] and [path.stat().st_mtime_ns for path in made] == before
    assert run([*words[:-1], "--steps", "4"]) == 2
    assert "holds another run" in capsys.readouterr().err
    for wrong, said in ((["--fractions", "0"], "no share"), (["--encoder", str(tmp_path)], "no such bundle")):
        assert run([*words[:2], "--into", str(tmp_path / "other"), *wrong]) == 2
        assert said in capsys.readouterr().err
    assert run([*words[:2], "--into", str(tmp_path / "other")]) == 2
    assert "no encoder is named" in capsys.readouterr().err
