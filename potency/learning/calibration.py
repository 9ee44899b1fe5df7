"""Fits the small numbers that make answers mean what they say, from a column of answers beside the truth."""

from __future__ import annotations

from collections.abc import Sequence

from potency.data.manifest import Manifest
from potency.tasks import Task


def calibration(told: Manifest, task: Task, classes: Sequence[str], name: str = "prediction") -> dict[str, float]:
    """Fit `Answer.calibration` on a column of predictions beside the truth; rows without an answer are left out."""
    table = told.table[told.table[name].notna() & told.table["truth"].notna()]
    if not len(table):
        return {}
    prefix = f"{name}."
    predicted = table[[c for c in table if c == name or str(c).startswith(prefix)]]
    predicted = predicted.drop(columns=[f"{name}.error", f"{name}.set", f"{name}.abstain"], errors="ignore")
    predicted = predicted.rename(columns=lambda c: str(c).removeprefix(prefix) if c != name else "")
    truth = table[["truth"]].rename(columns={"truth": ""})
    evidence = task.answer.compare_columns(truth, predicted, classes, told.folder)
    return task.answer.calibration(evidence, table["group"].to_numpy() if told.groups_known else None)
