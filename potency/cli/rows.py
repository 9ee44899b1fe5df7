"""The options by which every command reads its rows, and how the rows are shown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from potency.cli.frame import Options

if TYPE_CHECKING:
    from potency.data.manifest import Manifest

Source = Annotated[
    Path,
    typer.Argument(
        metavar="FOLDER|TABLE",
        help="A table (CSV, TSV, Parquet, Excel), or a folder: with a table in it, or one folder a class.",
    ),
]


NAMES_HELP = (
    "How the files are named: Opera, ImageXpress, Incucyte, CellVoyager, plate_well_site, "
    "a regular expression with named groups, or none. [dim]else recognised, and shown[/dim]"
)
CHANNEL_HELP = "The one channel to see of files that hold several, by name or from 0. [dim]else all[/dim]"
EACH_HELP = "A row of each time point, plane or image that a file holds. [dim]else the first[/dim]"


@dataclass(frozen=True, kw_only=True)
class Rows(Options):
    """Where the rows come from and which of their columns mean what."""

    source: Source
    truth: Annotated[
        str, typer.Option(help="Column of the truth. [dim]found by its name: truth, label, class, target[/dim]")
    ] = ""
    group: Annotated[
        str,
        typer.Option(
            help="Column of what must not be torn apart: clone, donor, plate; also what file names tell, or a pattern. "
            "[dim]else inferred, and shown[/dim]"
        ),
    ] = ""
    classes: Annotated[str, typer.Option(metavar="A,B,...", help="Keep these classes only.")] = ""
    channels: Annotated[
        str,
        typer.Option(
            metavar="A,B,...", help="Channels kept in files of their own: columns, or parallel folders, by name."
        ),
    ] = ""

    names: Annotated[str, typer.Option(metavar="PATTERN|REGEX", help=NAMES_HELP)] = ""
    plate_map: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="A table of wells, or a plate as a grid: gives the truth, joined on well."),
    ] = None
    each: Annotated[str, typer.Option(metavar="t,z,series", help=EACH_HELP)] = ""
    channel: Annotated[str, typer.Option(metavar="NAME|NUMBER", help=CHANNEL_HELP)] = ""

    def read(self) -> Manifest:
        """The rows as a manifest; raises ManifestError where they cannot be understood."""
        from potency.data.manifest import Manifest

        manifest = Manifest.read(
            self.source,
            truth=self.truth or None,
            group=self.group or None,
            channels=listed(self.channels),
            classes=listed(self.classes),
            names=self.names,
            plate_map=self.plate_map,
        )
        return spread(manifest, self.each, self.channel)


def spread(manifest: Manifest, each: str, channel: str = "") -> Manifest:
    """A row of each time point, plane or image, as `--each` asks, seen in the one `channel` where one is named."""
    for column in listed(each):
        manifest = manifest.each(column)
    if channel:
        from potency.data.parts import CHANNEL

        manifest = manifest.add({CHANNEL: [channel] * len(manifest)})
    return manifest


def listed(text: str) -> tuple[str, ...]:
    """The names in a comma-separated option.

    >>> listed("G1, S_phase,")
    ('G1', 'S_phase')
    """
    return tuple(name.strip() for name in text.split(",") if name.strip())


def describe(manifest: Manifest, say: Console) -> dict[str, Any]:
    """Say in a few lines how the rows were understood; the same as a mapping for machines."""
    table = manifest.table
    facts: dict[str, Any] = {
        "rows": len(table),
        "groups": int(table["group"].nunique()),
        "groups_known": manifest.groups_known,
        "origin": dict(manifest.origin),
    }
    say.print(f"[bold]{len(table)}[/bold] rows, [bold]{facts['groups']}[/bold] groups")
    for column, how in manifest.origin.items():
        say.print(f"  {column}: {escape(str(how))}", style="dim")
    if "truth" in table:
        facts["truth"] = manifest.kinds.get("truth", "")
        if facts["truth"] == "category":
            facts["classes"] = per_class(table)
            grid("class", facts["classes"], say)
        elif facts["truth"] in ("labels", "regions", "objects"):
            say.print(f"  truth: {facts['truth']}, in files")
        else:
            values = table["truth"].dropna()
            facts["range"] = [float(values.min()), float(values.max())]
            say.print(f"  truth: {facts['truth']} from {facts['range'][0]:g} to {facts['range'][1]:g}")
    return facts


def per_class(table: Any) -> dict[str, dict[str, int]]:
    """Rows and groups of each class of a table with `truth` and `group`."""
    counted = table.groupby("truth", observed=True)["group"].agg(["size", "nunique"])
    return {str(name): {"rows": int(row["size"]), "groups": int(row["nunique"])} for name, row in counted.iterrows()}


def grid(first: str, rows: Mapping[str, Mapping[str, Any]], say: Console) -> None:
    """Print a mapping of mappings as a table with `first` as the name of its first column."""
    table = Table(first, box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
    columns = list(dict.fromkeys(column for row in rows.values() for column in row))
    for column in columns:
        words = any(str(row.get(column, "0"))[:1].isalpha() for row in rows.values())
        table.add_column(column, justify="left" if words else "right", no_wrap=not words)
    for name, row in rows.items():
        table.add_row(escape(name), *(escape(str(row.get(column, ""))) for column in columns))
    say.print(table)
