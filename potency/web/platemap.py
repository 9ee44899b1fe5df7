"""A plate as a map: where its wells are drawn, which colour each has, which are unusual, whether the edge differs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

# Viridis at nine even steps (van der Walt & Smith 2015, CC0): equal steps look equal, to colour-blind eyes too.
COLOURS = ((68, 1, 84), (71, 45, 123), (59, 82, 139), (44, 114, 142), (33, 145, 140), (40, 174, 128), (94, 201, 98),
           (173, 220, 48), (253, 231, 37))  # fmt: skip
CELL, MARGIN = 30, 26  # px of a well and of the row and column names
FAR = 3.5  # robust standard deviations from the median of its plate from which a well is listed as unusual
FEWEST = 8  # wells, under which nothing is usual
EDGE_P, EDGE_SIZE, EDGE_WELLS = 0.001, 0.5, 4  # when the edge is said to differ: p, spreads, wells on either side


@dataclass(frozen=True)
class Spot:
    """One well as drawn: its place in px, its colour ("" where there is no value), what it says."""

    well: str
    x: float
    y: float
    fill: str
    text: str
    there: bool
    odd: bool
    flagged: bool


@dataclass(frozen=True)
class Plate:
    """One plate as drawn, its unusual wells (the farthest first), and what its edge tells."""

    name: str
    spots: tuple[Spot, ...]
    rows: tuple[tuple[str, float], ...]
    columns: tuple[tuple[str, float], ...]
    wide: int
    high: int
    odd: tuple[tuple[str, str], ...]
    edge: str
    empty: int


@dataclass(frozen=True)
class Legend:
    """The scale of the colours: its ends as text, its colours from low to high, whether values lie beyond it."""

    low: str
    middle: str
    high: str
    colours: tuple[str, ...]
    beyond: bool


def size_of(wells: Sequence[str], asked: int = 0) -> tuple[int, int]:
    """Rows and columns of the plate: of so many wells where asked for and large enough, else the smallest usual one.

    >>> size_of(["A01", "H12"]), size_of(["B02"], 96), size_of(["P24"], 96)
    ((8, 12), (8, 12), (16, 24))
    """
    from potency.confounding.suspects import PLATES, place_of

    places = [place_of(well) for well in wells] or [(0, 0)]
    down, across = max(row for row, _ in places) + 1, max(column for _, column in places) + 1
    fits = [size for size in PLATES if size[0] >= down and size[1] >= across]
    return next((size for size in fits if size[0] * size[1] == asked), fits[0] if fits else PLATES[-1])


def drawn(name: str, wells: Sequence[Mapping[str, Any]], measure: Mapping[str, str], size: tuple[int, int],
          limits: tuple[float, float]) -> Plate:
    """The map of one plate by one measure; wells without images are empty places.

    Args:
        name: of the plate.
        wells: its wells, each with `well`, `values`, `images`, `flags`.
        measure: `key`, `title` and `unit`.
        size: rows and columns.
        limits: what the ends of the scale are.
    """
    known = {str(one["well"]): one for one in wells}
    key = measure["key"]
    values = {well: float(one["values"][key]) for well, one in known.items() if key in one["values"]}
    far = unusual(values)
    spots = []
    for row in range(size[0]):
        for column in range(size[1]):
            well = spelt(row, column)
            one, value = known.get(well), values.get(well)
            said = f"{well}: no image" if one is None else f"{well}: {said_of(value, measure['unit'])}"
            if one is not None:
                said += f", {one['images']} image{'s' if one['images'] != 1 else ''}"
                said += f", {one['label']}" if one.get("label") else ""
                said += ", unusual" if well in far else ""
                said += f", flagged: {', '.join(one['flags'])}" if one["flags"] else ""
            spots.append(Spot(well, MARGIN + CELL * column, MARGIN + CELL * row, colour(value, *limits), said,
                              one is not None, well in far, bool(one and one["flags"])))  # fmt: skip
    listed = tuple((well, f"{said_of(values[well], measure['unit'])}, {distance:+.1f} spreads")
                   for well, distance in sorted(far.items(), key=lambda item: -abs(item[1])))  # fmt: skip
    rows = tuple((spelt(row, 0)[:-2], MARGIN + CELL * (row + 0.5)) for row in range(size[0]))
    columns = tuple((str(column + 1), MARGIN + CELL * (column + 0.5)) for column in range(size[1]))
    return Plate(name, tuple(spots), rows, columns, MARGIN + CELL * size[1] + 2, MARGIN + CELL * size[0] + 2, listed,
                 edge(values, size), size[0] * size[1] - len(known))  # fmt: skip


def limits_of(values: Sequence[float]) -> tuple[float, float]:
    """The ends of the scale: the 2nd and the 98th percentile, so that one odd well does not take all colours.

    >>> limits_of([1.0, 1.0]), limits_of([])
    ((0.5, 1.5), (0.0, 1.0))
    """
    ordered = sorted(values)
    if not ordered:
        return 0.0, 1.0
    low, high = (ordered[round(share * (len(ordered) - 1))] for share in (0.02, 0.98))
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def legend(limits: tuple[float, float], values: Sequence[float]) -> Legend:
    """The scale for the eye."""
    low, high = limits
    if values and min(values) == max(values):
        return Legend("", f"all {values[0]:.3g}", "", (colour(values[0], low, high),) * 9, False)
    stops = tuple(colour(low + (high - low) * k / 8, low, high) for k in range(9))
    beyond = any(value < low or value > high for value in values)
    return Legend(f"{low:.3g}", f"{(low + high) / 2:.3g}", f"{high:.3g}", stops, beyond)


def colour(value: float | None, low: float, high: float) -> str:
    """The colour of a value as SVG has it, "" for none.

    >>> colour(0, 0, 1), colour(5, 0, 1), colour(None, 0, 1)
    ('#440154', '#fde725', '')
    """
    if value is None or not math.isfinite(value):
        return ""
    at = min(1.0, max(0.0, (value - low) / (high - low))) * (len(COLOURS) - 1)
    first = min(int(at), len(COLOURS) - 2)
    mixed = (round(a + (b - a) * (at - first)) for a, b in zip(COLOURS[first], COLOURS[first + 1], strict=True))
    return "#" + "".join(f"{part:02x}" for part in mixed)


def unusual(values: Mapping[str, float]) -> dict[str, float]:
    """Wells far from the median of their plate, and how many robust standard deviations."""
    if len(values) < FEWEST:
        return {}
    ordered = sorted(values.values())
    middle = _median(ordered)
    spread = 1.4826 * _median(sorted(abs(value - middle) for value in ordered))
    if spread <= 0:
        return {}
    return {well: (value - middle) / spread for well, value in values.items() if abs(value - middle) > FAR * spread}


def edge(values: Mapping[str, float], size: tuple[int, int]) -> str:
    """What can be said of the outermost wells against the others: a rank test, and how large the difference is."""
    from scipy.stats import mannwhitneyu

    from potency.confounding.suspects import place_of

    outer: list[float] = []
    inner: list[float] = []
    for well, value in values.items():
        row, column = place_of(well)
        outside = row in (0, size[0] - 1) or column in (0, size[1] - 1)
        (outer if outside else inner).append(value)
    if not outer:
        return "The outermost wells hold no images."
    if min(len(outer), len(inner)) < EDGE_WELLS:
        return "Too few wells at the edge or inside to compare them."
    p = float(mannwhitneyu(outer, inner).pvalue)
    ordered = sorted(values.values())
    spread = 1.4826 * _median(sorted(abs(value - _median(ordered)) for value in ordered))
    apart = (_median(sorted(outer)) - _median(sorted(inner))) / spread if spread > 0 else 0.0
    if p <= EDGE_P and abs(apart) >= EDGE_SIZE:
        way = "higher" if apart > 0 else "lower"
        return (f"Edge effect: the outermost wells are {way} by {abs(apart):.1f} spreads (rank test, p = {p:.2g}). "
                "Look whether conditions lie at the edge; else leave these wells out.")
    return f"The outermost wells do not differ beyond chance (rank test, p = {p:.2g})."


def spelt(row: int, column: int) -> str:
    """The name of a well by its place from 0.

    >>> spelt(0, 0), spelt(31, 47)
    ('A01', 'AF48')
    """
    return ("A" if row > 25 else "") + chr(ord("A") + row % 26) + f"{column + 1:02d}"


def said_of(value: float | None, unit: str) -> str:
    """A value with its unit."""
    return "no value" if value is None else f"{value:.4g}" + (f" {unit}" if unit else "")


def _median(ordered: Sequence[float]) -> float:
    half = len(ordered) // 2
    return ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2
