"""Answers at once: the same as `potency predict` gives, within limits, by models that are kept ready."""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image
from small_bundle import bundle_of

from potency.data.manifest import Manifest
from potency.inference.predict import predict
from potency.web.app import create
from potency.web.instant import Instant
from potency.web.settings import Limits, Settings
from potency.web.shelf import Shelf
from potency.web.store import Store

SIZES = ((16, 16), (9, 30), (40, 7), (16, 16), (33, 31))


@pytest.fixture(scope="module")
def tool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[TestClient, str, Path]]:
    """A web tool with one model of the local person's own, and a folder of PNGs with one that is none."""
    place = tmp_path_factory.mktemp("instant")
    app = create(Settings(folder=place / "web", limits=Limits(instant=2**20)))
    with TestClient(app, base_url="http://127.0.0.1:8765") as client:
        client.get("/index.json")
        store: Store = app.state.store
        shelf = Shelf(store, store.row("SELECT id FROM people")["id"])  # type: ignore[index]
        id, folder = shelf.make("small")
        bundle_of().save(folder)
        shelf.put(id, "small")
        (place / "images").mkdir()
        random = np.random.default_rng(7)
        for number, size in enumerate(SIZES):
            picture = Image.fromarray(random.integers(0, 255, size, np.uint8))
            picture.save(place / "images" / f"{number}.png")
        (place / "images" / "5.png").write_bytes(b"GIF89a nothing")
        yield client, id, place
        app.state.instant.close()


def asked(client: TestClient, model: str, *paths: Path) -> Any:
    files = [("files", (path.name, path.read_bytes())) for path in paths]
    return client.post("/predict.json", data={"model": model}, files=files)


def test_answers_are_those_of_predict_however_many_are_asked_at_once(tool: tuple[TestClient, str, Path]) -> None:
    client, model, place = tool
    paths = sorted((place / "images").iterdir())
    import pandas as pd

    from potency.bundle import Bundle

    rows = Manifest.of_rows(pd.DataFrame({"image": [str(path) for path in paths]}))
    table = predict(rows, Bundle.load(place / "web" / "models" / model), into=None).table
    together = asked(client, model, *paths).json()
    with ThreadPoolExecutor(4) as threads:
        alone = list(threads.map(lambda path: asked(client, model, path).json()["answers"][0], paths))
    for answers in (together["answers"], alone):
        assert [answer["name"] for answer in answers] == [path.name for path in paths]
        for answer, row in zip(answers[:-1], table.to_dict("records")[:-1], strict=True):
            cells = {name: value for name, value in answer.items() if name != "name"}
            assert cells and cells == {name: row[name] for name in cells}
        bad = answers[-1]["error"]
        assert "GIF" in bad["what"] and bad["where"] == "5.png" and bad["what"] in table["prediction.error"].iloc[-1]
    assert together["engine"] and len(together["version"]) == 12
    assert not list((place / "web" / "instant").iterdir()), "nothing stays of what was answered"


def test_what_cannot_be_answered_is_said_in_three_fields(tool: tuple[TestClient, str, Path]) -> None:
    client, model, place = tool
    image = place / "images" / "0.png"
    for response, status, what in (
        (asked(client, "0123456789abcdef", image), 404, "no such model"),
        (asked(client, "nuclei", image), 400, "lie in files"),
        (client.post("/predict.json", data={"model": model}), 400, "names a model"),
        (client.post("/predict.json", content=b"x" * 2**21, headers={"content-type": "image/png"}), 413, "larger"),
        (client.post("/predict.json", content=b"--x\r\n", headers={"content-type": "multipart/form-data"}), 400, ""),
    ):
        assert response.status_code == status and what in response.json()["what"], response.text
        assert set(response.json()) == {"what", "where", "mend"}


def test_an_image_too_large_for_an_answer_at_once_is_sent_to_the_queue(tmp_path: Path) -> None:
    from potency.inference.immediate import Immediate

    path = tmp_path / "large.png"
    Image.fromarray(np.zeros((64, 64), np.uint8)).save(path)
    (said,) = Immediate(bundle_of(), pixels=4095)([path])
    assert said.error and "too large" in said.error.what and "job" in said.error.mend
    tiles = tmp_path / "tiles.png"
    Image.fromarray(np.zeros((16, 16 * 40), np.uint8)).save(tiles)
    (cut,) = Immediate(bundle_of())([tiles])
    assert cut.error and "many tiles" in cut.error.what


