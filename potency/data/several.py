"""Columns of class names, one in a cell or several: which classes there are, and which rows hold no other."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from typing import Any

import pandas as pd

BETWEEN = re.compile(r"[|;]")  # the names of a cell: nucleus | membrane, nucleus;membrane
NONE = "none"  # in a cell: looked at, and no class is there; an empty cell is not known


def names_of(cell: Any) -> tuple[str, ...]:
    """The classes that a cell names, sorted, each once.

    >>> names_of("nucleus | membrane"), names_of("Nucleoplasm;Cytosol"), names_of("none")
    (('membrane', 'nucleus'), ('Cytosol', 'Nucleoplasm'), ())
    """
    return tuple(sorted({name.strip() for name in BETWEEN.split(str(cell))} - {"", NONE}))


# How the cells of a truth name classes, by the kind of the truth; other kinds name none.
NAMED: Mapping[str, Callable[[Any], tuple[str, ...]]] = {"category": lambda cell: (cell,), "labelset": names_of}


def separated(truth: pd.Series) -> bool:
    """Whether a cell of a column of text names several classes."""
    return bool(truth.dropna().astype("str").str.contains(BETWEEN.pattern).any())


def classes_of(truth: pd.Series, kind: str) -> set[str]:
    """The classes that a column of this kind names; none of a kind that has no classes."""
    names = NAMED.get(kind)
    return {name for cell in truth.dropna().unique() for name in names(cell)} if names else set()


def held(truth: pd.Series, kind: str, classes: Collection[str]) -> list[bool]:
    """Which cells of a column of this kind name these classes and no other; an empty cell does not."""
    known = {cell: set(NAMED[kind](cell)) <= set(classes) for cell in truth.dropna().unique()}
    return [known.get(cell, False) for cell in truth]
