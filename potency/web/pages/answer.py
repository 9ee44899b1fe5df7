"""Journey "what is it?": images and a model in, a class for each image out, with how sure, how unlike and why."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from fastapi import Form, UploadFile
from starlette.responses import FileResponse

from potency.errors import PotencyError
from potency.web.answers import METHODS, OF_CLASSES, OF_NUMBERS, ORDERS, TABLE, Counts, Found, Row, chosen, read
from potency.web.frame import Here, Pages, Visit
from potency.web.jobs import Job, Missing
from potency.web.sets import ImageSet
from potency.web.shelf import Model
from potency.web.suits import misfits, preferred

pages = Pages(("What is it?", "/answer"))
PAGE = 24  # answers on one page
LARGEST = 2000
MAPS = (0, 24, LARGEST)  # how many images get a map at once


@dataclass(frozen=True)
class Choice:
    """What can be asked: the models that name a class, and images that are here already.

    Attributes:
        chosen: the set that was named; "" where none was.
        model: the one that suits it best, or was asked last; "" where nothing speaks for any.
        misfits: by model, what of the chosen images it cannot read, in words.
        methods: ways to a map, in words.
    """

    models: list[Model]
    sets: list[ImageSet]
    chosen: str
    model: str
    misfits: dict[str, str]
    methods: dict[str, str]


@dataclass(frozen=True)
class Drawing:
    """Maps of a job.

    Attributes:
        done, wanted: how many there are, and how many images could have one.
        fails: of those, how many fail a test.
        job: the work that draws them now, None where none does.
        fault: what stopped the last that was asked for.
    """

    done: int
    wanted: int
    fails: int
    job: Job | None
    fault: dict[str, str]


@dataclass(frozen=True)
class Answers:
    """The answers of a job, a page of them.

    Attributes:
        rows: of this page; () while there are none.
        shown: how many rows there are of the kind that was asked for.
        images: whether the images are still here.
        strange: whether they all together lie far from the training images.
        learned: of how many images the model has learned.
        knows, sets, gallery: what the model can say beside its class, see `Found`.
        orders, methods: that can be asked for, with their titles.
    """

    job: Job
    title: str
    full: bool
    model: Model | None
    images: bool
    ready: bool
    counts: Counts
    strange: bool
    learned: int
    rows: list[Row]
    shown: int
    show: str
    label: str
    order: str
    page: int
    of: int
    knows: bool
    sets: bool
    gallery: int
    maps: Drawing
    orders: dict[str, str]
    methods: dict[str, str]


@dataclass(frozen=True)
class One:
    """The answer to one image, and those before and after it."""

    job: Job
    model: Model | None
    images: bool
    row: Row
    before: str
    after: str
    knows: bool
    sets: bool
    gallery: int
    maps: Drawing
    methods: dict[str, str]


@pages.page("/answer", "answer.html")
def answer(visit: Here, set: str = "", model: str = "") -> Choice:
    """Drop images, choose a model, get a class or a number."""
    found = visit.sets.find(set) if set else None
    models = visit.shelf.all("category", "number")
    files = visit.sets.files(set) if found else []
    wrong = {one.id: text for one in models if (text := misfits(visit.shelf.card(one.id).plan.channels, files))}
    first = model if any(model == one.id for one in models) else preferred(visit, found, models, wrong)
    return Choice(models, visit.sets.all(), found.id if found else "", first, wrong, dict(METHODS))


@pages.action("/answer", then=lambda job: f"/answer/{job.id}", role="reader")
def ask(
    visit: Here,
    model: Annotated[str, Form()],
    files: Annotated[list[UploadFile], Form()] = [],  # noqa: B006
    set: Annotated[str, Form()] = "",
    method: Annotated[str, Form()] = "relevance",
    maps: Annotated[int, Form(ge=0, le=LARGEST)] = PAGE,
    channel: Annotated[str, Form(max_length=100)] = "",
) -> Job:
    """Ask a model about images: uploaded now, or a set that is here; of several channels, about one."""
    found = visit.shelf.find(model)
    if found.answer not in ("category", "number"):
        raise PotencyError("this model names no class and no number", found.title, "choose a model of the list")
    _known(method)
    chosen = set or visit.intake.take(files).set
    title = visit.sets.find(chosen).title
    return visit.ask("answer", title, model, set=chosen, method=method, maps=maps, channel=channel.strip())


@pages.page("/answer/{job}", "answers.html")
def answers(
    visit: Here, job: str, show: str = "all", label: str = "", order: str = "given", page: int = 1, size: int = PAGE
) -> Answers:
    """The answers of a job: of one kind (`show`: all, unlike, undecided, errors), of one class (`label`), in order."""
    asked, found, there = _found(visit, job)
    rows = chosen(found.rows, show, label, order)
    size = min(max(1, size), LARGEST)
    of = max(1, -(-len(rows) // size))
    page = min(max(1, page), of)
    shown = rows[(page - 1) * size : page * size]
    full = visit.store.free < visit.settings.limits.free
    others = OF_NUMBERS if found.classes else OF_CLASSES
    titles = {name: one[0] for name, one in ORDERS.items() if name not in others}
    return Answers(
        asked, _title(asked, found.rows), full, _model(visit, asked), there, bool(found.rows), found.counts,
        found.strange, found.learned, shown, len(rows), show, label, order, page, of, found.knows, found.sets,
        found.gallery, _drawing(visit, asked, found), titles, dict(METHODS),
    )  # fmt: skip


@pages.page("/answer/{job}/{file}", "answer_one.html")
def one(visit: Here, job: str, file: str) -> One:
    """The answer to one image, large."""
    asked, found, there = _found(visit, job)
    places = {row.file: place for place, row in enumerate(found.rows)}
    if file not in places:
        raise Missing("there is no answer to that image", file[:40], "go back to the answers")
    at, rows = places[file], found.rows
    before, after = rows[at - 1].file if at else "", rows[at + 1].file if at + 1 < len(rows) else ""
    return One(asked, _model(visit, asked), there, rows[at], before, after, found.knows, found.sets, found.gallery,
               _drawing(visit, asked, found), dict(METHODS))  # fmt: skip


def _back(made: Job) -> str:
    """Where a browser goes once maps are asked for: to the one image, or to all."""
    files = made.arguments.get("files", [])
    return f"/answer/{made.arguments.get('job', made.id)}" + (f"/{files[0]}" if len(files) == 1 else "")


@pages.action("/answer/{job}/maps", then=_back, role="reader")
def explain(
    visit: Here,
    job: str,
    method: Annotated[str, Form()] = "relevance",
    file: Annotated[str, Form()] = "",
) -> Job:
    """Draw the maps that are missing, or that of one image; asked again while it is being done, it is the same job."""
    asked, found, there = _found(visit, job)
    _known(method)
    if not found.rows or not there:
        what = "these images were deleted" if found.rows else "there are no answers to explain yet"
        raise PotencyError(what, asked.title, "ask again, with images" if found.rows else "wait until they are there")
    if (now := _drawing(visit, asked, found).job) is not None:
        return now
    files = [file] if file else [row.file for row in found.rows if row.map is None or row.map.method != method]
    return visit.ask("maps", asked.title, asked.arguments["model"], job=asked.id, method=method, files=files)


@pages.router.get("/answer/{job}/table/answers.csv", include_in_schema=False)
def table(visit: Here, job: str) -> FileResponse:
    """The table of the answers, with the names of the files as they were given."""
    asked = _found(visit, job)[0]
    path: Path = visit.store.place("jobs", asked.id) / TABLE
    if not path.is_file():
        raise Missing("there are no answers yet", asked.title, "wait until they are there")
    return FileResponse(path, filename="answers.csv", media_type="text/csv; charset=utf-8")


def _found(visit: Visit, job: str) -> tuple[Job, Found, bool]:
    """A job of this kind, what it has answered so far, and whether its images are still here."""
    asked = visit.jobs.find(job, visit.person.id)
    if asked.kind != "answer":
        raise Missing("this job answers another question", asked.title, "the list of jobs leads to its page")
    found = read(visit.store.place("jobs", asked.id)) or Found([], [], False, False, 0, "")
    try:
        visit.sets.find(asked.arguments["set"])
    except Missing:
        return asked, found, False
    return asked, found, True


def _title(job: Job, rows: list[Row]) -> str:
    """What was asked about: a set without a title is called by its first file."""
    unnamed = len(rows) > 1 and rows[0].name.rpartition("/")[2] == job.title
    return f"{job.title} and {len(rows) - 1} more" if unnamed else job.title


def _model(visit: Visit, job: Job) -> Model | None:
    """The model that was asked; None where it was deleted."""
    try:
        return visit.shelf.find(job.arguments["model"])
    except Missing:
        return None


def _drawing(visit: Visit, job: Job, found: Found) -> Drawing:
    done = [row.map for row in found.rows if row.map is not None]
    wanted = sum(not row.error for row in found.rows)
    others = [one for one in visit.jobs.of(visit.person.id, ("maps",)) if one.arguments.get("job") == job.id]
    open_ = [one for one in others if not one.over]
    if found.rows and not job.over:
        open_.append(job)
    fault = others[0].error if others and others[0].state == "failed" else {}
    return Drawing(len(done), wanted, sum(bool(one.fails) for one in done), open_[0] if open_ else None, fault)


def _known(method: str) -> None:
    if method not in METHODS:
        raise PotencyError(f"there is no way {method[:40]!r} to a map", "method", "one of " + ", ".join(METHODS))
