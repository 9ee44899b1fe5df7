"""OME-Zarr labels (NGFF 0.4 and 0.5): a group `labels/` in an image, each a pyramid of which level 0 is read."""

from __future__ import annotations

import json
import math
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from potency.data.masks.annotation import Annotation, Shape, agreed, of_labels
from potency.data.masks.labelled import read_image
from potency.errors import AnswerError

suffixes = (".zarr",)
MARKS = (".zattrs", ".zgroup", ".zarray", "zarr.json")
CHUNK, SMALLEST = 1024, 256  # pixels of a side of a chunk; of an image that gets no smaller level
NAME = "objects"


def recognises(path: Path, head: bytes) -> bool:
    """Say whether a folder holds zarr metadata."""
    return not head and any((path / mark).is_file() for mark in MARKS)


def read(path: Path, name: str | None, shape: Shape | None) -> Annotation:
    """Read labels, those of an image if it has only one kind; classes and scores from `image-label`."""
    path = _labels(path)
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


def _labels(path: Path) -> Path:
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
    group, name = (path.parent, path.name) if path.parent.name == "labels" else (path / "labels", NAME)
    image = group.parent
    newer = (image / "zarr.json").is_file()
    if (group / name).exists():
        raise AnswerError("there are labels of that name already", str(group / name),
                          "give another name, or remove them")
    group.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(dir=group, prefix=f".{name}.part"))
    try:
        _pyramid(part, annotation, _scale(image, annotation.labels.shape), newer)
        os.chmod(part, 0o755)
        os.replace(part, group / name)
        if not any((image / mark).is_file() for mark in MARKS):
            _mark(image, {}, newer)
        said = _attributes(group)
        listed = said.get("labels")
        _mark(group, {**said, "labels": [*(listed if isinstance(listed, list) else []), name]}, newer)
    except OSError as fault:
        raise AnswerError(f"it cannot be written: {fault.strerror or fault}", str(group / name),
                          "choose a folder you may write to, with room") from fault
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return {}


def _pyramid(part: Path, annotation: Annotation, scale: list[float] | None, newer: bool) -> None:
    import zarr  # a third of a second, paid by those who write zarr

    labels: Any = annotation.labels
    names = list("zyx"[-labels.ndim :])
    axes = [{"name": axis, "type": "space", **({"unit": "micrometer"} if scale else {})} for axis in names]
    levels, step = list[dict[str, Any]](), 1
    while True:
        array = zarr.create_array(
            store=str(part), name=str(len(levels)), data=np.ascontiguousarray(labels),
            chunks=(*(1,) * (labels.ndim - 2), *(min(CHUNK, side) for side in labels.shape[-2:])),
            zarr_format=3 if newer else 2, chunk_key_encoding={"name": "default" if newer else "v2", "separator": "/"},
            dimension_names=names if newer else None,
        )  # fmt: skip
        del array
        size = [side * (step if i >= labels.ndim - 2 else 1) for i, side in enumerate(scale or [1.0] * labels.ndim)]
        levels.append({"path": str(len(levels)), "coordinateTransformations": [{"type": "scale", "scale": size}]})
        if max(labels.shape[-2:]) <= SMALLEST:
            break
        labels, step = labels[..., ::2, ::2], step * 2
    version = "0.5" if newer else "0.4"
    objects = annotation.objects
    told = [{"label-value": label, **({"class": kind} if kind else {}),
             **({} if math.isnan(score) else {"score": score})}
            for label, kind, score in zip(*(objects[one].tolist() for one in ("label", "class", "score")), strict=True)
            if kind or not math.isnan(score)]  # fmt: skip
    labelled: dict[str, Any] = {"source": {"image": "../../"}, **({"properties": told} if told else {})}
    whole = {"name": NAME, "axes": axes, "datasets": levels}
    versioned = {} if newer else {"version": version}
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
