"""The report's page and its figures as data, and what it does with hostile, scarce and broken material."""

from __future__ import annotations

import csv
import errno
import io
import json
import os
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from made_up_reports import FACTS, HOSTILE, LABELS, Elements, categories, category_report

from potency.errors import PotencyError
from potency.evaluation import opening, report, tables, trust, wording
from potency.evaluation.evaluate import evaluate
from potency.evaluation.page import page
from potency.evaluation.results import Contest, Interval, Report

KEYS = {"task", "rows", "groups", "split", "metrics", "baselines", "random_split"} | {
    *("data_fingerprint", "command", "versions")
}


@pytest.fixture(scope="module")
def full() -> Report:
    return category_report()


@pytest.fixture(scope="module")
def full_page(full: Report) -> str:
    return page(full)


def without_date(text: str) -> str:
    return re.sub(r"<time.*?</time>", "", text)


def test_write_leaves_page_figures_and_rows(full: Report, tmp_path: Path) -> None:
    where = full.write(tmp_path / "out" / "deep")
    assert where == tmp_path / "out" / "deep" / "report.html"
    names = sorted(path.name for path in where.parent.iterdir())
    assert names == ["numbers.csv", "report.html", "report.json", "rows.parquet"]
    assert where.read_text("utf-8").startswith("<!doctype html>")
    pd.testing.assert_frame_equal(pd.read_parquet(where.parent / "rows.parquet"), full.rows, check_dtype=False)


def test_json_holds_what_others_rely_on(full: Report) -> None:
    figures = json.loads(json.dumps(full.json(), allow_nan=False))
    assert set(figures) >= KEYS
    assert figures["task"] == "category" and figures["rows"] == 240 and figures["groups"] == 12
    assert figures["split"] == "stratified" and figures["data_fingerprint"] == "0123abcd"
    assert figures["command"] == "potency train 'my images' --into out"
    cell = full.numbers["prediction"]["balanced_accuracy"]
    assert figures["metrics"]["balanced_accuracy"] == {"value": cell.value, "low": cell.low, "high": cell.high}
    assert set(figures["baselines"]) == {"forest", "trivial"}
    assert figures["random_split"] == {"forest": {"balanced_accuracy": {"value": 0.93, "low": 0.9, "high": 0.95}}}
    assert [c["verdict"] for c in figures["contests"]] == [c.verdict for c in full.contests]


def test_figures_that_are_not_finite_are_null() -> None:
    rows = categories(rows=30)
    broken = {"prediction": {"auc": Interval(float("nan"), None, None), "accuracy": Interval(0.5, float("nan"), 1.0)}}
    bare = Report("category", rows, LABELS, broken, (), 12, {"prediction": float("nan")}, {}, 10, 0)
    figures = json.loads(json.dumps(bare.json(), allow_nan=False))
    assert figures["metrics"] == {
        "auc": {"value": None, "low": None, "high": None},
        "accuracy": {"value": 0.5, "low": None, "high": 1.0},
    }
    assert "–" in page(bare)


def test_numbers_are_tidy(full: Report) -> None:
    rows = list(csv.DictReader(io.StringIO(report.numbers_csv(full))))
    assert list(rows[0]) == ["prediction", "metric", "value", "low", "high", "groups", "samples"]
    found = {(row["prediction"], row["metric"]): row for row in rows}
    forest = found["prediction@forest", "accuracy"]
    assert float(forest["value"]) == full.numbers["prediction@forest"]["accuracy"].value
    assert forest["groups"] == "12" and forest["samples"] == "240"
    apart = found["prediction - prediction@forest", "balanced_accuracy"]
    assert float(apart["low"]) == full.contests[0].differences["balanced_accuracy"].low


def test_the_same_rows_give_the_same_bytes_apart_from_the_date(tmp_path: Path) -> None:
    first, second = (category_report().write(tmp_path / name) for name in ("a", "b"))
    for name in ("report.json", "numbers.csv", "rows.parquet"):
        assert (first.parent / name).read_bytes() == (second.parent / name).read_bytes()
    assert without_date(first.read_text("utf-8")) == without_date(second.read_text("utf-8"))
    assert "<time" in first.read_text("utf-8")


