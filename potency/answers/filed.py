"""Answers whose cells are paths of files beside the table, compared row by row and never held all at once."""

from __future__ import annotations

from abc import abstractmethod
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from pandas import DataFrame, isna

from potency.answers.answer import Answer
from potency.answers.drawing import flat
from potency.answers.evidence import Evidence
from potency.answers.files import path_of, read_table
from potency.answers.objecttable import SCORE, classes_of
from potency.errors import AnswerError

Window = tuple[slice, slice]  # of an image: rows, columns


@dataclass(frozen=True, eq=False)
class Filed(Answer):
    """What answers in files share; `against` is their comparison once it is known what all rows have.

    `lost` counts, in words, what reading the file has changed or left out.
    """

    lost: Mapping[str, int] = field(default_factory=dict, kw_only=True)

    in_files: ClassVar[bool] = True

    @classmethod
    @abstractmethod
    def table_of(cls, cells: Mapping[str, Any], folder: Path) -> DataFrame | None:
        """The table of objects of a row, without its pixels; None where it has none."""

    @abstractmethod
    def against(self, truth: Self, classes: Sequence[str], scored: bool) -> Evidence:
        """What this sample contributes, in these classes (none: without classes), and ranked by score or not."""

    @classmethod
    def compare_columns(
        cls, truth: DataFrame, predicted: DataFrame, labels: Sequence[str] = (), folder: Path = Path()
    ) -> Evidence:
        """Row by row, in the classes that any row's objects have, where all of both columns have classes.

        An error says in which row it is.
        """
        sides = [
            [{str(key): value for key, value in row.items()} for row in frame.to_dict("records")]
            for frame in (truth, predicted)
        ]
        known: list[list[DataFrame | None]] = [[], []]
        for tables, rows in zip(known, sides, strict=True):
            for index, row in zip(truth.index, rows, strict=True):
                with located(index):
                    tables.append(cls.table_of(row, folder))
        told = [[table for table in tables if table is not None] for tables in known]
        whole = [len(some) == len(rows) for some, rows in zip(told, sides, strict=True)]
        classes = cls.names_in(told[0] + told[1]) if all(whole) else ()
        filled = [table for table in told[1] if len(table)] or told[1]
        scored = whole[1] and all(SCORE in table.columns for table in filled)
        pieces, lost = [], Counter[str]()
        for index, true, said in zip(truth.index, *sides, strict=True):
            with located(index):
                right, answer = (cls.of_cells(row, folder).among([*told[0], *told[1]]) for row in (true, said))
                pieces.append(answer.against(right, classes, scored))
            for side, one in (("truth", right), ("answers", answer)):
                lost.update({f"{side}: {words}": count for words, count in one.lost.items()})
        return replace(Evidence.stack(pieces), lost=lost)

    def among(self, tables: Sequence[DataFrame]) -> Self:
        """The answer as it is beside the tables of all rows: what holds no object may take their form."""
        return self

    @classmethod
    @abstractmethod
    def each(cls, evidence: Evidence) -> DataFrame:
        """The headline of every sample on its own, and counts of its objects and mistakes where it has any."""

    @abstractmethod
    def contrast(self, truth: Self, picture: NDArray[np.uint8], window: Window) -> NDArray[np.uint8]:
        """Truth and answer on a picture (H, W, 3), of any size, of a window of the image; what is wrong stands out."""

    @abstractmethod
    def overlay(self, picture: NDArray[np.uint8], window: Window, tracks: bool = False) -> NDArray[np.uint8]:
        """The answer on a picture (H, W, 3), of any size, of a window of the image.

        `tracks`: the numbers of objects are those of tracks, so that their colours must be the same in every image.
        """

    @classmethod
    def part_of(
        cls, cells: Mapping[str, Any], folder: Path, window: Window, size: Sequence[int]
    ) -> tuple[Self, Window]:
        """An answer that knows at least a window of its image of `size` (Y, X), and where the window is in it.

        Only the window is read where the format allows it.
        """
        return cls.of_cells(cells, folder), window

    @staticmethod
    def names_in(tables: Sequence[DataFrame]) -> tuple[str, ...]:
        """The classes of some tables, () unless all have classes."""
        return classes_of(tables)


@contextmanager
def located(row: Any) -> Iterator[None]:
    """Say of an error in which row it is."""
    try:
        yield
    except AnswerError as fault:
        raise AnswerError(fault.what, f"row {row}; {fault.where}", fault.mend) from fault


def sampled(pixels: NDArray[Any], picture: NDArray[Any], window: Window) -> NDArray[Any]:
    """Labels as large as the picture of a window: of each of its pixels the middle; of a stack the largest number.

    >>> sampled(np.array([[1, 2]]), np.zeros((2, 4, 3)), (slice(0, 1), slice(0, 2))).tolist()
    [[1, 1, 2, 2], [1, 1, 2, 2]]
    """
    plane = flat(pixels)[window]
    rows, columns = (
        ((np.arange(size) + 0.5) * of / size).astype(np.intp)
        for size, of in zip(picture.shape[:2], plane.shape, strict=True)
    )
    return np.asarray(plane[rows[:, None], columns])


def given(cells: Mapping[str, Any], part: str) -> bool:
    """Whether a row has a part."""
    value = cells.get(part)
    return value is not None and not isna(value) and str(value) != ""


def table_at(cells: Mapping[str, Any], part: str, folder: Path) -> DataFrame | None:
    """The table of objects that a part names; None where there is none."""
    return read_table(path_of(cells[part], folder, f"part {part!r}")) if given(cells, part) else None


def whole_number(cells: Mapping[str, Any], part: str) -> int | None:
    """A part that is a whole number; None where there is none."""
    if not given(cells, part):
        return None
    try:
        value = float(cells[part])
    except (TypeError, ValueError):
        value = 0.5
    if not value.is_integer():
        raise AnswerError(f"{cells[part]!r} is no whole number", f"part {part!r}", "write a value of the pixels")
    return int(value)
