"""Sentences that must stand beside the figures: too few groups, classes never seen, rows left out."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from potency.answers.answer import Answer
from potency.answers.evidence import Evidence
from potency.evaluation.intervals import FEWEST_GROUPS, pure


def scheme(evidence: Evidence, groups: NDArray[np.intp]) -> str:
    """What the permutation test exchanges, in words."""
    if len(np.unique(groups)) == len(groups):
        return "truths exchanged between samples"
    if pure(evidence.arrays["truth"], groups):
        return "truths exchanged between whole groups, because each group holds one truth"
    return "truths exchanged between samples of the same group"


def notes_of(
    answer: type[Answer],
    columns: Sequence[str],
    pieces: Sequence[tuple[NDArray[np.intp], Evidence]],
    groups: NDArray[np.intp],
    left_out: Mapping[str, Mapping[str, int]],
) -> tuple[str, ...]:
    """What a reader must know before the figures of the columns are believed."""
    rows, first = pieces[0]
    number = len(np.unique(groups[rows]))
    notes = []
    if number < FEWEST_GROUPS:
        plural = "s" if number > 1 else ""
        notes.append(f"{number} group{plural}: no interval is given under {FEWEST_GROUPS} groups")
    if answer.labelled:
        notes += _class_notes(first, groups[rows])
    for column in columns:
        if left_out[column]:
            counts = ", ".join(f"{count} with {reason}" for reason, count in left_out[column].items())
            notes.append(f"{column}: rows left out: {counts}")
    lost = [f"{words} ({count:,})" for _, piece in pieces for words, count in piece.lost.items()]
    return tuple(notes) + tuple(dict.fromkeys(lost))


def apart(columns: Sequence[str], compared: Container[str]) -> tuple[str, ...]:
    """The columns that answered no row that the first answered."""
    alone = [column for column in columns[1:] if column not in compared]
    return (f"not compared with {columns[0]}, for want of rows both answered: {', '.join(alone)}",) if alone else ()


def _class_notes(evidence: Evidence, groups: NDArray[np.intp]) -> list[str]:
    truth = evidence.arrays["truth"]
    behind = {label: len(np.unique(groups[truth == k])) for k, label in enumerate(evidence.labels)}
    absent = [label for label, count in behind.items() if not count]
    few = [f"{label} ({count})" for label, count in behind.items() if 0 < count < FEWEST_GROUPS]
    notes = []
    if len(behind) - len(absent) == 1:
        only = next(label for label, count in behind.items() if count)
        notes.append(f"only the class {only!r} occurs in the truth: kappa, MCC and ROC areas cannot be computed")
    elif absent:
        notes.append(f"never in the truth, so left out of the means over classes: {', '.join(absent)}")
    if few and len(np.unique(groups)) >= FEWEST_GROUPS:
        notes.append(
            f"classes found in fewer than {FEWEST_GROUPS} groups: {', '.join(few)}; their own figures get no interval, "
            "and intervals of the means over classes may be too narrow"
        )
    if "probability" not in evidence.arrays:
        notes.append("no probabilities: areas, log loss, Brier score and calibration are absent")
    return notes
