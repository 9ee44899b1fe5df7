"""The command that takes away what answers may rest on: controls."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from potency.cli.frame import command
from potency.cli.progress import Progress
from potency.cli.rows import Rows, describe, grid

if TYPE_CHECKING:
    from potency.reliance import Controls

app = typer.Typer()


@dataclass(frozen=True, kw_only=True)
class ControlsOptions(Rows):
    into: Annotated[Path, typer.Option(help="Folder of controls.html, controls.json and the CSV files.")] = Path(
        "out/controls"
    )
    model: Annotated[
        str,
        typer.Option(
            metavar="RUN|BUNDLE",
            help="A run of train (each row is asked of the fold that left it out), a bundle, or example:NAME. "
            "[dim]without: spectra and plain numbers[/dim]",
        ),
    ] = ""
    most: Annotated[
        int, typer.Option(min=20, metavar="N", help="Rows looked at; of more, as many of every group.")
    ] = 1000
    even_seen: Annotated[
        bool, typer.Option("--even-seen", help="Ask a bundle even for rows it has learned from; the page says so.")
    ] = False
    draws: Annotated[int, typer.Option(min=100, help="Draws of whole groups.")] = 1000
    seed: Annotated[int, typer.Option(min=0, help="Of the draws, phases and tiles.")] = 0


@command(
    app,
    ("out/first/predictions.parquet --model out/first", "what the answers of a run rest on, each row by its own fold"),
    ("test_images/ --model out/first/bundle --into out/controls", "on images the model has not seen"),
    ("labels.csv --group plate", "spectra and plain numbers alone: what is there before any network"),
    ("out/first/predictions.parquet --model out/first --most 300 --json | jq .verdict", "quickly, for a script"),
)
def controls(options: ControlsOptions, say: Console) -> dict[str, Any]:
    """Take frequencies, arrangement and all but one number away from images, and see what a model's answers rest on."""
    from potency.reliance import controls as take_away

    manifest = options.read()
    describe(manifest, say)
    with Progress() as progress:
        found = take_away(
            manifest, options.model or None, most=options.most, draws=options.draws, seed=options.seed,
            even_seen=options.even_seen, progress=progress,
        )  # fmt: skip
    page = found.write(options.into)
    shown(found, say)
    say.print(f"controls: {page}", soft_wrap=True)
    return {"controls": page, **found.json()}


def shown(found: Controls, say: Console) -> None:
    """Print what it means and the tables in short."""
    if found.facts["warning"]:
        say.print(f"[yellow]{escape(found.facts['warning'])}[/yellow]", soft_wrap=True)
    for place, line in enumerate(found.verdict):
        say.print(f"[bold]{escape(line)}[/bold]" if not place else f"  {escape(line)}", soft_wrap=True)
    for heading, table in found.tables().items():
        rows = {cells[0]: dict(zip(table.head[1:], cells[1:], strict=True)) for cells in table.rows}
        say.print(f"\n{heading}", style="bold")
        grid(table.head[0], rows, say)
