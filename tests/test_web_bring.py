"""Models that are brought to the web tool: numbers and a card, nothing that runs; and connections cut off in time."""

from __future__ import annotations

import io
import json
import socket
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from browser import serving
from fastapi import FastAPI
from fastapi.testclient import TestClient
from safetensors.numpy import load, save
from visitors import packed, sent, tool, visitor

from potency.bundle.shipped import SCHEME, labels, located
from potency.errors import BundleError
from potency.web import wire
from potency.web.jobs import Job, Jobs
from potency.web.work.bring import bounded
from potency.web.worker import Worker

FILES = {path.name: path.read_bytes() for path in located("example:medium").iterdir()}
WEIGHTS = load(FILES["weights.safetensors"])
PICKLE = b"\x80\x04\x95\x10\x00\x00\x00\x00\x00\x00\x00\x8c\x08builtins\x94."


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> FastAPI:
    return tool(tmp_path_factory.mktemp("bring") / "web")


@pytest.fixture
def client(app: FastAPI) -> Iterator[TestClient]:
    with visitor(app) as client:
        yield client


def done(app: FastAPI, told: dict[str, str]) -> Job:
    """The job of a model, worked on here."""
    assert Worker(app.state.store).turn()
    return Jobs(app.state.store).find(told["id"])


@pytest.mark.parametrize(("name", "data", "says"), [
    ("weights.pt", PICKLE, "pickle"), ("model.pkl", PICKLE, "pickle"), ("pytorch_model.bin", PICKLE, "pickle"),
    ("weights.skops", b"PK\x03\x04", "estimators"), ("run.py", b"import os", "program"),
    ("a.html", b"<script>", "program"),
    ("notes.txt", b"x", "does not hold"), ("../card.json", b"[]", "twice"),
    ("weights.safetensors", PICKLE * 9, "pickle"), ("weights.safetensors", packed({"a": b"x"}), "pickle"),
    ("weights.safetensors", b"x" * 99, "not safetensors"), ("weights.safetensors", b"", "not safetensors"),
    ("card.json", b"[" * 10**6, "not what its name says"), ("card.json", b"\xff\xfe", "not what its name says"),
    ("MODEL_CARD.md", b"\xff\xfe", "not what its name says"), (".htaccess", b"x", "does not hold"),
])  # fmt: skip
def test_what_is_no_part_of_a_model_is_refused_by_name_and_content(
    client: TestClient, app: FastAPI, name: str, data: bytes, says: str
) -> None:
    for upload in ((("m.zip", packed({**FILES, name: data})),), tuple({**FILES, name: data}.items())):
        told = sent(client, *upload, path="/models.json")
        assert told.status_code == 400 and says in told.json()["what"], told.text
    assert not list((app.state.store.folder / "models").iterdir()) and not Jobs(app.state.store).of(1)


