"""Colonies: simulated with the state of every pixel, found and measured; their recipes, from vectors to the page."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile
import zoo
from cheap_learner import Learner
from skimage.feature import graycomatrix, graycoprops
from sklearn.feature_selection import f_classif

from potency import systems
from potency.answers.conformal import JOIN
from potency.answers.regions import Regions
from potency.data import gathering
from potency.data.manifest import Manifest
from potency.errors import ManifestError
from potency.evaluation import plots
from potency.measurement import FAMILIES
from potency.measurement import colony as measured
from potency.simulate.colonies import COLONY, DEAD, DIFFERENTIATED, SINGLE, STATES, maps
from potency.systems import SYSTEMS, diff_state_map, ipsc_colony, regional, reproduce, vectors
from potency.systems.recipe import Asked, Budget, Learned, Order


def naive(p: np.ndarray) -> dict[str, float]:
    """Haralick's features as the paper writes them, loop by loop."""
    n = len(p)
    level = range(1, n + 1)
    px = [sum(p[i - 1, j - 1] for j in level) for i in level]
    total = {k: sum(p[i - 1, j - 1] for i in level for j in level if i + j == k) for k in range(2, 2 * n + 1)}
    apart = {k: sum(p[i - 1, j - 1] for i in level for j in level if abs(i - j) == k) for k in range(n)}

    def entropy(values: object) -> float:
        return -sum(v * np.log(v) for v in values if v > 0)  # type: ignore[attr-defined]

    average = sum(k * v for k, v in total.items())
    gap = sum(k * v for k, v in apart.items())
    product = [px[i - 1] * px[j - 1] for i in level for j in level]
    cross = -sum(p[i - 1, j - 1] * np.log(px[i - 1] * px[j - 1]) for i in level for j in level if p[i - 1, j - 1] > 0)
    return {
        "sum_average": average, "sum_variance": sum((k - average) ** 2 * v for k, v in total.items()),
        "sum_entropy": entropy(total.values()), "difference_entropy": entropy(apart.values()),
        "difference_variance": sum((k - gap) ** 2 * v for k, v in apart.items()), "entropy": entropy(p.ravel()),
        "information_1": (entropy(p.ravel()) - cross) / entropy(px),
        "information_2": np.sqrt(1 - np.exp(-2 * (entropy(product) - entropy(p.ravel())))),
    }  # fmt: skip


def test_the_thirteen_features_agree_with_scikit_image_and_with_the_paper() -> None:
    levels = np.random.default_rng(0).integers(0, 16, (20, 24)).cumsum(1) % 16
    for way, angle in (((0, 1), 0), ((1, 0), np.pi / 2)):
        matrix = measured.neighbours(levels, np.ones(levels.shape, bool), way)
        other = graycomatrix(levels.astype(np.uint8), [1], [angle], 16, symmetric=True, normed=True)
        np.testing.assert_allclose(matrix, other[:, :, 0, 0])
        found = measured.thirteen(matrix)
        assert set(found) == set(measured.TEXTURES)
        for ours, theirs in (("energy", "ASM"), ("contrast", "contrast"), ("correlation", "correlation"),
                             ("homogeneity", "homogeneity"), ("variance", "variance")):  # fmt: skip
            assert found[ours] == pytest.approx(float(graycoprops(other, theirs)[0, 0])), ours
        assert {name: found[name] for name in naive(matrix)} == pytest.approx(naive(matrix))
    half = np.tile(np.arange(24) < 12, (20, 1))  # what lies outside of a colony has no part in it
    torn = np.where(half, levels, np.random.default_rng(1).integers(0, 16, levels.shape))
    for way in measured.DIRECTIONS:
        np.testing.assert_allclose(measured.neighbours(torn, half, way), measured.neighbours(levels, half, way))


def test_a_colony_is_found_by_its_texture_and_has_its_form() -> None:
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:96, :96]
    disc = np.hypot(y - 50, (x - 44) / 1.5) < 20
    plane = 1000 + 4 * rng.standard_normal((96, 96)) + disc * 120 * rng.standard_normal((96, 96))
    found = measured.colony(plane)
    assert (found & disc).sum() / (found | disc).sum() > 0.85
    names, (values,) = FAMILIES["colony-shape"]([plane[None]], 0.5)
    told = {name.split(".")[2]: value for name, value in zip(names, values, strict=True)}
    assert told["area_um2"] == pytest.approx(disc.sum() / 4, rel=0.15)
    assert told["centroid_y_um"] == pytest.approx(25, abs=1) and told["centroid_x_um"] == pytest.approx(22, abs=1)
    assert told["major_axis_um"] / told["minor_axis_um"] == pytest.approx(1.5, rel=0.1)
    empty = FAMILIES["colony-texture"]([np.full((1, 40, 40), 7)])[1]
    assert not empty.any()


