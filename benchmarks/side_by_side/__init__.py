"""What benchmarks share: two sides timed in turns, a mean with its interval, rows told to people or to machines."""

from __future__ import annotations

import hashlib
import json
import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


def interleaved(sides: Mapping[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Median seconds of each side, taken in turns so that a busy moment of the machine hits both."""
    taken: dict[str, list[float]] = {name: [] for name in sides}
    for repeat in range(repeats + 1):
        for name, work in sides.items():
            start = time.perf_counter()
            work()
            if repeat:  # the first call pays for memory and caches
                taken[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in taken.items()}


def kept(place: Path, name: str, make: Callable[[], Iterable[Mapping[str, Any]]]) -> list[dict[str, Any]]:
    """Rows that are made once: a stopped call goes on with what is there, until a line of the code changes."""
    from potency.data.whole import replaced

    path = place / f"{name}-{_code()}.json"
    if not path.is_file():
        place.mkdir(parents=True, exist_ok=True)
        replaced(path, json.dumps([dict(row) for row in make()]))
    return list(json.loads(path.read_text("utf-8")))


@cache
def _code() -> str:
    """What the sources of the program and of its benchmarks are, in a few characters."""
    import potency

    seen = hashlib.sha256()
    for folder in (Path(potency.__file__).parent, Path(__file__).parents[1]):
        for file in sorted(folder.rglob("*.py")):
            seen.update(file.read_bytes())
    return seen.hexdigest()[:16]


def interval(values: NDArray[np.floating[Any]], groups: NDArray[Any]) -> tuple[float, float, float]:
    """Mean, and the 95 % interval of drawing whole groups again."""
    names, place = np.unique(groups.astype(str), return_inverse=True)
    sums, counts = np.bincount(place, values), np.bincount(place)
    draws = np.random.default_rng(0).multinomial(len(names), np.full(len(names), 1 / len(names)), 2000)
    low, high = np.percentile(draws @ sums / (draws @ counts), (2.5, 97.5))
    return float(values.mean()), float(low), float(high)


def tell(rows: Sequence[Mapping[str, Any]], as_json: bool) -> None:
    """Print the rows: one line of JSON, or a line each with three significant digits."""
    if as_json:
        print(json.dumps(rows))
        return
    for row in rows:
        print(", ".join(f"{k} {v:.3g}" if isinstance(v, float) else f"{k} {v}" for k, v in row.items()))