def test_a_model_lacks_nothing_and_is_not_too_large(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    from potency.web import bringing

    for gone in ("card.json", "weights.safetensors"):
        told = sent(client, *((name, data) for name, data in FILES.items() if name != gone), path="/models.json")
        assert gone in told.json()["what"]
    twice = io.BytesIO()
    with zipfile.ZipFile(twice, "w") as archive:
        for folder in "ab":
            archive.writestr(f"{folder}/card.json", FILES["card.json"])
    assert "twice" in sent(client, ("m.zip", twice.getvalue()), path="/models.json").json()["what"]
    monkeypatch.setattr(bringing, "LARGEST", 10**6)
    assert "large" in sent(client, *FILES.items(), path="/models.json").json()["what"]


def test_a_model_is_tried_by_a_worker_then_shelved_used_and_given_back(client: TestClient, app: FastAPI) -> None:
    told = sent(client, ("m.zip", packed({f"mine/{name}": data for name, data in FILES.items()})), path="/models.json",
                title='<script>alert("m")</script>').json()  # fmt: skip
    assert len(client.get("/models.json").json()["models"]) == len(labels("")) + len(labels(SCHEME))
    job = done(app, told)
    assert job.state == "done", job.error
    model = job.result["model"]
    for path in ("/models", f"/models/{model}", f"/jobs/{job.id}"):
        page = visitor(app).get(path, headers={"accept": "text/html"})
        assert page.status_code == 200 and "<script>alert" not in page.text
    back = client.get(f"/models/{model}/bundle.zip")
    assert back.headers["content-disposition"] == 'attachment; filename="script-alert-m-script.zip"'
    with zipfile.ZipFile(io.BytesIO(back.content)) as archive:
        assert {name: archive.read(name) for name in archive.namelist()} == FILES and archive.testzip() is None
    assert client.post(f"/models/{model}/delete.json").status_code == 200
    assert not list((app.state.store.folder / "models").glob("[0-9a-f]*"))


def changed(**card: object) -> dict[str, bytes]:
    """The model with another card."""
    told = json.loads(FILES["card.json"])
    for path, value in card.items():
        *way, last = path.split("__")
        at = told
        for part in way:
            at = at[int(part) if part.isdigit() else part]
        at[last] = value
    return FILES | {"card.json": json.dumps(told).encode()}


HOSTILE = {
    "figures": changed(validation={"metrics": {"accuracy": {"value": "<script>"}}}),
    "not a number": FILES | {"card.json": FILES["card.json"].replace(b'"trust"', b'"odd": NaN, "trust"', 1)},
    "a title": changed(data__title=["x"]),
    "an unknown network": changed(members__0__plan__network="http://evil.example/net"),
    "a path": changed(members__0__plan__network="../../etc/passwd"),
    "weights of others": FILES | {"weights.safetensors": save({"a": np.zeros(3, "float32")})},
    "other numbers": FILES | {"weights.safetensors": save({k: np.zeros_like(v) for k, v in WEIGHTS.items()})},
}  # fmt: skip


@pytest.mark.parametrize("which", HOSTILE)
def test_a_model_that_is_not_what_it_says_fails_in_words(client: TestClient, app: FastAPI, which: str) -> None:
    job = done(app, sent(client, *HOSTILE[which].items(), path="/models.json").json())
    assert job.state == "failed" and "mistake" not in job.error["what"], job.error
    assert str(app.state.store.folder) not in json.dumps(job.error) and ".brought" not in json.dumps(job.error)
    assert all(model["shipped"] for model in client.get("/models.json").json()["models"])
    assert visitor(app).get(f"/jobs/{job.id}", headers={"accept": "text/html"}).status_code == 200


def test_a_model_may_not_ask_for_all_the_memory() -> None:
    pytest.importorskip("resource")
    if not Path("/proc/self/status").is_file():
        pytest.skip("only Linux can be asked")
    with pytest.raises(MemoryError), bounded(2**26):
        np.ones(2**28, "uint8")
    assert np.ones(2**27, "uint8").nbytes


def test_the_files_of_a_bundle_are_all_that_is_taken() -> None:
    from potency.web.bringing import FILE, refused

    for name in ("card.json", "MODEL_CARD.md", "weights.safetensors", "weights12.3.safetensors", "known.safetensors"):
        assert FILE.fullmatch(name)
    for name in ("Card.json", "weights.safetensors.py", "a b.safetensors", "..safetensors", "x/card.json", "a.json\n"):
        assert not FILE.fullmatch(name) and isinstance(refused(name), BundleError)


def raw(address: str) -> socket.socket:
    host, port = address.removeprefix("http://").strip("/").split(":")
    return socket.create_connection((host, int(port)), timeout=20)


def test_who_sends_a_head_too_slowly_is_cut_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import threading

    import uvicorn

    monkeypatch.setattr(wire, "HEAD", 1.0)
    monkeypatch.setattr(wire, "_loopback", lambda _: False)
    config = uvicorn.Config(tool(tmp_path / "web"), port=0, log_config=None, http=wire.line(3), **wire.limits(50))
    config.load()
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.02)
    address = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}/"
    try:
        with raw(address) as slow, raw(address) as silent:
            begun = time.monotonic()
            slow.sendall(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n")
            for _ in range(60):
                time.sleep(0.1)
                try:
                    slow.sendall(b"X")
                except OSError:
                    break
            assert time.monotonic() - begun < 5, "a letter now and then does not keep it open"
            assert gone(silent)
        with raw(address) as one, raw(address) as two, raw(address) as three, raw(address) as four:
            assert gone(four), "one address, so many connections"
            for each in (one, two, three):
                each.sendall(b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
                assert each.recv(99).startswith(b"HTTP/1.1 200")
    finally:
        server.should_exit = True
        thread.join(10)


def gone(connection: socket.socket) -> bool:
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:
        return True


def test_a_server_refuses_what_is_no_request_and_says_nothing_of_itself(tmp_path: Path) -> None:
    with serving(tmp_path / "web") as address:
        for line in (b"\x00\xff\r\n\r\n", b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
                     b"GET /%zz HTTP/1.1\r\nHost: 127.0.0.1\r\nX: " + b"y" * 70_000 + b"\r\n\r\n",
                     b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
                     b"GET http://evil.example/ HTTP/1.1\r\nHost: evil.example\r\n\r\n"):  # fmt: skip
            with raw(address) as connection:
                connection.sendall(line)
                told = connection.recv(4096)
                assert told.split()[1] in (b"400", b"421", b"403", b"404"), told
                assert b"uvicorn" not in told.lower() and b"Traceback" not in told
