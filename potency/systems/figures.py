"""Pictures of a recipe's page that no report has: curves over time, clouds of points, drawn once and kept inside it."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from potency.measurement.quality.page import Picture

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS = ("#0a659f", "#bf5a00", "#1f7a3d", "#7a3d9e", "#59636d")  # the first two are those of the page
Line = tuple[Sequence[float] | NDArray[Any], Sequence[float] | NDArray[Any]]


def curves(title: str, lines: Mapping[str, Line], axes: tuple[str, str], look: str) -> Picture:
    """Lines with points, each (x, y) by its name; `axes` are the names of both."""
    figure, plot = _axes()
    for colour, (name, (x, y)) in zip(_endless(), lines.items(), strict=False):
        plot.plot(x, y, marker=".", linewidth=1.2, markersize=4, color=colour, label=name)
    plot.set(xlabel=axes[0], ylabel=axes[1])
    plot.set_ylim(bottom=0)
    if len(lines) > 1:
        plot.legend(fontsize=7, frameon=False)
    return Picture(title, _uri(figure), look)


def cloud(title: str, clouds: Mapping[str, Line], axes: tuple[str, str], look: str, diagonal: bool = False) -> Picture:
    """Points, each cloud (x, y) by its name in a colour of its own; `diagonal` draws where both axes agree."""
    figure, plot = _axes()
    for colour, (name, (x, y)) in zip(_endless(), clouds.items(), strict=False):
        plot.scatter(x, y, s=10, alpha=0.6, linewidths=0, color=colour, label=name)
    if diagonal:
        plot.axline((0, 0), slope=1, color="#59636d", linewidth=0.8, linestyle=":")
    plot.set(xlabel=axes[0], ylabel=axes[1])
    if len(clouds) > 1:
        plot.legend(fontsize=7, frameon=False)
    return Picture(title, _uri(figure), look)


def _endless() -> Sequence[str]:
    return [*COLOURS, *(f"C{number}" for number in range(100))]


def _axes() -> tuple[Any, Axes]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.2, 3.4), layout="constrained")
    plot = figure.add_subplot()
    for side in ("top", "right"):
        plot.spines[side].set_visible(False)
    return figure, plot


def _uri(figure: Any) -> str:
    written = io.BytesIO()
    figure.savefig(written, format="png", dpi=120)
    return "data:image/png;base64," + base64.b64encode(written.getvalue()).decode("ascii")
