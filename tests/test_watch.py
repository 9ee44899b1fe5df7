"""`potency watch`: files are taken when they are complete, once, and the table survives what may happen."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from interruptible import started
from small_bundle import bundle_of

from potency.cli import run
from potency.data.manifest import Manifest
from potency.errors import PotencyError
from potency.inference.watch import TOGETHER, Watch


def written(path: Path, value: int = 0, side: int = 16) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, np.random.default_rng(value).integers(0, 255, (side, side), np.uint8))
    return path


class Answering:
    """Answers with the mean of an image, and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def __call__(self, rows: Manifest, into: Path) -> Manifest:
        self.asked += rows.table["id"].tolist()
        cells: list[float | None] = []
        errors: list[str | None] = []
        for row in rows.records():
            try:
                cells.append(float(rows.open(row).crop().mean()))
                errors.append(None)
            except PotencyError as error:
                cells.append(None)
                errors.append(error.what)
        return rows.add({"prediction": cells, "prediction.error": pd.array(errors, dtype="str")}, "number")


@pytest.fixture
def place(tmp_path: Path) -> tuple[Path, Path]:
    (tmp_path / "seen").mkdir()
    return tmp_path / "seen", tmp_path / "out"


def taken(watch: Watch, patience: float = 60.0) -> list[str]:
    return [str(row["id"]) for made in watch.take(watch.complete(patience)) for row in made.records()]


def test_a_file_is_taken_once_when_it_has_stopped_growing(place: tuple[Path, Path]) -> None:
    folder, into = place
    answer = Answering()
    watch = Watch(folder, into, answer, "a")
    path = written(folder / "day 1" / "a.npy")
    whole = path.read_bytes()
    path.write_bytes(whole[:200])
    assert taken(watch) == []
    path.write_bytes(whole)
    assert taken(watch) == [], "it was growing between the two looks"
    assert taken(watch) == ["day 1/a.npy"]
    written(folder / "b.npy", 1)
    (folder / "notes.txt").write_text("x")
    written(folder / ".hidden.npy")
    assert taken(watch) == [] and taken(watch) == ["b.npy"] and taken(watch) == []
    assert answer.asked == ["day 1/a.npy", "b.npy"]
    table = Manifest.read(into / "predictions.parquet")
    assert table.open(table.table.iloc[0]).shape == (16, 16) and table.kinds["prediction"] == "number"
    assert len(pd.read_csv(into / "predictions.csv")) == 2 and list(into.glob("*.part*")) == []


def test_a_restart_does_nothing_twice_and_a_replaced_file_once_more(place: tuple[Path, Path]) -> None:
    folder, into = place
    for number in range(3):
        written(folder / f"{number}.npy", number)
    watch = Watch(folder, into, Answering(), "a")
    taken(watch), taken(watch)
    answer = Answering()
    again = Watch(folder, into, answer, "a")
    taken(again), taken(again)
    assert answer.asked == []
    before = Manifest.read(into / "predictions.parquet").table.set_index("id")["prediction"]
    written(folder / "1.npy", 9, side=20)
    (folder / "2.npy").unlink()
    assert taken(again) == [] and taken(again) == ["1.npy"]
    after = Manifest.read(into / "predictions.parquet").table.set_index("id")["prediction"]
    assert sorted(after.index) == ["0.npy", "1.npy", "2.npy"], "what is deleted keeps its row, what is replaced has one"
    assert after["1.npy"] != before["1.npy"] and after["0.npy"] == before["0.npy"]
    with pytest.raises(PotencyError, match="another model"):
        Watch(folder, into, answer, "b")


def test_an_unreadable_file_is_waited_for_then_told_and_tried_again_when_asked(place: tuple[Path, Path]) -> None:
    folder, into = place
    (folder / "bad.png").write_bytes(b"GIF89a nothing")
    watch = Watch(folder, into, Answering(), "a")
    assert taken(watch) == taken(watch) == [], "it may be on its way"
    assert taken(watch, 0.0) == ["bad.png"]
    row = Manifest.read(into / "predictions.parquet").table.iloc[0]
    assert "GIF" in row["prediction.error"] and pd.isna(row["prediction"])
    again = Watch(folder, into, Answering(), "a")
    assert taken(again, 0.0) == taken(again, 0.0) == []
    assert again.forget_errors() == 1
    taken(again, 0.0)
    assert taken(again, 0.0) == ["bad.png"]
    written(folder / "good.npy")
    taken(again)
    assert taken(again) == ["good.npy"], "rows of numbers and rows of errors stand in one table"


def test_many_files_are_kept_part_by_part_and_a_fault_costs_no_more(place: tuple[Path, Path]) -> None:
    folder, into = place
    for number in range(TOGETHER + 6):
        written(folder / f"{number}.npy", number, side=2)
    answer = Answering()

    def failing(rows: Manifest, at: Path) -> Manifest:
        if answer.asked:
            raise PotencyError("the server is away")
        return answer(rows, at)

    watch = Watch(folder, into, failing, "a")
    taken(watch)
    with pytest.raises(PotencyError, match="away"):
        taken(watch)
    assert len(Manifest.read(into / "predictions.parquet")) == TOGETHER
    watch.answer = answer
    assert taken(watch) == [f"{number}.npy" for number in range(TOGETHER, TOGETHER + 6)]


