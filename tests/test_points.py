"""Rows as points: embeddings, maps, nearest rows, prototypes, each against truth by construction or by brute force."""

from __future__ import annotations

import json
import re
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from zoo import cells

from potency.bundle import Bundle
from potency.cli import run as command
from potency.data.manifest import Manifest
from potency.data.plan import Facts, Plan
from potency.embedding import LAYOUTS, embed, exemplars, nearest_rows, purity, similar
from potency.embedding import nearest as search
from potency.embedding.columns import colours
from potency.embedding.embed import vectors_in
from potency.embedding.exemplars import criticise, discrepancy, kernel, stand_for
from potency.embedding.layout import components, layouts
from potency.embedding.page import draw
from potency.embedding.reading import read
from potency.embedding.similar import voted
from potency.errors import ManifestError, MissingExtra, PlanError
from potency.learning.train import train
from potency.tasks import TASKS

DRAW = np.random.default_rng(0)


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory) -> tuple[Manifest, Bundle]:
    folder = tmp_path_factory.mktemp("points")
    rows = cells(folder / "cells")
    plan = Plan.of(Facts.of(rows), task="classify", steps=60, validations=1, batch=16, average=0.8, test_views=1)
    return rows, train(rows, TASKS["classify"], into=folder / "run", plan=plan)


def made_up(classes: float, groups: float, count: int = 240) -> tuple[np.ndarray, Manifest]:
    """Points whose class and group shift them by so much, beside noise of size 1; six groups."""
    draw = np.random.default_rng(1)
    truth, group = np.arange(count) % 2, np.arange(count) // 2 % 6
    values = draw.normal(size=(count, 12))
    values[:, 0] += classes * (2 * truth - 1)
    values[:, 1:7] += groups * np.eye(6)[group]
    table = pd.DataFrame({
        "image": [f"{k}.png" for k in range(count)], "truth": np.where(truth, "a", "b"),
        "group": [f"g{g}" for g in group], "embedding": list(values),
    })  # fmt: skip
    return values.astype(np.float32), Manifest.of_rows(table, kinds={"truth": "category", "embedding": "vector"})


def test_an_embedding_is_what_the_network_pools_and_a_row_that_fails_keeps_its_error(
    learned: tuple[Manifest, Bundle], tmp_path: Path
) -> None:
    rows, bundle = learned
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no image")
    last = rows.table.head(1).assign(id="broken", image=str(broken))
    table = pd.concat([rows.table.head(5), last], ignore_index=True)
    some = Manifest(table, rows.kinds, rows.folder, rows.origin)
    made = embed(some, bundle, into=tmp_path / "out")
    assert made.kinds["embedding"] == "vector" and "could not" not in str(made.table["embedding.error"].iloc[0])
    assert made.table["embedding.error"].notna().tolist() == [False] * 5 + [True]
    values, places = vectors_in(made)
    assert places.tolist() == [0, 1, 2, 3, 4]
    crops = [{"image": rows.open(row).crop()} for row in rows.records()[:5]]
    expected = np.stack([output["embedding"] for output in bundle.members[0].outputs(crops)])
    np.testing.assert_allclose(values, expected, atol=0.05 * float(np.abs(expected).max()))  # bfloat16 where there is
    again = Manifest.read(tmp_path / "out" / "embeddings.parquet")
    np.testing.assert_allclose(vectors_in(again)[0], values)
    seen: list[tuple[int, int]] = []
    embed(some, bundle, into=tmp_path / "out", progress=lambda done, total: seen.append((done, total)))
    assert seen[0] == (5, 6)  # what is done is kept


def test_two_networks_stand_side_by_side_with_equal_weight(learned: tuple[Manifest, Bundle]) -> None:
    from dataclasses import replace

    rows, bundle = learned
    card = replace(bundle.card, plans=bundle.card.plans * 2)
    both = replace(bundle, members=bundle.members * 2, card=card, folder=None)
    one, _ = vectors_in(embed(rows.where(lambda table: table.index < 3), bundle, into=None))
    two, _ = vectors_in(embed(rows.where(lambda table: table.index < 3), both, into=None))
    assert two.shape[1] == 2 * one.shape[1]
    unit = one / np.linalg.norm(one, axis=1, keepdims=True)
    np.testing.assert_allclose(two, np.concatenate([unit, unit], 1), atol=1e-5)


