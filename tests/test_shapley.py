"""Contributions of features: Shapley values against their definition, and the verb that explains a forest."""

from __future__ import annotations

import json
from itertools import permutations
from math import factorial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestClassifier
from sklearn.linear_model import LinearRegression
from zoo import ages, cells

from potency.bundle import Bundle
from potency.cli import run as command
from potency.data.manifest import Manifest
from potency.data.plan import Facts, Plan
from potency.errors import PlanError
from potency.explanation import shapley as module
from potency.explanation.contributed import failing, sizes, write_page
from potency.explanation.contributions import contributions, players_of, table_of
from potency.explanation.shapley import shapley
from potency.learning.train import train
from potency.tasks import TASKS, Focus

DRAW = np.random.default_rng(0)


def by_definition(score: object, row: np.ndarray, background: np.ndarray, players: list[np.ndarray]) -> np.ndarray:
    """The mean over all orders of what each player adds when it becomes known: slow, and what the word means."""
    values = np.zeros(len(players))
    for order in permutations(range(len(players))):
        table = background.copy()
        before = score(table).mean()  # type: ignore[operator]
        for player in order:
            table[:, players[player]] = row[players[player]]
            after = score(table).mean()  # type: ignore[operator]
            values[player] += (after - before) / factorial(len(players))
            before = after
    return values


@pytest.fixture(scope="module")
def table() -> tuple[np.ndarray, np.ndarray]:
    values = DRAW.normal(size=(200, 5))
    return values, ((values[:, 0] * values[:, 1] > 0) | (values[:, 2] > 1)).astype(int)


def test_values_of_trees_are_those_of_the_definition(table: tuple[np.ndarray, np.ndarray]) -> None:
    values, truth = table
    forest = RandomForestClassifier(20, random_state=0).fit(values, truth)
    boosted = HistGradientBoostingRegressor(max_iter=20).fit(values, values[:, 0] * values[:, 1])
    pairs = [np.array([0, 3]), np.array([1]), np.array([4, 2])]
    for score in (lambda x: forest.predict_proba(x)[:, 1], boosted.predict):
        for players in ([np.array([k]) for k in range(5)], pairs):
            found = shapley(score, values[:3], values[10:20], players)
            assert found.exact and (found.error == 0).all() and np.abs(found.missing).max() < 1e-10
            for row, told in zip(values, found.values, strict=False):
                np.testing.assert_allclose(told, by_definition(score, row, values[10:20], players), atol=1e-10)


