"""What a web tool remembers: one SQLite file and the folders beside it, safe against a kill at any moment."""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import secrets
import shutil
import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from potency.errors import PotencyError

Row = dict[str, Any]
ID = re.compile(r"^[0-9a-f]{16}$")
NOTED = re.compile(r"[a-z0-9:._-]{0,64}( [0-9a-f]{0,64})?|[0-9]{1,9} images")  # ids, names of models in the package
STOCK = 4 * 2**20  # bytes of changes for which there is room on a full disk
WAIT = 10.0  # seconds that a writer waits for another one
VERSION = 2
PARTS = ("sets", "jobs", "models", "studies", "corrections")
SCHEMA = """
CREATE TABLE people (id INTEGER PRIMARY KEY, name TEXT UNIQUE NOT NULL, password TEXT NOT NULL, role TEXT NOT NULL,
  created REAL NOT NULL, active INTEGER NOT NULL DEFAULT 1);
CREATE TABLE sessions (hash TEXT PRIMARY KEY, person INTEGER NOT NULL, secret TEXT NOT NULL, created REAL NOT NULL,
  seen REAL NOT NULL, kind TEXT NOT NULL DEFAULT 'browser', label TEXT NOT NULL DEFAULT '');
CREATE TABLE sets (id TEXT PRIMARY KEY, owner INTEGER NOT NULL, title TEXT NOT NULL, created REAL NOT NULL,
  origin TEXT NOT NULL DEFAULT 'upload', facts TEXT NOT NULL DEFAULT '{}');
CREATE TABLE files (id TEXT PRIMARY KEY, "set" TEXT NOT NULL, number INTEGER NOT NULL, name TEXT NOT NULL,
  stored TEXT NOT NULL, bytes INTEGER NOT NULL, digest TEXT NOT NULL, facts TEXT NOT NULL DEFAULT '{}');
CREATE INDEX files_of_sets ON files ("set", number);
CREATE TABLE models (id TEXT PRIMARY KEY, owner INTEGER NOT NULL, title TEXT NOT NULL, created REAL NOT NULL,
  facts TEXT NOT NULL DEFAULT '{}');
CREATE TABLE jobs (id TEXT PRIMARY KEY, owner INTEGER NOT NULL, kind TEXT NOT NULL, title TEXT NOT NULL,
  arguments TEXT NOT NULL, state TEXT NOT NULL, "key" TEXT NOT NULL DEFAULT '', created REAL NOT NULL, started REAL,
  ended REAL, beat REAL, worker INTEGER, attempts INTEGER NOT NULL DEFAULT 0, cancelled INTEGER NOT NULL DEFAULT 0,
  done REAL NOT NULL DEFAULT 0, total REAL NOT NULL DEFAULT 0, what TEXT NOT NULL DEFAULT '', since REAL,
  before REAL NOT NULL DEFAULT 0, result TEXT NOT NULL DEFAULT '{}', error TEXT NOT NULL DEFAULT '{}');
CREATE INDEX jobs_in_line ON jobs (state, created);
CREATE TABLE studies (id TEXT PRIMARY KEY, owner INTEGER NOT NULL, title TEXT NOT NULL, code TEXT UNIQUE NOT NULL,
  created REAL NOT NULL, state TEXT NOT NULL, job TEXT NOT NULL DEFAULT '', facts TEXT NOT NULL DEFAULT '{}');
CREATE TABLE study_images (study TEXT NOT NULL, number INTEGER NOT NULL, file TEXT NOT NULL, name TEXT NOT NULL,
  row TEXT NOT NULL, truth TEXT, "group" TEXT, told TEXT NOT NULL DEFAULT '{}', PRIMARY KEY (study, number));
CREATE TABLE readers (id TEXT PRIMARY KEY, study TEXT NOT NULL, person INTEGER NOT NULL, name TEXT NOT NULL,
  created REAL NOT NULL, facts TEXT NOT NULL DEFAULT '{}', UNIQUE (study, name));
CREATE TABLE showings (code TEXT PRIMARY KEY, reader TEXT NOT NULL, round INTEGER NOT NULL, place INTEGER NOT NULL,
  image INTEGER NOT NULL, again INTEGER NOT NULL DEFAULT 0, answer TEXT, confidence INTEGER,
  seconds REAL NOT NULL DEFAULT 0, time REAL, back INTEGER NOT NULL DEFAULT 0, changes INTEGER NOT NULL DEFAULT 0,
  UNIQUE (reader, round, place));
CREATE TABLE corrections (id TEXT PRIMARY KEY, owner INTEGER NOT NULL, title TEXT NOT NULL, "set" TEXT NOT NULL,
  kind TEXT NOT NULL, model TEXT NOT NULL DEFAULT '', created REAL NOT NULL, facts TEXT NOT NULL DEFAULT '{}');
CREATE TABLE corrected (id TEXT PRIMARY KEY, correction TEXT NOT NULL, number INTEGER NOT NULL, file TEXT NOT NULL,
  name TEXT NOT NULL, revision INTEGER NOT NULL DEFAULT 0, snapshot INTEGER NOT NULL DEFAULT 0,
  mask TEXT NOT NULL DEFAULT '', begun TEXT NOT NULL DEFAULT '', "next" INTEGER NOT NULL DEFAULT 1,
  classes TEXT NOT NULL DEFAULT '{}', state TEXT NOT NULL DEFAULT 'open', part TEXT NOT NULL DEFAULT '',
  cells INTEGER, score REAL, reason TEXT NOT NULL DEFAULT '', said TEXT NOT NULL DEFAULT '{}', changed REAL);
CREATE INDEX corrected_of ON corrected (correction, number);
CREATE TABLE edits (item TEXT NOT NULL, number INTEGER NOT NULL, "key" TEXT NOT NULL, kind TEXT NOT NULL,
  operation TEXT NOT NULL, box TEXT NOT NULL DEFAULT '', before BLOB, after BLOB, classes TEXT NOT NULL DEFAULT '{}',
  undoes INTEGER, person INTEGER, time REAL NOT NULL, PRIMARY KEY (item, number));
CREATE UNIQUE INDEX edits_once ON edits (item, "key");
CREATE TABLE audit (id INTEGER PRIMARY KEY, time REAL NOT NULL, person INTEGER, name TEXT NOT NULL, act TEXT NOT NULL,
  "object" TEXT NOT NULL DEFAULT '', model TEXT NOT NULL DEFAULT '', version TEXT NOT NULL, address TEXT NOT NULL);
"""
NEWER = {  # what a version has that the one before it had not
    2: "CREATE TABLE sizes (part TEXT NOT NULL, id TEXT NOT NULL, stamp TEXT NOT NULL, bytes INTEGER NOT NULL, "
       "PRIMARY KEY (part, id))",
}  # fmt: skip


