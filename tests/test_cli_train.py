"""The main job through the command line: train, report, predict, evaluate, resume, on images of two brightnesses."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile

from potency.cli import run
from potency.cli.demo import places

LIGHT = ("--set", "batch=8", "--set", "validations=1", "--set", "test_views=1")
SMALL = ("--steps", "12", "--folds", "2", *LIGHT)
ALONE = ("--workers", "1")  # what starts processes is tried once, by `trained`
pytestmark = pytest.mark.usefixtures("few_trees")


class InThisProcess:
    """What stands in for the processes of a pool."""

    def __init__(self, workers: int) -> None:
        assert workers == 0, "one a core"

    def __enter__(self) -> type[map]:
        return map

    def __exit__(self, *_: object) -> None:
        pass


def answer(capsys: pytest.CaptureFixture[str], *words: object) -> dict[str, object]:
    """The last line of stdout of a call that must succeed."""
    code = run([*map(str, words), "--json"])
    caught = capsys.readouterr()
    assert code == 0, caught.err
    last = json.loads(caught.out.splitlines()[-1])
    assert isinstance(last, dict)
    return last


@pytest.fixture(scope="module")
def cells(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """48 images in 6 clones, both classes in each; class b is brighter."""
    folder = tmp_path_factory.mktemp("cells")
    rng = np.random.default_rng(0)
    rows = []
    for number in range(48):
        label = "ab"[number % 2]
        image = rng.normal(90 + 60 * (number % 2), 10, (20, 20)).clip(0, 255).astype(np.uint8)
        tifffile.imwrite(folder / f"{number:02d}.tif", image)
        rows.append({"file": f"{number:02d}.tif", "label": label, "group": f"clone{number // 8}"})
    pd.DataFrame(rows).to_csv(folder / "labels.csv", index=False)
    return folder


@pytest.fixture(scope="module")
def trained(cells: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    into = tmp_path_factory.mktemp("out") / "first"
    assert run(["train", str(cells), "--into", str(into), *SMALL]) == 0
    return into


def test_train_ends_with_bundle_and_report(trained: Path, cells: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = answer(capsys, "train", cells, "--into", trained, *SMALL, *ALONE, "--resume")
    assert set(told) == {"bundle", "report"}
    assert (Path(str(told["bundle"])) / "card.json").is_file() and Path(str(told["report"])).name == "report.html"
    numbers = json.loads(Path(str(told["report"])).with_suffix(".json").read_text("utf-8"))
    asked = {"task", "rows", "groups", "split", "metrics", "baselines", "random_split", "data_fingerprint", "command"}
    assert asked | {"versions"} <= set(numbers) and numbers["rows"] == 48 and numbers["groups"] == 6
    assert set(numbers["baselines"]) == {"forest", "trivial"} and set(numbers["metrics"]["accuracy"]) == {
        "value",
        "low",
        "high",
    }
    assert numbers["command"].startswith(f"potency train {cells}") and "--steps 12" in numbers["command"]


def test_the_same_folder_is_not_written_over(trained: Path, cells: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["train", str(cells), "--into", str(trained), *SMALL]) == 2
    assert "--resume" in capsys.readouterr().err
    assert run(["train", str(cells), "--into", str(trained), "--steps", "13"]) == 2
    assert "another --into" in capsys.readouterr().err


def test_report_shows_the_figures_again(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["report", str(trained)]) == 0
    said = capsys.readouterr().out
    assert "forest" in said and "balanced_accuracy" in said and "report.html" in said
    assert answer(capsys, "report", trained)["groups"] == 6
    assert run(["report", str(trained / "cache")]) == 2
    assert "there is no report.json" in capsys.readouterr().err


def test_predict_answers_every_row_and_goes_on_after_a_bad_file(
    trained: Path, cells: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    new = tmp_path / "new images"
    new.mkdir()
    for number in range(4):
        shutil.copy(cells / f"{number:02d}.tif", new)
    (new / "broken.tif").write_bytes(b"II*\0")
    told = answer(capsys, "predict", trained / "bundle", new, "--into", tmp_path / "told")
    assert told["rows"] == 5 and told["errors"] == 1
    table = pd.read_parquet(str(told["table"]))
    good = table[table["prediction.error"].isna()]
    assert len(good) == 4 and np.allclose(good["prediction.probability.a"] + good["prediction.probability.b"], 1)
    shutil.copy(cells / "05.tif", new / "broken.tif")
    assert answer(capsys, "predict", trained / "bundle", new, "--into", tmp_path / "told")["errors"] == 0


def test_predict_takes_files_and_a_dry_run_writes_nothing(
    trained: Path, cells: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    told = answer(capsys, "predict", trained / "bundle", cells / "00.tif", cells / "01.tif", "--dry-run", 1)
    assert told["rows"] == 1 and told["table"] is None and not list(tmp_path.iterdir())
    assert run(["predict", str(trained / "bundle"), str(cells), str(cells / "01.tif")]) == 2
    assert "cannot be mixed" in capsys.readouterr().err
    (tmp_path / "broken.tif").write_bytes(b"II*\0")
    assert run(["predict", str(trained / "bundle"), str(tmp_path / "broken.tif"), "--dry-run", "1", "--json"]) == 2
    caught = capsys.readouterr()
    assert json.loads(caught.out)["errors"] == 1  # answered in full, and yet no script goes on as if all were well
    assert "none of 1 rows could be predicted; the first: the TIFF structure is damaged" in caught.err.splitlines()[-3]
    assert run(["predict", str(trained / "nothing"), str(cells)]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 3


def test_evaluate_judges_columns_wherever_they_come_from(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = answer(capsys, "evaluate", trained / "predictions.parquet", "--into", tmp_path / "again", "--draws", 200)
    assert Path(str(told["report"])).is_file()
    first = answer(capsys, "report", trained)
    assert told["metrics"]["accuracy"]["value"] == first["metrics"]["accuracy"]["value"]  # type: ignore[index]
    (tmp_path / "reader.csv").write_text("truth,prediction,group\na,a,1\nb,a,2\na,a,3\nb,b,4\n", "utf-8")
    told = answer(capsys, "evaluate", tmp_path / "reader.csv", "--into", tmp_path / "reader")
    assert told["metrics"]["accuracy"]["value"] == 0.75  # type: ignore[index]


def test_a_dry_run_keeps_nothing(cells: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = answer(capsys, "train", cells, "--into", tmp_path / "dry", "--dry-run", 2)
    assert told["dry_run"] == 2 and told["bundle"] is None and not list(tmp_path.iterdir())


def test_a_plan_file_is_obeyed(cells: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plan = tmp_path / "plan.json"
    quick = ("--set", "steps=3", *LIGHT)
    assert run(["plan", str(cells), *quick, "--into", str(plan)]) == 0
    asked = ("--plan", plan, "--holdout", "--folds", 2, "--no-baselines", *ALONE)
    told = answer(capsys, "train", cells, *asked, "--into", tmp_path / "planned")
    card = json.loads((Path(str(told["bundle"])) / "card.json").read_text("utf-8"))
    assert card["members"][0]["plan"]["batch"] == 8
    plan.write_text(json.dumps({**json.loads(plan.read_text("utf-8")), "step": 3}), "utf-8")
    assert run(["train", str(cells), "--plan", str(plan), "--into", str(tmp_path / "x")]) == 2
    assert "'steps'" in capsys.readouterr().err


def test_training_goes_on_from_a_bundle_and_says_when_it_has_seen_these_images(
    trained: Path, cells: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    quick = (*SMALL, *ALONE, "--steps", 1, "--no-baselines", "--holdout")
    told = answer(capsys, "train", cells, "--start", trained / "bundle", "--into", tmp_path / "tuned", *quick)
    numbers = json.loads(Path(str(told["report"])).with_suffix(".json").read_text("utf-8"))
    assert any("had learned from these very images" in line for line in numbers["banner"])
    assert numbers["metrics"]["accuracy"]["value"] == 1  # one step from scratch would guess


def test_folds_of_the_table_are_obeyed_and_torn_groups_refused(
    cells: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = pd.read_csv(cells / "labels.csv")
    table["fold"] = table["group"].map({f"clone{k}": k // 3 for k in range(6)})
    table.to_csv(cells / "folds.csv", index=False)
    quick = ("--steps", 1, *LIGHT, "--no-baselines", *ALONE)
    into = tmp_path / "given"
    answer(capsys, "train", cells / "folds.csv", "--into", into, *quick)
    rows = pd.read_parquet(into / "predictions.parquet")
    assert set(rows["fold"]) == {0, 1} and (rows.groupby("group")["fold"].first() == [0, 0, 0, 1, 1, 1]).all()
    table["fold"] = [number // 2 % 2 for number in range(len(table))]
    table.to_csv(cells / "torn.csv", index=False)
    assert run(["train", str(cells / "torn.csv"), "--into", str(tmp_path / "torn"), *map(str, quick)]) == 2
    assert "6 groups stand in more than one part" in capsys.readouterr().err
    dry = ("--split", "random", "--dry-run", "1")  # torn on purpose
    assert run(["train", str(cells / "torn.csv"), "--into", str(tmp_path / "torn"), *map(str, quick), *dry]) == 0


def test_steps_and_epochs_are_not_both_taken(cells: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["train", str(cells), "--steps", "3", "--epochs", "2", "--into", str(tmp_path / "x")]) == 2
    assert "say the same twice" in capsys.readouterr().err


def test_models_lists_what_the_program_works_with(capsys: pytest.CaptureFixture[str]) -> None:
    told = answer(capsys, "models")
    lists = "tasks networks maps boxes outlines estimators rules answers features models examples readers"
    assert set(lists.split()) == set(told)
    assert "classify" in told["tasks"] and "tiny" in told["networks"] and ".tif" in told["readers"]["tiff"]  # type: ignore[index, operator]


def test_doctor_says_whether_there_is_a_gpu_and_whether_pixel_sizes_are_known(
    cells: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = answer(capsys, "doctor", cells)
    found = {finding["name"]: finding for finding in told["findings"]}  # type: ignore[attr-defined]
    assert {"potency", "libraries", "memory", "disk", "threads", "processor", "gpu", "pixel size"} <= set(found)
    assert found["pixel size"]["what"] == "known for 0 of 32 images looked at"
    assert found["threads"]["state"] == "fine"


def test_demo_ends_with_report_and_bundle_and_is_never_written_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("potency.cli.demo.STEPS", 2)
    monkeypatch.setattr("potency.cli.demo.FOLDS", 2)
    monkeypatch.setattr("potency.inference.pool.Pool", InThisProcess)
    assert run(["demo", "--cells", "120"]) == 0
    said = capsys.readouterr().out
    assert "SIMULATED" in said
    bundle, report = said.splitlines()[-2:]
    assert bundle == "bundle: out/demo/bundle" and (tmp_path / "out/demo/bundle/card.json").is_file()
    assert report == "report: out/demo/report/report.html" and (tmp_path / "out/demo/report/report.html").is_file()
    assert next(place for place in places(Path("out")) if not place.exists()) == Path("out/demo-2")


def test_a_task_that_learns_another_kind_of_truth_is_refused(
    cells: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = pd.read_csv(cells / "labels.csv").assign(label=np.linspace(0, 1, 48))
    table.assign(file=[str(cells / name) for name in table["file"]]).to_csv(tmp_path / "ages.csv", index=False)
    assert run(["plan", str(tmp_path / "ages.csv"), "--task", "classify"]) == 2
    said = capsys.readouterr().err
    assert "the truth is a number, classify learns a category" in said and "quantify" in said
