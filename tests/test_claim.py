"""One folder, one process: the second is told so at once, and a holder that is killed leaves the folder free."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from small_bundle import MIXED, Counting, bundle_of, images

from potency.errors import PotencyError
from potency.inference import claim
from potency.inference.claim import claimed
from potency.inference.predict import predict

HOLD = """
import sys, time
from pathlib import Path
from potency.inference.claim import claimed
with claimed(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claim, "PATIENCE", 0.2)


def test_another_process_is_refused_until_the_first_is_killed(tmp_path: Path) -> None:
    holder = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path / "out")], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None and holder.stdout.readline() == "held\n"
    with pytest.raises(PotencyError, match="another process is writing") as caught, claimed(tmp_path / "out"):
        pass
    assert caught.value.where == str(tmp_path / "out") and "--into" in caught.value.mend
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    holder.stdout.close()
    with claimed(tmp_path / "out"):
        assert (tmp_path / "out").is_dir()


def test_two_predictions_into_one_folder_do_not_mix(tmp_path: Path) -> None:
    rows, bundle = images(tmp_path / "in", MIXED), bundle_of()
    at_work, go_on, refused = threading.Event(), threading.Event(), Counting()

    def slowly(function: object, items: object) -> object:
        at_work.set()
        assert go_on.wait(60)
        return map(function, items)  # type: ignore[call-overload]

    first = threading.Thread(target=lambda: predict(rows, bundle, into=tmp_path / "out", on=slowly))  # type: ignore[arg-type]
    first.start()
    assert at_work.wait(60)
    with pytest.raises(PotencyError, match="another process is writing"):
        predict(rows, bundle, into=tmp_path / "out", on=refused)
    go_on.set()
    first.join()
    assert refused.handed == 0
    again = predict(rows, bundle, into=tmp_path / "out", on=refused)
    assert refused.handed == 0 and again.table["prediction"].notna().all()


def test_only_our_own_half_written_files_are_removed(tmp_path: Path) -> None:
    ours = [".bundle.part17", ".state.safetensors.part17", ".predictions.partab12.csv", ".run.json.part",
            ".predictions.parquet.part8x"]  # fmt: skip
    theirs = [".thesis.part1.docx", ".part", "bundle.part", ".bundle"]
    for name in ours + theirs:
        (tmp_path / name).write_text("x")
    (tmp_path / ours[0]).unlink()
    (tmp_path / ours[0]).mkdir()
    (tmp_path / ours[0] / "weights.safetensors").write_text("half")
    with claimed(tmp_path):
        assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*theirs, claim.MARK])


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    below = tmp_path / "file" / "out"
    with pytest.raises(PotencyError, match="the folder cannot be written") as caught, claimed(below):
        pass
    assert "file" in caught.value.where and "--into" in caught.value.mend


def test_nowhere_needs_no_lock() -> None:
    before = os.listdir(".")
    with claimed(None):
        assert os.listdir(".") == before
