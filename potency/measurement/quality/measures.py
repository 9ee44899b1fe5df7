"""The visible list of what is measured of one plane of an image to judge its quality."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from potency.measurement.quality import camera, focus, ground, light, objects

NOTHING = float("nan")


@dataclass(frozen=True)
class Seen:
    """One plane (H, W) as it is judged: float32 without gaps, its own type of numbers, the share that was no number."""

    plane: NDArray[np.float32]
    dtype: np.dtype[Any]
    gaps: float

    @classmethod
    def of(cls, pixels: NDArray[Any]) -> Seen:
        """Take a plane of any type of numbers; what is not finite counts as the median of the rest."""
        values = np.array(pixels, np.float64 if pixels.dtype.kind == "f" and pixels.itemsize > 4 else np.float32)
        known = np.isfinite(values)
        if not known.all():
            values[~known] = np.median(values[known]) if known.any() else 0.0
        return cls(np.clip(values, -1e15, 1e15).astype(np.float32), pixels.dtype, 1 - float(known.mean()))

    @cached_property
    def varied(self) -> bool:
        """Whether there is anything but one brightness."""
        return bool(self.plane.size) and float(self.plane.min()) < float(self.plane.max())

    @cached_property
    def noise(self) -> float:
        return camera.noise(self.plane, self.dtype.kind in "ui")

    @cached_property
    def contrast(self) -> float:
        return camera.contrast(self.plane)

    @cached_property
    def cells(self) -> NDArray[np.bool_]:
        return ground.covered(self.plane, self.dtype.kind in "ui")


@dataclass(frozen=True)
class Measure:
    """One or several numbers of a plane: a name, a function, and what it tells. NaN is "nothing can be said"."""

    name: str
    of: Callable[[Seen], Mapping[str, float]]
    title: str


def _focus(seen: Seen) -> dict[str, float]:
    found = focus.measures(seen.plane, seen.noise)
    return {"focus_blur_px": focus.blur(found), **{f"focus_{name}": value for name, value in found.items()}}


def _exposure(seen: Seen) -> dict[str, float]:
    top, bottom = camera.saturated(seen.plane, seen.dtype), camera.black(seen.plane, seen.dtype)
    return {"brightness": float(seen.plane.mean()), "saturated": top, "black": bottom}


def _noise(seen: Seen) -> dict[str, float]:
    ratio = seen.contrast / seen.noise if seen.noise > 0 else NOTHING
    return {"contrast": seen.contrast, "noise": seen.noise, "signal_to_noise": ratio}


def _light(seen: Seen) -> dict[str, float]:
    return {"unevenness": light.unevenness(seen.plane, seen.cells), "haze": light.haze(seen.plane, seen.cells)}


def _objects(seen: Seen) -> dict[str, float]:
    return {"specks_per_mpx": objects.specks(seen.plane, seen.cells), "bubbles": objects.bubbles(seen.plane)}


MEASURES: Mapping[str, Measure] = {
    measure.name: measure
    for measure in (
        Measure("gaps", lambda seen: {"not_finite": seen.gaps}, "share of pixels that are no numbers"),
        Measure("exposure", _exposure, "mean brightness, share of saturated and of black pixels"),
        Measure("noise", _noise, "contrast, noise of the camera, and one over the other"),
        Measure("focus", _focus, "blur in pixels, and six measures of sharpness"),
        Measure("light", _light, "unevenness of the ground, haze over the signal"),
        Measure("confluence", lambda seen: {"confluence": float(seen.cells.mean())}, "share covered by cells"),
        Measure("objects", _objects, "specks in the ground, round rims like those of bubbles"),
    )
}
ALWAYS = ("gaps", "exposure")  # also of a plane of one brightness, of which nothing else can be said


def judge(pixels: NDArray[Any]) -> dict[str, float]:
    """All measures of one plane (H, W) by name, in the order of MEASURES.

    >>> found = judge(np.zeros((64, 64), np.uint8))
    >>> found["brightness"], found["contrast"]
    (0.0, 0.0)
    """
    seen = Seen.of(pixels)
    if not seen.varied:
        known: dict[str, float] = {"contrast": 0.0}
        for name in ALWAYS:
            known |= MEASURES[name].of(seen)
        return known
    found: dict[str, float] = {}
    for measure in MEASURES.values():
        found |= measure.of(seen)
    return found
