"""What the controls found: figures in tables, words by rules, a page with pictures and CSV files beside it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from numpy.typing import NDArray

from potency.errors import PotencyError
from potency.evaluation.page import plain
from potency.evaluation.results import Interval, Report
from potency.evaluation.tables import Table
from potency.evaluation.wording import known
from potency.reliance.alterations import KEPT, MIXED, REMOVED, Alteration
from potency.reliance.asking import MAIN
from potency.reliance.beyond import Beyond, strongest
from potency.reliance.numbers import TOGETHER
from potency.reliance.spectrum import Spectrum, rows_of

CHANCE = f"{MAIN}@chance"
SECOND = ("auc", "r2")  # shown beside the headline where there is one


@dataclass(frozen=True)
class Row:
    """One line of a table: what was asked, the headline there, and that minus the untouched, or the network's."""

    name: str
    title: str
    arm: str
    figure: Interval
    second: Interval | None
    difference: Interval | None
    samples: int
    band: tuple[float, float] = (0.0, 0.0)


@dataclass(frozen=True)
class Controls:
    """Everything one call of `controls` found.

    Attributes:
        facts: rows, groups, how rows were chosen, what is not sure.
        spectrum: of each class; None where images are too small.
        report: the model on the images as they are and on every alteration; None without a model.
        plain: one-number classifiers, the model first where there is one; None where folds could not be dealt.
        beyond: partial correlations of the model's scores with the numbers.
        alterations: what was done, in order.
        examples: one image (C, H, W) under each of them, with what was done.
    """

    facts: Mapping[str, Any]
    spectrum: Spectrum | None
    report: Report | None
    plain: Report | None
    beyond: tuple[Beyond, ...]
    alterations: tuple[Alteration, ...]
    examples: tuple[tuple[str, NDArray[Any]], ...] = ()

    @property
    def metric(self) -> str:
        """The headline of the task."""
        report = self.report or self.plain
        return "" if report is None else report.headline

    @property
    def second(self) -> str:
        """A second figure, where the task has one."""
        report = self.report or self.plain
        first = next(iter(report.numbers.values())) if report is not None else {}
        return next((name for name in SECOND if name in first), "")

    @property
    def untouched(self) -> Interval | None:
        """The model's headline on the images as they are."""
        return None if self.report is None else self.report.numbers[MAIN][self.metric]

    @property
    def chance(self) -> float | None:
        """The headline of guessing the commonest class, or the median."""
        return None if self.report is None else self.report.numbers[CHANCE][self.metric].value

    def altered(self, *arms: str) -> list[Row]:
        """The alterations of these arms that could be done, in order."""
        size = self.facts.get("pixel_size") or 1.0
        return [
            self._row(self.report, f"{MAIN}@{one.name}", one.title or octave(one.band, size), one.arm,
                      (one.band[0] / size, one.band[1] / size))
            for one in self.alterations
            if self.report is not None and one.arm in arms and f"{MAIN}@{one.name}" in self.report.numbers
        ]  # fmt: skip

    def ones(self) -> list[Row]:
        """The one-number classifiers, best first."""
        if self.plain is None:
            return []
        names = [name for name in self.plain.numbers if name != MAIN]
        rows = [self._row(self.plain, name, _title(name.partition("@")[2]), "number", (0.0, 0.0)) for name in names]
        sign = -1 if self.metric in ("mae", "rmse") else 1
        return sorted(rows, key=lambda row: -sign * row.figure.value)

    def _row(self, report: Report | None, name: str, title: str, arm: str, band: tuple[float, float]) -> Row:
        assert report is not None
        contest = next((c for c in report.contests if c.second == name and c.first == MAIN), None)
        found, other = report.numbers[name], None
        if contest is not None and self.metric in contest.differences:
            other = _negative(contest.differences[self.metric])
        samples = contest.samples if contest is not None else len(report.rows)
        return Row(name.partition("@")[2], title, arm, found[self.metric], found.get(self.second), other, samples, band)

    @property
    def verdict(self) -> list[str]:
        """What it means, in plain sentences, by the rules of `words`."""
        from potency.reliance.words import verdict

        return verdict(self)

    def tables(self) -> dict[str, Table]:
        """The tables by heading."""
        head = (known(self.metric)[0], *([known(self.second)[0]] if self.second else []))
        made: dict[str, Table] = {}
        for arm, title in TITLES.items():
            rows = tuple(map(self._cells, self.altered(arm)))
            if rows:
                made[title] = Table((arm, *head, "minus untouched", "images"), rows, NOTES[arm])
        ones = self.ones()
        if ones:
            less = "minus the network" if self.report is not None else "minus the best"
            made["One plain number as a classifier"] = Table(
                ("number", *head, less, "images"), tuple(map(self._cells, ones)), NOTES["number"])  # fmt: skip
        if self.beyond:
            cells = tuple((_title(b.number), b.label or "the value", str(b.given_truth), str(b.given_all))
                          for b in strongest(self.beyond))  # fmt: skip
            made["Does the network's score go with it beyond the truth?"] = Table(
                ("number", "score of", "given the truth", "and the other numbers"), cells, NOTES["beyond"])  # fmt: skip
        return made

    def _cells(self, row: Row) -> tuple[str, ...]:
        second = [] if not self.second else ["" if row.second is None else str(row.second)]
        less = "" if row.difference is None else str(row.difference)
        return row.title, str(row.figure), *second, less, f"{row.samples:,}"

    def csv(self) -> dict[str, pd.DataFrame]:
        """The tables as numbers, by the name of their file."""
        made = {
            "bands": _frame(self.altered(REMOVED, KEPT), self.metric, self.second),
            "mixed": _frame(self.altered(MIXED), self.metric, self.second),
            "numbers": _frame(self.ones(), self.metric, self.second),
            "beyond": pd.DataFrame([
                {"number": b.number, "class": b.label, **_three("given_truth", b.given_truth),
                 **_three("given_all", b.given_all)} for b in self.beyond]),
            "spectrum": pd.DataFrame(rows_of(self.spectrum) if self.spectrum is not None else []),
        }  # fmt: skip
        return {name: frame for name, frame in made.items() if len(frame)}

    def json(self) -> dict[str, Any]:
        """All of it as plain data."""
        return dict(plain({
            "verdict": self.verdict, "facts": dict(self.facts), "metric": self.metric, "chance": self.chance,
            "untouched": None if self.untouched is None else asdict(self.untouched),
            "altered": [asdict(row) for row in self.altered(REMOVED, KEPT, MIXED)],
            "numbers": [asdict(row) for row in self.ones()], "beyond": [asdict(one) for one in self.beyond],
            "spectrum": rows_of(self.spectrum) if self.spectrum is not None else [],
        }))  # fmt: skip

    def write(self, folder: Path | str) -> Path:
        """Write `controls.html`, `controls.json` and a CSV a table into the folder; the page's path.

        Raises PotencyError where the folder cannot be written.
        """
        from potency.data.whole import replaced
        from potency.reliance.page import page

        folder = Path(folder)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for name, frame in self.csv().items():
                replaced(folder / f"{name}.csv", frame.to_csv(index=False, lineterminator="\n").encode())
            text = json.dumps(self.json(), ensure_ascii=False, indent=1, allow_nan=False)
            replaced(folder / "controls.json", (text + "\n").encode())
            replaced(folder / "controls.html", page(self).encode())
        except OSError as error:
            raise PotencyError(f"the controls cannot be written: {error.strerror or error}", str(folder),
                               "free some space, or choose a folder that can be written to") from error  # fmt: skip
        return folder / "controls.html"


