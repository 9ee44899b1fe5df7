"""The verb `similar`: which rows of a table look to a network most like each image."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from potency.data.manifest import Manifest
from potency.embedding.embed import vectors_in
from potency.embedding.nearest import NONE, Nearest, nearest_rows, votes
from potency.errors import ManifestError

SHOWN = ("truth", "group")
VOTERS = 15


def similar(
    manifest: Manifest, among: Manifest, count: int = 5, *, elsewhere: bool = False, name: str = "embedding"
) -> Manifest:
    """Add the `count` most similar rows of another embedded manifest, by the cosine of their embeddings.

    Args:
        manifest: embedded rows (see `embed`), the questions.
        among: embedded rows, those with labels or those that were learned from.
        count: how many of each; a row is never its own neighbour (the same `id`).
        elsewhere: leave out rows of a question's own group (clone, donor, plate).

    Returns:
        The manifest with `nearest.1` (the id), `nearest.1.similarity`, `nearest.1.truth`, `nearest.1.group`, and so on;
        missing where no row was allowed.

    Raises:
        ManifestError: no embeddings, or groups unknown where they matter. PlanError: another length of vectors.
    """
    if elsewhere and not (manifest.groups_known and among.groups_known):
        unknown = manifest if not manifest.groups_known else among
        raise ManifestError(
            "groups are unknown, so the own group cannot be left out", str(unknown.folder), "name it with --group"
        )
    queries, asked = vectors_in(manifest, name)
    keys, there = vectors_in(among, name)
    own, groups = places_of(manifest, asked, among, there), None
    if elsewhere:
        codes = pd.factorize(pd.concat([_cells(manifest, "group", asked), _cells(among, "group", there)]))[0]
        groups = (codes[: len(asked)], codes[len(asked) :])
    found = nearest_rows(queries, keys, count, own=own, groups=groups)
    return manifest.add(_columns(found, len(manifest), asked, among.table.iloc[there].reset_index(drop=True)))


def places_of(
    manifest: Manifest, asked: NDArray[np.intp], among: Manifest, there: NDArray[np.intp]
) -> NDArray[np.intp]:
    """Where each row stands among the others, by the file that it shows (and its id); -1 where it does not."""

    def names(rows: Manifest, places: NDArray[np.intp]) -> list[tuple[str, ...]]:
        records = rows.records()
        parts = ("t", "z", "series", "tile.y", "tile.x")
        return [
            (*(str(path.resolve()) for path in rows.paths(records[place]).values()),
             *(str(records[place].get(part, "")) for part in parts))
            for place in places
        ]  # fmt: skip

    known = {name: place for place, name in enumerate(names(among, there))}
    return np.array([known.get(name, NONE) for name in names(manifest, asked)], np.intp)


def _cells(rows: Manifest, column: str, places: NDArray[np.intp]) -> pd.Series:
    return rows.table[column].iloc[places].astype(str)


def _columns(found: Nearest, rows: int, asked: NDArray[np.intp], table: pd.DataFrame) -> pd.DataFrame:
    made: dict[str, pd.Series] = {}
    for rank in range(found.rows.shape[1]):
        places = found.rows[:, rank]
        there = places != NONE
        at, source = asked[there], table.iloc[places[there]]
        prefix = f"nearest.{rank + 1}"
        made[prefix] = pd.Series(source["id"].to_numpy(), index=at, dtype=object)
        made[f"{prefix}.similarity"] = pd.Series(found.similarity[there, rank].astype(float), index=at)
        for column in (column for column in SHOWN if column in table):
            made[f"{prefix}.{column}"] = pd.Series(source[column].to_numpy(), index=at)
    return pd.DataFrame({column: cells.reindex(range(rows)) for column, cells in made.items()})


def voted(manifest: Manifest, name: str = "embedding", count: int = VOTERS) -> Manifest:
    """Add `prediction@nearest`: what the nearest rows of other groups would answer, each row by the rest.

    A class by their votes (with its probabilities), a number by their mean; so `evaluate` judges the embedding beside
    the network, by held-out group. Where groups are unknown, a row itself is all that is held out.

    Raises:
        ManifestError: no truth, or no embedding.
    """
    if "truth" not in manifest.table:
        raise ManifestError("there is no truth to vote with", str(manifest.folder), "name its column with --truth")
    values, places = vectors_in(manifest, name)
    known = manifest.table["truth"].iloc[places].notna().to_numpy()
    if not known.any():
        raise ManifestError("no row with an embedding has a truth to vote with", str(manifest.folder),
                            "give rows whose truth is known")  # fmt: skip
    values, places = values[known], places[known]
    groups = pd.factorize(_cells(manifest, "group", places))[0]
    apart = (groups, groups) if manifest.groups_known else None
    found = nearest_rows(values, values, count, own=np.arange(len(values)), groups=apart)
    column, truth = "prediction@nearest", manifest.table["truth"].iloc[places]
    made = pd.DataFrame(index=range(len(manifest)))
    if manifest.kinds.get("truth") == "number":
        there = np.where(found.rows != NONE, truth.to_numpy(float)[found.rows], np.nan)
        made[column] = pd.Series(np.nanmean(there, axis=1) if len(there) else [], index=places)
        return manifest.add(made, {column: "number"})
    classes = manifest.classes or tuple(sorted(truth.astype(str).unique()))
    codes = np.array([classes.index(str(label)) for label in truth], np.intp)
    shares = votes(found, codes, len(classes))
    answered = np.isfinite(shares).all(1)
    named = np.array(classes, object)[np.where(answered, np.nan_to_num(shares).argmax(1), 0)]
    made[column] = pd.Series(named[answered], index=places[answered])
    for place, label in enumerate(classes):
        made[f"{column}.probability.{label}"] = pd.Series(shares[answered, place], index=places[answered])
    return manifest.add(made, {column: str(manifest.kinds.get("truth", "category"))})
