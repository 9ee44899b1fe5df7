"""One class out of several, with the probability of each; `Ordinal` where the classes stand in an order."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from pandas import DataFrame, Index, Series, isna
from pandas.api.types import is_float_dtype

from potency.answers.answer import Answer, Evidence, group_sums
from potency.answers.confusion import Figures, confusion_figures, mean_over_classes, ordinal_figures
from potency.answers.drawing import COLOURS, as_rgb, captioned
from potency.answers.ranking import ranking
from potency.answers.temperature import apply_temperature, fit_temperature
from potency.errors import AnswerError, nearest

PROBABILITY = "probability."
SUM_TOLERANCE = 0.02  # tables written by hand round to two decimals
ECE_BINS = 15  # Guo et al. 2017


def as_label(value: Any) -> str:
    """A cell as a class name: whole numbers lose the decimal point that a gap in the column gave them.

    >>> as_label(2.0), as_label("stem"), as_label(True)
    ('2', 'stem', 'True')
    """
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return str(int(value))
    return str(value)


def as_labels(column: Series) -> NDArray[np.object_]:
    """A whole column as class names, see `as_label`; gaps stay None."""
    if column.dtype == object or is_float_dtype(column.dtype):
        return np.array([None if isna(v) else as_label(v) for v in column], dtype=object)
    names = np.array(column.astype(str), dtype=object)
    names[column.isna().to_numpy(bool)] = None
    return names


@dataclass(frozen=True)
class Category(Answer):
    """A class `label` out of `classes`, with their `probability` (K,) or None where there is none.

    >>> answer = Category.of_cells({"": "stem", "probability.stem": 0.75, "probability.neuron": 0.25}, Path())
    >>> answer.cells(Path(), "prediction")
    {'prediction': 'stem', 'prediction.probability.stem': 0.75, 'prediction.probability.neuron': 0.25}
    """

    label: str
    classes: tuple[str, ...] = ()
    probability: NDArray[np.float64] | None = None

    kind: ClassVar[str] = "category"
    headline: ClassVar[str] = "balanced_accuracy"
    parts: ClassVar[tuple[str, ...]] = ("probability",)
    labelled: ClassVar[bool] = True

    @classmethod
    def of_probability(cls, classes: Sequence[str], probability: NDArray[Any]) -> Self:
        """The most probable class; what a network's softmax becomes.

        >>> Category.of_probability(("a", "b"), np.array([0.2, 0.8])).label
        'b'
        """
        values = np.asarray(probability, np.float64)
        return cls(str(classes[int(np.argmax(values))]), tuple(map(str, classes)), values)

    @classmethod
    def of_cells(cls, cells: Mapping[str, Any], folder: Path) -> Self:
        names = tuple(part.removeprefix(PROBABILITY) for part in cells if part.startswith(PROBABILITY))
        values = np.array([cells[PROBABILITY + name] for name in names], np.float64)
        known = bool(names) and not np.isnan(values).any()
        if isna(cells.get("")):
            raise AnswerError("the cell of the class is empty", "part ''", "leave the row out, or fill it")
        return cls(as_label(cells[""]), names, values if known else None)

    def cells(self, folder: Path, name: str) -> dict[str, Any]:
        found: dict[str, Any] = {name: self.label}
        if self.probability is not None:
            pairs = zip(self.classes, self.probability, strict=True)
            found |= {f"{name}.{PROBABILITY}{label}": float(value) for label, value in pairs}
        return found

    @classmethod
    def stitch(cls, parts: Iterable[tuple[Any, Self]], canvas: Any) -> Self:
        """The class of a sample seen in tiles: the mean of the tiles' probabilities."""
        return cls.average([answer for _, answer in parts])

    @classmethod
    def average(cls, answers: Sequence[Self]) -> Self:
        """The mean of the probabilities; of bare labels the share of votes (the first class in order wins a tie)."""
        if not answers:
            raise AnswerError("there is no answer to average", "Category.average", "give at least one")
        classes = answers[0].classes or tuple(sorted({answer.label for answer in answers}))
        if any(answer.classes != answers[0].classes for answer in answers):
            raise AnswerError(
                "answers about different classes cannot be averaged",
                f"{list(answers[0].classes)} beside {[list(a.classes) for a in answers if a.classes != classes][0]}",
                "give every member the same classes in the same order",
            )
        rows = [
            answer.probability if answer.probability is not None else np.array([c == answer.label for c in classes])
            for answer in answers
        ]
        return cls.of_probability(classes, np.mean(np.asarray(rows, np.float64), axis=0))

    @classmethod
    def calibration(cls, evidence: Evidence) -> dict[str, float]:
        """{"temperature": ...}, see `fit_temperature`; nothing without probabilities."""
        known = evidence.arrays.get("probability")
        return {} if known is None else {"temperature": fit_temperature(evidence.arrays["truth"], known)}

    def calibrated(self, trust: Mapping[str, float]) -> Self:
        if "temperature" not in trust or self.probability is None:
            return self
        return replace(self, probability=apply_temperature(self.probability, trust["temperature"]))

    def compare(self, truth: Self) -> Evidence:
        labels = self.classes or truth.classes or tuple(sorted({self.label, truth.label}))
        if truth.label not in labels or self.label not in labels:
            wrong = truth.label if truth.label not in labels else self.label
            raise AnswerError(
                f"{wrong!r} is not among the classes of the answer", ", ".join(labels), nearest(wrong, labels)
            )
        arrays: dict[str, NDArray[Any]] = {
            "truth": np.array([labels.index(truth.label)]), "predicted": np.array([labels.index(self.label)])
        }  # fmt: skip
        if self.probability is not None:
            arrays["probability"] = np.asarray(self.probability, np.float64)[None]
        return Evidence(1, arrays, labels)

    @classmethod
    def compare_columns(
        cls, truth: DataFrame, predicted: DataFrame, labels: Sequence[str] = (), folder: Path = Path()
    ) -> Evidence:
        """Whole columns at once: class codes, and the probabilities where their columns are there.

        One class without a column gets what the others leave of 1 (two classes need one column); several get 0. Errors:
        a label that is not among `labels`, gaps, probabilities outside 0..1 or that do not sum to 1.
        """
        names = tuple(labels) or class_names(truth[""], predicted[""])
        arrays: dict[str, NDArray[Any]] = {
            "truth": codes_of(truth[""], names, "truth"),
            "predicted": codes_of(predicted[""], names, "prediction"),
        }
        given = [label for label in names if PROBABILITY + label in predicted.columns]
        if given:
            arrays["probability"] = probabilities(predicted, names, given)
        return Evidence(len(truth), arrays, names)

    @classmethod
    def summarise(cls, evidence: Evidence, weights: NDArray[Any]) -> Figures:
        """Accuracy, precision, recall, F1, kappa, MCC; with probabilities areas, log loss, Brier and ECE too."""
        columns = np.ascontiguousarray(weights.T)
        figures = confusion_figures(cls.tables(evidence, columns), evidence.labels)
        if "probability" in evidence.arrays:
            figures |= probability_figures(evidence, columns)
        return figures

    @staticmethod
    def tables(evidence: Evidence, columns: NDArray[Any]) -> NDArray[np.float64]:
        """Confusion tables (draws, true class, predicted class) of weights (samples, draws)."""
        size = len(evidence.labels)
        cells = evidence.arrays["truth"] * size + evidence.arrays["predicted"]
        sums = group_sums(cells, size * size, columns).astype(np.float64)
        return np.moveaxis(sums.reshape(size, size, -1), -1, 0)

    @classmethod
    def reordered(cls, evidence: Evidence, orders: NDArray[Any]) -> NDArray[np.float64]:
        size = len(evidence.labels)
        cells = evidence.arrays["truth"][orders] * size + evidence.arrays["predicted"]
        cells += np.arange(len(orders))[:, None] * size * size
        tables = np.bincount(cells.ravel(), minlength=len(orders) * size * size)
        shaped = tables.reshape(len(orders), size, size).astype(np.float64)
        return confusion_figures(shaped, evidence.labels)[cls.headline]

    @classmethod
    def bearers(cls, evidence: Evidence) -> dict[str, NDArray[np.bool_]]:
        metrics = ("precision", "recall", "f1", "auc", "average_precision")
        masks = {label: evidence.arrays["truth"] == k for k, label in enumerate(evidence.labels)}
        return {f"{metric}.{label}": mask for label, mask in masks.items() for metric in metrics}

    def draw(self, image: Any) -> NDArray[np.uint8]:
        bars: list[tuple[float, tuple[int, int, int]]] = []
        text = self.label
        if self.probability is not None:
            bars = [(float(p), COLOURS[k % len(COLOURS)]) for k, p in enumerate(self.probability)]
            text = f"{self.label} {self.probability[self.classes.index(self.label)]:.2f}"
        return captioned(as_rgb(image), text, bars)


