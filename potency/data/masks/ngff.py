"""OME-Zarr labels (NGFF 0.4 and 0.5): a group `labels/` in an image, each a pyramid of which level 0 is read."""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from potency.data.masks.annotation import Annotation, Shape, agreed, of_labels
from potency.data.masks.labelled import read_image
from potency.errors import AnswerError

suffixes = (".zarr",)
MARKS = (".zattrs", ".zgroup", ".zarray", "zarr.json")
CHUNK, SMALLEST = 512, 256  # pixels of a side of a chunk; of an image that gets no smaller level
NAME = "objects"


def recognises(path: Path, head: bytes) -> bool:
    """Say whether a folder holds zarr metadata."""
    return not head and any((path / mark).is_file() for mark in MARKS)


def read(path: Path, name: str | None, shape: Shape | None) -> Annotation:
    """Read labels, those of an image if it has only one kind; classes and scores from `image-label`."""
    path = labels_in(path)
    found = read_image(path, shape)
    assert found.labels is not None
    classes, scores = dict[int, str](), dict[int, float]()
    for one in _attributes(path).get("image-label", {}).get("properties") or ():
        label = one.get("label-value") if isinstance(one, dict) else None
        if isinstance(label, int):
            classes[label] = str(one.get("class") or "")
            if isinstance(one.get("score"), int | float):
                scores[label] = float(one["score"])
    return of_labels(found.labels, classes, scores, found.lost)


def labels_in(path: Path) -> Path:
    """Give the group of the labels that are meant: the path itself, or the only labels within."""
    for folder in (path / "labels", path):
        names = _attributes(folder).get("labels") if folder.is_dir() else None
        if isinstance(names, list) and names:
            if len(names) > 1:
                raise AnswerError(f"there are {len(names)} kinds of labels: {', '.join(map(str, names))[:200]}",
                                  str(path), f"name one, as {folder / str(names[0])}")
            if Path(str(names[0])).is_absolute() or ".." in Path(str(names[0])).parts:
                raise AnswerError(f"the labels {names[0]!r} lie outside of the folder", str(path), "it is not trusted")
            return folder / str(names[0])
    if _attributes(path).get("multiscales") and "image-label" not in _attributes(path) and path.parent.name != "labels":
        raise AnswerError("this is an image without labels", str(path), "name the folder labels/<name> in it")
    return path


def _attributes(path: Path) -> dict[str, Any]:
    """Give the attributes of a group, of either version of zarr."""
    for mark in ("zarr.json", ".zattrs"):
        if (path / mark).is_file():
            if (path / mark).stat().st_size > 2**28:
                raise AnswerError("its metadata have more than 256 MiB", str(path / mark), "is it the right folder?")
            said = json.loads((path / mark).read_bytes())
            said = said.get("attributes", {}) if mark == "zarr.json" and isinstance(said, dict) else said
            said = said.get("ome", said) if isinstance(said, dict) else {}
            return said if isinstance(said, dict) else {}
    return {}


def write(path: Path, annotation: Annotation) -> Mapping[str, int]:
    """Write labels into `path`/labels/objects, or as `path` itself where that lies in a folder `labels`.

    The version of zarr is that of the image they are put into, else 2 (NGFF 0.4, which most programs read); its pixel
    size is taken over. Labels that are there already are not touched.
    """
    if annotation.labels is None:
        raise AnswerError("there are no labels to write", str(path), "choose coco, geojson or points")
    group = path.parent if path.parent.name == "labels" else path / "labels"
    newer = (group.parent / "zarr.json").is_file()
    objects = annotation.objects
    told = [{"label-value": label, **({"class": kind} if kind else {}),
             **({} if math.isnan(score) else {"score": score})}
            for label, kind, score in zip(*(objects[one].tolist() for one in ("label", "class", "score")), strict=True)
            if kind or not math.isnan(score)]  # fmt: skip
    try:
        scale = _scale(group.parent, annotation.labels.shape)
        with growing(path, annotation.labels.shape, told, scale, newer) as pyramid:
            pyramid.put(0, annotation.labels)
    except OSError as fault:
        raise AnswerError(f"it cannot be written: {fault.strerror or fault}", str(path),
                          "choose a folder you may write to, with room") from fault
    return {}


@contextmanager
def growing(path: Path, shape: Shape, told: Sequence[Mapping[str, Any]] = (), scale: Sequence[float] | None = None,
            newer: bool = False) -> Iterator[Pyramid]:
    """Give labels of any size to be written band by band; at the end they lie where `write` puts them, or not at all.

    Args:
        path: of the image, or of the labels where it lies in a folder `labels`.
        shape: (Y, X) or (Z, Y, X) in pixels.
        told: properties of labels, each with its `label-value`.
        scale: pixel size in um along each axis.
        newer: zarr 3 and NGFF 0.5, not zarr 2 and NGFF 0.4.

    Raises:
        AnswerError: there are labels of that name. OSError: they cannot be written.
    """
    group, name = (path.parent, path.name) if path.parent.name == "labels" else (path / "labels", NAME)
    image = group.parent
    if (group / name).exists():
        raise AnswerError("there are labels of that name already", str(group / name),
                          "give another name, or remove them")
    part: Path | None = None
    fresh = [folder for folder in (group, *group.parents) if not folder.exists()]
    try:
        group.mkdir(parents=True, exist_ok=True)
        part = Path(tempfile.mkdtemp(dir=group, prefix=f".{name}.part"))
        pyramid = Pyramid(part, shape, newer)
        yield pyramid
        _describe(part, pyramid, told, scale, newer)
        os.chmod(part, 0o755)
        os.replace(part, group / name)
        if not any((image / mark).is_file() for mark in MARKS):
            _mark(image, {}, newer)
        said = _attributes(group)
        listed = said.get("labels")
        _mark(group, {**said, "labels": [*(listed if isinstance(listed, list) else []), name]}, newer)
    finally:
        if part is not None:
            shutil.rmtree(part, ignore_errors=True)
        for folder in fresh:
            with suppress(OSError):  # something lies in it: all went well, or it is another's
                folder.rmdir()


