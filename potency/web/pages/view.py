"""The viewer: any image of a set as tiles, with channels, contrast, time and planes, and what jobs found in it."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Annotated

from fastapi import Depends, Response

from potency.errors import PotencyError
from potency.web.faults import Refused
from potency.web.frame import Here, Pages, Visit
from potency.web.jobs import Missing
from potency.web.pages.overlays import Found, Overlay, drawn, overlays, under
from potency.web.sets import File
from potency.web.tiles import Channel, chosen
from potency.web.views import View, opened

pages = Pages()


@dataclass(frozen=True)
class Looked:
    """All that the viewer needs to know of an image.

    Attributes:
        width, height: in pixels; `levels` levels of tiles of `tile` pixels, the last with the pixels of the file.
        um: micrometres of a pixel, None where the file does not say; nor the seconds between times, `interval`.
        colour: a picture in colours, red, green and blue, shown as it is.
        ready: False while the first look at a large image goes on; until then only the finest levels come at once.
        stamp: changes with the file, for addresses of tiles.
    """

    set: str
    file: str
    name: str
    title: str
    simulated: bool
    job: str
    width: int
    height: int
    tile: int
    levels: int
    frames: int
    planes: int
    t: int
    z: int
    um: float | None
    interval: float | None
    colour: bool
    dtype: str
    ready: bool
    stamp: str
    channels: list[Channel]
    overlays: list[Overlay]
    notes: list[str]
    before: str
    after: str


@dataclass(frozen=True)
class Ready:
    """How far the first look at a large image is."""

    ready: bool
    share: float


@dataclass(frozen=True)
class At:
    """What is at a pixel."""

    x: int
    y: int
    values: list[float]
    objects: list[Found] = field(default_factory=list)


@pages.page("/view/{set}/{file}", "view.html")
def view(visit: Here, set: str, file: str, job: str = "") -> Looked:
    """An image as large as it is."""
    found, of = visit.sets.find(set), _shown(visit, set, file)
    view = _view(visit, set, of)
    every = [one.id for one in visit.sets.files(set) if one.error is None and not one.facts.get("table")]
    place = every.index(file)
    pyramid = view.pyramid()
    size = view.image.pixel_size
    over = overlays(visit, job, set, of)
    # What was found in one plane of a stack is seen there, not in its middle.
    t = next((one.t for one in over if one.t is not None), view.frames // 2)
    z = next((one.z for one in over if one.z is not None), view.planes // 2)
    return Looked(
        set, file, of.name, found.title, bool(found.facts.get("simulated")), job, pyramid.width, pyramid.height, 256,
        pyramid.top + 1, view.frames, view.planes, t, z, size["X"] if size else None,
        view.image.interval, view.colour, str(view.image.dtype), pyramid.ready, view.stamp, view.channels, over,
        list(view.image.notes), every[place - 1] if place else "", every[place + 1] if place + 1 < len(every) else "",
    )  # fmt: skip


@pages.router.get("/view/{set}/{file}/ready.json", response_model=Ready, tags=["view"])
def ready(visit: Here, set: str, file: str) -> Ready:
    """Begin the first look at a large image where nobody has, and say how far it is."""
    view = _view(visit, set, _shown(visit, set, file))
    pyramid = view.pyramid()
    if pyramid.ready:
        return Ready(True, 1.0)
    if fault := _FAILED.pop((set, file), None):
        raise fault
    if (set, file) not in _LOOKING:
        _LOOKING.add((set, file))

        def look() -> None:
            try:
                pyramid.tile(0, 0, 0)
            except PotencyError as error:  # told to who asks next
                _FAILED[set, file] = error
            finally:
                _LOOKING.discard((set, file))

        threading.Thread(target=look, daemon=True).start()
    return Ready(pyramid.ready, pyramid.share)


_LOOKING: set[tuple[str, str]] = set()
_FAILED: dict[tuple[str, str], PotencyError] = {}


@dataclass(frozen=True)
class Asked:
    """How a tile is to be drawn: the query of its address."""

    c: str
    t: int | None
    z: int | None
    colour: str
    low: str
    high: str


def asked(
    c: str = "", t: int | None = None, z: int | None = None, colour: str = "", low: str = "", high: str = ""
) -> Asked:
    """The query of a tile: channels `c` by number, `colour` (hex) and contrast from `low` to `high` of each."""
    return Asked(c, t, z, colour, low, high)


@pages.router.get("/view/{set}/{file}/tile/{level}/{x}_{y}.png", response_class=Response, tags=["view"])
def tile(
    visit: Here, set: str, file: str, level: int, x: int, y: int, how: Annotated[Asked, Depends(asked)]
) -> Response:
    """One tile as PNG: channels `c` by number, `colour` (hex) and contrast from `low` to `high` of each."""
    view = _view(visit, set, _shown(visit, set, file))
    shown = chosen(view.channels, how.c, how.colour, how.low, how.high)
    t = view.frames // 2 if how.t is None else how.t
    z = view.planes // 2 if how.z is None else how.z
    return drawn(lambda: view.tile(level, x, y, t, z, shown))


@pages.router.get("/view/{set}/{file}/at.json", response_model=At, tags=["view"])
def at(visit: Here, set: str, file: str, x: int, y: int, t: int = 0, z: int = 0, job: str = "") -> At:
    """The values of a pixel, and the objects that a job found there with their measurements."""
    view = _view(visit, set, _shown(visit, set, file))
    values = view.at(x, y, t, z)
    whole = view.pyramid(t, z)
    found = under(visit, job, file, (whole.width, whole.height), (x, y, t, z)) if job else []
    return At(x, y, values, found)


def _shown(visit: Visit, set: str, file: str) -> File:
    """A file of a set that can be looked at."""
    found = visit.sets.file(set, file)
    if found.error:
        raise Refused(415, found.error["what"], found.name, found.error["mend"])
    if found.facts.get("table"):
        raise Missing("this is a table, no image", found.name, "choose an image of the list")
    return found


def _view(visit: Visit, set: str, file: File) -> View:
    return opened(visit.sets.path(set, file), visit.store.place("sets", set), file.id)
