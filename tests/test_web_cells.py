"""Finding cells without a browser: counts, tables, files of other programs, and what is refused."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from cell_fields import PLACES, RADIUS, field, page, pixels, png, sent, tiff
from fastapi.testclient import TestClient

from potency.data import masks
from potency.data.readers import open_image
from potency.errors import AnswerError, PotencyError
from potency.web.app import create
from potency.web.sets import File
from potency.web.settings import Limits, Settings
from potency.web.store import Store
from potency.web.work.cells import Options, refused, scale_of
from potency.web.work.exports import EXPORTS, _Archives
from potency.web.work.measuring import Cells
from potency.web.worker import Worker


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cells") / "web"


@pytest.fixture(scope="module")
def client(place: Path) -> Iterator[TestClient]:
    app = create(Settings(folder=place, limits=Limits(free=0)))
    with TestClient(app, base_url="http://127.0.0.1:8765") as client:
        yield client


@pytest.fixture(scope="module")
def found(client: TestClient, place: Path) -> tuple[str, dict[str, Any], list[str]]:
    """A job done on a field, the same with a pixel size, a stained one, an empty one, and a file that is no image."""
    stained = np.stack([255 - field() // 2, 255 - field(), 255 - field() // 3], axis=-1)
    named = {"=field": png(field()), "a/sized__ome__tif": tiff(field(), "YX"), "stained": png(stained),
             "empty": png(np.full((128, 160), 20, np.uint8)), "broken": b"\x89PNG\r\n\x1a\n nothing"}  # fmt: skip
    set, ids = sent(client, **named)
    asked = client.post("/cells.json", data={"model": "nuclei", "set": set, "smallest": "4"})
    assert asked.status_code == 200, asked.text
    Worker(Store(place)).turn()
    job = client.get(f"/jobs/{asked.json()['id']}.json").json()["job"]
    assert job["state"] == "done", job["error"]
    return job["id"], job["result"], ids


def test_cells_are_counted_and_measured(found: tuple[str, dict[str, Any], list[str]]) -> None:
    _, result, _ = found
    images = {one["name"]: one for one in result["images"]}
    assert images["=field.png"]["count"] == images["a/sized.ome.tif"]["count"] == len(PLACES)
    assert images["empty.png"]["count"] == 0 and images["empty.png"]["size"] is None
    assert "colour seen as grey" in images["stained.png"]["notes"]
    assert images["a/sized.ome.tif"]["size"] == pytest.approx(RADIUS, rel=0.15), "in um: half a pixel each"
    assert images["a/sized.ome.tif"]["density"] == pytest.approx(len(PLACES) / (128 * 160 * 0.25 / 1e6))
    assert [one["name"] for one in result["unread"]] == ["broken.png"]
    assert result["total"] == sum(one["count"] for one in images.values()) and len(result["plots"]) == 2
    assert all("style=" not in plot["svg"] for plot in result["plots"]), "the policy of the page refuses styles"


def test_tables_and_outlines_are_those_of_the_labels(
    client: TestClient, place: Path, found: tuple[str, dict[str, Any], list[str]]
) -> None:
    job, result, ids = found
    folder = place / "jobs" / job
    paths = [one["path"] for one in result["exports"]]
    given = {path.rpartition("/")[2]: client.get(f"/jobs/{job}/files/{path}") for path in paths}
    assert set(given) == {"cells.csv", "cells.parquet", *(one.archive for one in EXPORTS)}
    text = given["cells.csv"].text
    assert str(place) not in text and "'=field.png" in text and "=field.png" not in text.replace("'=field", "")
    table = pd.read_parquet(io.BytesIO(given["cells.parquet"].content))
    assert len(table) == result["total"] and {"image", "object", "area", "area_um2"} <= set(table)
    truth = open_image(folder / "labels" / f"{ids[1]}.tif")[{}]
    shape = truth.shape
    for one in EXPORTS:
        with zipfile.ZipFile(io.BytesIO(given[one.archive].content)) as archive:
            assert len(archive.namelist()) == 4
            name = next(name for name in archive.namelist() if name.startswith("a/sized"))
            assert name == f"a/sized{one.end}"
            path = folder.parent / f"again{one.end}"
            path.write_bytes(archive.read(name))
        again = masks.read(path, shape=shape).labels
        path.unlink()
        assert again is not None and np.array_equal(again > 0, truth > 0), one.archive
        assert len(np.unique(again)) == len(np.unique(truth)), one.archive


def test_the_viewer_knows_the_cell_under_the_pointer(
    client: TestClient, found: tuple[str, dict[str, Any], list[str]]
) -> None:
    job, result, ids = found
    told = client.get(f"/view/{result['set']}/{ids[1]}.json?job={job}").json()
    (layer,) = told["overlays"]
    assert (layer["kind"], layer["styles"], layer["width"]) == ("labels", ["outline", "area"], 160)
    y, x = PLACES[0]
    at = client.get(f"/view/{result['set']}/{ids[1]}/at.json?x={x}&y={y}&job={job}").json()
    (cell,) = at["objects"]
    assert cell["layer"] == "Cell" and dict(cell["facts"])["diameter"].endswith("µm")
    assert client.get(f"/view/{result['set']}/{ids[1]}/at.json?x=2&y=2&job={job}").json()["objects"] == []
    drawn = pixels(client.get(f"{layer['url']}/0/0_0.png?style=area"))
    assert drawn.shape == (128, 160, 4) and drawn[y, x, 3] == 255 and drawn[2, 2, 3] == 0
    assert client.get(f"{layer['url']}/0/0_0.png?style=odd").status_code == 404
    assert client.get(f"/view/layers/{'0' * 16}/{ids[1]}/cells/0/0_0.png").status_code == 404


def test_cells_are_listed_in_any_order(client: TestClient, found: tuple[str, dict[str, Any], list[str]]) -> None:
    job, result, ids = found
    listed = client.get(f"/cells/{job}/objects.json?sort=area_um2&down=false&file={ids[1]}").json()
    assert listed["total"] == len(PLACES)
    areas = [float(one["values"][1]) for one in listed["cells"]]
    assert areas == sorted(areas)
    listing = page(client, f"/cells/{job}/objects")
    assert "=field.png" in listing and "<script>" not in listing
    shown = page(client, f"/jobs/{job}")
    assert "broken.png" in shown and f"{result['total']}</strong> cells" in shown
    named = [column["name"] for column in client.get(f"/cells/{job}/objects.json").json()["columns"]]
    assert "area" in named and "area_um2" not in named, "of images without a pixel size there are only pixels"
    assert client.get("/cells/0123456789abcdef/objects.json").status_code == 404


def test_two_thousand_cells_are_listed_and_written(client: TestClient, place: Path, tmp_path: Path) -> None:
    job = client.post("/cells.json", data={"model": "nuclei", "set": sent(client, a=png(field()))[0]}).json()["id"]
    folder = place / "jobs" / job
    folder.mkdir()
    labels = np.kron(np.arange(2000).reshape(40, 50) + 1, np.pad(np.ones((9, 9), int), 1)).astype(np.uint32)
    table = pd.DataFrame({"tile.of": "f", "image": "<b>.png", "object": np.arange(2000) + 1, "group": "f",
                          "area": np.arange(2000) % 777})  # fmt: skip
    table.to_parquet(folder / "objects.parquet")
    listed = client.get(f"/cells/{job}/objects.json?sort=area").json()
    assert (listed["total"], len(listed["cells"]), listed["cells"][0]["values"]) == (2000, 200, ["776"])
    assert "&lt;b&gt;" in page(client, f"/cells/{job}/objects")
    masks.write(folder / "labels.tif", masks.of_labels(labels))
    cells = Cells(File("f", 0, "many.tif", 0, "", {}), labels="labels.tif", count=2000)
    (tmp_path / ".part").mkdir()
    (tmp_path / ".part" / "left by a worker that was killed").touch()
    with _Archives(tmp_path) as archives:
        archives.add(folder, cells, "many", table)
    with zipfile.ZipFile(tmp_path / "imagej.zip") as archive, archive.open("many_rois.zip") as inner:
        assert len(zipfile.ZipFile(io.BytesIO(inner.read())).namelist()) == 2000
    client.post(f"/jobs/{job}/cancel.json")


def test_sizes_that_mean_nothing_are_refused(client: TestClient) -> None:
    set, _ = sent(client, a=png(field()))
    for wrong in ({"diameter": "wide"}, {"diameter": "-3"}, {"pixel_size": "nan"}, {"model": "example:medium"}):
        refusal = client.post("/cells.json", data={"model": "nuclei", "set": set} | wrong)
        assert refusal.status_code == 400 and refusal.json()["mend"], wrong
    assert client.post("/cells.json", data={"model": "nuclei", "set": set, "unit": "mm"}).status_code == 422
    file = File("f", 0, "a.png", 0, "", {})
    with pytest.raises(AnswerError, match="how large a pixel"):
        scale_of("nuclei", file, Options(diameter=10, um=True))
    assert scale_of("nuclei", file, Options(diameter=60)) == 2.0
    assert scale_of("nuclei", file, Options(diameter=10, um=True, pixel_size=0.1)) == pytest.approx(0.333)
    assert scale_of("nuclei", file, Options(diameter=32)) is None
    with pytest.raises(PotencyError, match="knows how large"):
        refused(Options(diameter=10), "0123456789abcdef")


def test_cells_are_found_at_another_scale(client: TestClient, place: Path) -> None:
    large = np.kron(field(PLACES[:3], (64, 160)), np.ones((5, 5), np.uint8))
    set, (id,) = sent(client, large=png(large))
    asked = {"model": "nuclei", "set": set, "diameter": "90", "whole": "true"}
    job = client.post("/cells.json", data=asked).json()["id"]
    Worker(Store(place)).turn()
    (image,) = client.get(f"/jobs/{job}.json").json()["job"]["result"]["images"]
    assert image["count"] == 3 and image["size"] == pytest.approx(2 * 5 * RADIUS, rel=0.15), image
    assert open_image(place / "jobs" / job / "labels" / f"{id}.tif").shape == large.shape
