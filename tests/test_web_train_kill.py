"""A training whose worker is killed in the middle, for real: it goes on from its checkpoint, and ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from test_web_train import cells, sent

from potency.learning import checkpoint, gradient
from potency.web.app import create
from potency.web.jobs import Jobs
from potency.web.settings import Limits, Settings
from potency.web.store import Store
from potency.web.worker import Worker

STEPS, KILLED = 12, 5
# A worker as `potency serve` starts it, but with a checkpoint after every step in place of every half minute; after one
# in the middle it waits there to be killed, so that no machine is too quick or too slow for the test.
WORKER = f"""
import sys, time
from pathlib import Path
from potency.learning import gradient
from potency.web.store import Store
from potency.web.worker import Worker
gradient.CHECKPOINT_EVERY = 0.0
write = gradient.State.write
def written(state, path, plan):
    write(state, path, plan)
    if state.step == {KILLED}:
        time.sleep(1000)
gradient.State.write = written
Worker(Store(Path(sys.argv[1]))).run()
"""


def test_a_training_goes_on_where_it_was_when_its_worker_was_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = create(Settings(folder=tmp_path / "web", limits=Limits(free=0)))
    store: Store = app.state.store
    client = TestClient(app, base_url="http://127.0.0.1:8765")
    check = sent(client, cells(2))["id"]
    assert Worker(store).turn()
    job = client.post(f"/train/{check}/start.json", data={"steps": str(STEPS), "folds": "2"}).json()["id"]
    state = store.place("jobs", job) / "run" / "folds" / "network-0" / "state.safetensors"
    with subprocess.Popen([sys.executable, "-c", WORKER, str(store.folder)]) as worker:
        until = time.monotonic() + 600
        while worker.poll() is None and time.monotonic() < until and (not state.is_file() or reached(state) < KILLED):
            time.sleep(0.05)
        os.kill(worker.pid, signal.SIGKILL)
    assert reached(state) == KILLED < STEPS and worker.returncode == -signal.SIGKILL, "killed in the middle"
    jobs = Jobs(store)
    assert jobs.find(job).state == "running", "the worker could say nothing"
    jobs.release(worker.pid)  # as the server does once it sees that the worker is gone
    begun: list[int] = []
    read = gradient.State.read

    def noted(self: gradient.State, path: Path, plan: object) -> None:
        read(self, path, plan)  # type: ignore[arg-type]
        begun.append(self.step)

    monkeypatch.setattr(gradient.State, "read", noted)
    assert Worker(store).turn()
    done = jobs.find(job)
    assert done.state == "done", done.error
    assert begun[0] == KILLED, "it went on from its last checkpoint, not from the beginning"
    assert done.result["model"] == job and done.result["answer"] == "category"


def reached(state: Path) -> int:
    """The step of a checkpoint, which is written whole or not at all."""
    return int(checkpoint.read(state)[1]["step"])