def test_what_a_colony_encloses_is_counted() -> None:
    y, x = np.mgrid[:80, :120]
    codes = (np.hypot(y - 40, x - 40) < 30).astype(np.uint8)
    codes[36:44, 20:28], codes[36:44, 50:56], codes[20, 40] = 0, 3, 0  # a hole, an island, a speck too small to count
    codes[5:9, 100:104] = 1  # too small to be a colony
    codes[60:80, 100:120] = 1
    table, numbers = measured.inclusions(codes, 1, pixel_size=1.0, names=("ground", "colony", "single", "flat"))
    assert table[["holes", "islands"]].values.tolist() == [[1, 1], [0, 0]]
    first = table.iloc[0]
    area = (np.hypot(y - 40, x - 40) < 30).sum()
    assert first["area"] == first["area_um2"] == area
    assert first["inclusion_share"] == pytest.approx(113 / area) and first["share-flat"] == pytest.approx(48 / area)
    assert (first["centroid-0"], first["centroid-1"]) == pytest.approx((40, 40)) and first["roundness"] > 0.9
    assert table["roundness"][1] < first["roundness"] and numbers[40, 24] == 1 and numbers[70, 110] == 2
    assert len(measured.inclusions(np.zeros((8, 8), int), 1)[0]) == 0


def test_the_state_of_every_pixel_is_that_of_its_cell(tmp_path: Path) -> None:
    labels = np.zeros((9, 20), int)
    labels[2:7, :4], labels[2:7, 6:10], labels[0, 19] = 1, 2, 3
    codes, colony = maps(labels, np.array([0, COLONY, DIFFERENTIATED, SINGLE]), np.array([0, 4, 4, 0]), 2.0)
    assert codes[4, 2:8].tolist() == [1, 1, 1, 3, 3, 3] and colony[4, :10].tolist() == [4] * 10  # the gap is closed
    assert codes[0, 19] == SINGLE and colony[0, 19] == 0 and not codes[:, 11:18].any() and not codes[8].any()
    made = zoo.states(tmp_path / "set", cells=160)
    hours = made.table["time"].to_numpy()
    early, late = (
        np.mean([[(tifffile.imread(made.folder / one) == k).mean() for k in range(len(STATES))]
                 for one in made.table["map"][hours == hour]], axis=0)
        for hour in (hours.min(), hours.max())
    )  # fmt: skip
    assert early[DIFFERENTIATED] == 0 and late[DIFFERENTIATED] > 0.01 and late[DEAD] > early[DEAD]
    assert early[COLONY] > 0.05 and made.table["map.classes"][0] == JOIN.join(STATES)
    asked = Manifest.read(made.folder, truth="map")  # the parts of a column come with it
    assert diff_state_map.as_maps(asked)[1] == STATES


def test_good_colonies_are_rounder_and_hold_less_of_another_state(tmp_path: Path) -> None:
    made = zoo.colonies(tmp_path / "set", cells=30 * 16, groups=4, wells=4, field=96)
    assert set(made.table["truth"]) == {"good", "bad"}
    other = []
    for row in made.records():
        codes = tifffile.imread(made.folder / row["map"])
        other.append((codes >= DIFFERENTIATED).sum() / (codes > 0).sum())
    assert np.corrcoef(other, made.table["severity"])[0, 1] > 0.5


def test_fisher_scores_rank_the_learning_rows_alone() -> None:
    rng = np.random.default_rng(0)
    truth = np.repeat(["a", "b", "c"], 20)
    values = rng.standard_normal((60, 5)) + np.outer(np.repeat([0, 1, 2], 20), [0, 2, 0.5, 0, 1])
    theirs = f_classif(values, truth)[0] * 2 / (60 - 3)
    np.testing.assert_allclose(vectors.fisher(values, truth), theirs)
    learned = np.arange(60) % 3 > 0
    made = vectors.virtual(values, truth, learned)
    assert made.shape == (60, 12, 12) and made.dtype == np.uint16
    best = int(vectors.fisher(values[learned], truth[learned]).argmax())
    assert np.corrcoef(made[:, 0, 0], values[:, best])[0, 1] > 0.99
    assert (made[:, :4, :4] == made[:, :1, :1]).all() and (made[:, 4:8, 8:] == vectors.UNKNOWN).all()
    odd = values.copy()
    odd[~learned] = 1e6  # whatever a test row holds moves neither order nor scale
    np.testing.assert_array_equal(vectors.virtual(odd, truth, learned)[learned], made[learned])


