"""COCO JSON: boxes, outlines and run lengths of one image out of the many a file may speak of."""

from __future__ import annotations

import json
import math
from array import array
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np

from potency.data.masks.annotation import BOX, Annotation, Shape, agreed
from potency.data.masks.disk import replacing
from potency.data.masks.fill import split_rings
from potency.data.masks.jsonstream import items, placed
from potency.data.masks.meant import Names
from potency.data.masks.outlined import Drawing, united
from potency.data.masks.runlength import column_runs, counts_of, packed, runs_of, unpacked
from potency.errors import AnswerError, nearest

suffixes = (".json",)
UNKNOWN = "object"  # every annotation needs a category


def recognises(path: Path, head: bytes) -> bool:
    """Say whether the text is JSON."""
    return head.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] in (b"{", b"[")


class _File(NamedTuple):
    """What a file says of all its images but the objects themselves, which `places` finds by an image's id."""

    images: list[dict[str, Any]]
    names: Names
    kinds: dict[str, str]
    places: Mapping[str, Sequence[int]]  # start and stop of each annotation in turn


def read(path: Path, name: str | None, shape: Shape | None) -> Annotation:
    """Read the objects of the image of that name (or the only one); crowds are regions, not objects, and left out."""
    known = path.stat()
    file = _looked_through(path, known.st_size, known.st_mtime_ns)
    image = _meant(file, name, path)
    where = f"{path}, image {image.get('file_name', image.get('id'))}"
    high, wide = (_side(image.get(side)) for side in ("height", "width"))
    whole = agreed((high, wide) if high and wide else None, shape[-2:] if shape else None, where)
    drawing = Drawing(whole, where)
    edges = file.places.get(_id(image.get("id")), ())
    for note in items(path, zip(edges[::2], edges[1::2], strict=True)):
        kind = file.kinds.get(_id(note.get("category_id")))
        if kind is None and file.kinds:
            drawing.lost["annotations of a category that the file does not list are without a class"] += 1
        _add(note, kind or "", drawing, where)
    return drawing.done()


def _id(said: Any) -> str:
    """An id as the text by which numbers, whole or not, and texts of them are the same: programs mix them."""
    return str(int(said)) if isinstance(said, float) and said.is_integer() else str(said).strip()


def _side(said: Any) -> int:
    """A side of an image in px, 0 where none is told."""
    text = _id(said)
    return int(text) if text.isdecimal() else 0


@lru_cache(maxsize=4)
def _looked_through(path: Path, size: int, changed: int) -> _File:
    """Look through a file once, however many of its images are asked for; `size` and `changed` tell it from a new one.

    A set of a million annotations would be gigabytes of numbers: only where each stands is kept.
    """
    images, kinds, seen = list[dict[str, Any]](), dict[str, str](), set[str]()
    places: dict[str, array[int]] = {}
    for member, item, place in placed(path):
        seen.add(member)
        if not isinstance(item, dict):
            continue
        if member == "images":
            images.append(item)
        elif member == "categories":
            kinds[_id(item.get("id"))] = str(item.get("name", ""))
        elif member == "annotations":
            places.setdefault(_id(item.get("image_id")), array("q")).extend(place)
    if not images:
        what = ", ".join(sorted(map(str, seen))[:5]) or "a list" if seen else "nothing"
        raise AnswerError(f"this JSON lists no images, so it is not COCO's (it holds {what})", str(path),
                          "COCO files hold images, annotations and categories; GeoJSON holds features")
    if places and not any(_id(one.get("id")) in places for one in images):
        raise AnswerError(f"none of its annotations belongs to an image that it lists: they speak of image_id "
                          f"{', '.join(list(places)[:3])}", str(path), "export it again, with the images it is of")
    return _File(images, Names(str(one.get("file_name") or "") for one in images), kinds, places)


def _meant(file: _File, name: str | None, path: Path) -> dict[str, Any]:
    images, names = file.images, file.names
    if name is None:
        if len(images) == 1:
            return images[0]
        raise AnswerError(f"the file speaks of {len(images)} images", str(path),
                          "say which: read(path, image=...), as " + str(images[0].get("file_name")))
    at = names.meant(name, str(path))
    plain = PurePosixPath(name.replace("\\", "/"))
    if at is None and len(images) == 1 and names.all[0] == path.stem:
        at = 0  # as `write` calls an image that it does not know: after the file itself
    if at is None:  # last, since an id may be the name of another image
        at = next((at for at, one in enumerate(images) if str(one.get("id")) in (plain.name, plain.stem)), None)
    if at is None:
        raise AnswerError(f"the file speaks of no image {plain.name}", str(path),
                          nearest(plain.name, names.all[:1000])[:300])
    return images[at]


