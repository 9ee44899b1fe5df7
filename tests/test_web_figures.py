"""Figures of a reader study that is too large for a page to wait for them: a job makes them, the study keeps them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient
from reader_study import all_said, page, seated, two

from potency.web.app import create
from potency.web.settings import Limits, Settings
from potency.web.store import Store
from potency.web.worker import Worker


@pytest.fixture(scope="module")
def tool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    app = create(Settings(folder=tmp_path_factory.mktemp("figures") / "web", limits=Limits(free=0, requests=1e6)))
    with TestClient(app, base_url="http://127.0.0.1:8765") as client:
        client.store = app.state.store  # type: ignore[attr-defined]
        yield client


def filled(store: Store, study: str, readers: int, rounds: int) -> None:
    """Answers of some readers to every image, as if they had been given."""
    numbers = [row["number"] for row in store.rows("SELECT number FROM study_images WHERE study = ?", study)]
    with store.writing() as base:
        for reader in range(readers):
            id = f"{study[:8]}{reader:08d}"
            base.execute("INSERT INTO readers (id, study, person, name, created) VALUES (?, ?, 99, ?, ?)",
                         (id, study, f"reader {reader}", float(reader)))  # fmt: skip
            rows = [(f"{id}{round}{place}", id, round, place, number, ("dark", "bright")[(number + reader) % 3 > 0],
                     2.0, 1e9) for round in range(1, rounds + 1) for place, number in enumerate(numbers)]  # fmt: skip
            base.executemany("INSERT INTO showings (code, reader, round, place, image, answer, seconds, time) "
                             "VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows)  # fmt: skip


def test_figures_of_a_large_study_are_a_job_that_no_page_waits_for(tool: TestClient) -> None:
    study = two(tool)
    store: Store = tool.store  # type: ignore[attr-defined]
    filled(store, study["id"], 3, 2)
    address = f"/reading/{study['id']}/results"
    shown = tool.get(f"{address}.json").json()
    assert shown["of"] is None and shown["answers"] == 36 and shown["figures"] == {}, "nothing was worked out in a page"
    assert tool.get(f"{address}.json").json()["job"]["id"] == shown["job"]["id"], "two looks ask for one job"
    assert "The figures of 36 answers are being worked out" in page(tool, address)
    whole = (2 * 6 + 3 + 3,)
    told: list[tuple[float, float]] = []
    changed = Worker(store)
    changed.jobs.progress = lambda id, done, total, what: told.append((done, total))  # type: ignore[method-assign]
    assert changed.turn() and told[-1] == whole * 2 and told[0] == (0, 0), "how far it is"
    shown = tool.get(f"{address}.json").json()
    assert shown["of"] == 36 and shown["job"] is None and len(shown["figures"]["pairs"]) == 6
    assert page(tool, f"/jobs/{tool.get('/jobs.json').json()['jobs'][0]['id']}").count(address) == 1
    store.change("UPDATE showings SET answer = 'bright', time = time + 1000 WHERE reader LIKE ?", f"{study['id'][:8]}%")
    stale = tool.get(f"{address}.json").json()
    assert stale["figures"] == shown["figures"] and stale["job"] is None, "an open page starts no work again and again"
    store.change("DELETE FROM showings WHERE code LIKE ?", f"{study['id'][:8]}%0")
    assert "These are the figures of 36 answers; 30 have been given by now" in page(tool, address)
    assert tool.post(f"{address}.json").json()["job"]["state"] == "queued" and Worker(store).turn()
    assert tool.get(f"{address}.json").json()["of"] == 30


def test_a_reader_of_a_large_study_waits_for_the_figures_and_is_told_no_more_than_their_own(tool: TestClient) -> None:
    study = two(tool)
    store: Store = tool.store  # type: ignore[attr-defined]
    path = seated(tool, study["code"], "anna")
    all_said(tool, path)
    filled(store, study["id"], 4, 1)
    tool.post(f"/reading/{study['id']}/close.json")
    assert "being worked out" in page(tool, path) and tool.get(f"{path}.json").json()["waiting"]
    job = tool.get("/jobs.json").json()["jobs"][0]
    tool.post(f"/jobs/{job['id']}/cancel.json")
    address = f"/reading/{study['id']}/results"
    assert "the job was cancelled" in page(tool, address)
    assert tool.post(f"{address}.json").json()["job"]["state"] == "queued" and Worker(store).turn()
    seat = tool.get(f"{path}.json").json()
    assert not seat["waiting"] and len(seat["own"]) == 1 and "reader 1" not in str(seat)
