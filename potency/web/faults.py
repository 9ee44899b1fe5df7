"""What a page says when something is wrong: the same three fields as everywhere, as a page or as JSON."""

from __future__ import annotations

import logging
import sqlite3
from typing import Any

from fastapi.exceptions import RequestValidationError
from starlette.datastructures import URL
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.types import Scope

from potency.errors import MissingExtra, PotencyError
from potency.web.jobs import Missing
from potency.web.paper import door, printed

LONGEST = 300  # characters of a place: it may be what was asked for
LOST = "You were logged out, so what you sent was not taken. Send it again once you are logged in."
FARTHEST = 2000  # characters of an address to which a log-in leads back
logger = logging.getLogger(__name__)


class Refused(PotencyError):
    """A request that is turned away, with its HTTP status."""

    def __init__(self, status: int, what: str, where: str, mend: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(what, where, mend)
        self.status, self.headers = status, headers or {}


def stranger(key: bool = False) -> Refused:
    """The refusal of who is not known; `key` where a key or token was sent."""
    what, mend = "nobody is logged in", "log in; a script sends Authorization: Bearer KEY"
    if key:
        what = "the key or token opens nothing: it is mistyped, was revoked, or is of an earlier start"
        mend = "make a key on the page Account, or ask who runs this page"
    return Refused(401, what, "this page", mend, {"www-authenticate": "Bearer"})


def answered(scope: Scope, error: Exception) -> Response:
    """The answer to a request that cannot be served: what, where, mend; 4xx where the sender can mend it."""
    status, fields, headers = described(error)
    if "app" in scope and hasattr(scope["app"].state, "store"):
        fields = {name: scope["app"].state.store.discreet(text) for name, text in fields.items()}
    if isinstance(error, PotencyError):  # so that a client raises the error that the verb would have raised there
        headers = {**headers, "x-potency-error": type(error).__name__}
    if wants_json(scope):
        return JSONResponse(fields, status, headers)
    state = scope.get("state", {})
    if status == 401 and "app" in scope:  # the door, from which it goes on to the page that was asked for
        asked = scope["method"] in ("GET", "HEAD")
        page = door(scope["app"].state.settings, "" if asked else LOST, _wanted(scope), asked)
        return Response(page, status, headers, "text/html; charset=utf-8")
    title = {404: "Not here", 500: "A mistake of the program"}.get(status, "That did not work")
    request = Request(scope)
    back = _before(request)
    if request.method in ("GET", "HEAD") and back == _here(request, request.url):  # it was loaded again
        back = ""
    page = printed("error.html", title=title, person=state.get("person"), status=status, back=back, **fields)
    return Response(page, status, headers, "text/html; charset=utf-8")


def wants_json(scope: Scope) -> bool:
    """Whether a script asks: at the path of a twin, or for no page; what htmx asks for is a page."""
    headers = dict(scope.get("headers", ()))
    page = b"text/html" in headers.get(b"accept", b"*/*") or b"hx-request" in headers
    return str(scope.get("path", "")).endswith(".json") or not page


def described(error: Exception) -> tuple[int, dict[str, str], dict[str, str]]:
    """Status, the three fields and headers for an error."""
    if isinstance(error, Refused):
        return error.status, _fields(error), error.headers
    if isinstance(error, PotencyError):
        status = 404 if isinstance(error, Missing) else 501 if isinstance(error, MissingExtra) else 400
        return status, _fields(error), {}
    if isinstance(error, RequestValidationError):
        first: dict[str, Any] = dict(error.errors()[0]) if error.errors() else {}
        where = " ".join(str(part) for part in first.get("loc", ()))
        return 422, {"what": str(first.get("msg", "the request cannot be understood")).lower(), "where": where,
                     "mend": "see /openapi.json for what is expected"}, {}  # fmt: skip
    if isinstance(error, HTTPException):
        said = {404: "there is no such page", 405: "this cannot be done here"}.get(error.status_code, str(error.detail))
        where, mend = "the address", "go to the start page"
        if error.status_code == 400:  # a form that cannot be taken apart, or one of too many parts
            where, mend = "the form", "send fewer files or fields at once, as a form"
        kept = {name: value for name, value in (error.headers or {}).items() if name.lower() == "allow"}
        return error.status_code, {"what": said, "where": where, "mend": mend}, kept
    if isinstance(error, ClientDisconnect):
        return 400, {"what": "the connection broke", "where": "the upload", "mend": "send it again"}, {}
    if isinstance(error, UnicodeError | OverflowError):  # half a character; a number that no database keeps
        return 400, {"what": "a text or number cannot be understood", "where": "the request",
                     "mend": "see /openapi.json for what is expected"}, {}  # fmt: skip
    if isinstance(error, TimeoutError):
        return 408, {"what": "the upload took too long", "where": "the request", "mend": "send fewer files at once"}, {}
    if isinstance(error, sqlite3.OperationalError) and "full" in str(error):
        return 507, {"what": "the disk of this machine is full", "where": "this page",
                     "mend": "delete images, jobs or models that nobody needs; nothing is lost"}, {}  # fmt: skip
    logger.error("a page failed", exc_info=error)
    return 500, {"what": "the program made a mistake", "where": "this page",
                 "mend": "try again; if it stays so, send the log of the server to the authors"}, {}  # fmt: skip


def _wanted(scope: Scope) -> str:
    """The place that was asked for; of a form that was sent, the page on which it stands."""
    request = Request(scope)
    return (_here(request, request.url) if request.method in ("GET", "HEAD") else _before(request)) or "/"


def _before(request: Request) -> str:
    """The place of this tool from which a browser came; "" where it came from elsewhere."""
    return _here(request, URL(request.headers.get("referer", "")))


def _here(request: Request, url: URL) -> str:
    """An address as a place of this tool; "" where it is none, or one that would begin the name of a host."""
    try:
        there = f"{url.path}{url.query and '?'}{url.query}"
        ours = url.netloc == request.url.netloc and len(there) <= FARTHEST and there[1:2] not in ("/", "\\")
        return there if ours else ""
    except ValueError:  # a referer that is no address
        return ""


def _fields(error: PotencyError) -> dict[str, str]:
    return {"what": error.what, "where": error.where[:LONGEST], "mend": error.mend}


async def told(request: Request, error: Exception) -> Response:
    """The handler of every error of the application."""
    return answered(request.scope, error)
