"""`potency.Client`: the five verbs on a server leave what they leave here; what was sent is not sent twice."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pandas as pd
import pytest
import uvicorn
import zoo
from PIL import Image
from small_bundle import bundle_of

from potency import Client
from potency.data.manifest import Manifest
from potency.data.plan import Plan
from potency.errors import ImageError, ManifestError, PlanError, PotencyError
from potency.web import asking, sending
from potency.web.app import create
from potency.web.people import LOCAL, People
from potency.web.server import _listening
from potency.web.settings import Settings
from potency.web.shelf import Shelf
from potency.web.store import Store
from potency.web.work.verbs import VERBS, confined
from potency.web.worker import Worker


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A web tool in this process, its worker a thread: torch is imported once."""
    settings = Settings(folder=tmp_path_factory.mktemp("web"), port=0)
    app = create(settings)
    store: Store = app.state.store
    shelf = Shelf(store, People(store).always(LOCAL, "admin"))
    id, folder = shelf.make("small")
    bundle_of().save(folder)
    shelf.put(id, "small")
    over = threading.Event()

    def work() -> None:
        worker = Worker(Store(settings.folder))
        while not over.is_set():
            worker.turn() or over.wait(0.02)  # type: ignore[func-returns-value]

    with _listening(settings) as listening:
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False))
        threads = [threading.Thread(target=server.run, kwargs={"sockets": [listening]}), threading.Thread(target=work)]
        for thread in threads:
            thread.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}/"
        finally:
            server.should_exit = True
            over.set()
            for thread in threads:
                thread.join()
            app.state.instant.close()


@pytest.fixture(scope="module")
def client(address: str) -> Client:
    return Client(address, patience=20)


@pytest.fixture(scope="module")
def small(client: Client) -> str:
    (id,) = (model["id"] for model in client.models() if model["title"] == "small")
    return str(id)


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    """Nine images in folders of two groups, with a truth; one is no image, one lies elsewhere."""
    place = tmp_path_factory.mktemp("rows")
    random, names = np.random.default_rng(7), []
    for number in range(8):
        name = f"G{number % 2}/bild {number} ü.png"
        (place / "here" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random.integers(0, 255, (16, 16), np.uint8)).save(place / "here" / name)
        names.append(name)
    (place / "here" / "bad.png").write_bytes(b"GIF89a nothing")
    Image.fromarray(random.integers(0, 255, (9, 20), np.uint8)).save(place / "bad.png")
    table = pd.DataFrame({"image": [*names, "bad.png", "../bad.png"], "truth": ["dim", "bright"] * 5,
                          "group": [f"G{n % 5}" for n in range(10)]})  # fmt: skip
    return Manifest.of_rows(table, place / "here")


def test_predictions_are_those_of_this_machine(client: Client, small: str, rows: Manifest, tmp_path: Path) -> None:
    from potency import predict

    here = predict(rows, bundle_of(), into=tmp_path / "here").table
    seen: list[tuple[float, float]] = []
    made = client.predict(rows, small, into=tmp_path / "there", progress=lambda *step: seen.append(step))
    columns = [name for name in here if str(name).startswith("prediction") and name != "prediction.error"]
    pd.testing.assert_frame_equal(made.table[columns], here[columns], check_dtype=False)
    assert made.table["id"].tolist() == rows.table["id"].tolist() and made.kinds["prediction"] == "category"
    error = made.table["prediction.error"].iloc[8]
    assert "GIF" in error and str(tmp_path) not in error and made.table["prediction.error"].notna().sum() == 1
    again = Manifest.read(tmp_path / "there" / "predictions.parquet")
    assert again.open(again.table.iloc[9]).shape == (9, 20), "paths lead to the images of this machine"
    assert (tmp_path / "there" / "predictions.csv").is_file() and (tmp_path / "there" / "run.json").is_file()


