"""The mean power spectrum of each class and how classes differ in it, with intervals over groups."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from potency.confounding.exchange import codes_of
from potency.evaluation.intervals import group_weights, interval
from potency.evaluation.results import Interval
from potency.reliance import power
from potency.reliance.asking import Seen

Values = NDArray[np.float64]
FEW, MANY = "low half", "high half"  # of a number as truth


@dataclass(frozen=True)
class Line:
    """One class in one channel: its log10 power density in each ring, and that minus the others', (R,) each."""

    channel: str
    label: str
    level: tuple[Interval, ...]
    difference: tuple[Interval, ...]


@dataclass(frozen=True)
class Spectrum:
    """All classes. `edges` (R + 1,) are in cycles a pixel; `pixel_size` is um a pixel, or None where it is unknown."""

    edges: tuple[float, ...]
    pixel_size: float | None
    lines: tuple[Line, ...]

    @property
    def unit(self) -> str:
        return "cycles per µm" if self.pixel_size else "cycles per pixel"

    @property
    def middles(self) -> Values:
        """The middle of each ring in `unit`."""
        return power.middles(np.array(self.edges)) / (self.pixel_size or 1.0)


def spectrum_of(
    seen: Seen, places: Sequence[int], edges: Values, table: pd.DataFrame, channels: Sequence[str],
    how: tuple[bool, int, int],
) -> Spectrum | None:  # fmt: skip
    """The spectra of the rows at `places`, which are those of `table`; `how`: classes or not, draws, seed.

    A number as truth is cut at its median. None where no image is large enough. Images without any contrast are left
    out: their power has no logarithm.
    """
    category, draws, seed = how
    kept = [k for k, place in enumerate(places) if place in seen.spectra]
    if not kept:
        return None
    density = np.stack([seen.spectra[places[k]] for k in kept])
    with np.errstate(divide="ignore"):
        level = np.log10(np.where(density > 0, density, np.nan))
    truth, groups = table["truth"].iloc[kept], codes_of(table["group"].iloc[kept])
    labels = truth.astype(str).to_numpy() if category else np.where(truth.astype(float) > truth.median(), MANY, FEW)
    names = sorted(set(labels.tolist()), key=list(dict.fromkeys([FEW, MANY, *sorted(labels.tolist())])).index)
    times = np.concatenate([np.ones((1, groups.max() + 1)), group_weights(int(groups.max()) + 1, seed, range(draws))])
    weights = times[:, groups].astype(np.float64)
    titles = channels or [f"c{c}" for c in range(level.shape[1])]
    lines = []
    for c in range(level.shape[1]):
        for name in names:
            mine = labels == name
            both = [_mean(level[mask, c], weights[:, mask]) for mask in (mine, ~mine)]
            behind = [len(set(groups[mask])) for mask in (mine, ~mine)]
            lines.append(Line(titles[c], name, _intervals(both[0], behind[0]),
                              _intervals(both[0] - both[1], min(behind))))  # fmt: skip
    return Spectrum(tuple(edges.tolist()), seen.pixel_size, tuple(lines))


def _mean(level: Values, weights: Values) -> Values:
    """Weighted means (D, R) of rows (n, R) under weightings (D, n); gaps count for nothing."""
    there = np.isfinite(level)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray((weights @ np.where(there, level, 0.0)) / (weights @ there.astype(np.float64)))


def _intervals(draws: Values, groups: int) -> tuple[Interval, ...]:
    return tuple(interval(float(column[0]), column[1:], groups) for column in draws.T)


def rows_of(spectrum: Spectrum) -> list[dict[str, Any]]:
    """The spectra as rows of a table."""
    edges, size = np.array(spectrum.edges), spectrum.pixel_size or 1.0
    return [
        {"channel": line.channel, "class": line.label, "unit": spectrum.unit, "from": float(edges[k] / size),
         "to": float(edges[k + 1] / size), "log10_power": line.level[k].value, "low": line.level[k].low,
         "high": line.level[k].high, "minus_others": line.difference[k].value,
         "minus_others_low": line.difference[k].low, "minus_others_high": line.difference[k].high}
        for line in spectrum.lines for k in range(len(line.level))
    ]  # fmt: skip
