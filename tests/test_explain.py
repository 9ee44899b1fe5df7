"""Explanations: every method finds evidence that is known, tests tell a good map from a bad one, the verb keeps all."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile
import torch
from torch import Tensor, nn
from zoo import cells

from potency.bundle import Bundle
from potency.cli import run as command
from potency.cli.reason import METHOD_HELP
from potency.data.manifest import Manifest
from potency.data.plan import Facts, Plan
from potency.errors import PlanError
from potency.explanation import METHODS, background, faithful
from potency.explanation.account import shares
from potency.explanation.explain import _exact, explain, verdict
from potency.explanation.page import write_page
from potency.explanation.picture import read_map
from potency.explanation.rules import LADDER
from potency.learning.train import train
from potency.tasks import TASKS, Focus


class Corner(nn.Module):
    """Answers by how bright the upper left quarter is, through a convolution, a rectifier and a mean over a map."""

    def forward(self, image: Tensor) -> Tensor:
        wide = nn.functional.conv2d(image - 0.3, torch.full((1, image.shape[1], 3, 3), 0.1), padding=1).relu()
        height, width = wide.shape[2] // 2, wide.shape[3] // 2
        mask = torch.zeros_like(wide)
        mask[:, :, :height, :width] = 1
        return torch.cat([(wide * mask).mean((2, 3)), 0.02 * wide.mean((2, 3))], 1)


def corner(images: Tensor) -> Mapping[str, Tensor]:
    return {"output": Corner()(images)}


def first(output: Mapping[str, Tensor]) -> Tensor:
    return output["output"][:, 0]


@pytest.fixture
def bright() -> Tensor:
    torch.manual_seed(0)
    images = torch.rand(3, 1, 32, 32) * 0.05 + 0.3
    images[:, :, 4:28, 4:28] += 0.4
    return images


@pytest.mark.parametrize("name", [name for name in METHODS if name not in ("grad-cam", "grad-cam++", "attention")])
def test_a_method_finds_the_evidence_of_a_network_that_looks_at_one_corner(name: str, bright: Tensor) -> None:
    found = METHODS[name](corner, first, bright)
    assert found.values.shape[0] == 3 and found.values.shape[2:] == (32, 32)
    torch.testing.assert_close(found.score, first(corner(bright)))
    size = found.values.abs().sum(1)
    inside = size[:, :17, :17].sum((1, 2)) / size.sum((1, 2))
    assert (inside > (0.8 if name != "masks" else 0.4)).all(), inside  # of a quarter of the area; masks are coarse


@pytest.mark.parametrize("name", ["grad-cam", "grad-cam++"])
def test_the_last_map_is_weighed_by_what_its_channels_say(name: str) -> None:
    """Channel 0 is where it is bright and speaks for the class, channel 1 where it is dark and speaks against it."""

    def run(images: Tensor) -> Mapping[str, Tensor]:
        seen = torch.cat([images.relu(), (-images).relu()], 1)
        pooled = nn.functional.avg_pool2d(seen, 2).mean((2, 3))
        return {"output": nn.functional.linear(pooled, torch.tensor([[1.0, -1.0]]))}

    images = torch.full((1, 1, 16, 16), -1.0)
    images[:, :, 2:8, 2:8] = 2.0
    values = METHODS[name](run, first, images).values[0, 0]
    assert values[3:7, 3:7].min() > 0.9 * values.max() > 0 and values[10:, 10:].abs().max() == 0


def test_a_last_map_is_refused_where_there_is_none() -> None:
    plan = Plan(channels=("a",), classes=("x", "y"), network="vit-tiny", tile=64)
    nets = TASKS["classify"].build(plan).eval()
    with pytest.raises(PlanError, match="ends in tokens"):
        METHODS["grad-cam"](lambda i: TASKS["classify"].forward(nets, {"image": i}), first, torch.rand(1, 1, 64, 64))


def test_integrated_gradients_add_up(bright: Tensor) -> None:
    found = METHODS["integrated"](corner, first, bright)
    assert np.abs(shares({"score": found.score, **found.parts})["missing"]).max() < 0.02
    empty = first(corner(background(bright).expand_as(bright)))
    torch.testing.assert_close(found.values.sum((1, 2, 3)), found.score - empty, rtol=0.02, atol=1e-4)


def test_curves_tell_a_true_map_from_a_false_one(bright: Tensor) -> None:
    def told(images: Tensor) -> Tensor:
        return first(corner(images))

    true, by_chance = torch.zeros_like(bright), faithful.chance(told, bright)
    true[:, :, :16, :16] = 1
    good, bad, flat = (faithful.curves(told, bright, values, by_chance) for values in (true, -true, true * 0))
    assert (good.deletion > 0.005).all() and (good.insertion > 0.005).all()
    assert (bad.deletion < -0.005).all() and (bad.insertion < -0.005).all()
    assert (np.abs(flat.deletion) < 0.3 * good.deletion).all()  # equal relevance is hidden in the order of chance
    np.testing.assert_allclose(good.most[:, 0], told(bright).numpy(), rtol=1e-6)
    empty = told(background(bright).expand_as(bright)).numpy()
    np.testing.assert_allclose(good.most[:, -1], empty, rtol=1e-6)


def test_a_network_that_forgot_has_the_same_numbers() -> None:
    nets = TASKS["classify"].build(Plan(channels=("a",), classes=("x", "y"), tile=32)).eval()
    lost = faithful.forgetful(nets)
    for kept, shuffled in zip(nets.parameters(), lost.parameters(), strict=True):
        assert torch.equal(kept.flatten().sort().values, shuffled.flatten().sort().values)
    image = torch.rand(1, 1, 32, 32)
    assert not torch.allclose(nets["net"](image)["embedding"], lost["net"](image)["embedding"])


def test_maps_are_alike_up_to_size() -> None:
    torch.manual_seed(0)
    values = torch.randn(2, 1, 32, 32)
    np.testing.assert_allclose(faithful.alike(values, 3 * values + 1), 1, rtol=1e-5)
    np.testing.assert_allclose(faithful.alike(values, -values), -1, rtol=1e-5)
    assert (faithful.alike(values, torch.ones_like(values)) == 0).all()


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory) -> tuple[Manifest, Bundle]:
    folder = tmp_path_factory.mktemp("explained")
    rows = cells(folder / "cells")
    plan = Plan.of(Facts.of(rows), task="classify", steps=60, validations=1, batch=16, average=0.8, test_views=1)
    return rows, train(rows, TASKS["classify"], into=folder / "run", plan=plan)


def few(rows: Manifest, count: int = 3) -> Manifest:
    return rows.where(lambda table: table.index < count)


def test_explain_writes_a_map_a_picture_and_what_was_tested(learned: tuple[Manifest, Bundle], tmp_path: Path) -> None:
    rows, bundle = learned
    made = explain(few(rows), bundle, into=tmp_path)
    assert set(made.table["explanation.way"]) <= set(LADDER) and made.table["explanation.way"].nunique() == 1
    assert made.kinds["explanation"] == "picture" and made.table["explanation.error"].isna().all()
    for row in made.table.to_dict("records"):
        values, facts = read_map(tmp_path / row["explanation"])
        assert values.shape[1:] == made.open(row).shape[-2:] and np.isfinite(values).all()
        assert facts["method"] == "relevance" and facts["label"] in rows.classes
        for part in ("score", "empty", "input", "bias", "absorbed", "deletion", "insertion", "stability", "likeness"):
            assert facts[part] == pytest.approx(row[f"explanation.{part}"])
        assert facts["input"] + facts["bias"] + facts["absorbed"] == pytest.approx(facts["score"], abs=1e-3)
        assert (tmp_path / row["explanation"]).with_suffix(".png").is_file()
    moved = Manifest.read(tmp_path / "explanations.csv").write(tmp_path / "elsewhere" / "rows.csv")
    for again in (Manifest.read(tmp_path / "explanations.parquet"), Manifest.read(moved)):
        assert list(again.table["explanation.score"]) == pytest.approx(list(made.table["explanation.score"]))
        assert all((again.folder / path).is_file() for path in again.table["explanation"])


def test_what_is_done_is_kept_and_a_bad_row_costs_itself_alone(
    learned: tuple[Manifest, Bundle], tmp_path: Path
) -> None:
    rows, bundle = learned
    table = few(rows).table.copy()
    broken = tmp_path / "broken.tif"
    broken.write_bytes(b"no image")
    table["image"] = [str(rows.folder / path) for path in table["image"]]
    table.loc[1, "image"] = str(broken)
    given = Manifest.of_rows(table)
    made = explain(given, bundle, into=tmp_path / "out", checks=False)
    assert list(made.table["explanation.error"].notna()) == [False, True, False]
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "out" / "maps").iterdir()}
    tifffile.imwrite(broken, rows.open(rows.table.iloc[1].to_dict()).crop())
    seen: list[tuple[int, int]] = []
    made = explain(given, bundle, into=tmp_path / "out", checks=False, progress=lambda *done: seen.append(done))
    assert made.table["explanation.error"].isna().all() and seen[-1] == (3, 3)
    assert all(path.stat().st_mtime_ns == time for path, time in times.items())
    assert "explanation.deletion" not in made.table and verdict(made.table) == []


def test_a_folder_holds_to_the_way_that_was_chosen_first(
    learned: tuple[Manifest, Bundle], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows, bundle = learned
    plain = partial(explain, bundle=bundle, into=tmp_path, checks=False)
    plain(few(rows, faithful.FEWEST - 1))  # too few to choose by, so nothing is kept
    assert json.loads((tmp_path / "run.json").read_text("utf-8"))["explanation"]["ways"] == {}
    made = plain(few(rows, faithful.FEWEST))
    told = json.loads((tmp_path / "run.json").read_text("utf-8"))
    assert list(told["explanation"]["ways"].values()) == [[made.table["explanation.way"].iloc[0]]]
    other = next(way for way in LADDER if way != made.table["explanation.way"].iloc[0])

    def never(*_: object) -> object:
        raise AssertionError("chosen again")

    with monkeypatch.context() as patched:
        patched.setattr("potency.explanation.explain.fitted", never)
        times = {path: path.stat().st_mtime_ns for path in (tmp_path / "maps").iterdir()}
        again = plain(few(rows, faithful.FEWEST + 2))
        assert set(again.table["explanation.way"]) == set(made.table["explanation.way"])
        assert all(path.stat().st_mtime_ns == time for path, time in times.items())
        told["explanation"]["ways"] = {whose: [other] for whose in told["explanation"]["ways"]}
        (tmp_path / "run.json").write_text(json.dumps(told))
        assert set(plain(few(rows, 2)).table["explanation.way"]) == {other}  # it is read, not found anew
    for damaged in ('{"explanation": {"ways": [1]}}', '{"explanation": {"ways": {"x": {}}}}', "{", "[]"):
        (tmp_path / "run.json").write_text(damaged)
        assert set(plain(few(rows, faithful.FEWEST)).table["explanation.way"]) == set(made.table["explanation.way"])
    told["explanation"]["ways"] = {whose: ["of another version"] for whose in told["explanation"]["ways"]}
    (tmp_path / "run.json").write_text(json.dumps(told))
    assert set(plain(few(rows, faithful.FEWEST)).table["explanation.way"]) == set(made.table["explanation.way"])


def test_an_image_larger_than_the_tile_is_explained_whole(learned: tuple[Manifest, Bundle], tmp_path: Path) -> None:
    _, bundle = learned
    side = bundle.card.plans[0].tile[0]
    image = np.random.default_rng(0).integers(0, 255, (side, 2 * side + 3)).astype(np.uint8)
    tifffile.imwrite(tmp_path / "wide.tif", image)
    given = Manifest.of_rows(pd.DataFrame({"image": [str(tmp_path / "wide.tif")]}))
    with pytest.raises(ZeroDivisionError):  # of who listens, when a window is done: no error of the row
        explain(given, bundle, into=tmp_path / "out", checks=False, progress=lambda done, _: 0 if not done else 1 / 0)
    seen: list[float] = []
    made = explain(given, bundle, into=tmp_path / "out", checks=False, progress=lambda done, _: seen.append(done))
    assert seen == [0, 0.5, 1, 1]
    values, _ = read_map(tmp_path / "out" / made.table["explanation"].iloc[0])
    assert values.shape == (1, *image.shape) and (values[:, :, :side] != 0).any() and (values[:, :, -side:] != 0).any()


def test_a_class_a_score_and_a_method_that_are_none_are_refused(
    learned: tuple[Manifest, Bundle], tmp_path: Path
) -> None:
    rows, bundle = learned
    for how, said in (
        ({"method": "relevanc"}, "there is no method 'relevanc'"),
        ({"focus": Focus(label="yeast")}, "knows no class 'yeast'"),
        ({"focus": Focus(score="logits")}, "no score 'logits'"),
        ({"focus": Focus(score="similarity")}, "no embedding to compare"),
    ):
        with pytest.raises(PlanError, match=said):
            explain(few(rows), bundle, into=tmp_path, **how)  # type: ignore[arg-type]


def test_another_image_to_resemble_is_another_question() -> None:
    """Two long embeddings that differ in their middle only, which torch does not print."""
    one, other = torch.ones(5000), torch.ones(5000)
    other[2500] = 0.5
    assert str(Focus("similarity", like=one)) == str(Focus("similarity", like=other))
    assert _exact(Focus("similarity", like=one)) != _exact(Focus("similarity", like=other))


def test_help_names_every_method() -> None:
    assert sorted(METHOD_HELP.rstrip(".").split(", ")) == sorted(METHODS)


def test_a_forest_has_no_map(learned: tuple[Manifest, Bundle], tmp_path: Path) -> None:
    rows, _ = learned
    plan = Plan.of(Facts.of(rows), task="classify").but(learner="estimator", network="trivial")
    forest = train(rows, TASKS["classify"], into=tmp_path / "forest", plan=plan)
    with pytest.raises(PlanError, match="holds no network"):
        explain(few(rows), forest, into=tmp_path / "out")


def test_one_class_against_another_and_likeness_are_explained(
    learned: tuple[Manifest, Bundle], tmp_path: Path
) -> None:
    rows, bundle = learned
    a, b = rows.classes[:2]
    made = explain(few(rows, 2), bundle, into=tmp_path / "a", focus=Focus(label=a, against=b), checks=False)
    back = explain(few(rows, 2), bundle, into=tmp_path / "b", focus=Focus(label=b, against=a), checks=False)
    np.testing.assert_allclose(made.table["explanation.score"], -back.table["explanation.score"], rtol=1e-4)
    image = rows.open(rows.table.iloc[0].to_dict()).crop()
    like = torch.from_numpy(bundle.members[0].outputs([{"image": image}])[0]["embedding"])
    told = explain(few(rows, 2), bundle, into=tmp_path / "c", focus=Focus("similarity", like=like))
    assert told.table["explanation.score"].iloc[0] == pytest.approx(1, abs=0.02)  # `outputs` is the mean over flips
    assert told.table["explanation.input"].notna().all()


def test_the_page_says_what_fails_and_shows_the_maps(learned: tuple[Manifest, Bundle], tmp_path: Path) -> None:
    rows, bundle = learned
    made = explain(few(rows, 6), bundle, into=tmp_path)
    page = write_page(made, bundle, tmp_path, "relevance").read_text("utf-8")
    assert page.count("<figure>") == 6 and "share that reached the image" in page
    for line in verdict(made.table):
        assert line in page
    made.table["explanation.likeness"] = 0.9
    page = write_page(made, bundle, tmp_path, "relevance").read_text("utf-8")
    assert "shuffled weights gives much the same map" in page


def test_the_command_explains_with_a_model_that_comes_along(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    image = np.random.default_rng(0).integers(90, 160, (55, 55)).astype(np.uint8)
    tifffile.imwrite(tmp_path / "cell.tif", image)
    words = ["explain", "example:cell-cycle", str(tmp_path / "cell.tif"), "--into", str(tmp_path / "out"), "--json"]
    assert command(words) == 0
    answer = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert answer["rows"] == 1 and answer["errors"] == 0 and Path(answer["page"]).is_file()
    assert command([*words, "--label", "G3"]) == 2
    assert "knows no class 'G3'" in capsys.readouterr().err
