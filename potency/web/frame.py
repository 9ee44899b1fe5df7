"""How a function becomes a page: its facts are shown by a template and, at the same path with .json, given bare."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Depends, Request
from fastapi.routing import APIRoute
from starlette.concurrency import run_in_threadpool
from starlette.responses import RedirectResponse, Response

from potency.web.faults import Refused, stranger
from potency.web.guard import SAFE, Tries
from potency.web.instant import Instant
from potency.web.intake import Intake
from potency.web.jobs import Job, Jobs
from potency.web.paper import printed
from potency.web.people import People, Person, same
from potency.web.room import Room, room
from potency.web.sets import Sets
from potency.web.settings import Settings
from potency.web.shelf import Shelf
from potency.web.store import Store

F = TypeVar("F", bound=Callable[..., Any])
Call = Callable[..., Awaitable[Any]]
FIELDS = 300  # of one form beside its files
OURS = {"person", "settings", "path", "base", "program", "navigation"}  # what every template is given


@dataclass(frozen=True)
class Visit:
    """One request: who comes, and all that a page may need."""

    person: Person
    address: str
    settings: Settings
    store: Store
    tries: Tries = field(default_factory=Tries)
    strip: bool = False  # the form asks that what could name a person is taken out of files
    instant: Instant | None = None  # answers at once; None where a test makes a visit of its own

    @property
    def jobs(self) -> Jobs:
        return Jobs(self.store)

    @property
    def people(self) -> People:
        return People(self.store)

    @property
    def sets(self) -> Sets:
        """The images of this person."""
        return Sets(self.store, self.person.id)

    @property
    def shelf(self) -> Shelf:
        """The models that this person may use."""
        return Shelf(self.store, self.person.id)

    @property
    def intake(self) -> Intake:
        """What takes uploads from this person."""
        return Intake(self.sets, self.settings.limits, bring=self.person.may("analyst"), strip=self.strip)

    @property
    def room(self) -> Room:
        """How much of what this person may keep is taken."""
        return room(self.store, self.person.id, self.settings.limits.kept)

    def ask(self, kind: str, title: str, model: str = "", **arguments: Any) -> Job:
        """Put a job in line and note in the log who asked for it, with which model.

        Raises:
            Refused: the person's room is full. PotencyError: too many of their jobs wait.
        """
        self.room.needed(title)
        job = self.jobs.ask(self.person.id, kind, title, arguments | ({"model": model} if model else {}),
                            self.settings.limits.queued)  # fmt: skip
        self.note(kind, job.id, model)
        return job

    def note(self, act: str, object: str = "", model: str = "") -> None:
        """Write a line of the audit log."""
        version = self.shelf.version(model) if model else ""
        self.store.audit({"id": self.person.id, "name": self.person.name}, act, object, f"{model} {version}".strip(),
                         self.address)  # fmt: skip


async def visiting(request: Request) -> Visit:
    """The visit of a request; one that changes something carries the secret of its session, or a script's key."""
    person: Person | None = request.state.person
    if person is None:
        raise stranger()
    if request.method not in SAFE and not person.key:
        given = request.headers.get("x-csrf-token", "")
        if not given and "form" in request.headers.get("content-type", ""):
            given = str((await request.form()).get("csrf", ""))
        if not (person.csrf and same(given, person.csrf)):
            raise strange_form()
    strip = False
    if request.method not in SAFE and "form" in request.headers.get("content-type", ""):
        strip = str((await request.form()).get("strip", "")).lower() in ("true", "on", "1", "yes")
    state = request.app.state
    return Visit(person, request.state.address, state.settings, state.store, state.tries, strip, state.instant)


Here = Annotated[Visit, Depends(visiting)]


def base(request: Request) -> str:
    """The address of this tool as the browser calls it; behind a proxy with https the request itself came without."""
    return str(request.base_url.replace(scheme="https") if request.app.state.settings.secure else request.base_url)


def strange_form() -> Refused:
    """The refusal of a form without the secret of the session that sends it."""
    return Refused(403, "the form is from another session", "the form",
                   "go back, load the page again, and send it once more")  # fmt: skip


def only(role: str) -> Callable[[F], F]:
    """For a route that is no page: below its `@pages.router.get`, what role it takes."""

    def marked(made: F) -> F:
        made.role = role  # type: ignore[attr-defined]
        return made

    return marked


