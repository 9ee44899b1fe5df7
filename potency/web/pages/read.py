"""Journey "reader study", the side of who reads: one image after the other, without names, each answered once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Form
from starlette.responses import RedirectResponse, Response

from potency.web import figures
from potency.web.desk import Desk, Turn, found, joined
from potency.web.figures import Own
from potency.web.frame import Here, Pages
from potency.web.jobs import Missing
from potency.web.people import GUEST, LOCAL
from potency.web.studies import Reader, Studies, Study

pages = Pages()
PRIVATE = {"cache-control": "no-store, private"}  # nobody after this reader finds a picture in the browser


@dataclass(frozen=True)
class Asked:
    """What readers are told of a study: nothing of its images but how many there are."""

    code: str
    title: str
    images: int
    rounds: int
    classes: list[str]
    unit: str
    low: float | None
    high: float | None
    confidence: bool
    washout: float
    assisted: bool
    maps: bool
    simulated: bool
    closed: bool


@dataclass(frozen=True)
class Welcome:
    """The first page of a reader; `named`: the name they read under, where their account says it."""

    study: Asked
    named: str


@dataclass(frozen=True)
class Seat:
    """Where a reader sits: the study, their turn, and at the end how they did; `waiting`: that is being worked out."""

    study: Asked
    reader: str
    name: str
    turn: Turn
    own: list[Own]
    waiting: bool


@dataclass(frozen=True)
class Answered:
    """What became of an answer: whether it was taken (not, where the image was answered already), and the next turn."""

    taken: bool
    study: str
    reader: str
    turn: Turn


@pages.router.get("/read", include_in_schema=False)
def look(visit: Here, code: str = "") -> Response:
    """From a code to its study."""
    return RedirectResponse(f"/read/{found(visit.store, code).code}", 303)


@pages.page("/read/{code}", "reading/welcome.html")
def welcome(visit: Here, code: str) -> Welcome:
    """What a reader is asked, and who they are."""
    return Welcome(_asked(found(visit.store, code)), "" if _nameless(visit) else visit.person.name)


@pages.action("/read/{code}", then=lambda seat: f"/read/{seat.study.code}/{seat.reader}", role="reader")
def join(
    visit: Here,
    code: str,
    name: Annotated[str, Form(max_length=200)] = "",
    years: Annotated[float | None, Form(ge=0, le=80)] = None,
    field: Annotated[str, Form(max_length=120)] = "",
) -> Seat:
    """Sit down at a study; the same name goes on where it stopped. With accounts a reader is who is logged in."""
    study = found(visit.store, code)
    who = name if _nameless(visit) else visit.person.name
    reader = joined(visit.store, study, visit.person.id, who, {"years": years, "field": field.strip()})
    visit.note("read", study.id)
    return _seat(visit, study, reader)


@pages.page("/read/{code}/{reader}", "reading/read.html")
def read(visit: Here, code: str, reader: str) -> Seat:
    """The next image, or what comes after."""
    desk = _desk(visit, code, reader)
    return _seat(visit, desk.study, desk.reader)


@pages.action("/read/{code}/{reader}/begin", then=lambda seat: f"/read/{seat.study.code}/{seat.reader}", role="reader")
def begin(visit: Here, code: str, reader: str, round: Annotated[int, Form(ge=1, le=2)]) -> Seat:
    """Begin a round."""
    _desk(visit, code, reader).begin(round)
    return read(visit, code, reader)


@pages.action("/read/{code}/{reader}/answer", then=lambda done: f"/read/{done.study}/{done.reader}", role="reader")
def answer(
    visit: Here,
    code: str,
    reader: str,
    showing: Annotated[str, Form(max_length=40)],
    answer: Annotated[str, Form(max_length=100)] = "",
    confidence: Annotated[int | None, Form(ge=1, le=5)] = None,
    seconds: Annotated[float, Form()] = 0.0,
) -> Answered:
    """Take an answer to the image that is shown; an empty one is "cannot tell"."""
    desk = _desk(visit, code, reader)
    taken = desk.answer(showing, answer, confidence, seconds)
    return Answered(taken, desk.study.code, desk.reader.id, desk.turn())


@pages.action("/read/{code}/{reader}/back", then=lambda done: f"/read/{done.study}/{done.reader}", role="reader")
def back(visit: Here, code: str, reader: str) -> Answered:
    """Take the last answer back, one step."""
    desk = _desk(visit, code, reader)
    return Answered(desk.back(), desk.study.code, desk.reader.id, desk.turn())


@pages.router.get("/read/{code}/{reader}/picture/{showing}", include_in_schema=False)
def picture(visit: Here, code: str, reader: str, showing: str) -> Response:
    """The image that is shown, or the next one; its address says nothing of it and serves this reader only."""
    desk = _desk(visit, code, reader)
    return _png(Studies(visit.store, desk.study.owner).picture(desk.study.id, desk.image(showing)).read_bytes())


@pages.router.get("/read/{code}/{reader}/map/{showing}", include_in_schema=False)
def map_of(visit: Here, code: str, reader: str, showing: str) -> Response:
    """What the model looked at, in the round with the model only."""
    desk = _desk(visit, code, reader)
    number, turn = desk.image(showing), desk.turn()
    path = Studies(visit.store, desk.study.owner).picture(desk.study.id, number, "maps")
    if not (turn.assisted and desk.study.facts.get("maps") and path.is_file()):
        raise Missing("there is no map of this image", "the picture", "load the page again")
    return _png(path.read_bytes())


def _png(data: bytes) -> Response:
    return Response(data, media_type="image/png", headers=PRIVATE)  # no date, no tag: two showings look alike


def _desk(visit: Here, code: str, reader: str) -> Desk:
    return Desk.of(visit.store, code, reader, visit.person.id)


def _nameless(visit: Here) -> bool:
    """Whether the account says nothing of who sits here: whoever is at this machine, or came with the token."""
    return visit.person.name in (LOCAL, GUEST)


def _asked(study: Study) -> Asked:
    facts: dict[str, Any] = study.facts
    return Asked(
        study.code, study.title, int(facts.get("images", 0)) + len(facts.get("repeated", ())), study.rounds,
        list(study.classes), str(facts.get("unit", "")), facts.get("low"), facts.get("high"),
        bool(facts.get("confidence")), float(facts.get("washout", 0)), bool(facts.get("model")),
        bool(facts.get("maps")), bool(facts.get("simulated")), study.state == "closed",
    )  # fmt: skip


def _seat(visit: Here, study: Study, reader: Reader) -> Seat:
    desk = Desk.of(visit.store, study.code, reader.id, visit.person.id)
    turn = desk.turn()
    own, waiting = list[Own](), False
    if turn.stage == "closed":
        made, job = figures.current(Studies(visit.store, study.owner), study)
        waiting = job is not None
        own = made.own.get(reader.name, []) if made is not None and not waiting else []
    return Seat(_asked(study), reader.id, reader.name, turn, own, waiting)