@dataclass(frozen=True)
class Ordinal(Category):
    """A class out of classes in order (days, grades, stages): near misses count less in the added figures."""

    kind: ClassVar[str] = "ordinal"
    ordered: ClassVar[bool] = True

    @classmethod
    def summarise(cls, evidence: Evidence, weights: NDArray[Any]) -> Figures:
        """Those of `Category`, and the quadratically weighted kappa and the mean absolute difference of ranks."""
        tables = cls.tables(evidence, np.ascontiguousarray(weights.T))
        return super().summarise(evidence, weights) | ordinal_figures(tables)


def class_names(*columns: Series) -> tuple[str, ...]:
    """The classes of some columns, sorted, numbers by size.

    >>> class_names(Series(["b", "a"]), Series(["b", None])), class_names(Series([10, 9]))
    (('a', 'b'), ('9', '10'))
    """
    found = {str(label) for column in columns for label in as_labels(column) if label is not None}
    try:
        return tuple(sorted(found, key=float))
    except ValueError:
        return tuple(sorted(found))


def codes_of(column: Series, labels: Sequence[str], what: str) -> NDArray[np.intp]:
    """Class codes (samples,) of a column; a gap or an unknown class is refused with its row."""
    names = as_labels(column)
    codes = np.asarray(Index(np.asarray(labels, dtype=object)).get_indexer(Index(names)), np.intp)
    wrong = np.flatnonzero(codes < 0)
    if len(wrong):
        row, name = column.index[wrong[0]], names[wrong[0]]
        said = "has no class" if name is None else f"names the class {name!r}, which is not among the classes"
        mend = "leave the row out, or fill the cell" if name is None else nearest(str(name), labels)
        raise AnswerError(f"a {what} {said}", f"row {row} ({len(wrong)} such rows)", mend)
    return codes


