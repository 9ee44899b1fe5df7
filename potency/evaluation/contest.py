"""Paired comparison of two prediction columns: McNemar, DeLong and the paired bootstrap over groups."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from potency.answers.answer import Answer
from potency.answers.evidence import Evidence
from potency.evaluation.intervals import Draws, groups_behind, interval, values_of
from potency.evaluation.results import Contest, Interval

EXACT_BELOW = 25  # discordant rows; the usual rule for the chi-squared approximation


def mcnemar(first_right: NDArray[np.bool_], second_right: NDArray[np.bool_]) -> float:
    """McNemar's two-sided p-value (1947): do two columns err equally often on the same rows?

    Exact binomial under 25 discordant rows, else chi-squared with Edwards's continuity correction. Rows are taken as
    independent.

    >>> mcnemar(np.array([1, 1, 1, 1, 1, 0], bool), np.array([0, 0, 0, 0, 0, 0], bool))
    0.0625
    """
    from scipy.special import bdtr, chdtrc  # light, but not for those who only read tables

    only_first = int(np.count_nonzero(first_right & ~second_right))
    only_second = int(np.count_nonzero(second_right & ~first_right))
    apart = only_first + only_second
    if apart < EXACT_BELOW:
        return min(1.0, 2 * float(bdtr(min(only_first, only_second), apart, 0.5))) if apart else 1.0
    return float(chdtrc(1, max(abs(only_first - only_second) - 1, 0) ** 2 / apart))


def delong(positive: NDArray[np.bool_], first: NDArray[Any], second: NDArray[Any]) -> tuple[float, float]:
    """Difference of two correlated ROC areas and its two-sided p-value (DeLong et al. 1988).

    Components by midranks (Sun and Xu 2014). Rows are taken as independent. nan where a class is
    absent; p is 1 for identical rankings.

    >>> difference, p = delong(np.array([1, 1, 0, 0], bool), np.array([.9, .8, .2, .1]), np.array([.9, .2, .8, .1]))
    >>> round(difference, 2), 0 < p < 1
    (0.25, True)
    """
    from scipy.special import ndtr

    positives, negatives = int(positive.sum()), int((~positive).sum())
    if not positives or not negatives:
        return float("nan"), float("nan")
    areas, above, below = [], [], []
    for score in (first, second):
        ranks = midranks(np.concatenate([score[positive], score[~positive]]))
        own = midranks(score[positive])
        others = midranks(score[~positive])
        above.append((ranks[:positives] - own) / negatives)  # a positive's share of negatives below it
        below.append(1 - (ranks[positives:] - others) / positives)
        areas.append(above[-1].mean())
    difference = float(areas[0] - areas[1])
    # The variance of the difference needs no covariance matrix: it is that of the differences of the components.
    spread = 0.0
    for parts, count in ((above, positives), (below, negatives)):
        spread += float(np.var(parts[0] - parts[1], ddof=1)) / count if count > 1 else 0.0
    if spread <= 0:
        return difference, 1.0 if difference == 0 else 0.0
    return difference, float(2 * ndtr(-abs(difference) / np.sqrt(spread)))


def midranks(values: NDArray[Any]) -> NDArray[np.float64]:
    """Ranks from 1, ties share the mean of theirs.

    >>> midranks(np.array([5, 1, 5]))
    array([2.5, 1. , 2.5])
    """
    _, codes, counts = np.unique(values, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(counts) - (counts - 1) / 2)[codes])


def contest(
    answer: type[Answer],
    columns: tuple[str, str],
    evidence: tuple[Evidence, Evidence],
    draws: tuple[Draws, Draws],
    groups: NDArray[np.intp],
) -> Contest:
    """Compare two columns on the same rows; `draws` are their figures under the same weights, so paired."""
    first, second = evidence
    values = [values_of(answer, piece) for piece in evidence]
    behind = groups_behind(answer, first, groups)
    differences: dict[str, Interval] = {}
    for name in values[0]:
        if name in values[1]:
            paired = draws[0][name] - draws[1][name] if name in draws[0] and name in draws[1] else None
            differences[name] = interval(values[0][name] - values[1][name], paired, behind(name))
    mcnemar_p = delong_p = None
    right, also_right = (answer.right(piece) for piece in evidence)
    if right is not None and also_right is not None:
        mcnemar_p = mcnemar(right, also_right)
    ranked, also_ranked = (answer.ranked(piece) for piece in evidence)
    if ranked is not None and also_ranked is not None:
        p = delong(*ranked, also_ranked[1])[1]
        delong_p = None if np.isnan(p) else p
    said = verdict(differences.get(answer.headline), answer.better)
    return Contest(*columns, differences, mcnemar_p, delong_p, said, answer.headline, first.samples)


def verdict(difference: Interval | None, better: int) -> str:
    """In words what the interval of the headline's difference allows to say of the first column.

    >>> verdict(Interval(0.04, 0.01, 0.07), +1), verdict(Interval(0.04, 0.01, 0.07), -1), verdict(Interval(0.04), +1)
    ('better', 'worse', 'inconclusive')
    """
    if difference is None or difference.low is None or difference.high is None:
        return "inconclusive"
    if difference.low > 0 or difference.high < 0:
        return "better" if better * difference.value > 0 else "worse"
    return "inconclusive"
