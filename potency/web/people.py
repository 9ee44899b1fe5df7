"""Who is there: accounts, passwords, roles, and the sessions and keys by which a request says whose it is."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from potency.errors import PotencyError
from potency.web.store import Store

if TYPE_CHECKING:
    from argon2 import PasswordHasher

ROLES = ("reader", "analyst", "admin")  # each may do what those before it may
IDLE = 12 * 3600.0  # seconds after which a session that nobody uses ends
LONGEST = 14 * 24 * 3600.0
LEAST = 10  # characters of a password
LOCAL, GUEST = "local", "token"  # whoever sits at this machine; whoever came with the token


@dataclass(frozen=True)
class Person:
    """One visitor and the session that the request belongs to; `csrf` is what its forms carry."""

    id: int
    name: str
    role: str
    csrf: str
    key: bool = False  # a script's key, no browser

    def may(self, role: str) -> bool:
        """Whether this person may do what takes that role.

        >>> Person(1, "a", "analyst", "").may("reader"), Person(1, "a", "analyst", "").may("admin")
        (True, False)
        """
        return ROLES.index(self.role) >= ROLES.index(role)


class People:
    """The accounts and sessions in the store. Only hashes of passwords, sessions and keys are kept."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def add(self, name: str, password: str, role: str) -> int:
        """Make an account; "" as the password makes one that nobody can log in to by name.

        Raises:
            PotencyError: the name is taken or odd, the role unknown, the password short.
        """
        if role not in ROLES:
            raise PotencyError(f"there is no role {role!r}", "role", "one of " + ", ".join(ROLES))
        if not 1 <= len(name) <= 64 or not name.isprintable() or name != name.strip():
            raise PotencyError("a name has 1 to 64 characters", "name", "choose another name")
        if password and len(password) < LEAST:
            raise PotencyError(f"the password has under {LEAST} characters", "password", "choose a longer one")
        hashed = _hasher().hash(password) if password else ""
        with self.store.writing() as base:
            if base.execute("SELECT 1 FROM people WHERE name = ?", (name,)).fetchone():
                raise PotencyError("there is an account of that name", "name", "choose another name")
            made = base.execute("INSERT INTO people (name, password, role, created) VALUES (?, ?, ?, ?)",
                                (name, hashed, role, time.time()))  # fmt: skip
        return int(made.lastrowid or 0)

    def always(self, name: str, role: str) -> int:
        """The account of those who need none, made where it is not there."""
        found = self.store.row("SELECT id FROM people WHERE name = ?", name)
        return int(found["id"]) if found else self.add(name, "", role)

    def known(self, name: str, password: str) -> int | None:
        """The account of a name and its password; a name that is not there takes as long to refuse as one that is."""
        from argon2.exceptions import InvalidHashError, VerificationError

        found = self.store.row("SELECT id, password FROM people WHERE name = ? AND active", name)
        hashed = found["password"] if found and found["password"] else _NOBODY[0]
        try:
            _hasher().verify(hashed, password)
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
        return Person(found["id"], found["name"], found["role"], found["secret"], key=kind != "browser")

    def leave(self, secret: str) -> None:
        """End a session."""
        self.store.change("DELETE FROM sessions WHERE hash = ?", _hash(secret))


def same(given: str, expected: str) -> bool:
    """Compare two secrets in a time that tells nothing about them."""
    return hmac.compare_digest(given.encode(), expected.encode())


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _hasher() -> PasswordHasher:
    from argon2 import PasswordHasher

    hasher = PasswordHasher()
    if not _NOBODY:
        _NOBODY.append(hasher.hash(secrets.token_urlsafe(16)))
    return hasher


_NOBODY: list[str] = []