class Pyramid:
    """Labels and their smaller levels on disk, each half as large, which keep every second pixel.

    What is `put` is final. What is kept is level 0 as it is for now, to be read again and put.
    """

    def __init__(self, part: Path, shape: Shape, newer: bool) -> None:
        import zarr  # a third of a second, paid by those who write zarr

        self.levels, self.shape, self.digest = list[Any](), shape, hashlib.sha256(repr(shape).encode())
        size = shape
        while not self.levels or max(self.levels[-1].shape[-2:]) > SMALLEST:
            self.levels.append(zarr.create_array(
                store=str(part), name=str(len(self.levels)), shape=size, dtype=np.uint32,
                chunks=(*(1,) * (len(size) - 2), *(min(CHUNK, side) for side in size[-2:])),
                zarr_format=3 if newer else 2,
                chunk_key_encoding={"name": "default" if newer else "v2", "separator": "/"},
                dimension_names=list("zyx"[-len(size) :]) if newer else None,
            ))  # fmt: skip
            size = (*size[:-2], -(-size[-2] // 2), -(-size[-1] // 2))

    def put(self, top: int, rows: NDArray[Any]) -> None:
        """Write rows (..., n, X) from row `top` on, and what smaller levels keep of them; from above to below."""
        self.digest.update(np.ascontiguousarray(rows, np.uint32).data)
        for level, array in enumerate(self.levels):
            step = 2**level
            first = -top % step  # of these rows the first that this level keeps
            if first < rows.shape[-2]:
                small = rows[..., first::step, ::step]
                at = (top + first) // step
                array[..., at : at + small.shape[-2], :] = small

    def keep(self, rows: tuple[int, NDArray[Any]] | None) -> None:
        """Write (row, pixels) that are not final; None is nothing."""
        if rows is not None:
            self.levels[0][..., rows[0] : rows[0] + rows[1].shape[-2], :] = rows[1]

    def kept(self) -> Iterator[tuple[int, NDArray[Any]]]:
        """All of what is kept, (row, pixels), from above to below."""
        for top in range(0, self.shape[-2], CHUNK):
            yield top, self.levels[0][..., top : top + CHUNK, :]

    @staticmethod
    def aligned(row: int) -> int:
        """The last row up to `row` where a chunk begins: no chunk should be written twice."""
        return row // CHUNK * CHUNK


def _describe(part: Path, pyramid: Pyramid, told: Sequence[Mapping[str, Any]], scale: Sequence[float] | None,
              newer: bool) -> None:
    """Write the metadata of the labels."""
    axes = [{"name": axis, "type": "space", **({"unit": "micrometer"} if scale else {})}
            for axis in "zyx"[-len(pyramid.shape) :]]  # fmt: skip
    own = scale or [1.0] * len(axes)
    levels = [
        {"path": str(level), "coordinateTransformations": [
            {"type": "scale", "scale": [*own[:-2], *(side * 2**level for side in own[-2:])]}]}
        for level in range(len(pyramid.levels))
    ]  # fmt: skip
    labelled: dict[str, Any] = {"source": {"image": "../../"}, **({"properties": list(told)} if told else {})}
    whole = {"name": NAME, "axes": axes, "datasets": levels}
    versioned = {} if newer else {"version": "0.4"}
    _mark(part, {"multiscales": [{**versioned, **whole}], "image-label": {**versioned, **labelled}}, newer)


def _scale(image: Path, shape: tuple[int, ...]) -> list[float] | None:
    """Give the pixel size (um) of the image around the labels, if it has their size."""
    if not _attributes(image).get("multiscales"):
        return None
    from potency.data.readers import open_image

    opened = open_image(image)
    sizes = [opened.sizes.get(axis, 1) for axis in "ZYX"[-len(shape) :]]
    agreed(shape[-2:], tuple(sizes[-2:]), str(image))
    known = opened.pixel_size
    return [float(known.get(axis, 1.0)) for axis in "ZYX"[-len(shape) :]] if known else None


def _mark(folder: Path, attributes: Mapping[str, Any], newer: bool) -> None:
    """Write the metadata of a group."""
    if newer:
        said = {"version": "0.5", **attributes} if attributes else {}
        files = {"zarr.json": {"zarr_format": 3, "node_type": "group", "attributes": {"ome": said} if said else {}}}
    else:
        files = {".zgroup": {"zarr_format": 2}, ".zattrs": dict(attributes)}
    for name, content in files.items():
        (folder / name).write_text(json.dumps(content, allow_nan=False), "utf-8")
