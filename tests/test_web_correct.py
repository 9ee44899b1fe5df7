"""Corrections without a browser: strokes recomputed by other means, undo, two tabs, kills, rows to learn from."""

from __future__ import annotations

import contextlib
import io
import json
import zipfile
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from potency.errors import PotencyError
from potency.web.correcting import edits as log
from potency.web.correcting.corrections import Corrections
from potency.web.correcting.doubt import unlike
from potency.web.correcting.operations import Operation
from potency.web.store import Store
from potency.web.worker import Worker

SIDE = 64
CELLS = ((16, 16, 9), (18, 46, 8), (46, 30, 11))  # row, column, radius


def discs(*cells: tuple[int, int, int], side: int = SIDE) -> NDArray[np.uint32]:
    y, x = np.indices((side, side))
    made = np.zeros((side, side), np.uint32)
    for number, (row, column, radius) in enumerate(cells, 1):
        made[(y - row) ** 2 + (x - column) ** 2 <= radius**2] = number
    return made


def png(pixels: NDArray[Any]) -> bytes:
    written = io.BytesIO()
    Image.fromarray(pixels).save(written, format="PNG")
    return written.getvalue()


def seen(labels: NDArray[np.uint32], seed: int = 0) -> bytes:
    """Bright discs on a noisy dark ground, as nuclei are."""
    rng = np.random.default_rng(seed)
    light = ndimage.gaussian_filter((labels > 0) * 150.0, 1) + 20 + rng.normal(0, 4, labels.shape)
    return png(np.clip(light, 0, 255).astype(np.uint8))


def begun(client: TestClient, *names: str) -> tuple[str, list[dict[str, Any]]]:
    """Corrections of images with the masks beside them."""
    files = []
    for seed, name in enumerate(names or ("a",)):
        labels = discs(*CELLS)
        files += [("files", (f"{name}.png", seen(labels, seed)))]
        files += [("files", (f"{name}_mask.png", png(labels.astype(np.uint8))))]
    made = client.post("/correct.json", files=files, data={"source": "masks"}).json()
    while Worker(client.app.state.store).turn():  # type: ignore[attr-defined]
        pass
    return made["correction"], client.get(f"/correct/{made['correction']}.json").json()["items"]


def sent(client: TestClient, correction: str, item: dict[str, Any], base: int, *operations: dict[str, Any]):  # type: ignore[no-untyped-def]
    keyed = [{"key": f"key-{base}-{n}-{one['kind']}", **one} for n, one in enumerate(operations)]
    return client.post(f"/correct/{correction}/{item['id']}/edits.json", json={"base": base, "operations": keyed})


def mask(client: TestClient, correction: str, item: dict[str, Any]) -> NDArray[np.uint32]:
    told = client.get(f"/correct/{correction}/{item['id']}/mask")
    return np.frombuffer(told.content, "<u4").reshape(int(told.headers["x-height"]), int(told.headers["x-width"]))


def patched(labels: NDArray[np.uint32], answer: dict[str, Any]) -> NDArray[np.uint32]:
    made = labels.copy()
    for one in answer["patches"]:
        pixels = np.repeat(one["runs"][::2], one["runs"][1::2]).reshape(one["height"], one["width"])
        made[one["top"] : one["top"] + one["height"], one["left"] : one["left"] + one["width"]] = pixels
    return made


def test_every_change_is_kept_and_undone_to_the_pixel(client: TestClient) -> None:
    correction, (item,) = begun(client)
    states = [mask(client, correction, item)]
    assert (states[0] == discs(*CELLS)).all()
    operations = [
        {"kind": "draw", "label": 1, "points": [[16.5, 16.5], [30.0, 25.0]], "radius": 4},
        {"kind": "draw", "label": 4, "fresh": True, "points": [[5, 50], [20, 50], [20, 60], [5, 60]], "fill": True},
        {"kind": "split", "label": 3, "points": [[15, 46], [45, 46]]},
        {"kind": "merge", "label": 3, "other": 5},
        {"kind": "erase", "points": [[46, 10], [46, 26]], "radius": 3},
        {"kind": "delete", "label": 2},
    ]
    for number, one in enumerate(operations):
        answer = sent(client, correction, item, number, one).json()
        assert answer["revision"] == number + 1 and not answer["refused"], answer
        states.append(mask(client, correction, item))
        assert (patched(states[-2], answer) == states[-1]).all() and (states[-1] != states[-2]).any()
    y, x = np.indices((SIDE, SIDE)) + 0.5
    along = np.clip(((x - 16.5) * 13.5 + (y - 16.5) * 8.5) / (13.5**2 + 8.5**2), 0, 1)
    near = np.hypot(x - 16.5 - along * 13.5, y - 16.5 - along * 8.5) <= 4
    assert (states[1] == np.where(near & (states[0] == 0), 1, states[0])).all()
    assert (states[2] == np.where((x > 5) & (x < 20) & (y > 50) & (y < 60), 4, states[1])).all()
    assert (states[4] == states[2]).all(), "merging what was split gives the cell back"
    for back in range(5, -1, -1):
        answer = sent(client, correction, item, 11 - back, {"kind": "undo"}).json()
        assert (mask(client, correction, item) == states[back]).all() and answer["redo"] == 6 - back
    (fault,) = sent(client, correction, item, 12, {"kind": "undo"}).json()["refused"]
    assert fault["what"] == "there is nothing to undo"
    for forth in range(1, 7):
        sent(client, correction, item, 11 + forth, {"kind": "redo"})
        assert (mask(client, correction, item) == states[forth]).all()
    sent(client, correction, item, 18, {"kind": "undo"})
    answer = sent(client, correction, item, 19, {"kind": "erase", "points": [[16, 16]], "radius": 2}).json()
    assert answer["redo"] == 0 and answer["undo"] == 6, "a new change ends what could be done again"


