"""Commands that choose settings and join models: ensemble."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from potency.cli.frame import Options, command
from potency.cli.progress import Progress
from potency.cli.rows import listed

app = typer.Typer()


@dataclass(frozen=True, kw_only=True)
class Ensemble(Options):
    bundles: Annotated[list[Path], typer.Argument(metavar="BUNDLES...", help="Folders of two or more trained models.")]
    into: Annotated[Path, typer.Option(help="Folder of the bundle that holds them all.")]
    rows: Annotated[
        Path | None,
        typer.Option(help="Labelled images that none of them learned from: the joint answer is calibrated on them."),
    ] = None
    truth: Annotated[str, typer.Option(help="Their column of the truth. [dim]else found by its name[/dim]")] = ""
    channels: Annotated[str, typer.Option(metavar="A,B,...", help="Channels kept in files of their own, by name.")] = ""
    workers: Annotated[int, typer.Option(min=0, help="Processes that share the work. [dim]0: this one[/dim]")] = 0


@command(
    app,
    ("out/a/bundle out/b/bundle out/c/bundle --into out/abc", "the mean of three models as one bundle"),
    ("out/a/bundle out/b/bundle --rows held_out.csv --into out/ab", "and calibrated on images none of them has seen"),
)
def ensemble(options: Ensemble, say: Console) -> dict[str, Any]:
    """Join bundles into one that averages their answers; each member cuts its own crop."""
    from potency.data.manifest import Manifest
    from potency.inference.pool import Pool
    from potency.learning.ensemble import ensemble as join

    rows = None
    if options.rows:
        rows = Manifest.read(options.rows, truth=options.truth or None, channels=listed(options.channels))
    with ExitStack() as stack:
        on = stack.enter_context(Pool(options.workers)) if options.workers else map
        progress = stack.enter_context(Progress()).of("calibrating") if rows is not None else None
        made = join(options.bundles, into=options.into, rows=rows, on=on, progress=progress)
    say.print(f"{len(made.members)} members: " + ", ".join(plan.network for plan in made.card.plans))
    if rows is None:
        say.print("[yellow]not calibrated[/yellow]: give images that none of them learned from with --rows")
    say.print(f"bundle: {options.into}", soft_wrap=True)
    return {"bundle": options.into, "members": len(made.members), "trust": dict(made.card.trust)}
