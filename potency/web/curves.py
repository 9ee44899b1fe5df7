"""Curves of a training as geometry for an SVG: the loss and the validation score of every fold against its steps."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

WIDE, HIGH = 460, 240
LEFT, RIGHT, TOP, BOTTOM = 46, 12, 12, 34
NETWORK, ALL = "network-", "all"  # folders of the protocol's folds, and of the model that learns from all rows


@dataclass(frozen=True)
class Tick:
    """A mark of an axis: where it is in pixels, and what stands there."""

    at: float
    text: str


@dataclass(frozen=True)
class Line:
    """One training: its number for the colour, its points as SVG wants them, its last value."""

    name: str
    number: int
    points: str
    x: float
    y: float
    step: int
    last: float


@dataclass(frozen=True)
class Chart:
    """One picture; `told` says in words what it shows."""

    title: str
    lines: tuple[Line, ...]
    across: tuple[Tick, ...]
    up: tuple[Tick, ...]
    told: str
    wide: int = WIDE
    high: int = HIGH
    left: int = LEFT
    bottom: int = HIGH - BOTTOM


def curves(run: Path, score: str, called: str, steps: int) -> list[dict[str, Any]]:
    """The charts of a run's folder: the loss, and the validation score where there is one.

    Args:
        run: the folder that the protocol writes into.
        score: the metric that chooses the checkpoint, as the logs have it behind `validation_`.
        called: what people call it.
        steps: of one training.
    """
    logs = _logs(run)
    found = [_chart("Loss on the learning images", "train_loss", logs, steps),
             _chart(f"{called} on validation images", f"validation_{score}", logs, steps)]  # fmt: skip
    return [asdict(chart) for chart in found if chart is not None]


def _logs(run: Path) -> list[tuple[str, int, list[dict[str, Any]]]]:
    """Name, number and rows of each log; folds in their order, the model of all rows last."""
    found = []
    for path in sorted((run / "folds").glob("*/log.jsonl")):
        name = path.parent.name
        if name == ALL:
            title, number = "all images", 9
        elif name.startswith(NETWORK) and name.removeprefix(NETWORK).isdigit():
            number = int(name.removeprefix(NETWORK))
            title = f"fold {number + 1}"
        else:
            continue
        try:
            rows = [json.loads(line) for line in path.read_text("utf-8").splitlines() if line]
        except (OSError, ValueError):  # being replaced
            continue
        found.append((title, number, rows))
    return sorted(found, key=lambda one: one[1])


def _chart(title: str, column: str, logs: Sequence[tuple[str, int, list[dict[str, Any]]]], steps: int) -> Chart | None:
    series = [(name, number, [(int(row["step"]), float(row[column])) for row in rows
                              if isinstance(row.get(column), int | float) and math.isfinite(row[column])])
              for name, number, rows in logs]  # fmt: skip
    series = [one for one in series if one[2]]
    if not series:
        return None
    values = [value for _, _, points in series for _, value in points]
    ticks = _ticks(min(values), max(values))
    low, high = min(*ticks, *values), max(*ticks, *values)
    most = max(steps, *(step for _, _, points in series for step, _ in points))

    def x(step: float) -> float:
        return round(LEFT + (WIDE - LEFT - RIGHT) * step / most, 1)

    def y(value: float) -> float:
        return round(TOP + (HIGH - TOP - BOTTOM) * (high - value) / ((high - low) or 1), 1)

    lines = tuple(Line(name, number % 10, " ".join(f"{x(step)},{y(value)}" for step, value in points),
                       x(points[-1][0]), y(points[-1][1]), points[-1][0], points[-1][1])
                  for name, number, points in series)  # fmt: skip
    told = f"{title}: " + "; ".join(f"{line.name}, step {line.step}: {line.last:.3g}" for line in lines)
    across = tuple(Tick(x(most * share), f"{most * share:.0f}") for share in (0, 0.5, 1))
    return Chart(title, lines, across, tuple(Tick(y(value), f"{value:.4g}") for value in ticks), told)


def _ticks(low: float, high: float, most: int = 5) -> list[float]:
    """Round numbers that span a range.

    >>> _ticks(0.13, 0.87), _ticks(0.5, 0.5)
    ([0.0, 0.2, 0.4, 0.6, 0.8, 1.0], [0.4, 0.6])
    """
    if high - low < 1e-9:
        span = abs(low) * 0.2 or 1.0
        return [float(f"{low - span:.6g}"), float(f"{low + span:.6g}")]
    rough = (high - low) / (most - 1)
    scale = 10 ** math.floor(math.log10(rough))
    step = scale * next(size for size in (1, 2, 2.5, 5, 10) if size * scale >= rough)
    first = math.floor(low / step)
    return [float(f"{step * (first + k):.6g}") for k in range(math.ceil(high / step) - first + 1)]
