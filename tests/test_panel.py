"""A panel of readers judged: figures as evaluate gives them, changes between rounds, gaps, numbers, few groups."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import accuracy_score, cohen_kappa_score

from potency.evaluation.panel import Reader, Study, judged
from potency.evaluation.panel_page import confusions, page, tables, verdict

CLASSES = ("stem", "fate")


def study(readers: int = 2, rounds: int = 2, images: int = 40, groups: int = 8, **changes: Any) -> Study:
    """Readers who err on some images; in the second round they err half as often, and the model on one in ten."""
    random = np.random.default_rng(5)
    ids = [f"i{k}" for k in range(images)]
    truth = [CLASSES[k % 2] for k in range(images)]

    def flipped(rate: float) -> list[str]:
        return [CLASSES[1 - CLASSES.index(t)] if random.random() < rate else t for t in truth]

    rows = []
    for reader in range(readers):
        for round in range(1, rounds + 1):
            said = flipped(0.4 / round)
            rows += [{"reader": f"r{reader}", "round": round, "id": ids[k], "again": False, "answer": word,
                      "seconds": 2.0 + k, "confidence": 3} for k, word in enumerate(said)]  # fmt: skip
            rows += [{**row, "again": True} for row in rows[-images:][:6]]
    shown = pd.DataFrame({"id": ids, "truth": truth, "group": [f"g{k % groups}" for k in range(images)],
                          "model": flipped(0.1)})  # fmt: skip
    who = tuple(Reader(f"r{k}", 3.0 + 4 * k, "biology") for k in range(readers))
    return Study(**{"images": shown, "answers": pd.DataFrame(rows), "readers": who, "classes": CLASSES,
                    "model": "a model", **changes})  # fmt: skip


def said(made: Study, reader: str, round: int) -> list[str]:
    own = made.answers[(made.answers["reader"] == reader) & (made.answers["round"] == round) & ~made.answers["again"]]
    return list(own["answer"])


def test_a_class_that_only_the_model_names_is_counted_beside_the_others() -> None:
    made = study()
    images = made.images.assign(model=["another fate", *made.images["model"].iloc[1:]])
    found = judged(Study(images, made.answers, made.readers, CLASSES, model="a model"), draws=0)
    (model,) = [line for line in found.lines if line.round == 0]
    assert sum(map(sum, model.confusion)) == len(images)
    sheets = confusions(found)
    assert sheets["the model alone"].head[-1] == "another class" and sheets["r0, round 1"].head[-1] == "cannot tell"


def test_figures_are_those_of_other_programs_and_have_intervals() -> None:
    made = study()
    found = judged(made, draws=200)
    lines = {(line.reader, line.round): line for line in found.lines}
    truth = list(made.images["truth"])
    for reader in ("r0", "r1"):
        for round in (1, 2):
            line, words = lines[reader, round], said(made, reader, round)
            accuracy = line.figures["accuracy"]
            assert accuracy.value == pytest.approx(accuracy_score(truth, words))
            assert accuracy.low is not None and accuracy.low <= accuracy.value
            fate = [w == t for w, t in zip(words, truth, strict=True) if t == "fate"]
            assert line.figures["recall.fate"].value == pytest.approx(np.mean(fate)), "sensitivity"
            assert line.again["same"].value == 1 and line.twice == 6
            assert sum(map(sum, line.confusion)) == 40 and line.seconds[1] == pytest.approx(21.5)
    assert lines["a model", 0].figures["accuracy"].value == pytest.approx(accuracy_score(truth, made.images["model"]))
    pair = next(p for p in found.pairs if p.round == 1)
    assert pair.figures["kappa"].value == pytest.approx(cohen_kappa_score(said(made, "r0", 1), said(made, "r1", 1)))
    assert {a.round: a.readers for a in found.agreement} == {1: 2, 2: 2}
    assert [tier.name for tier in found.tiers if tier.round == 1] == ["under 5 years", "5 to 9 years"]


def test_a_second_round_is_a_paired_difference() -> None:
    made = study(readers=5)
    found = judged(made, draws=200)
    truth = list(made.images["truth"])
    gaps = []
    for change in found.changes:
        one, two = (said(made, change.reader, round) for round in (1, 2))
        gaps.append(accuracy_score(truth, two) - accuracy_score(truth, one))
        assert change.differences["accuracy"].value == pytest.approx(gaps[-1])
        assert (change.to_right - change.to_wrong) / 40 == pytest.approx(gaps[-1])
    assert found.change["these"].value == pytest.approx(np.mean(gaps))
    these, like = found.change["these"], found.change["readers"]
    assert these.low is not None and like.low is not None and these.high is not None and like.high is not None
    assert like.high - like.low > 0 and these.low <= these.value <= these.high
    against = next(c for c in found.against if (c.reader, c.round) == ("r0", 1))
    model = accuracy_score(truth, made.images["model"])
    assert against.differences["accuracy"].value == pytest.approx(accuracy_score(truth, said(made, "r0", 1)) - model)
    assert found.disputes and max(len(one.said) for one in found.disputes) == 10


def test_gaps_are_counted_and_no_truth_leaves_agreement() -> None:
    made = study(rounds=1)
    answers = made.answers.copy()
    answers.loc[answers.index[:4], "answer"] = None
    answers = answers[answers.index < len(answers) - 10]  # the second reader has not finished
    found = judged(Study(made.images.drop(columns=["truth", "model"]), answers, made.readers, CLASSES), draws=100)
    assert not found.truth and not found.changes and not found.against and not found.tiers
    assert found.lines[0].unsure == 4 and found.lines[0].figures == {} and found.lines[0].confusion == ()
    assert found.pairs[0].images == 32 and "kappa" in found.pairs[0].figures
    assert "fleiss" in found.agreement[0].figures


def test_few_or_unknown_groups_are_said() -> None:
    made = study(groups=3)
    found = judged(made, draws=100)
    assert found.lines[0].figures["accuracy"].low is None and any("under 5 groups" in note for note in found.notes)
    few = made.answers[made.answers["id"].isin([f"i{k}" for k in range(12)])]
    alone = judged(Study(made.images.drop(columns="group").head(12), few, made.readers, CLASSES), draws=100)
    assert alone.groups == 12 and not alone.groups_known and "groups unknown" in alone.notes[0]
    assert alone.lines[0].figures["accuracy"].low is not None


def test_numbers_give_errors_and_intraclass_correlations() -> None:
    random = np.random.default_rng(1)
    truth = random.uniform(0, 100, 30)
    images = pd.DataFrame({"id": [str(k) for k in range(30)], "truth": truth, "group": [str(k % 6) for k in range(30)]})
    rows = [{"reader": reader, "round": 1, "id": str(k), "again": False, "answer": truth[k] + random.normal(bias, 3),
             "seconds": 1.0, "confidence": None}
            for reader, bias in (("a", 0), ("b", 9)) for k in range(30)]  # fmt: skip
    rows += [{**row, "again": True} for row in rows[:5]]
    found = judged(Study(images, pd.DataFrame(rows), (Reader("a"), Reader("b")), unit="%"), draws=200)
    by = {line.reader: line for line in found.lines}
    assert by["b"].figures["bias"].value == pytest.approx(9, abs=2) and by["a"].figures["mae"].value < 4
    (all_of_them,) = found.agreement
    assert all_of_them.figures["icc31"].value > all_of_them.figures["icc21"].value > 0.5, "a shift is no consistency"
    assert by["a"].again["icc21"].value == pytest.approx(1) and by["b"].twice == 0
    assert found.pairs[0].figures["bias"].value == pytest.approx(9, abs=2)


def test_nobody_has_answered() -> None:
    made = study()
    found = judged(Study(made.images, made.answers.head(0), made.readers, CLASSES, model="m"), draws=50)
    assert [line.round for line in found.lines] == [0] and found.pairs == () and found.disputes == ()


def test_the_page_tells_all_and_fetches_nothing() -> None:
    import re

    made = study(readers=3)
    found = judged(made, draws=100)
    facts = {"title": "A study", "simulated": True, "settings": [("images", 40)], "names": {"i0": "<b>first</b>"}}
    text = page(found, facts, lambda id: "data:image/png;base64,AAAA")
    for heading in (*tables(found), "Confusion matrices", "Disputed images", "How it was made"):
        assert f"<h2>{heading}</h2>" in text
    assert not re.findall(r'(?:src|href)="(?!#|data:)', text) and "<b>first" not in text
    assert "SIMULATED" in text and "Sensitivity (fate)" in text and "Cohen" in text
    assert "Fleiss" in verdict(found) and "Round two less round one" in verdict(found)
    nobody = judged(Study(made.images, made.answers.head(0), made.readers, CLASSES), draws=20)
    assert verdict(nobody) == "Nobody has answered yet."
    page(nobody, facts, lambda id: "")
