"""The verb `predict`: a manifest and a bundle in, the manifest with a prediction column and its parts out."""

from __future__ import annotations

import logging
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from potency.data import columns, gathering
from potency.data.manifest import Manifest
from potency.data.parts import is_part
from potency.data.tiles import Tile
from potency.errors import AnswerError, PotencyError
from potency.inference.aside import set_aside
from potency.inference.claim import claimed
from potency.inference.cluster import mapper
from potency.inference.origin import ENGINE, engines_of, runs_of, write_origin
from potency.inference.pool import Lost, Mapper
from potency.inference.store import PARTS, WHOLE, Cells, Store, fingerprint, folder_of_tiles
from potency.inference.view import READ
from potency.inference.work import Batch, Outcome, Work, describe

if TYPE_CHECKING:
    from distributed import Client

    from potency.answers import Answer
    from potency.bundle import Bundle

logger = logging.getLogger(__name__)

VALUES = 2**22  # pixels times channels in one call of the network: enough to keep a processor busy, not its memory
MOST = 256  # samples in a batch: what a kill may cost

Progress = Callable[[int, int], object]
Piece = tuple[int, Tile | None]


def predict(
    manifest: Manifest,
    bundle: Bundle,
    *,
    into: str | Path | None,
    on: Mapper | Client = map,
    name: str = "prediction",
    batch: int | None = None,
    precision: str = "auto",
    progress: Progress | None = None,
) -> Manifest:
    """Predict every row; a row that fails keeps its error in `<name>.error`, the rest goes on.

    Finished batches lie in `into` at once, so that after a kill, a full disk or an error mended, the same call does
    only what is missing; a row counts as the same while bundle, path, size and time of its files are.

    Args:
        manifest: the rows; images of any size, in one batch too.
        bundle: what predicts; on a GPU where there is one, else through OpenVINO, unless `accelerate` was told better.
        into: folder for `predictions.parquet`, `predictions.csv` and the parts; None writes nothing.
        on: where the work is done: map (here, the default), a `Pool`, a `dask.distributed.Client`, any `Mapper`.
        name: prediction column; another source follows an @ (`prediction@old`).
        batch: samples in one call of the network; by default what fits the size of the tiles.
        precision: "auto" (bfloat16 where the processor has it and the answers to the bundle's own examples stay as
            they are), "float32", "bfloat16", "int8" (of a bundle that `potency quantise` made). What was really used
            stands in the origin `<name>.engine` and in `run.json`.
        progress: called with (pieces done, pieces in all); a row that must be cut into tiles is that many pieces.

    Returns:
        The manifest with the columns `name`, its parts (`<name>.probability.<class>` ...) and `<name>.error`.

    Raises:
        PotencyError: a name that is none or would replace another column; `into` cannot be written, or is in use by
            another process; the bundle cannot be loaded where the work is done.
    """
    if batch is not None and batch < 1:
        raise PotencyError(f"a batch of {batch} samples is impossible", "batch=", "give 1 or more, or leave it out")
    _refuse_name(name, manifest)
    if into is None and bundle.task.answer.in_files:
        raise PotencyError(f"answers of kind {bundle.task.answer.kind} lie in files", "into=", "give a folder for them")
    folder = Path(into) if into is not None else None
    size = batch or _batch_size(bundle, len(manifest))
    with claimed(folder):
        return _Prediction(manifest, bundle, folder, name, size, precision, progress).run(mapper(on))


def _refuse_name(name: str, manifest: Manifest) -> None:
    """A prediction may replace an older one, never the image, the truth or anything else that the table came with."""
    taken = name in manifest.table.columns and not name.startswith("prediction")
    if taken or not re.fullmatch(r"[^.@]+(@[^.@]+)?", name):
        what = f"the table has a column {name!r} already" if taken else f"{name!r} is no column of predictions"
        raise PotencyError(what, "name=", "call it prediction, or prediction@SOURCE; its parts follow a dot")


