"""The audit: what is planted is found, what is not is not, bad input is told, and the words follow the rules."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import zoo
from made_up_experiments import kinds, numbers, rows, shaded, table, told_of

from potency.cli import run
from potency.confounding import RULES, audit
from potency.confounding.design import design_faults
from potency.confounding.exchange import BETWEEN, WITHIN
from potency.confounding.rules import Row, verdict
from potency.confounding.suspects import suspects
from potency.data.manifest import Manifest
from potency.errors import ManifestError, PlanError
from potency.evaluation.results import Interval
from potency.measurement.frame import frame

# The pictures


def test_what_mirrors_and_turns_a_picture_changes_signs_only() -> None:
    plane = np.random.default_rng(0).random((1, 64, 64)) + 1
    here, mirrored = frame(plane), frame(plane[:, :, ::-1])
    for name, value in here.items():
        sign = -1 if "_across_" in name or "_cross_" in name else 1
        np.testing.assert_allclose(mirrored[name], sign * value, atol=1e-5, err_msg=name)
    still = np.cos(np.linspace(-3, 3, 64))[None, :, None] * np.cos(np.linspace(-3, 3, 64))[None, None, :] + 2
    fixed = frame(still)
    assert max(abs(float(v[0])) for k, v in fixed.items() if k.startswith(("light", "grain"))) < 1e-4
    assert all(np.isfinite(v).all() for v in frame(np.zeros((1, 5, 7))).values())


def test_a_shadow_that_no_column_tells_of_is_found_and_cells_that_differ_are_not(tmp_path: Path) -> None:
    bare = audit(shaded(tmp_path / "bare", 0.0), parts=("pictures",), draws=499)
    found = audit(shaded(tmp_path / "shaded", 0.15), parts=("pictures",), draws=499)
    assert bare.mark in ("good", "caution") and bare.verdict.startswith("No shortcut was found")
    assert found.mark == "bad" and found.verdict.startswith("A shortcut is in the pictures")
    assert {row.suspect for row in found.rows if row.mark == "bad"} == {"fixed places near the border"}


def test_the_simulated_shortcut_is_found_without_the_column_that_records_it(tmp_path: Path) -> None:
    made = zoo.cells(tmp_path / "cells", cells=240, groups=8, size=48, shortcut=0.95)
    hidden = made.table.drop(columns=["artefact", "shortcut"])
    found = audit(Manifest(hidden, made.kinds, made.folder, made.origin), parts=("pictures",), draws=499)
    assert found.mark == "bad" and found.facts["simulated"] is True
    assert [row.suspect for row in found.rows if row.mark == "bad"] == ["fixed places near the border"]


def test_a_picture_that_cannot_be_read_is_counted_and_the_rest_goes_on(tmp_path: Path) -> None:
    made = shaded(tmp_path / "cells", 0.2)
    (tmp_path / "cells" / "3.png").write_bytes(b"no picture")
    found = audit(made, parts=("pictures",), draws=199)
    assert found.facts["unread"] == 1 and found.mark == "bad"
    assert any("1 pictures could not be read" in line for line in found.lines)


# The columns


def test_columns_become_suspects_or_say_why_not() -> None:
    table = pd.DataFrame({
        "id": range(24), "image": "a.png", "truth": list("ab") * 12, "group": list("xyz") * 8,
        "Plate ID": list("pq") * 12, "well": [f"{row}{column:02d}" for row in "ABCD" for column in range(1, 7)],
        "time": [None, *range(23)], "stain lot": ["one"] * 24, "serial": [f"s{k}" for k in range(24)],
        "acquired": [f"2024-05-0{1 + k % 3}T10:0{k % 9}:00" for k in range(24)], "quality.focus": np.arange(24) / 7,
        "measure.area": range(24), "prediction": "a", "empty": [None] * 24,
    })  # fmt: skip
    found, left = suspects(table)
    kind = {suspect.name: suspect.kind for suspect in found}
    assert kind == {
        "Plate ID": "technical", "row of the well": "technical", "column of the well": "technical",
        "distance of the well from the edge": "technical", "time": "technical", "acquired": "other",
        "quality.focus": "measured",
    }  # fmt: skip
    assert left == {"well": "differs in nearly every row", "stain lot": "the same in every row", "empty": "empty",
                    "serial": "differs in nearly every row"}  # fmt: skip
    gaps = next(suspect for suspect in found if suspect.name == "time").values
    assert gaps.shape == (24, 3) and gaps[0].tolist() == [0.0, 0.0, 1.0] and np.isfinite(gaps).all()
    assert next(s for s in found if s.name == "acquired").names is None  # a date is a quantity


def test_that_a_time_was_not_written_down_may_tell_the_label() -> None:
    code, truth, group = rows(2)
    time = np.random.default_rng(0).random(len(code))
    time[(code == 1) & (np.random.default_rng(1).random(len(code)) < 0.7)] = np.nan
    assert told_of([numbers("time", time)], truth, group)["time"].rule == "shortcut"


# The design


def faults(values: Any, labels: Any, group: Any, kind: str = "technical", known: bool = True) -> list[tuple[str, str]]:
    found = design_faults([kinds("plate", values, kind)], np.array(list(labels), object), np.asarray(group), known)
    return [(fault.rule, fault.what) for fault in found]


def test_what_no_analysis_can_separate_is_a_finding_of_its_own() -> None:
    group = np.arange(40) // 5
    labels = np.repeat(["a", "b"], 20)
    (rule, what), *_ = faults(np.repeat(["p1", "p2"], 20), labels, group)
    assert rule == "inseparable" and what.startswith("plate and label cannot be told apart")
    assert "no analysis can separate them" in what
    # Two plates a class, two groups each: the split by group leaves plates on both sides.
    assert faults(np.repeat(["p1", "p2", "p3", "p4"], 10), labels, group)[0][0] == "nested"
    # A plate a group: the split by group leaves whole plates out, so this is a note and no alarm.
    assert [rule for rule, _ in faults([f"p{g}" for g in group], labels, group)] == ["one-class-a-group"]
    # Plates hold both classes, groups hold both: nothing is wrong.
    assert faults(np.tile(["p1", "p2"], 20), np.tile(["a", "a", "b", "b"], 10), group) == []
    assert faults(np.repeat(["x", "y"], 20), labels, group, kind="other")[0][0] == "unnamed"
    unknown = faults(np.tile(["p1", "p2"], 20), labels, np.arange(40), known=False)
    assert [rule for rule, _ in unknown] == ["groups-unknown"]


def test_times_of_two_classes_that_do_not_overlap_cannot_be_told_apart() -> None:
    labels = np.array(["a"] * 20 + ["b"] * 20, object)
    time = np.r_[np.arange(20), 30 + np.arange(20)].astype(float)
    apart = design_faults([numbers("time", time)], labels, np.arange(40) // 5, True)
    assert apart[0].rule == "inseparable" and "a, then b" in apart[0].what
    mixed = design_faults([numbers("time", time[::-1] % 29)], labels, np.arange(40) // 5, True)
    assert [fault.rule for fault in mixed] == ["one-class-a-group"]


def test_a_plate_that_is_the_group_is_not_tested_and_says_so() -> None:
    _, truth, group = rows(1)
    row = told_of([kinds("plate", group)], truth, group)["plate"]
    assert row.rule == "untested" and "the groups in other words" in row.told


def test_embeddings_are_columns_of_vectors_or_of_numbers(tmp_path: Path) -> None:
    made = shaded(tmp_path / "cells", 0.0)
    vectors = np.random.default_rng(0).random((len(made), 3))
    named = made.add(pd.DataFrame(vectors, columns=["embedding.0", "embedding.1", "embedding.2"]))
    assert any(row.asked == "embedding" for row in audit(named, parts=(), draws=99).rows)
    listed = made.add({"code": [list(vector) for vector in vectors]})
    assert any(row.asked == "embedding" for row in audit(listed, embedding="code", parts=(), draws=99).rows)
    with pytest.raises(ManifestError, match="there is no embedding 'kode'"):
        audit(listed, embedding="kode", parts=(), draws=99)
    vectors[4, 1] = np.nan
    with pytest.raises(ManifestError, match="missing or infinite"):
        audit(made.add({"embedding.0": vectors[:, 1]}), parts=(), draws=99)


# Bad input


def test_rows_that_cannot_be_audited_are_refused_in_words() -> None:
    with pytest.raises(ManifestError, match="truths are all alike"):
        audit(table(truth=["a"] * 9, plate=list("xyz") * 3), parts=())
    with pytest.raises(ManifestError, match="no truth"):
        audit(table(plate=list("xyz") * 3), parts=())
    lists = Manifest(pd.DataFrame({"truth": [[1.0, 2.0]] * 8, "group": list("abcdefgh")}), {"truth": "vector"})
    with pytest.raises(ManifestError, match="the truth is a vector"):
        audit(lists, parts=())
    good = table(truth=list("ab") * 20, plate=list("xy") * 20, group=[f"g{k // 5}" for k in range(40)])
    with pytest.raises(PlanError, match="no part 'picture'.*"):
        audit(good, parts=("picture",))
    with pytest.raises(PlanError, match="9 draws"):
        audit(good, parts=(), draws=9)


def test_groups_of_one_image_and_groups_nobody_knows_are_audited_with_a_warning() -> None:
    labels = list("ab") * 20
    found = audit(table(truth=labels, batch=["x" if k % 2 else "y" for k in range(40)]), parts=(), draws=199)
    assert found.facts["groups"] >= 2 and found.mark != "good"
    unknown = audit(table(truth=labels, exposure=np.random.default_rng(0).random(40)), parts=(), draws=199)
    assert [fault.rule for fault in unknown.faults] == ["groups-unknown"] and unknown.facts["groups"] == 40
    assert unknown.rows[0].level == BETWEEN


def test_nothing_to_ask_is_said_and_not_called_good() -> None:
    found = audit(table(truth=list("ab") * 20, group=[f"g{k // 5}" for k in range(40)], lens=["x"] * 40), parts=())
    assert found.rows == () and found.left == {"lens": "the same in every row"}
    assert found.mark == "unknown" and found.verdict.startswith("Nothing could be tested")


def test_numbers_as_truth_are_audited_too() -> None:
    random = np.random.default_rng(0)
    share = random.random(200)
    group = [f"g{k // 20}" for k in range(200)]
    made = table(truth=share, group=group, exposure=share + 0.2 * random.random(200), gain=random.random(200))
    told = {row.suspect: row.rule for row in audit(made, parts=(), draws=499).rows}
    assert told == {"exposure": "shortcut", "gain": "nothing"}


def test_of_many_rows_as_many_of_every_group_are_looked_at() -> None:
    size = 4000
    group = np.where(np.arange(size) < 3000, "large", [f"g{k % 10}" for k in range(size)])
    made = table(truth=list("ab") * 2000, group=group, gain=np.random.default_rng(0).random(size))
    found = audit(made, parts=(), draws=99, most=600)
    assert found.facts["rows"] == 600 and found.facts["rows_in_all"] == size and found.facts["groups"] == 11


# The words


def test_every_outcome_has_its_rule_and_the_verdict_follows_from_them() -> None:
    def row(suspect: str, kind: str, rule: str) -> Row:
        return Row(suspect, kind, "label", WITHIN, rule, "", Interval(0.8), 0.001, 0.01)

    assert len({rule.code for rule in RULES}) == len(RULES)
    assert verdict([row("plate", "technical", "shortcut")], ()).startswith("Plate alone tells the label")
    assert "day and plate alone tell" in verdict([row("day", "technical", "shortcut"),
                                                  row("plate", "technical", "shortcut")], ()).lower()  # fmt: skip
    assert "Look at donor" in verdict([row("donor", "biological", "origin")], ())
    assert "too few groups to tell: light" in verdict([row("light", "background", "undecided")], ())
    assert verdict([row("plate", "technical", "nothing")], ()) == (
        "No shortcut was found: of 1 suspect none that belongs to the microscope or the plate tells the label."
    )


def test_the_page_and_the_json_hold_the_verdict_and_the_rules(tmp_path: Path) -> None:
    hostile = "<script>alert(1)</script>"
    code, truth, group = rows(3)
    made = table(truth=np.array(["a", "b"])[code], group=[f"g{g}" for g in group],
                 **{hostile: np.where(code, "x", np.where(np.random.default_rng(0).random(len(code)) < 0.9, "y", "x"))})
    found = audit(made, parts=(), draws=199)
    page = found.write(tmp_path / "out").read_text("utf-8")
    kept = json.loads((tmp_path / "out" / "audit.json").read_text("utf-8"))
    assert hostile not in page and "&lt;script&gt;" in page and kept["verdict"] in page.replace("&#39;", "'").replace(
        "&lt;", "<").replace("&gt;", ">")  # fmt: skip
    assert {rule["code"] for rule in kept["rules"]} == {rule.code for rule in RULES}
    assert all(rule.said.split(":")[0] in page for rule in RULES)
    assert kept["rows"][0]["rule"] == "unnamed" and kept["mark"] == "caution"
    assert found.markdown().startswith("# Confounder audit\n\n**")


def test_the_command_prints_the_verdict_and_writes_the_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = shaded(tmp_path / "cells", 0.15)
    made.table.to_csv(tmp_path / "cells" / "labels.csv", index=False)
    words = ["audit", str(tmp_path / "cells" / "labels.csv"), "--quick", "--into", str(tmp_path / "out")]
    assert run(words) == 0
    assert "A shortcut is in the pictures" in capsys.readouterr().out
    assert run([*words, "--json", "--no-pictures"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["mark"] == "good" and (tmp_path / "out" / "audit.html").is_file()


def test_the_report_of_a_training_says_it_on_top(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = shaded(tmp_path / "cells", 0.2)
    made.table.to_csv(tmp_path / "cells" / "labels.csv", index=False)
    call = ["train", str(tmp_path / "cells"), "--estimator", "logistic", "--no-baselines", "--folds", "2",
            "--workers", "1", "--into", str(tmp_path / "out")]  # fmt: skip
    assert run(call) == 0
    said = json.loads((tmp_path / "out/report/report.json").read_text("utf-8"))
    assert said["audit"]["mark"] == "bad" and said["audit"]["verdict"] in said["banner"]
    page = (tmp_path / "out/report/report.html").read_text("utf-8")
    assert "Could it have learned the plate, the day or the light instead?" in page


def test_the_page_on_it_holds_the_rules_word_by_word() -> None:
    page = (Path(__file__).parents[1] / "docs" / "audit.md").read_text("utf-8")
    for rule in RULES:
        assert f"| {rule.mark} | `{rule.code}` | {rule.when} | {rule.said} |\n" in page
