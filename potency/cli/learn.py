"""The command that learns: train."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from potency.cli.frame import command
from potency.cli.progress import Progress
from potency.cli.rows import Rows, describe, listed
from potency.cli.show import figures
from potency.cli.task import SET_HELP, TASK_HELP, changes, chosen_task, members, planned
from potency.cli.where import CLUSTER_HELP, workplace
from potency.errors import PlanError

if TYPE_CHECKING:
    from potency.data.manifest import Manifest
    from potency.data.plan import Plan
    from potency.learning.protocol import Choices

app = typer.Typer()
LICENCE_HELP = "Licence of the images, for the model card. [dim]else that of a column 'licence'[/dim]"
DEVICES_HELP = "Processes (GPUs, else cores) that learn one network together, each with a batch of its own."


@dataclass(frozen=True, kw_only=True)
class Train(Rows):
    into: Annotated[Path, typer.Option(help="Folder of the bundle, the report and the checkpoints.")]
    task: Annotated[str, typer.Option(help=TASK_HELP)] = ""
    plan: Annotated[Path | None, typer.Option(help="Obey this plan, written by potency plan.")] = None
    network: Annotated[
        str,
        typer.Option(
            metavar="A,B,...",
            help="Backbone by name: tiny, resnet18, any of timm; NAME@45x60 sees such a crop. Several are an ensemble.",
        ),
    ] = ""
    weights: Annotated[
        str, typer.Option(help="imagenet (through the hub), a local .safetensors file, or a bundle's folder.")
    ] = ""
    estimator: Annotated[
        str,
        typer.Option(help="A classical learner by name: on measured features, or with --network on its embeddings."),
    ] = ""
    families: Annotated[
        str, typer.Option(metavar="A,B,...", help="Measured features it sees. [dim]else its own, or embeddings[/dim]")
    ] = ""
    start: Annotated[Path | None, typer.Option(help="Go on from this bundle (fine-tuning).")] = None
    steps: Annotated[int, typer.Option(min=0, help="Steps of the optimiser. [dim]0: computed from the data[/dim]")] = 0
    epochs: Annotated[float, typer.Option(min=0, help="The same in passes over the rows.")] = 0
    set: Annotated[list[str] | None, typer.Option(metavar="NAME=VALUE", help=SET_HELP)] = None
    split: Annotated[str, typer.Option(help="stratified, leave-one-out, time, external or random.")] = "stratified"
    folds: Annotated[int, typer.Option(min=2, help="How many folds.")] = 5
    holdout: Annotated[bool, typer.Option("--holdout", help="Test on one fold only: quicker, wider intervals.")] = False
    search: Annotated[
        Path | None, typer.Option(help="Search settings over this space in each fold, on its learning rows only.")
    ] = None
    trials: Annotated[int, typer.Option(min=1, help="Trials of that search.")] = 20
    keep_folds: Annotated[bool, typer.Option("--keep-folds", help="Keep the models of the folds as an ensemble.")] = (
        False
    )
    random_split: Annotated[
        bool, typer.Option("--random-split", help="Also train under a random split, to show the gap.")
    ] = False
    baselines: Annotated[
        str, typer.Option(metavar="A,B,...", help="Classical learners beside it; `potency models` lists them.")
    ] = "forest,trivial"
    no_baselines: Annotated[bool, typer.Option("--no-baselines", help="None beside it.")] = False
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same machine: same weights.")] = 0
    workers: Annotated[
        int, typer.Option(min=0, help="Processes that share the folds. [dim]0: one a core; 1: this one[/dim]")
    ] = 0
    cluster: Annotated[str, typer.Option(metavar="ADDRESS", help=CLUSTER_HELP)] = ""
    devices: Annotated[int, typer.Option(min=1, help=DEVICES_HELP)] = 1
    log: Annotated[
        list[str] | None, typer.Option(help="tensorboard, beside the JSON lines and CSV that are always written.")
    ] = None
    data_licence: Annotated[str, typer.Option(help=LICENCE_HELP)] = ""
    weights_licence: Annotated[str, typer.Option(help="Licence of the weights, for the model card.")] = ""
    no_gallery: Annotated[
        bool, typer.Option("--no-gallery", help="Keep no training images (small, up to 240) in the bundle.")
    ] = False
    resume: Annotated[bool, typer.Option("--resume", help="Go on where a stopped run of the same command was.")] = False
    dry_run: Annotated[
        int, typer.Option(min=0, metavar="N", help="N steps on one fold, nothing kept: does it work at all?")
    ] = 0


@command(
    app,
    ("cells/ --into out/first", "one folder a class, five folds by group, baselines, report and bundle"),
    ("labels.csv --group donor --classes young,old --into out/age", "a table, two of its classes, split by donor"),
    ("labels.csv --channels brightfield,darkfield --into out/two", "channels that lie in parallel folders"),
    ("labels.csv --network resnet18 --weights imagenet --into out/r18", "another backbone, pre-trained"),
    ("labels.csv --weights out/encoder/bundle --into out/few", "an encoder pre-trained without labels"),
    ("labels.csv --network resnet18@45x60,tiny --into out/two", "an ensemble whose networks see crops of their own"),
    ("labels.csv --estimator logistic --network resnet18 --weights imagenet --into out/l", "learn on its embeddings"),
    ("labels.csv --baselines forest,trivial,svm --into out/three", "other classical learners beside it"),
    ("labels.csv --into out/first --resume", "go on after a stop, to the same weights"),
    ("labels.csv --into out/first --dry-run 5", "five steps, nothing kept"),
    again="the same command with --resume goes on where it was",
)
def train(options: Train, say: Console) -> dict[str, Any]:
    """Learn from rows with a truth, honestly: folds by group, baselines, a report with intervals, then one bundle."""
    manifest = options.read()
    describe(manifest, say)
    task = chosen_task(options.task, manifest)
    plan = decided(options, manifest, task)

    # After the rows are understood: bad input is told before torch is imported.
    from potency.learning import protocol

    asked = choices(options)
    with ExitStack() as stack:
        into = options.into
        if options.dry_run:
            into = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="potency-"))) / "dry"
        alone = options.dry_run or options.workers == 1 or (plan.devices > 1 and not options.workers)
        on = stack.enter_context(workplace(None if alone and not options.cluster else options.workers, options.cluster))
        progress = stack.enter_context(Progress())
        outcome = protocol.run(manifest, task, into=into, plan=plan, choices=asked, on=on, progress=progress)
        figures(outcome.report.json(), say)
        if options.dry_run:
            say.print(f"dry run: {plan.steps} steps worked; nothing is kept, the figures mean nothing")
            return {"dry_run": options.dry_run, "bundle": None, "report": None}
    say.print(f"bundle: {outcome.bundle}", soft_wrap=True)
    say.print(f"report: {outcome.page}", soft_wrap=True)
    say.print(f"model card: {outcome.bundle / 'MODEL_CARD.md'}", soft_wrap=True, style="dim")
    return {"bundle": outcome.bundle, "report": outcome.page}


def choices(options: Train) -> Choices:
    """What the command line says of the protocol around the model."""
    from potency.learning import protocol

    how = None
    if options.search and not options.dry_run:
        from potency.learning.search import Search
        from potency.learning.space import Space

        how = Search(Space.read(options.search).axes, options.trials)
    return protocol.Choices(
        search=how,
        folds=options.folds,
        split=options.split,
        baselines=() if options.no_baselines or options.dry_run else listed(options.baselines),
        random_split=options.random_split,
        holdout=options.holdout or bool(options.dry_run),
        keep_folds=options.keep_folds,
        start=str(options.start or ""),
        resume=options.resume,
        command=options.line("train"),
        audit=not options.dry_run,
        maps=not options.dry_run,
        gallery=not (options.dry_run or options.no_gallery),
        log=tuple(options.log or ()),
        licences=(options.data_licence, options.weights_licence),
    )


def decided(options: Train, manifest: Manifest, task: Any) -> Plan:
    """The plan of a file or of the data, with what the command line changes in it."""
    from potency.data.plan import Plan

    changed: dict[str, Any] = {}
    if options.start:
        from potency.bundle import Bundle
        from potency.learning.planning import continued

        changed = continued(Bundle.load(options.start).card.plan, task)
    changed |= changes(options.set)
    if options.steps:
        changed["steps"] = options.steps
    networks = members(options.network, options.weights)
    if options.estimator:
        changed |= {"learner": "estimator", "network": options.estimator, "families": listed(options.families)}
        changed |= {"members": networks}
    elif len(networks) > 1:
        changed |= {"learner": "average", "members": networks}
    else:
        changed |= {name: value for network in networks for name, value in network.items()}
    if options.seed:
        changed["seed"] = options.seed
    if options.devices > 1:
        changed["devices"] = options.devices
    if options.epochs and options.steps:
        raise PlanError("steps and epochs say the same twice", "--steps, --epochs", "give one of them")
    if options.plan:
        plan = Plan.read(options.plan).but(**changed)
    else:
        plan = planned(manifest, task, changed, started=bool(options.start))
    if options.epochs:
        plan = plan.but(steps=max(1, round(options.epochs * len(manifest) / (plan.batch * plan.devices))))
    return plan.but(steps=options.dry_run, validations=1) if options.dry_run else plan
