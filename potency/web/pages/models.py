"""The models a person may use: what each learned from, how well it did, and where it must not be trusted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from potency.web.frame import Here, Pages
from potency.web.shelf import Model

pages = Pages(("Models", "/models"))


@dataclass(frozen=True)
class Shelf:
    """All models."""

    models: list[Model]


@dataclass(frozen=True)
class Shown:
    """One model: its card as JSON, and the version by which the log names it."""

    model: Model
    card: dict[str, Any]
    version: str


@pages.page("/models", "models.html")
def models(visit: Here) -> Shelf:
    """The list of models."""
    return Shelf(visit.shelf.all())


@pages.page("/models/{model}", "model.html")
def one(visit: Here, model: str) -> Shown:
    """One model, as its card tells."""
    return Shown(visit.shelf.find(model), visit.shelf.card(model).json(), visit.shelf.version(model))


@pages.action("/models/{model}/delete", then=lambda _: "/models")
def delete(visit: Here, model: str) -> Model:
    """Delete a model of one's own."""
    found = visit.shelf.find(model)
    visit.note("delete model", model, model)
    visit.shelf.forget(model)
    return found
