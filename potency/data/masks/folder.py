"""A folder of masks, one image an object: `images/` and `masks/` in one folder, as in the Data Science Bowl 2018."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import imagecodecs
import numpy as np

from potency.data.masks.annotation import Annotation, Shape, agreed, counted, needed, of_labels
from potency.data.masks.fill import COVERED
from potency.data.masks.labelled import not_held
from potency.data.masks.outlined import HIDDEN, numbers_of
from potency.data.readers import open_image
from potency.errors import AnswerError

suffixes: tuple[str, ...] = ()  # a folder of masks is written when it is asked for by its format
KINDS = (".png", ".tif", ".tiff", ".bmp")
UNREAD = (".jpg", ".jpeg", ".gif", ".webp", ".npy")


def recognises(path: Path, head: bytes) -> bool:
    """Say whether it is a folder of masks, or one with such a folder in it."""
    return not head and _inside(path).is_dir()


def _inside(path: Path) -> Path:
    return path if path.name == "masks" else path / "masks"


def read(path: Path, name: str | None, shape: Shape | None) -> Annotation:
    """Read masks in the order of their names; what is not 0 is the object, a later mask covers an earlier one."""
    inside = _inside(path)
    files = sorted(one for one in inside.iterdir() if one.suffix.lower() in KINDS and not one.name.startswith("."))
    path = inside.parent
    beside = [one for one in (path / "images").glob("*") if one.suffix.lower() in KINDS and one.is_file()]
    if shape is None and len(beside) == 1:
        size = open_image(beside[0]).sizes
        shape = size["Y"], size["X"]
    others = [one for one in inside.iterdir() if not one.name.startswith(".") and one.suffix.lower() in UNREAD]
    if others:
        raise AnswerError(f"{len(others)} of the masks are of a kind that is not read here, as {others[0].name}",
                          str(inside), f"save them as {', '.join(KINDS)}: a JPEG changes the values of pixels")
    ids = numbers_of([one.stem for one in files])
    lost: Counter[str] = Counter()
    labels = None
    if not files:
        labels = np.zeros(needed(shape, str(inside), "there is no mask that would say it")[-2:], np.uint32)
    painted = 0
    for file, number in zip(files, ids.tolist(), strict=True):
        image = open_image(file)
        if image.axes not in ("YX", "CYX"):
            raise AnswerError(f"a mask of axes {image.axes}", str(file), "a mask is one plane")
        mask = image[{}] != 0
        mask = mask.any(axis=0) if mask.ndim == 3 else mask
        if labels is None:
            agreed(mask.shape, shape[-2:] if shape else None, str(file))
            labels = np.zeros(mask.shape, np.uint32)
        agreed(mask.shape, labels.shape, str(file))
        labels[mask] = number
        painted += int(mask.sum())
        lost["masks without a pixel left out"] += not mask.any()
    assert labels is not None
    lost[COVERED] = painted - int(np.count_nonzero(labels))
    found = of_labels(labels)
    lost[HIDDEN] = len(files) - lost["masks without a pixel left out"] - len(found.objects)
    return Annotation(found.shape, labels, found.objects, counted(lost))


def write(path: Path, annotation: Annotation) -> Mapping[str, int]:
    """Write `masks/` into a folder, a PNG of 0 and 255 an object; what stands there already is not touched."""
    labels = annotation.labels
    if labels is None or labels.ndim != 2:
        raise AnswerError("there are no labels of one plane to write", str(path), "choose coco, geojson or points")
    target = _inside(path)
    if target.exists():
        raise AnswerError("there are masks already", str(target), "give another folder, or remove them")
    part = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        part = Path(tempfile.mkdtemp(dir=target.parent, prefix=".masks.part"))
        mask = np.zeros(labels.shape, np.uint8)
        columns = annotation.objects[["label", "top", "left", "bottom", "right"]].to_numpy().astype(np.int64)
        width = max(5, len(str(columns[:, 0].max() if len(columns) else 0)))
        for label, top, left, bottom, right in columns.tolist():
            window = slice(top, bottom), slice(left, right)
            mask[window] = np.where(labels[window] == label, 255, 0)
            (part / f"{label:0{width}}.png").write_bytes(imagecodecs.png_encode(mask, level=1))
            mask[window] = 0
        os.chmod(part, 0o755)
        os.replace(part, target)
    except OSError as fault:
        raise AnswerError(f"it cannot be written: {fault.strerror or fault}", str(target),
                          "choose a folder you may write to, with room") from fault
    finally:
        if part is not None:
            shutil.rmtree(part, ignore_errors=True)
    return not_held(annotation)
