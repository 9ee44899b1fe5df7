"""Where the embeddings of the training samples lie, so that a model can tell what is unlike all it learned from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from potency.errors import BundleError

AXES = 128  # principal directions that are kept apart; all others share one spread
ROWS_AN_AXIS = 4  # samples that a direction needs to be known by
FEWEST = 5  # samples of a class that make a centre
FARTHEST = 10.0  # spreads; farther counts as that far, or a unit that was silent in training would outweigh all others
NAMES = ("shift", "axes", "centres", "rest")


@dataclass(frozen=True, eq=False)
class Known:
    """The classes as clouds of one shape in the space of the embedding, on standardised and whitened axes.

    Attributes:
        shift: (2, F), what is taken from each number of an embedding, and by what the rest is divided.
        axes: (F, P), each a principal direction inside the classes, divided by the spread along it.
        centres: (C, F), the classes' means after `shift`; one where there are no classes.
        rest: (2,), how many directions are left beside the axes, and the spread along each of them.
    """

    shift: NDArray[np.float32]
    axes: NDArray[np.float32]
    centres: NDArray[np.float32]
    rest: NDArray[np.float32]

    @classmethod
    def of(cls, embeddings: NDArray[Any], strata: Sequence[str] = ()) -> Self:
        """Fit it to embeddings (N, F) and the class of each, "" where there are none.

        The covariance inside the classes is shrunk (Ledoit and Wolf 2004). Directions beyond the 128 widest, or beyond
        a quarter of the samples, share their mean spread (Tipping and Bishop 1999): so wide embeddings stay small.
        """
        from sklearn.covariance import ledoit_wolf_shrinkage

        values = np.asarray(embeddings, np.float64)
        finite = np.where(np.isfinite(values), values, np.nan)
        mean = np.nan_to_num(np.nanmean(finite, axis=0)) if len(values) else np.zeros(values.shape[1])
        spread = np.nan_to_num(np.nanstd(finite, axis=0))
        least = 1e-6 * max(1e-12, float(spread.max(initial=0)))
        spread = np.where(spread > least, spread, np.inf)  # what never changed is left out
        scaled = np.clip(np.nan_to_num((finite - mean) / spread), -FARTHEST, FARTHEST)
        names, place = np.unique(np.asarray(strata or [""] * len(values), str), return_inverse=True)
        counts = np.bincount(place)
        means = np.stack([scaled[place == k].mean(0) if counts[k] >= FEWEST else scaled.mean(0)
                          for k in range(len(names))])  # fmt: skip
        inside = scaled - means[place]
        _, width, turn = np.linalg.svd(inside, full_matrices=False)
        variance = np.zeros(values.shape[1])
        variance[: len(width)] = width**2 / len(values)
        used = int((spread < np.inf).sum()) or 1
        shrinkage = float(ledoit_wolf_shrinkage(inside, assume_centered=True)) if len(values) > 1 else 1.0
        variance = (1 - shrinkage) * variance + shrinkage * variance.sum() / used
        kept = min(AXES, used, len(turn), max(1, len(values) // ROWS_AN_AXIS))
        left = used - kept
        beyond = float(np.sqrt(max(variance[kept:used].mean(), 1e-12))) if left else 1.0
        axes = turn[:kept].T / np.sqrt(np.maximum(variance[:kept], 1e-12))
        # A number that never changed has no spread to be measured in; it is left out by a divisor beyond all numbers.
        divisor = np.where(np.isfinite(spread), spread, np.finfo(np.float32).max)
        made = (np.stack([mean, divisor]), axes, np.unique(means, axis=0), np.array([left, beyond]))
        return cls(*(array.astype(np.float32) for array in made))

    def distance(self, embeddings: NDArray[Any]) -> NDArray[np.float64]:
        """How far embeddings (N, F) lie from the nearest class: the logarithm of the mean square over all directions.

        That is the squared Mahalanobis distance over its degrees of freedom, near 0 for samples like those known. No
        number of the embedding counts as more than 10 spreads off.

        >>> rng = np.random.default_rng(0)
        >>> known = Known.of(rng.normal(size=(4000, 3)))
        >>> np.exp(known.distance([[2.0, 0, 0], [0, 0, 9.0]])).round(0).tolist()
        [1.0, 27.0]
        """
        values = np.asarray(embeddings, np.float64)
        mean, divisor = self.shift.astype(np.float64)
        scaled = np.clip(np.nan_to_num((values - mean) / divisor), -FARTHEST, FARTHEST)
        left, beyond = (float(value) for value in self.rest)
        axes = self.axes.astype(np.float64)
        widths = (axes**2).sum(0)  # an axis is a unit direction over its spread
        nearest = np.full(len(values), np.inf)
        for centre in self.centres.astype(np.float64):
            apart = scaled - centre
            along = apart @ axes
            total = (along**2).sum(1)
            if left:
                outside = (apart**2).sum(1) - (along**2 / widths).sum(1)
                total += np.maximum(outside, 0.0) / beyond**2
            nearest = np.minimum(nearest, total)
        return np.asarray(np.log(nearest / (self.axes.shape[1] + left) + 1e-12))

    def arrays(self) -> dict[str, NDArray[np.float32]]:
        """It as named arrays."""
        return {name: np.ascontiguousarray(getattr(self, name)) for name in NAMES}

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, NDArray[Any]], where: str) -> Self:
        """Read what `arrays` gave.

        Raises:
            BundleError: arrays that are missing, do not fit together or hold what is no finite number.
        """
        found = [np.asarray(arrays[name]) for name in NAMES if name in arrays]
        fits = len(found) == len(NAMES) and all(np.issubdtype(each.dtype, np.floating) for each in found)
        if fits:
            shift, axes, centres, rest = found
            fits = axes.ndim == 2 and centres.ndim == 2 and rest.shape == (2,) and shift.shape == (2, len(axes))
            fits = fits and centres.shape[1] == len(axes) and min(axes.shape[1], len(centres)) > 0
            fits = fits and all(bool(np.isfinite(each).all()) for each in found)
            fits = fits and bool((shift[1] > 0).all()) and float(rest[0]) >= 0 and float(rest[1]) > 0
        if not fits:
            raise BundleError("what the model knows is damaged, or does not fit together", where,
                              "copy the bundle again")  # fmt: skip
        return cls(*(each.astype(np.float32) for each in found))
