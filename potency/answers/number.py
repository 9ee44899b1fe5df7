"""One number a sample: a count, an age, a viability, a dose."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from pandas import DataFrame, Series, to_numeric

from potency.answers.answer import Answer, group_sums
from potency.answers.drawing import as_rgb, captioned
from potency.answers.evidence import Evidence
from potency.errors import AnswerError

Figures = dict[str, NDArray[np.float64]]
BLOCK = 64  # draws whose ranks are held at once


@dataclass(frozen=True)
class Number(Answer):
    """A `value` in the unit of the truth column.

    >>> Number.of_cells({"": "1.5"}, Path()).cells(Path(), "prediction")
    {'prediction': 1.5}
    """

    value: float

    kind: ClassVar[str] = "number"
    title: ClassVar[str] = "one number, in the unit of the truth"
    headline: ClassVar[str] = "mae"
    better: ClassVar[int] = -1

    @classmethod
    def of_cells(cls, cells: Mapping[str, Any], folder: Path) -> Self:
        try:
            return cls(float(cells[""]), **cls.doubts_of(cells))
        except (TypeError, ValueError) as error:
            raise AnswerError(
                f"{cells.get('')!r} is not a number", "part ''", "write one number a cell, with a decimal point"
            ) from error

    def cells(self, folder: Path, name: str) -> dict[str, Any]:
        return {name: float(self.value), **self.doubts(name)}

    @classmethod
    def average(cls, answers: Sequence[Self]) -> Self:
        if not answers:
            raise AnswerError("there is no answer to average", "Number.average", "give at least one")
        return cls(float(np.mean([answer.value for answer in answers])))

    def compare(self, truth: Self) -> Evidence:
        return Evidence(1, {"truth": np.array([truth.value]), "predicted": np.array([self.value])})

    @classmethod
    def compare_columns(
        cls, truth: DataFrame, predicted: DataFrame, labels: Sequence[str] = (), folder: Path = Path()
    ) -> Evidence:
        """Whole columns at once; gaps, text and infinite numbers are refused with their row."""
        arrays = {"truth": numbers_of(truth[""], "truth"), "predicted": numbers_of(predicted[""], "prediction")}
        return Evidence(len(truth), arrays)

    @classmethod
    def summarise(cls, evidence: Evidence, weights: NDArray[Any]) -> Figures:
        """Errors, R2, correlations, Lin's concordance (1989), Bland and Altman's bias and limits of agreement (1986).

        `mape` is a fraction and absent where a truth is 0; the limits are bias +- 1.96 standard deviations (n - 1).
        """
        truth, predicted = evidence.arrays["truth"], evidence.arrays["predicted"]
        error = predicted - truth
        shift = float(error.mean())
        x, y, e = truth - truth.mean(), predicted - predicted.mean(), error - shift
        relative = np.abs(error / np.where(truth == 0, np.nan, truth))
        moments = np.stack(
            [np.ones_like(x), x, y, x * x, y * y, x * y, e, e * e, np.abs(error), error**2, relative], axis=1
        )
        sums = weights.astype(np.float64) @ moments
        total = sums[:, 0]
        with np.errstate(divide="ignore", invalid="ignore"):
            mx, my, sxx, syy, sxy, me, see, absolute, squared, share = (sums[:, 1:] / total[:, None]).T
            vx, vy, cov = _clear(sxx - mx**2, sxx), _clear(syy - my**2, syy), sxy - mx * my
            # A draw of one sample has no spread.
            deviation = np.sqrt(np.where(total > 1, np.maximum(see - me**2, 0.0) * total / (total - 1), np.nan))
            bias = shift + me
            figures = {
                "mae": absolute,
                "rmse": np.sqrt(squared),
                "mape": share,
                "r2": 1 - squared / vx,
                "pearson": cov / np.sqrt(vx * vy),
                "spearman": spearman(truth, predicted, weights),
                # The distance of the means is the bias itself: taken from it, two equal columns give exactly 1.
                "concordance": 2 * cov / (vx + vy + bias**2),
                "bias": bias,
                "limits_low": bias - 1.96 * deviation,
                "limits_high": bias + 1.96 * deviation,
            }
        return {name: np.where(np.isfinite(values), values, np.nan) for name, values in figures.items()}

    @classmethod
    def reordered(cls, evidence: Evidence, orders: NDArray[Any]) -> NDArray[np.float64]:
        errors = evidence.arrays["truth"][orders] - evidence.arrays["predicted"]
        return np.asarray(np.abs(errors).mean(axis=1))

    def draw(self, image: Any) -> NDArray[np.uint8]:
        return captioned(as_rgb(image), f"{self.value:.4g}")


def _clear(variance: NDArray[np.float64], square: NDArray[np.float64]) -> NDArray[np.float64]:
    """A variance that is only rounding is none: nan."""
    return np.where(variance > 1e-13 * np.maximum(square, 1e-300), variance, np.nan)


def numbers_of(column: Series, what: str) -> NDArray[np.float64]:
    """A column as finite numbers; what is none is refused with its row."""
    values = np.asarray(to_numeric(column, errors="coerce"), np.float64)
    wrong = np.flatnonzero(~np.isfinite(values))
    if len(wrong):
        cell = column.iloc[wrong[0]]
        raise AnswerError(
            f"a {what} is not a finite number: {repr(cell) if isinstance(cell, str) else cell}",
            f"row {column.index[wrong[0]]} ({len(wrong)} such rows)",
            "leave the row out, or write a number with a decimal point",
        )
    return values


def spearman(truth: NDArray[Any], predicted: NDArray[Any], weights: NDArray[Any]) -> NDArray[np.float64]:
    """Spearman's correlation under weights (draws, samples): ranks within the draw, ties share their mean rank.

    >>> float(spearman(np.array([1, 2, 3]), np.array([1, 4, 9]), np.ones((1, 3)))[0])
    1.0
    """
    pairs = [np.unique(values, return_inverse=True) for values in (truth, predicted)]
    found = np.empty(len(weights))
    for start in range(0, len(weights), BLOCK):
        block = np.ascontiguousarray(weights[start : start + BLOCK].T, dtype=np.float64)
        middle = (block.sum(axis=0) + 1) / 2  # the mean of all mid-ranks, with or without ties
        ranks = [_ranks(codes, len(levels), block) - middle for levels, codes in pairs]
        with np.errstate(divide="ignore", invalid="ignore"):
            # A weighted sum of squares is exactly 0 only for a column that is constant in the draw.
            spread = [np.einsum("sd,sd,sd->d", block, rank, rank) for rank in ranks]
            found[start : start + BLOCK] = np.einsum("sd,sd,sd->d", block, *ranks) / np.sqrt(spread[0] * spread[1])
    return found


def _ranks(codes: NDArray[np.intp], levels: int, block: NDArray[np.float64]) -> NDArray[np.float64]:
    sums = group_sums(codes, levels, block)
    return np.asarray((np.cumsum(sums, axis=0) - sums / 2 + 0.5)[codes])
