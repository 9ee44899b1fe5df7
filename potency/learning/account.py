"""What a run tells: out-of-fold answers calibrated across folds, and the report with all its facts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import pandas as pd

from potency.bundle import Card
from potency.data.manifest import Manifest
from potency.evaluation.evaluate import evaluate
from potency.evaluation.results import Report
from potency.learning.calibration import calibration
from potency.learning.folds import Done
from potency.learning.unlabelled import was_seen
from potency.tasks import Task

SEEN = "the model started from had learned from these very images: the figures flatter"
CHANCE = "random"  # columns of a random split end in it


def calibrated(done: Sequence[Done], rows: Manifest, task: Task, classes: Sequence[str]) -> pd.DataFrame:
    """Out-of-fold answers of one column; each fold is calibrated on the others, so no row's own truth is used."""
    pieces = []
    for one in done:
        others = [d for d in done if d is not one]
        trust = across(others, rows, task, classes) if others else one.trust
        pieces.append(_applied(one, rows, task, trust))
    return pd.concat(pieces, ignore_index=True)


def across(done: Sequence[Done], rows: Manifest, task: Task, classes: Sequence[str]) -> dict[str, float]:
    """One calibration for the answers of several folds together."""
    told = rows.add(pd.concat([d.answers for d in done], ignore_index=True))
    return calibration(told, task, classes, done[0].column)


def _applied(done: Done, rows: Manifest, task: Task, trust: Mapping[str, float]) -> pd.DataFrame:
    made = []
    for row in done.answers.to_dict("records"):
        cells = {str(k).removeprefix(done.column).removeprefix("."): v for k, v in row.items() if k != "id"}
        error = cells.pop("error", None)
        found: dict[str, Any] = {"id": row["id"]}
        if not pd.isna(cells.get("")):
            answer = task.answer.of_cells(cells, rows.folder).calibrated(trust)
            found |= answer.cells(rows.folder, done.column)
        if not pd.isna(error):
            found[f"{done.column}.error"] = error
        made.append(found)
    return pd.DataFrame(made)


def report(rows: Manifest, done: Sequence[Done], *, draws: int, seed: int, facts: Mapping[str, Any]) -> Report:
    """Evaluate the columns of a run: by group with contests, and what a random split would have said beside it."""
    columns = list(dict.fromkeys(d.column for d in done))
    chance = [c for c in columns if c.endswith(CHANCE)]
    inner = rows.where(rows.table["fold"].ge(0))
    told = {
        **facts,
        "learning": [row for d in done if d.column == columns[0] for row in d.log],
        "calibration": _calibration_error([d for d in done if d.column == columns[0]], inner),
    }
    if chance:
        seen = evaluate(inner, predictions=chance, draws=draws, seed=seed).numbers
        names = {c: c.removesuffix(f"-{CHANCE}").removesuffix(f"@{CHANCE}") for c in chance}
        told["random_split"] = {names[c]: {m: asdict(v) for m, v in seen[c].items()} for c in chance}
    return evaluate(inner, predictions=[c for c in columns if c not in chance], draws=draws, seed=seed, facts=told)


def _calibration_error(done: Sequence[Done], rows: Manifest) -> dict[str, float]:
    """Expected calibration error of the first column before and after, where its answers know one."""
    column = done[0].column
    raw = pd.concat([d.answers for d in done], ignore_index=True)
    before = without_predictions(rows).add(raw, {column: rows.kinds[column]})
    found = [evaluate(told, predictions=[column], draws=0).numbers[column].get("ece") for told in (before, rows)]
    return {name: ece.value for name, ece in zip(("before", "after"), found, strict=True) if ece is not None}


def begun(before: Sequence[Card], rows: Manifest) -> list[str]:
    """What a reader must know of the bundles that a run started from: that they had seen the images it is tested on."""
    said = []
    for card in before:
        seen = was_seen(card, rows)
        if seen is not None and seen.any():
            said.append(f"the encoder started from had seen {seen.mean():.0%} of these images, without their labels")
        elif seen is None and card.data.get("fingerprint") == rows.fingerprint():
            said.append(SEEN)
    return list(dict.fromkeys(said))


def without_predictions(rows: Manifest) -> Manifest:
    """The rows as they were before anything was predicted."""
    return replace(rows, table=rows.table.drop(columns=[c for c in rows.table if str(c).startswith("prediction")]))
