"""The verb: compare prediction columns with the truth of a table; it never sees a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pandas import DataFrame, factorize

from potency.answers.answer import Answer
from potency.answers.evidence import Evidence
from potency.answers.filed import Filed
from potency.data.columns import simulated
from potency.errors import AnswerError, nearest
from potency.evaluation.columns import Rows, as_rows, class_order, column_of, comparable, kind_of, parts_of
from potency.evaluation.contest import contest
from potency.evaluation.intervals import FEWEST_GROUPS, Draws, bootstrap, numbers_of, permutation
from potency.evaluation.notes import apart, notes_of, scheme
from potency.evaluation.results import Report

UNKNOWN_GROUPS = "groups unknown: intervals assume independent images"
Piece = tuple[NDArray[np.intp], Evidence]  # rows of the table, what they contribute


def evaluate(
    manifest: Rows | DataFrame,
    *,
    truth: str = "truth",
    predictions: Sequence[str] = ("prediction",),
    by: str = "group",
    draws: int = 1000,
    seed: int = 0,
    facts: Mapping[str, Any] | None = None,
) -> Report:
    """Compare the prediction columns with the truth: figures, intervals over the groups `by`, contests with the first.

    `manifest` may be a plain DataFrame: another program's or a human reader's columns. Rows without truth or answer
    are left out and counted. Contests compare on the rows both columns have answered, if there are any. Intervals are
    percentiles over `draws` draws of whole groups (see `intervals.levels`); under 5 groups there are none. Errors:
    AnswerError for a missing column, a column without comparable rows, probabilities that are none.

    >>> table = DataFrame({"truth": list("aabb") * 5, "prediction": list("aaba") * 5, "group": list("vwxyz") * 4})
    >>> report = evaluate(table, draws=200)
    >>> report.numbers["prediction"]["accuracy"].value, report.groups, report.labels
    (0.75, 5, ('a', 'b'))
    """
    facts = dict(facts or {})
    made = as_rows(manifest, facts.get("folder", ""))
    table = _opened(made, facts)
    columns = _columns(table, truth, predictions)
    groups, known = _groups(table, by, manifest)
    answer = kind_of(made, truth, columns)
    planned = (facts.get("plan") or {}).get("classes", ()) or getattr(manifest, "classes", ())
    labels = class_order(table, answer, truth, columns, planned) if answer.labelled else ()
    pieces, left_out = [], {}
    for column in columns:
        usable, left_out[column] = comparable(table, truth, column, answer)
        pieces.append(_piece(table, answer, (truth, column), labels, usable, Path(str(facts["folder"]))))
    pairs = {column: pair for k, column in enumerate(columns[1:], 1) if (pair := _pair(pieces, k))}
    every = pieces + [side for pair in pairs.values() for side in pair]
    drawn = _drawn(answer, every, groups, draws, seed)
    numbers = {
        column: numbers_of(answer, piece, groups[rows], drawn[id(piece)])
        for column, (rows, piece) in zip(columns, pieces, strict=True)
    }
    contests = tuple(
        contest(answer, (columns[0], column), (one, two), (drawn[id(one)], drawn[id(two)]), groups[rows])
        for column, ((rows, one), (_, two)) in pairs.items()
    )
    chance = {
        column: permutation(answer, piece, groups[rows], draws, seed)
        for column, (rows, piece) in zip(columns, pieces, strict=True)
        if draws and not answer.in_files
    }
    rows, first = pieces[0]
    if not answer.in_files:
        facts.setdefault("permutation", scheme(first, groups[rows]))
    _state(facts, known, made.origin)
    return Report(
        task=answer.kind, rows=_report_rows(table, answer, (truth, *columns), groups, pieces), labels=labels,
        numbers=numbers, contests=contests, groups=len(np.unique(groups[rows])), permutation=chance, facts=facts,
        draws=draws, seed=seed, truth=truth, headline=answer.headline, left_out=left_out,
        notes=notes_of(answer, columns, pieces, groups, left_out) + apart(columns, pairs),
    )  # fmt: skip


def _opened(made: Rows, facts: dict[str, Any]) -> DataFrame:
    """The table with an `id` as index; `facts` learns folder and simulated."""
    table = made.table
    facts.setdefault("folder", str(made.folder))
    if not len(table):
        raise AnswerError("the table has no rows", "evaluate", "give a table with one row a sample")
    if "simulated" in table.columns:  # whoever judges predictions of simulated images says so, however they come
        facts.setdefault("simulated", simulated(table))
    names = table["id"].astype(str) if "id" in table.columns else table.index.astype(str)
    return table.set_axis(names.to_numpy(), axis=0)


def _columns(table: DataFrame, truth: str, predictions: Sequence[str]) -> tuple[str, ...]:
    columns = (predictions,) if isinstance(predictions, str) else tuple(predictions)
    if not columns or len(set(columns)) < len(columns):
        raise AnswerError(
            "the prediction columns must be named, each once", f"predictions={list(columns)}", "name one or more"
        )
    column_of(table, truth, "truth")
    for column in columns:
        column_of(table, column, "prediction")
    return columns


def _groups(table: DataFrame, by: str, manifest: Rows | DataFrame) -> tuple[NDArray[np.intp], bool]:
    """The group number of every row and whether groups are known; a row without one is a group of its own."""
    known = bool(getattr(manifest, "groups_known", True)) or by != "group"
    if by not in table.columns:
        if by != "group":
            raise AnswerError(f"there is no column {by!r} to group by", "the table", nearest(by, table.columns))
        return np.arange(len(table)), False
    # By name, not by first row: the draws must not depend on the order of the rows.
    codes, _ = factorize(table[by].astype(object).map(str, na_action="ignore"), sort=True)
    alone = codes < 0
    codes[alone] = codes.max(initial=-1) + 1 + np.arange(alone.sum())
    return np.asarray(codes, np.intp), known and not bool(alone.all())


def _piece(
    table: DataFrame,
    answer: type[Answer],
    pair: tuple[str, str],
    labels: tuple[str, ...],
    usable: NDArray[np.bool_],
    folder: Path,
) -> Piece:
    truth, column = pair
    if not usable.any():
        raise AnswerError(
            "no row has both a truth and an answer",
            f"columns {truth!r} and {column!r}",
            "name the columns that hold them, or predict first",
        )
    true, said = (parts_of(table, name, answer)[usable] for name in pair)
    try:
        return np.flatnonzero(usable), answer.compare_columns(true, said, labels, folder)
    except AnswerError as error:
        where = f"columns {truth!r} and {column!r}; {error.where}"
        raise AnswerError(error.what, where, error.mend) from error


def _pair(pieces: list[Piece], other: int) -> tuple[Piece, Piece] | None:
    """The first and another column on the rows both have answered; None where there is none."""
    (rows, one), (others, two) = pieces[0], pieces[other]
    if np.array_equal(rows, others):
        return pieces[0], pieces[other]
    common = np.intersect1d(rows, others)
    if not len(common):
        return None
    return (common, one.take(np.isin(rows, common))), (common, two.take(np.isin(others, common)))


def _drawn(
    answer: type[Answer], pieces: list[Piece], groups: NDArray[np.intp], draws: int, seed: int
) -> dict[int, Draws]:
    """The figures of every piece of evidence in every draw, by the identity of the evidence; empty without draws."""
    unique = list({id(piece): (rows, piece) for rows, piece in pieces}.values())
    used = np.unique(np.concatenate([rows for rows, _ in unique]))
    codes = np.unique(groups[used], return_inverse=True)[1]
    if codes.max() + 1 < FEWEST_GROUPS or not draws:
        return {id(piece): {} for _, piece in unique}
    local = [(np.searchsorted(used, rows), piece) for rows, piece in unique]
    found = bootstrap(answer, local, codes, draws, seed)
    return {id(piece): figures for (_, piece), figures in zip(unique, found, strict=True)}


def _report_rows(
    table: DataFrame, answer: type[Answer], columns: Sequence[str], groups: NDArray[np.intp], pieces: Sequence[Piece]
) -> DataFrame:
    """The compared rows: id, group, image, fold, truth, predictions with all their parts; what each is worth alone."""
    table, groups = table.iloc[pieces[0][0]], groups[pieces[0][0]]
    prefixes = tuple(f"{column}." for column in columns)
    kept = [
        name for name in table.columns
        if name in ("image", "fold", *columns) or str(name).startswith(("image.", *prefixes))
    ]  # fmt: skip
    rows = table[kept].reset_index(drop=True)
    rows.insert(0, "id", table.index.astype(str))
    names = table["group"].astype(str).to_numpy() if "group" in table.columns else groups.astype(str)
    rows.insert(1, "group", names)
    if not issubclass(answer, Filed):
        return rows
    for column, (at, piece) in zip(columns[1:], pieces, strict=True):  # `prediction.dsb_ap`: a cell shows only a path
        found = answer.each(piece).set_index(at).reindex(pieces[0][0])
        rows = rows.assign(**{f"{column}.{name}": found[name].to_numpy() for name in found})
    return rows


def _state(facts: dict[str, Any], known: bool, origin: Mapping[str, str]) -> None:
    """Put what the table itself tells into the facts: how it was split, and first of all that groups are unknown."""
    for name in ("split", "split_kind"):
        if name in origin:
            facts.setdefault(name, origin[name])
    lines = [str(line) for line in facts.get("banner", ())]
    if not known and "groups unknown" not in " ".join(lines).lower():
        lines.insert(0, UNKNOWN_GROUPS)
    facts["banner"] = lines
