"""Commands for few labels: labels (how many are needed), suggest (which next), rehearse (would it have paid)."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from potency.cli.frame import command
from potency.cli.progress import Progress
from potency.cli.rows import Rows, describe, grid, listed
from potency.cli.task import SET_HELP, TASK_HELP, changes, chosen_task
from potency.cli.where import workplace
from potency.errors import PlanError

if TYPE_CHECKING:
    from potency.labelling.curve import Start

app = typer.Typer()
HOW_HELP = "entropy, margin, bald, coreset, loss or random."
LABEL_FAULTS = ("no-truths", "nothing-to-learn", "one-group", "one-class", "few-groups", "missing-class")


@dataclass(frozen=True, kw_only=True)
class Labels(Rows):
    into: Annotated[Path, typer.Option(help="Folder of the curve, its page and the jobs.")]
    encoder: Annotated[
        list[Path] | None, typer.Option(metavar="BUNDLE", help="A pre-trained encoder; may be given often.")
    ] = None
    pretrain: Annotated[
        int, typer.Option(min=0, metavar="N", help="Pre-train one for N steps in each fold, on its other groups only.")
    ] = 0
    network: Annotated[str, typer.Option(help="Its backbone, and that of --weights; NAME@45x60.")] = ""
    weights: Annotated[str, typer.Option(help="Weights to compare with: imagenet, or a .safetensors file.")] = ""
    fractions: Annotated[str, typer.Option(metavar="A,B,...", help="Shares of the labels in per cent.")] = "1,5,10,100"
    draws: Annotated[int, typer.Option(min=1, help="Draws of labels, the same for every method.")] = 3
    steps: Annotated[int, typer.Option(min=1, help="Steps of fine-tuning and of training from scratch.")] = 200
    no_tune: Annotated[bool, typer.Option("--no-tune", help="Linear probes only: minutes instead of hours.")] = False
    folds: Annotated[int, typer.Option(min=2, help="How many folds by group.")] = 5
    holdout: Annotated[bool, typer.Option("--holdout", help="Test on one fold only: quicker, wider intervals.")] = False
    task: Annotated[str, typer.Option(help=TASK_HELP)] = ""
    set: Annotated[list[str] | None, typer.Option(metavar="NAME=VALUE", help=SET_HELP)] = None
    seed: Annotated[int, typer.Option(min=0, help="Of folds, draws and weights.")] = 0
    workers: Annotated[int, typer.Option(min=0, help="Processes that share the jobs. [dim]0: one a core[/dim]")] = 1


@command(
    app,
    ("cells/ --encoder out/encoder/bundle --into out/labels", "probed and fine-tuned on 1, 5, 10, 100 % of labels"),
    ("cells/ --pretrain 2000 --into out/labels", "with an encoder that sees no image of a tested group"),
    ("cells/ --encoder out/a/bundle --encoder out/b/bundle --no-tune --into out/two", "two, only probed"),
    ("cells/ --pretrain 500 --fractions 2,20 --holdout --into out/quick", "quicker"),
    again="the same command goes on where it was",
)
def labels(options: Labels, say: Console) -> dict[str, Any]:
    """How many labels are needed: encoders, probed and fine-tuned on a few labels, beside training from scratch."""
    manifest = options.read()
    describe(manifest, say)
    task = chosen_task(options.task, manifest)
    shares = tuple(_share(text) for text in listed(options.fractions) or [""])

    from potency.data.columns import simulated
    from potency.labelling.curve import Choices
    from potency.labelling.page import write_study
    from potency.labelling.study import study

    chosen = Choices(shares, options.draws, options.steps, options.folds, options.holdout, not options.no_tune,
                     options.seed, changes=changes(options.set))  # fmt: skip
    with ExitStack() as stack:
        on = stack.enter_context(workplace(None if options.workers == 1 else options.workers, ""))
        progress = stack.enter_context(Progress())
        manifest.check(duplicates=False, progress=progress.of("checking images")).refuse(str(manifest.folder))
        found = study(manifest, task, starts(options), into=options.into, choices=chosen, on=on, progress=progress)
    page = write_study(found, options.into, simulated(manifest.table))
    rows = found.table.to_dict("records")
    shown = {f"{row['method']}, {100 * row['fraction']:g} %": {
        "labels": f"{row['labels']:.0f}", found.headline: f"{row['value']:.3f}",
        "gain": "" if row["gain"] != row["gain"] else f"{row['gain']:+.3f}"} for row in rows}  # fmt: skip
    grid("method", shown, say)
    for line in found.notes:
        say.print(f"  {line}", style="dim", soft_wrap=True)
    say.print(f"page: {page}", soft_wrap=True)
    return {"page": page, "table": options.into / "labels.csv", "rows": rows, "notes": found.notes}


def starts(options: Labels) -> list[Start]:
    """The encoders that were named, in the order in which they are drawn."""
    from potency.labelling.curve import Start

    network, _, tile = options.network.partition("@")
    plan = {name: value for name, value in (("network", network), ("tile", tile)) if value}
    folders = options.encoder or []
    for folder in folders:
        if not (folder / "card.json").is_file():
            raise PlanError("there is no such bundle", str(folder), "give the folder that `potency pretrain` wrote")
    names = [folder.parent.name if folder.name == "bundle" else folder.name for folder in folders]
    words = [_word(name, k, names) for k, name in enumerate(names)]
    found = [Start(word, str(folder)) for word, folder in zip(words, folders, strict=True)]
    if options.pretrain:
        found.append(Start("pretrained", pretrain=options.pretrain, plan=plan))
    if options.weights:
        name = "imagenet" if options.weights == "imagenet" else "weights"
        found.append(Start(name, options.weights, plan=plan))
    if not found:
        raise PlanError("no encoder is named", "--encoder", "give --encoder BUNDLE, --pretrain STEPS or --weights FILE")
    return found


def _word(name: str, number: int, names: list[str]) -> str:
    word = "".join(letter if letter.isalnum() or letter in "_-" else "_" for letter in name) or "encoder"
    return word if names.count(name) == 1 else f"{word}{number + 1}"


def _share(text: str) -> float:
    try:
        share = float(text) / 100
    except ValueError:
        share = 0.0
    if not 0 < share <= 1:
        mend = "per cents over 0 and up to 100, such as 1,5,10,100"
        raise PlanError(f"{text!r} is no share of the labels", "--fractions", mend)
    return share


@dataclass(frozen=True, kw_only=True)
class Suggest(Rows):
    model: Annotated[Path, typer.Option(help="The folder of a trained model; for coreset also one of pretrain.")]
    n: Annotated[int, typer.Option(min=1, help="How many images.")] = 50
    how: Annotated[str, typer.Option(help=HOW_HELP)] = "entropy"
    passes: Annotated[int, typer.Option(min=2, help="Passes with dropout, where bald has one member to ask.")] = 16
    seed: Annotated[int, typer.Option(min=0, help="Of ties, dropout and random choice.")] = 0
    into: Annotated[Path, typer.Option(help="Folder of the table and the page.")] = Path("out/suggestions")


@command(
    app,
    ("labels.csv --model out/first/bundle --n 50", "the 50 rows without a label that the model is least sure of"),
    ("labels.csv --model out/first/bundle --how bald", "those its members, or its dropout, contradict each other on"),
    ("labels.csv --model out/encoder/bundle --how coreset", "those unlike all that is labelled; no label needed yet"),
)
def suggest(options: Suggest, say: Console) -> dict[str, Any]:
    """Which images to label next: the rows without a truth, ranked, with the reason and a page of their pictures."""
    manifest = options.read()
    describe(manifest, say)

    from potency.bundle import Bundle
    from potency.data.columns import simulated
    from potency.labelling.page import write_suggestions
    from potency.labelling.suggest import suggest as choose

    manifest.check(pixels=False, duplicates=False).refuse(str(manifest.folder), LABEL_FAULTS)
    bundle = Bundle.load(options.model)
    with Progress() as progress:
        made = choose(manifest, bundle, count=options.n, how=options.how, passes=options.passes, seed=options.seed,
                      progress=progress.of("asking"))  # fmt: skip
    page = write_suggestions(made, options.into, options.how, simulated(made.table))
    columns = {"suggestion.score": "score", "suggestion.reason": "reason"}
    rows = made.table[["id", *columns]].rename(columns=columns)
    for row in rows.head(10).to_dict("records"):
        say.print(f"  {row['id']}: {row['reason']}", soft_wrap=True, markup=False)
    say.print(f"page: {page}", soft_wrap=True)
    return {"page": page, "table": options.into / "suggestions.csv", "rows": rows.to_dict("records")}


@dataclass(frozen=True, kw_only=True)
class Rehearse(Rows):
    encoder: Annotated[Path, typer.Option(metavar="BUNDLE", help="Whose embeddings the model learns on.")]
    into: Annotated[Path, typer.Option(help="Folder of the curve and its page.")] = Path("out/rehearsal")
    how: Annotated[str, typer.Option(metavar="A,B,...", help=HOW_HELP)] = "entropy,margin,bald,coreset,loss"
    start: Annotated[int, typer.Option(min=2, help="Labels to begin with, drawn at random.")] = 20
    per_round: Annotated[int, typer.Option(min=1, help="Labels that each round adds.")] = 20
    rounds: Annotated[int, typer.Option(min=1, help="Rounds of choosing.")] = 10
    seeds: Annotated[int, typer.Option(min=1, help="How often all of it is done.")] = 5
    target: Annotated[
        float,
        typer.Option(min=0, max=1, help="Balanced accuracy to reach. [dim]0: 95 % of what all labels reach[/dim]"),
    ] = 0
    learner: Annotated[str, typer.Option(help="Classical learner on the embeddings.")] = "logistic"
    folds: Annotated[int, typer.Option(min=2, help="One of so many parts of the groups is held out.")] = 3
    seed: Annotated[int, typer.Option(min=0, help="Of the held-out groups and of every draw.")] = 0


@command(
    app,
    ("labels.csv --encoder out/encoder/bundle", "entropy, margin, BALD and core-set beside random choice"),
    ("labels.csv --encoder out/encoder/bundle --start 10 --per-round 5 --seeds 10", "small steps, more seeds"),
)
def rehearse(options: Rehearse, say: Console) -> dict[str, Any]:
    """Would choosing have paid: active learning on rows with known labels beside random choice, on held-out groups."""
    manifest = options.read()
    describe(manifest, say)

    from potency.bundle import Bundle
    from potency.data.columns import simulated
    from potency.labelling.page import labels as told
    from potency.labelling.page import write_rehearsal
    from potency.labelling.rehearse import Setting
    from potency.labelling.rehearse import rehearse as apply
    from potency.learning.unlabelled import embedded, was_seen

    if manifest.kinds.get("truth") != "category":
        raise PlanError("only classes can be rehearsed", "column 'truth'", "name a column of classes with --truth")
    manifest.check(pixels=False, duplicates=False).refuse(str(manifest.folder))
    rows = manifest.where(manifest.table["truth"].notna())
    rows = rows.split("group", options.folds, options.seed)
    test = rows.table["fold"].eq(0).to_numpy()
    inside = rows.table["fold"].ge(0)
    rows, test = rows.where(inside), test[inside.to_numpy()]
    setting = Setting(listed(options.how), options.start, options.per_round, options.rounds, options.seeds,
                      options.learner, options.target or None)  # fmt: skip
    bundle = Bundle.load(options.encoder)
    with Progress() as progress:
        values = embedded(rows, bundle).to_numpy()
        found = apply(values, rows.table["truth"].tolist(), rows.table["group"].tolist(), test, setting,
                      seed=options.seed, progress=progress.of("rehearsing"))  # fmt: skip
    page = write_rehearsal(found, options.into, simulated(rows.table))
    shown = {how: {"labels": told(needed), "saved": told(found.saved[how]) if how in found.saved else ""}
             for how, needed in found.needed.items()}  # fmt: skip
    grid(f"until {found.target:.3f}", shown, say)
    seen = was_seen(bundle.card, rows.where(test.tolist()))
    share = None if seen is None else float(seen.mean())
    say.print("  the encoder's card does not say whether it has seen the test images" if share is None else
              f"  the encoder had seen {share:.0%} of the test images", style="dim")  # fmt: skip
    say.print(f"page: {page}", soft_wrap=True)
    table = options.into / "rehearsal.csv"
    return {"page": page, "table": table, "target": found.target, "needed": shown, "seen": share}
