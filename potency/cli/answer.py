"""The command that answers new images with what was learned: predict."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from potency.cli.frame import Failed, Options, command
from potency.cli.progress import Progress
from potency.cli.rows import CHANNEL_HELP, EACH_HELP, NAMES_HELP, grid, listed, spread
from potency.cli.show import interval
from potency.cli.where import CLUSTER_HELP, workplace
from potency.errors import ImageError, ManifestError

if TYPE_CHECKING:
    from pandas import DataFrame

    from potency.bundle import Bundle
    from potency.data.manifest import Manifest

app = typer.Typer()
FIRST = 3  # values of a vector that are shown
EXPECTED = 0.05  # share of images called unlike that is no reason to warn: one in a hundred is, by the limit
PRECISION_HELP = "auto (bfloat16 where the processor has it and answers stay the same), float32, bfloat16, int8."


@dataclass(frozen=True, kw_only=True)
class Predict(Options):
    bundle: Annotated[Path, typer.Argument(help="The folder of a trained model, or example:NAME.")]
    images: Annotated[list[Path], typer.Argument(metavar="IMAGES...", help="Image files, a folder, or a table.")]
    into: Annotated[Path, typer.Option(help="Folder of predictions.parquet and predictions.csv.")] = Path(
        "out/predictions"
    )
    name: Annotated[str, typer.Option(help="Column to write.")] = "prediction"
    channels: Annotated[str, typer.Option(metavar="A,B,...", help="Channels kept in files of their own, by name.")] = ""
    channel: Annotated[str, typer.Option(metavar="NAME|NUMBER", help=CHANNEL_HELP)] = ""
    names: Annotated[str, typer.Option(metavar="PATTERN|REGEX", help=NAMES_HELP)] = ""
    each: Annotated[str, typer.Option(metavar="t,z,series", help=EACH_HELP)] = ""
    workers: Annotated[int, typer.Option(min=0, help="Processes that share the work. [dim]0: this one[/dim]")] = 0
    cluster: Annotated[str, typer.Option(metavar="ADDRESS", help=CLUSTER_HELP)] = ""
    precision: Annotated[str, typer.Option(help=PRECISION_HELP)] = "auto"
    dry_run: Annotated[int, typer.Option(min=0, metavar="N", help="The first N rows only, nothing kept.")] = 0


@command(
    app,
    ("out/first/bundle new_images/ --into out/new", "a folder"),
    ("example:medium image.png", "a model that comes with the program; potency models lists them"),
    ("out/first/bundle a.tif b.tif --json", "some files; ends with the predictions as JSON"),
    ("out/first/bundle labels.csv --workers 4 --into out/new", "a table, on four processes"),
    ("out/first/bundle labels.csv --cluster tcp://node1:8786 --into out/new", "on a Dask cluster"),
    again="the same command goes on: rows that are done are kept",
)
def predict(options: Predict, say: Console) -> dict[str, Any]:
    """Apply a bundle to images: one row an image, with its prediction and probabilities, or with its error."""
    from potency.bundle import Bundle
    from potency.inference.predict import predict as apply

    manifest = spread(gathered(options.images, options.channels, options.names), options.each, options.channel)
    if options.dry_run:
        manifest = manifest.where(lambda table: table.index < options.dry_run)
    bundle = Bundle.load(options.bundle)
    labelled(bundle, say)
    into = None if options.dry_run else options.into
    with ExitStack() as stack:
        on = stack.enter_context(workplace(options.workers or None, options.cluster))
        progress = stack.enter_context(Progress()).of("predicting")
        made = apply(manifest, bundle, into=into, on=on, name=options.name, precision=options.precision,
                     progress=progress)  # fmt: skip
    answer = {**told(made, options, say), "simulated": bool(bundle.card.data.get("simulated"))}
    if answer["rows"] and answer["errors"] == answer["rows"]:
        first = str(made.table[f"{options.name}.error"].iloc[0])
        what = f"none of {answer['rows']} rows could be predicted; the first: {first}"
        raise Failed(answer, ImageError(what, str(options.images[0]), "mend the images, then give the same command"))
    return answer


def labelled(bundle: Bundle, say: Console) -> None:
    """Say what the model is where its card does, and that it knows simulated images only where that is so."""
    from potency.evaluation.wording import known

    data = bundle.card.data
    if "about" in data:
        figure = bundle.card.validation.get("metrics", {}).get(bundle.task.answer.headline)
        what = known(bundle.task.answer.headline)[0].lower()
        measured = f" Its {what} on groups it had not seen: {interval(figure)}." if figure else ""
        say.print(f"{escape(str(data.get('title', '')))}\n{escape(str(data['about']) + measured)}\n", style="dim")
    elif data.get("simulated"):
        say.print("[yellow]this model learned from simulated images only[/yellow]")


def gathered(images: Sequence[Path], channels: str, names: str = "") -> Manifest:
    """A manifest of files, or of one folder or table."""
    import pandas as pd

    from potency.data.manifest import Manifest
    from potency.data.readers import SUFFIXES

    missing = [str(path) for path in images if not path.exists()]
    if missing:
        raise ManifestError(f"{len(missing)} of {len(images)} paths do not exist", missing[0], "check the path")
    others = [path for path in images if not path.name.lower().endswith(SUFFIXES)]
    if len(images) == 1 and (others or images[0].is_dir()):  # an OME-Zarr folder may be a whole plate
        return Manifest.read(images[0], channels=listed(channels), names=names)
    if others:
        raise ManifestError(
            "a folder or table cannot be mixed with other paths",
            str(others[0]),
            "name one folder, one table, or only image files",
        )
    return Manifest.of_rows(pd.DataFrame({"image": [str(path.resolve()) for path in images]}))


def told(manifest: Manifest, options: Predict, say: Console) -> dict[str, Any]:
    """Say what was predicted: the rows (the first twenty of many), the errors, and where the table is."""
    table = manifest.table
    columns = [c for c in table.columns if str(c).startswith(options.name)]
    first = table.head(20)
    ids = first["id"].astype(str).tolist()
    names = [Path(name).name for name in ids]
    names = names if len(set(names)) == len(names) else ids  # files of one name in several folders
    lines = [_told(row, options.name) for _, row in first.iterrows()]
    grid("image", dict(zip(names, lines, strict=True)), say)
    shown = min(len(table), 20)
    if len(table) > shown:
        say.print(f"... and {len(table) - shown} rows more", style="dim")
    error = f"{options.name}.error"
    errors = int(table[error].notna().sum()) if error in table else 0
    if errors:
        say.print(
            f"[yellow]{errors} of {len(table)} rows failed[/yellow]; column {error} says why; "
            "the same command tries them again"
        )
    unlike = foreign(table, options.name, say)
    engine = manifest.origin.get(f"{options.name}.engine", "")
    if engine:
        say.print(f"computed by {engine}", style="dim")
    answer: dict[str, Any] = {"rows": len(table), "errors": errors, "unlike": unlike, "engine": engine, "table": None}
    if not options.dry_run:
        answer["table"] = options.into / "predictions.parquet"
        say.print(f"written: {answer['table']} and .csv", soft_wrap=True)
        if f"{options.name}.count" in table:
            say.print(f"to look at them: potency show {answer['table']}", style="dim", soft_wrap=True)
    if len(table) <= 1000:
        answer["predictions"] = [
            {"image": row["image"], **{str(c): row[c] for c in columns}} for row in table.to_dict("records")
        ]
    return answer


def foreign(table: DataFrame, name: str, say: Console) -> int | None:
    """Say how many of the images look unlike anything the model learned from; None where the model cannot tell."""
    rare, why = f"{name}.ood", f"{name}.abstain"
    if rare not in table or why not in table:
        return None
    judged, unlike = int(table[rare].notna().sum()), int(table[why].map(lambda cell: "ood" in str(cell)).sum())
    if unlike and unlike > EXPECTED * judged:
        say.print(
            f"[yellow]{unlike} of {judged} images look unlike anything this model learned from[/yellow]; of images "
            f"of its own kind about one in a hundred does. Their answers mean little: column {why} says ood, and "
            f"{rare} how rare such an image is (2: one in 100, 3: one in 1,000)"
        )
    elif unlike:
        say.print(f"{unlike} of {judged} images look unlike what this model learned from ({why}: ood)", style="dim")
    return unlike


def _told(row: Any, name: str) -> dict[str, str]:
    """A row for people: the answer, how probable it is where that is known, and its error; all else is in the table."""
    count = row.get(f"{name}.count")  # of objects: that says more than the path of the file that holds them
    told = {name: _short(row[name])} if count is None else {"objects": "" if count != count else f"{count:.6g}"}
    probabilities = [row[c] for c in row.index if str(c).startswith(f"{name}.probability.")]
    if probabilities:
        told["probability"] = _short(max(probabilities))
    why = str(row.get(f"{name}.abstain"))
    if "set" in why:
        told["undecided between"] = str(row[f"{name}.set"])
    if "ood" in why:
        told["unlike"] = "what it learned from"
    error = row.get(f"{name}.error")
    return told | ({"error": error.splitlines()[0]} if isinstance(error, str) else {})


def _short(value: Any) -> str:
    """A cell in the width of a table on screen; the files hold it whole.

    >>> _short([0.5, -1.25, 2.0, 3.0])
    '4 numbers: 0.500, -1.250, 2.000 ...'
    """
    if isinstance(value, float):
        return "" if value != value else f"{value:.3f}"
    if isinstance(value, list | tuple) or hasattr(value, "tolist") and value.ndim:  # a vector
        first = ", ".join(f"{each:.3f}" for each in value[:FIRST])
        return f"{len(value)} numbers: {first}{' ...' if len(value) > FIRST else ''}"
    return str(value)
