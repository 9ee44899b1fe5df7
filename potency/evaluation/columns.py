"""Which rows and columns of a table can be compared, and as what kind of answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from pandas import CategoricalDtype, DataFrame, Series, to_numeric
from pandas.api.types import is_bool_dtype, is_float_dtype, is_integer_dtype, is_numeric_dtype

from potency.answers import ANSWERS, Answer
from potency.answers.category import as_labels, class_names
from potency.answers.files import IMAGE
from potency.answers.probability import PROBABILITY
from potency.data.columns import file_kind
from potency.errors import AnswerError, nearest

PLACES = ("file", "picture")  # kinds that say no more than that cells are paths
MOST_CODES = 20  # whole numbers with more values than this are taken as numbers, not as class codes


class Rows(Protocol):
    """What is needed of a manifest; any table with these attributes will do."""

    @property
    def table(self) -> DataFrame: ...
    @property
    def kinds(self) -> Mapping[str, str]: ...
    @property
    def folder(self) -> Path: ...
    @property
    def origin(self) -> Mapping[str, str]: ...


@dataclass(frozen=True)
class Bare:
    """A table as `Rows`: what is known of its columns, and the folder where its paths start."""

    table: DataFrame
    kinds: Mapping[str, str] = field(default_factory=dict)
    folder: Path = Path()
    origin: Mapping[str, str] = field(default_factory=dict)


def as_rows(given: Rows | DataFrame, folder: str | Path = "") -> Rows:
    """A plain table as rows of which nothing more is known but the folder where paths start."""
    return Bare(given, folder=Path(folder)) if isinstance(given, DataFrame) else given


def column_of(table: DataFrame, name: str, what: str) -> Series:
    """A column by its name, or an error that names the nearest."""
    if name not in table.columns:
        raise AnswerError(f"there is no {what} column {name!r}", "the table's columns", nearest(name, table.columns))
    return table[name]


def parts_of(table: DataFrame, column: str, answer: type[Answer]) -> DataFrame:
    """The main column and the parts that the answer owns, by part ("", "probability.astro"); empty ones dropped.

    To an answer in files belongs the part "image", where a row is a whole image.
    """
    prefix = column + "."
    found = {"": table[column]}
    if answer.in_files and IMAGE in table.columns and not any(str(name).startswith("tile.") for name in table.columns):
        found[IMAGE] = table[IMAGE]
    for name in table.columns:
        part = str(name).removeprefix(prefix)
        owned = str(name).startswith(prefix) and part.split(".")[0] in answer.parts
        if owned and table[name].notna().any():
            found[part] = table[name]
    return DataFrame(found, index=table.index)


def gaps(column: Series) -> NDArray[np.bool_]:
    """Cells that hold nothing: missing, or an empty text."""
    empty = np.array(column.isna(), bool)
    if not is_numeric_dtype(column.dtype):
        empty |= np.array([isinstance(cell, str) and not cell.strip() for cell in column], bool)
    return empty


def comparable(
    table: DataFrame, truth: str, column: str, answer: type[Answer]
) -> tuple[NDArray[np.bool_], dict[str, int]]:
    """Rows (a mask) in which truth and prediction can be compared, and how many are left out for which reason."""
    usable = np.ones(len(table), bool)
    left_out: dict[str, int] = {}

    def drop(mask: NDArray[np.bool_], reason: str) -> None:
        nonlocal usable
        count = int((mask & usable).sum())
        if count:
            left_out[reason] = count
        usable = usable & ~mask

    drop(gaps(table[truth]), "no truth")
    if column + ".error" in table.columns:
        drop(~gaps(table[column + ".error"]), "an error instead of an answer")
    drop(gaps(table[column]), "no answer")
    for part, cells in parts_of(table, column, answer).items():
        if part:
            drop(gaps(cells), f"no {str(part).split('.')[0]}")
    return usable, left_out


def kind_of(rows: Rows, truth: str, predictions: Sequence[str]) -> type[Answer]:
    """The answer that truth and predictions are: as declared, else as their cells look.

    Undeclared: lists are vectors; paths of label images are labels, of tables objects; other texts, yes/no and columns
    with probabilities are categories (ordered ones ordinal); so are whole numbers of at most 20 values whose
    predictions are all among the truth's; else numbers.
    """
    table, kinds = rows.table, rows.kinds
    # A mask can be labels or regions: whoever predicted knows what it was taken for.
    told = [name for name in predictions if kinds.get(name) in ANSWERS and ANSWERS[kinds[name]].in_files]
    for column in (*told, truth, *predictions):
        if column in kinds and kinds[column] not in PLACES:
            if kinds[column] not in ANSWERS:
                raise AnswerError(
                    f"answers of kind {kinds[column]!r} cannot be compared", f"column {column!r}",
                    nearest(kinds[column], ANSWERS),
                )  # fmt: skip
            return ANSWERS[kinds[column]]
    cells = table[truth]
    if isinstance(cells.dtype, CategoricalDtype):
        return ANSWERS["ordinal" if cells.cat.ordered else "category"]
    filled = cells[~gaps(cells)]
    if filed := file_kind(filled, Path(rows.folder)):
        return ANSWERS[filed]
    if len(filled) and isinstance(filled.iloc[0], list | tuple | np.ndarray):
        return ANSWERS["vector"]
    probable = any(str(name).startswith(f"{column}.{PROBABILITY}") for name in table.columns for column in predictions)
    if probable or not is_numeric_dtype(cells.dtype) or is_bool_dtype(cells.dtype):
        return ANSWERS["category"]
    return ANSWERS["category" if _codes(filled, [table[column].dropna() for column in predictions]) else "number"]


def _codes(truth: Series, predicted: Sequence[Series]) -> bool:
    if not all(is_integer_dtype(c.dtype) or is_float_dtype(c.dtype) for c in (truth, *predicted)):
        return False
    numbers = [to_numeric(c).to_numpy(np.float64) for c in (truth, *predicted)]
    known = np.unique(numbers[0])
    whole = all(bool(np.all(n == np.round(n))) for n in numbers)
    return whole and len(known) <= MOST_CODES and all(bool(np.isin(n, known).all()) for n in numbers[1:])


def class_order(
    table: DataFrame, answer: type[Answer], truth: str, predictions: Sequence[str], planned: Sequence[str] = ()
) -> tuple[str, ...]:
    """The classes in order: as planned, of an ordered column, of the probability columns, then any other met, sorted.

    An ordinal answer whose order nothing tells is an error.
    """
    order = [str(label) for label in planned]
    if isinstance(table[truth].dtype, CategoricalDtype):
        order += [str(label) for label in as_labels(Series(table[truth].cat.categories))]
    for column in predictions:
        prefix = f"{column}.{PROBABILITY}"
        order += [str(name).removeprefix(prefix) for name in table.columns if str(name).startswith(prefix)]
    met = class_names(table[truth], *(table[column] for column in predictions))
    if answer.ordered and not order and not all(_numeric(label) for label in met):
        raise AnswerError(
            "the order of the classes is not known", f"column {truth!r}: {', '.join(met)}",
            "name them in order in the plan's classes, or make the column an ordered categorical",
        )  # fmt: skip
    return tuple(dict.fromkeys([*order, *met]))


def _numeric(label: str) -> bool:
    try:
        float(label)
    except ValueError:
        return False
    return True
