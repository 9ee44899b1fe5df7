"""How many bytes a person keeps: images, what jobs made, models, corrections, studies; all of it has one limit."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from potency.web.faults import Refused
from potency.web.store import Store

# What there is of a person, and a stamp that changes with what lies in its folder; none while that is still written.
QUERIES = {
    "jobs": "SELECT id, ended AS stamp FROM jobs WHERE owner = ?",
    "models": "SELECT id, created AS stamp FROM models WHERE owner = ?",
    "studies": "SELECT id, state AS stamp FROM studies WHERE owner = ?",
    "corrections": "SELECT corrections.id AS id, coalesce(sum(revision) || ':' || sum(mask != ''), '') AS stamp "
                   "FROM corrections LEFT JOIN corrected ON correction = corrections.id WHERE owner = ? "
                   "GROUP BY corrections.id",
}  # fmt: skip


@dataclass(frozen=True)
class Room:
    """Bytes that a person keeps, of so many (`limit`); `results` are what jobs made.

    Overviews and small pictures that the program draws beside images do not count. A job counts when it has ended; it
    is ended where it makes more than there is room for.
    """

    limit: int
    images: int
    results: int
    models: int
    corrections: int
    studies: int

    @property
    def used(self) -> int:
        return self.images + self.results + self.models + self.corrections + self.studies

    @property
    def left(self) -> int:
        return max(0, self.limit - self.used)

    def needed(self, where: str, size: int = 1) -> None:
        """See that there is room for so many bytes more.

        Raises:
            Refused: there is none.
        """
        if size > self.left:
            from potency.web.paper import size as said

            raise Refused(507, f"your room is full: {said(self.used)} of {said(self.limit)} are taken", where,
                          "delete images, jobs, models, corrections or studies that you no longer need; "
                          "nothing that you keep is lost")  # fmt: skip


def room(store: Store, owner: int, limit: int) -> Room:
    """What a person keeps now; folders are measured once, and again when something was added to them."""
    query = 'SELECT coalesce(sum(bytes), 0) AS n FROM files JOIN sets ON sets.id = "set" WHERE owner = ?'
    images = int((store.row(query, owner) or {"n": 0})["n"])
    found = {part: _of(store, part, owner) for part in QUERIES}
    return Room(limit, images, found["jobs"], found["models"], found["corrections"], found["studies"])


def unweighed(store: Store, part: str, id: str) -> None:
    """Forget the size of what is written anew: it counts again when that is done, and not twice meanwhile."""
    store.change("DELETE FROM sizes WHERE part = ? AND id = ?", part, id)


def sweep(store: Store) -> None:
    """Forget the sizes of what is no more."""
    for part in QUERIES:
        store.change(f"DELETE FROM sizes WHERE part = ? AND id NOT IN (SELECT id FROM {part})", part)


def _of(store: Store, part: str, owner: int) -> int:
    query = (f"SELECT one.id AS id, one.stamp AS stamp, sizes.stamp AS known, sizes.bytes AS bytes "
             f"FROM ({QUERIES[part]}) AS one LEFT JOIN sizes ON part = ? AND sizes.id = one.id")  # fmt: skip
    total = 0
    for row in store.rows(query, owner, part):
        if row["stamp"] is None or str(row["stamp"]) == row["known"]:
            total += int(row["bytes"] or 0)
            continue
        count = measured(store.place(part, row["id"])) + (_edits(store, row["id"]) if part == "corrections" else 0)
        store.change("INSERT INTO sizes (part, id, stamp, bytes) VALUES (?, ?, ?, ?) ON CONFLICT (part, id) "
                     "DO UPDATE SET stamp = excluded.stamp, bytes = excluded.bytes",
                     part, row["id"], str(row["stamp"]), count)  # fmt: skip
        total += count
    return total


def _edits(store: Store, correction: str) -> int:
    """Bytes of the log of changes of a set of corrections."""
    query = ("SELECT coalesce(sum(coalesce(length(before), 0) + coalesce(length(after), 0) + 200), 0) AS n FROM edits "
             "JOIN corrected ON corrected.id = item WHERE correction = ?")  # fmt: skip
    return int((store.row(query, correction) or {"n": 0})["n"])


def measured(folder: Path) -> int:
    """Bytes of the files below a folder; 0 where there is none.

    >>> measured(Path("no such folder"))
    0
    """
    total = 0
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    total += measured(Path(entry.path))
                else:
                    total += entry.stat(follow_symlinks=False).st_size
    except FileNotFoundError:  # it was deleted meanwhile
        return total
    return total
