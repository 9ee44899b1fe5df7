"""Systems deepcell and cellvit: every question is asked, types and growth are told, a threshold stands beside them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pandas as pd
import pytest
from trivial_masks import trivial

from potency import systems
from potency.answers import Labels
from potency.data.gathering import moved
from potency.data.manifest import Manifest
from potency.evaluation import plots, worst
from potency.systems import SYSTEMS, deepcell, reproduce
from potency.systems.cellvit import BOTH
from potency.systems.recipe import Asked, Budget, Learned, Order
from potency.systems.sources import sampled
from potency.systems.typed import TYPES, consep

SMALL = Budget("quick", (deepcell.NETWORK,), rows=10, cells=60)


class Knowing:
    """Stands for the protocol: it answers a fold of every question with the truth, less one object of each image."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []

    def __call__(self, manifest: Manifest, asked: Asked, into: Path, say: object) -> Learned:
        self.asked.append(asked)
        tested = manifest.split(folds=2).fold(0)
        rows = tested.where(tested.table["split"].eq("test"))
        found = []
        for row in rows.records():
            cells = {"": row["truth"]} | ({"objects": row["truth.objects"]} if "truth.objects" in rows.table else {})
            true = Labels.of_cells(cells, rows.folder)
            kept = np.where(true.instances == true.objects["label"].iloc[0], 0, true.instances)
            found.append(Labels.of(kept, true.objects).cells(into, "prediction"))
        table = pd.DataFrame(found).assign(id=rows.table["id"].tolist())
        for name in ("prediction", "prediction.objects"):
            table[name] = moved(table[name], into, manifest.folder)
        if "trivial" in asked.baselines:
            kind = "stem" if "truth.objects" in rows.table else ""
            table = table.merge(trivial(manifest, rows, into, kind), on="id")
        return Learned(table, {"plan": {"network": "one that knows", "classes": []}})


@pytest.fixture(scope="module")
def plain() -> Iterator[None]:
    """Reports without their figures and galleries, which other tests look at."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plots, "draw_all", lambda report: [])
        patch.setattr(worst, "walls", lambda report: [])
        yield


@pytest.fixture(scope="module")
def told(plain: None, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any], Knowing]:
    learner = Knowing()
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("POTENCY_DATA", raising=False)
        patch.setattr(deepcell, "FRAMES", 5)
        patch.setattr(deepcell, "GROUPS", 5)
        patch.setitem(systems.SYSTEMS, "deepcell", replace(SYSTEMS["deepcell"], budgets=(SMALL,)))
        page = reproduce("deepcell", into=tmp_path_factory.mktemp("deepcell") / "out", learn=learner)
    return page, json.loads((page.parent / "report.json").read_text("utf-8")), learner


def test_outlines_and_types_stand_beside_what_was_published(told: tuple[Path, dict[str, Any], Knowing]) -> None:
    page, found, learner = told
    assert list(found["scenes"]) == ["simulated-types", "simulated-bacteria"]
    assert [asked.changes["decoder"] for asked in learner.asked] == ["boundary", "boundary"]
    assert not any(asked.random for asked in learner.asked)
    types, rods = found["scenes"].values()
    assert types["published"]["type_accuracy"]["value"] == "86 % / 100 %"
    assert types["metrics"]["type_accuracy"]["value"] == 1 > types["baselines"]["trivial"]["type_accuracy"]["value"]
    assert rods["published"]["object_jaccard"]["value"] == ".95"
    jaccard = rods["metrics"]["object_jaccard"]["value"]
    assert 0.5 < jaccard < 1 and rods["baselines"]["trivial"]["object_jaccard"]["value"] < jaccard
    text = page.read_text("utf-8")
    assert text.count("SIMULATED: a program drew these images") == 2 and "against trivial" in text
    assert found["status"] == "partial" and any("tracked" in part for part in found["missing"])


def test_growth_is_that_of_films_which_were_answered(told: tuple[Path, dict[str, Any], Knowing]) -> None:
    _, found, _ = told
    (grid,) = found["scenes"]["simulated-bacteria"]["grids"]
    films = pd.read_csv(told[0].parent / "simulated-bacteria" / "labels.csv", dtype={"movie": str})
    assert 0 < len(grid["rows"]) < films["movie"].nunique()  # those that were learned from are not told
    for name, _, _, true, given, answered, cells in grid["rows"]:
        own = films[films["movie"].eq(name)].sort_values("time")
        rate = np.polyfit(own["time"], np.log(own["area"]), 1)[0]
        assert float(true.split()[0]) == pytest.approx(rate, rel=0.02) or "logistic" in str(grid)
        assert float(given) == pytest.approx(own["growth"].iloc[0], rel=0.01)
        assert [int(n) + 1 for n in answered.split(" to ")] == [int(n) for n in cells.split(" to ")]
        assert int(cells.split(" to ")[1]) == own["cells"].iloc[-1]
    (words,) = found["findings"]
    assert words.startswith("Simulated bacteria, ") and "no interval" in words  # under five films


@pytest.mark.usefixtures("plain")
def test_cellvit_tells_the_protocol_of_pannuke(
    told: tuple[Path, dict[str, Any], Knowing], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    learner, drawn = Knowing(), "simulated-types"
    shutil.copytree(told[0].parent / drawn, tmp_path / "out" / drawn)  # what is drawn already is not drawn anew
    monkeypatch.delenv("POTENCY_DATA", raising=False)
    monkeypatch.setitem(systems.SYSTEMS, "cellvit", replace(SYSTEMS["cellvit"], budgets=(replace(SMALL, arms=BOTH),)))
    reproduce("cellvit", into=tmp_path / "out", learn=learner)
    scene = json.loads((tmp_path / "out/report.json").read_text("utf-8"))["scenes"]["simulated-types"]
    assert [asked.changes["network"].partition(":")[0] for asked in learner.asked] == ["cellvit", "unet"]
    assert scene["published"] == {}  # nothing was published of such cells
    (grid,) = scene["grids"]
    assert grid["head"][1:] == ["CellViT", "U-Net, the same maps", "trivial"]
    told_of = {row[0]: row[1:] for row in grid["rows"]}
    assert {"bPQ, strict", "bPQ, as published", "mPQ, strict", "mPQ, as published", "Class F1 (F_c)"} <= set(told_of)
    assert told_of["Type accuracy of stem"][0].startswith("1.00") and told_of["Detection F1 (F_d)"][0][:2] == ".9"


def test_the_real_sets_have_the_types_and_the_division_that_are_said(real_images: Path, tmp_path: Path) -> None:
    order = Order(tmp_path, real_images, replace(SMALL, rows=30), Knowing(), lambda line: None)
    relative = consep(order)
    assert relative.rows is not None
    rows = relative.rows(real_images / relative.folder)
    assert rows.table.groupby("split").size().to_dict() == {"test": 7, "train": 24}
    for row in rows.table.to_dict("records")[::6]:
        seen = Labels.of_cells({"": row["truth"], "objects": row["truth.objects"]}, rows.folder)
        kinds = imagecodecs.png_decode((rows.folder / str(row["truth"]).replace("inst/", "type/")).read_bytes())
        for label, name in zip(seen.objects["label"], seen.objects["class"], strict=True):
            assert TYPES[int(np.bincount(kinds[seen.instances == label]).argmax())] == name
    assert deepcell.CYTOPLASM.rows is not None
    cells = sampled(deepcell.CYTOPLASM.rows(real_images / deepcell.CYTOPLASM.folder), 20)
    assert cells.table.groupby("split").size().to_dict() == {"test": 2, "train": 18}