def test_two_tabs_never_overwrite_each_other_unseen(client: TestClient) -> None:
    correction, (item,) = begun(client)
    new = {"kind": "draw", "label": 4, "fresh": True, "points": [[5, 55]], "radius": 3}
    assert sent(client, correction, item, 0, new).json()["revision"] == 1
    lost = sent(client, correction, item, 0, new).json()
    assert lost["revision"] == 1 and lost["patches"], "an answer that was lost: the same request is done once"
    other = client.post(f"/correct/{correction}/{item['id']}/edits.json", json={"base": 0, "operations": [
        {**new, "key": "of-another-tab", "points": [[58, 55]]}]})  # fmt: skip
    assert other.status_code == 409 and "changed elsewhere" in other.json()["what"]
    assert set(other.json()) == {"what", "where", "mend"} and mask(client, correction, item)[55, 58] == 0
    again = client.post(f"/correct/{correction}/{item['id']}/edits.json", json={"base": 1, "operations": [
        {**new, "key": "of-another-tab", "points": [[58, 55]]},
        {"kind": "draw", "label": 4, "key": "and-the-next", "points": [[58, 58]], "radius": 3}]}).json()  # fmt: skip
    made = mask(client, correction, item)
    assert again["renamed"] == {"4": 5} and made[54, 57] == 5 and made[58, 58] == 5 and made[55, 4] == 4


