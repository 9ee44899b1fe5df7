"""Bring the axes a file has, whatever their letters and order, to a part of TCZYX."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from potency.data.pixels import AXES, Window
from potency.errors import ImageError

FEW = 4  # an unnamed axis this short is taken as channels, a longer one as time
WORDS = {"T": "times", "Z": "planes", "C": "channels"}
GONE = "1"  # the letter of an axis of length 1 that the image does not have


@dataclass(frozen=True)
class Layout:
    """How the axes of a file (`names`, one letter each, and `sizes`) become the axes of an image.

    An axis of length 1 is left out unless it is Y or X; samples "S" and channels "C" become one C. Letters the file
    does not explain (anything else) are channels if at most four, else time, else planes: Bio-Formats reads
    plain pages as time too, but channels read as time would be lost, while time read as channels is seen.
    """

    names: str
    sizes: tuple[int, ...]
    axes: str
    shape: tuple[int, ...]
    notes: tuple[str, ...]

    @classmethod
    def of(cls, letters: str, sizes: Sequence[int], pages: str | None = None, where: str = "") -> Layout:
        """Decide the axes; `pages` ("T", "C" or "Z") says what unnamed axes are.

        >>> Layout.of("QYXS", (9, 64, 64, 3)).axes, Layout.of("QYX", (9, 64, 64), pages="Z").axes
        ('TCYX', 'ZYX')
        """
        if letters.count("Y") != 1 or letters.count("X") != 1 or 0 in sizes:
            raise ImageError(
                f"axes {letters} of lengths {tuple(sizes)} hold no picture", where, "an image needs Y and X"
            )
        names = [a if n > 1 or a in "YX" else GONE for a, n in zip(letters, sizes, strict=True)]
        notes = []
        for i, letter in enumerate(names):
            if letter in AXES + "S" + GONE:
                continue
            free = [axis for axis in "TZC" if axis not in names and not (axis == "C" and "S" in names)]
            if not free:
                raise ImageError(f"axes {letters} are more than {AXES}", where, "export one position or one series")
            wanted = pages or ("C" if sizes[i] <= FEW else "T")
            names[i] = wanted if wanted in free else free[0]
            notes.append(f"{sizes[i]} pages of unknown meaning read as {WORDS[names[i]]} ({names[i]})")
        by_axis: dict[str, int] = {}
        for name, size in zip(names, sizes, strict=True):
            axis = "C" if name == "S" else name
            by_axis[axis] = by_axis.get(axis, 1) * size
        axes = "".join(axis for axis in AXES if axis in by_axis)
        return cls("".join(names), tuple(sizes), axes, tuple(by_axis[a] for a in axes), tuple(notes))

    @property
    def merges(self) -> bool:
        """Whether channels of several samples each (RGB in every channel) become one axis."""
        return "C" in self.names and "S" in self.names

    def raw(self, window: Window) -> tuple[slice, ...]:
        """Give the slice of every axis of the file; merged channels are all read and cut by `arrange`."""
        result = []
        for name, size in zip(self.names, self.sizes, strict=True):
            axis = "C" if name == "S" else name
            whole = axis not in window or (axis == "C" and self.merges)
            result.append(slice(0, size) if whole else window[axis])
        return tuple(result)

    def arrange(self, array: NDArray[Any], window: Window) -> NDArray[Any]:
        """Bring an array with the axes of the file, read at `raw(window)`, to `axes`."""
        order = sorted(range(array.ndim), key=lambda i: (GONE + "TCSZYX").index(self.names[i]))
        array = array.transpose(order)
        by_axis: dict[str, int] = {}
        for i, size in zip(order, array.shape, strict=True):
            axis = "C" if self.names[i] == "S" else self.names[i]
            by_axis[axis] = by_axis.get(axis, 1) * size
        array = array.reshape([by_axis[axis] for axis in self.axes])
        if self.merges:
            array = array[tuple(window[axis] if axis == "C" else slice(None) for axis in self.axes)]
        return array


def unnamed(shape: Sequence[int], where: str = "") -> str:
    """Give letters to an array that names no axes; "Q" is an axis for `Layout` to decide.

    >>> unnamed((64, 64)), unnamed((64, 64, 3)), unnamed((2, 64, 64)), unnamed((9, 2, 5, 64, 64))
    ('YX', 'YXS', 'QYX', 'TCZYX')
    """
    if not 2 <= len(shape) <= len(AXES):
        raise ImageError(f"an array of {len(shape)} axes is no image", where, "save it with 2 to 5 axes")
    if len(shape) == len(AXES):
        return AXES
    samples = len(shape) > 2 and shape[-1] <= FEW < min(shape[-2], shape[-3])
    return "Q" * (len(shape) - 2 - samples) + "YX" + "S" * samples
