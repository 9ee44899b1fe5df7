"""Read Leica LIF through the library `liffile`; the images of a file are series."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from potency.data.pixels import believable
from potency.data.readers.planes import Bounded, Planes, extra
from potency.data.readers.resolution import in_um
from potency.errors import ImageError

suffixes = (".lif",)

MAGIC = b"\x70\x00\x00\x00"


def recognises(path: str, head: bytes) -> bool:
    """Say whether the first bytes are those of a LIF file: a block of XML in UTF-16."""
    return head.startswith(MAGIC) and head[8:9] == b"\x2a"


def open(path: str, head: bytes, size: int, pages: str | None = None, series: int = 0) -> Lif:
    """Open one image of a file."""
    with Bounded(path) as source, extra("liffile").LifFile(source) as file:
        if not len(file.images):
            raise ImageError("the LIF file holds no images", path, "export it again")
        return Lif((path, b"", size, pages, series), file.images[min(series, len(file.images) - 1)], len(file.images))


class Lif(Planes):
    """The pixels of one image."""

    def __init__(self, again: tuple[Any, ...], image: Any, count: int) -> None:
        path, size = str(again[0]), int(again[2])
        sizes = {str(axis): int(n) for axis, n in image.sizes.items()}
        frame = list(image.frames.frame_sizes)
        if [axis for axis in frame if axis != "S"] != ["Y", "X"] or any(len(axis) > 1 for axis in sizes):
            raise ImageError(f"the LIF holds an image of axes {', '.join(sizes)}, which is not read", path,
                             "export it as OME-TIFF from LAS X or Fiji")
        block = image.memory_block
        if block.offset < 0 or block.offset + math.prod(sizes.values()) * image.dtype.itemsize > size:
            raise ImageError("the file is cut short: its pixels should go on beyond its end", path,
                             "copy the file again from where it was made")
        letters = "".join([axis for axis in sizes if axis not in "YXS"] + ["Y", "X"] + ["S"] * ("S" in sizes))
        channels = image.xml_element.findall("./Data/Image/ImageDescription/Channels/ChannelDescription")
        luts = [str(channel.get("LUTName") or "") for channel in channels]
        facts = {
            "pixel_size": spacing(image),
            "names": luts if len(set(luts)) == len(luts) else None,  # all "Gray" names nothing
            "series": count,
        }
        super().__init__(again, open, letters, [sizes[axis] for axis in letters], image.dtype, facts)

    def plane(self, at: Mapping[str, int], rows: slice, columns: slice) -> NDArray[Any]:
        with Bounded(self.path) as source, extra("liffile").LifFile(source) as file:
            frames = file.images[self._again[4]].frames
            fixed = frames(**at) if at else frames
            frame = np.asarray(next(iter(fixed.values())))
        return np.array(frame[rows, columns])


def spacing(image: Any) -> dict[str, float] | None:
    """Give um by axis from the physical lengths that the file states from the first pixel to the last."""
    found: dict[str, float | None] = {}
    for one in image.xml_element.findall("./Data/Image/ImageDescription/Dimensions/DimensionDescription"):
        axis = {"1": "X", "2": "Y", "3": "Z"}.get(str(one.get("DimID")))
        count = int(one.get("NumberOfElements") or 0)
        length = in_um(str(one.get("Length") or "").lstrip("-"), str(one.get("Unit") or ""))
        if axis and count > 1 and length:
            found[axis] = length / (count - 1)
    return believable(found)
