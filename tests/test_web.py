"""The web tool without a browser: pages and their twins, uploads, jobs that are never lost."""

from __future__ import annotations

import io
import os
import signal
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
from browser import ended, serving, started
from fastapi.testclient import TestClient
from PIL import Image

from potency.errors import PotencyError
from potency.web.app import create
from potency.web.jobs import LOST, Cancelled, Jobs
from potency.web.pages import PAGES
from potency.web.settings import Limits, Settings
from potency.web.store import STOCK, Store
from potency.web.work import KINDS
from potency.web.worker import Worker


@pytest.fixture
def client(tmp_path: Path) -> Iterator[TestClient]:
    app = create(Settings(folder=tmp_path / "web", limits=Limits(files=5, unpacked=10_000, free=0)))
    with TestClient(app, base_url="http://127.0.0.1:8765") as client:
        yield client


def png(value: int = 7, side: int = 8) -> bytes:
    written = io.BytesIO()
    Image.fromarray(np.full((side, side), value, np.uint8)).save(written, format="PNG")
    return written.getvalue()


def sent(client: TestClient, *files: tuple[str, bytes], path: str = "/images.json", **data: str):  # type: ignore[no-untyped-def]
    return client.post(path, files=[("files", file) for file in files], data=data)


def test_every_page_has_a_twin_that_tells_the_same(client: TestClient) -> None:
    described = client.get("/openapi.json").json()["paths"]
    taken = sent(client, ("a.png", png())).json()
    plain = [route.path for pages in PAGES for route in pages.router.routes
             if "GET" in route.methods and route.include_in_schema]  # type: ignore[attr-defined]  # fmt: skip
    assert "/index.json" in plain and len(plain) > 8
    for path in plain:
        assert path in described
        asked = path.replace("{set}", taken["set"]).replace("{model}", "nuclei")
        if "{" in asked:
            continue
        page = asked.removesuffix(".json").removesuffix("/index") or "/"
        assert client.get(asked).headers["content-type"] == "application/json", asked
        assert client.get(page, headers={"accept": "text/html"}).text.startswith("<!doctype html>"), page


def test_a_file_that_is_no_image_is_listed_with_its_error(client: TestClient) -> None:
    taken = sent(client, ("good.png", png()), ("bad.png", b"GIF89a nothing")).json()
    assert taken["files"] == 2 and taken["errors"] == 1
    shown = client.get(f"/images/{taken['set']}.json").json()
    (bad,) = [file for file in shown["files"] if "error" in file["facts"]]
    assert bad["name"] == "bad.png" and "GIF" in bad["facts"]["error"]["what"]
    picture = client.get(f"/images/{taken['set']}/{shown['files'][0]['id']}/thumbnail")
    assert picture.headers["content-type"] == "image/png"


def test_what_a_system_puts_beside_images_is_no_image(client: TestClient) -> None:
    files = [("files", (name, b"x")) for name in ("a/.DS_Store", "a/Thumbs.db", "a/._b.png")]
    told = client.post("/images.json", files=[*files, ("files", ("a/b.png", png()))]).json()
    assert (told["files"], told["errors"]) == (1, 0)
    assert "no image among" in client.post("/images.json", files=files).json()["what"]


def test_archives_are_taken_apart_within_limits(client: TestClient) -> None:
    def packed(**files: bytes) -> bytes:
        written = io.BytesIO()
        with zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in files.items():
                archive.writestr(name.replace("__", "/"), data)
        return written.getvalue()

    taken = sent(client, ("all.zip", packed(**{"G1__a.png": png(), "..__..__b.png": png(9)}))).json()
    names = [file["name"] for file in client.get(f"/images/{taken['set']}.json").json()["files"]]
    assert names == ["G1/a.png", "b.png"]
    bomb = sent(client, ("bomb.zip", packed(a=bytes(10**6))))
    assert bomb.status_code == 400 and "larger than" in bomb.json()["what"]
    many = sent(client, ("many.zip", packed(**{f"{i}.png": png() for i in range(6)})))
    assert many.status_code == 400 and "at most 5" in many.json()["what"]
    assert [one["files"] for one in client.get("/images.json").json()["sets"]] == [2], "what was refused leaves nothing"


