"""What comes out of a model, without any network: the visible list of answers."""

from __future__ import annotations

from potency.answers.answer import Answer
from potency.answers.category import Category, Ordinal
from potency.answers.evidence import Evidence
from potency.answers.number import Number
from potency.answers.vector import Vector

ANSWERS: dict[str, type[Answer]] = {answer.kind: answer for answer in (Category, Ordinal, Number, Vector)}

__all__ = ["ANSWERS", "Answer", "Category", "Evidence", "Number", "Ordinal", "Vector"]