SOME = (*ipsc_colony.VECTORS, *ipsc_colony.MACHINES[:1], *ipsc_colony.OTHERS[:2])
SMALL = Budget("quick", SOME, cells=30 * 25, passes=1, folds=2, holdout=False)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Learner]:
    learner = Learner()
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("POTENCY_DATA", raising=False)
        patch.setattr(plots, "draw_all", lambda report: [plot for plot in (plots.glance(report),) if plot])
        patch.setattr(ipsc_colony, "CELLS", 30)  # 25 colonies, one a clone
        patch.setitem(systems.SYSTEMS, "ipsc-colony", replace(SYSTEMS["ipsc-colony"], budgets=(SMALL,)))
        return reproduce("ipsc-colony", into=tmp_path_factory.mktemp("colony") / "out", learn=learner), learner


def test_vectors_machines_images_and_fusion_stand_on_one_page(page: tuple[Path, Learner]) -> None:
    told = json.loads((page[0].parent / "report.json").read_text("utf-8"))
    assert list(told["scenes"]) == ["simulated-outlines", "simulated"]
    assert told["scenes"]["simulated-outlines"]["metrics"]["iou.colony"]["value"] > 0.6
    scene = told["scenes"]["simulated"]
    beside, scores = scene["grids"]
    assert [row[:2] for row in beside["rows"][:4]] == [
        ["V-CNN, both", "93.2 %"], ["V-CNN, shape", "95.5 %"], ["V-CNN, texture", "91.0 %"], ["SVM, both", "83.4 %"]
    ]  # fmt: skip
    assert {"image CNN", "fusion: image CNN + vector"} <= {row[0] for row in beside["rows"]}
    assert all("–" not in row[2:] for row in beside["rows"])  # each arm under both splits
    assert len(scores["rows"]) == 24 and scene["metrics"]["accuracy"]["low"] is not None
    text = page[0].read_text("utf-8")
    assert "V-CNN, both against image CNN" in text and "a colony was found in" in text
    assert "SIMULATED: a program drew these images" in text


def test_virtual_images_are_written_for_every_fold_and_split(page: tuple[Path, Learner]) -> None:
    own = [(asked, rows) for (_, asked), (_, rows) in zip(page[1].asked, page[1].seen, strict=True)
           if "split" in rows.table]  # fmt: skip
    assert len(own) == 3 * 2 * 2  # three vectors, two splits, two folds
    assert all(asked.holdout and not asked.random for asked, _ in own)
    sizes = {asked.changes["tile"] for asked, _ in own}
    assert sizes == {16, 20}
    for asked, rows in own:
        assert rows.open(rows.records()[0]).shape[-2:] == (asked.changes["tile"],) * 2
    grouped = own[0][1].table
    assert (grouped.groupby("group")["split"].nunique() == 1).all()
    others = [asked.changes for (_, asked), (_, rows) in zip(page[1].asked, page[1].seen, strict=True)
              if "split" not in rows.table]  # fmt: skip
    machines = [one for one in others if one.get("network") == "svm"]
    assert [one["families"] for one in machines] == [["colony-shape", "colony-texture"]] * 2
    assert [len(one.get("members", ())) for one in machines] == [0, 1]


def moved(manifest: Manifest, asked: Asked, into: Path, say: object) -> Learned:
    """Stands for a network: the true maps, two pixels aside."""
    rows = manifest.table[["id"]]
    for column in ("prediction", "prediction@random"):
        aside = (np.roll(codes, 2, axis=1) for codes in regional.read(manifest, "truth"))
        cells = [Regions(codes, STATES).cells(into, column) for codes in aside]
        made = pd.DataFrame(cells).assign(id=manifest.table["id"].to_numpy())
        rows = rows.merge(made.assign(**{column: gathering.moved(made[column], into, manifest.folder)}), on="id")
    return Learned(rows, {"split_kind": "stratified", "split": "a split", "plan": {}, "fingerprint": "f" * 64})


