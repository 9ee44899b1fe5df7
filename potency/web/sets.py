"""Sets of images that a person has given: which files, what they are, where they lie; names are data, no paths."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from potency.web.jobs import Missing
from potency.web.store import Row, Store, new_id

CAPTION = 120  # characters of a title


@dataclass(frozen=True)
class File:
    """One file of a set.

    Attributes:
        name: as it was called where it came from, with its folders ("G1/a.tif"); shown, never opened.
        facts: `axes`, `shape`, `dtype`, `channels`, `pixel_size`, `series` and `notes` of an image, or its `error`.
    """

    id: str
    number: int
    name: str
    bytes: int
    digest: str
    facts: dict[str, Any]

    @property
    def error(self) -> dict[str, str] | None:
        found: dict[str, str] | None = self.facts.get("error")
        return found


@dataclass(frozen=True)
class ImageSet:
    """Images given together."""

    id: str
    title: str
    created: float
    origin: str
    facts: dict[str, Any]
    files: int
    bytes: int


class Sets:
    """The sets of one person; those of others are not there."""

    def __init__(self, store: Store, owner: int) -> None:
        self.store, self.owner = store, owner

    def make(self, title: str, origin: str = "upload", facts: Mapping[str, Any] = {}) -> str:
        """Begin an empty set; its id."""
        id = new_id()
        self.store.place("sets", id).mkdir()
        self.store.add("sets", id=id, owner=self.owner, title=title[:CAPTION], created=time.time(), origin=origin,
                       facts=json.dumps(dict(facts)))  # fmt: skip
        return id

    def find(self, id: str) -> ImageSet:
        """A set by its id.

        Raises:
            Missing: there is none, or it is somebody else's.
        """
        found = [one for one in self._listed(" AND sets.id = ?", id) if one.id == id]
        if not found:
            raise Missing("there are no such images", id, "they may have been deleted; the list of images has the rest")
        return found[0]

    def all(self) -> list[ImageSet]:
        """The sets of this person, newest first."""
        return self._listed("")

    def files(self, id: str) -> list[File]:
        """The files of a set, in their order."""
        self.find(id)
        query = 'SELECT * FROM files WHERE "set" = ? ORDER BY number'
        return [_file(row) for row in self.store.rows(query, id)]

    def file(self, id: str, file: str) -> File:
        """One file of a set."""
        self.find(id)
        row = self.store.row('SELECT * FROM files WHERE "set" = ? AND id = ?', id, file)
        if row is None:
            raise Missing("there is no such image", file, "go back to the list of images")
        return _file(row)

    def path(self, id: str, file: File) -> Path:
        """Where a file lies."""
        row = self.store.row('SELECT stored FROM files WHERE "set" = ? AND id = ?', id, file.id)
        assert row is not None
        return self.store.place("sets", id) / str(row["stored"])

    def paths(self, id: str) -> dict[str, Path]:
        """Where the files of a set lie, by the id of the file."""
        self.find(id)
        place = self.store.place("sets", id)
        rows = self.store.rows('SELECT id, stored FROM files WHERE "set" = ? ORDER BY number', id)
        return {str(row["id"]): place / str(row["stored"]) for row in rows}

    def remember(self, id: str, **facts: Any) -> None:
        """Add to the facts of a set."""
        known = self.find(id).facts | facts
        self.store.change("UPDATE sets SET facts = ? WHERE id = ?", json.dumps(known), id)

    def forget(self, id: str) -> None:
        """Delete a set and its files."""
        self.find(id)
        with self.store.writing() as base:
            base.execute('DELETE FROM files WHERE "set" = ?', (id,))
            base.execute("DELETE FROM sets WHERE id = ?", (id,))
        self.store.remove("sets", id)

    @property
    def bytes(self) -> int:
        """Bytes that this person keeps."""
        query = 'SELECT coalesce(sum(bytes), 0) AS n FROM files JOIN sets ON sets.id = "set" WHERE owner = ?'
        return int((self.store.row(query, self.owner) or {"n": 0})["n"])

    def _listed(self, among: str, *values: object) -> list[ImageSet]:
        query = (
            "SELECT sets.*, count(files.id) AS count, coalesce(sum(bytes), 0) AS bytes "
            'FROM sets LEFT JOIN files ON "set" = sets.id '
            f"WHERE owner = ?{among} GROUP BY sets.id ORDER BY created DESC"
        )
        return [
            ImageSet(row["id"], row["title"], row["created"], row["origin"], json.loads(row["facts"]), row["count"],
                     row["bytes"])
            for row in self.store.rows(query, self.owner, *values)
        ]  # fmt: skip


def _file(row: Row) -> File:
    return File(row["id"], row["number"], row["name"], row["bytes"], row["digest"], json.loads(row["facts"]))
