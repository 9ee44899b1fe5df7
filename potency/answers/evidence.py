"""What samples contribute to the figures: arrays whose first axis is the samples, and lists of any length a sample."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from potency.errors import AnswerError


@dataclass(frozen=True)
class Ragged:
    """Lists of different lengths, one a sample: all `values` (items, ...) in a row, and the `lengths` (samples,).

    >>> lists = Ragged(np.array([.9, .4, .7]), np.array([2, 0, 1]))
    >>> lists.take(np.array([2, 0])).values.tolist(), lists.sample.tolist()
    ([0.7, 0.9, 0.4], [0, 0, 2])
    """

    values: NDArray[Any]
    lengths: NDArray[np.intp]

    def __post_init__(self) -> None:
        if int(self.lengths.sum()) != len(self.values):
            raise AnswerError(
                f"{int(self.lengths.sum())} values are promised and {len(self.values)} there", "Ragged", "count again"
            )

    @classmethod
    def of(cls, values: NDArray[Any]) -> Ragged:
        """The list of one sample."""
        return cls(values, np.array([len(values)]))

    @cached_property
    def sample(self) -> NDArray[np.intp]:
        """The sample of every item."""
        return np.repeat(np.arange(len(self.lengths)), self.lengths)

    def __len__(self) -> int:
        return len(self.lengths)

    def take(self, rows: NDArray[Any]) -> Ragged:
        """The lists of these samples, given as indices (repeats allowed) or as a mask."""
        chosen = np.flatnonzero(rows) if np.asarray(rows).dtype == bool else np.asarray(rows, np.intp)
        lengths, starts = self.lengths[chosen], (np.cumsum(self.lengths) - self.lengths)[chosen]
        shift = np.repeat(starts - (np.cumsum(lengths) - lengths), lengths)
        return Ragged(self.values[shift + np.arange(len(shift))], lengths)

    @staticmethod
    def stack(pieces: Sequence[Ragged]) -> Ragged:
        """The lists of many samples."""
        values, lengths = ([getattr(piece, name) for piece in pieces] for name in ("values", "lengths"))
        return Ragged(np.concatenate(values), np.concatenate(lengths))


@dataclass(frozen=True)
class Evidence:
    """What each sample contributes to the figures: arrays whose first axis is the samples, and the class order.

    `lists` hold what has no fixed length: the ranked hits of a sample, the pairs of a confusion. `lost` counts, in
    words, what could not be read of all that was compared.

    >>> evidence = Evidence(3, {"error": np.array([0.5, 0.0, -1.0])})
    >>> evidence.take(np.array([2, 2])).arrays["error"]
    array([-1., -1.])
    """

    samples: int
    arrays: Mapping[str, NDArray[Any]]
    labels: tuple[str, ...] = field(default=())
    lists: Mapping[str, Ragged] = field(default_factory=dict)
    lost: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        sizes = {name: len(array) for name, array in self.arrays.items()}
        for name, size in (sizes | {name: len(each) for name, each in self.lists.items()}).items():
            if size != self.samples:
                raise AnswerError(
                    f"the evidence holds {self.samples} samples but its array {name!r} has {size} rows",
                    "Evidence",
                    "give every array the samples as first axis",
                )

    def take(self, rows: NDArray[Any]) -> Evidence:
        """The evidence of these rows, given as indices (repeats allowed) or as a mask."""
        arrays = {name: array[rows] for name, array in self.arrays.items()}
        samples = int(np.count_nonzero(rows)) if np.asarray(rows).dtype == bool else len(rows)
        lists = {name: each.take(rows) for name, each in self.lists.items()}
        return Evidence(samples, arrays, self.labels, lists, self.lost)

    @staticmethod
    def stack(pieces: Sequence[Evidence]) -> Evidence:
        """Join the evidence of many samples; they must know the same classes and hold the same arrays."""
        if not pieces:
            raise AnswerError("there is no sample to compare", "Evidence.stack", "give at least one row")
        first = pieces[0]
        for piece in pieces:
            held = piece.arrays.keys() == first.arrays.keys() and piece.lists.keys() == first.lists.keys()
            if piece.labels != first.labels or not held:
                raise AnswerError(
                    "samples with different classes or parts cannot be compared together",
                    f"{list(first.labels)} beside {list(piece.labels)}",
                    "give every row the same classes and the same columns",
                )
        arrays = {name: np.concatenate([piece.arrays[name] for piece in pieces]) for name in first.arrays}
        lists = {name: Ragged.stack([piece.lists[name] for piece in pieces]) for name in first.lists}
        return Evidence(sum(piece.samples for piece in pieces), arrays, first.labels, lists)
