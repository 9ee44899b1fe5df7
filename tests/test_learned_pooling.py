"""Learned pooling: heads that know no order, or no future; folds that leak nothing; files that hold numbers only."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import zoo

from potency.errors import AnswerError, BundleError, PlanError
from potency.networks.bag import Bag, starts
from potency.networks.encoder import Encoder
from potency.networks.pooling import BAGS, SEQUENCES
from potency.networks.tiny import Tiny
from potency.pooling.bags import Units
from potency.pooling.learn import Question, apply, columns, learn, learned_from
from potency.pooling.pooler import Pooler, Recipe

WIDTH = 8
NAMES = [f"embedding.{k}" for k in range(6)]


def bags(seed: int = 0, groups: int = 12, per: int = 4) -> pd.DataFrame:
    """Wells of 1 to 12 patches; in wells of class y one patch in four is telling, in wells of class n none is."""
    rng = np.random.default_rng(seed)
    rows = []
    for well in range(groups * per):
        truth = well % 2
        for patch in range(1 + int(rng.integers(12))):
            telling = bool(truth and (patch == 0 or rng.random() < 0.25))
            values = rng.standard_normal(6) + 4 * telling * (np.arange(6) == 2)
            rows.append([f"g{well // per:02d}", f"w{well}", "ny"[truth], telling, *values])
    table = pd.DataFrame(rows, columns=["group", "well", "truth", "telling", *NAMES])
    table = table.sample(frac=1, random_state=seed).reset_index(drop=True)
    return table.assign(id=[f"r{k}" for k in range(len(table))])


def course(seed: int = 0, units: int = 48) -> pd.DataFrame:
    """Tracks with uneven steps whose drift, not their value, tells the class."""
    rng = np.random.default_rng(seed)
    rows = []
    for unit in range(units):
        time = np.cumsum(rng.uniform(0.5, 3, int(rng.integers(5, 11))))
        sign = 1 if unit % 2 else -1
        values = rng.standard_normal((1, 6)) + 0.2 * rng.standard_normal((len(time), 6))
        values[:, 0] += sign * 0.5 * time
        rows += [[f"g{unit // 4:02d}", f"u{unit}", "ny"[unit % 2], t, *v] for t, v in zip(time, values, strict=True)]
    table = pd.DataFrame(rows, columns=["group", "track", "truth", "time", *NAMES])
    table = table.sample(frac=1, random_state=1).reset_index(drop=True)
    return table.assign(id=[f"r{k}" for k in range(len(table))])


@pytest.mark.parametrize("name", BAGS)
def test_a_bag_has_no_order_and_padding_weighs_nothing(name: str) -> None:
    torch.manual_seed(0)
    head = BAGS[name](WIDTH).eval().requires_grad_(False)
    x, mask = torch.randn(3, 7, WIDTH), torch.ones(3, 7, dtype=torch.bool)
    mask[1, 4:], mask[2, 1:] = False, False
    pooled, weights = head(x, mask)
    torch.testing.assert_close(weights.sum(1), torch.ones(3))
    assert (weights[~mask] == 0).all() and float(weights.min()) >= 0
    order = torch.randperm(7)
    again, turned = head(x[:, order], mask[:, order])
    torch.testing.assert_close(again, pooled, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(turned, weights[:, order], rtol=1e-5, atol=1e-6)
    noise = torch.where(mask[..., None], x, torch.full_like(x, 1e3))
    torch.testing.assert_close(head(noise, mask)[0], pooled, rtol=1e-5, atol=1e-6)
    alone, one = head(x[2:, :1], mask[2:, :1])
    torch.testing.assert_close(alone, pooled[2:], rtol=1e-5, atol=1e-6)
    assert float(one) == 1.0


def test_gated_attention_is_its_formula() -> None:
    torch.manual_seed(0)
    head = BAGS["gated"](WIDTH)
    x = torch.randn(1, 5, WIDTH)
    head.requires_grad_(False)
    v, u, w = head.see, head.gate, head.score.weight[0]
    scores = [float(w @ (torch.tanh(v(h)) * torch.sigmoid(u(h)))) for h in x[0]]
    expected = np.exp(scores) / np.exp(scores).sum()
    pooled, weights = head(x, torch.ones(1, 5, dtype=torch.bool))
    weights = weights.detach()
    assert weights[0].numpy() == pytest.approx(expected, rel=1e-5)
    torch.testing.assert_close(pooled[0], sum(a * h for a, h in zip(weights[0], x[0], strict=True)))


@pytest.mark.parametrize("name", SEQUENCES)
def test_a_step_knows_nothing_of_later_ones(name: str) -> None:
    torch.manual_seed(0)
    head = SEQUENCES[name](WIDTH).eval()
    x, mask = torch.randn(2, 9, WIDTH), torch.ones(2, 9, dtype=torch.bool)
    whole = head(x, mask)
    for step in range(1, 9):
        other = x.clone()
        other[:, step:] = 100 * torch.randn(2, 9 - step, WIDTH)
        torch.testing.assert_close(head(other, mask)[:, :step], whole[:, :step], rtol=0, atol=1e-6)
        short = head(x[:, :step], mask[:, :step])
        torch.testing.assert_close(short, whole[:, :step], rtol=0, atol=1e-6)
    changed = x.clone()
    changed[:, 0] = torch.randn(2, WIDTH)
    assert not torch.allclose(head(changed, mask)[:, -1], whole[:, -1]), "but of earlier ones"


@pytest.mark.parametrize("head", ["attention", "gated", "transformer"])
def test_a_head_finds_the_telling_patches_out_of_fold(head: str) -> None:
    table = bags()
    made = learn(table, Question("well"), columns(table, NAMES), Recipe(head, width=16, steps=150))
    # Over the seeds 0 to 7 of the bags: .79 to .98 of 48 wells, and .94 on average; this seed is the hardest of them.
    assert (made.units["prediction"] == made.units["truth"]).mean() > 0.75
    of_wells = made.rows.groupby("well")["prediction.attention"].sum()
    assert np.allclose(of_wells, 1), "one patch too"
    many = made.rows[made.rows["truth"] == "y"].groupby("well").filter(lambda w: len(w) > 4)
    told = many.groupby("telling")["prediction.attention"].mean()
    assert told[True] > 2 * told[False]
    assert made.units["prediction.count"].sum() == len(table)


def test_a_fold_teaches_nothing_of_itself() -> None:
    table = bags().assign(fold=lambda t: t["group"].str[1:].astype(int) % 3)
    asked: list[int | None] = []

    def embed(fold: int | None) -> pd.DataFrame:
        asked.append(fold)
        return columns(table, NAMES)(fold)

    recipe = Recipe("gated", width=8, steps=20)
    one = learn(table, Question("well"), embed, recipe)
    assert asked == [0, 1, 2, None], "each fold is embedded by its own network"
    own = table["fold"] == 1
    other = table.assign(truth=np.where(own, np.where(table["truth"] == "y", "n", "y"), table["truth"]))
    two = learn(other, Question("well"), columns(other, NAMES), recipe)
    column, here = "prediction.probability.y", one.units["fold"] == 1
    assert np.array_equal(one.units.loc[here, column], two.units.loc[here, column])
    assert not np.array_equal(one.units.loc[~here, column], two.units.loc[~here, column])


@pytest.mark.parametrize("head", SEQUENCES)
def test_a_sequence_is_told_step_by_step_and_never_of_the_future(head: str) -> None:
    table = course()
    made = learn(table, Question("track", "time"), columns(table, NAMES), Recipe(head, width=16, steps=150))
    name = f"prediction@{head}"
    rank = made.rows.groupby("track")["time"].rank(pct=True)
    right = made.rows[name] == made.rows["truth"]
    assert right[rank == 1].mean() > 0.75 > right[made.rows.groupby("track")["time"].rank() == 1].mean()
    last = made.rows.loc[made.rows.groupby("track")["time"].idxmax()].set_index("track")[f"{name}.probability.y"]
    of_units = made.units.set_index("track")["prediction.probability.y"]
    assert of_units.to_numpy() == pytest.approx(last.loc[of_units.index].to_numpy())
    later = table["time"] > 6
    future = table.copy()
    future.loc[later, NAMES] = 50.0
    future.loc[later, "time"] += 5
    rows = [apply(made.pooler, t, columns(t, NAMES)(None))[1][f"{name}.probability.y"] for t in (table, future)]
    assert np.allclose(rows[0][~later], rows[1][~later], rtol=0, atol=1e-6)
    assert not np.allclose(rows[0][later], rows[1][later])


def test_numbers_beside_the_embedding_and_numbers_as_truth() -> None:
    table = bags()
    table["area"] = np.where(table["truth"] == "y", 3.0, 1.0)
    table["truth"] = table.groupby("well")["area"].transform("mean") * 2
    asked = Question("well", numbers=("area",))
    made = learn(table, asked, columns(table, NAMES[:2]), Recipe("mean", width=8, steps=200))
    assert np.abs(made.units["prediction"] - made.units["truth"]).mean() < 0.7
    assert made.pooler.names == (*NAMES[:2], "area") and made.pooler.classes == ()


def test_what_is_saved_answers_the_same_and_holds_no_code(tmp_path: Path) -> None:
    table = bags()
    made = learn(table, Question("well"), columns(table, NAMES), Recipe("transformer", width=8, steps=10))
    folder = made.pooler.save(tmp_path / "pooler")
    assert {path.name for path in folder.iterdir()} == {"pooler.json", "pooler.safetensors"}
    again = Pooler.load(folder)
    one, two = (apply(p, table, columns(table, NAMES)(None)) for p in (made.pooler, again))
    pd.testing.assert_frame_equal(one[0], two[0])
    pd.testing.assert_frame_equal(one[1], two[1])
    assert learned_from(again, one[0]) == len(one[0])  # it knows its own units again
    elsewhere = one[0].assign(group="another " + one[0]["group"].astype(str))
    assert learned_from(again, elsewhere) == 0
    (folder / "pooler.safetensors").write_bytes(b"PK\x03\x04 a pickle")
    with pytest.raises(BundleError, match="cannot be read"):
        Pooler.load(folder)
    with pytest.raises(BundleError, match="cannot be read"):
        Pooler.load(tmp_path)


def test_the_same_seed_gives_the_same_pooler() -> None:
    table = bags()
    units = Question("well").units(table, columns(table, NAMES)(None))
    truth = table.drop_duplicates("well").set_index("well")["truth"]
    named = truth.loc[table["well"].drop_duplicates()].to_numpy()
    recipe = Recipe("gated", width=8, steps=5)
    one, two, three = (Pooler.fit(units, named, replace(recipe, seed=s), ("n", "y")) for s in (0, 0, 1))
    assert np.array_equal(one(units)[0], two(units)[0]) and not np.array_equal(one(units)[0], three(units)[0])


def test_bad_sequences_and_recipes_are_told() -> None:
    table = course()
    embed, recipe = columns(table, NAMES), Recipe("gru", steps=5)
    with pytest.raises(PlanError, match="no time is named"):
        learn(table, Question("track"), embed, recipe)
    double = table.assign(time=np.floor(table["time"] / 4))
    with pytest.raises(AnswerError, match="a sequence has one step a time"):
        learn(double, Question("track", "time"), embed, recipe)
    with pytest.raises(AnswerError, match="1 row of .* has no time"):
        learn(table.assign(time=table["time"].where(table.index > 0)), Question("track", "time"), embed, recipe)
    with pytest.raises(AnswerError, match="have no embedding"):
        learn(table, Question("track", "time"), columns(table[3:], NAMES), recipe)
    with pytest.raises(PlanError, match="did you mean 'gated'"):
        Recipe("gatd")


def test_a_large_image_is_a_bag_of_patches_end_to_end() -> None:
    torch.manual_seed(0)
    bag = Bag(1, 64, Tiny, patch=16, pool="gated").eval()
    image = torch.rand(2, 1, 64, 64)
    with torch.inference_mode():
        features, weights = bag.pooled(image)
        torch.testing.assert_close(features, bag(image))
        assert weights.shape == (2, 4, 4)
        moved = image.reshape(2, 1, 4, 16, 4, 16).flip((2, 4)).reshape(2, 1, 64, 64)  # the patches in another order
        again, turned = bag.pooled(moved)
    torch.testing.assert_close(again, features, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(turned, weights.flip((1, 2)), rtol=1e-4, atol=1e-5)
    assert starts(70, 32)[-1] == 70 - 32
    for wrong in ("bag:pool=gatd", "bag:patch=4", "bag:body=resnet18"):
        with pytest.raises(PlanError):
            Encoder(wrong, 1, 2, 64)


def test_a_bag_is_trained_and_predicts_like_any_network(tmp_path: Path) -> None:
    from potency.data.plan import Facts, Plan
    from potency.inference.predict import predict
    from potency.learning.train import train

    rows = zoo.cells(tmp_path / "cells").split(folds=3).fold(0)
    plan = Plan.of(Facts.of(rows.of("train")), network="bag:patch=16:body=plain", steps=8, batch=8, validations=1)
    bundle = train(rows, "classify", into=tmp_path / "run", plan=plan)
    told = predict(rows.of("test"), bundle, into=None)
    assert told.table["prediction"].isin(["stem", "neuron"]).all() and told.table["prediction.error"].isna().all()


def test_units_keep_their_instances_together() -> None:
    table = bags()
    embedding = columns(table, NAMES)(None)
    doubled = pd.concat([embedding, embedding + 1])  # a large image is several crops
    unit = pd.factorize(table["well"])[0]
    units = Units.of(doubled, table["id"].tolist(), unit)
    assert len(units) == table["well"].nunique() and len(units.row) == 2 * len(table)
    assert np.array_equal(units.unit, unit[units.row])
    values, mask = units.padded()
    assert mask.sum() == len(units.row) and not values[~mask].any()
