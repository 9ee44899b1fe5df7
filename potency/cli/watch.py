"""The command that answers what a microscope writes, as it comes: watch."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from potency.cli.frame import Options, command
from potency.errors import PlanError, PotencyError

if TYPE_CHECKING:
    from potency.data.manifest import Manifest
    from potency.inference.watch import Answering, Watch

app = typer.Typer()
SETTLE = 2.0  # seconds between the two looks of --once
KEY = "POTENCY_KEY"


@dataclass(frozen=True, kw_only=True)
class Watching(Options):
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="What is watched, with the folders in it.")]
    bundle: Annotated[
        str, typer.Option(metavar="BUNDLE", help="A trained model's folder, example:NAME, or with --url its id there.")
    ]
    into: Annotated[Path, typer.Option(help="Folder of predictions.parquet and predictions.csv.")] = Path("out/watch")
    every: Annotated[float, typer.Option(min=0.1, metavar="SECONDS", help="How often to look.")] = 5.0
    once: Annotated[bool, typer.Option("--once", help="Answer what is there, and leave.")] = False
    explain: Annotated[bool, typer.Option("--explain", help="A map for each answer, in the folder maps.")] = False
    again: Annotated[bool, typer.Option("--again", help="Try files that failed before once more.")] = False
    url: Annotated[str, typer.Option(help="Let a server of `potency serve` answer; its key in POTENCY_KEY.")] = ""


@command(
    app,
    ("/mnt/microscope --bundle out/first/bundle --into out/today", "each image as it comes, until Ctrl-C"),
    ("/mnt/microscope --bundle nuclei --every 30 --into out/nuclei", "look every half minute"),
    ("images/ --bundle example:medium --once --json", "what is there now; for a timer of the system"),
    ("images/ --bundle example:medium --url http://lab:8765/ --explain", "answered and explained by a server"),
    again="the same command goes on: what is in the table is not done again",
)
def watch(options: Watching, say: Console) -> dict[str, Any]:
    """Watch a folder that fills: new images are predicted once they are complete, in a table that grows."""
    from potency.inference.claim import claimed
    from potency.inference.watch import Watch

    if not options.folder.is_dir():
        raise PotencyError("there is no such folder", str(options.folder), "name the folder that the microscope fills")
    answer, identity = remote(options) if options.url else local(options)
    with claimed(options.into):
        seen = Watch(options.folder, options.into, answer, identity)
        if options.again and (count := seen.forget_errors()):
            say.print(f"{count} files that failed are tried again")
        before = len(seen.done)
        say.print(f"watching {options.folder}; {before} images are answered already", soft_wrap=True)
        (one_look if options.once else for_ever)(seen, options, say)
        table = options.into / "predictions.parquet"
        rows = seen.rows.table if seen.rows is not None else None
        errors = int(rows["prediction.error"].notna().sum()) if rows is not None else 0
    return {"folder": options.folder, "rows": 0 if rows is None else len(rows), "new": len(seen.done) - before,
            "errors": errors, "table": table if rows is not None else None}  # fmt: skip


def one_look(seen: Watch, options: Watching, say: Console) -> None:
    """Answer what is complete now; what still grows is left to the next call."""
    seen.complete(0.0)
    time.sleep(min(options.every, SETTLE))
    taken(seen, 0.0, say)


def for_ever(seen: Watch, options: Watching, say: Console) -> None:
    """Look again and again; a drive or server that is away is waited for."""
    from potency.inference.watch import PATIENCE

    said = ""
    while True:
        try:
            taken(seen, PATIENCE, say)
            said = ""
        except PotencyError as error:
            if str(error) != said:  # once, and not every few seconds
                say.print(f"[yellow]{clock()} {escape(error.what)}[/yellow] ({escape(error.where)}); trying again",
                          soft_wrap=True)  # fmt: skip
            said = str(error)
        time.sleep(options.every)


def taken(seen: Watch, patience: float, say: Console) -> None:
    """Answer what is complete, and say each answer in a line."""
    for made in seen.take(seen.complete(patience)):
        for row in made.records():
            error = row.get("prediction.error")
            told = f"[yellow]{escape(error)}[/yellow]" if isinstance(error, str) else escape(answer_of(row))
            say.print(f"{clock()} {escape(str(row['id']))}: {told}", soft_wrap=True)


def answer_of(row: dict[str, Any]) -> str:
    """An answer in a few words, and a warning where it means little."""
    told, count = row["prediction"], row.get("prediction.count")
    share = row.get(f"prediction.probability.{told}")
    words = f"{count:.6g} objects" if count is not None else f"{told:.4g}" if isinstance(told, float) else str(told)
    words += f" {100 * share:.0f} %" if isinstance(share, float) else ""
    doubts = str(row.get("prediction.abstain") or "no")
    return words + ("" if doubts in ("no", "nan") else f" (doubtful: {doubts})")


def clock() -> str:
    """The time of the day."""
    return time.strftime("%H:%M:%S")


def local(options: Watching) -> tuple[Answering, str]:
    """What answers on this machine, its engine started once, and by what it is known."""
    from potency.bundle import Bundle
    from potency.inference.engine import accelerate
    from potency.inference.predict import predict

    bundle = Bundle.load(options.bundle)
    fast = accelerate(bundle)

    def answer(rows: Manifest, into: Path) -> Manifest:
        return predict(rows, fast, into=into)

    def maps(rows: Manifest, into: Path) -> Manifest:
        from potency.explanation.explain import explain

        return explain(rows, bundle, into=into, checks=False)

    return explained(answer, maps, options) if options.explain else answer, bundle.fingerprint


def remote(options: Watching) -> tuple[Answering, str]:
    """What lets a server answer: at once where it can, as a job where answers lie in files."""
    from potency.web.client import Client

    client = Client(options.url, os.environ.get(KEY, ""), patience=2 * options.every)
    jobs: list[bool] = []

    def answer(rows: Manifest, into: Path) -> Manifest:
        if not jobs:
            try:
                return at_once(client, rows, options.bundle)
            except PlanError:
                jobs.append(True)  # the answers of this model lie in files
        return client.predict(rows, options.bundle, into=into / f"{time.time_ns()}")

    def maps(rows: Manifest, into: Path) -> Manifest:
        return client.explain(rows, options.bundle, into=into / f"{time.time_ns()}", checks=False)

    known = [model for model in client.models() if model["id"] == options.bundle]
    if not known:
        raise PotencyError(f"the server has no model {options.bundle!r}", options.url, "its page of models lists them")
    return explained(answer, maps, options) if options.explain else answer, f"{options.url} {options.bundle}"


def at_once(client: Any, rows: Manifest, bundle: str) -> Manifest:
    """The rows with the cells that a server gives without a job."""
    import pandas as pd

    from potency.inference.work import describe
    from potency.web.asking import error_of

    paths = [rows.folder / str(row["image"]) for row in rows.records()]
    told = client.answer(paths, bundle)
    cells = [
        {name: value for name, value in one.items() if name not in ("name", "error")}
        | {"prediction.error": describe(error_of(one["error"])) if "error" in one else None}
        for one in told
    ]
    made = pd.DataFrame(cells)
    if "prediction" not in made:
        made.insert(0, "prediction", None)
    return rows.add(made)


def explained(answer: Answering, maps: Callable[[Manifest, Path], Manifest], options: Watching) -> Answering:
    """The same answers with a map for each that there is one for."""

    def both(rows: Manifest, into: Path) -> Manifest:
        made = answer(rows, into)
        good = rows.where(made.table["prediction.error"].isna())
        if not len(good):
            return made
        seen = maps(good, options.into / "maps").placed(made.folder)
        columns = [name for name in seen.table.columns if str(name).startswith("explanation")]
        joined = made.add(seen.table[["id", *columns]])
        return replace(joined, kinds={**joined.kinds, **{n: k for n, k in seen.kinds.items() if n in columns}})

    return both
