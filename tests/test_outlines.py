"""Systems that outline: one network with every decoder, two networks with one, and their differences on the page."""

from __future__ import annotations

import json
from dataclasses import replace
from html import unescape
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile

from potency import systems
from potency.data.manifest import Manifest
from potency.systems import SYSTEMS, outlines, reproduce
from potency.systems.outlines import DECODERS, MONUSEG, NUCLEI, RIC, STAINED, UNET
from potency.systems.recipe import Arm, Asked, Budget, Learned

CHEAP = {"network": "unet:width=4:depth=1", "tile": 64, "batch": 2, "steps": 2, "validations": 1, "test_views": 1}


def shrunk(monkeypatch: pytest.MonkeyPatch, id: str, arms: tuple[Arm, ...], cells: int = 24) -> None:
    """A budget of seconds in place of the quick one, on few simulated cells."""
    small = Budget("quick", arms, rows=10, cells=cells, folds=2, changes=CHEAP)
    monkeypatch.delenv("POTENCY_DATA", raising=False)
    monkeypatch.setattr(outlines, "GROUPS", 5)
    monkeypatch.setitem(systems.SYSTEMS, id, replace(SYSTEMS[id], budgets=(small,)))


def test_the_decoder_of_a_system_is_compared_with_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = tuple(arm for arm in outlines.ARMS if arm.changes["decoder"] in ("distance", "stardist"))
    shrunk(monkeypatch, "watershed", chosen)
    page = reproduce("watershed", into=tmp_path / "out", budget="quick")
    told = json.loads((tmp_path / "out/report.json").read_text("utf-8"))
    scene = told["scenes"]["simulated-cells"]
    assert {"dsb_ap", "f1.50", "pq", "aji", "dice"} <= set(scene["metrics"])
    text = unescape(page.read_text("utf-8"))
    first, other = DECODERS["watershed"][0], DECODERS["stardist"][0]
    assert f"{first} against {other}" in text
    assert "SIMULATED: a program drew these images" in text and "thresholds" in text
    assert f"{first} against trivial" in text and "trivial" in scene["baselines"]
    assert "label smoothing" not in text and "Confusion matrices" not in text


def test_two_networks_trained_alike_and_their_differences(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    alike = {"decoder": "boundary"}
    shrunk(monkeypatch, "ric-unet", (Arm(RIC, alike), Arm(UNET, {**alike, "rate": 1e-9})))
    reproduce("ric-unet", into=tmp_path / "out", budget="quick")
    told = json.loads((tmp_path / "out/report.json").read_text("utf-8"))
    (words,) = told["findings"]
    assert words.startswith("Simulated cells (simulated), RIC-UNet minus U-Net: Dice ")
    assert "published Dice +.016" in words
    assert all(f"; {name} " in words for name in ("F1", "AJI"))


def test_where_each_image_is_its_own_group_no_random_split_is_learned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would be the same split: as much work again for the same figures."""
    shrunk(monkeypatch, "flows", tuple(arm for arm in outlines.ARMS if arm.changes["decoder"] == "flows"))
    learned = list[tuple[int, int, bool]]()

    def learn(manifest: Manifest, asked: Asked, into: Path, say: object) -> Learned:
        learned.append((len(manifest), manifest.table["group"].nunique(), asked.random))
        raise LookupError("seen")

    for name, groups in (("own", 6), ("two", 3)):
        (tmp_path / name).mkdir()
        for i in range(6):
            for end, pixels in (("", np.full((32, 32), 9 * i, np.uint8)), ("_mask", np.eye(32, dtype=np.uint8))):
                tifffile.imwrite(tmp_path / name / f"{i}{end}.tif", pixels + (end == ""))
        table = pd.DataFrame({"image": [f"{i}.tif" for i in range(6)], "truth": [f"{i}_mask.tif" for i in range(6)],
                              "group": [f"g{i % groups}" for i in range(6)]})  # fmt: skip
        table.to_csv(tmp_path / name / "labels.csv", index=False)
        with pytest.raises(LookupError, match="seen"):
            reproduce("flows", data=tmp_path / name, into=tmp_path / f"{name}-out", budget="quick", learn=learn)
    assert learned == [(6, 6, False), (6, 3, True)]


def test_sets_are_read_as_they_lie(tmp_path: Path) -> None:
    for folder, name in (("train/images", "fluo_1.png"), ("train/labels", "fluo_1.tif"), ("a", "b.tif")):
        (tmp_path / folder).mkdir(parents=True)
        tifffile.imwrite(tmp_path / folder / name, np.eye(8, dtype=np.uint8))
    pd.DataFrame({"name": ["fluo_1", "stained_1"], "split": "train"}).to_csv(tmp_path / "manifest.csv", index=False)
    assert NUCLEI.rows is not None
    found = NUCLEI.rows(tmp_path)
    assert found.table[["image", "truth", "group"]].values.tolist() == [
        ["train/images/fluo_1.png", "train/labels/fluo_1.tif", "fluo_1"]
    ]
    assert found.kinds["truth"] == "labels"


def test_the_real_sets_have_the_groups_that_are_said(real_images: Path) -> None:
    counts = {"nuclei": (541, 541), "stained": (54, 27), "monuseg": (9, 9)}
    for name, relative in {"nuclei": NUCLEI, "stained": STAINED, "monuseg": MONUSEG}.items():
        assert relative.rows is not None
        table = relative.rows(real_images / relative.folder).table
        assert (len(table), table["group"].nunique()) == counts[name]
