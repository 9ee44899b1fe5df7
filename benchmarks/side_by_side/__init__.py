"""What benchmarks share: two sides timed in turns, a mean with its interval, rows told to people or to machines."""

from __future__ import annotations

import hashlib
import json
import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
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
    """Rows that are made once: a stopped call goes on with what is there, until any line of the program changes."""
    import potency

    code = hashlib.sha256()
    for file in sorted(Path(potency.__file__).parent.rglob("*.py")):
        code.update(file.read_bytes())
    path = place / f"{name}-{code.hexdigest()[:16]}.json"
    if not path.is_file():
        rows = [dict(row) for row in make()]
        place.mkdir(parents=True, exist_ok=True)
        fresh = path.with_suffix(".new")
        fresh.write_text(json.dumps(rows), encoding="utf-8")
        fresh.replace(path)
    return list(json.loads(path.read_text("utf-8")))


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
