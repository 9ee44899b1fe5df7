"""The command line: quick help, examples everywhere, JSON for machines, three lines and exit code 2 for bad input."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile
from interruptible import started
from typer.models import ArgumentInfo

from potency.cli import app, frame, run
from potency.errors import PotencyError

HEAVY = ("torch", "pandas", "numpy", "sklearn", "matplotlib", "scipy", "skimage", "openvino", "zarr", "timm")
DOCS = Path(__file__).parents[1] / "docs"
COMMANDS = [command.name for command in app.registered_commands]


def called(*words: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own, as a user's shell starts it."""
    call = [sys.executable, "-m", "potency", *words]
    return subprocess.run(call, capture_output=True, text=True, cwd=cwd, check=False, timeout=300)


def refused(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[str, str, str]:
    """What, where and mend of a call that must be refused in exactly three lines."""
    assert run(words) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 3, lines
    assert lines[1].startswith("where: ") and lines[2].startswith("mend: ")
    assert all(line.strip() for line in lines)
    return lines[0], lines[1].removeprefix("where: "), lines[2].removeprefix("mend: ")


@pytest.fixture(scope="module")
def cells(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table of 24 tiny images in 6 groups, two classes of different brightness."""
    folder = tmp_path_factory.mktemp("cells with a space ü")
    rng = np.random.default_rng(0)
    rows = []
    for number in range(24):
        label, group = "ab"[number % 2], f"clone{number % 6}"
        image = rng.normal(90 + 40 * (number % 2), 10, (20, 20)).clip(0, 255).astype(np.uint8)
        tifffile.imwrite(folder / f"{number:02d}.tif", image)
        rows.append({"file": f"{number:02d}.tif", "label": label, "group": group})
    rng.shuffle(rows)
    for number, row in enumerate(rows):  # both classes in every group
        row["group"] = f"clone{number % 6}"
    pd.DataFrame(rows).to_csv(folder / "labels.csv", index=False)
    return folder


def test_all_commands_are_there() -> None:
    asked = "check split plan train predict evaluate report simulate reproduce models demo doctor"
    assert set(asked.split()) <= set(COMMANDS)


def test_help_imports_nothing_heavy() -> None:
    script = (
        "import sys, contextlib, io\nfrom potency.cli import run\n"
        "for words in (['--help'], ['train', '--help'], ['nonsense'], ['train', '--nonsense']):\n"
        "    with contextlib.redirect_stdout(io.StringIO()): run(words)\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"


def test_idle_threads_sleep_before_torch_is_imported() -> None:
    environment = {k: v for k, v in os.environ.items() if k != "OMP_WAIT_POLICY"}
    script = "import potency.__main__, os, sys; print(os.environ['OMP_WAIT_POLICY'], 'torch' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment, check=True)
    assert ran.stdout.split() == ["PASSIVE", "False"]


@pytest.mark.parametrize("name", COMMANDS)
def test_help_shows_examples_and_says_what_each_option_is(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([name, "--help"]) == 0
    said = capsys.readouterr().out
    assert "Examples" in said and f"potency {name}" in said and "--json" in said
    command = next(c for c in app.registered_commands if c.name == name)
    assert command.callback is not None
    for option, hint in command.callback.__annotations__.items():
        assert hint.__metadata__[0].help, f"--{option} of {name} has no help"


def test_version_and_no_words_at_all(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--version"]) == 0 and capsys.readouterr().out.startswith("potency ")
    assert run([]) == 0 and "Commands" in capsys.readouterr().out


def test_misspelt_commands_and_options_are_three_lines(capsys: pytest.CaptureFixture[str]) -> None:
    what, where, mend = refused(capsys, "trian", "cells")
    assert "trian" in what and "train" in what and mend == "see `potency --help`"
    what, where, mend = refused(capsys, "check", "cells", "--grup", "x")
    assert "--grup" in what and "--group" in what and (where, mend) == ("potency check", "see `potency check --help`")
    what, _, _ = refused(capsys, "split", "cells")
    assert "--into" in what
    what, _, _ = refused(capsys, "split", "cells", "--into", "x.csv", "--folds", "1")
    assert "--folds" in what and "2" in what


def test_a_missing_folder_is_three_lines(capsys: pytest.CaptureFixture[str]) -> None:
    what, where, _ = refused(capsys, "check", "nowhere")
    assert what == "there is no such file or folder" and where == "nowhere"


def test_a_process_says_the_same_and_leaves_with_2() -> None:
    ran = called("check", "nowhere")
    assert ran.returncode == 2 and ran.stdout == "" and len(ran.stderr.splitlines()) == 3
    assert "Traceback" not in ran.stderr


def test_errors_of_the_machine_are_three_lines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    what, where, mend = refused(capsys, "simulate", str(tmp_path / "file" / "below"), "--cells", "2")
    assert "file" in where and what and mend


def test_messages_of_many_lines_stay_three() -> None:
    assert frame.three_lines("a\nb", "c", "d\n e").splitlines() == ["a b", "where: c", "mend: d e"]


def test_an_error_without_where_or_mend_still_has_three_lines(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise PotencyError("nothing works")

    monkeypatch.setattr("potency.data.manifest.Manifest.read", fail)
    assert refused(capsys, "check", "x") == ("nothing works", "potency check", "see `potency check --help`")


def test_check_prints_how_rows_were_understood(cells: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["check", str(cells)]) == 0
    said = capsys.readouterr().out
    assert "24 rows, 6 groups" in said and "column 'group'" in said and "no faults" in said


def test_check_json_is_one_line_and_people_read_stderr(cells: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["check", str(cells), "--json"]) == 0
    caught = capsys.readouterr()
    assert len(caught.out.splitlines()) == 1
    answer = json.loads(caught.out)
    assert answer["rows"] == 24 and answer["faults"] == [] and answer["classes"]["a"]["rows"] == 12
    assert "24 rows" in caught.err


def test_check_lists_all_faults_and_leaves_with_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((8, 8), np.uint8))
    (tmp_path / "empty.tif").write_bytes(b"")
    (tmp_path / "t.csv").write_text("file,label,group\na.tif,x,1\nempty.tif,y,2\ngone.tif,y,3\n", "utf-8")
    assert run(["check", str(tmp_path / "t.csv"), "--json"]) == 2
    caught = capsys.readouterr()
    faults = " ".join(f"{f['what']} {f['where']} {f['rows']}" for f in json.loads(caught.out)["faults"])
    assert "empty.tif" in faults and "gone.tif" in faults
    assert [line.split(":")[0] for line in caught.err.splitlines()[-2:]] == ["where", "mend"]


def test_split_writes_a_table_whose_groups_are_whole(
    cells: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "split.csv"
    assert run(["split", str(cells), "--into", str(out), "--folds", "3", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    table = pd.read_csv(out)
    assert sum(fold["rows"] for fold in answer["folds"].values()) == len(table) == 24
    assert (table.groupby("group")["fold"].nunique() == 1).all() and table["fold"].nunique() == 3


def test_plan_is_json_and_takes_changes(cells: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["plan", str(cells), "--set", "steps=7"]) == 0
    assert json.loads(capsys.readouterr().out)["steps"] == 7
    assert run(["plan", str(cells), "--into", str(tmp_path / "a" / "plan.json")]) == 0
    assert json.loads((tmp_path / "a" / "plan.json").read_text("utf-8"))["classes"] == ["a", "b"]
    capsys.readouterr()
    what, _, _ = refused(capsys, "plan", str(cells), "--set", "step=7")
    assert "'step'" in what and "'steps'" in what
    what, where, _ = refused(capsys, "plan", str(cells), "--set", "steps")
    assert "NAME=VALUE" in what and where == "--set"


def test_simulate_writes_a_folder_that_check_reads(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    into = tmp_path / "world"
    assert run(["simulate", str(into), "--cells", "12", "--groups", "4", "--set", "size=32", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["rows"] == 12
    what, _, _ = refused(capsys, "simulate", str(tmp_path / "w2"), "--look", "brightfeld")
    assert "brightfeld" in what
    what, where, _ = refused(capsys, "simulate", str(tmp_path / "w2"), "--set", "into=elsewhere")
    assert what == "'into' is no setting of the world" and where == "--set"


@pytest.mark.parametrize("name", ["split", "train", "evaluate", "simulate", "demo"])
def test_a_seed_below_zero_is_refused(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = [] if name == "demo" else [str(tmp_path / "x")]
    into = [] if name == "simulate" else ["--into", str(tmp_path / "y")]
    what, _, _ = refused(capsys, name, *source, *into, "--seed", "-1")
    assert "--seed" in what and "greater than or equal to 0" in what


@pytest.mark.parametrize("text", ['{"metrics": 3}', '{"metrics": {"accuracy": {"value": "x"}}}', "[" * 100_000, "[]",
                                  '{"metrics": {}, "contests": [1]}', '{"metrics": {}, "baselines": 1}'])  # fmt: skip
def test_a_report_json_of_somebody_else_is_told(
    text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "report.json").write_text(text, "utf-8")
    what, where, mend = refused(capsys, "report", str(tmp_path))
    assert what.startswith("the report cannot be read") and where.endswith("report.json") and "evaluate" in mend


def test_a_simulated_kind_brings_its_own_settings(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["simulate", str(tmp_path / "m"), "--kind", "movie", "--set", "frames=2", "--set", "field=128"]) == 0
    world = json.loads((tmp_path / "m" / "parameters.json").read_text("utf-8"))
    assert (world["look"], world["cells"], world["groups"]) == ("phase", 24, 2)
    capsys.readouterr()
    assert run(["simulate", str(tmp_path / "n"), "--kind", "movie", "--look", "brightfield", "--cells", "3", "--set",
                "frames=1", "--set", "field=128"]) == 0  # fmt: skip
    world = json.loads((tmp_path / "n" / "parameters.json").read_text("utf-8"))
    assert (world["look"], world["cells"]) == ("brightfield", 3)


def test_models_say_what_each_is_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["models", "--json"]) == 0
    lists = json.loads(capsys.readouterr().out)
    for kind in ("answers", "features", "estimators", "rules"):
        told = list(lists[kind].values())
        assert all(told) and len(set(told)) == len(told), kind
        assert not any("(N," in line or "`" in line for line in told), kind


def test_a_table_of_another_program_is_grouped_by_its_columns(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = [f"c{i},p{i % 6},{'ab'[i % 2]},{'ab'[i % 7 % 2]},{'ab'[i % 2]}" for i in range(60)]
    (tmp_path / "t.csv").write_text("\n".join(["Cell,Plate,Label,prediction,prediction@other", *lines]), "utf-8")
    assert run(["evaluate", str(tmp_path / "t.csv"), "--into", str(tmp_path / "out"), "--draws", "100", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["groups"] == 6 and not told["banner"] and "other" in told["baselines"]
    assert told["verdict"] and told["metrics"]["accuracy"]["low"] is not None
    assert "groups: inferred from column plate (6 groups)" in (tmp_path / "out" / "report.html").read_text("utf-8")


def test_ctrl_c_leaves_with_130_and_says_how_to_go_on(
    cells: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("potency.data.manifest.Manifest.read", stop)
    assert run(["train", str(cells), "--into", "x"]) == 130
    assert "--resume" in capsys.readouterr().err


def test_a_real_interrupt_leaves_no_traceback(tmp_path: Path) -> None:
    running = started([sys.executable, "-m", "potency", "simulate", str(tmp_path / "w"), "--cells", "200000"])
    try:
        deadline = time.monotonic() + 60
        while not any(tmp_path.iterdir()) and time.monotonic() < deadline:
            time.sleep(0.1)
        running.send_signal(signal.SIGINT)
        _, said = running.communicate(timeout=60)
    finally:
        running.kill()
    assert running.returncode == 130 and "stopped" in said and "Traceback" not in said
    assert not (tmp_path / "w").exists()


def test_json_has_no_nan_and_no_numpy() -> None:
    value = {"a": np.float32(0.5), "b": np.array([1, 2]), "c": float("nan"), 3: (Path("x"), None, True)}
    assert frame.plain(value) == {"a": 0.5, "b": [1, 2], "c": None, "3": ["x", None, True]}


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_a_page_that_names_its_options(name: str) -> None:
    pages = {path.name: path.read_text("utf-8") for path in DOCS.glob("*.md")}
    # By its first line: the page of `search` cannot be called so, as Sphinx keeps that name for its own.
    file, page = next((file, text) for file, text in pages.items() if text.startswith(f"# potency {name}\n"))
    command = next(c for c in app.registered_commands if c.name == name)
    assert f"({file})" in pages["index.md"]
    assert command.callback is not None
    for option, hint in command.callback.__annotations__.items():
        info = hint.__metadata__[0]
        flag = info.metavar or option.upper() if isinstance(info, ArgumentInfo) else "--" + option.replace("_", "-")
        assert flag.replace("|", r"\|") in page, f"docs/{file} does not name {flag}"


def test_links_between_pages_lead_somewhere() -> None:
    for page in [*DOCS.glob("*.md"), DOCS.parent / "README.md", DOCS.parent / "CONTRIBUTING.md"]:
        for link in re.findall(r"\]\(([^)#]+)\)", page.read_text("utf-8")):
            assert link.startswith("http") or (page.parent / link).exists(), f"{page.name} links to {link}"
