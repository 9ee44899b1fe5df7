"""Journey "find cells": drop fields, and get every cell outlined, counted and measured, with tables and downloads."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Annotated, Any, Literal

from fastapi import Depends, Form, UploadFile

from potency.errors import PotencyError
from potency.web import measured, views
from potency.web.frame import Here, Pages
from potency.web.jobs import Job, Missing
from potency.web.sets import ImageSet
from potency.web.shelf import Model
from potency.web.work.cells import Options, refused

pages = Pages(("Find cells", "/cells"))
LISTED = 200  # cells on one page; all are in the files


@dataclass(frozen=True)
class Choice:
    """What can be asked: the models that outline, and images that are here already."""

    models: list[Model]
    sets: list[ImageSet]
    chosen: str


@dataclass(frozen=True)
class Column:
    """A column of the list of cells."""

    name: str
    title: str
    number: bool


@dataclass(frozen=True)
class One:
    """A cell: where it is (centre and half the longer side of its box, in pixels), and its values as text."""

    file: str
    image: str
    number: int
    x: float
    y: float
    side: float
    values: list[str]


@dataclass(frozen=True)
class Listing:
    """The first cells of a job in the order of a column; `total` are there."""

    job: str
    set: str
    columns: list[Column]
    cells: list[One]
    total: int
    sort: str
    down: bool
    file: str


@pages.page("/cells", "cells.html")
def cells(visit: Here, set: str = "") -> Choice:
    """Drop fields, choose a model, get cells."""
    chosen = visit.sets.find(set).id if set else ""
    return Choice(visit.shelf.all("labels"), visit.sets.all(), chosen)


def wished(
    channel: Annotated[str, Form(max_length=100)] = "", diameter: Annotated[str, Form(max_length=40)] = "",
    smallest: Annotated[str, Form(max_length=40)] = "", unit: Annotated[Literal["px", "um"], Form()] = "px",
    pixel_size: Annotated[str, Form(max_length=40)] = "", whole: Annotated[bool, Form()] = False,
) -> Options:  # fmt: skip
    """How cells are to be found; sizes are diameters in `unit`, an empty one is left to the model."""
    return Options(channel=channel.strip(), diameter=number(diameter, "diameter"), um=unit == "um", whole=whole,
                   smallest=number(smallest, "smallest"), pixel_size=number(pixel_size, "pixel size"))  # fmt: skip


@pages.action("/cells", then=lambda job: f"/jobs/{job.id}", role="reader")
def ask(
    visit: Here, how: Annotated[Options, Depends(wished)], model: Annotated[str, Form()],
    files: Annotated[list[UploadFile], Form()] = [],  # noqa: B006
    set: Annotated[str, Form()] = "",
) -> Job:  # fmt: skip
    """Find and measure the cells of images: uploaded now, or a set that is here."""
    found = visit.shelf.find(model)
    if found.answer != "labels":
        raise PotencyError("this model outlines nothing", found.title, "choose a model of the list")
    refused(how, model)
    chosen = set or visit.intake.take(files).set
    return visit.ask("cells", visit.sets.find(chosen).title, model, set=chosen, **asdict(how))


def number(text: str, what: str) -> float:
    """A number of a form, 0 for none; a comma is a point in half of the world.

    >>> number("", "a"), number("12,5", "a")
    (0.0, 12.5)

    Raises:
        PotencyError: it is none.
    """
    try:
        found = float(text.replace(",", ".").strip() or 0)
    except ValueError:
        found = math.nan
    if not math.isfinite(found):
        raise PotencyError(f"{text[:40]!r} is no number", what, "write a number, or leave it empty")
    return found


@pages.page("/cells/{job}/objects", "objects.html")
def objects(visit: Here, job: str, sort: str = "", down: bool = True, file: str = "") -> Listing:
    """The cells that a job found: the first of them in the order of any column, of all images or of one."""
    found = visit.jobs.find(job, visit.person.id)
    path = visit.store.place("jobs", found.id) / "objects.parquet"
    if found.kind != "cells" or not path.is_file():
        raise Missing("this job has found no cells yet", job, "wait for it, or see the list of jobs")
    table = views.table_of(path, path.stat().st_mtime_ns)
    if file:
        table = table[table["tile.of"] == file]
    in_um = [name for name in table if str(name).endswith(tuple(measured.UM))]
    # In pixels where one image does not say how large its pixels are: else its cells would have no sizes at all.
    named = measured.columns(map(str, table), bool(in_um) and not table[in_um].isna().any(axis=None))
    if sort in ("image", "object", *named):
        table = table.sort_values([sort, "object"], ascending=[not down, True], kind="stable")
    else:
        sort = ""
    columns = [Column(name, measured.title(name), name not in ("class",)) for name in named]
    rows = [_one(row, named) for row in table.head(LISTED).to_dict("records")]
    return Listing(found.id, str(found.result.get("set", "")), columns, rows, len(table), sort, down, file)


def _one(row: dict[Any, Any], named: list[str]) -> One:
    side = float(row.get("equivalent_diameter_area", 32.0))
    return One(str(row["tile.of"]), str(row["image"]), int(row["object"]), float(row.get("centroid-1", 0)),
               float(row.get("centroid-0", 0)), side, [measured.value(row[name]) for name in named])  # fmt: skip
