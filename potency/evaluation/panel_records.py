"""What was shown to a panel of readers, what they said, and what can be said of them, as plain frozen records."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from potency.evaluation.results import Interval
from potency.evaluation.together import Agreement, Dispute, Pair


@dataclass(frozen=True)
class Reader:
    """Who reads: years of experience (None: not told) and field."""

    name: str
    years: float | None = None
    field: str = ""


@dataclass(frozen=True)
class Study:
    """What was shown and what was said.

    Attributes:
        images: `id`, and where known `truth`, `group`, `model` and `model.probability.<class>`.
        answers: `reader`, `round`, `id`, `again` (the second showing of an image in its round), `answer` (missing:
            cannot tell), `seconds`, `confidence`.
        classes: in order, the last one is what is looked for; () where readers give numbers.
        model: what the model of the second round is called, "" without one.
    """

    images: pd.DataFrame
    answers: pd.DataFrame
    readers: tuple[Reader, ...]
    classes: tuple[str, ...] = ()
    unit: str = ""
    model: str = ""


@dataclass(frozen=True)
class Line:
    """One reader in one round, or the model (round 0).

    Attributes:
        figures: against the truth; {} without one.
        confusion: a row a true class, a column a class said and at last "cannot tell"; () for numbers.
        seconds: first quartile, median, third quartile of the seconds an image.
        again: how far the answers to images shown twice agree: `same` and `kappa`, or `icc21` and `icc31`.
    """

    reader: str
    round: int
    years: float | None
    field: str
    answered: int
    unsure: int
    figures: dict[str, Interval]
    confusion: tuple[tuple[int, ...], ...]
    seconds: tuple[float, ...]
    confidence: float | None
    twice: int
    again: dict[str, Interval]


@dataclass(frozen=True)
class Change:
    """One column less another on the images that both answered: round two less round one, or a reader less the model.

    `to_right` and `to_wrong` count the answers that became so from the first round to the second.
    """

    reader: str
    round: int
    images: int
    differences: dict[str, Interval]
    mcnemar_p: float | None = None
    to_right: int = 0
    to_wrong: int = 0
    same: float | None = None


@dataclass(frozen=True)
class Tier:
    """Readers of like experience: the mean of their accuracy (or mean absolute error) in a round."""

    name: str
    round: int
    readers: int
    mean: Interval


@dataclass(frozen=True)
class Findings:
    """All that can be said of a study; a figure that rests on nothing is absent."""

    kind: str
    classes: tuple[str, ...]
    unit: str
    model: str
    images: int
    groups: int
    groups_known: bool
    truth: bool
    lines: tuple[Line, ...]
    pairs: tuple[Pair, ...]
    agreement: tuple[Agreement, ...]
    changes: tuple[Change, ...]
    change: dict[str, Interval]
    against: tuple[Change, ...]
    tiers: tuple[Tier, ...]
    disputes: tuple[Dispute, ...]
    notes: tuple[str, ...]
