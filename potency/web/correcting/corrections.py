"""Sets of corrections: which images of a person are looked at, in which order, and what became of each."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from potency.errors import PotencyError
from potency.web.correcting import held
from potency.web.jobs import Missing
from potency.web.sets import File, Sets
from potency.web.store import Row, Store, new_id

OPEN, DONE, SKIPPED = "open", "done", "skipped"
STATES = (OPEN, DONE, SKIPPED)
LABELS, CATEGORY = "labels", "category"
WHOLE = "0"  # the cell that an image as a whole is, in `classes`
LARGEST = 2**26  # pixels of an image whose outlines are corrected (8,192 x 8,192)


@dataclass(frozen=True)
class Correction:
    """One set of corrections.

    Attributes:
        kind: "labels" (outlines of cells) or "category" (a class for each image).
        model: whose answers are corrected; "" where nobody proposed anything.
        classes: that may be given: to cells, or to images.
        images: how many; of these `done`, `skipped` and `open`.
    """

    id: str
    title: str
    set: str
    kind: str
    model: str
    created: float
    classes: tuple[str, ...]
    facts: dict[str, Any]
    images: int
    done: int
    skipped: int

    @property
    def open(self) -> int:
        return self.images - self.done - self.skipped


@dataclass(frozen=True)
class Item:
    """One image of a set of corrections.

    Attributes:
        revision: counts every change; what is sent says which revision it was made on.
        classes: of cells by their number; of the image as a whole under "0".
        state: open, done or skipped.
        part: "learn" or "held": what the next model learns from, or is judged by; kept once it was decided.
        cells: how many there were when that was counted last.
        score: how much the model doubts its answer, by which the queue is ordered; None where nobody asked it.
        said: what the model answered: {"answer": ..., "probability": ...}.
    """

    id: str
    correction: str
    number: int
    file: str
    name: str
    revision: int
    classes: dict[str, str]
    state: str
    part: str
    cells: int | None
    score: float | None
    reason: str
    said: dict[str, Any]
    changed: float | None


@dataclass(frozen=True)
class Proposal:
    """What a model says of an image before a person looks: see `Item`; `mask` from the folder of the corrections."""

    score: float | None = None
    reason: str = ""
    said: Mapping[str, Any] = field(default_factory=dict)
    classes: Mapping[str, str] = field(default_factory=dict)
    mask: str = ""
    cells: int | None = None
    fresh: int = 1


class Corrections:
    """The sets of corrections of one person; those of others are not there."""

    def __init__(self, store: Store, owner: int) -> None:
        self.store, self.owner, self.sets = store, owner, Sets(store, owner)

    def make(self, set: str, kind: str, model: str = "", classes: Sequence[str] = (), **facts: Any) -> str:
        """Begin to correct a set of images; its id. Masks that lie beside images are no images of their own.

        Raises:
            PotencyError: none of the files is an image; classes that are odd.
        """
        found = self.sets.find(set)
        files = images_of(self.sets.files(set), kind)
        if not files:
            raise PotencyError("none of these files is an image that can be corrected", found.title,
                               "the list of the files says what is wrong with each")  # fmt: skip
        id = new_id()
        self.store.place("corrections", id).mkdir(parents=True)
        told = json.dumps({**facts, "classes": list(classes)})
        with self.store.writing() as base:
            base.execute('INSERT INTO corrections (id, owner, title, "set", kind, model, created, facts) VALUES '
                         "(?, ?, ?, ?, ?, ?, ?, ?)",
                         (id, self.owner, found.title, set, kind, model, time.time(), told))  # fmt: skip
            base.executemany(
                "INSERT INTO corrected (id, correction, number, file, name) VALUES (?, ?, ?, ?, ?)",
                [(new_id(), id, number, file.id, file.name) for number, file in enumerate(files)],
            )
        return id

    def find(self, id: str) -> Correction:
        """A set of corrections by its id.

        Raises:
            Missing: there is none, or it is somebody else's.
        """
        if found := self._listed(" AND corrections.id = ?", id):
            return found[0]
        raise Missing("there are no such corrections", id, "they may have been deleted; the list has the others")

    def all(self) -> list[Correction]:
        """All sets of corrections of this person, newest first."""
        return self._listed("")

    def items(self, id: str) -> list[Item]:
        """The images, in the order of the set."""
        self.find(id)
        return [_item(row) for row in self.store.rows("SELECT * FROM corrected WHERE correction = ? ORDER BY number",
                                                      id)]  # fmt: skip

    def item(self, id: str, item: str) -> Item:
        """One image of a set of corrections."""
        self.find(id)
        row = self.store.row("SELECT * FROM corrected WHERE correction = ? AND id = ?", id, item)
        if row is None:
            raise Missing("there is no such image among these corrections", item, "go back to the list")
        return _item(row)

    def file(self, id: str, item: Item) -> File:
        """The image itself; Missing where its set was deleted."""
        return self.sets.file(self.find(id).set, item.file)

    def order(self, id: str) -> list[Item]:
        """The queue: images that nobody looked at, the most doubtful first; then those that were skipped."""
        left = [item for item in self.items(id) if item.state != DONE]
        return sorted(left, key=lambda one: (one.state != OPEN, one.score is None, -(one.score or 0.0), one.number))

    def state(self, id: str, item: str, state: str, cells: int | None = None) -> None:
        """Say that an image is done, skipped, or open again."""
        if state not in STATES:
            raise PotencyError(f"an image cannot be {state[:20]!r}", "state", "one of " + ", ".join(STATES))
        self.item(id, item)
        self.store.change("UPDATE corrected SET state = ?, cells = coalesce(?, cells) WHERE id = ?", state, cells, item)

    def propose(self, item: str, said: Proposal) -> bool:
        """Keep what a model says of an image; False where a person was there first, whose work stays."""
        return bool(self.store.change(
            "UPDATE corrected SET score = ?, reason = ?, said = ?, classes = ?, mask = ?, begun = ?, cells = ?, "
            "\"next\" = ? WHERE id = ? AND revision = 0 AND state != 'done'",
            said.score, said.reason, json.dumps(dict(said.said)), json.dumps(dict(said.classes)), said.mask, said.mask,
            said.cells, said.fresh, item,
        ))  # fmt: skip

    def change(self, id: str, **columns: Any) -> None:
        """Change `model` or add to the facts of a set of corrections."""
        found = self.find(id)
        model = columns.pop("model", found.model)
        facts = json.dumps({**found.facts, **columns})
        self.store.change("UPDATE corrections SET model = ?, facts = ? WHERE id = ?", model, facts, id)

    def forget(self, id: str) -> None:
        """Delete a set of corrections, its masks and all their revisions; the images stay."""
        self.find(id)
        with self.store.writing() as base:
            base.execute("DELETE FROM edits WHERE item IN (SELECT id FROM corrected WHERE correction = ?)", (id,))
            base.execute("DELETE FROM corrected WHERE correction = ?", (id,))
            base.execute("DELETE FROM corrections WHERE id = ?", (id,))
        held.forget(str(self.store.place("corrections", id)))
        self.store.remove("corrections", id)

    def _listed(self, among: str, *values: object) -> list[Correction]:
        query = (
            "SELECT corrections.*, count(corrected.id) AS images, coalesce(sum(state = 'done'), 0) AS done, "
            "coalesce(sum(state = 'skipped'), 0) AS skipped "
            "FROM corrections LEFT JOIN corrected ON correction = corrections.id "
            f"WHERE owner = ?{among} GROUP BY corrections.id ORDER BY corrections.created DESC"
        )
        found = []
        for row in self.store.rows(query, self.owner, *values):
            facts = json.loads(row.pop("facts"))
            row = {name: row[name] for name in Correction.__dataclass_fields__ if name in row}
            found.append(Correction(**row, classes=tuple(facts.get("classes", ())), facts=facts))
        return found


def images_of(files: Sequence[File], kind: str) -> list[File]:
    """The files that are images to be corrected; for outlines without the masks beside them and what is too large."""
    good = [file for file in files if file.error is None and not file.facts.get("table")]
    if kind != LABELS:
        return good
    masks = {mask.id for mask in masks_of(good).values()}
    return [file for file in good if file.id not in masks and _size(file) <= LARGEST]


def masks_of(files: Sequence[File]) -> dict[str, File]:
    """Of each image the mask that was brought with it (`a_mask.png` beside `a.png`, `masks/a.tif`), by its id."""
    from pathlib import Path

    from potency.data.beside import truths_beside
    from potency.errors import ManifestError

    named = {file.name: file for file in reversed(files) if file.error is None and not file.facts.get("table")}
    try:
        left, found = truths_beside(list(named), list(named), Path())
    except ManifestError:  # nothing but Cellpose's pickles, which are no images either
        return {}
    masks: dict[str, File] = {}
    for column in [name for name in found.columns if name != "image"]:
        for image, mask in zip(left, found[column], strict=True):
            if isinstance(mask, str) and mask in named:
                masks.setdefault(named[image].id, named[mask])
    return masks


def shape_of(file: File) -> tuple[int, int]:
    """Height and width of an image in pixels."""
    sizes = dict(zip(file.facts["axes"], file.facts["shape"], strict=True))
    return int(sizes["Y"]), int(sizes["X"])


def _size(file: File) -> int:
    high, wide = shape_of(file)
    return high * wide


def _item(row: Row) -> Item:
    told = {name: json.loads(row[name]) for name in ("classes", "said")}
    return Item(**told, **{name: row[name] for name in Item.__dataclass_fields__ if name not in told})
