"""What the tests let worker processes do, in a file of its own so that they start without importing a test suite."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from potency.errors import PotencyError


def double(item: int) -> int:
    return 2 * item


def environment(item: int) -> tuple[str, ...]:
    return os.environ.get("OMP_NUM_THREADS", ""), os.environ.get("OMP_WAIT_POLICY", ""), str(os.getpid())


def fail_at_three(item: int) -> int:
    if item == 3:
        raise PotencyError("three is no number", "item 3", "leave it out")
    return item


@dataclass
class Die:
    """Kills its own process the first time it meets one item, and each time it meets another; files remember."""

    marks: str
    once: int = -1
    always: int = -1

    def __call__(self, item: int) -> int:
        mark = Path(self.marks) / str(item)
        if item == self.always or (item == self.once and not mark.exists()):
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return 2 * item


class Unpackable:
    """A function that cannot travel."""

    def __getstate__(self) -> dict[str, object]:
        raise PotencyError("it cannot travel", "here", "leave it at home")

    def __call__(self, item: int) -> int:
        return item


@dataclass
class KillOnce:
    """The work of a prediction, whose process is killed the first time it has one row in hand."""

    work: Callable[[Any], Any]
    marks: str
    place: int

    def __call__(self, batch: Any) -> Any:
        mark = Path(self.marks) / "killed"
        if self.place in batch.places and not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return self.work(batch)


@dataclass
class Deadly:
    """A mapper whose worker is killed once in the middle."""

    on: Callable[[Any, Any], Any]
    marks: str
    place: int

    def __call__(self, function: Callable[[Any], Any], items: Any) -> Any:
        return self.on(KillOnce(function, self.marks, self.place), items)


def slow_double(item: int) -> int:
    time.sleep(0.05)
    return 2 * item
