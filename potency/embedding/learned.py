"""Which training images look to a model most like a new one: what a bundle keeps of them, and the search among it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from potency.answers.category import as_label
from potency.bundle.gallery import LARGEST, Gallery
from potency.data.manifest import Manifest
from potency.embedding.embed import embed, vectors_in
from potency.embedding.nearest import NONE, directions, nearest_rows
from potency.embedding.sheet import pixels_of, thumbnail
from potency.errors import PlanError, PotencyError
from potency.inference.engine import accelerate

if TYPE_CHECKING:
    from potency.bundle import Bundle

MOST = 240  # images that a bundle keeps
SIDE = 64  # px of each
FEW = 200  # rows for which compiling a network takes longer than looking at them
SPARE = 2**16  # bytes of the gallery that are left to words


@dataclass(frozen=True)
class Alike:
    """A training image beside a new one.

    Attributes:
        place: its number in the gallery.
        label, group: its truth and its group.
        similarity: the cosine of the two embeddings; 1 is the same direction.
    """

    place: int
    label: str
    group: str
    similarity: float


def remembered(
    manifest: Manifest, bundle: Bundle, most: int = MOST, progress: Callable[[int, int], object] | None = None
) -> Gallery | None:
    """The training images that a bundle shall keep: of every class and group in turn, none of them twice.

    Args:
        manifest: the rows it learned from, with `truth`.
        bundle: the finished model.
        most: images at most; fewer where their embeddings are long, so that 2 MB are never passed.
        progress: called with (rows done, rows in all).

    Returns:
        None where the bundle has no network (so no embedding), or no image could be read.
    """
    rows = spread(manifest, most)
    try:
        fast = accelerate(bundle, engine="torch" if len(rows) < FEW else "auto")
        seen = embed(rows, fast, into=None, progress=progress)
        vectors, places = vectors_in(seen)
    except PotencyError:
        return None
    pictures, kept = [], []
    records = rows.records()
    for at, place in enumerate(places):
        try:
            pictures.append(thumbnail(pixels_of(rows, records[place]), SIDE))
            kept.append(at)
        except Exception:  # whatever a broken file does to a decoder, the others are kept
            continue
    if not kept:
        return None
    shown, chosen = np.stack(pictures), places[kept]
    grey = bool((shown == shown[..., :1]).all())
    shown = shown[..., 0] if grey else shown
    each = shown[0].nbytes + 2 * vectors.shape[1]
    room = max(1, min(len(kept), (LARGEST - SPARE) // each))
    truths = [as_label(records[place].get("truth")) for place in chosen[:room]]
    groups = [str(records[place].get("group", "")) if manifest.groups_known else "" for place in chosen[:room]]
    return Gallery(shown[:room], directions(vectors[kept[:room]]).astype(np.float16), tuple(truths), tuple(groups))


def spread(manifest: Manifest, most: int) -> Manifest:
    """So many rows with a truth: the classes in turn, each from one group after the other, always the same ones."""
    table = manifest.table[manifest.table["truth"].notna()]
    truth = table["truth"].astype(str)
    if manifest.kinds.get("truth") != "category" and truth.nunique() > most // 2:
        truth = truth.map(lambda _: "")  # numbers: no classes to take turns
    group = table["group"].astype(str) if "group" in table else truth
    within = table.groupby([truth, group], sort=False).cumcount()
    order = table.assign(truth_=truth, within_=within, group_=group)
    order = order.sort_values(["within_", "group_"], kind="stable")
    order = order.assign(turn_=order.groupby("truth_", sort=True).cumcount())
    chosen = order.sort_values(["turn_", "truth_"], kind="stable").index[:most]
    return manifest.where(manifest.table.index.isin(chosen).tolist())


def alike(made: Manifest, gallery: Gallery, count: int = 5) -> list[list[Alike]]:
    """The `count` training images most like each row that `embed` has looked at, the nearest first; [] for the rest.

    Raises:
        ManifestError: no row has an embedding. PlanError: the embeddings are those of another model.
    """
    vectors, places = vectors_in(made)
    if vectors.shape[1] != gallery.vectors.shape[1]:
        raise PlanError("the training images kept in the bundle are of another model", "the bundle",
                        "copy the bundle again")  # fmt: skip
    found = nearest_rows(vectors, gallery.vectors.astype(np.float32), count)
    told: list[list[Alike]] = [[] for _ in range(len(made))]
    for place, near, cosines in zip(places, found.rows, found.similarity, strict=True):
        told[int(place)] = [
            Alike(int(at), gallery.labels[at], gallery.groups[at], float(cosine))
            for at, cosine in zip(near, cosines, strict=True)
            if at != NONE
        ]
    return told
