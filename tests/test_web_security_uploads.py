"""What is uploaded to the web tool: archives and images made to harm, names, what could name a person."""

from __future__ import annotations

import io
import struct
import tracemalloc
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tifffile
from bad_inputs import AREAS
from fastapi import FastAPI
from fastapi.testclient import TestClient
from visitors import names_of, packed, png, sent, tool, visitor

from potency.data.readers import open_image
from potency.errors import PotencyError
from potency.web.intake import TRIED, cleaned
from potency.web.sets import Sets
from potency.web.settings import Limits

FEW = Limits(files=20, parts=500, unpacked=200_000, file=150_000, request=2**21, pixels=10**6, free=0, requests=1e4)


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> FastAPI:
    return tool(tmp_path_factory.mktemp("uploads") / "web", limits=FEW)


@pytest.fixture
def client(app: FastAPI) -> Iterator[TestClient]:
    with visitor(app) as client:
        yield client


def refused(client: TestClient, says: str, *files: tuple[str, bytes], status: int = 400) -> None:
    """Nothing is kept of what is refused."""
    before = len(client.get("/images.json").json()["sets"])
    told = sent(client, *files)
    assert told.status_code == status and says in told.json()["what"], told.text
    assert len(client.get("/images.json").json()["sets"]) == before


def zipped(name: str, data: bytes = b"x", **facts: int) -> bytes:
    """An archive of one entry with odd facts."""
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as archive:
        info = zipfile.ZipInfo(name)
        for fact, value in facts.items():
            setattr(info, fact, value)
        archive.writestr(info, data)
    return written.getvalue()


def overlapping() -> bytes:
    """Two entries of the list that are the same bytes of the archive."""
    data = bytearray(packed({"a.png": png(), "b.png": png()}, zipfile.ZIP_STORED))
    second = data.rindex(b"PK\x01\x02")
    data[second + 42 : second + 46] = struct.pack("<I", 0)
    return bytes(data)


def crowded(count: int) -> bytes:
    """An archive that says it has so many entries."""
    return b"PK\x03\x04" + bytes(30) + b"PK\x05\x06" + struct.pack("<HHHHIIH", 0, 0, count, count, 10, 0, 0)


def test_archives_made_to_harm_are_refused(client: TestClient) -> None:
    refused(client, "larger than", ("a.zip", packed({"a": bytes(10**6)})))
    refused(client, "larger than", ("a.zip", packed({str(i): bytes(50_000) for i in range(3)})),
            ("b.zip", packed({str(i): bytes(50_000) for i in range(3)})))  # fmt: skip
    refused(client, "link", ("a.zip", zipped("a.png", b"/etc/passwd", external_attr=0o120777 << 16)))
    refused(client, "encrypted", ("a.zip", packed({"a": b"x"}).replace(b"PK\x01\x02\x14\x03\x14\0\0\0",
                                                                     b"PK\x01\x02\x14\x03\x14\0\1\0")))  # fmt: skip
    refused(client, "packed in a way", ("a.zip", packed({"a": b"x"}, zipfile.ZIP_LZMA)))
    refused(client, "cannot be read", ("a.zip", overlapping()))
    refused(client, "at most 20", ("a.zip", packed({f"{i}.png": png() for i in range(21)})))
    refused(client, "more than 500", ("a.zip", crowded(60_000)))
    refused(client, "damaged", ("a.zip", packed({"a.png": bytes(range(256)) * 40})[:-200]))
    torn = bytearray(packed({"a.png": np.random.default_rng(0).bytes(4000)}))
    torn[500:600] = bytes(100)
    refused(client, "damaged", ("a.zip", bytes(torn)))
    refused(client, "larger than", ("a.png", bytes(160_000)))
    refused(client, "the upload is larger", ("a.png", bytes(2**21)), status=413)


def test_a_list_of_a_million_entries_is_not_read(client: TestClient) -> None:
    entry = b"PK\x01\x02" + bytes(42)
    listed = entry * 20_000
    end = struct.pack("<HHHHIIH", 0, 0, 2, 2, len(listed), 34, 0)
    data = b"PK\x03\x04" + bytes(30) + listed + b"PK\x05\x06" + end
    tracemalloc.start()
    refused(client, "no image among", ("a.zip", data))
    large = data.replace(struct.pack("<I", len(listed)) + struct.pack("<I", 34), struct.pack("<II", 2**31, 34))
    refused(client, "more than 500", ("a.zip", large))
    assert tracemalloc.get_traced_memory()[1] < 100 * 2**20
    tracemalloc.stop()


def test_an_archive_in_an_archive_stays_packed(client: TestClient) -> None:
    taken = sent(client, ("a.zip", packed({"a.png": png(), "deep.zip": packed({"b.png": bytes(10**6)})}))).json()
    assert names_of(client, taken["set"]) == ["a.png", "deep.zip"] and taken["errors"] == 1


