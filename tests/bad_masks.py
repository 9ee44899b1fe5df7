"""Bad masks, boxes and outlines, one by one, as somebody who trains, predicts or reads them would meet them."""

from __future__ import annotations

import contextlib
import errno
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pandas as pd
import tifffile
from bad_case import Case
from made_up_masks import annotated, noise
from small_bundle import bundle_of as classifier
from test_slides import bundle_of, discs

from potency.answers import files
from potency.data import masks
from potency.data.facts import Facts
from potency.data.manifest import Manifest
from potency.data.masks import ngff
from potency.inference import view
from potency.inference.predict import predict
from potency.learning.planning import planned
from potency.learning.train import train
from potency.tasks import find_task

SIDE = 48
CELLS = np.zeros((SIDE, SIDE), np.int32)
CELLS[4:12, 4:12], CELLS[20:40, 20:40] = 1, 2


def rows(folder: Path, label: np.ndarray, sound: np.ndarray = CELLS) -> Manifest:
    """Four images with label images, the second of which is `label`."""
    rng = np.random.default_rng(0)
    for i in range(4):
        tifffile.imwrite(folder / f"{i}.tif", rng.integers(0, 255, (SIDE, SIDE)).astype(np.uint8))
        np.save(folder / f"{i}.npy", label if i == 1 else sound)
    table = pd.DataFrame({"image": [f"{i}.tif" for i in range(4)], "truth": [f"{i}.npy" for i in range(4)],
                          "group": list("abcd"), "split": ["train"] * 3 + ["validation"]})  # fmt: skip
    return Manifest.of_rows(table, folder, kinds={"truth": "labels"})


def learn(told: Manifest, into: Path) -> str:
    task = find_task("instances")
    plan = planned(Facts.of(told.of("train")), task, network="unet:width=4:depth=1", tile=32, steps=2, batch=2,
                   validations=1)  # fmt: skip
    bundle = train(told, task, into=into, plan=plan)
    loss = bundle.card.validation["log"][-1]["train_loss"]
    assert np.isfinite(loss)
    return "learned from all the same"


def trained(item: str, given: str, label: np.ndarray, says: str, mend: str = "", sound: np.ndarray = CELLS) -> Case:
    """A label image among sound ones, that a network is to learn from."""
    where = "" if not mend else "1.npy" if sound is CELLS else "truth"
    return Case(item, given, lambda folder: learn(rows(folder, label, sound), folder / "out"), says, mend, where)


def read(item: str, given: str, name: str, write: Callable[[Path], object], says: str, mend: str = "") -> Case:
    """A file of objects, of an image of 20 x 20 pixels."""

    def do(folder: Path) -> str:
        write(folder / name)
        found = masks.read(folder / name, shape=(20, 20))
        return "; ".join([f"{len(found.objects)} objects", *(f"{what}: {n}" for what, n in found.lost.items())])

    return Case(item, given, do, says, mend, where=name if mend else "")


def outlines(*corners: tuple[tuple[float, float], ...]) -> Callable[[Path], object]:
    features = [{"type": "Feature", "geometry": {"type": "Polygon", "coordinates": [one]}} for one in corners]
    return lambda path: path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))


def torn(path: Path) -> None:
    masks.write(path, annotated(noise((20, 20))))
    chunk = next(one for one in (path / "labels" / "objects" / "0").rglob("0") if one.is_file())
    chunk.write_bytes(chunk.read_bytes()[:9])


@contextlib.contextmanager
def small() -> Iterator[None]:
    """What is large in life is small here, so that an image has tiles, chunks and levels."""
    large = mock.patch.object(files, "LARGE", 10_000)
    with mock.patch.multiple(ngff, CHUNK=64, SMALLEST=128), mock.patch.multiple(view, READ=128, MOST=0), large:
        yield


def cut(folder: Path) -> str:
    """A field with an object larger than the tiles it is seen in."""
    with small():
        found = predict(discs(folder / "in", large=True), bundle_of(), into=folder / "out").table
    assert pd.isna(found["prediction.error"][0]) and found["prediction.count"][0] > 100
    return f"answered; prediction.cut says how often: {found['prediction.cut'][0]:.0f}"


def full(folder: Path) -> str:
    """The disk fills while the tiles of a large image are written; then there is room again."""
    real, tiles = files.tempfile.mkdtemp, []

    def mkdtemp(*given: Any, **named: Any) -> Any:
        if "dir" in named and named["dir"].parents[1].name == "parts":
            tiles.append(named["dir"])
            if len(tiles) > 2:
                raise OSError(errno.ENOSPC, "No space left on device")
        return real(*given, **named)

    rows, out = discs(folder / "in"), folder / "out"
    with small():
        with mock.patch.object(files.tempfile, "mkdtemp", mkdtemp):
            error = predict(rows, bundle_of(), into=out).table["prediction.error"][0]
        assert "No space left on device" in error and "free some space" in error and not list(out.rglob("*.part*"))
        again = predict(rows, bundle_of(), into=out).table
    assert pd.isna(again["prediction.error"][0])
    return "the row says so (free some space); the same call goes on with the tiles that are left"


def other_channels(folder: Path) -> str:
    """An image of three fluorescence channels for a model of two others."""
    tifffile.imwrite(folder / "a.tif", np.zeros((3, 32, 32), np.uint8), imagej=True, metadata={"axes": "CYX"})
    told = Manifest.of_rows(pd.DataFrame({"image": ["a.tif"]}), folder)
    model = classifier(channels=("phase", "dapi"), scaling=SCALING)
    error = predict(told, model, into=folder / "out").table["prediction.error"][0]
    assert isinstance(error, str)
    return error


