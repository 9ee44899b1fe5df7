"""What a kind of long work is, and what it is given."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from potency.web.jobs import Job
from potency.web.sets import Sets
from potency.web.shelf import Shelf
from potency.web.store import Store


class Progress(Protocol):
    """Called often with how far a step is; raises `Cancelled` where the job was taken back."""

    def __call__(self, done: float, total: float, what: str = "", /) -> None: ...


@dataclass(frozen=True)
class Order:
    """One job as its work sees it.

    Attributes:
        owner: whose it is; `sets` and `shelf` hold what is theirs.
        arguments: as asked for.
        folder: for what it makes. The same job may come again after a kill: the folder then holds what was done.
        progress: to be called while it works.
    """

    owner: int
    arguments: Mapping[str, Any]
    folder: Path
    store: Store
    progress: Progress

    @property
    def sets(self) -> Sets:
        return Sets(self.store, self.owner)

    @property
    def shelf(self) -> Shelf:
        return Shelf(self.store, self.owner)

    def step(self, what: str) -> Callable[[float, int], None]:
        """The progress of two numbers that the verbs call, under a name."""

        def told(done: float, total: int) -> None:
            self.progress(done, total, what)

        return told


@dataclass(frozen=True)
class Kind:
    """One kind of work.

    Attributes:
        name: in the queue.
        title: for people, in the list of jobs.
        template: that shows its result, `work/<name>.html`; it is given `job` and the result's fields as `found`.
        run: does it; its result is plain JSON.
        live: what the job's folder tells while it runs, shown by `work/<name>-live.html` as `live`; None: nothing.
        head: a template for the head of its page, with styles and scripts that the result needs; "" for none.
        place: where a job of this kind has a page of its own; "" for none but that of every job.
    """

    name: str
    title: str
    template: str
    run: Callable[[Order], Mapping[str, Any]]
    live: Callable[[Path], Mapping[str, Any]] | None = None
    head: str = ""
    place: Callable[[Job], str] = lambda job: ""
