"""Where a recipe's images come from: the user's own, the nearest real relative at hand, the simulated world."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from potency.errors import ManifestError

if TYPE_CHECKING:
    from potency.data.manifest import Manifest
    from potency.systems.recipe import Order

SEED = 0
TRUTHS = {  # what the user's own images may teach, by the kind of answer
    "category": "a class for each image", "labelset": "several classes for each image",
    "number": "a number for each image", "labels": "an outline of every object",
    "regions": "a class for every pixel", "objects": "points or boxes",
}  # fmt: skip


@dataclass(frozen=True)
class Relative:
    """The nearest real images at hand for a system whose own are not: a folder of the collection, and what they are."""

    folder: str  # within the collection that --data or POTENCY_DATA names
    about: str
    classes: tuple[str, ...] = ()  # those that are used, in this order; empty: all
    rows: Callable[[Path], Manifest] | None = None  # reads the folder; None: as it is read for any user


@dataclass(frozen=True)
class Source:
    """Rows with a truth, and a sentence or two that say whose images they are."""

    manifest: Manifest
    about: str
    own: bool = False  # the user's own, not those of a relative


def real(
    order: Order, relative: Relative, channels: Sequence[str] = (), own_channels: Sequence[str] = (), truth: str = ""
) -> Source | None:
    """The real rows of an order: the relative in a collection, or the table or folder that the user names; else None.

    `channels` are parallel folders of the relative that make one image, `own_channels` those of the user's folder.
    `truth` is the kind of answer that the user's own images must teach, a key of `TRUTHS`; "": any.

    Raises:
        ManifestError: no such folder, fewer than two classes in it, or another kind of truth.
    """
    from potency.data.manifest import Manifest

    if order.data is None:
        return None
    if not order.data.exists():
        raise ManifestError("there is no such folder", str(order.data), "check the path given as --data")
    folder = order.data if order.data.name == Path(relative.folder).name else order.data / relative.folder
    if folder.is_dir():
        read = relative.rows or partial(Manifest.read, classes=relative.classes, channels=channels)
        found = read(folder)
        return Source(sampled(found, order.budget.rows), relative.about)
    if (order.data / relative.folder).parent.is_dir():  # a collection, but without this one
        order.say(f"{order.data} holds no {relative.folder}: no real images are used")
        return None
    found = Manifest.read(order.data, channels=own_channels)
    if found.kinds.get("truth") == "category" and len(found.classes) < 2:
        raise ManifestError("a class to learn is missing", str(order.data), "give images of at least two classes")
    kind = found.kinds.get("truth", "")
    kind = "regions" if kind == "labels" and "truth.classes" in found.table else kind  # until a task asks for them
    told = f"classes {', '.join(found.classes)}" if found.classes else TRUTHS.get(kind, "no truth")
    if truth and kind != truth:
        raise ManifestError(f"this system learns from {TRUTHS[truth]}; given: {told}", str(order.data),
                            "give a table with the columns image, truth (the file of each image's truth) and group")
    groups = found.origin.get("group", "unknown")
    about = f"Images of {order.data}, as given: {told}; groups: {groups}."
    return Source(sampled(found, order.budget.rows), about, own=True)


def sampled(manifest: Manifest, rows: int, seed: int = SEED) -> Manifest:
    """At most about `rows` of the rows, drawn at random; 0 means all. Each part of a divided table keeps its share."""
    if not rows or len(manifest) <= rows:
        return manifest
    drawn = np.random.default_rng(seed).permutation(len(manifest))
    if "split" not in manifest.table:
        return manifest.where((drawn < rows).tolist())
    parts = manifest.table["split"].astype(str).to_numpy()
    chosen = np.zeros(len(manifest), np.bool_)
    for part in np.unique(parts):
        own = np.flatnonzero(parts == part)
        chosen[own[np.argsort(drawn[own])[: -(-rows * len(own) // len(manifest))]]] = True
    return manifest.where(chosen.tolist())


def simulated(place: Path, order: Order, what: str, **settings: Any) -> Manifest:
    """A simulated experiment in the folder `place`, drawn once: a run that goes on reads what is there."""
    from potency.data.manifest import Manifest
    from potency.simulate import simulate

    if (place / "parameters.json").is_file():
        return Manifest.read(place)
    order.say(f"simulating {what}")
    return simulate(place, seed=SEED, **settings)
