"""What is done to one batch of rows or tiles, wherever that is: read, run, answer, each fault kept in its place."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from potency.data.manifest import Manifest
from potency.data.parts import is_part
from potency.data.pixels import LARGEST, wild
from potency.data.tiles import TWICE, Tile
from potency.errors import ImageError, PotencyError
from potency.inference.closer import shows_small
from potency.inference.store import folder_of_tiles
from potency.inference.view import View, windows

if TYPE_CHECKING:
    from potency.answers import Answer
    from potency.bundle import Bundle

Sample = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Batch:
    """The unit of work: some rows of a manifest, each whole (None) or one tile of it, and their places in the table."""

    rows: Manifest
    places: tuple[int, ...]
    tiles: tuple[Tile | None, ...]
    keys: tuple[str, ...]  # of the rows: alike where rows and their files are

    @classmethod
    def of(cls, manifest: Manifest, pieces: Sequence[tuple[int, Tile | None]], keys: Sequence[str]) -> Batch:
        """Only the columns that say where the pixels are travel with a batch."""
        names = [str(name) for name in manifest.table.columns]
        needed = [n for n in names if n in ("id", "image", "group") or n.startswith("image.") or is_part(n)]
        places = [place for place, _ in pieces]
        rows = replace(manifest, table=manifest.table[needed].iloc[places].reset_index(drop=True), kinds={})
        return cls(rows, tuple(places), tuple(tile for _, tile in pieces), tuple(keys[place] for place in places))

    def singly(self) -> list[Batch]:
        """One batch for each piece."""
        table = self.rows.table
        return [
            Batch(replace(self.rows, table=table.iloc[[i]].reset_index(drop=True)), (self.places[i],), (self.tiles[i],),
                  (self.keys[i],))
            for i in range(len(self.places))
        ]


@dataclass(frozen=True)
class Outcome:
    """What became of one piece: its cells, or an error, or the tiles it must be cut into because it is too large.

    `engine` is what it was computed with, in words.
    """

    cells: Mapping[str, Any] | None = None
    error: str = ""
    tiles: tuple[Tile, ...] = ()
    shape: tuple[int, int] = (0, 0)
    engine: str = ""


@dataclass
class Work:
    """The function that a mapper calls on every `Batch`; pickled it carries the bundle's folder, not its weights.

    Args:
        bundle: the live bundle, used as it is in this process.
        folder: where other processes load it from, once each.
        identity: the fingerprint that must be found there.
        into: folder for answers kept in files.
        name: prediction column.
        size: samples in one call of the bundle.
        device: where the engine runs.
        precision: of the engine.
    """

    bundle: Bundle | None = field(repr=False)
    folder: Path | None
    identity: str
    into: Path | None
    name: str
    size: int
    device: str
    precision: str = "auto"

    def __getstate__(self) -> dict[str, Any]:
        if self.folder is None and self.bundle is not None:
            if self.into is None:
                raise PotencyError(
                    "the bundle lives in the memory of this process only",
                    "predict(on=...)",
                    "save it first, bundle = bundle.save(folder), or give predict a folder with into=",
                )
            self.folder = self.bundle.save(self.into / "bundle").folder
        return {**self.__dict__, "bundle": None}

    def __call__(self, batch: Batch) -> list[Outcome]:
        bundle = self.bundle
        if bundle is None:
            assert self.folder is not None
            with _LOADING:  # threads of one worker share one bundle
                bundle = _load(self.folder, self.identity, self.device, self.precision)
        return Run(self, bundle, batch).outcomes()


_LOADING = threading.Lock()
_OPENED = threading.local()  # the image whose tiles this thread works on, and how bright it is as a whole


@lru_cache(maxsize=2)
def _load(folder: Path, identity: str, device: str, precision: str) -> Bundle:
    from potency.bundle import Bundle
    from potency.inference.engine import accelerate

    bundle = Bundle.load(folder)
    if bundle.fingerprint != identity:
        raise PotencyError("the bundle was changed while it was in use", str(folder), "start the prediction again")
    return accelerate(bundle, device, precision=precision)


class Run:
    """One batch on its way through the bundle."""

    def __init__(self, work: Work, bundle: Bundle, batch: Batch) -> None:
        from potency.inference.origin import described

        self.work, self.bundle, self.batch, self.engine = work, bundle, batch, described(bundle)
        plans = bundle.card.plans
        high, wide = (max(plan.window[axis] for plan in plans) for axis in (0, 1))
        self.plan = plans[0].but(tile=(high, wide))  # each member cuts its own crop out of it
        self.found: list[Outcome] = [Outcome() for _ in batch.places]
        self.parts: list[list[tuple[Tile, Answer]]] = [[] for _ in batch.places]
        self.shapes: dict[int, tuple[int, int]] = {}
        self.waiting: list[tuple[int, Tile, Sample]] = []
        self.closer = bundle.closer > 0

    def outcomes(self) -> list[Outcome]:
        for i, (row, tile) in enumerate(zip(self.batch.rows.records(), self.batch.tiles, strict=True)):
            try:
                for part, sample in self._samples(i, row, tile):
                    self.waiting.append((i, part, sample))
                    if len(self.waiting) >= self.work.size:
                        self._flush()
            except Exception as fault:  # readers and decoders raise whatever they like: it is this row's fault alone
                self._fail(i, fault)
        self._flush()
        for i, parts in enumerate(self.parts):
            if parts and not self.found[i].error:
                self._finish(i, parts)
        return self.found

    def _samples(self, i: int, row: Mapping[str, Any], tile: Tile | None) -> Iterator[tuple[Tile, Sample]]:
        view = self._view(i, row, tile)
        self.shapes[i] = view.shape
        tiles = [tile] if tile is not None else self._tiles(view)
        if len(tiles) > self.work.size:
            self.found[i] = Outcome(tiles=tuple(tiles), shape=view.shape)
            return
        given, whole = view.given(self.plan), tile is None and len(tiles) == 1
        for part in tiles:
            pixels = view.crop(part)
            # Asked here, because a compiled network can swallow a not-a-number and answer as if all were well.
            if odd := wild(pixels):
                raise ImageError(
                    f"{odd} pixels are no number or infinite, or beyond {LARGEST:.2g}",
                    str(row["image"]),
                    "export the image again, or replace these pixels",
                )
            if self.closer and not whole:  # of a whole image the bundle itself sees whether its objects are small
                given["closer"] = np.asarray(part.times > 1)
            yield part, {"image": pixels, **given}

    def _tiles(self, view: View) -> list[Tile]:
        """The tiles of an image; where its objects turn out small, those of an image that is seen at twice its size."""
        tiles = windows(view.shape, self.plan)
        if self.closer and len(tiles) > 1 and shows_small(self.bundle, view, self.plan):
            return windows(view.shape, self.plan, times=TWICE)
        return tiles

    def _view(self, i: int, row: Mapping[str, Any], tile: Tile | None) -> View:
        """The image of a row; one that is cut into tiles stays open for the batch that comes next."""
        key = self.batch.keys[i]
        if tile is not None and getattr(_OPENED, "key", None) == key:
            return cast(View, _OPENED.view)
        view = View.of(self.batch.rows, row, self.plan)
        if tile is not None:
            _OPENED.key, _OPENED.view = key, view
        return view

    def _flush(self) -> None:
        waiting, self.waiting = [entry for entry in self.waiting if not self.found[entry[0]].error], []
        if not waiting:
            return
        try:
            answers = self.bundle([sample for _, _, sample in waiting])
        except Exception as fault:
            if len(waiting) == 1:
                self._fail(waiting[0][0], fault)
                return
            for entry in waiting:  # one bad sample must not cost the others their answer
                self.waiting = [entry]
                self._flush()
            return
        for (i, tile, _), answer in zip(waiting, answers, strict=True):
            self.parts[i].append((tile, answer))

    def _finish(self, i: int, parts: list[tuple[Tile, Answer]]) -> None:
        try:
            answer = parts[0][1] if len(parts) == 1 else type(parts[0][1]).stitch(iter(parts), self.shapes[i])
            into = self.work.into or Path()
            folder = into if self.batch.tiles[i] is None else folder_of_tiles(into, self.batch.keys[i])
            cells = answer.cells(folder, self.work.name)
            self.found[i] = Outcome(cells, shape=self.shapes[i], engine=self.engine)
        except Exception as fault:
            self._fail(i, fault)

    def _fail(self, i: int, fault: Exception) -> None:
        tile = self.batch.tiles[i]
        where = "" if tile is None else f"; tile: {tile.y}, {tile.x}"
        self.found[i] = Outcome(error=describe(fault) + where)


def describe(fault: BaseException) -> str:
    """An error as the cell of a table: one line.

    >>> describe(PotencyError("the file is empty", "a.tif", "copy it again"))
    'the file is empty; where: a.tif; mend: copy it again'
    """
    text = "; ".join(str(fault).strip().splitlines()) or "no message"
    return text if isinstance(fault, PotencyError) else f"{type(fault).__name__}: {text}"
