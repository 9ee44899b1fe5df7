"""Turns a matplotlib figure into a small SVG that wears the page's colours, light or dark."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

from potency.evaluation.wording import clean

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Placeholder colours: matplotlib draws with them, the page's style sheet decides what they look like.
INK, MUTED, GRID, PAPER, MAIN, OTHER, BAD = (f"#0a0b0{i}" for i in range(7))
VARIABLES = {INK: "ink", MUTED: "muted", GRID: "line", PAPER: "paper", MAIN: "main", OTHER: "other", BAD: "bad"}
HALVES = ([0.0, 0.5, 1.0], ["0", ".5", "1"])  # ticks of a share
RULES: dict[str, Any] = {
    "svg.fonttype": "none", "svg.hashsalt": "potency", "text.parse_math": False, "font.size": 10,
    "font.family": "DejaVu Sans", "axes.titlesize": 10, "axes.labelsize": 10, "xtick.labelsize": 9,
    "ytick.labelsize": 9, "legend.fontsize": 9, "legend.frameon": False, "text.color": INK, "axes.labelcolor": MUTED,
    "axes.titlecolor": INK, "xtick.color": MUTED, "ytick.color": MUTED, "axes.edgecolor": GRID, "grid.color": GRID,
    "grid.linewidth": 0.6, "axes.linewidth": 0.8, "axes.spines.top": False, "axes.spines.right": False,
    "axes.axisbelow": True, "xtick.major.size": 3, "ytick.major.size": 3, "axes.titlelocation": "left",
    "figure.facecolor": "none", "axes.facecolor": "none", "savefig.facecolor": "none", "lines.linewidth": 1.6,
    "path.simplify": True, "path.simplify_threshold": 0.2, "axes.unicode_minus": True,
}


@dataclass(frozen=True)
class Plot:
    """A picture with its caption: `look` says what to look for, `found` what is seen in this report."""

    name: str
    title: str
    look: str
    svg: str
    found: str = ""
    wide: bool = False


class Sheet:
    """A figure measured in CSS pixels, whose parts can carry a hover text."""

    def __init__(self, figure: Figure) -> None:
        self.figure = figure
        self.tips: list[str] = []

    def axes(self, rows: int = 1, columns: int = 1, **how: Any) -> list[Axes]:
        """Axes row by row."""
        return list(self.figure.subplots(rows, columns, squeeze=False, **how).flat)

    def panels(self, count: int, columns: int, titles: float, labels: tuple[str, str]) -> list[Axes]:
        """`count` small multiples alike in scale, `titles` pixels above each; only the outer ones are numbered.

        Margins are fixed: solving a layout for many axes takes longer than everything else on the page.
        """
        rows = -(-count // columns)
        width, height = self.figure.get_size_inches() * 72
        left, bottom, right, gap = (56.0 if labels[1] else 8.0), 46.0, 8.0, 14.0
        self.figure.set_layout_engine("none")
        wide = (width - left - right - gap * (columns - 1)) / columns
        high = (height - bottom) / rows - titles
        made = []
        for place in range(count):
            row, column = divmod(place, columns)
            x, y = left + column * (wide + gap), height - (row + 1) * (high + titles)
            axes = self.figure.add_axes((x / width, y / height, wide / width, high / height))
            lowest = place + columns >= count
            axes.tick_params(labelbottom=lowest, labelleft=column == 0 and bool(labels[1]))
            made.append(axes)
        self.figure.text((left + (width - left) / 2) / width, 8 / height, labels[0], color=MUTED, ha="center")
        self.figure.text(12 / width, (bottom + height) / 2 / height, labels[1], color=MUTED, rotation=90, va="center",
                         ha="center", rotation_mode="anchor")  # fmt: skip
        return made

    def tip(self, artist: Any, text: str) -> None:
        """Show `text` while the pointer rests on the artist."""
        artist.set_gid(f"tip-{len(self.tips)}")
        self.tips.append(clean(text))

    def svg(self, name: str, label: str) -> str:
        """The figure as an <svg> element to stand inside a page; ids are unique to `name`."""
        from matplotlib.backends.backend_svg import FigureCanvasSVG

        written = io.StringIO()
        with warnings.catch_warnings():
            # Text stays text, so the reader's browser, not this machine's font, must know the letter.
            warnings.filterwarnings("ignore", message=r"Glyph .* missing from")
            canvas: Any = FigureCanvasSVG(self.figure)
            canvas.print_svg(written, metadata={"Date": None, "Creator": None})
        return _themed(written.getvalue(), name, label, self.tips)


@contextmanager
def sheet(width: float, height: float) -> Iterator[Sheet]:
    """A sheet of `width` x `height` pixels; draw on it and take its `svg` inside the block."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    rules: Any = RULES
    with rc_context(rules):
        yield Sheet(Figure(figsize=(width / 72, height / 72), layout="constrained"))


def ruled(axes: Axes, x: str = "", y: str = "", title: str = "", grid: str = "both") -> None:
    """Labels and a quiet grid."""
    axes.set(xlabel=x, ylabel=y)
    if title:
        axes.set_title(title)
    if grid:
        axes.grid(True, axis=grid)  # type: ignore[arg-type]
    axes.tick_params(length=0)


def _themed(svg: str, name: str, label: str, tips: list[str]) -> str:
    svg = svg[svg.index("<svg") :].strip()
    svg = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<defs>\s*<style[^>]*>.*?</style>\s*</defs>", "", svg, count=1, flags=re.DOTALL)
    # Hundredths of a pixel are enough for shapes; what stands between the tags is figures, and is left alone.
    svg = re.sub(r"<[^>]*>", lambda tag: re.sub(r"(\d\.\d{2})\d+", r"\1", tag[0]), svg)
    for colour, variable in VARIABLES.items():
        svg = svg.replace(colour, f"var(--{variable})")
    svg = re.sub(r"(font-family: )?'DejaVu Sans'[^;\"]*", lambda m: "font-family: inherit" if m[1] else "inherit", svg)
    svg = re.sub(r"font: (\d[\d.]*px) inherit", r"font-size: \1", svg)
    svg = re.sub(r'(<g) id="tip-(\d+)">', lambda m: f"<g><title>{escape(tips[int(m[2])])}</title>", svg)
    used = set(re.findall(r'(?:url\(#|href="#)([^")]+)', svg))
    svg = re.sub(r' id="([^"]*)"', lambda m: f' id="{name}-{m[1]}"' if m[1] in used else "", svg)
    svg = re.sub(r'(url\(#|href="#)([^")]+)', rf"\g<1>{name}-\g<2>", svg)
    svg = re.sub(r">\s+<", "><", svg).replace("xlink:href", "href")
    size = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', svg)
    width = f"{1.15 * float(size[1]):.0f}" if size else "400"
    box = size[0] if size else ""
    head = f'<svg role="img" aria-label="{escape(label)}" {box} style="max-width:{width}px">'
    return head + svg[svg.index(">") + 1 :]
