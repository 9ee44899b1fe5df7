"""Read Nikon ND2 through the library `nd2`; positions are series."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from potency.data.pixels import believable
from potency.data.readers.planes import Bounded, Planes, extra

suffixes = (".nd2",)

MAGIC = (b"\xda\xce\xbe\x0a",)  # the older files, JPEG 2000 inside, are left to those who can export them


def recognises(path: str, head: bytes) -> bool:
    """Say whether the first bytes are those of an ND2 file."""
    return head[:4] in MAGIC


def open(path: str, head: bytes, size: int, pages: str | None = None, series: int = 0) -> Nd2:
    """Open one position of a file."""
    with Bounded(path) as source, extra("nd2").ND2File(source) as file:
        return Nd2((path, b"", size, pages, series), file)


class Nd2(Planes):
    """The pixels of one position."""

    def __init__(self, again: tuple[Any, ...], file: Any) -> None:
        sizes = dict(file.sizes)
        count = int(sizes.pop("P", 1))
        # Every loop a time, a plane or something unnamed; channels and samples lie inside a frame.
        loops = [str(letter) for letter in sizes if letter not in "CYXS"]
        inside = [letter for letter in "CYXS" if letter in sizes]
        self.frames = [dict(place) for place in file.loop_indices] or [{}]
        names, size, notes = described(file)
        facts = {
            "pixel_size": size if size is None or "Z" in sizes else {axis: size[axis] for axis in "YX"},
            "names": names,
            "notes": notes,
            "series": count,
        }
        letters = "".join([*loops, *inside])
        super().__init__(again, open, letters, [sizes[a] for a in letters], np.dtype(file.dtype), facts)

    def plane(self, at: Mapping[str, int], rows: slice, columns: slice) -> NDArray[Any]:
        loops = {letter: index for letter, index in at.items() if letter != "C"}
        place = {**loops, **({"P": self._again[4]} if self.series > 1 else {})}
        index = next(i for i, one in enumerate(self.frames) if all(one.get(a, 0) == n for a, n in place.items()))
        with Bounded(self.path) as source, extra("nd2").ND2File(source) as file:
            frame = np.asarray(file.read_frame(index))
            if "C" in at:
                frame = frame[at["C"]]
            return np.array(frame[rows, columns])  # copied before the file closes: it was a part of a memory map


def described(file: Any) -> tuple[list[str], dict[str, float] | None, list[str]]:
    """Give the channel names, um by axis and what to note; metadata that defeat the library do not cost the pixels."""
    try:
        channels = (file.metadata.channels if file.metadata else None) or ()
        voxel = file.voxel_size()
    except Exception:  # it stumbles in ways of its own over optics that it does not know
        return [], None, ["the description of the channels cannot be understood, so names and pixel size are unknown"]
    known = bool(channels and channels[0].volume.axesCalibrated[0])
    size = believable({"Z": voxel.z, "Y": voxel.y, "X": voxel.x}) if known else None
    return [str(channel.channel.name) for channel in channels], size, []
