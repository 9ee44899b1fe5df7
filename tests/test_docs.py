"""Pages: their examples run, their commands are understood, what they add fits, and the site builds without a warning.

A fenced block may say more behind its language: `python no-run` is only compiled, `python PATH` is a file to be
written, `diff PATH` a change of one, `sh exit 2` are commands that are refused. Other blocks of `python` run.
"""

from __future__ import annotations

import json
import os
import re
import runpy
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import typer
import zoo
from prediction_tables import SAMPLES, pairs_of

import potency
from potency.answers import ANSWERS
from potency.cli import app, run
from potency.tasks import TASKS

HOME = Path(__file__).resolve().parents[1]
DOCS = HOME / "docs"
PAGES = [HOME / "README.md", HOME / "CONTRIBUTING.md", *sorted(DOCS.glob("*.md"))]
ADDING = sorted(DOCS.glob("add-*.md"))
FENCE = re.compile(r"^```(\w*)[ \t]*([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# What is added to a command of a page, so that minutes become seconds; of an option given twice the last one counts.
SMALLER = {
    "simulate": "--cells 72 --set size=32",
    "train": "--holdout --steps 2 --set test_views=1 --set validations=1 --baselines trivial --workers 1",
    "reproduce": "--workers 1",
}
# Commands of pages, then tests of the house that the pages have added to, in one process.
ALL_OF_IT = """
import json, os, sys
import pytest
from potency.cli import run
from potency.estimators import pipelines

pipelines.TREES = 20
house, lines, tests = map(json.loads, sys.argv[1:])
failed = max(run(line) for line in lines)
os.chdir(house)
sys.exit(failed or pytest.main(tests))
"""


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    page: Path
    line: int
    language: str
    note: str
    text: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(HOME)}:{self.line}"

    @property
    def runs(self) -> bool:
        return self.language == "python" and not self.note

    def commands(self) -> Iterator[list[str]]:
        """The words of each command line, without prompt, comment, pipe and what follows it."""
        if self.language not in ("", "sh", "console"):
            return
        for line in self.text.replace("\\\n", " ").splitlines():
            line = line.removeprefix("$ ")
            if line.startswith(("potency ", "python -m ")):
                words = shlex.split(line, comments=True)
                yield words[: next((k for k, word in enumerate(words) if word in ("|", ">", "&&")), None)]


def blocks(*pages: Path) -> list[Block]:
    return [
        Block(page, text.count("\n", 0, found.start()) + 1, *(part.strip("\n") for part in found.groups()))
        for page in pages
        for text in [page.read_text("utf-8")]
        for found in FENCE.finditer(text)
    ]


def smaller(words: list[str]) -> list[str]:
    return [*words[1:], *SMALLER.get(words[1], "").split()]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_command_on_a_page_is_one_that_there_is(page: Path) -> None:
    verbs = typer.main.get_command(app)
    for block in blocks(page):
        for words in block.commands():
            if words[0] != "potency" or set(words) & {"...", "--help", "--version"}:
                continue
            verb = verbs.get_command(None, words[1])  # type: ignore[attr-defined]
            assert verb is not None, f"{block} calls potency {words[1]}"
            try:
                verb.make_context(words[1], words[2:])
            except typer.TyperException as error:
                pytest.fail(f"{block}: {shlex.join(words)}: {error.format_message()}")


@pytest.mark.parametrize("block", [b for b in blocks(*PAGES) if b.language in ("python", "json")], ids=str)
def test_every_example_can_be_read(block: Block) -> None:
    if block.language == "json":
        json.loads(block.text)
    else:
        compile(block.text, str(block), "exec")