NAMES = ["../../etc/passwd", "/etc/passwd", "C:\\Windows\\a.png", "..\\..\\a.png", "a\0b.png", "x" * 10_000 + ".png",
         '<script>alert(1)</script>.png', '"><img src=x onerror=alert(1)>.png', "photo\u202egnp.exe", "🔬 cell 🧫.png",
         "a\r\nset-cookie: x=1.png",
         "con.png", "-rf.png", "=cmd|'/c calc'!A1.png", "~/.ssh/id.png", "a/../../b.png"]  # fmt: skip


def test_names_are_data_and_never_paths(client: TestClient, app: FastAPI) -> None:
    folder = app.state.store.folder
    before = {path.parent for path in folder.parent.parent.rglob("*") if "uploads" in str(path)}
    taken = sent(client, ("a.zip", packed({name: png() for name in NAMES})))
    plain = [name.replace("\0", "").replace("\r\n", "") for name in NAMES if len(name) < 1000]
    loose = [sent(client, (name, png())).json() for name in plain]
    assert taken.status_code == 200
    names = names_of(client, taken.json()["set"])
    assert all(len(name) <= 240 and name.isprintable() and ".." not in name.split("/") for name in names), names
    for name in NAMES:
        assert not Path(cleaned(name)).is_absolute() and ".." not in Path(cleaned(name)).parts
    stored = [path for path in folder.rglob("*.png") if path.is_file()]
    assert len(stored) >= len(NAMES) and all(path.parent.parent == folder / "sets" for path in stored)
    assert all(path.stem.isalnum() and len(path.stem) == 16 for path in stored)
    for set in [taken.json()["set"], *(each["set"] for each in loose)]:
        page = client.get(f"/images/{set}", headers={"accept": "text/html"}).text
        assert "<script>" not in page and "<img src=x" not in page and "\u202e" not in page
    after = {path.parent for path in folder.parent.parent.rglob("*") if "uploads" in str(path)}
    assert all(path.is_relative_to(folder) for path in after - before)


def test_the_content_decides_and_nothing_active_is_ever_shown(client: TestClient, app: FastAPI) -> None:
    page, svg = b"<html><script>alert(1)</script>", b'<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>'
    both = png() + b"<script>alert(1)</script>"
    taken = sent(client, ("a.png", page), ("b.png", svg), ("c.png", both), ("d.html", png())).json()
    files = client.get(f"/images/{taken['set']}.json").json()["files"]
    assert ["error" in file["facts"] for file in files] == [True, True, False, False]
    for file in files:
        shown = client.get(f"/images/{taken['set']}/{file['id']}/thumbnail")
        if "error" not in file["facts"]:
            assert shown.headers["content-type"] == "image/png" and b"script" not in shown.content
        else:
            assert shown.status_code == 400 and str(app.state.store.folder) not in shown.text


def test_pixels_are_counted_before_they_are_decoded(client: TestClient) -> None:
    taken = sent(client, ("a.png", png(side=1200))).json()
    (file,) = client.get(f"/images/{taken['set']}.json").json()["files"]
    assert "at most 1" in file["facts"]["error"]["what"] and FEW.pixels < TRIED


def test_thumbnails_come_in_few_sizes(client: TestClient, app: FastAPI) -> None:
    taken = sent(client, ("a.png", png(side=64))).json()["set"]
    (file,) = client.get(f"/images/{taken}.json").json()["files"]
    for side in (-5, 0, 1, 33, 65, 97, 300, 301, 302, 10**9, 10**30):
        assert client.get(f"/images/{taken}/{file['id']}/thumbnail?side={side}").status_code == 200
    assert len(list((app.state.store.place("sets", taken) / "thumbnails").iterdir())) <= 9


def test_bad_images_are_told_in_the_same_words_as_on_the_command_line(tmp_path: Path) -> None:
    """Every image of the foundation's list that is one file: uploaded, and opened as every command does."""
    app = tool(tmp_path / "web", limits=Limits(free=0, requests=1e4))
    tried = 0
    with visitor(app) as client:
        for number, case in enumerate(case for case in AREAS["Images"] if not case.needs):
            folder = tmp_path / f"case{number}"
            folder.mkdir()
            said = ("", "")
            try:
                case.do(folder)
            except PotencyError as error:
                said = (error.what, error.mend)
            files = [path for path in folder.iterdir() if path.is_file() and not path.is_symlink()]
            if "zip archive" in case.given:  # the page takes archives apart
                continue
            if len(files) != 1 or len(list(folder.iterdir())) != 1 or files[0].stat().st_size > 2**22:
                continue
            taken = sent(client, (files[0].name, files[0].read_bytes())).json()
            (file,) = client.get(f"/images/{taken['set']}.json").json()["files"]
            error = file["facts"].get("error", {"what": "", "where": "", "mend": ""})
            alone = ("", "")
            try:
                open_image(files[0])[{}]
            except PotencyError as told:
                alone = (told.what, told.mend)
            assert (error["what"], error["mend"]) == tuple(text.replace(str(files[0]), file["name"]) for text in alone)
            assert alone == ("", "") or said == alone, case.given
            assert error["where"] in ("", file["name"]) and str(tmp_path) not in str(file)
            tried += 1
    assert tried > 50


