"""A panel of readers judged: how right each is, how far they agree, what the model changes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from potency.answers import ANSWERS
from potency.answers.answer import Answer
from potency.evaluation import together
from potency.evaluation.columns import gaps
from potency.evaluation.contest import contest
from potency.evaluation.evaluate import UNKNOWN_GROUPS, evaluate
from potency.evaluation.intervals import FEWEST_GROUPS, bootstrap, group_weights
from potency.evaluation.panel_records import Change, Findings, Line, Reader, Study, Tier
from potency.evaluation.results import Interval, Report

__all__ = ["Change", "Findings", "Line", "Reader", "Study", "Tier", "judged"]

MODEL = "prediction@model"
OTHER = "\0"  # stands for a class that is none of the study's
FIGURES = {"category": ("accuracy", "balanced_accuracy", "kappa"),
           "number": ("mae", "bias", "limits_low", "limits_high", "concordance")}  # fmt: skip
TIERS = ((0.0, 5.0, "under 5 years"), (5.0, 10.0, "5 to 9 years"), (10.0, 1e9, "10 years or more"))
ENOUGH = 5  # readers that stand for readers: from so many on they are drawn again as well


@dataclass(frozen=True)
class Wide:
    """A study as one row an image: `columns` maps the columns of answers to (reader, round)."""

    table: pd.DataFrame
    columns: dict[str, tuple[Reader, int]]
    kind: str
    codes: NDArray[np.intp]
    known: bool
    weights: NDArray[np.float64]

    @property
    def groups(self) -> int:
        return int(self.codes.max(initial=-1)) + 1

    @property
    def answer(self) -> type[Answer]:
        return ANSWERS[self.kind]


def judged(
    study: Study, draws: int = 1000, seed: int = 0, progress: Callable[[int, int], object] | None = None
) -> Findings:
    """Judge a study: each reader and round as `evaluate` judges any column, then all of them together.

    Intervals are over groups drawn again, over images where no groups are known. What is shown twice counts once
    against the truth, by its first showing. Deterministic under `seed`. `progress` is told (pieces of work that are
    done, of how many): two for each reader and round, one for each pair of readers.
    """
    wide = widened(study, draws, seed)
    told = _counting(progress, pieces([round for _, round in wide.columns.values()]))
    report = _report(wide, study, draws, seed)
    first = study.answers[~study.answers["again"].astype(bool)]
    lines = []
    for column in wide.columns:
        lines.append(_line(wide, study, report, first, column))
        told(2)
    if MODEL in wide.table:
        lines.append(_model_line(wide, study, report))
    changes, change = _changes(wide, draws, seed)
    notes = [] if wide.known else [UNKNOWN_GROUPS]
    if wide.groups < FEWEST_GROUPS:
        notes.append(f"under {FEWEST_GROUPS} groups an interval over groups says nothing, so there is none")
    return Findings(
        wide.kind, study.classes, study.unit, study.model, len(wide.table), wide.groups, wide.known,
        bool(report), tuple(lines), together.pairs(wide, study.classes, told), together.agreement(wide, study.classes),
        changes, change, _against(report, wide), _tiers(wide), together.disputes(wide, study.classes), tuple(notes),
    )  # fmt: skip


def pieces(rounds: Sequence[int]) -> int:
    """How much work figures are: two pieces for each reader and round (given by its round), one for each pair.

    >>> pieces([1, 1, 1]), pieces([1, 1, 2, 2])
    (9, 10)
    """
    return 2 * len(rounds) + sum(n * (n - 1) // 2 for n in Counter(rounds).values())


def _counting(progress: Callable[[int, int], object] | None, whole: int) -> Callable[[int], None]:
    """What is called with the number of pieces that have been done."""
    done = 0

    def told(more: int) -> None:
        nonlocal done
        done += more
        if progress is not None:
            progress(done, whole)

    return told


def widened(study: Study, draws: int, seed: int) -> Wide:
    """One row an image with a column for each reader and round, and how often each image is drawn (draws, images)."""
    kind = "category" if study.classes else "number"
    table = study.images.reset_index(drop=True)
    known = "group" in table and bool(table["group"].notna().any())
    table = table.rename(columns={c: str(c).replace("model", MODEL, 1) for c in table if str(c).startswith("model")})
    if not known:
        table = table.drop(columns="group", errors="ignore")
    first = study.answers[~study.answers["again"].astype(bool)]
    columns: dict[str, tuple[Reader, int]] = {}
    for number, reader in enumerate(study.readers, 1):
        for round in sorted(set(first["round"])):
            own = first[(first["reader"] == reader.name) & (first["round"] == round)]
            said = table["id"].map(dict(zip(own["id"], own["answer"], strict=True)))
            if len(own):
                column = f"prediction@{number}-{round}"
                columns[column] = (reader, int(round))
                table[column] = _cells(said, kind)
    if "truth" in table:
        table["truth"] = _cells(table["truth"], kind)
    codes = pd.factorize(table["group"].astype(object), sort=True)[0] if known else np.arange(len(table))
    codes = np.where(codes < 0, codes.max(initial=-1) + 1 + np.arange(len(table)), codes)
    codes = np.asarray(np.unique(codes, return_inverse=True)[1], np.intp)
    groups = int(codes.max(initial=-1)) + 1
    drawn = group_weights(groups, seed, range(draws if groups >= FEWEST_GROUPS else 0))[:, codes]
    return Wide(table, columns, kind, codes, known, np.asarray(drawn, np.float64))


def _cells(cells: pd.Series, kind: str) -> pd.Series:
    if kind == "number":
        return pd.to_numeric(cells, errors="coerce").astype(float)
    return cells.astype(object).where(cells.notna(), None)


def _report(wide: Wide, study: Study, draws: int, seed: int) -> Report | None:
    """What `evaluate` says of every column that meets a truth; the model's comes first, so that all are compared."""
    if "truth" not in wide.table:
        return None
    told = ~gaps(wide.table["truth"])
    columns = [c for c in (MODEL, *wide.columns) if c in wide.table and (told & ~gaps(wide.table[c])).any()]
    if not columns:
        return None
    table = wide.table.assign(group=wide.codes.astype(str)) if wide.known else wide.table
    kinds = dict.fromkeys(("truth", *columns), wide.kind)
    return evaluate(together.Told(table, kinds), predictions=columns, draws=draws, seed=seed,
                    facts={"plan": {"classes": list(study.classes)}})  # fmt: skip