class _Prediction:
    """One call of `predict`: what is done, what is left, what failed."""

    def __init__(
        self,
        manifest: Manifest,
        bundle: Bundle,
        into: Path | None,
        name: str,
        size: int,
        precision: str,
        progress: Progress | None,
    ) -> None:
        self.manifest, self.bundle, self.into, self.name = manifest, bundle, into, name
        self.size, self.precision, self.progress = size, precision, progress
        self.store = Store(into / PARTS if into is not None else None)
        self.keys = self._keys()
        self.store.done -= self._gone()
        self.errors: dict[str, str] = {}
        self.large: dict[int, Outcome] = {}
        self.numbers: dict[int, dict[Tile | None, int]] = {}
        self.left = list({key: place for place, key in enumerate(self.keys) if key not in self.store.done}.values())
        self.total = len(self.keys)
        self.count = self.total - len(self.left)

    def _keys(self) -> list[str]:
        identity = f"{self.bundle.fingerprint} {self.name} {self.precision}"
        windows = [str(n) for n in self.manifest.table.columns if is_part(str(n))]
        return [
            fingerprint(identity, self.manifest.paths(row), [row[name] for name in windows])
            for row in self.manifest.records()
        ]

    def _gone(self) -> set[str]:
        """Keys of rows that were finished, but whose files somebody has taken away: they are done again."""
        if self.into is None or not self.bundle.task.answer.in_files or not self.store.done:
            return set()
        found = self.store.frame(self.keys)
        gone = set[str]()
        for name in {self.name, f"{self.name}.objects"} & set(found):
            gone |= {key for key, cell in zip(self.keys, found[name], strict=True)
                     if isinstance(cell, str) and cell and not (self.into / cell).exists()}  # fmt: skip
        return gone

    def run(self, on: Mapper) -> Manifest:
        self._report(0)
        work = self._work()
        batches = self._batches([(place, None) for place in self.left])
        while batches:
            batches = self._round(work, on, batches)
        self._stitch()
        return self._finish()

    def _work(self) -> Work:
        bundle, precision = self.bundle, self.precision
        devices = {run.device for run in runs_of(bundle)}
        device = devices.pop() if len(devices) == 1 else "auto"  # of a bundle that the caller put on one
        if self.left:
            from potency.inference.engine import accelerate

            bundle = accelerate(bundle, precision=precision)
            # What was decided here is what all workers use, so that their rows are the same.
            used = {run.precision for run in runs_of(bundle)}
            precision = used.pop() if len(used) == 1 else precision
        return Work(bundle, bundle.folder, self.bundle.fingerprint, self.into, self.name, self.size, device, precision)

    def _batches(self, pieces: Sequence[Piece]) -> list[Batch]:
        return [
            Batch.of(self.manifest, pieces[i : i + self.size], self.keys) for i in range(0, len(pieces), self.size)
        ]

    def _round(self, work: Work, on: Mapper, batches: list[Batch]) -> list[Batch]:
        """Work on all batches; gives the batches that are to be worked on next: lost ones, and tiles of large rows."""
        sent: deque[Batch] = deque()

        def sending() -> Iterator[Batch]:
            for batch in batches:
                if not all(self.keys[place] in self.errors for place in batch.places):  # tiles of a row that failed
                    sent.append(batch)
                    yield batch

        again: list[Batch] = []
        tiles: list[Piece] = []
        outcomes: Iterable[list[Outcome] | Lost] = on(work, sending())
        for found in outcomes:
            batch = sent.popleft()
            if isinstance(found, Lost) and len(batch.places) > 1:
                again += batch.singly()  # one of them is to blame, the others are not
                continue
            found = [Outcome(error=found.reason)] if isinstance(found, Lost) else found
            self._keep(batch, found)
            for place, outcome in zip(batch.places, found, strict=True):
                if outcome.tiles:
                    tiles += self._expand(place, outcome)
        return again + self._batches(tiles)

    def _keep(self, batch: Batch, found: Sequence[Outcome]) -> None:
        records: list[tuple[str, int, Cells]] = []
        for place, tile, outcome in zip(batch.places, batch.tiles, found, strict=True):
            if outcome.error:
                self.errors[self.keys[place]] = outcome.error
            elif outcome.cells is not None:
                number = WHOLE if tile is None else self.numbers[place][tile]
                records.append((self.keys[place], number, {**outcome.cells, ENGINE: outcome.engine}))
        self.store.add(records)
        self._report(sum(not outcome.tiles for outcome in found))

    def _expand(self, place: int, outcome: Outcome) -> list[Piece]:
        self.large[place] = outcome
        self.numbers[place] = {tile: number for number, tile in enumerate(outcome.tiles)}
        there = self.store.tiles(self.keys[place])
        self.total += len(outcome.tiles) - 1
        self._report(len(there))
        return [(place, tile) for number, tile in enumerate(outcome.tiles) if number not in there]

    def _stitch(self) -> None:
        kind = self.bundle.task.answer
        for place, outcome in self.large.items():
            key = self.keys[place]
            if key in self.errors:
                continue
            there = self.store.tiles(key)
            try:
                cells = kind.join(self._answers(key, outcome.tiles), outcome.shape, self._folder, self.name)
                engines = "; ".join(dict.fromkeys(str(part.get(ENGINE, "")) for part in there.values()))
                self.store.add([(key, WHOLE, {**cells, ENGINE: engines})])
                self.store.forget_tiles(key)
            except AnswerError as fault:
                self.errors[key] = describe(fault)

    def _answers(self, key: str, tiles: Sequence[Tile]) -> Iterator[tuple[Tile, Answer]]:
        """The answers of the tiles of a row, read one by one."""
        there, folder = self.store.tiles(key), folder_of_tiles(self._folder, key)
        for number, tile in enumerate(tiles):
            try:
                answer = self.bundle.task.answer.of_cells(_unnamed(there[number], self.name), folder)
            except AnswerError:
                self.store.forget_tile(key, number)
                raise
            yield tile, answer

    @property
    def _folder(self) -> Path:
        return self.into or Path()

    def _report(self, done: int) -> None:
        self.count += done
        if self.progress is not None:
            self.progress(self.count, self.total)

    def _finish(self) -> Manifest:
        found = self.store.frame(self.keys)
        engines = engines_of(found.pop(ENGINE)) if ENGINE in found else {}
        if self.name not in found.columns:
            found.insert(0, self.name, None)
        errors = [self.errors.get(key) for key in self.keys]
        found[f"{self.name}.error"] = pd.array(errors, dtype="str")
        if self.errors:
            failed = sum(error is not None for error in errors)
            logger.warning("%d of %d rows failed; their errors stand in %s.error", failed, len(errors), self.name)
        old = [c for c in self.manifest.table.columns if str(c).startswith(f"{self.name}.")]  # of what it replaces
        rows = replace(self.manifest, table=self.manifest.table.drop(columns=old))
        found, kinds = self._placed(found)
        predicted = rows.add(found, {self.name: self.bundle.task.answer.kind, **kinds})
        said = "; ".join(engines)
        predicted = replace(predicted, origin={**predicted.origin, f"{self.name}.engine": said})
        if self.into is not None:
            self.store.compact()
            write_origin(self.into, self.name, self.bundle, self.precision, engines, len(self.errors))
            set_aside(self.into, predicted.table)
            predicted.write(self.into / "predictions.parquet")
            predicted.write(self.into / "predictions.csv")
        return predicted


    def _placed(self, found: pd.DataFrame) -> tuple[pd.DataFrame, dict[str, str]]:
        """The cells with paths of files from the manifest's folder, and the kinds of these columns."""
        if not self.bundle.task.answer.in_files:
            return found, {}
        names = columns.file_columns(found.assign(id=self.manifest.table["id"].to_numpy()), self._folder)
        moved = {name: gathering.moved(found[name], self._folder, self.manifest.folder) for name in names}
        return found.assign(**moved), {name: columns.FILES[0] for name in names if name != self.name}


def _unnamed(cells: Cells, name: str) -> dict[str, object]:
    """Cells by part: the prefix of their column taken off."""
    found = {column.removeprefix(name).removeprefix("."): value for column, value in cells.items()}
    return {part: value for part, value in found.items() if part != ENGINE}


def _batch_size(bundle: Bundle, rows: int) -> int:
    fits = min(VALUES // (plan.window[0] * plan.window[1] * max(1, len(plan.channels))) for plan in bundle.card.plans)
    if any(plan.halo is not None for plan in bundle.card.plans):  # images go through it in pieces of READ a side
        return int(np.clip(min(VALUES // READ**2, rows // 8), 1, MOST))
    return int(np.clip(min(fits, rows // 8), 8, MOST))
