"""Logging in and out: by token, or by name and password."""

from __future__ import annotations

import re
from typing import Annotated

from fastapi import APIRouter, Form, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, RedirectResponse, Response

from potency.web.faults import FARTHEST, Refused, wants_json
from potency.web.frame import Here, Pages
from potency.web.guard import Tries, cookie_of, session, too_fast
from potency.web.paper import door
from potency.web.people import People, same
from potency.web.settings import Settings
from potency.web.store import Store

PLACE = re.compile(r"/(?![/\\])[\x21-\x7e]*\Z")  # a place of this tool: two strokes would begin the name of a host
pages = Pages()
router: APIRouter = pages.router


@router.get("/enter", include_in_schema=False)
def form(request: Request) -> Response:
    """The page of logging in."""
    return Response(door(request.app.state.settings), media_type="text/html; charset=utf-8")


@router.post("/enter", include_in_schema=False)
@router.post("/enter.json", response_model=None)
async def enter(
    request: Request,
    name: Annotated[str, Form(max_length=200)] = "",
    password: Annotated[str, Form(max_length=1000)] = "",
    token: Annotated[str, Form(max_length=1000)] = "",
    to: Annotated[str, Form(max_length=FARTHEST)] = "/",
) -> Response:
    """Log in; the answer sets the cookie of a new session, and its JSON holds the secret that forms carry.

    A browser then goes on `to` the page that it was at.
    """
    settings: Settings = request.app.state.settings
    store: Store = request.app.state.store
    tries: Tries = request.app.state.tries
    address = request.state.address
    if wait := tries.wait(name if settings.accounts else "", address):
        raise too_fast("too many tries", "the log-in", wait)
    secret = await run_in_threadpool(_entered, settings, store, name, password, token)
    if not secret:
        # What was typed as a name may be a password: only a name that there is goes into the log.
        known = store.row("SELECT id, name FROM people WHERE name = ?", name)
        store.audit(known or {"name": "unknown"}, "refused at the door", address=address)
        if wants_json(request.scope):
            raise Refused(401, "name, password or token are wrong", "the log-in", "try again")
        page = door(settings, "Name, password or token are wrong.", to)
        return Response(page, 401, media_type="text/html; charset=utf-8")
    if old := request.cookies.get(cookie_of(settings)):  # a session never outlives the log-in that follows it
        await run_in_threadpool(People(store).leave, old)
    person = People(store).person(secret)
    assert person is not None
    store.audit({"id": person.id, "name": person.name}, "enter", address=address)
    cookie = {"set-cookie": session(secret, settings)}
    if wants_json(request.scope):
        return JSONResponse({"name": person.name, "role": person.role, "csrf": person.csrf}, headers=cookie)
    return RedirectResponse(to if PLACE.match(to) else "/", 303, cookie)


@router.post("/leave", include_in_schema=False)
async def leave(request: Request, visit: Here) -> Response:
    """Log out; what the browser kept of this tool (thumbnails) goes, too."""
    if secret := request.cookies.get(cookie_of(visit.settings)):
        await run_in_threadpool(visit.people.leave, secret)
    visit.note("leave")
    gone = {"set-cookie": session("", visit.settings, gone=True), "clear-site-data": '"cache"'}
    return RedirectResponse("/enter", 303, gone)


def _entered(settings: Settings, store: Store, name: str, password: str, token: str) -> str:
    """The secret of a new session, or "" """
    people = People(store)
    if settings.token and token and same(token, settings.token):
        return people.guest(settings.token)
    person = people.known(name, password) if settings.accounts and name else None
    return people.enter(person) if person is not None else ""
