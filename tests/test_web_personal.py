"""What in uploaded files could name a person: found, taken out on request, with the pixels as they were."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image, PngImagePlugin
from visitors import sent, tool, visitor

from potency.data.readers import open_image
from potency.web.sets import Sets

SECRET = "Mara Muster"


def personal_files() -> dict[str, bytes]:
    """Images of each kind that name somebody."""
    exif = Image.Exif()
    exif[0x013B] = SECRET
    exif.get_ifd(0x8825)[1], exif.get_ifd(0x8769)[0xA431] = "N", SECRET
    text = PngImagePlugin.PngInfo()
    text.add_text("Author", SECRET)
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 255, (20, 30, 3)).astype("uint8"))
    made: dict[str, bytes] = {}
    for name, how in {"a.png": {"pnginfo": text, "exif": exif}, "a.jpg": {"exif": exif, "comment": SECRET.encode()},
                      "b.jpg": {"exif": exif, "progressive": True}, "a.webp": {"exif": exif, "lossless": True},
                      "a.tif": {"exif": exif}}.items():  # fmt: skip
        written = io.BytesIO()
        picture.save(written, {"jpg": "JPEG", "tif": "TIFF"}.get(name[2:], name[2:].upper()), **how)  # type: ignore[arg-type]
        made[name] = written.getvalue()
    stack = np.random.default_rng(1).integers(0, 999, (3, 20, 30)).astype("uint16")
    owner = [(315, 2, 0, SECRET, True)]
    ome = {"axes": "CYX", "PhysicalSizeX": 0.65, "PhysicalSizeY": 0.65, "Channel": {"Name": ["DAPI", "GFP", "RFP"]}}
    for name, tiff in {
        "o.ome.tif": {"metadata": ome | {"Description": SECRET}, "photometric": "minisblack", "extratags": owner},
        "i.tif": {"imagej": True, "resolution": (2, 2), "metadata": {"unit": "um", "axes": "ZYX", "Info": SECRET}},
        "p.tif": {"description": SECRET, "metadata": None, "photometric": "minisblack",
                  "byteorder": ">", "extratags": owner},
        "z.tif": {"bigtiff": True, "compression": "zlib", "tile": (16, 16), "metadata": {"who": SECRET},
                  "photometric": "minisblack"},
    }.items():  # fmt: skip
        written = io.BytesIO()
        tifffile.imwrite(written, stack, **tiff)
        made[name] = written.getvalue()
    return made


def patient() -> bytes:
    """A DICOM file of somebody."""
    pydicom, uid = pytest.importorskip("pydicom"), pytest.importorskip("pydicom.uid")
    data = pydicom.Dataset()
    data.file_meta = pydicom.dataset.FileMetaDataset()
    data.file_meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
    data.SOPClassUID, data.SOPInstanceUID = uid.SecondaryCaptureImageStorage, "1.2.3.4.5"
    data.PatientName, data.PatientID, data.InstitutionName = SECRET, SECRET, SECRET
    data.add_new(0x00091010, "LO", SECRET)
    data.Rows, data.Columns, data.SamplesPerPixel, data.PhotometricInterpretation = 6, 5, 1, "MONOCHROME2"
    data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, 16, 15, 0
    data.PixelSpacing, data.PixelData = [0.001, 0.001], np.arange(30, dtype="<u2").tobytes()
    written = io.BytesIO()
    data.save_as(written, enforce_file_format=True)
    return written.getvalue()


def test_what_could_name_a_person_is_taken_out_on_request(tmp_path: Path) -> None:
    app = tool(tmp_path / "web")
    files = personal_files() | {"d.dcm": patient()}
    truth = {}
    for name, data in files.items():
        assert SECRET.encode() in data or SECRET.encode("utf-16-le") in data or name == "z.tif", name
        (tmp_path / name).write_bytes(data)
        image = open_image(tmp_path / name)
        truth[name] = (image[{}], image.pixel_size, image.channels, image.axes)
    sets = Sets(app.state.store, 1)
    with visitor(app) as client:
        kept = sent(client, *files.items()).json()["set"]
        told = client.get(f"/images/{kept}.json").json()
        assert told["personal"] and not told["stripped"]
        assert client.post(f"/images/{kept}/strip.json").status_code == 200
        fresh = sent(client, *files.items(), strip="true").json()
        assert fresh["errors"] == 0
        for set in (kept, fresh["set"]):
            told = client.get(f"/images/{set}.json").json()
            assert told["stripped"] and not told["personal"]
            for file in sets.files(set):
                path = sets.path(set, file)
                data, image = path.read_bytes(), open_image(path)
                assert SECRET.encode() not in data and SECRET.encode("utf-16-le") not in data, file.name
                pixels, size, channels, axes = truth[file.name]
                np.testing.assert_array_equal(image[{}], pixels)
                assert (image.pixel_size, image.channels, image.axes) == (size, channels, axes), file.name
                assert len(data) == file.bytes
    assert SECRET not in str(app.state.store.rows("SELECT * FROM audit"))


def test_where_it_cannot_be_taken_out_the_file_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from potency.data.readers import planes
    from potency.errors import MissingExtra

    app = tool(tmp_path / "web")
    slide = io.BytesIO()
    tifffile.imwrite(slide, np.zeros((8, 8), "uint8"), description=f"Aperio |User = {SECRET}", metadata=None)
    with visitor(app) as client:
        taken = sent(client, ("a.svs", slide.getvalue()), strip="true").json()
        (file,) = client.get(f"/images/{taken['set']}.json").json()["files"]
        assert file["facts"]["error"]["what"] and file["bytes"] == 0 and file["facts"]["error"]["where"] == "a.svs"
        data = patient()

        def missing(name: str) -> None:
            raise MissingExtra("pydicom", "vendor")

        monkeypatch.setattr(planes, "extra", missing)
        taken = sent(client, ("a.dcm", data), strip="true").json()
        assert taken["errors"] == 1
    for path in (tmp_path / "web" / "sets").rglob("*"):
        assert not path.is_file() or SECRET.encode() not in path.read_bytes()
