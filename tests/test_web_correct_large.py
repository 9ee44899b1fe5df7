"""Corrections of a mask as large as fields get: a stroke costs what it touches, in time, in memory and on the wire."""

from __future__ import annotations

import io
import resource
import time
from typing import Any

import numpy as np
import pytest
import tifffile
from fastapi.testclient import TestClient
from numpy.typing import NDArray
from scipy import ndimage

from potency.web.correcting import held
from potency.web.worker import Worker

SIDE, STEP = 6000, 84  # 71 x 71 cells of 60 px
PER_SIDE = SIDE // STEP
QUICK = 0.1  # seconds of this processor that a stroke may take


def grid(side: int = SIDE, step: int = STEP) -> NDArray[np.uint16]:
    """Square cells on a grid, numbered row by row."""
    across = side // step
    numbers = np.arange(1, across**2 + 1, dtype=np.uint16).reshape(across, across)
    cell = np.zeros((step, step), np.uint16)
    cell[12 : step - 12, 12 : step - 12] = 1
    made = np.zeros((side, side), np.uint16)
    made[: across * step, : across * step] = np.kron(numbers, cell)
    return made


def tiff(pixels: NDArray[Any]) -> bytes:
    written = io.BytesIO()
    tifffile.imwrite(written, pixels, photometric="minisblack", compression="zlib", tile=(512, 512))
    return written.getvalue()


def begun(client: TestClient, labels: NDArray[np.uint16]) -> str:
    """The address of the editor of an image with this mask."""
    light = (labels > 0).astype(np.uint8) * 120 + 20
    files = [("files", ("large.tif", tiff(light))), ("files", ("large_mask.tif", tiff(labels)))]
    made = client.post("/correct.json", files=files, data={"source": "masks"}).json()
    Worker(client.app.state.store).turn()  # type: ignore[attr-defined]
    (item,) = client.get(f"/correct/{made['correction']}.json").json()["items"]
    assert item["cells"] == len(np.unique(labels)) - 1
    return f"/correct/{made['correction']}/{item['id']}"


def part(client: TestClient, path: str, x: int, y: int) -> NDArray[np.uint32]:
    told = client.get(f"{path}/mask?x={x}&y={y}")
    return np.frombuffer(told.content, "<u4").reshape(int(told.headers["x-height"]), int(told.headers["x-width"]))


def middle(cell: int) -> tuple[float, float]:
    """x and y of the middle of a cell of the grid."""
    row, column = divmod(cell - 1, PER_SIDE)
    return column * STEP + STEP / 2, row * STEP + STEP / 2


def test_a_stroke_on_five_thousand_cells_costs_what_it_touches(client: TestClient) -> None:
    truth = grid().astype(np.uint32)
    path = begun(client, grid())
    assert (part(client, path, 3000, 3000) == truth[3000:5048, 3000:5048]).all()
    far = PER_SIDE**2 - 3
    (x, y), (u, v) = middle(far), middle(2)
    strokes: list[dict[str, Any]] = [
        {"kind": "draw", "label": far, "points": [[x, y], [x, y - 40]], "radius": 8},
        {"kind": "erase", "points": [[u, v], [u + 15, v]], "radius": 10},
        {"kind": "split", "label": far - 8, "points": [[middle(far - 8)[0], y - 60], [middle(far - 8)[0], y + 60]]},
        {"kind": "merge", "label": far - 20, "other": far - 19},
        {"kind": "delete", "label": 1000},
    ]
    strokes += [{"kind": "undo"}] * 5 + [{"kind": "redo"}, {"kind": "undo"}]
    ndimage.label(np.ones((2, 2)))  # the library that the first cut loads, once
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    costs, sizes = {}, {}
    for number, one in enumerate(strokes):
        began = time.process_time()
        answer = client.post(f"{path}/edits.json", json={"base": number, "operations": [
            {"key": f"stroke-{number}", **one}]})  # fmt: skip
        costs[number, one["kind"]], sizes[number] = time.process_time() - began, len(answer.content)
        assert answer.json()["revision"] == number + 1 and not answer.json()["refused"], answer.text
        if one["kind"] == "draw":
            corner = SIDE - 2048
            drawn = part(client, path, corner, corner)[int(y) - 49 - corner : int(y) - 26 - corner, int(x) - corner]
            assert (drawn == np.repeat([0, far], [1, 22])).all(), "8 px around the line's end, and no more"
            assert answer.json()["patches"][0]["height"] < 100
    assert max(costs.values()) < QUICK, costs
    assert max(sizes.values()) < 20_000, "no stroke sends a mask"
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    assert grown < 2 * SIDE**2 * 4, "a stroke makes no copies of the mask"
    for at in (0, SIDE - 2048):
        assert (part(client, path, at, at) == truth[at : at + 2048, at : at + 2048]).all(), "all is undone"


def test_masks_in_memory_make_room_and_are_read_again(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(held, "KEPT", 300**2 * 4 * 2)
    held._HELD.clear()
    paths = [begun(client, grid(300, 60)) for _ in range(4)]
    for turn in range(2):
        for number, path in enumerate(paths):
            stroke = {"key": f"stroke-{turn}-{number}", "kind": "delete", "label": 1 + turn}
            answer = client.post(f"{path}/edits.json", json={"base": turn, "operations": [stroke]}).json()
            assert answer["revision"] == turn + 1, answer
            assert sum(one.labels.nbytes for one in held._HELD.values()) <= held.KEPT and held._HELD
    for path in paths:
        assert set(np.unique(part(client, path, 0, 0))) == {0, *range(3, 26)}
        assert len(client.get(f"{path}.json").json()["item"]) > 0
    correction = paths[0].split("/")[2]
    place = str(client.app.state.store.place("corrections", correction))  # type: ignore[attr-defined]
    client.post(f"/correct/{correction}/delete.json")
    assert not any(key[0] == place for key in held._HELD), "what is deleted is let go of"