def test_a_refusal_is_three_fields_as_a_page_or_as_json(client: TestClient) -> None:
    twin = client.get("/jobs/0123456789abcdef.json")
    assert twin.status_code == 404 and set(twin.json()) == {"what", "where", "mend"}
    page = client.get("/jobs/0123456789abcdef", headers={"accept": "text/html"})
    assert page.status_code == 404 and twin.json()["what"] in page.text
    odd = client.get("/images/..%2f..%2fetc.json")
    assert odd.status_code == 404


def test_the_queue_is_fair_and_a_double_click_is_one_job(tmp_path: Path) -> None:
    jobs = Jobs(Store(tmp_path))
    first = [jobs.ask(1, "answer", "a", {"set": str(i)}) for i in range(3)]
    other = jobs.ask(2, "answer", "b", {"set": "0"})
    assert jobs.ask(1, "answer", "a", {"set": "0"}).id == first[0].id
    assert jobs.find(other.id).position == 3
    taken = [jobs.claim(10 + i) for i in range(4)]
    assert [job.id for job in taken if job] == [first[0].id, other.id, first[1].id, first[2].id]
    assert jobs.find(jobs.ask(3, "answer", "c", {}).id).position == 4, "those that run are before it, too"
    with pytest.raises(PotencyError, match="wait already"):
        jobs.ask(1, "answer", "a", {"set": "9"}, most=3)


def test_a_cancelled_job_stops_and_one_whose_worker_died_comes_again(tmp_path: Path) -> None:
    jobs = Jobs(Store(tmp_path))
    job = jobs.ask(1, "answer", "a", {})
    assert jobs.claim(1)
    jobs.beat(job.id, 1)
    jobs.cancel(job.id)
    with pytest.raises(Cancelled):
        jobs.beat(job.id, 1)
    jobs.end(job.id, 1, "cancelled", {}, {})
    jobs.again(job.id)
    for attempt in range(3):
        assert jobs.claim(attempt), "a worker that died gives its job back"
        jobs.release(attempt)
    assert jobs.claim(9) is None
    lost = jobs.find(job.id)
    assert lost.state == "failed" and "memory" in lost.error["what"] and LOST > 0


def test_there_is_room_to_delete_on_a_disk_that_others_have_filled(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.stock()
    before = {path.name: path.stat().st_size for path in tmp_path.glob("web.sqlite*")}
    assert min(before["web.sqlite"], before["web.sqlite-wal"]) > STOCK
    for _ in range(100):
        store.audit({"id": 1, "name": "ana"}, "leave")
    assert {path.name: path.stat().st_size for path in tmp_path.glob("web.sqlite*")} == before, "nothing grows"


def test_a_full_disk_lets_work_wait(tmp_path: Path) -> None:
    store = Store(tmp_path)
    job = Jobs(store).ask(1, "answer", "a", {})
    assert not Worker(store, free=2**62).turn()
    assert Jobs(store).find(job.id).state == "queued"


def test_a_kill_of_server_and_worker_loses_nothing(tmp_path: Path) -> None:
    process, address = started(tmp_path / "web")
    with httpx.Client(base_url=address, timeout=60) as client:
        taken = client.post("/images/examples/media.json").json()
        asked = {"model": "example:medium", "set": taken["set"], "maps": "0"}
        job = client.post("/answer.json", data=asked).json()["id"]
    jobs = Jobs(Store(tmp_path / "web"))
    until(lambda: jobs.find(job).state == "running")
    worker = jobs.store.row("SELECT worker FROM jobs")
    os.kill(worker["worker"], signal.SIGKILL)  # type: ignore[index]
    until(lambda: jobs.find(job).state == "running" and jobs.store.row("SELECT worker FROM jobs") != worker)
    ended(process, signal.SIGKILL)
    assert jobs.find(job).state in ("queued", "running")
    with serving(tmp_path / "web"):
        until(lambda: jobs.find(job).over)
    done = jobs.find(job)
    assert done.state == "done" and len(done.result["rows"]) == 24, done.error


def until(met: Callable[[], bool], seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not met():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.05)


def test_every_kind_of_work_has_a_page_for_its_result() -> None:
    from potency.web.paper import environment

    for kind in KINDS.values():
        environment().get_template(kind.template)
