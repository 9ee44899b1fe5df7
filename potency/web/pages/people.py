"""One's own account (password, sessions, keys of scripts), and for admins the accounts of everybody."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import Form, Request
from starlette.responses import RedirectResponse, Response

from potency.errors import PotencyError
from potency.web.faults import Refused
from potency.web.frame import Here, Pages, Visit, base
from potency.web.guard import too_fast
from potency.web.keeping import Keeps, cleared, keeps, stopped
from potency.web.pages import pieces
from potency.web.paper import printed
from potency.web.people import GUEST, LOCAL, ROLES, Account, Entry

pages = Pages()
Word = Annotated[str, Form(max_length=1000)]
Label = Annotated[str, Form(max_length=200)]


@dataclass(frozen=True)
class Own:
    """Somebody's own account; `personal` is false where it is shared: by all at this machine, or with the token.

    `changed` where the password was changed a moment ago.
    """

    name: str
    role: str
    personal: bool
    session: str
    sessions: list[Entry]
    keys: list[Entry]
    changed: bool = False


@dataclass(frozen=True)
class Key:
    """A new key; its secret is told this once, and kept nowhere."""

    label: str
    secret: str


@dataclass(frozen=True)
class Everybody:
    """All accounts, and whether they are asked for."""

    accounts: list[Account]
    roles: tuple[str, ...]
    asked: bool


@dataclass(frozen=True)
class One:
    """One account, to be changed; how much it keeps is told of a closed one only."""

    account: Account
    roles: tuple[str, ...]
    keeps: Keeps | None = None


@dataclass(frozen=True)
class Ended:
    """How many sessions and keys ended."""

    ended: int


@pages.page("/account", "account.html")
def account(visit: Here, changed: bool = False) -> Own:
    """Your account."""
    person, own = visit.person, visit.person.name not in (LOCAL, GUEST)
    sessions, keys = (visit.people.entries(person.id, kind) if own else [] for kind in ("browser", "key"))
    return Own(person.name, person.role, own, person.session, sessions, keys, changed)


@pages.action("/account/password", then=lambda _: "/account?changed=true", role="reader")
def password(visit: Here, old: Word, new: Word, again: Word) -> Ended:
    """Change one's own password; all other sessions end, keys of scripts stay."""
    _personal(visit)
    if new != again:
        raise PotencyError("the two new passwords differ", "new password", "type the new one twice")
    if wait := visit.tries.wait(visit.person.name, visit.address):
        raise too_fast("too many tries", "the old password", wait)
    if visit.people.known(visit.person.name, old) != visit.person.id:
        raise PotencyError("the old password is wrong", "old password", "type it again, or ask an admin for a new one")
    visit.people.password(visit.person.id, new)
    visit.note("change password")
    return Ended(visit.people.end_all(visit.person.id, but=visit.person.session))


@pages.action("/account/sessions/end", then=lambda _: "/account", role="reader")
def end_sessions(visit: Here) -> Ended:
    """Log out everywhere else."""
    _personal(visit)
    visit.note("end sessions")
    return Ended(visit.people.end_all(visit.person.id, but=visit.person.session))


@pages.action("/account/entries/{entry}/end", then=lambda _: "/account", role="reader")
def end(visit: Here, entry: str) -> Ended:
    """End one session, or revoke a key."""
    _personal(visit)
    visit.people.end(visit.person.id, entry)
    visit.note("end session or key")
    return Ended(1)


@pages.router.post("/account/keys.json", tags=["people"])
def key(visit: Here, label: Label) -> Key:
    """Make a key for a script; it is shown once."""
    _personal(visit)
    made = Key(label, visit.people.key(visit.person.id, label))
    visit.note("make key")
    return made


@pages.router.post("/account/keys", include_in_schema=False)
def key_page(visit: Here, request: Request, label: Label) -> Response:
    """Make a key, and go on to the page that shows it: loading that one again makes no other."""
    request.app.state.fresh[visit.person.session] = key(visit, label)
    return RedirectResponse("/account/keys", 303)


