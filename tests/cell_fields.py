"""Made-up fields of bright discs on dark ground as files to upload, and a client that uploads them."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
import tifffile
from fastapi.testclient import TestClient
from numpy.typing import NDArray
from PIL import Image

PLACES = ((24, 24), (24, 72), (24, 120), (72, 40), (72, 100), (104, 140))  # centres y, x of cells in a field
RADIUS = 9


def field(places: Sequence[tuple[int, int]] = PLACES, shape: tuple[int, int] = (128, 160), seed: int = 0) -> NDArray:
    """A field (H, W) of 8 bits: a soft disc at each place, and noise."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    light = np.full(shape, 20.0)
    for top, left in places:
        light += 170 / (1 + np.exp(np.hypot(y - top, x - left) - RADIUS))
    return np.clip(light + np.random.default_rng(seed).normal(0, 3, shape), 0, 255).astype(np.uint8)


def png(pixels: NDArray) -> bytes:
    written = io.BytesIO()
    Image.fromarray(pixels).save(written, format="PNG")
    return written.getvalue()


def tiff(pixels: NDArray, axes: str, um: float = 0.5, **more: object) -> bytes:
    """An OME-TIFF of named axes with a pixel size."""
    written = io.BytesIO()
    told = {"axes": axes, "PhysicalSizeX": um, "PhysicalSizeY": um, **more}
    tifffile.imwrite(written, pixels, ome=True, metadata=told, photometric="minisblack")
    return written.getvalue()


def stack() -> bytes:
    """Two times (20 min), three planes, two channels: the value is 100 t + 10 z + 1000 c, but for a disc."""
    t, z, c = np.meshgrid(range(2), range(3), range(2), indexing="ij")
    light = (100 * t + 10 * z + 1000 * c)[..., None, None] + 2 * field().astype(int)
    return tiff(light.astype(np.uint16), "TZCYX", Channel={"Name": ["DAPI", "GFP"]}, TimeIncrement=1200.0)


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
    return np.asarray(Image.open(io.BytesIO(answer.content)))
