"""Finds which images belong together (one donor, clone, plate, well ...) from columns, else from file names."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from pathlib import PurePosixPath

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from potency.data.columns import find_column, match_groups, plain

UNKNOWN = "unknown"

# From the most to the least independent: the first level that every class has two of is taken.
# `words` name a column; `pattern` finds the value in a path, group 1 of the match being the value.
_END = r"(?![A-Za-z0-9])"
_START = r"(?<![A-Za-z0-9])"
LEVELS: dict[str, tuple[tuple[str, ...], str]] = {
    "donor": (("donor", "patient", "subject", "animal", "mouse", "individual", "cellline", "line"),
              _START + r"(?:donor|patient|subject|animal|mouse|case)[ _-]?([A-Za-z]?\d+|[A-Z])" + _END),
    "clone": (("clone",), _START + r"clone[ _-]?([A-Za-z]?\d+|[A-Z])" + _END),
    "passage": (("passage",), _START + r"(?:passage[ _-]?|p)(\d{1,3})" + _END),
    "date": (("date", "experiment", "run", "batch", "replicate"),
             r"(?<!\d)((?:19|20)\d\d[-_.]?(?:0[1-9]|1[0-2])[-_.]?(?:0[1-9]|[12]\d|3[01]))(?!\d)"),
    "plate": (("plate", "slide", "dish", "platename", "plateid"),
              _START + r"(?:plate|slide|dish)[ _-]?([A-Za-z]{0,4}\d+|[A-Z])" + _END),
    "well": (("well", "wellid"), _START + r"(?:well[ _-]?)?([A-P](?:0?[1-9]|1\d|2[0-4]))" + _END),
    "field": (("field", "fov", "site", "position", "movie", "video"),
              _START + r"(?:field|fov|site|position|pos|xy|movie|f|s)[ _-]?(\d+)" + _END),
}
# A well is a place on a plate: A01 of two plates are two wells.
_INSIDE = {"well": ("plate",), "field": ("plate", "well"), "clone": ("donor",), "plate": ("date",)}


def infer_groups(frame: pd.DataFrame, named: bool = False) -> tuple[pd.Series, str] | None:
    """Groups of the rows and how they were found; None where neither columns nor names tell.

    `named` says that columns were made of the file names, so that what else the names say counts as much.

    Columns named after a level (`donor`, `plate`, `well` ...) come before words in file names. Of several levels
    the most independent that gives every class two groups is taken, and the others are mentioned.

    >>> rows = pd.DataFrame({"image": ["donor1_a.tif", "donor1_b.tif", "donor2_a.tif"]})
    >>> infer_groups(rows)[1]
    'inferred from file names: donor (2 groups)'
    """
    ways: list[tuple[Callable[[pd.DataFrame], dict[str, pd.Series]], str]]
    ways = [(_from_columns, "inferred from column"), (_from_names, "inferred from file names:")]
    for find, how in [(_from_both, "inferred from file names:")] if named else ways:
        levels = {level: values for level, values in find(frame).items() if 1 < values.nunique() < len(values)}
        if not levels:
            continue
        level = next((level for level, values in levels.items() if _serves(values, frame.get("truth"))), None)
        level = level or max(levels, key=lambda level: levels[level].nunique())
        others = [f"{other} ({values.nunique()})" for other, values in levels.items() if other != level]
        note = f"{how} {level} ({levels[level].nunique()} groups)"
        return levels[level], note + ("; also seen: " + ", ".join(others) if others else "")
    folders = _from_folders(frame)
    if folders is not None:
        return folders, f"inferred from folder names ({folders.nunique()} groups)"
    files = frame["image"].astype("str")
    if 1 < files.nunique() < len(files):  # time points and planes of one file are no independent samples
        return files, f"inferred from files that several rows share ({files.nunique()} groups)"
    return None


def _serves(groups: pd.Series, truth: pd.Series | None) -> bool:
    if truth is None or pd.api.types.is_numeric_dtype(truth) or truth.isna().all():
        return True
    return bool((groups.groupby(truth).nunique() >= 2).all())


def _from_columns(frame: pd.DataFrame) -> dict[str, pd.Series]:
    names = {plain(str(column)): str(column) for column in frame.columns}
    found: dict[str, pd.Series] = {}
    for level, (words, _) in LEVELS.items():
        column = next((names[word] for word in words if word in names), None)
        if column is not None and frame[column].notna().all():
            found[level] = frame[column].astype("str")
    return _nested(found)


def _from_names(frame: pd.DataFrame) -> dict[str, pd.Series]:
    if "image" not in frame.columns:  # a table of figures
        return {}
    paths = frame["image"].astype("str").str.replace("\\", "/", regex=False)
    # Class folders are no evidence of groups, and a split folder least of all: words of the label are taken out.
    stems = paths.str.replace(r"\.[A-Za-z0-9.]{1,9}$", "", regex=True)
    stems = pd.Series([_without(stem, truth) for stem, truth in zip(stems, frame.get("truth", stems * 0), strict=True)],
                      index=frame.index, dtype="str")
    found = {}
    for level, (_, pattern) in LEVELS.items():
        values = stems.str.extract(pattern, flags=re.IGNORECASE if level != "well" else 0, expand=False)
        if values.notna().all():
            found[level] = values
    return _nested(found)


def _from_both(frame: pd.DataFrame) -> dict[str, pd.Series]:
    columns = _from_columns(frame)
    parts = {tuple(pd.factorize(values)[0]) for values in columns.values()}
    # A plate called P7 looks like passage 7: a word that divides the rows as a column does is that column.
    words = {level: values for level, values in _from_names(frame).items()
             if tuple(pd.factorize(values)[0]) not in parts}
    both = {**words, **columns}
    return {level: both[level] for level in LEVELS if level in both}


def _without(stem: str, truth: object) -> str:
    parts = PurePosixPath(stem).parts
    return "/".join(part for part in parts if part != truth)


def _nested(found: dict[str, pd.Series]) -> dict[str, pd.Series]:
    whole: dict[str, pd.Series] = {}
    for level, values in found.items():
        for outer in _INSIDE.get(level, ()):
            if outer in found and found[outer].nunique() > 1:
                values = found[outer].str.cat(values, sep="_")
        whole[level] = values
    return whole


def _from_folders(frame: pd.DataFrame) -> pd.Series | None:
    """The folder below the class folder, where every class has at least two that hold several images."""
    if not {"truth", "image"} <= set(frame.columns) or pd.api.types.is_numeric_dtype(frame["truth"]):
        return None
    below: list[str | None] = []
    for path, truth in zip(frame["image"].astype("str"), frame["truth"], strict=True):
        parts: Sequence[str] = PurePosixPath(path).parts[:-1]
        inner = parts[parts.index(truth) + 1:] if truth in parts else ()
        below.append(inner[0] if inner else None)
    folders = pd.Series(below, index=frame.index, dtype="str")
    if folders.isna().any() or folders.nunique() == len(folders) or not _serves(folders, frame["truth"]):
        return None
    return folders


def settle_groups(frame: pd.DataFrame, asked: str | None, where: str, named: bool = False) -> tuple[pd.Series, str]:
    """The group of every row and how it was found; else each row stands for itself.

    `asked` is a column, a pattern, or a level that the file names tell (`donor` of `donor1_A02.tif`).

    Raises:
        ManifestError: no such column nor level, or a pattern that does not fit.
    """
    if asked is not None and "(" in asked:
        values = match_groups(frame["image"], asked)
        return values, f"pattern '{asked}' ({values.nunique()} groups)"
    if asked is not None:
        told = _from_names(frame)
        level = next((level for level in told if plain(asked) in (level, *LEVELS[level][0])), None)
        if level is not None and plain(asked) not in map(plain, map(str, frame.columns)):
            return told[level], f"file names: {level} ({told[level].nunique()} groups)"
        column = find_column(frame, asked, where, mend=_mend(told))
        values = frame[column].astype("str").where(frame[column].notna(), frame["id"])
        return values, f"column '{column}'"
    found = infer_groups(frame, named)
    return found if found is not None else (frame["id"], UNKNOWN)


def _mend(told: Collection[str]) -> str:
    names = f"what the file names tell ({', '.join(told)}), " if told else ""
    return f"name a column, {names}or a pattern with a bracket around what differs, such as 'clone-([0-9]+)'"


def evenly(groups: pd.Series, most: int, seed: int) -> NDArray[np.bool_]:
    """At most so many rows, as many of every group: a mask.

    >>> evenly(pd.Series(["a"] * 9 + ["b"]), 4, 0).sum()
    np.int64(4)
    """
    random = np.random.default_rng(seed).random(len(groups))
    turn = pd.Series(random).groupby(groups.astype(str).to_numpy()).rank(method="first").to_numpy()
    return np.asarray(pd.Series(turn + random).rank(method="first").to_numpy() <= most)