def test_nearest_rows_are_those_of_brute_force_in_any_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    keys, queries = DRAW.normal(size=(203, 9)).astype(np.float32), DRAW.normal(size=(31, 9)).astype(np.float32)
    groups = DRAW.integers(0, 5, 31), DRAW.integers(0, 5, 203)
    cosine = (queries @ keys.T) / np.linalg.norm(queries, axis=1)[:, None] / np.linalg.norm(keys, axis=1)
    apart = np.where(groups[0][:, None] == groups[1], -np.inf, cosine)
    for block in (2**24, 300, 1):
        monkeypatch.setattr(search, "BLOCK", block)
        found = nearest_rows(queries, keys, 7)
        assert (found.rows == np.argsort(-cosine, axis=1)[:, :7]).all()
        np.testing.assert_allclose(found.similarity, -np.sort(-cosine, axis=1)[:, :7], atol=1e-5)
        assert (nearest_rows(queries, keys, 7, groups=groups).rows == np.argsort(-apart, axis=1)[:, :7]).all()
    own = nearest_rows(keys, keys, 1, own=np.arange(203))
    assert (own.rows[:, 0] != np.arange(203)).all()
    lonely = nearest_rows(keys[:2], keys[:2], 3, groups=(np.zeros(2, int), np.zeros(2, int)))
    assert (lonely.rows == -1).all()
    for size in (1e20, 1e-20, 0.0):  # squares that no float32 holds, and no direction at all
        told = search.directions(np.array([[3.0, 4.0], [0.0, 0.0]], np.float32) * np.float32(size))
        np.testing.assert_allclose(told, [[0.6, 0.8], [0, 0]] if size else [[0, 0], [0, 0]], rtol=1e-5)
    with pytest.raises(PlanError, match="vectors of 9 numbers cannot be compared with vectors of 4"):
        nearest_rows(queries, keys[:, :4])
    with pytest.raises(PlanError, match="0 neighbours are none"):
        nearest_rows(queries, keys, 0)


def test_purity_is_chance_without_structure_and_one_with_it() -> None:
    codes = np.arange(300) % 3
    noise = DRAW.normal(size=(300, 5)).astype(np.float32)
    assert abs(purity(noise, codes).gain) < 0.06
    apart = np.eye(3, dtype=np.float32)[codes] + 0.01 * noise[:, :3]
    found = purity(apart, codes)
    assert found.share == 1 and found.chance == pytest.approx(99 / 299) and found.gain == 1
    groups = np.arange(300) // 3 % 10  # neighbours of other groups only: 90 of the other 270 are of the own class
    assert purity(apart, codes, apart=groups).chance == pytest.approx(90 / 270)
    assert purity(apart, codes, within=np.zeros(300, int)).share == 1
    assert purity(apart, codes, within=codes).points == 0  # nothing to tell apart


def test_a_map_that_shows_groups_is_called_a_confounder() -> None:
    told = {name: read(values, rows.table, rows) for name, (values, rows) in {
        "classes": made_up(4, 0), "groups": made_up(0, 6), "both": made_up(6, 5), "nothing": made_up(0, 0)}.items()}
    assert told["classes"].mark == "good" and "clearly told apart" in told["classes"].verdict
    assert told["groups"].mark == "bad" and "confounder" in told["groups"].verdict
    assert told["both"].mark == "caution" and "clearly to be seen too" in told["both"].verdict
    assert "not told apart" in told["nothing"].verdict and told["nothing"].mark == "caution"
    assert told["groups"].silhouette["group"] > 0.2 > told["groups"].silhouette["class"]
    values, rows = made_up(4, 0)
    unknown = Manifest.of_rows(rows.table.drop(columns=["group", "id"]), kinds=rows.kinds)
    assert "Groups are unknown" in read(values, unknown.table, unknown).verdict


def test_greedy_prototypes_are_the_best_single_steps_and_near_the_best_set() -> None:
    points = np.concatenate([DRAW.normal(size=(5, 2)), DRAW.normal(size=(4, 2)) + 6, [[20.0, 20.0]]])
    alike = kernel(points)
    chosen = stand_for(alike, 3)
    for size in range(1, 4):  # each step against all that it could have been
        before = list(chosen[: size - 1])
        tried = {k: discrepancy(alike, np.array([*before, k])) for k in range(len(points)) if k not in before}
        assert discrepancy(alike, chosen[:size]) == pytest.approx(min(tried.values()))
    best = min(discrepancy(alike, np.array(each)) for each in combinations(range(len(points)), 3))
    empty = float(alike.mean())
    assert empty - discrepancy(alike, chosen) >= (1 - 1 / np.e) * (empty - best)
    whole = exemplars(points, 10, 0)
    assert whole.distance == pytest.approx(0, abs=1e-12) and sorted(whole.prototypes) == list(range(10))


