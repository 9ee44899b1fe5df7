"""How a training went, for other programs: JSON lines and CSV always, TensorBoard when asked for."""

from __future__ import annotations

import json
import math
import shutil
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import pandas as pd

from potency.data.whole import replaced
from potency.errors import MissingExtra, PlanError, nearest

ROWS = "log.jsonl"


def write(into: Path, log: Sequence[Mapping[str, Any]]) -> None:
    """Write `log.jsonl` and `log.csv`, one row a validation; each file appears whole, also while learning goes on."""
    lines = "".join(json.dumps(row) + "\n" for row in log)
    for name, text in ((ROWS, lines), ("log.csv", pd.DataFrame(list(log)).to_csv(index=False))):
        replaced(into / name, text)


class Follower(Protocol):
    """Hands the rows of a run's logs on to another program while they are being written."""

    def look(self) -> None:
        """Hand on what is new."""


class TensorBoard:
    """Event files for `tensorboard --logdir INTO/tensorboard`, one run a training; made anew from the logs in `into`.

    Example: `TensorBoard(Path("out/first")).look()` after, or now and then during, a training into out/first.

    Raises:
        MissingExtra: tensorboard is not installed.
    """

    def __init__(self, into: Path) -> None:
        try:
            with warnings.catch_warnings():  # its own dependencies complain about each other
                warnings.simplefilter("ignore")
                from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise MissingExtra("tensorboard", "board") from error
        self.into, self.folder = into, into / "tensorboard"
        self.writer, self.told = SummaryWriter, dict[Path, int]()

    def look(self) -> None:
        if not self.told:  # what an earlier call left is told again, whole
            shutil.rmtree(self.folder, ignore_errors=True)
        for path in sorted(self.into.rglob(ROWS)):
            try:
                rows = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
            except OSError:  # a courtesy: the training itself says when a disk fails
                continue
            fresh = rows[self.told.get(path, 0) :]  # a training done again gives the same rows again
            if fresh:
                self._write(self.folder / path.parent.relative_to(self.into), fresh)
                self.told[path] = len(rows)

    def _write(self, run: Path, rows: Sequence[Mapping[str, Any]]) -> None:
        with self.writer(str(run)) as writer:
            for row in rows:
                for name, value in row.items():
                    if name != "step" and isinstance(value, float) and math.isfinite(value):
                        writer.add_scalar(name.replace("_", "/", 1), value, row["step"])


LOGS: Mapping[str, Callable[[Path], Follower]] = {"tensorboard": TensorBoard}


def followers(names: Sequence[str], into: Path) -> list[Follower]:
    """The logs asked for beside JSON lines and CSV; an unknown one is refused and the nearest named."""
    for name in names:
        if name not in LOGS:
            raise PlanError(f"there is no log {name!r}", "log", nearest(name, LOGS))
    return [LOGS[name](into) for name in names]
