"""The viewer and the cells without a browser: tiles in bounded memory, counts, tables and files of other programs."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tifffile
from cell_fields import PLACES, RADIUS, field, png, stack, tiff
from fastapi.testclient import TestClient
from PIL import Image as Picture

from potency.data import masks
from potency.data.readers import open_image
from potency.errors import AnswerError, PotencyError
from potency.web import layers, pyramid
from potency.web.app import create
from potency.web.pyramid import Pyramid
from potency.web.sets import File
from potency.web.settings import Limits, Settings
from potency.web.store import Store
from potency.web.tiles import chosen, outlined
from potency.web.views import opened
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


def sent(client: TestClient, **files: bytes) -> tuple[str, list[str]]:
    """The set of an upload and the ids of its files; a name stands for `name.png` but for a suffix after `__`."""
    named = [("files", (name.replace("__", ".") if "__" in name else f"{name}.png", data))
             for name, data in files.items()]  # fmt: skip
    set = client.post("/images.json", files=named).json()["set"]
    return set, [one["id"] for one in client.get(f"/images/{set}.json").json()["files"]]


def page(client: TestClient, path: str) -> str:
    """A page as a browser gets it; the session that it began ends, since the tests are scripts."""
    text = client.get(path, headers={"accept": "text/html"}).text
    client.cookies.clear()
    return text


def pixels(answer: Any) -> np.ndarray:
    assert answer.status_code == 200, answer.text
    return np.asarray(Picture.open(io.BytesIO(answer.content)))


@pytest.mark.parametrize("kind", ["tiles", "strip", "levels"])
def test_tiles_are_the_means_of_pixels_and_no_more_than_a_band_is_read(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pyramid, "STEP", 2)
    monkeypatch.setattr(pyramid, "DIRECT", 2 * 256)
    monkeypatch.setattr(pyramid, "HELD", 1000)
    monkeypatch.setattr(pyramid, "BAND", 64 * 1100 * 2)
    monkeypatch.setattr(pyramid, "PIECE", 512 * 1100)
    whole = np.random.default_rng(0).integers(0, 60_000, (2100, 1100)).astype(np.uint16)
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path) as file:
        how = {"rowsperstrip": 2100, "compression": "zlib"} if kind == "strip" else {"tile": (128, 128)}
        file.write(whole, subifds=2 * (kind == "levels"), **how)
        for step in (2, 4) if kind == "levels" else ():
            small = whole.reshape(2100 // step, step, 1100 // step, step).mean((1, 3)).astype(np.uint16)
            file.write(small, subfiletype=1, tile=(128, 128))
    image, asked = open_image(path), []
    read = image.pixels.read
    monkeypatch.setattr(image.pixels, "read", lambda window, level=0: asked.append(window) or read(window, level))
    made = Pyramid(image, tmp_path / "kept", "a")
    assert made.top == 4
    for level in range(made.top + 1):
        factor = 2 ** (made.top - level)
        padded = np.pad(whole, ((0, -2100 % factor), (0, -1100 % factor)), mode="edge").astype(np.float64)
        mean = padded.reshape(-(-2100 // factor), factor, -(-1100 // factor), factor).mean((1, 3))
        rows = [made.tile(level, 0, y)[0] for y in range(-(-len(mean) // 256))]
        found = np.concatenate(rows).astype(np.float64)
        assert found.shape == (len(mean), min(256, mean.shape[1]))
        assert np.abs(found - mean[:, :256])[: 2100 // factor, : 1100 // factor].max() < 3, level
    largest = max((w["Y"].stop - w["Y"].start) * (w["X"].stop - w["X"].start) for w in asked)
    assert largest <= (2100 * 1100 if kind == "strip" else 514 * 514)
    assert len(asked) == 1 or kind != "strip", "what can only be read whole is read once"
    assert made.ready and Pyramid(image, tmp_path / "kept", "a").ready
    for path in (tmp_path / "kept").iterdir():
        path.unlink()
    assert made.tile(0, 0, 0).shape == (1, 132, 69), "what was cleared away is made again"
    with pytest.raises(PotencyError, match="no such tile"):
        made.tile(4, 99, 0)


def test_outlines_do_not_change_where_tiles_meet(tmp_path: Path) -> None:
    labels = np.zeros((300, 300), np.uint16)
    labels[200:290, 200:290] = 7
    labels[200:290, 290:] = 8
    path = tmp_path / "labels.tif"
    tifffile.imwrite(path, labels)
    view = opened(path, tmp_path, "labels", labels=True)
    drawn = np.zeros((300, 300), bool)
    for x in (0, 1):
        for y in (0, 1):
            tile = np.asarray(Picture.open(io.BytesIO(view.drawn(1, x, y, "outline"))))
            drawn[y * 256 : y * 256 + tile.shape[0], x * 256 : x * 256 + tile.shape[1]] = tile[..., 3] > 0
    edges = labels != 0
    edges[201:289, 201:289] = edges[201:289, 291:] = False
    assert np.array_equal(drawn, edges)
    areas = outlined(np.pad(labels, 1), "area", lambda values: np.zeros((len(values), 3), np.uint8))
    assert np.array_equal(areas[..., 3] > 0, labels > 0)


def test_the_viewer_shows_channels_times_and_planes(client: TestClient) -> None:
    set, (id,) = sent(client, stack__ome__tif=stack())
    told = client.get(f"/view/{set}/{id}.json").json()
    assert (told["frames"], told["planes"], told["um"], told["levels"], told["ready"]) == (2, 3, 0.5, 1, True)
    assert [one["name"] for one in told["channels"]] == ["DAPI", "GFP"] and told["channels"][0]["colour"] == "3d7bff"
    tile = f"/view/{set}/{id}/tile/0/0_0.png"
    shown = [pixels(client.get(f"{tile}?c=1&t={t}&z={z}&low=0&high=2000&colour=00ff00"))[0, 0, 1] for t, z in
             ((0, 0), (1, 0), (0, 2))]  # fmt: skip
    assert shown[0] < shown[2] < shown[1]
    assert pixels(client.get(f"{tile}?c=0,1"))[0, 0].tolist() != pixels(client.get(f"{tile}?c=0"))[0, 0].tolist()
    at = client.get(f"/view/{set}/{id}/at.json?x=24&y=24&t=1&z=2").json()
    assert at["values"][1] - at["values"][0] == 1000 and at["objects"] == []
    wrong = ("c=5", "low=a", "colour=red", "t=9", "c=0&low=1,2", "c=nan", "low=inf")
    assert [client.get(f"{tile}?{query}").status_code for query in wrong] == [400] * len(wrong)
    assert client.get(tile.replace("0/0_0", "3/0_0")).status_code == 404
    assert client.get(tile.replace("0/0_0", "0/0_7")).status_code == 404


def test_what_is_no_image_is_not_opened(client: TestClient) -> None:
    set, (_, bad, table) = sent(client, good=png(field()), bad=b"GIF89a", notes__csv=b"a,b\n1,2\n")
    refusal = client.get(f"/view/{set}/{bad}.json")
    assert refusal.status_code == 415 and "GIF" in refusal.json()["what"]
    assert client.get(f"/view/{set}/{table}.json").status_code == 404
    assert client.get(f"/view/{'0' * 16}/{bad}.json").status_code == 404


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


def test_a_layer_lies_in_the_folder_of_its_job(tmp_path: Path) -> None:
    (tmp_path / "job").mkdir()
    (tmp_path / "secret.tif").write_bytes(b"x")
    (tmp_path / "job" / "mine.tif").write_bytes(b"x")
    of = [layers.Layer(name=name, title="A", kind="map", path=path) for name, path in
          (("mine", "mine.tif"), ("theirs", "../secret.tif"))]  # fmt: skip
    layers.write(tmp_path / "job", {"f": of})
    assert layers.find(tmp_path / "job", "f", "mine")[1].name == "mine.tif"
    for name in ("theirs", "none"):
        with pytest.raises(PotencyError, match="no such layer"):
            layers.find(tmp_path / "job", "f", name)
    with pytest.raises(PotencyError, match="kind of layer"):
        layers.write(tmp_path / "job", {"f": [layers.Layer(name="a", title="A", kind="odd", path="")]})
    channels = opened_channels()
    assert chosen(channels, "", "", "", "").channels == (0, 1)


def opened_channels() -> list[Any]:
    from potency.web.tiles import Channel

    return [Channel(name, "ffffff", 0, 1, 0, 1, on) for name, on in (("a", True), ("b", True), ("c", False))]
