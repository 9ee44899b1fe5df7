"""What stands before every page: whose request it is, whether it may come in, which headers go out."""

from __future__ import annotations

import asyncio
import hashlib
import ipaddress
import re
import time
from collections import OrderedDict
from collections.abc import Iterable

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from potency.web.faults import Refused, answered, stranger
from potency.web.people import GUEST, LOCAL, People, Person, same
from potency.web.recent import Recent
from potency.web.settings import Settings

SAFE = ("GET", "HEAD", "OPTIONS")
INSTANT = "/predict.json"  # answers by the hundred a second: it has a rate and a limit of its own
FREE = ("/enter", "/enter.json", "/health")  # what nobody needs to be known for, and the files of the design
DESIGN = "/static/"
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
HTTPS = {"strict-transport-security": "max-age=31536000"}  # where cookies travel by https only
BURST = 10.0  # seconds' worth of requests that may come at once
KNOWN = 10_000  # visitors whose rate is remembered
ALONE = 20  # times the rate for whoever sits at an open tool: there is nobody to be kept from
STRANGER = 2**16  # bytes that somebody unknown may send: a log-in is a few hundred
TEXT = 16 * 2**20  # bytes of a body without files
LOOK = 64 * 2**20  # bytes of a body between two looks at the room on the disk


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


class Tries:
    """How often somebody may try to log in: so often a minute by a name from an address, by a name, from an address.

    The first is the smallest: whoever tries another's name again and again keeps only themselves out.
    """

    def __init__(self, pair: int = 5, name: int = 30, address: int = 30) -> None:
        self.rates = tuple(Rate(count / 60, count) for count in (pair, name, address))

    def wait(self, name: str, address: str) -> float:
        """Take one try; 0, or the seconds until there is one."""
        name, address = name.casefold()[:64], street(address)
        who = (f"{name} {address}", name, address) if name else (None, None, address)  # a token has no name
        return max(rate.wait(one) for rate, one in zip(self.rates, who, strict=True) if one is not None)


def street(address: str) -> str:
    """The part of an address by which visitors are told apart: one house has a whole /64 of IPv6 to itself.

    >>> street("192.0.2.7"), street("2001:db8::1"), street("::1"), street("unknown")
    ('192.0.2.7', '2001:db8::/64', '::1', 'unknown')
    """
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address[:64]
    if found.version == 4 or found.is_loopback:
        return str(found)
    return str(ipaddress.ip_network((found, 64), strict=False))


