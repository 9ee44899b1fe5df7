"""What measured columns are called on a page, which of them come first, and how their values are written."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from potency.evaluation.wording import figure, places_of
from potency.pictures.found import called, unit_of

FIRST = ("class", "score", "equivalent_diameter_area", "area", "perimeter", "eccentricity", "solidity")
UM = {"_um": 1, "_um2": 2}
BRIGHT = "intensity_mean-"
MANY = 11  # columns on a page; the files hold all


def columns(names: Iterable[str], known: bool) -> list[str]:
    """The columns that are shown, the telling ones first; in um (`known`) rather than in pixels.

    >>> columns(["area", "area_um2", "eccentricity", "intensity_mean-dapi", "bbox-0"], True)
    ['area_um2', 'eccentricity', 'intensity_mean-dapi']
    """
    there = list(names)
    found = []
    for name in FIRST:
        in_um = next((name + end for end in UM if name + end in there), "")
        if known and in_um:
            found.append(in_um)
        elif name in there:
            found.append(name)
    return (found + [name for name in there if name.startswith(BRIGHT)])[:MANY]


def title(name: str) -> str:
    """What a column is called, with its unit.

    >>> title("area_um2"), title("intensity_mean-dapi"), title("equivalent_diameter_area")
    ('area, µm²', 'mean intensity dapi', 'diameter, px')
    """
    return f"mean intensity {name.removeprefix(BRIGHT)}" if name.startswith(BRIGHT) else called(name)


def value(cell: Any) -> str:
    """A cell in three digits or so.

    >>> value(12.3456), value("live"), value(float("nan")), value(1234567.0), value(12)
    ('12.3', 'live', '–', '1,234,567', '12')
    """
    if isinstance(cell, str):
        return cell
    number = float(cell)
    return figure(number, 0 if number.is_integer() else places_of(number)) if math.isfinite(number) else "–"


def worded(row: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What is known of one object in words, (what, value), in um where that is known."""
    known = any(name.endswith(tuple(UM)) and isinstance(row[name], int | float) for name in row)
    said = []
    for name in columns(row, known):
        unit = unit_of(name) if title(name).endswith(unit_of(name)) else ""
        words = title(name).removesuffix(f", {unit}") if unit else title(name)
        said.append((words, f"{value(row[name])} {unit}".rstrip()))
    return said
