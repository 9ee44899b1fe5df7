"""Visitors of a web tool for its tests: somebody at this machine, somebody logged in, somebody unknown, a script."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from argon2 import PasswordHasher
from fastapi import FastAPI
from fastapi.testclient import TestClient
from PIL import Image

from potency.web.app import create
from potency.web.jobs import Jobs
from potency.web.settings import Limits, Settings
from potency.web.shelf import Shelf
from potency.web.store import new_id

HERE = "http://127.0.0.1:8765"
PASSWORD = "a long enough word"
CHEAP = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(PASSWORD)  # how long it takes is told in it
PEOPLE = {"ada": "admin", "ana": "analyst", "bea": "analyst", "rob": "reader"}


def tool(folder: Path, *, accounts: bool = False, limits: Limits | None = None, **more: Any) -> FastAPI:
    """An application; with accounts it has one for each of `PEOPLE`."""
    app = create(Settings(folder=folder, accounts=accounts, limits=limits or Limits(free=0, requests=10_000), **more))
    if accounts:
        for name, role in PEOPLE.items():
            if not app.state.store.row("SELECT 1 FROM people WHERE name = ?", name):
                app.state.store.add("people", name=name, password=CHEAP, role=role, created=0.0)
    return app


def visitor(app: FastAPI, **how: Any) -> TestClient:
    """Somebody unknown, or whoever sits at this machine."""
    return TestClient(app, base_url=HERE, raise_server_exceptions=False, **how)


def logged_in(app: FastAPI, name: str, password: str = PASSWORD) -> TestClient:
    """Somebody in a browser that has logged in: the cookie is kept, forms carry the secret."""
    client = visitor(app, client=(f"192.0.2.{len(name) + sum(map(ord, name)) % 200}", 5000))
    told = client.post("/enter.json", data={"name": name, "password": password})
    assert told.status_code == 200, told.text
    client.headers["x-csrf-token"] = told.json()["csrf"]
    client.headers["sec-fetch-site"] = "same-origin"
    return client


def sent(client: httpx.Client, *files: tuple[str, bytes], path: str = "/images.json", **data: str) -> httpx.Response:
    """Upload files."""
    return client.post(path, files=[("files", file) for file in files], data=data)


def png(value: int = 7, side: int = 8, **how: Any) -> bytes:
    """A small grey picture."""
    written = io.BytesIO()
    Image.fromarray(np.full((side, side), value, np.uint8)).save(written, format="PNG", **how)
    return written.getvalue()


def packed(files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """An archive."""
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", method) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return written.getvalue()


def names_of(client: httpx.Client, set: str) -> list[str]:
    """The names that a set shows."""
    return [file["name"] for file in client.get(f"/images/{set}.json").json()["files"]]


def id_of(app: FastAPI, name: str) -> int:
    """The number of an account."""
    return int(app.state.store.row("SELECT id FROM people WHERE name = ?", name)["id"])


def belongings(app: FastAPI, name: str) -> dict[str, str]:
    """What somebody has, by the name of the parameter that asks for it."""
    client, store, owner = logged_in(app, name), app.state.store, id_of(app, name)
    set = sent(client, ("private-name.png", png()), title="private-title").json()["set"]
    (file,) = client.get(f"/images/{set}.json").json()["files"]
    job = Jobs(store).ask(owner, "answer", "private-title", {"set": set, "model": "nuclei"}).id
    folder = store.place("jobs", job)
    folder.mkdir()
    (folder / "table.csv").write_text("private-name", "utf-8")
    shelf = Shelf(store, owner)
    model, place = shelf.make("private-title")
    place.mkdir()
    for path in Shelf(store, owner).folder("example:medium").iterdir():
        (place / path.name).write_bytes(path.read_bytes())
    shelf.put(model, "private-title")
    client.post("/account/keys.json", data={"label": "private-title"})
    key = client.get("/account.json").json()["keys"][0]["id"]
    given = {"owner": owner, "title": "private-title", "created": 0.0}
    ids = {name: new_id() for name in ("correction", "item", "study", "reader", "showing", "mark")}
    store.add("corrections", id=ids["correction"], **given, set=set, kind="labels")
    store.add("corrected", id=ids["item"], correction=ids["correction"], number=0, file=file["id"], name="private-name")
    store.add("studies", id=ids["study"], **given, code=f"{owner:010d}", state="closed")
    store.add("readers", id=ids["reader"], study=ids["study"], person=owner, name="private-name", created=0.0)
    store.add("showings", code=ids["showing"], reader=ids["reader"], round=1, place=0, image=0)
    piece = {"mark": ids["mark"], "at": "0", "size": "100"}
    assert client.post("/pieces.json", data=piece, files={"files": ("a.png", b"begun")}).json()["have"] == 5
    told = {"level": "0", "x": "0", "y": "0", "number": "0", "round": "1", "verb": "predict", "check": job, "code": "x"}
    return {"set": set, "file": file["id"], "job": job, "model": model, "name": "table.csv", "entry": key, "id": "1",
            **ids, **told}  # fmt: skip
