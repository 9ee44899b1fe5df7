"""A user's own folder given to a recipe with --data: read as the page of systems says, or refused in words."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile
from test_outlines import shrunk

from potency.errors import ManifestError
from potency.systems import SYSTEMS, counted, diff_state_map, localization, outlines, reproduce
from potency.systems.recipe import Order


def own(folder: Path, truth: str) -> Path:
    """A user's table of eight images in four groups, with a truth of some kind."""
    folder.mkdir()
    rng, names = np.random.default_rng(0), []
    for i in range(8):
        cells = np.zeros((64, 64), np.uint16)
        cells[8:24, 8:24], cells[32:56, 30:50] = 1, 2
        tifffile.imwrite(folder / f"{i}.tif", (rng.normal(60, 5, (64, 64)) + 90 * (cells > 0)).astype(np.uint8))
        tifffile.imwrite(folder / f"{i}_cells.tif", cells)
        pd.DataFrame({"x": [16, 40], "y": [16, 44]}).to_csv(folder / f"{i}_points.csv", index=False)
        tifffile.imwrite(folder / f"{i}_map.tif", (cells > 0).astype(np.uint8))
        names.append({"outlines": f"{i}_cells.tif", "points": f"{i}_points.csv", "maps": f"{i}_map.tif",
                      "classes": "ab"[i % 2], "numbers": 2.5 + i,
                      "sets": ("nucleus", "nucleus | membrane", "none")[i % 3]}[truth])  # fmt: skip
    table = pd.DataFrame({"image": [f"{i}.tif" for i in range(8)], "truth": names, "group": list("aabbccdd")})
    if truth == "maps":
        table = table.assign(**{"truth.classes": "ground|cell"})
    table.to_csv(folder / "labels.csv", index=False)
    return folder


@pytest.mark.parametrize("truth", ["points", "classes", "numbers"])
@pytest.mark.parametrize("system", ["flows", "mask-rcnn", "deepcell", "cellvit"])
def test_images_without_outlines_teach_no_outlines(system: str, truth: str, tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="this system learns from an outline of every object; given: ") as caught:
        reproduce(system, data=own(tmp_path / "own", truth), into=tmp_path / "out", budget="quick")
    assert "image, truth" in caught.value.mend


def test_the_users_own_outlines_are_learned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shrunk(monkeypatch, "stardist", tuple(arm for arm in outlines.ARMS if arm.changes["decoder"] == "stardist"), 0)
    page = reproduce("stardist", data=own(tmp_path / "own", "outlines"), into=tmp_path / "out", budget="quick")
    told = json.loads((tmp_path / "out/report.json").read_text("utf-8"))
    scene = told["scenes"]["real"]
    assert "an outline of every object" in page.read_text("utf-8") and list(told["scenes"]) == ["real"]
    assert scene["baselines"]["trivial"]["dice"]["value"] > 0.9 > scene["metrics"]["dice"]["value"]


def order(folder: Path, system: str) -> Order:
    """The order of somebody who only looks at what is read: whoever learns fails."""
    quick = replace(SYSTEMS[system].budgets[0], rows=0, cells=0)
    return Order(into=folder / "out", budget=quick, learn=None, say=print, data=folder / "own")  # type: ignore[arg-type]


def test_points_are_counted_in_every_way_and_numbers_in_one(tmp_path: Path) -> None:
    own(tmp_path / "own", "points")
    found = next(counted.sets(order(tmp_path, "xresnet-count")))
    assert set(found.views) == {"number", "density", "objects"} and found.problem.title == "Your images"
    assert found.views["number"].table["truth"].tolist() == [2.0] * 8
    assert "points or boxes" in found.problem.about
    (split,) = found.draws
    assert {"train", "test"} <= set(split.table["split"])
    assert split.table.groupby("group")["split"].nunique().max() == 1, "a group stands on one side"
    (tmp_path / "b").mkdir()
    own(tmp_path / "b" / "own", "numbers")
    assert set(next(counted.sets(order(tmp_path / "b", "xresnet-count"))).views) == {"number"}


def test_sets_of_places_are_dealt_by_group_and_other_truths_refused(tmp_path: Path) -> None:
    own(tmp_path / "own", "sets")
    problem = next(localization.problems(order(tmp_path, "localization")))
    assert problem.manifest.classes == ("membrane", "nucleus") and problem.manifest.kinds["truth"] == "labelset"
    assert set(problem.manifest.table["split"]) == {"train", "validation", "test"}
    (tmp_path / "b").mkdir()
    own(tmp_path / "b" / "own", "outlines")
    with pytest.raises(ManifestError, match="no column names what is in each image"):
        next(localization.problems(order(tmp_path / "b", "localization")))


def test_maps_bring_the_names_of_their_classes_or_are_refused(tmp_path: Path) -> None:
    own(tmp_path / "own", "maps")
    problem, classes = next(diff_state_map.problems(order(tmp_path, "diff-state-map")))
    assert classes == ("ground", "cell") and problem.manifest.kinds["truth"] == "regions"
    assert "a class for every pixel" in problem.about
    (tmp_path / "b").mkdir()
    own(tmp_path / "b" / "own", "outlines")
    with pytest.raises(ManifestError, match="no semantic map with named classes"):
        next(diff_state_map.problems(order(tmp_path / "b", "diff-state-map")))
