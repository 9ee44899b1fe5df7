"""The command line: the same verbs as the Python API, each imported only when it is called."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from potency import __version__
from potency.cli import (
    answer,
    audit,
    card,
    choose,
    controls,
    data,
    demo,
    doctor,
    frame,
    label,
    learn,
    measure,
    pictures,
    points,
    pool,
    pretrain,
    quantise,
    reader,
    reason,
    serve,
    show,
    visualise,
    watch,
)

__all__ = ["app", "run"]

app = typer.Typer(
    name="potency",
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    add_completion=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for room in (
    *(demo, data, audit, measure, controls, learn, pretrain, label, answer, reason, visualise),
    *(points, pool, choose, quantise, reader, serve, watch, pictures, show, card, doctor),
):
    app.registered_commands += room.app.registered_commands


@app.callback(
    invoke_without_command=True,
    epilog=frame.examples(
        ("demo", "the whole way on simulated cells, in minutes"),
        ("check my_images/", "what is wrong with my images, all at once"),
        ("train my_images/ --into out/first", "a classifier, and a report a sceptic believes"),
    ),
)
def potency(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and leave.")] = False,
) -> None:
    """Deep learning on stem-cell microscopy: images and a table in, a trained model and an honest report out."""
    if version:
        print(f"potency {__version__}")
    elif context.invoked_subcommand is None:
        print(context.get_help())


def run(arguments: Sequence[str]) -> int:
    """Run the command line on `arguments` and return the exit code."""
    return frame.run(app, arguments)
