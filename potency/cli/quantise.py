"""The command that makes a bundle ready for int8, and says what that costs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from potency.cli.frame import Options, command
from potency.cli.progress import Progress
from potency.cli.rows import Rows, describe
from potency.cli.show import figures

app = typer.Typer()


@dataclass(frozen=True, kw_only=True)
class Model(Options):
    bundle: Annotated[Path, typer.Argument(help="The folder of a trained model.")]


@dataclass(frozen=True, kw_only=True)
class Quantise(Rows, Model):  # in this order the bundle is the first argument
    into: Annotated[Path, typer.Option(help="Folder of the new bundle.")]
    images: Annotated[int, typer.Option(min=1, help="Training images that int8 is fitted to.")] = 300


@command(
    app,
    ("out/first/bundle labels.csv --into out/first/bundle-int8", "then: potency predict ... --precision int8"),
)
def quantise(options: Quantise, say: Console) -> dict[str, Any]:
    """Make a bundle ready for int8, fitted to training rows, with its accuracy on validation rows beside float32."""
    manifest = options.read()
    describe(manifest, say)

    from potency.bundle import Bundle
    from potency.learning.quantise import quantise as apply

    with Progress() as progress:
        made, report = apply(
            Bundle.load(options.bundle), manifest, into=options.into, images=options.images,
            progress=progress.of("comparing"),
        )  # fmt: skip
    told = made.card.validation["int8"]
    figures(report.json(), say)
    say.print(f"agreement of int8 with float32 on {told['compared_on']} rows: {told['agreement']['value']:.4f}")
    if told["learned_from_these"]:
        say.print("[yellow]the model had learned from these very rows: only the difference tells something[/yellow]")
    say.print(f"bundle: {made.folder}", soft_wrap=True)
    return {"bundle": made.folder, "int8": told}
