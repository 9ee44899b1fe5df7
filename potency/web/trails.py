"""Tracks over a movie: a table of the same set that says where each track is at each time, as the viewer draws it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from potency.errors import PotencyError
from potency.web.sets import File, Sets

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ("track", "frame", "y", "x")  # y and x in pixels, the middle of the first pixel being 0
OF = ("image", "file", "movie")  # columns that name the image of a row; without one the name of the table does
MOST = 5000  # tracks that a browser draws


@dataclass(frozen=True)
class Track:
    """One track: (frame, y, x) in the order of time."""

    id: int
    points: list[tuple[int, float, float]]


@dataclass(frozen=True)
class Trails:
    """The tracks of a movie, the first MOST of `total`, and the name of the table that holds them."""

    table: str
    total: int
    tracks: list[Track]


def trails(sets: Sets, set: str, file: File) -> Trails | None:
    """The tracks of an image of several times: of the first table of its set that tells of it; None where none does."""
    axes = str(file.facts.get("axes") or "")
    if "T" not in axes or int(file.facts["shape"][axes.index("T")]) < 2:
        return None
    files = sets.files(set)
    alone = sum(one.error is None and not one.facts.get("table") for one in files) == 1
    for one in files:
        if one.error is None and one.facts.get("table"):
            path = sets.path(set, one)
            rows = _of(_told(path, path.stat().st_mtime_ns), one.name, file.name, alone)
            if rows is not None and len(rows):
                return _trails(one.name, rows)
    return None


def _of(table: pd.DataFrame | None, name: str, image: str, alone: bool) -> pd.DataFrame | None:
    """The rows of a table that tell of an image; None where the table holds no tracks, or those of another image."""
    if table is None:
        return None
    mine = PurePosixPath(image)
    if column := next((column for column in OF if column in table), ""):
        return table[table[column].isin([image, mine.name, mine.stem, mine.name.partition(".")[0]])]
    theirs = PurePosixPath(name)
    same = theirs.parent == mine.parent and theirs.stem.startswith(mine.name.partition(".")[0])
    return table if alone or same else None


def _trails(name: str, rows: pd.DataFrame) -> Trails:
    rows = rows.sort_values(["track", "frame"])
    made: dict[int, list[tuple[int, float, float]]] = {}
    for number, t, y, x in rows[[*COLUMNS]].itertuples(index=False):
        made.setdefault(int(number), []).append((int(t), float(y), float(x)))
    return Trails(name, len(made), [Track(number, points) for number, points in islice(made.items(), MOST)])


@lru_cache(maxsize=4)
def _told(path: Path, stamp: int) -> Any:
    """The columns of a table that are needed, as numbers; None where it holds no tracks."""
    import pandas as pd

    from potency.data.tables import read_table

    try:
        table = read_table(path)[0]
    except PotencyError:  # notes, or labels that are torn: the page of images says so
        return None
    table.columns = pd.Index([str(column).lower() for column in table.columns])
    if not {*COLUMNS} <= {*table.columns}:
        return None
    numbers = table[[*COLUMNS]].apply(pd.to_numeric, errors="coerce")
    named = [column for column in OF if column in table][:1]
    return numbers.assign(**{column: table[column].astype(str) for column in named}).dropna()


def words(found: Trails) -> str:
    """What a layer of tracks is called.

    >>> words(Trails("cells.csv", 2, [])), words(Trails("cells.csv", 9000, []))
    ('Tracks: 2 of cells.csv', 'Tracks: the first 5,000 of 9,000 of cells.csv')
    """
    most = f"the first {MOST:,} of " if found.total > MOST else ""
    return f"Tracks: {most}{found.total:,} of {found.table}"
