"""Sends the rows of a manifest to a web tool: each file once, in pieces that a broken line does not lose."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from potency.errors import ImageError, ManifestError
from potency.web.asking import Asking
from potency.web.intake import cleaned
from potency.web.jobs import Missing

if TYPE_CHECKING:
    from potency.data.manifest import Manifest

TOGETHER = 8 * 2**20  # bytes of small files that go in one request
MANY = 200  # files in one request
PIECE = 8 * 2**20  # bytes of a large file that go in one request


def sent(asking: Asking, rows: Manifest, images: bool = True) -> str:
    """The set that holds the rows and their files; what is there from an earlier call is not sent again.

    Args:
        images: whether image files are sent, or only the table and what answers lie in.

    Raises:
        ManifestError: a file that a row names is not here. ImageError: an image is a folder.
    """
    names, kept = _named(rows, images)
    moved: dict[str, Any] = {
        column: [names.get(str(cell)) for cell in rows.table[column].astype(object)] for column in rows.files
    }
    with tempfile.TemporaryDirectory(prefix="potency-") as place:
        table = Path(place) / "rows.parquet"
        replace(rows, table=rows.table.assign(**moved), folder=Path(place)).write(table)
        files = {names[cell]: rows.folder / cell for cell in kept} | {table.name: table}
        total = hashlib.sha256(table.read_bytes())
        for cell in kept:
            facts = (rows.folder / cell).stat()
            total.update(f"{names[cell]} {facts.st_size} {facts.st_mtime_ns}\n".encode())
        title = f"{rows.folder.resolve().name or 'rows'} ({total.hexdigest()[:12]})"
        set, there = _begun(asking, title)
        for group in _groups([(name, path) for name, path in files.items() if name not in there]):
            if len(group) == 1 and group[0][1].stat().st_size > PIECE:
                set = _large(asking, set, title, *group[0])
            else:
                read = [(name, path.read_bytes()) for name, path in group]
                set = asking.post("images.json", read, title=title, **({"into": set} if set else {}))["set"]
    return set


def _named(rows: Manifest, images: bool) -> tuple[dict[str, str], list[str]]:
    """The names under which files are sent, by how the rows name them, and those of them that are sent."""
    of_images = ("image", *(f"image.{channel}" for channel in rows.channels))
    found: dict[str, str] = {}
    kept: list[str] = []
    taken: set[str] = set()
    for column in rows.files:
        for cell in rows.table[column].dropna().unique():
            if str(cell) in found:
                continue
            path = rows.folder / str(cell)
            if images or column not in of_images:
                _refuse_absent(path)
                kept.append(str(cell))
            inside = not Path(str(cell)).is_absolute() and ".." not in Path(str(cell)).parts
            name = cleaned(Path(str(cell)).as_posix() if inside else path.name)
            found[str(cell)] = name if name not in taken else cleaned(f"{len(found)}/{path.name}")
            taken.add(found[str(cell)])
    return found, kept


def _refuse_absent(path: Path) -> None:
    if path.is_dir():
        raise ImageError("an image that is a folder is not sent", str(path), "write it as OME-TIFF, or zip it")
    if not path.is_file():
        raise ManifestError("a file that a row names is not here", str(path), "check the path")


def _begun(asking: Asking, title: str) -> tuple[str, set[str]]:
    """The set of an earlier call, and the names of its files; "" where there is none."""
    for one in asking.get("images.json")["sets"]:
        if one["title"] == title:
            there: set[str] = set()
            page, of = 1, 1
            while page <= of:
                shown = asking.get(f"images/{one['id']}.json", page=page)
                there |= {file["name"] for file in shown["files"]}
                page, of = page + 1, shown["of"]
            return one["id"], there
    return "", set()


def _groups(files: list[tuple[str, Path]]) -> Iterator[list[tuple[str, Path]]]:
    """Files that go together in one request: many small ones, or a large one alone."""
    group: list[tuple[str, Path]] = []
    size = 0
    for name, path in files:
        own = path.stat().st_size
        if group and (size + own > TOGETHER or len(group) >= MANY):
            yield group
            group, size = [], 0
        group.append((name, path))
        size += own
    if group:
        yield group


def _large(asking: Asking, set: str, title: str, name: str, path: Path) -> str:
    """Send a large file piece by piece, going on where an earlier call stopped."""
    size = path.stat().st_size
    mark = hashlib.sha256(f"{title} {name} {size} {path.stat().st_mtime_ns}".encode()).hexdigest()[:16]
    try:
        have = int(asking.get(f"pieces/{mark}.json")["have"])
    except Missing:
        have = 0
    with path.open("rb") as file:
        while True:
            file.seek(have)
            told = asking.post("pieces.json", [(name, file.read(PIECE))], mark=mark, at=str(have), size=str(size),
                               title=title, into=set)  # fmt: skip
            have = int(told["have"])
            if told["set"]:
                return str(told["set"])