def test_the_page_needs_no_network_and_its_ids_are_its_own(full_page: str) -> None:
    seen = Elements(full_page)
    assert not {tag for tag, _ in seen.found} & {"link", "iframe", "object", "embed", "base", "form"}
    links = [link for name in ("href", "src", "action", "srcset") for link in seen.values(name)]
    assert links and all(link.startswith(("#", "data:image/png;base64,")) for link in links)
    assert not re.search(r"@import|url\((?!#)", full_page)
    ids = seen.values("id")
    assert len(ids) == len(set(ids))
    wanted = [link[1:] for link in links if link.startswith("#")] + re.findall(r"url\(#([^)]+)\)", full_page)
    assert set(wanted) <= set(ids)


def test_everything_known_is_shown_in_order(full: Report, full_page: str) -> None:
    text = Elements(full_page).text
    start = 0
    for words in (
        *("Fates of a made-up dish", opening.verdict(full), "What was asked", "What a sceptic would ask", "Numbers"),
        *("Under a random split", "Confusion matrix", "ROC, each class", "Precision and recall"),
        *("How the scores are spread", "Group by group", "How it learned", "pixel size unknown", "0123abcd"),
        *("potency train 'my images'", "Environment and versions", "How to read this report"),
    ):
        assert words in text[start:], words
        start = text.index(words, start)


def test_what_is_not_known_is_absent() -> None:
    table = categories(rows=20, groups=20)[["group", "truth", "prediction"]]
    bare = evaluate(table, draws=20, facts={})
    seen = Elements(page(bare))
    absent = {f"plot-{name}" for name in ("roc", "pr", "reliability", "scores", "learning", "glance", "groups")}
    assert not (absent | {"images", "copy"}) & set(seen.values("id"))
    assert "plot-confusion" in seen.values("id")
    assert "How the rows were split is not recorded" in seen.text and "Under a random split" not in seen.text


def test_names_are_text_never_code(tmp_path: Path) -> None:
    facts = {**FACTS, "title": "</title><script>x</script>", "command": "run '</code><script>'"}
    facts |= {"findings": {"faults": ["<img src=x onerror=y>"]}, "versions": {"<i>": "</dd>"}}
    facts |= {"names": {"prediction": "<u>"}, "banner": ["<b>groups</b>"]}
    rows = categories(HOSTILE)
    rows["group"], rows["image"] = "<b>" + rows["group"], "../<img onerror=z>" + rows["image"]
    hostile = evaluate(rows, predictions=("prediction", "prediction@forest"), draws=50, facts=facts)
    text = hostile.write(tmp_path).read_text("utf-8")
    seen = Elements(text)
    assert [tag for tag, _ in seen.found].count("script") == 1
    assert not {tag for tag, _ in seen.found} & {"u", "i"} and not seen.values("onerror")
    assert not any(name.startswith("on") for _, attributes in seen.found for name in attributes)
    assert "<script>alert(1)</script>" in seen.text and "日本" in seen.text and "\x07" not in text
    assert "\\<script>" in hostile.markdown() and not re.search(r"(?<!\\)<script>alert", hostile.markdown())


def test_few_groups_give_no_intervals_and_say_so() -> None:
    few = category_report(groups=3, facts={**FACTS, "simulated": True, "split_kind": "random"})
    lines = trust.banners(few)
    assert [line.split()[0] for line in lines] == ["Random", "SIMULATED", "Only"]
    assert "3 groups" in lines[2] and "no intervals" in lines[2]
    assert "[" not in wording.headline(few)
    text = Elements(page(few)).text
    assert text.index(lines[0]) < text.index(opening.verdict(few))
    assert few.json()["metrics"]["accuracy"]["low"] is None
    asked = {doubt.question: doubt for doubt in trust.doubts(few)}
    assert asked["Was it tested on groups it had never seen?"].mark == "bad"
    assert asked["Are there enough independent groups?"].mark == "bad"


def test_a_declared_random_split_counts_its_leaks_in_the_first_line() -> None:
    rows = categories()
    rows["fold"] = np.where(rows["group"].isin(["dish 0", "dish 1"]), 0, np.arange(len(rows)) % 5)
    mixed = evaluate(rows, draws=20, facts={"split_kind": "random"})
    first = trust.banners(mixed)[0]
    assert first.startswith("Random split declared") and first.endswith("(10 of 12 groups stand in more than one fold)")
    folds = tables.folds(mixed)
    assert folds is not None and [row[0] for row in folds.rows] == ["0", "1", "2", "3", "4"]
    assert sum(int(row[1]) for row in folds.rows) == 240


def test_the_headline_is_a_sentence(full: Report) -> None:
    sentence = wording.headline(full)
    assert re.fullmatch(
        r"Balanced accuracy \.\d\d \[\.\d\d, \.\d\d\] over 12 groups \(240 images\); "
        r"forest \.\d\d \[.*\], difference \+\.\d\d \[.*\]: better; trivial .*: better\.",
        sentence,
    ), sentence


