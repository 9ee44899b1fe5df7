"""Explain a model of measured features: what each feature of an image brings to its answer."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from potency.bundle.estimate import EstimatorMember
from potency.data.manifest import Manifest
from potency.errors import ManifestError, PlanError, nearest
from potency.explanation.bars import write_bars
from potency.explanation.shapley import Shares, Values, shapley
from potency.explanation.written import finished
from potency.inference.claim import claimed
from potency.inference.store import WHOLE, Store, fingerprint
from potency.inference.view import View, windows
from potency.inference.work import describe
from potency.tasks import Focus

if TYPE_CHECKING:
    from potency.bundle import Bundle

Progress = Callable[[int, int], object]
BACKGROUND = 32  # rows that say what is usual
FEWEST = 8  # of them
PLAYERS = ("feature", "family")
METHOD = "shapley"
OF = "of"  # `<name>.of.<feature>`


@dataclass(frozen=True)
class Contributed:
    """One image explained: what each feature brings, its error, the features themselves, and what it is all of."""

    players: tuple[str, ...]
    values: Values
    error: Values
    measured: Values  # of each player the feature; the mean of several is no measure: not-a-number
    pixels: NDArray[Any]
    label: str
    score: float
    base: float
    missing: float


def estimators_of(bundle: Bundle) -> list[EstimatorMember]:
    """The estimators of a bundle; [] where it holds none."""
    return [member for member in bundle.members if isinstance(member, EstimatorMember)]


def players_of(columns: Sequence[str], by: str = "feature") -> dict[str, NDArray[np.intp]]:
    """Which columns stand together: each measured feature by itself, or a family of a channel; an embedding is one.

    >>> {name: places.tolist() for name, places in players_of(["shape.c.area", "embedding.0.tiny.0",
    ...     "embedding.0.tiny.1"]).items()}
    {'shape.c.area': [0], 'embedding.0.tiny': [1, 2]}
    """
    if by not in PLAYERS:
        raise PlanError(f"features cannot be taken by {by!r}", "--by", nearest(by, PLAYERS))
    found: dict[str, list[int]] = {}
    for place, column in enumerate(columns):
        parts = column.split(".")
        embedded = parts[0] == "embedding"
        name = ".".join(parts[:-1]) if embedded or (by == "family" and len(parts) > 2) else column
        found.setdefault(name, []).append(place)
    return {name: np.array(places, np.intp) for name, places in found.items()}


class Contributor:
    """A bundle of estimators and what is usual: called on a view of an image it says what each feature brings.

    Args:
        bundle: one or several estimators; of several the mean.
        focus: which score is explained; by default the last of the task (a probability, a number), of the answer.
        usual: crops (C, H, W) of what is usual.
        by: see `players_of`.

    Raises:
        PlanError: no estimator, too few rows to be usual, no such class or score.
    """

    def __init__(self, bundle: Bundle, focus: Focus, usual: Sequence[NDArray[Any]], by: str = "feature") -> None:
        self.bundle, self.members = bundle, estimators_of(bundle)
        if not self.members:
            raise PlanError("the bundle holds no estimator", str(bundle.folder or "bundle"), "choose another method")
        if len(usual) < FEWEST:
            raise PlanError(
                f"{len(usual)} images cannot say what is usual", "--background", f"give {FEWEST} or more: training rows"
            )
        if focus.score == "similarity":
            raise PlanError("features have no embedding to resemble", "--score similarity", "explain a probability")
        self.focus = replace(focus, score=focus.score or bundle.task.scores[-1])
        self.players = [players_of(member.fitted.columns, by) for member in self.members]
        self.names = tuple(dict.fromkeys(name for own in self.players for name in own))
        self.usual = [self._table(member, usual) for member in self.members]
        self._score(self.members[0], replace(self.focus, label=self.focus.label or self._any()))(self.usual[0][:1])

    def _any(self) -> str:
        return self.members[0].plan.classes[0] if self.bundle.task.answer.labelled else ""

    @staticmethod
    def _table(member: EstimatorMember, crops: Sequence[NDArray[Any]]) -> Values:
        table = member.features(member.images([{"image": crop} for crop in crops]))
        return table[list(member.fitted.columns)].to_numpy(np.float64)

    def _score(self, member: EstimatorMember, focus: Focus) -> Callable[[Values], Values]:
        def score(values: Values) -> Values:
            output = np.stack([found["output"] for found in member.of_features(values)])
            told = self.bundle.task.focus({"output": torch.from_numpy(output).double()}, member.plan, focus)
            return np.asarray(told.numpy(), np.float64)

        return score

    def __call__(self, view: View) -> Contributed:
        crops = [np.asarray(view.crop(tile)) for tile in windows(view.shape, self.members[0].plan)]
        tables = [self._table(member, crops) for member in self.members]
        label = self._label(tables)
        shares = [self._shares(m, table, label) for m, table in enumerate(tables)]
        count = len(shares)
        values, error, measured = (np.zeros(len(self.names)) for _ in range(3))
        measured[:] = np.nan
        for own, table, found in zip(self.players, tables, shares, strict=True):
            for place, (name, columns) in enumerate(own.items()):
                at = self.names.index(name)
                values[at] += found.values[:, place].mean() / count
                error[at] += float((found.error[:, place] ** 2).sum()) / (len(crops) * count) ** 2
                measured[at] = table[:, columns[0]].mean() if len(columns) == 1 else np.nan
        score, base = (float(np.mean([part(found) for found in shares])) for part in (_mean, _base))
        return Contributed(self.names, values, np.sqrt(error), measured, crops[0], label, score, base,
                           score - base - float(values.sum()))  # fmt: skip

    def _shares(self, m: int, table: Values, label: str) -> Shares:
        score = self._score(self.members[m], replace(self.focus, label=label))
        return shapley(score, table, self.usual[m], list(self.players[m].values()))

    def _label(self, tables: Sequence[Values]) -> str:
        """The class asked for, or that which all members together take the image for."""
        if self.focus.label or not self.bundle.task.answer.labelled:
            return self.focus.label
        kind, decode = self.bundle.task.answer, self.bundle.task.decode
        answers = [decode(output, member.plan) for member, table in zip(self.members, tables, strict=True)
                   for output in member.of_features(table)]  # fmt: skip
        return str(kind.average(answers).calibrated(self.bundle.card.trust).cells(Path(), "answer")["answer"])


def _mean(found: Shares) -> float:
    return float(found.score.mean())


def _base(found: Shares) -> float:
    return found.base


def contributions(
    manifest: Manifest,
    bundle: Bundle,
    *,
    into: str | Path,
    focus: Focus | None = None,
    background: Manifest | None = None,
    by: str = "feature",
    name: str = "explanation",
    progress: Progress | None = None,
) -> Manifest:
    """Explain the answer to every row by its features; a row that fails keeps its error, the rest goes on.

    Args:
        manifest: the rows.
        bundle: estimators on measured features, or on embeddings (of which each counts as one feature).
        into: folder of `bars/` (a picture of each row), `explanations.parquet` and `.csv`. Rows that are done are kept.
        focus: which score is explained; by default the probability of the class each image is taken for, or the number.
        background: rows that say what is usual, at most 32 of them, spread over groups; by default the rows themselves.
        by: "feature", or "family" of features.
        name: the column.
        progress: called with (rows done, rows in all).

    Returns:
        The manifest with the column `name` (path of the picture) and its parts: `.label`, `.score`, `.base` (the mean
        score of the background), `.missing` (what the sum leaves, 0 but for rounding), `.of.<feature>` what each
        brings, `.spread.<feature>` its standard error, `.measured.<feature>` itself, and `.error`.

    Raises:
        PlanError: no estimator, no such class or score, too few rows. PotencyError: `into` cannot be written.
    """
    usual, folder = _usual(manifest if background is None else background, bundle), Path(into)
    explainer = Contributor(bundle, focus or Focus(), usual, by)
    seen = hashlib.sha256(b"".join(np.ascontiguousarray(crop).tobytes() for crop in usual)).hexdigest()
    with claimed(folder):
        store, rows = Store(folder / "parts"), manifest.records()
        identity = f"{bundle.fingerprint} {METHOD} {by} {explainer.focus} {seen} {name}"
        keys = [fingerprint(identity, manifest.paths(row), [row["id"]]) for row in rows]
        errors: dict[str, str] = {}
        for done, (key, row) in enumerate(zip(keys, rows, strict=True)):
            if progress is not None:
                progress(done, len(rows))
            if key in store.done:
                continue
            try:
                found = explainer(View.of(manifest, row, explainer.members[0].plan))
                store.add([(key, WHOLE, {name: write_bars(folder, str(row["id"]), key, found), **_cells(found, name)})])
            except Exception as fault:  # readers and decoders raise whatever they like
                errors[key] = describe(fault)
        if progress is not None:
            progress(len(rows), len(rows))
        return finished(manifest, store, keys, errors, folder, name)


def _cells(found: Contributed, name: str) -> Mapping[str, Any]:
    cells: dict[str, Any] = {f"{name}.{part}": getattr(found, part) for part in ("label", "score", "base", "missing")}
    for part, numbers in ((OF, found.values), ("spread", found.error), ("measured", found.measured)):
        cells |= {f"{name}.{part}.{player}": float(value) for player, value in zip(found.players, numbers, strict=True)}
    return cells


def _usual(rows: Manifest, bundle: Bundle) -> list[NDArray[Any]]:
    """Crops of rows that say what is usual: one of each group in turn, in an order drawn once."""
    if not len(rows) or not estimators_of(bundle):
        return []
    plan, draw = estimators_of(bundle)[0].plan, np.random.default_rng(0)
    table = rows.table.iloc[draw.permutation(len(rows))]
    order = table.groupby("group").cumcount().sort_values(kind="stable").index
    records, found = rows.records(), []
    for place in order:
        try:
            view = View.of(rows, records[int(place)], plan)
            found.append(np.asarray(view.crop(windows(view.shape, plan)[0])))
        except Exception:  # an image that cannot be read is not usual
            continue
        if len(found) == BACKGROUND:
            break
    return found


def table_of(made: Manifest, name: str = "explanation", part: str = OF) -> pd.DataFrame:
    """The contributions (rows, features) of an explained manifest; rows that failed are left out.

    Raises:
        ManifestError: the rows were not explained by features.
    """
    prefix = f"{name}.{OF}."
    players = [str(column).removeprefix(prefix) for column in made.table if str(column).startswith(prefix)]
    if not players:
        raise ManifestError("no contributions stand in the table", str(made.folder), "explain a model of features")
    done = made.table[made.table[name].notna()]
    # A part that is missing of all rows (what is measured of a family) is no column of the table.
    found = done.reindex(columns=[f"{name}.{part}.{player}" for player in players])
    return found.set_axis(players, axis=1)
