"""The command that asks a person: a blinded page of images, and their answers as a column beside the network's."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from potency.cli.frame import Options, command
from potency.cli.rows import Rows, listed
from potency.errors import PotencyError

app = typer.Typer()
PAGE, JOINED = "reader.html", "readings.parquet"


@dataclass(frozen=True, kw_only=True)
class Reader(Rows, Options):
    into: Annotated[Path, typer.Option(help="Folder of reader.html; with --answers, of readings.parquet.")]
    images: Annotated[
        int, typer.Option(min=0, help="Show at most so many, drawn at random. [dim]0: all[/dim]")
    ] = 200
    seed: Annotated[int, typer.Option(min=0, help="Of the draw, the order and the codes that stand for names.")] = 0
    answers: Annotated[
        str, typer.Option(metavar="A.csv,B.csv,...", help="What the page downloaded, each file named after its reader.")
    ] = ""


@command(
    app,
    ("my_images/ --into out/reading", "reader.html: open it in a browser, or send it to whoever shall read"),
    ("my_images/ --answers reader1.csv,reader2.csv --into out/reading", "their answers beside the truth"),
)
def reader(options: Reader, say: Console) -> dict[str, Any]:
    """Ask people: a page of images without names that takes a class by key press, and its answers as columns."""
    from potency.evaluation.reading import joined, page

    manifest = options.read()
    if not options.answers:
        text = page(manifest, images=options.images, seed=options.seed)
        shown = min(options.images or len(manifest), len(manifest))
        path = _written(options.into / PAGE, text)
        say.print(f"{shown} images of {len(manifest.classes)} classes, without their names: {path}", soft_wrap=True)
        return {"page": path, "images": shown, "classes": list(manifest.classes), "seed": options.seed}
    rows = joined(manifest, [Path(name) for name in listed(options.answers)], options.seed)
    columns = [str(c) for c in rows.table if str(c).startswith("prediction") and "." not in str(c)]
    options.into.mkdir(parents=True, exist_ok=True)
    written = rows.write(options.into / JOINED)
    then = f"potency evaluate {written} --predictions {','.join(columns)} --into {options.into / 'report'}"
    say.print(f"{len(rows)} images answered: {written}\nnow: {then}", soft_wrap=True, markup=False)
    return {"rows": len(rows), "columns": columns, "written": written}


def _written(path: Path, text: str) -> Path:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise PotencyError(f"the page cannot be written: {error.strerror or error}", str(path),
                           "choose another --into") from error  # fmt: skip
    return path
