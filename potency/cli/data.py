"""Commands about rows, before anything is learned: check, split, plan, simulate."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from potency.cli.frame import Failed, Options, command
from potency.cli.progress import Progress
from potency.cli.quality import judged
from potency.cli.rows import Rows, describe, grid
from potency.cli.task import SET_HELP, TASK_HELP, changes, chosen_task, planned
from potency.errors import ManifestError, PotencyError

app = typer.Typer()


@dataclass(frozen=True, kw_only=True)
class Check(Rows):
    pixels: Annotated[bool, typer.Option(help="Read every image and truth, not only the table.")] = True
    duplicates: Annotated[bool, typer.Option(help="Look for near-duplicates across groups.")] = True
    images: Annotated[
        bool, typer.Option("--images", help="Judge every image too: focus, light, noise, debris, confluence.")
    ] = False
    into: Annotated[
        Path | None, typer.Option(help="With --images: folder for quality.csv, quality.parquet and quality.html.")
    ] = None
    by: Annotated[
        str, typer.Option(help="With --images: column of images that were taken alike. [dim]plate, else all[/dim]")
    ] = ""


@command(
    app,
    ("cells/", "all faults and warnings of a folder at once"),
    ("labels.csv --group donor --classes young,old", "of a table, by its donors"),
    ("labels.csv --no-pixels", "the table alone, in a moment"),
    ("labels.csv --json | jq .faults", "for a script"),
    ("cells/ --images --into out/quality", "and every image judged: a table with flags, and a page of the worst"),
)
def check(options: Check, say: Console) -> dict[str, Any]:
    """Find everything that is wrong with the rows, at once: faults are refused later, warnings are shown."""
    if options.into is not None and not options.images:
        raise PotencyError("--into has nothing to write", "--into", "add --images, which judges every image")
    manifest = options.read()
    facts = describe(manifest, say)
    if options.images:
        facts["quality"] = judged(manifest, options.into, options.by, say)
    with Progress() as progress:
        reading = progress.of("reading images") if options.pixels else None
        findings = manifest.check(pixels=options.pixels, duplicates=options.duplicates, progress=reading)
    for word, style, found in (("fault", "red", findings.faults), ("warning", "yellow", findings.warnings)):
        for finding in found:
            say.print(f"[{style}]{word}[/{style}] {escape(finding.what)}")
            say.print(f"  where: {escape(finding.where)}\n  mend: {escape(finding.mend)}", style="dim")
        facts[f"{word}s"] = [
            {"code": f.code, "what": f.what, "where": f.where, "mend": f.mend, "rows": list(f.rows)} for f in found
        ]
    count = len(findings.faults)
    if count:
        what = f"{count} fault{'s' * (count > 1)} would be refused; the first: {findings.faults[0].what}"
        raise Failed(facts, ManifestError(what, findings.faults[0].where, findings.faults[0].mend))
    say.print(f"[green]no faults[/green], {len(findings.warnings)} warnings")
    return facts


@dataclass(frozen=True, kw_only=True)
class Split(Rows):
    into: Annotated[Path, typer.Option(help="The table to write: .parquet or .csv.")]
    by: Annotated[str, typer.Option(help="Column that must not be torn apart.")] = "group"
    kind: Annotated[str, typer.Option(help="stratified, leave-one-out, time, external or random.")] = "stratified"
    folds: Annotated[int, typer.Option(min=2, help="How many folds.")] = 5
    seed: Annotated[int, typer.Option(min=0, help="Another seed, another split.")] = 0


@command(
    app,
    ("labels.csv --into split.csv", "five folds, each group in one of them, classes balanced"),
    ("labels.csv --by plate --kind leave-one-out --into split.csv", "each plate is left out once"),
    ("labels.csv --kind random --into split.csv", "allowed; every report then says so on its first line"),
)
def split(options: Split, say: Console) -> dict[str, Any]:
    """Deal the rows into folds so that no group stands on both sides, and write them as a table."""
    manifest = options.read().split(by=options.by, folds=options.folds, seed=options.seed, kind=options.kind)
    folds: dict[str, dict[str, int]] = {}
    for fold, part in manifest.table.groupby("fold"):
        folds[str(fold)] = {"rows": len(part), "groups": int(part["group"].nunique())}
        if manifest.kinds.get("truth") == "category":
            folds[str(fold)] |= {str(k): int(v) for k, v in part["truth"].value_counts().sort_index().items()}
    grid("fold", folds, say)
    written = manifest.write(options.into) or options.into
    say.print(f"written: {written}", soft_wrap=True)
    return {"table": written, "kind": options.kind, "folds": folds}


@dataclass(frozen=True, kw_only=True)
class PlanOptions(Rows):
    task: Annotated[str, typer.Option(help=TASK_HELP)] = ""
    into: Annotated[Path | None, typer.Option(help="Write the plan here instead of printing it.")] = None
    set: Annotated[list[str] | None, typer.Option(metavar="NAME=VALUE", help=SET_HELP)] = None


@command(
    app,
    ("cells/ > plan.json", "all decisions, computed from the data, to be read and edited"),
    ("cells/ --set steps=500 --set network=resnet18 --into plan.json", "with some of them changed"),
)
def plan(options: PlanOptions, say: Console) -> dict[str, Any]:
    """Compute the decisions of a training from the data: tile, scaling, network, steps and the rest, as JSON."""
    manifest = options.read()
    made = planned(manifest, chosen_task(options.task, manifest), changes(options.set)).json()
    if options.into:
        options.into.parent.mkdir(parents=True, exist_ok=True)
        options.into.write_text(json.dumps(made, indent=2) + "\n", encoding="utf-8")
        say.print(f"written: {options.into}", soft_wrap=True)
    elif not options.json:
        print(json.dumps(made, indent=2))
    return made


@dataclass(frozen=True, kw_only=True)
class Simulate(Options):
    into: Annotated[Path, typer.Argument(help="The new folder to write.")]
    kind: Annotated[
        str,
        typer.Option(
            help="crops, fields, movie, wells, course, induction, tracks, viability, rods, proteins, colonies or "
            "states."
        ),
    ] = "crops"
    look: Annotated[
        str,
        typer.Option(help="brightfield, phase, fluorescence or nuclei. [dim]phase for a movie, else brightfield[/dim]"),
    ] = ""
    classes: Annotated[int | None, typer.Option(help="How many fates. [dim]4[/dim]")] = None
    cells: Annotated[
        int | None, typer.Option(help="How many cells in all, to start with. [dim]what fits the kind; crops: 600[/dim]")
    ] = None
    groups: Annotated[
        int | None, typer.Option(help="How many clones, each on a plate of its own. [dim]12; movie: 2[/dim]")
    ] = None
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same bytes.")] = 0
    shortcut: Annotated[
        float, typer.Option(help="Plant a plate artefact that agrees with the label with this probability.")
    ] = 0.0
    set: Annotated[list[str] | None, typer.Option(metavar="NAME=VALUE", help="Any other setting of the world.")] = None


@command(
    app,
    ("out/cells", "600 single-cell crops of 12 clones, with labels.csv, masks and where the evidence lies"),
    ("out/phase --look phase --cells 2000 --seed 1", "another look, other cells"),
    ("out/movie --kind movie", "two movies with every track, division and fate"),
    ("out/course --kind course", "wells seen again and again, from before anything can be told"),
    ("out/trap --shortcut 0.9", "a data set that tempts a network to cheat"),
    ("out/small --set size=32 --set batch=0", "other settings of the world"),
)
def simulate(options: Simulate, say: Console) -> dict[str, Any]:
    """Simulate differentiating stem cells as a microscope would see them, with known truth."""
    from potency.simulate import simulate as draw

    named = ("kind", "look", "classes", "cells", "groups", "seed", "shortcut")
    given = {name: getattr(options, name) for name in named}  # what is not given is as the kind has it
    settings = {name: value for name, value in given.items() if value not in (None, "")} | changes(options.set)
    for name in ("into", "progress"):  # the other arguments of the call: no settings of the world
        if name in settings:
            raise PotencyError(f"{name!r} is no setting of the world", "--set", "see `potency simulate --help`")
    with Progress() as progress:
        manifest = draw(options.into, progress=progress.of("drawing"), **settings)
    facts = describe(manifest, say)
    say.print(f"written: {options.into} (simulated images)", soft_wrap=True)
    return {"folder": options.into, "simulated": True, **facts}
