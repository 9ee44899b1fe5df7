"""The truths of rows as answers, and as drawings on the pixels of their crops."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, overload

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor

from potency.answers import Answer
from potency.answers.files import IMAGE
from potency.data.manifest import Manifest
from potency.data.plan import Plan
from potency.data.tiles import FITTINGS
from potency.errors import AnswerError, ManifestError, PotencyError
from potency.inference.view import View, grid
from potency.learning.augment import augment_both
from potency.learning.growing import Growing, cleared
from potency.learning.moving import augment_listed, in_window
from potency.learning.samples import Samples
from potency.tasks import Sample, Task


def truths(rows: Manifest, task: Task) -> Sequence[Answer]:
    """The truth of each row as an answer of the task, none for a task that needs none; a missing one is refused.

    Those that lie in files are read when they are asked for, one at a time.
    """
    if "truth" not in task.needs:
        return []
    named = [str(c) for c in rows.table if str(c) == "truth" or str(c).startswith("truth.")]
    columns = {c: c.removeprefix("truth").removeprefix(".") for c in named}
    if "truth" not in columns:
        raise ManifestError("the table has no truth", str(rows.folder), "name its column with --truth")
    if rows.table["truth"].isna().any():
        row = rows.table.loc[rows.table["truth"].isna(), "id"].iloc[0]
        raise ManifestError("a row to learn from has no truth", f"row {row!r}", "fill it in or leave the row out")
    cells = rows.table[list(columns)].rename(columns=columns)
    if task.answer.in_files and not any(str(name).startswith("tile.") for name in rows.table):
        cells = cells.assign(**{IMAGE: rows.table["image"]})  # a file may speak of many images
    read = [{str(k): v for k, v in row.items()} for row in cells.to_dict("records")]
    found = _Read(task, read, rows.table["id"].astype(str).tolist(), rows.folder)
    return found if task.answer.in_files else list(found)


class _Read(Sequence[Answer]):
    """Answers that are read from their cells whenever they are asked for."""

    def __init__(self, task: Task, cells: list[dict[str, Any]], ids: list[str], folder: Path) -> None:
        self.task, self.all, self.ids, self.folder = task, cells, ids, folder

    def __len__(self) -> int:
        return len(self.all)

    @overload
    def __getitem__(self, i: int) -> Answer: ...
    @overload
    def __getitem__(self, i: slice) -> Sequence[Answer]: ...
    def __getitem__(self, i: int | slice) -> Answer | Sequence[Answer]:
        if isinstance(i, slice):
            return _Read(self.task, self.all[i], self.ids[i], self.folder)
        try:
            return self.task.answer.of_cells(self.all[i], self.folder)
        except AnswerError as error:
            raise ManifestError(error.what, f"row {self.ids[i]!r}: {error.where}", error.mend) from error


class Drawings(Sequence[Sample]):
    """What was drawn on the pixels of each crop, as the target of a sample: {"drawn": (K, *tile) whole numbers}."""

    def __init__(self, crops: NDArray[Any]) -> None:
        self.crops = crops

    def __len__(self) -> int:
        return len(self.crops)

    @overload
    def __getitem__(self, i: int) -> Sample: ...
    @overload
    def __getitem__(self, i: slice) -> Sequence[Sample]: ...
    def __getitem__(self, i: int | slice) -> Sample | Sequence[Sample]:
        return Drawings(self.crops[i]) if isinstance(i, slice) else {DRAWN: np.asarray(self.crops[i])}


DRAWN = "drawn"


def drawings(
    rows: Manifest, task: Task, plan: Plan, samples: Samples, where: NDArray[np.intp], folder: Path
) -> Drawings:
    """The truths of the crops `where`, cut and resized as their images were; kept in `folder` beside the crops.

    Raises:
        ManifestError: a truth of another size than its image; the row is named.
    """
    columns = [str(c) for c in rows.table if str(c) == "truth" or str(c).startswith("truth.")]
    told = rows.table[columns].astype("str").to_numpy().tolist()
    stamps = [_changed(rows.folder, cells) for cells in told]
    made_of = [task.name, rows.digests, told, stamps, plan.tile, plan.fitting, plan.pixel_size, plan.classes]
    path = folder / f"drawn-{hashlib.sha256(json.dumps(made_of).encode()).hexdigest()[:16]}.npy"
    index = path.with_suffix(".rows.npy")
    if not (path.is_file() and index.is_file()):
        try:
            cleared(folder, f".{path.stem}*")
            with Growing(path, index) as growing:
                for row, truth in zip(rows.records(), truths(rows, task), strict=True):
                    drawn = _drawn(rows, row, task, plan, truth)
                    growing.add(drawn, np.zeros((len(drawn), 0), np.intp))
        except OSError as error:
            raise PotencyError(f"the truths cannot be cached: {error.strerror or error}", str(folder),
                               "free some space or change --into") from error  # fmt: skip
    crops, place = np.load(path, mmap_mode="r", allow_pickle=False), np.load(index, allow_pickle=False)[:, 0]
    order = _of_crops(rows, place, samples, where)
    return Drawings(crops if (order == np.arange(len(crops))).all() else crops[order])


def _of_crops(rows: Manifest, place: NDArray[np.intp], samples: Samples, where: NDArray[np.intp]) -> NDArray[np.intp]:
    """Which of the pieces of truth, each that of the row `place`, belongs to each of the crops `where`.

    Rows stand here in the order of the training rows, crops in that of all rows: both by id.
    """
    first = dict(zip(rows.table["id"].astype(str), np.searchsorted(place, np.arange(len(rows))), strict=True))
    start = np.array([first[samples.ids[row]] for row in samples.rows[where]])
    earlier = where - np.searchsorted(samples.rows, samples.rows[where])
    return np.asarray(start + earlier, np.intp)


LISTED, INNER = "listed", "inner"  # the objects in a crop, and its size before it was made to fit


def listings(rows: Manifest, task: Task, plan: Plan, samples: Samples, where: NDArray[np.intp]) -> list[dict[str, Any]]:
    """The objects in each of the crops `where`, and the size of each crop, as `augment_listed` takes them.

    Raises:
        ManifestError: objects that lie outside their image; the row is named.
    """
    found: list[dict[str, Any]] = []
    place: list[int] = []
    for number, (row, truth) in enumerate(zip(rows.records(), truths(rows, task), strict=True)):
        view = View.of(rows, row, plan)
        objects = _scaled(rows, row, task, plan, truth)
        for tile in grid(view.shape, plan):
            inner = tile.window(view.shape)
            y, x = inner["Y"], inner["X"]
            window = view.top + y.start, view.left + x.start, y.stop - y.start, x.stop - x.start
            found.append({LISTED: in_window(objects, window), INNER: window[2:]})
            place.append(number)
    return [found[i] for i in _of_crops(rows, np.array(place, np.intp), samples, where)]


def placed_in(
    rows: Manifest, row: Mapping[str, Any], task: Task, plan: Plan, truth: Answer, window: tuple[int, int, int, int]
) -> NDArray[np.float64]:
    """The objects (n, 5) in a window (top, left, height, width) of an image at the plan's pixel size."""
    return in_window(_scaled(rows, row, task, plan, truth), window)


