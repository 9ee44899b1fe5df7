"""Bodies sent to the web tool: counted as they come, and not read from who may not send them; and whose word counts."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from visitors import logged_in, png, sent, tool, visitor

from potency.errors import PotencyError
from potency.web import guard
from potency.web.settings import Limits, Settings


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> FastAPI:
    return tool(tmp_path_factory.mktemp("lab") / "web", accounts=True)


def test_a_proxy_is_believed_only_if_it_is_named(tmp_path: Path) -> None:
    app = tool(tmp_path, accounts=True, proxies=("192.0.2.1",))
    forged = {"x-forwarded-for": "10.9.9.9, 203.0.113.7"}
    for client, seen in ((("192.0.2.1", 1), "203.0.113.7"), (("192.0.2.2", 1), "192.0.2.2")):
        visitor(app, client=client).post("/enter.json", data={"name": "ana", "password": "x"}, headers=forged)
        assert app.state.store.rows("SELECT address FROM audit ORDER BY id")[-1]["address"] == seen
    odd = {"x-forwarded-for": "203.0.113.7, <script>"}
    visitor(app, client=("192.0.2.1", 1)).post("/enter.json", data={"name": "ana", "password": "x"}, headers=odd)
    assert app.state.store.rows("SELECT address FROM audit ORDER BY id")[-1]["address"] == "192.0.2.1"
    with pytest.raises(PotencyError, match="no address"):
        Settings(folder=tmp_path, proxies=("proxy.example",))


async def posted(app: FastAPI, pieces: list[bytes], headers: dict[str, str], pause: float = 0.0) -> int:
    """The status of a POST whose body comes in pieces, without a length."""
    given = [(b"host", b"127.0.0.1:8765"), *((k.encode(), v.encode()) for k, v in headers.items())]
    scope: dict[str, Any] = {"type": "http", "method": "POST", "path": "/answer.json", "raw_path": b"/answer.json",
                             "query_string": b"", "headers": given, "client": ("127.0.0.1", 1), "http_version": "1.1",
                             "server": ("127.0.0.1", 8765), "scheme": "http", "root_path": ""}  # fmt: skip
    left, status = list(pieces), []

    async def receive() -> dict[str, Any]:
        await asyncio.sleep(pause)
        return {"type": "http.request", "body": left.pop(0), "more_body": bool(left)}

    async def send(message: Any) -> None:
        status.extend([message["status"]] if message["type"] == "http.response.start" else [])

    await app(scope, receive, send)
    return int(status[0])


def test_bodies_are_counted_as_they_come(tmp_path: Path) -> None:
    app = tool(tmp_path, limits=Limits(request=10_000, free=0, seconds=0.2, pace=1e6))
    form = {"content-type": "application/x-www-form-urlencoded"}
    assert asyncio.run(posted(app, [b"a" * 4000] * 3, form)) == 413, "no length was told"
    assert asyncio.run(posted(app, [b"a"], form | {"content-length": "20000"})) == 413
    for told in ("-1", "1e3", "\u00b2", "9" * 40, "0x10"):
        assert asyncio.run(posted(app, [b"a"], form | {"content-length": told})) == 413
    assert asyncio.run(posted(app, [b"a"] * 60, form, pause=0.05)) == 408, "a drop now and then"
    lab = tool(tmp_path / "lab", accounts=True)
    stranger = visitor(lab, client=("203.0.113.3", 1))
    assert stranger.post("/enter.json", content=b"x" * 70_000, headers=form).status_code == 413
    assert stranger.post("/images.json", content=b"x" * 70_000, headers=form).status_code == 401


def test_who_may_not_do_it_is_turned_away_before_anything_is_read(lab: FastAPI, monkeypatch: Any) -> None:
    rob = logged_in(lab, "rob")
    read: list[int] = []
    before = guard.Guard._counted

    def counted(self: Any, scope: Any, headers: Any, receive: Any) -> Any:
        async def noted() -> Any:
            read.append(1)
            return await receive()

        return before(self, scope, headers, noted)

    monkeypatch.setattr(guard.Guard, "_counted", counted)
    assert sent(rob, ("a.png", png())).status_code == 403 and not read
