"""The models a person may use: what each learned from, how well it did, and where it must not be trusted."""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Form, UploadFile
from starlette.responses import Response, StreamingResponse

from potency.errors import BundleError
from potency.web.bringing import brought, packed, waiting
from potency.web.frame import Here, Pages
from potency.web.intake import cleaned, shown
from potency.web.jobs import Job, Missing
from potency.web.portrait import Portrait, portrait
from potency.web.room import Room
from potency.web.shelf import Model
from potency.web.store import new_id

pages = Pages(("Models", "/models"))
PICTURES = 24  # training images on the page of a model


@dataclass(frozen=True)
class Shelf:
    """All models, and how much of their room a person takes."""

    models: list[Model]
    room: Room


@dataclass(frozen=True)
class Learned:
    """A training image that is kept in a model: its number, truth and group."""

    number: int
    label: str
    group: str


@dataclass(frozen=True)
class Shown:
    """One model: its portrait, its card as JSON, and the version by which the log names it.

    Attributes:
        learned: some training images, the classes in turn; kept: how many there are in all.
    """

    model: Model
    portrait: Portrait
    card: dict[str, Any]
    version: str
    learned: list[Learned]
    kept: int


@pages.page("/models", "models.html")
def models(visit: Here) -> Shelf:
    """The list of models."""
    return Shelf(visit.shelf.all(), visit.room)


@pages.page("/models/{model}", "model.html")
def one(visit: Here, model: str) -> Shown:
    """One model, as its card tells."""
    from potency.bundle.gallery import Gallery

    found, card = visit.shelf.find(model), visit.shelf.card(model)
    try:
        gallery = Gallery.read(visit.shelf.folder(model))
    except BundleError:  # a page must show what is left of a model
        gallery = None
    labels, groups = (gallery.labels, gallery.groups) if gallery else ((), ())
    learned = [Learned(k, label, groups[k]) for k, label in enumerate(labels[:PICTURES])]
    return Shown(found, portrait(card), card.json(), visit.shelf.version(model), learned, len(labels))


@pages.router.get("/models/{model}/pictures/{number}", include_in_schema=False)
def picture(visit: Here, model: str, number: int) -> Response:
    """A training image that is kept in a model, small."""
    from PIL import Image

    from potency.bundle.gallery import Gallery

    gallery = Gallery.read(visit.shelf.folder(model))
    if gallery is None or not 0 <= number < len(gallery):
        raise Missing("the model keeps no such picture", str(number), "the page of the model shows those it keeps")
    written = io.BytesIO()
    Image.fromarray(gallery.pictures[number]).save(written, format="PNG")
    return Response(written.getvalue(), media_type="image/png", headers={"cache-control": "private, max-age=3600"})


@pages.action("/models", then=lambda job: f"/jobs/{job.id}")
def bring(
    visit: Here, files: Annotated[list[UploadFile], Form()], title: Annotated[str, Form(max_length=200)] = ""
) -> Job:
    """Bring a model: card.json and its .safetensors files, loose or in one zip; a job then tries it."""
    limits, id = visit.settings.limits, new_id()
    visit.room.needed("the model")
    brought(files, waiting(visit.store, id), limits, visit.room.left)
    name = cleaned(files[0].filename or "").rpartition("/")[2].removesuffix(".zip")
    called = shown(title) or (name if len(files) == 1 else "a model")
    return visit.ask("bring", called, brought=id, called=called)


@pages.router.get("/models/{model}/bundle.zip", include_in_schema=False)
def bundle(visit: Here, model: str) -> StreamingResponse:
    """A model as a zip."""
    found = visit.shelf.find(model)
    visit.note("download model", model, model)
    name = re.sub(r"[^A-Za-z0-9_-]+", "-", found.title).strip("-")[:60] or "model"
    headers = {"content-disposition": f'attachment; filename="{name}.zip"'}
    return StreamingResponse(packed(visit.shelf.folder(model)), media_type="application/zip", headers=headers)


@pages.action("/models/{model}/delete", then=lambda _: "/models")
def delete(visit: Here, model: str) -> Model:
    """Delete a model of one's own."""
    found = visit.shelf.find(model)
    visit.note("delete model", model, model)
    visit.shelf.forget(model)
    return found
