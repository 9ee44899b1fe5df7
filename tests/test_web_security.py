"""The doors of the web tool: who comes in, what a request may be, and what headers go out."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from visitors import HERE, PASSWORD, logged_in, png, sent, tool, visitor

from potency.errors import PotencyError
from potency.web.guard import Tries, cookie_of
from potency.web.people import IDLE, People
from potency.web.settings import Limits, Settings

JSON = {"accept": "application/json"}
PAGE = {"accept": "text/html"}


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> FastAPI:
    return tool(tmp_path_factory.mktemp("lab") / "web", accounts=True)


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> FastAPI:
    return tool(tmp_path_factory.mktemp("desk") / "web")


@pytest.fixture
def here(desk: FastAPI) -> Iterator[TestClient]:
    with visitor(desk) as client:
        yield client


def test_others_reach_it_only_with_a_token_or_an_account(tmp_path: Path, lab: FastAPI) -> None:
    with pytest.raises(PotencyError, match="nothing asks them"):
        Settings(folder=tmp_path, host="0.0.0.0")
    with pytest.raises(PotencyError, match="can be guessed"):
        Settings(folder=tmp_path, host="0.0.0.0", token="short")
    if os.name == "posix":
        assert lab.state.settings.folder.stat().st_mode & 0o077 == 0, "nor other users of it"
    stranger = visitor(lab)
    told = list(stranger.get("/openapi.json", headers=JSON).json())
    assert told == ["what", "where", "mend"], "not even the description"
    for path in ("/", "/images", "/jobs.json", "/people", "/enterx", "/healthy", "/nothing", "/enter/x"):
        assert stranger.get(path, headers=JSON).status_code == 401, path
    assert {stranger.get(path).status_code for path in ("/enter", "/health", "/static/page.css")} == {200}


def test_a_token_lets_in_and_an_older_one_does_not(tmp_path: Path) -> None:
    token = "t" * 20
    app = tool(tmp_path, host="0.0.0.0", token=token)
    client = visitor(app)
    assert client.post("/enter.json", data={"token": "x" * 20}).status_code == 401
    assert client.post("/enter.json", data={"token": token}).json()["role"] == "analyst"
    assert client.get("/index.json").status_code == 200
    bearer = {"authorization": f"Bearer {token}"}
    assert visitor(app).get("/index.json", headers=bearer).status_code == 200
    assert client.get("/people.json").status_code == 403
    later = visitor(tool(tmp_path, host="0.0.0.0", token="u" * 20), cookies=dict(client.cookies))
    assert later.get("/index.json").status_code == 401, "whoever knew the token of before is out"
    assert later.get("/index.json", headers=bearer).status_code == 401


def test_a_session_of_the_open_door_ends_when_it_is_closed(tmp_path: Path) -> None:
    client = visitor(tool(tmp_path))
    assert client.get("/", headers=PAGE).status_code == 200 and client.cookies
    lab = visitor(tool(tmp_path, accounts=True), cookies=dict(client.cookies))
    assert lab.get("/index.json").status_code == 401


def test_passwords_are_hashed_by_argon2_and_a_wrong_one_is_refused(lab: FastAPI) -> None:
    store = lab.state.store
    People(store).add("eve", "the real one, hashed", "analyst")
    (row,) = store.rows("SELECT password FROM people WHERE name = 'eve'")
    assert row["password"].startswith("$argon2id$v=19$m=65536,")
    assert logged_in(lab, "eve", "the real one, hashed").get("/index.json").status_code == 200
    for name, password in (("ana", "wrong"), ("nobody", PASSWORD), ("", ""), ("ana", ""), ("local", ""), ("token", "")):
        client = visitor(lab, client=(f"198.51.100.{len(name) * 9 + len(password)}", 1))
        assert client.post("/enter.json", data={"name": name, "password": password}).status_code == 401, name
    logged = store.rows("SELECT * FROM audit WHERE act = 'refused at the door'")
    assert {row["name"] for row in logged} <= {"ana", "unknown", "local", "token"}
    kept = [row["hash"] for row in store.rows("SELECT hash FROM sessions")]
    client = logged_in(lab, "ana")
    secret = client.cookies[cookie_of(lab.state.settings)]
    assert secret not in json.dumps(store.rows("SELECT * FROM sessions")), "a copy of the base opens nothing"
    assert len(store.rows("SELECT hash FROM sessions")) == len(kept) + 1


def test_a_first_wrong_name_is_refused_like_any_other(tmp_path: Path) -> None:
    app = tool(tmp_path, accounts=True)
    assert visitor(app).post("/enter.json", data={"name": "who", "password": "x"}).status_code == 401


def test_logging_in_gives_a_new_session_and_ends_the_one_before(lab: FastAPI) -> None:
    client = visitor(lab, cookies={cookie_of(lab.state.settings): "chosen-by-somebody-else"})
    told = client.post("/enter.json", data={"name": "bea", "password": PASSWORD})
    first = told.cookies[cookie_of(lab.state.settings)]
    assert first != "chosen-by-somebody-else"
    line = told.headers["set-cookie"]
    assert all(word in line for word in ("HttpOnly", "SameSite=Strict", "Path=/")) and "Domain" not in line
    again = client.post("/enter.json", data={"name": "bea", "password": PASSWORD})
    old = visitor(lab, cookies={cookie_of(lab.state.settings): first})
    assert again.status_code == 200 and old.get("/index.json").status_code == 401
    out = client.post("/leave", headers={"x-csrf-token": again.json()["csrf"]}, follow_redirects=False)
    assert out.status_code == 303 and "Max-Age=0" in out.headers["set-cookie"]
    gone = visitor(lab, cookies={cookie_of(lab.state.settings): again.cookies[cookie_of(lab.state.settings)]})
    assert gone.get("/index.json").status_code == 401


def test_who_logs_in_goes_on_to_the_page_that_was_asked_for_and_nowhere_else(lab: FastAPI) -> None:
    page, client = {"accept": "text/html"}, visitor(lab, client=("192.0.2.250", 5000))
    asked = client.get("/jobs?page=2", headers=page)
    assert asked.status_code == 401 and 'name="to" value="/jobs?page=2"' in asked.text
    sent = client.post("/jobs/x/delete", headers={**page, "referer": f"{HERE}/jobs/x"})
    assert 'name="to" value="/jobs/x"' in sent.text and "what you sent was not taken" in sent.text
    for referer in ("https://elsewhere.example/jobs", "http://[", "", f"{HERE}/{'x' * 3000}"):
        sent = client.post("/jobs/x/delete", headers={**page, "referer": referer})
        assert 'name="to" value="/"' in sent.text, referer
    lies = ("//elsewhere.example", "/\\elsewhere.example", "https://elsewhere.example/", "/a\r\nb: c")
    for to, then in {"/jobs?page=2": "/jobs?page=2", **dict.fromkeys(lies, "/")}.items():
        form = {"name": "ana", "password": PASSWORD, "to": to}
        told = client.post("/enter", data=form, headers=page, follow_redirects=False)
        assert told.status_code == 303 and told.headers["location"] == then, to
    nowhere = (f"{HERE}/nothing", f"{HERE}//elsewhere.example", "https://elsewhere.example/jobs", "http://[", "")
    for referer, back in {f"{HERE}/jobs?page=2": "/jobs?page=2", **dict.fromkeys(nowhere, "")}.items():
        told = client.get("/nothing", headers={**page, "referer": referer})
        assert told.status_code == 404 and "To the start" in told.text
        assert (f'href="{back}">Back' in told.text) if back else ">Back" not in told.text, referer


def test_over_https_the_cookie_is_secure_and_the_page_stays_there(tmp_path: Path) -> None:
    app = tool(tmp_path, accounts=True, secure=True)
    told = visitor(app).post("/enter.json", data={"name": "ana", "password": PASSWORD})
    assert "__Host-potency" in told.headers["set-cookie"] and "Secure" in told.headers["set-cookie"]
    assert "max-age" in told.headers["strict-transport-security"]


def test_an_idle_session_ends(lab: FastAPI) -> None:
    client = logged_in(lab, "rob")
    lab.state.store.change("UPDATE sessions SET seen = seen - ? WHERE person = (SELECT id FROM people WHERE "
                           "name = 'rob')", IDLE + 1)  # fmt: skip
    assert client.get("/index.json").status_code == 401


def test_forms_carry_the_secret_of_their_session(lab: FastAPI) -> None:
    ana, bea = logged_in(lab, "ana"), logged_in(lab, "bea")
    foreign = bea.headers["x-csrf-token"]
    for given in ("", "guess", foreign):
        ana.headers["x-csrf-token"] = given
        told = ana.post("/images/examples/media.json")
        assert told.status_code == 403 and "another session" in told.json()["what"], given
    del ana.headers["x-csrf-token"]
    assert sent(ana, ("a.png", png()), csrf=foreign).status_code == 403
    page = ana.get("/images", headers=PAGE).text
    own = page.partition('name="csrf" content="')[2].partition('"')[0]
    assert sent(ana, ("a.png", png()), csrf=own).status_code == 200


@pytest.mark.parametrize("told", [{"origin": "https://evil.example"}, {"origin": "null"},
                                  {"sec-fetch-site": "cross-site"}, {"sec-fetch-site": "same-site"},
                                  {"origin": "http://127.0.0.1:9999"}])  # fmt: skip
def test_what_another_page_sends_is_refused(here: TestClient, told: dict[str, str]) -> None:
    answer = here.post("/images/examples/media.json", headers=told)
    assert answer.status_code == 403 and "another page" in answer.json()["what"]
    preflight = here.options("/images.json", headers=told | {"access-control-request-method": "POST"})
    assert preflight.status_code in (403, 405)
    assert not [name for name in (*answer.headers, *preflight.headers) if name.startswith("access-control")]


def test_another_page_may_lead_here_and_read_nothing(here: TestClient) -> None:
    cross = {"sec-fetch-site": "cross-site"}
    leads = here.get("/", headers=cross | PAGE | {"sec-fetch-mode": "navigate", "sec-fetch-dest": "document"})
    frames = here.get("/", headers=cross | PAGE | {"sec-fetch-mode": "navigate", "sec-fetch-dest": "iframe"})
    script = here.get("/jobs.json", headers=cross | {"sec-fetch-mode": "no-cors", "sec-fetch-dest": "script"})
    assert (leads.status_code, frames.status_code, script.status_code) == (200, 403, 403)


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example:8765", "", "[::1", "localhost:1@evil.example",
                                  "x" * 5000, "\xff"])  # fmt: skip
def test_a_name_that_is_not_its_own_is_refused(here: TestClient, host: str) -> None:
    assert here.get("/index.json", headers={"host": host.encode("latin-1")}).status_code == 421


def test_every_answer_has_the_strict_headers(here: TestClient) -> None:
    for path in ("/", "/index.json", "/nothing", "/static/page.js", "/openapi.json", "/health", "/enter"):
        headers = here.get(path, headers=PAGE).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy and "unsafe" not in policy and "frame-ancestors 'none'" in policy, path
        assert headers["x-content-type-options"] == "nosniff" and headers["x-frame-options"] == "DENY"
        assert "server" not in headers and not [name for name in headers if name.startswith("access-control")]


def test_pages_hold_no_script_or_style_of_their_own(here: TestClient) -> None:
    taken = sent(here, ("a.png", png())).json()["set"]
    for path in ("/", "/answer", "/images", f"/images/{taken}", "/jobs", "/models", "/models/nuclei", "/about", "/log",
                 "/account", "/people", "/enter", "/nothing"):  # fmt: skip
        text = here.get(path, headers=PAGE).text.lower()
        assert "<script>" not in text and "<style" not in text and " style=" not in text and "javascript:" not in text
        assert not [word for word in ("onclick=", "onload=", "onerror=", "hx-on") if word in text], path


def test_methods_that_no_page_has_are_refused(here: TestClient) -> None:
    for method in ("TRACE", "CONNECT", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD", "PROPFIND", "X"):
        answer = here.request(method, "/images")
        assert answer.status_code == 405, method
        assert "evil" not in answer.text
    assert here.get("/leave").status_code == 405, "a link logs nobody out"


@pytest.mark.parametrize("path", ["/static/../app.py", "/static/%2e%2e/app.py", "/static/..%2fapp.py", "/static//etc",
                                  "/static/%2e%2e%5capp.py", "/static/%00", "/static/vendor", "/images/..%2f..%2fetc",
                                  "/jobs/%2e%2e", "/jobs/%ff%fe", "/jobs/" + "x" * 60_000, "/models/..%2f..%2fcard",
                                  "/jobs/0123456789abcdef%0a", "/images/%00/%00/thumbnail",
                                  "/jobs/a%0d%0aset-cookie: x"])  # fmt: skip
def test_no_path_climbs_out(here: TestClient, path: str) -> None:
    answer = here.get(path, headers=JSON)
    assert answer.status_code == 404, answer.text
    assert "set-cookie" not in answer.headers and len(answer.text) < 500


def test_odd_forms_are_refused_in_words(here: TestClient) -> None:
    form = {"content-type": "application/x-www-form-urlencoded"}
    multi = {"content-type": "multipart/form-data; boundary=x"}
    part = 'content-disposition: form-data; name="{}"\r\n\r\n1\r\n'
    many = ("--x\r\n" + "--x\r\n".join(part.format(i) for i in range(1000)) + "--x--\r\n").encode()
    bodies = [(form, b"model=%ff%fe&set=%00"), (form, b"&".join(b"a%d=1" % i for i in range(5000))),
              (multi, b"--x\r\nnothing"), (multi, many), ({"content-type": "multipart/form-data"}, b"x"),
              ({"content-type": "application/json"}, b"[" * 100_000), ({"content-type": "a" * 9000}, b"x"),
              (multi, b"--x\r\n" + part.format("model").encode()[:-3] + b"y" * (2 * 2**20) + b"\r\n--x--\r\n"),
              ({"content-type": 'multipart/form-data; boundary="\x00"'}, b"x"),
              ({"content-type": "multipart/form-data; charset=utf-7; boundary=x"}, many[:200])]  # fmt: skip
    for headers, body in bodies:
        answer = here.post("/answer.json", content=body, headers=headers)
        assert 400 <= answer.status_code < 500, (headers, answer.status_code)
        assert set(answer.json()) == {"what", "where", "mend"} and answer.json()["mend"]


def test_an_odd_cookie_or_key_is_nobody(lab: FastAPI, here: TestClient) -> None:
    for cookie in ('a/b=c; d:e="', "x" * 9000, "\xff=\xfe", "=;=;", "potency_session=1"):
        assert here.get("/index.json", headers={"cookie": cookie.encode("latin-1")}).status_code == 200
    for bearer in ("Bearer", "Bearer  ", "Basic YTpi", "Bearer \xff", "bearer " + "x" * 9000):
        answer = visitor(lab).get("/index.json", headers={"authorization": bearer.encode("latin-1")})
        assert answer.status_code == 401, bearer


def test_too_many_tries_at_the_door_must_wait(tmp_path: Path) -> None:
    app = tool(tmp_path, accounts=True)
    thief = visitor(app, client=("203.0.113.9", 1))
    seen = [thief.post("/enter.json", data={"name": "ana", "password": str(i)}).status_code for i in range(8)]
    assert seen == [401] * 5 + [429] * 3
    assert "retry-after" in thief.post("/enter.json", data={"name": "ana", "password": PASSWORD}).headers
    assert logged_in(app, "ana").get("/index.json").status_code == 200, "who tries her name does not keep her out"
    tries = Tries(pair=100, name=3, address=4)
    assert [tries.wait("ana", f"192.0.2.{i}") > 0 for i in range(4)] == [False, False, False, True]
    assert [Tries(100, 100, 3).wait(str(i), f"2001:db8::{i}") > 0 for i in range(1)] == [False]
    house = Tries(100, 100, 3)
    assert [house.wait(str(i), f"2001:db8::{i}") > 0 for i in range(4)] == [False, False, False, True], "one /64"


def test_too_many_requests_must_wait_each_for_themselves(tmp_path: Path) -> None:
    app = tool(tmp_path, accounts=True, limits=Limits(requests=1, free=0))
    ana, bea = logged_in(app, "ana"), logged_in(app, "bea")
    assert [ana.get("/index.json").status_code for _ in range(12)][-1] == 429
    assert bea.get("/index.json").status_code == 200


def test_a_socket_is_closed(desk: FastAPI) -> None:
    said: list[Any] = []

    async def send(message: Any) -> None:
        said.append(message)

    asyncio.run(desk({"type": "websocket", "path": "/", "headers": []}, None, send))  # type: ignore[arg-type]
    assert said == [{"type": "websocket.close", "code": 1008}]


def test_two_tools_on_one_machine_do_not_share_a_cookie(tmp_path: Path) -> None:
    names = {cookie_of(Settings(folder=tmp_path / part)) for part in "ab"}
    assert len(names) == 2
