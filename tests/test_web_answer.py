"""The journey "what is it?" without a browser: answers as they come, filters, maps on request, what does not fit."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from fastapi.testclient import TestClient
from PIL import Image

from potency.bundle.card import CARD
from potency.bundle.shipped import located
from potency.explanation import METHODS as ALL_METHODS
from potency.simulate import simulate
from potency.systems import nsc_web
from potency.systems.recipe import Budget, Order
from potency.web.answers import METHODS, Found, Row
from potency.web.portrait import portrait
from potency.web.shelf import Shelf
from potency.web.store import new_id
from potency.web.views import AGAINST, FOR
from potency.web.worker import Worker


@pytest.fixture(scope="module")
def cells(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[str, bytes]]:
    """Three cells as files: name and content."""
    made = simulate(tmp_path_factory.mktemp("cells") / "c", kind="crops", cells=3, groups=3, wells=1, seed=5)
    paths = [next(iter(made.paths(row).values())) for row in made.records()]
    return [(f"=cell {k}.png", path.read_bytes()) for k, path in enumerate(paths)]


def asked(client: TestClient, files: list[tuple[str, bytes]], model: str = "example:medium", **fields: str) -> str:
    told = client.post("/answer.json", files=[("files", one) for one in files], data={"model": model, **fields})
    assert told.status_code == 200, told.text
    return str(told.json()["id"])


def work(client: TestClient) -> None:
    store = client.app.state.store  # type: ignore[attr-defined]
    while Worker(store).turn():
        pass


def found(client: TestClient, job: str, **words: str) -> Any:
    return client.get(f"/answer/{job}.json", params=words).json()


def seen(client: TestClient, path: str) -> str:
    """A page as a browser gets it; the session that comes with it is not kept."""
    text = client.get(path, headers={"accept": "text/html"}).text
    client.cookies.clear()
    return text


def noise(side: int = 64) -> bytes:
    written = io.BytesIO()
    values = np.random.default_rng(0).integers(15_000, 38_000, (side, side)).astype(np.uint16)
    Image.fromarray(values).save(written, format="PNG")
    return written.getvalue()


def test_images_become_answers_that_can_be_filtered_sorted_taken_away_and_explained(
    client: TestClient, cells: list[tuple[str, bytes]]
) -> None:
    job = asked(client, [*cells, ("torn.png", b"\x89PNG no more"), ("noise.png", noise())], maps="1")
    before = found(client, job)
    assert not before["ready"] and before["rows"] == [] and before["job"]["state"] == "queued"
    work(client)
    told = found(client, job)
    names = [row["name"] for row in told["rows"]]
    assert names == ["=cell 0.png", "=cell 1.png", "=cell 2.png", "torn.png", "noise.png"], "in the order given"
    assert told["title"] == "=cell 0.png and 4 more"
    counts = told["counts"]
    assert (counts["all"], counts["errors"], counts["unlike"]) == (5, 1, 1)
    assert sum(counts["classes"].values()) == 3, "an image that is unlike all others counts for no class"
    first, torn, odd = told["rows"][0], told["rows"][3], told["rows"][4]
    assert first["answer"] in first["set"] and len(first["nearest"]) == 5 and not first["unlike"]
    assert first["map"]["picture"] and len(first["map"]["says"]) >= 4 and first["map"]["numbers"]
    assert torn["error"]["what"] and torn["map"] is None and odd["unlike"] and odd["map"] is None
    view = f"/view/{told['job']['arguments']['set']}"
    (over,) = client.get(f"{view}/{first['file']}.json?job={job}").json()["overlays"]
    assert over["kind"] == "map" and over["title"] == f"Relevance for {first['map']['label']}" and over["about"]
    assert over["ends"][1] == f"for {first['map']['label']}" and over["says"] == first["map"]["says"]
    assert over["fails"] == first["map"]["fails"], "the legend holds the verdict of the map's tests"
    laid = np.asarray(Image.open(io.BytesIO(client.get(f"{over['url']}/0/0_0.png").content)))
    told_at = client.get(f"{view}/{first['file']}/at.json?x=30&y=31&job={job}").json()["objects"]
    values = tifffile.imread(client.app.state.store.place("jobs", job) / first["map"]["values"])  # type: ignore[attr-defined]
    assert laid.shape[:2] == values.shape and np.abs(values).max() == 1
    for strong, colour in ((values > 0.5, FOR), (values < -0.2, AGAINST)):
        assert strong.any() and (laid[strong][:, :3] == colour).all() and laid[strong][:, 3].min() > 60
    assert laid[np.abs(values) < 1e-3][:, 3].max(initial=0) < 10, "where nothing speaks the image is seen"
    assert told_at[0]["facts"] == [[over["ends"][int(values[31, 30] > 0)],
                                    f"{100 * abs(values[31, 30]):.0f} % of the strongest"]]  # fmt: skip
    assert client.get(f"{view}/{torn['file']}.json?job={job}").status_code == 415
    assert client.get(f"{view}/{odd['file']}.json?job={job}").json()["overlays"] == [], "no map, nothing over it"
    for picture in (first["map"]["picture"], first["nearest"][0]["picture"]):
        assert client.get(f"/jobs/{job}/files/{picture}").headers["content-type"] == "image/png"
    assert [row["name"] for row in found(client, job, show="errors")["rows"]] == ["torn.png"]
    assert [row["name"] for row in found(client, job, show="unlike")["rows"]] == ["noise.png"]
    assert found(client, job, order="rare")["rows"][0]["name"] == "noise.png"
    assert {row["answer"] for row in found(client, job, label=first["answer"])["rows"]} == {first["answer"]}
    table = list(csv.DictReader(io.StringIO(client.get(f"/answer/{job}/table/answers.csv").content.decode())))
    assert table[0]["file"] == "'=cell 0.png" and table[4]["unlike"] == "True", "no formula, no path of this machine"
    assert "/tmp" not in str(table)

    more = client.post(f"/answer/{job}/maps.json").json()
    assert client.post(f"/answer/{job}/maps.json").json()["id"] == more["id"], "asked twice it is one job"
    assert found(client, job)["maps"]["job"]["id"] == more["id"]
    work(client)
    assert found(client, job)["maps"] | {"fails": 0} == {"done": 4, "wanted": 4, "fails": 0, "job": None, "fault": {}}
    page = seen(client, f"/answer/{job}/{first['file']}")
    assert "How far to believe this map" in page and "=cell 0.png" in page
    assert f'{view}/{first["file"]}?job={job}' in page, "one click from the answer to the map over the image"

    gone = client.post(f"/images/{told['job']['arguments']['set']}/delete.json")
    assert gone.status_code == 200, gone.text
    assert not found(client, job)["images"], "answers outlive their images"
    assert "image deleted" in seen(client, f"/answer/{job}")
    refused = client.post(f"/answer/{job}/maps.json")
    assert refused.status_code == 400 and "deleted" in refused.json()["what"]


def test_of_a_stack_the_plane_that_is_shown_is_answered_about_mapped_and_named(
    client: TestClient, cells: list[tuple[str, bytes]]
) -> None:
    one, other, _ = (np.asarray(Image.open(io.BytesIO(data))) for _, data in cells)
    written = io.BytesIO()
    tifffile.imwrite(written, np.stack([[one, other, one]] * 2), imagej=True, metadata={"axes": "TZYX"})
    job = asked(client, [("stack.tif", written.getvalue()), cells[1]], maps="2")
    work(client)
    stack, alone = found(client, job)["rows"]
    assert stack["probabilities"] == pytest.approx(alone["probabilities"], abs=1e-4)
    assert (stack["part"], alone["part"]) == ("time 2 of 2, plane 2 of 3", "")
    assert "about time 2 of 2, plane 2 of 3" in seen(client, f"/answer/{job}")
    assert "about time 2 of 2, plane 2 of 3" in seen(client, f"/answer/{job}/{stack['file']}")
    told = client.get(f"/view/{client.get(f'/jobs/{job}.json').json()['job']['arguments']['set']}/{stack['file']}.json",
                      params={"job": job}).json()  # fmt: skip
    assert [(one["t"], one["z"]) for one in told["overlays"]] == [(1, 1)]


def test_cells_of_another_kind_are_no_prophase(client: TestClient, cells: list[tuple[str, bytes]]) -> None:
    job = asked(client, cells, "example:cell-cycle", maps="0")
    work(client)
    told = found(client, job)
    assert told["counts"]["unlike"] == 3 and sum(told["counts"]["classes"].values()) == 0
    assert told["gallery"] == 0 and not told["rows"][0]["nearest"]
    page = seen(client, f"/answer/{job}")
    assert "Looks unlike the training images" in page and "Its training images are not shipped" in page


def test_models_are_chosen_by_what_was_drawn_or_asked_last_never_where_channels_do_not_fit(client: TestClient) -> None:
    drawn = client.post("/images/examples/phase.json").json()["set"]
    assert client.get(f"/answer.json?set={drawn}").json()["model"] == "example:pluripotent"
    assert client.get("/answer.json").json()["model"] == ""
    written = io.BytesIO()
    tifffile.imwrite(written, np.zeros((2, 16, 16), np.uint16), metadata={"axes": "CYX"})
    two = client.post("/images.json", files=[("files", ("two.tif", written.getvalue()))]).json()["set"]
    told = client.get(f"/answer.json?set={two}").json()
    assert set(told["misfits"]) == {model["id"] for model in told["models"]} and told["model"] == ""
    assert "2 channels" in told["misfits"]["example:medium"]
    jobs = [asked(client, [("two.tif", written.getvalue())], maps="0", channel=channel) for channel in ("", "1")]
    work(client)
    said = [found(client, job)["rows"][0] for job in jobs]
    assert "channels" in said[0]["error"]["what"] and "where:" not in said[0]["error"]["what"]
    assert not said[1]["error"] and said[1]["answer"]
    client.post("/answer.json", data={"model": "example:medium", "set": drawn})
    assert client.get("/answer.json").json()["model"] == "example:medium"
    odd = client.post("/answer.json", data={"model": "example:medium", "set": drawn, "method": "tea leaves"})
    assert odd.status_code == 400 and "tea leaves" in odd.json()["what"]


def test_a_model_that_showed_nothing_is_not_to_be_read(client: TestClient, cells: list[tuple[str, bytes]]) -> None:
    store = client.app.state.store  # type: ignore[attr-defined]
    for chance, warns in ((0.4, True), (0.001, False)):
        id = new_id()
        card = store.place("models", id)
        shutil.copytree(located("example:medium"), card, dirs_exist_ok=True)
        told = json.loads((card / CARD).read_text("utf-8"))
        told["validation"]["permutation"] = {"prediction": chance}
        (card / CARD).write_text(json.dumps(told), "utf-8")
        store.add("models", id=id, owner=1, title="mine", created=0.0, facts="{}")
        job = asked(client, cells[:1], id, maps="0")
        work(client)
        assert ("Nothing is shown yet" in seen(client, f"/answer/{job}")) == warns


def test_an_image_that_the_model_learned_from_is_no_test_of_it(
    client: TestClient, cells: list[tuple[str, bytes]]
) -> None:
    store = client.app.state.store  # type: ignore[attr-defined]
    id = new_id()
    shutil.copytree(located("example:medium"), store.place("models", id), dirs_exist_ok=True)
    path = store.place("models", id) / CARD
    told = json.loads(path.read_text("utf-8"))
    told["data"]["learned"] = "0123456789ab " + hashlib.sha256(cells[1][1]).hexdigest()[:12]
    path.write_text(json.dumps(told), "utf-8")
    store.add("models", id=id, owner=1, title="mine", created=0.0, facts="{}")
    job = asked(client, cells[:2], id, maps="0")
    work(client)
    assert [row["learned"] for row in found(client, job)["rows"]] == [False, True]
    page = seen(client, f"/answer/{job}")
    assert "has learned from 1 of these 2 images" in page and page.count("has learned from this image") == 1


def test_images_that_pass_alone_are_strange_together() -> None:
    rows = [Row(str(k), f"{k}.png", "a", 0.9, unlike=False, rarity=1.2 if k < 6 else 0.1) for k in range(10)]
    some = Found(rows, ["a"], True, True, 0, "")
    assert some.strange and not replace(some, rows=rows[4:]).strange and not replace(some, rows=rows[:4]).strange


def test_methods_of_the_page_are_methods_of_the_program() -> None:
    assert set(METHODS) <= set(ALL_METHODS)


def test_the_page_of_a_model_has_data_method_figures_limits_and_pictures(client: TestClient) -> None:
    told = client.get("/models/example:medium.json").json()
    seen = told["portrait"]
    assert "3,000 simulated images of 60 groups" in seen["data"]["Learned from"]
    names = [one["name"] for one in seen["figures"]]
    assert "Balanced accuracy" in names and "Coverage of sets" in names and "[" in seen["figures"][0]["value"]
    assert {"Probabilities", "Sets of classes", "Unlike images"} <= set(seen["method"])
    assert len(seen["classes"]) == 4 and any("means nothing" in line for line in seen["limits"]) and seen["never"]
    assert told["kept"] == 240 and len({one["label"] for one in told["learned"]}) == 4
    assert client.get("/models/example:medium/pictures/3").headers["content-type"] == "image/png"
    assert client.get("/models/example:medium/pictures/999").status_code == 404
    assert client.get("/models/example:cell-cycle.json").json()["kept"] == 0
    bare = portrait(replace(Shelf(client.app.state.store, 0).card("nuclei"), validation={}, trust={}))  # type: ignore[attr-defined]
    assert not bare.figures and any("cannot tell" in line for line in bare.limits)


@pytest.mark.usefixtures("one_figure")
def test_the_recipe_asks_the_tool_as_a_browser_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nsc_web, "ALONE", 1)
    monkeypatch.setattr(nsc_web, "MODELS", {"pluripotent": {"look": "phase"}})
    order = Order(tmp_path, None, Budget("quick", (), cells=3), None, print)  # type: ignore[arg-type]
    page = nsc_web.run(order).read_text("utf-8")
    assert "Seconds until the answer" in page and "What came back" in page and "/models/example:pluripotent" in page
    assert "both that ship learned from simulated ones" in page
    assert (tmp_path / "pluripotent-answers.csv").is_file()