def named(classes: Sequence[str], kind: str) -> tuple[str, ...]:
    """The figures of a reader that are shown; of two classes also sensitivity and specificity (recall of each)."""
    more = tuple(f"recall.{name}" for name in (classes[1], classes[0])) if len(classes) == 2 else ()
    return (*FIGURES[kind][:2], *more, *FIGURES[kind][2:])


def _figures(report: Report | None, column: str, wide: Wide, study: Study) -> dict[str, Interval]:
    numbers = report.numbers.get(column, {}) if report else {}
    return {name: numbers[name] for name in named(study.classes, wide.kind) if name in numbers}


def _line(wide: Wide, study: Study, report: Report | None, first: pd.DataFrame, column: str) -> Line:
    reader, round = wide.columns[column]
    own = first[(first["reader"] == reader.name) & (first["round"] == round)]
    seconds = own["seconds"].dropna().to_numpy(float)
    sure = own["confidence"].dropna().to_numpy(float)
    both = study.answers[(study.answers["reader"] == reader.name) & (study.answers["round"] == round)]
    twice, again = together.again(wide, both, study.classes)
    return Line(
        reader.name, round, reader.years, reader.field,
        int(own["answer"].notna().sum()), int(own["answer"].isna().sum()),
        _figures(report, column, wide, study), _confusion(wide, own, study.classes),
        tuple(float(q) for q in np.percentile(seconds, (25, 50, 75))) if len(seconds) else (),
        float(sure.mean()) if len(sure) else None, twice, again,
    )  # fmt: skip


def _model_line(wide: Wide, study: Study, report: Report | None) -> Line:
    answered = int(wide.table[MODEL].notna().sum())
    said = wide.table[["id", MODEL]].set_axis(["id", "answer"], axis=1)
    return Line(study.model or "model", 0, None, "", answered, len(wide.table) - answered,
                _figures(report, MODEL, wide, study), _confusion(wide, said, study.classes),
                (), None, 0, {})  # fmt: skip