def test_what_is_there_is_not_sent_again(
    client: Client, small: str, rows: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = replace(rows, table=rows.table.iloc[:5].reset_index(drop=True))
    monkeypatch.setattr(sending, "MANY", 2)
    posts: list[tuple[str, list[str]]] = []
    post = asking.Asking.post

    def counted(self: asking.Asking, path: str, files: asking.Parts = (), **fields: str) -> Any:
        posts.append((path, [name for name, _ in files]))
        if len(posts) == 2:
            raise KeyboardInterrupt  # the line breaks, or somebody has had enough
        return post(self, path, files, **fields)

    monkeypatch.setattr(asking.Asking, "post", counted)
    with pytest.raises(KeyboardInterrupt):
        client.predict(own, small, into=tmp_path)
    client.predict(own, small, into=tmp_path)
    sent = [name for path, names in posts if path == "images.json" for name in names]
    assert sent[:2] == sorted(sent[:2]) and len(sent) == 5 + 1 + 2, "only what was lost came twice"
    posts.clear()
    client.predict(own, small, into=tmp_path)
    assert [path for path, _ in posts] == ["verbs/predict.json"]


def test_a_large_file_comes_in_pieces_and_goes_on(
    client: Client, small: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels = np.random.default_rng(1).integers(0, 255, (64, 64), np.uint8)
    np.save(tmp_path / "large.npy", pixels)
    monkeypatch.setattr(sending, "PIECE", 1500)
    monkeypatch.setattr(sending, "TOGETHER", 1)
    rows = Manifest.of_rows(pd.DataFrame({"image": ["large.npy"]}), tmp_path)
    pieces: list[int] = []
    post = asking.Asking.post

    def cut(self: asking.Asking, path: str, files: asking.Parts = (), **fields: str) -> Any:
        if path == "pieces.json" and files[0][0] == "large.npy":
            pieces.append(int(fields["at"]))
            if len(pieces) == 2:
                raise PotencyError("the line broke")
        return post(self, path, files, **fields)

    monkeypatch.setattr(asking.Asking, "post", cut)
    with pytest.raises(PotencyError, match="line broke"):
        client.measure(rows, into=tmp_path / "out", families=["intensity"])
    made = client.measure(rows, into=tmp_path / "out", families=["intensity"])
    assert pieces == [0, 1500, 1500, 3000], "the second call goes on where the first one stopped"
    (mean,) = (name for name in made.table if str(name).endswith(".mean"))
    assert made.table[mean].iloc[0] == pytest.approx(pixels.mean())


def test_measured_evaluated_explained(client: Client, small: str, rows: Manifest, tmp_path: Path) -> None:
    from potency import evaluate, measure

    some = replace(rows, table=rows.table.iloc[:6].reset_index(drop=True))
    there, here = client.measure(some, into=tmp_path / "m"), measure(some)
    columns = [name for name in here.table if str(name).startswith("measure.")]
    pd.testing.assert_frame_equal(there.table[columns], here.table[columns], check_dtype=False)
    answered = client.predict(rows, small, into=tmp_path / "p")
    report = client.evaluate(answered, into=tmp_path / "e", draws=50)
    local = json.loads(json.dumps(evaluate(answered, draws=50).json()))
    assert report["metrics"] == local["metrics"] and (tmp_path / "e" / "report.html").is_file()
    maps = client.explain(some, small, into=tmp_path / "x", method="gradient-input", checks=False)
    assert maps.table["explanation"].notna().all()
    for row in maps.records():
        assert (tmp_path / "x" / row["explanation"]).is_file() and Path(maps.folder / row["image"]).is_file()
    assert (tmp_path / "x" / "explanations.html").is_file()


def test_trained_there_used_there_and_here(client: Client, tmp_path: Path) -> None:
    rows = zoo.cells(tmp_path / "cells")
    plan = Plan(channels=("phase",), classes=("neuron", "stem"), tile=32, scaling={"phase": (0.0, 60000.0)},
                network="tiny", steps=4, batch=8, validations=1)  # fmt: skip
    bundle = client.train(rows, "classify", into=tmp_path / "out", plan=plan)
    assert bundle.card.plan.steps == 4 and bundle.card.plan.classes == ("neuron", "stem")
    id = (tmp_path / "out" / "model.txt").read_text("utf-8").strip()
    first = rows.folder / str(rows.table["image"].iloc[0])
    (answer,) = client.answer([first], id)
    assert answer["prediction"] in ("neuron", "stem") and answer["name"] == first.name


def test_errors_come_back_as_they_were_raised(client: Client, small: str, rows: Manifest, tmp_path: Path) -> None:
    with pytest.raises(PlanError, match="no method"):
        client.explain(rows, small, into=tmp_path, method="relevanz")
    with pytest.raises(PotencyError, match="no such model"):
        client.predict(rows, "0123456789abcdef", into=tmp_path)
    with pytest.raises(ManifestError, match="not here"):
        client.predict(Manifest.of_rows(pd.DataFrame({"image": ["gone.png"]}), tmp_path), small, into=tmp_path)
    (tmp_path / "a.zarr").mkdir()
    with pytest.raises(ImageError, match="folder"):
        client.predict(Manifest.of_rows(pd.DataFrame({"image": ["a.zarr"]}), tmp_path), small, into=tmp_path)
    with pytest.raises(PotencyError, match="does not answer"):
        Client("http://127.0.0.1:9/", patience=0).models()
    with pytest.raises(PlanError, match="imagenet or none"):
        confined({"members": [{"weights": "/etc/passwd"}]})


def test_options_are_checked_before_a_job_is_made(address: str, client: Client, small: str) -> None:
    with httpx.Client(base_url=address) as http:
        set = http.post("images.json", files=[("files", ("a.npy", b"x"))]).json()["set"]
        for options, what in (('{"nmae": "p"}', "no option"), ('{"name": 7}', "no text"), ("[]", "no JSON object")):
            data = {"set": set, "model": small, "options": options}
            refused = http.post("verbs/predict.json", data=data)
            assert refused.status_code == 400 and what in refused.json()["what"]
        assert http.post("verbs/predict.json", data={"set": set}).json()["what"] == "predict takes a model"
        assert http.post("verbs/paint.json", data={"set": set}).status_code == 404
        assert http.get("pieces/xyz.json").status_code == 400
        assert http.get("pieces/0123456789abcdef.json").status_code == 404
        gap = {"mark": "0" * 16, "at": "5", "size": "9", "title": "t"}
        assert http.post("pieces.json", data=gap, files=[("files", ("a", b"x"))]).json() == {"have": 0, "set": ""}
    assert set_of_verbs() == {"predict", "explain", "measure", "evaluate", "train"}


def set_of_verbs() -> set[str]:
    return set(VERBS)


def test_a_table_cannot_name_a_file_of_the_server(address: str, client: Client, small: str, tmp_path: Path) -> None:
    secret = tmp_path / "secret.npy"
    np.save(secret, np.zeros((4, 4), np.uint8))
    for cell, what in ((str(secret), "leaves the folder"), ("other.npy", "not sent")):
        table = f"image,mask\n{cell},{cell}\n".encode()
        with httpx.Client(base_url=address) as http:
            set = http.post("images.json", files=[("files", ("rows.csv", table))]).json()["set"]
            http.post("verbs/measure.json", data={"set": set, "options": '{"objects": "mask"}'})
        with pytest.raises(ManifestError, match=what):
            client_waits(client, set, {"objects": "mask"})
    good = f"image,mask\na.npy,{secret}\n".encode()
    with httpx.Client(base_url=address) as http:
        files = [("files", ("rows.csv", good)), ("files", ("a.npy", secret.read_bytes()))]
        set = http.post("images.json", files=files).json()["set"]
    with pytest.raises(ManifestError):
        client_waits(client, set, {"objects": "mask"})


def client_waits(client: Client, set: str, options: dict[str, Any]) -> None:
    """Ask as the client does, about a set that it did not send."""
    import unittest.mock

    with unittest.mock.patch("potency.web.client.sent", lambda *_: set):
        client._asked("measure", None, "", options, None)  # type: ignore[arg-type]