def test_nothing_that_somebody_names_is_fetched(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """No address is ever opened: images are files that were sent, and names with :// are names."""
    import socket

    def never(*_: object, **__: object) -> None:
        raise AssertionError("something was fetched")

    monkeypatch.setattr(socket, "create_connection", never)
    monkeypatch.setattr(socket, "getaddrinfo", never)
    for text in ("http://169.254.169.254/latest", "file:///etc/passwd", "s3://bucket/a.tif"):
        taken = sent(client, (text, png()), title=text).json()
        assert client.get(f"/images/{taken['set']}.json").status_code == 200
        for data in ({"model": text, "set": taken["set"]}, {"model": "nuclei", "set": text}):
            assert client.post("/answer.json", data=data).status_code in (400, 404)
        with pytest.raises(PotencyError, match="addresses are not read"):
            open_image(text)
    secret = 'xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"'
    outside = f'<!DOCTYPE O [<!ENTITY x SYSTEM "http://127.0.0.1:1/x">]><OME {secret}><Image ID="&x;"/></OME>'
    written = io.BytesIO()
    tifffile.imwrite(written, np.zeros((8, 8), "uint8"), description=outside, metadata=None)
    assert sent(client, ("a.ome.tif", written.getvalue())).json()["errors"] == 0


def test_an_ome_zarr_comes_in_a_zip_and_its_names_are_held_to_what_a_zarr_has(tmp_path: Path) -> None:
    from bad_metadata import zarred

    truth = zarred(tmp_path / "a.zarr")
    inside = {f"x/a.zarr/{path.relative_to(tmp_path / 'a.zarr').as_posix()}": path.read_bytes()
              for path in (tmp_path / "a.zarr").rglob("*") if path.is_file()}  # fmt: skip
    app = tool(tmp_path / "web")
    with visitor(app) as client:
        taken = sent(client, ("a.zip", packed(inside | {"b.png": png()}))).json()
        files = client.get(f"/images/{taken['set']}.json").json()["files"]
        assert [file["name"] for file in files] == ["x/a.zarr", "b.png"] and taken["errors"] == 0
        sets = Sets(app.state.store, 1)
        np.testing.assert_array_equal(open_image(sets.path(taken["set"], sets.files(taken["set"])[0]))[{}], truth)
        for name in ("a.zarr/../../../evil", "a.zarr/~", "a.zarr/a b", "a.zarr/" + "d/" * 13 + "x", "a.zarr/\u202ex"):
            told = sent(client, ("a.zip", zipped(name)))
            assert told.status_code in (200, 400), name
            assert told.status_code == 400 or ".." not in str(names_of(client, told.json()["set"]))
    assert all(path.parent.suffix == ".zarr" for path in tmp_path.rglob("evil"))


def test_an_ome_zarr_comes_as_a_folder_in_several_uploads_and_its_names_are_held_to_the_same(tmp_path: Path) -> None:
    from bad_metadata import zarred

    truth = zarred(tmp_path / "a.zarr")
    inside = [(f"x/a.zarr/{path.relative_to(tmp_path / 'a.zarr').as_posix()}", path.read_bytes())
              for path in sorted((tmp_path / "a.zarr").rglob("*")) if path.is_file()]  # fmt: skip
    app = tool(tmp_path / "web", limits=Limits(free=0, requests=1e6, parts=len(inside) + 1, kept=10**6))
    sets = Sets(app.state.store, 1)
    with visitor(app) as client:
        set = sent(client, *inside[:2]).json()["set"]
        assert sent(client, *inside[2:-1], into=set).json() == {"set": set, "files": 1, "errors": 1}, "not all is there"
        place = app.state.store.place("sets", set)
        before = [path for path in sorted(place.rglob("*")) if path.is_file()]
        for name in ("x/a.zarr/~", "x/a.zarr/a b", "x/a.zarr/" + "d/" * 13 + "x", inside[0][0], f"{inside[0][0]}/x"):
            assert sent(client, ("x/a.zarr/new", b"1"), (name, b"x"), into=set).status_code == 400, name
            assert [path for path in sorted(place.rglob("*")) if path.is_file()] == before, "nothing of it is kept"
        assert sent(client, inside[-1], into=set).json() == {"set": set, "files": 1, "errors": 0}
        (file,) = sets.files(set)
        np.testing.assert_array_equal(open_image(sets.path(set, file))[{}], truth)
        assert file.name == "x/a.zarr" and file.facts["shape"] == [*truth.shape]
        assert file.bytes == sum(len(data) for _, data in inside)
        many = sent(client, *[(f"x/a.zarr/c{k}", b"1") for k in range(9)], into=set)
        assert many.status_code == 400 and "more than" in many.json()["what"]
        assert sets.files(set) == [file], "as before"
