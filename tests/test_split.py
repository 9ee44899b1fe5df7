"""Splits: whole groups, every class in every fold where possible, external rows untouched, the same every time."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from potency.data.manifest import Manifest
from potency.data.split import KINDS, assign
from potency.errors import ManifestError


def made(groups: list[str], truth: list[object], **more: list[object]) -> Manifest:
    return Manifest.of_rows(pd.DataFrame({"image": [f"{n}.png" for n in range(len(groups))], "group": groups,
                                          "truth": truth, **more}))


def random_manifest(seed: int, groups: int = 24, classes: int = 3) -> Manifest:
    """Groups of uneven size that each lean to one class."""
    rng = np.random.default_rng(seed)
    rows = [(f"g{group}", f"c{rng.choice(classes, p=rng.dirichlet([0.3] * classes))}")
            for group in range(groups) for _ in range(rng.integers(3, 40))]
    return made([group for group, _ in rows], [truth for _, truth in rows])


@pytest.mark.parametrize("seed", range(8))
def test_stratified_folds_keep_groups_whole_and_hold_every_class(seed: int) -> None:
    split = random_manifest(seed).split(folds=4, seed=seed).table
    assert (split.groupby("group")["fold"].nunique() == 1).all()
    table = pd.crosstab(split["truth"], split["fold"])
    spread = split.groupby("truth")["group"].nunique()
    assert (table[spread >= 8] > 0).all(axis=None)
    assert np.ptp(split["fold"].value_counts()) < 0.25 * len(split)


@pytest.mark.parametrize("seed", range(5))
def test_a_rare_class_reaches_every_fold(seed: int) -> None:
    rng = np.random.default_rng(seed)
    groups = [f"g{n}" for n in range(40) for _ in range(20)]
    rare = {f"g{n}" for n in rng.choice(40, 5, replace=False)}
    truth: list[object] = ["rare" if group in rare and at % 20 == 0 else "common" for at, group in enumerate(groups)]
    split = made(groups, truth).split(folds=5, seed=seed).table
    assert (pd.crosstab(split["truth"], split["fold"]) > 0).all(axis=None)


def test_balance_is_as_good_as_the_known_library() -> None:
    from sklearn.model_selection import StratifiedGroupKFold

    ours, theirs = [], []
    for seed in range(6):
        table = random_manifest(seed).table
        other = np.zeros(len(table), dtype=int)
        folds = StratifiedGroupKFold(5, shuffle=True, random_state=seed).split(table, table["truth"], table["group"])
        for k, (_, test) in enumerate(folds):
            other[test] = k
        for fold, into in ((random_manifest(seed).split(seed=seed).table["fold"], ours), (pd.Series(other), theirs)):
            share = pd.crosstab(table["truth"], fold, normalize="index")
            into.append(float(((share - 0.2) ** 2).to_numpy().sum()))
    assert np.mean(ours) <= np.mean(theirs)


def test_splits_follow_the_seed_and_not_the_order_of_rows() -> None:
    manifest = random_manifest(1)
    first = manifest.split(seed=3).table.set_index("id")["fold"]
    shuffled = Manifest.of_rows(manifest.table.sample(frac=1, random_state=0).reset_index(drop=True))
    assert manifest.split(seed=3).table.set_index("id")["fold"].equals(first)
    assert shuffled.split(seed=3).table.set_index("id")["fold"].reindex(first.index).equals(first)
    assert not manifest.split(seed=4).table.set_index("id")["fold"].equals(first)


def test_few_groups_mean_fewer_folds_and_that_is_said() -> None:
    split = made([*"aabbccdd"], [*"xyxyxyxy"]).split(folds=5)
    assert sorted(split.table["fold"].unique()) == [0, 1, 2, 3]
    assert split.origin["split"] == "stratified: 4 folds over 4 groups (5 were asked; class 'x' has 4 groups)"
    split = made([*"aabbccdd"], [*"xxxyxyxy"]).split(folds=4)
    assert "3 folds" in split.origin["split"] and "class 'y' has 3 groups" in split.origin["split"]


def test_what_cannot_be_split_is_refused() -> None:
    with pytest.raises(ManifestError, match="fewer than two groups: y") as caught:
        made([*"aabb"], [*"xxxy"]).split()
    assert caught.value.mend.endswith("--classes x")
    with pytest.raises(ManifestError, match="all rows belong to one group"):
        made([*"aaaa"], [*"xxyy"]).split()
    with pytest.raises(ManifestError, match="1 folds leave nothing"):
        made([*"aabb"], [*"xyxy"]).split(folds=1)
    with pytest.raises(ManifestError, match="there is no split 'startified'") as caught:
        made([*"aabb"], [*"xyxy"]).split(kind="startified")
    assert caught.value.mend == "did you mean 'stratified'?"
    with pytest.raises(ManifestError, match="there is no column 'donor'"):
        made([*"aabb"], [*"xyxy"]).split(by="donor")


def test_leave_one_out_has_a_fold_a_group_in_natural_order() -> None:
    split = made(["d10", "d9", "d9", "d10", "d11", "d11"], [*"xyxyxy"]).split(kind="leave-one-out")
    assert split.table["fold"].tolist() == [1, 0, 0, 1, 2, 2]
    assert split.origin["split"] == "leave-one-out: 3 folds, one group each"


def test_in_time_only_the_past_is_learned_from() -> None:
    groups = [f"g{n}" for n in range(12) for _ in range(4)]
    days: list[object] = [(n * 7) % 12 for n in range(12) for _ in range(4)]
    split = made(groups, [*"xyxy"] * 12, day=days).split(kind="time", folds=3)
    assert sorted(split.table["fold"].unique()) == [-1, 0, 1, 2]
    for k in range(3):
        table = split.fold(k).table
        test = table["split"] == "test"
        assert table["day"][~test].max() < table["day"][test].min() and set(table["split"]) >= {"train", "test"}
    with pytest.raises(ManifestError, match="needs a column with the time"):
        made(groups, [*"xyxy"] * 12).split(kind="time")
    dates = made([*"aabbcc"], [*"xyxyxy"], date=["2024-03-01"] * 2 + ["2024-01-01"] * 2 + ["2024-02-01"] * 2)
    assert dates.split(kind="time", folds=2).table["fold"].tolist() == [1, 1, -1, -1, 0, 0]


@pytest.mark.parametrize("kind", KINDS)
def test_external_rows_are_never_touched(kind: str) -> None:
    groups = [f"g{n}" for n in range(10) for _ in range(4)]
    parts: list[object] = ["external" if n >= 8 else "" for n in range(10) for _ in range(4)]
    split = made(groups, [*"xyxy"] * 10, split=parts, day=[*range(40)]).split(kind=kind, folds=3)
    outside = split.table["group"].isin(["g8", "g9"])
    assert (split.table["fold"][outside] == -1).all()
    fold = split.fold(1).table
    assert (fold["split"].eq("external") == fold["group"].isin(["g8", "g9"])).all() and outside.sum() == 8


def test_an_external_split_needs_external_rows() -> None:
    with pytest.raises(ManifestError, match="no row is marked as external"):
        made([*"aabb"], [*"xyxy"]).split(kind="external")


def test_a_random_split_ignores_groups_and_says_so() -> None:
    manifest = random_manifest(2, groups=6)
    split = manifest.split(kind="random", seed=1)
    assert split.origin["split"].startswith("random: 5 folds over single images, groups ignored")
    assert (split.table.groupby("group")["fold"].nunique() > 1).all()
    share = pd.crosstab(split.table["truth"], split.table["fold"])
    assert (share.max(axis=1) - share.min(axis=1) <= 2).all()
    validation = split.fold(0)
    assert (validation.of("validation").table["group"].nunique()) > 1


@pytest.mark.parametrize("seed", range(4))
def test_fold_makes_train_validation_and_test_of_whole_groups(seed: int) -> None:
    split = random_manifest(seed).split(folds=4, seed=seed)
    for k in range(4):
        fold = split.fold(k, validation=0.25)
        assert (fold.table.groupby("group")["split"].nunique() == 1).all()
        assert fold.of("test").table["fold"].eq(k).all()
        assert not fold.of("train", "validation").table["fold"].eq(k).any()
        rest = fold.of("train", "validation").table
        assert 0.1 < (rest["split"] == "validation").mean() < 0.4
        spread = rest.groupby("truth")["group"].nunique()
        for part in ("train", "validation"):
            assert set(spread.index[spread >= 4]) <= set(rest["truth"][rest["split"] == part])


def test_a_class_of_one_group_is_learned_from_not_validated_on() -> None:
    split = made([*"aabbccddee"], [*"xyxyxyxyxz"]).table.assign(fold=[0, 0, 0, 0, 1, 1, 1, 1, 1, 1])
    rest = Manifest.of_rows(split).fold(0, validation=0.4).of("train").table
    assert "z" in set(rest["truth"])


def test_numbers_are_stratified_by_quantiles() -> None:
    rng = np.random.default_rng(0)
    values = np.repeat(rng.permutation(80), 5) + rng.random(400)  # groups differ a lot, rows within them hardly
    split = made([f"g{n // 5}" for n in range(400)], [*values]).split(folds=4).table
    means = split.groupby("fold")["truth"].mean()
    assert means.max() - means.min() < 6  # of a range of 80


def test_tables_without_truth_split_too() -> None:
    table = Manifest.of_rows(pd.DataFrame({"image": [*"abcdef"], "group": [*"xxyyzz"]})).split(folds=3).table
    assert sorted(table["fold"].unique()) == [0, 1, 2]


def test_parts_need_a_split_first() -> None:
    manifest = made([*"aabb"], [*"xyxy"])
    with pytest.raises(ManifestError, match="no folds yet"):
        manifest.fold(0)
    with pytest.raises(ManifestError, match="not divided"):
        manifest.of("train")
    with pytest.raises(ManifestError, match="there is no fold 7"):
        manifest.split(folds=2).fold(7)
    with pytest.raises(ManifestError, match="is not a share"):
        manifest.split(folds=2).fold(0, validation=1.5)
    assert manifest.split(folds=2).fold(0, validation=0).of("validation").table.empty


def test_unequal_shares_are_met() -> None:
    part = assign(np.random.default_rng(0).poisson(5, (60, 3)).astype(float), np.array([0.7, 0.2, 0.1]), seed=0)
    assert np.allclose(np.bincount(part) / 60, [0.7, 0.2, 0.1], atol=0.08)
