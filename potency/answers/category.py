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

from potency.answers.answer import SET, Answer, Trust, group_sums, number
from potency.answers.conformal import JOIN, fit_sets, held, plausible, set_figures
from potency.answers.confusion import Figures, confusion_figures, ordinal_figures
from potency.answers.drawing import COLOURS, as_rgb, captioned
from potency.answers.evidence import Evidence
from potency.answers.isotonic import fit_probability, mended, mends
from potency.answers.probability import PROBABILITY, probabilities, probability_figures
from potency.errors import AnswerError, nearest


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

    `plausible` is the set of classes that holds the truth as often as was promised (see `fit_sets`), () where none was
    fitted; an answer whose set names more than one class abstains.

    >>> answer = Category.of_cells({"": "stem", "probability.stem": 0.75, "probability.neuron": 0.25}, Path())
    >>> answer.cells(Path(), "prediction")
    {'prediction': 'stem', 'prediction.probability.stem': 0.75, 'prediction.probability.neuron': 0.25}
    """

    label: str
    classes: tuple[str, ...] = ()
    probability: NDArray[np.float64] | None = None
    plausible: tuple[str, ...] = ()

    kind: ClassVar[str] = "category"
    title: ClassVar[str] = "one class out of several, with a probability for each"
    headline: ClassVar[str] = "balanced_accuracy"
    growing: ClassVar[frozenset[str]] = frozenset({"ece"})
    parts: ClassVar[tuple[str, ...]] = ("probability", "set")
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
        told = cells.get("set")
        sure = () if told is None or isna(told) else tuple(str(told).split(JOIN))
        return cls(as_label(cells[""]), names, values if known else None, sure, **cls.doubts_of(cells))

    def cells(self, folder: Path, name: str) -> dict[str, Any]:
        found: dict[str, Any] = {name: self.label}
        if self.probability is not None:
            pairs = zip(self.classes, self.probability, strict=True)
            found |= {f"{name}.{PROBABILITY}{label}": float(value) for label, value in pairs}
        found |= {f"{name}.set": JOIN.join(self.plausible)} if self.plausible else {}
        found |= self.doubts(name)
        return found | ({f"{name}.abstain": ", ".join(self.reasons) or "no"} if self.plausible else {})

    @property
    def reasons(self) -> tuple[str, ...]:
        return (*((SET,) if len(self.plausible) > 1 else ()), *super().reasons)

    @classmethod
    def stitch(cls, parts: Iterable[tuple[Any, Self]], canvas: Any) -> Self:
        """The class of a sample seen in tiles: the mean of the tiles' probabilities, and every class of their sets."""
        answers = [answer for _, answer in parts]
        whole, named = cls.average(answers), {label for answer in answers for label in answer.plausible}
        kept = [label for label in whole.classes if named and label in named | {whole.label}]
        return replace(whole, plausible=tuple(kept), **cls.stitched(answers))

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
    def calibration(
        cls, evidence: Evidence, groups: NDArray[Any] | None = None
    ) -> dict[str, float | list[float]]:
        """How probabilities are mended, see `fit_probability`, and {"set": ...}, see `fit_sets`; {} without any."""
        known = evidence.arrays.get("probability")
        if known is None:
            return {}
        truth = evidence.arrays["truth"]
        found = fit_probability(truth, known, groups)
        return {**found, "set": fit_sets(truth, mended(known, found), groups)}

    def calibrated(self, trust: Trust) -> Self:
        made = super().calibrated(trust)
        if made.probability is None or not mends(trust):
            return made
        probability = mended(made.probability, trust)
        top = int(np.argmax(probability))  # isotonic steps can change the class; of equals the one said before stays
        said = made.classes.index(made.label)
        label = made.label if probability[said] >= probability[top] else made.classes[top]
        made = replace(made, label=label, probability=probability)
        if "set" not in trust:
            return made
        inside = plausible(probability, number(trust, "set", 0.0))
        return replace(made, plausible=tuple(name for name, kept in zip(made.classes, inside, strict=True) if kept))

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
        if self.plausible:
            arrays |= held([JOIN.join(self.plausible)], arrays["truth"], labels)
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
        if "set" in predicted.columns:
            arrays |= held(list(predicted["set"]), arrays["truth"], names)
        return Evidence(len(truth), arrays, names)

    @classmethod
    def summarise(cls, evidence: Evidence, weights: NDArray[Any]) -> Figures:
        """Accuracy, precision, recall, F1, kappa, MCC; of probabilities areas, log loss, Brier, ECE; those of sets."""
        columns = np.ascontiguousarray(weights.T)
        figures = confusion_figures(cls.tables(evidence, columns), evidence.labels)
        if "probability" in evidence.arrays:
            figures |= probability_figures(evidence, columns)
        if "covered" in evidence.arrays:
            figures |= set_figures(evidence, columns)
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
        rows, said = evidence.arrays["truth"] * size, evidence.arrays["predicted"]
        tables = [np.bincount(rows[order] + said, minlength=size * size) for order in orders]
        shaped = np.stack(tables).reshape(len(orders), size, size).astype(np.float64)
        return confusion_figures(shaped, evidence.labels)[cls.headline]

    @classmethod
    def bearers(cls, evidence: Evidence) -> dict[str, NDArray[np.bool_]]:
        metrics = ("precision", "recall", "f1", "auc", "average_precision")
        masks = {label: evidence.arrays["truth"] == k for k, label in enumerate(evidence.labels)}
        return {f"{metric}.{label}": mask for label, mask in masks.items() for metric in metrics}

    @classmethod
    def right(cls, evidence: Evidence) -> NDArray[np.bool_] | None:
        return np.asarray(evidence.arrays["truth"] == evidence.arrays["predicted"])

    @classmethod
    def ranked(cls, evidence: Evidence) -> tuple[NDArray[np.bool_], NDArray[np.float64]] | None:
        if len(evidence.labels) != 2 or "probability" not in evidence.arrays:
            return None
        return evidence.arrays["truth"] == 1, evidence.arrays["probability"][:, 1]

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
    title: ClassVar[str] = "one class out of several in order (days, grades): near misses count less"
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