def test_greedy_criticisms_are_the_best_single_steps() -> None:
    points = np.concatenate([DRAW.normal(size=(9, 2)), [[5.0, 5.0], [5.1, 5.0], [-6.0, 2.0]]])
    alike = kernel(points)
    prototypes = stand_for(alike, 2)
    chosen = criticise(alike, prototypes, 3)
    witness = np.abs(alike.mean(0) - alike[prototypes].mean(0))

    def worth(each: list[int]) -> float:
        return float(witness[each].sum() + np.linalg.slogdet(alike[np.ix_(each, each)] + 1e-6 * np.eye(len(each)))[1])

    for size in range(1, 4):
        before = list(chosen[: size - 1])
        tried = {k: worth([*before, k]) for k in range(len(points)) if k not in [*before, *prototypes]}
        assert int(chosen[size - 1]) == max(tried, key=lambda k: tried[k])
    with pytest.raises(PlanError, match="0 prototypes"):
        exemplars(points, 0)


def test_components_are_those_of_scikit_learn() -> None:
    from sklearn.decomposition import PCA

    for shape in ((40, 6), (6, 40)):
        values = DRAW.normal(size=shape).astype(np.float32) * np.linspace(1, 3, shape[1], dtype=np.float32)
        scores, shares = components(values, 3)
        fitted = PCA(3).fit(values)
        np.testing.assert_allclose(np.abs(scores), np.abs(fitted.transform(values)), rtol=1e-3, atol=1e-3)
        np.testing.assert_allclose(shares, fitted.explained_variance_ratio_, rtol=1e-4)
    flat = layouts(np.ones((5, 3), np.float32), ["pca"])[0]
    assert np.isfinite(flat.places).all()


def test_t_sne_keeps_clusters_and_umap_is_an_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    codes = np.arange(90) % 3
    values = (10 * np.eye(3)[codes] + DRAW.normal(size=(90, 3))).astype(np.float32)
    (pca, tsne) = layouts(values, ["tsne"])
    again = layouts(values, ["tsne"])[1]
    assert pca.name == "pca" and np.array_equal(tsne.places, again.places)
    gaps = np.linalg.norm(tsne.places[:, None] - tsne.places, axis=-1) + 1e9 * np.eye(90)
    assert (codes[gaps.argmin(1)] == codes).all()
    monkeypatch.setattr("potency.embedding.layout.find_spec", lambda name: None)
    assert [layout.name for layout in layouts(values[:30])] == ["pca", "tsne"]
    with pytest.raises(MissingExtra, match="umap-learn"):
        LAYOUTS["umap"](values, 0)
    with pytest.raises(PlanError, match="no layout 'tsnee'(.|\n)*'tsne'"):
        layouts(values, ["tsnee"])
    with pytest.raises(PlanError, match="a map of 2 points says nothing"):
        layouts(values[:2])


def test_any_column_colours_if_it_tells_rows_apart() -> None:
    table = pd.DataFrame({
        "id": list("abcdef") * 5, "image": "x.png", "truth": ["p", "q"] * 15, "score": np.linspace(0, 1, 30),
        "well": [1, 2, 3] * 10, "same": 1, "name": [f"n{k}" for k in range(30)], "embedding": [[1.0]] * 30,
        "embedding.pca.1": np.linspace(0, 1, 30), "gap": [None, "r", "s"] * 10,
        "prediction.probability.p": np.linspace(0, 1, 30), "prediction.probability.q": np.linspace(1, 0, 30),
    })  # fmt: skip
    found = {colour.name: colour for colour in colours(table)}
    assert list(found)[:2] == ["truth", "confidence"]
    assert set(found) == {"truth", "score", "well", "gap", "confidence", "prediction.probability.p",
                          "prediction.probability.q"}  # fmt: skip
    assert found["well"].kinds == ["1", "2", "3"] and found["score"].kinds is None
    assert found["gap"].values[:3] == [-1, 0, 1] and min(found["confidence"].values) >= 0.5


