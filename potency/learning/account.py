"""What a run tells: out-of-fold answers calibrated across folds, and the report with all its facts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import pandas as pd

from potency.answers.answer import OOD, Trust, numbers
from potency.answers.rarity import limit_of, rarity
from potency.data.manifest import Manifest
from potency.evaluation.evaluate import evaluate
from potency.evaluation.results import Report
from potency.learning.calibration import Fitted, calibration
from potency.learning.folds import Done
from potency.tasks import Task

CHANCE = "random"  # columns of a random split end in it


def calibrated(done: Sequence[Done], rows: Manifest, task: Task, classes: Sequence[str]) -> pd.DataFrame:
    """Out-of-fold answers of one column; each fold is calibrated on the others, so no row's own truth is used."""
    trusts = _crossed(done, rows, task, classes)
    limit = {f"{OOD}.limit": limit} if (limit := _limit(done, rows, trusts)) else {}
    pieces = [_applied(one, rows, task, {**trust, **limit}) for one, trust in zip(done, trusts, strict=True)]
    return pd.concat(pieces, ignore_index=True)


def _crossed(done: Sequence[Done], rows: Manifest, task: Task, classes: Sequence[str]) -> list[Fitted]:
    """The calibration of each fold, fitted on the other folds."""
    if len(done) < 2:
        return [one.trust for one in done]
    return [_together([d for d in done if d is not one], rows, task, classes) for one in done]


def _limit(done: Sequence[Done], rows: Manifest, trusts: Sequence[Fitted]) -> float | None:
    """The limit beyond which at most one in a hundred rows lies, each placed among the rows of the other folds."""
    column, found = f"{done[0].column}.oddity", []
    for one, trust in zip(done, trusts, strict=True):
        if len(done) > 1 and column in one.answers and OOD in trust:
            odd = one.answers[["id", column]].dropna()
            found.append(odd.assign(rare=rarity(odd[column].to_numpy(float), numbers(trust, OOD))))
    if not found:
        return None
    told = pd.concat(found).merge(rows.table[["id", "group"]], on="id")
    return limit_of(told["rare"].to_numpy(float), told["group"].to_numpy() if rows.groups_known else None)


def across(done: Sequence[Done], rows: Manifest, task: Task, classes: Sequence[str]) -> Fitted:
    """One calibration for the answers of several folds together, and the limit that holds from fold to fold."""
    limit = _limit(done, rows, _crossed(done, rows, task, classes))
    return {**_together(done, rows, task, classes), **({f"{OOD}.limit": limit} if limit else {})}


def _together(done: Sequence[Done], rows: Manifest, task: Task, classes: Sequence[str]) -> Fitted:
    told = rows.add(pd.concat([d.answers for d in done], ignore_index=True))
    return calibration(told, task, classes, done[0].column)


def _applied(done: Done, rows: Manifest, task: Task, trust: Trust) -> pd.DataFrame:
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


def without_predictions(rows: Manifest) -> Manifest:
    """The rows as they were before anything was predicted."""
    return replace(rows, table=rows.table.drop(columns=[c for c in rows.table if str(c).startswith("prediction")]))
