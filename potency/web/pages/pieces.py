"""Uploads of large files in pieces, for scripts: a broken line costs one piece, and the next call goes on."""

from __future__ import annotations

import re
import shutil
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Annotated

from fastapi import Form, UploadFile

from potency.errors import PotencyError
from potency.web.faults import Refused
from potency.web.frame import Here, Pages, Visit
from potency.web.jobs import Missing
from potency.web.store import Store

pages = Pages()
FOLDER = "pieces"
MARK = re.compile(r"^[0-9a-f]{16}$")
OPEN = 8  # files that one person may have begun
OLD = 7 * 24 * 3600.0  # seconds after which one that nobody goes on with is dropped


@dataclass(frozen=True)
class Come:
    """How many bytes of a file are here; `set` is where it was put when it was whole."""

    have: int
    set: str


@dataclass(frozen=True)
class Whole:
    """A file that has come in pieces, as an upload."""

    filename: str
    file: IO[bytes]


@pages.router.get("/pieces/{mark}.json", response_model=Come, tags=["pieces"])
def come(visit: Here, mark: str) -> Come:
    """How much of a file is here."""
    path = _place(visit, mark)
    if not path.is_file():
        raise Missing("nothing of such a file is here", mark, "send its first piece")
    return Come(path.stat().st_size, "")


@pages.router.post("/pieces.json", response_model=Come, tags=["pieces"])
def piece(
    visit: Here,
    mark: Annotated[str, Form()],
    at: Annotated[int, Form(ge=0)],
    size: Annotated[int, Form(ge=1)],
    files: Annotated[list[UploadFile], Form()],
    title: Annotated[str, Form()] = "",
    into: Annotated[str, Form()] = "",
) -> Come:
    """Add a piece to a file of `size` bytes; with the last one the file is kept in a set, as /images.json does.

    `mark` is sixteen hex digits that the sender chose for the file.
    """
    limits, path = visit.settings.limits, _place(visit, mark)
    if not visit.person.may("analyst"):
        raise Refused(403, f"this takes the role analyst, you are {visit.person.role}", "your account",
                      "ask who runs this page")  # fmt: skip
    if size > limits.file:
        raise PotencyError(f"the file is larger than {limits.file / 2**30:.3g} GB", title, "ask who runs this page")
    if len(files) != 1:
        raise PotencyError("a piece is one file", "the form", "send one field files")
    if visit.store.free < limits.free + 2 * size:
        raise PotencyError("there is no room left on the disk for this file", title,
                           "delete images or jobs that nobody needs")  # fmt: skip
    visit.room.needed(title, size)
    path.parent.mkdir(parents=True, exist_ok=True)
    _swept(path)
    have = path.stat().st_size if path.is_file() else 0
    if at != have:
        return Come(have, "")  # a piece that came twice, or one of another try: the sender goes on from here
    with path.open("ab") as file:
        shutil.copyfileobj(files[0].file, file, 2**20)
        have = file.tell()
        if have > size:
            file.truncate(at)
            raise PotencyError("the pieces are more than the file", title, "send it anew")
    if have < size:
        return Come(have, "")
    with path.open("rb") as stream:
        taken = visit.intake.take([Whole(files[0].filename or "", stream)], title, into)
    path.unlink(missing_ok=True)
    visit.note("upload", taken.set)
    return Come(have, taken.set)


def _place(visit: Visit, mark: str) -> Path:
    if not MARK.match(mark):
        raise PotencyError("a mark is sixteen hex digits", "mark", "choose another one")
    return visit.store.folder / FOLDER / f"{visit.person.id}-{mark}"


def forget(store: Store, person: int) -> None:
    """Drop the files that a person has begun to send."""
    for left in (store.folder / FOLDER).glob(f"{person}-*"):
        left.unlink(missing_ok=True)


def _swept(path: Path) -> None:
    """Drop what nobody goes on with; refuse one file too many."""
    own = path.name.partition("-")[0]
    for left in path.parent.iterdir():
        with suppress(OSError):
            if time.time() - left.stat().st_mtime > OLD:
                left.unlink()
    if not path.exists() and sum(one.name.startswith(f"{own}-") for one in path.parent.iterdir()) >= OPEN:
        raise PotencyError(f"{OPEN} files are on their way already", "pieces", "finish those first")
