"""The command that measures: images as wholes, or every object of their label images."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from potency.cli.frame import command
from potency.cli.progress import Progress
from potency.cli.rows import Rows, listed
from potency.errors import PlanError

if TYPE_CHECKING:
    from potency.data.manifest import Manifest

app = typer.Typer()


@dataclass(frozen=True, kw_only=True)
class Measure(Rows):
    into: Annotated[Path, typer.Option(help="The table to write: .parquet or .csv.")]
    objects: Annotated[
        str,
        typer.Option(
            metavar="COLUMN", help="Column of label images: one row an object. [dim]else one row an image[/dim]"
        ),
    ] = ""
    families: Annotated[
        str,
        typer.Option(
            metavar="A,B,...",
            help="Of objects shape, intensity, texture, neighbours; of images trivial, intensity, texture, shape, "
            "hog, colony-shape, colony-texture.",
        ),
    ] = "shape,intensity"
    naming: Annotated[
        str, typer.Option(help="With --objects: whose names the columns have: regionprops, cellprofiler or qupath.")
    ] = "regionprops"


@command(
    app,
    ("cells/ --into out/cells.parquet", "numbers of every image, one row an image"),
    ("labels.csv --objects mask --into out/cells.parquet", "numbers of every object, one row an object"),
    ("labels.csv --objects mask --families shape,neighbours --into out/cells.csv", "other families, for a spreadsheet"),
    ("labels.csv --objects mask --naming cellprofiler --into out/cells.csv", "under CellProfiler's names"),
)
def measure(options: Measure, say: Console) -> dict[str, Any]:
    """Measure images, or every object of their label images, and write the numbers as a table."""
    families = listed(options.families)
    if not families:
        raise PlanError("no family is named", "--families", "name at least one: shape, intensity, texture, ...")
    if options.into.exists() and options.into.resolve() == Path(options.source).resolve():
        raise PlanError("the numbers would take the place of the table that is read", f"--into {options.into}",
                        "write them to another table")  # fmt: skip
    manifest = options.read()
    told = of_objects if options.objects else of_images
    return told(manifest, families, options, say)


def of_images(manifest: Manifest, families: tuple[str, ...], options: Measure, say: Console) -> dict[str, Any]:
    """One row an image, with columns `measure.<family>.<channel>.<feature>`."""
    from potency.measurement import measure as measured

    if options.naming != "regionprops":
        raise PlanError("only the columns of objects have other names", "--naming", "add --objects COLUMN, or leave it")
    with Progress() as progress:
        made = measured(manifest, families=families, progress=progress.of("measuring images"))
    names = [str(name) for name in made.table if str(name).startswith("measure.") and name != "measure.error"]
    wrong: dict[str, str] = {}
    if "measure.error" in made.table:
        failed = made.table[made.table["measure.error"].notna()]
        wrong = dict(zip(failed["id"].astype(str), failed["measure.error"].astype(str), strict=True))
    _tell_faults(wrong, say)
    written = made.write(options.into)
    say.print(f"{len(made) - len(wrong)} images, {len(names)} numbers each\nwritten: {written}", soft_wrap=True)
    return {"table": written, "images": len(made) - len(wrong), "columns": names, "errors": wrong}


def of_objects(manifest: Manifest, families: tuple[str, ...], options: Measure, say: Console) -> dict[str, Any]:
    """One row an object, written image by image."""
    from potency.measurement.objects.rows import measure_rows

    with Progress() as progress:
        written, account = measure_rows(
            manifest, options.objects, options.into, families=families, naming=options.naming,
            progress=progress.of("measuring objects"),
        )  # fmt: skip
    _tell_faults(account.wrong, say)
    say.print(f"{account.objects} objects in {account.images} images, {account.empty} of them without any")
    say.print(f"written: {written}", soft_wrap=True)
    return {"table": written, "images": account.images, "objects": account.objects, "empty": account.empty,
            "errors": account.wrong}  # fmt: skip


def _tell_faults(wrong: dict[str, str], say: Console) -> None:
    for name, what in list(wrong.items())[:10]:
        say.print(f"[yellow]not measured[/yellow] {escape(name)}: {escape(what)}", soft_wrap=True)
    if len(wrong) > 10:
        say.print(f"[yellow]and {len(wrong) - 10} more[/yellow], in the column measure.error")