class Guard:
    """The middleware. `scope["state"]` then has `person` (None on the few open pages) and `address`."""

    def __init__(self, app: ASGIApp, settings: Settings, recent: Recent) -> None:
        self.app, self.settings, self.people = app, settings, People(recent.store)
        self.cookie, self.recent = cookie_of(settings), recent
        rate = settings.limits.requests * (ALONE if settings.open else 1)
        self.rate = Rate(rate, rate * BURST)
        self.instant = Rate(settings.limits.answers, settings.limits.answers)
        self.headers = HEADERS | (HTTPS if settings.secure else {})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":  # no page has one, and nothing below asks it who it is
            await send({"type": "websocket.close", "code": 1008})
            return
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        cookie: list[str] = []

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in self.headers.items():
                    headers.setdefault(name, value)
                for line in cookie:
                    headers.append("set-cookie", line)
            await send(message)

        try:
            headers = Headers(scope=scope)
            self._place(scope, headers)
            await self._who(scope, headers, cookie)
            receive = self._counted(scope, headers, receive)
        except Exception as error:
            await answered(scope, error)(scope, receive, sending)
            return
        await self.app(scope, receive, sending)

    def _place(self, scope: Scope, headers: Headers) -> None:
        """Refuse names that are not this server's (one of a page elsewhere may lead here), and what other pages send.

        A page elsewhere may lead a browser here by a link; its forms, scripts and pictures get nothing.
        """
        host = headers.get("host", "")
        told = re.fullmatch(r"(\[[0-9a-fA-F:.]+\]|[^:@\[\]]+)(:[0-9]{1,5})?", host)
        name = told[1].strip("[]").lower() if told else ""
        if (self.settings.local or self.settings.names) and name not in {
            "localhost", "127.0.0.1", "::1", self.settings.host, *self.settings.names
        }:  # fmt: skip
            raise Refused(421, "this page is not called by that name", host[:80],
                          "open the address that `potency serve` printed, or add --name")  # fmt: skip
        if "content-length" in headers and "transfer-encoding" in headers:  # a proxy may take it for two requests
            raise Refused(400, "two lengths were told of one request", "the request", "send it again")
        origin, site = headers.get("origin"), headers.get("sec-fetch-site", "same-origin")
        ours = site in ("same-origin", "none")
        if scope["method"] in SAFE:
            ours = ours or headers.get("sec-fetch-mode") == "navigate" and headers.get("sec-fetch-dest") == "document"
        elif origin is not None and origin.partition("://")[2] != host:
            ours = False
        if not ours:
            raise Refused(403, "another page sent this", "the request", "go to this page and do it there")

    async def _who(self, scope: Scope, headers: Headers, cookie: list[str]) -> None:
        state = scope.setdefault("state", {})
        state["address"], state["person"] = self._address(scope, headers), None
        bearer = headers.get("authorization", "")
        secret = HTTPConnection(scope).cookies.get(self.cookie)
        person: Person | None = None
        if bearer:
            person = await self.recent.look(("key", bearer), lambda: self._of_key(bearer))
        elif secret:
            person = await self.recent.look(("session", secret), lambda: self.people.person(secret))
        if person is None and self.settings.open and not bearer:
            person = await self._local(scope, headers, cookie)
        state["person"] = person
        rate = self.instant if scope["path"] == INSTANT else self.rate
        if wait := rate.wait(str(person.id) if person else street(state["address"])):
            raise too_fast("too many requests at once", "this page", wait)
        path = scope["path"]
        if person is None and path not in FREE and not path.startswith(DESIGN):
            raise stranger(bool(bearer))

    def _address(self, scope: Scope, headers: Headers) -> str:
        """Where a request came from; what a header says of it is believed of a proxy that was named, and of no other.

        A proxy adds the address that it saw at the end of the header: only that one is its own word.
        """
        seen = str((scope.get("client") or ("unknown", 0))[0])
        if seen not in self.settings.proxies:
            return seen
        told = ",".join(headers.getlist("x-forwarded-for")).rpartition(",")[2].strip()
        try:
            return str(ipaddress.ip_address(told))
        except ValueError:
            return seen

    def _of_key(self, bearer: str) -> Person | None:
        kind, _, key = bearer.partition(" ")
        if kind.lower() != "bearer" or not key:
            return None
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
        """The body, refused where it is too large, too slow or too much for the disk, whatever its header says."""
        if scope["method"] in SAFE:
            return receive
        limits, told = self.settings.limits, headers.get("content-length", "0")
        files = headers.get("content-type", "").strip().lower().startswith("multipart/form-data")
        most = limits.request if files else min(TEXT, limits.request)
        if scope["path"] == INSTANT:
            most = min(limits.instant, most)
        if scope["state"]["person"] is None:
            most = min(STRANGER, most)
        if not (told.isascii() and told.isdigit()) or len(told) > 18 or int(told) > most:
            raise too_large(most)
        if int(told) > 2**20:
            self._room(int(told))
        came, ended, begun, looked = 0, False, time.monotonic(), 0

        async def counting() -> Message:
            nonlocal came, ended, looked
            if ended:  # what is still to be heard is whether the other side has gone, for which there is time
                return await receive()
            # Whoever sends is given some seconds, and more for what has come: a long upload is never cut short.
            until = begun + limits.seconds + came / limits.pace
            message = await asyncio.wait_for(receive(), max(0.01, until - time.monotonic()))
            came += len(message.get("body", b""))
            ended = not message.get("more_body", False)
            if came > most:
                raise too_large(most)
            if came - looked > LOOK:
                looked = came
                self._room(0)
            return message

        return counting

    def _room(self, count: int) -> None:
        """Refuse a body for which the disk has no room: it is written twice, as it comes and as it is kept."""
        if self.people.store.free < self.settings.limits.free + 2 * count:
            raise Refused(507, "the disk of this machine is full", "the upload",
                          "delete images, jobs or models that nobody needs; then send it again")  # fmt: skip


def too_large(most: int) -> Refused:
    """The refusal of a body of more than that many bytes."""
    size = f"{most / 2**30:.3g} GB" if most >= 2**30 else f"{most / 2**20:.3g} MB"
    return Refused(413, f"the upload is larger than {size}", "the request", "send fewer files at once")


def too_fast(what: str, where: str, wait: float) -> Refused:
    """The refusal of who has to wait some seconds."""
    seconds = str(max(1, round(wait + 0.5)))
    return Refused(429, what, where, f"wait {seconds} s", {"retry-after": seconds})


def cookie_of(settings: Settings) -> str:
    """The name of the session's cookie: browsers keep one jar for all ports of a machine, so each tool has its own.

    Over https the prefix lets no other host of the domain set it (RFC 6265bis, 4.1.3.2).
    """
    own = hashlib.sha256(str(settings.folder.absolute()).encode()).hexdigest()[:8]
    return f"{'__Host-' if settings.secure else ''}potency_{own}"


def session(secret: str, settings: Settings, gone: bool = False) -> str:
    """The line that sets the cookie of a session, or takes it away."""
    parts: Iterable[str] = (
        f"{cookie_of(settings)}={'' if gone else secret}", "Path=/", "HttpOnly", "SameSite=Strict",
        *(["Secure"] if settings.secure else []), *(["Max-Age=0"] if gone else []),
    )  # fmt: skip
    return "; ".join(parts)
