"""The command that says why: explain."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from potency.cli.answer import gathered, labelled
from potency.cli.frame import Failed, Options, command
from potency.cli.progress import Progress
from potency.cli.rows import CHANNEL_HELP, EACH_HELP, NAMES_HELP, grid, spread
from potency.errors import ImageError, PlanError

if TYPE_CHECKING:
    from torch import Tensor

    from potency.bundle import Bundle
    from potency.data.manifest import Manifest
    from potency.explanation.segments import Segmented

app = typer.Typer()
TABLES = "shapley"
METHOD_HELP = (
    "relevance, integrated, gradient-input, saliency, smoothgrad, grad-cam, grad-cam++, attention, occlusion, masks."
)


@dataclass(frozen=True, kw_only=True)
class Explain(Options):
    bundle: Annotated[Path, typer.Argument(help="The folder of a trained model, or example:NAME.")]
    images: Annotated[list[Path], typer.Argument(metavar="IMAGES...", help="Image files, a folder, or a table.")]
    into: Annotated[Path, typer.Option(help="Folder of the maps, their table and their page.")] = Path(
        "out/explanations"
    )
    method: Annotated[str, typer.Option(help=f"{METHOD_HELP} Of features: {TABLES}. [dim]else the first[/dim]")] = ""
    label: Annotated[str, typer.Option(metavar="CLASS", help="The class to explain. [dim]else the answer[/dim]")] = ""
    against: Annotated[str, typer.Option(metavar="CLASS", help="Why --label rather than this class.")] = ""
    score: Annotated[str, typer.Option(help="logit, odds, probability; value for numbers; similarity (--like).")] = ""
    like: Annotated[Path | None, typer.Option(metavar="IMAGE", help="Why an image resembles this one.")] = None
    channels: Annotated[str, typer.Option(metavar="A,B,...", help="Channels kept in files of their own, by name.")] = ""
    names: Annotated[str, typer.Option(metavar="PATTERN|REGEX", help=NAMES_HELP)] = ""
    each: Annotated[str, typer.Option(metavar="t,z,series", help=EACH_HELP)] = ""
    channel: Annotated[str, typer.Option(metavar="NAME|NUMBER", help=CHANNEL_HELP)] = ""
    segments: Annotated[
        str, typer.Option(metavar="COLUMN|auto", help="Sum the maps over segments: a column of label images, or auto.")
    ] = ""
    background: Annotated[
        Path | None, typer.Option(metavar="TABLE", help="For features: rows that are usual. [dim]else the rows[/dim]")
    ] = None
    by: Annotated[str, typer.Option(help="feature, or family of features.")] = "feature"
    no_checks: Annotated[bool, typer.Option("--no-checks", help="Maps only, untested: some ten times faster.")] = False
    first: Annotated[int, typer.Option(min=0, metavar="N", help="The first N rows only. [dim]0: all[/dim]")] = 0


@command(
    app,
    ("out/first/bundle images/ --into out/why", "why each image got its answer"),
    ("example:cell-cycle cell.png", "a model that comes with the program"),
    ("out/first/bundle labels.csv --label G1 --against G2", "why the one class rather than the other"),
    ("out/first/bundle images/ --method occlusion --first 20", "another method, on some images"),
    ("out/first/bundle labels.csv --segments mask", "how much of the maps lies in cell, hole, ground, by class"),
    ("out/first/bundle images/ --like typical.png", "why an image resembles this one"),
    ("out/forest/bundle images/ --background cells/", "what each feature brings to the answer of a forest"),
    again="the same command goes on: maps that are done are kept",
)
def explain(options: Explain, say: Console) -> dict[str, Any]:
    """Show what a model looked at: a map for each answer, tested by hiding what it marks, on one page."""
    from potency.bundle import Bundle
    from potency.explanation.explain import explain as apply
    from potency.explanation.explain import verdict
    from potency.explanation.page import write_page
    from potency.explanation.segments import named, segmented
    from potency.tasks import Focus

    manifest = spread(gathered(options.images, options.channels, options.names), options.each, options.channel)
    if options.first:
        manifest = manifest.where(lambda table: table.index < options.first)
    bundle = Bundle.load(options.bundle)
    labelled(bundle, say)
    if options.method == TABLES or (not options.method and not networks(bundle)):
        return featured(manifest, bundle, options, say)
    if networks(bundle) and (options.background is not None or options.by != "feature"):
        raise PlanError("only models of features have a background, or families to explain by", "--background, --by",
                        "leave them out: this model sees pixels")  # fmt: skip
    method = options.method or "relevance"
    column = named(manifest, options.segments)[0] if options.segments else ""  # refused before anything is worked on
    if column in manifest.table:
        manifest = replace(manifest, kinds={**manifest.kinds, column: "file"})  # whether they are there or not
    like = None if options.like is None else embedded(bundle, options.like)
    focus = Focus(options.score or ("similarity" if like is not None else ""), options.label, options.against, like)
    with ExitStack() as stack:
        progress = stack.enter_context(Progress()).of("explaining")
        made = apply(manifest, bundle, into=options.into, method=method, focus=focus,
                     checks=not options.no_checks, progress=progress)  # fmt: skip
        over = segmented(made, bundle, options.into, options.segments,
                         progress=stack.enter_context(Progress()).of("summing")) if options.segments else None
    page = write_page(made, bundle, options.into, method, segments=over)
    answer = told(made, options, say)
    answer |= {"failing": verdict(made.table), "page": page, "method": method}
    if over is not None:
        answer["segments"] = over.write(options.into)
        summed(over, say)
    for line in answer["failing"]:
        say.print(f"[yellow]{method} fails a check on these images: {line}[/yellow]")
    say.print(f"written: {page}", soft_wrap=True)
    return sound(answer, made, options)


def sound(answer: dict[str, Any], made: Manifest, options: Explain) -> dict[str, Any]:
    """The answer, unless no row could be explained."""
    if answer["rows"] and answer["errors"] == answer["rows"]:
        first = str(made.table["explanation.error"].iloc[0])
        what = f"none of {answer['rows']} rows could be explained; the first: {first}"
        raise Failed(answer, ImageError(what, str(options.images[0]), "mend the images, then give the same command"))
    return answer


def networks(bundle: Bundle) -> bool:
    """Whether a map of pixels can be made; a model of features is explained by these."""
    from potency.bundle import EstimatorMember

    return not all(isinstance(member, EstimatorMember) for member in bundle.members)


def featured(manifest: Manifest, bundle: Bundle, options: Explain, say: Console) -> dict[str, Any]:
    """Explain a model of measured features: a bar for each feature of each image, and what counts for each class."""
    from potency.explanation.contributed import failing, write_page
    from potency.explanation.contributions import contributions
    from potency.tasks import Focus

    if options.like is not None or options.segments:
        raise PlanError("a model of features has no map of pixels", "--like, --segments", "leave them out")
    usual = None if options.background is None else gathered([options.background], options.channels, options.names)
    focus = Focus(options.score, options.label, options.against)
    with ExitStack() as stack:
        progress = stack.enter_context(Progress()).of("explaining")
        made = contributions(manifest, bundle, into=options.into, focus=focus, background=usual, by=options.by,
                             progress=progress)  # fmt: skip
    answer = told(made, options, say)
    page = write_page(made, bundle, options.into)
    answer |= {"failing": failing(made), "page": page, "method": TABLES}
    for line in answer["failing"]:
        say.print(f"[yellow]{line}[/yellow]")
    say.print(f"written: {page}", soft_wrap=True)
    return sound(answer, made, options)


def told(made: Manifest, options: Explain, say: Console) -> dict[str, Any]:
    """Say how many maps there are, and how they did."""
    from potency.explanation.account import shares_of

    table = made.table
    errors = int(table["explanation.error"].notna().sum())
    if errors:
        say.print(f"[yellow]{errors} of {len(table)} rows failed[/yellow]; column explanation.error says why")
    answer: dict[str, Any] = {"rows": len(table), "errors": errors, "table": options.into / "explanations.parquet"}
    tests = {part: table[f"explanation.{part}"] for part in ("deletion", "insertion") if f"explanation.{part}" in table}
    medians = shares_of(table).filter(["input"]).assign(**tests).median().dropna()
    answer |= {str(part): float(value) for part, value in medians.items()}
    if "deletion" in answer:
        say.print(f"median gain over chance: deletion {answer['deletion']:+.3f}, insertion {answer['insertion']:+.3f}")
    return answer


def summed(over: Segmented, say: Console) -> None:
    """Print how much of the maps lies where."""
    for line in over.verdict:
        say.print(escape(line), soft_wrap=True)
    rows = {
        f"{part.label}, {part.segment}": {
            "images": part.images, "of the area": str(part.area), "of the map": str(part.share),
            "difference": str(part.beyond),
        }
        for part in over.parts
    }  # fmt: skip
    grid(f"segments ({over.how})", rows, say)


def embedded(bundle: Bundle, path: Path) -> Tensor:
    """The embedding of an image, by the bundle's first network."""
    import torch

    from potency.bundle.member import NetworkMember
    from potency.data.readers import open_image

    member = next((member for member in bundle.members if isinstance(member, NetworkMember)), None)
    if member is None:
        raise PlanError("the bundle holds no network, so no embedding", str(bundle.folder), "choose another bundle")
    return torch.from_numpy(member.outputs([{"image": open_image(path).crop()}])[0]["embedding"])
