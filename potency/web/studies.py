"""Reader studies: which images are shown, to whom, in which order, and every answer as it was given."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from potency.errors import PotencyError
from potency.web.jobs import SECONDS, Missing
from potency.web.sets import CAPTION
from potency.web.store import Row, Store, new_id

LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"  # of a code that is read aloud: no 0 and o, no 1, l and i
DAY = 24 * 3600.0
MOST_READERS = 200


@dataclass(frozen=True)
class Study:
    """One study.

    Attributes:
        code: what readers open it by.
        state: preparing, open, closed.
        facts: `classes`, `unit`, `low`, `high`, `images`, `twice`, `rounds`, `washout` (days), `model`, `model_title`,
            `maps`, `confidence`, `simulated`, `truths`, `groups` (how they were found), `set`, `left_out`.
    """

    id: str
    owner: int
    title: str
    code: str
    created: float
    state: str
    job: str
    facts: dict[str, Any]

    @property
    def classes(self) -> tuple[str, ...]:
        return tuple(self.facts.get("classes", ()))

    @property
    def rounds(self) -> int:
        return int(self.facts.get("rounds", 1))


@dataclass(frozen=True)
class Reader:
    """One reader of a study: `facts` has `years`, `field`, and when each round was begun, `begun`."""

    id: str
    study: str
    person: int
    name: str
    created: float
    facts: dict[str, Any]


@dataclass(frozen=True)
class Progress:
    """How far a reader is: answered and to be answered, by round."""

    id: str
    name: str
    years: float | None
    field: str
    done: list[int]
    of: list[int]
    last: float | None


class Studies:
    """The studies of one person; a reader reaches one by its code."""

    def __init__(self, store: Store, owner: int) -> None:
        self.store, self.owner = store, owner

    def make(self, title: str, facts: Mapping[str, Any], images: Sequence[Mapping[str, Any]]) -> Study:
        """Begin a study of some images (`file`, `name`, `row`, `truth`, `group`), which are yet to be drawn."""
        id, code = new_id(), "".join(secrets.choice(LETTERS) for _ in range(10))
        self.store.place("studies", id).mkdir()
        with self.store.writing() as base:
            base.execute(
                "INSERT INTO studies (id, owner, title, code, created, state, facts) VALUES (?, ?, ?, ?, ?, ?, ?)",
                (id, self.owner, title[:CAPTION], code, time.time(), "preparing", json.dumps(dict(facts))),
            )
            base.executemany(
                'INSERT INTO study_images (study, number, file, name, row, truth, "group") '
                "VALUES (?, ?, ?, ?, ?, ?, ?)",
                [(id, number, one["file"], one["name"], one["row"], one["truth"], one["group"])
                 for number, one in enumerate(images)],
            )  # fmt: skip
        return self.find(id)

    def find(self, id: str) -> Study:
        """A study of this person.

        Raises:
            Missing: there is none, or it is somebody else's.
        """
        row = self.store.row("SELECT * FROM studies WHERE id = ? AND owner = ?", id, self.owner)
        if row is None:
            raise Missing("there is no such study", id, "the list of studies has those that are there")
        return study_of(row)

    def all(self) -> list[Study]:
        """The studies of this person, newest first."""
        return [study_of(row) for row in
                self.store.rows("SELECT * FROM studies WHERE owner = ? ORDER BY created DESC", self.owner)]  # fmt: skip

    def just_made(self, asked: str) -> Study | None:
        """The study that the same form made a moment ago: a second click asks for the same one."""
        query = "SELECT * FROM studies WHERE owner = ? AND created > ? AND json_extract(facts, '$.asked') = ?"
        row = self.store.row(query, self.owner, time.time() - SECONDS, asked)
        return study_of(row) if row else None

    def set_job(self, id: str, job: str) -> None:
        """Remember the job that draws the pictures."""
        self.store.change("UPDATE studies SET job = ? WHERE id = ?", job, id)

    def remember(self, id: str, **facts: Any) -> None:
        """Add to the facts of a study."""
        known = self.find(id).facts | facts
        self.store.change("UPDATE studies SET facts = ? WHERE id = ?", json.dumps(known), id)

    def open(self, id: str) -> None:
        """Let readers in: all is drawn."""
        self.store.change("UPDATE studies SET state = 'open' WHERE id = ? AND state = 'preparing'", id)

    def close(self, id: str) -> Study:
        """End a study: no answer is taken any more. It is never opened again, for readers may then see how they did."""
        self.find(id)
        if not self.store.change("UPDATE studies SET state = 'closed' WHERE id = ? AND state = 'open'", id):
            raise PotencyError("the study is not open", self.find(id).title, "it is closed already, or not ready yet")
        return self.find(id)

    def forget(self, id: str) -> None:
        """Delete a study, its pictures and all answers."""
        self.find(id)
        with self.store.writing() as base:
            base.execute("DELETE FROM showings WHERE reader IN (SELECT id FROM readers WHERE study = ?)", (id,))
            for table in ("readers", "study_images"):
                base.execute(f"DELETE FROM {table} WHERE study = ?", (id,))
            base.execute("DELETE FROM studies WHERE id = ?", (id,))
        self.store.remove("studies", id)

    def images(self, id: str) -> list[Row]:
        """The images of a study in the order of their numbers; `told` is what the model says."""
        rows = self.store.rows("SELECT * FROM study_images WHERE study = ? ORDER BY number", id)
        return [{**row, "told": json.loads(row["told"])} for row in rows]

    def picture(self, id: str, number: int, what: str = "pictures") -> Path:
        """Where the picture (or map, `what`) of an image lies."""
        return self.store.place("studies", id) / what / f"{number}.png"

    def progress(self, id: str) -> list[Progress]:
        """How far each reader is, in the order in which they came."""
        found = []
        for reader in self.readers(id):
            rows = self.store.rows("SELECT round, count(time) AS done, count(*) AS n, max(time) AS last FROM showings "
                                   "WHERE reader = ? GROUP BY round ORDER BY round", reader.id)  # fmt: skip
            last = [row["last"] for row in rows if row["last"]]
            found.append(Progress(reader.id, reader.name, reader.facts.get("years"), str(reader.facts.get("field", "")),
                                  [row["done"] for row in rows], [row["n"] for row in rows],
                                  max(last) if last else None))  # fmt: skip
        return found

    def readers(self, id: str) -> list[Reader]:
        """Who reads, in the order in which they came."""
        return [reader_of(row) for row in
                self.store.rows("SELECT * FROM readers WHERE study = ? ORDER BY created", id)]  # fmt: skip

    def answers(self, id: str, reader: str = "") -> list[Row]:
        """Every answer of a study, or those of one reader (an id): one row a showing that was answered, by reader,
        round and place."""
        whose, one = ("AND readers.id = ? ", (reader,)) if reader else ("", ())
        return self.store.rows(
            "SELECT readers.name AS reader, readers.facts AS facts, round, place, image, again, answer, confidence, "
            "seconds, time, changes FROM showings JOIN readers ON readers.id = reader "
            f"WHERE study = ? AND time IS NOT NULL {whose}ORDER BY readers.created, round, place",
            id, *one)  # fmt: skip

    def stand(self, id: str) -> tuple[int, float]:
        """How many answers a study has and when the last one was given: figures of as many are those of today."""
        query = ("SELECT count(*) AS n, coalesce(max(time), 0.0) AS last FROM showings "
                 "JOIN readers ON readers.id = reader WHERE study = ? AND time IS NOT NULL")  # fmt: skip
        row = self.store.row(query, id) or {"n": 0, "last": 0.0}
        return int(row["n"]), float(row["last"])

    def rounds_read(self, id: str) -> int:
        """How many rounds of readers have an answer."""
        query = ("SELECT count(DISTINCT reader || ' ' || round) AS n FROM showings "
                 "JOIN readers ON readers.id = reader WHERE study = ? AND time IS NOT NULL")  # fmt: skip
        return int((self.store.row(query, id) or {"n": 0})["n"])


def study_of(row: Row) -> Study:
    return Study(row["id"], row["owner"], row["title"], row["code"], row["created"], row["state"], row["job"],
                 json.loads(row["facts"]))  # fmt: skip


def reader_of(row: Row) -> Reader:
    return Reader(row["id"], row["study"], row["person"], row["name"], row["created"], json.loads(row["facts"]))
