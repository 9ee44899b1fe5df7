"""The prediction columns of a report as arrays, and the group bootstrap behind the bands of its curves."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from potency.evaluation.results import Report

BANDS = 200  # draws behind the band of a curve: it is looked at, not quoted
MOST_LOTS = 20_000  # of more groups several are drawn as one: no band is seen to change, and memory stays bounded


@dataclass(frozen=True)
class Resampled:
    """How often each group is drawn, `times` (draws, groups), and the group of each sample, `code` (samples,).

    Sums over samples are formed group by group, so that no matrix (draws, samples) is ever in memory.
    """

    times: NDArray[np.float64]
    code: NDArray[np.int64]

    def sums(self, place: NDArray[np.int64], count: int, values: NDArray[Any]) -> NDArray[np.float64]:
        """Sums of `values` over the samples of each of `count` places, in every draw: (draws, count).

        >>> twice_and_never = Resampled(np.array([[2.0, 0.0]]), np.array([0, 0, 1]))
        >>> twice_and_never.sums(np.array([0, 1, 1]), 2, np.array([1.0, 3.0, 9.0]))
        array([[2., 6.]])
        """
        from scipy.sparse import csr_array

        shape = (count, self.times.shape[1])
        whole = csr_array((np.asarray(values, np.float64), (place, self.code)), shape)
        return np.ascontiguousarray((whole @ self.times.T).T)


@dataclass(frozen=True)
class Scores:
    """Rows with a truth and a prediction: codes into `labels` for categories, plain numbers for numbers."""

    truth: NDArray[Any]
    said: NDArray[Any]
    probability: NDArray[np.float64] | None
    groups: NDArray[Any]
    rows: NDArray[np.int64]
    labels: tuple[str, ...]
    seed: int

    @property
    def right(self) -> NDArray[np.bool_]:
        """Where the answer equals the truth."""
        return np.asarray(self.truth == self.said)

    def resampled(self) -> Resampled | None:
        """The samples taken as often as their groups are when whole groups are drawn again; None under 5 groups."""
        names, code = np.unique(self.groups, return_inverse=True)
        if len(names) < 5:
            return None
        lots = min(len(names), MOST_LOTS)
        random = np.random.default_rng(self.seed)
        times = random.multinomial(lots, np.full(lots, 1 / lots), size=BANDS)
        return Resampled(times.astype(np.float64), np.asarray(code % lots))


def scores(report: Report, column: str) -> Scores | None:
    """The rows of one prediction column that can be compared; None where there are none."""
    table = report.rows
    if column not in table or report.truth not in table:
        return None
    number = not report.labels
    read = _numbers if number else partial(_codes, labels=report.labels)
    truth, said = read(table[report.truth]), read(table[column])
    keep = np.flatnonzero(np.isfinite(truth) & np.isfinite(said) if number else (truth >= 0) & (said >= 0))
    if not len(keep):
        return None
    parts = [f"{column}.probability.{label}" for label in report.labels]
    probability = None
    if parts and all(part in table for part in parts):
        found = table[parts].to_numpy(np.float64)[keep]
        probability = found if np.isfinite(found).all() else None
    groups = table["group"].astype(str).to_numpy()[keep] if "group" in table else keep.astype(str)
    return Scores(truth[keep], said[keep], probability, groups, keep, tuple(report.labels), report.seed)


def _numbers(column: Any) -> NDArray[np.float64]:
    import pandas as pd

    return np.asarray(pd.to_numeric(column, errors="coerce"), dtype=np.float64)


def _codes(column: Any, labels: tuple[str, ...]) -> NDArray[np.int64]:
    order = {label: code for code, label in enumerate(labels)}
    return np.array([order.get(str(value), -1) for value in column], dtype=np.int64)


def band(lines: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The middle 95 % of many curves (draws, points), point by point."""
    whole = lines[~np.isnan(lines).any(axis=1)]  # a draw without the class has no curve
    low, high = np.percentile(whole, [2.5, 97.5], axis=0)
    return low, high


def wilson(right: NDArray[np.float64], of: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """95 % interval of a share from independent trials (Wilson 1927, doi 10.1080/01621459.1927.10502953).

    >>> low, high = wilson(np.array([8.0]), np.array([10.0]))
    >>> round(float(low[0]), 3), round(float(high[0]), 3)
    (0.49, 0.943)
    """
    z2 = 1.959964**2
    middle = (right + z2 / 2) / (of + z2)
    half = np.sqrt(z2) * np.sqrt(right * (of - right) / of + z2 / 4) / (of + z2)
    return middle - half, middle + half
