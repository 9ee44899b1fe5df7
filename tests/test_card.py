"""The model card: every heading, from the card alone, whatever is known; shown and completed by potency card."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from small_bundle import bundle_of

from potency.bundle import Bundle
from potency.bundle.model_card import FILE, model_card
from potency.cli import run
from potency.confounding.forest import Curve, Point
from potency.confounding.page import page as audit_page
from potency.confounding.result import Audit
from potency.data.manifest import Manifest
from potency.evaluation import opening, tables
from potency.evaluation.digest import digest
from potency.evaluation.evaluate import evaluate
from potency.evaluation.page import page
from potency.evaluation.results import Interval, Report
from potency.evaluation.subgroups import Subgroup, Subgroups
from potency.learning.account import licences

MITCHELL = ("Model details", "Intended use", "Factors", "Metrics", "Evaluation data", "Training data",
            "Quantitative analyses", "Ethical considerations", "Caveats and recommendations")  # fmt: skip
FACTS = {
    "split_kind": "stratified", "split": "stratified: 4 folds over 12 groups", "command": "potency train x",
    "plan": {"learner": "gradient"}, "versions": {"potency": "1"},
    "calibration": {"before": 0.2, "after": 0.05, "curve_before": [(0.6, 0.4, 20), (0.9, 0.6, 30)]},
    "ood": {"images": 240, "groups": 12, "flagged": 0.008, "low": 0.0, "high": 0.02, "worst_group": "g3", "worst": 0.3},
    "audit": {"verdict": "The plate tells the label.", "mark": "caution", "lines": []},
    "subgroups": (Subgroups("sex", "balanced_accuracy", (
        Subgroup("f", 100, 6, Interval(0.9, 0.8, 1.0)), Subgroup("m", 140, 6, Interval(0.7)),
    ), "f", "m", Interval(0.2, 0.1, 0.3), 0.01),),
}  # fmt: skip


@pytest.fixture(scope="module")
def report() -> Report:
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 2, 240)
    sure = np.clip(0.5 + 0.3 * (2 * truth - 1) + 0.3 * rng.normal(size=240), 0.01, 0.99)
    names = np.array(["dim", "bright|<b>"])
    table = pd.DataFrame({
        "id": [f"i{k}" for k in range(240)], "group": [f"g{k % 12}" for k in range(240)], "fold": np.arange(240) % 4,
        "truth": names[truth], "prediction": names[(sure > 0.5).astype(int)],
        "prediction.probability.dim": 1 - sure, "prediction.probability.bright|<b>": sure,
    })  # fmt: skip
    return evaluate(table, draws=100, facts=FACTS)


@pytest.fixture
def saved(report: Report, tmp_path: Path) -> Path:
    bundle = bundle_of()
    data = {"rows": 240, "groups": 12, "group_source": "column 'group'", "simulated": False, "fingerprint": "abc"}
    trust = {"temperature": 1.5, "ood": [float(k) for k in range(16)], "ood.limit": 2.25}
    bundle.but(validation=json.loads(json.dumps(digest(report))), data=data, trust=trust).save(tmp_path / "bundle")
    return tmp_path / "bundle"


def test_every_heading_and_every_figure_is_there(saved: Path, report: Report) -> None:
    text = (saved / FILE).read_text("utf-8")
    assert [line.removeprefix("## ") for line in text.splitlines() if line.startswith("## ")] == list(MITCHELL)
    figure = report.numbers["prediction"]["balanced_accuracy"]
    assert f"{figure.value:.2f}".removeprefix("0") in text
    for words in (
        "240 images of 12 groups, stratified split, 4 folds", "Licence of the data: not stated",
        "The plate tells the label.",
        "Calibration error 0.200 before, 0.050 after", "temperature 1.5", "beyond 2.25 it abstains",
        "calls 0.8 % [0.0, 2.0] unlike, of group g3 30 %", "Largest gap +.20 [+.10, +.30]: f above m",
        "| m | 140 | 6 | .70 |",
        "../report/report.html#images", "potency explain", "Not for", "potency train x",
    ):  # fmt: skip
        assert words in text, words


def test_the_failures_are_the_surest_mistakes(saved: Path, report: Report) -> None:
    rows = report.rows
    wrong = rows[rows["truth"] != rows["prediction"]]
    sure = wrong.filter(like="probability").max(axis=1)
    worst = list(wrong["id"].iloc[np.argsort(-sure.to_numpy(), kind="stable")])[:8]
    assert [f["id"] for f in Bundle.load(saved).card.validation["failures"]] == worst
    assert all(f"| {name} |" in (saved / FILE).read_text("utf-8") for name in worst)


def test_what_a_user_wrote_cannot_break_out(saved: Path) -> None:
    text = (saved / FILE).read_text("utf-8")
    assert "<b>" not in text.replace("\\<b>", "") and "bright\\|\\<b>" in text


def test_a_bundle_of_which_nothing_is_known_says_so(tmp_path: Path) -> None:
    text = model_card(bundle_of().save(tmp_path / "b").card)
    assert "No figure was measured" in text and "is not recorded" in text and text.count("not stated") == 2
    assert "It does not notice them" in text and "None" not in text
    for name in ("cell-cycle", "medium", "pluripotent"):  # written before there were model cards
        card = Bundle.load(f"example:{name}").card
        told = model_card(card)
        assert ("SIMULATED" in told) == bool(card.data["simulated"])
        assert f"Licence of the data: {card.data['licence']}" in told and "**Overall**" in told


def test_numbers_have_a_card_too(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    truth = rng.normal(size=60)
    table = pd.DataFrame({"group": [f"g{k % 6}" for k in range(60)], "truth": truth,
                          "prediction": truth + rng.normal(0, 0.1, 60)})  # fmt: skip
    told = digest(evaluate(table, draws=50))
    assert told["range"]["low"] == truth.min() and len(told["failures"]) == 8
    errors = [abs(f["said"] - f["truth"]) for f in told["failures"]]
    assert errors == sorted(errors, reverse=True) and errors[0] == pytest.approx(
        np.abs(table["truth"] - table["prediction"]).max()
    )
    bundle = bundle_of().but(validation=json.loads(json.dumps(told)))
    assert "median" in model_card(bundle.card) and "Mean absolute error" in model_card(bundle.card)


def test_people_add_what_only_they_know(saved: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "notes.md").write_text("Donors consented. **Do not** use below passage 20.", "utf-8")
    before = Bundle.load(saved)
    call = ["card", str(saved), "--notes", str(tmp_path / "notes.md"), "--data-licence", "CC BY 4.0", "--json"]
    assert run(call) == 0
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    text = (saved / FILE).read_text("utf-8")
    assert told["markdown"] == text and Path(told["card"]) == saved / FILE
    assert "Licence of the data: CC BY 4.0" in text
    assert text.endswith("## Notes\n\nDonors consented. **Do not** use below passage 20.\n")
    again = Bundle.load(saved)
    assert again.fingerprint == before.fingerprint
    again.save(tmp_path / "copy")  # a bundle made from it keeps what was said
    assert "passage 20" in (tmp_path / "copy" / FILE).read_text("utf-8")
    assert run(["card", str(saved), "--into", str(tmp_path / "sub" / "card.md")]) == 0
    assert (tmp_path / "sub" / "card.md").read_text("utf-8") == text


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["example:medium", "--data-licence", "x"], "a model that comes with the program is not changed"),
        (["SAVED", "--notes", "nowhere.md"], "the notes cannot be read"),
        (["SAVED", "--notes", "EMPTY"], "the notes are empty"),
        (["nothing"], "there is no such bundle"),
    ],
)
def test_bad_input_is_told(words: list[str], told: str, saved: Path, tmp_path: Path,
                           capsys: pytest.CaptureFixture[str]) -> None:  # fmt: skip
    (tmp_path / "empty.md").write_text(" \n", "utf-8")
    names = {"SAVED": str(saved), "EMPTY": str(tmp_path / "empty.md")}
    assert run(["card", *(names.get(word, word) for word in words)]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert told in lines[-3] and lines[-2].startswith("where: ") and lines[-1].startswith("mend: ")


def test_licences_come_from_the_choice_or_from_a_column() -> None:
    rows = Manifest.of_rows(pd.DataFrame({"image": ["a.png", "b.png"], "Licence": ["CC0", "CC0"]}))
    mixed = replace(rows, table=rows.table.assign(Licence=["CC0", "MIT"]))
    assert licences(("", "MIT"), rows) == {"licence": "CC0", "weights_licence": "MIT"}
    assert licences(("BSD", ""), rows) == {"licence": "BSD"} and licences(("", ""), mixed) == {}


def test_the_report_shows_subgroups_the_audit_and_both_curves(report: Report) -> None:
    ((column, table),) = tables.subgroups(report)
    assert column == "sex" and table.rows[1] == ("m", "140", "6", ".70")
    assert "+.20 [+.10, +.30]: f above m (p = .010)" in table.note
    assert dict(opening.lines(report))["Could it be a shortcut"] == "The plate tells the label."
    text = page(report)
    assert "By sex" in text and "before calibration" in text and "after calibration" in text
    assert "Group g3 stands out with 30 %" in text


def test_the_page_of_an_audit_draws_the_learning_curve() -> None:
    points = [Point("groups", 2 * k, 40, Interval(0.6 + k / 20, 0.5, 0.9)) for k in (1, 2, 4)]
    points += [Point("images", 8, 40 * k, Interval(0.6 + k / 20, 0.5, 0.9)) for k in (1, 2, 4)]
    curve = Curve("balanced_accuracy", tuple(points), Interval(0.1), Interval(0.02), "More groups help more.")
    text = audit_page(Audit((), curve=curve))
    assert 'id="plot-learning-curve"' in text and text.count("<svg") == 1 and "More groups help more." in text
    for told in ("2 groups, 40 images: .65 [.50, .90]", "8 groups, 160 images: .80 [.50, .90]"):  # hover texts
        assert told in text
    assert audit_page(Audit(())).count("<svg") == 0
