"""A blinded reading: a page that gives nothing away, keys that become answers, and answers that find their rows."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
import subprocess
from html import unescape
from pathlib import Path

import pytest
import zoo

from potency.cli import run
from potency.data.manifest import Manifest
from potency.errors import AnswerError
from potency.evaluation.evaluate import evaluate
from potency.evaluation.reading import code, joined, page

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.fixture(scope="module")
def cells(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    return zoo.cells(tmp_path_factory.mktemp("cells") / "set")


def answers(path: Path, cells: Manifest, wrong: int = 0, unsure: int = 0) -> Path:
    """The file of a reader who errs on the first rows and cannot tell the next."""
    one, two = cells.classes
    with path.open("w", newline="", encoding="utf-8") as stream:
        rows = csv.writer(stream)
        rows.writerow(["id", "answer", "seconds"])
        for at, row in enumerate(cells.records()):
            said = {one: two, two: one}[row["truth"]] if at < wrong else row["truth"]
            rows.writerow([code(row["id"]), "" if wrong <= at < wrong + unsure else said, 1.5])
    return path


def test_the_page_gives_no_name_away_and_fetches_nothing(cells: Manifest) -> None:
    text = page(cells)
    for row in cells.records():
        for known in ("id", "group", "plate"):
            assert str(row[known]) not in text
        assert code(row["id"]) in text
    assert text.count("data:image/png;base64,") == len(cells)
    assert not re.findall(r'(?:src|href)="(?!#|data:)', text)
    order = re.findall(r'"code": ?"([0-9a-f]{12})"', unescape(text))
    assert len(order) == len(cells) and order != [code(row["id"]) for row in cells.records()]
    few = page(cells, images=5, seed=3)
    assert few.count("data:image/png;base64,") == 5 and page(cells, images=5, seed=3) == few
    with pytest.raises(AnswerError, match="1 classes cannot be read"):
        page(cells.keep(cells.classes[:1]))


def test_answers_find_their_rows_and_become_a_figure(cells: Manifest, tmp_path: Path) -> None:
    first, second = answers(tmp_path / "reader1.csv", cells, 6, 4), answers(tmp_path / "reader2.csv", cells, 12)
    rows = joined(cells, [first, second])
    assert len(rows) == len(cells) and rows.kinds["prediction@reader1"] == "category"
    assert rows.table["prediction@reader1"].isna().sum() == 4
    report = evaluate(rows, predictions=("prediction@reader2", "prediction@reader1"), draws=200)
    human = report.numbers["prediction@reader2"]["accuracy"]
    assert human.value == pytest.approx(1 - 12 / 48) and human.low is not None and human.low < human.value
    assert report.numbers["prediction@reader1"]["accuracy"].value == pytest.approx(1 - 6 / 44)


def test_wrong_answers_are_explained(cells: Manifest, tmp_path: Path) -> None:
    good = answers(tmp_path / "reader1.csv", cells)
    with pytest.raises(AnswerError, match="48 of 48 answers are to no row(.|\n)*--seed"):
        joined(cells, [good], seed=1)
    with pytest.raises(AnswerError, match="answers of 'reader1' already"):
        joined(cells, [good, good])

    def file(name: str, text: str) -> Path:
        (tmp_path / name).write_text(text, encoding="utf-8")
        return tmp_path / name

    known = code(cells.table["id"][0])
    with pytest.raises(AnswerError, match="there is no class 'glia'(.|\n)*neuron"):
        joined(cells, [file("a.csv", f"id,answer\n{known},glia\n")])
    with pytest.raises(AnswerError, match="1 images are answered twice"):
        joined(cells, [file("b.csv", f"id,answer\n{known},stem\n{known},stem\n")])
    with pytest.raises(AnswerError, match="no column answer"):
        joined(cells, [file("c.csv", f"id,class\n{known},stem\n")])
    with pytest.raises(AnswerError, match="'two words' is no name"):
        joined(cells, [file("two words.csv", f"id,answer\n{known},stem\n")])
    with pytest.raises(AnswerError, match="nobody has answered"):
        joined(cells, [file("d.csv", f"id,answer,seconds\n{known},,2\n")])


def test_the_command_makes_the_page_and_takes_the_answers(
    cells: Manifest, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["reader", str(cells.folder), "--into", str(tmp_path / "out"), "--images", "7", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["images"] == 7 and Path(told["page"]).read_text("utf-8").count("data:image/png") == 7
    given = answers(tmp_path / "ann.csv", cells, 3)
    call = ["reader", str(cells.folder), "--into", str(tmp_path / "out"), "--answers", str(given), "--json"]
    assert run(call) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["columns"] == ["prediction@ann"] and told["rows"] == 48
    assert run(["evaluate", told["written"], "--into", str(tmp_path / "report"), "--draws", "100", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["metrics"]["accuracy"]["value"] == pytest.approx(45 / 48)
    assert run(["reader", str(cells.folder), "--into", str(tmp_path / "out"), "--answers", "nobody.csv"]) == 2
    assert "nobody.csv" in capsys.readouterr().err


@pytest.mark.skipif(BROWSER is None, reason="no Chromium is installed")
def test_keys_become_answers_in_a_browser(cells: Manifest, tmp_path: Path) -> None:
    """1, 2, undo, 0 on five images: the third key takes the second back."""
    press = (
        '<script>["1", "2", "Backspace", "0", "7", "2"].forEach(function (key) { dispatchEvent(new KeyboardEvent('
        '"keydown", { key: key })); }); document.body.dataset.csv = window.reading.csv();'
        'document.body.dataset.count = document.getElementById("count").textContent;</script></body>'
    )
    text = page(cells, images=5)
    (tmp_path / "page.html").write_text(text.replace("</body>", press), encoding="utf-8")
    call = [str(BROWSER), "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}",
            "--virtual-time-budget=2000", "--dump-dom", (tmp_path / "page.html").as_uri()]  # fmt: skip
    seen = subprocess.run(call, capture_output=True, text=True, timeout=120, check=True).stdout
    found = re.search(r'<body[^>]*data-csv="([^"]*)"', seen)
    assert found is not None
    rows = list(csv.DictReader(io.StringIO(unescape(found[1]))))
    assert [row["answer"] for row in rows] == [cells.classes[0], "", cells.classes[1]]
    assert "Image 4 of 5" in seen and {row["id"] for row in rows} <= {code(name) for name in cells.table["id"]}
