"""The process that does long work: takes jobs from the queue until its parent is gone."""

from __future__ import annotations

import contextlib
import errno
import gc
import logging
import os
import shutil
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from potency.errors import PotencyError
from potency.web import journal
from potency.web.jobs import Cancelled, Job, Jobs
from potency.web.room import measured, room, unweighed
from potency.web.store import Store
from potency.web.work import KINDS, Order

logger = logging.getLogger(__name__)

IDLE = 0.2  # seconds between two looks at an empty queue
BEAT = 2.0  # seconds between two signs of life
SHOWN = 0.25  # seconds between two notes of progress
WEIGHED = 10.0  # seconds between two looks at how much a job has made
NO_ROOM = (errno.ENOSPC, errno.EDQUOT)


class Worker:
    """Does one job after the other; what a job loaded (a model, torch) is warm for the next.

    Nothing is begun while less than `free` bytes of the disk are free; a job that makes more than its owner may keep
    (`kept` bytes in all) ends with that word, and goes on when there is room again and it is asked for once more.
    """

    def __init__(self, store: Store, free: int = 0, kept: int = sys.maxsize) -> None:
        self.store, self.jobs, self.free, self.kept, self.pid = store, Jobs(store), free, kept, os.getpid()

    def run(self) -> None:
        """Work until the process is stopped."""
        while True:
            if not self.turn():
                time.sleep(IDLE)

    def turn(self) -> bool:
        """Do the next job, if there is one and room on the disk for it."""
        if self.store.free < self.free:
            return False
        job = self.jobs.claim(self.pid)
        if job is None:
            return False
        unweighed(self.store, "jobs", job.id)
        with self._alive(job):
            state, result, error = self._done(job)
        if state != "lost":
            self.jobs.end(job.id, self.pid, state, result, error)
            room(self.store, job.owner, 0)  # what it made is measured here, so that no page has to
        return True

    def _done(self, job: Job) -> tuple[str, dict[str, Any], dict[str, str]]:
        folder = self.store.place("jobs", job.id)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            kind = KINDS.get(job.kind)
            if kind is None:
                raise PotencyError(f"there is no work of the kind {job.kind!r}", job.id, "delete the job")
            order = Order(job.owner, job.arguments, folder, self.store, self._progress(job))
            return "done", dict(kind.run(order)), {}
        except Cancelled:
            return "cancelled", {}, {}
        except PotencyError as error:
            return "failed", {}, {"what": self.store.discreet(error.what), "where": self.store.discreet(error.where),
                                  "mend": self.store.discreet(error.mend), "kind": type(error).__name__}  # fmt: skip
        except OSError as error:
            if error.errno in NO_ROOM or shutil.disk_usage(folder).free < self.free:
                self._wait(job)
                return "lost", {}, {}
            where = self.store.discreet(str(error.filename or ""))
            return "failed", {}, {"what": error.strerror or str(error), "where": where,
                                  "mend": "try again; if it stays so, ask who runs this page"}  # fmt: skip
        except MemoryError:
            return "failed", {}, {"what": "the memory of this machine is used up", "where": job.title,
                                  "mend": "give fewer or smaller images"}  # fmt: skip
        except Exception:
            logger.exception("job %s (%s) failed", job.id, job.kind)
            return "failed", {}, {"what": "the program made a mistake", "where": f"job {job.id}, {job.kind}",
                                  "mend": "try again; if it stays so, send its log to the authors"}  # fmt: skip

    def _wait(self, job: Job) -> None:
        """Put a job back in line: the disk is full, and no job is taken while it is."""
        self.store.change("UPDATE jobs SET state = 'queued', worker = NULL, attempts = 0, what = 'the disk is full' "
                          "WHERE id = ? AND worker = ?", job.id, self.pid)  # fmt: skip

    def _progress(self, job: Job) -> Any:
        last: dict[str, Any] = {"time": 0.0, "what": "", "weighed": time.monotonic()}

        def progress(done: float, total: float, what: str = "") -> None:
            now = time.monotonic()
            if now - last["weighed"] >= WEIGHED:
                last["weighed"] = now
                made = measured(self.store.place("jobs", job.id))
                room(self.store, job.owner, self.kept).needed(job.title, made)
            if now - last["time"] < SHOWN and what == last["what"] and done < total:
                return
            last.update(time=now, what=what)
            self.jobs.beat(job.id, self.pid)  # Cancelled, where it was
            self.jobs.progress(job.id, float(done), float(total), what)

        return progress

    @contextlib.contextmanager
    def _alive(self, job: Job) -> Iterator[None]:
        over = threading.Event()

        def beating() -> None:
            while not over.wait(BEAT):
                with contextlib.suppress(Cancelled):
                    self.jobs.beat(job.id, self.pid)

        thread = threading.Thread(target=beating, daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()


def until_alone() -> None:
    """End this process when its parent does: the pipe on stdin closes, however the parent died."""

    def listening() -> None:
        # Not by sys.stdin: its lock would be held for ever in any process that a library forks off this one.
        with contextlib.suppress(OSError):
            while os.read(0, 1):
                pass
        os._exit(0)

    threading.Thread(target=listening, daemon=True).start()


if __name__ == "__main__":
    gc.set_threshold(50_000, 50, 50)  # as the command line
    until_alone()
    journal.begin()
    Worker(Store(Path(sys.argv[1])), *map(int, sys.argv[2:])).run()
