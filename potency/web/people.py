"""Who is there: accounts, passwords, roles, and the sessions and keys by which a request says whose it is."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import threading
import time
import unicodedata
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from potency.errors import PotencyError
from potency.web.jobs import Missing
from potency.web.store import Row, Store

if TYPE_CHECKING:
    from argon2 import PasswordHasher

ROLES = ("reader", "analyst", "admin")  # each may do what those before it may
IDLE = 12 * 3600.0  # seconds after which a session that nobody uses ends
LONGEST = 14 * 24 * 3600.0
LEAST, MOST = 10, 1000  # characters of a password
LABEL = 80  # characters of what a key is called
KEYS = 20  # of one person
LOCAL, GUEST = "local", "token"  # whoever sits at this machine; whoever came with the token
ADMINS = "SELECT count(*) AS n FROM people WHERE role = 'admin' AND active AND password != ''"
AT_ONCE = threading.BoundedSemaphore(2)  # a password is hashed in 64 MB on all cores: a crowd at the door must wait


@dataclass(frozen=True)
class Person:
    """One visitor and the session that the request belongs to; `csrf` is what its forms carry."""

    id: int
    name: str
    role: str
    csrf: str
    key: bool = False  # a script's key, no browser
    session: str = ""  # its id, as in the list of sessions

    def may(self, role: str) -> bool:
        """Whether this person may do what takes that role.

        >>> Person(1, "a", "analyst", "").may("reader"), Person(1, "a", "analyst", "").may("admin")
        (True, False)
        """
        return ROLES.index(self.role) >= ROLES.index(role)


@dataclass(frozen=True)
class Account:
    """One account as an admin sees it: never what its person has."""

    id: int
    name: str
    role: str
    created: float
    active: bool
    sessions: int
    keys: int


@dataclass(frozen=True)
class Entry:
    """One session or key as its person sees it; `id` is the beginning of its hash, which opens nothing."""

    id: str
    kind: str
    label: str
    created: float
    seen: float


class People:
    """The accounts and sessions in the store. Only hashes of passwords, sessions and keys are kept."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def add(self, name: str, password: str, role: str) -> int:
        """Make an account.

        Raises:
            PotencyError: the name is taken or odd, the role unknown, the password short.
        """
        if not 1 <= len(name) <= 64 or not name.isprintable() or name != name.strip():
            raise PotencyError("a name has 1 to 64 characters", "name", "choose another name")
        if _alike(name) in (LOCAL, GUEST):
            raise PotencyError(f"the name {name!r} is kept for those who come without one", "name", "choose another")
        hashed = self._hashed(_role(role), password)
        with self.store.writing() as base:
            if any(_alike(row["name"]) == _alike(name) for row in base.execute("SELECT name FROM people")):
                raise PotencyError("there is an account of that name", "name", "choose another name")
            made = base.execute("INSERT INTO people (name, password, role, created) VALUES (?, ?, ?, ?)",
                                (unicodedata.normalize("NFC", name), hashed, role, time.time()))  # fmt: skip
        return int(made.lastrowid or 0)

    def always(self, name: str, role: str) -> int:
        """The account of those who need none (`LOCAL`, `GUEST`), made where it is not there; no password opens it."""
        found = self.store.row("SELECT id FROM people WHERE name = ?", name)
        if found is None:
            query = "INSERT OR IGNORE INTO people (name, password, role, created) VALUES (?, '', ?, ?)"
            self.store.change(query, name, role, time.time())
            found = self.store.row("SELECT id FROM people WHERE name = ?", name)
        assert found is not None
        return int(found["id"])

    def known(self, name: str, password: str) -> int | None:
        """The account of a name and its password; a name that is not there takes as long to refuse as one that is."""
        from argon2.exceptions import InvalidHashError, VerificationError

        name = unicodedata.normalize("NFC", name)
        found = self.store.row("SELECT id, password FROM people WHERE name = ? AND active", name)
        hashed = found["password"] if found and found["password"] else _nobody()
        try:
            with AT_ONCE:
                _hasher().verify(hashed, unicodedata.normalize("NFC", password[:MOST]))
        except (VerificationError, InvalidHashError):
            return None
        return int(found["id"]) if found and found["password"] else None

    def enter(self, person: int, kind: str = "browser", label: str = "") -> str:
        """Begin a session, or make a script's key; the secret that is given back is kept nowhere."""
        secret, now = secrets.token_urlsafe(32), time.time()
        self.store.add("sessions", hash=_hash(secret), person=person, secret=secrets.token_urlsafe(32), created=now,
                       seen=now, kind=kind, label=label)  # fmt: skip
        return secret

    def person(self, secret: str, kind: str = "browser") -> Person | None:
        """Whose session or key it is; None where it has ended."""
        query = (
            "SELECT people.id, name, role, secret, seen, sessions.created FROM sessions "
            "JOIN people ON person = people.id WHERE hash = ? AND kind = ? AND active"
        )
        found, now = self.store.row(query, _hash(secret), kind), time.time()
        if found is None:
            return None
        if kind == "browser" and (now - found["seen"] > IDLE or now - found["created"] > LONGEST):
            self.leave(secret)
            return None
        if now - found["seen"] > 60:
            self.store.change("UPDATE sessions SET seen = ? WHERE hash = ?", now, _hash(secret))
        own = _hash(secret)[:16]
        return Person(found["id"], found["name"], found["role"], found["secret"], kind != "browser", own)

    def leave(self, secret: str) -> None:
        """End a session."""
        self.store.change("DELETE FROM sessions WHERE hash = ?", _hash(secret))

    def entries(self, person: int, kind: str) -> list[Entry]:
        """The sessions ("browser") or keys ("key") of a person, the one last used first."""
        query = "SELECT * FROM sessions WHERE person = ? AND kind = ? ORDER BY seen DESC LIMIT 200"
        return [_entry(row) for row in self.store.rows(query, person, kind)]

    def key(self, person: int, label: str) -> str:
        """Make a key for a script; it may do what its person may, until it is revoked.

        Raises:
            PotencyError: it has no name, or there are too many.
        """
        label = "".join(sign for sign in label if sign.isprintable()).strip()[:LABEL]
        if not label:
            raise PotencyError("the key has no name", "label", "say what it is for, so that you know it again")
        if len(self.entries(person, "key")) >= KEYS:
            raise PotencyError(f"you have {KEYS} keys", "label", "revoke those that nobody uses")
        return self.enter(person, "key", label)

    def end(self, person: int, id: str) -> None:
        """End one session or key of a person by its id.

        Raises:
            Missing: there is none, or it is somebody else's.
        """
        query = "DELETE FROM sessions WHERE person = ? AND substr(hash, 1, 16) = ?"
        if not self.store.change(query, person, id):
            raise Missing("there is no such session or key", id, "it may have ended; the list has those that are left")

    def end_all(self, person: int, but: str = "", keys: bool = False) -> int:
        """End the sessions of a person, but for the one of that id; their keys, too, where that is said."""
        query = "DELETE FROM sessions WHERE person = ? AND substr(hash, 1, 16) != ? AND (kind = 'browser' OR ?)"
        return self.store.change(query, person, but, keys)

    def password(self, person: int, password: str) -> None:
        """Set a password; who calls ends the sessions that began with the old one.

        Raises:
            PotencyError: it is short, or the account has none.
        """
        hashed = self._hashed(self.account(person).role, password)
        self.store.change("UPDATE people SET password = ? WHERE id = ?", hashed, person)

    def all(self) -> list[Account]:
        """Every account that somebody can log in to."""
        return self._accounts("name NOT IN (?, ?)", LOCAL, GUEST)

    def account(self, id: int) -> Account:
        """One account.

        Raises:
            Missing: there is none.
        """
        if not 0 < id < 2**62 or not (found := self._accounts("people.id = ?", id)):
            raise Missing("there is no such account", str(id), "go back to the list of people")
        return found[0]

    def alter(self, id: int, role: str, active: bool) -> Account:
        """Change a role, or close or open an account; whoever is closed out is logged out at once, keys and all.

        Raises:
            PotencyError: nobody would be left who may do this; no such role. Missing: no such account.
        """
        account = self.account(id)
        if account.name in (LOCAL, GUEST):
            raise PotencyError("this account belongs to nobody", account.name, "choose one of the list")
        with self.store.writing() as base:
            query = "UPDATE people SET role = ?, active = ? WHERE id = ?"
            base.execute(query, (_role(role), int(active), id))
            if account.role == "admin" and account.active and not base.execute(ADMINS).fetchone()["n"]:
                raise PotencyError("nobody would be left who may manage accounts", account.name,
                                   "make somebody else an admin first")  # fmt: skip
            if not active:
                base.execute("DELETE FROM sessions WHERE person = ?", (id,))
        return self.account(id)

    @property
    def admins(self) -> int:
        """How many people may manage accounts."""
        return int((self.store.row(ADMINS) or {"n": 0})["n"])

    def guest(self, token: str) -> str:
        """Begin a session of whoever came with the token; it ends with that token."""
        return self.enter(self.always(GUEST, "analyst"), label=_hash(token)[:16])

    def sweep(self, token: str, open: bool) -> None:
        """At the start: end what has run out, and sessions of an earlier start's token or open door."""
        now, mark = time.time(), _hash(token)[:16] if token else ""
        query = "DELETE FROM sessions WHERE kind = 'browser' AND (seen < ? OR created < ?)"
        self.store.change(query, now - IDLE, now - LONGEST)
        of = "DELETE FROM sessions WHERE person IN (SELECT id FROM people WHERE name = ?)"
        self.store.change(f"{of} AND label != ?" if token else of, GUEST, *([mark] if token else []))
        if not open:
            self.store.change(of, LOCAL)

    def _accounts(self, among: str, *values: object) -> list[Account]:
        query = (
            "SELECT people.id, name, role, people.created, active, "
            "count(CASE WHEN kind = 'browser' THEN 1 END) AS sessions, "
            "count(CASE WHEN kind = 'key' THEN 1 END) AS keys "
            f"FROM people LEFT JOIN sessions ON person = people.id WHERE {among} GROUP BY people.id ORDER BY name"
        )
        return [Account(**{**row, "active": bool(row["active"])}) for row in self.store.rows(query, *values)]

    def _hashed(self, role: str, password: str) -> str:
        wrong = {f"has under {LEAST} characters": len(password) < LEAST, f"has over {MOST}": len(password) > MOST,
                 "is one or a few characters repeated": len(set(password)) < 5}  # fmt: skip
        for what in (words for words, so in wrong.items() if so):
            raise PotencyError(f"the password {what}", "password", "choose another one")
        with AT_ONCE:
            return _hasher().hash(unicodedata.normalize("NFC", password))


def same(given: str, expected: str) -> bool:
    """Compare two secrets in a time that tells nothing about them."""
    return hmac.compare_digest(given.encode("utf-8", "surrogatepass"), expected.encode())


def _role(role: str) -> str:
    if role not in ROLES:
        raise PotencyError(f"there is no role {role[:40]!r}", "role", "one of " + ", ".join(ROLES))
    return role


def _alike(name: str) -> str:
    """A name without what readers do not see: two accounts must not look the same in a list or log."""
    return unicodedata.normalize("NFKC", name).casefold()


def _entry(row: Row) -> Entry:
    return Entry(row["hash"][:16], row["kind"], row["label"], row["created"], row["seen"])


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


@cache
def _hasher() -> PasswordHasher:
    from argon2 import PasswordHasher

    return PasswordHasher()


@cache
def _nobody() -> str:
    """The hash against which the password of a name that is not there is tried."""
    return str(_hasher().hash(secrets.token_urlsafe(16)))
