"""The editor of one image: its pixels, its mask, and the changes that a hand makes to it."""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from fastapi import Body, Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from potency.errors import PotencyError
from potency.web.correcting.corrections import LABELS, Correction, Item, shape_of
from potency.web.correcting.edits import Edited, Edits
from potency.web.correcting.operations import Operation
from potency.web.frame import Here, Pages
from potency.web.middle import middle, part_of
from potency.web.pages.correct import corrections
from potency.web.sets import File

pages = Pages()
SIDE = 2048  # px of the largest part of an image that is shown at once
Number = Annotated[int, Field(ge=0, lt=2**32)]
Place = Annotated[float, Field(ge=-1e5, le=1e5, allow_inf_nan=False)]


class Sent(BaseModel):
    """An operation as it is sent; see `potency.web.correcting.operations.Operation`."""

    model_config = ConfigDict(extra="forbid")
    key: Annotated[str, Field(min_length=8, max_length=40, pattern="^[0-9a-zA-Z-]+$")]
    kind: Literal["draw", "erase", "split", "merge", "delete", "class", "undo", "redo"]
    label: Number = 0
    other: Number = 0
    points: Annotated[list[tuple[Place, Place]], Field(max_length=4000)] = []
    radius: Annotated[float, Field(ge=0, le=500, allow_inf_nan=False)] = 0.0
    over: bool = False
    fresh: bool = False
    fill: bool = False
    name: Annotated[str, Field(max_length=200)] = ""


@dataclass(frozen=True)
class Editor:
    """One image to be corrected, and where it stands in the queue; `height` and `width` are those of the whole."""

    correction: Correction
    item: Item
    following: str
    left: int
    height: int
    width: int
    channels: list[str]
    part: str
    undo: int
    redo: int
    fresh: int
    side: int
    simulated: bool


@pages.page("/correct/{correction}/{item}", "correct-image.html")
def one(visit: Here, correction: str, item: str) -> Editor:
    """The editor of an image."""
    there = corrections(visit)
    found, image = there.find(correction), there.item(correction, item)
    file = there.file(correction, image)
    queue = [one.id for one in there.order(correction) if one.id != item and one.state == "open"]
    now = Edits(visit.store, found, image, file if found.kind == LABELS else None).state()
    return Editor(found, image, queue[0] if queue else "", len(queue), *shape_of(file),
                  list(file.facts.get("channels") or []), part_of(file), now.undo, now.redo, now.fresh, SIDE,
                  bool(there.sets.find(found.set).facts.get("simulated")))  # fmt: skip


@pages.action("/correct/{correction}/{item}/edits", then=lambda told: "/correct")
def edit(
    visit: Here,
    correction: str,
    item: str,
    base: Annotated[int, Body(ge=0, lt=2**32)],
    operations: Annotated[list[Sent], Body(max_length=500)],
) -> Edited:
    """Do operations to a mask (or to the class of an image) that were made on revision `base`.

    409 where it was changed elsewhere meanwhile: nothing is done then. An operation that is sent again is done once.
    """
    there = corrections(visit)
    found, image = there.find(correction), there.item(correction, item)
    visit.room.needed(image.name)
    file = there.file(correction, image) if found.kind == LABELS else None
    done = [Operation(**one.model_dump()) for one in operations]
    return Edits(visit.store, found, image, file).apply(base, done, visit.person.id)


@pages.router.get("/correct/{correction}/{item}/mask", include_in_schema=False)
def mask(
    visit: Here,
    correction: str,
    item: str,
    x: Annotated[int, Query(ge=0)] = 0,
    y: Annotated[int, Query(ge=0)] = 0,
) -> Response:
    """A part of a mask as 32-bit numbers, row by row; the head says of which revision and size."""
    there = corrections(visit)
    found, image = there.find(correction), there.item(correction, item)
    file = there.file(correction, image)
    if found.kind != LABELS:
        raise PotencyError("these images have a class, no mask", image.name, "go back to the list")
    top, left, bottom, right = _window(shape_of(file), y, x)
    with Edits(visit.store, found, image, file).mask() as (now, row):
        part = now.labels[top:bottom, left:right].astype("<u4")
    headers = {"content-encoding": "gzip", "x-revision": str(row["revision"]), "x-height": str(part.shape[0]),
               "x-width": str(part.shape[1])}  # fmt: skip
    return Response(gzip.compress(part.tobytes(), 1), media_type="application/octet-stream", headers=headers)


@pages.router.get("/correct/{correction}/{item}/picture", include_in_schema=False)
def picture(
    visit: Here,
    correction: str,
    item: str,
    x: Annotated[int, Query(ge=0)] = 0,
    y: Annotated[int, Query(ge=0)] = 0,
    channel: Annotated[int, Query(ge=-1)] = -1,
) -> Response:
    """A part of an image as PNG at its full size, stretched for the eye; one channel, or as the model sees it."""
    there = corrections(visit)
    image = there.item(correction, item)
    file = there.file(correction, image)
    path = there.sets.path(there.find(correction).set, file)
    return Response(_drawn(path, file, _window(shape_of(file), y, x), channel), media_type="image/png",
                    headers={"cache-control": "private, max-age=3600"})  # fmt: skip


def _window(shape: tuple[int, int], y: int, x: int) -> tuple[int, int, int, int]:
    top, left = (min(start, max(0, size - SIDE)) for start, size in zip((y, x), shape, strict=True))
    return top, left, min(shape[0], top + SIDE), min(shape[1], left + SIDE)


def _drawn(path: Any, file: File, window: tuple[int, int, int, int], channel: int) -> bytes:
    import io

    import numpy as np
    from PIL import Image as Picture

    from potency.data.readers import open_image
    from potency.evaluation.gallery import stretched

    top, left, bottom, right = window
    t, z = (middle(file, axis) or 0 for axis in "TZ")
    crop = open_image(path).crop({"Y": slice(top, bottom), "X": slice(left, right)}, t=t, z=z)
    if channel < 0 and len(crop) == 3 and crop.dtype == np.uint8:
        pixels = np.moveaxis(stretched(crop), 0, -1)
    else:
        pixels = stretched(crop[min(max(channel, 0), len(crop) - 1)])
    written = io.BytesIO()
    Picture.fromarray(np.ascontiguousarray(pixels)).save(written, format="PNG", compress_level=1)
    return written.getvalue()
