"""Read OME-Zarr 0.4 and 0.5 images (zarr 2 and 3): only the chunks that a window touches."""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from potency.data.pixels import PIECE_LIMIT, Window, believable, named, native
from potency.data.readers.layout import Layout, unnamed
from potency.data.readers.resolution import in_um
from potency.errors import ImageError

suffixes = (".zarr",)

MANY = 10_000  # chunks: looking for so many takes a second
SPARSE = 50  # a mosaic may be empty in parts; this much emptiness is damage
MARKS = (".zattrs", ".zgroup", ".zarray", "zarr.json")


def recognises(path: str, head: bytes) -> bool:
    """Say whether a folder holds zarr metadata."""
    return not head and any(os.path.isfile(os.path.join(path, mark)) for mark in MARKS)


def open(path: str, head: bytes, size: int, pages: str | None = None, series: int = 0) -> Zarr:
    """Open the first multiscale image of a folder, or a bare array; `pages` says what unnamed axes are."""
    import zarr  # a third of a second, paid by those who read zarr

    there = [mark for mark in MARKS if os.path.isfile(os.path.join(path, mark))]
    newer, older = MARKS[-1] in there, bool(set(there) & set(MARKS[:-1]))
    notes = ("zarr 2 metadata beside it are ignored",) if newer and older else ()
    node: Any = zarr.open(path, mode="r", zarr_format=3 if newer else 2)
    if isinstance(node, zarr.Array):
        letters = dimension_names(node) or unnamed(node.shape, path)
        return Zarr(path, [node], letters, None, None, pages, notes)
    attributes: Mapping[str, Any] = dict(node.attrs)
    attributes = attributes.get("ome", attributes)
    images = attributes.get("multiscales") or []
    if not images:
        raise without_image(path, attributes, sorted(node.keys()))
    first = images[0]
    levels = [str(level["path"]) for level in first.get("datasets") or ()]
    arrays = [array_of(path, node, level) for level in levels]
    missing = [level for level, array in zip(levels, arrays, strict=True) if array is None]
    if missing or not levels:
        what = f"the level {missing[0]!r} of the OME-Zarr is missing" if missing else "the OME-Zarr lists no levels"
        raise ImageError(what, path, "copy the whole folder again, or write the image again")
    axes = [axis if isinstance(axis, dict) else {"name": axis} for axis in first.get("axes") or ()]
    letters = "".join(str(axis["name"])[:1].upper() for axis in axes) or unnamed(arrays[0].shape, path)
    if len(letters) != arrays[0].ndim:
        raise ImageError(
            f"axes {letters} do not fit an array of shape {arrays[0].shape}",
            path,
            "correct the axes in its metadata",
        )
    return Zarr(path, arrays, letters, scale(first, axes), labels(attributes), pages, notes)


def array_of(path: str, group: Any, name: str) -> Any:
    """Open an array of a group, also one that was written as another version of zarr; None where there is none."""
    import zarr

    array = group.get(name)
    if array is None:
        inside = os.path.join(path, name)
        if os.path.isfile(os.path.join(inside, "zarr.json")):
            array = zarr.open(inside, mode="r", zarr_format=3)
        elif os.path.isfile(os.path.join(inside, ".zarray")):
            array = zarr.open(inside, mode="r", zarr_format=2)
    return array if isinstance(array, zarr.Array) else None


def without_image(path: str, attributes: Mapping[str, Any], keys: Sequence[str]) -> ImageError:
    """Say where in a plate or a collection the images are."""
    where = path
    if "plate" in attributes:
        wells = [str(well.get("path", "")) for well in attributes["plate"].get("wells", [])]
        field = os.path.join(path, wells[0] if wells else "A/1", "0")
        return ImageError("this is a plate of images, not one image", where, f"open a field of a well, as {field}")
    if "well" in attributes or "bioformats2raw.layout" in attributes:
        return ImageError("this is a collection of images", where, f"open one of them, as {os.path.join(path, '0')}")
    inside = ", ".join(keys[:5]) or "nothing"
    return ImageError(f"the zarr folder describes no image (it holds {inside})", where, "write it as OME-Zarr")


