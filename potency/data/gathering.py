"""Takes tables apart and together: more columns, one row a tile (explode), one row a well (gather), moved paths."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from potency.errors import ManifestError

# A prediction column and its parts; the source follows the @ and a part follows the first dot after it.
PREDICTION = re.compile(r"^(prediction(?:@[A-Za-z0-9_-]+)?)(?:\.(.+))?$")
Box = tuple[int, int, int, int]


def add_columns(table: pd.DataFrame, new: pd.DataFrame) -> pd.DataFrame:
    """The table with the new columns, joined by `id` where `new` has it, else in order; old ones are replaced.

    Raises:
        ManifestError: another number of rows, unknown or repeated ids.
    """
    if "id" not in new.columns:
        if len(new) != len(table):
            raise ManifestError(f"{len(new)} values for {len(table)} rows", "add(...)", "give one a row, or ids")
        return _assigned(table, {str(name): new[name].to_numpy() if new[name].dtype != "str" else new[name].array
                                 for name in new.columns})
    ids = new["id"].astype("str")
    unknown, repeated = sorted(set(ids) - set(table["id"])), sorted(set(ids[ids.duplicated()]))
    if unknown or repeated:
        raise ManifestError("the new columns name " + ("unknown" if unknown else "repeated") + " ids",
                            ", ".join((unknown or repeated)[:5]), "give the ids of the table, each once")
    joined = new.drop(columns="id").set_index(pd.Index(ids)).reindex(table["id"])
    return _assigned(table, {str(name): joined[name].array for name in joined.columns})


def _assigned(table: pd.DataFrame, columns: Mapping[str, Any]) -> pd.DataFrame:
    """Old columns in their place, new ones behind them, all at once: one by one, hundreds would be slow."""
    made = table.assign(**{name: cells for name, cells in columns.items() if name in table.columns})
    fresh = {name: cells for name, cells in columns.items() if name not in table.columns}
    return pd.concat([made, pd.DataFrame(fresh, index=table.index)], axis=1) if fresh else made


def explode(table: pd.DataFrame, boxes: Iterable[Iterable[Box]]) -> pd.DataFrame:
    """One row a tile, `boxes` being those of each row as (y, x, height, width); other columns are inherited."""
    rows, windows = [], []
    for number, tiles in enumerate(boxes):
        for window in tiles:
            rows.append(number)
            windows.append(tuple(map(int, window)))
    tiled = table.iloc[rows].reset_index(drop=True)
    for at, name in enumerate(("y", "x", "height", "width")):
        tiled[f"tile.{name}"] = np.array([window[at] for window in windows], dtype=np.int64)
    tiled["tile.of"] = tiled["id"]
    tiled["id"] = [f"{name}#y{y}x{x}" for name, (y, x, *_) in zip(tiled["id"], windows, strict=True)]
    return tiled


def repeat(table: pd.DataFrame, column: str, counts: Iterable[int]) -> pd.DataFrame:
    """As many rows as `counts` says of each, numbered from 0 in `column`; a row that stands once is left as it is."""
    counts = list(counts)
    many = table.iloc[np.repeat(np.arange(len(table)), counts)].reset_index(drop=True)
    numbers = [at if count > 1 else None for count in counts for at in range(count)]
    before = many[column] if column in many else pd.Series(np.nan, index=many.index)
    many["id"] = [name if at is None else f"{name}#{column}{at}" for name, at in zip(many["id"], numbers, strict=True)]
    return many.assign(**{column: pd.Series(numbers, index=many.index, dtype="Float64").fillna(before).astype("Int64")})


def gather(table: pd.DataFrame, by: str, how: str | Callable[[pd.DataFrame], Mapping[str, Any]]) -> pd.DataFrame:
    """One row a value of `by`; columns that agree are kept, predictions put together, `samples` counts the rows.

    Raises:
        ManifestError: rows of one sample differ in truth, or `how` is unknown.
    """
    if not callable(how) and how not in ("mean", "majority"):
        raise ManifestError(f"predictions cannot be gathered by '{how}'", "gather(how=...)",
                            "mean, majority, or a function of the rows of one sample")
    sources = _sources(table)
    parts = {name for columns in sources.values() for name in columns}
    plain = [name for name in table.columns if name not in parts and not name.startswith("tile.")]
    rows = []
    for key, frame in table.groupby(by, sort=False, dropna=False):
        agreed = {name: frame[name].iloc[0] for name in plain
                  if frame[name].nunique(dropna=False) == 1 or name.split(".")[0] == "image"}
        if "truth" in plain and "truth" not in agreed:
            raise ManifestError("rows of one sample differ in their truth", f"column '{by}', value '{key}'",
                                "gather by a column within which the truth is one")
        made: dict[str, Any] = {**agreed, "id": str(key), "samples": len(frame)}
        if callable(how):
            made.update(how(frame))
        else:
            for source, columns in sources.items():
                made.update(_together(frame, source, columns, how))
        rows.append(made)
    return pd.DataFrame(rows)


def _sources(table: pd.DataFrame) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name in map(str, table.columns):
        match = PREDICTION.match(name)
        if match:
            found.setdefault(match[1], []).append(name)
    return found


def _together(frame: pd.DataFrame, source: str, columns: list[str], how: str) -> dict[str, Any]:
    """The cells of one source for one sample; rows with an error count only where all have one."""
    error = f"{source}.error"
    if error in columns:
        sound = frame[error].isna() | frame[error].eq("")
        if not sound.any():
            return {error: frame[error].iloc[0]}
        frame = frame[sound]
    prefix = f"{source}.probability."
    classes = [name.removeprefix(prefix) for name in columns if name.startswith(prefix)]
    numbers = [name for name in columns if pd.api.types.is_numeric_dtype(frame[name])]
    made: dict[str, Any] = {name: float(frame[name].mean()) for name in numbers}
    if source not in frame.columns or source in numbers:
        return made
    votes = frame[source].value_counts()
    if how == "majority" and classes:
        share = {name: float(votes.get(name, 0)) / len(frame) for name in classes}
        # Of classes with as many votes the one that was thought more probable on the whole wins.
        made[source] = max(classes, key=lambda name: (share[name], made[prefix + name]))
        made.update({prefix + name: value for name, value in share.items()})
    elif classes:
        made[source] = max(classes, key=lambda name: made[prefix + name])
    elif len(votes):
        made[source] = min(votes[votes == votes.max()].index)
    return made


def moved(cells: Iterable[object], old: Path, new: Path) -> list[Any]:
    """Paths relative to the folder `old` written relative to `new`; absolute ones and missing cells stay.

    >>> moved(["a/1.png", None], Path("data"), Path("out"))
    ['../data/a/1.png', None]
    """
    if os.path.realpath(old) == os.path.realpath(new):
        return list(cells)
    bridges: dict[str, str] = {}  # asked of the file system once a folder, not once an image

    def one(cell: object) -> object:
        if not isinstance(cell, str) or os.path.isabs(cell):
            return cell
        above, name = os.path.split(cell)
        if above not in bridges:
            there = os.path.realpath(old / above)
            with suppress(ValueError):  # another drive on Windows
                there = os.path.relpath(there, os.path.realpath(new))
            bridges[above] = "" if there == os.curdir else f"{Path(there).as_posix()}/"
        return bridges[above] + name

    return [one(cell) for cell in cells]
