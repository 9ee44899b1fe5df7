"""Commands that choose settings and join models: search, ensemble."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from potency.cli.frame import Options, command
from potency.cli.progress import Progress
from potency.cli.rows import Rows, describe, grid, listed
from potency.cli.task import SET_HELP, TASK_HELP, changes, chosen_task, planned

app = typer.Typer()
SHOWN = 10  # trials on the screen; the table has them all


@dataclass(frozen=True, kw_only=True)
class SearchOptions(Rows):
    into: Annotated[Path, typer.Option(help="Folder of the trials and of what was found.")]
    space: Annotated[
        Path | None,
        typer.Option(help="JSON of what may change. [dim]else rate, decay, dropout, smoothing and balance[/dim]"),
    ] = None
    trials: Annotated[int, typer.Option(min=1, help="How many; a call with more of them goes on.")] = 20
    pruner: Annotated[str, typer.Option(help="When a trial is given up: median, hyperband or none.")] = "median"
    task: Annotated[str, typer.Option(help=TASK_HELP)] = ""
    plan: Annotated[Path | None, typer.Option(help="What does not change: a plan written by potency plan.")] = None
    set: Annotated[list[str] | None, typer.Option(metavar="NAME=VALUE", help=SET_HELP)] = None


@command(
    app,
    ("cells/ --into out/search", "learning rate, weight decay, dropout, smoothing and balance, 20 trials"),
    ("labels.csv --space space.json --trials 50 --into out/search", "what the file names: networks, tiles, settings"),
    ("labels.csv --set network=resnet18 --set steps=300 --into out/search", "of another network, shorter"),
    again="the same command goes on with the trial it was in",
)
def search(options: SearchOptions, say: Console) -> dict[str, Any]:
    """Search settings of the plan on the learning rows: TPE, bad trials given up early, test rows never seen."""
    manifest = options.read()
    describe(manifest, say)
    task = chosen_task(options.task, manifest)

    from potency.data.plan import Plan
    from potency.learning.search import Search, explore
    from potency.learning.space import Space

    how = Search(Space.read(options.space).axes, options.trials, options.pruner)
    changed = changes(options.set)
    plan = Plan.read(options.plan).but(**changed) if options.plan else planned(manifest, task, changed)
    with Progress() as progress:
        found = explore(manifest, task, how, into=options.into, plan=plan, progress=progress.of("searching"))
    ordered = found.table.sort_values(["score", "number"], ascending=[task.answer.better < 0, True])
    grid("trial", {str(row["number"]): _told(row) for row in ordered.head(SHOWN).to_dict("records")}, say)
    for name, share in found.importance.items():
        say.print(f"  {name}: {share:.0%} of the differences", style="dim")
    say.print(f"plan: {options.into / 'plan.json'}", soft_wrap=True)
    say.print("Its score has seen the validation rows; honest figures come from potency train --search.")
    return {
        "plan": options.into / "plan.json", "trials": options.into / "trials.csv", "importance": dict(found.importance),
        "best": found.table.loc[found.table["number"].eq(ordered["number"].iloc[0])].to_dict("records")[0],
    }  # fmt: skip


def _told(row: dict[Any, Any]) -> dict[str, str]:
    """A trial for people; an error is left to the table."""
    shown = {k: v for k, v in row.items() if k not in ("number", "error", "looks")}
    return {k: f"{v:.3g}" if isinstance(v, float) else str(v) for k, v in shown.items()}


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
