"""What a forest on measured features says of the design: the gap when whole plates are left out, and what would help.

The forest stands for any learner: it takes seconds where a network takes hours, and what a split flatters, it flatters
for both.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from potency.errors import ManifestError, PotencyError
from potency.estimators import find_estimator
from potency.evaluation.evaluate import evaluate
from potency.evaluation.results import Interval, Report

if TYPE_CHECKING:
    from potency.data.manifest import Manifest

FOLDS = 5
MOST_FOLDS = 12  # plates that are left out one by one; more are left out together
SHARES = (0.25, 0.5, 0.75, 1.0)
Progress = Callable[[int, int], object]


@dataclass(frozen=True)
class Gap:
    """The forest's headline under three splits: of single images, of groups, and of whole values of a column."""

    column: str  # plate, or what was left out as a whole
    values: int
    metric: str
    random: Interval
    by_group: Interval
    left_out: Interval | None  # None where the split by group leaves whole plates out already
    difference: Interval | None  # left out minus by group, paired
    told: str


@dataclass(frozen=True)
class Point:
    """One point of a learning curve: learned from so many groups and images, and how good that is on other groups."""

    arm: str  # "groups" (images fixed) or "images" (groups fixed)
    groups: int
    images: int
    figure: Interval


@dataclass(frozen=True)
class Curve:
    """More groups or more images: both arms, the gain of the last doubling in each, and that in words."""

    metric: str
    points: tuple[Point, ...]
    gain_groups: Interval
    gain_images: Interval
    told: str


@dataclass(frozen=True, eq=False)
class Ground:
    """What a forest sees: rows (with truth and group), and their features (N, F)."""

    table: pd.DataFrame
    features: NDArray[np.float64]
    category: bool
    seed: int = 0

    def answers(self, learn: Sequence[NDArray[np.intp]], ask: Sequence[NDArray[np.intp]], name: str) -> pd.DataFrame:
        """Columns of the answers of one forest a fold; rows that no fold asks, or cannot be learned for, stay empty."""
        truth = self.table["truth"].to_numpy()
        classes = sorted(map(str, set(truth))) if self.category else []
        parts = [f"{name}.probability.{label}" for label in classes]
        made = pd.DataFrame(index=range(len(truth)), columns=[name, *parts], dtype=object if self.category else float)
        for rows, asked in zip(learn, ask, strict=True):
            known = truth[rows].astype(str) if self.category else truth[rows].astype(float)
            if len(set(known)) < 2 or not len(asked):
                continue
            fitted = find_estimator("forest").fit(
                self.features[rows], known, estimates="label" if self.category else "value", seed=self.seed
            )
            told = fitted.predict(self.features[asked])
            if not self.category:
                made.loc[asked, name] = told["value"]
                continue
            made.loc[asked, name] = np.array(fitted.classes, dtype=object)[told["probability"].argmax(1)]
            for label, part in zip(classes, parts, strict=True):
                place = fitted.classes.index(label) if label in fitted.classes else -1
                made.loc[asked, part] = told["probability"][:, place] if place >= 0 else 0.0
        for part in parts:
            made[part] = made[part].astype(float)
        return made

    def judged(self, answers: Sequence[pd.DataFrame], draws: int) -> Report:
        """The columns compared over whole groups."""
        kind = "category" if self.category else "number"
        wide = pd.concat([self.table[["truth", "group"]].reset_index(drop=True), *answers], axis=1)
        columns = [str(one.columns[0]) for one in answers]
        wide["truth"] = wide["truth"].astype(str) if self.category else wide["truth"].astype(float)
        rows = _Rows(wide, dict.fromkeys(("truth", *columns), kind))
        return evaluate(rows, predictions=columns, draws=draws, seed=self.seed)


@dataclass(frozen=True)
class _Rows:
    """A table with kinds, as `evaluate` takes it."""

    table: pd.DataFrame
    kinds: dict[str, str]
    folder: Any = "."
    origin: Any = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "origin", self.origin or {})


