"""Crops cut once from their images and kept in one memory-mapped array: a network never waits for a decoder."""

from __future__ import annotations

import hashlib
import json
import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from potency.data.manifest import Manifest
from potency.data.parts import is_part
from potency.data.plan import Plan, span
from potency.data.tiles import FITTINGS, scale
from potency.errors import ImageError, PotencyError
from potency.inference.view import View, grid
from potency.learning.growing import Growing, cleared

SEEN = 200_000  # values a channel from which a scaling is computed
AHEAD = 4  # tasks for each thread that wait to be written
TOGETHER, SMALL = 64, 32 * 1024  # images in one task where a file has fewer bytes than that


@dataclass(frozen=True, eq=False)
class Samples:
    """Crops of the rows of a manifest; an image larger than the tile gives several.

    Attributes:
        crops: (M, C, *tile) in the images' own dtype (float32 where they differ), memory-mapped.
        rows: (M,) which row of the manifest each crop belongs to, ascending.
        fields: (M, 4) top, left, height, width of what was imaged of each crop; the rest is padding.
        ids: the id of each of those rows, in the order of the manifest.
    """

    crops: NDArray[Any]
    rows: NDArray[np.intp]
    fields: NDArray[np.intp]
    ids: tuple[str, ...]

    @classmethod
    def read(cls, path: Path, index: Path, ids: tuple[str, ...]) -> Samples:
        """The cache of `cut`: crops, and where each comes from."""
        where = np.load(index, allow_pickle=False)
        return cls(np.load(path, mmap_mode="r", allow_pickle=False), where[:, 0], where[:, 1:], ids)

    def inside(self, where: NDArray[np.intp]) -> NDArray[np.bool_] | None:
        """(n, 1, *tile), true in the field of view of these crops; None where none of them is padded."""
        tile = self.crops.shape[2:]
        top, left, high, wide = (edge[:, None] for edge in self.fields[where].T)
        if (high >= tile[0]).all() and (wide >= tile[1]).all():
            return None
        y, x = np.arange(tile[0])[None], np.arange(tile[1])[None]
        rows, columns = (top <= y) & (y < top + high), (left <= x) & (x < left + wide)
        return np.asarray(rows[:, None, :, None] & columns[:, None, None, :])

    def of(self, ids: Any) -> NDArray[np.intp]:
        """Indices of the crops of these rows."""
        wanted = set(map(str, ids))
        return np.flatnonzero(np.array([name in wanted for name in self.ids], bool)[self.rows])

    def scaling(self, where: NDArray[np.intp], plan: Plan) -> dict[str, tuple[float, float]]:
        """The intensities mapped to 0 and 1, seen on these crops only (training rows, never test rows)."""
        if plan.scale_by == "image":
            return dict.fromkeys(plan.channels, (0.0, 1.0))  # each was scaled by itself
        look = where[np.linspace(0, len(where) - 1, min(len(where), 512)).astype(int)]
        crops = np.asarray(self.crops[look])
        step = max(1, crops[:, 0].size // SEEN)
        return {name: span(crops[:, c].ravel()[::step]) for c, name in enumerate(plan.channels)}


def cut(manifest: Manifest, plan: Plan, folder: Path, progress: Callable[[int, int], object] | None = None) -> Samples:
    """The crops of all rows, from the cache in `folder` where these very images were cut before.

    They are written as they come, so a set larger than the memory can be cut.

    Raises:
        ImageError: an image that cannot be read or has other channels; the row is named.
        PotencyError: the cache cannot be written.
    """
    rows = manifest.records()
    # The crops stand in the order of the rows, so the order counts here, which a fingerprint leaves out.
    parts = [str(name) for name in manifest.table if is_part(str(name))]
    which = [[str(row[name]) for name in parts] for row in rows]
    made_of = [manifest.digests, which, plan.tile, plan.fitting, plan.pixel_size, plan.channels]
    made_of += [plan.scale_by] if plan.scale_by != "set" else []
    key = hashlib.sha256(json.dumps(made_of).encode())
    path = folder / f"crops-{key.hexdigest()[:16]}.npy"
    ids = tuple(str(row["id"]) for row in rows)
    index = path.with_suffix(".fields.npy")
    if path.is_file() and index.is_file():
        return Samples.read(path, index, ids)

    try:
        folder.mkdir(parents=True, exist_ok=True)
        cleared(folder, f".{path.stem}*")
        with Growing(path, index) as growing:  # what is decoded need not fit the memory
            for crops, fields in _pieces(manifest, plan, progress):
                growing.add(crops, fields)
    except OSError as error:
        reason = error.strerror or error
        raise PotencyError(
            f"the crops cannot be cached: {reason}", str(folder), "free some space or change --into"
        ) from error
    return Samples.read(path, index, ids)


Cut = tuple[NDArray[Any], NDArray[np.intp]]


def _pieces(manifest: Manifest, plan: Plan, progress: Callable[[int, int], object] | None) -> Iterator[Cut]:
    rows = manifest.records()
    fitting = FITTINGS[plan.fitting]

    # Most images have one shape, so where its windows lie is worked out once.
    cover = lru_cache(lambda shape: grid(shape, plan))  # what is learned from is never stitched
    located = lru_cache(lambda shapes: np.array([_field(shape, plan.tile) for shape in shapes]))

    def opened(row: dict[Any, Any]) -> View:
        view = View.of(manifest, row, plan)
        if len(view.image.channels) != len(plan.channels):
            raise ImageError(
                f"the image has {len(view.image.channels)} channels, the plan has {len(plan.channels)}",
                str(row["image"]),
                "mend or leave out the image, or plan again",
            )
        return view

    def one(view: View) -> Cut:
        seen = [view.crop(tile) for tile in cover(view.shape)]
        if plan.scale_by == "image":
            seen = [scale(pixels, view.exposure) for pixels in seen]
        where = located(tuple([plan.tile if fitting.filled else pixels.shape[1:] for pixels in seen]))
        crops = [fitting.apply(pixels, plan.tile) for pixels in seen]
        return crops[0][None] if len(crops) == 1 else np.stack(crops), where

    def several(some: list[dict[Any, Any]]) -> list[Cut]:
        # All are opened first, so that Python and the decoder take turns in the processor's caches less often.
        views = deque([opened(row) for row in some])
        return [one(views.popleft()) for _ in some]

    threads = min(8, os.cpu_count() or 1)
    # Small images are decoded faster than a task is handed over, large ones would fill the memory.
    each = TOGETHER if len(rows) > 2 * TOGETHER * threads and _small(manifest, rows[0]) else 1
    left = iter([rows[i : i + each] for i in range(0, len(rows), each)])
    waiting: deque[Future[list[Cut]]] = deque()  # few: what is decoded and not yet written lies in memory
    done = 0
    with ThreadPoolExecutor(threads) as pool:  # decoders release the interpreter
        try:
            waiting += [pool.submit(several, some) for some in islice(left, AHEAD * threads)]
            while waiting:
                for piece in waiting.popleft().result():
                    yield piece
                    done += 1
                    if progress is not None:
                        progress(done, len(rows))
                waiting += [pool.submit(several, some) for some in islice(left, 1)]
        finally:
            for future in waiting:
                future.cancel()


def _small(manifest: Manifest, row: dict[Any, Any]) -> bool:
    return sum(path.stat().st_size for path in manifest.paths(row).values() if path.is_file()) < SMALL


def _field(shape: tuple[int, ...], tile: tuple[int, int]) -> tuple[int, int, int, int]:
    """Where pixels of this shape lie in the tile."""
    high, wide = (min(length, side) for length, side in zip(shape, tile, strict=True))
    return (tile[0] - high) // 2, (tile[1] - wide) // 2, high, wide