def dimension_names(array: Any) -> str:
    """Give the letters of an array that names its axes (zarr 3), else nothing."""
    names = getattr(array.metadata, "dimension_names", None) or ()
    letters = "".join(str(name)[:1].upper() for name in names if name)
    return letters if len(letters) == array.ndim and {"Y", "X"} <= set(letters) else ""


def scale(image: Mapping[str, Any], axes: Sequence[Mapping[str, Any]]) -> dict[str, float] | None:
    """Give um by axis from the scale of the first level times that of the whole; no unit, no size."""
    total = [1.0] * len(axes)
    stated = False
    for holder in (image["datasets"][0], image):
        for step in holder.get("coordinateTransformations") or ():
            if step.get("type") == "scale" and len(step.get("scale", ())) == len(axes):
                total = [a * float(b) for a, b in zip(total, step["scale"], strict=True)]
                stated = True
    if not stated:
        return None
    found = {str(a["name"])[:1].upper(): in_um(n, a.get("unit")) for a, n in zip(axes, total, strict=True)}
    return believable({axis: found.get(axis) for axis in "ZYX"})


def labels(attributes: Mapping[str, Any]) -> list[str] | None:
    """Give the channel names of the rendering settings if every channel has one."""
    channels = (attributes.get("omero") or {}).get("channels") or []
    names = [str(channel.get("label") or "") for channel in channels]
    return names if names and all(names) else None


class Zarr:
    """The pixels of one multiscale image."""

    def __init__(
        self,
        path: str,
        arrays: Sequence[Any],
        letters: str,
        pixel_size: Mapping[str, float] | None,
        names: Sequence[str] | None,
        pages: str | None,
        notes: tuple[str, ...] = (),
    ) -> None:
        self._opened = (path, b"", 0, pages)
        piece = math.prod(arrays[0].chunks) * np.dtype(arrays[0].dtype).itemsize
        if piece > PIECE_LIMIT:
            raise ImageError(
                f"chunks of {arrays[0].chunks} would unpack to {piece / 2**30:.1f} GiB each",
                path,
                "write the image again in chunks of some megabytes",
            )
        layouts = [Layout.of(letters, array.shape, pages, path) for array in arrays]
        self.axes, self.shape, self.notes = layouts[0].axes, layouts[0].shape, (*notes, *layouts[0].notes)
        kept = [i for i, layout in enumerate(layouts) if layout.axes == self.axes]
        from potency.data.readers.zarrchunks import bounded  # brings zarr along

        self.arrays, self.layouts = [bounded(arrays[i]) for i in kept], [layouts[i] for i in kept]
        self.levels = tuple(layout.shape for layout in self.layouts)
        self.dtype = native(np.dtype(arrays[0].dtype), path)
        self.pixel_size = pixel_size
        count = self.shape[self.axes.index("C")] if "C" in self.axes else 1
        self.channels = named(names if names and len(names) == count else None, count)

    def read(self, window: Window, level: int = 0) -> NDArray[Any]:
        """Read a window of one level; a chunk that was never written holds the fill value."""
        layout, source = self.layouts[level], self.arrays[level]
        raw = layout.raw(window)
        pieces = source.shards or source.chunks
        self._refuse_empty(source, math.prod(-(-s.stop // n) - s.start // n for s, n in zip(raw, pieces, strict=True)))
        array = np.asarray(source[raw])
        return np.ascontiguousarray(layout.arrange(array, window).astype(self.dtype, copy=False))

    def _refuse_empty(self, array: Any, touched: int) -> None:
        """Refuse to look for far more chunks than the folder holds files: filling the rest would never end."""
        if touched <= MANY:
            return
        folder = os.path.join(str(array.store.root), *str(array.path).split("/"))
        files = (name for _, _, names in os.walk(folder) for name in names if name not in MARKS)
        held = sum(1 for _ in itertools.islice(files, touched // SPARSE + 1))
        if touched > SPARSE * held:
            raise ImageError(
                f"the zarr claims {touched} chunks and holds {held}",
                self._opened[0],
                "the folder is damaged or was copied in part: copy it again; or read it in smaller windows",
            )

    def __reduce__(self) -> tuple[object, ...]:
        return open, self._opened  # a worker opens the folder for itself
