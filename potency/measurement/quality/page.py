"""The page of a quality check: how many images each flag has, the worst of them, the light, and how wells grow."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from potency.data.columns import simulated
from potency.evaluation.gallery import Card, Wall, thumbnail
from potency.evaluation.paper import printed
from potency.evaluation.tables import Grid
from potency.evaluation.wording import clean
from potency.measurement.quality.flags import LIMITS
from potency.measurement.quality.growth import FOUND, followed
from potency.measurement.quality.quality import flagged

if TYPE_CHECKING:
    import pandas as pd

    from potency.data.manifest import Manifest
    from potency.measurement.quality.flatfield import Light

SHOWN = 12
CURVES, NAMED = 24, 10  # that are drawn, and up to how many have a legend


@dataclass(frozen=True)
class Picture:
    """A figure as a data URI, with a sentence on how to read it; a wide one takes the whole width of a page."""

    title: str
    source: str
    look: str
    wide: bool = False


def page(
    manifest: Manifest, lights: Mapping[str, Light], growth: pd.DataFrame | None = None, time: str = "time"
) -> str:
    """The page as text, self-contained: of rows that `quality` has judged, and of what `lights` and `growth` found."""
    flags = flagged(manifest)
    wrong = int(manifest.table["quality.flags"].fillna("").ne("").sum())
    tables = [_flags(flags, len(manifest)), _numbers(manifest)]
    pictures = [_light(name, light) for name, light in lights.items()]
    if growth is not None and len(growth):
        tables.append(_growth(growth))
        pictures.append(_curves(manifest, time))
    return printed(
        "measurement/quality/page.html", title="Quality of the images",
        subtitle=f"{len(manifest)} images of {manifest.folder.name or 'a table'}", simulated=simulated(manifest.table),
        verdict=f"{wrong} of {len(manifest)} images carry a flag." if wrong else "No image carries a flag.",
        tables=tables, pictures=pictures, walls=[worst(manifest, flag) for flag in flags],
    )  # fmt: skip


def _limits(flag: str) -> list[Any]:
    return [limit for limit in LIMITS if flag == limit.flag or flag.startswith(limit.flag + " (")]


def _flags(flags: Mapping[str, Sequence[int]], count: int) -> Grid:
    rows = tuple(
        (flag, str(len(rows)), f"{len(rows) / count:.1%}",
         " or ".join(limit.why for limit in _limits(flag)) or "the file cannot be decoded")
        for flag, rows in flags.items()
    )  # fmt: skip
    note = "" if rows else "Nothing was found. A set that is wrong throughout has no usual image to differ from."
    return Grid("Flags", ("flag", "images", "share", "when it is raised"), rows, note)


def numbers(manifest: Manifest) -> dict[str, dict[str, float]]:
    """Median, 5th and 95th percentile of each measure, by its name without `quality.`."""
    found = {}
    for name in map(str, manifest.table.columns):
        if name.startswith("quality.") and name not in ("quality.flags", "quality.error"):
            values = manifest.table[name].to_numpy(np.float64)
            values = values[np.isfinite(values)]
            if len(values):
                low, middle, high = (float(value) for value in np.percentile(values, (5, 50, 95)))
                found[name.removeprefix("quality.")] = {"p5": low, "median": middle, "p95": high}
    return found


def _numbers(manifest: Manifest) -> Grid:
    rows = tuple((name, *(f"{value:.3g}" for value in cells.values())) for name, cells in numbers(manifest).items())
    return Grid("Measures", ("measure", "5 % are below", "median", "5 % are above"), rows)


def worst(manifest: Manifest, flag: str) -> Wall:
    """The first images of a flag of judged rows, those furthest beyond its limit first."""
    rows: Sequence[int] = flagged(manifest)[flag]
    table, limits = manifest.table, _limits(flag)
    column, sign = "", 1.0
    for limit in limits:
        inside = flag[len(limit.flag) :].strip(" ()")
        name = ".".join(("quality", *([inside] if inside else []), limit.measure))
        if name in table.columns:
            column, sign = name, -1.0 if limit.low else 1.0
    if column:
        rows = sorted(rows, key=lambda row: -sign * np.nan_to_num(float(table[column].iloc[row]), nan=-np.inf * sign))
    cards = []
    for at in rows[:SHOWN]:
        row = table.iloc[at]
        said = f"{column.removeprefix('quality.')} {float(row[column]):.3g}" if column else clean(row["quality.error"])
        hint = f"{clean(row['id'], 60)}: {row['quality.flags']}"
        cards.append(Card(thumbnail(row, manifest.folder), clean(row["id"], 18), (said,), hint))
    look = " or ".join(limit.why for limit in limits) or "these could not be read"
    return Wall(f"{flag}: {len(rows)}", look[:1].upper() + look[1:] + ".", tuple(cards))


def _light(name: str, light: Light) -> Picture:
    figure, axes = _axes(4.2)
    shown = axes.imshow(light.flat, cmap="viridis")
    figure.colorbar(shown, label="light, mean 1")
    axes.set_axis_off()
    look = f"Learned from {len(light.brightness)} images; brightest less darkest {light.unevenness:.0%} of the mean."
    return Picture(f"How the field is lit: {name}", _uri(figure), look)


def _growth(growth: pd.DataFrame) -> Grid:
    keys = [str(name) for name in growth.columns if name not in FOUND]
    rows = []
    for row in growth.to_dict("records"):
        rate = f"{row['rate']:.3g} [{row['low']:.3g}, {row['high']:.3g}]" if row["model"] else "none"
        twice = f"{row['doubling']:.3g}" if np.isfinite(row["doubling"]) else ""
        named = " ".join(str(row[key]) for key in keys)
        rows.append((named, rate, twice, row["model"], str(row["points"]), row["why"]))
    head = (" ".join(keys), "growth rate [95 % interval]", "doubling time", "fit", "points", "mind")
    return Grid("Growth", head, tuple(rows), "Rates and doubling times are in the unit of the time column.")


def _curves(manifest: Manifest, time: str) -> Picture:
    import pandas as pd

    figure, axes = _axes(6.5)
    table = manifest.table
    value = next(name for name in map(str, table.columns) if name.startswith("quality.") and "confluence" in name)
    keys = followed(table)
    frame = pd.DataFrame({"time": pd.to_numeric(table[time], errors="coerce"), "value": table[value],
                          "key": table[keys].astype("str").agg(" ".join, axis=1)})  # fmt: skip
    wells = list(frame.groupby("key"))
    for key, part in wells[:CURVES]:
        mean = part.groupby("time")["value"].mean()
        axes.plot(mean.index, mean.to_numpy(), marker=".", label=str(key))
    axes.set(xlabel=time, ylabel="confluence", ylim=(0, 1))
    if len(wells) <= NAMED:
        axes.legend(fontsize=7)
    more = f" The first {CURVES} of {len(wells)} are drawn." if len(wells) > CURVES else ""
    return Picture("Confluence over time", _uri(figure), f"Mean of the fields of each {' and '.join(keys)}.{more}")


def _axes(width: float) -> tuple[Any, Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, 3.2), layout="constrained")
    return figure, figure.add_subplot()


def _uri(figure: Any) -> str:
    written = io.BytesIO()
    figure.savefig(written, format="png", dpi=110)
    return "data:image/png;base64," + base64.b64encode(written.getvalue()).decode("ascii")
