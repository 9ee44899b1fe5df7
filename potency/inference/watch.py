"""Watches a folder that a microscope fills: files are answered once they are complete, in a table that only grows."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from potency.data.folders import natural
from potency.data.manifest import Manifest
from potency.data.readers import SUFFIXES, open_image
from potency.data.whole import replaced
from potency.errors import ImageError, PotencyError
from potency.inference.claim import MARK
from potency.inference.origin import FILE
from potency.inference.store import PARTS

TABLE, NOTE, WORK = "predictions.parquet", "watch.json", "work"
TOGETHER = 64  # files that are answered before the table is written: what a kill may cost
PATIENCE = 60.0  # seconds that a file which cannot be read is waited for, once it has stopped growing
BYTES, TIME = "watch.bytes", "watch.modified"  # columns: what a file was when it was answered
Answering = Callable[[Manifest, Path], Manifest]


@dataclass(frozen=True)
class Sign:
    """By what a file is known to be the same: bytes, and the time of its last change in nanoseconds."""

    bytes: int
    modified: int


class Watch:
    """One folder and the table of its answers; what is in the table is never answered again, after a restart neither.

    A file is taken when it looked the same twice and its header can be read; one that stays unreadable gets a row with
    its error. One that is replaced is answered anew, and its row with it; one that is deleted keeps its row.

    Args:
        folder: what is watched, with the folders in it; looked at anew each time, so that network drives work.
        into: where table and files of answers go; it may lie in `folder`.
        answer: gives rows their columns, and may write into the folder it is given.
        identity: of what answers; another one is refused.
        name: the column of the answers.

    Raises:
        PotencyError: `into` holds the answers of something else.
    """

    def __init__(self, folder: Path, into: Path, answer: Answering, identity: str, name: str = "prediction") -> None:
        self.folder, self.into, self.answer, self.name = folder, into, answer, name
        self.last: dict[str, Sign] = {}
        self.unread: dict[str, tuple[Sign, float]] = {}
        into.mkdir(parents=True, exist_ok=True)
        self._refuse_another(f"{identity} {name}")
        path = into / TABLE
        self.rows = Manifest.read(path) if path.is_file() else None
        self.done = {} if self.rows is None else _signs(self.rows.table)

    def forget_errors(self) -> int:
        """Let files whose row is an error be tried again, though they are as they were; how many there are."""
        if self.rows is None or f"{self.name}.error" not in self.rows.table:
            return 0
        wrong = self.rows.table.loc[self.rows.table[f"{self.name}.error"].notna(), "id"]
        for name in wrong:
            self.done.pop(str(name), None)
        return len(wrong)

    def scan(self) -> dict[str, Sign]:
        """The images of the folder as they are now, by their path in it.

        Raises:
            PotencyError: the folder is not there (a drive that went away).
        """
        if not self.folder.is_dir():
            raise PotencyError("the folder is not there", str(self.folder), "check the path, and that its drive is on")
        found = {}
        for path in _images(self.folder, self.into):
            try:
                found[path.relative_to(self.folder).as_posix()] = _sign(path)
            except OSError:  # gone, or not yet to be seen: the next look will tell
                continue
        return found

    def complete(self, patience: float = PATIENCE) -> dict[str, Sign]:
        """Look once; the new files that are as they were at the last look, and can be read or will never be."""
        new = {name: sign for name, sign in self.scan().items() if self.done.get(name) != sign}
        still = [name for name, sign in new.items() if self.last.get(name) == sign]
        self.last = new
        self.unread = {name: held for name, held in self.unread.items() if name in new}
        return {name: new[name] for name in sorted(still, key=natural) if self._readable(name, new[name], patience)}

    def take(self, files: Mapping[str, Sign]) -> Iterator[Manifest]:
        """Answer files, some at a time; each part is in the table when it is given out."""
        names = list(files)
        for i in range(0, len(names), TOGETHER):
            part = names[i : i + TOGETHER]
            rows = Manifest.of_rows(pd.DataFrame({"id": part, "image": part}), self.folder)
            told = "\n".join(f"{name} {files[name]}" for name in part)
            place = self.into / WORK / hashlib.sha256(told.encode()).hexdigest()[:16]
            made = self.answer(rows, place)
            signs = {BYTES: [files[name].bytes for name in part], TIME: [files[name].modified for name in part]}
            self._keep(made.add(signs).placed(self.into))
            self.done |= {name: files[name] for name in part}
            self._tidy(place)
            yield made

    def _keep(self, made: Manifest) -> None:
        old = self.rows
        if old is not None:
            kept = old.table[~old.table["id"].isin(set(made.table["id"]))].astype(object)
            table = pd.concat([kept, made.table.astype(object)], ignore_index=True).infer_objects()
            made = replace(made, table=table, kinds={**old.kinds, **made.kinds}, folder=self.into)
        made.write(self.into / TABLE)  # the table that counts is written first, and whole
        made.write((self.into / TABLE).with_suffix(".csv"))
        self.rows = made

    def _tidy(self, place: Path) -> None:
        """Drop what only a kill in the middle would have needed; files that hold answers stay."""
        shutil.rmtree(place / PARTS, ignore_errors=True)
        for name in (TABLE, "predictions.csv", MARK):
            (place / name).unlink(missing_ok=True)
        if (place / FILE).is_file():
            (place / FILE).replace(self.into / FILE)
        with suppress(OSError):  # not empty: its files are answers
            place.rmdir()

    def _readable(self, name: str, sign: Sign, patience: float) -> bool:
        try:
            open_image(self.folder / name)
        except ImageError:
            held, since = self.unread.get(name, (sign, time.monotonic()))
            since = since if held == sign else time.monotonic()
            self.unread[name] = (sign, since)
            return time.monotonic() - since >= patience
        return True

    def _refuse_another(self, identity: str) -> None:
        note = self.into / NOTE
        told = {"answers": identity, "folder": str(self.folder.resolve())}
        if note.is_file():
            try:
                before = json.loads(note.read_text("utf-8"))
            except ValueError:
                before = {}
            if before and before != told:
                raise PotencyError("the folder holds answers of another model, or about another folder", str(self.into),
                                   "choose another --into")  # fmt: skip
        replaced(note, json.dumps(told, indent=1))


def _images(folder: Path, but: Path) -> Iterator[Path]:
    """Image files and OME-Zarr folders below a folder, hidden ones and what lies in `but` left out."""
    left, skip = [folder], but.resolve()
    while left:
        try:
            with os.scandir(left.pop()) as entries:
                there = sorted(entries, key=lambda entry: entry.name)
        except OSError:  # a folder that may not be seen hides none of the others
            continue
        for entry in there:
            path = Path(entry.path)
            if entry.name.startswith("."):
                continue
            image = entry.name.lower().endswith(SUFFIXES)
            if entry.is_dir(follow_symlinks=False):
                if image:
                    yield path
                elif path.resolve() != skip:
                    left.append(path)
            elif image and entry.is_file():
                yield path


def _sign(path: Path) -> Sign:
    if not path.is_dir():
        facts = path.stat()
        return Sign(facts.st_size, facts.st_mtime_ns)
    inside = [one.stat() for one in path.rglob("*")]
    return Sign(sum(one.st_size for one in inside), max((one.st_mtime_ns for one in inside), default=0))


def _signs(table: pd.DataFrame) -> dict[str, Sign]:
    if BYTES not in table or TIME not in table:
        return {}
    counts, times = (np.asarray(table[name], dtype=np.int64) for name in (BYTES, TIME))
    return {str(name): Sign(int(count), int(at)) for name, count, at in zip(table["id"], counts, times, strict=True)}
