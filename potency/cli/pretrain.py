"""The command that learns without labels: pretrain."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from potency.cli.frame import command
from potency.cli.progress import Progress
from potency.cli.rows import Rows, describe, listed
from potency.cli.task import SET_HELP, changes, members, planned
from potency.errors import ManifestError, PlanError, nearest

if TYPE_CHECKING:
    from potency.data.manifest import Manifest

app = typer.Typer()
# What is wrong with labels does not matter where none are read.
OF_LABELS = ("no-truths", "nothing-to-learn", "one-group", "one-class", "few-groups", "missing-class")


@dataclass(frozen=True, kw_only=True)
class Pretrain(Rows):
    into: Annotated[Path, typer.Option(help="Folder of the bundle and the checkpoint.")]
    task: Annotated[str, typer.Option(help="How: simclr or vicreg.")] = "simclr"
    network: Annotated[str, typer.Option(help="Backbone by name: tiny, resnet18, any of timm; NAME@45x60.")] = ""
    weights: Annotated[str, typer.Option(help="Begin with imagenet, a .safetensors file or a bundle's folder.")] = ""
    steps: Annotated[int, typer.Option(min=0, help="Steps of the optimiser. [dim]0: computed from the data[/dim]")] = 0
    set: Annotated[list[str] | None, typer.Option(metavar="NAME=VALUE", help=SET_HELP)] = None
    leave_out: Annotated[
        str,
        typer.Option(metavar="COLUMN=A,B,...", help="Rows that must not be seen, such as fold=0 or donor=D3."),
    ] = ""
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same machine: same weights.")] = 0


@command(
    app,
    ("images/ --into out/encoder", "any folder of images, no label needed"),
    ("images/ --network resnet18 --steps 3000 --into out/r18", "another backbone, longer"),
    ("split.csv --leave-out fold=0 --into out/encoder", "the groups of a fold are kept for the test"),
    ("images/ --task vicreg --into out/vicreg", "by another loss"),
    again="the same command goes on where it was",
)
def pretrain(options: Pretrain, say: Console) -> dict[str, Any]:
    """Learn an encoder from images without labels; its bundle is then given to train as --weights."""
    manifest = kept(options.read(), options.leave_out)
    describe(manifest, say)
    from potency.tasks import TASKS, find_task

    task = find_task(options.task)
    if "truth" in task.needs:
        known = [name for name, each in TASKS.items() if "truth" not in each.needs]
        raise PlanError(f"{task.name} needs a truth", "--task", f"{' or '.join(known)}; or use potency train")
    changed = changes(options.set)
    for each in members(options.network, options.weights):
        changed |= each
    changed |= {name: value for name, value in (("steps", options.steps), ("seed", options.seed)) if value}

    from potency.learning.train import train

    with Progress() as progress:
        manifest.check(duplicates=False, progress=progress.of("checking images")).refuse(
            str(manifest.folder), OF_LABELS
        )
        plan = planned(manifest, task, changed)
        bundle = train(manifest, task, into=options.into, plan=plan, progress=progress.of("learning"))
    return told(bundle, options, say)


def kept(manifest: Manifest, leave_out: str) -> Manifest:
    """The rows without those that `COLUMN=A,B` names; rows marked test or external are not learned from anyway."""
    if not leave_out:
        return manifest
    name, equals, values = leave_out.partition("=")
    if not equals:
        raise ManifestError(f"{leave_out!r} is no COLUMN=VALUE", "--leave-out", "write it like fold=0 or donor=D3,D4")
    if name not in manifest.table:
        raise ManifestError(f"there is no column {name!r}", "--leave-out", nearest(name, map(str, manifest.table)))
    cells = manifest.table[name].astype(str)
    unknown = [value for value in listed(values) if not cells.eq(value).any()]
    if unknown or not listed(values):
        raise ManifestError(f"no row has {name} {', '.join(unknown) or '(nothing named)'}", "--leave-out",
                            nearest((unknown or [""])[0], cells.unique()))  # fmt: skip
    left = manifest.where(~cells.isin(listed(values)))
    if not len(left):
        raise ManifestError("no row is left to learn from", "--leave-out", "leave out fewer")
    return replace(left, origin={**left.origin, "left out": leave_out})


def told(bundle: Any, options: Pretrain, say: Console) -> dict[str, Any]:
    """Say how the views came together, whether the encoder collapsed, and what its nearest neighbours know."""
    log = [row for row in bundle.card.validation["log"] if row.get("best")]
    watched = {k.removeprefix("watch_"): v for k, v in (log[-1] if log else {}).items() if k.startswith("watch_")}
    say.print("  " + ", ".join(f"{name} {value:.3g}" for name, value in watched.items()))
    if watched.get("collapsed"):
        say.print("[yellow]the encoder has collapsed: all images look the same to it[/yellow]; change the augmentation")
    probe = dict(bundle.card.validation["probe"])
    if probe:
        say.print("  nearest neighbours on held-out groups: " + ", ".join(f"{k} {v}" for k, v in probe.items()))
    folder = options.into / "bundle"
    say.print(f"bundle: {folder}; seen: {bundle.card.data['rows']} images of {bundle.card.data['groups']} groups",
              soft_wrap=True)  # fmt: skip
    return {"bundle": folder, "watched": watched, "probe": probe, "rows": bundle.card.data["rows"]}
