"""Logging in and out: by token, or by name and password."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Form, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, RedirectResponse, Response

from potency.web.faults import Refused, wants_json
from potency.web.frame import Here, Pages
from potency.web.guard import COOKIE, session
from potency.web.paper import printed
from potency.web.people import GUEST, People, same
from potency.web.settings import Settings
from potency.web.store import Store

pages = Pages()
router: APIRouter = pages.router


@router.get("/enter", include_in_schema=False)
def form(request: Request) -> Response:
    """The page of logging in."""
    return Response(printed("enter.html", person=None, settings=request.app.state.settings, fault=""),
                    media_type="text/html; charset=utf-8")  # fmt: skip


@router.post("/enter", include_in_schema=False)
@router.post("/enter.json", response_model=None)
async def enter(
    request: Request,
    name: Annotated[str, Form(max_length=200)] = "",
    password: Annotated[str, Form(max_length=1000)] = "",
    token: Annotated[str, Form(max_length=1000)] = "",
) -> Response:
    """Log in; the answer sets the cookie of a session, and its JSON holds the secret that forms carry."""
    settings: Settings = request.app.state.settings
    store: Store = request.app.state.store
    secret = await run_in_threadpool(_entered, settings, store, name, password, token)
    address = request.state.address
    if not secret:
        store.audit({"name": name[:64]}, "refused at the door", address=address)
        if wants_json(request.scope):
            raise Refused(401, "name, password or token are wrong", "the log-in", "try again")
        page = printed("enter.html", person=None, settings=settings, fault="Name, password or token are wrong.")
        return Response(page, 401, media_type="text/html; charset=utf-8")
    person = People(store).person(secret)
    assert person is not None
    store.audit({"id": person.id, "name": person.name}, "enter", address=address)
    cookie = {"set-cookie": session(secret, settings)}
    if wants_json(request.scope):
        return JSONResponse({"name": person.name, "role": person.role, "csrf": person.csrf}, headers=cookie)
    return RedirectResponse("/", 303, cookie)


@router.post("/leave", include_in_schema=False)
async def leave(request: Request, visit: Here) -> Response:
    """Log out."""
    if secret := request.cookies.get(COOKIE):
        await run_in_threadpool(visit.people.leave, secret)
    visit.note("leave")
    return RedirectResponse("/enter", 303, {"set-cookie": session("", visit.settings, gone=True)})


def _entered(settings: Settings, store: Store, name: str, password: str, token: str) -> str:
    """The secret of a new session, or "" """
    people = People(store)
    if settings.token and token and same(token, settings.token):
        return people.enter(people.always(GUEST, "analyst"))
    person = people.known(name, password) if settings.accounts and name else None
    return people.enter(person) if person is not None else ""
