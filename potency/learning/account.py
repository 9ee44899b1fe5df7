"""What a run tells: out-of-fold answers calibrated across folds, and the report with all its facts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pandas as pd

from potency.answers.answer import OOD, Trust, numbers
from potency.answers.rarity import limit_of, rarity
from potency.bundle import Card
from potency.confounding.audit import by_origin
from potency.data.manifest import Manifest
from potency.errors import PotencyError
from potency.evaluation.category_plots import reliable
from potency.evaluation.evaluate import evaluate
from potency.evaluation.intervals import FEWEST_GROUPS
from potency.evaluation.results import Report
from potency.evaluation.subgroups import Subgroups
from potency.learning.calibration import Fitted, calibration
from potency.learning.folds import Done
from potency.learning.unlabelled import was_seen
from potency.tasks import Task

SEEN = "the model started from had learned from these very images: the figures flatter"
CHANCE = "random"  # columns of a random split end in it
FEWEST_IMAGES = 10  # of a group that is judged alone


def calibrated(done: Sequence[Done], rows: Manifest, task: Task, classes: Sequence[str]) -> pd.DataFrame:
    """Out-of-fold answers of one column; each fold is calibrated on the others, so no row's own truth is used."""
    trusts = _crossed(done, rows, task, classes)
    limit = {f"{OOD}.limit": limit} if (limit := _limit(done, rows, trusts)) else {}
    pieces = [_applied(one, rows, task, {**trust, **limit}) for one, trust in zip(done, trusts, strict=True)]
    return pd.concat(pieces, ignore_index=True)


def _crossed(done: Sequence[Done], rows: Manifest, task: Task, classes: Sequence[str]) -> list[Fitted]:
    """The calibration of each fold, fitted on the other folds."""
    if len(done) < 2:
        return [one.trust for one in done]
    return [_together([d for d in done if d is not one], rows, task, classes) for one in done]


def _limit(done: Sequence[Done], rows: Manifest, trusts: Sequence[Fitted]) -> float | None:
    """The limit beyond which at most one in a hundred rows lies, each placed among the rows of the other folds."""
    column, found = f"{done[0].column}.oddity", []
    for one, trust in zip(done, trusts, strict=True):
        if len(done) > 1 and column in one.answers and OOD in trust:
            odd = one.answers[["id", column]].dropna()
            found.append(odd.assign(rare=rarity(odd[column].to_numpy(float), numbers(trust, OOD))))
    if not found:
        return None
    told = pd.concat(found).merge(rows.table[["id", "group"]], on="id")
    return limit_of(told["rare"].to_numpy(float), told["group"].to_numpy() if rows.groups_known else None)


def across(done: Sequence[Done], rows: Manifest, task: Task, classes: Sequence[str]) -> Fitted:
    """One calibration for the answers of several folds together, and the limit that holds from fold to fold."""
    limit = _limit(done, rows, _crossed(done, rows, task, classes))
    return {**_together(done, rows, task, classes), **({f"{OOD}.limit": limit} if limit else {})}


def _together(done: Sequence[Done], rows: Manifest, task: Task, classes: Sequence[str]) -> Fitted:
    told = rows.add(pd.concat([d.answers for d in done], ignore_index=True))
    return calibration(told, task, classes, done[0].column)


def _applied(done: Done, rows: Manifest, task: Task, trust: Trust) -> pd.DataFrame:
    made = []
    for row in done.answers.to_dict("records"):
        cells = {str(k).removeprefix(done.column).removeprefix("."): v for k, v in row.items() if k != "id"}
        error = cells.pop("error", None)
        found: dict[str, Any] = {"id": row["id"]}
        if not pd.isna(cells.get("")):
            answer = task.answer.of_cells(cells, rows.folder).calibrated(trust)
            found |= answer.cells(rows.folder, done.column)
        if not pd.isna(error):
            found[f"{done.column}.error"] = error
        made.append(found)
    return pd.DataFrame(made)


