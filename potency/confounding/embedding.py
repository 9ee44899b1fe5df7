"""What an embedding knows beside the class: the numbers in which the suspects are looked for."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from potency.answers.vector import vectors_of
from potency.confounding.exchange import Values
from potency.confounding.suspects import BACKGROUND, Suspect
from potency.errors import ManifestError, nearest

MOST = 30  # principal axes of an embedding that are asked
PREFIX = "embedding"


def embedding_of(table: pd.DataFrame, asked: str = "") -> Values | None:
    """The embedding of every row, (N, D): a column of lists, or all number columns that begin with the name.

    Without a name the columns that begin with `embedding`; None where there are none.

    Raises:
        ManifestError: no such column, or numbers that are missing or infinite.
    """
    name = asked or PREFIX
    if name in table.columns and table[name].map(lambda cell: isinstance(cell, list | tuple | np.ndarray)).all():
        return vectors_of(table[name], "vector of the embedding")
    columns = [c for c in table.columns if str(c) == name or str(c).startswith(f"{name}.")]
    columns = [c for c in columns if pd.api.types.is_numeric_dtype(table[c])]
    if not columns:
        if asked:
            near = nearest(asked, map(str, table.columns))
            raise ManifestError(f"there is no embedding '{asked}'", "--embedding", near)
        return None
    values = table[columns].to_numpy(np.float64)
    if not np.isfinite(values).all():
        row = int(np.argwhere(~np.isfinite(values))[0][0])
        raise ManifestError("an embedding holds numbers that are missing or infinite", f"row {row}, columns {name}.*",
                            "leave such rows out")  # fmt: skip
    return values


def given_class(embedding: Values, truth: Values) -> Values:
    """The first principal axes, (N, at most 30), of what an embedding (N, D) holds beside the truth (N, Q)."""
    design = np.concatenate([np.ones((len(truth), 1)), truth - truth.mean(0)], axis=1)
    left = embedding - design @ np.linalg.lstsq(design, embedding, rcond=None)[0]
    turn, width, _ = np.linalg.svd(left, full_matrices=False)
    keep = min(MOST, max(1, len(left) // 10), int((width > 1e-9 * max(1e-300, width[0])).sum()) or 1)
    return np.asarray(turn[:, :keep] * width[:keep])


def wanted(suspect: Suspect) -> Values:
    """What is to be read from the embedding: the kinds (N, K) of a suspect, or the rank (N, 1) of a quantity."""
    return suspect.values if suspect.names is not None else suspect.values[:, :1]


def readable(found: Sequence[Suspect]) -> list[Suspect]:
    """The suspects that are asked of an embedding: all with values of their own."""
    return [suspect for suspect in found if suspect.kind != BACKGROUND]