@pytest.mark.usefixtures("one_figure")
def test_maps_areas_and_colonies_stand_on_one_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small = Budget("quick", (diff_state_map.UNET,), cells=300, folds=2, holdout=False)
    monkeypatch.delenv("POTENCY_DATA", raising=False)
    monkeypatch.setattr(diff_state_map, "CELLS", 60)
    monkeypatch.setattr(diff_state_map, "SIDE", 128)
    monkeypatch.setitem(systems.SYSTEMS, "diff-state-map", replace(SYSTEMS["diff-state-map"], budgets=(small,)))
    text = reproduce("diff-state-map", into=tmp_path / "out", learn=moved).read_text("utf-8")
    told = json.loads((tmp_path / "out/report.json").read_text("utf-8"))
    scene = told["scenes"]["simulated"]
    figures = {name: scene["metrics"][name]["value"] for name in ("mean_iou", "iou.colony", "iou.single")}
    assert 0.2 < figures["iou.single"] < figures["iou.colony"] < 0.99
    rows = scene["grids"][0]["rows"]
    assert len(rows) == 3 * len(STATES) and rows[0][0] == "U-Net: background"
    assert rows[len(STATES)][0].startswith("U-Net, random split: ") or rows[-1][0].startswith("U-Net, random split: ")
    areas, each = told["sheets"]["simulated-measured"]["grids"]
    assert [row[0] for row in areas["rows"]] == list(STATES)
    assert all(row[1] == row[2] and row[3].startswith("0.0") for row in areas["rows"])  # what is moved keeps its area
    found, _, whole = each["rows"][0][1].partition(" of ")
    assert 0.7 * int(whole) <= int(found) <= int(whole)
    assert float(each["rows"][-1][3].split()[0]) == pytest.approx(2 * 1.3, abs=0.8)
    assert "Area of colony over time" in text and diff_state_map.RULE in text
    table = pd.read_csv(tmp_path / "out/simulated/colonies.csv")
    assert {"roundness", "holes", "islands", "area_um2", "centroid-0", "said-area", "time"} <= set(table)


def test_colonies_are_paired_with_the_predicted_ones(tmp_path: Path) -> None:
    true, said = np.zeros((60, 120), np.uint8), np.zeros((60, 120), np.uint8)
    true[10:40, 10:40], true[10:40, 70:100] = 1, 1
    said[10:40, 12:42] = 1
    said[20:26, 20:26] = 2
    for name, codes in (("image", true), ("true", true), ("said", said)):
        tifffile.imwrite(tmp_path / f"{name}.tif", codes)
    table = pd.DataFrame({"image": ["image.tif"], "truth": ["true.tif"], "prediction": ["said.tif"], "group": ["a"]})
    rows = Manifest.of_rows(table, tmp_path, {"truth": "regions"})
    found = regional.colonies(rows, "prediction", 1, ("ground", "colony", "flat"), None)
    assert found["said-area"].notna().tolist() == [True, False] and found["said-islands"][0] == 1
    grid = regional.agreement(found, None)
    assert grid.rows[0][1] == "1 of 2" and grid.rows[-1][0] == "centre (px)" and grid.rows[-1][3].startswith("2 ")
    np.testing.assert_allclose(regional.shares(rows, "prediction", ("ground", "colony", "flat")),
                               [[1 - 900 / 7200, 864 / 7200, 36 / 7200]])  # fmt: skip


def test_other_truths_are_refused(tmp_path: Path) -> None:
    cells = zoo.cells(tmp_path / "own", cells=8)
    with pytest.raises(ManifestError, match="no semantic map with named classes(.|\n)*truth.classes"):
        diff_state_map.as_maps(cells)
    blank = tmp_path / "blank"
    blank.mkdir()
    for name in "ab":
        tifffile.imwrite(blank / f"{name}.tif", np.full((32, 32), 9, np.uint8))
    rows = Manifest.of_rows(pd.DataFrame({"image": ["a.tif", "b.tif"], "truth": ["good", "bad"]}), blank)
    problem = systems.arms.Problem("x", "X", "", rows, True)
    with pytest.raises(ManifestError, match="fewer than two classes"):
        ipsc_colony.measured(problem, Order(tmp_path, None, SMALL, Learner(), str))
    assert Asked().folds == 5