def test_a_crowd_is_told_to_come_again(tool: tuple[TestClient, str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    client, model, place = tool
    instant: Instant = client.app.state.instant  # type: ignore[attr-defined]
    monkeypatch.setattr(instant, "most", 0)
    refused = asked(client, model, place / "images" / "0.png")
    assert refused.status_code == 503 and refused.headers["retry-after"] == "1" and "job" in refused.json()["mend"]
    assert instant.here == 0


def test_models_are_loaded_once_and_only_so_many_are_kept(
    tool: tuple[TestClient, str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    client, _, place = tool
    from potency.web import instant as module

    loads: list[Path] = []
    monkeypatch.setattr(module, "_loaded", lambda folder: loads.append(folder) or folder)
    monkeypatch.setattr(module, "KEPT", 2)
    made = Instant(client.app.state.store)  # type: ignore[attr-defined]
    folders = [place / str(number) for number in range(3)]
    for folder in folders:
        folder.mkdir()
        (folder / "card.json").touch()
    for which in (0, 0, 1, 0, 2, 0, 1):  # with 2 the one not used for longest goes: 1
        made.ready(folders[which]).result()
    made.close()
    assert [folder.name for folder in loads] == ["0", "1", "2", "1"]


def test_the_log_counts_answers_and_names_the_model(
    tool: tuple[TestClient, str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    client, model, place = tool
    store: Store = client.app.state.store  # type: ignore[attr-defined]
    client.app.state.instant.flush()  # type: ignore[attr-defined]
    store.change("DELETE FROM audit")
    monkeypatch.setattr("potency.web.instant.NOTED", 1e6)  # nothing is written by itself
    for _ in range(3):
        asked(client, model, place / "images" / "0.png", place / "images" / "1.png")
    client.app.state.instant.flush()  # type: ignore[attr-defined]
    (line,) = store.rows("SELECT * FROM audit")
    assert (line["act"], line["object"], line["name"]) == ("predict", "6 images", "local")
    assert line["model"].startswith(model) and "0.png" not in str(line)


def test_who_has_left_is_not_remembered(tmp_path: Path) -> None:
    app = create(Settings(folder=tmp_path, token="0123456789abcdef-long"))
    with TestClient(app, base_url="http://127.0.0.1:8765") as client:
        csrf = client.post("/enter.json", data={"token": "0123456789abcdef-long"}).json()["csrf"]
        assert client.get("/index.json").status_code == 200
        cookie = dict(client.cookies)
        client.post("/leave", data={"csrf": csrf})
        client.cookies.update(cookie)
        assert client.get("/index.json").status_code == 401


def test_a_server_starts_without_torch(tmp_path: Path) -> None:
    asked = (
        "import sys; from pathlib import Path; from potency.web.app import create; "
        "from potency.web.settings import Settings; create(Settings(folder=Path(sys.argv[1]))); "
        "heavy = {'torch', 'openvino', 'timm'} & set(sys.modules); assert not heavy, heavy"
    )
    ran = subprocess.run([sys.executable, "-c", asked, str(tmp_path)], capture_output=True, text=True, check=False)
    assert not ran.returncode, ran.stderr


def test_answers_do_not_wait_for_nagle(tmp_path: Path) -> None:
    """asyncio switches his algorithm off for sockets that say they speak TCP, and for no others."""
    import asyncio
    import socket

    from potency.web.server import _listening

    async def asked() -> int:
        seen: list[int] = []

        def came(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            seen.append(writer.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
            writer.close()

        with _listening(Settings(folder=tmp_path, port=0)) as listening:
            async with await asyncio.start_server(came, sock=listening):
                reader, writer = await asyncio.open_connection(*listening.getsockname())
                await reader.read()
                writer.close()
        return seen[0]

    assert asyncio.run(asked()) != 0


def test_an_image_is_answered_by_every_reader(tool: tuple[TestClient, str, Path], tmp_path: Path) -> None:
    client, model, _ = tool
    pixels = np.random.default_rng(3).integers(0, 255, (16, 16), np.uint8)
    np.save(tmp_path / "a.npy", pixels)
    for name in ("a.png", "a.tif", "a.bmp"):
        Image.fromarray(pixels).save(tmp_path / name)
    written = io.BytesIO()
    Image.fromarray(pixels).save(written, format="PNG")
    (tmp_path / "named wrongly.tif").write_bytes(written.getvalue())
    answers = asked(client, model, *sorted(tmp_path.iterdir())).json()["answers"]
    assert len({str(sorted((k, v) for k, v in one.items() if k != "name")) for one in answers}) == 1, answers
