"""What comes out of a model, without any network: the visible list of answers."""

from __future__ import annotations

from potency.answers.answer import Answer
from potency.answers.category import Category, Ordinal
from potency.answers.density import Density
from potency.answers.evidence import Evidence
from potency.answers.labels import Labels
from potency.answers.labelset import Labelset
from potency.answers.number import Number
from potency.answers.objects import Objects
from potency.answers.regions import Regions
from potency.answers.vector import Vector

ANSWERS: dict[str, type[Answer]] = {
    answer.kind: answer
    for answer in (Category, Ordinal, Labelset, Number, Vector, Labels, Regions, Objects, Density)
}

__all__ = [
    "ANSWERS", "Answer", "Category", "Density", "Evidence", "Labels", "Labelset", "Number", "Objects", "Ordinal",
    "Regions", "Vector",
]  # fmt: skip