def gap_of(ground: Ground, manifest: Manifest, column: str, draws: int, progress: Progress | None = None) -> Gap | None:
    """The forest under a random split, by group, and with whole values of `column` left out; None where none can be.

    Needs two values of the column and groups that the split can deal; the same forest, features and folds of seed.
    """
    values = ground.table[column].astype(str)
    plain = replace(manifest, table=ground.table.drop(columns=[c for c in ("split", "fold") if c in ground.table]))
    count = int(values.nunique())
    if count < 2:
        return None
    try:
        chance, grouped = (plain.split("group", FOLDS, ground.seed, kind) for kind in ("random", "stratified"))
    except ManifestError:
        return None
    folds = {"by group": grouped.table["fold"].to_numpy(), "random": chance.table["fold"].to_numpy()}
    whole = all(len(set(folds["by group"][values == value])) == 1 for value in set(values))
    if not whole:
        order = np.random.default_rng(ground.seed).permutation(np.unique(values))
        place = {value: k % min(count, MOST_FOLDS) for k, value in enumerate(order)}
        folds["left out"] = np.array([place[value] for value in values])
    made = []
    for number, (name, fold) in enumerate(folds.items()):
        parts = [np.flatnonzero(fold == k) for k in np.unique(fold[fold >= 0])]
        rest = [np.flatnonzero((fold != k) & (fold >= 0)) for k in np.unique(fold[fold >= 0])]
        made.append(ground.answers(rest, parts, f"prediction@{name}"))
        if progress is not None:
            progress(number + 1, len(folds))
    report = ground.judged(made, draws)
    metric = report.headline
    figures = {name: report.numbers[f"prediction@{name}"][metric] for name in folds}
    apart = next((c.differences[metric] for c in report.contests if c.second == "prediction@left out"), None)
    difference = None if apart is None else _negative(apart)
    return Gap(column, count, metric, figures["random"], figures["by group"], figures.get("left out"), difference,
               _gap_told(column, metric, figures, difference))  # fmt: skip


def _gap_told(column: str, metric: str, figures: dict[str, Interval], difference: Interval | None) -> str:
    random, grouped = figures["random"], figures["by group"]
    start = f"The forest reaches {random} ({metric}) under a random split, {grouped} by group"
    if "left out" not in figures or difference is None:
        return f"{start}; the split by group leaves every {column} out as a whole already."
    left = figures["left out"]
    sure = difference.high is not None and difference.high < 0
    meant = f"split by {column}, or the figure flatters" if sure else "no gap is shown"
    return f"{start}, {left} with every {column} left out as a whole (difference {difference}): {meant}."


def curve_of(
    ground: Ground, manifest: Manifest, unit: str, draws: int, progress: Progress | None = None
) -> Curve | None:
    """Learning curves of the forest over groups at a fixed number of images, and over images at all groups.

    In every fold the test groups stay the same; learning rows are thinned to some of the other groups (all of their
    images thinned to one number), or to some images of each. Images are taken in whole values of `unit` ("well") where
    every group has four of them, else one by one. None where there are fewer than 8 groups or the split cannot be made.
    """
    table = ground.table
    plain = replace(manifest, table=table.drop(columns=[c for c in ("split", "fold") if c in table]))
    if table["group"].nunique() < 8:
        return None
    try:
        fold = plain.split("group", FOLDS, ground.seed, "stratified").table["fold"].to_numpy()
    except PotencyError:
        return None
    groups = table["group"].astype(str).to_numpy()
    single = pd.Series(range(len(table)), index=table.index)
    if unit in table and table.groupby("group")[unit].nunique().min() >= len(SHARES):  # else nothing could be thinned
        single = table[unit]
    units = (table["group"].astype(str) + "\x1f" + single.astype(str)).to_numpy()
    tested = [np.flatnonzero(fold == k) for k in np.unique(fold[fold >= 0])]
    rest = [np.flatnonzero((fold != k) & (fold >= 0)) for k in np.unique(fold[fold >= 0])]
    few = int(np.ceil(SHARES[0] * min(len(np.unique(groups[rows])) for rows in rest)))
    budget = min(_smallest(groups[rows], max(2, few)) for rows in rest)
    made, sizes = [], []
    for arm in ("groups", "images"):
        for share in SHARES:
            random = np.random.default_rng([ground.seed, round(100 * share)])
            taken = [
                _some_groups(rows, groups, share, budget, random) if arm == "groups"
                else _some_images(rows, units, groups, share, random)
                for rows in rest
            ]  # fmt: skip
            made.append(ground.answers(taken, tested, f"prediction@{arm} {share:g}"))
            sizes.append((arm, _mean(len(np.unique(groups[rows])) for rows in taken), _mean(map(len, taken))))
            if progress is not None:
                progress(len(made), 2 * len(SHARES))
    return _curve(ground, made, sizes, draws)


