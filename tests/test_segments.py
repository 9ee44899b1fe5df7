"""Maps over segments: planted maps and masks of known shares, holes, windows, scales, and the simulator's truth."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile
import torch
from numpy.typing import NDArray
from small_bundle import bundle_of
from torch import Tensor, nn
from zoo import cells

from potency.bundle import Bundle, Card, NetworkMember
from potency.cli import run as command
from potency.data.manifest import Manifest
from potency.data.plan import Facts, Plan
from potency.errors import ManifestError, PlanError
from potency.explanation.explain import Explained, explain
from potency.explanation.parts import SEGMENTS, automatic, enclosed
from potency.explanation.picture import write_map
from potency.explanation.segments import read_labels, segmented
from potency.tasks import TASKS

SIDE = 40


def ring() -> NDArray[np.bool_]:
    y, x = np.mgrid[:SIDE, :SIDE]
    far = np.hypot(y - 20, x - 20)
    return np.asarray((far < 14) & (far >= 7))


def planted(folder: Path, values: NDArray[np.float32], labels: NDArray[np.uint8], groups: int = 6) -> Manifest:
    """Rows with this map and these labels each, in classes a and b turn by turn; maps of b are turned round in sign."""
    folder.mkdir()
    table = []
    for k in range(2 * groups):
        np.save(folder / f"{k}.npy", np.full((SIDE, SIDE), 100, np.uint8))
        tifffile.imwrite(folder / f"mask{k}.tif", labels)
        sign, label = (1, "a") if k % 2 == 0 else (-1, "b")
        found = Explained(np.asarray(sign * values[None], np.float32), np.zeros((1, SIDE, SIDE), np.uint8),
                          {"label": label, "score": 1.0})  # fmt: skip
        path = write_map(folder, str(k), f"{k:08}", "planted", found)
        table.append({"image": f"{k}.npy", "truth": label, "group": f"g{k // 2}", "mask": f"mask{k}.tif",
                      "explanation": path, "explanation.label": label})  # fmt: skip
    return Manifest.of_rows(pd.DataFrame(table), folder)


def test_shares_are_those_that_were_planted(tmp_path: Path) -> None:
    labels = np.zeros((SIDE, SIDE), np.uint8)
    labels[:10], labels[10:20] = 1, 2
    values = np.zeros((SIDE, SIDE), np.float32)
    values[:10], values[10:20], values[20:] = 3, -1, 0.5
    rows = planted(tmp_path / "rows", values, labels)
    found = segmented(rows, bundle_of(tile=SIDE), rows.folder, "mask:floor,soma,neurite", draws=200)
    parts = {(part.label, part.segment): part for part in found.parts}
    assert set(parts) == {(label, name) for label in "ab" for name in ("floor", "soma", "neurite")}
    soma = parts["a", "soma"]
    assert soma.area.value == 0.25 and soma.share.value == pytest.approx(30 / 50) and soma.images == 6
    assert soma.speaks_for.value == pytest.approx(30 / 40) and soma.beyond.value == pytest.approx(0.35)
    assert soma.beyond.low == pytest.approx(0.35) and soma.mean.value == pytest.approx(3 / 1.25)
    assert parts["a", "neurite"].speaks_for.value == 0 and parts["a", "neurite"].mean.value < 0
    assert parts["b", "neurite"].speaks_for.value == 1 and parts["b", "soma"].mean.value == pytest.approx(-3 / 1.25)
    assert sum(part.share.value for part in found.parts) == pytest.approx(2.0)


def test_a_class_that_looks_at_holes_is_told_and_one_that_does_not_is_too(tmp_path: Path) -> None:
    body, hole = ring(), enclosed(ring())
    for name, inside, outside, said in (("holes", 4.0, 1.0, "MORE than their area"), ("cells", 0.1, 1.0, "less than")):
        values = np.where(hole, inside, outside).astype(np.float32)
        rows = planted(tmp_path / name, values, body.astype(np.uint8) * 255)
        found = segmented(rows, bundle_of(tile=SIDE), rows.folder, "mask", draws=200)
        assert {part.segment for part in found.parts} == {"ground", "cell", "hole"}
        assert len(found.verdict) == 2 and all(said in line for line in found.verdict), found.verdict
        assert ("holds 4 times what one of the cells" in found.verdict[0]) == (name == "holes")
        one = next(part for part in found.parts if part.segment == "hole")
        assert one.area.value == pytest.approx(hole.mean()) and one.share.value == pytest.approx(
            values[hole].sum() / values.sum(), rel=1e-5)  # fmt: skip


def test_holes_are_what_cells_enclose_and_an_open_ring_has_none() -> None:
    body = ring()
    assert (enclosed(body) == (np.hypot(*(np.mgrid[:SIDE, :SIDE] - 20)) < 7)).all()
    body[20, 27:] = False
    assert not enclosed(body).any()
    assert not enclosed(np.zeros((8, 8), bool)).any() and not enclosed(np.ones((8, 8), bool)).any()


def test_rough_parts_of_a_bright_ring_are_its_own() -> None:
    body = ring()
    random = np.random.default_rng(0)
    pixels = (random.normal(100, 2, (1, SIDE, SIDE)) + 80 * body).astype(np.uint8)
    found = automatic(pixels)
    names = np.array(SEGMENTS)[found]
    hole = np.hypot(*(np.mgrid[:SIDE, :SIDE] - 20)) < 5
    assert (names[hole] == "hole").all() and (names[:4] == "ground").all()
    assert np.isin(names[body], ("cell", "rim")).mean() > 0.9 and (names == "rim").sum() > 30
    assert (automatic(np.full((2, 20, 20), 7, np.uint8)) == 0).all()


def test_debris_in_the_ground_of_a_field_is_found(tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    field = random.normal(1000, 10, (256, 256))
    field[60:160, 60:160] += random.normal(0, 120, (100, 100))  # textured cells
    spots = [(20, 30), (220, 40), (200, 220)]
    y, x = np.mgrid[:256, :256]
    for top, left in spots:
        field += 400 * np.exp(-((y - top) ** 2 + (x - left) ** 2) / 4)
    names = np.array(SEGMENTS)[automatic(np.clip(field, 0, 65535).astype(np.uint16)[None])]
    assert all(names[spot] == "debris" for spot in spots)
    assert np.isin(names[80:140, 80:140], ("cell", "rim")).mean() > 0.9
    assert (names == "debris").mean() < 0.01


def test_labels_are_read_in_the_window_and_at_the_scale_of_the_row(tmp_path: Path) -> None:
    labels = np.arange(24 * 16).reshape(24, 16).astype(np.uint16) + 1
    tifffile.imwrite(tmp_path / "mask.tif", labels)
    np.save(tmp_path / "0.npy", np.zeros((24, 16), np.uint8))
    row = {"image": "0.npy", "truth": "a", "group": "g", "mask": "mask.tif"}
    window = {"tile.y": 4, "tile.x": 2, "tile.height": 8, "tile.width": 6}
    rows = Manifest.of_rows(pd.DataFrame([{**row, **window}]), tmp_path)
    one = rows.records()[0]
    np.testing.assert_array_equal(read_labels(rows, one, "mask", (8, 6)), labels[4:12, 2:8])
    np.testing.assert_array_equal(read_labels(rows, one, "mask", (4, 3)), labels[4:12, 2:8][1::2, 1::2])
    np.testing.assert_array_equal(read_labels(rows, one, "mask", (16, 12))[::2, ::2], labels[4:12, 2:8])


def test_what_is_wrong_with_labels_is_told(tmp_path: Path) -> None:
    values = np.ones((SIDE, SIDE), np.float32)
    rows = planted(tmp_path / "rows", values, np.ones((SIDE, SIDE - 1), np.uint8))
    with pytest.raises(ManifestError, match="the labels are 40x39 pixels, the image 40x40"):
        segmented(rows, bundle_of(tile=SIDE), rows.folder, "mask")
    with pytest.raises(ManifestError, match="no column 'msk'") as told:
        segmented(rows, bundle_of(tile=SIDE), rows.folder, "msk")
    assert "mask" in told.value.mend
    with pytest.raises(PlanError, match="no column 'why' of maps"):
        segmented(rows, bundle_of(tile=SIDE), rows.folder, "mask", name="why")
    tifffile.imwrite(rows.folder / "mask0.tif", np.full((SIDE, SIDE), 0.5, np.float32))
    for k in range(1, 12):
        tifffile.imwrite(rows.folder / f"mask{k}.tif", np.ones((SIDE, SIDE), np.uint8))
    found = segmented(rows, bundle_of(tile=SIDE), rows.folder, "mask")
    assert found.failed == 1 and sum(part.images for part in found.parts) == 11


def test_many_values_are_the_numbers_of_cells(tmp_path: Path) -> None:
    labels = np.repeat(np.arange(20, dtype=np.uint8), 2)[:, None] * np.ones((1, SIDE), np.uint8)
    rows = planted(tmp_path / "rows", np.ones((SIDE, SIDE), np.float32), labels)
    found = segmented(rows, bundle_of(tile=SIDE), rows.folder, "mask")
    assert {part.segment for part in found.parts} == {"ground", "cell"}


class Contrast(nn.Module):
    """Answers by how much an image differs from its own mean."""

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        spread = (image - image.mean((2, 3), keepdim=True)).square().mean((1, 2, 3))
        return {"output": torch.stack([-spread, spread], 1)}


def test_what_measures_contrast_looks_at_the_cells_of_the_simulator(tmp_path: Path) -> None:
    rows = cells(tmp_path / "images", cells=24)
    plan = Plan.of(Facts.of(rows), task="classify", test_views=1)
    nets = nn.ModuleDict({"net": Contrast()})
    nets.register_buffer("nothing", torch.zeros(1))
    made = Bundle(Card("classify", (plan,)), (NetworkMember(TASKS["classify"], plan, nets),))
    told = explain(rows, made, into=tmp_path / "why", method="occlusion", checks=False)
    found = segmented(told, made, tmp_path / "why", "mask", draws=200)
    inside = [part for part in found.parts if part.segment == "cell"]
    assert inside and all((part.beyond.low or 0) > 0.1 for part in inside), inside


def test_the_command_sums_the_maps_and_the_page_shows_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = cells(tmp_path / "images", cells=12)
    plan = Plan.of(Facts.of(rows), task="classify", test_views=1)
    task = TASKS["classify"]
    Bundle(Card("classify", (plan,)), (NetworkMember(task, plan, task.build(plan).eval()),)).save(tmp_path / "bundle")
    words = ["explain", str(tmp_path / "bundle"), str(rows.folder), "--into", str(tmp_path / "why"), "--no-checks"]
    for column in ("mask", "auto"):
        assert command([*words, "--segments", column, "--json"]) == 0
        told = json.loads(capsys.readouterr().out.strip().splitlines()[-1])
        table = pd.read_csv(told["segments"])
        assert {"ground", "cell"} <= set(table["segment"]) and (table["share"] <= 1).all()
        page = (tmp_path / "why" / "explanations.html").read_text("utf-8")
        assert "Where in the image" in page and ("column mask" if column == "mask" else "automatically") in page
    assert command([*words, "--segments", "msk"]) == 2
    assert "no column 'msk' of label images" in capsys.readouterr().err
