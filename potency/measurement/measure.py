"""From crops to a table of named numbers: the visible list of feature families and the verb `measure`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from potency.errors import PlanError, PotencyError, nearest
from potency.measurement.colony import form, haralick
from potency.measurement.hog import hog
from potency.measurement.intensity import intensity
from potency.measurement.shape import shape
from potency.measurement.texture import texture
from potency.measurement.trivial import trivial

if TYPE_CHECKING:
    import pandas as pd

    from potency.data.manifest import Manifest

BATCH = 2**18  # pixels worked on at once: the arrays in between stay in the processor's cache
LIMIT = 1e30  # nothing larger leaves a family, so that single precision downstream never meets an infinity

Values = NDArray[np.float64]
Sizes = float | Sequence[float] | None  # um a pixel, of all images or of each; None = unknown


@dataclass(frozen=True)
class Family:
    """One family of features: a name, a function of (N, H, W) planes that gives each feature as (N,), and a title.

    A feature whose name ends in `_px` or `_px2` is a length or an area and becomes `_um`, `_um2` where the pixel size
    is known; all others have no unit, or that of the image's intensity.
    """

    name: str
    of_planes: Callable[[Values], dict[str, NDArray[Any]]]
    title: str

    def __call__(
        self, images: Sequence[NDArray[Any]], pixel_size: Sizes = None, channels: Sequence[str] = ()
    ) -> tuple[tuple[str, ...], Values]:
        """Measure crops (C, H, W) of any numeric dtype and of mixed sizes.

        Returns the names `<family>.<channel>.<feature>` and finite values (N, F). Not-a-number pixels count as the
        median of their plane. Raises PlanError where the crops differ in their number of channels.

        >>> names, values = FAMILIES["trivial"]([np.zeros((1, 4, 6), np.uint8)], channels=("phase",))
        >>> names[0], values.shape
        ('trivial.phase.width_px', (1, 6))
        """
        named = _channels(images, channels)
        columns: dict[str, Values] = {}
        for rows, stack in _stacks(images):
            for c, channel in enumerate(named):
                for feature, value in self.of_planes(stack[:, c]).items():
                    column = columns.setdefault(f"{self.name}.{channel}.{feature}", np.zeros(len(images)))
                    column[rows] = value
        if pixel_size is not None:
            columns = dict(_in_um(name, column, np.asarray(pixel_size, np.float64)) for name, column in columns.items())
        values = np.stack(list(columns.values()), axis=1) if columns else np.zeros((len(images), 0))
        return tuple(columns), np.clip(np.nan_to_num(values, nan=0.0, posinf=LIMIT, neginf=-LIMIT), -LIMIT, LIMIT)


FAMILIES: Mapping[str, Family] = {
    family.name: family
    for family in (
        Family("trivial", trivial, "size of crop and object, mean intensity and variance"),
        Family("intensity", intensity, "moments, percentiles, entropy and radial profile of the intensity"),
        Family("texture", texture, "grain, edges and their directions, at several scales"),
        Family("hog", hog, "oriented gradients in an 8 x 8 grid, normalised by blocks (Dalal 2005)"),
        Family("shape", shape, "form of the largest object: area, axes, solidity, circularity"),
        Family("colony-shape", form, "place, size and form of the colony, found by its texture (Kavitha 2017)"),
        Family("colony-texture", haralick, "Haralick's thirteen features within that colony (Kavitha 2017)"),
    )
}


def _channels(images: Sequence[NDArray[Any]], channels: Sequence[str]) -> tuple[str, ...]:
    counts = {image.shape[0] for image in images}
    if any(image.ndim != 3 or 0 in image.shape for image in images):
        raise PlanError("a crop to measure is an array (channels, height, width) with at least one pixel", "measure")
    if len(counts) > 1 or (channels and counts and counts != {len(channels)}):
        want = len(channels) if channels else min(counts)
        raise PlanError(
            f"crops have {sorted(counts)} channels, {want} are wanted",
            "measure",
            "measure images of one kind at a time",
        )
    return tuple(channels) or tuple(f"c{c}" for c in range(min(counts, default=0)))


def _stacks(images: Sequence[NDArray[Any]]) -> Iterator[tuple[NDArray[np.int64], Values]]:
    """Equal-sized crops together, as clean float64 (n, C, H, W), each with the rows it came from."""
    by_shape: dict[tuple[int, ...], list[int]] = {}
    for row, image in enumerate(images):
        by_shape.setdefault(image.shape, []).append(row)
    for (_, height, width), rows in by_shape.items():
        step = max(1, BATCH // (height * width))
        for start in range(0, len(rows), step):
            some = rows[start : start + step]
            yield np.array(some), _clean(np.stack([images[row] for row in some]).astype(np.float64))


def _clean(stack: Values) -> Values:
    finite = np.isfinite(stack)
    if not finite.all():
        for n, c in np.argwhere(~finite.all((2, 3))):
            good = stack[n, c][finite[n, c]]
            stack[n, c][~finite[n, c]] = np.median(good) if good.size else 0.0
    return np.clip(stack, -LIMIT, LIMIT)


def _in_um(name: str, column: Values, size: Values) -> tuple[str, Values]:
    for unit, power in (("_px2", 2), ("_px", 1)):
        if name.endswith(unit):
            return name.removesuffix(unit) + unit.replace("px", "um"), column * size**power
    return name, column


def features(
    images: Sequence[NDArray[Any]],
    families: Sequence[str] = ("intensity", "texture", "shape"),
    channels: Sequence[str] = (),
    pixel_size: Sizes = None,
) -> pd.DataFrame:
    """Several families side by side: one row a crop, columns `<family>.<channel>.<feature>`.

    >>> features([np.eye(8)[None]], ("trivial",), ("phase",)).shape
    (1, 6)
    """
    import pandas as pd

    wrong = [name for name in families if name not in FAMILIES]
    if wrong:
        raise PlanError(f"there is no feature family {wrong[0]!r}", "families", nearest(wrong[0], FAMILIES))
    tables = []
    for name in families:
        names, values = FAMILIES[name](images, pixel_size, channels)
        tables.append(pd.DataFrame(values, columns=list(names)))
    return pd.concat(tables, axis=1) if tables else pd.DataFrame(index=range(len(images)))


def measure(
    manifest: Manifest,
    *,
    families: Sequence[str] = ("shape", "intensity"),
    progress: Callable[[int, int], None] | None = None,
) -> Manifest:
    """The manifest with columns `measure.<family>.<channel>.<feature>`, one number a row.

    Lengths are in um (`_um`, `_um2`) where every image's pixel size is known, else in pixels (`_px`, `_px2`). An image
    that cannot be read leaves its row empty and says why in `measure.error`; the others go on. `progress(done, of)` is
    called as rows are done.
    """
    crops: list[NDArray[Any]] = []
    sizes: list[float | None] = []
    wrong: dict[int, str] = {}
    channels: tuple[str, ...] = ()
    pieces: list[pd.DataFrame] = []
    total = len(manifest.table)
    for row, (_, cells) in enumerate(manifest.table.iterrows()):
        try:
            image = manifest.open(cells)
            crops.append(image.crop())
        except PotencyError as error:
            wrong[row] = error.what
            continue
        channels = channels or image.channels
        sizes.append((image.pixel_size or {}).get("X"))
        if len(crops) >= 256:
            pieces.append(features(crops, families, channels))
            crops = []
            if progress:
                progress(row + 1, total)
    pieces.append(features(crops, families, channels))
    if progress:
        progress(total, total)
    return _joined(manifest, pieces, sizes, wrong)


def _joined(
    manifest: Manifest, pieces: Sequence[pd.DataFrame], sizes: Sequence[float | None], wrong: Mapping[int, str]
) -> Manifest:
    import pandas as pd

    table = pd.concat([piece for piece in pieces if len(piece)] or list(pieces), ignore_index=True)
    known = [size for size in sizes if size is not None]
    if known and len(known) == len(sizes):
        scale = np.asarray(known)
        table = pd.DataFrame(dict(_in_um(str(name), table[name].to_numpy(), scale) for name in table))
    read = [row for row in range(len(manifest.table)) if row not in wrong]
    table = table.set_axis(pd.Index(read)).reindex(range(len(manifest.table))).set_axis(manifest.table.index)
    columns: dict[str, Any] = {f"measure.{name}": table[name] for name in table}
    if wrong:
        columns["measure.error"] = [wrong.get(row) for row in range(len(manifest.table))]
    return manifest.add(columns)
