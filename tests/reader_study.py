"""A reader study by its web pages, for tests: images whose names tell too much, readers, answers."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from fastapi.testclient import TestClient
from PIL import Image

from potency.web.worker import Worker

SECRETS = ("dark", "bright", "cellA", "donor7", "plate")  # classes, names and groups that must not be told


def png(value: int) -> bytes:
    written = io.BytesIO()
    pixels = np.random.default_rng(value).integers(0, 200, (16, 16)).astype(np.uint8)
    Image.fromarray(pixels).save(written, format="PNG")
    return written.getvalue()


def images(client: TestClient, count: int = 6, folder: str = "my images") -> str:
    """A set of two classes, dark and bright, its names full of what must not be told."""
    names = [f"{folder}/{SECRETS[k % 2]}/cellA_donor7_plate{k // 2}_{k}.png" for k in range(count)]
    sent = client.post("/images.json", files=[("files", (name, png(k))) for k, name in enumerate(names)])
    return str(sent.json()["set"])


def page(client: TestClient, path: str) -> str:
    """A page as a browser gets it, without staying the browser that it makes of the client."""
    shown = client.get(path, headers={"accept": "text/html"})
    client.cookies.clear()
    assert shown.status_code == 200 and shown.text.startswith("<!doctype html>"), shown.text
    return str(shown.text)


def made(client: TestClient, set: str, **asked: Any) -> dict[str, Any]:
    form = {"set": set, "title": "Which?", "truth": "folders", "classes": "one, two", **asked}
    answered = client.post("/reading.json", data=form)
    assert answered.status_code == 200, answered.text
    study: dict[str, Any] = answered.json()
    if "authorization" not in client.headers:
        assert "being prepared" in page(client, f"/reading/{study['id']}")
    assert Worker(client.store).turn()  # type: ignore[attr-defined]
    found: dict[str, Any] = client.get(f"/reading/{study['id']}.json").json()["study"]
    assert found["state"] == "open", client.get(f"/reading/{study['id']}.json").text
    return found


def seated(client: TestClient, code: str, name: str, begun: bool = True, **facts: Any) -> str:
    """The path of a reader who has begun."""
    seat = client.post(f"/read/{code}.json", data={"name": name, **facts})
    assert seat.status_code == 200, seat.text
    path = f"/read/{code}/{seat.json()['reader']}"
    assert not begun or client.post(f"{path}/begin.json", data={"round": 1}).status_code == 200
    return path


def turn(client: TestClient, path: str) -> dict[str, Any]:
    return dict(client.get(f"{path}.json").json()["turn"])


def said(client: TestClient, path: str, answer: str = "dark", seconds: float = 2.0, **more: Any) -> dict[str, Any]:
    showing = more.pop("showing", None) or turn(client, path)["showing"]
    data = {"showing": showing, "answer": answer, "seconds": seconds, **more}
    answered = client.post(f"{path}/answer.json", data=data)
    assert answered.status_code == 200, answered.text
    return dict(answered.json())


def all_said(client: TestClient, path: str, answer: str = "dark") -> None:
    while turn(client, path)["stage"] == "reading":
        said(client, path, answer)


def two(client: TestClient, **more: Any) -> dict[str, Any]:
    return made(client, images(client), classes="dark, bright", **more)