@pytest.mark.parametrize("page", sorted({b.page for b in blocks(*PAGES) if b.runs}), ids=lambda page: page.stem)
def test_python_on_a_page_runs(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the order of the page, in one namespace, beside `my_images` and `new_images`, both simulated."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("potency.data.plan.PASSES", 0.1)
    monkeypatch.setattr("potency.data.plan.FEWEST_STEPS", 2)
    for folder, seed in (("my_images", 0), ("new_images", 1)):
        zoo.cells(tmp_path / folder, seed=seed)
    known: dict[str, Any] = {}
    for block in blocks(page):
        if block.runs:
            script = tmp_path / f"line_{block.line}.py"
            script.write_text(block.text, "utf-8")
            known |= runpy.run_path(str(script), known)


def test_the_tutorial_runs_from_its_first_command_to_its_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    ran = 0
    for block in blocks(DOCS / "tutorial.md"):
        for words in block.commands():
            expected = int(block.note.removeprefix("exit ") or 0)
            assert run(smaller(words)) == expected, f"{block}: {shlex.join(words)}\n{capfd.readouterr().err}"
            ran += 1
    assert ran > 8 and (tmp_path / "out/first/report/report.html").is_file()


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The house with all that the pages on adding something add."""
    place = tmp_path_factory.mktemp("house")
    for name in ("potency", "tests", "docs", "pyproject.toml", "README.md", "CONTRIBUTING.md"):
        source, into = HOME / name, place / name
        if source.is_dir():
            shutil.copytree(source, into, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, into)
    for block in blocks(*ADDING):
        if block.language == "python" and block.note.endswith(".py"):
            assert not (place / block.note).exists(), f"{block} writes a file that there is"
            (place / block.note).write_text(block.text + "\n", "utf-8")
        elif block.language == "diff":
            change(place / block.note, block)
    return place


def change(path: Path, block: Block) -> None:
    """Apply the hunks of a diff: their lines of before, one after the other, must stand in the file exactly once."""
    for hunk in re.split(r"^@@\n", block.text, flags=re.MULTILINE):
        lines = hunk.rstrip("\n").split("\n")
        before = "".join(line[1:] + "\n" for line in lines if not line.startswith("+"))
        after = "".join(line[1:] + "\n" for line in lines if not line.startswith("-"))
        text = path.read_text("utf-8")
        assert before and text.count(before) == 1, f"{block}: found {text.count(before)} times\n{before}"
        path.write_text(text.replace(before, after), "utf-8")


def called(house: Path, desk: Path, *words: str) -> str:
    """What a Python of that house prints; it must leave with 0."""
    free = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    ran = subprocess.run(
        [sys.executable, *words], cwd=desk, env={**free, "PYTHONPATH": str(house)}, capture_output=True, text=True,
        check=False, encoding="utf-8",
    )  # fmt: skip
    assert ran.returncode == 0, f"{shlex.join(words)}\n{ran.stdout[-6000:]}\n{ran.stderr[-6000:]}"
    return ran.stdout


def test_what_the_pages_add_works_and_keeps_the_contracts_of_the_house(copy: Path, tmp_path: Path) -> None:
    words = [words for block in blocks(*reversed(ADDING)) for words in block.commands()]
    asked = [each for each in words if each[:3] == ["python", "-m", "pytest"]]
    chosen = [each[each.index("-k") + 1] for each in asked]
    files = [word for each in asked for word in each if word.endswith(".py")]
    assert len(files) == len(chosen) == len(ADDING) >= 4
    wanted = " or ".join(f"({each})" for each in [*chosen, "test_house and (budget or imports_point)"])
    tests = [str(copy / file) for file in [*files, "tests/test_house.py"]]
    options = ["-v", "-p", "no:cacheprovider", "-p", "no:xdist", "-k", wanted]
    lines = [smaller(each) for each in words if each[0] == "potency"]
    told = called(copy, tmp_path, "-c", ALL_OF_IT, *map(json.dumps, (str(copy), lines, [*options, *tests])))
    passed = [line for line in told.splitlines() if "PASSED" in line]
    for file, each in zip([*files, "tests/test_house.py"], [*chosen, "budget"], strict=True):
        assert any(file in line and set(re.findall("[a-z]+", line)) & set(each.split(" or ")) for line in passed), each
    share = json.loads((tmp_path / "out/share/report/report.json").read_text("utf-8"))
    plan = json.loads((tmp_path / "plan.json").read_text("utf-8"))
    assert (share["task"], plan["network"]) == ("number", "dilated")
    assert "Two fates" in (tmp_path / "out/two/report.html").read_text("utf-8")


def test_every_task_and_answer_has_its_page_with_its_figures() -> None:
    index = (DOCS / "index.md").read_text("utf-8")
    told = ""
    for page in (*TASKS, "vector", "instances"):
        told += (DOCS / f"{page}.md").read_text("utf-8")
        assert f"({page}.md)" in index
    numbers = [1.0, 2.0, 4.0, 4.5]
    cells = {"category": list("aabb"), "ordinal": [1, 2, 3, 3], "number": numbers, "vector": [numbers] * 4,
             "labelset": ["a", "a | b", "none", "b"]}
    for kind, answer in ANSWERS.items():
        if answer.in_files:
            _, _, evidence = pairs_of(answer)
            figures = {name.partition(".")[0] for name in answer.summarise(evidence, np.ones((1, SAMPLES)))}
            assert [name for name in (kind, *figures) if f"`{name}`" not in told] == [], kind
            continue
        truth = pd.DataFrame({"": cells[kind]})
        labels = sorted(set(map(str, cells[kind]))) if answer.labelled else []
        shares = {f"probability.{label}": np.full(4, 1 / len(labels)) for label in labels}
        evidence = answer.compare_columns(truth, truth.assign(**shares), labels)
        figures = {name.partition(".")[0] for name in answer.summarise(evidence, np.ones((1, 4)))}
        missing = [name for name in (kind, *figures) if f"`{name}`" not in told]
        assert not missing, f"no page says what {missing} are, of {kind}"


def test_the_page_on_python_holds_all_that_is_public() -> None:
    page = (DOCS / "python.md").read_text("utf-8")
    assert [name for name in potency.__all__ if f":: potency.{name}\n" not in page and name != "__version__"] == []


def test_the_site_builds_without_a_warning_and_fetches_nothing(tmp_path: Path) -> None:
    if not all(map(find_spec, ("sphinx", "myst_parser", "furo"))):
        pytest.skip("the site is built by Sphinx: pip install 'potency[docs]'")
    called(HOME, tmp_path, "-m", "sphinx", "-q", "-n", "-W", "--keep-going", "-b", "html", str(DOCS), "site")
    for page in DOCS.glob("*.md"):
        html = (tmp_path / "site" / f"{page.stem}.html").read_text("utf-8")
        remote = re.findall(r'<(?:script|link|img|iframe)[^>]+(?:src|href)="(?:https?:)?//[^"]+', html)
        assert not remote, f"{page.name}: {remote}"
