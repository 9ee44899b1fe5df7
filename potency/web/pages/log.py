"""The log for admins: who did what, when, from where, with which model and version; never what an image is called."""

from __future__ import annotations

import csv
import datetime
import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

from fastapi import Query
from starlette.responses import StreamingResponse

from potency.web.frame import Here, Pages, Visit, only
from potency.web.store import Row

pages = Pages()
SHOWN = 100  # lines on one page
COLUMNS = ("time", "name", "act", "object", "model", "version", "address")
Word = Annotated[str, Query(max_length=100)]


@dataclass(frozen=True)
class Line:
    """One act."""

    time: float
    name: str
    act: str
    object: str
    model: str
    version: str
    address: str


@dataclass(frozen=True)
class Log:
    """A page of the log, newest first, and what it can be narrowed to."""

    lines: list[Line]
    page: int
    of: int
    days: float
    name: str
    act: str
    names: list[str]
    acts: list[str]


@pages.page("/log", "log.html", role="admin")
def log(visit: Here, name: Word = "", act: Word = "", page: int = 1) -> Log:
    """Who did what."""
    where, values = _among(name, act)
    count = (visit.store.row(f"SELECT count(*) AS n FROM audit WHERE {where}", *values) or {"n": 0})["n"]
    of = max(1, -(-count // SHOWN))
    page = min(max(1, page), of)
    query = f"SELECT * FROM audit WHERE {where} ORDER BY id DESC LIMIT ? OFFSET ?"
    lines = [_line(row) for row in visit.store.rows(query, *values, SHOWN, (page - 1) * SHOWN)]
    names, acts = (
        [row["it"] for row in visit.store.rows(f"SELECT DISTINCT {column} AS it FROM audit ORDER BY it LIMIT 500")]
        for column in ("name", "act")
    )
    return Log(lines, page, of, visit.settings.limits.logged, name, act, names, acts)


@pages.router.get("/log/table.csv", include_in_schema=False)
@only("admin")
def table(visit: Here, name: Word = "", act: Word = "") -> StreamingResponse:
    """The log as a table; cells that a spreadsheet would run are written as text."""
    visit.note("export log")
    headers = {"content-disposition": 'attachment; filename="log.csv"'}
    return StreamingResponse(_written(visit, name, act), media_type="text/csv; charset=utf-8", headers=headers)


def _written(visit: Visit, name: str, act: str) -> Iterator[str]:
    where, values = _among(name, act)
    last, size = 0, 5000
    yield ",".join(COLUMNS) + "\r\n"
    while rows := visit.store.rows(
        f"SELECT * FROM audit WHERE {where} AND id > ? ORDER BY id LIMIT ?", *values, last, size
    ):
        last, written = rows[-1]["id"], io.StringIO()
        writer = csv.writer(written)
        for row in rows:
            moment = datetime.datetime.fromtimestamp(row["time"], datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            cells = [moment, *(str(row[column]) for column in COLUMNS[1:])]
            writer.writerow([f"'{cell}" if cell.startswith(("=", "+", "-", "@", "\t", "\r", "'")) else cell
                             for cell in cells])  # fmt: skip
        yield written.getvalue()


def _among(name: str, act: str) -> tuple[str, tuple[str, ...]]:
    chosen = {column: value for column, value in (("name", name), ("act", act)) if value}
    return " AND ".join(["1", *(f"{column} = ?" for column in chosen)]), tuple(chosen.values())


def _line(row: Row) -> Line:
    return Line(**{column: row[column] for column in COLUMNS})
