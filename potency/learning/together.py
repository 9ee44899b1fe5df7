"""Start the processes of a team on one computer: the lesson lies in a folder, each reads it and learns its share."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from potency.bundle import NetworkMember
from potency.data.plan import Plan
from potency.errors import PlanError, PotencyError
from potency.learning import checkpoint, gradient
from potency.learning.gradient import Judge, Lesson, State
from potency.learning.samples import Samples
from potency.learning.team import joined
from potency.tasks import Sample, Task, find_task

LESSON = "lesson.safetensors"


def fit(
    task: Task,
    plan: Plan,
    lesson: Lesson,
    nets: nn.ModuleDict,
    judge: Judge | None,
    into: Path,
    *,
    progress: Callable[[int, int], object] | None = None,
    told: Callable[[State], None] | None = None,
) -> tuple[NetworkMember, State]:
    """`gradient.fit` by `plan.devices` processes, this one among them: the curve of one with a batch as large as all.

    Exact within the rounding of floats for losses that are means over samples; a loss that compares samples with each
    other (contrastive) sees those of its own process only. On a GPU, dropout draws other masks than one process would.

    Raises:
        PlanError: there is less to learn from than processes. PotencyError: one of them ended early; its log is named.
    """
    if plan.devices == 1:
        return gradient.fit(task, plan, lesson, nets, judge, into, progress=progress, told=told)
    if len(lesson.where) < plan.devices:
        raise PlanError(
            f"{len(lesson.where)} crops cannot be shared by {plan.devices} processes",
            "plan.devices",
            "learn with fewer, --devices 1",
        )
    folder = into / f"team-{os.getpid()}"
    shutil.rmtree(folder, ignore_errors=True)
    _write(folder, task, plan, lesson, nets)
    with _helpers(folder, plan.devices), joined(folder / "meeting", 0, plan.devices):
        found = gradient.fit(task, plan, lesson, nets, judge, into, progress=progress, told=told)
    shutil.rmtree(folder, ignore_errors=True)  # kept where it failed: the logs lie there
    return found


def _write(folder: Path, task: Task, plan: Plan, lesson: Lesson, nets: nn.ModuleDict) -> None:
    """The lesson as numbers and text: nothing of it is executed by whoever reads it."""
    folder.mkdir(parents=True)
    crops = lesson.samples.crops
    path = Path(crops.filename) if isinstance(crops, np.memmap) and crops.filename else folder / "crops.npy"
    if not path.is_file():
        np.save(path, crops, allow_pickle=False)
    tensors: dict[str, Tensor] = {
        "fields": torch.as_tensor(lesson.samples.fields),
        "where": torch.as_tensor(lesson.where),
        **checkpoint.module_state("nets", nets),
    }
    for name in lesson.targets[0]:
        try:
            tensors[f"target.{name}"] = torch.as_tensor(np.stack([target[name] for target in lesson.targets]))
        except ValueError as error:
            raise PlanError(
                f"targets of several shapes cannot be shared ({name})", "plan.devices", "learn with --devices 1"
            ) from error
    facts = {"task": task.name, "plan": plan.json(), "crops": str(path.resolve()), "strata": lesson.strata}
    checkpoint.write(folder / LESSON, tensors, facts)


def _read(folder: Path) -> tuple[Task, Plan, Lesson, nn.ModuleDict]:
    tensors, facts = checkpoint.read(folder / LESSON)
    task, plan = find_task(facts["task"]), Plan.read(facts["plan"])
    nets = task.build(plan)
    checkpoint.restore_module("nets", nets, tensors)
    named = {k.removeprefix("target."): v.numpy() for k, v in tensors.items() if k.startswith("target.")}
    targets: list[Sample] = [{k: v[i] for k, v in named.items()} for i in range(len(tensors["where"]))]
    crops = np.load(facts["crops"], mmap_mode="r", allow_pickle=False)
    samples = Samples(crops, np.arange(len(crops)), tensors["fields"].numpy(), ())
    return task, plan, Lesson(samples, tensors["where"].numpy(), targets, list(facts["strata"])), nets


@contextmanager
def _helpers(folder: Path, size: int) -> Iterator[None]:
    """The other processes, each with its share of the cores; they end when the block does, or this process."""
    threads = torch.get_num_threads()
    each = max(1, threads // size)
    environment = {**os.environ, "OMP_NUM_THREADS": str(each), "OMP_WAIT_POLICY": "PASSIVE"}
    started: list[subprocess.Popen[bytes]] = []
    try:
        for rank in range(1, size):
            with (folder / f"process-{rank}.log").open("wb") as log:
                call = [sys.executable, "-m", __name__, str(folder), str(rank)]
                # What is written there never comes: the pipe closes when this process ends, and then they end too.
                started.append(subprocess.Popen(call, stdin=subprocess.PIPE, stdout=log, stderr=log, env=environment))
        _all_ready(folder, started)
        torch.set_num_threads(each)
        yield
        for process in started:
            process.wait(timeout=60)
    finally:
        torch.set_num_threads(threads)
        for process in started:
            assert process.stdin is not None
            process.stdin.close()
            process.kill()
            process.wait()


def _all_ready(folder: Path, started: list[subprocess.Popen[bytes]]) -> None:
    """Whoever waits for a process that could not even start would wait for ever."""
    while True:
        waited = [rank for rank in range(1, len(started) + 1) if not (folder / f"ready-{rank}").exists()]
        if not waited:
            return
        ended = [rank for rank in waited if started[rank - 1].poll() is not None]
        if ended:
            log = folder / f"process-{ended[0]}.log"
            last = (log.read_text(errors="replace").strip().splitlines() or ["it said nothing"])[-1]
            raise PotencyError(
                f"process {ended[0]} of those that learn together could not start: {last}", str(log), "see its log"
            )
        time.sleep(0.05)


def _help(folder: Path, rank: int) -> None:
    """Learn the `rank`-th share of the lesson in `folder`."""
    threading.Thread(target=_end_with_the_leader, daemon=True).start()
    task, plan, lesson, nets = _read(folder)
    (folder / f"ready-{rank}").touch()
    with joined(folder / "meeting", rank, plan.devices):
        gradient.fit(task, plan, lesson, nets, None, folder.parent)


def _end_with_the_leader() -> None:
    sys.stdin.buffer.read()
    os._exit(1)


if __name__ == "__main__":
    _help(Path(sys.argv[1]), int(sys.argv[2]))
