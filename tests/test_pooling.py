"""Pooling: rules against formulae and loops, units that stay in their group, chains, errors, and columns as before."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from potency.data.manifest import Manifest
from potency.errors import AnswerError, ManifestError, PlanError
from potency.evaluation.evaluate import evaluate
from potency.pooling import RULES, pool
from potency.pooling.rules import Bags

CLASSES = ("a", "b", "c")


def rows(seed: int = 0, count: int = 200, classes: tuple[str, ...] = CLASSES) -> pd.DataFrame:
    """Patches of images of wells of groups, in no order, with probabilities and weights."""
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 30, count)
    p = rng.dirichlet(np.ones(len(classes)), count)
    table = pd.DataFrame({
        "id": [f"r{k}" for k in range(count)], "image": [f"i{k}.png" for k in image],
        "well": [f"B{k % 6}" for k in image],
        "group": [f"g{k % 3}" for k in image], "area": rng.uniform(0.1, 4, count), "number": rng.normal(size=count),
        "truth": [classes[k % 3 % len(classes)] for k in image], "prediction": [classes[k] for k in p.argmax(1)],
    })  # fmt: skip
    return table.assign(**{f"prediction.probability.{name}": p[:, k] for k, name in enumerate(classes)})


def by_hand(how: str, p: np.ndarray, w: np.ndarray, at: int) -> np.ndarray:
    """One unit in plain loops, straight from the formulae."""
    kinds, share = p.shape[1], w / w.sum()
    if how == "mean":
        return np.array([sum(share[i] * p[i, k] for i in range(len(p))) for k in range(kinds)])
    if how == "logodds":
        logs = np.array([sum(share[i] * np.log(p[i, k]) for i in range(len(p))) for k in range(kinds)])
        return np.exp(logs) / np.exp(logs).sum()
    if how == "vote":
        return np.array([sum(share[i] for i in range(len(p)) if p[i].argmax() == k) for k in range(kinds)])
    own = 1 - np.prod([(1 - p[i, at]) ** w[i] for i in range(len(p))]) if how == "noisyor" else p[:, at].max()
    rest = np.array([sum(share[i] * p[i, k] for i in range(len(p))) if k != at else 0 for k in range(kinds)])
    found = (1 - own) * rest / rest.sum()
    found[at] = own
    return found


@pytest.mark.parametrize("how", [name for name, rule in RULES.items() if rule.classes])
@pytest.mark.parametrize("weight", ["", "area"])
def test_a_rule_is_its_formula_by_hand(how: str, weight: str) -> None:
    table = rows()
    made = pool(table, by="image", how=how, weight=weight, positive="b").set_index("image")
    columns = [f"prediction.probability.{name}" for name in CLASSES]
    assert len(made) == table["image"].nunique()
    for image, unit in table.groupby("image"):
        weights = unit[weight].to_numpy() if weight else np.ones(len(unit))
        expected = by_hand(how, unit[columns].to_numpy(), weights, 1)
        assert made.loc[image, columns].to_numpy(float) == pytest.approx(expected, abs=1e-9)
        assert made.loc[image, "prediction"] == CLASSES[int(expected.argmax())]
        assert made.loc[image, "prediction.count"] == len(unit)


def test_log_odds_of_two_classes_are_averaged_and_noisy_or_is_one_minus_the_product() -> None:
    table = pd.DataFrame({"well": ["w"] * 2, "prediction": ["y", "n"],
                          "prediction.probability.n": [0.1, 0.6], "prediction.probability.y": [0.9, 0.4]})  # fmt: skip
    odds = np.log(np.array([0.9 / 0.1, 0.4 / 0.6])).mean()
    expected = {"logodds": 1 / (1 + np.exp(-odds)), "noisyor": 1 - 0.1 * 0.6, "max": 0.9, "mean": 0.65}
    assert {how: pool(table, "well", how)["prediction.probability.y"][0] for how in expected} == pytest.approx(expected)


def test_numbers_have_mean_median_and_trimmed_mean() -> None:
    from scipy.stats import trim_mean

    table = rows(count=600).drop(columns=["prediction", *(f"prediction.probability.{k}" for k in CLASSES)])
    table = table.rename(columns={"number": "prediction"})
    units = table.groupby("image")["prediction"]
    for how, expected in (("mean", units.mean()), ("median", units.median()), ("max", units.max())):
        made = pool(table, "image", how).set_index("image")["prediction"]
        assert made.to_numpy() == pytest.approx(expected.loc[made.index].to_numpy())
    twenty = pd.DataFrame({"well": ["w"] * 20, "prediction": np.random.default_rng(0).normal(size=20)})
    assert pool(twenty, "well", "trimmed")["prediction"][0] == pytest.approx(trim_mean(twenty["prediction"], 0.1))
    heavy = pd.DataFrame({"well": ["w"] * 3, "prediction": [1.0, 2.0, 9.0], "w": [1, 1, 5]})
    assert pool(heavy, "well", "median", weight="w")["prediction"][0] == 9.0
    assert pool(heavy, "well", "mean", weight="w")["prediction"][0] == pytest.approx(48 / 7)


def test_order_of_rows_changes_nothing_and_one_row_stays_what_it_is() -> None:
    table = rows()
    mixed = table.sample(frac=1, random_state=3)
    for how, rule in RULES.items():
        if rule.classes:
            one, two = (pool(t, "image", how).set_index("id").sort_index() for t in (table, mixed))
            columns = [f"prediction.probability.{name}" for name in CLASSES]
            assert np.allclose(one[columns].astype(float), two[columns].astype(float), atol=1e-12)
    single = table.drop_duplicates("image")
    kept = pool(single, "image", "logodds")
    for name in CLASSES:
        assert kept[f"prediction.probability.{name}"].to_numpy() == pytest.approx(
            single[f"prediction.probability.{name}"].to_numpy()
        )
    assert (kept["prediction.count"] == 1).all()


def test_the_same_well_of_two_groups_is_two_units_and_levels_are_a_chain() -> None:
    table = rows()
    wells = pool(table, by="well")
    assert len(wells) == len(table[["group", "well"]].drop_duplicates())
    chained = pool(table, by=("image", "well", "group"))
    step = pool(pool(pool(table, "image"), "well"), "group")
    pd.testing.assert_frame_equal(chained, step)
    flat = pool(table, by="group")
    assert len(flat) == len(chained) == 3
    assert not np.allclose(flat["prediction.probability.a"], chained["prediction.probability.a"]), "images weigh alike"
    images = table.groupby(["group", "well", "image"])["prediction.probability.a"].mean()
    expected = images.groupby(["group", "well"]).mean().groupby("group").mean()
    found = chained.set_index("group")["prediction.probability.a"].sort_index()
    assert found.to_numpy() == pytest.approx(expected.to_numpy())


def test_what_the_rows_agree_in_is_kept_and_the_figures_count_units() -> None:
    table = rows().assign(day=lambda t: t["group"], spot=range(200))
    made = pool(table, "image")
    assert "day" in made and "spot" not in made and made["id"].is_unique
    made["group"] = made["image"]  # enough groups for intervals
    report = evaluate(made, draws=50)
    assert report.groups == len(made) == len(report.rows)


def test_rows_with_errors_count_only_where_all_have_one() -> None:
    table = rows()
    table["prediction.error"] = None
    first, second = table["image"].unique()[:2]
    bad = (table["image"] == first) | (table.index == table.index[table["image"] == second][0])
    table.loc[bad, "prediction.error"] = "the file is empty"
    table.loc[bad, ["prediction", *(f"prediction.probability.{k}" for k in CLASSES)]] = None
    made = pool(table, "image").set_index("image")
    assert made.loc[first, "prediction.error"] == "the file is empty" and pd.isna(made.loc[first, "prediction"])
    assert made.loc[first, "prediction.count"] == 0
    assert pd.isna(made.loc[second, "prediction.error"])
    assert made.loc[second, "prediction.count"] == (table["image"] == second).sum() - 1


def test_bare_labels_are_voted_on_and_other_sources_come_along() -> None:
    table = rows()[["id", "image", "group", "truth", "prediction"]].rename(columns={"prediction": "prediction@reader2"})
    made = pool(table, "image", "vote").set_index("image")
    share = (table["prediction@reader2"] == "a").groupby(table["image"]).mean()
    found = made["prediction@reader2.probability.a"].astype(float)
    assert found.to_numpy() == pytest.approx(share.loc[made.index].to_numpy())
    with pytest.raises(AnswerError, match="logodds needs probabilities"):
        pool(table, "image", "logodds")


@pytest.mark.parametrize(
    ("change", "how", "error", "words"),
    [
        (lambda t: t.assign(truth=["a", "b"] * 100), {}, AnswerError, "differ in their truth"),
        (lambda t: t, {"by": "wel"}, ManifestError, "did you mean 'well'"),
        (lambda t: t, {"how": "logods"}, PlanError, "did you mean 'logodds'"),
        (lambda t: t, {"how": "median"}, PlanError, "holds classes"),
        (lambda t: t, {"positive": "q"}, PlanError, "no class 'q'"),
        (lambda t: t, {"weight": "number"}, AnswerError, "a weight is"),
        (lambda t: t.assign(area=0.0), {"weight": "area"}, AnswerError, "are 0"),
        (lambda t: t.assign(well=[None, *t["well"][1:]]), {"by": "well"}, ManifestError, "1 rows have no well"),
        (lambda t: t[[c for c in t if not c.startswith("prediction")]], {}, AnswerError, "no prediction to pool"),
        (lambda t: t[:0], {}, AnswerError, "no rows"),
        (lambda t: t.assign(**{"prediction.probability.a": 7.0}), {}, AnswerError, "outside 0 to 1"),
    ],
)  # fmt: skip
def test_bad_input_says_what_where_and_how_to_mend_it(change, how, error, words) -> None:  # type: ignore[no-untyped-def]
    arguments = {"by": "image", "how": "mean", **how}
    with pytest.raises(error, match=words) as caught:
        pool(change(rows()), **arguments)
    assert caught.value.where and caught.value.mend


def test_quantiles_of_weights_are_those_of_repeated_rows() -> None:
    rng = np.random.default_rng(0)
    values, times = rng.normal(size=50), rng.integers(1, 5, 50)
    weighted = Bags(np.zeros(50, int), 1, times.astype(float))
    repeated = np.repeat(values, times)
    plain = Bags(np.zeros(len(repeated), int), 1, np.ones(len(repeated)))
    for low, high in ((0.1, 0.9), (0.25, 0.75)):
        assert weighted.quantile(values, low, high)[0] == pytest.approx(plain.quantile(repeated, low, high)[0])


def test_a_manifest_stays_a_manifest_and_tiles_become_their_images() -> None:
    table = rows().assign(**{"tile.of": lambda t: t["image"].str.removesuffix(".png")})
    manifest = Manifest.of_rows(table.drop(columns="id"))
    made = pool(manifest, by="image")
    assert isinstance(made, Manifest) and len(made) == table["image"].nunique() and "mean" in made.origin["pooled"]


def test_pooling_imports_without_torch() -> None:
    code = "import sys, potency.pooling; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[1], check=False).returncode == 0