def _confusion(wide: Wide, said: pd.DataFrame, classes: Sequence[str]) -> tuple[tuple[int, ...], ...]:
    """Counts of (true class, class said or at last none) of some answers (`id`, `answer`).

    A model may say a class that readers were not asked for: where one does, these stand behind all others.
    """
    if not classes or "truth" not in wide.table:
        return ()
    truth = said["id"].map(dict(zip(wide.table["id"], wide.table["truth"], strict=True)))
    word = said["answer"].where(said["answer"].notna(), "")
    word = word.where(word.isin([*classes, ""]), OTHER)
    names = (*classes, "", *([OTHER] if (word == OTHER).any() else []))
    return tuple(tuple(int(((truth == true) & (word == name)).sum()) for name in names) for true in classes)


def _changes(wide: Wide, draws: int, seed: int) -> tuple[tuple[Change, ...], dict[str, Interval]]:
    """Round two less round one, of each reader and as the mean of all."""
    found, columns = [], {(reader.name, round): column for column, (reader, round) in wide.columns.items()}
    both = [(name, columns[name, 1], columns[name, 2]) for name, round in columns
            if round == 2 and (name, 1) in columns]  # fmt: skip
    for name, one, two in both:
        change = _change(wide, name, one, two, draws, seed)
        found += [change] if change else []
    return tuple(found), together.mean_change(wide, [(one, two) for _, one, two in both], seed, ENOUGH)


def _change(wide: Wide, name: str, one: str, two: str, draws: int, seed: int) -> Change | None:
    table, answer = wide.table, wide.answer
    if "truth" not in table:
        rows = np.flatnonzero(~gaps(table[one]) & ~gaps(table[two]))
        same = float((table[one] == table[two]).to_numpy()[rows].mean()) if len(rows) else None
        return Change(name, 2, len(rows), {}, same=same)
    rows = np.flatnonzero(~gaps(table["truth"]) & ~gaps(table[one]) & ~gaps(table[two]))
    if not len(rows):
        return None
    kept = table.iloc[rows]
    labels = together.labels_of(kept, ("truth", one, two), wide.kind)
    frames = [kept[[column]].set_axis([""], axis=1) for column in ("truth", two, one)]
    later, earlier = (answer.compare_columns(frames[0], frame, labels) for frame in frames[1:])
    groups = np.unique(wide.codes[rows], return_inverse=True)[1]
    every = np.arange(len(rows))
    drawn = ([{}, {}] if groups.max() + 1 < FEWEST_GROUPS
             else bootstrap(answer, [(every, later), (every, earlier)], groups, draws, seed))  # fmt: skip
    made = contest(answer, (two, one), (later, earlier), (drawn[0], drawn[1]), groups)
    wanted = named(labels, wide.kind)
    right = [(kept[c] == kept["truth"]).to_numpy() for c in (one, two)]
    same = float((kept[one] == kept[two]).mean())
    return Change(
        name, 2, len(rows), {n: made.differences[n] for n in wanted if n in made.differences}, made.mcnemar_p,
        int((~right[0] & right[1]).sum()), int((right[0] & ~right[1]).sum()), same,
    )  # fmt: skip


def _against(report: Report | None, wide: Wide) -> tuple[Change, ...]:
    """Every reader and round less the model alone, on the images that both answered."""
    found = []
    for made in report.contests if report else ():
        if made.first == MODEL and made.second in wide.columns:
            reader, round = wide.columns[made.second]
            turned = {name: together.turned(i) for name, i in made.differences.items() if name in FIGURES[wide.kind]}
            found.append(Change(reader.name, round, made.samples, turned, made.mcnemar_p))
    return tuple(found)


def _tiers(wide: Wide) -> tuple[Tier, ...]:
    """Means over readers of like experience, where readers differ in it."""
    if "truth" not in wide.table:
        return ()
    found = []
    for round in sorted({round for _, round in wide.columns.values()}):
        for low, high, name in TIERS:
            some = [column for column, (reader, r) in wide.columns.items()
                    if r == round and reader.years is not None and low <= reader.years < high]  # fmt: skip
            mean = together.mean_of(wide, some)
            if mean is not None:
                found.append(Tier(name, round, len(some), mean))
    return tuple(found) if len({tier.name for tier in found}) > 1 else ()
