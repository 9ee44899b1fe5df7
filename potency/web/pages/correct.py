"""Journey "correct": begin a set of corrections, see what is left, what comes next, and what was learned from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import Form, UploadFile
from starlette.responses import Response

from potency.errors import PotencyError
from potency.web.correcting.corrections import CATEGORY, LABELS, STATES, Correction, Corrections, Item
from potency.web.correcting.edits import Edits
from potency.web.correcting.maskfiles import count
from potency.web.correcting.taken import archive
from potency.web.frame import Here, Pages, Visit
from potency.web.jobs import Job
from potency.web.sets import ImageSet
from potency.web.shelf import Model

pages = Pages(("Correct", "/correct"))
SHOWN = 60  # images on one page
STEPS = 40  # of learning, where nobody says otherwise
MASKS, EMPTY = "masks", "empty"
NAMES = 60  # classes that may be given, and characters of one


@dataclass(frozen=True)
class Choice:
    """All sets of corrections, and what a new one can be made of."""

    corrections: list[Correction]
    sets: list[ImageSet]
    models: list[Model]
    set: str
    model: str


@dataclass(frozen=True)
class Begun:
    """A set of corrections, and the job that proposes what is to be corrected; "" where there is none."""

    correction: str
    job: str


@dataclass(frozen=True)
class Overview:
    """One set of corrections: how far it is, what comes next, a page of its images, and what was learned from it."""

    correction: Correction
    following: Item | None
    items: list[Item]
    page: int
    of: int
    models: list[Model]
    jobs: list[Job]
    steps: int
    gone: bool
    simulated: bool


@dataclass(frozen=True)
class Stated:
    """An image whose state was changed, and the one that comes next; "" where none is left."""

    correction: str
    item: str
    state: str
    following: str

    @property
    def where(self) -> str:
        return f"/correct/{self.correction}/{self.following}".rstrip("/")


@pages.page("/correct", "correct.html")
def correct(visit: Here, set: str = "", model: str = "") -> Choice:
    """Choose what to correct."""
    chosen = visit.sets.find(set).id if set else ""
    models = visit.shelf.all(LABELS, CATEGORY)
    asked = next((one.id for one in models if one.id == model),
                 next((one.id for one in models if one.answer == LABELS), ""))  # fmt: skip
    return Choice(corrections(visit).all(), visit.sets.all(), models, chosen, asked)


@pages.action("/correct", then=lambda made: f"/jobs/{made.job}" if made.job else f"/correct/{made.correction}")
def begin(
    visit: Here,
    source: Annotated[str, Form()],
    files: Annotated[list[UploadFile], Form()] = [],  # noqa: B006
    set: Annotated[str, Form()] = "",
    classes: Annotated[str, Form(max_length=4000)] = "",
    channel: Annotated[str, Form(max_length=100)] = "",
) -> Begun:
    """Begin to correct images: what a model says of them, the masks brought with them, or empty ones.

    `source` is the id of a model, "masks" or "empty"; `channel` the one a model looks in that sees a single one.
    """
    visit.room.needed("the corrections")
    chosen = set or visit.intake.take(files).set
    names = _names(classes)
    if source in (MASKS, EMPTY):
        made = corrections(visit).make(chosen, LABELS, "", names, source=source)
    else:
        model = visit.shelf.find(source)
        if model.answer not in (LABELS, CATEGORY):
            raise PotencyError("what this model says cannot be corrected here", model.title,
                               "choose one that outlines cells, or names a class")  # fmt: skip
        made = corrections(visit).make(chosen, model.answer, model.id, model.classes or names, source="model")
    visit.note("correct", made, "" if source in (MASKS, EMPTY) else source)
    if source == EMPTY:
        return Begun(made, "")
    title = corrections(visit).find(made).title
    asked = "" if source == MASKS else source
    return Begun(made, visit.ask("propose", title, asked, correction=made, channel=channel.strip()).id)


@pages.page("/correct/{correction}", "correction.html")
def one(visit: Here, correction: str, page: int = 1) -> Overview:
    """One set of corrections."""
    there = corrections(visit)
    found, queue = there.find(correction), there.order(correction)
    # Classes are given in the list itself, which therefore stands in the order of the queue.
    items = there.items(correction)
    if found.kind == CATEGORY:
        items = sorted(items, key=lambda one: (one.score is None, -(one.score or 0.0), one.number))
    of = max(1, -(-len(items) // SHOWN))
    page = min(max(1, page), of)
    jobs = [job for job in visit.jobs.of(visit.person.id, ("propose", "finetune"))
            if job.arguments.get("correction") == correction]  # fmt: skip
    source = next((one for one in visit.sets.all() if one.id == found.set), None)
    simulated = source is not None and bool(source.facts.get("simulated"))
    following = queue[0] if queue else None
    shown = items[(page - 1) * SHOWN : page * SHOWN]
    return Overview(found, following, shown, page, of, visit.shelf.all(found.kind), jobs, STEPS,
                    source is None, simulated)  # fmt: skip


@pages.action("/correct/{correction}/delete", then=lambda _: "/correct")
def delete(visit: Here, correction: str) -> Correction:
    """Delete a set of corrections; the images, and models that learned from it, stay."""
    found = corrections(visit).find(correction)
    corrections(visit).forget(correction)
    visit.note("delete corrections", correction)
    return found


@pages.action("/correct/{correction}/propose", then=lambda job: f"/jobs/{job.id}")
def propose(visit: Here, correction: str, model: Annotated[str, Form()],
            channel: Annotated[str, Form(max_length=100)] = "") -> Job:  # fmt: skip
    """Let a model answer anew for all images that nobody touched, and put these in a new order."""
    found, chosen = corrections(visit).find(correction), visit.shelf.find(model)
    if chosen.answer != found.kind:
        raise PotencyError("this model answers something else", chosen.title, "choose a model of the list")
    return visit.ask("propose", found.title, model, correction=correction, channel=channel.strip())


@pages.action("/correct/{correction}/finetune", then=lambda job: f"/jobs/{job.id}")
def finetune(
    visit: Here,
    correction: str,
    model: Annotated[str, Form()],
    steps: Annotated[int, Form(ge=1, le=5000)] = STEPS,
) -> Job:
    """Let a model go on learning from what was corrected, and hold it against the model it came from."""
    found, chosen = corrections(visit).find(correction), visit.shelf.find(model)
    if chosen.answer != found.kind:
        raise PotencyError("this model answers something else", chosen.title, "choose a model of the list")
    if not found.done:
        raise PotencyError("no image is done yet", found.title, "correct some images, and call each done")
    return visit.ask("finetune", found.title, model, correction=correction, steps=steps)


@pages.action("/correct/{correction}/{item}/state", then=lambda told: told.where)
def state(visit: Here, correction: str, item: str, state: Annotated[str, Form()]) -> Stated:
    """Call an image done, skip it, or open it again."""
    there = corrections(visit)
    found, image = there.find(correction), there.item(correction, item)
    if state not in STATES:
        raise PotencyError("an image is open, done or skipped", "state", "send one of these")
    cells = None
    if found.kind == LABELS:
        with Edits(visit.store, found, image, there.file(correction, image)).mask() as (now, _):
            cells = count(now.labels)
    there.state(correction, item, state, cells)
    following = next((one.id for one in there.order(correction) if one.id != item and one.state == "open"), "")
    return Stated(correction, item, state, following)


@pages.router.get("/correct/{correction}/corrected.zip", include_in_schema=False)
def taken(visit: Here, correction: str) -> Response:
    """The images that are done, as a folder to learn from: their masks, and a table of all with their truth."""
    name, data = archive(corrections(visit), correction)
    return Response(data, media_type="application/zip",
                    headers={"content-disposition": f'attachment; filename="{name}"'})  # fmt: skip


def corrections(visit: Visit) -> Corrections:
    """The sets of corrections of a visitor."""
    return Corrections(visit.store, visit.person.id)


def _names(text: str) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(filter(None, (" ".join(part.split()) for part in text.split(",")))))
    if len(names) > NAMES or any(len(name) > NAMES or not name.isprintable() for name in names):
        raise PotencyError(f"at most {NAMES} classes, of at most {NAMES} characters", "classes",
                           "give fewer or shorter ones")  # fmt: skip
    return names
