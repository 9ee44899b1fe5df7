"""What a client says to a web tool and hears: requests that are tried again, errors as they were raised there."""

from __future__ import annotations

import json
import secrets
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from email.message import Message
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import quote, urlencode, urlsplit
from urllib.request import Request, build_opener

from potency import errors
from potency.data.whole import replacing
from potency.errors import PotencyError
from potency.web.jobs import Missing

AGAIN = (429, 502, 503, 504)  # what passes by itself
PIECE = 2**20
Parts = Sequence[tuple[str, bytes]]  # names and contents of files


@dataclass(frozen=True)
class Asking:
    """One web tool and how it is asked; only the standard library is needed.

    Attributes:
        url: its address.
        key: a script's key, or the token; "" where nobody is asked who they are.
        patience: seconds during which a server that is away or busy is asked again.
        timeout: seconds without a word of an answer.
    """

    url: str
    key: str = ""
    patience: float = 60.0
    timeout: float = 600.0

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise PotencyError("this is no address of a web tool", self.url,
                               "give the one that `potency serve` prints, like http://127.0.0.1:8765/")  # fmt: skip

    def get(self, path: str, **query: Any) -> Any:
        """The JSON twin at a path."""
        asked = f"{path}?{urlencode(query)}" if query else path
        with self._opened(asked, None, {}) as answer:
            return json.load(answer)

    def post(self, path: str, files: Parts = (), **fields: str) -> Any:
        """Send a form, and files with it."""
        line = secrets.token_hex(16)
        pieces = [f'--{line}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
                  for name, value in fields.items()]  # fmt: skip
        for name, content in files:
            shown = name.replace("\\", "/").replace('"', "%22").replace("\r", " ").replace("\n", " ")
            head = f'--{line}\r\nContent-Disposition: form-data; name="files"; filename="{shown}"\r\n'
            pieces += [head.encode() + b"Content-Type: application/octet-stream\r\n\r\n", content, b"\r\n"]
        body = b"".join([*pieces, f"--{line}--\r\n".encode()])
        with self._opened(path, body, {"content-type": f"multipart/form-data; boundary={line}"}) as answer:
            return json.load(answer)

    def fetch(self, path: str, into: Path, size: int) -> None:
        """Download a file; it is there whole or not at all, and one that is there already is left."""
        if into.is_file() and into.stat().st_size == size:
            return
        with replacing(into) as part:
            with self._opened(quote(path), None, {}) as answer, part.open("wb") as file:
                shutil.copyfileobj(answer, file, PIECE)
            if part.stat().st_size != size:
                raise PotencyError("the file came cut short", path, "give the same call again: it goes on")

    def _opened(self, path: str, body: bytes | None, headers: Mapping[str, str]) -> HTTPResponse:
        own = {"accept": "application/json", **headers} | ({"authorization": f"Bearer {self.key}"} if self.key else {})
        address, until = f"{self.url.rstrip('/')}/{path}", time.monotonic() + self.patience
        pause = 0.2
        while True:
            try:
                answer: HTTPResponse = build_opener().open(Request(address, body, own), timeout=self.timeout)
                return answer
            except HTTPError as error:
                with error:
                    if error.code not in AGAIN or time.monotonic() > until:
                        raise raised(error.headers, error.read(PIECE), error.code) from None
                    wait = error.headers.get("retry-after", "")
                    pause = float(wait) if wait.isdigit() else pause
            except (URLError, HTTPException, TimeoutError, ConnectionError) as error:
                if time.monotonic() > until:
                    reason = getattr(error, "reason", None) or error
                    raise PotencyError(f"the web tool does not answer: {reason}", self.url,
                                       "is `potency serve` running there?") from error  # fmt: skip
            time.sleep(min(pause, max(0.0, until - time.monotonic()) + 0.01))
            pause = min(2 * pause, 5.0)


def raised(headers: Message | Mapping[str, str], body: bytes, status: int) -> PotencyError:
    """The error that was raised on the server, of the class it had there."""
    try:
        told = json.loads(body)
        fields = {name: str(told[name]) for name in ("what", "where", "mend")}
    except (ValueError, KeyError, TypeError):
        fields = {"what": f"the server answered {status}, and not as a web tool of potency does", "where": "",
                  "mend": "check the address"}  # fmt: skip
    if status == 404:
        return Missing(fields["what"], fields["where"], fields["mend"])
    return error_of({**fields, "kind": headers.get("x-potency-error") or ""})


def error_of(fields: Mapping[str, str]) -> PotencyError:
    """An error from its three fields and the name of its class.

    >>> error_of({"kind": "ImageError", "what": "the file is empty", "where": "a.tif", "mend": "copy it"})
    ImageError('the file is empty', 'a.tif', 'copy it')
    """
    found = getattr(errors, str(fields.get("kind", "")), None)
    kind: type[PotencyError] = found if isinstance(found, type) and issubclass(found, PotencyError) else PotencyError
    made = kind.__new__(kind)  # some take other words than these when they are made
    PotencyError.__init__(made, *(str(fields.get(name, "")) for name in ("what", "where", "mend")))
    return made

