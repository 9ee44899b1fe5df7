"""What an early prediction says: curves over time, a verdict in words, tables, a page."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from potency.errors import PotencyError
from potency.evaluation.page import plain
from potency.evaluation.results import Interval
from potency.evaluation.tables import Table
from potency.evaluation.wording import count, known
from potency.timing.curve import Curve, Point


@dataclass(frozen=True)
class Early:
    """Curves over time, the first of which is what the verdict is about.

    Attributes:
        curves: one a way to answer.
        compared: mean score over the times both have, first curve minus each other, paired, by its name.
        score: the figure that is compared; `better` 1 where higher is better.
        facts: rows, units, groups, what the trivial answer is, `simulated`.
    """

    curves: tuple[Curve, ...]
    compared: Mapping[str, Interval]
    score: str
    better: int
    notes: tuple[str, ...]
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def first(self) -> float | None:
        """The earliest time at which the first curve beats the trivial answer, all looks paid for."""
        return self.curves[0].first

    @property
    def verdict(self) -> str:
        """The answer in one sentence."""
        curve, name = self.curves[0], known(self.score)[0]
        seen = [point for point in curve.points if not point.left]
        if not seen:
            return "No time could be judged; the table says why."
        if curve.first is None:
            best = (max if self.better > 0 else min)(seen, key=lambda point: point.figure.value if point.figure else 0)
            return (f"At none of {count(len(seen), 'time')} are the answers shown to beat the trivial answer; "
                    f"{name} is at best {best.figure} at {best.time:g}.")  # fmt: skip
        point = next(point for point in seen if point.time == curve.first)
        figures = f"{point.figure} there, trivial {_short(point.trivial)}"
        if curve.stays == curve.first:
            return f"{name} beats the trivial answer from {curve.first:g} on: {figures}, and so at every later time."
        later = "it does not last" if curve.stays is None else f"it lasts only from {curve.stays:g} on"
        return f"{name} first beats the trivial answer at {curve.first:g}: {figures}; but {later}."

    @property
    def mark(self) -> str:
        """good, caution or unknown."""
        curve = self.curves[0]
        return "unknown" if curve.first is None else "good" if curve.stays == curve.first else "caution"

    @property
    def lines(self) -> tuple[str, ...]:
        """What the verdict rests on, in words."""
        curve = self.curves[0]
        looked = sum(not point.left for point in curve.points)
        told = [
            f"{count(looked, 'time')} were looked at. Each look is a chance to be fooled, so all are judged together: "
            "the lower band holds at all times at once in 95 % of draws of whole groups (step-down max-type), and what "
            "each group adds must be over zero beyond flipped signs, the largest of all times counted. A false first "
            "time comes up in about one curve of twenty; each curve is asked for itself.",
            f"The trivial answer is {self.facts.get('trivial', '')}.",
            "Before the first time nothing is shown, which is not to say that nothing can be seen: more groups may "
            "show it earlier.",
        ]
        for other in self.curves[1:]:
            when = "at no time" if other.first is None else f"first at {other.first:g}"
            apart = self.compared.get(other.name)
            gap = "" if apart is None else f"; over all times the first curve is better by {apart}"
            told.append(f"{other.name}: beats the trivial answer {when}{gap}.")
        return (*told, *self.notes)

    def table(self) -> pd.DataFrame:
        """One row a curve and time, as numbers: what `early.csv` holds."""
        rows = []
        for curve in self.curves:
            for point in curve.points:
                row: dict[str, Any] = {"curve": curve.name, "time": point.time, "groups": point.groups,
                                       "units": point.units, "left_out": point.left}  # fmt: skip
                figures = {self.score: point.figure, "trivial": point.trivial, "gain": point.gain, **point.others}
                for name, figure in figures.items():
                    for part in ("value", "low", "high"):
                        row[f"{name}{'' if part == 'value' else f'_{part}'}"] = getattr(figure, part, None)
                rows.append({**row, "gain_lower_band": point.lower, "beats": point.beats if not point.left else None})
        return pd.DataFrame(rows)

    def tables(self) -> dict[str, Table]:
        """The tables of the page by heading."""
        made = {}
        for curve in self.curves:
            rows = tuple(_cells(point) for point in curve.points)
            name = known(self.score)[0]
            head = ("time", "units", "groups", name, "trivial", "better by", "at least (band)", "outcome")
            made[curve.name] = Table(head, rows)
        return made

    def json(self) -> dict[str, Any]:
        """All of it as plain data."""
        curves = [{k: v for k, v in asdict(curve).items() if k != "drawn"} for curve in self.curves]
        return dict(plain({
            "verdict": self.verdict, "mark": self.mark, "lines": self.lines, "score": self.score, "first": self.first,
            "stays": self.curves[0].stays, "curves": curves, "facts": self.facts,
            "compared": {name: asdict(each) for name, each in self.compared.items()},
        }))  # fmt: skip

    def markdown(self) -> str:
        """Verdict and tables in Markdown."""
        parts = ["# Early prediction", f"**{self.verdict}**", "\n".join(f"- {line}" for line in self.lines)]
        for heading, table in self.tables().items():
            parts += [f"## {heading}", table.markdown()]
        return "\n\n".join(parts) + "\n"

    def write(self, folder: str | Path) -> Path:
        """Write `early.html`, `early.csv` and `early.json` into the folder, each whole or not at all; the page's path.

        Raises PotencyError where the folder cannot be written.
        """
        from potency.data.whole import replaced
        from potency.timing.page import page

        folder = Path(folder)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            text = json.dumps(self.json(), ensure_ascii=False, indent=1, allow_nan=False)
            replaced(folder / "early.json", (text + "\n").encode())
            replaced(folder / "early.csv", self.table().to_csv(index=False).encode())
            replaced(folder / "early.html", page(self).encode())
        except OSError as error:
            raise PotencyError(f"the page cannot be written: {error.strerror or error}", str(folder),
                               "free some space, or choose a folder that can be written to") from error  # fmt: skip
        return folder / "early.html"


def _short(figure: Interval | None) -> str:
    return "" if figure is None else f"{figure.value:.3f}"


def _cells(point: Point) -> tuple[str, ...]:
    if point.left:
        return (f"{point.time:g}", f"{point.units}", f"{point.groups}", "", "", "", "", f"left out: {point.left}")
    said = "beats it" if point.beats else "not shown to"
    return (f"{point.time:g}", f"{point.units}", f"{point.groups}", str(point.figure), _short(point.trivial),
            str(point.gain), f"{point.lower:.3f}", said)  # fmt: skip
