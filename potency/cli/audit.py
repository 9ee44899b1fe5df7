"""The command that looks for shortcuts: audit."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from potency.cli.frame import command
from potency.cli.progress import Progress
from potency.cli.rows import Rows, describe, grid, listed
from potency.errors import BundleError

if TYPE_CHECKING:
    from potency.confounding import Audit
    from potency.data.manifest import Manifest

app = typer.Typer()
COLOURS = {"bad": "red", "caution": "yellow", "good": "green", "unknown": "dim"}


@dataclass(frozen=True, kw_only=True)
class AuditOptions(Rows):
    into: Annotated[Path, typer.Option(help="Folder of audit.html and audit.json.")] = Path("out/audit")
    predictions: Annotated[
        str,
        typer.Option(
            metavar="COLUMN", help="Column compared between donors, sexes, plates. [dim]else 'prediction'[/dim]"
        ),
    ] = ""
    embedding: Annotated[
        str,
        typer.Option(
            metavar="COLUMN", help="Vectors, or number columns that begin with this. [dim]else 'embedding'[/dim]"
        ),
    ] = ""
    bundle: Annotated[
        Path | None, typer.Option(help="A trained model whose embedding of the images is asked for the suspects.")
    ] = None
    quick: Annotated[bool, typer.Option("--quick", help="Without the forest: no gap, no learning curve.")] = False
    pictures: Annotated[bool, typer.Option(help="Measure the pictures too, not only the table.")] = True
    draws: Annotated[int, typer.Option(min=99, help="Exchanges of whole groups.")] = 1999
    seed: Annotated[int, typer.Option(min=0, help="Of the exchanges.")] = 0


@command(
    app,
    ("cells/", "does plate, day, well, time, focus, light or the file tell the label?"),
    ("labels.csv --group plate --quick --into out/audit", "the same in seconds, by plate"),
    ("out/first/predictions.parquet --into out/audit", "and where the model is weakest: donor, sex, line, plate"),
    ("labels.csv --bundle out/first/bundle", "and what of it the network has learned"),
    ("labels.csv --no-pictures --quick --json | jq .verdict", "the table alone, for a script"),
)
def audit(options: AuditOptions, say: Console) -> dict[str, Any]:
    """Look for what could tell the label without the cells, and for what a network has learned of it."""
    from potency.confounding import audit as look

    manifest = options.read()
    describe(manifest, say)
    parts = [
        part
        for part, wanted in (("pictures", options.pictures), ("forest", not options.quick), ("subgroups", True))
        if wanted
    ]
    with Progress() as progress:
        if options.bundle is not None:
            manifest = embedded(manifest, options.bundle, progress)
        found = look(
            manifest, predictions=listed(options.predictions), embedding=options.embedding, parts=parts,
            draws=options.draws, seed=options.seed, progress=progress,
        )  # fmt: skip
    page = found.write(options.into)
    shown(found, say)
    say.print(f"audit: {page}", soft_wrap=True)
    return {"audit": page, **found.json()}


def shown(found: Audit, say: Console) -> None:
    """Print the verdict, what it rests on, and a row a suspect."""
    say.print(f"[bold {COLOURS[found.mark]}]{escape(found.verdict)}[/bold {COLOURS[found.mark]}]", soft_wrap=True)
    for line in found.lines:
        say.print(f"  {escape(line)}", soft_wrap=True)
    for asked in dict.fromkeys(row.asked for row in found.rows):
        rows = {
            row.suspect: {
                "pairs in order": "" if row.pairs is None else str(row.pairs),
                "p of all": "" if row.family is None else f"{row.family:.4f}",
                "outcome": row.mark if row.family is not None else "not testable",
            }
            for row in found.rows
            if row.asked == asked
        }
        grid(f"tells the {asked}" if asked == "label" else f"is in the {asked}", rows, say)


def embedded(manifest: Manifest, bundle: Path, progress: Progress) -> Manifest:
    """The rows with columns `embedding.<member>.<network>.<number>`, what the networks of a bundle make of them."""
    from potency.bundle import Bundle, Features, NetworkMember
    from potency.learning.estimate import measured

    members = [member for member in Bundle.load(bundle).members if isinstance(member, NetworkMember)]
    if not members:
        raise BundleError("the bundle holds no network, so it has no embedding", str(bundle), "name a network's bundle")
    plan = members[0].plan.of_members([member.plan for member in members])
    table = measured(manifest, Features(plan, tuple(members)), progress.of("embedding"))
    table = table.groupby(level=0, sort=False).mean()  # a large image is several crops
    return manifest.add(table.reset_index(names="id"))