def test_sampled_values_are_within_their_errors_and_add_up(
    table: tuple[np.ndarray, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    values, truth = table
    forest = RandomForestClassifier(20, random_state=0).fit(values, truth)

    def score(x: np.ndarray) -> np.ndarray:
        return np.asarray(forest.predict_proba(x)[:, 1])

    exact = shapley(score, values[:6], values[10:42])
    monkeypatch.setattr(module, "FEW", 1)
    found = shapley(score, values[:6], values[10:42])
    assert not found.exact and np.abs(found.missing).max() < 1e-10
    assert np.sqrt((((found.values - exact.values) / found.error) ** 2).mean()) < 1.3
    assert np.corrcoef(found.values.ravel(), exact.values.ravel())[0, 1] > 0.98
    np.testing.assert_array_equal(shapley(score, values[:6], values[10:42]).values, found.values)
    monkeypatch.setattr(module, "CELLS", 40)  # in small blocks the same
    np.testing.assert_allclose(shapley(score, values[:6], values[10:42]).values, found.values)


def test_a_linear_score_is_shared_exactly_even_where_orders_are_sampled() -> None:
    values = DRAW.normal(size=(60, 20))
    fitted = LinearRegression().fit(values, values @ np.arange(20.0))
    found = shapley(fitted.predict, values[:4], values[20:50])
    assert not found.exact
    np.testing.assert_allclose(found.values, fitted.coef_ * (values[:4] - values[20:50].mean(0)), atol=1e-9)


def test_what_cannot_be_shared_is_refused() -> None:
    rows = np.ones((2, 3))
    with pytest.raises(PlanError, match="a background of shape"):
        shapley(lambda x: x[:, 0], rows, np.ones((2, 4)))
    with pytest.raises(PlanError, match="the players are not all columns"):
        shapley(lambda x: x[:, 0], rows, rows, [np.array([0, 1])])
    with pytest.raises(PlanError, match="'famly'(.|\n)*did you mean 'family'"):
        players_of(["a.b.c"], "famly")
    assert list(players_of(["shape.c.area", "shape.c.width", "shape.d.area", "trivial.x"], "family")) == [
        "shape.c", "shape.d", "trivial.x"
    ]  # fmt: skip


def test_intervals_of_sizes_are_over_groups() -> None:
    values = np.concatenate([np.ones((30, 1)), 3 * np.ones((30, 1))])
    groups = np.repeat([f"g{k}" for k in range(6)], 10)
    ((mean, low, high),) = sizes(values, groups)
    assert mean == 2 and low is not None and high is not None and 1 <= low < 1.7 and 2.3 < high <= 3
    assert sizes(values, np.repeat(["a", "b"], 30)) == [(2.0, None, None)]


@pytest.fixture(scope="module")
def forest(tmp_path_factory: pytest.TempPathFactory) -> tuple[Manifest, Bundle]:
    folder = tmp_path_factory.mktemp("forest")
    rows = cells(folder / "cells")
    plan = Plan.of(Facts.of(rows), learner="estimator", network="forest", families=["shape"])
    return rows, train(rows, TASKS["classify"], into=folder / "run", plan=plan)


def test_a_forest_is_explained_by_its_features(forest: tuple[Manifest, Bundle], tmp_path: Path) -> None:
    rows, bundle = forest
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no image")
    frame = pd.concat([rows.table.head(6), rows.table.head(1).assign(id="x", image=str(broken))], ignore_index=True)
    some = Manifest(frame, rows.kinds, rows.folder, rows.origin)
    made = contributions(some, bundle, into=tmp_path / "out", background=rows)
    table = made.table
    assert table["explanation.error"].notna().tolist() == [False] * 6 + [True]
    assert made.kinds["explanation"] == "picture"
    told = table_of(made)
    assert len(told) == 6 and all(name.startswith("shape.") for name in told)
    done = table.iloc[:6]
    np.testing.assert_allclose(told.sum(axis=1), done["explanation.score"] - done["explanation.base"], atol=1e-9)
    answers = [bundle([{"image": rows.open(row).crop()}])[0] for row in rows.records()[:6]]
    assert done["explanation.label"].tolist() == [answer.label for answer in answers]  # type: ignore[attr-defined]
    raw = bundle.members[0].outputs([{"image": rows.open(rows.records()[0]).crop()}])[0]["output"]
    label = bundle.card.plan.classes.index(done["explanation.label"].iloc[0])
    assert done["explanation.score"].iloc[0] == pytest.approx(float((np.exp(raw) / np.exp(raw).sum())[label]), abs=1e-5)
    assert all((tmp_path / "out" / path).is_file() for path in done["explanation"])
    page = write_page(made, bundle, tmp_path / "out").read_text("utf-8")
    assert "SIMULATED" in page and "<svg" in page and "1 rows could not be explained" in page
    assert not failing(made)
    spoiled = made.add({"explanation.missing": made.table["explanation.missing"] + 0.1})
    assert "do not add up" in failing(spoiled)[0]
    noisy = made.add({f"explanation.spread.{name}": np.ones(len(made)) for name in told})
    assert failing(noisy)[0].startswith("The strongest value")


def test_families_embeddings_numbers_and_scores_can_be_asked_for(tmp_path: Path) -> None:
    rows = ages(tmp_path / "cells")
    plan = Plan.of(Facts.of(rows), task="quantify", learner="estimator", network="logistic",
                   families=["shape", "intensity"], members=["tiny"])  # fmt: skip
    bundle = train(rows, "quantify", into=tmp_path / "run", plan=plan.but(test_views=1))
    few = rows.where(lambda table: table.index < 3)
    made = contributions(few, bundle, into=tmp_path / "out", background=rows, by="family")
    told = table_of(made)
    assert set(told) == {"shape.grey", "intensity.grey", "embedding.0.tiny"}
    assert (table_of(made, part="spread") == 0).all(axis=None)  # three players: all coalitions
    value = bundle([{"image": rows.open(rows.records()[0]).crop()}])[0].value  # type: ignore[attr-defined]
    settings = bundle.card.plan.settings
    scaled = (value - settings["mean"]) / settings["spread"]
    assert made.table["explanation.score"].iloc[0] == pytest.approx(scaled, abs=1e-4)
    with pytest.raises(PlanError, match="knows no classes"):
        contributions(few, bundle, into=tmp_path / "no", background=rows, focus=Focus(label="old"))
    with pytest.raises(PlanError, match="3 images cannot say what is usual"):
        contributions(few, bundle, into=tmp_path / "no")


def test_explain_takes_a_forest_on_the_command_line(
    forest: tuple[Manifest, Bundle], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows, bundle = forest
    words = ["explain", str(bundle.folder), str(rows.folder), "--background", str(rows.folder), "--into", str(tmp_path)]
    assert command([*words, "--first", "2", "--by", "family", "--label", "stem", "--against", "neuron", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["method"] == "shapley" and told["rows"] == 2 and told["failing"] == [] and Path(told["page"]).is_file()
    for extra, message in ((["--label", "stm"], "did you mean 'stem'"), (["--method", "relevance"], "holds no network"),
                           (["--by", "x"], "cannot be taken by")):  # fmt: skip
        assert command([*words, *extra]) == 2
        assert message in capsys.readouterr().err
