"""The queue of long work: a job is asked for once, worked on by one process, and never lost."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from potency.errors import PotencyError
from potency.web.store import Row, Store, new_id

STATES = ("queued", "running", "done", "failed", "cancelled")
LOST = 30.0  # seconds without a sign of life after which a worker is taken for dead
ATTEMPTS = 3  # a job that killed so many workers is to blame itself
SECONDS = 2.0  # that a second click on the same button asks for the same job


@dataclass(frozen=True)
class Job:
    """One piece of long work as pages, scripts and workers see it; times are seconds since 1970.

    Attributes:
        state: queued, running, done, failed, cancelled.
        position: how many jobs run or wait before it, 0 where it runs or has ended.
        done, total, what: how far the present step is.
        left: seconds until the present step ends, None where nobody can tell.
        error: what is wrong, where, how to mend it.
    """

    id: str
    kind: str
    title: str
    state: str
    created: float
    started: float | None
    ended: float | None
    position: int
    done: float
    total: float
    what: str
    left: float | None
    arguments: dict[str, Any]
    result: dict[str, Any]
    error: dict[str, str]
    owner: int

    @property
    def over(self) -> bool:
        return self.state in ("done", "failed", "cancelled")


class Cancelled(Exception):
    """The one who asked for a job has taken it back."""


class Jobs:
    """The queue in the store; every method is one transaction."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def ask(self, owner: int, kind: str, title: str, arguments: Mapping[str, Any], most: int = 100) -> Job:
        """Put a job in line; the same request twice within two seconds (a double click) is one job.

        Raises:
            PotencyError: the person has `most` jobs waiting or running already.
        """
        now, text = time.time(), json.dumps(dict(arguments), sort_keys=True)
        with self.store.writing() as base:
            same = base.execute(
                "SELECT id FROM jobs WHERE owner = ? AND kind = ? AND arguments = ? AND created > ?",
                (owner, kind, text, now - SECONDS),
            ).fetchone()
            if same:
                return self.find(same["id"])
            (open_,) = base.execute(
                "SELECT count(*) FROM jobs WHERE owner = ? AND state IN ('queued', 'running')", (owner,)
            ).fetchone()
            if open_ >= most:
                raise PotencyError(f"{open_} jobs wait already", "the list of jobs", "wait for some, or cancel some")
            id = new_id()
            base.execute(
                "INSERT INTO jobs (id, owner, kind, title, arguments, state, created) "
                "VALUES (?, ?, ?, ?, ?, 'queued', ?)",
                (id, owner, kind, title, text, now),
            )
        return self.find(id)

    def find(self, id: str, owner: int | None = None) -> Job:
        """A job by its id, of its owner only where one is named.

        Raises:
            PotencyError: there is none.
        """
        row = self.store.row("SELECT * FROM jobs WHERE id = ?", id)
        if row is None or (owner is not None and row["owner"] != owner):
            raise Missing("there is no such job", id, "it may have been deleted; the list of jobs has the others")
        return self._job(row)

    def of(self, owner: int, kinds: tuple[str, ...] = (), most: int = 200) -> list[Job]:
        """The jobs of a person, newest first."""
        among = f" AND kind IN ({', '.join('?' * len(kinds))})" if kinds else ""
        query = f"SELECT * FROM jobs WHERE owner = ?{among} ORDER BY created DESC LIMIT ?"
        return [self._job(row) for row in self.store.rows(query, owner, *kinds, most)]

    def claim(self, worker: int) -> Job | None:
        """The next job for a worker (its process id); people take turns, each in the order of asking."""
        now = time.time()
        with self.store.writing() as base:
            base.execute(
                "UPDATE jobs SET state = CASE WHEN cancelled THEN 'cancelled' WHEN attempts >= ? THEN 'failed' "
                "ELSE 'queued' END, "
                "error = CASE WHEN attempts >= ? AND NOT cancelled THEN ? ELSE error END, worker = NULL "
                "WHERE state = 'running' AND beat < ?",
                (ATTEMPTS, ATTEMPTS, json.dumps(KILLED), now - LOST),
            )
            row = base.execute(
                "SELECT id FROM jobs AS waiting WHERE state = 'queued' ORDER BY "
                "(SELECT count(*) FROM jobs WHERE state = 'running' AND owner = waiting.owner), created LIMIT 1"
            ).fetchone()
            if row is None:
                return None
            base.execute(
                "UPDATE jobs SET state = 'running', worker = ?, beat = ?, started = ?, ended = NULL, since = NULL, "
                "attempts = attempts + 1, done = 0, total = 0, what = '' WHERE id = ?",
                (worker, now, now, row["id"]),
            )
        return self.find(row["id"])

    def beat(self, id: str, worker: int) -> None:
        """A sign of life of a job's worker.

        Raises:
            Cancelled: it shall stop: it was cancelled, or it is another worker's by now.
        """
        changed = self.store.change(
            "UPDATE jobs SET beat = ? WHERE id = ? AND worker = ? AND state = 'running' AND NOT cancelled",
            time.time(), id, worker,
        )  # fmt: skip
        if not changed:
            raise Cancelled(id)

    def progress(self, id: str, done: float, total: float, what: str) -> None:
        """How far a job is; `left` is told from where this step began."""
        now = time.time()
        self.store.change(
            "UPDATE jobs SET since = CASE WHEN since IS NULL OR what != ? THEN ? ELSE since END, "
            "before = CASE WHEN since IS NULL OR what != ? THEN ? ELSE before END, done = ?, total = ?, what = ? "
            "WHERE id = ?",
            what, now, what, done, done, total, what, id,
        )  # fmt: skip

    def end(self, id: str, worker: int, state: str, result: Mapping[str, Any], error: Mapping[str, str]) -> None:
        """A worker's last word on a job."""
        self.store.change(
            "UPDATE jobs SET state = ?, ended = ?, result = ?, error = ?, worker = NULL WHERE id = ? AND worker = ?",
            state, time.time(), json.dumps(dict(result)), json.dumps(dict(error)), id, worker,
        )  # fmt: skip

    def release(self, worker: int | None = None) -> None:
        """Put the jobs of a worker that has died back in line, at once; None: of all, where no worker is left."""
        query = "UPDATE jobs SET beat = 0 WHERE state = 'running' AND (? IS NULL OR worker = ?)"
        self.store.change(query, worker, worker)

    def cancel(self, id: str) -> None:
        """Take a job back: at once where it waits, soon where it runs, not where it has ended."""
        self.store.change("UPDATE jobs SET cancelled = 1 WHERE id = ? AND state IN ('queued', 'running')", id)
        query = "UPDATE jobs SET state = 'cancelled', ended = ? WHERE id = ? AND state = 'queued'"
        self.store.change(query, time.time(), id)

    def again(self, id: str) -> None:
        """Put a job that failed or was cancelled back in line; what it had done is gone on from."""
        self.store.change(
            "UPDATE jobs SET state = 'queued', cancelled = 0, attempts = 0, error = '{}', created = ?, ended = NULL "
            "WHERE id = ? AND state IN ('failed', 'cancelled')",
            time.time(), id,
        )  # fmt: skip

    def forget(self, id: str) -> None:
        """Delete a job that has ended, and all it made.

        Raises:
            PotencyError: it has not ended.
        """
        if not self.store.change("DELETE FROM jobs WHERE id = ? AND state NOT IN ('queued', 'running')", id):
            raise PotencyError("the job has not ended", id, "cancel it first")
        self.store.remove("jobs", id)

    def _job(self, row: Row) -> Job:
        before = 0
        if row["state"] == "queued":
            query = "SELECT count(*) AS n FROM jobs WHERE state = 'running' OR state = 'queued' AND created < ?"
            before = (self.store.row(query, row["created"]) or {"n": 0})["n"]
        gone, left = row["done"] - row["before"], None
        if row["state"] == "running" and row["since"] and gone > 0:
            left = max(0.0, (time.time() - row["since"]) * (row["total"] - row["done"]) / gone)
        facts = {name: json.loads(row[name]) for name in ("arguments", "result", "error")}
        same = {name: row[name] for name in Job.__dataclass_fields__ if name in row and name not in facts}
        return Job(**same, **facts, position=before, left=left)


class Missing(PotencyError):
    """What was asked for is not there, or belongs to somebody else, which is told alike."""


KILLED = {
    "what": f"the work was stopped {ATTEMPTS} times without a word, most likely for want of memory",
    "where": "the worker",
    "mend": "give fewer or smaller images, or a machine with more memory",
}