def _curve(
    ground: Ground, made: Sequence[pd.DataFrame], sizes: Sequence[tuple[str, int, int]], draws: int
) -> Curve | None:
    names = [str(one.columns[0]) for one in made]
    if any(bool(one.iloc[:, 0].isna().all()) for one in made):
        return None  # so few groups or images that a class is missing
    report = ground.judged(made, draws)
    metric = report.headline
    points = tuple(Point(arm, groups, images, report.numbers[name][metric])
                   for name, (arm, groups, images) in zip(names, sizes, strict=True))  # fmt: skip
    better = -1 if metric in ("mae", "rmse") else 1
    gains = []
    for arm in ("groups", "images"):
        all_of_it, half = (next(one for one in made if one.columns[0] == f"prediction@{arm} {share:g}")
                           for share in (1.0, 0.5))  # fmt: skip
        contest = ground.judged([all_of_it, half], draws).contests[0].differences[metric]
        gains.append(contest if better > 0 else _negative(contest))
    return Curve(metric, points, gains[0], gains[1], _curve_told(points, gains[0], gains[1]))


def _curve_told(points: Sequence[Point], groups: Interval, images: Interval) -> str:
    def sure(gain: Interval) -> bool:
        return gain.low is not None and gain.low > 0

    full = next(point for point in points if point.arm == "groups" and point.groups == max(p.groups for p in points))
    start = (f"Twice as many groups, of as many images in all, gained {groups}; twice as many images of the same "
             f"{full.groups} groups gained {images}: ")  # fmt: skip
    if sure(groups) and sure(images):
        return start + "both help, and the data do not decide which helps more."
    if sure(groups) and groups.value > images.value:
        return start + "more groups (clones, donors, plates) help more than more images or wells of these."
    if sure(images) and images.value > groups.value:
        return start + "more images or wells of these groups help more than more groups."
    return start + "the data do not decide between more groups and more images."


def _some_groups(
    rows: NDArray[np.intp], groups: NDArray[Any], share: float, budget: int, random: np.random.Generator
) -> NDArray[np.intp]:
    """As many rows as the budget, evenly from a share of the groups."""
    names = np.unique(groups[rows])
    chosen = random.permutation(names)[: max(2, round(share * len(names)))]
    shuffled = [random.permutation(rows[groups[rows] == name]) for name in chosen]
    turns = max(map(len, shuffled))
    dealt = [one[k] for k in range(turns) for one in shuffled if k < len(one)]
    return np.sort(np.array(dealt[:budget], np.intp))


def _some_images(
    rows: NDArray[np.intp], units: NDArray[Any], groups: NDArray[Any], share: float, random: np.random.Generator
) -> NDArray[np.intp]:
    """A share of the units of every group, at least one."""
    taken = []
    for name in np.unique(groups[rows]):
        inside = rows[groups[rows] == name]
        own = random.permutation(np.unique(units[inside]))
        taken.append(inside[np.isin(units[inside], own[: max(1, round(share * len(own)))])])
    return np.sort(np.concatenate(taken))


def _smallest(groups: NDArray[Any], count: int) -> int:
    """Rows that any `count` groups have at least."""
    return int(np.sort(np.unique(groups, return_counts=True)[1])[:count].sum())


def _mean(numbers: Any) -> int:
    return round(float(np.mean(list(numbers))))


def _negative(interval: Interval) -> Interval:
    low, high = interval.low, interval.high
    return Interval(-interval.value, None if high is None else -high, None if low is None else -low)