def test_an_undecided_contest_is_called_inconclusive_in_words(full: Report) -> None:
    apart = {"balanced_accuracy": Interval(0.01, -0.02, 0.04)}
    contest = Contest("prediction@forest", "prediction", apart, 0.4, None, "inconclusive")
    open_ended = replace(full, contests=(contest,))
    assert "difference −.01 [−.04, +.02]: inconclusive (the interval includes zero)" in wording.headline(open_ended)
    table = tables.metrics(open_ended)
    assert table is not None and "McNemar p = .40" in table.note
    answers = [doubt.answer for doubt in trust.doubts(open_ended) if "forest?" in doubt.question]
    assert answers and answers[0].startswith("Inconclusive")


def test_a_contest_reads_the_same_from_either_side() -> None:
    contest = Contest("prediction@forest", "prediction", {"mae": Interval(2.0, 1.0, 3.0)}, verdict="worse")
    seen = wording.difference(contest, "mae", "prediction")
    assert seen == Interval(-2.0, -3.0, -1.0) and wording.verdict(contest, "prediction") == "better"


def test_the_random_split_is_set_beside_the_split_by_group(full: Report) -> None:
    table = tables.random_split(full)
    assert table is not None and table.head[1:] == ("forest, random split", "forest, group split", "gap")
    here = full.numbers["prediction@forest"]["balanced_accuracy"].value
    assert table.rows[0][1] == ".93 [.90, .95]" and table.rows[0][3] == wording.figure(0.93 - here, 2, True, True)
    columns = {**full.numbers, "prediction@random": {"accuracy": Interval(0.99, 0.98, 1.0)}}
    mixed = replace(full, numbers=columns, facts={})
    assert set(tables.random_figures(mixed)) == {"prediction"}
    head = tables.metrics(mixed)
    assert head is not None and "random" not in head.head


def test_a_large_report_stays_small(tmp_path: Path) -> None:
    from PIL import Image

    labels = tuple(f"phase {k}" for k in range(8))
    random = np.random.default_rng(0)
    Image.fromarray(random.integers(0, 255, (200, 200), dtype=np.uint8)).save(tmp_path / "noise.png")
    rows = categories(labels, rows=3300, groups=120)
    rows["image"] = "noise.png"
    columns = ("prediction", "prediction@forest")
    large = evaluate(rows, predictions=columns, draws=20, facts={**FACTS, "folder": str(tmp_path)})
    assert large.write(tmp_path / "out").stat().st_size < 3_000_000


def test_a_folder_that_cannot_be_written_is_named(full: Report, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(PotencyError) as caught:
        full.write(tmp_path / "file" / "out")
    assert str(caught.value).startswith("the report cannot be written:")
    assert caught.value.where.endswith("out") and "free some space" in caught.value.mend


def test_a_full_disk_leaves_the_old_report_whole(full: Report, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = full.write(tmp_path)
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}

    def full_disk(handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(PotencyError, match="No space left on device"):
        full.write(old.parent)
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before


def test_markdown_holds_headline_table_and_command(full: Report) -> None:
    text = full.markdown()
    assert text.startswith("# Fates of a made-up dish\n") and wording.headline(full) in text
    assert "| metric | network | forest | trivial |" in text and "potency train 'my images'" in text


@pytest.mark.parametrize(
    ("interval", "metric", "signed", "told"),
    [
        (Interval(0.7812, 0.74, 0.8211), "accuracy", False, ".78 [.74, .82]"),
        (Interval(0.9941, 0.992, 0.997), "auc", False, ".994 [.992, .997]"),
        (Interval(1.0, 0.98, 1.0), "recall.x", False, "1.00 [.98, 1.00]"),
        (Interval(-0.0001, -0.03, 0.03), "accuracy", True, ".00 [−.03, +.03]"),
        (Interval(12.345, 10.1, 14.9), "mae", False, "12.3 [10.1, 14.9]"),
        (Interval(1234.5, 1100.0, 1400.0), "mae", False, "1,234 [1,100, 1,400]"),
        (Interval(0.00123, None, None), "mae", False, "0.00123"),
        (Interval(float("nan"), None, None), "auc", False, "–"),
        (None, "auc", False, "–"),
    ],
)
def test_numbers_have_as_many_digits_as_they_deserve(interval: Any, metric: str, signed: bool, told: str) -> None:
    assert wording.spoken(interval, metric, signed) == told
