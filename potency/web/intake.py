"""Takes uploads in: files and archives become a set of images, known by their content, within limits."""

from __future__ import annotations

import hashlib
import json
import math
import secrets
import unicodedata
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Protocol

from potency.errors import ImageError, PotencyError
from potency.web.sets import Sets
from potency.web.settings import Limits

PIECE = 2**20
NAME = 240  # characters of a name that are kept
TABLES = (".csv", ".tsv", ".txt", ".xlsx", ".parquet")  # labels and notes beside images
ARCHIVE = b"PK\x03\x04"


class Upload(Protocol):
    """A file as it arrives: Starlette's `UploadFile`, or anything alike."""

    @property
    def filename(self) -> str | None: ...

    @property
    def file(self) -> Any: ...


@dataclass(frozen=True)
class Taken:
    """What became of an upload: the set, how many files it has now, and those that are no images."""

    set: str
    files: int
    errors: int


class Intake:
    """Writes uploads into sets; what is no image stays in the list, with the same error as on the command line."""

    def __init__(self, sets: Sets, limits: Limits) -> None:
        self.sets, self.limits, self.store = sets, limits, sets.store

    def take(self, uploads: Iterable[Upload], title: str = "", into: str = "") -> Taken:
        """Keep files in a new set, or in one that is there.

        Raises:
            PotencyError: nothing was sent, or more than the limits of this place allow; the set is then as before.
        """
        files = [upload for upload in uploads if upload.filename]
        if not files:
            raise PotencyError("no file was sent", "the upload", "choose one file or more")
        before = self.sets.find(into).files if into else 0
        set = into or self.sets.make(title or cleaned(files[0].filename or "").partition("/")[0])
        place = self.store.place("sets", set)
        made: list[dict[str, Any]] = []
        try:
            for name, stream in self._opened(files):
                if before + len(made) >= self.limits.files:
                    raise PotencyError(f"more than {self.limits.files} files", "the upload",
                                       "send them in several sets")  # fmt: skip
                made.append(self._kept(place, name, stream))
            if not made:
                raise PotencyError("the archive holds no file", "the upload", "put images into it")
            with self.store.writing() as base:
                base.executemany(
                    'INSERT INTO files (id, "set", number, name, stored, bytes, digest, facts) '
                    "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                    [(row["id"], set, before + number, row["name"], row["stored"], row["bytes"], row["digest"],
                      json.dumps(row["facts"])) for number, row in enumerate(made)],
                )  # fmt: skip
        except BaseException:
            for row in made:
                (place / row["stored"]).unlink(missing_ok=True)
            if not into:
                self.sets.forget(set)
            raise
        return Taken(set, before + len(made), sum("error" in row["facts"] for row in made))

    def _opened(self, files: Iterable[Upload]) -> Iterator[tuple[str, IO[bytes]]]:
        for upload in files:
            stream, name = upload.file, cleaned(upload.filename or "")
            head = stream.read(4)
            stream.seek(0)
            if head == ARCHIVE and not name.lower().endswith(TABLES):
                yield from self._unpacked(stream, name)
            else:
                yield name, stream

    def _unpacked(self, stream: IO[bytes], name: str) -> Iterator[tuple[str, IO[bytes]]]:
        """The files of an archive, read as streams: nothing is ever unpacked to the place that a name tells."""
        try:
            with zipfile.ZipFile(stream) as archive:
                entries = [one for one in archive.infolist() if not one.is_dir() and not _of_the_system(one.filename)]
                if len(entries) > self.limits.files:
                    raise PotencyError(f"the archive holds {len(entries)} files, at most {self.limits.files} are taken",
                                       name, "send them in several archives")  # fmt: skip
                if sum(one.file_size for one in entries) > self.limits.unpacked:
                    raise PotencyError(f"unpacked it would be larger than {self.limits.unpacked / 2**30:.3g} GB", name,
                                       "send the images in several archives")  # fmt: skip
                left = self.limits.unpacked
                for one in entries:
                    if one.flag_bits & 1:
                        raise PotencyError("the archive is encrypted", name, "pack the images without a password")
                    with archive.open(one) as opened:
                        counted = _Counted(opened, left, name)
                        yield cleaned(one.filename), counted  # type: ignore[misc]
                        left = counted.left
        except (zipfile.BadZipFile, zipfile.LargeZipFile, NotImplementedError, EOFError, ValueError) as error:
            raise PotencyError(f"the archive cannot be read: {error}", name,
                               "pack the images again, as a plain zip") from None  # fmt: skip

    def _kept(self, place: Path, name: str, stream: IO[bytes]) -> dict[str, Any]:
        id = secrets.token_hex(8)
        suffix = next((end for end in _suffixes() if name.lower().endswith(end)), "")
        path, digest, count = place / f"{id}{suffix}", hashlib.sha256(), 0
        room = self.limits.kept - self.sets.bytes
        try:
            with path.open("xb") as file:
                while piece := stream.read(PIECE):
                    count += len(piece)
                    if count > self.limits.file:
                        raise PotencyError(f"the file is larger than {self.limits.file / 2**30:.3g} GB", name,
                                           "ask who runs this page to raise the limit")  # fmt: skip
                    if count > room or (count % (64 * PIECE) < PIECE and self.store.free < self.limits.free):
                        raise PotencyError("there is no room left for these images", name,
                                           "delete images or jobs that nobody needs")  # fmt: skip
                    digest.update(piece)
                    file.write(piece)
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        facts = {"table": True} if name.lower().endswith(TABLES) else self._seen(path, name)
        return {"id": id, "name": name, "stored": path.name, "bytes": count, "digest": digest.hexdigest(),
                "facts": facts}  # fmt: skip

    def _seen(self, path: Path, name: str) -> dict[str, Any]:
        """What an image is, by its header, or what is wrong with it."""
        from potency.data.readers import open_image

        try:
            image = open_image(path)
            count = math.prod(image.shape)
            if count > self.limits.pixels:
                what = f"it has {count / 1e6:,.0f} million pixels, at most {self.limits.pixels / 1e6:,.0f} are taken"
                raise ImageError(what, name, "crop it, or ask who runs this page to raise the limit")
        except ImageError as error:
            return {"error": {"what": error.what, "where": name, "mend": error.mend}}
        size = image.pixel_size
        return {
            "axes": image.axes, "shape": list(image.shape), "dtype": str(image.dtype), "series": image.series,
            "channels": list(image.channels), "pixel_size": dict(size) if size else None, "notes": list(image.notes),
        }  # fmt: skip


