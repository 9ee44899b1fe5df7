"""The whole way in minutes: simulated cells, folds by group, baselines, a report and a bundle."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from potency.cli.frame import Options, command
from potency.cli.progress import Progress
from potency.cli.rows import describe
from potency.cli.show import figures

app = typer.Typer()
# A demo shows the way in minutes on two cores; a training of your own takes what the plan computes.
STEPS, BATCH, FOLDS = 800, 32, 4


@dataclass(frozen=True, kw_only=True)
class Demo(Options):
    into: Annotated[
        Path | None, typer.Option(help="Folder of it all. [dim]out/demo, or the next that is free[/dim]")
    ] = None
    cells: Annotated[int, typer.Option(min=120, help="How many cells to simulate.")] = 600
    seed: Annotated[int, typer.Option(min=0, help="Another seed, other cells.")] = 0


@command(
    app,
    ("", "in out/demo; ends with the paths of the report and of the bundle"),
    ("--cells 2000 --seed 1 --into out/more", "more cells, others"),
    again="call it again to start afresh",
)
def demo(options: Demo, say: Console) -> dict[str, Any]:
    """Simulate stem cells that choose a fate, learn to tell the fates apart, and write an honest report."""
    from potency.cli.task import chosen_task, planned
    from potency.inference.pool import Pool
    from potency.learning import protocol
    from potency.simulate import simulate

    into = options.into or next(place for place in places(Path("out")) if not place.exists())
    say.rule("1 of 3: simulated cells", align="left")
    with Progress() as progress:
        manifest = simulate(
            into / "cells", kind="crops", cells=options.cells, seed=options.seed, progress=progress.of("drawing cells")
        )
    describe(manifest, say)
    say.rule("2 of 3: folds by group, a network and two baselines", align="left")
    task = chosen_task("", manifest)
    quick = {"network": "tiny", "steps": STEPS, "batch": BATCH, "validations": 3, "seed": options.seed}
    plan = planned(manifest, task, quick)
    choices = protocol.Choices(folds=FOLDS, title="Demo: four simulated fates", command=options.line("demo"))
    with Pool(0) as on, Progress() as progress:
        outcome = protocol.run(manifest, task, into=into, plan=plan, choices=choices, on=on, progress=progress)
    say.rule("3 of 3: what came out, on simulated images", align="left")
    figures(outcome.report.json(), say)
    say.print(f"bundle: {outcome.bundle}", soft_wrap=True)
    say.print(f"report: {outcome.page}", soft_wrap=True)
    return {"bundle": outcome.bundle, "report": outcome.page, "simulated": True}


def places(folder: Path) -> Iterator[Path]:
    """Where demos go, one after the other, so that none is written over.

    >>> ways = places(Path("out"))
    >>> next(ways).as_posix(), next(ways).as_posix()
    ('out/demo', 'out/demo-2')
    """
    yield folder / "demo"
    yield from (folder / f"demo-{number}" for number in count(2))
