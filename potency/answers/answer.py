"""What comes out of a model: an answer is cells of a row, compared as evidence and summarised under any weighting."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from pandas import DataFrame

from potency.answers.evidence import Evidence
from potency.answers.rarity import LIMIT, rarity
from potency.errors import AnswerError

Trust = Mapping[str, float | Sequence[float]]
SET, OOD = "set", "ood"  # why an answer may abstain: several classes are plausible; the image is like none known


@dataclass(frozen=True, eq=False)
class Answer(ABC):
    """One answer to one sample. NumPy and pandas only: evaluation must run where no network can.

    Any answer may say how far the sample lies from those that were learned: `oddity` as the model measures it, `ood` as
    its rarity among known samples (see `fit_rarity`), and `unlike` where that is beyond the limit. `of_cells`, `cells`
    and `stitch` of an answer pass them on by `doubts_of`, `doubts` and `stitched`.

    A new answer is one file and one line in `ANSWERS`. `headline` names the metric that verdicts and permutation tests
    use, `better` says whether a higher (+1) or a lower (-1) headline is better; `title` says what it is to a person.
    """

    kind: ClassVar[str]
    title: ClassVar[str]
    headline: ClassVar[str]
    better: ClassVar[int] = 1
    growing: ClassVar[frozenset[str]] = frozenset()  # figures that resampling can only make larger: distances from zero
    parts: ClassVar[tuple[str, ...]] = ()  # part columns it owns beside the main one, up to their first dot
    labelled: ClassVar[bool] = False  # cells are names out of a list of classes
    ordered: ClassVar[bool] = False  # and the list stands in an order
    in_files: ClassVar[bool] = False  # cells are paths of files: no averages, no permutation of truths
    asks: ClassVar[str] = "estimate a number for each of"  # what is asked of the samples, after "to"
    plainest: ClassVar[str] = "size and brightness alone"  # what the trivial baseline goes by

    oddity: float | None = field(default=None, kw_only=True)
    ood: float | None = field(default=None, kw_only=True)
    unlike: bool = field(default=False, kw_only=True)

    @classmethod
    @abstractmethod
    def of_cells(cls, cells: Mapping[str, Any], folder: Path) -> Self:
        """Read the answer from the cells of one row: {"": main cell, "probability.astro": ...}."""

    @abstractmethod
    def cells(self, folder: Path, name: str) -> dict[str, Any]:
        """Write the answer as cells: {name: main cell, f"{name}.part": ...}."""

    @classmethod
    def stitch(cls, parts: Iterable[tuple[Any, Self]], canvas: Any) -> Self:
        """Join the answers of (tile, answer) pairs that cover one sample, consumed as they come: their `average`."""
        answers = [answer for _, answer in parts]
        return replace(cls.average(answers), **cls.stitched(answers))

    @classmethod
    def join(cls, parts: Iterable[tuple[Any, Self]], canvas: Any, folder: Path, name: str) -> dict[str, Any]:
        """Join as `stitch` does, and write as `cells` does: what may not fit into memory is written as it is joined.

        Tiles come in rows, from the top to the bottom.
        """
        return cls.stitch(parts, canvas).cells(folder, name)

    @classmethod
    def average(cls, answers: Sequence[Self]) -> Self:
        """The answer of an ensemble, or of several views of one sample."""
        raise AnswerError(
            f"answers of kind {cls.kind!r} cannot be averaged",
            f"{len(answers)} answers",
            "use a single model, or combine them by another rule",
        )

    @classmethod
    def calibration(cls, evidence: Evidence, groups: NDArray[Any] | None = None) -> dict[str, float | list[float]]:
        """Small numbers that make answers like these mean what they say, fitted on rows nothing was learned from.

        `groups` (samples,) are the units that were sampled; None: each sample is its own.
        """
        return {}

    def calibrated(self, trust: Trust) -> Self:
        """The answer after `calibration`'s numbers; one that has none to use stays as it is."""
        if self.oddity is None or OOD not in trust:
            return self
        rare = float(rarity(np.array(self.oddity), numbers(trust, OOD)))
        return replace(self, oddity=None, ood=rare, unlike=rare > number(trust, f"{OOD}.limit", LIMIT))

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why nobody should act on it without looking: () where nothing speaks against it."""
        return (OOD,) if self.unlike else ()

    def doubts(self, name: str) -> dict[str, Any]:
        """The cells of what is known of its doubts: `.ood` (or `.oddity`) and `.abstain`, "no" or the reasons."""
        seen = {"oddity": self.oddity, OOD: self.ood}
        told: dict[str, Any] = {f"{name}.{part}": value for part, value in seen.items() if value is not None}
        return told | ({f"{name}.abstain": ", ".join(self.reasons) or "no"} if self.ood is not None else {})

    @staticmethod
    def doubts_of(cells: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments that `doubts` wrote, read from the cells of a row."""
        seen = {part: float(cells[part]) for part in ("oddity", OOD) if cells.get(part) is not None}
        known = {part: value for part, value in seen.items() if value == value}
        return {**known, "unlike": OOD in str(cells.get("abstain")).split(", ")}

    @staticmethod
    def stitched(answers: Sequence[Answer]) -> dict[str, Any]:
        """The arguments for a sample seen in tiles: the median tile, and unlike where most tiles are."""
        told: dict[str, Any] = {}
        for part in ("oddity", OOD):
            values = [value for answer in answers if (value := getattr(answer, part)) is not None]
            told |= {part: float(np.median(values))} if values else {}
        return {**told, "unlike": 2 * sum(answer.unlike for answer in answers) > len(answers)}

    @abstractmethod
    def compare(self, truth: Self) -> Evidence:
        """What this one sample contributes to the figures."""

    @classmethod
    def compare_columns(
        cls, truth: DataFrame, predicted: DataFrame, labels: Sequence[str] = (), folder: Path = Path()
    ) -> Evidence:
        """Compare whole columns; the frames' columns are parts ("" is the main one), rows correspond by position."""
        rows = zip(truth.to_dict("records"), predicted.to_dict("records"), strict=True)
        pairs = (
            (cls.of_cells({str(k): v for k, v in t.items()}, folder), {str(k): v for k, v in p.items()})
            for t, p in rows
        )
        return Evidence.stack([cls.of_cells(cells, folder).compare(right) for right, cells in pairs])

    @classmethod
    @abstractmethod
    def summarise(cls, evidence: Evidence, weights: NDArray[Any]) -> dict[str, NDArray[np.float64]]:
        """Figures under each weighting: (draws, samples) -> {metric: (draws,)}; nan where a draw allows none.

        Weights are how often a sample counts. Whole numbers in float32 are summed exactly (below 2^24) and fast: such
        are the weights of the bootstrap.
        """

    @classmethod
    def reordered(cls, evidence: Evidence, orders: NDArray[Any]) -> NDArray[np.float64]:
        """The headline when sample i is given the truth of sample orders[d, i]: (draws, samples) -> (draws,)."""
        raise AnswerError(
            f"answers of kind {cls.kind!r} have no permutation test", "Answer.reordered", "leave permutations out"
        )

    @classmethod
    def bearers(cls, evidence: Evidence) -> dict[str, NDArray[np.bool_]]:
        """For metrics that rest on some rows only: {metric: mask of those rows}."""
        return {}

    @classmethod
    def right(cls, evidence: Evidence) -> NDArray[np.bool_] | None:
        """Which samples are answered rightly, for McNemar's test; None where right and wrong is not the question."""
        return None

    @classmethod
    def ranked(cls, evidence: Evidence) -> tuple[NDArray[np.bool_], NDArray[np.float64]] | None:
        """Which samples are positive and their scores, for DeLong's test; None where there are not two classes."""
        return None

    @abstractmethod
    def draw(self, image: Any) -> NDArray[np.uint8]:
        """The answer drawn on its image: (height, width, 3), the same for report and web."""


