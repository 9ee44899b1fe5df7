"""Which rows are one unit, an image, a well or a clone, and what a table says of the whole unit."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from potency.data.gathering import PREDICTION
from potency.errors import AnswerError, ManifestError, nearest
from potency.evaluation.columns import gaps
from potency.evaluation.wording import count

INSIDE = "tile."  # columns of a part of a unit, which the unit has not
SHOWN = 3


def column(table: pd.DataFrame, name: str, what: str) -> str:
    """A column by its name; "image" is also the column of whole images that tiles were cut from.

    Raises:
        ManifestError: no such column; the nearest is named.
    """
    if name == "image" and "tile.of" in table.columns:
        return "tile.of"
    if name not in table.columns:
        raise ManifestError(f"there is no column {name!r}", what, nearest(name, table.columns))
    return name


def of(table: pd.DataFrame, by: Sequence[str], group: str = "group") -> NDArray[np.intp]:
    """The number (rows,) of each row's unit, in the order they first come: equal cells of `by` within one group.

    Wells are called B02 on every plate, so a unit never reaches beyond its group. Without a column `group` the cells
    of `by` alone decide.

    Raises:
        ManifestError: no such column, or rows without a name for their unit.
    """
    names = [column(table, name, "by") for name in by]
    if not names:
        raise ManifestError("nothing says which rows are one unit", "by", "name a column, like well")
    for name in names:
        empty = gaps(table[name])
        if empty.any():
            raise ManifestError(f"{int(empty.sum())} rows have no {name}", f"column {name!r}, row {_id(table, empty)}",
                                "fill the cells, or leave these rows out")  # fmt: skip
    keys = [table[name].astype(str) for name in dict.fromkeys([*([group] if group in table else []), *names])]
    return np.asarray(pd.MultiIndex.from_arrays(keys).factorize()[0], np.intp)


def _id(table: pd.DataFrame, mask: NDArray[np.bool_]) -> str:
    where = int(np.flatnonzero(mask)[0])
    return repr(str(table["id"].iloc[where])) if "id" in table.columns else str(where)


def shared(table: pd.DataFrame, unit: NDArray[np.intp], by: Sequence[str], truth: str = "truth") -> pd.DataFrame:
    """One row a unit with the columns in which its rows agree; `id` is made of group and unit.

    Columns in which any unit disagrees are left out, and so are predictions and what belongs to a part of a unit;
    `image` is that of the first row.

    Raises:
        AnswerError: rows of one unit differ in their truth.
    """
    first = np.unique(unit, return_index=True)[1]
    made: dict[str, object] = {}
    for name in map(str, table.columns):
        if PREDICTION.match(name) or name.startswith(INSIDE) or name == "id":
            continue
        cells = table[name]
        if name == "image" or name.startswith("image."):  # a picture to show: that of the first row
            made[name] = cells.iloc[first].array
            continue
        codes = pd.factorize(cells.map(str) if cells.dtype == object else cells, use_na_sentinel=False)[0]
        differs = codes != codes[first][unit]
        told = name == truth or name.startswith(f"{truth}.")
        if told and differs.any():
            where = np.flatnonzero(unit == unit[np.flatnonzero(differs)[0]])
            cells = table[name].iloc[where]
            raise AnswerError(
                f"rows of one unit differ in their truth: {', '.join(map(str, pd.unique(cells)[:SHOWN]))}",
                f"column {name!r}, {_called(table, int(where[0]), by)} ({len(where)} rows)",
                "pool by a column within which the truth is one",
            )  # fmt: skip
        if not differs.any():
            made[name] = cells.iloc[first].array
    ids = [_called(table, int(row), by) for row in first]
    return pd.DataFrame({"id": _distinct(ids), **made})


def _called(table: pd.DataFrame, row: int, by: Sequence[str]) -> str:
    names = [name for name in ("group",) if name in table.columns] + [column(table, name, "by") for name in by]
    return "/".join(dict.fromkeys(str(table[name].iloc[row]) for name in names))


def _distinct(names: Sequence[str]) -> list[str]:
    """Names made different where two are the same (a/b of c beside a of b/c)."""
    seen: dict[str, int] = {}
    made = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        made.append(name if seen[name] == 1 else f"{name}#{seen[name]}")
    return made


def times_of(table: pd.DataFrame, name: str) -> NDArray[np.float64]:
    """The time (rows,) of every row as a number; dates and times of day become hours since the first.

    Raises:
        AnswerError: a row has none, or one that is no number; how many and which is said.
    """
    cells = table[column(table, name, "time")]
    values: NDArray[np.float64] = np.asarray(pd.to_numeric(cells, errors="coerce"), np.float64)
    if cells.dtype.kind == "M" or (not np.isfinite(values).any() and cells.notna().any()):
        stamps = pd.to_datetime(cells.astype(str), errors="coerce", format="ISO8601")
        values = np.asarray((stamps - stamps.min()) / pd.Timedelta(hours=1), np.float64)
    wrong = np.flatnonzero(~np.isfinite(values))
    if len(wrong):
        cell = cells.iloc[wrong[0]]
        what = "no time" if pd.isna(cell) or not str(cell).strip() else f"the time {cell!r}"
        raise AnswerError(f"{count(len(wrong), 'row')} of {len(values)} {'has' if len(wrong) == 1 else 'have'} {what}",
                          f"column {name!r}, row {wrong[0]}",
                          "fill the cells with numbers (hours) or ISO dates, or leave these rows out")  # fmt: skip
    return values
