"""The journey "plate" without a browser: wells told by names or a table, measured, mapped, opened."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from potency.web.platemap import colour, drawn, edge, spelt, unusual
from potency.web.worker import Worker

MEASURE = {"key": "m", "title": "M", "unit": "px"}


def field(level: int, side: int = 32) -> bytes:
    pixels = np.random.default_rng(level).integers(level, level + 20, (side, side))
    written = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(written, format="PNG")
    return written.getvalue()


def done(client: TestClient, files: dict[str, bytes], **words: str) -> dict[str, Any]:
    asked = client.post("/plate.json", files=[("files", file) for file in files.items()], data=words).json()
    assert Worker(client.app.state.store).turn(), asked  # type: ignore[attr-defined]
    found: dict[str, Any] = client.get(f"/jobs/{asked['id']}.json").json()["job"]
    return found


def page(client: TestClient, path: str) -> str:
    answered = client.get(path, headers={"accept": "text/html"})
    client.cookies.clear()
    assert answered.status_code == 200, answered.text
    return answered.text


def well(name: str, value: float | None, **more: Any) -> dict[str, Any]:
    values = {} if value is None else {"m": value}
    return {"well": name, "values": values, "images": 1, "flags": [], "label": "", **more}


def test_names_tell_plates_wells_and_channels(client: TestClient) -> None:
    files = {f"up/P{p}/P{p}_{w}_s{s}_{c}.png": field(20 * p + 10 * s + (60 if w == "A01" else 0))
             for p in (1, 2) for w in ("A01", "B03") for s in (1, 2) for c in ("DAPI", "GFP")}  # fmt: skip
    files["up/P2/P2_B03_s2_GFP.png"] = b"\x89PNG\r\n\x1a\nbroken"
    job = done(client, files, intensity="true")
    assert job["state"] == "done", job["error"]
    assert job["result"]["plates"] == ["P1", "P2"] and job["result"]["wells"] == 4 and job["result"]["images"] == 8
    assert job["result"]["failed"] == 1 and "s2_DAPI" in job["result"]["errors"][0]["name"]
    told = client.get(f"/plate/{job['id']}.json", params={"measure": "quality.DAPI.brightness"}).json()
    assert told["measure"]["title"] == "Mean brightness (DAPI)" and told["size"] == 6
    first = {spot["well"]: spot for spot in told["plates"][0]["spots"]}
    assert first["A01"]["there"] and not first["A02"]["there"] and first["A02"]["text"] == "A02: no image"
    assert "2 images" in first["B03"]["text"] and first["A01"]["fill"] != first["B03"]["fill"]
    assert any(one["key"] == "measure.intensity.GFP.p99" for one in told["measures"])
    inside = client.get(f"/plate/{job['id']}/well.json", params={"plate": "P1", "well": "A01"}).json()
    assert [[one["channel"] for one in image["files"]] for image in inside["images"]] == [["DAPI", "GFP"]] * 2
    assert inside["after"] == "B03" and not inside["before"]
    mean = np.mean([np.asarray(Image.open(io.BytesIO(files[f"up/P1/P1_A01_s{s}_DAPI.png"]))).mean() for s in (1, 2)])
    assert inside["values"]["quality.DAPI.brightness"] == pytest.approx(mean)
    assert client.get(f"/plate/{job['id']}/well.json", params={"plate": "P1", "well": "H12"}).status_code == 404
    sheet = client.get(f"/jobs/{job['id']}/files/wells.csv").text.splitlines()
    assert len(sheet) == 5 and sheet[0].startswith("plate,well,")
    sizes = page(client, f"/plate/{job['id']}")
    assert 'value="6" selected' in sizes and "disabled" not in sizes
    assert "A01: no" not in page(client, f"/plate/{job['id']}?size=96") and "P1_A01_s1" in page(
        client, f"/plate/{job['id']}/well?plate=P1&well=A01")  # fmt: skip


def test_a_table_tells_wells_and_its_numbers_are_measures(client: TestClient) -> None:
    rows = "\n".join(f"x{k}.png,{w},{k / 2},<b>drug" for k, w in enumerate(("A1", "a02", "H12")))
    files = {**{f"x{k}.png": field(30 + k) for k in range(3)}, "wells.csv": f"image,Well,dose,label\n{rows}\n".encode()}
    job = done(client, files, model="example:medium")
    asked = [one for one in client.get(f"/plate/{job['id']}.json").json()["measures"] if "prediction" in one["key"]]
    assert len(asked) > 1 and asked[0]["title"].startswith("Probability of "), asked
    told = client.get(f"/plate/{job['id']}.json", params={"measure": "dose"}).json()
    assert told["measure"] == {"key": "dose", "title": "dose", "unit": "", "group": "From the table"}
    assert told["size"] == 96 and {spot["well"] for spot in told["plates"][0]["spots"] if spot["there"]} == {
        "A01", "A02", "H12"}  # fmt: skip
    assert "<b>drug" not in page(client, f"/plate/{job['id']}")
    lost = done(client, {"some.png": field(9)})
    assert lost["state"] == "failed" and "neither the names nor a table" in lost["error"]["what"]


def test_a_map_marks_what_is_unusual_missing_or_without_a_value() -> None:
    wells = [well(spelt(row, column), 10 + (row + column) % 3) for row in range(3) for column in range(4)]
    wells[5] = well("B02", 99.0, flags=["debris?"])
    wells[6] = well("B03", None)
    made = drawn("P", wells[:-1], MEASURE, (4, 6), (10.0, 12.0))
    by = {spot.well: spot for spot in made.spots}
    assert by["B02"].odd and by["B02"].flagged and by["B02"].fill == colour(12, 10, 12)
    assert "unusual, flagged: debris?" in by["B02"].text and "99 px" in by["B02"].text
    assert by["B03"].there and not by["B03"].fill and "no value" in by["B03"].text
    assert not by["C04"].there and made.empty == 24 - 11 and made.odd[0][0] == "B02"
    assert unusual({"A01": 1.0}) == {} and unusual({spelt(0, k): 5.0 for k in range(12)}) == {}


def test_an_edge_that_differs_is_said_and_one_that_does_not_is_not() -> None:
    rng = np.random.default_rng(0)
    size = (8, 12)
    places = [(row, column) for row in range(8) for column in range(12)]
    outside = {spelt(r, c): r in (0, 7) or c in (0, 11) for r, c in places}
    drifted = {name: float(rng.normal(3.0 if out else 0.0)) for name, out in outside.items()}
    even = {name: float(rng.normal()) for name in outside}
    assert edge(drifted, size).startswith("Edge effect: the outermost wells are higher")
    assert "do not differ" in edge(even, size)
    assert edge({name: 1.0 for name, out in outside.items() if not out}, size) == "The outermost wells hold no images."