class Store:
    """The file `web.sqlite` and the folders beside it (`PARTS`), used by server and workers alike.

    Every thread has a connection of its own. What is written is on the disk when the call returns (write-ahead log):
    a kill loses nothing that was answered.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)  # other users of this machine read nothing of it
            for part in PARTS:
                (self.folder / part).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise PotencyError(f"nothing can be kept here: {error.strerror or error}", str(folder),
                               "choose another --into") from error  # fmt: skip
        self._own = threading.local()
        self._writes = itertools.count(1)
        self.written = 0  # another number after each transaction of this process: what was read before may be old
        with self.writing() as base:
            (version,) = base.execute("PRAGMA user_version").fetchone()
            if version == 0:
                for statement in SCHEMA.split(";\n"):
                    base.execute(statement)
            if version <= VERSION:
                for newer in range(max(version, 1) + 1, VERSION + 1):
                    base.execute(NEWER[newer])
                base.execute(f"PRAGMA user_version = {VERSION}")
            else:
                what = f"the folder was written by another version ({version}, here {VERSION})"
                raise PotencyError(what, str(folder), "start the version that wrote it, or choose another --into")

    def stock(self) -> None:
        """Take room for changes to come: on a disk that others have filled, what nobody needs can still be deleted.

        The log of changes keeps the size that it had once, and the file the pages that became free.
        """
        with contextlib.suppress(sqlite3.OperationalError):  # it is full already
            for change in ("DROP TABLE IF EXISTS stock", "CREATE TABLE stock (room BLOB)",
                           f"INSERT INTO stock VALUES (zeroblob({STOCK}))", "DROP TABLE stock"):  # fmt: skip
                self.change(change)
            self._base.execute("PRAGMA wal_checkpoint(RESTART)").fetchall()

    @property
    def _base(self) -> sqlite3.Connection:
        if not hasattr(self._own, "base"):
            try:
                base = sqlite3.connect(self.folder / "web.sqlite", timeout=WAIT, isolation_level=None)
                base.row_factory = sqlite3.Row
                base.execute("PRAGMA journal_mode = WAL")
                base.execute("PRAGMA synchronous = FULL")
            except sqlite3.DatabaseError as error:
                raise PotencyError(f"the list of jobs and images cannot be opened: {error}", str(self.folder),
                                   "restore web.sqlite from a copy, or choose another --into") from error  # fmt: skip
            self._own.base = base
        return self._own.base  # type: ignore[no-any-return]

    @contextlib.contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """A transaction: all of it or nothing; other writers wait, readers do not."""
        base = self._base
        base.execute("BEGIN IMMEDIATE")
        try:
            yield base
        except BaseException:
            base.execute("ROLLBACK")
            raise
        base.execute("COMMIT")
        self.written = next(self._writes)

    def rows(self, query: str, *values: object) -> list[Row]:
        """The rows of a query."""
        return [dict(row) for row in self._base.execute(query, values)]

    def row(self, query: str, *values: object) -> Row | None:
        """The first row of a query, or None."""
        found = self._base.execute(query, values).fetchone()
        return None if found is None else dict(found)

    def add(self, table: str, **values: object) -> None:
        """Insert a row."""
        names, marks = ", ".join(f'"{name}"' for name in values), ", ".join("?" * len(values))
        with self.writing() as base:
            base.execute(f"INSERT INTO {table} ({names}) VALUES ({marks})", tuple(values.values()))

    def change(self, query: str, *values: object) -> int:
        """Run an UPDATE or DELETE; how many rows it changed."""
        with self.writing() as base:
            return base.execute(query, values).rowcount

    def place(self, part: str, id: str) -> Path:
        """The folder of a set, job or model; an id is sixteen hex digits and nothing else ever becomes a path."""
        if not ID.fullmatch(id):
            raise PotencyError("there is nothing of that name", part, "go back, and follow a link of the page")
        return self.folder / part / id

    def remove(self, part: str, id: str) -> None:
        """Delete the folder of a set, job or model, out of the way first: half of one is never seen."""
        place = self.place(part, id)
        gone = place.with_name(f".{id}.gone{secrets.token_hex(4)}")
        if place.exists():
            place.rename(gone)
            shutil.rmtree(gone, ignore_errors=True)

    def discreet(self, text: str) -> str:
        """A text without the folders of this machine, which are nobody's business; a file by the name it came with."""

        def named(found: re.Match[str]) -> str:
            row = self.row('SELECT name FROM files WHERE "set" = ? AND id = ?', found[1], found[2])
            return str(row["name"]) if row else found[2]

        for folder in {self.folder.resolve(), self.folder.absolute(), self.folder, Path(__file__).parents[2]}:
            text = text.replace(str(folder) + os.sep, "")
        return re.sub(r"sets[/\\]([0-9a-f]{16})[/\\]([0-9a-f]{16})[.\w]*", named, text)

    @property
    def free(self) -> int:
        """Bytes left on the disk."""
        return shutil.disk_usage(self.folder).free

    def audit(self, person: Mapping[str, Any], act: str, object: str = "", model: str = "", address: str = "") -> None:
        """Remember who did what, with which model, by which version; never what an image shows or is called.

        An object or model is known by its id: anything else (a file's name, a title) is not written down.
        """
        from potency import __version__

        object, model = (text if NOTED.fullmatch(text) else "?" for text in (object, model))
        who = {"person": person.get("id"), "name": person.get("name", "")}
        self.add("audit", time=time.time(), **who, act=act, object=object, model=model, version=__version__,
                 address=address)  # fmt: skip


def new_id() -> str:
    """A name that cannot be guessed, for a set, a job or a model.

    >>> len(new_id()), bool(ID.match(new_id()))
    (16, True)
    """
    return secrets.token_hex(8)
