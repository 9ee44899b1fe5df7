"""The log of what was done to a mask: every change is kept with what was there before, so all can be undone."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from potency.errors import AnswerError, PotencyError
from potency.web.correcting import held, strokes
from potency.web.correcting.corrections import DONE, OPEN, WHOLE, Correction, Item, shape_of
from potency.web.correcting.held import Held
from potency.web.correcting.maskfiles import Patch, box_in, packed, patch, read, unpacked, write
from potency.web.correcting.operations import Now, Operation, do, named
from potency.web.correcting.strokes import Box, Labels
from potency.web.faults import Refused
from potency.web.sets import File
from potency.web.store import Row, Store

# Changes after which a mask is written anew, so that few need be done again when it is read; of a mask of more than a
# million pixels so many for each million, since writing it takes so much longer.
EVERY = 64
Changed = tuple[Box, Labels, Labels]  # a box of the mask, its pixels before and after
TRIES = 3  # at a change that another one came between


@dataclass(frozen=True)
class Fault:
    """An operation that could not be done, and why; those after it were."""

    key: str
    what: str
    where: str
    mend: str


@dataclass(frozen=True)
class Edited:
    """Where a mask stands after some operations.

    Attributes:
        revision: of the mask now.
        patches: what is new since the revision that the sender had.
        classes: of all cells.
        renamed: new cells that got another number than they were sent with.
        undo, redo: how many steps can be taken back, and done again.
        fresh: the number of the next new cell.
    """

    revision: int
    patches: list[Patch]
    classes: dict[str, str]
    refused: list[Fault]
    renamed: dict[str, int]
    undo: int
    redo: int
    fresh: int


class Edits:
    """The changes of one image's mask (or, without `file`, of its class)."""

    def __init__(self, store: Store, correction: Correction, item: Item, file: File | None) -> None:
        self.store, self.correction, self.item, self.file = store, correction, item, file

    @property
    def place(self) -> Path:
        """Where masks lie."""
        return self.store.place("corrections", self.correction.id)

    def labels(self) -> Labels:
        """The mask as it is now, of its own in memory."""
        with self.mask() as (now, _):
            return now.labels.copy()

    @contextlib.contextmanager
    def mask(self) -> Iterator[tuple[Held, Row]]:
        """The mask as it is now, held in memory, for one at a time, and its row; the image must have a mask."""
        rows: list[Row] = []

        def load(known: Held | None) -> Held:
            rows.append(self._row())
            return self._loaded(known, rows[0])

        with held.in_hand((str(self.place), self.item.id), load) as now:
            yield now, rows[0]

    def _loaded(self, known: Held | None, row: Row) -> Held:
        """A mask at the revision of its row: what is in memory with the changes since, or what lies on the disk."""
        assert self.file is not None
        if known is None or known.revision > row["revision"] or known.begun != row["begun"]:
            known = Held(read(self.place, row["mask"], shape_of(self.file)), row["snapshot"], row["begun"])
        query = (
            "SELECT box, after FROM edits WHERE item = ? AND number > ? AND number <= ? AND box != '' ORDER BY number"
        )
        for edit in self.store.rows(query, self.item.id, known.revision, row["revision"]):
            strokes.put(known.labels, (box_in(edit["box"]), unpacked(box_in(edit["box"]), edit["after"])))
        known.revision = row["revision"]
        return known

    def state(self, since: int | None = None, **told: Any) -> Edited:
        """How the mask stands, with what is new since a revision."""
        done, again = self._steps()
        found: dict[str, Any] = {"patches": [], "refused": [], "renamed": {}, **told}
        if since is None or self.file is None:
            row = self._row()
        else:
            with self.mask() as (now, row):
                found["patches"] = self._patches(since, row, now.labels)
        return Edited(row["revision"], classes=json.loads(row["classes"]), undo=len(done), redo=len(again),
                      fresh=row["next"], **found)  # fmt: skip

    def apply(self, base: int, operations: Sequence[Operation], person: int) -> Edited:
        """Do some operations that were made on revision `base`; all that is done is on the disk when this returns.

        Raises:
            Refused: the mask is not what it was at that revision; nothing was done then.
        """
        refused: list[Fault] = []
        told: dict[str, int] = {}
        for _ in range(TRIES):
            with contextlib.suppress(_Overtaken), self._in_turn() as (mask, row):
                new = self._unknown(base, row, operations)
                if not new:
                    break
                now = Now(mask.labels if mask is not None else None, json.loads(row["classes"]), row["next"],
                          self.correction.classes)  # fmt: skip
                rows, refused = self._done(new, now, row["revision"], person)
                if not self._kept(row["revision"], rows, now):
                    raise _Overtaken  # what is in memory has changes that were not kept: it is read again
                if mask is not None:
                    mask.revision += len(rows)
                    self._snapshot(mask.labels)
                told = {str(old): fresh for old, fresh in now.renamed.items() if old != fresh}
                break
        else:
            raise self._conflict(base, self._row()["revision"])
        return self.state(base, refused=refused, renamed=told)

    @contextlib.contextmanager
    def _in_turn(self) -> Iterator[tuple[Held | None, Row]]:
        """The mask and the row; of an image that has but a class no mask."""
        if self.file is None:
            yield None, self._row()
            return
        with self.mask() as found:
            yield found

    def _unknown(self, base: int, row: Row, operations: Sequence[Operation]) -> list[Operation]:
        """The operations that were not done yet: an answer may have been lost on its way."""
        sent = list(dict.fromkeys(one.key for one in operations))
        query = 'SELECT "key" FROM edits WHERE item = ? AND number > ?'
        since = {found["key"] for found in self.store.rows(query, self.item.id, base)}
        if base > row["revision"] or since - set(sent):
            raise self._conflict(base, row["revision"])
        query = f'SELECT "key" FROM edits WHERE item = ? AND "key" IN ({", ".join("?" * len(sent))})'
        known = {found["key"] for found in self.store.rows(query, self.item.id, *sent)}
        first = {one.key: one for one in reversed(operations)}
        return [first[key] for key in sent if key not in known]

    def _conflict(self, base: int, now: int) -> Refused:
        what = f"this mask was changed elsewhere meanwhile: it is at change {now}, yours was made at change {base}"
        return Refused(409, what, self.item.name, "load the newer mask; your strokes are kept and can be put on it")

    def _done(
        self, operations: Sequence[Operation], now: Now, revision: int, person: int
    ) -> tuple[list[Row], list[Fault]]:
        """The rows of the log for some operations, done to `now`; and those that could not be done."""
        rows: list[Row] = []
        refused: list[Fault] = []
        stacks = self._steps()
        for one in operations:
            classes = dict(now.classes)
            try:
                undone = None
                if one.kind in ("undo", "redo"):
                    undone, changed = self._step_back(one.kind, stacks, rows, now)
                else:
                    changed = do(one, now)
            except PotencyError as error:
                now.classes = classes
                refused.append(Fault(one.key, error.what, error.where, error.mend))
                continue
            difference = _difference(classes, now.classes, changed)
            if undone is None and not difference["box"] and difference["classes"] == "{}":
                continue  # it changed nothing: there is nothing to undo
            number = revision + len(rows) + 1
            told = {"item": self.item.id, "number": number, "key": one.key, "kind": one.kind, "undoes": undone,
                    "operation": json.dumps({"label": one.label, "other": one.other}), "person": person,
                    "time": time.time(), **difference}  # fmt: skip
            if undone is None:
                stacks[0].append(number)
                stacks[1].clear()
            rows.append(told)
        return rows, refused

    def _step_back(
        self, kind: str, stacks: tuple[list[int], list[int]], rows: Sequence[Row], now: Now
    ) -> tuple[int, Changed | None]:
        """Take the last change back, or do again what was taken back last; the number of that change, and what it did.
        """
        source, target = stacks if kind == "undo" else stacks[::-1]
        if not source:
            raise PotencyError(f"there is nothing to {kind}", self.item.name, "go on")
        number = source.pop()
        target.append(number)
        query = "SELECT box, before, after, classes FROM edits WHERE item = ? AND number = ?"
        here = next((row for row in rows if row["number"] == number), None)
        edit = here or self.store.row(query, self.item.id, number)
        assert edit is not None
        side, changed = "before" if kind == "undo" else "after", None
        if edit["box"] and now.labels is not None:
            box = box_in(edit["box"])
            changed = strokes.put(now.labels, (box, unpacked(box, edit[side])))
        for label, pair in json.loads(edit["classes"]).items():
            named(now.classes, label, pair[side == "after"])
        return number, changed

    def _steps(self) -> tuple[list[int], list[int]]:
        """The numbers of the changes that can be undone, and of those that can be done again; the next one is last."""
        done: list[int] = []
        again: list[int] = []
        query = "SELECT number, kind, undoes FROM edits WHERE item = ? ORDER BY number"
        for row in self.store.rows(query, self.item.id):
            if row["kind"] == "undo":
                done.remove(row["undoes"])
                again.append(row["undoes"])
            elif row["kind"] == "redo":
                again.remove(row["undoes"])
                done.append(row["undoes"])
            else:
                done.append(row["number"])
                again.clear()
        return done, again

    def _kept(self, revision: int, rows: Sequence[Row], now: Now) -> bool:
        """Write the changes, all or none; False where another change came first."""
        with self.store.writing() as base:
            if rows:
                names = list(rows[0])
                marks = ", ".join("?" * len(names))
                columns = ", ".join(f'"{name}"' for name in names)
                there = base.execute("SELECT revision FROM corrected WHERE id = ?", (self.item.id,)).fetchone()
                if there is None or there["revision"] != revision:
                    return False
                base.executemany(f"INSERT INTO edits ({columns}) VALUES ({marks})", [tuple(r.values()) for r in rows])
            # The class of an image is its truth: given is done, taken back is open again.
            state = "state" if self.file is not None else f"'{DONE if now.classes.get(WHOLE) else OPEN}'"
            base.execute(
                f'UPDATE corrected SET revision = ?, "next" = max("next", ?), classes = ?, state = {state}, '
                "changed = ? WHERE id = ?",
                (revision + len(rows), now.fresh, json.dumps(now.classes), time.time(), self.item.id),
            )
        return True

    def _snapshot(self, labels: Labels) -> None:
        """Write the mask anew where many changes came since; the list knows the new file only once it is whole."""
        row = self._row()
        if row["revision"] - row["snapshot"] < EVERY * max(1.0, labels.size / 1e6):
            return
        with contextlib.suppress(AnswerError):  # no room for it: the log has everything, a later change tries again
            path = write(self.place, labels, self.item.id)
            query = "UPDATE corrected SET mask = ?, snapshot = ? WHERE id = ? AND snapshot < ?"
            self.store.change(query, path, row["revision"], self.item.id, row["revision"])

    def _patches(self, since: int, row: Row, labels: Labels) -> list[Patch]:
        """What is new since a revision, box by box: two strokes far apart do not send what lies between them."""
        query = "SELECT DISTINCT box FROM edits WHERE item = ? AND number > ? AND number <= ? AND box != ''"
        boxes = {box_in(edit["box"]) for edit in self.store.rows(query, self.item.id, since, row["revision"])}
        kept: list[Box] = []
        for box in sorted(boxes, key=lambda one: (one[0] - one[2]) * (one[3] - one[1])):  # the largest first
            if not any(one[0] <= box[0] and one[1] <= box[1] and box[2] <= one[2] and box[3] <= one[3] for one in kept):
                kept.append(box)
        return [patch(labels, box) for box in kept]

    def _row(self) -> Row:
        row = self.store.row("SELECT * FROM corrected WHERE id = ?", self.item.id)
        if row is None:
            raise Refused(404, "this image is no longer among the corrections", self.item.name, "go back to the list")
        return row


class _Overtaken(Exception):
    """Another process changed the mask between reading it and keeping a change."""


def _difference(classes: dict[str, str], now: dict[str, str], changed: Changed | None) -> dict[str, Any]:
    """What an operation changed, as columns of the log."""
    names = {name for name in {*classes, *now} if classes.get(name, "") != now.get(name, "")}
    told = {name: [classes.get(name, ""), now.get(name, "")] for name in sorted(names)}
    found: dict[str, Any] = {"box": "", "before": None, "after": None, "classes": json.dumps(told)}
    if changed is not None:
        box, before, after = changed
        found |= {"box": json.dumps(box), "before": packed(before), "after": packed(after)}
    return found
