"""What a person keeps has one limit: images, what jobs made, models, corrections, studies; deleting gives it back."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from reader_study import page, png

from potency.web import worker
from potency.web.app import create
from potency.web.correcting.corrections import Corrections
from potency.web.jobs import Jobs
from potency.web.room import measured, room
from potency.web.settings import Limits, Settings
from potency.web.store import Store
from potency.web.work import KINDS, Order
from potency.web.worker import Worker

KEPT = 60_000
STROKE = {"key": "a-stroke-of-mine", "kind": "draw", "label": 1, "fresh": True, "points": [[4, 4]], "radius": 2}


@pytest.fixture
def client(tmp_path: Path) -> TestClient:
    app = create(Settings(folder=tmp_path / "web", limits=Limits(free=0, kept=KEPT, requests=1e6)))
    made = TestClient(app, base_url="http://127.0.0.1:8765")
    made.store = app.state.store  # type: ignore[attr-defined]
    return made


def told(client: TestClient) -> dict[str, int]:
    return dict(client.get("/images.json").json()["room"])


def test_everything_that_is_kept_counts_and_what_is_deleted_comes_back(client: TestClient) -> None:
    store: Store = client.store  # type: ignore[attr-defined]
    sent = client.post("/images.json", files=[("files", (f"{k}.png", png(k))) for k in range(3)])
    set = sent.json()["set"]
    images = told(client)["images"]
    assert images == sum(len(png(k)) for k in range(3))
    check = client.post("/train.json", data={"set": set, "labels": "typed"})
    job = check.json()["id"]
    place = store.place("jobs", job)
    place.mkdir(exist_ok=True)
    (place / "made").mkdir()
    (place / "made" / "a.bin").write_bytes(bytes(10_000))
    assert told(client)["results"] == 0, "a job counts when it has ended"
    assert Worker(store).turn()
    assert (store.row("SELECT bytes FROM sizes WHERE id = ?", job) or {})["bytes"] == measured(place) >= 10_000
    assert told(client)["results"] == measured(place)
    begun = client.post("/correct.json", data={"source": "empty", "set": set}).json()["correction"]
    owner = store.rows("SELECT owner FROM corrections")[0]["owner"]
    item = Corrections(store, owner).items(begun)[0].id
    edited = client.post(f"/correct/{begun}/{item}/edits.json", json={"base": 0, "operations": [STROKE]})
    assert edited.status_code == 200, edited.text
    assert told(client)["corrections"] > 200, "every stroke is kept"
    (store.place("models", "0" * 16)).mkdir()
    (store.place("models", "0" * 16) / "weights.safetensors").write_bytes(bytes(5000))
    store.add("models", id="0" * 16, owner=owner, title="m", created=1.0)
    assert told(client)["models"] == 5000
    for path in (f"/jobs/{job}", f"/correct/{begun}", f"/images/{set}"):
        assert client.post(f"{path}/delete.json").status_code == 200
    left = told(client)
    assert (left["images"], left["results"], left["corrections"], left["models"]) == (0, 0, 0, 5000)
    assert create(Settings(folder=store.folder, limits=Limits(free=0))) is not None
    assert [row["part"] for row in store.rows("SELECT part FROM sizes")] == ["models"], "sizes of what is gone go too"


def test_a_full_room_refuses_in_three_fields_and_loses_nothing(client: TestClient) -> None:
    store: Store = client.store  # type: ignore[attr-defined]
    set = client.post("/images.json", files=[("files", ("a.png", png(1)))]).json()["set"]
    begun = client.post("/correct.json", data={"source": "empty", "set": set}).json()["correction"]
    owner = store.rows("SELECT owner FROM corrections")[0]["owner"]
    item = Corrections(store, owner).items(begun)[0].id
    job = Jobs(store).ask(owner, "no such kind", "large", {})
    Jobs(store).cancel(job.id)
    store.place("jobs", job.id).mkdir()
    (store.place("jobs", job.id) / "large.bin").write_bytes(bytes(KEPT))
    stroke = {"base": 0, "operations": [STROKE]}
    asked = [
        client.post("/images.json", files=[("files", ("b.png", png(2)))]),
        client.post("/train.json", data={"set": set, "labels": "typed"}),
        client.post("/correct.json", data={"source": "empty", "set": set}),
        client.post(f"/correct/{begun}/{item}/edits.json", json=stroke),
        client.post(f"/jobs/{job.id}/again.json"),
        client.post("/reading.json", data={"set": set, "truth": "", "classes": "a, b"}),
        client.post("/models.json", files=[("files", ("card.json", b"{}"))]),
    ]
    for answered in asked:  # 507: the editor tries a stroke again until there is room, and keeps it until then
        assert answered.status_code == 507 and {*answered.json()} == {"what", "where", "mend"}, answered.text
        assert "your room is full" in answered.json()["what"] and "delete" in answered.json()["mend"]
    assert len(client.get("/images.json").json()["sets"]) == 1, "nothing of what was refused is kept"
    for path in ("/images", "/jobs", "/models"):
        assert "Your room is full" in page(client, path), path
    assert client.post(f"/jobs/{job.id}/delete.json").status_code == 200
    assert client.post(f"/correct/{begun}/{item}/edits.json", json=stroke).status_code == 200
    assert "Your room is full" not in page(client, "/images")


def test_a_job_that_makes_more_than_there_is_room_for_ends_and_goes_on_when_there_is(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It began below the limit; what it has made stays for the next turn, and is not counted twice there."""
    store: Store = client.store  # type: ignore[attr-defined]
    set, other = (client.post("/images.json", files=[("files", ("a.png", png(k)))]).json()["set"] for k in range(2))
    job = client.post("/train.json", data={"set": set, "labels": "typed"}).json()["id"]
    turns = list[bool]()

    def run(order: Order) -> dict[str, str]:
        path = order.folder / "made.bin"
        turns.append(path.exists())
        path.write_bytes(bytes(KEPT - len(png(0)) - 1))  # fits beside the first set, and not beside both
        order.progress(1, 2, "working")
        return {"made": path.name}

    monkeypatch.setattr(worker, "WEIGHED", 0.0)
    monkeypatch.setitem(KINDS, "check", replace(KINDS["check"], run=run))
    assert Worker(store, kept=KEPT).turn()
    told = client.get(f"/jobs/{job}.json").json()["job"]
    assert told["state"] == "failed" and "your room is full" in told["error"]["what"]
    assert "delete" in told["error"]["mend"]
    assert client.post(f"/jobs/{job}/again.json").status_code == 507
    assert client.post(f"/images/{other}/delete.json").status_code == 200
    assert client.post(f"/jobs/{job}/again.json").status_code == 200
    assert Worker(store, kept=KEPT).turn()
    assert client.get(f"/jobs/{job}.json").json()["job"]["state"] == "done" and turns == [False, True]


def test_a_folder_of_the_version_before_is_taken_on(tmp_path: Path) -> None:
    Store(tmp_path)
    with sqlite3.connect(tmp_path / "web.sqlite") as base:
        base.execute("DROP TABLE sizes")
        base.execute("PRAGMA user_version = 1")
    assert room(Store(tmp_path), 1, 10).used == 0