def test_a_folder_that_goes_away_is_said(place: tuple[Path, Path]) -> None:
    folder, into = place
    watch = Watch(folder, into, Answering(), "a")
    shutil.rmtree(folder)
    with pytest.raises(PotencyError, match="not there"):
        watch.complete()


def test_the_folder_of_results_may_lie_in_what_is_watched(place: tuple[Path, Path]) -> None:
    folder, _ = place
    watch = Watch(folder, folder / "out", Answering(), "a")
    written(folder / "out" / "picture.npy")
    written(folder / "a.npy")
    taken(watch)
    assert taken(watch) == ["a.npy"]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("bundle") / "bundle"
    bundle_of().save(place)
    return place


def test_the_command_answers_and_explains_what_is_there(
    place: tuple[Path, Path], bundle: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, into = place
    monkeypatch.setattr("potency.cli.watch.SETTLE", 0.01)
    for number in range(3):
        written(folder / "sub" / f"{number}.npy", number)
    (folder / "bad.tif").write_bytes(b"GIF89a nothing")
    words = ["watch", str(folder), "--bundle", str(bundle), "--into", str(into), "--once", "--json"]
    assert run([*words, "--explain"]) == 0
    said = capsys.readouterr()
    told = json.loads(said.out)
    assert (told["rows"], told["new"], told["errors"]) == (4, 4, 1)
    assert "sub/2.npy: " in said.err and "%" in said.err and "GIF" in said.err
    rows = Manifest.read(into / "predictions.parquet")
    good = rows.table[rows.table["prediction.error"].isna()]
    assert all((into / path).is_file() for path in good["explanation"]) and len(good) == 3
    from potency import predict

    expected = predict(Manifest.of_rows(pd.DataFrame({"image": [str(folder / p) for p in good["id"]]})), bundle_of(),
                       into=None).table  # fmt: skip
    assert good["prediction.probability.dim"].tolist() == expected["prediction.probability.dim"].tolist()
    assert (into / "run.json").is_file() and not list((into / "work").iterdir()), "what a kill would need is gone"
    assert run(words) == 0
    assert json.loads(capsys.readouterr().out)["new"] == 0
    assert run(["watch", str(folder / "no"), "--bundle", str(bundle)]) == 2
    assert "no such folder" in capsys.readouterr().err


def test_ctrl_c_ends_it_and_says_how_to_go_on(place: tuple[Path, Path], bundle: Path) -> None:
    folder, into = place
    words = [sys.executable, "-m", "potency", "watch", str(folder), "--bundle", str(bundle), "--into", str(into),
             "--every", "0.1"]  # fmt: skip

    def rows() -> int:
        path = into / "predictions.parquet"
        return len(Manifest.read(path)) if path.is_file() else 0

    written(folder / "0.npy")
    with running(words) as process:
        until(lambda: rows() == 1)
        written(folder / "1.npy", 1)
        until(lambda: rows() == 2)
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=60)
    assert process.returncode == 130 and "the same command goes on" in told and "Traceback" not in told


class running:
    """A command whose process ends with the block."""

    def __init__(self, words: list[str]) -> None:
        self.process = started(words)

    def __enter__(self) -> subprocess.Popen[str]:
        return self.process

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()


def until(met: Callable[[], bool], seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not met():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.05)


@pytest.fixture
def lab(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[list[str]]]:
    """A server that answers at once, in place of one that is asked over a network."""
    asked: list[list[str]] = []

    class Server:
        def __init__(self, url: str, key: str, *, patience: float) -> None:
            assert (url, key) == ("http://lab:8765/", "secret")

        def models(self) -> list[dict[str, Any]]:
            return [{"id": "small"}]

        def answer(self, paths: list[Path], bundle: str) -> list[dict[str, Any]]:
            asked.append([path.name for path in paths])
            fault = {"what": "no image", "where": "x", "mend": "y", "kind": "ImageError"}
            return [{"name": path.name, "error": fault} if "bad" in path.name else
                    {"name": path.name, "prediction": "dim", "prediction.probability.dim": 0.75}
                    for path in paths]  # fmt: skip

    monkeypatch.setenv("POTENCY_KEY", "secret")
    monkeypatch.setattr("potency.web.client.Client", Server)
    yield asked


def test_a_server_may_answer(
    place: tuple[Path, Path], lab: list[list[str]], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, into = place
    monkeypatch.setattr("potency.cli.watch.SETTLE", 0.01)
    for name in ("0.npy", "1.npy", "bad.npy"):
        written(folder / name)
    words = ["watch", str(folder), "--bundle", "small", "--url", "http://lab:8765/", "--into", str(into), "--once"]
    assert run(words) == 0
    assert lab == [["0.npy", "1.npy", "bad.npy"]]
    table = Manifest.read(into / "predictions.parquet").table.set_index("id")
    assert table["prediction"].dropna().to_dict() == {"0.npy": "dim", "1.npy": "dim"}
    assert table.loc["bad.npy", "prediction.error"] == "no image; where: x; mend: y"
    assert "dim 75 %" in capsys.readouterr().out
    assert run([*words[:3], "none", *words[4:]]) == 2 and "no model 'none'" in capsys.readouterr().err
