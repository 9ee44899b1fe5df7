"""The work that learns: the honest protocol on a person's images, and the model that it leaves on their shelf."""

from __future__ import annotations

import _thread
import contextlib
import json
import shutil
import signal
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from potency.data.whole import replaced
from potency.web.curves import curves
from potency.web.jobs import Cancelled
from potency.web.shelf import unproven
from potency.web.work import effort
from potency.web.work.kind import Kind, Order, Progress
from potency.web.work.labelled import labelled

if TYPE_CHECKING:
    from potency.learning.protocol import Outcome
    from potency.tasks import Task

NOTE = "learning.json"  # what the pictures of a run need to know, beside its folder
RUN = "run"
LEADING = 6  # figures on the page; the report has all, and the differences


def run(order: Order) -> Mapping[str, Any]:
    """Train by the protocol of `potency train`; the same job again goes on where it was."""
    from potency.learning import protocol

    order.progress(0, 0, "reading labels")
    words = order.arguments
    manifest, _ = labelled(order.sets, str(words["set"]), words)
    task = effort.task_of(manifest)
    title = str(words.get("title") or order.sets.find(str(words["set"])).title)
    plan = effort.plan_of(manifest, task, words, order.shelf)
    _note(order.folder, task, plan.steps)
    with stoppable(order.progress) as progress:
        outcome = protocol.run(manifest, task, into=order.folder / RUN, plan=plan, progress=progress,
                               choices=effort.choices_of(words, order.shelf, title))  # fmt: skip
    order.progress(0, 0, "keeping the model")
    shutil.rmtree(order.folder / RUN / "cache", ignore_errors=True)  # crops: the largest part, and made anew in seconds
    model = kept(order, outcome, title)
    return told(outcome, task) | {"model": model, "set": str(words["set"]), "title": title, "steps": plan.steps,
                                  "network": plan.network, "effort": effort.effort(words).title}  # fmt: skip


@contextlib.contextmanager
def stoppable(progress: Progress) -> Iterator[Progress]:
    """A progress that other threads may call, too: a job taken back stops the work as Ctrl-C does, at its next step.

    Raises:
        Cancelled: at the end of the block, where the job was taken back.
    """
    taken_back = threading.Event()

    def told(done: float, total: float, what: str = "", /) -> None:
        try:
            progress(done, total, what)
        except Cancelled:
            if threading.current_thread() is threading.main_thread():
                raise
            if not taken_back.is_set():
                taken_back.set()
                _thread.interrupt_main()

    alone = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGINT, signal.default_int_handler) if alone else None
    try:
        yield told
    except KeyboardInterrupt:
        if taken_back.is_set():
            raise Cancelled from None
        raise
    finally:
        if alone:
            signal.signal(signal.SIGINT, before)


def kept(order: Order, outcome: Outcome, title: str) -> str:
    """The id of the model on the shelf, which is that of the job, so that a job done twice leaves one."""
    from potency.bundle import Bundle

    id = order.folder.name
    data = outcome.report.json()
    about = f"Learned here from {data['rows']} images of {data['groups']} groups. {data['verdict']}"
    bundle = Bundle.load(outcome.bundle)
    bundle.but(data={**bundle.card.data, "title": title, "about": about}).save(order.store.place("models", id))
    if not order.store.row("SELECT id FROM models WHERE id = ?", id):
        order.shelf.put(id, title, {"set": order.arguments["set"], "job": id})
    return id


def told(outcome: Outcome, task: Task) -> dict[str, Any]:
    """What the page says of a run: the verdict and the figures with their intervals, as the report has them."""
    from potency.evaluation import opening, tables
    from potency.evaluation.wording import MINUS

    report = outcome.report
    figures = report.json()
    table = tables.metrics(report)
    shown = [at for at, name in enumerate(table.head) if MINUS not in name] if table is not None else []
    return {
        **{name: figures[name] for name in ("verdict", "headline", "banner", "notes", "rows", "groups", "simulated")},
        "unproven": unproven(figures), "lines": [list(line) for line in opening.lines(report)],
        "figures": {"head": list(table.head), "note": table.note, "shown": shown,
                    "rows": [list(row) for row in table.rows[:LEADING]]}
        if table is not None else None,
        "classes": list(figures["labels"]), "answer": task.answer.kind,
        "report": f"{RUN}/report/report.html",
        "files": [f"{RUN}/report/{name}" for name in ("numbers.csv", "report.json")],
    }  # fmt: skip


def live(folder: Path) -> dict[str, Any]:
    """The curves of a run so far, from its logs; nothing before the first validation."""
    with contextlib.suppress(OSError, ValueError):
        note = json.loads((folder / NOTE).read_text("utf-8"))
        return {"charts": curves(folder / RUN, str(note["score"]), str(note["called"]), int(note["steps"]))}
    return {}


def _note(folder: Path, task: Task, steps: int) -> None:
    from potency.evaluation.wording import known

    score = task.answer.headline
    replaced(folder / NOTE, json.dumps({"score": score, "called": known(score)[0], "steps": steps}))


KIND = Kind("train", "Train a model", "work/train.html", run, live=live, head="work/train.head.html")
