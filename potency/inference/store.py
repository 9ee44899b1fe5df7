"""Finished rows on disk: small Parquet parts, each written whole or not at all, so a kill loses one batch at most."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import shutil
import tempfile
import time
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow
from pyarrow import compute, parquet

from potency.data.tables import write_table
from potency.errors import PotencyError

logger = logging.getLogger(__name__)

ABANDONED = 3600.0  # seconds after which a half-written file is nobody's
PARTS = "parts"  # the folder of what is finished, in that of the predictions
WHOLE = -1  # in column `tile`: the cells of the whole row
Cells = Mapping[str, Any]


class Store:
    """The cells of finished rows by key, and of finished tiles of rows too large for one batch.

    Args:
        folder: where the parts lie; None keeps everything in memory.
    """

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        self._tables: list[pyarrow.Table] = []
        self._parts: list[Path] = []
        self._tiles: dict[str, dict[int, Cells]] = {}
        self.done: set[str] = set()
        if folder is not None:
            _try_to_write(folder)
        for path in sorted(folder.glob("[!.]*.parquet")) if folder is not None else []:
            try:
                table = parquet.read_table(path)
                self._keep(table)
                self._parts.append(path)
            except (OSError, ValueError, KeyError) as fault:  # e.g. emptied by a power cut: its rows are done again
                logger.warning("%s is damaged and left out: %s", path, fault)

    def _keep(self, table: pyarrow.Table) -> None:
        tiles = table.column("tile").to_pylist()
        self.done.update(key for key, tile in zip(table.column("row").to_pylist(), tiles, strict=True) if tile == WHOLE)
        if any(tile != WHOLE for tile in tiles):
            for record in table.to_pylist():
                if record["tile"] != WHOLE:
                    cells = {name: value for name, value in record.items() if name not in ("row", "tile")}
                    self._tiles.setdefault(record["row"], {})[record["tile"]] = cells
        self._tables.append(table.filter(compute.equal(table.column("tile"), WHOLE)))

    def add(self, records: Sequence[tuple[str, int, Cells]]) -> None:
        """Keep the cells of (key, tile or WHOLE, cells), on disk before it returns.

        Raises:
            ManifestError: the folder cannot be written; nothing half-written is left.
        """
        if not records:
            return
        frame = pd.DataFrame([{"row": key, "tile": tile, **cells} for key, tile, cells in records])
        if self.folder is not None:
            named = hashlib.sha256("\n".join(f"{key} {tile}" for key, tile, _ in records).encode())
            path = self.folder / f"{named.hexdigest()[:24]}.parquet"
            write_table(frame, path, {})
            self._parts.append(path)
        self._keep(pyarrow.Table.from_pandas(frame, preserve_index=False))

    def tiles(self, key: str) -> Mapping[int, Cells]:
        """The finished tiles of a row that is not finished as a whole."""
        return self._tiles.get(key, {})

    def forget_tiles(self, key: str) -> None:
        """The row is finished as a whole; its tiles are no longer needed."""
        self._tiles.pop(key, None)
        if self.folder is not None:
            shutil.rmtree(self.folder / key, ignore_errors=True)

    def forget_tile(self, key: str, tile: int) -> None:
        """What a tile has left cannot be read; it is done again by the next call."""
        self._tiles.get(key, {}).pop(tile, None)

    def frame(self, keys: Sequence[str]) -> pd.DataFrame:
        """The cells of these rows in this order; missing where a row is not finished."""
        if not self._tables:
            return pd.DataFrame(index=range(len(keys)))
        whole = self._whole(set(keys))
        return whole.reindex(pd.Index(keys)).reset_index(drop=True)

    def _whole(self, keys: Collection[str] | None = None) -> pd.DataFrame:
        table = pyarrow.concat_tables(self._tables, promote_options="permissive").drop_columns(["tile"])
        frame: pd.DataFrame = table.to_pandas().drop_duplicates("row", keep="last").set_index("row")
        if keys is not None:  # columns of another name or bundle in the same folder stay out
            frame = frame[frame.index.isin(list(keys))].dropna(axis=1, how="all")
        return frame

    def compact(self) -> None:
        """Put all parts into one file, and drop the tiles of finished rows."""
        for key in self.done & self._tiles.keys():  # left by a call that was killed
            self.forget_tiles(key)
        if self.folder is None or len(self._parts) < 2:
            return
        unfinished = [(key, tile, cells) for key, tiles in self._tiles.items() for tile, cells in tiles.items()]
        rows = pd.DataFrame([{"row": key, "tile": tile, **cells} for key, tile, cells in unfinished])
        frame = pd.concat([self._whole().reset_index().assign(tile=WHOLE), rows], ignore_index=True)
        whole = self.folder / "all.parquet"
        write_table(frame, whole, {})
        for path in set(self._parts) - {whole}:
            with contextlib.suppress(OSError):  # left behind it is merely read again
                path.unlink()
        self._parts = [whole]


def _try_to_write(folder: Path) -> None:
    """Hours of work must not end at a folder that could never be written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for left in folder.glob(".*.parquet"):  # begun by a process that was killed
            if time.time() - left.stat().st_mtime > ABANDONED:
                left.unlink(missing_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"potency")
    except OSError as fault:
        raise PotencyError(
            f"the folder for predictions cannot be written: {fault.strerror or fault}",
            str(folder),
            "choose another folder with into=, one that you may write to and that has room",
        ) from fault


def folder_of_tiles(into: Path, key: str) -> Path:
    """Where answers in files of the tiles of a row lie until they are joined."""
    return into / PARTS / key


def fingerprint(bundle: str, files: Mapping[str, Path], extra: object = "") -> str:
    """The key of a row: the bundle, and path, size and time of change of its files.

    A file that is missing has a key as well; its row fails where it is worked on.
    """
    text = [bundle, repr(extra)]
    for channel, path in files.items():
        text.append(f"{channel}\t{os.path.abspath(path)}\t{_state(path)}")
    return hashlib.sha256("\n".join(text).encode("utf-8", "surrogateescape")).hexdigest()[:32]


def _state(path: Path) -> tuple[int, int]:
    """Size and time of change; of a folder (OME-Zarr) those of its files together."""
    try:
        if not path.is_dir():
            state = path.stat()
            return state.st_size, state.st_mtime_ns
        states = [entry.stat() for entry in path.rglob("*") if entry.is_file()]
        return sum(s.st_size for s in states), max((s.st_mtime_ns for s in states), default=0)
    except OSError:
        return -1, -1
