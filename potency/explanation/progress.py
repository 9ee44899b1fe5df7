"""How far an explanation is: rows that are done, and of a large image the share of its windows."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[float, int], object]  # rows done, rows in all


class Inside:
    """Tells how far one row is; what the listener raises (the work was taken back) is kept, as no fault of the row."""

    def __init__(self, progress: Progress | None, done: int, total: int) -> None:
        self.progress, self.done, self.total = progress, done, total
        self.fault: Exception | None = None

    def __call__(self, share: float) -> None:
        """A share of the row is done, 0 to 1."""
        try:
            if self.progress is not None:
                self.progress(self.done + share, self.total)
        except Exception as fault:
            self.fault = fault
            raise
