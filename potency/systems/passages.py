"""What other rooms found, as tables and pictures of a recipe's page: early curves, controls, columns, maps."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from potency.evaluation.tables import Grid
from potency.evaluation.wording import known, spoken
from potency.measurement.quality.page import Picture

if TYPE_CHECKING:
    from potency.data.manifest import Manifest
    from potency.evaluation.along import Level
    from potency.evaluation.drawing import Plot
    from potency.evaluation.tables import Table
    from potency.explanation.segments import Segmented
    from potency.reliance import Controls
    from potency.timing import Early

NONE = "–"
TRIVIAL, PLAIN = "prediction@trivial", "prediction@plain-numbers"
NUMBERS = "plain numbers (size, mean intensity, variance)"
ACCOUNT = {
    "input": "of the difference, reached the image",
    "bias": "of the difference, held by constants",
    "absorbed": "of the difference, reached nothing",
}


def drawn(plot: Plot | None) -> tuple[Picture, ...]:
    """A plot as a picture that stands in the page; none where there is no plot."""
    if plot is None:
        return ()
    coded = base64.b64encode(_standing(plot.svg).encode("utf-8")).decode("ascii")
    return (Picture(plot.title, f"data:image/svg+xml;base64,{coded}", f"{plot.look} {plot.found}".strip(), plot.wide),)


def _standing(svg: str) -> str:
    """An <svg> that may stand by itself: with its namespace, its size, and the colours that a page would give it."""
    style = (resources.files("potency.evaluation") / "page.css").read_text("utf-8").partition("}")[0]
    colours = dict(re.findall(r"--(\w+): (#\w+)", style)) | {"paper": "#ffffff"}
    svg = re.sub(r"var\(--(\w+)\)", lambda found: colours.get(found[1], "#1c2126"), svg)
    size = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', svg)
    sides = f' width="{size[1]}" height="{size[2]}"' if size else ""
    look = f' xmlns="http://www.w3.org/2000/svg" font-family="Helvetica, Arial, sans-serif"{sides}'
    return svg.replace("<svg", f"<svg{look}", 1).replace('style="max-width', 'style="background: #fff; max-width', 1)


def grid(title: str, table: Table, note: str = "") -> Grid:
    """A table of a report as one of the page; an empty cell is a dash."""
    rows = tuple(tuple(cell or NONE for cell in row) for row in table.rows)
    return Grid(title, tuple(table.head), rows, note or table.note)


def curve(found: Early, unit: str = "hours") -> tuple[tuple[Grid, ...], tuple[Picture, ...]]:
    """The first curve time by time, when each curve beats the trivial answer, and the picture."""
    from potency.timing.page import over_time

    tables = found.tables()
    first = next(iter(tables))
    rest = tuple(
        (one.name, _when(one.first, unit), _when(one.stays, unit),
         NONE if one.name not in found.compared else str(found.compared[one.name]))
        for one in found.curves
    )  # fmt: skip
    note = ("Better: the first curve minus this one, over all times both have, paired, with its 95 % interval; of an "
            "error, how much smaller it is.")  # fmt: skip
    header = ("curve", "first at", "and stays so from", "the first curve is better by")
    later = Grid("When each curve beats the trivial answer", header, rest, note)
    return (grid(f"{known(found.score)[0]} at each time", tables[first]), later), drawn(over_time(found))


def as_learner(rows: Manifest) -> Manifest:
    """The trivial answer as one more learner, PLAIN, so that the rival of all, in time, is guessing one class.

    What asks from when on there is anything to see asks it for plain numbers too.
    """

    def plain(name: str) -> str:
        return PLAIN + name.removeprefix(TRIVIAL) if name == TRIVIAL or name.startswith(f"{TRIVIAL}.") else name

    kinds = {plain(name): kind for name, kind in rows.kinds.items()}
    return replace(rows, table=rows.table.rename(columns=lambda name: plain(str(name))), kinds=kinds)


def called(found: Early, names: Mapping[str, str]) -> Early:
    """The same curves, each by the name of its column in `names`."""

    def name_of(curve: str) -> str:
        column, comma, rest = curve.partition(",")
        own = "prediction" if column == "prediction" else f"prediction@{column}"
        return names.get(own, column) + comma + rest

    return replace(found, curves=tuple(replace(one, name=name_of(one.name)) for one in found.curves),
                   compared={name_of(name): gap for name, gap in found.compared.items()})  # fmt: skip


def _when(time: float | None, unit: str) -> str:
    return "never" if time is None else f"{time:g} {unit}"


def controlled(found: Controls) -> tuple[tuple[Grid, ...], tuple[Picture, ...]]:
    """Bands taken away and kept, arrangement mixed, plain numbers as classifiers, partial correlations."""
    from potency.reliance import pictures

    grids = tuple(grid(title, table) for title, table in found.tables().items())
    plots = (pictures.bands(found), pictures.mixed(found), pictures.ones(found), pictures.partials(found))
    return grids, tuple(picture for plot in plots for picture in drawn(plot))


def compared(
    title: str, levels: Sequence[Level], names: Mapping[str, str], what: str = "", note: str = "",
    said: Mapping[str, str] | None = None,
) -> Grid:  # fmt: skip
    """Columns at each level: a line a level, the figure of every column, and the first minus each other, paired.

    `said` gives more words for a level by its value.
    """
    columns = list(names)
    metric = known(levels[0].metric)[0].lower()
    header = (what or metric, *(names[column] for column in columns),
              *(f"{names[columns[0]]} minus {names[column]}" for column in columns[1:]))  # fmt: skip
    rows = tuple(
        (level.value + (said or {}).get(level.value, ""),
         *(spoken(level.figures.get(column), level.metric) for column in columns),
         *(spoken(level.differences.get(column), level.metric, signed=True) for column in columns[1:]))
        for level in levels
    )  # fmt: skip
    return Grid(title, header, rows, note or f"{metric.capitalize()}, with 95 % intervals over whole groups.")


def segments(title: str, found: Segmented) -> Grid:
    """Area and share of the map of every segment, by the class that is explained."""
    rows = tuple(
        (part.label or "the value", part.segment, f"{part.images}",
         *map(str, (part.area, part.share, part.beyond, part.mean)))
        for part in found.parts
    )  # fmt: skip
    header = ("explained for", "part", "images", "of the area", "of the map", "beyond its area", "mean there")
    note = " ".join([
        f"Parts: {found.how}. Sizes of the map whatever its sign; the mean is in units of the mean size of the whole "
        "map, over zero where the part speaks for the class.", *found.verdict])  # fmt: skip
    return Grid(title, header, rows, note)


def account(made: Manifest, books: tuple[float, float, int], name: str = "explanation") -> Grid:
    """What became of the score, and whether the maps pass their tests; `books`: the worst step, worst sum, images."""
    import numpy as np

    from potency.explanation.account import shares_of

    table = made.table[made.table[name].notna()]
    rows, shares = [], shares_of(table, name)
    known = int(shares["input"].notna().sum())
    for part, words in ACCOUNT.items() if known else ():
        low, middle, high = shares[part].quantile([0.25, 0.5, 0.75])
        rows.append((words, f"{middle:.3f}", f"{low:.3f} to {high:.3f}"))
    layer, total, images = books
    rows.append((f"worst step: of what entered it, on no account ({images} images)", f"{layer:.1e}", NONE))
    rows.append(("image, biases and absorbed together, off the score by at most", f"{total:.1e}", NONE))
    for part, words in (("deletion", "hidden first, the answer falls faster than by chance by"),
                        ("insertion", "shown first, the answer rises faster than by chance by")):  # fmt: skip
        if f"{name}.{part}" in table:
            low, middle, high = np.nanpercentile(table[f"{name}.{part}"].to_numpy(float), (25, 50, 75))
            rows.append((words, f"{middle:+.3f}", f"{low:+.3f} to {high:+.3f}"))
    ways = ", ".join(sorted(set(table.get(f"{name}.way", [""]))))
    note = (f"{len(table)} maps; rule: {ways or 'default'}. The difference is that to the score of an empty image, "
            f"told of the {known} maps in which it is no remainder of parts that cancel.")  # fmt: skip
    return Grid("Is every unit of the score accounted for?", ("", "median", "middle half"), tuple(rows), note)


def maps(made: Manifest, folder: Path, most: int = 8, name: str = "explanation") -> tuple[Picture, ...]:
    """Images with their maps beside them, as many of each class that was explained."""
    table = made.table[made.table[name].notna()]
    each = max(1, most // max(1, table[f"{name}.label"].nunique()))
    chosen = table.groupby(f"{name}.label", sort=True).head(each).sort_values(f"{name}.label", kind="stable")
    return tuple(_shown(row, folder, name) for row in chosen.to_dict("records"))


def _shown(row: Mapping[Any, Any], folder: Path, name: str) -> Picture:
    path = (folder / str(row[name])).with_suffix(".png")
    coded = base64.b64encode(path.read_bytes()).decode("ascii")
    time, truth = row.get("time"), row["truth"]
    said = f"truth {truth:.2f}" if isinstance(truth, float) else f"truth {truth}"
    when = f", {time:g} h" if isinstance(time, float) else ""
    return Picture(f"{row[f'{name}.label'] or 'the value'} ({said}{when})", f"data:image/png;base64,{coded}", "")
