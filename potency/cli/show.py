"""Commands that judge and show: evaluate, report, reproduce, models."""

from __future__ import annotations

import io
import json
import webbrowser
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from potency.cli import along
from potency.cli.frame import Options, command
from potency.cli.rows import Rows, grid, listed
from potency.errors import AnswerError, PotencyError

if TYPE_CHECKING:
    from pandas import DataFrame

app = typer.Typer()
LISTED = ("id", "status", "missing", "area", "published")  # what a script is promised of each system
HEADLINES = (  # shown where present
    "accuracy", "balanced_accuracy", "macro_f1", "auc", "mae", "rmse", "r2", "pearson", "dsb_ap", "f1.50", "pq",
    "mean_iou", "f1", "count_mae",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Evaluate(Rows):
    into: Annotated[
        Path, typer.Option(help="Folder of the report: report.html, report.json, numbers.csv, rows.parquet.")
    ]
    predictions: Annotated[
        str,
        typer.Option(
            metavar="A,B,...",
            help="Columns to judge; the others are compared with the first. [dim]else all prediction columns[/dim]",
        ),
    ] = ""
    kind: Annotated[
        str, typer.Option(help="What the columns hold: labels, regions, category ... [dim]else seen[/dim]")
    ] = ""
    by: Annotated[str, typer.Option(help="Column that the bootstrap draws whole.")] = "group"
    along: Annotated[
        str, typer.Option(metavar="COLUMN", help="Compare them at each level of this column too: time, dose, plate.")
    ] = ""
    draws: Annotated[int, typer.Option(min=100, help="Draws of the bootstrap.")] = 1000
    seed: Annotated[int, typer.Option(min=0, help="Of the bootstrap.")] = 0


@command(
    app,
    ("predictions.csv --truth label --into out/report", "a table with a truth and a column 'prediction'"),
    ("readings.xlsx --predictions prediction,prediction@reader2 --into out/readers", "two readers, row by row"),
    ("both.csv --predictions prediction,prediction@patch --along time --into out/time", "two models at each time"),
)
def evaluate(options: Evaluate, say: Console) -> dict[str, Any]:
    """Compare prediction columns with the truth: numbers with intervals over groups, and a report; knows no model."""
    from potency.evaluation.evaluate import evaluate as judge

    rows, facts = judged(options)
    main = [str(c) for c in rows.table.columns if str(c).startswith("prediction") and "." not in str(c)]
    grouped = sorted((c for c in main if not c.endswith("random")), key=lambda c: (c != "prediction", c))
    columns = listed(options.predictions) or tuple(grouped)
    if not columns:
        raise AnswerError("the table has no column of predictions", str(options.source), "name it with --predictions")
    report = judge(rows, predictions=columns, by=options.by, draws=options.draws, seed=options.seed, facts=facts)
    levels = along.levels(rows, columns, options) if options.along else ()
    page = report.write(options.into)
    figures(report.json(), say)
    answer: dict[str, Any] = {"report": page, **report.json()}
    if levels:
        answer["along"] = along.told(levels, options, say)
    say.print(f"report: {page}", soft_wrap=True)
    return answer


def judged(options: Evaluate) -> tuple[Any, dict[str, Any]]:
    """The rows to judge, and what the report says of them; a table of figures needs no images."""
    from importlib.metadata import version

    from potency.data import columns, tables
    from potency.evaluation.columns import Bare

    versions = {name: version(name) for name in ("potency", "numpy", "pandas", "scikit-learn")}
    facts: dict[str, Any] = {"command": options.line("evaluate"), "versions": versions}
    if options.source.is_file():
        frame, _ = tables.read_table(options.source)
        if not any(columns.plain(str(c)) in columns.IMAGE or str(c).startswith("image.") for c in frame.columns):
            frame, _ = columns.truth_column(frame, options.truth or None, str(options.source))
            frame, kinds = columns.settle_types(frame, parse=True, folder=options.source.parent)
            kinds = {"truth": options.kind} if options.kind else {k: v for k, v in kinds.items() if v in columns.FILES}
            return Bare(grouped(frame, options, facts), kinds, options.source.parent), facts
    manifest = options.read()
    if options.kind:
        manifest = replace(manifest, kinds={**manifest.kinds, "truth": options.kind})
    if all(path.is_file() for _, row in manifest.table.iterrows() for path in manifest.paths(row).values()):
        facts["fingerprint"] = manifest.fingerprint()
    return manifest, facts


def grouped(frame: DataFrame, options: Evaluate, facts: dict[str, Any]) -> DataFrame:
    """A table of figures with the column `group`, where one was named or can be inferred; `facts` learn how."""
    from potency.data.groups import UNKNOWN, settle_groups

    if "id" not in frame:
        frame = frame.assign(id=[str(number) for number in range(len(frame))])
    how = "column 'group'"
    if options.group or "group" not in frame:
        values, how = settle_groups(frame, options.group or None, str(options.source))
        frame = frame if how == UNKNOWN else frame.assign(group=values)
    facts["split"] = f"The predictions came with the table, so how they were split is not known; groups: {how}."
    return frame


@dataclass(frozen=True, kw_only=True)
class ReportOptions(Options):
    folder: Annotated[Path, typer.Argument(help="A folder with report.json in it, or that file.")]
    open: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False


@command(
    app,
    ("out/first", "the numbers of a report in the terminal, and where its page is"),
    ("out/first --open", "and the page in the browser"),
    ("out/first --json | jq .metrics", "for a script"),
)
def report(options: ReportOptions, say: Console) -> dict[str, Any]:
    """Show a report that train or evaluate wrote."""
    found = find_report(options.folder)
    try:
        numbers = json.loads(found.read_text("utf-8"))
        if not isinstance(numbers, dict) or "metrics" not in numbers:
            raise ValueError("it has no metrics")
        figures(numbers, Console(file=io.StringIO()))  # shown to nobody first: whatever is no report of ours fails here
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise PotencyError(
            f"the report cannot be read: {error}", str(found), "write it again with potency evaluate"
        ) from None
    figures(numbers, say)
    page = found.with_suffix(".html")
    say.print(f"report: {page}", soft_wrap=True)
    if options.open:
        webbrowser.open(page.resolve().as_uri())
    return {**numbers, "report": page}


def find_report(place: Path) -> Path:
    """The report.json that is meant by a file, its folder, or the folder of a training."""
    for candidate in (place, place / "report.json", place / "report" / "report.json"):
        if candidate.is_file():
            return candidate
    raise PotencyError("there is no report.json", str(place), "name the folder that potency train or evaluate wrote")


def figures(numbers: Mapping[str, Any], say: Console) -> None:
    """Print a report.json in short: its warnings, its headline, the main figures of each source, and who wins."""
    for line in numbers.get("banner", ()):
        say.print(f"[yellow]{escape(line)}[/yellow]")
    say.print(f"[bold]{escape(str(numbers.get('verdict', '')))}[/bold]", soft_wrap=True)
    say.print(escape(str(numbers.get("headline", ""))), soft_wrap=True)
    sources = {"prediction": numbers["metrics"], **numbers.get("baselines", {})}
    for name, metrics in numbers.get("random_split", {}).items():
        sources[f"{name}, random split"] = metrics
    grid(
        "",
        {name: {m: interval(metrics[m]) for m in HEADLINES if m in metrics} for name, metrics in sources.items()},
        say,
    )
    for contest in numbers.get("contests", ()):
        first, second = (str(contest[side]).rpartition("@")[2] for side in ("first", "second"))
        say.print(f"  {escape(first)} against {escape(second)}: {escape(contest['verdict'])}")


def interval(figure: Mapping[str, float | None]) -> str:
    """A figure with its interval as the command line says it."""
    value, low, high = (_figure(figure.get(name)) for name in ("value", "low", "high"))
    return f"{value} [{low}, {high}]" if low and high else value or "-"


def _figure(value: float | None) -> str:
    """Two digits of a share, three of anything else; the page and report.json have more."""
    if value is None:
        return ""
    return f"{value:.2f}".replace("0.", ".", 1) if abs(value) < 1 else f"{value:#.3g}".rstrip(".")


@dataclass(frozen=True, kw_only=True)
class Models(Options):
    pass


@command(app, ("", "what can be learned, and with what"), ("--json | jq .networks", "for a script"))
def models(options: Models, say: Console) -> dict[str, Any]:
    """List tasks, networks (of maps, boxes, outlines too), learners, rules, answers, features, formats, models."""
    from potency.answers import ANSWERS
    from potency.bundle.shipped import SCHEME, labels
    from potency.data.readers import READERS
    from potency.estimators import ESTIMATORS
    from potency.estimators.rules import RULES
    from potency.measurement import FAMILIES
    from potency.networks import ANCHORED, BACKBONES, DENSE, OUTLINED
    from potency.tasks import TASKS

    lists: dict[str, dict[str, str]] = {
        "tasks": {name: f"answers with a {task.answer.kind}; {task.title}" for name, task in TASKS.items()},
        "networks": {n: str(b) for n, b in BACKBONES.items()} | {"any other": "of timm by name, or torchvision/NAME"},
        "maps": {name: str(network) for name, network in DENSE.items()},
        "boxes": {name: str(network) for name, network in ANCHORED.items()},
        "outlines": {name: str(network) for name, network in OUTLINED.items()},
        "estimators": {name: estimator.title for name, estimator in ESTIMATORS.items()},
        "rules": {f"{name}, {kind}": rule.title for name, kinds in RULES.items() for kind, rule in kinds.items()},
        "answers": {name: answer.title for name, answer in ANSWERS.items()},
        "features": {name: family.title for name, family in FAMILIES.items()},
        "models": {name: label["title"] for name, label in labels("").items()},
        "examples": {f"{SCHEME}{name}": label["title"] for name, label in labels(SCHEME).items()},
        "readers": {_room(reader): " ".join(reader.suffixes) for reader in READERS},
    }
    for title, entries in lists.items():
        say.print(f"\n[bold]{title}[/bold]")
        grid("", {name: {" ": what} for name, what in entries.items()}, say)
    return lists


def _room(module: object) -> str:
    return str(getattr(module, "__name__", type(module).__name__)).rpartition(".")[2]


@dataclass(frozen=True, kw_only=True)
class Reproduce(Options):
    name: Annotated[str, typer.Argument(metavar="ID", help="Which published system to run.")] = ""
    list: Annotated[
        bool, typer.Option("--list", help="All systems: built, partial or planned, and what is missing.")
    ] = False
    data: Annotated[
        Path | None, typer.Option(help="Folder of its data. [dim]else simulated images, and it says so[/dim]")
    ] = None
    into: Annotated[Path | None, typer.Option(help="Folder of its report. [dim]out/ID[/dim]")] = None
    quick: Annotated[bool, typer.Option("--quick", help="Small and fast: does it run to its report?")] = False
    full: Annotated[bool, typer.Option("--full", help="The published budget; hours to days without a GPU.")] = False
    workers: Annotated[
        int, typer.Option(min=0, help="Processes that share the folds. [dim]0: one a core; 1: this one[/dim]")
    ] = 0


@command(
    app,
    ("--list", "every system of the literature that this program means to run, and where each stands"),
    ("nsc-fate --quick --into out/nsc", "run one, small, to its report"),
    ("nsc-fate --data zhu2021/ --into out/nsc", "on its own images, as far as two cores come in an hour and a half"),
    ("nsc-fate --data zhu2021/ --full", "by the published budget"),
    ("--list --json", "for a script"),
    again="the same command goes on where it was",
)
def reproduce(options: Reproduce, say: Console) -> Any:
    """Run a published system and print its published figure beside the measured one."""
    from potency.inference.pool import Pool
    from potency.systems import AREAS, list_systems
    from potency.systems import reproduce as run_recipe

    if options.list:
        systems = list_systems()
        for area, title in AREAS.items():
            rows = {s["id"]: s for s in systems if s["area"] == area}
            say.print(f"\n[bold]{title}[/bold]")
            grid("id", {name: {"status": s["status"], "title": s["title"]} for name, s in rows.items()}, say)
        return [{name: system[name] for name in LISTED} for system in systems]
    if not options.name:
        raise PotencyError("no system is named", "potency reproduce", "potency reproduce --list names them all")
    into = options.into or Path("out") / options.name
    if options.quick and options.full:
        raise PotencyError("two budgets are named", "--quick, --full", "give one of them")
    budget = "quick" if options.quick else "full" if options.full else "default"
    with ExitStack() as stack:
        on = map if options.workers == 1 else stack.enter_context(Pool(options.workers))
        page = run_recipe(
            options.name, into=into, data=options.data, budget=budget, on=on, say=lambda line: say.print(escape(line))
        )
    say.print(f"report: {page}", soft_wrap=True)
    return {"report": page}
