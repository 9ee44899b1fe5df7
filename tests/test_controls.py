"""The verb `controls`: models that rest on a known thing lose it when that is taken away, and the page says so."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from small_bundle import bundle_of, images
from zoo import ages, cells

from potency.bundle import Bundle, Card
from potency.bundle.member import Member, Output
from potency.cli import run as command
from potency.data.manifest import Manifest
from potency.data.plan import Facts, Plan
from potency.errors import ManifestError, PlanError
from potency.inference.predict import predict
from potency.learning.protocol import Choices, run
from potency.learning.train import train
from potency.reliance import controls
from potency.reliance.held import held
from potency.tasks import TASKS, Sample

SIDE, ROWS, GROUPS = 32, 96, 12
Score = Callable[[NDArray[np.float64]], float]


class Rule(Member):
    """A model that is a rule: the log-odds of class b are a known number of the pixels."""

    learner = "rule"

    def __init__(self, plan: Plan, score: Score) -> None:
        self.plan, self.score = plan, score

    def outputs(self, samples: Sequence[Sample]) -> list[Output]:
        odds = [self.score(np.asarray(sample["image"], np.float64)[0]) for sample in samples]
        return [{"output": np.array([-value, value], np.float32) / 2} for value in odds]

    @classmethod
    def suffixes(cls, plan: Plan) -> tuple[str, ...]:
        return ()

    def dumps(self) -> tuple[bytes, ...]:
        return ()

    @classmethod
    def loads(cls, files: Mapping[str, bytes], task: Any, plan: Plan, where: str) -> Self:
        raise NotImplementedError


def rows_of(folder: Path, draw: Callable[[str, np.random.Generator], NDArray[np.float64]]) -> Manifest:
    folder.mkdir(parents=True)
    random, table = np.random.default_rng(4), []
    for k in range(ROWS):
        truth = "ab"[k % 2]
        plane = draw(truth, random) * 500 + 2000 + random.normal(0, 20, (SIDE, SIDE))
        np.save(folder / f"{k:03}.npy", plane.astype(np.uint16))
        table.append({"image": f"{k:03}.npy", "truth": truth, "group": f"g{k // 2 % GROUPS}"})
    return Manifest.of_rows(pd.DataFrame(table), folder)


def bundle(rows: Manifest, score: Score) -> Bundle:
    plan = Plan.of(Facts.of(rows), task="classify")
    return Bundle(Card("classify", (plan,)), (Rule(plan, score),))


def grating(truth: str, random: np.random.Generator) -> NDArray[np.float64]:
    """Waves of 8 pixels (a) or of 3 (b), of any direction and phase: the spectrum tells all, arrangement nothing."""
    y, x = np.mgrid[:SIDE, :SIDE]
    turn, wave = random.uniform(0, np.pi), 2 * np.pi / (3 if truth == "b" else 8)
    return np.cos(wave * (np.cos(turn) * x + np.sin(turn) * y) + random.uniform(0, 6))


def fineness(plane: NDArray[np.float64]) -> float:
    fine = (np.diff(plane, axis=0) ** 2).mean() + (np.diff(plane, axis=1) ** 2).mean()
    return float(4 * (fine / max(plane.var(), 1e-9) - 1.5))


def side(truth: str, random: np.random.Generator) -> NDArray[np.float64]:
    """A blob on the left (a) or on the right (b), somewhere: arrangement tells all, the spectrum nothing."""
    y, x = np.mgrid[:SIDE, :SIDE]
    middle = (random.uniform(8, 24), random.uniform(5, 9) + (14 if truth == "b" else 0))
    return np.exp(-((y - middle[0]) ** 2 + (x - middle[1]) ** 2) / 18)


def to_the_right(plane: NDArray[np.float64]) -> float:
    return float((plane[:, SIDE // 2 :].mean() - plane[:, : SIDE // 2].mean()) / 10)


def test_a_model_of_texture_survives_mixed_phases_and_misses_its_octave(tmp_path: Path) -> None:
    rows = rows_of(tmp_path / "images", grating)
    found = controls(rows, bundle(rows, fineness), draws=200)
    assert found.untouched is not None and found.untouched.value == 1.0 and found.chance == 0.5
    mixed = {row.name: row.figure.value for row in found.altered("mixed")}
    assert mixed["phases"] > 0.95
    assert "Arrangement hardly matters" in found.verdict[0]
    removed = {row.band: row.figure.value for row in found.altered("removed")}
    assert [band for band, value in removed.items() if value < 0.9] == [(0.25, 0.5)], removed  # waves of 3 pixels
    assert any("Most is lost without the octave above 0.25" in line for line in found.verdict)
    best = next(row for row in found.ones() if row.name != "all-numbers")
    assert best.figure.value > 0.9  # one number does it, and the page says so
    share = round(100 * (best.figure.value - 0.5) / 0.5)
    assert any(f"{share} % of what the network gains" in line for line in found.verdict), found.verdict
    assert found.facts["warning"].startswith("Nothing tells")


def test_a_model_of_arrangement_falls_to_chance_and_no_number_replaces_it(tmp_path: Path) -> None:
    rows = rows_of(tmp_path / "images", side)
    found = controls(rows, bundle(rows, to_the_right), draws=200)
    assert found.untouched is not None and found.untouched.value > 0.95
    phases = next(row for row in found.altered("mixed") if row.name == "phases")
    assert phases.figure.low is not None and phases.figure.low < 0.5 < (phases.figure.high or 0)
    assert phases.difference is not None and (phases.difference.high or 0) < -0.2  # paired, and sure
    assert "Arrangement matters" in found.verdict[0]
    alone = {row.band: row.figure.value for row in found.altered("kept alone")}
    assert alone[(0.0, 0.0625)] > 0.9 > alone[(0.25, 0.5)]
    best = found.ones()[0]
    assert best.difference is not None and (best.difference.high or 0) < 0
    assert any("the network is better" in line for line in found.verdict)


def test_classes_differ_where_their_waves_are_and_the_unit_is_that_of_the_pixel_size(tmp_path: Path) -> None:
    rows = rows_of(tmp_path / "images", grating)
    found = controls(rows, draws=200)  # without a model: spectra and numbers
    assert found.report is None and found.spectrum is not None and not found.beyond
    line = next(line for line in found.spectrum.lines if line.label == "b")
    edges = np.array(found.spectrum.edges)
    fine, coarse = (int(np.searchsorted(edges, wave, side="right")) - 1 for wave in (1 / 3, 1 / 8))
    assert (line.difference[fine].low or 0) > 0.3 and (line.difference[coarse].high or 0) < -0.3
    assert found.spectrum.unit == "cycles per pixel"
    sized = rows.add({"pixel_size": [0.5] * len(rows)})
    there = controls(sized, draws=100).spectrum
    assert there is not None and there.unit == "cycles per µm"
    np.testing.assert_allclose(there.middles, found.spectrum.middles / 0.5)


def test_the_score_goes_with_what_the_model_weighs_beyond_the_truth(tmp_path: Path) -> None:
    def draw(truth: str, random: np.random.Generator) -> NDArray[np.float64]:
        return side(truth, random) + random.uniform(0, 2)  # the lamp changes, whatever the class

    rows = rows_of(tmp_path / "images", draw)
    lamp = bundle(rows, lambda plane: to_the_right(plane) + float(plane.mean() - 2500) / 100)
    blind = bundle(rows, to_the_right)
    seen = {one.number: one.given_truth for one in controls(rows, lamp, draws=200).beyond}
    not_seen = {one.number: one.given_truth for one in controls(rows, blind, draws=200).beyond}
    assert (seen["brightness"].low or 0) > 0.5
    assert abs(not_seen["brightness"].value) < 0.3


def test_the_page_and_the_files_tell_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = rows_of(tmp_path / "images", side)
    found = controls(rows, bundle(rows, to_the_right), draws=100)
    page = found.write(tmp_path / "out").read_text("utf-8")
    assert found.verdict[0] in page and page.count("<svg") == 5 and page.count("data:image/png") == len(found.examples)
    assert "Nothing tells whether the model has learned from these rows" in page and "<script" not in page
    told = json.loads((tmp_path / "out" / "controls.json").read_text())
    assert told["verdict"] == found.verdict and len(told["altered"]) == len(found.alterations)
    bands = pd.read_csv(tmp_path / "out" / "bands.csv")
    assert bands["balanced_accuracy"].tolist() == [row.figure.value for row in found.altered("removed", "kept alone")]
    assert {path.name for path in (tmp_path / "out").glob("*.csv")} == {
        "bands.csv", "mixed.csv", "numbers.csv", "beyond.csv", "spectrum.csv"}  # fmt: skip


def test_a_run_answers_each_row_by_the_fold_that_left_it_out(tmp_path: Path) -> None:
    rows = cells(tmp_path / "images")
    plan = Plan.of(Facts.of(rows), task="classify", steps=2, batch=8, validations=1, test_views=1)
    choices = Choices(folds=2, baselines=(), draws=100, audit=False)
    outcome = run(rows, TASKS["classify"], into=tmp_path / "run", plan=plan, choices=choices)
    told = Manifest.read(tmp_path / "run" / "predictions.parquet")
    found = held(told, tmp_path / "run")
    assert len(found.bundles) == 2 and not found.warning and not found.left
    for number, fold in enumerate(sorted(set(told.table["fold"]))):
        card = Bundle.load(tmp_path / "run" / "folds" / f"network-{fold}" / "bundle").card
        assert found.bundles[number].card.data == card.data
        assert set(found.rows.table["fold"][found.asked == number]) == {fold}
    # What it says of untouched images is what the run said, but for the calibration of each fold.
    made = controls(told, outcome.bundle, draws=100)
    assert made.report is not None and made.facts["how"].startswith("Each row was answered by the model of its fold")
    chosen = [name for name in told.table if str(name).startswith("prediction.probability.")]
    first, again = (frame.set_index("id")[chosen].to_numpy().argmax(1) for frame in (told.table, made.report.rows))
    assert (first == again).mean() > 0.95


def test_rows_that_were_learned_from_are_refused_or_said_first(tmp_path: Path) -> None:
    rows = cells(tmp_path / "images")
    plan = Plan.of(Facts.of(rows), task="classify", steps=1, batch=8, validations=1, test_views=1)
    made = train(rows.add({"split": ["train"] * len(rows)}), TASKS["classify"], into=tmp_path / "run", plan=plan)
    saved = made.save(tmp_path / "bundle")
    with pytest.raises(PlanError, match="has learned from these very rows"):
        controls(rows, tmp_path / "bundle")
    found = controls(rows, saved, even_seen=True, draws=100)
    assert "HAS LEARNED" in found.facts["warning"] and "HAS LEARNED" in found.write(tmp_path / "out").read_text("utf-8")
    marked = rows.add({"split": ["test" if k < 24 else "train" for k in range(len(rows))]})
    part = held(marked, saved)
    assert len(part.rows) == 24 and not part.warning and part.how.endswith("is the table's word.")
    assert part.learned is not None and len(part.learned) == len(rows) - 24
    exact = held(rows.add({"split": ["train"] * len(rows)}), saved, even_seen=True)
    assert exact.warning  # nothing is marked as a test


def test_a_number_as_truth_has_controls_too(tmp_path: Path) -> None:
    rows = ages(tmp_path / "images")
    plan = Plan.of(Facts.of(rows), task="quantify", steps=2, batch=8, validations=1, test_views=1)
    split = rows.split(folds=3).fold(0)
    made = train(split, TASKS["quantify"], into=tmp_path / "run", plan=plan)
    found = controls(rows, made, even_seen=True, draws=100)
    assert found.metric == "mae" and found.ones() and found.report is not None
    assert {line.label for line in found.spectrum.lines} == {"low half", "high half"}  # type: ignore[union-attr]
    best = min(float(row.figure.value) for row in found.ones())
    assert found.ones()[0].figure.value == best
    found.write(tmp_path / "out")


def test_untouched_images_of_any_size_get_the_answers_that_predict_gives(tmp_path: Path) -> None:
    sizes = [(16, 16), (40, 33), (20, 20), (16, 48), (9, 30)] * 4
    rows, made = images(tmp_path / "images", sizes), bundle_of(tile=16)
    found = controls(rows, made, draws=100)
    told = predict(rows, made, into=None, precision="float32").table
    assert found.report is not None
    both = found.report.rows.set_index("id").loc[told["id"]]
    for label in ("dim", "bright"):
        name = f"prediction.probability.{label}"
        np.testing.assert_allclose(both[name].to_numpy(), told[name], atol=0.02)  # bfloat16 where there is one


def test_bad_input_is_told(tmp_path: Path) -> None:
    rows = rows_of(tmp_path / "images", side)
    with pytest.raises(ManifestError, match="no truth to compare with"):
        controls(Manifest.of_rows(rows.table.drop(columns="truth"), rows.folder))
    with pytest.raises(ManifestError, match="are all alike"):
        controls(rows.where(rows.table["truth"].eq("a")))
    for path in (tmp_path / "images").glob("*.npy"):
        path.write_bytes(b"")
    with pytest.raises(ManifestError, match=r"could be read|looked at|opened|empty|damaged") as told:
        controls(rows, bundle_of(tile=32), draws=100)
    assert told.value.what


def test_small_few_and_broken_images_leave_what_can_be_said(tmp_path: Path) -> None:
    rows = rows_of(tmp_path / "images", side)
    np.save(tmp_path / "images" / "003.npy", np.full((SIDE, SIDE), np.nan))
    (tmp_path / "images" / "004.npy").write_bytes(b"no image")
    np.save(tmp_path / "images" / "005.npy", np.full((5, SIDE), 2000, np.uint16))
    few = rows.where(rows.table["group"].isin(["g0", "g1", "g2"]).tolist())
    found = controls(few, bundle(rows, to_the_right), draws=100)
    assert found.facts["unread"] == 2 and found.facts["rows"] == len(few) - 2
    assert found.untouched is not None and found.untouched.low is None  # three groups: no interval
    assert found.write(tmp_path / "out").is_file()
    alone = rows.where(rows.table["group"].isin(["g0"]).tolist())
    one = controls(alone, bundle(rows, to_the_right), draws=100)
    assert one.plain is None and "too few" in one.facts["untested"]


def test_the_command_writes_the_page_and_ends_with_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = rows_of(tmp_path / "images", grating)
    rows.write(tmp_path / "rows.csv")
    table, into = str(tmp_path / "rows.csv"), str(tmp_path / "out")
    assert command(["controls", table, "--into", into, "--draws", "100", "--json"]) == 0
    told = json.loads(capsys.readouterr().out.strip().splitlines()[-1])
    assert Path(told["controls"]).is_file() and told["numbers"] and told["spectrum"]
    assert command(["controls", table, "--model", str(tmp_path / "nowhere")]) == 2
    assert "there is no such bundle" in capsys.readouterr().err
