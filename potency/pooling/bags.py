"""Embeddings of units as bags: padded to one length with a mask, or in order of time with the gap before each step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from potency.errors import AnswerError

TIME, GAP = "time", "gap"  # what a step of a sequence is told beside its embedding


@dataclass(frozen=True, eq=False)
class Units:
    """Instances (patches, frames) of all units, those of one unit side by side, in order of time where there is one.

    Attributes:
        values: (instances, F).
        row: (instances,) which row of the table each belongs to.
        edge: (units + 1,) where the instances of each unit start.
        names: (F,) what each value is.
    """

    values: NDArray[np.float32]
    row: NDArray[np.intp]
    edge: NDArray[np.intp]
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.edge) - 1

    @property
    def unit(self) -> NDArray[np.intp]:
        """The unit (instances,) of each."""
        return np.repeat(np.arange(len(self)), np.diff(self.edge))

    @classmethod
    def of(
        cls, embedding: pd.DataFrame, ids: Sequence[str], unit: NDArray[np.intp],
        time: NDArray[np.float64] | None = None,
    ) -> Units:  # fmt: skip
        """The embedding, indexed by row id (a large image gives several), of the rows `ids` of units `unit` (rows,).

        With `time` (rows,) the steps are sorted by it, and each is told its time and the gap since the step before.

        Raises:
            AnswerError: a row without an embedding, one that is no number, two steps of a unit at one time.
        """
        place = pd.Series(np.arange(len(ids)), index=[str(name) for name in ids])
        known = embedding.index.astype(str)
        missing = place.index.difference(known)
        if len(missing):
            raise AnswerError(f"{len(missing)} rows have no embedding", f"row {missing[0]!r}", "embed all rows")
        inside = known.isin(place.index)
        values = embedding.to_numpy(np.float32)[inside]
        row = place.loc[known[inside]].to_numpy(np.intp)
        wrong = np.argwhere(~np.isfinite(values))
        if len(wrong):
            raise AnswerError(f"{len(wrong)} values of the embedding are no finite numbers",
                              f"row {ids[row[wrong[0][0]]]!r}, {embedding.columns[wrong[0][1]]}",
                              "leave the row out")  # fmt: skip
        names = tuple(map(str, embedding.columns))
        when = np.zeros(len(ids)) if time is None else time
        order = np.lexsort((row, when[row], unit[row]))
        row, values = row[order], values[order]
        count = int(unit.max()) + 1
        edge = np.concatenate([[0], np.cumsum(np.bincount(unit[row], minlength=count))]).astype(np.intp)
        if time is not None:
            values, names = _timed(values, (row, unit[row]), when, ids), (*names, TIME, GAP)
        return cls(values, row, edge, names)

    def take(self, units: NDArray[np.intp]) -> Units:
        """Fewer units, in this order."""
        picked = [np.arange(self.edge[k], self.edge[k + 1]) for k in units]
        rows = np.concatenate(picked) if picked else np.empty(0, np.intp)
        edge = np.concatenate([[0], np.cumsum([len(one) for one in picked])]).astype(np.intp)
        return Units(self.values[rows], self.row[rows], edge, self.names)

    def padded(self) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """(units, longest, F) with zeros after the last of each, and the mask (units, longest) of what is there."""
        length = np.diff(self.edge)
        mask = np.arange(length.max(initial=1))[None] < length[:, None]
        whole = np.zeros((*mask.shape, self.values.shape[1]), np.float32)
        whole[mask] = self.values
        return whole, mask


def _timed(
    values: NDArray[np.float32], where: tuple[NDArray[np.intp], NDArray[np.intp]], when: NDArray[np.float64],
    ids: Sequence[str],
) -> NDArray[np.float32]:  # fmt: skip
    row, unit = where
    time = when[row]
    gap = np.diff(time, prepend=time[:1])
    first = np.diff(unit, prepend=-1) > 0
    gap[first] = 0
    double = np.flatnonzero(~first & (gap == 0))
    if len(double):
        raise AnswerError(
            f"{len(double)} steps have the time of the step before: a sequence has one step a time",
            f"row {ids[row[double[0]]]!r} at {time[double[0]]:g}",
            "pool rows of one time first, or name a finer time column",
        )  # fmt: skip
    return np.column_stack([values, time, np.log1p(gap)]).astype(np.float32)
