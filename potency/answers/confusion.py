"""Figures of a confusion matrix, for many weightings at once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Figures = dict[str, NDArray[np.float64]]


def mean_over_classes(figures: NDArray[np.float64], present: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Mean over the classes that occur in the truth of a draw: (draws, classes) -> (draws,)."""
    usable = present & np.isfinite(figures)
    count = usable.sum(axis=1)
    total = np.where(usable, figures, 0.0).sum(axis=1)
    mean: NDArray[np.float64] = np.divide(total, count, out=np.full(len(total), np.nan), where=count > 0)
    return mean


def confusion_figures(tables: NDArray[np.float64], labels: Sequence[str]) -> Figures:
    """Accuracy, balanced accuracy, precision, recall, F1, kappa, MCC of tables (draws, true class, predicted class).

    A class without truth in a draw has no recall, precision or F1 there (nan) and is left out of that draw's means; a
    class never predicted has precision 0. Definitions as in scikit-learn; MCC is Gorodkin's (2004) for many classes
    and 0 for a constant predictor.

    >>> figures = confusion_figures(np.array([[[3.0, 1.0], [0.0, 4.0]]]), ("a", "b"))
    >>> float(figures["accuracy"][0]), float(figures["kappa"][0])
    (0.875, 0.75)
    """
    hits = np.diagonal(tables, axis1=1, axis2=2)
    true, said = tables.sum(axis=2), tables.sum(axis=1)
    total, right = true.sum(axis=1), hits.sum(axis=1)
    present = true > 0
    with np.errstate(divide="ignore", invalid="ignore"):
        recall = np.where(present, hits / true, np.nan)
        precision = np.where(present, np.divide(hits, said, out=np.zeros_like(hits), where=said > 0), np.nan)
        f1 = np.where(present, 2 * hits / (true + said), np.nan)
        chance = (true * said).sum(axis=1)
        kappa = (right * total - chance) / (total**2 - chance)
        spread = (total**2 - (said**2).sum(axis=1)) * (total**2 - (true**2).sum(axis=1))
        mcc = np.where(spread > 0, (right * total - chance) / np.sqrt(spread), 0.0)
        accuracy = right / total
    # One class in the truth of a draw: agreement beyond chance cannot be asked.
    mcc[present.sum(axis=1) < 2] = np.nan
    kappa[present.sum(axis=1) < 2] = np.nan
    figures = {
        "accuracy": accuracy,
        "balanced_accuracy": mean_over_classes(recall, present),
        "macro_f1": mean_over_classes(f1, present),
        "macro_precision": mean_over_classes(precision, present),
        "macro_recall": mean_over_classes(recall, present),
        "kappa": kappa,
        "mcc": mcc,
    }
    for name, values in (("precision", precision), ("recall", recall), ("f1", f1)):
        figures |= {f"{name}.{label}": values[:, k] for k, label in enumerate(labels)}
    return figures


def ordinal_figures(tables: NDArray[np.float64]) -> Figures:
    """Quadratically weighted kappa (Cohen 1968) and mean absolute difference of ranks, for classes in order.

    >>> figures = ordinal_figures(np.array([[[2.0, 0, 0], [0, 2.0, 0], [1.0, 0, 1.0]]]))
    >>> round(float(figures["rank_mae"][0]), 3)
    0.333
    """
    ranks = np.arange(tables.shape[1])
    distance = np.abs(ranks[:, None] - ranks[None, :]).astype(np.float64)
    true, said = tables.sum(axis=2), tables.sum(axis=1)
    total = true.sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        seen = np.einsum("dij,ij->d", tables, distance**2)
        expected = np.einsum("di,dj,ij->d", true, said, distance**2) / total
        kappa = np.where(expected > 0, 1 - seen / expected, np.nan)
        return {"weighted_kappa": kappa, "rank_mae": np.einsum("dij,ij->d", tables, distance) / total}
