"""A vector a sample: an embedding, a profile, the coordinates of a state."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from pandas import DataFrame, Series

from potency.answers.answer import Answer
from potency.answers.drawing import COLOURS, as_rgb, captioned
from potency.answers.evidence import Evidence
from potency.errors import AnswerError


@dataclass(frozen=True)
class Vector(Answer):
    """Several `values` (K,) in one cell (a fixed-size list column).

    >>> Vector.of_cells({"": [1, 2]}, Path()).cells(Path(), "prediction")
    {'prediction': [1.0, 2.0]}
    """

    values: NDArray[np.float64]

    kind: ClassVar[str] = "vector"
    title: ClassVar[str] = "several numbers in one cell"
    headline: ClassVar[str] = "cosine"

    @classmethod
    def of_cells(cls, cells: Mapping[str, Any], folder: Path) -> Self:
        return cls(vectors_of(Series([cells.get("")]), "cell")[0], **cls.doubts_of(cells))

    def cells(self, folder: Path, name: str) -> dict[str, Any]:
        return {name: [float(value) for value in self.values], **self.doubts(name)}

    @classmethod
    def average(cls, answers: Sequence[Self]) -> Self:
        if not answers:
            raise AnswerError("there is no answer to average", "Vector.average", "give at least one")
        if len({len(answer.values) for answer in answers}) > 1:
            raise AnswerError(
                "vectors of different lengths cannot be averaged",
                f"lengths {sorted({len(answer.values) for answer in answers})}",
                "embed with one network, or concatenate instead",
            )
        return cls(np.mean([answer.values for answer in answers], axis=0))

    def compare(self, truth: Self) -> Evidence:
        return type(self).compare_columns(DataFrame({"": [truth.values]}), DataFrame({"": [self.values]}))

    @classmethod
    def compare_columns(
        cls, truth: DataFrame, predicted: DataFrame, labels: Sequence[str] = (), folder: Path = Path()
    ) -> Evidence:
        """Whole list columns at once; gaps and vectors of another length are refused with their row."""
        arrays = {"truth": vectors_of(truth[""], "truth"), "predicted": vectors_of(predicted[""], "prediction")}
        sizes = [array.shape[1] for array in arrays.values()]
        if sizes[0] != sizes[1]:
            raise AnswerError(
                f"the predicted vectors have {sizes[1]} values, the true ones {sizes[0]}",
                "the two columns",
                "compare vectors of the same space",
            )
        return Evidence(len(truth), arrays)

    @classmethod
    def summarise(cls, evidence: Evidence, weights: NDArray[Any]) -> dict[str, NDArray[np.float64]]:
        """Mean cosine similarity, mean Euclidean distance, and root mean squared error over all values."""
        per_sample = np.stack([*_closeness(evidence.arrays["truth"], evidence.arrays["predicted"])], axis=1)
        weights = weights.astype(np.float64)
        with np.errstate(divide="ignore", invalid="ignore"):
            cosine, distance, square = ((weights @ per_sample) / weights.sum(axis=1)[:, None]).T
        return {"cosine": cosine, "distance": distance, "rmse": np.sqrt(square)}

    @classmethod
    def reordered(cls, evidence: Evidence, orders: NDArray[Any]) -> NDArray[np.float64]:
        truth, said = _unit(evidence.arrays["truth"]), _unit(evidence.arrays["predicted"])
        return np.array([float(np.einsum("sk,sk->", truth[order], said)) / len(said) for order in orders])

    def draw(self, image: Any) -> NDArray[np.uint8]:
        top = float(np.max(np.abs(self.values), initial=1e-12))
        bars = [(abs(float(value)) / top, COLOURS[0 if value >= 0 else 5]) for value in self.values[:8]]
        return captioned(as_rgb(image), f"{len(self.values)} values", bars)


def _unit(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    # A vector of zeros has no direction: its cosine with anything is 0, as in scikit-learn.
    lengths: NDArray[np.float64] = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.maximum(lengths, np.finfo(np.float64).tiny)


def _closeness(truth: NDArray[np.float64], said: NDArray[np.float64]) -> Iterable[NDArray[np.float64]]:
    yield np.einsum("sk,sk->s", _unit(truth), _unit(said))
    yield np.linalg.norm(said - truth, axis=1)
    yield ((said - truth) ** 2).mean(axis=1)


def vectors_of(column: Series, what: str) -> NDArray[np.float64]:
    """A list column as (samples, K); gaps, other lengths and values that are no finite number are refused."""
    rows: list[NDArray[np.float64]] = []
    for index, cell in column.items():
        try:
            row = np.asarray(cell, np.float64)
        except (TypeError, ValueError):
            row = np.empty(0)
        if row.ndim != 1 or not row.size or not np.isfinite(row).all() or (rows and len(row) != len(rows[0])):
            expected = f"a list of {len(rows[0])} finite numbers" if rows else "a list of finite numbers"
            raise AnswerError(f"a {what} is not {expected}", f"row {index}",
                              "leave the row out, or write one list of numbers a row")  # fmt: skip
        rows.append(row)
    return np.array(rows)