def probabilities(predicted: DataFrame, labels: Sequence[str], given: Sequence[str]) -> NDArray[np.float64]:
    """The probabilities (samples, classes) of the `probability.<class>` columns, checked."""
    slack = 1e-3  # softmax in half precision may miss 1 by this much
    values = np.zeros((len(predicted), len(labels)))
    for k, label in enumerate(labels):
        if label in given:
            values[:, k] = predicted[PROBABILITY + label].to_numpy(np.float64, na_value=np.nan)
    if len(given) == len(labels) - 1:
        rest = next(k for k, label in enumerate(labels) if label not in given)
        left = 1 - values.sum(axis=1)
        # Where the others make 1 already, what is left is rounding, and rounding must not rank the rows.
        values[:, rest] = 0.0 if np.all(np.abs(left) <= slack) else left
    outside: NDArray[np.bool_] = ~np.all((values >= -slack) & (values <= 1 + slack), axis=1)
    sums = values.sum(axis=1)
    wrong = np.flatnonzero(outside | ~(np.abs(sums - 1) <= SUM_TOLERANCE))
    if len(wrong):
        first = wrong[0]
        shown = [float(np.round(value, 4)) for value in values[first][:8]]
        what = "lie outside 0 to 1" if outside[first] else f"sum to {sums[first]:.4g}, not to 1"
        raise AnswerError(
            f"the probabilities of a row {what}: {shown}",
            f"row {predicted.index[first]} ({len(wrong)} such rows), columns {PROBABILITY}<class>",
            "write softmax outputs, one column a class; without these columns the labels alone are compared",
        )
    return np.clip(values, 0.0, 1.0)


def probability_figures(evidence: Evidence, columns: NDArray[Any]) -> Figures:
    """Areas, log loss, Brier score and expected calibration error of weights (samples, draws).

    Areas are one class against the rest; means are over the classes that a draw holds. Brier is the sum over classes
    (Brier 1950), halved for two classes as is usual there. ECE bins the probability of the answer given, 15 equal bins.
    """
    truth, said, values = (evidence.arrays[name] for name in ("truth", "predicted", "probability"))
    rows, size = np.arange(evidence.samples), len(evidence.labels)
    hot = np.zeros_like(values)
    hot[rows, truth] = 1.0
    brier = ((values - hot) ** 2).sum(axis=1) / (2 if size == 2 else 1)
    surprise = -np.log(np.clip(values[rows, truth], np.finfo(np.float64).eps, 1.0))
    confidence = values[rows, said]
    bins = np.minimum((confidence * ECE_BINS).astype(np.intp), ECE_BINS - 1)
    gaps = np.zeros((evidence.samples, ECE_BINS + 3))
    gaps[rows, bins] = confidence - (truth == said)
    gaps[:, ECE_BINS:] = np.stack([surprise, brier, np.ones(evidence.samples)], axis=1)
    sums = columns.T.astype(np.float64) @ gaps
    total = np.where(sums[:, -1] > 0, sums[:, -1], np.nan)  # a draw that holds no sample has no figures
    pairs = [ranking(truth == k, values[:, k], columns) for k in range(size)]
    areas, precisions = (np.stack(each, axis=1) for each in zip(*pairs, strict=True))
    figures = {
        "auc": mean_over_classes(areas, np.isfinite(areas)),
        "average_precision": mean_over_classes(precisions, np.isfinite(precisions)),
        "log_loss": sums[:, ECE_BINS] / total,
        "brier": sums[:, ECE_BINS + 1] / total,
        "ece": np.abs(sums[:, :ECE_BINS]).sum(axis=1) / total,
    }
    for name, each in (("auc", areas), ("average_precision", precisions)):
        figures |= {f"{name}.{label}": each[:, k] for k, label in enumerate(evidence.labels)}
    return figures
