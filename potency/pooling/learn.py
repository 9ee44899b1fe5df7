"""Learns to pool on embeddings, under the folds of the network that made them, so that no test row teaches anything."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from potency.data.manifest import Manifest
from potency.data.split import make_folds
from potency.errors import AnswerError, BundleError, ManifestError, PlanError
from potency.evaluation.columns import gaps
from potency.pooling import units as names_of
from potency.pooling.bags import Units
from potency.pooling.pooler import Pooler, Recipe

FINAL = None  # the fold of the model that is given away: all rows are learned from
Embed = Callable[[int | None], pd.DataFrame]  # a fold -> embedding indexed by row id, by a network that never saw it
EXTERNAL = -1


@dataclass(frozen=True, eq=False)
class Question:
    """Which rows are one unit, what order they have, and what is known of them.

    Attributes:
        by: the column of the unit.
        time: the column of the time, for heads that look forward.
        numbers: number columns joined to the embedding: a displacement, an area.
    """

    by: str
    time: str = ""
    numbers: tuple[str, ...] = ()

    def units(self, table: pd.DataFrame, embedding: pd.DataFrame) -> Units:
        """The instances of all units of a table."""
        ids = table["id"].astype(str).tolist()
        if self.numbers:
            named = [names_of.column(table, name, "numbers") for name in self.numbers]
            embedding = embedding.join(columns(table, named)(FINAL), how="inner")
        when = names_of.times_of(table, self.time) if self.time else None
        return Units.of(embedding, ids, names_of.of(table, [self.by]), when)


@dataclass(frozen=True, eq=False)
class Pooled:
    """What learned pooling leaves.

    Attributes:
        units: one row a unit, `prediction` out of fold; of a sequence, what is said at its last step.
        rows: the rows with `prediction.attention` (of each unit the sum is 1), or for heads that look forward with
            `prediction@<head>`, what is said at that row from it and those before.
        pooler: learned from all units, to be given away.
    """

    units: pd.DataFrame
    rows: pd.DataFrame
    pooler: Pooler


def learn(table: pd.DataFrame, question: Question, embed: Embed, recipe: Recipe, folds: int = 5) -> Pooled:
    """Learn a head in each fold on all other groups and answer the fold; then once more on all.

    Folds are those of the column `fold` (as a training left it), else whole groups are dealt. `embed(k)` gives the
    embedding by a network that never learned from the rows of fold k, `embed(None)` that of the network given away.

    Raises:
        AnswerError: rows of one unit differ in truth, embeddings that are none. PlanError: a head that looks forward
            without a time. ManifestError: too few groups.
    """
    if recipe.forward and not question.time:
        raise PlanError(f"{recipe.head} looks forward in time, and no time is named", "pool --learn",
                        "name the column with --time, or choose a head for bags: attention")  # fmt: skip
    question = question if recipe.forward else replace(question, time="")
    table = table[~gaps(table["truth"])].reset_index(drop=True) if "truth" in table else table[:0]
    if not len(table):
        raise AnswerError("no row has a truth to learn from", "column 'truth'", "give rows whose outcome is known")
    unit = names_of.of(table, [question.by])
    made = names_of.shared(table, unit, [question.by])
    truth, classes = _truth(made["truth"])
    fold = _folds(made, folds)
    rows, answers = table.copy(), np.full((len(made), len(classes) or 1), np.nan)
    steps, weights = np.full((len(table), len(classes) or 1), np.nan), np.full(len(table), np.nan)
    for k in sorted({int(each) for each in fold} - {EXTERNAL}):
        units = question.units(table, embed(k))
        learned, tested = np.flatnonzero((fold != k) & (fold != EXTERNAL)), np.flatnonzero(fold == k)
        pooler = Pooler.fit(units.take(learned), truth[learned], recipe, classes)
        _answer(pooler, units.take(tested), tested, (answers, steps, weights))
    units = question.units(table, embed(FINAL))
    inner = np.flatnonzero(fold != EXTERNAL)
    facts = {"by": question.by, "time": question.time, "numbers": list(question.numbers), "units": len(inner),
             "groups": int(made["group"].nunique()) if "group" in made else len(made),
             "learned": sorted(_marks(made, question.by)[inner].tolist())}  # fmt: skip
    pooler = Pooler.fit(units.take(inner), truth[inner], recipe, classes, facts)
    outside = np.flatnonzero(fold == EXTERNAL)
    if len(outside):
        _answer(pooler, units.take(outside), outside, (answers, steps, weights))
    made = _written(made, answers, classes, "prediction").assign(fold=fold)
    made["prediction.count"] = np.bincount(unit, minlength=len(made))
    if recipe.forward:
        rows = _written(rows, steps, classes, f"prediction@{recipe.head}")
    else:
        rows["prediction.attention"] = weights
    return Pooled(made, rows, pooler)


def apply(pooler: Pooler, table: pd.DataFrame, embedding: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Units and rows answered by a learned pooler, as in `Pooled`; the table needs no truth."""
    facts = pooler.facts
    question = Question(str(facts["by"]), str(facts.get("time", "")), tuple(facts.get("numbers", ())))
    table = table.reset_index(drop=True)
    unit = names_of.of(table, [question.by])
    made, size = names_of.shared(table, unit, [question.by]), len(pooler.classes) or 1
    answers, steps = np.full((len(made), size), np.nan), np.full((len(table), size), np.nan)
    weights = np.full(len(table), np.nan)
    _answer(pooler, question.units(table, embedding), np.arange(len(made)), (answers, steps, weights))
    made = _written(made, answers, pooler.classes, "prediction")
    made["prediction.count"] = np.bincount(unit, minlength=len(made))
    if pooler.recipe.forward:
        return made, _written(table, steps, pooler.classes, f"prediction@{pooler.recipe.head}")
    return made, table.assign(**{"prediction.attention": weights})


