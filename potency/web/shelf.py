"""The models a person may use: those in the package, and those they trained or brought."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from potency.bundle.card import CARD, Card
from potency.bundle.shipped import SCHEME, labels, located
from potency.web.jobs import Missing
from potency.web.store import Store, new_id

CHANCE = 0.05  # share of shuffled truths under which a model does as well, from which on nothing is shown


@dataclass(frozen=True)
class Model:
    """One model on the shelf.

    Attributes:
        id: how it is asked for: a name of the package ("nuclei", "example:medium") or an id.
        shipped: whether it came with the program.
        simulated: whether it learned from images that a program drew.
        unproven: whether it was tested and did no better than guessing might.
    """

    id: str
    title: str
    about: str
    task: str
    answer: str
    classes: tuple[str, ...]
    shipped: bool
    simulated: bool
    created: float
    unproven: bool = False


class Shelf:
    """The models of one person, and those of the package."""

    def __init__(self, store: Store, owner: int) -> None:
        self.store, self.owner = store, owner

    def all(self, *answers: str) -> list[Model]:
        """Their own, newest first, then those of the package; only those with such an answer, where one is named."""
        names = [*labels(""), *(f"{SCHEME}{name}" for name in labels(SCHEME))]
        rows = self.store.rows("SELECT * FROM models WHERE owner = ? ORDER BY created DESC", self.owner)
        own = [model for row in rows if (model := self._own(row["id"], row["title"], row["created"])) is not None]
        found = [*own, *(self._of(name, located(name), shipped=True) for name in names)]
        return [model for model in found if not answers or model.answer in answers]

    def find(self, id: str) -> Model:
        """A model by its id.

        Raises:
            Missing: there is none, or it is somebody else's.
        """
        if found := [model for model in self.all() if model.id == id]:
            return found[0]
        raise Missing("there is no such model", id, "the list of models has those that are there")

    def folder(self, id: str) -> Path:
        """Where the bundle of a model lies."""
        model = self.find(id)
        return located(id) if model.shipped else self.store.place("models", id)

    def version(self, id: str) -> str:
        """What tells this model from another of its name: the beginning of the hash of its weights' file."""
        return version_of(self.folder(id))

    def card(self, id: str) -> Card:
        """What a model says of itself."""
        return Card.read(self.folder(id) / CARD)

    def make(self, title: str, facts: Mapping[str, Any] = {}) -> tuple[str, Path]:
        """The id of a new model and the folder that its bundle is to be written to; `put` shows it."""
        id = new_id()
        return id, self.store.place("models", id)

    def put(self, id: str, title: str, facts: Mapping[str, Any] = {}) -> None:
        """Show a model whose bundle has been written."""
        self.store.add("models", id=id, owner=self.owner, title=title[:120], created=time.time(),
                       facts=json.dumps(dict(facts)))  # fmt: skip

    def rename(self, id: str, title: str) -> None:
        """Give a model of one's own another title."""
        query = "UPDATE models SET title = ? WHERE id = ? AND owner = ?"
        if not self.store.change(query, title[:120], id, self.owner):
            raise Missing("there is no such model of yours", id, "models that came with the program keep their titles")

    def forget(self, id: str) -> None:
        """Delete a model; those of the package stay."""
        if not self.store.change("DELETE FROM models WHERE id = ? AND owner = ?", id, self.owner):
            raise Missing("there is no such model of yours", id, "models that came with the program cannot be deleted")
        self.store.remove("models", id)

    def _own(self, id: str, title: str, created: float) -> Model | None:
        folder = self.store.place("models", id)
        return self._of(id, folder, title, created) if (folder / CARD).is_file() else None

    def _of(self, id: str, folder: Path, title: str = "", created: float = 0.0, shipped: bool = False) -> Model:
        card = Card.read(folder / CARD)
        about, answer = str(card.data.get("about", "")), card.answer or _answer(card.task)
        return Model(id, title or str(card.data.get("title", id)), about, card.task, answer, tuple(card.plan.classes),
                     shipped, bool(card.data.get("simulated")), created, unproven(card.validation))  # fmt: skip


def unproven(figures: Mapping[str, Any]) -> bool:
    """Whether figures of a test hold the trial with shuffled truths, and it was not passed.

    >>> unproven({"permutation": {"prediction": 0.3}}), unproven({})
    (True, False)
    """
    chance = next(iter((figures.get("permutation") or {}).values()), None)
    return isinstance(chance, int | float) and chance >= CHANCE


def version_of(folder: Path) -> str:
    """The beginning of the hash of the weights of a bundle's folder."""
    total = hashlib.sha256()
    for path in sorted(folder.glob("weights*")):
        with path.open("rb") as file:
            total.update(hashlib.file_digest(file, "sha256").digest())
    return total.hexdigest()[:12]


def _answer(task: str) -> str:
    """The kind of answer that a task gives."""
    from potency.tasks import TASKS

    return TASKS[task].answer.kind if task in TASKS else ""