def _add(note: Mapping[str, Any], kind: str, drawing: Drawing, where: str) -> None:
    if note.get("iscrowd") == 1:
        drawing.lost["crowds (regions of many objects) left out"] += 1
        return
    drawing.name = note.get("id")
    said, box, score = note.get("segmentation"), note.get("bbox"), note.get("score")
    worth = float(score) if isinstance(score, int | float) else math.nan
    if isinstance(said, dict):
        height, width = (int(side) for side in said["size"])
        agreed((height, width), drawing.shape, where)
        if drawing.shape is None:
            raise AnswerError("run lengths need the size of the image", where, "name the image: read(path, image=...)")
        counts = unpacked(said["counts"]) if isinstance(said["counts"], str) else np.array(said["counts"], np.int64)
        drawing.runs(*runs_of(counts, height * width, where), kind, worth)
    elif isinstance(said, list) and said:
        try:
            rings = [np.array(flat, np.float64).reshape(-1, 2)[:, ::-1] for flat in said]
            drawing.outline(united(rings, drawing.shape), kind, worth)
        except (ValueError, TypeError):
            drawing.lost["outlines that are no list of corners left out"] += 1
    elif isinstance(box, list) and len(box) == 4 and all(isinstance(edge, int | float) for edge in box):
        left, top, wide, high = map(float, box)
        drawing.box((top, left, top + high, left + wide), kind, worth)
    else:
        drawing.lost["annotations without outline and box left out"] += 1


def write(path: Path, annotation: Annotation) -> Mapping[str, int]:
    """Write one image: labels as compressed run lengths, which hold them exactly; outlines without labels as such."""
    objects = annotation.objects
    kinds = list(dict.fromkeys(kind or UNKNOWN for kind in objects["class"]))
    size = annotation.shape
    if size is not None and len(size) != 2:
        raise AnswerError("COCO has no volumes", str(path), "write TIFF, NPY or OME-Zarr, or plane by plane")
    image: dict[str, Any] = {"id": 1, "file_name": path.stem}
    if size is not None:
        image |= {"height": int(size[0]), "width": int(size[1])}
    head = {"images": [image], "categories": [{"id": i, "name": name} for i, name in enumerate(kinds, 1)]}
    with replacing(path) as part, part.open("w", encoding="utf-8", newline="\n") as file:
        file.write(json.dumps(head)[:-1] + ', "annotations": [')
        between = "\n"
        for note in _notes(annotation, {name: i for i, name in enumerate(kinds, 1)}):
            file.write(between + json.dumps(note))
            between = ",\n"
        file.write("\n]}\n")
    return {"points written as boxes of one pixel": int(objects["top"].isna().sum()),
            f"objects without a class written as {UNKNOWN!r}": int((objects["class"] == "").sum())}


def _notes(annotation: Annotation, kinds: Mapping[str, int]) -> Iterator[dict[str, Any]]:
    objects = annotation.objects
    drawn: dict[int, tuple[dict[str, Any] | list[Any], float]] = {}
    if annotation.labels is not None:
        height, width = annotation.labels.shape
        for label, start, length in column_runs(annotation.labels):
            letters = packed(counts_of(start, length, height * width))
            drawn[label] = {"size": [height, width], "counts": letters}, float(length.sum())
    elif "polygon" in objects:
        for label, polygon in zip(objects["label"], objects["polygon"], strict=True):
            if isinstance(polygon, np.ndarray):
                rings = [ring[:, ::-1].reshape(-1).tolist() for ring in split_rings(polygon)]
                drawn[label] = rings, 0.0
    columns = [objects[name].tolist() for name in ("label", "class", "score", "y", "x", *BOX)]
    for label, kind, score, y, x, *box in zip(*columns, strict=True):
        top, left, bottom, right = box if not math.isnan(box[0]) else (y, x, y + 1, x + 1)
        outline, area = drawn.get(label, ([], 0.0))
        note = {"id": label, "image_id": 1, "category_id": kinds[kind or UNKNOWN], "iscrowd": 0,
                "bbox": [left, top, right - left, bottom - top],
                "area": area or (right - left) * (bottom - top), "segmentation": outline}  # fmt: skip
        yield note if math.isnan(score) else {**note, "score": score}