def test_a_kill_at_any_step_leaves_a_whole_mask(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    correction, (item,) = begun(client)
    monkeypatch.setattr(log, "EVERY", 2)

    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    mine = Corrections(client.app.state.store, 1)  # type: ignore[attr-defined]

    def changed(base: int, kind: str, **how: Any) -> None:
        image = mine.item(correction, item["id"])
        edits = log.Edits(mine.store, mine.find(correction), image, mine.file(correction, image))
        edits.apply(base, [Operation(f"{base}-{kind}", kind, **how)], 1)

    with monkeypatch.context() as patch:  # before anything is written
        patch.setattr(log.Edits, "_kept", killed)
        with pytest.raises(KeyboardInterrupt):
            changed(0, "erase", points=[(16, 16)], radius=3)
    assert (mask(client, correction, item) == discs(*CELLS)).all()
    changed(0, "erase", points=[(16, 16)], radius=3)
    expected = mask(client, correction, item).copy()
    expected[40:44, 28:32] = 0
    for step in ("write", "change"):  # the change is logged; the mask is being written anew, or about to be named
        with monkeypatch.context() as patch:
            patch.setattr(*((log, "write") if step == "write" else (Store, "change")), killed)
            with pytest.raises(KeyboardInterrupt) if step == "write" else contextlib.nullcontext():
                changed(1, "erase", points=[(28, 40), (32, 40), (32, 44), (28, 44)], fill=True)
        assert (mask(client, correction, item) == expected).all()
    with monkeypatch.context() as patch:
        patch.setattr(Store, "change", killed)
        with pytest.raises(KeyboardInterrupt):
            changed(2, "delete", label=2)
    changed(3, "delete", label=1)
    row = mine.store.row("SELECT snapshot, revision FROM corrected")
    assert row == {"snapshot": 4, "revision": 4} and set(np.unique(mask(client, correction, item))) == {0, 3}
    changed(4, "undo")
    changed(5, "undo")
    assert (mask(client, correction, item) == expected).all(), "what was before a new file can still be undone"


def test_what_is_asked_wrongly_is_refused_with_reasons(client: TestClient) -> None:
    correction, (item,) = begun(client)
    path = f"/correct/{correction}/{item['id']}/edits.json"
    for bad in ({"kind": "paint"}, {"radius": 1e9}, {"points": [["a", 1]]}, {"label": -1}, {"key": "<script>"}):
        told = client.post(path, json={"base": 0, "operations": [{"key": "12345678", "kind": "draw", **bad}]})
        assert told.status_code == 422 and set(told.json()) == {"what", "where", "mend"}, bad
    refused = sent(client, correction, item, 0, {"kind": "draw", "label": 0, "points": [[1, 1]]},
                   {"kind": "merge", "label": 1, "other": 77}, {"kind": "class", "label": 1, "name": "<b>"},
                   {"kind": "draw", "label": 1, "points": []}).json()  # fmt: skip
    assert len(refused["refused"]) == 4 and refused["revision"] == 0
    for where in ("/mask", "/picture", ".json"):
        assert client.get(f"/correct/{correction}/0123456789abcdef{where}").status_code == 404
        assert client.get(f"/correct/0123456789abcdef/{item['id']}{where}").status_code == 404
    mine = Corrections(client.app.state.store, 1)  # type: ignore[attr-defined]
    assert mine.find(correction).id == correction
    with pytest.raises(PotencyError, match="no such corrections"):
        Corrections(mine.store, 2).find(correction)


def test_the_queue_asks_for_what_the_model_doubts(client: TestClient) -> None:
    files = [("files", (f"{n}.png", seen(discs(*CELLS[: n + 1]), n))) for n in range(3)]
    made = client.post("/correct.json", files=files, data={"source": "nuclei"}).json()
    Worker(client.app.state.store).turn()  # type: ignore[attr-defined]
    job = client.get(f"/jobs/{made['job']}.json").json()["job"]
    assert job["state"] == "done" and job["result"]["proposed"] == 3, job["error"]
    shown = client.get(f"/correct/{made['correction']}.json").json()
    assert [item["cells"] for item in shown["items"]] == [1, 2, 3], "each disc is found"
    scores = [item["score"] for item in shown["items"]]
    assert shown["following"]["score"] == max(scores) and all("mirrored" in item["reason"] for item in shown["items"])
    first = shown["following"]["id"]
    told = client.post(f"/correct/{made['correction']}/{first}/state.json", data={"state": "skipped"}).json()
    assert told["following"] not in ("", first)
    page = client.get(f"/correct/{made['correction']}/{first}", headers={"accept": "text/html"}).text
    assert "Why this image" in page
    one = discs(*CELLS)
    assert unlike(one, one)[0] == 0 and unlike(one, discs(*CELLS[:2]))[0] == pytest.approx(1 - 4 / 5)
    assert unlike(one * 0, one * 0)[0] == 0.5


def test_classes_of_images_are_given_by_hand(client: TestClient) -> None:
    taken = client.post("/images/examples/media.json").json()
    made = client.post("/correct.json", data={"source": "example:medium", "set": taken["set"]}).json()
    Worker(client.app.state.store).turn()  # type: ignore[attr-defined]
    shown = client.get(f"/correct/{made['correction']}.json").json()
    scores = [item["score"] for item in shown["items"]]
    assert len(scores) == 24 and scores == sorted(scores, reverse=True)
    classes, item = shown["correction"]["classes"], shown["items"][0]
    assert item["reason"].startswith("undecided")
    given = sent(client, made["correction"], item, 0, {"kind": "class", "name": classes[1]}).json()
    assert given["classes"] == {"0": classes[1]}
    assert client.get(f"/correct/{made['correction']}.json").json()["correction"]["done"] == 1
    assert sent(client, made["correction"], item, 1, {"kind": "undo"}).json()["classes"] == {}
    assert client.get(f"/correct/{made['correction']}.json").json()["correction"]["done"] == 0
    assert client.get(f"/correct/{made['correction']}/{item['id']}/mask").status_code == 400


def test_a_model_learns_from_corrections_and_is_held_against_the_old_one(client: TestClient) -> None:
    correction, all_ = begun(client, *[f"plate{n}_{k}" for n in range(3) for k in "ab"])
    refused = client.post(f"/correct/{correction}/finetune.json", data={"model": "nuclei", "steps": 1})
    assert refused.status_code == 400 and "no image is done" in refused.json()["what"]
    for item in all_:
        client.post(f"/correct/{correction}/{item['id']}/state.json", data={"state": "done"})
    packed = zipfile.ZipFile(io.BytesIO(client.get(f"/correct/{correction}/corrected.zip").content))
    assert len(packed.namelist()) == 7 and "plate0_a.png,masks/0001.tif" in packed.read("table.csv").decode()
    job = client.post(f"/correct/{correction}/finetune.json", data={"model": "nuclei", "steps": 1}).json()["id"]
    Worker(client.app.state.store).turn()  # type: ignore[attr-defined]
    done = client.get(f"/jobs/{job}.json").json()["job"]
    assert done["state"] == "done", done["error"]
    told = done["result"]
    assert (told["learned"], told["held"], told["groups"], told["metric"]) == (4, 2, 1, "dsb_ap"), told
    assert told["before"]["value"] > 0.5 and told["after"] and told["before"]["low"] is None
    assert len({name.split("_")[0] for name in told["names"]}) == 1, "whole plates are kept back"
    model = client.get(f"/models/{told['model']}.json").json()
    origin = model["card"]["data"]["corrections"]
    assert origin["from"] == "nuclei" and len(origin["learned"]) == 4 and "Fine-tuned from" in model["model"]["about"]
    parts = [item["part"] for item in client.get(f"/correct/{correction}.json").json()["items"]]
    assert parts.count("held") == 2
    page = client.get(f"/jobs/{job}", headers={"accept": "text/html"}).text
    assert told["words"] in page and json.dumps(told)
