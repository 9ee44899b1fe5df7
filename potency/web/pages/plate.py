"""Journey "a plate": its map coloured by any measure, and the images of a well by a click."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from fastapi import Form, UploadFile

from potency.web.frame import Here, Pages
from potency.web.jobs import Job, Missing
from potency.web.platemap import Legend, Plate, drawn, legend, limits_of, size_of
from potency.web.sets import ImageSet
from potency.web.shelf import Model
from potency.web.work.plate import MAP

pages = Pages(("Plate", "/plate"))
FIRST = ("prediction", "quality.confluence", "quality.brightness")  # what a map begins with, the first there is
ASKED = ("category", "number", "labels")  # kinds of answers that are numbers of a well


@dataclass(frozen=True)
class Choice:
    """What a map can be made of: sets and models; and the maps made so far."""

    sets: list[ImageSet]
    models: list[Model]
    jobs: list[Job]
    chosen: str


@dataclass(frozen=True)
class Mapped:
    """The maps of all plates by one measure, on one scale or each on its own."""

    job: Job
    measures: list[dict[str, str]]
    measure: dict[str, str]
    scale: str
    size: int
    least: int
    plates: list[Plate]
    legends: list[Legend]


@dataclass(frozen=True)
class Well:
    """One well: its images, the values of each, and the wells before and after it."""

    job: Job
    plate: str
    well: str
    set: str
    measures: list[dict[str, str]]
    values: dict[str, float]
    images: list[dict[str, Any]]
    before: str
    after: str


@pages.page("/plate", "plate.html")
def plate(visit: Here, set: str = "") -> Choice:
    """Bring a plate, or choose one that is here."""
    chosen = visit.sets.find(set).id if set else ""
    return Choice(visit.sets.all(), visit.shelf.all(*ASKED), visit.jobs.of(visit.person.id, ("plate",), 20), chosen)


@pages.action("/plate", then=lambda job: f"/jobs/{job.id}", role="reader")
def ask(
    visit: Here,
    files: Annotated[list[UploadFile], Form()] = [],  # noqa: B006
    set: Annotated[str, Form()] = "",
    model: Annotated[str, Form(max_length=80)] = "",
    intensity: Annotated[bool, Form()] = False,
    names: Annotated[str, Form(max_length=200)] = "",
    channel: Annotated[str, Form(max_length=80)] = "",
) -> Job:
    """Measure the wells of a plate: uploaded now, or a set that is here; with a model's answers where one is named."""
    if model:
        visit.shelf.find(model)
    chosen = visit.sets.find(set or visit.intake.take(files).set)
    return visit.ask("plate", chosen.title, model, set=chosen.id, intensity=intensity, names=names.strip(),
                     channel=channel.strip())  # fmt: skip


@pages.page("/plate/{job}", "plate-map.html")
def mapped(visit: Here, job: str, measure: str = "", scale: Literal["all", "each"] = "all", size: int = 0) -> Mapped:
    """The map of a plate by one measure."""
    found, facts = _made(visit, job)
    by = {one["key"]: one for one in facts["measures"]}
    if not by:
        raise Missing("nothing could be measured", found.title, "the page of the job says what is wrong")
    first = next((key for name in FIRST for key in by if key.startswith(name)), next(iter(by)))
    chosen = by.get(measure, by[first])
    names = [one["well"] for one in facts["wells"]]
    shape = size_of(names, size)
    plates, legends = [], []
    every = _values(facts["wells"], chosen["key"])
    for name in facts["plates"]:
        wells = [one for one in facts["wells"] if one["plate"] == name]
        own = every if scale == "all" else _values(wells, chosen["key"])
        limits = limits_of(own)
        plates.append(drawn(name, wells, chosen, shape, limits))
        legends.append(legend(limits, own))
    least = math.prod(size_of(names))
    return Mapped(found, facts["measures"], chosen, scale, shape[0] * shape[1], least, plates, legends)


@pages.page("/plate/{job}/well", "plate-well.html")
def well(visit: Here, job: str, plate: str = "", well: str = "") -> Well:
    """The images of one well."""
    found, facts = _made(visit, job)
    names = [one["well"] for one in facts["wells"] if one["plate"] == plate]
    if well not in names:
        raise Missing("there is no such well", well[:40], "go back to the map")
    at = names.index(well)
    values = next(one["values"] for one in facts["wells"] if one["plate"] == plate and one["well"] == well)
    images = [one for one in facts["images"] if one["plate"] == plate and one["well"] == well]
    return Well(found, plate, well, str(facts["set"]), facts["measures"], values, images,
                names[at - 1] if at else "", names[at + 1] if at + 1 < len(names) else "")  # fmt: skip


def _made(visit: Here, job: str) -> tuple[Job, dict[str, Any]]:
    """A job that has made its map, and the map."""
    found = visit.jobs.find(job, visit.person.id)
    if found.kind != "plate" or found.state != "done":
        raise Missing("there is no map of it yet", found.title, "the page of the job says how far it is")
    return found, dict(json.loads((visit.store.place("jobs", found.id) / MAP).read_text("utf-8")))


def _values(wells: list[dict[str, Any]], key: str) -> list[float]:
    return [float(one["values"][key]) for one in wells if key in one["values"]]
