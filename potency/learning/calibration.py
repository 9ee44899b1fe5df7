"""Fits the small numbers that make answers mean what they say, from a column of answers beside the truth."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from potency.answers.answer import OOD
from potency.answers.rarity import FEWEST, LIMIT, fit_rarity
from potency.data.manifest import Manifest
from potency.tasks import Task

Fitted = dict[str, float | list[float]]


def calibration(told: Manifest, task: Task, classes: Sequence[str], name: str = "prediction") -> Fitted:
    """Fit `Answer.calibration` on a column of predictions beside the truth; rows without an answer are left out.

    Where the rows say how odd they are (`<name>.oddity`), the scale of `fit_rarity` is fitted to that too, by group.
    """
    table = told.table[told.table[name].notna() & told.table["truth"].notna()]
    if not len(table):
        return {}
    prefix = f"{name}."
    predicted = table[[c for c in table if c == name or str(c).startswith(prefix)]]
    drop = [f"{name}.{part}" for part in ("error", "set", "abstain", "ood", "oddity")]
    predicted = predicted.drop(columns=drop, errors="ignore")
    predicted = predicted.rename(columns=lambda c: str(c).removeprefix(prefix) if c != name else "")
    truth = table[["truth"]].rename(columns={"truth": ""})
    evidence = task.answer.compare_columns(truth, predicted, classes, told.folder)
    found = task.answer.calibration(evidence, table["group"].to_numpy() if told.groups_known else None)
    return {**found, **_scale(table, f"{name}.oddity", told.groups_known)}


def _scale(table: pd.DataFrame, column: str, grouped: bool) -> Fitted:
    odd = table[table[column].notna()] if column in table else table.iloc[:0]
    if len(odd) < FEWEST:
        return {}
    groups = odd["group"].to_numpy() if grouped else None
    return {OOD: fit_rarity(odd[column].to_numpy(float), groups), f"{OOD}.limit": LIMIT}
