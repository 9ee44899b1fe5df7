"""Probabilities of classes: read from their columns, checked, and judged under many weightings at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pandas import DataFrame

from potency.answers.confusion import Figures, mean_over_classes
from potency.answers.evidence import Evidence
from potency.answers.ranking import ranking
from potency.errors import AnswerError

PROBABILITY = "probability."
SUM_TOLERANCE = 0.02  # tables written by hand round to two decimals
ECE_BINS = 15  # Guo et al. 2017


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