def learned_from(pooler: Pooler, made: pd.DataFrame) -> int:
    """How many of these units it learned from, told by the marks it keeps: of those its figures flatter."""
    known = {str(mark) for mark in pooler.facts.get("learned", ())}
    return sum(mark in known for mark in _marks(made, str(pooler.facts["by"])))


def _marks(made: pd.DataFrame, by: str) -> NDArray[Any]:
    """A short hash of each unit within its group: enough to know it again, too little to name it."""
    group = made["group"].astype(str) if "group" in made else made[by].astype(str)
    names = (group + "\0" + made[by].astype(str)).to_numpy()
    return np.array([hashlib.sha256(str(name).encode()).hexdigest()[:12] for name in names], dtype=object)


def _answer(
    pooler: Pooler, units: Units, which: NDArray[np.intp], into: tuple[NDArray[Any], NDArray[Any], NDArray[Any]]
) -> None:
    """Write answers of units, of steps and the attention of rows into arrays, in place."""
    answers, steps, weights = into
    found, attention = pooler(units)
    if pooler.recipe.forward:
        steps[units.row] = found  # of several crops of one row the last stands: a sequence has one step a row
        answers[which] = found[units.edge[1:] - 1]
        return
    answers[which] = found
    if attention is not None:
        rows = np.unique(units.row)
        weights[rows] = np.bincount(units.row, attention)[rows]


def _truth(cells: pd.Series) -> tuple[NDArray[Any], tuple[str, ...]]:
    if pd.api.types.is_numeric_dtype(cells.dtype) and not pd.api.types.is_bool_dtype(cells.dtype):
        return cells.to_numpy(np.float64), ()
    told = cells.astype(str).to_numpy(object)
    classes = tuple(sorted(set(told)))
    if len(classes) < 2:
        raise ManifestError(f"only one class to learn from: {classes[0]!r}", "truth", "give units of two classes")
    return told, classes


def _folds(made: pd.DataFrame, folds: int) -> NDArray[np.intp]:
    if "fold" in made:
        return made["fold"].to_numpy(np.intp)
    group = (made["group"] if "group" in made else made["id"]).astype(str)
    return np.asarray(make_folds(made, group, min(folds, group.nunique()), 0, "stratified")[0], np.intp)


def _written(table: pd.DataFrame, found: NDArray[Any], classes: Sequence[str], name: str) -> pd.DataFrame:
    """The table with the cells of answers (rows, K); rows without one stay empty."""
    table = table.copy()
    if not classes:
        return table.assign(**{name: found[:, 0]})
    known = np.isfinite(found).all(axis=1)
    label = np.full(len(table), None, object)
    label[known] = np.array(classes, object)[found[known].argmax(axis=1)]
    return table.assign(**{name: label, **{f"{name}.probability.{one}": found[:, k] for k, one in enumerate(classes)}})


def columns(table: pd.DataFrame, names: Sequence[str]) -> Embed:
    """Number columns as the embedding of every fold: they must come from what never learned from these rows."""
    frame = table[list(names)].apply(pd.to_numeric, errors="coerce")  # what is no number is told as a gap
    frame = frame.set_axis(pd.Index(table["id"].astype(str), name="id"), axis=0)
    return lambda fold: frame


def of_run(rows: Manifest, run: Path, progress: Callable[[int, int], object] | None = None) -> Embed:
    """Embeddings by the networks of a training's folder: of fold k by its fold's, of all by the one given away.

    Each is made once and kept in the `cache` of the run.

    Raises:
        BundleError: the folder holds no networks of folds.
    """

    def embed(fold: int | None) -> pd.DataFrame:
        folder = run / "bundle" if fold is None else run / "folds" / f"network-{fold}" / "bundle"
        if not (folder / "card.json").is_file():
            raise BundleError("the run holds no network of this fold", str(folder), "name a folder that train wrote")
        return embedded(rows, folder, run / "cache", progress)

    return embed


def embedded(
    rows: Manifest, bundle: Path, cache: Path, progress: Callable[[int, int], object] | None = None
) -> pd.DataFrame:
    """The embedding of every crop of the rows by the networks of a bundle, by row id; kept in `cache`."""
    from potency.bundle import Bundle, Features, NetworkMember
    from potency.learning.estimate import kept

    members = [member for member in Bundle.load(bundle).members if isinstance(member, NetworkMember)]
    if not members:
        raise BundleError("the bundle holds no network, so it has no embedding", str(bundle), "name a network's bundle")
    plan = members[0].plan.of_members([member.plan for member in members])
    path = kept(rows, Features(plan, tuple(members)), cache, progress)
    assert path is not None
    return pd.read_parquet(path)
