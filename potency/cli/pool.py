"""The commands about units: pool, many answers as one; early, from which time on it can be told."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from potency.cli.frame import command
from potency.cli.progress import Progress
from potency.cli.rows import Rows, describe, grid, listed
from potency.errors import AnswerError, PotencyError

if TYPE_CHECKING:
    import pandas as pd

    from potency.data.manifest import Manifest
    from potency.pooling.pooler import Pooler

app = typer.Typer()
COLOURS = {"good": "green", "caution": "yellow", "unknown": "dim"}
HEADS_HELP = "Learn to pool: mean, attention, gated, transformer; forward in time: gru, causal."


@dataclass(frozen=True, kw_only=True)
class PoolOptions(Rows):
    by: Annotated[str, typer.Option(metavar="A,B,...", help="Unit, or units from small to large: image,well.")] = "well"
    how: Annotated[
        str, typer.Option(help="mean, logodds, noisyor, max, vote; of numbers mean, median, trimmed, max.")
    ] = "mean"
    weight: Annotated[str, typer.Option(metavar="COLUMN", help="How much each row counts.")] = ""
    positive: Annotated[str, typer.Option(metavar="CLASS", help="For noisyor and max. [dim]else the last[/dim]")] = ""
    into: Annotated[Path, typer.Option(help="Folder of pooled.parquet and pooled.csv.")] = Path("out/pooled")
    learn: Annotated[str, typer.Option(metavar="HEAD", help=HEADS_HELP)] = ""
    model: Annotated[Path | None, typer.Option(help="A learned pooler: `pooler` in the --into of before.")] = None
    run: Annotated[Path | None, typer.Option(help="Folder of a training: embeds each fold by its own network.")] = None
    bundle: Annotated[Path | None, typer.Option(help="With --model: the network that embeds the images.")] = None
    features: Annotated[
        str, typer.Option(metavar="COLUMNS", help="Columns as embedding: names, or their common beginning.")
    ] = "embedding"
    numbers: Annotated[str, typer.Option(metavar="A,B,...", help="Columns joined to the embedding.")] = ""
    time: Annotated[str, typer.Option(metavar="COLUMN", help="Of heads that look forward.")] = ""
    steps: Annotated[int, typer.Option(min=1, help="Of learning.")] = 300


@command(
    app,
    ("out/first/predictions.parquet --by well --how logodds --into out/wells", "one row a well"),
    ("tiles.csv --by image,well,clone", "patches to images, these to wells, these to clones"),
    ("out/first/predictions.parquet --by well --learn gated --run out/first", "attention, under the same folds"),
    ("new.csv --model out/pooled/pooler --bundle out/first/bundle --into out/new", "what was learned, on new wells"),
)
def pool(options: PoolOptions, say: Console) -> dict[str, Any]:
    """Pool the answers of many rows into one row a unit, by a rule or by a head that is learned."""
    manifest = options.read()
    describe(manifest, say)
    if options.learn or options.model:
        made, facts = _learned(options, manifest, say)
    else:
        from potency.pooling import pool as together

        made = together(manifest, listed(options.by), options.how, weight=options.weight, positive=options.positive)
        facts = {"how": options.how}
    options.into.mkdir(parents=True, exist_ok=True)
    written = made.write(options.into / "pooled.parquet") or options.into / "pooled.parquet"
    made.write(options.into / "pooled.csv")
    say.print(f"[bold]{len(made)}[/bold] units of {len(manifest)} rows; written: {written} and .csv", soft_wrap=True)
    _judged(made, say)
    return {"table": written, "units": len(made), "rows": len(manifest), "by": options.by, **facts}


def _judged(made: Manifest, say: Console) -> None:
    """What the pooled answers are worth, in one line, where the truth is known."""
    from potency.evaluation.evaluate import evaluate

    table = made.table
    if "truth" not in table or table["truth"].isna().all() or "prediction" not in table:
        return
    report = evaluate(made)
    figure = report.numbers["prediction"].get(report.headline)
    if figure is not None:
        say.print(f"{report.headline} {figure} over {report.groups} groups, of {len(report.rows)} units")


def _learned(options: PoolOptions, manifest: Manifest, say: Console) -> tuple[Manifest, dict[str, Any]]:
    from potency.pooling.learn import Question, apply, columns, embedded, learn, learned_from, of_run
    from potency.pooling.pooler import Pooler, Recipe
    from potency.timing.models import feature_columns

    table = manifest.table
    with Progress() as progress:
        told = progress.of("embedding")
        if options.model:
            pooler = Pooler.load(options.model)
            if options.bundle:
                frame = embedded(manifest, options.bundle, options.into / "cache", told)
            else:
                frame = columns(table, _features(pooler, table))(None)
            units, rows = apply(pooler, table, frame)
            if seen := learned_from(pooler, units):
                say.print(f"[yellow]this pooler learned from {seen} of these {len(units)} units: of them the figure "
                          "flatters[/yellow]")  # fmt: skip
        else:
            by = listed(options.by)
            if len(by) != 1:
                raise PotencyError("a head is learned for one unit", "--by", "name one column, like well")
            embed = of_run(manifest, options.run, told) if options.run else columns(
                table, feature_columns(table, listed(options.features) if "," in options.features else options.features)
            )  # fmt: skip
            recipe = Recipe(options.learn, steps=options.steps)
            found = learn(table, Question(by[0], options.time, listed(options.numbers)), embed, recipe)
            units, rows, pooler = found.units, found.rows, found.pooler
            say.print(f"pooler: {pooler.save(options.into / 'pooler')}", soft_wrap=True)
    options.into.mkdir(parents=True, exist_ok=True)
    kinds = {name: kind for name, kind in manifest.kinds.items() if name in units}
    written = replace(manifest, table=rows).write(options.into / "rows.parquet") or options.into / "rows.parquet"
    say.print(f"rows, with attention or what is said at each step: {written}", soft_wrap=True)
    origin = {k: v for k, v in manifest.origin.items() if not k.startswith("prediction")}
    facts = {"head": pooler.recipe.head, "rows_table": written}
    return replace(manifest, table=units, kinds=kinds, origin=origin), facts


def _features(pooler: Pooler, table: pd.DataFrame) -> list[str]:
    from potency.pooling.bags import GAP, TIME
    from potency.timing.models import feature_columns

    more = {*map(str, pooler.facts.get("numbers", ())), *((TIME, GAP) if pooler.recipe.forward else ())}
    return feature_columns(table, [name for name in pooler.names if name not in more])


@dataclass(frozen=True, kw_only=True)
class EarlyOptions(Rows):
    time: Annotated[str, typer.Option(metavar="COLUMN", help="Of the time: numbers, or dates.")] = "time"
    unit: Annotated[str, typer.Option(metavar="COLUMN", help="What is watched and has one outcome.")] = "well"
    into: Annotated[Path, typer.Option(help="Folder of early.html, early.csv and early.json.")] = Path("out/early")
    predictions: Annotated[str, typer.Option(metavar="A,B,...", help="Columns. [dim]else all[/dim]")] = ""
    features: Annotated[
        str, typer.Option(metavar="COLUMNS", help="Numbers to learn from too, out of fold: names, or a beginning.")
    ] = ""
    how: Annotated[str, typer.Option(help="How rows of one unit and time are pooled, see pool.")] = "mean"
    every: Annotated[float, typer.Option(min=0, help="Width of bins of time. [dim]0: each time is a point[/dim]")] = 0.0
    score: Annotated[str, typer.Option(help="auc, accuracy ... [dim]else balanced accuracy, or the error[/dim]")] = ""
    draws: Annotated[int, typer.Option(min=99, help="Of whole groups.")] = 1000
    seed: Annotated[int, typer.Option(min=0, help="Of the draws.")] = 0


@command(
    app,
    ("out/first/predictions.parquet --time time --unit well --into out/early", "how early can the outcome be told?"),
    ("theirs.csv --time hours --unit track --score auc", "the predictions of another program"),
    ("table.csv --features embedding --every 6", "models for each time, told the time, and of all seen so far"),
)
def early(options: EarlyOptions, say: Console) -> dict[str, Any]:
    """Draw score against time and find the earliest time that beats a trivial answer, all looks paid for."""
    from potency.timing import early as look
    from potency.timing import timed

    manifest = options.read()
    describe(manifest, say)
    chosen = listed(options.predictions)
    if options.features:
        features = listed(options.features)
        told = features if len(features) > 1 else features[0]
        table = manifest.table
        known = table[table["truth"].notna()].reset_index(drop=True) if "truth" in table else table[:0]
        if not len(known):
            raise AnswerError("no row has a truth to learn from", "column 'truth'", "give rows whose outcome is known")
        manifest = replace(
            manifest, table=timed(known, told, time=options.time, unit=options.unit, every=options.every)
        )
    found = look(manifest, options.time, options.unit, predictions=chosen, how=options.how, every=options.every,
                 score=options.score, chance=(options.draws, options.seed))  # fmt: skip
    page = found.write(options.into)
    say.print(f"[bold {COLOURS[found.mark]}]{escape(found.verdict)}[/bold {COLOURS[found.mark]}]", soft_wrap=True)
    for line in found.lines[1:]:
        say.print(f"  {escape(line)}", soft_wrap=True)
    first = found.curves[0]
    grid("time", {f"{point.time:g}": {
        "units": point.units, "groups": point.groups, found.score: str(point.figure or ""),
        "outcome": point.left or ("beats it" if point.beats else "not shown to"),
    } for point in first.points}, say)  # fmt: skip
    say.print(f"early: {page}", soft_wrap=True)
    return {"page": page, **found.json()}
