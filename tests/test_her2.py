"""System her2: readers of two rounds beside a network, and what the second round changes at the lowest two scores."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from cheap_learner import Learner

from potency import systems
from potency.evaluation.reading import code
from potency.systems import SYSTEMS, her2, reproduce
from potency.systems.recipe import Budget

SMALL = Budget("quick", her2.ARMS, cells=160, passes=1, changes={"seed": 0})


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("POTENCY_DATA", raising=False)
    monkeypatch.setitem(systems.SYSTEMS, "her2", replace(SYSTEMS["her2"], budgets=(SMALL,)))


def written(path: Path, answers: Mapping[str, str]) -> None:
    with path.open("w", newline="", encoding="utf-8") as stream:
        rows = csv.writer(stream)
        rows.writerow(["id", "answer", "seconds"])
        rows.writerows([known, said, 1] for known, said in answers.items())


def test_the_second_round_is_held_against_the_first(tmp_path: Path, small: None) -> None:
    learner, into = Learner(families=("intensity",)), tmp_path / "out"
    page = reproduce("her2", into=into, learn=learner)
    assert "Nobody has answered yet" in page.read_text("utf-8")
    table = learner.seen[0][1].table
    truth = table.set_index("id")["truth"]
    none, some, third = sorted(truth.unique(), key=list(learner.seen[0][1].classes).index)[:3]
    blind = (into / "simulated-reader" / "reader.html").read_text("utf-8")
    shown = {code(name): truth[name] for name in truth.index if code(name) in blind}
    # Alone the reader misses every other image of the second score; with the model none; and one is called too high.
    seconds = [known for known, true in shown.items() if true == some]
    alone = {known: none if known in seconds[::2] else true for known, true in shown.items()}
    helped = {known: third if known == seconds[0] else true for known, true in shown.items()}
    for end, answers in (("1", alone), ("2", helped)):
        written(into / "simulated-reader" / f"ann-{end}.csv", answers)
    written(into / "simulated-reader" / "bob-1.csv", alone)
    reproduce("her2", into=into, learn=learner)
    found = json.loads((into / "report.json").read_text("utf-8"))
    lowest = found["scenes"]["simulated-lowest"]["baselines"]
    missed = len(seconds[::2])
    assert lowest["ann-1"][f"recall.{some}"]["value"] == pytest.approx(1 - missed / len(seconds))
    assert lowest["ann-2"][f"recall.{some}"]["value"] == 1, "called too high is not called none"
    assert found["scenes"]["simulated"]["baselines"]["ann-2"]["accuracy"]["value"] < 1
    ann, bob = found["findings"]
    gain = f"{missed / len(seconds):+.2f}".replace("0.", ".")
    assert ann.startswith("ann, with the model less alone: precision of ") and f"recall of {some} {gain}" in ann
    assert bob == "bob has read one round only."


def test_own_images_need_a_class_each(tmp_path: Path, small: None) -> None:
    from potency.errors import ManifestError

    (tmp_path / "0").mkdir()
    with pytest.raises(ManifestError):
        reproduce("her2", into=tmp_path / "out", data=tmp_path, learn=Learner())
