"""What stands before every page: whose request it is, whether it may come in, which headers go out."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Iterable
from http.cookies import SimpleCookie
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from potency.web.faults import Refused, answered
from potency.web.people import GUEST, LOCAL, People, Person
from potency.web.recent import Recent
from potency.web.settings import Settings
from potency.web.store import Store

COOKIE = "potency_session"
SAFE = ("GET", "HEAD", "OPTIONS")
INSTANT = "/predict.json"  # answers by the hundred a second: it has a rate and a limit of its own
FREE = ("/enter", "/enter.json", "/static/", "/health")  # what nobody needs to be known for
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; "
    "font-src 'self'; frame-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",  # with less a browser sends no origin along with a form
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=(), payment=(), usb=()",
    "cache-control": "no-store",
}
BURST = 10.0  # seconds' worth of requests that may come at once
KNOWN = 10_000  # visitors whose rate is remembered
LOGINS = 5  # tries of a name or from an address in a minute


class Rate:
    """A bucket of requests for each visitor, filled at a steady rate."""

    def __init__(self, a_second: float, burst: float) -> None:
        self.a_second, self.burst = a_second, burst
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait(self, who: str, now: float | None = None) -> float:
        """Take one request; 0, or the seconds until there is one.

        >>> rate = Rate(1.0, 2.0)
        >>> [rate.wait("a", 0.0), rate.wait("a", 0.0), rate.wait("a", 0.0), rate.wait("b", 0.0), rate.wait("a", 1.0)]
        [0.0, 0.0, 1.0, 0.0, 0.0]
        """
        now = time.monotonic() if now is None else now
        left, last = self._left.pop(who, (self.burst, now))
        left = min(self.burst, left + (now - last) * self.a_second)
        short = left < 1
        self._left[who] = (left if short else left - 1, now)
        if len(self._left) > KNOWN:
            self._left.popitem(last=False)
        return (1 - left) / self.a_second if short else 0.0


class Guard:
    """The middleware. `scope["state"]` then has `person` (None on the few open pages) and `address`."""

    def __init__(self, app: ASGIApp, settings: Settings, store: Store) -> None:
        self.app, self.settings, self.people = app, settings, People(store)
        self.rate = Rate(settings.limits.requests, settings.limits.requests * BURST)
        self.instant = Rate(settings.limits.answers, settings.limits.answers)
        self.entries = Rate(LOGINS / 60, LOGINS)
        self.recent = Recent(store)
        self._free: int | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        cookie: list[str] = []

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
                for line in cookie:
                    headers.append("set-cookie", line)
            await send(message)

        try:
            headers = Headers(scope=scope)
            self._place(scope, headers)
            await self._who(scope, headers, cookie)
            receive = self._counted(scope, headers, receive)
        except Refused as refused:
            await answered(scope, refused)(scope, receive, sending)
            return
        await self.app(scope, receive, sending)

    def _place(self, scope: Scope, headers: Headers) -> None:
        """Refuse names that are not this server's (one of a page elsewhere may lead here), and posts of other pages."""
        host = headers.get("host", "")
        name = host.rsplit(":", 1)[0].strip("[]") if not host.endswith("]") else host.strip("[]")
        if (self.settings.local or self.settings.names) and name not in {
            "localhost", "127.0.0.1", "::1", self.settings.host, *self.settings.names
        }:  # fmt: skip
            raise Refused(421, "this page is not called by that name", host[:80],
                          "open the address that `potency serve` printed, or add --name")  # fmt: skip
        if scope["method"] in SAFE:
            return
        origin, site = headers.get("origin"), headers.get("sec-fetch-site", "same-origin")
        if site not in ("same-origin", "none") or (origin and origin.partition("://")[2] != host):
            raise Refused(403, "another page sent this", "the request", "go to this page and do it there")

    async def _who(self, scope: Scope, headers: Headers, cookie: list[str]) -> None:
        state = scope.setdefault("state", {})
        state["address"] = (scope.get("client") or ("unknown", 0))[0]
        bearer = headers.get("authorization", "")
        secret = SimpleCookie(headers.get("cookie", "")).get(COOKIE) if "cookie" in headers else None
        person: Person | None = None
        if bearer:
            person = await self.recent.look(("key", bearer), lambda: self._of_key(bearer))
        elif secret is not None:
            person = await self.recent.look(("session", secret.value), lambda: self.people.person(secret.value))
        if person is None and self.settings.open and not bearer:
            person = await self._local(scope, headers, cookie)
        state["person"] = person
        rate = self.instant if scope["path"] == INSTANT else self.rate
        wait = rate.wait(str(person.id) if person else state["address"])
        if wait:
            raise Refused(429, "too many requests at once", "this page", f"wait {max(1, round(wait))} s",
                          {"retry-after": str(max(1, round(wait)))})  # fmt: skip
        path = scope["path"]
        if scope["method"] not in SAFE and path.startswith("/enter") and (wait := self.entries.wait(state["address"])):
            raise Refused(429, "too many tries", "the log-in", f"wait {round(wait) + 1} s",
                          {"retry-after": str(round(wait) + 1)})  # fmt: skip
        if person is None and not path.startswith(FREE):
            raise Refused(401, "nobody is logged in", "this page", "log in; a script sends Authorization: Bearer KEY")

    def _of_key(self, bearer: str) -> Person | None:
        kind, _, key = bearer.partition(" ")
        if kind.lower() != "bearer" or not key:
            return None
        from potency.web.people import same

        if self.settings.token and same(key, self.settings.token):
            return Person(self.people.always(GUEST, "analyst"), GUEST, "analyst", "", key=True)
        return self.people.person(key, "key")

    async def _local(self, scope: Scope, headers: Headers, cookie: list[str]) -> Person:
        """Whoever sits at this machine: a browser gets a session, for the sake of its forms; a script needs none."""
        id = await self.recent.look("local", lambda: self.people.always(LOCAL, "admin"))
        if scope["method"] in SAFE and "text/html" in headers.get("accept", ""):
            secret = await asyncio.to_thread(self.people.enter, id)
            cookie.append(session(secret, self.settings))
            found = await asyncio.to_thread(self.people.person, secret)
            if found is not None:
                return found
        browser = "sec-fetch-site" in headers or "origin" in headers
        return Person(id, LOCAL, "admin", "", key=not browser)

    def _counted(self, scope: Scope, headers: Headers, receive: Receive) -> Receive:
        """The body, refused where it is too large or too slow; checked as it comes, whatever its header says."""
        limits = self.settings.limits
        most = limits.instant if scope["path"] == INSTANT else limits.request
        told = headers.get("content-length", "0")
        if not told.isdigit() or int(told) > most:
            raise _too_large(most)
        if int(told) > 2**20 and self.people.store.free < limits.free + 2 * int(told):
            raise Refused(507, "the disk of this machine is full", "the upload",
                          "delete images, jobs or models that nobody needs; then send it again")  # fmt: skip
        came, until = 0, time.monotonic() + limits.seconds

        async def counting() -> Message:
            nonlocal came
            message = await asyncio.wait_for(receive(), max(0.01, until - time.monotonic()) if came >= 0 else None)
            came += len(message.get("body", b""))
            if came > most:
                raise _too_large(most)
            return message

        return counting if scope["method"] not in SAFE else receive


def _too_large(most: int) -> Refused:
    return Refused(413, f"the upload is larger than {most / 2**30:.3g} GB", "the request", "send fewer files at once")


def session(secret: str, settings: Settings, gone: bool = False) -> str:
    """The line that sets the cookie of a session, or takes it away."""
    parts: Iterable[str] = (
        f"{COOKIE}={'' if gone else secret}", "Path=/", "HttpOnly", "SameSite=Strict",
        *(["Secure"] if settings.secure else []), *(["Max-Age=0"] if gone else []),
    )  # fmt: skip
    return "; ".join(parts)


def state_of(scope: Scope) -> dict[str, Any]:
    """What the guard has found out about a request."""
    found: dict[str, Any] = scope["state"]
    return found
