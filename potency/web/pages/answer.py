"""Journey "what is it?": images and a model in, a class for each image out, with how sure, how unlike and why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import Form, UploadFile

from potency.errors import PotencyError
from potency.web.frame import Here, Pages
from potency.web.jobs import Job
from potency.web.sets import ImageSet
from potency.web.shelf import Model

pages = Pages(("What is it?", "/answer"))


@dataclass(frozen=True)
class Choice:
    """What can be asked: the models that name a class, and images that are here already."""

    models: list[Model]
    sets: list[ImageSet]
    chosen: str
    model: str


@pages.page("/answer", "answer.html")
def answer(visit: Here, set: str = "", model: str = "") -> Choice:
    """Drop images, choose a model, get a class."""
    chosen = visit.sets.find(set).id if set else ""
    models = visit.shelf.all("category")
    known = [one.id for one in models]
    return Choice(models, visit.sets.all(), chosen, model if model in known else next(iter(known), ""))


@pages.action("/answer", then=lambda job: f"/jobs/{job.id}", role="reader")
def ask(
    visit: Here,
    model: Annotated[str, Form()],
    files: Annotated[list[UploadFile], Form()] = [],  # noqa: B006
    set: Annotated[str, Form()] = "",
) -> Job:
    """Ask a model about images: uploaded now, or a set that is here."""
    found = visit.shelf.find(model)
    if found.answer != "category":
        raise PotencyError("this model names no class", found.title, "choose a model of the list")
    chosen = set or visit.intake.take(files).set
    title = visit.sets.find(chosen).title
    return visit.ask("answer", title, model, set=chosen)