TITLES = {REMOVED: "Each band removed", KEPT: "Each band kept alone", MIXED: "Arrangement mixed"}
NOTES = {
    REMOVED: "One octave is taken out of every image, with soft edges; the mean stays. What is lost is what only this "
             "band held. The worst of several is named above: its interval is a little too narrow for that.",
    KEPT: "Everything but one octave is taken out. What remains is what this band tells by itself.",
    MIXED: "Mixed phases keep the power at every frequency and lose all arrangement and the histogram; mixed tiles "
           "keep what fits into a tile. The network never learned from such images: a fall may partly be surprise, "
           "while a score that stays shows that it needs no more.",
    "number": "Logistic regression on one number alone (a straight line, where the truth is a number), each fold "
              "answered by one fitted to the other groups.",
    "beyond": "Partial correlation of ranks between the number and the log-odds of the class with which it goes most "
              "(so the largest of several; all are in beyond.csv). A network that saw nothing but the class would go "
              "with no number given the truth.",
}  # fmt: skip


def octave(band: tuple[float, float], size: float) -> str:
    """A band in words, in cycles per um where `size` is um a pixel, else per pixel.

    >>> octave((0.0, 0.0625), 1.0), octave((0.0625, 0.125), 0.5)
    ('below 0.0625', '0.125 to 0.25')
    """
    low, high = (f"{edge / size:.3g}" for edge in band)
    return f"above {low}" if band[1] >= 0.5 else f"below {high}" if band[0] <= 0 else f"{low} to {high}"


def _title(name: str) -> str:
    """A number's name for people."""
    if name == TOGETHER:
        return "all numbers together"
    first, _, channel = name.replace("-", ".", 1).partition(".")
    return f"{first} ({channel})" if channel else first


def _negative(one: Interval) -> Interval:
    return Interval(-one.value, None if one.high is None else -one.high, None if one.low is None else -one.low)


def _three(name: str, one: Interval | None) -> dict[str, float | None]:
    keys = (name, f"{name}_low", f"{name}_high")
    return dict(zip(keys, (None,) * 3 if one is None else (one.value, one.low, one.high), strict=True))


def _frame(rows: Sequence[Row], metric: str, second: str) -> pd.DataFrame:
    return pd.DataFrame([
        {"name": row.name, "what": row.title, "arm": row.arm, "from": row.band[0], "to": row.band[1],
         **_three(metric, row.figure), **(_three(second, row.second) if second else {}),
         **_three("difference", row.difference), "images": row.samples} for row in rows])  # fmt: skip

