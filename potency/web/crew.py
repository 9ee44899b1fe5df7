"""The worker processes of a server: started with it, started again where one dies, ended with it."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
import time

from potency.web.jobs import Jobs
from potency.web.settings import Limits
from potency.web.store import Store

logger = logging.getLogger(__name__)

LOOK = 0.5  # seconds between two looks at the workers
PATIENCE = 10.0  # seconds that a cancelled job may take to stop by itself


class Crew:
    """So many workers; a context that starts and ends them."""

    def __init__(self, store: Store, count: int, limits: Limits) -> None:
        self.store, self.count, self.limits, self.jobs = store, count, limits, Jobs(store)
        self._workers: list[subprocess.Popen[bytes]] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._late: dict[str, float] = {}

    def __enter__(self) -> Crew:
        self.jobs.release()  # of a server that was killed: its workers ended with it
        self._workers = [self._started() for _ in range(self.count)]
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        for worker in self._workers:
            worker.kill()
            worker.wait()
            self.jobs.release(worker.pid)

    def _started(self) -> subprocess.Popen[bytes]:
        limits = map(str, (self.limits.free, self.limits.kept))
        words = [sys.executable, "-m", "potency.web.worker", str(self.store.folder), *limits]
        # The pipe is never written to: it closes when this process ends, however it ends, and the worker then ends too.
        with (self.store.folder / "workers.log").open("ab") as log:
            return subprocess.Popen(words, stdin=subprocess.PIPE, stdout=log, stderr=log,
                                    env={**os.environ, "PYTHONUNBUFFERED": "1"})  # fmt: skip

    def _watch(self) -> None:
        while not self._over.wait(LOOK):
            for place, worker in enumerate(self._workers):
                if worker.poll() is not None:
                    logger.warning("a worker ended (%s); another one is started", worker.returncode)
                    self.jobs.release(worker.pid)
                    self._workers[place] = self._started()
            self._stop_the_cancelled()

    def _stop_the_cancelled(self) -> None:
        """End the worker of a job that was cancelled and does not hear it, deep in a library."""
        deaf = self.store.rows("SELECT id, worker FROM jobs WHERE state = 'running' AND cancelled")
        now = time.monotonic()
        self._late = {row["id"]: self._late.get(row["id"], now) for row in deaf}
        for row in deaf:
            if now - self._late[row["id"]] > PATIENCE:
                for worker in self._workers:
                    if worker.pid == row["worker"]:
                        worker.kill()
