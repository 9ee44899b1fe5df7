"""Benchmarks run and print the rows they promise; how fast things are is measured there, never here."""

from __future__ import annotations

import json
import runpy
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parents[1] / "benchmarks"
# Those that take seconds; the rest train for minutes.
SHORT = ("audit", "decoding", "early", "loader", "matching", "measuring", "relevance", "simulator")


@pytest.mark.parametrize("name", SHORT)
def test_a_benchmark_ends_with_its_rows_as_one_line(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = str(HERE / f"{name}.py")
    monkeypatch.setattr(sys, "argv", [file, "--quick", "--json"])
    monkeypatch.syspath_prepend(str(HERE))
    monkeypatch.chdir(tmp_path)
    runpy.run_path(file, run_name="__main__")  # here: another process would first import torch again
    rows = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert rows and all(row["name"] and row["source"] and row["role"] in ("target", "other") for row in rows)
    if name == "loader":
        assert {"training-cache", "png-decode"} <= {row["name"] for row in rows if row["ratio"] > 0}
    elif name == "relevance":
        books = [row for row in rows if "layer_error" in row]
        assert len(books) == 4 and all(max(row["layer_error"], row["sum_error"]) <= 1e-3 for row in books)
        assert {"faithful:simulator", "evidence:relevance"} <= {row["name"] for row in rows}
    elif name == "audit":
        rates = {(row["name"], row.get("agreement")): row["detection_rate"] for row in rows}
        assert len(rates) == len(rows) == 14 and {row["seeds"] for row in rows} == {2}
        assert rates["shortcut, classes mixed in groups", 1.0] == 1 and rates["shortcut, one class a group", 1.0] == 1
    elif name == "matching":
        (target,) = (row for row in rows if row["role"] == "target")
        assert target["images"] == 100 and target["cells"] == 200 and target["ratio"] > 1
    elif name == "measuring":
        target = next(row for row in rows if row["role"] == "target")
        assert target["cells"] == 1000 and target["max_difference"] < 1e-6 and target["ratio"] > 1
    elif name == "decoding":
        target = [row for row in rows if row["role"] == "target"]
        assert [(row["cells"], row["height"], row["width"], row["f1"]) for row in target] == [(10_000, 2048, 2048, 1)]
        assert {"flows", "distance", "boundary", "hover", "embedding", "stardist"} <= {row["decoder"] for row in rows}
    elif name == "early":
        assert len(rows) == 9 and all(0 <= row["too_early"] <= row["claimed"] <= 1 for row in rows)
        assert all(row["claimed"] == 1 for row in rows if row["name"].startswith("strong"))
    else:
        assert all(row["mpx_per_s"] > 0 for row in rows)


def test_the_results_are_sections_with_a_date(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(HERE))
    import run

    monkeypatch.setattr(run, "HERE", tmp_path)
    for name, seconds in (("b", 1.0), ("a", 2.0), ("b", 3.0)):
        run.write(name, [{"name": "x", "source": "potency", "role": "target", "seconds": seconds}], 1)
    text = (tmp_path / "RESULTS.md").read_text("utf-8")
    assert text.index("## a\n") < text.index("## b\n")
    assert "| x | potency | target | 3 |" in text and "| 1 |" not in text
    assert text.count(", one run: ") == 2
    middle = run.medians([[{"name": "x", "seconds": value}] for value in (1.0, 9.0, 2.0)])
    assert middle == [{"name": "x", "seconds": 2.0}]
