"""Points of many dimensions on a plane: principal components always, t-SNE, and UMAP where it is installed."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec

import numpy as np
from numpy.typing import NDArray

from potency.errors import MissingExtra, PlanError, nearest

Values = NDArray[np.float32]
FIRST = 50  # principal components that t-SNE and UMAP look at (van der Maaten and Hinton 2008)
PERPLEXITY = 30.0
NEIGHBOURS = 15


@dataclass(frozen=True)
class Layout:
    """Places (N, 2) of points, and what must be known to read them."""

    name: str
    title: str
    places: Values
    note: str


def components(values: Values, most: int = FIRST) -> tuple[Values, NDArray[np.float64]]:
    """The principal components (N, <= most) of points (N, F), and the share of the variance of each.

    The sign of a component is chosen so that its largest loading is positive: the same points give the same picture.

    >>> line = np.arange(6, dtype=np.float32)[:, None] * [[3.0, 4.0]]
    >>> scores, shares = components(line)
    >>> scores[:, 0].round(3).tolist(), shares.round(3).tolist()
    ([-12.5, -7.5, -2.5, 2.5, 7.5, 12.5], [1.0])
    """
    centred = values.astype(np.float64) - values.mean(0, dtype=np.float64)
    if len(centred) > centred.shape[1]:  # from the smaller of the two square matrices
        power, axes = np.linalg.eigh(centred.T @ centred)
        power, axes = power[::-1], axes[:, ::-1]
    else:
        _, sizes, rows = np.linalg.svd(centred, full_matrices=False)
        power, axes = sizes**2, rows.T
    total = float(power.clip(0).sum())
    keep = max(1, min(most, int((power > 1e-10 * max(total, 1e-300)).sum())))
    axes = axes[:, :keep]
    axes = axes * np.sign(axes[np.abs(axes).argmax(0), np.arange(keep)])
    shares = power[:keep].clip(0) / total if total > 0 else np.zeros(keep)
    return np.asarray(centred @ axes, np.float32), shares


def _pca(values: Values, seed: int) -> Layout:
    scores, shares = components(values, 10)
    places = np.zeros((len(values), 2), np.float32)
    places[:, : min(2, scores.shape[1])] = scores[:, :2]
    first = ", ".join(f"{100 * share:.0f} %" for share in shares[:2])
    note = (
        f"The two axes hold {first} of the variance, the first ten {100 * shares.sum():.0f} %. Distances are true as "
        "far as these axes go; what the others hold is not seen."
    )
    return Layout("pca", "principal components", places, note)


def _tsne(values: Values, seed: int) -> Layout:
    from sklearn.manifold import TSNE

    scores = components(values)[0]
    perplexity = min(PERPLEXITY, max(1.0, (len(scores) - 1) / 3))
    start = np.zeros((len(scores), 2), np.float32)
    start[:, : min(2, scores.shape[1])] = scores[:, :2]
    start *= 1e-4 / max(float(start[:, 0].std()), 1e-12)
    found = TSNE(2, perplexity=perplexity, init=start, random_state=seed).fit_transform(scores)
    note = (
        f"t-SNE (van der Maaten and Hinton 2008), perplexity {perplexity:.0f}, seed {seed}: near points are alike; "
        "sizes of clusters and distances between them mean nothing, and noise can look like clusters."
    )
    return Layout("tsne", "t-SNE", np.asarray(found, np.float32), note)


def _umap(values: Values, seed: int) -> Layout:
    if not find_spec("umap"):
        raise MissingExtra("umap-learn", "embed")
    scores = components(values)[0]
    count = max(2, min(NEIGHBOURS, len(scores) - 1))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of numba and of few points; the note says what there is to know
        made = import_module("umap").UMAP(n_neighbors=count, random_state=seed, n_jobs=1)  # an extra: never required
        mapped = made.fit_transform(scores)
    note = (
        f"UMAP (McInnes 2018), {count} neighbours, seed {seed}: near points are alike; sizes of clusters and distances "
        "between them mean little."
    )
    return Layout("umap", "UMAP", np.asarray(mapped, np.float32), note)


LAYOUTS: Mapping[str, Callable[[Values, int], Layout]] = {"pca": _pca, "tsne": _tsne, "umap": _umap}


def layouts(values: Values, names: Sequence[str] = (), seed: int = 0) -> list[Layout]:
    """Points (N, F) on a plane in the ways asked for; by default all that can be done here.

    Raises:
        PlanError: there is no such layout, or fewer than three points. MissingExtra: UMAP was asked for by name.
    """
    for name in names:
        if name not in LAYOUTS:
            raise PlanError(f"there is no layout {name!r}", "--layout", nearest(name, LAYOUTS))
    if len(values) < 3:
        raise PlanError(f"a map of {len(values)} points says nothing", "rows", "give three rows or more")
    usual = [name for name in LAYOUTS if name != "umap" or find_spec("umap")]
    chosen = dict.fromkeys(["pca", *names] if names else usual)
    return [LAYOUTS[name](values, seed) for name in chosen]