def test_similar_finds_the_same_image_elsewhere_and_leaves_out_what_is_asked(
    learned: tuple[Manifest, Bundle]
) -> None:
    rows, bundle = learned
    made = embed(rows, bundle, into=None)
    table = similar(made, made, 3).table
    assert (table["nearest.1"] != table["id"]).all()  # a row is not its own neighbour
    assert (table["nearest.1.similarity"] >= table["nearest.2.similarity"]).all()
    apart = similar(made, made, 3, elsewhere=True).table
    assert (apart[["nearest.1.group", "nearest.2.group", "nearest.3.group"]].ne(apart["group"], axis=0)).all(axis=None)
    other = similar(made, made.where(lambda table: table.index > 4), 1).table
    assert other["nearest.1"].notna().all()
    loose = Manifest(made.table, made.kinds, made.folder, {**made.origin, "group": "unknown"})
    with pytest.raises(ManifestError, match="groups are unknown"):
        similar(loose, loose, elsewhere=True)


def test_nearest_rows_of_other_groups_vote_as_brute_force_does() -> None:
    values, rows = made_up(2, 3)
    table = voted(rows, count=5).table
    truth, group = rows.table["truth"].to_numpy(), rows.table["group"].to_numpy()
    unit = values / np.linalg.norm(values, axis=1, keepdims=True)
    for k in (0, 7, 101):
        allowed = np.flatnonzero(group != group[k])
        near = allowed[np.argsort(-(unit[allowed] @ unit[k]))[:5]]
        assert table["prediction@nearest.probability.a"][k] == pytest.approx((truth[near] == "a").mean())
    number = Manifest.of_rows(rows.table.assign(truth=values[:, 0]), kinds={"embedding": "vector"})
    told = voted(number).table
    assert np.corrcoef(told["prediction@nearest"], told["truth"])[0, 1] > 0.5


def test_the_page_holds_all_points_and_fetches_nothing(learned: tuple[Manifest, Bundle], tmp_path: Path) -> None:
    rows, bundle = learned
    table = rows.table.assign(plate=["<b>1</b>", "2"] * 24)
    made = embed(Manifest(table, rows.kinds, rows.folder, rows.origin), bundle, into=tmp_path)
    drawn = draw(made, tmp_path, ways=["pca"], colour="plate", banners=["look out"])
    text = drawn.page.read_text("utf-8")
    data = json.loads(re.search(r'id="data">(.*?)</script>', text, re.DOTALL)[1])  # type: ignore[index]
    assert len(data["ids"]) == len(data["layouts"][0]["x"]) == 48 and data["colour"] == "plate"
    assert {"truth", "plate", "group"} <= {colour["name"] for colour in data["colours"]}
    assert "<b>1</b>" not in text and "SIMULATED" in text and "look out" in text
    assert text.count("prototypes</span>") == 2 and not re.search(r'(?:src|href)="(?!data:)', text)
    assert {"embedding.pca.1", "embedding.pca.2"} <= set(drawn.rows.table)
    assert drawn.answers is not None and 0.5 < drawn.answers["numbers"]["prediction@nearest"]["accuracy"] <= 1
    with pytest.raises(ManifestError, match="no column 'plat' can colour(.|\n)*'plate'"):
        draw(made, tmp_path, ways=["pca"], colour="plat")


def test_embed_and_similar_on_the_command_line(
    learned: tuple[Manifest, Bundle], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows, bundle = learned
    assert command(["embed", str(rows.folder), "--bundle", str(bundle.folder), "--into", str(tmp_path / "out"),
                    "--layout", "pca", "--json"]) == 0  # fmt: skip
    told = json.loads(capsys.readouterr().out)
    assert told["rows"] == 48 and told["errors"] == 0 and set(told["answers"]) == {"prediction", "prediction@nearest"}
    table = tmp_path / "out" / "embeddings.parquet"
    assert command(["embed", str(table), "--layout", "pca", "--into", str(tmp_path / "again"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["neighbours"] == told["neighbours"]
    image = str(rows.folder / rows.table["image"].iloc[0])
    assert command(["similar", str(bundle.folder), image, "--among", str(table), "--into", str(tmp_path / "near"),
                    "--json"]) == 0  # fmt: skip
    assert json.loads(capsys.readouterr().out)["among"] == 48
    near = pd.read_parquet(tmp_path / "near" / "similar.parquet")
    assert near["nearest.1"].iloc[0] != rows.table["id"].iloc[0] and "data:image" in (
        tmp_path / "near" / "similar.html"
    ).read_text("utf-8")
    for words, message in (
        (["embed", str(rows.folder), "--layout", "tsn"], "no layout 'tsn'"),
        (["embed", str(rows.folder), "--into", str(tmp_path / "x")], "no row has an embedding"),
        (["similar", str(bundle.folder), image, "--among", str(tmp_path / "none")], "none"),
    ):
        assert command(words) == 2
        assert message in capsys.readouterr().err
