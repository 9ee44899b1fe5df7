"""What lies over an image in the viewer: outlines and maps that a job made, as tiles, and tracks of a table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from fastapi import Response

from potency.errors import ImageError
from potency.web import layers
from potency.web.frame import Here, Pages, Visit
from potency.web.jobs import Missing
from potency.web.sets import File
from potency.web.trails import Trails, trails, words
from potency.web.views import View, opened

pages = Pages()
CACHED = {"cache-control": "private, max-age=86400"}  # addresses of tiles carry what the tile depends on
STYLES = ("outline", "area", "class")
BRIEF = 8  # measurements that are told of an object under the pointer


@dataclass(frozen=True)
class Overlay:
    """A layer as the viewer needs it; its tiles lie at `url`/{level}/{x}_{y}.png?style=, tracks at `url`.

    The rest is told in `potency.web.layers.Layer`.
    """

    name: str
    title: str
    kind: str
    url: str
    styles: list[str] = field(default_factory=list)
    classes: list[str] = field(default_factory=list)
    width: int = 0
    height: int = 0
    levels: int = 0
    t: int | None = None
    z: int | None = None
    on: bool = True
    ends: list[str] = field(default_factory=list)
    about: str = ""
    says: list[str] = field(default_factory=list)
    fails: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Found:
    """What lies under the pointer: an object by its number (a map has none), and what is known of it."""

    layer: str
    number: int
    facts: list[tuple[str, str]]


@pages.router.get("/view/layers/{job}/{file}/{name}/{level}/{x}_{y}.png", response_class=Response, tags=["view"])
def layer_tile(
    visit: Here, job: str, file: str, name: str, level: int, x: int, y: int, style: str = "outline"
) -> Response:
    """One tile of a layer as PNG that can be seen through; labels as "outline", "area" or "class"."""
    folder = _folder(visit, job)
    layer, path = layers.find(folder, file, name)
    if layer.kind == "map":
        values = _view(folder, layer, file, path)
        return drawn(lambda: values.ramp(level, x, y))
    if style not in STYLES:
        raise Missing("there is no such layer", name[:40], "go back to the page of the job")
    labels = _view(folder, layer, file, path)
    classes = layers.classes(folder, layer, file)[1] if style == "class" else ()
    return drawn(lambda: labels.drawn(level, x, y, style, classes))


@pages.router.get("/view/{set}/{file}/tracks.json", response_model=Trails, tags=["view"])
def tracks(visit: Here, set: str, file: str) -> Trails:
    """The tracks of a movie, which a table of its set holds (columns track, frame, y, x)."""
    found = trails(visit.sets, set, visit.sets.file(set, file))
    if found is None:
        raise Missing("no table of this set holds tracks of this image", file[:40],
                      "upload a table with the columns track, frame, y and x beside it")  # fmt: skip
    return found


def overlays(visit: Visit, job: str, set: str, file: File) -> list[Overlay]:
    """What lies over an image: what a job found, where one is named, and the tracks of its set."""
    found = []
    if job:
        folder = _folder(visit, job)
        for layer in layers.read(folder, file.id):
            pyramid = _view(folder, layer, file.id, layers.find(folder, file.id, layer.name)[1]).pyramid(0, 0)
            names = layers.classes(folder, layer, file.id)[0] if layer.kind == "labels" else []
            styles = list(STYLES if names else STYLES[:2]) if layer.kind == "labels" else []
            url = f"/view/layers/{job}/{file.id}/{layer.name}"
            found.append(Overlay(
                layer.name, layer.title, layer.kind, url, styles, names, pyramid.width, pyramid.height,
                pyramid.top + 1, layer.t, layer.z, layer.on, list(layer.ends), layer.about, list(layer.says),
                list(layer.fails),
            ))  # fmt: skip
    if (moving := trails(visit.sets, set, file)) is not None:
        found.append(Overlay("tracks", words(moving), "tracks", f"/view/{set}/{file.id}/tracks.json"))
    return found


def under(visit: Visit, job: str, file: str, size: tuple[int, int], place: tuple[int, int, int, int]) -> list[Found]:
    """What the layers of a job have at a place (x, y, t, z) of an image of a size (width, height)."""
    from potency.web.measured import worded

    (x, y, t, z), folder, found = place, _folder(visit, job), []
    for layer in layers.read(folder, file):
        if layer.t not in (None, t) or layer.z not in (None, z):
            continue
        seen = _view(folder, layer, file, layers.find(folder, file, layer.name)[1])
        if layer.kind == "map":
            whole = seen.pyramid(0, 0)
            value = seen.at(x * whole.width // size[0], y * whole.height // size[1], 0, 0)[0]
            found.append(Found(layer.title, 0, [_share(value, layer)]))
        elif number := int(seen.at(x, y, 0, 0)[0]):
            found.append(Found(layer.single, number, worded(layers.told(folder, layer, file, number))[:BRIEF]))
    return found


def _share(value: float, layer: layers.Layer) -> tuple[str, str]:
    """A map's number in words: what it speaks for, and how much of the strongest it is."""
    ends = layer.ends or ("below 0", "above 0")
    return ends[value > 0] if value else "nothing", f"{100 * abs(value):.0f} % of the strongest"


def drawn(draw: Callable[[], bytes]) -> Response:
    """A tile as an answer; a place that the image does not have is not there."""
    try:
        return Response(draw(), media_type="image/png", headers=CACHED)
    except ImageError as error:
        raise Missing(error.what, error.where if "level" in error.where else "the image", error.mend) from error


def _folder(visit: Visit, job: str) -> Path:
    return visit.store.place("jobs", visit.jobs.find(job, visit.person.id).id)


def _view(folder: Path, layer: layers.Layer, file: str, path: Path) -> View:
    return opened(path, folder, f"{layer.name}-{file}", labels=layer.kind == "labels")