def _scaled(rows: Manifest, row: Mapping[str, Any], task: Task, plan: Plan, truth: Answer) -> NDArray[np.float64]:
    """The objects of a row in pixels of its image at the plan's pixel size."""
    whole, view = rows.open(row), View.of(rows, row, plan)
    size = np.array([whole.sizes["Y"], whole.sizes["X"]])
    objects = task.places(truth, plan)
    _refuse_outside(objects, size, row)
    scale = np.array(view.image.shape[-2:]) / size
    return np.asarray(objects * np.array([*scale, *scale, 1.0]))


def moved_together(
    task: Task, images: Tensor, targets: Sequence[Sample], chosen: Mapping[str, float], rng: Generator
) -> tuple[Tensor, Sequence[NDArray[Any]]]:
    """`augment` of images (N, C, H, W), and what is drawn or listed on each of them moved alike."""
    if task.listed:
        return augment_listed(images, [(own[LISTED], own[INNER]) for own in targets], chosen, rng)  # type: ignore[misc]
    images, drawn = augment_both(images, torch.from_numpy(np.stack([own[DRAWN] for own in targets])), chosen, rng)
    return images, list(drawn.numpy())


def _refuse_outside(objects: NDArray[np.float64], size: NDArray[np.intp], row: Mapping[str, Any]) -> None:
    """An object that lies wholly outside its image says that the two do not belong together."""
    out = np.asarray(((objects[:, 2:4] <= 0) | (objects[:, :2] >= size)).any(axis=1))
    if out.any():
        edges = ", ".join(f"{edge:g}" for edge in objects[out][0, :4])
        raise ManifestError(
            f"{int(out.sum())} of {len(out)} objects lie outside the image of {size[0]} x {size[1]} pixels",
            f"row {row['id']!r}: {row['truth']}; the first: {edges} (top, left, bottom, right)",
            "give the objects of this very image, in pixels of its full size",
        )  # fmt: skip


def _changed(folder: Path, cells: Sequence[str]) -> list[int]:
    """When the files among the cells of a row (its mask, the table of its objects) were last written."""
    found = []
    for cell in filter(None, cells):
        with suppress(OSError, ValueError):  # most cells name no file
            found.append((folder / cell).stat().st_mtime_ns)
    return found


def drawn_on(rows: Manifest, row: Mapping[str, Any], task: Task, plan: Plan, truth: Answer) -> NDArray[Any]:
    """What is drawn (K, H, W) on the whole image of a row at the plan's pixel size."""
    import cv2

    whole, view = rows.open(row), View.of(rows, row, plan)
    drawn = task.drawn(truth, plan)
    size = whole.sizes["Y"], whole.sizes["X"]
    if drawn.shape[1:] != size:
        raise ManifestError(
            f"the truth is {drawn.shape[1]} x {drawn.shape[2]} pixels, its image {size[0]} x {size[1]}",
            f"row {row['id']!r}: {row['truth']}", "give the mask of this very image, in its size",
        )  # fmt: skip
    high, wide = view.image.shape[-2:]
    if drawn.shape[1:] != (high, wide):  # at the plan's pixel size; numbers are names and never mixed
        planes = drawn.astype(np.float64)
        drawn = np.stack([cv2.resize(p, (wide, high), interpolation=cv2.INTER_NEAREST_EXACT) for p in planes])
    return np.asarray(drawn, np.int32)


def _drawn(rows: Manifest, row: Mapping[str, Any], task: Task, plan: Plan, truth: Answer) -> NDArray[Any]:
    """What is drawn on the crops of a row, (n, K, *tile), in the order in which `cut` cuts them."""
    view, drawn = View.of(rows, row, plan), drawn_on(rows, row, task, plan, truth)
    fit = FITTINGS[plan.fitting].apply
    found = []
    for tile in grid(view.shape, plan):
        inner = tile.window(view.shape)
        y, x = inner["Y"], inner["X"]
        part = drawn[:, view.top + y.start : view.top + y.stop, view.left + x.start : view.left + x.stop]
        found.append(fit(part, plan.tile))
    return np.stack(found)
