"""Crops cut once from their images and kept in one memory-mapped array: a network never waits for a decoder."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from potency.data.manifest import Manifest
from potency.data.parts import is_part
from potency.data.plan import Plan, span
from potency.data.tiles import FITTINGS
from potency.errors import ImageError, PotencyError
from potency.inference.view import View, windows

SEEN = 200_000  # values a channel from which a scaling is computed


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
        look = where[np.linspace(0, len(where) - 1, min(len(where), 512)).astype(int)]
        crops = np.asarray(self.crops[look])
        step = max(1, crops[:, 0].size // SEEN)
        return {name: span(crops[:, c].ravel()[::step]) for c, name in enumerate(plan.channels)}


def cut(manifest: Manifest, plan: Plan, folder: Path, progress: Callable[[int, int], object] | None = None) -> Samples:
    """The crops of all rows, from the cache in `folder` where these very images were cut before.

    Raises:
        ImageError: an image that cannot be read or has other channels; the row is named.
        PotencyError: the cache cannot be written.
    """
    rows = manifest.table.to_dict("records")
    # The crops stand in the order of the rows, so the order counts here, which a fingerprint leaves out.
    which = [[str(row[name]) for name in manifest.table if is_part(str(name))] for row in rows]
    made_of = [manifest.digests, which, plan.tile, plan.fitting, plan.pixel_size, plan.channels]
    key = hashlib.sha256(json.dumps(made_of).encode())
    path = folder / f"crops-{key.hexdigest()[:16]}.npy"
    ids = tuple(str(row["id"]) for row in rows)
    index = path.with_suffix(".fields.npy")
    if path.is_file() and index.is_file():
        return Samples.read(path, index, ids)

    cuts = list(_pieces(manifest, plan, progress))
    pieces, fields = [crops for crops, _ in cuts], np.concatenate([fields for _, fields in cuts])
    counts = [len(piece) for piece in pieces]
    dtypes = {piece.dtype for piece in pieces}
    dtype = dtypes.pop() if len(dtypes) == 1 else np.dtype(np.float32)
    where = np.repeat(np.arange(len(rows)), counts)[:, None]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _write(index, np.concatenate([where, fields], 1))  # first, because whoever finds the crops expects it
        _write(path, np.concatenate(pieces).astype(dtype, copy=False))
    except OSError as error:
        reason = error.strerror or error
        raise PotencyError(
            f"the crops cannot be cached: {reason}", str(folder), "free some space or change --into"
        ) from error
    return Samples.read(path, index, ids)


def _write(path: Path, array: NDArray[Any]) -> None:
    """Write an .npy file whole or not at all; not through a memory map, where a full disk kills the process."""
    part = path.with_name(f".{path.name}.part{os.getpid()}")
    try:
        with part.open("wb") as file:
            np.lib.format.write_array_header_1_0(file, np.lib.format.header_data_from_array_1_0(array))
            file.write(np.ascontiguousarray(array).data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


Cut = tuple[NDArray[Any], NDArray[np.intp]]


def _pieces(manifest: Manifest, plan: Plan, progress: Callable[[int, int], object] | None) -> Iterator[Cut]:
    rows = manifest.table.to_dict("records")
    fitting = FITTINGS[plan.fitting]

    def one(row: dict[Any, Any]) -> Cut:
        view = View.of(manifest, row, plan.pixel_size)
        if len(view.image.channels) != len(plan.channels):
            raise ImageError(
                f"the image has {len(view.image.channels)} channels, the plan has {len(plan.channels)}",
                str(row["image"]),
                "mend or leave out the image, or plan again",
            )
        seen = [view.crop(tile) for tile in windows(view.shape, plan)]
        fields = [plan.tile if fitting.whole else pixels.shape[1:] for pixels in seen]
        crops = np.stack([fitting.apply(pixels, plan.tile) for pixels in seen])
        return crops, np.array([_field(shape, plan.tile) for shape in fields])

    with ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1)) as pool:  # decoders release the interpreter
        for done, piece in enumerate(pool.map(one, rows), 1):
            if progress is not None:
                progress(done, len(rows))
            yield piece


def _field(shape: tuple[int, ...], tile: tuple[int, int]) -> tuple[int, int, int, int]:
    """Where pixels of this shape lie in the tile."""
    high, wide = (min(length, side) for length, side in zip(shape, tile, strict=True))
    return (tile[0] - high) // 2, (tile[1] - wide) // 2, high, wide
