"""Truth and results of segmentation and detection: the visible list of their formats, and `read` and `write`."""

from __future__ import annotations

import lzma
import os
import struct
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import NamedTuple, Protocol, cast

from potency.data.image import Image
from potency.data.masks import coco, folder, geojson, imagej, labelled, ngff, points, voc, yolo
from potency.data.masks.annotation import Annotation, Shape, of_labels
from potency.data.masks.whole import whole_labels
from potency.data.readers import first_bytes, open_image
from potency.errors import AnswerError, PotencyError, nearest


class Format(Protocol):
    """A module that reads and writes one format: what the contract test asks of each in FORMATS."""

    __name__: str
    suffixes: tuple[str, ...]

    def recognises(self, path: Path, head: bytes) -> bool:
        """Say by its name and first bytes (none for a folder) whether a file is of this format."""

    def read(self, path: Path, name: str | None, shape: Shape | None) -> Annotation:
        """Read what it says of the image of that name (file name or None) and size (None where unknown)."""

    def write(self, path: Path, annotation: Annotation) -> Mapping[str, int]:
        """Write it; give what the format cannot hold, in words, and how much of it."""


__all__ = [
    "FORMATS", "Annotation", "Format", "Target", "known", "numbered", "of_labels", "read", "target_of", "whole_labels",
    "write",
]  # fmt: skip

# The first that recognises a file reads it.
FORMATS = cast(tuple[Format, ...], (labelled, ngff, geojson, coco, imagej, voc, yolo, points, folder))


class Target(NamedTuple):
    """The image that a truth is of: the name by which a file of many images knows it, and its size."""

    name: str | None
    shape: Shape | None


def known() -> dict[str, Format]:
    """Give the formats by name."""
    return {cast(ModuleType, one).__name__.rsplit(".", 1)[-1]: one for one in FORMATS}


def read(path: str | Path, *, image: str | Path | Image | None = None, shape: Shape | None = None,
         format: str | None = None) -> Annotation:
    """Read truth or results from a file or folder, by its content or as the `format` named.

    `image` is the image it belongs to: its size is checked, outlines are drawn into labels of that size, and of a file
    that speaks of many images its name picks one. A name that is no file only picks. Without `image` a size can be
    given as `shape`; with neither, outlines stay outlines and `labels` is None. Raises AnswerError.

    >>> read("no/such.tif")
    Traceback (most recent call last):
    potency.errors.AnswerError: there is no such file
    where: no/such.tif
    mend: check the path, and that its drive is connected
    """
    where = Path(path)
    target = target_of(image, shape)
    try:
        # An empty text is how YOLO says that there is nothing.
        head = b"" if where.is_file() and not where.stat().st_size else first_bytes(str(path))[0]
        found = named(format) if format else next((one for one in FORMATS if one.recognises(where, head)), None)
        if found is None and not head:
            first_bytes(str(path))  # says that a file is empty
        if found is None:
            raise AnswerError("it is of no format of labels, outlines, boxes or points that is known", str(path),
                              "readable are " + ", ".join(known()) + "; see labels-formats.md")
        return found.read(where, *target)
    except PotencyError as error:
        raise AnswerError(error.what, error.where or str(path), error.mend) from error
    except (ValueError, LookupError, TypeError, AttributeError, OverflowError, RecursionError, EOFError, OSError,
            struct.error, zlib.error, lzma.LZMAError, zipfile.BadZipFile, NotImplementedError) as error:
        # What parsers raise at damaged files.
        reason = (str(error).splitlines() or [""])[0][:200] or type(error).__name__
        raise AnswerError(f"it cannot be read: {reason}", str(path),
                          "the file is damaged or of another kind; copy or export it again") from error


def numbered(path: Path) -> Image | None:
    """Give the image whose pixels are the ids, to be read in parts; None of colours, outlines and all else."""
    try:
        if path.is_file() and path.suffix.lower() in labelled.suffixes:
            labelled.refuse_others(path)
            image = open_image(path)
        elif ngff.recognises(path, b""):
            image = open_image(ngff.labels_in(path))
        else:
            return None
    except OSError as error:
        raise AnswerError(f"it cannot be read: {error.strerror or error}", str(path),
                          "check its name, its rights and its drive") from error
    return image if image.dtype.kind in "uib" and len(image.channels) == 1 else None


def write(path: str | Path, annotation: Annotation, *, format: str | None = None) -> dict[str, int]:
    """Write truth or results, in the format that the suffix says or the one named, whole or not at all.

    Gives what the format cannot hold, in words, and how much of it. Raises AnswerError.
    """
    where = Path(path)
    lower = where.name.lower()
    found = named(format) if format else next((one for one in FORMATS if lower.endswith(one.suffixes)), None)
    if found is None:
        raise AnswerError(f"the name {where.name!r} says nothing of the format", str(path),
                          "end it in " + " ".join(s for one in FORMATS for s in one.suffixes)
                          + ", or name the format: " + ", ".join(known()))
    return {words: number for words, number in found.write(where, annotation).items() if number}


def named(format: str) -> Format:
    """Give the format of a name."""
    if format not in known():
        raise AnswerError(f"there is no format {format!r}", "format", nearest(format, known()))
    return known()[format]


def target_of(image: str | Path | Image | None, shape: Shape | None) -> Target:
    """Say which image is meant: a name that is no file only picks one out of many."""
    if shape is not None and (len(shape) not in (2, 3) or min(shape) < 1):
        raise AnswerError(f"{tuple(shape)} is no size of an image", "shape", "give (height, width) in pixels")
    if image is None:
        return Target(None, None if shape is None else tuple(map(int, shape)))
    opened = image if isinstance(image, Image) else open_image(image) if os.path.exists(image) else None
    name = opened.name if opened is not None else str(image)
    if opened is None:
        return Target(name, None if shape is None else tuple(map(int, shape)))
    sizes = opened.sizes
    found = tuple(sizes[axis] for axis in "ZYX" if axis in sizes)
    if shape is not None and tuple(shape) not in (found, found[-2:]):
        raise AnswerError(f"the image has {found} pixels, not {tuple(shape)}", name, "leave out the shape")
    return Target(name or None, found)
