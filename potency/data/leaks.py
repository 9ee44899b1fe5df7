"""Finds what wrongly stands on both sides of a split: groups, copies, look-alikes, neighbours in time and space."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from potency.data.duplicates import near_duplicates
from potency.data.findings import Finding, some
from potency.data.folders import natural
from potency.data.parts import is_part
from potency.data.quality import Facts

_PART_NAMES = ("train", "validation", "test")
# Samples that share all of these columns, so far as they exist, come from one movie or one field of view.
_PLACE = ("plate", "well", "field", "fov", "site", "position", "movie", "video", "slide", "tile.of")
_TIME = ("frame", "timepoint", "time")


def _shared(keys: pd.Series, parts: pd.Series) -> list[str]:
    """The keys that stand in more than one part."""
    count = parts.astype("str").groupby(keys.to_numpy()).nunique()
    return [str(key) for key in count.index[count > 1]]


def groups(table: pd.DataFrame, parts: pd.Series | None) -> Iterator[Finding]:
    """A group that stands in two parts: the same donor is learned from and tested on."""
    names = [] if parts is None else sorted(_shared(table["group"], parts), key=natural)
    if names:
        yield Finding("leak-groups", f"{len(names)} groups stand in more than one part: {some(names)}",
                      "columns 'group' and 'split'", "split by group, or declare the split random",
                      tuple(table["id"][table["group"].isin(names)]))


def classes(table: pd.DataFrame, parts: pd.Series | None, *, declared: bool) -> Iterator[tuple[bool, Finding]]:
    """A class that a part lacks: a fault for what is learned from and for a split that came with the table."""
    if parts is None or "truth" not in table.columns or pd.api.types.is_numeric_dtype(table["truth"]):
        return
    everything = set(table["truth"].dropna())
    if parts.name == "fold":  # a class that stands in one fold only is never learned where that fold is tested
        inside = parts.ne("external")
        folds = parts[inside].groupby(table["truth"][inside]).nunique()
        alone = sorted(folds.index[folds == 1], key=natural) if parts[inside].nunique() > 1 else []
        if alone:
            yield True, Finding("missing-class", f"all images of these classes stand in one fold: {some(alone)}",
                                "columns 'fold' and 'truth'",
                                "spread groups of these classes over the folds, or leave the classes out: --classes")
    for part in _PART_NAMES:
        there = parts.eq(part)
        missing = sorted(everything - set(table["truth"][there].dropna()), key=natural)
        if there.any() and missing:
            fault = part == "train" or (part == "test" and declared)
            yield fault, Finding("missing-class", f"the {part} rows have no image of: {some(missing)}",
                                 "columns 'split' and 'truth'",
                                 "move groups of these classes there, or leave the classes out: --classes")


def copies(table: pd.DataFrame, facts: Sequence[Facts], parts: pd.Series | None) -> Iterator[tuple[bool, Finding]]:
    """Images whose files are the same byte for byte; True where they stand in two parts."""
    window = [name for name in table.columns if is_part(name)]
    cells = zip(*(table[name].astype("str") for name in window), strict=True) if window else ((),) * len(table)
    keys = pd.Series([each.digest + "/".join(cell) if each.digest else f"row {at}"
                      for at, (each, cell) in enumerate(zip(facts, cells, strict=True))], index=table.index)
    again = keys.duplicated(keep=False)
    if not again.any():
        return
    crossing = set() if parts is None else set(_shared(keys[again], parts[again]))
    for leak, chosen in ((True, again & keys.isin(crossing)), (False, again & ~keys.isin(crossing))):
        if chosen.any():
            names = tuple(table["id"][chosen])
            where = "in more than one part" if leak else "in one part" if parts is not None else "in the table"
            yield leak, Finding("leak-copies" if leak else "copies",
                                f"{len(names)} images are copies of each other, byte for byte, {where}", some(names),
                                "keep one of each", names)
    if "truth" in table.columns:
        torn = table["truth"].astype("str")[again].groupby(keys[again]).nunique()
        names = tuple(table["id"][again & keys.isin(torn.index[torn > 1])])
        if names:
            yield False, Finding("two-truths", f"{len(names)} images are the same but have different truths",
                                 some(names), "decide which truth is right", names)


def near(table: pd.DataFrame, facts: Sequence[Facts]) -> Iterator[Finding]:
    """Near-duplicates in different groups; exact copies are reported by `copies` and left out."""
    first = pd.Series([each.digest for each in facts]).drop_duplicates()
    rows = [int(at) for at in first.index if facts[int(at)].thumbnail is not None]
    thumbnails = [facts[at].thumbnail for at in rows]
    if len(rows) < 4:
        return
    pairs = near_duplicates(np.stack([each for each in thumbnails if each is not None]),
                            [facts[at].shape for at in rows], table["group"].iloc[rows].tolist())
    if pairs:
        ids = table["id"].tolist()
        named = [f"{ids[rows[pair.first]]} ~ {ids[rows[pair.second]]} ({pair.similarity:.2f})" for pair in pairs]
        touched = dict.fromkeys(ids[rows[at]] for pair in pairs for at in (pair.first, pair.second))
        yield Finding("near-duplicates", f"{len(touched)} images look like copies of an image of another group",
                      some(named, 3, "; "), "look at them side by side; the same cell twice belongs into one group",
                      tuple(touched))


def neighbours(table: pd.DataFrame, parts: pd.Series | None) -> Iterator[Finding]:
    """Frames of one movie, or crops of one field, that stand in more than one part."""
    place = [name for name in _PLACE if name in table.columns and table[name].notna().all()]
    if parts is None or not place or not set(place) - {"plate"}:
        return
    keys = table[place].astype("str").agg("|".join, axis=1)
    if "truth" in table.columns and (table.groupby("group")["truth"].nunique() <= 1).all():
        keys = keys + "|" + table["truth"].astype("str")  # fields are often numbered anew in each class
    crossing = set(_shared(keys, parts))
    chosen = keys.isin(crossing)
    if not crossing:
        return
    timed = next((name for name in _TIME if name in table.columns and table[name][chosen].nunique() > 1), None)
    what = f"frames (column '{timed}') of one movie" if timed else "crops of one field of view"
    yield Finding("neighbours", f"{what} stand in more than one part, for {len(crossing)} of {keys.nunique()}",
                  "columns " + ", ".join(place), "split by these columns: they are seen twice",
                  tuple(table["id"][chosen]))
