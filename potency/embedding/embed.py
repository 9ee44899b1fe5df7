"""The verb `embed`: a manifest and a bundle in, one vector a row out, by the networks of the bundle."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from potency.bundle import EstimatorMember, NetworkMember
from potency.data.manifest import Manifest
from potency.embedding.nearest import directions
from potency.errors import ManifestError, PlanError
from potency.inference.claim import claimed
from potency.inference.engine import running
from potency.inference.store import WHOLE, Store, fingerprint
from potency.inference.view import View, windows
from potency.inference.work import describe

if TYPE_CHECKING:
    from potency.bundle import Bundle

Progress = Callable[[int, int], object]
Crops = list[NDArray[Any]]
AT_ONCE = 256  # rows whose pixels are in memory together
CELLS = 256  # crops in one call of a network


def networks_of(bundle: Bundle) -> list[NetworkMember]:
    """The networks of a bundle, those that its estimators stand on included.

    Raises:
        PlanError: there is none, so there is no embedding.
    """
    found: list[NetworkMember] = []
    for member in bundle.members:
        if isinstance(member, NetworkMember):
            found.append(member)
        elif isinstance(member, EstimatorMember):
            found += member.features.networks
    if not found:
        raise PlanError(
            "the bundle holds no network, so it has no embedding", str(bundle.folder or "bundle"),
            "name a bundle that was trained with --network",
        )  # fmt: skip
    return found


def embed(
    manifest: Manifest,
    bundle: Bundle,
    *,
    into: str | Path | None,
    name: str = "embedding",
    progress: Progress | None = None,
) -> Manifest:
    """The embedding of every row; a row that fails keeps its error in `<name>.error`, the rest goes on.

    The vector is what a network pools before its last layer, mean over the views that the plan averages; several
    networks stand side by side, each in vectors of length 1 so that none outweighs another. A large image is seen in
    windows, as in `predict`, and has their mean.

    Args:
        manifest: the rows.
        bundle: networks, or an estimator that stands on some.
        into: folder of `embeddings.parquet` and of what is done already; None writes nothing.
        name: the column of vectors.
        progress: called with (rows done, rows in all).

    Returns:
        The manifest with the column `name`, a list of numbers (kind `vector`), and `<name>.error`.

    Raises:
        PlanError: the bundle holds no network. ManifestError: the name would replace another column.
        PotencyError: `into` cannot be written, or is in use by another process.
    """
    if name in manifest.table.columns and manifest.kinds.get(name) != "vector":
        raise ManifestError(f"the table has a column {name!r} already", "--name", "give the embeddings another name")
    networks = [running()(network) for network in networks_of(bundle)]
    folder = None if into is None else Path(into)
    with claimed(folder):
        store, rows = Store(None if folder is None else folder / "vectors"), manifest.records()
        keys = [fingerprint(f"{bundle.fingerprint} {name}", manifest.paths(row), [_part(row)]) for row in rows]
        left = [place for place, key in enumerate(keys) if key not in store.done]
        errors: dict[str, str] = {}
        for start in range(0, len(left), AT_ONCE):
            if progress is not None:
                progress(len(rows) - len(left) + start, len(rows))
            places = left[start : start + AT_ONCE]
            done = []
            for place, found in zip(places, _embedded(manifest, [rows[k] for k in places], networks), strict=True):
                if isinstance(found, str):
                    errors[keys[place]] = found
                else:
                    done.append((keys[place], WHOLE, {name: found.tolist()}))
            store.add(done)
        if progress is not None:
            progress(len(rows), len(rows))
        made = manifest.add(_columns(store.frame(keys), keys, errors, name), {name: "vector"})
        if folder is not None:
            store.compact()
            made.write(folder / "embeddings.parquet")
        return made


def _columns(found: pd.DataFrame, keys: Sequence[str], errors: Mapping[str, str], name: str) -> pd.DataFrame:
    cells: Any = found[name] if name in found else [None] * len(keys)
    vectors = [cell if isinstance(cell, list | np.ndarray) else None for cell in cells]
    told = pd.array([errors.get(key) for key in keys], dtype="str")
    return pd.DataFrame({name: pd.Series(vectors, dtype=object), f"{name}.error": told})


def _part(row: Any) -> list[Any]:
    return [row["id"], *(row.get(f"tile.{side}") for side in ("y", "x", "height", "width"))]


def _embedded(manifest: Manifest, rows: Sequence[Any], networks: Sequence[NetworkMember]) -> list[Any]:
    """A vector (float32) of each row, or its error in words."""
    pieces = list(_crops(manifest, rows, networks[0]))
    found: list[Any] = [piece if isinstance(piece, str) else None for piece in pieces]
    crops = [(place, crop) for place, piece in enumerate(pieces) if not isinstance(piece, str) for crop in piece]
    sums: dict[int, list[NDArray[np.float32]]] = {}
    for start in range(0, len(crops), CELLS):
        part = crops[start : start + CELLS]
        try:
            vectors: list[Any] = list(_vectors([crop for _, crop in part], networks))
        except Exception:  # one bad row must not cost the others theirs
            vectors = [_alone(crop, networks) for _, crop in part]
        for (place, _), vector in zip(part, vectors, strict=True):
            if isinstance(vector, str):
                found[place] = vector
            else:
                sums.setdefault(place, []).append(vector)
    for place, own in sums.items():
        found[place] = found[place] or np.mean(own, axis=0)
    return found


def _alone(crop: NDArray[Any], networks: Sequence[NetworkMember]) -> Any:
    try:
        return _vectors([crop], networks)[0]
    except Exception as fault:
        return describe(fault)


def _vectors(crops: Crops, networks: Sequence[NetworkMember]) -> NDArray[np.float32]:
    """(N, F) of crops (C, H, W), the networks side by side."""
    found = []
    for network in networks:
        told = network.outputs([{"image": crop} for crop in crops])
        if "embedding" not in told[0]:
            raise PlanError(
                f"the network {network.plan.network!r} gives no embedding", "plan.network", "choose an image-level one"
            )
        values = np.stack([output["embedding"] for output in told])
        if not np.isfinite(values).all():
            raise PlanError("the embedding holds not-a-number or infinity", "pixels", "look at the image with `check`")
        found.append(directions(values) if len(networks) > 1 else values)
    return np.concatenate(found, axis=1)


def _crops(manifest: Manifest, rows: Sequence[Any], network: NetworkMember) -> Iterator[Crops | str]:
    """The windows of each row as `predict` cuts them, or why it cannot be read."""

    def one(row: Any) -> Crops | str:
        try:
            view = View.of(manifest, row, network.plan)
            return [np.asarray(view.crop(tile)) for tile in windows(view.shape, network.plan)]
        except Exception as fault:  # readers raise whatever they like
            return describe(fault)

    with ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1)) as pool:  # decoders release the interpreter
        yield from pool.map(one, rows)


def vectors_in(manifest: Manifest, name: str = "embedding") -> tuple[NDArray[np.float32], NDArray[np.intp]]:
    """The vectors (N, F) of a table and the places of their rows; rows without one are left out.

    A column of lists, or all number columns that begin with the name, as in `audit`.

    Raises:
        ManifestError: there is no such column, or no row has a vector. AnswerError: vectors of different lengths.
    """
    from potency.confounding.embedding import embedding_of

    table = manifest.table
    listed = name in table.columns
    spread = any(str(column).startswith(f"{name}.") for column in table.columns)
    there = table[name].map(lambda cell: isinstance(cell, list | tuple | np.ndarray)) if listed else table["id"].notna()
    places = np.flatnonzero(there.to_numpy(bool) & (listed or spread))
    found = embedding_of(table.iloc[places].reset_index(drop=True), name) if len(places) else None
    if found is None or not len(found):
        raise ManifestError(
            f"no row has an embedding in column {name!r}", str(manifest.folder), "give a bundle, or use `embed` first"
        )
    return np.asarray(found, np.float32), places
