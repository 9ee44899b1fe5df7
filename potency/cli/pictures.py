"""The command that shows what was found: images with outlines, single objects, and how their measurements spread."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from potency.cli.frame import command
from potency.cli.rows import Rows, grid, listed

app = typer.Typer()


@dataclass(frozen=True, kw_only=True)
class Show(Rows):
    into: Annotated[Path, typer.Option(help="Folder of the page, the pictures and the table of spreads.")] = Path(
        "out/shown"
    )
    answers: Annotated[
        str, typer.Option(metavar="COLUMN", help="What is drawn. [dim]else prediction, truth, mask or labels[/dim]")
    ] = ""
    of: Annotated[
        str, typer.Option(metavar="A,B,...", help="Measured columns whose spread is shown. [dim]else the size[/dim]")
    ] = ""
    by: Annotated[str, typer.Option(metavar="COLUMN", help="Compare them at each level: condition, plate, id.")] = ""
    first: Annotated[str, typer.Option(metavar="LEVEL", help="Its level the others are compared with.")] = ""
    largest: Annotated[
        str, typer.Option(metavar="A,B,...", help="Cut out the objects with the largest of a measured column.")
    ] = ""
    smallest: Annotated[
        str, typer.Option(metavar="A,B,...", help="And with the smallest: --smallest score for the least certain.")
    ] = ""
    where: Annotated[
        str, typer.Option(metavar="RULES", help="Only objects for which rules hold: 'area>=50,class=live'.")
    ] = ""
    number: Annotated[int, typer.Option(min=1, max=500, help="Of images, and of objects of each kind.")] = 24
    tracks: Annotated[
        bool, typer.Option("--tracks", help="Numbers are those of tracks: each keeps its colour in every image.")
    ] = False
    draws: Annotated[int, typer.Option(min=100, help="Draws of the bootstrap over groups.")] = 1000
    seed: Annotated[int, typer.Option(min=0, help="Of the bootstrap.")] = 0


@command(
    app,
    ("out/predictions/predictions.parquet", "images with outlines, the largest and smallest objects, sizes"),
    ("masks.csv --answers mask --by condition", "sizes in each condition, with intervals over groups"),
    ("out/cells.parquet --largest eccentricity,area --smallest solidity", "objects out of what potency measure wrote"),
    ("out/predictions/predictions.parquet --smallest score --where 'area>=30'", "the least certain that are no debris"),
)
def show(options: Show, say: Console) -> dict[str, Any]:
    """Show what was found: a page with images and their outlines, single objects cut out, and how sizes spread."""
    from potency.evaluation.wording import count
    from potency.pictures import Asked
    from potency.pictures import show as shown

    asked = Asked(
        options.answers, listed(options.of), options.by, options.first, listed(options.largest),
        listed(options.smallest), options.where, options.number, options.tracks, options.draws, options.seed,
    )  # fmt: skip
    answer = shown(options.read(), options.into, asked)
    for name, what in list(answer["errors"].items())[:10]:
        say.print(f"[yellow]not read[/yellow] {escape(name)}: {escape(what)}", soft_wrap=True)
    for column, levels in answer["medians"].items():
        rows = {
            level: {"objects": told["objects"], "groups": told["groups"], f"median {column}": _figure(told)}
            for level, told in list(levels.items())[:20]
        }
        grid(options.by or "", rows, say)
    say.print(f"{count(answer['images'], 'image')} shown, {count(answer['found'], 'object')}")
    say.print(f"written: {answer['page']}", soft_wrap=True)
    return answer


def _figure(told: dict[str, Any]) -> str:
    ends = f" [{told['low']:.4g}, {told['high']:.4g}]" if told["low"] is not None else ""
    return f"{told['median']:.4g}{ends}"
