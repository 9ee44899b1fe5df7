"""The command that shows what a model is for and when not to believe it: card."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markdown import Markdown

from potency.cli.frame import Options, command
from potency.errors import BundleError, PotencyError

app = typer.Typer()
LONGEST = 20_000  # characters of notes; a card is read


@dataclass(frozen=True, kw_only=True)
class CardOptions(Options):
    bundle: Annotated[Path, typer.Argument(help="The folder of a trained model, or example:NAME.")]
    notes: Annotated[
        Path | None, typer.Option(help="A text file in Markdown that becomes the section Notes; kept in the bundle.")
    ] = None
    data_licence: Annotated[str, typer.Option(help="State the licence of the images it learned from.")] = ""
    weights_licence: Annotated[str, typer.Option(help="State the licence of its weights.")] = ""
    into: Annotated[Path | None, typer.Option(help="Write the card to this file as well.")] = None


@command(
    app,
    ("out/first/bundle", "what it is for, how good it is for whom, when not to believe it"),
    ("out/first/bundle --notes notes.md --data-licence 'CC BY 4.0'", "with what only people know, kept in the bundle"),
    ("example:medium --into medium.md", "the card of a shipped model as a file"),
)
def card(options: CardOptions, say: Console) -> dict[str, Any]:
    """Show the model card of a bundle, and add to it what only people know: notes and licences."""
    from potency.bundle import Bundle
    from potency.bundle.model_card import FILE, model_card
    from potency.bundle.shipped import HERE

    bundle = Bundle.load(options.bundle)
    given = {"licence": options.data_licence, "weights_licence": options.weights_licence}
    told = {name: text.strip() for name, text in given.items() if text.strip()}
    if options.notes is not None:
        told["notes"] = notes_of(options.notes)
    folder = bundle.folder
    assert folder is not None
    if told:
        if folder.is_relative_to(HERE):
            raise BundleError("a model that comes with the program is not changed", str(options.bundle),
                              "copy its folder, and name the copy")  # fmt: skip
        bundle = replace(bundle, card=replace(bundle.card, data={**bundle.card.data, **told})).save(folder)
    text = model_card(bundle.card)
    say.print(Markdown(text))
    if options.into is not None:
        try:
            options.into.parent.mkdir(parents=True, exist_ok=True)
            options.into.write_text(text, encoding="utf-8")
        except OSError as error:
            raise PotencyError(f"the card cannot be written: {error.strerror or error}", str(options.into),
                               "choose another file") from error  # fmt: skip
    there = folder / FILE
    return {"card": options.into or (there if there.is_file() else None), "task": bundle.card.task, "markdown": text}


def notes_of(path: Path) -> str:
    """The text of a file of notes.

    Raises:
        PotencyError: it cannot be read, is no text, empty or too long.
    """
    try:
        text = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise PotencyError(f"the notes cannot be read: {error}", str(path), "give a text file in UTF-8") from None
    if not text or len(text) > LONGEST:
        what = "the notes are empty" if not text else f"the notes have {len(text):,} characters, more than {LONGEST:,}"
        raise PotencyError(what, str(path), "write what a user of the model must know, in a page or two")
    return text
