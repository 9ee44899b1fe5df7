"""The first lines of a report: a verdict in words, then what was asked, how good, how sure, and what to do next."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from made_up_reports import FACTS, categories, category_report, number_report

from potency.evaluation import opening
from potency.evaluation.evaluate import evaluate
from potency.evaluation.results import Contest, Interval, Report


@pytest.fixture(scope="module")
def full() -> Report:
    return category_report()


def told(report: Report) -> dict[str, str]:
    return dict(opening.lines(report))


def test_the_verdict_is_words_without_a_figure(full: Report) -> None:
    said = opening.verdict(full)
    assert said == "The network is better than guessing, than the forest and than size and brightness alone."
    assert not any(character.isdigit() for character in said)


def test_a_name_that_is_a_phrase_is_quoted(full: Report) -> None:
    named = replace(full, facts={**full.facts, "names": {"prediction": "gradient flows"}})
    assert opening.verdict(named).startswith("“gradient flows” is better than guessing")


def test_five_questions_are_answered_in_order(full: Report) -> None:
    assert list(told(full)) == [
        "What was asked", "How good is it", "How sure is that", "What simpler ways reach", "What to do next",
    ]  # fmt: skip
    lines = told(full)
    assert lines["What was asked"].startswith("To tell stem, neuron and astrocyte apart in 240 images from 12 groups")
    assert "guessing finds 33" in lines["How good is it"]
    share = full.numbers["prediction"]["balanced_accuracy"]
    assert f"it finds {100 * share.value:.0f} on average" in lines["How good is it"]
    assert lines["How sure is that"].startswith(f"95 % interval {100 * share.low:.0f} to {100 * share.high:.0f},")
    assert lines["What simpler ways reach"].startswith("Size and brightness alone: ")


def test_a_lost_and_an_open_contest_are_said(full: Report) -> None:
    lost = Contest(
        "prediction", "prediction@forest", {"balanced_accuracy": Interval(-0.1, -0.2, -0.05)}, verdict="worse"
    )
    unsure = {"balanced_accuracy": Interval(0.01, -0.02, 0.04)}
    level = Contest("prediction", "prediction@trivial", unsure, verdict="inconclusive")
    said = opening.verdict(replace(full, contests=(lost, level)))
    assert said == ("The network is better than guessing, but worse than the forest; "
                    "the data do not decide between it and size and brightness alone.")  # fmt: skip
    advice = told(replace(full, contests=(lost, level)))["What to do next"]
    assert "before you believe in morphology" in advice and "Trust forest more" in advice


def test_outlines_are_set_beside_what_a_threshold_finds(full: Report) -> None:
    unsure = {"balanced_accuracy": Interval(0.01, -0.02, 0.04)}
    level = Contest("prediction", "prediction@trivial", unsure, verdict="inconclusive")
    drawn = replace(full, task="labels", headline="balanced_accuracy", contests=(level,))
    assert opening.verdict(drawn).endswith("do not decide between it and a threshold of brightness alone.")
    assert "a threshold of brightness alone may do as well" in told(drawn)["What to do next"]


def test_what_is_missing_is_asked_for_first() -> None:
    few = category_report(groups=3)
    assert "takes 5 groups, and there are 3" in told(few)["How sure is that"]
    assert told(few)["What to do next"].startswith("Add groups")
    alone = evaluate(categories().drop(columns="group"), predictions=("prediction",), draws=50, facts=FACTS)
    assert told(alone)["What to do next"].startswith("Name what your images come from")
    assert "groups unknown" in told(alone)["What was asked"] and "too narrow" in told(alone)["How sure is that"]
    mixed = category_report(facts={**FACTS, "split_kind": "random"})
    assert told(mixed)["What to do next"].startswith("Split by group")
    assert "had seen nothing" not in told(mixed)["What was asked"]


def test_answers_that_are_guesses_show_nothing() -> None:
    random = np.random.default_rng(3)
    table = pd.DataFrame({name: random.choice(["a", "b"], 90) for name in ("truth", "prediction")})
    guessed = evaluate(table.assign(group=np.arange(90) % 9), draws=200)
    assert opening.verdict(guessed) == "Nothing is shown yet: the prediction does no better than guessing might."
    assert "are the labels right" in told(guessed)["What to do next"]


def test_numbers_speak_in_their_own_unit() -> None:
    report = number_report()
    mae = report.numbers["prediction"]["mae"]
    assert told(report)["What was asked"].startswith("To estimate a number for each of 90 images from 9 groups")
    assert told(report)["How good is it"].startswith(f"Mean absolute error {mae.value:.0f}"[:22])
    assert "R²" in told(report)["How good is it"]


def test_a_calibration_error_lies_in_its_interval() -> None:
    """Drawing samples again lengthens a distance from zero, so that plain percentiles leave the figure outside."""
    random = np.random.default_rng(4)  # plain percentiles give .019 [.024, .088] here
    rows = 400
    sure = random.uniform(0.5, 1, rows)  # as sure as it is right
    truth = random.choice(["a", "b"], rows)
    said = np.where(random.random(rows) < sure, truth, np.where(truth == "a", "b", "a"))
    a = np.where(said == "a", sure, 1 - sure)
    table = pd.DataFrame({
        "truth": truth, "prediction": said, "group": np.arange(rows) % 12, "prediction.probability.a": a,
        "prediction.probability.b": 1 - a,
    })  # fmt: skip
    error = evaluate(table, draws=400).numbers["prediction"]["ece"]
    assert error.low is not None and error.high is not None
    assert 0 <= error.low < error.value < error.high