@pages.router.get("/account/keys", include_in_schema=False)
def key_shown(visit: Here, request: Request) -> Response:
    """The page that shows a new key, this once; then only the list of keys is there."""
    made = request.app.state.fresh.pop(visit.person.session, None)
    if made is None:
        return RedirectResponse("/account", 303)
    page = printed("key.html", person=visit.person, settings=visit.settings, key=made, base=base(request))
    return Response(page, media_type="text/html; charset=utf-8")


@pages.page("/people", "people.html", role="admin")
def people(visit: Here) -> Everybody:
    """All accounts."""
    return Everybody(visit.people.all(), ROLES, visit.settings.accounts)


@pages.page("/people/{id}", "person.html", role="admin")
def one(visit: Here, id: int) -> One:
    """One account."""
    return _one(visit, _listed(visit, id))


@pages.action("/people", then=lambda one: f"/people/{one.account.id}", role="admin")
def add(visit: Here, name: Annotated[str, Form(max_length=200)], password: Word, role: Word = "analyst") -> One:
    """Make an account."""
    _browser(visit)
    id = visit.people.add(name, password, role)
    visit.note(f"add {role}", str(id))
    return _one(visit, visit.people.account(id))


@pages.action("/people/{id}", then=lambda one: f"/people/{one.account.id}", role="admin")
def alter(visit: Here, id: int, role: Word, active: Annotated[bool, Form()] = False) -> One:
    """Change a role, or close an account: its sessions and keys then end at once, what it keeps stays."""
    _browser(visit)
    before = _listed(visit, id)
    changed = visit.people.alter(before.id, role, active)
    if before.role != changed.role:
        visit.note(f"make {changed.role}", str(id))
    if before.active != changed.active:
        visit.note("open account" if changed.active else "close account", str(id))
    return _one(visit, changed)


@pages.action("/people/{id}/password", then=lambda one: f"/people/{one.account.id}", role="admin")
def reset(visit: Here, id: int, password: Word) -> One:
    """Give somebody a new password; their sessions and keys end."""
    _browser(visit)
    found = _listed(visit, id)
    visit.people.password(found.id, password)
    visit.people.end_all(found.id, but=visit.person.session if found.id == visit.person.id else "", keys=True)
    visit.note("reset password", str(id))
    return _one(visit, visit.people.account(id))


@pages.action("/people/{id}/clear", then=lambda one: f"/people/{one.account.id}", role="admin")
def clear(visit: Here, id: int) -> One:
    """Delete all that a closed account keeps: sets, jobs, models, corrections, studies. It and its log lines stay."""
    _browser(visit)
    found = _listed(visit, id)
    if found.active:
        raise PotencyError("the account is open", found.name, "close it first: what an open account keeps is its own")
    stopped(visit.store, id)
    visit.note("delete all it keeps", str(id))  # before it begins: were it cut short, the log would still say so
    cleared(visit.store, id)
    pieces.forget(visit.store, id)
    return _one(visit, found)


def _one(visit: Visit, account: Account) -> One:
    return One(account, ROLES, None if account.active else keeps(visit.store, account.id))


def _listed(visit: Visit, id: int) -> Account:
    found = visit.people.account(id)
    if found.name in (LOCAL, GUEST):
        raise Refused(404, "there is no such account", str(id), "go back to the list of people")
    return found


def _personal(visit: Visit) -> None:
    """Refuse who has no account of their own, and keys: a key that leaked must not make others."""
    if visit.person.name in (LOCAL, GUEST):
        raise Refused(403, "nobody has an account of their own here", "your account", "start with --accounts")
    _browser(visit)


def _browser(visit: Visit) -> None:
    if visit.person.key and visit.person.name != LOCAL:
        raise Refused(403, "a key cannot change accounts", "the request", "log in with name and password")
