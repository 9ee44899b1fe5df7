"""Bad metadata of images: pages without a meaning, absurd sizes, XML made to harm, damaged and mixed zarr folders."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import tifffile
from bad_case import Case
from bad_images import GREY, array, described, read, refused, tiff

from potency.data.manifest import Manifest
from potency.data.readers import open_image

STACK = np.random.default_rng(3).integers(0, 255, (9, 20, 30)).astype("uint8")
SCHEMA = 'xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"'

# ----------------------------------------------------------------------------------------- pages, sizes, contradictions


def sized(size: object, unit: str = "µm") -> Callable[[Path], np.ndarray]:
    """An OME-TIFF that states this size of a pixel."""
    meta = {f"PhysicalSize{axis}": size for axis in "XY"} | {f"PhysicalSize{axis}Unit": unit for axis in "XY"}
    return tiff(GREY, metadata={"axes": "YX", **meta})


def stated(cell: object, **file: Any) -> Callable[[Path], str]:
    """A table whose column pixel_size speaks of a file that has (or lacks) a size of its own."""

    def do(folder: Path) -> str:
        sized(**file)(folder / "a.ome.tif") if file else tifffile.imwrite(folder / "a.ome.tif", GREY, metadata=None)
        made = Manifest.of_rows(pd.DataFrame({"image": ["a.ome.tif"], "pixel_size": [cell]}), folder)
        return described(made.open(made.records()[0]), GREY)

    return do


def by_pages(letter: str | None, says: str) -> Case:
    def do(folder: Path) -> str:
        tifffile.imwrite(folder / "a.tif", STACK, photometric="minisblack", metadata=None)
        image = open_image(folder / "a.tif", pages=letter)
        np.testing.assert_array_equal(image[{}], STACK)
        return described(image, STACK)

    return Case("pages that could be Z, T or C", f"9 plain pages, pages={letter}", do, says)


def axes_win(folder: Path) -> str:
    tifffile.imwrite(folder / "a.ome.tif", STACK, metadata={"axes": "ZYX"})
    image = open_image(folder / "a.ome.tif", pages="T")
    np.testing.assert_array_equal(image[{}], STACK)
    return described(image, STACK)


def contradicting(path: Path) -> np.ndarray:
    """OME-XML of another image."""
    pixels = '<Pixels ID="P" DimensionOrder="XYZCT" Type="uint16" SizeX="7" SizeY="7" SizeZ="3" SizeC="1" SizeT="1"/>'
    tifffile.imwrite(path, GREY, description=f'<OME {SCHEMA}><Image ID="I">{pixels}</Image></OME>', metadata=None)
    return GREY


def too_few(path: Path) -> None:
    """An ImageJ stack that says it has more planes than there are."""
    tifffile.imwrite(path, STACK, imagej=True)
    path.write_bytes(path.read_bytes().replace(b"images=9", b"images=8").replace(b"frames=9", b"frames=8"))


FACTS = [
    by_pages(None, "9 pages of unknown meaning read as times (T)"),
    by_pages("Z", "9 pages of unknown meaning read as planes (Z)"),
    Case("metadata that disagrees with arguments", "planes by the file, pages=T by the caller", axes_win,
         "read as ZYX"),
    Case("metadata that disagrees with arguments", "pages=time", lambda f: open_image(f / "a.tif", pages="time")[{}],
         "pages cannot be 'time'", "say T, C or Z"),
    read("metadata that disagrees with arguments", "OME-XML of another image", contradicting,
         "the OME metadata does not describe these pages"),
    Case("metadata that disagrees with arguments", "a table says .5 um, the file .65", stated(0.5, size=0.65),
         "pixel size 0.65 um as the file says, not the 0.5 um of the table"),
    Case("missing, zero, negative or absurd pixel size", "a table says .5 um, the file nothing", stated(0.5),
         "pixel size 0.5 um; pixel size 0.5 um as the table says"),
    Case("missing, zero, negative or absurd pixel size", "a table says -1 um", stated(-1), "no microscope has",
         "give um of one pixel", "a.ome.tif"),
    read("missing, zero, negative or absurd pixel size", "no size", tiff(GREY, metadata=None), "pixel size unknown"),
    *(read("missing, zero, negative or absurd pixel size", f"{size} {unit}", sized(size, unit), "pixel size unknown",
           "a.ome.tif") for size, unit in ((0, "µm"), (-0.65, "µm"), (25, "mm"), (1, "pixel"))),
    read("missing, zero, negative or absurd pixel size", "72 pixels an inch",
         tiff(GREY, resolution=(72, 72), resolutionunit="INCH", metadata=None), "pixel size unknown"),
    refused("0 pages", "a TIFF of 0 pages", lambda p: p.write_bytes(b"II*\0\0\0\0\0"), "the TIFF file holds no pages",
            "export the image again"),
    refused("0 pages", "an array of no rows", array(np.zeros((0, 5))), "hold no picture", "an image needs Y and X",
            "a.npy"),
]  # fmt: skip

# ----------------------------------------------------------------------------------------------------------------- XML


def described_by(xml: str) -> Callable[[Path], np.ndarray]:
    return tiff(GREY, description=xml, metadata=None)


def ome(inside: str = "", after: str = "", before: str = "") -> str:
    sizes = 'Type="uint16" SizeX="64" SizeY="48" SizeZ="1" SizeC="1" SizeT="1" PhysicalSizeX="0.5" PhysicalSizeY="0.5"'
    pixels = f'<Pixels ID="P" DimensionOrder="XYZCT" {sizes}>{inside}<TiffData IFD="0" PlaneCount="1"/></Pixels>'
    return f'{before}<OME {SCHEMA}><Image ID="I">{pixels}</Image>{after}</OME>'


LAUGHS = "".join(f'<!ENTITY a{i + 1} "{f"&a{i};" * 10}">' for i in range(9))
NOTES = "".join(f'<XMLAnnotation ID="A:{i}"><Value>{"x" * 60}</Value></XMLAnnotation>' for i in range(40_000))
OUTSIDE = '<!DOCTYPE OME [<!ENTITY x SYSTEM "file:///etc/hostname">]>'
XML = [
    read("huge XML", "4 MB of annotations", described_by(ome(after=f"<A>{NOTES}</A>")), "pixel size 0.5 um"),
    read("huge XML", "XML that breaks off", described_by(f"<OME {SCHEMA}><Image>"), "read as YX 48 x 64 uint16"),
    read("XML entities", "entities that grow to 10 GB", described_by(
        ome('<Channel ID="C" Name="&a9;"/>', before=f'<!DOCTYPE OME [<!ENTITY a0 "aaaaaaaaaa">{LAUGHS}]>')),
        "the OME metadata does not describe these pages"),
    read("XML entities", "an entity that names a file of this machine", described_by(
        ome('<Channel ID="C" Name="&x;"/>', before=OUTSIDE)), "the OME metadata does not describe these pages"),
]  # fmt: skip

# ---------------------------------------------------------------------------------------------------------------- zarr


def zarred(path: Path, version: int = 3, levels: tuple[str, ...] = ("0",), **how: Any) -> np.ndarray:
    """An OME-Zarr of GREY + 1, in chunks of 16."""
    import zarr

    group = zarr.open_group(path, mode="w", zarr_format=version)
    array = group.create_array("0", shape=GREY.shape, dtype="u2", chunks=(16, 16), **how)
    array[:] = GREY + 1
    facts = {"multiscales": [{"axes": [{"name": "y"}, {"name": "x"}], "datasets": [{"path": each} for each in levels]}]}
    group.attrs.update(facts if version == 2 else {"ome": facts})
    return GREY + 1


def without(chunk: str | None, content: bytes | None = None) -> Callable[[Path], np.ndarray]:
    """One chunk (or the metadata of the array) gone, or replaced by `content`."""

    def write(path: Path) -> np.ndarray:
        truth = zarred(path)
        file = path / "0" / (chunk or "zarr.json")
        if content is None:
            file.unlink()
            truth[16:32, 32:48] = 0
        else:
            file.write_bytes(content)
        return truth

    return write


def mixed(outer: int, inner: int) -> Callable[[Path], np.ndarray]:
    """A group of one version of zarr around an array of the other."""

    def write(path: Path) -> np.ndarray:
        zarred(path, outer)
        truth = zarred(path.with_name("other.zarr"), inner)
        shutil.rmtree(path / "0")
        shutil.copytree(path.with_name("other.zarr") / "0", path / "0")
        return truth

    return write


def both(path: Path) -> np.ndarray:
    """One folder that was written twice, as zarr 2 and as zarr 3."""
    zarred(path, 2)
    truth = zarred(path.with_name("other.zarr"), 3)
    shutil.copytree(path.with_name("other.zarr"), path, dirs_exist_ok=True)
    return truth


ZARR: list[Case] = [
    refused("corrupt or missing zarr chunk", "a chunk of nonsense", without("c/1/2", b"garbage!"),
            "the pixels cannot be decoded", "copy or export it again", "a.zarr"),
    read("corrupt or missing zarr chunk", "a chunk that was never written", without("c/1/2"), "read as YX 48 x 64",
         "a.zarr"),
    refused("corrupt or missing zarr chunk", "a level that is not there", lambda p: zarred(p, levels=("0", "1")),
            "the level '1' of the OME-Zarr is missing", "copy the whole folder again", "a.zarr"),
    refused("corrupt or missing zarr chunk", "metadata that break off", without(None, b'{"zarr_format": 3,'),
            "the header cannot be decoded", "copy or export it again", "a.zarr"),
    read("zarr v2/v3 mixed", "zarr 2 and zarr 3 in one folder", both, "zarr 2 metadata beside it are ignored",
         "a.zarr"),
    read("zarr v2/v3 mixed", "a zarr 3 group around a zarr 2 array", mixed(3, 2), "read as YX 48 x 64", "a.zarr"),
    read("zarr v2/v3 mixed", "a zarr 2 group around a zarr 3 array", mixed(2, 3), "read as YX 48 x 64", "a.zarr"),
    read("sharded", "shards of 2 x 2 chunks", lambda p: zarred(p, shards=(32, 32)), "read as YX 48 x 64", "a.zarr"),
]  # fmt: skip
CASES: list[Case] = [*FACTS, *XML, *ZARR]