def number(trust: Trust, name: str, unless: float) -> float:
    """A number of a card's `trust`."""
    value = trust.get(name, unless)
    return float(value) if isinstance(value, int | float) else unless


def numbers(trust: Trust, name: str) -> Sequence[float]:
    """A row of numbers of a card's `trust`; () where there is none."""
    value = trust.get(name, ())
    return () if isinstance(value, int | float) else value


def group_sums(
    codes: NDArray[np.intp], count: int, weights: NDArray[Any], values: NDArray[Any] | None = None
) -> NDArray[Any]:
    """Sum the weights (times values) of the samples of each code: codes (samples,), weights (samples, draws).

    Returns (count, draws). A negative code leaves the sample out. One sparse product: 10,000 samples x 1,000 draws take
    about 10 ms, and whole numbers in float32 stay exact.

    >>> group_sums(np.array([0, 1, 1, -1]), 2, np.ones((4, 3), np.float32))[:, 0]
    array([1., 2.], dtype=float32)
    """
    from scipy.sparse import csr_array  # 0.1 s to import, needed only once figures are made

    inside = np.flatnonzero(codes >= 0)
    data = np.ones(len(inside), weights.dtype) if values is None else values[inside].astype(weights.dtype)
    order = np.argsort(codes[inside], kind="stable")
    starts = np.concatenate([[0], np.cumsum(np.bincount(codes[inside], minlength=count))])
    table = csr_array((data[order], inside[order], starts), shape=(count, len(codes)))
    return np.asarray(table @ weights)
