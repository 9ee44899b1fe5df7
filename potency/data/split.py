"""Divides groups into folds and parts so that every class stands in each where the groups allow it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from potency.data.columns import WHOLE
from potency.data.folders import natural
from potency.errors import ManifestError

KINDS = ("stratified", "leave-one-out", "time", "external", "random")
_TIME = ("time", "date", "day", "hour", "timepoint", "frame")
EXTERNAL = -1
FILED = "truth in files"  # what the truth is called where it must not be balanced


def balanced(table: pd.DataFrame, kinds: Mapping[str, str]) -> pd.DataFrame:
    """The table as a split sees it, which balances truths: but not files and sets, each of which is one of its kind."""
    return table.rename(columns={"truth": FILED}) if kinds.get("truth") in WHOLE else table


def strata(truth: pd.Series | None, rows: int, bins: int = 5) -> NDArray[np.int64]:
    """A class number a row; numbers are cut at their quantiles, rows without truth are -1.

    >>> strata(pd.Series(["b", "a", None]), 3).tolist()
    [1, 0, -1]
    """
    if truth is None:
        return np.zeros(rows, dtype=np.int64)
    if pd.api.types.is_numeric_dtype(truth) and not pd.api.types.is_bool_dtype(truth):
        cuts = max(1, min(bins, int(truth.notna().sum()) // 4))
        ranks = truth.rank(method="first", pct=True).to_numpy(dtype=np.float64)
        return np.where(np.isnan(ranks), -1, np.ceil(np.nan_to_num(ranks) * cuts) - 1).astype(np.int64)
    return pd.factorize(truth, sort=True)[0].astype(np.int64)


def assign(counts: NDArray[np.float64], shares: NDArray[np.float64], seed: int) -> NDArray[np.int64]:
    """Put each group into a part so that each part gets its share of every class and, above all, some of every class.

    Args:
        counts: (groups, classes), the number of rows of a class in a group.
        shares: (parts,), adding to one; where a class cannot reach all parts, the largest come first.
        seed: decides between equals.

    Returns:
        (groups,) the number of the part.

    >>> assign(np.ones((4, 1)), np.array([0.5, 0.5]), seed=0).tolist().count(0)
    2
    """
    rng = np.random.default_rng(seed)
    totals = np.maximum(counts.sum(axis=0), 1)
    goal = shares[:, None] * totals
    weight = 1.0 / totals**2
    rarity = 1.0 / np.maximum((counts > 0).sum(axis=0), 1)
    # A class absent from a part outweighs any imbalance; absent from the largest part (where one learns) most.
    want = 10.0 * (1 + shares / shares.max())
    state = np.zeros_like(goal)
    order = _order(counts * np.sqrt(weight), rarity, rng)
    part = np.zeros(len(counts), dtype=np.int64)
    for group in order:
        row = counts[group]
        rise = (weight * row * (2 * (state - goal) + row)).sum(axis=1)
        gain = want * (((state == 0) & (row > 0)) * rarity).sum(axis=1)
        score = rise - gain
        part[group] = int(rng.choice(np.flatnonzero(score <= score.min() + 1e-12)))
        state[part[group]] += row
    if len(counts) <= 4000:
        _improve(counts, goal, weight, want, (part, state), rng)
    return part


def _order(scaled: NDArray[np.float64], rarity: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.int64]:
    """Groups that hold the rarest class first, and among equals the large before the small."""
    rarest = np.where(scaled > 0, rarity, 0).max(axis=1, initial=0)
    return np.lexsort((rng.random(len(scaled)), -scaled.sum(axis=1), -np.round(rarest, 9)))


def _improve(counts: NDArray[np.float64], goal: NDArray[np.float64], weight: NDArray[np.float64],
             want: NDArray[np.float64], made: tuple[NDArray[np.int64], NDArray[np.float64]],
             rng: np.random.Generator) -> None:
    """Move single groups and swap pairs while that lowers the cost; works in place and ends after few rounds."""
    part, state = made

    def cost(rows: NDArray[np.float64], of: NDArray[np.int64]) -> NDArray[np.float64]:
        return np.asarray((weight * (rows - goal[of]) ** 2).sum(axis=-1) + want[of] * (rows == 0).sum(axis=-1))

    parts = np.arange(len(goal))
    for _ in range(10):
        better = False
        now = cost(state, parts)
        for group in rng.permutation(len(counts)):
            home, row = int(part[group]), counts[group]
            # One move: this group to any other part. One swap: with any group of another part.
            moved = cost(state[home] - row, np.array(home)) - now[home] + cost(state + row, parts) - now
            moved[home] = 0.0
            away = int(moved.argmin())
            if moved[away] < -1e-9:
                state[home] -= row
                state[away] += row
                part[group] = away
            else:
                others = np.flatnonzero(part != home)
                others = rng.choice(others, 64, replace=False) if len(others) > 64 else others
                if not len(others):
                    continue
                change = counts[others] - row
                theirs = part[others]
                swapped = (cost(state[home] + change, np.full(len(others), home)) - now[home]
                           + cost(state[theirs] - change, theirs) - now[theirs])
                best = int(swapped.argmin())
                if swapped[best] >= -1e-9:
                    continue
                state[home] += change[best]
                state[theirs[best]] -= change[best]
                part[group], part[others[best]] = theirs[best], home
            now = cost(state, parts)
            better = True
        if not better:
            return


def _table(groups: pd.Series, classes: NDArray[np.int64]) -> tuple[NDArray[np.float64], list[str], NDArray[np.int64]]:
    """Rows of each class in each group, the groups in natural order, and the group number of each row."""
    names = sorted(groups.unique(), key=natural)
    number = groups.map({name: index for index, name in enumerate(names)}).to_numpy(dtype=np.int64)
    counts = np.zeros((len(names), max(1, int(classes.max(initial=0)) + 1)))
    known = classes >= 0
    np.add.at(counts, (number[known], classes[known]), 1)
    return counts, names, number


def make_folds(frame: pd.DataFrame, groups: pd.Series, folds: int, seed: int, kind: str) -> tuple[pd.Series, str]:
    """A fold number a row (-1 for external rows) and a sentence that says how it was made.

    Raises:
        ManifestError: unknown kind, fewer than two folds possible, a class with fewer than two groups.
    """
    outside = frame["split"].eq("external").to_numpy() if "split" in frame.columns else np.zeros(len(frame), bool)
    if kind == "external" and not outside.any():
        raise ManifestError("no row is marked as external", "column 'split'",
                            "write external in the column split of the rows that stay out")
    inside = frame[~outside]
    fold = pd.Series(EXTERNAL, index=frame.index, dtype="int64")
    groups = groups[~outside] if kind != "random" else pd.Series(inside["image"].index.astype("str"), inside.index)
    classes = strata(inside.get("truth"), len(inside))
    counts, names, number = _table(groups, classes)
    if len(names) < 2:
        raise ManifestError("all rows belong to one group, so nothing can be held out", f"group '{names[0]}'",
                            "add images of a second donor, clone, plate or day, or name the right column: --group")
    if kind == "leave-one-out":
        fold[~outside] = number
        return fold, f"leave-one-out: {len(names)} folds, one group each"
    if kind == "time":
        blocks, note = _time_blocks(inside, number, len(names), folds)
        fold[~outside] = blocks
        return fold, note
    made, why = _possible(counts, inside.get("truth"), classes, folds)
    fold[~outside] = assign(counts, np.full(made, 1 / made), seed)[number]
    what = {"random": f"random: {made} folds over single images, groups ignored"}.get(
        kind, f"{kind}: {made} folds over {len(names)} groups")
    return fold, what + (f", {int(outside.sum())} external rows stay out" if outside.any() else "") + why


def _possible(counts: NDArray[np.float64], truth: pd.Series | None, classes: NDArray[np.int64],
              folds: int) -> tuple[int, str]:
    if folds < 2:
        raise ManifestError(f"{folds} folds leave nothing to learn from or to test on", "", "ask for two folds or more")
    holding = (counts > 0).sum(axis=0)
    number = truth is None or pd.api.types.is_numeric_dtype(truth)
    names = {} if truth is None or number else {int(classes[at]): str(truth.iloc[at])
                                               for at in np.unique(classes, return_index=True)[1]}
    single = [names[int(index)] for index in np.flatnonzero(holding < 2) if int(index) in names]
    if single:
        raise ManifestError("these classes have fewer than two groups: " + ", ".join(single), "column 'group'",
                            "add groups of them, or leave them out: --classes "
                            + ",".join(name for index, name in sorted(names.items()) if name not in single))
    limit = len(counts) if number else min(len(counts), int(holding[holding > 0].min(initial=len(counts))))
    if limit >= folds:
        return folds, ""
    least = next((f"class '{name}' has {limit} groups" for index, name in names.items() if holding[index] == limit), "")
    return limit, f" ({folds} were asked; {least or f'there are {limit} groups'})"


def _time_blocks(frame: pd.DataFrame, number: NDArray[np.int64], groups: int,
                 folds: int) -> tuple[NDArray[np.int64], str]:
    """Blocks of groups in order of their mean time; the first block (-1) is only ever learned from."""
    column = next((name for name in _TIME if name in frame.columns), None)
    if column is None:
        raise ManifestError("a split in time needs a column with the time", "columns: " + ", ".join(frame.columns),
                            "name it time, date, day or frame")
    time = frame[column]
    if not pd.api.types.is_numeric_dtype(time):
        time = pd.to_datetime(time, errors="coerce").astype("int64").where(lambda value: value > -(2**62))
    mean = time.astype("float64").groupby(number).mean()
    if mean.isna().any():
        raise ManifestError("some groups have no time", f"column '{column}'", "fill it or leave the rows out")
    made = min(folds, groups - 1)
    rank = mean.rank(method="first").to_numpy(dtype=np.int64) - 1
    block = np.asarray(rank * (made + 1) // groups - 1, dtype=np.int64)
    return block[number], f"time: {made} folds by '{column}', each learned from what came before it"


def make_parts(frame: pd.DataFrame, k: int, validation: float, seed: int, *, by: str, in_time: bool) -> pd.DataFrame:
    """The rows with `split`: test is fold k, whole groups (column `by`; "" for single rows) of the rest validate.

    Raises:
        ManifestError: no folds yet, no fold k, a share of validation that is no share.
    """
    if "fold" not in frame.columns:
        raise ManifestError("the rows have no folds yet", "column 'fold'", "call split() first")
    outside = frame["split"].eq("external") if "split" in frame.columns else pd.Series(False, index=frame.index)
    known = sorted(set(frame["fold"][~outside]) - {EXTERNAL})
    if k not in known:
        raise ManifestError(f"there is no fold {k}", "column 'fold'", f"folds: {known}")
    if not 0 <= validation < 1:
        raise ManifestError(f"{validation} is not a share of the rows", "fold(validation=...)", "give 0 to below 1")
    if in_time:
        frame = frame[outside | (frame["fold"] <= k)]
        outside = outside[frame.index]
    part = pd.Series("train", index=frame.index, dtype="str")
    part[outside] = "external"
    part[~outside & frame["fold"].eq(k)] = "test"
    rest = frame[part.eq("train")]
    groups = rest[by].astype("str") if by else pd.Series(rest.index.astype("str"), rest.index)
    if validation > 0 and groups.nunique() > 1:
        counts, _, number = _table(groups, strata(rest.get("truth"), len(rest)))
        chosen = assign(counts, np.array([1 - validation, validation]), seed)
        part[rest.index] = np.where(chosen[number] == 1, "validation", "train")
    return frame.assign(split=part).reset_index(drop=True).rename(columns={FILED: "truth"})