class _Counted:
    """A stream of an archive that gives no more than was allowed, whatever its header promised."""

    def __init__(self, stream: IO[bytes], left: int, name: str) -> None:
        self.stream, self.left, self.name = stream, left, name

    def read(self, count: int) -> bytes:
        piece = self.stream.read(count)
        self.left -= len(piece)
        if self.left < 0:
            raise PotencyError("unpacked it is larger than it says", self.name, "send the images without an archive")
        return piece


def cleaned(name: str) -> str:
    """A name as it is kept and shown: no control characters, no way up, folders apart by a slash.

    >>> cleaned("..\\\\..\\\\etc/./passwd"), cleaned("G1/cell\\n1.png"), cleaned("C:\\\\data\\\\a.tif"), cleaned("///")
    ('etc/passwd', 'G1/cell1.png', 'data/a.tif', 'unnamed')
    """
    text = unicodedata.normalize("NFC", name).replace("\\", "/")
    text = "".join(sign for sign in text if unicodedata.category(sign)[0] != "C")
    parts = [part.strip() for part in text.split("/")]
    parts = [part for part in parts if part not in ("", ".", "..") and not (len(part) == 2 and part[1] == ":")]
    return "/".join(parts)[-NAME:].lstrip("/") or "unnamed"


def _of_the_system(name: str) -> bool:
    """What systems put into archives beside a person's files."""
    last = name.replace("\\", "/").rpartition("/")[2]
    return name.startswith("__MACOSX/") or last in ("Thumbs.db", "desktop.ini") or last.startswith("._")


def _suffixes() -> tuple[str, ...]:
    from potency.data.readers import SUFFIXES

    return (*SUFFIXES, *TABLES)
