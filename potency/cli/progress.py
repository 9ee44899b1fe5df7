"""Progress with the time left, on stderr, so that stdout stays what a script reads."""

from __future__ import annotations

import datetime
import sys
import time
from collections.abc import Callable
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

QUIET_EVERY = 10.0  # seconds between lines where stderr is no terminal


class Progress:
    """A callback `progress(done, total, what)`: one bar for each `what`; plain lines, seldom, in a log file.

    >>> with Progress() as progress:
    ...     progress(1, 2, "reading")
    """

    def __init__(self) -> None:
        console = Console(stderr=True)
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
        )
        self._bars = Bars(*columns, console=console) if console.is_terminal else None
        self._ids: dict[str, int] = {}
        self._last: dict[str, float] = {}
        self._began: dict[str, tuple[float, float]] = {}

    def __enter__(self) -> Progress:
        if self._bars:
            self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bars:
            self._bars.stop()

    def of(self, what: str) -> Callable[[float, int], None]:
        """The callback of two numbers that most verbs call, under a name of its own."""
        return lambda done, total: self(done, total, what)

    def __call__(self, done: float, total: float, what: str = "") -> None:
        """Show that `done` of `total` steps of `what` are behind us."""
        if self._bars:
            if what not in self._ids:
                self._ids[what] = self._bars.add_task(what, total=total)
            self._bars.update(self._bars.tasks[self._ids[what]].id, completed=done, total=total)
            return
        now = time.monotonic()
        started = self._last.setdefault(what, now - QUIET_EVERY)
        began, before = self._began.setdefault(what, (now, done))  # what an earlier call has done took this one no time
        if done >= total or now - started >= QUIET_EVERY:
            self._last[what] = now if done < total else float("inf")
            left = (now - began) * (total - done) / (done - before) if before < done < total else 0.0
            more = f", {datetime.timedelta(seconds=round(left))} left" if left else ""
            print(f"{what}: {100 * done / max(1, total):.0f} %{more}", file=sys.stderr, flush=True)
