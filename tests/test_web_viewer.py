"""The viewer without a browser: tiles of any image in bounded memory, what is under the pointer, layers over it."""

from __future__ import annotations

import io
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tifffile
from cell_fields import field, pixels, png, sent, stack, tiff
from fastapi.testclient import TestClient
from PIL import Image as Picture

from potency.data.readers import open_image
from potency.errors import PotencyError
from potency.web import layers, pyramid
from potency.web.app import create
from potency.web.pyramid import Pyramid
from potency.web.settings import Limits, Settings
from potency.web.tiles import chosen, outlined
from potency.web.views import opened


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cells") / "web"


@pytest.fixture(scope="module")
def client(place: Path) -> Iterator[TestClient]:
    app = create(Settings(folder=place, limits=Limits(free=0)))
    with TestClient(app, base_url="http://127.0.0.1:8765") as client:
        yield client


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
    for one in told["channels"]:  # what a camera saw fills its sliders, however high its offset
        assert (one["high"] - one["low"]) / (one["most"] - one["least"]) > 0.3, one
    tile = f"/view/{set}/{id}/tile/0/0_0.png"
    shown = [pixels(client.get(f"{tile}?c=1&t={t}&z={z}&low=0&high=2000&colour=00ff00"))[0, 0, 1] for t, z in
             ((0, 0), (1, 0), (0, 2))]  # fmt: skip
    assert shown[0] < shown[2] < shown[1]
    assert pixels(client.get(f"{tile}?c=0,1"))[0, 0].tolist() != pixels(client.get(f"{tile}?c=0"))[0, 0].tolist()
    at = client.get(f"/view/{set}/{id}/at.json?x=24&y=24&t=1&z=2").json()
    assert at["values"][1] - at["values"][0] == 1000 and at["objects"] == []
    wrong = ("c=5", "low=a", "colour=red", "t=9", "c=0&low=1,2", "c=nan", "low=inf")
    assert [client.get(f"{tile}?{query}").status_code for query in wrong] == [400] * len(wrong)
    for place in ("3/0_0", "0/0_7", "-999999999/0_0", f"0/{10**30}_0"):
        assert client.get(tile.replace("0/0_0", place)).status_code == 404, place
    assert client.get(f"/view/{set}/{id}/at.json?x={10**30}&y=0").status_code == 400


def test_a_large_image_is_looked_at_once_and_its_faults_are_told(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pyramid, "HELD", 1000)
    monkeypatch.setattr(pyramid, "DIRECT", 512)
    monkeypatch.setattr(pyramid, "STEP", 2)
    set, (good, cut) = sent(client, good__tif=tiled(), cut__tif=tiled(spoilt=True))
    assert client.get(f"/view/{set}/{good}.json").json()["ready"] is False
    assert "decoded" in client.get(f"/view/{set}/{cut}.json").json()["what"]
    for id, end in ((good, 200), (cut, 415)):
        for _ in range(600):
            answer = client.get(f"/view/{set}/{id}/ready.json")
            if answer.status_code != 200 or answer.json()["ready"]:
                break
            time.sleep(0.02)
        assert answer.status_code == end and (end == 200 or answer.json()["mend"]), answer.text


def tiled(spoilt: bool = False) -> bytes:
    """A tiled TIFF of 700 x 1000 px, compressed; or with a tile that cannot be unpacked."""
    written = io.BytesIO()
    rising = np.arange(700_000, dtype=np.uint32).reshape(700, 1000)
    tifffile.imwrite(written, rising, tile=(128, 128), compression="zlib")
    data = bytearray(written.getvalue())
    with tifffile.TiffFile(io.BytesIO(bytes(data))) as file:
        page = file.pages[0]
        start, count = page.dataoffsets[-3], page.databytecounts[-3]
    if spoilt:
        data[start : start + count] = bytes(count)
    return bytes(data)


def test_what_is_no_image_is_not_opened(client: TestClient) -> None:
    set, (_, bad, table) = sent(client, good=png(field()), bad=b"GIF89a", notes__csv=b"a,b\n1,2\n")
    refusal = client.get(f"/view/{set}/{bad}.json")
    assert refusal.status_code == 415 and "GIF" in refusal.json()["what"]
    assert client.get(f"/view/{set}/{table}.json").status_code == 404
    assert client.get(f"/view/{'0' * 16}/{bad}.json").status_code == 404


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


def test_tracks_of_a_table_lie_over_their_movie(client: TestClient) -> None:
    from potency.simulate import simulate

    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "m"
        simulate(made, kind="movie", cells=3, groups=1, wells=1, seed=2, frames=6)
        rows = pd.read_csv(made / "cells.csv", dtype={"movie": str})
        frames = [open_image(path)[{}] for path in sorted((made / "01").glob("*.tif"))]
    movie = tiff(np.stack([np.asarray(one, np.uint16).reshape(-1, *one.shape[-2:])[0] for one in frames]), "TYX")
    table = rows.to_csv(index=False).encode()
    set, (moving, still, _, notes) = sent(client, **{"01__ome__tif": movie, "still": png(field()),
                                                     "cells__csv": table, "notes__csv": b"a,b\n1,2\n"})  # fmt: skip
    (layer,) = client.get(f"/view/{set}/{moving}.json").json()["overlays"]
    count = rows["track"].nunique()
    assert (layer["kind"], layer["title"]) == ("tracks", f"Tracks: {count} of cells.csv")
    told = client.get(layer["url"]).json()["tracks"]
    own = rows[rows["track"] == told[0]["id"]].sort_values("frame")
    assert len(told) == count and told[0]["points"] == own[["frame", "y", "x"]].to_numpy().tolist()
    assert client.get(f"/view/{set}/{still}.json").json()["overlays"] == []
    assert client.get(f"/view/{set}/{still}/tracks.json").status_code == 404
    other, (one, _) = sent(client, **{"02__ome__tif": movie, "cells__csv": table})
    assert client.get(f"/view/{other}/{one}.json").json()["overlays"] == [], "the table names another movie"
    unnamed = rows.drop(columns="movie").rename(columns=str.upper).to_csv(index=False).encode()
    alone, (one, _) = sent(client, **{"b__ome__tif": movie, "anything__csv": unnamed})
    assert len(client.get(f"/view/{alone}/{one}.json").json()["overlays"]) == 1, "one movie, one table"
    beside, (a, b, _) = sent(client, **{"a__ome__tif": movie, "b__ome__tif": movie, "b_tracks__csv": unnamed})
    found = [client.get(f"/view/{beside}/{id}.json").json()["overlays"] for id in (a, b)]
    assert [len(one) for one in found] == [0, 1], "of two, the one that the table is called after"


def opened_channels() -> list[Any]:
    from potency.web.tiles import Channel

    return [Channel(name, "ffffff", 0, 1, 0, 1, on) for name, on in (("a", True), ("b", True), ("c", False))]
