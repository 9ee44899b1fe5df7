"""Read Zeiss CZI through the library `pylibCZIrw`: only the window asked for; scenes are series."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from potency.data.pixels import believable
from potency.data.readers.czidirectory import look_over
from potency.data.readers.planes import Planes, extra
from potency.data.readers.resolution import in_um
from potency.errors import ImageError

suffixes = (".czi",)

MAGIC = b"ZISRAWFILE"
TYPES = {"Gray8": "uint8", "Gray16": "uint16", "Gray32Float": "float32", "Bgr24": "uint8", "Bgr48": "uint16"}

SPARSE = 50  # a mosaic may be empty in parts, a film may lack planes; this much emptiness is damage


def recognises(path: str, head: bytes) -> bool:
    """Say whether the first bytes are those of a CZI file."""
    return head.startswith(MAGIC)


def open(path: str, head: bytes, size: int, pages: str | None = None, series: int = 0) -> Czi:
    """Open one scene of a file."""
    library = extra("pylibCZIrw.czi")
    look_over(path, size)
    with library.open_czi(path) as file:
        return Czi((path, b"", size, pages, series), file)


class Czi(Planes):
    """The pixels of one scene, its mosaic put together; the full resolution, from the corner of the scene."""

    def __init__(self, again: tuple[Any, ...], file: Any) -> None:
        path, number = str(again[0]), int(again[4])
        box = {str(axis): low_high for axis, low_high in file.total_bounding_box.items()}
        scenes = dict(sorted(file.scenes_bounding_rectangle_no_pyramid.items()))
        self.scene = list(scenes)[min(number, len(scenes) - 1)] if scenes else None
        corner = scenes[self.scene] if scenes else file.total_bounding_rectangle_no_pyramid
        self.left, self.top = int(corner.x), int(corner.y)
        kinds = {str(kind) for kind in file.pixel_types.values()}
        if len(kinds) != 1 or not kinds <= set(TYPES):
            raise ImageError(f"CZI pixels of the kinds {', '.join(sorted(kinds)) or 'none'} are not read", path,
                             f"export it as OME-TIFF; one kind of {', '.join(TYPES)} is read")
        kind = kinds.pop()
        others = [axis for axis, (low, high) in box.items() if axis not in "TCZYX" and high - low > 1]
        self.low = {axis: int(box[axis][0]) for axis in "TCZ" if axis in box}
        letters = "".join(self.low) + "YX" + ("S" if kind.startswith("Bgr") else "")
        lengths = {axis: int(box[axis][1] - box[axis][0]) for axis in self.low}
        lengths |= {"Y": int(corner.h), "X": int(corner.w), "S": 3}
        refuse_empty(file, math.prod(lengths.values()) // 3, path)
        names, size = described(file.raw_metadata)
        facts = {
            "pixel_size": size if size is None or lengths.get("Z", 1) > 1 else {axis: size[axis] for axis in "YX"},
            "names": names,
            "series": max(1, len(scenes)),
            "notes": [f"the first of several {axis} is read" for axis in others],
        }
        super().__init__(again, open, letters, [lengths[a] for a in letters], np.dtype(TYPES[kind]), facts)

    def plane(self, at: Mapping[str, int], rows: slice, columns: slice) -> NDArray[Any]:
        width, height = columns.stop - columns.start, rows.stop - rows.start
        region = (self.left + columns.start, self.top + rows.start, width, height)
        place = {axis: self.low[axis] + index for axis, index in at.items()}
        with extra("pylibCZIrw.czi").open_czi(self.path) as file:
            pixels = np.asarray(file.read(roi=region, plane=place, scene=self.scene))
        return pixels[..., ::-1] if "S" in self.letters else pixels[..., 0]  # colours are stored from blue to red


def refuse_empty(file: Any, claimed: int, path: str) -> None:
    """Refuse a file that claims far more pixels than its blocks hold: filling the rest would never end.

    Raises:
        ImageError: it does.
    """
    held = 0

    def count(_: int, block: Any) -> bool:
        nonlocal held
        held += int(block.physicalSize.w) * int(block.physicalSize.h)
        return True

    file.enumerate_subblocks(count)
    if claimed > SPARSE * held:
        raise ImageError(f"the CZI claims {claimed} pixels and holds {held}", path,
                         "the file is damaged, or a mosaic of distant parts; export its parts alone")


def described(xml: str) -> tuple[list[str], dict[str, float] | None]:
    """Give the channel names and the pixel size (um) of the metadata; nothing of what they do not say."""
    try:
        root = ElementTree.fromstring(xml)
    except ElementTree.ParseError:
        return [], None
    names = [str(one.get("Name") or "") for one in root.findall(".//Information/Image/Dimensions/Channels/Channel")]
    found = {one.get("Id"): in_um(one.findtext("Value"), "m") for one in root.findall(".//Scaling/Items/Distance")}
    return names, believable({axis: found.get(axis) for axis in "ZYX"})
