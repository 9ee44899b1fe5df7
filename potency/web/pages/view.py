"""The viewer: any image of a set as tiles, with channels, contrast, time and planes, and what jobs found in it."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from fastapi import Depends, Response
from starlette.responses import FileResponse

from potency.errors import ImageError, PotencyError
from potency.web import layers
from potency.web.faults import Refused
from potency.web.frame import Here, Pages, Visit
from potency.web.jobs import Missing
from potency.web.sets import File
from potency.web.tiles import Channel, chosen
from potency.web.views import View, opened

pages = Pages()
CACHED = {"cache-control": "private, max-age=86400"}  # addresses of tiles carry what the tile depends on
STYLES = ("outline", "area", "class")
BRIEF = 8  # measurements that are told of an object under the pointer


@dataclass(frozen=True)
class Overlay:
    """A layer as the viewer needs it; its tiles lie at `url`/{level}/{x}_{y}.png?style=, its tracks at `url`.json."""

    name: str
    title: str
    kind: str
    url: str
    styles: list[str]
    classes: list[str]
    width: int
    height: int
    levels: int
    t: int | None
    z: int | None
    on: bool


@dataclass(frozen=True)
class Looked:
    """All that the viewer needs to know of an image.

    Attributes:
        width, height: in pixels; `levels` levels of tiles of `tile` pixels, the last with the pixels of the file.
        um: micrometres of a pixel, None where the file does not say.
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
class Found:
    """One object under the pointer: its number, and what is known of it, as (what, value)."""

    layer: str
    number: int
    facts: list[tuple[str, str]]


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
    return Looked(
        set, file, of.name, found.title, bool(found.facts.get("simulated")), job, pyramid.width, pyramid.height, 256,
        pyramid.top + 1, view.frames, view.planes, view.frames // 2, view.planes // 2, size["X"] if size else None,
        view.colour, str(view.image.dtype), pyramid.ready, view.stamp, view.channels, _overlays(visit, job, file),
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
    return _png(lambda: view.tile(level, x, y, t, z, shown))


@pages.router.get("/view/{set}/{file}/at.json", response_model=At, tags=["view"])
def at(visit: Here, set: str, file: str, x: int, y: int, t: int = 0, z: int = 0, job: str = "") -> At:
    """The values of a pixel, and the objects that a job found there with their measurements."""
    view = _view(visit, set, _shown(visit, set, file))
    values = view.at(x, y, t, z)
    found = []
    folder = visit.store.place("jobs", visit.jobs.find(job, visit.person.id).id) if job else Path()
    for layer in layers.read(folder, file) if job else ():
        if layer.kind == "labels" and layer.t in (None, t) and layer.z in (None, z):
            labels = opened(layers.find(folder, file, layer.name)[1], folder, f"{layer.name}-{file}", labels=True)
            number = int(labels.at(x, y, 0, 0)[0])
            if number:
                facts = _told(layers.told(folder, layer, file, number))
                found.append(Found(layer.single, number, facts))
    return At(x, y, values, found)


@pages.router.get("/view/layers/{job}/{file}/{name}/{level}/{x}_{y}.png", response_class=Response, tags=["view"])
def layer_tile(
    visit: Here, job: str, file: str, name: str, level: int, x: int, y: int, style: str = "outline"
) -> Response:
    """One tile of a layer as PNG that can be seen through; labels as "outline", "area" or "class"."""
    folder = visit.store.place("jobs", visit.jobs.find(job, visit.person.id).id)
    layer, path = layers.find(folder, file, name)
    if layer.kind == "map":
        values = opened(path, folder, f"{name}-{file}")
        return _png(lambda: values.ramp(level, x, y))
    if layer.kind != "labels" or style not in STYLES:
        raise Missing("there is no such layer", name[:40], "go back to the page of the job")
    labels = opened(path, folder, f"{name}-{file}", labels=True)
    classes = layers.classes(folder, layer, file)[1] if style == "class" else ()
    return _png(lambda: labels.drawn(level, x, y, style, classes))


@pages.router.get("/view/layers/{job}/{file}/{name}.json", response_class=Response, tags=["view"])
def layer_lines(visit: Here, job: str, file: str, name: str) -> Response:
    """The tracks of a layer."""
    folder = visit.store.place("jobs", visit.jobs.find(job, visit.person.id).id)
    layer, path = layers.find(folder, file, name)
    if layer.kind != "tracks":
        raise Missing("the layer holds no tracks", name[:40], "ask for its tiles")
    return FileResponse(path, media_type="application/json")


def _png(draw: Any) -> Response:
    try:
        return Response(draw(), media_type="image/png", headers=CACHED)
    except ImageError as error:
        raise Missing(error.what, error.where if "level" in error.where else "the image", error.mend) from error


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


def _overlays(visit: Visit, job: str, file: str) -> list[Overlay]:
    if not job:
        return []
    folder = visit.store.place("jobs", visit.jobs.find(job, visit.person.id).id)
    found = []
    for layer in layers.read(folder, file):
        url = f"/view/layers/{job}/{file}/{layer.name}"
        width = height = levels = 0
        if layer.kind != "tracks":
            path = layers.find(folder, file, layer.name)[1]
            pyramid = opened(path, folder, f"{layer.name}-{file}", layer.kind == "labels").pyramid(0, 0)
            width, height, levels = pyramid.width, pyramid.height, pyramid.top + 1
        names = layers.classes(folder, layer, file)[0] if layer.kind == "labels" else []
        styles = list(STYLES if names else STYLES[:2]) if layer.kind == "labels" else []
        found.append(Overlay(layer.name, layer.title, layer.kind, url, styles, names, width, height, levels, layer.t,
                             layer.z, layer.on))  # fmt: skip
    return found


def _told(row: dict[str, Any]) -> list[tuple[str, str]]:
    """The first measurements of an object in words: class first, in um where they are known."""
    from potency.web.measured import worded

    return worded(row)[:BRIEF]
