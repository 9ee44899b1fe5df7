"""Suspects: what could tell the label without the cell being looked at, from the columns of the table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from potency.data.columns import plain
from potency.data.groups import LEVELS
from potency.data.wells import PLATE, WELL, well_name

Values = NDArray[np.float64]
TECHNICAL, BIOLOGICAL, OTHER = "technical", "biological", "other"
BACKGROUND, MEASURED = "background", "measured"
# What a column is called, and what that is: the first list that knows the name decides.
NAMES: Mapping[str, tuple[str, ...]] = {
    TECHNICAL: (
        *PLATE, *WELL, *LEVELS["plate"][0], *LEVELS["date"][0], *LEVELS["field"][0],
        *("day", "time", "hour", "hours", "timepoint", "timestamp", "acquisitiontime", "frame", "session", "week"),
        *("row", "column", "x", "y", "z", "t", "series", "chip", "chamber", "microscope", "instrument", "scanner"),
        *("camera", "objective", "exposure", "gain", "operator", "laboratory", "lab", "lot", "stain", "staining"),
        *("artefact", "artifact", "pixelsize", "magnification", "filesize", "folder"),
    ),
    BIOLOGICAL: (
        *LEVELS["donor"][0], *LEVELS["clone"][0], *LEVELS["passage"][0],
        *("sex", "gender", "age", "ethnicity", "ancestry", "tissue", "species", "strain"),
    ),
}  # fmt: skip
OWN = ("id", "image", "group", "split", "fold", "simulated")  # of the program, not of the experiment
PREFIXES = ("image.", "truth", "prediction", "tile.", "measure.", "embedding", "mask")
QUALITY = "quality."
NUMBERS = 8  # different numbers from which a column of numbers is a quantity and not a list of kinds
KINDS = 50  # categories that are told apart; rarer ones are one
PLATES = ((2, 3), (4, 6), (6, 8), (8, 12), (16, 24), (32, 48))  # wells down and across of the usual plates
EVERY_ROW = "differs in nearly every row"


@dataclass(frozen=True, eq=False)
class Suspect:
    """Something that may give the label away: numbers of every row (N, P), and its values as text or None (N,).

    `kind` is "technical", "biological", "other" (a column nobody knows), "background" (measured outside the cell) or
    "measured" (of the whole picture, so that the cell is in it).
    """

    name: str
    kind: str
    values: Values = field(repr=False)
    names: NDArray[np.object_] | None = field(default=None, repr=False)  # None where it is a quantity


def suspects(table: pd.DataFrame, ignore: Sequence[str] = ()) -> tuple[list[Suspect], dict[str, str]]:
    """The suspects among the columns of a table, and why other columns are none.

    A well gives its row, its column and its distance from the edge of the plate beside itself. Missing cells are a
    value of their own: that something was not written down may give a label away too.

    >>> rows = pd.DataFrame({"plate": list("aabb"), "well": ["A1", "B1", "A1", "B1"], "lens": ["x"] * 4})
    >>> found, left = suspects(rows)
    >>> [suspect.name for suspect in found], left
    (['plate', 'well', 'row of the well'], {'lens': 'the same in every row'})
    """
    found: list[Suspect] = []
    left: dict[str, str] = {}
    for name in map(str, table.columns):
        if name in (*OWN, *ignore) or name.lower().startswith(PREFIXES):
            continue
        kind = kind_of(name)
        made = of_column(name, kind, table[name])
        if isinstance(made, str):
            left[name] = made
        else:
            found.append(made)
        if plain(name) in WELL:
            found += of_wells(table[name])
    return found, left


def kind_of(name: str) -> str:
    """What a column of that name tells: "technical", "biological", "measured" or "other".

    >>> kind_of("Plate ID"), kind_of("donor"), kind_of("quality.focus"), kind_of("colour")
    ('technical', 'biological', 'measured', 'other')
    """
    if name.startswith(QUALITY):
        return MEASURED
    return next((kind for kind, names in NAMES.items() if plain(name) in names), OTHER)


def of_column(name: str, kind: str, cells: pd.Series) -> Suspect | str:
    """A column as a suspect, or why it is none."""
    cells = dated(cells)
    if any(isinstance(cell, list | tuple | np.ndarray | dict) for cell in cells.head(20)):
        return "not one value a row"
    known, count = cells.dropna(), cells.nunique()
    if count + int(cells.isna().any()) < 2:
        return "the same in every row" if len(known) else "empty"
    if pd.api.types.is_numeric_dtype(cells) and not pd.api.types.is_bool_dtype(cells) and count > NUMBERS:
        return Suspect(name, kind, of_numbers(cells.to_numpy(np.float64, na_value=np.nan)))
    if count > max(2, len(known) / 2):
        return EVERY_ROW
    names = np.array([None if pd.isna(cell) else str(cell) for cell in cells], dtype=object)
    return Suspect(name, kind, of_names(names), names)


def dated(cells: pd.Series) -> pd.Series:
    """Dates and times as seconds; another column as it is."""
    if pd.api.types.is_datetime64_any_dtype(cells):
        return seconds(cells)
    if pd.api.types.is_numeric_dtype(cells) or not cells.notna().any() or not _date_like(cells):
        return cells
    read = pd.to_datetime(cells, errors="coerce", format="ISO8601", utc=True)
    return seconds(read) if bool(read.notna().eq(cells.notna()).all()) else cells


def _date_like(cells: pd.Series) -> bool:
    return bool(cells.dropna().astype(str).head(50).str.match(r"\d{4}-\d\d-\d\d").all())


def seconds(times: pd.Series) -> pd.Series:
    """Seconds since the first of the times."""
    return pd.Series((times - times.min()).dt.total_seconds())


def of_numbers(cells: Values) -> Values:
    """A quantity as its rank and the square of that, so that neither its scale nor an outlier counts, and its gaps."""
    known = np.isfinite(cells)
    rank = np.zeros(len(cells))
    rank[known] = pd.Series(cells[known]).rank().to_numpy() / known.sum() - 0.5
    columns = [rank, np.where(known, rank**2 - 1 / 12, 0.0)]
    if not known.all():
        columns.append((~known).astype(np.float64))
    return np.stack(columns, axis=1)


def of_names(cells: NDArray[np.object_]) -> Values:
    """Kinds as one column each, the rare ones of many together; a gap is a kind."""
    text = np.array(["" if cell is None else f"={cell}" for cell in cells])
    kinds, codes, counts = np.unique(text, return_inverse=True, return_counts=True)
    order = np.argsort(-counts, kind="stable")
    place = np.empty(len(kinds), np.intp)
    place[order] = np.minimum(np.arange(len(kinds)), KINDS - 1)
    return np.eye(int(place.max()) + 1)[place[codes]]


def of_wells(cells: pd.Series) -> list[Suspect]:
    """Row, column and distance from the edge of the smallest usual plate that holds all wells."""
    spelt = [None if pd.isna(cell) else well_name(str(cell)) for cell in cells]
    if not any(spelt):
        return []
    places = np.array([(np.nan, np.nan) if name is None else place_of(name) for name in spelt])
    most = np.nanmax(places, axis=0) + 1
    down, across = next((size for size in PLATES if size[0] >= most[0] and size[1] >= most[1]), PLATES[-1])
    edge = np.minimum(np.minimum(places[:, 0], down - 1 - places[:, 0]),
                      np.minimum(places[:, 1], across - 1 - places[:, 1]))  # fmt: skip
    made = (("row of the well", places[:, 0]), ("column of the well", places[:, 1]),
            ("distance of the well from the edge", edge))  # fmt: skip
    found = []
    for name, numbers in made:
        suspect = of_column(name, TECHNICAL, pd.Series(numbers))
        if isinstance(suspect, Suspect):
            found.append(suspect)
    return found


def place_of(name: str) -> tuple[int, int]:
    """Row and column from 0 of a well by its usual spelling.

    >>> place_of("B03"), place_of("AF48")
    ((1, 2), (31, 47))
    """
    letters, number = name[:-2], name[-2:]
    row = 0
    for letter in letters:
        row = 26 * row + ord(letter) - ord("A") + 1
    return row - 1, int(number) - 1


def truth_of(cells: pd.Series, category: bool) -> tuple[Values, tuple[str, ...]]:
    """The truth as numbers (N, Q) and its classes: a column a class, or the rank of a number."""
    if category:
        labels = np.array([str(cell) for cell in cells])
        classes, codes = np.unique(labels, return_inverse=True)
        return np.eye(len(classes))[codes], tuple(map(str, classes))
    rank = cells.astype(np.float64).rank().to_numpy()
    return (rank / len(rank) - 0.5)[:, None], ()


