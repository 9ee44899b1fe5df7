"""How far readers agree: kappas for classes, intraclass correlations for numbers, under many weightings at once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Figures = dict[str, NDArray[np.float64]]
FORMS = ("icc11", "icc21", "icc31", "icc1k", "icc2k", "icc3k")
FLAT = 1e-12  # of the mean square: a spread this small is rounding


def counted(codes: NDArray[np.integer], classes: int) -> NDArray[np.float64]:
    """How many readers gave each class to each image, (images, classes), of codes (images, readers); -1 is no answer.

    >>> counted(np.array([[0, 1], [1, 1], [-1, 0]]), 2).tolist()
    [[1.0, 1.0], [0.0, 2.0], [1.0, 0.0]]
    """
    return np.stack([(codes == k).sum(axis=1) for k in range(classes)], axis=1).astype(np.float64)


def fleiss_kappa(counts: NDArray[np.float64], weights: NDArray[np.float64] | None = None) -> NDArray[np.float64]:
    """Fleiss' kappa of a table of counts (images, classes), for each row of `weights` (draws, images): (draws,).

    Images with fewer than two answers say nothing about agreement and are left out. Where every image has as many
    answers it is Fleiss (1971, Psychological Bulletin 76:378); where some lack an answer, agreement is averaged over
    images and class shares over images, as in Gwet (2014, Handbook of Inter-Rater Reliability, chapter 2).
    nan where all answers of a draw are one class.

    >>> fleiss_kappa(np.array([[2.0, 0.0], [0.0, 2.0], [1.0, 1.0]])).round(3)
    array([0.333])
    """
    counts, weights = _usable(counts, weights)
    if not len(counts):
        return np.full(len(weights), np.nan)
    given = counts.sum(axis=1)
    alike = (counts * (counts - 1)).sum(axis=1) / (given * (given - 1))
    total = weights.sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        seen = weights @ alike / total
        by_chance = ((weights @ (counts / given[:, None]) / total[:, None]) ** 2).sum(axis=1)
        return np.where(1 - by_chance > FLAT, (seen - by_chance) / (1 - by_chance), np.nan)


def krippendorff(
    values: NDArray[np.float64], ordered: bool = False, weights: NDArray[np.float64] | None = None
) -> NDArray[np.float64]:
    """Krippendorff's alpha of values (images, readers), nan where a reader gave none: (draws,).

    Nominal for codes of classes; of the interval scale where `ordered` (numbers). Takes any number of readers and gaps
    (Krippendorff 2004, Content Analysis, chapter 11). nan where all values of a draw are alike.

    >>> krippendorff(np.array([[0, 0], [1, 1], [0, 1], [1, np.nan]], float)).round(3)
    array([0.444])
    """
    given = np.isfinite(values)
    weights = _weights(weights, len(values))[:, given.sum(axis=1) > 1]
    values = values[given.sum(axis=1) > 1]
    if not len(values):
        return np.full(len(weights), np.nan)
    pairs = np.isfinite(values).sum(axis=1)
    if ordered:
        filled = np.nan_to_num(values - np.nanmean(values))  # far from zero squares lose their last digits
        sums, squares = filled.sum(axis=1), (filled**2).sum(axis=1)
        apart = 2 * (pairs * squares - sums**2) / (pairs - 1)
        n, total, square = (weights @ part for part in (pairs.astype(np.float64), sums, squares))
        expected = 2 * (n * square - total**2)
    else:
        kinds = np.unique(values[np.isfinite(values)])
        counts = np.stack([(values == kind).sum(axis=1) for kind in kinds], axis=1).astype(np.float64)
        apart = (pairs**2 - (counts**2).sum(axis=1)) / (pairs - 1)
        n, shares = weights @ pairs.astype(np.float64), weights @ counts
        expected = n**2 - (shares**2).sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        observed = weights @ apart / n
        return np.where(expected > FLAT * n**2, 1 - observed * n * (n - 1) / expected, np.nan)


def intraclass(scores: NDArray[np.float64], weights: NDArray[np.float64] | None = None) -> Figures:
    """The six intraclass correlations of scores (images, readers) without gaps, each (draws,), by `FORMS`.

    `icc11` takes each image as scored by other readers; `icc21`: readers are a sample of readers, and absolute
    agreement counts; `icc31`: these readers, and only consistency counts. `icc1k`, `icc2k`, `icc3k` are those of the
    mean of all readers. Shrout and Fleiss (1979, Psychological Bulletin 86:420). nan with one reader or one image.

    >>> found = intraclass(np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]))
    >>> {name: round(float(value[0]), 2) for name, value in found.items()}
    {'icc11': 0.88, 'icc21': 0.89, 'icc31': 1.0, 'icc1k': 0.94, 'icc2k': 0.94, 'icc3k': 1.0}
    """
    weights = _weights(weights, len(scores))
    n, k = weights.sum(axis=1), scores.shape[1]
    scores = scores - (scores.mean() if scores.size else 0.0)
    means = scores.mean(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        middle = weights @ means / n
        readers = weights @ scores / n[:, None]
        whole = weights @ (scores**2).sum(axis=1) - n * k * middle**2
        between = k * (weights @ means**2 - n * middle**2)
        bias = n * ((readers - middle[:, None]) ** 2).sum(axis=1)
        rows, columns = between / (n - 1), bias / (k - 1)
        error = np.maximum(whole - between - bias, 0.0) / ((n - 1) * (k - 1))
        within = (whole - between) / (n * (k - 1))
        made = {
            "icc11": (rows - within) / (rows + (k - 1) * within),
            "icc21": (rows - error) / (rows + (k - 1) * error + k * (columns - error) / n),
            "icc31": (rows - error) / (rows + (k - 1) * error),
            "icc1k": (rows - within) / rows,
            "icc2k": (rows - error) / (rows + (columns - error) / n),
            "icc3k": (rows - error) / rows,
        }
        spread = (n > 1) & (whole > FLAT * np.maximum(1.0, weights @ (scores**2).sum(axis=1)))
    return {name: np.where(spread & np.isfinite(value), value, np.nan) for name, value in made.items()}


def _usable(
    counts: NDArray[np.float64], weights: NDArray[np.float64] | None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    kept = counts.sum(axis=1) > 1
    return counts[kept], _weights(weights, len(counts))[:, kept]


def _weights(weights: NDArray[np.float64] | None, images: int) -> NDArray[np.float64]:
    return np.ones((1, images)) if weights is None else np.asarray(weights, np.float64)
