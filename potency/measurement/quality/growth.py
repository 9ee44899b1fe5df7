"""Growth from confluence over time: a curve a well, its rate by an exponential or logistic fit, with an interval."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from potency.errors import ManifestError

if TYPE_CHECKING:
    import pandas as pd

    from potency.data.manifest import Manifest

Values = NDArray[np.float64]
FEWEST = 5  # points in time, for two or three unknowns and an interval
LEAST = 0.005  # confluence below which an image is empty rather than sparse
SURE = 0.95
FOUND = ("rate", "low", "high", "doubling", "ceiling", "model", "points", "why")  # columns of a table of growth


@dataclass(frozen=True)
class Curve:
    """How one well grew: `rate` a unit of time with its 95 % interval, and the `model` that told it.

    `points` is how many moments it rests on. `why` says in words why there is no rate, or what to mind.
    """

    model: str = ""
    rate: float = float("nan")
    low: float = float("nan")
    high: float = float("nan")
    ceiling: float = float("nan")
    points: int = 0
    why: str = ""

    @property
    def doubling(self) -> float:
        """Time in which confluence doubles while there is room; NaN where it does not grow."""
        return float(np.log(2) / self.rate) if self.rate > 0 else float("nan")


def growth_rate(time: Values, confluence: Values) -> Curve:
    """Fit confluence (N,) over time (N,), in any order, with gaps: exponential, or logistic where that fits better.

    Both are fitted to the logarithm of confluence, as errors are proportional to what is there; the corrected Akaike
    criterion chooses. The interval is Student's, widened by the correlation of neighbouring residuals (effective
    number of points n (1 - r) / (1 + r)), as errors of a time-lapse are not independent. Values at the same time are
    averaged; values that are no numbers, or under 0.5 % confluence, are left out.

    >>> hours = np.arange(0.0, 48, 4)
    >>> noise = np.exp(np.random.default_rng(0).normal(0, 0.02, 12))
    >>> curve = growth_rate(hours, 0.05 * np.exp(0.03 * hours) * noise)
    >>> curve.model, curve.low < 0.03 < curve.high
    ('exponential', True)
    """
    known = np.isfinite(time) & np.isfinite(confluence) & (confluence > LEAST)
    moments, where = np.unique(time[known], return_inverse=True)
    if len(moments) < FEWEST:
        return Curve(points=len(moments), why=f"{len(moments)} points in time with cells; {FEWEST} are needed")
    level = np.log(np.bincount(where, confluence[known]) / np.bincount(where))
    span = float(np.ptp(moments))
    at = (moments - moments[0]) / span  # so that the fit knows no unit of time
    if float(np.ptp(level)) < 1e-9:
        return Curve("exponential", 0.0, 0.0, 0.0, points=len(moments), why="confluence does not change")
    slope, start = np.polyfit(at, level, 1)
    tries: list[tuple[str, Callable[..., Values], list[float]]] = [("exponential", _exponential, [start, slope])]
    if len(moments) > FEWEST:
        tries.append(("logistic", _logistic, [float(level[0]), max(2 * slope, 0.5), float(level.max()) + 0.1]))
    fits = [fit for fit in (_fit(name, model, at, level, first) for name, model, first in tries) if fit is not None]
    name, value, spread, ceiling, _ = min(fits, key=lambda fit: fit[-1])
    lost = len(time) - len(moments)
    why = f"{lost} of {len(time)} rows repeat a time or are empty" if lost else ""
    rate, wide = value / span, spread / span
    return Curve(name, rate, rate - wide, rate + wide, ceiling, len(moments), why)


def _exponential(at: Values, start: float, rate: float) -> Values:
    return np.asarray(start + rate * at)


def _logistic(at: Values, start: float, rate: float, top: float) -> Values:
    """Logarithm of K / (1 + (K / c - 1) exp(-rate t)), c = exp(start), K = exp(top)."""
    room = np.log(np.maximum(np.expm1(np.maximum(top - start, 1e-9)), 1e-12))
    return np.asarray(top - np.logaddexp(0, room - rate * at))


def _fit(
    name: str, model: Callable[..., Values], at: Values, level: Values, first: list[float]
) -> tuple[str, float, float, float, float] | None:
    """Name, rate, half the width of its interval, ceiling and AICc of a model; None where it cannot be fitted."""
    import warnings

    from scipy.optimize import OptimizeWarning, curve_fit
    from scipy.stats import t as student

    bounds = (-np.inf, np.inf) if name == "exponential" else ([-12, 0, -6], [0.5, 60, 0.05])
    if name != "exponential":
        first = [float(np.clip(v, low + 1e-3, high - 1e-3)) for v, low, high in zip(first, *bounds, strict=True)]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", OptimizeWarning)  # a fit that knows nothing of its error is none
            found, covariance = curve_fit(model, at, level, first, bounds=bounds, maxfev=5000)
    except (RuntimeError, ValueError, OptimizeWarning):
        return None
    left = level - model(at, *found)
    count, terms = len(at), len(found)
    square = float(left @ left)
    near = float(left[1:] @ left[:-1]) / square if square > 1e-20 else 0.0
    if near > 0:  # residuals of a fitted line understate it, the more so the fewer they are
        near = (near + 2 / count) / max(1 - 4 / count, 0.4)
    near = min(max(near, 0.0), 0.9)
    wider = np.sqrt((1 + near) / (1 - near))
    free = max(1.0, count / wider**2 - terms)
    spread = float(np.sqrt(max(covariance[1, 1], 0.0)) * wider * student.ppf((1 + SURE) / 2, free))
    score = count * np.log(max(square, 1e-20) / count) + 2 * (terms + 1)
    score += 2 * (terms + 1) * (terms + 2) / max(count - terms - 2, 0.5)
    return name, float(found[1]), spread, float(np.exp(found[2])) if terms > 2 else float("nan"), float(score)


def growth(manifest: Manifest, *, time: str = "time", well: str = "", channel: str = "") -> pd.DataFrame:
    """One row a well: `rate` a unit of `time`, its interval `low`, `high`, `doubling`, `model`, `points`, `why`.

    Args:
        manifest: rows that `quality` has judged.
        time: the column of the time, numbers in any unit.
        well: the column of what is followed; by default `plate` and `well`, else `well`, `movie` or `group`.
        channel: whose confluence, where there are several channels.

    Raises:
        ManifestError: a column is missing, or no time is a number.
    """
    import pandas as pd

    from potency.data.columns import find_column

    table = manifest.table
    value = ".".join(("quality", *([channel] if channel else []), "confluence"))
    value = find_column(table, value, "growth(channel=...)", "call quality(manifest) first; name a channel")
    when = pd.to_numeric(table[find_column(table, time, "growth(time=...)")], errors="coerce").to_numpy(np.float64)
    if not np.isfinite(when).any():
        raise ManifestError("no time is a number", f"column '{time}'", "write hours, or the number of the frame")
    keys = [find_column(table, well, "growth(well=...)")] if well else followed(table)
    rows: list[dict[str, Any]] = []
    frame = table[keys].astype("str").assign(_when=when, _value=table[value].to_numpy(np.float64))
    for names, part in frame.groupby(keys, sort=True):
        curve = growth_rate(part["_when"].to_numpy(), part["_value"].to_numpy())
        rows.append({**dict(zip(keys, names if isinstance(names, tuple) else (names,), strict=True)),
                     **{name: getattr(curve, name) for name in FOUND}})  # fmt: skip
    return pd.DataFrame(rows)


def followed(table: pd.DataFrame) -> list[str]:
    """The columns that name what a time-lapse follows."""
    if "well" in table.columns:
        return [name for name in ("plate", "well") if name in table.columns]
    return ["movie"] if "movie" in table.columns else ["group"]
