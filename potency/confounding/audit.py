"""The audit: what beside the cells tells the label, from plate to file size, and whether a network has learned it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from potency.confounding import embedding as embedded
from potency.confounding import forest, pictures
from potency.confounding.design import design_faults, is_groups
from potency.confounding.exchange import Codes, Outcome, Values, association, codes_of, family_wise, level_of
from potency.confounding.result import Audit
from potency.confounding.rules import EMBEDDING, LABEL, LEVEL, Fault, Row, rule_of, told
from potency.confounding.suspects import BIOLOGICAL, TECHNICAL, Suspect, kind_of, suspects, truth_of
from potency.data.columns import plain, simulated
from potency.data.groups import evenly
from potency.data.wells import PLATE
from potency.errors import ManifestError, PlanError, nearest
from potency.evaluation.subgroups import Subgroups, subgroups

if TYPE_CHECKING:
    from potency.data.manifest import Manifest

PARTS = ("pictures", "forest", "subgroups")
DRAWS = 1999
MOST_ROWS = 6000  # of more, as many of every group are looked at
FEWEST_ROWS = 20  # that a forest is grown on
FOREST_ROWS = 1500  # the most: some fifty forests are grown
FAMILIES = ("intensity", "texture", "shape")
Progress = Callable[[float, float, str], object]


def audit(
    manifest: Manifest,
    *,
    predictions: Sequence[str] = (),
    embedding: str = "",
    parts: Sequence[str] = PARTS,
    draws: int = DRAWS,
    seed: int = 0,
    most: int = MOST_ROWS,
    progress: Progress | None = None,
) -> Audit:
    """Look for what could tell the label without the cells, and say in plain words what was found.

    Each suspect (a column such as plate, day, well, time, donor; places fixed in the frame near the border of the
    picture; level, focus and size of the file) is asked whether it tells the truth beyond what chance allows when whole
    groups are exchanged, corrected for all suspects together; then whether it can be read from the embedding, given the
    class. The words come from `rules.RULES` alone. With the part "forest" a random forest measures the gap when whole
    plates are left out and what more groups or more images would gain; with "subgroups" the first of the `predictions`
    is compared between donors, sexes, lines, plates.

    Args:
        manifest: rows with a truth (classes or numbers), and groups.
        predictions: columns of predictions; by default those in the table called `prediction`.
        embedding: a column of vectors, or the beginning of the names of number columns; by default `embedding`.
        parts: what is done beside the columns: "pictures", "forest", "subgroups".
        draws: permutations of groups, and draws of the bootstrap.
        most: rows looked at; of more, as many of every group.
        progress: called with (done, total, what).

    Raises:
        ManifestError: no truth, or truths that are all alike. PlanError: an unknown part, or too few draws.
    """
    wrong = [part for part in parts if part not in PARTS]
    if wrong:
        raise PlanError(f"the audit has no part {wrong[0]!r}", "parts", nearest(wrong[0], PARTS))
    if draws < 99:
        raise PlanError(f"{draws} draws cannot show a p of .05 among several suspects", "draws", "give 99 or more")
    rows = _usable(manifest, most, seed)
    step = _step(progress)
    table, category = rows.table, rows.kinds.get("truth", "category") != "number"
    found, left = suspects(table)
    unread: dict[int, str] = {}
    numbers = pd.DataFrame()
    if {"pictures", "forest"} & set(parts):
        numbers, unread = pictures.measured(rows, FAMILIES if "forest" in parts else (), step("looking at pictures"))
        found += pictures.suspects_of(numbers) if "pictures" in parts else []
    truth, classes = truth_of(table["truth"], category)
    groups = codes_of(table["group"])
    vectors = embedded.embedding_of(table, embedding)
    asked, faults = examine(found, truth, classes, groups, known=rows.groups_known, draws=draws, seed=seed)
    if vectors is not None:
        asked += ask_embedding(vectors, found, truth, groups, asked, faults, (draws, seed))
    judged = _judged(rows, tuple(predictions), found, (draws, seed)) if "subgroups" in parts else ()
    gap, curve = _forest(rows, numbers, (draws, seed), step) if "forest" in parts else (None, None)
    facts = {
        "rows": len(table), "rows_in_all": len(manifest.table), "groups": int(groups.max()) + 1, "classes": classes,
        "draws": draws, "seed": seed, "simulated": simulated(table), "unread": len(unread),
        "group": rows.origin.get("group", ""), "embedding": vectors is not None, "folder": str(rows.folder),
    }  # fmt: skip
    return Audit(tuple(asked), faults, left, facts, gap, curve, judged)


def examine(
    found: Sequence[Suspect], truth: Values, classes: Sequence[str], groups: Codes, *, known: bool = True,
    draws: int = DRAWS, seed: int = 0,
) -> tuple[list[Row], tuple[Fault, ...]]:  # fmt: skip
    """Ask every suspect for the truth (N, Q) in the groups (N,): the rows of the audit, and faults of the design.

    `classes` are the names of the truth's columns, none where it is a number.

    >>> truth = np.eye(2)[np.tile([0, 1], 80)]
    >>> plate = np.array(["left", "right"] * 80, dtype=object)
    >>> rows, faults = examine([Suspect("plate", "technical", truth, plate)], truth, ("a", "b"), np.arange(160) // 10)
    >>> rows[0].rule, faults[0].rule
    ('shortcut', 'inseparable')
    """
    labels = np.array(classes, dtype=object)[truth.argmax(1)] if classes else None
    faults = design_faults(found, labels, groups, known) if labels is not None else _unknown(known)
    rows = _asked(LABEL, found, truth, groups, (draws, seed))
    return rows, faults


def ask_embedding(
    vectors: Values, found: Sequence[Suspect], truth: Values, groups: Codes, before: Sequence[Row],
    faults: Sequence[Fault], chance: tuple[int, int],
) -> list[Row]:  # fmt: skip
    """Ask the embedding (N, D) for every suspect, given the class; `before` and `faults` say which are shortcuts."""
    grave = {row.suspect for row in before if row.mark == "bad"} | {f.about for f in faults if f.mark == "bad"}
    seen = embedded.given_class(vectors, truth)
    return _asked(EMBEDDING, embedded.readable(found), seen, groups, chance, grave)


def _asked(
    asked: str, found: Sequence[Suspect], other: Values, groups: Codes, chance: tuple[int, int],
    grave: set[str] | frozenset[str] = frozenset(),
) -> list[Row]:  # fmt: skip
    """A row a suspect, corrected for all of them together."""
    tests: dict[int, Outcome] = {}
    why: dict[int, str] = {}
    for number, suspect in enumerate(found):
        x, y = (suspect.values, other) if asked == LABEL else (other, embedded.wanted(suspect))
        level = level_of(x, y, groups)
        if is_groups(suspect, groups):
            why[number] = "it is the groups in other words: the split by group keeps it apart, and no test can"
        elif not level:
            why[number] = "too few groups, or too few ways to deal their values, for any p to be small"
        else:
            tests[number] = association(x, y, groups, level, *chance)
    raw, family = family_wise(list(tests.values()))
    both = dict(zip(tests, zip(raw, family, strict=True), strict=True))
    rows = []
    for number, suspect in enumerate(found):
        if number in why:
            rows.append(Row(suspect.name, suspect.kind, asked, "", "untested", why[number]))
            continue
        test, (p, corrected) = tests[number], both[number]
        few = len(test.null) + 1 < len(tests) / LEVEL
        rule = rule_of(suspect.kind, asked, (p, corrected), test.concordance, shortcut=suspect.name in grave, few=few)
        words = told(rule, suspect.name, test.level, test.concordance, corrected)
        rows.append(Row(suspect.name, suspect.kind, asked, test.level, rule, words, test.concordance, p, corrected))
    return rows


def _unknown(known: bool) -> tuple[Fault, ...]:
    what = "the groups are unknown: every image is taken as independent"
    return () if known else (Fault("groups-unknown", what, "name what images come from with --group"),)


def _usable(manifest: Manifest, most: int, seed: int) -> Manifest:
    """The rows with a truth, at most so many, evenly from the groups."""
    where = str(manifest.folder)
    if "truth" not in manifest.table:
        raise ManifestError("the table has no truth to be told", where, "name its column with --truth")
    kind = manifest.kinds.get("truth", "category")
    if kind not in ("category", "ordinal", "number"):
        raise ManifestError(f"the truth is a {kind}: only classes and numbers can be audited", where,
                            "name another column with --truth")  # fmt: skip
    rows = manifest.where(manifest.table["truth"].notna())
    if rows.table["truth"].nunique() < 2:
        raise ManifestError("the truths are all alike: nothing can be confounded with them", where,
                            "give rows of at least two classes")  # fmt: skip
    rows = rows.where(evenly(rows.table["group"], most, seed).tolist())
    return replace(rows, table=rows.table.reset_index(drop=True))


def by_origin(
    rows: Manifest, *, predictions: Sequence[str] = (), draws: int = DRAWS, seed: int = 0
) -> tuple[Subgroups, ...]:
    """The first prediction by donor, sex, line, plate, as the columns are called; () without predictions."""
    return _judged(rows, tuple(predictions), suspects(rows.table)[0], (draws, seed))


def _judged(
    rows: Manifest, predictions: Sequence[str], found: Sequence[Suspect], chance: tuple[int, int]
) -> tuple[Subgroups, ...]:
    table = rows.table
    columns = predictions or (("prediction",) if "prediction" in table else ())
    about = [str(name) for name in table if _subgroup(str(name), found)]
    if not columns or not about:
        return ()
    return subgroups(rows, about, prediction=columns[0], draws=chance[0], seed=chance[1])


def _subgroup(name: str, found: Sequence[Suspect]) -> bool:
    """Whether a column is one of people, lines or batches by which a model's figures are to be told apart."""
    return kind_of(name) in (BIOLOGICAL, TECHNICAL) and any(
        suspect.name == name and suspect.names is not None for suspect in found)  # fmt: skip


def _forest(
    rows: Manifest, numbers: pd.DataFrame, chance: tuple[int, int],
    step: Callable[[str], Callable[[int, int], object] | None],
) -> tuple[forest.Gap | None, forest.Curve | None]:  # fmt: skip
    """The gap and the curve, on the rows whose pictures could be measured."""
    names = [name for name in numbers if str(name).startswith(tuple(f"{family}." for family in FAMILIES))]
    if not names:
        return None, None
    values = numbers[names].to_numpy(np.float64)
    whole = np.isfinite(values).all(axis=1) & evenly(rows.table["group"], FOREST_ROWS, chance[1])
    seen = np.flatnonzero(whole)
    kept = rows.where(whole.tolist())
    table = kept.table
    if len(seen) < FEWEST_ROWS or table["truth"].nunique() < 2:
        return None, None
    ground = forest.Ground(table, values[seen], rows.kinds.get("truth", "category") != "number", chance[1])
    plate = next((str(name) for name in table if plain(str(name)) in (*PLATE, "date", "day", "batch")), "")
    gap = forest.gap_of(ground, kept, plate, chance[0], step("forest: leaving plates out")) if plate else None
    well = next((str(name) for name in table if plain(str(name)) in ("well", "wellid")), "")
    return gap, forest.curve_of(ground, kept, well, chance[0], step("forest: learning curves"))


def _step(progress: Progress | None) -> Callable[[str], Callable[[int, int], object] | None]:
    def of(what: str) -> Callable[[int, int], object] | None:
        return None if progress is None else lambda done, total: progress(done, total, what)

    return of
