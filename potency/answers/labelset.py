"""Several classes at once, each there or not: the compartments of a protein, the findings in an image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from pandas import DataFrame, Series, isna

from potency.answers.answer import Answer
from potency.answers.conformal import JOIN
from potency.answers.confusion import Figures, mean_over_classes
from potency.answers.drawing import COLOURS, as_rgb, captioned
from potency.answers.evidence import Evidence
from potency.answers.probability import PROBABILITY
from potency.answers.ranking import ranking
from potency.data.several import NONE, names_of
from potency.errors import AnswerError


@dataclass(frozen=True)
class Labelset(Answer):
    """The `labels` that are there, out of `classes` with the `probability` (K,) of each, None where there is none.

    Each class has a probability of its own: they do not add up to 1. A cell names the classes with " | " between them
    (";" is read too), or "none".

    >>> answer = Labelset.of_cells({"": "nucleus | membrane"}, Path())
    >>> answer.labels, answer.cells(Path(), "prediction")
    (('membrane', 'nucleus'), {'prediction': 'membrane | nucleus'})
    """

    labels: tuple[str, ...]
    classes: tuple[str, ...] = ()
    probability: NDArray[np.float64] | None = None

    kind: ClassVar[str] = "labelset"
    title: ClassVar[str] = "several classes at once, each with a probability of its own"
    headline: ClassVar[str] = "macro_f1"
    parts: ClassVar[tuple[str, ...]] = ("probability",)
    asks: ClassVar[str] = "name every class that is there in"

    @classmethod
    def of_probability(cls, classes: Sequence[str], probability: NDArray[Any], least: float = 0.5) -> Self:
        """The classes at least that probable; what a network's sigmoids become.

        >>> Labelset.of_probability(("a", "b", "c"), np.array([0.2, 0.8, 0.5])).labels
        ('b', 'c')
        """
        values = np.asarray(probability, np.float64)
        labels = tuple(sorted(str(name) for name, value in zip(classes, values, strict=True) if value >= least))
        return cls(labels, tuple(map(str, classes)), values)

    @classmethod
    def of_cells(cls, cells: Mapping[str, Any], folder: Path) -> Self:
        if isna(cells.get("")):
            raise AnswerError("the cell of the classes is empty", "part ''", f"write {NONE!r}, or leave the row out")
        names = tuple(part.removeprefix(PROBABILITY) for part in cells if part.startswith(PROBABILITY))
        values = np.array([cells[PROBABILITY + name] for name in names], np.float64)
        known = bool(names) and not np.isnan(values).any()
        return cls(names_of(cells[""]), names, values if known else None, **cls.doubts_of(cells))

    def cells(self, folder: Path, name: str) -> dict[str, Any]:
        found: dict[str, Any] = {name: JOIN.join(self.labels) or NONE}
        if self.probability is not None:
            pairs = zip(self.classes, self.probability, strict=True)
            found |= {f"{name}.{PROBABILITY}{label}": float(value) for label, value in pairs}
        return found | self.doubts(name)

    @classmethod
    def average(cls, answers: Sequence[Self]) -> Self:
        """The mean probability of each class, which is there where most answers say so; of bare names the votes."""
        if not answers:
            raise AnswerError("there is no answer to average", "Labelset.average", "give at least one")
        classes = answers[0].classes or tuple(sorted({label for answer in answers for label in answer.labels}))
        if any(answer.classes != answers[0].classes for answer in answers):
            raise AnswerError("answers about different classes cannot be averaged", "Labelset.average",
                              "give every member the same classes in the same order")  # fmt: skip
        said = np.array([[label in answer.labels for label in classes] for answer in answers])
        told = [answer.probability for answer in answers if answer.probability is not None]
        share = said.mean(axis=0)  # each member has its own threshold, so what is there is a vote
        there = tuple(label for label, votes in zip(classes, share, strict=True) if votes >= 0.5)
        return cls(tuple(sorted(there)), classes, np.mean(told, axis=0) if len(told) == len(answers) else share)

    def compare(self, truth: Self) -> Evidence:
        return type(self).compare_columns(truth._frame(), self._frame())

    def _frame(self) -> DataFrame:
        return DataFrame([self.cells(Path(), "")]).rename(columns=lambda name: str(name).removeprefix("."))

    @classmethod
    def compare_columns(
        cls, truth: DataFrame, predicted: DataFrame, labels: Sequence[str] = (), folder: Path = Path()
    ) -> Evidence:
        """Whole columns at once: which classes are there, are said to be there, and how probable each is.

        The classes are those of `labels` and of the probability columns, then any other met, sorted; one without a
        probability has that of 0. Errors: gaps, probabilities outside 0..1.
        """
        given = [str(name).removeprefix(PROBABILITY) for name in predicted if str(name).startswith(PROBABILITY)]
        sets = [_sets(side[""], what) for side, what in ((truth, "truth"), (predicted, "prediction"))]
        met = sorted({label for side in sets for names in side for label in names})
        classes = tuple(dict.fromkeys([*map(str, labels), *given, *met]))
        arrays: dict[str, NDArray[Any]] = {
            name: np.array([[label in names for label in classes] for names in side], bool).reshape(-1, len(classes))
            for name, side in zip(("truth", "predicted"), sets, strict=True)
        }
        if given:
            values = np.zeros((len(predicted), len(classes)))
            for label in given:
                values[:, classes.index(label)] = _shares(predicted[PROBABILITY + label], label)
            arrays["probability"] = values
        return Evidence(len(truth), arrays, classes)

    @classmethod
    def summarise(cls, evidence: Evidence, weights: NDArray[Any]) -> Figures:
        """F1 of each class, its mean and all pooled, whole sets, wrong decisions; of probabilities areas and Brier."""
        truth, said = evidence.arrays["truth"], evidence.arrays["predicted"]
        figures = _counted(truth, said, weights, evidence.labels)
        if "probability" not in evidence.arrays:
            return figures
        values, columns = evidence.arrays["probability"], np.ascontiguousarray(weights.T)
        pairs = [ranking(truth[:, k], values[:, k], columns) for k in range(len(evidence.labels))]
        for name, each in zip(("auc", "average_precision"), zip(*pairs, strict=True), strict=True):
            areas = np.stack(each, axis=1)
            figures[name] = mean_over_classes(areas, np.isfinite(areas))
            figures |= {f"{name}.{label}": areas[:, k] for k, label in enumerate(evidence.labels)}
        return figures | {"brier": _mean(((values - truth) ** 2).mean(axis=1), weights)}

    @classmethod
    def reordered(cls, evidence: Evidence, orders: NDArray[Any]) -> NDArray[np.float64]:
        truth, said = evidence.arrays["truth"], evidence.arrays["predicted"]
        hits = np.stack([(truth[order] & said).sum(axis=0) for order in orders]).astype(np.float64)
        totals = np.tile(truth.sum(axis=0) + said.sum(axis=0), (len(orders), 1)).astype(np.float64)
        with np.errstate(divide="ignore", invalid="ignore"):
            return mean_over_classes(2 * hits / totals, np.tile(truth.any(axis=0), (len(orders), 1)))

    @classmethod
    def bearers(cls, evidence: Evidence) -> dict[str, NDArray[np.bool_]]:
        metrics = ("precision", "recall", "f1", "auc", "average_precision")
        masks = {label: evidence.arrays["truth"][:, k] for k, label in enumerate(evidence.labels)}
        return {f"{metric}.{label}": mask for label, mask in masks.items() for metric in metrics}

    @classmethod
    def right(cls, evidence: Evidence) -> NDArray[np.bool_] | None:
        """Whether the whole set is the true one."""
        return np.asarray((evidence.arrays["truth"] == evidence.arrays["predicted"]).all(axis=1))

    def draw(self, image: Any) -> NDArray[np.uint8]:
        bars: list[tuple[float, tuple[int, int, int]]] = []
        if self.probability is not None:
            bars = [(float(p), COLOURS[k % len(COLOURS)]) for k, p in enumerate(self.probability)]
        return captioned(as_rgb(image), JOIN.join(self.labels) or NONE, bars)


def _sets(column: Series, what: str) -> list[tuple[str, ...]]:
    gaps = np.flatnonzero(column.isna().to_numpy(bool))
    if len(gaps):
        raise AnswerError(f"a {what} names no class", f"row {column.index[gaps[0]]} ({len(gaps)} such rows)",
                          f"write {NONE!r} where no class is there, or leave the row out")  # fmt: skip
    return [names_of(cell) for cell in column]


def _shares(column: Series, label: str) -> NDArray[np.float64]:
    values = column.to_numpy(np.float64, na_value=np.nan)
    wrong = np.flatnonzero(~((values >= 0) & (values <= 1)))
    if len(wrong):
        raise AnswerError(f"a probability lies outside 0 to 1: {values[wrong[0]]:.4g}",
                          f"row {column.index[wrong[0]]} ({len(wrong)} such rows), column {PROBABILITY}{label}",
                          "write sigmoid outputs, one column a class")  # fmt: skip
    return np.asarray(values)


def _mean(each: NDArray[np.float64], weights: NDArray[Any]) -> NDArray[np.float64]:
    exact = weights.astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):  # a draw that holds no sample has no figures
        return np.asarray(exact @ each / exact.sum(axis=1))


def _counted(
    truth: NDArray[np.bool_], said: NDArray[np.bool_], weights: NDArray[Any], labels: Sequence[str]
) -> Figures:
    """Figures of decisions; a class without truth in a draw has none and is left out of that draw's means."""
    exact = weights.astype(np.float64)
    hits, true, told = (exact @ side.astype(np.float64) for side in (truth & said, truth, said))
    present = true > 0
    with np.errstate(divide="ignore", invalid="ignore"):
        each = {
            "precision": np.where(present, np.divide(hits, told, out=np.zeros_like(hits), where=told > 0), np.nan),
            "recall": np.where(present, hits / true, np.nan),
            "f1": np.where(present, 2 * hits / (true + told), np.nan),
        }
        pooled = 2 * hits.sum(axis=1) / (true.sum(axis=1) + told.sum(axis=1))
    figures = {
        "macro_f1": mean_over_classes(each["f1"], present),
        "micro_f1": pooled,
        "exact_match": _mean((truth == said).all(axis=1).astype(np.float64), weights),
        "hamming_loss": _mean((truth != said).mean(axis=1), weights),
    }
    for name, values in each.items():
        figures |= {f"{name}.{label}": values[:, k] for k, label in enumerate(labels)}
    return figures
