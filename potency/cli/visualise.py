"""The command that asks a network for the pictures it answers to: visualise."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from potency.cli.answer import gathered, labelled
from potency.cli.frame import Options, command
from potency.cli.rows import NAMES_HELP, grid, listed
from potency.errors import PlanError

app = typer.Typer()


@dataclass(frozen=True, kw_only=True)
class Visualise(Options):
    bundle: Annotated[Path, typer.Argument(help="The folder of a trained model, or example:NAME.")]
    into: Annotated[Path, typer.Option(help="Folder of the pictures, their table and their page.")] = Path(
        "out/visualised"
    )
    classes: Annotated[str, typer.Option(metavar="A,B,...", help="The classes. [dim]else all of them[/dim]")] = ""
    against: Annotated[str, typer.Option(metavar="CLASS", help="Rather than this class.")] = ""
    score: Annotated[str, typer.Option(help="logit, odds, probability; value for numbers.")] = ""
    layer: Annotated[str, typer.Option(metavar="NAME", help="A layer, in place of classes; unknown: a list.")] = ""
    units: Annotated[str, typer.Option(metavar="0,1,...", help="Channels of that layer.")] = "0,1,2,3"
    images: Annotated[
        Path | None, typer.Option(metavar="FOLDER|TABLE", help="Real images to compare with: at most 500 are read.")
    ] = None
    channels: Annotated[str, typer.Option(metavar="A,B,...", help="Channels kept in files of their own, by name.")] = ""
    names: Annotated[str, typer.Option(metavar="PATTERN|REGEX", help=NAMES_HELP)] = ""
    other: Annotated[Path | None, typer.Option(metavar="BUNDLE", help="A second model: does it see the class?")] = None
    start: Annotated[str, typer.Option(help="noise, or mean: noise over the mean real image.")] = "noise"
    pictures: Annotated[int, typer.Option(min=1, max=24, help="Of each goal, each from its own noise.")] = 3
    steps: Annotated[int, typer.Option(min=1, help="Of gradient ascent.")] = 200
    decay: Annotated[float, typer.Option(min=0, help="Frequencies weigh 1/f to this power; 0: fine noise wins.")] = 1.0
    variation: Annotated[float, typer.Option(min=0, help="Weight of total variation.")] = 2.0
    energy: Annotated[float, typer.Option(min=0, help="Weight of the distance from the start (L2).")] = 1.0
    blur: Annotated[float, typer.Option(min=0, help="Blur in every fourth step, in pixels.")] = 0.0
    steady: Annotated[bool, typer.Option("--steady", help="Without random shifts, turns and sizes.")] = False
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same pictures.")] = 0


@command(
    app,
    ("out/first/bundle --images cells/", "a picture of what each class is to the network, beside the best real image"),
    ("example:cell-cycle --classes G2 --against G1", "one class rather than another"),
    ("out/first/bundle --images cells/ --other out/second/bundle", "does an independent model see the same?"),
    ("out/first/bundle --layer net.body.stem --units 0,1,2", "channels of a layer"),
    ("out/first/bundle --images cells/ --start mean", "from the average image"),
)
def visualise(options: Visualise, say: Console) -> dict[str, Any]:
    """Make the pictures that a class, or a channel of a layer, answers to most strongly, and say what they are not."""
    from potency.bundle import Bundle
    from potency.explanation.ascent import Ascent
    from potency.explanation.visualise import channel_goals, goals_of
    from potency.explanation.visualise import visualise as apply
    from potency.explanation.visualised import verdict, write_page

    bundle = Bundle.load(options.bundle)
    labelled(bundle, say)
    other = None if options.other is None else Bundle.load(options.other)
    images = None if options.images is None else gathered([options.images], options.channels, options.names)
    if options.layer:
        goals = channel_goals(bundle, options.layer, [whole(unit) for unit in listed(options.units)])
    else:
        goals = goals_of(bundle, listed(options.classes), options.score, options.against)
    ascent = Ascent(options.steps, options.pictures, decay=options.decay, variation=options.variation,
                    energy=options.energy, blur=options.blur)  # fmt: skip
    ascent = replace(ascent, shift=0.0, turn=0.0, zoom=0.0) if options.steady else ascent
    found = apply(bundle, goals, into=options.into, images=images, other=other, start=options.start, ascent=ascent,
                  seed=options.seed)  # fmt: skip
    page = write_page(found, bundle, options.into, ascent, options.start)
    rows = {
        shown.goal.name: {
            "highest score": f"{max(picture.score for picture in shown.pictures):.2f}",
            "best real image": f"{shown.best:.2f}",
            "answer": shown.pictures[0].answer, "second model": shown.pictures[0].other,
        }
        for shown in found
    }  # fmt: skip
    grid("goal", rows, say)
    say.print(verdict(found))
    say.print(f"written: {page}", soft_wrap=True)
    return {
        "page": page, "table": options.into / "visualised.csv", "verdict": verdict(found),
        "goals": {
            shown.goal.name: {
                "scores": [picture.score for picture in shown.pictures], "best_real": shown.best,
                "answers": [picture.answer for picture in shown.pictures],
                "other": [picture.other for picture in shown.pictures],
            }
            for shown in found
        },
    }  # fmt: skip


def whole(text: str) -> int:
    """A channel's number."""
    if not text.isdigit():
        raise PlanError(f"{text!r} is no number of a channel", "--units", "give whole numbers, as 0,1,2")
    return int(text)
