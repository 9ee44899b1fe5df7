"""Score against time with intervals over groups, and the times at which it beats a trivial answer, looks paid for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from potency.answers import Answer
from potency.errors import AnswerError, nearest
from potency.evaluation.columns import comparable, parts_of
from potency.evaluation.intervals import FEWEST_GROUPS, Draws, bootstrap, interval, values_of
from potency.evaluation.results import Interval
from potency.evaluation.terms import UNIT
from potency.evaluation.wording import count, known
from potency.timing.looks import sign_flips, step_down

FEWEST_OF_CLASS = 2  # groups that must hold a class for its recall to say anything of new groups
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Point:
    """A curve at one time.

    Attributes:
        time: in the unit of the column.
        groups, units: how many answers the figures rest on.
        left: why there are no figures here, "" where there are.
        figure, trivial, gain: the score, that of the trivial answer, and by how much the first is better, paired.
        lower: how much better at least, at all times together (95 %).
        beats: whether it is better, all looks paid for.
        others: other figures that have their interval, by name.
    """

    time: float
    groups: int
    units: int
    left: str = ""
    figure: Interval | None = None
    trivial: Interval | None = None
    gain: Interval | None = None
    lower: float | None = None
    beats: bool = False
    others: Mapping[str, Interval] = field(default_factory=dict)


@dataclass(frozen=True)
class Curve:
    """One way to answer, at all times.

    `first` is the earliest time at which it beats the trivial answer, `stays` the one from which on it does at every
    time looked at; None where there is none. `drawn` (draws, times) are its scores, nan where there are none.
    """

    name: str
    column: str
    points: tuple[Point, ...]
    first: float | None
    stays: float | None
    drawn: Floats = field(repr=False, default_factory=lambda: np.empty((0, 0)))


@dataclass(frozen=True, eq=False)
class Series:
    """One way to answer as a table: `point`, `unit`, `group`, `truth`, its column and the column of the trivial one."""

    name: str
    column: str
    table: pd.DataFrame
    trivial: str


@dataclass(frozen=True)
class Judge:
    """How answers are judged: their kind, the classes, the score, and the draws of groups."""

    answer: type[Answer]
    labels: tuple[str, ...]
    score: str
    draws: int = 1000
    seed: int = 0

    @property
    def better(self) -> int:
        """1 where a higher score is better, else -1."""
        if self.score == self.answer.headline:
            return self.answer.better
        return -1 if known(self.score)[2] == "down" else 1

    def curves(self, series: Sequence[Series], times: Floats) -> tuple[Curve, ...]:
        """The curves of all series, from the same draws."""
        if known(self.score)[2] == "zero":
            raise AnswerError(f"of {self.score} neither more nor less is better", "--score", "choose mae, or r2")
        names = sorted({str(name) for one in series for name in one.table["group"]})
        code = {name: k for k, name in enumerate(names)}
        looks = [_Look.of(self, one, k) for one in series for k in range(len(times))]
        pieces, groups, start = [], [], 0
        for look in looks:
            if look.left:
                continue
            rows = np.arange(start, start + len(look.table))
            start += len(rows)
            groups.append(np.array([code[str(name)] for name in look.table["group"]], np.intp))
            pieces += [(rows, evidence) for evidence in look.evidence]
        drawn: list[Draws] = []
        if pieces:
            drawn = bootstrap(self.answer, pieces, np.concatenate(groups), self.draws, self.seed)
        found = iter(zip(drawn[::2], drawn[1::2], strict=True))
        both = [None if look.left else next(found) for look in looks]
        size = len(times)
        return tuple(
            self._curve(one, looks[i * size : (i + 1) * size], both[i * size : (i + 1) * size], times)
            for i, one in enumerate(series)
        )

    def _curve(
        self, one: Series, looks: Sequence[_Look], drawn: Sequence[tuple[Draws, Draws] | None], times: Floats
    ) -> Curve:
        seen = [k for k, look in enumerate(looks) if not look.left]
        figures = {k: [values_of(self.answer, evidence) for evidence in looks[k].evidence] for k in seen}
        missing = next((k for k in seen if self.score not in figures[k][0]), None)
        if missing is not None:
            raise AnswerError(f"{one.column} has no {self.score} at {times[missing]:g}", f"column {one.column!r}",
                              nearest(self.score, figures[missing][0]))  # fmt: skip
        tested = np.array(seen, np.intp)
        scores = np.full((self.draws, len(times)), np.nan)
        lower, beats = np.full(len(times), np.nan), np.zeros(len(times), bool)
        if seen:
            mine, theirs = (np.stack([drawn[k][side][self.score] for k in seen], axis=1) for side in (0, 1))  # type: ignore[index]
            scores[:, tested] = mine
            values = np.array([[figures[k][side][self.score] for k in seen] for side in (0, 1)])
            fewest = min(looks[k].groups for k in seen)
            gain = self.better * (values[0] - values[1])
            least = _least(values[0], fewest) if self.score in UNIT else np.zeros(len(seen))
            lower[tested], beats[tested] = step_down(gain, self.better * (mine - theirs), fewest, least)
            beats[tested] &= sign_flips(self._shares([looks[k] for k in seen], gain), self.draws, self.seed)
        points = []
        for k, look in enumerate(looks):
            if look.left:
                points.append(Point(float(times[k]), look.groups, len(look.table), look.left))
                continue
            points.append(self._point(float(times[k]), look, drawn[k], figures[k], (float(lower[k]), bool(beats[k]))))  # type: ignore[arg-type]
        early = [points[k].time for k in seen if beats[k]]
        last = next((j for j in range(len(seen)) if beats[tested[j:]].all()), None)
        return Curve(one.name, one.column, tuple(points), early[0] if early else None,
                     None if last is None else points[seen[last]].time, scores)  # fmt: skip

    def _shares(self, looks: Sequence[_Look], gain: Floats) -> Floats:
        """What each group adds to the gain of each look, (groups, looks): jackknife pseudo-values, 0 where not seen."""
        names = sorted({str(name) for look in looks for name in look.table["group"]})
        made = np.zeros((len(names), len(looks)))
        for k, look in enumerate(looks):
            group = look.table["group"].astype(str).to_numpy()
            own = np.unique(group)
            without = (group[None] != own[:, None]).astype(np.float64)
            left = [self.answer.summarise(evidence, without)[self.score] for evidence in look.evidence]
            shares = len(own) * gain[k] - (len(own) - 1) * self.better * (left[0] - left[1])
            made[np.searchsorted(names, own), k] = np.nan_to_num(shares)
        return made

    def _point(
        self, time: float, look: _Look, drawn: tuple[Draws, Draws], values: list[dict[str, float]],
        told: tuple[float, bool],
    ) -> Point:  # fmt: skip
        def of(name: str, side: int) -> Interval:
            return interval(values[side][name], drawn[side].get(name), look.groups, name in self.answer.growing)

        difference = self.better * (values[0][self.score] - values[1].get(self.score, np.nan))
        apart = self.better * (drawn[0][self.score] - drawn[1][self.score])
        also = [name for name in ("auc", "accuracy", "pearson", "r2") if name in values[0] and name != self.score]
        others: dict[str, Interval] = {name: of(name, 0) for name in also}
        return Point(time, look.groups, len(look.table), "", of(self.score, 0), of(self.score, 1),
                     interval(difference, apart, look.groups), told[0], told[1], others)  # fmt: skip


def _least(score: Floats, groups: int) -> Floats:
    """The spread that a share of so many groups has at least (Agresti and Coull 1998): all of six is not certain."""
    share = (np.clip(score, 0, 1) * groups + 1) / (groups + 2)
    return np.asarray(np.sqrt(share * (1 - share) / groups))


@dataclass(frozen=True, eq=False)
class _Look:
    """One series at one time: its comparable rows, and why it cannot be judged, if it cannot."""

    table: pd.DataFrame
    groups: int
    left: str
    evidence: tuple = ()  # type: ignore[type-arg]

    @classmethod
    def of(cls, judge: Judge, one: Series, k: int) -> _Look:
        rows = one.table[one.table["point"] == k]
        for column in dict.fromkeys((one.column, one.trivial)):
            rows = rows[comparable(rows, "truth", column, judge.answer)[0]] if len(rows) else rows
        groups = int(rows["group"].nunique())
        if not len(rows):
            return cls(rows, 0, "no answer")
        if groups < FEWEST_GROUPS:
            return cls(rows, groups, f"{count(groups, 'group')}, fewer than {FEWEST_GROUPS}")
        if judge.answer.labelled:
            held = rows.groupby(rows["truth"].astype(str))["group"].nunique()
            if len(held) < 2:
                return cls(rows, groups, f"one class only ({held.index[0]})")
            few = [f"{name} in {count(int(n), 'group')}" for name, n in held.items() if n < FEWEST_OF_CLASS]
            if few:
                return cls(rows, groups, f"{', '.join(few)} only")
        pair = tuple(
            judge.answer.compare_columns(
                parts_of(rows, "truth", judge.answer), parts_of(rows, column, judge.answer), judge.labels
            )
            for column in (one.column, one.trivial)
        )
        return cls(rows, groups, "", pair)
