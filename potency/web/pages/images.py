"""The images that a person has given: lists, thumbnails, examples, deletion."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Annotated, Literal

from fastapi import Form, Request, UploadFile
from starlette.responses import FileResponse, Response

from potency.web.examples import EXAMPLES, drawn
from potency.web.frame import Here, Pages
from potency.web.intake import Taken
from potency.web.room import Room
from potency.web.sets import File, ImageSet
from potency.web.thumbnails import thumbnail

pages = Pages(("Images", "/images"))
SIDES = (64, 96, 128, 192, 256, 384, 512, 768, 1024)  # of thumbnails: each is kept, so there are few of them
SHOWN = 60  # thumbnails on one page


@dataclass(frozen=True)
class Images:
    """All sets of a person, the examples that can be drawn, and how much of their room they take."""

    sets: list[ImageSet]
    bytes: int
    examples: dict[str, str]
    room: Room


@dataclass(frozen=True)
class Shown:
    """One set: a page of its files, and what can be done with them."""

    set: ImageSet
    files: list[File]
    page: int
    of: int
    errors: int
    personal: dict[str, int]
    stripped: dict[str, int]


Journey = Literal["", "answer", "cells", "plate", "train", "correct", "reading/new"]


@dataclass(frozen=True)
class Example(Taken):
    """Example images, and the journey for which they were drawn; "" for none."""

    journey: Journey = ""

    @property
    def where(self) -> str:
        return f"/{self.journey}?set={self.set}" if self.journey else f"/images/{self.set}"


@pages.page("/images", "images.html")
def images(visit: Here) -> Images:
    """The list of sets."""
    examples = {name: one.title for name, one in EXAMPLES.items()}
    return Images(visit.sets.all(), visit.sets.bytes, examples, visit.room)


@pages.page("/images/{set}", "set.html")
def one(visit: Here, set: str, page: int = 1) -> Shown:
    """One set of images."""
    found, files = visit.sets.find(set), visit.sets.files(set)
    of = max(1, -(-len(files) // SHOWN))
    page = min(max(1, page), of)
    errors = sum(file.error is not None for file in files)
    told = [Counter(word for file in files for word in file.facts.get(name, ())) for name in ("personal", "stripped")]
    return Shown(found, files[(page - 1) * SHOWN : page * SHOWN], page, of, errors, dict(told[0]), dict(told[1]))


@pages.action("/images", then=lambda taken: f"/images/{taken.set}")
def upload(
    visit: Here,
    files: Annotated[list[UploadFile], Form()],
    title: Annotated[str, Form()] = "",
    into: Annotated[str, Form()] = "",
    strip: Annotated[bool, Form()] = False,
) -> Taken:
    """Keep images (or zip archives of images) as a new set, or in one that is there.

    With `strip`, what could name a person is taken out of each; files in which that cannot be done are not kept.
    """
    taken = visit.intake.take(files, title, into)
    visit.note("upload", taken.set)
    return taken


@pages.action("/images/examples/{name}", then=lambda example: example.where, role="reader")
def example(visit: Here, name: str, journey: Journey = "") -> Example:
    """Draw example images by the simulator, as a new set, and begin a journey with it."""
    taken = drawn(name, visit.intake)
    return Example(taken.set, taken.files, taken.errors, journey)


@pages.action("/images/{set}/strip", then=lambda one: f"/images/{one.id}")
def strip(visit: Here, set: str) -> ImageSet:
    """Take what could name a person out of files that are here."""
    visit.intake.clean(visit.sets.find(set).id)
    visit.note("strip images", set)
    return visit.sets.find(set)


@pages.action("/images/{set}/delete", then=lambda _: "/images")
def delete(visit: Here, set: str) -> ImageSet:
    """Delete a set and its files; jobs that were done with it keep their results."""
    found = visit.sets.find(set)
    visit.sets.forget(set)
    visit.note("delete images", set)
    return found


@pages.router.get("/images/{set}/{file}/thumbnail", include_in_schema=False)
def picture(visit: Here, request: Request, set: str, file: str, side: int = 256) -> Response:
    """A small PNG of an image, stretched from its darkest to its brightest half per cent."""
    found = visit.sets.file(set, file)
    side = next((one for one in SIDES if one >= side), SIDES[-1])
    path = thumbnail(visit.sets.path(set, found), visit.store.place("sets", set), found.id, side)
    return FileResponse(path, media_type="image/png", headers={"cache-control": "private, max-age=3600"})
