"""Columns compared along another one: levels, ranges, pairing, and what cannot be judged."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from potency.cli import run as command
from potency.errors import AnswerError
from potency.evaluation.along import along
from potency.evaluation.evaluate import evaluate

BOTH = ("prediction", "prediction@patch")


def rows() -> pd.DataFrame:
    """Early the second column is right more often, late the first."""
    random, table = np.random.default_rng(0), []
    for k in range(600):
        truth, time = "ab"[k % 2], [24, 48, 72][k % 3]
        wrong = (0.4 if time == 24 else 0.05, 0.05 if time == 24 else 0.2)
        said = [truth if random.random() > miss else "ba"[k % 2] for miss in wrong]
        table.append({"truth": truth, "group": f"g{k // 30}", "time": time, **dict(zip(BOTH, said, strict=True))})
    return pd.DataFrame(table)


def test_each_level_says_what_evaluate_says_of_its_rows() -> None:
    table = rows()
    found = along(table, "time", BOTH, draws=300)
    assert [level.value for level in found] == ["24", "48", "72"] and all(level.groups == 20 for level in found)
    alone = evaluate(table[table["time"] == 24], predictions=BOTH, draws=300)
    assert found[0].figures["prediction"] == alone.numbers["prediction"]["balanced_accuracy"]
    assert found[0].differences["prediction@patch"] == alone.contests[0].differences["balanced_accuracy"]
    early, late = (found[k].differences["prediction@patch"] for k in (0, 2))
    assert (early.high or 0) < 0 < (late.low or 0)


def test_many_numbers_are_cut_into_ranges_that_hold_every_row_once() -> None:
    table = rows().assign(hour=np.random.default_rng(1).permutation(600) / 7.0)
    found = along(table, "hour", BOTH, draws=100)
    assert len(found) == 6 and sum(level.rows for level in found) == 600
    assert {level.rows for level in found} == {100} and found[0].low == 0 and found[-1].high == pytest.approx(599 / 7)


def test_gaps_words_and_small_levels() -> None:
    table = rows().assign(plate=["one"] * 300 + ["two"] * 290 + ["three"] * 5 + [None] * 5)
    found = along(table, "plate", BOTH, draws=100)
    assert [(level.value, level.rows) for level in found] == [("one", 300), ("two", 290)]
    with pytest.raises(AnswerError, match="no level column 'hours'"):
        along(table, "hours", BOTH)
    with pytest.raises(AnswerError, match="no level of 'group' has"):
        along(table[:40].assign(group=range(40)).astype({"group": str}), "group", BOTH)
    with pytest.raises(AnswerError, match="is what is judged"):
        along(table, "truth", BOTH)


def test_the_command_shows_and_keeps_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows().to_csv(tmp_path / "rows.csv", index=False)
    words = ["evaluate", str(tmp_path / "rows.csv"), "--into", str(tmp_path / "out"), "--draws", "100"]
    assert command([*words, "--along", "time", "--json"]) == 0
    told = json.loads(capsys.readouterr().out.strip().splitlines()[-1])["along"]
    table = pd.read_csv(tmp_path / "out" / "along.csv")
    assert [level["value"] for level in told] == ["24", "48", "72"]
    apart = [level["differences"]["prediction@patch"]["value"] for level in told]
    assert table["first_minus_it"].dropna().tolist() == apart and len(table) == 6
    assert command([*words, "--along", "tim"]) == 2
    assert "did you mean 'time'?" in capsys.readouterr().err