def maps_of_another_size(folder: Path) -> str:
    """A map of classes that is narrower than its image, for a network that gives every pixel a class."""
    told = rows(folder, CELLS[:, :40] > 0, (CELLS > 0).astype(np.uint8))
    told = replace(told, kinds={**told.kinds, "truth": "regions"})
    plan = planned(Facts.of(told.of("train")), find_task("segment"), network="unet:width=4:depth=1", tile=32, steps=1)
    train(told, find_task("segment"), into=folder / "out", plan=plan)
    return "learned from all the same"


def detected(folder: Path, box: tuple[float, ...]) -> str:
    """Boxes in tables of ours, one of which is `box`, for a network that finds objects."""
    told = rows(folder, CELLS)
    sides = ["bbox-0", "bbox-1", "bbox-2", "bbox-3"]
    for i in range(4):
        own = [(4.0, 4.0, 12.0, 12.0), box if i == 1 else (20.0, 20.0, 40.0, 40.0)]
        pd.DataFrame(own, columns=sides).to_csv(folder / f"{i}.csv", index=False)
    table = told.table.assign(truth=[f"{i}.csv" for i in range(4)])
    told = replace(told, table=table, kinds={**told.kinds, "truth": "objects"})
    plan = planned(Facts.of(told.of("train")), find_task("detect"), network="unet:width=4:depth=1", tile=32, steps=1,
                   batch=2, validations=1)  # fmt: skip
    train(told, find_task("detect"), into=folder / "out", plan=plan)
    return "learned from all the same"


SCALING = {"phase": (0.0, 255.0), "dapi": (0.0, 255.0)}
FRAME = np.kron(np.arange(1, 5).reshape(2, 2), np.ones((SIDE // 2, SIDE // 2))).astype(np.int32)
GAPS = np.where(CELLS == 2, 70_000, CELLS)
BOXES = "label,left,top,right,bottom\n1,-3,-3,4,4\n2,5,5,5,9\n3,50,50,60,60\n4,1,1,3,3\n"
SQUARE = ((0.0, 0.0), (8.0, 0.0), (8.0, 8.0), (0.0, 8.0))
BOW = ((9.0, 9.0), (18.0, 18.0), (18.0, 9.0), (9.0, 18.0))

CASES = [
    trained("mask and image of different size", "narrower than its image", CELLS[:, :40],
            "the objects are of 48 x 40 pixels, their image of 48 x 48", "pair each image with what was drawn on it"),
    trained("mask and image of different size", "half its size", CELLS[::2, ::2],
            "the objects are of 24 x 24 pixels", "at the same scale"),
    trained("no objects", "one image of several has none", np.zeros_like(CELLS), "learned from all the same"),
    trained("no objects", "no image has any", np.zeros_like(CELLS), "no row to learn from has an object",
            "give the objects of some images", np.zeros_like(CELLS)),
    trained("gaps in the ids", "ids 1 and 70,000", GAPS, "learned from all the same"),
    trained("negative or fractional ids", "-1 where it is background", CELLS - 1, "negative ids, the lowest is -1",
            "0 is background"),
    trained("negative or fractional ids", "halves", CELLS / 2, "no whole numbers, the first is 0.5 at (4, 4)",
            "give one id an object"),
    trained("negative or fractional ids", "whole numbers as float64", CELLS.astype(float), "learned from all the same"),
    trained("objects on every border", "four that fill the image", FRAME, "learned from all the same"),
    trained("one object fills the image", "1 at every pixel", np.ones_like(CELLS), "learned from all the same"),
    Case("larger than the tile", "an object of 250 px seen in tiles of 128", cut, "prediction.cut says how often"),
    read("corrupt zarr chunk", "labels of which a chunk is cut short", "a.zarr", torn, "cannot be decoded", "copy"),
    read("boxes outside, or of no size", "one of each beside two good ones", "a.csv",
         lambda path: path.write_text(BOXES), "boxes of no size left out: 1"),
    Case("mask and image of different size", "a map of classes narrower than its image", maps_of_another_size,
         "the objects are of 48 x 40 pixels, their image of 48 x 48", "pair each image", "1.npy"),
    Case("boxes outside, or of no size", "a box outside its image, to learn from",
         lambda folder: detected(folder, (60.0, 60.0, 70.0, 70.0)), "1 of 2 objects lie outside the image of 48 x 48",
         "give the objects of this very image", "1.csv"),
    Case("boxes outside, or of no size", "a box of no size in our own table, to learn from",
         lambda folder: detected(folder, (20.0, 20.0, 20.0, 40.0)), "a box has no size: [20.0, 20.0, 20.0, 40.0]",
         "leave empty boxes out", "row '1.tif': 1.csv, row 1"),
    Case("boxes outside, or of no size", "a box that sticks out of its image, to learn from",
         lambda folder: detected(folder, (30.0, -6.0, 60.0, 20.0)), "learned from all the same"),
    read("outlines that cross themselves", "a bow tie beside a square", "a.geojson", outlines(SQUARE, BOW),
         "2 objects"),
    read("outlines that cross themselves", "a line there and back", "a.geojson",
         outlines(SQUARE, ((1, 1), (2, 2), (1, 1))), "1 objects"),
    Case("channels it was not trained on", "three channels, by other names", other_channels, "channel"),
    Case("disk full in the middle of a slide", "while tiles are written", full, "goes on with the tiles that are left"),
]  # fmt: skip
