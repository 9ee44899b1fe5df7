"""What lies over an image in the viewer: kinds of work write it beside their results, the viewer draws it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from potency.data.whole import replaced
from potency.errors import PotencyError
from potency.web.jobs import Missing
from potency.web.views import table_of

FILE = "layers.json"
KINDS = ("labels", "map")
NUMBER, OF = "object", "tile.of"  # columns of a table of objects: its number, and the id of the file it is in


@dataclass(frozen=True, kw_only=True)
class Layer:
    """One layer of one image, as a job has written it.

    Attributes:
        name: in addresses; letters.
        title: for people.
        single: one of its objects, for people.
        kind: "labels": a label image of the size of the image, drawn as outlines, areas, or areas by class; "map":
            numbers from 0 to 1 (or -1 to 1), of any size, as of a relevance map.
        path: the file, from the folder of the job.
        objects: a table of what is known of each object (Parquet), from the folder of the job, with the columns
            `object` and `tile.of` (the id of the image's file); "" for none.
        t, z: the time and plane that it belongs to; None for all.
        on: whether it is shown at first.
        ends: of a map, what numbers below 0 and above 0 speak for.
        about: what it is and how it is read, in words; "" for nothing.
        says, fails: how it did in its tests, and which of them it fails; where it fails one it is not to be believed.
    """

    name: str
    title: str
    kind: str
    path: str
    single: str = "Object"
    objects: str = ""
    t: int | None = None
    z: int | None = None
    on: bool = True
    ends: Sequence[str] = ()
    about: str = ""
    says: Sequence[str] = ()
    fails: Sequence[str] = ()


def write(folder: Path, layers: Mapping[str, Sequence[Layer]]) -> None:
    """Write the layers of a job by the id of the file that they lie over.

    Raises:
        PotencyError: an unknown kind, or the disk is full.
    """
    for of in layers.values():
        if odd := [layer.kind for layer in of if layer.kind not in KINDS]:
            raise PotencyError(f"there is no kind of layer {odd[0]!r}", FILE, "one of " + ", ".join(KINDS))
    text = json.dumps({file: [layer.__dict__ for layer in of] for file, of in layers.items()})
    replaced(folder / FILE, text)


def read(folder: Path, file: str) -> list[Layer]:
    """The layers that a job has put over a file; none where it has no list."""
    try:
        told = json.loads((folder / FILE).read_text("utf-8"))
    except FileNotFoundError:
        return []
    return [Layer(**one) for one in told.get(file, [])]


def find(folder: Path, file: str, name: str) -> tuple[Layer, Path]:
    """A layer by its name, and its file.

    Raises:
        Missing: there is none.
    """
    for layer in read(folder, file):
        path = folder / layer.path
        if layer.name == name and path.exists() and path.resolve().is_relative_to(folder.resolve()):
            return layer, path
    raise Missing("there is no such layer", name[:40], "go back to the page of the job")


def objects(folder: Path, layer: Layer) -> Any:
    """The table of a layer's objects; None where it has none."""
    path = folder / layer.objects
    if not layer.objects or not path.is_file():
        return None
    return table_of(path, path.stat().st_mtime_ns)


def classes(folder: Path, layer: Layer, file: str) -> tuple[list[str], tuple[tuple[int, int], ...]]:
    """The classes of a layer's objects, and for each object (number, place of its class)."""
    table = objects(folder, layer)
    if table is None or "class" not in table:
        return [], ()
    names = sorted(map(str, table["class"].dropna().unique()))
    own = table[(table[OF].astype(str) == file) & table["class"].notna()]
    places = {name: place for place, name in enumerate(names)}
    numbers = own[NUMBER].astype(int).tolist()
    return names, tuple(zip(numbers, [places[str(name)] for name in own["class"]], strict=True))


def told(folder: Path, layer: Layer, file: str, number: int) -> dict[str, Any]:
    """What the table says of an object: name of the column -> value; {} for none."""
    table = objects(folder, layer)
    if table is None:
        return {}
    own = table[(table[OF].astype(str) == file) & (table[NUMBER] == number)]
    if not len(own):
        return {}
    row = own.iloc[0]
    return {str(name): row[name] for name in table if row[name] == row[name] and row[name] is not None}
