"""What one bad input is: what was given, the door it went through, and what the program must say or do."""

from __future__ import annotations

import contextlib
import io
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from potency.errors import PotencyError

LINE = 180  # characters of a cell on the page; messages that list are cut there


@dataclass(frozen=True)
class Case:
    """One bad input.

    Attributes:
        item: the words of the list that it belongs to.
        given: what was given, in words.
        do: gives it to a door of the program in an empty folder; the door refuses it with a PotencyError, or what
            was done with it is asserted and returned in words.
        says: a part of what is wrong, or of those words.
        mend: a part of how to mend it; empty where the input is survived.
        where: a part of the place that the message names; by default something in the folder.
        needs: why it cannot be tried on this machine; empty where it can.
    """

    item: str
    given: str
    do: Callable[[Path], str | None] = field(repr=False)
    says: str
    mend: str = ""
    where: str = ""
    needs: str = ""


@dataclass(frozen=True)
class Told:
    """What the program did: the three lines of its refusal, or words for what it made of the input."""

    what: str
    where: str = ""
    mend: str = ""


def told(case: Case, folder: Path) -> Told:
    """Try a case in an empty folder; anything raised but a PotencyError is a fault of the program and goes through."""
    try:
        done = case.do(folder)
    except PotencyError as error:
        return Told(*(settled(text, folder) for text in (error.what, error.where, error.mend)))
    assert isinstance(done, str), f"{case.given}: the case does not say what was done"
    return Told(settled(done, folder))


# Reasons that libraries and systems give in words of their own differ from version to version.
FOREIGN = re.compile(
    r"((?:cannot be decoded|is damaged|are damaged|damaged or cut short|cannot be read|or a damaged one):) .*", re.S
)


def settled(text: str, folder: Path) -> str:
    """A message without what differs from machine to machine: the folder, and the words of libraries."""
    for place in sorted({str(folder), os.path.realpath(folder)}, key=len, reverse=True):
        text = text.replace(place + os.sep, "").replace(place, "the folder")
    return FOREIGN.sub(r"\1 (reason)", " ".join(text.split()))


def command(*words: object) -> str:
    """Give words to the command line, as a shell does: its stdout, or its three lines raised as what they are."""
    from potency.cli import run

    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = run([str(word) for word in words])
    if code == 0:
        return out.getvalue()
    what, where, mend = err.getvalue().splitlines()[-3:]
    assert code == 2 and where.startswith("where: ") and mend.startswith("mend: "), err.getvalue()
    raise PotencyError(what, where.removeprefix("where: "), mend.removeprefix("mend: "))


@contextlib.contextmanager
def instead(thing: object, name: str, value: object) -> Iterator[None]:
    """Another value in place of an attribute, for as long as it lasts."""
    before = getattr(thing, name)
    setattr(thing, name, value)
    try:
        yield
    finally:
        setattr(thing, name, before)
