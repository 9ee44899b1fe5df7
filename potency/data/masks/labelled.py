"""Label images: TIFF, PNG, NPY (also Cellpose's `_masks`), a pixel holds the id of its object; OME-Zarr is read too."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import tifffile

from potency.data.masks.annotation import Annotation, Shape, agreed, of_labels
from potency.data.masks.disk import replacing
from potency.data.masks.whole import colour_labels, whole_labels
from potency.data.readers import open_image
from potency.data.readers.photo import JPEG, WEBP, marked
from potency.errors import AnswerError

suffixes = (".tif", ".tiff", ".png", ".npy")
NUMPY = b"\x93NUMPY"
OBJECTS = re.compile(rb"'descr':\s*['\"]\|?O")
TIFFS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
LOSSY = b"VP8 "  # of WebP the chunk of a lossy picture (RFC 9649)
LOSSLESS = "save the labels as PNG or TIFF where they were made"
CELLPOSE = (
    "open it in Cellpose, and File > Save masks as PNG/tif; or in Python: from cellpose import io; "
    "io.save_masks(images, masks, flows, names, tif=True), and read the file that ends in _cp_masks.tif"
)


def recognises(path: Path, head: bytes) -> bool:
    """Say whether the first bytes are those of an image or array."""
    return head.startswith((NUMPY, b"\x89PNG", JPEG, b"BM", *TIFFS)) or marked(head).startswith(WEBP)


def read(path: Path, name: str | None, shape: Shape | None) -> Annotation:
    """Read labels; colours are told apart, an array of Python objects and a lossy picture are refused."""
    refuse_others(path)
    return read_image(path, shape)


def refuse_others(path: Path) -> None:
    """Refuse what cannot hold labels: an array of Python objects, and a lossy picture."""
    with path.open("rb") as file:
        head = file.read(1024)
    if head.startswith(NUMPY) and OBJECTS.search(head[:300]):
        raise AnswerError("the array holds Python objects (a pickle), which could run code when loaded; Cellpose's "
                          "_seg.npy is such a file", str(path), CELLPOSE)  # fmt: skip
    if head.startswith(JPEG):
        raise AnswerError("a JPEG changes the values of pixels, so it cannot hold labels", str(path), LOSSLESS)
    if marked(head).startswith(WEBP) and LOSSY in head:
        raise AnswerError("this WebP changes the values of pixels, so it cannot hold labels", str(path), LOSSLESS)


def read_image(path: Path, shape: Shape | None) -> Annotation:
    """Read the labels of any image that can be opened."""
    image = open_image(path, pages="Z")
    if image.axes not in ("YX", "ZYX", "CYX") or (image.axes == "CYX" and image.shape[0] != 3):
        raise AnswerError(f"an image of axes {image.axes} and shape {image.shape} holds no labels", str(path),
                          "save the channel or the time with the labels alone")
    array = image[{}]
    labels, lost = colour_labels(array, str(path)) if image.axes == "CYX" else whole_labels(array, str(path))
    agreed(labels.shape, shape[-labels.ndim :] if shape else None, str(path))  # a plane may be of a stack
    return of_labels(labels, lost=lost)


def write(path: Path, annotation: Annotation) -> Mapping[str, int]:
    """Write labels as uint16 where they fit, else as uint32; classes, scores and bare boxes have no place there."""
    if annotation.labels is None:
        raise AnswerError("there are no labels to write, only boxes, points or outlines without an image", str(path),
                          "choose coco, geojson or points; or read the outlines with the size of their image")
    array: Any = annotation.labels
    if not array.size or array.max() < 2**16:
        array = array.astype(np.uint16)
    suffix = path.suffix.lower()
    if suffix == ".png" and (array.dtype != np.uint16 or array.ndim != 2):
        raise AnswerError(f"a PNG holds one plane and ids up to 65535, these are {array.shape} up to {array.max()}",
                          str(path), "write .tif")
    with replacing(path) as part:
        if suffix == ".npy":
            np.save(part, array)
        elif suffix == ".png":
            part.write_bytes(imagecodecs.png_encode(np.ascontiguousarray(array), level=6))
        else:
            axes = "ZYX"[-array.ndim :]
            tifffile.imwrite(part, array, compression="zlib", photometric="minisblack", metadata={"axes": axes})
    return not_held(annotation)


def not_held(annotation: Annotation) -> dict[str, int]:
    """Count what labels alone do not say."""
    objects = annotation.objects
    return {
        "classes not written": int((objects["class"] != "").sum()),
        "scores not written": int(objects["score"].notna().sum()),
    }