class Door(APIRoute):
    """A route that turns away who may not pass before a byte of what they send is read, and bounds its parts."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The route with that door before it (of FastAPI's APIRoute)."""
        inside, role = super().get_route_handler(), getattr(self.endpoint, "role", "")

        async def passed(request: Request) -> Response:
            person: Person | None = request.state.person
            if role and person is not None:
                if not person.may(role):
                    raise wanting(role, person)
                given = request.headers.get("x-csrf-token")
                if request.method not in SAFE and given is not None and not person.key and not same(given, person.csrf):
                    raise strange_form()
            if "form" in request.headers.get("content-type", ""):
                await request.form(max_files=request.app.state.settings.limits.files, max_fields=FIELDS)
            return await inside(request)

        return passed


class Pages:
    """The pages of one file: `@pages.page` shows, `@pages.action` changes something and then goes elsewhere.

    The function returns a dataclass: the template sees its fields, the JSON twin is it. So no page knows what its twin
    does not, and the description in /openapi.json is that of the dataclass.
    """

    def __init__(self, *navigation: tuple[str, str]) -> None:
        self.router, self.navigation = APIRouter(route_class=Door), navigation

    def page(self, path: str, template: str, *, role: str = "reader") -> Callable[[F], F]:
        """Register a page at `path` and its twin at `path`.json ("/" has /index.json)."""

        def register(made: F) -> F:
            async def show(request: Request, response: Response, visit: Visit, **words: Any) -> Any:
                facts = await _called(made, role, visit, words)
                if request.url.path.endswith(".json"):
                    return facts
                return Response(printed(template, person=visit.person, settings=visit.settings, path=request.url.path,
                                        base=base(request), **_fields(facts)),
                                media_type="text/html; charset=utf-8")  # fmt: skip

            facts = inspect.signature(made, eval_str=True).return_annotation
            if taken := OURS & set(facts.__dataclass_fields__):
                raise TypeError(f"{facts.__name__}: every template knows {sorted(taken)} as something else")
            self._both(path, ["GET"], made, show, role)
            return made

        return register

    def action(self, path: str, *, role: str = "analyst", then: Callable[[Any], str]) -> Callable[[F], F]:
        """Register what a form does: a browser then goes to `then(facts)`, a script gets the facts and that address."""

        def register(made: F) -> F:
            async def act(request: Request, response: Response, visit: Visit, **words: Any) -> Any:
                facts = await _called(made, role, visit, words)
                if not request.url.path.endswith(".json"):
                    return RedirectResponse(then(facts), 303)
                response.headers["location"] = then(facts)
                return facts

            self._both(path, ["POST"], made, act, role)
            return made

        return register

    def _both(self, path: str, methods: list[str], made: Callable[..., Any], call: Call, role: str) -> None:
        signature = inspect.signature(made, eval_str=True)
        own = [inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=kind)
               for name, kind in (("request", Request), ("response", Response))]  # fmt: skip
        parameters = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in signature.parameters.values()]

        def named(twin: bool) -> Call:
            @functools.wraps(call)
            async def served(**words: Any) -> Any:
                return await call(**words)

            served.__name__, served.__doc__ = made.__name__ + ("" if twin else "_page"), made.__doc__
            served.__signature__ = inspect.Signature([*own, *parameters])  # type: ignore[attr-defined]
            del served.__wrapped__
            served.role = role  # type: ignore[attr-defined]
            return served

        twin = f"{path}.json" if path != "/" else "/index.json"
        self.router.add_api_route(twin, named(True), methods=methods, response_model=signature.return_annotation,
                                  tags=[made.__module__.rpartition(".")[2]])  # fmt: skip
        self.router.add_api_route(path, named(False), methods=methods, response_model=None, include_in_schema=False)


def wanting(role: str, person: Person) -> Refused:
    """The refusal of whose role does not reach."""
    return Refused(403, f"this takes the role {role}, you are {person.role}", "your account", "ask who runs this page")


async def _called(made: Callable[..., Any], role: str, visit: Visit, words: dict[str, Any]) -> Any:
    if not visit.person.may(role):
        raise wanting(role, visit.person)
    if inspect.iscoroutinefunction(made):
        return await made(visit=visit, **words)
    return await run_in_threadpool(made, visit=visit, **words)


def _fields(facts: Any) -> dict[str, Any]:
    """The fields of a dataclass by name, as they are: a template may call their methods."""
    return {name: getattr(facts, name) for name in type(facts).__dataclass_fields__}