def report(rows: Manifest, done: Sequence[Done], *, draws: int, seed: int, facts: Mapping[str, Any]) -> Report:
    """Evaluate the columns of a run: by group with contests, and what a random split would have said beside it."""
    columns = list(dict.fromkeys(d.column for d in done))
    chance = [c for c in columns if c.endswith(CHANCE)]
    inner = rows.where(rows.table["fold"].ge(0))
    told = {
        **facts,
        "learning": [row for d in done if d.column == columns[0] for row in d.log],
        "calibration": _calibration([d for d in done if d.column == columns[0]], inner),
        "ood": _unlike(inner, columns[0], draws=draws, seed=seed),
        "subgroups": _by_origin(inner, columns[0], draws, seed),
    }
    if chance:
        seen = evaluate(inner, predictions=chance, draws=draws, seed=seed).numbers
        names = {c: c.removesuffix(f"-{CHANCE}").removesuffix(f"@{CHANCE}") for c in chance}
        told["random_split"] = {names[c]: {m: asdict(v) for m, v in seen[c].items()} for c in chance}
    return evaluate(inner, predictions=[c for c in columns if c not in chance], draws=draws, seed=seed, facts=told)


def _calibration(done: Sequence[Done], rows: Manifest) -> dict[str, Any]:
    """Calibration error of the first column before and after, the curve before, and what was applied in between."""
    column = done[0].column
    raw = pd.concat([d.answers for d in done], ignore_index=True)
    told = without_predictions(rows).add(raw, {column: rows.kinds[column]})
    before, after = (evaluate(each, predictions=[column], draws=0) for each in (told, rows))
    found = [each.numbers[column].get("ece") for each in (before, after)]
    if None in found:
        return {}
    errors = {name: ece.value for name, ece in zip(("before", "after"), found, strict=True) if ece is not None}
    return {**errors, "curve_before": reliable(before, column)}


def _unlike(rows: Manifest, column: str, *, draws: int, seed: int) -> dict[str, Any]:
    """How many rows of groups that were not learned from the models call unlike what they know, with its interval.

    Every group weighs alike, as it does where the limit is set.
    """
    names = (f"{column}.ood", f"{column}.abstain")
    if not all(name in rows.table for name in names):
        return {}
    table = rows.table[rows.table[names[0]].notna()]
    called = table[names[1]].map(lambda cell: OOD in str(cell)).astype(float)
    shares = called.groupby(table["group"].astype(str).to_numpy()).agg(["mean", "size"])
    told: dict[str, Any] = {"images": len(table), "groups": len(shares), "flagged": float(shares["mean"].mean())}
    if draws and len(shares) >= FEWEST_GROUPS:
        random, each = np.random.default_rng([seed, 10]), shares["mean"].to_numpy()
        means = each[random.integers(0, len(each), (draws, len(each)))].mean(axis=1)
        told |= dict(zip(("low", "high"), map(float, np.percentile(means, [2.5, 97.5])), strict=True))
    large = shares[shares["size"] >= FEWEST_IMAGES]
    if len(large):
        told |= {"worst_group": str(large["mean"].idxmax()), "worst": float(large["mean"].max())}
    return told


def _by_origin(rows: Manifest, column: str, draws: int, seed: int) -> tuple[Subgroups, ...]:
    try:
        found = by_origin(rows, predictions=(column,), draws=draws, seed=seed) if draws else ()
        # Values of one group each are the groups in other words, which the report lists anyway.
        return tuple(one for one in found if any(part.groups > 1 for part in one.parts))
    except PotencyError:  # a column that cannot be told apart costs its table, not the report
        return ()


def begun(before: Sequence[Card], rows: Manifest) -> list[str]:
    """What a reader must know of the bundles that a run started from: that they had seen the images it is tested on."""
    said = []
    for card in before:
        seen = was_seen(card, rows)
        if seen is not None and seen.any():
            said.append(f"the encoder started from had seen {seen.mean():.0%} of these images, without their labels")
        elif seen is None and card.data.get("fingerprint") == rows.fingerprint():
            said.append(SEEN)
    return list(dict.fromkeys(said))


def without_predictions(rows: Manifest) -> Manifest:
    """The rows as they were before anything was predicted."""
    return replace(rows, table=rows.table.drop(columns=[c for c in rows.table if str(c).startswith("prediction")]))


def licences(given: tuple[str, str], rows: Manifest) -> dict[str, str]:
    """What the model card says of licences of data and weights: as given, else as a column says of every row.

    >>> licences(("CC BY 4.0", ""), Manifest.of_rows(pd.DataFrame({"image": ["a.png"]})))
    {'licence': 'CC BY 4.0'}
    """
    named = next((str(c) for c in rows.table if str(c).lower() in ("licence", "license")), "")
    stated = set(rows.table[named].dropna().astype(str)) if named else set()
    found = {"licence": given[0] or (stated.pop() if len(stated) == 1 else ""), "weights_licence": given[1]}
    return {name: text for name, text in found.items() if text}
