"""Which columns of a table can colour points, as what is drawn: kinds by their number, or numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from potency.data.folders import natural

KINDS = 400  # more kinds than this are names of single things
DIGITS = 4
FEW = 12  # numbers with no more values than this are kinds
SKIPPED = ("id", "image", "tile.y", "tile.x", "tile.height", "tile.width")
FIRST = ("truth", "prediction", "confidence", "group")


@dataclass(frozen=True)
class Colour:
    """A column as a page draws it: `kinds` with codes (-1: missing), or numbers (None: missing)."""

    name: str
    values: list[Any]
    kinds: list[str] | None = None

    def json(self) -> dict[str, Any]:
        return {"name": self.name, "values": self.values, "kinds": self.kinds}


def colours(table: pd.DataFrame, spaces: tuple[str, ...] = ("embedding",)) -> list[Colour]:
    """Every column that tells rows apart, those that are asked for most first; numbers of the embeddings are none."""
    found: Mapping[str, Colour] = {
        made.name: made
        for column in table.columns
        if str(column) not in SKIPPED and not str(column).startswith(("image.", *spaces))
        for made in [colour(str(column), table[column])]
        if made is not None
    }
    shares = [str(c) for c in table if str(c).startswith("prediction.probability.")]
    if shares and "confidence" not in found:
        sure = colour("confidence", table[shares].max(axis=1))
        found = {**found, **({"confidence": sure} if sure else {})}
    return [*(found[name] for name in FIRST if name in found), *(c for name, c in found.items() if name not in FIRST)]


def colour(name: str, cells: pd.Series) -> Colour | None:
    """One column; None where it tells nothing apart, is all names, or holds no plain cells."""
    known = cells.dropna()
    if not len(known) or known.map(lambda cell: isinstance(cell, list | tuple | dict | np.ndarray)).any():
        return None
    numbers = pd.api.types.is_numeric_dtype(cells) and not pd.api.types.is_bool_dtype(cells)
    if numbers and known.nunique() > FEW:
        values = cells.astype(float).to_numpy()
        return Colour(name, [_short(float(value)) if np.isfinite(value) else None for value in values])
    kinds = sorted(known.astype(str).unique(), key=natural)
    if not 1 < len(kinds) <= min(KINDS, max(2, len(known) - 1)):
        return None
    code = {kind: place for place, kind in enumerate(kinds)}
    return Colour(name, [code.get(str(cell), -1) if pd.notna(cell) else -1 for cell in cells], kinds)


def _short(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")
