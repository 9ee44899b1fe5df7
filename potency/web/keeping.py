"""All that one person keeps here, counted and deleted together: of an account that is closed, by an admin."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass

from potency.web.bringing import waiting
from potency.web.correcting.corrections import Corrections
from potency.web.faults import Refused
from potency.web.jobs import Jobs
from potency.web.room import room
from potency.web.sets import Sets
from potency.web.shelf import Shelf
from potency.web.store import Store
from potency.web.studies import Studies


@dataclass(frozen=True)
class Keeps:
    """How much somebody keeps: how many of each, and the bytes of all together; never what."""

    sets: int
    jobs: int
    models: int
    corrections: int
    studies: int
    bytes: int

    @property
    def any(self) -> bool:
        return bool(self.sets or self.jobs or self.models or self.corrections or self.studies)


def keeps(store: Store, owner: int) -> Keeps:
    """How much a person keeps now."""
    count = {part: len(_ids(store, part, owner)) for part in ("sets", "jobs", "models", "corrections", "studies")}
    return Keeps(**count, bytes=room(store, owner, 0).used)


def stopped(store: Store, owner: int) -> None:
    """Take back the jobs of a person: what still runs could bring something new.

    Raises:
        Refused: one runs; it is told to stop, and does so within seconds.
    """
    jobs, ids = Jobs(store), _ids(store, "jobs", owner)
    for id in ids:
        jobs.cancel(id)
    if not all(jobs.find(id).over for id in ids):
        raise Refused(409, "work of this account still runs and is being stopped", "jobs",
                      "wait some seconds, then do it again; nothing is deleted yet")  # fmt: skip


def cleared(store: Store, owner: int) -> None:
    """Delete all that a person keeps; where it is cut short, the next call goes on. No job of theirs may run.

    Their account, their lines in the log, and what they answered in studies of others stay.
    """
    for part, forget in {
        "studies": Studies(store, owner).forget, "corrections": Corrections(store, owner).forget,
        "models": Shelf(store, owner).forget, "sets": Sets(store, owner).forget,
    }.items():  # fmt: skip
        for id in _ids(store, part, owner):
            forget(id)
    for row in store.rows("SELECT id, arguments FROM jobs WHERE owner = ?", owner):
        if brought := json.loads(row["arguments"]).get("brought"):  # the files of a model that was not tried yet
            shutil.rmtree(waiting(store, brought), ignore_errors=True)
        Jobs(store).forget(row["id"])


def _ids(store: Store, part: str, owner: int) -> list[str]:
    return [str(row["id"]) for row in store.rows(f"SELECT id FROM {part} WHERE owner = ?", owner)]
