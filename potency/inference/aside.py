"""Tables that a call of `predict` would write over: one of other rows or columns is kept under another name."""

from __future__ import annotations

import itertools
import logging
from pathlib import Path

import pandas as pd
from pyarrow import parquet

logger = logging.getLogger(__name__)

TABLE = "predictions"
SUFFIXES = (".parquet", ".csv")


def set_aside(folder: Path, table: pd.DataFrame) -> list[Path]:
    """Rename the tables `predictions` in a folder unless `table` has all their rows and columns; where they are now.

    The first that was there is `predictions.1.parquet` then, with its CSV beside it.
    """
    there = [folder / f"{TABLE}{suffix}" for suffix in SUFFIXES if (folder / f"{TABLE}{suffix}").exists()]
    if not there or _covered(there[0], table):
        return []
    number = next(n for n in itertools.count(1) if not any(_named(folder, n, suffix).exists() for suffix in SUFFIXES))
    kept = [path.rename(_named(folder, number, path.suffix)) for path in there]
    logger.warning("%s holds other rows or columns than are written now: it is kept as %s", there[0], kept[0].name)
    return kept


def _named(folder: Path, number: int, suffix: str) -> Path:
    return folder / f"{TABLE}.{number}{suffix}"


def _covered(path: Path, table: pd.DataFrame) -> bool:
    """Whether a table on disk holds nothing that another one lacks; one that cannot be read is somebody's."""
    try:
        if path.suffix == ".csv":
            names = list(map(str, pd.read_csv(path, nrows=0).columns))
            ids = pd.read_csv(path, usecols=["id"], dtype=str)["id"]
        else:
            names = parquet.read_schema(path).names
            ids = parquet.read_table(path, columns=["id"])["id"].to_pandas()
    except (OSError, ValueError, KeyError):
        return False
    return set(names) <= set(map(str, table.columns)) and bool(ids.astype(str).isin(table["id"].astype(str)).all())
