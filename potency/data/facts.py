"""The facts of a data set that a plan is computed from: looked up in the table and in a few of its images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from potency.errors import ImageError, ManifestError

if TYPE_CHECKING:
    from potency.data.image import Image
    from potency.data.manifest import Manifest

LARGEST_TILE = 256  # larger images are cut into windows of this size, whose answers are stitched


@dataclass(frozen=True)
class Facts:
    """What a plan is computed from: read from the table and from a few of its images, never from the truth's values."""

    rows: int
    channels: tuple[str, ...]
    side: int  # 99th percentile of the longer side, px
    pixel_size: float | None  # um, when every image looked at agrees within 5 %
    scaling: Mapping[str, tuple[float, float]]
    classes: tuple[str, ...] = ()

    @classmethod
    def of(cls, manifest: Manifest, look: int = 256) -> Facts:
        """Look at up to `look` images spread over the table (all channels of each).

        Raises:
            ManifestError: no rows. ImageError: none of these images can be opened; a few bad ones are left to `check`,
                which names them all.
        """
        table = manifest.table
        rows = table.iloc[np.unique(np.linspace(0, len(table) - 1, min(look, len(table))).astype(int))]
        looked = _looked_at(manifest, [row for _, row in rows.iterrows()])
        images, crops = [image for image, _ in looked], [crop for _, crop in looked]
        channels = images[0].channels
        sides = [max(image.shape[-2:]) for image in images]
        sizes = [image.pixel_size.get("X") if image.pixel_size else None for image in images]
        known = [size for size in sizes if size is not None]
        agreed = len(known) == len(sizes) and max(known) <= 1.05 * min(known)
        values = [np.concatenate([crop[c].ravel()[::7] for crop in crops]) for c in range(len(channels))]
        return cls(
            rows=len(table),
            channels=channels,
            side=int(np.percentile(sides, 99)),
            pixel_size=float(np.median(known)) if agreed else None,
            scaling={name: span(v) for name, v in zip(channels, values, strict=True)},
            classes=manifest.classes,
        )


def _looked_at(manifest: Manifest, rows: Sequence[Any]) -> list[tuple[Image, np.ndarray[Any, Any]]]:
    """Images with their middles, of the number of channels that most of them have; bad ones are left out."""
    looked, faults = [], []
    for row in rows:
        try:
            image = manifest.open(row)
            looked.append((image, image.crop(_centre(image.shape[-2:], LARGEST_TILE))))
        except ImageError as fault:
            faults.append(fault)
    if faults and not looked:
        raise faults[0]
    if not looked:
        raise ManifestError("there are no rows to learn from", str(manifest.folder),
                            "give rows with a truth that are not marked external")
    counts = [len(crop) for _, crop in looked]
    usual = max(counts, key=counts.count)
    return [each for each in looked if len(each[1]) == usual]


def _centre(shape: tuple[int, ...], size: int) -> dict[str, slice]:
    starts = [max(0, (length - size) // 2) for length in shape]
    return {a: slice(s, s + size) for a, s in zip("YX", starts, strict=True)}


def span(values: np.ndarray[Any, Any]) -> tuple[float, float]:
    """The intensities mapped to 0 and 1: the 0.5th and 99.5th percentile, kept apart for a constant image."""
    finite = values[np.isfinite(values)] if values.dtype.kind == "f" else values
    low, high = (float(v) for v in np.percentile(finite, [0.5, 99.5])) if finite.size else (0.0, 1.0)
    return low, high if high > low else low + 1.0
