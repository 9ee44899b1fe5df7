"""Takes uploads in: files and archives become a set of images, known by their content, within limits."""

from __future__ import annotations

import hashlib
import json
import math
import secrets
import shutil
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Protocol

from potency.data.folders import of_the_system
from potency.errors import ImageError, MissingExtra, PotencyError
from potency.web.archive import Allowed, entries
from potency.web.faults import Refused
from potency.web.personal import personal, stripped
from potency.web.room import Room, room
from potency.web.sets import CAPTION, Sets
from potency.web.settings import Limits
from potency.web.trees import belongs, growing

PIECE = 2**20
NAME = 240  # characters of a name that are kept
TABLES = (".csv", ".tsv", ".txt", ".xlsx", ".parquet")  # labels and notes beside images
TRIED = 2**24  # pixels of an image that are read at once: of larger ones the first work with them says what is wrong
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
    """Writes uploads into sets; what is no image stays in the list, with the same error as on the command line.

    Attributes:
        bring: whether the person may bring files; what the simulator drew is taken from everybody.
        strip: take out of each file what could name a person, and keep none of which that cannot be said.
    """

    def __init__(self, sets: Sets, limits: Limits, *, bring: bool = True, strip: bool = False) -> None:
        self.sets, self.limits, self.store, self.bring, self.strip = sets, limits, sets.store, bring, strip

    def take(self, uploads: Iterable[Upload], title: str = "", into: str = "") -> Taken:
        """Keep files in a new set, or in one that is there.

        Raises:
            PotencyError: nothing was sent, or more than the limits of this place allow; the set is then as before.
        """
        files = [upload for upload in uploads if upload.filename]
        if not files:
            raise PotencyError("no file was sent", "the upload", "choose one file or more")
        if not self.bring and not all(getattr(upload, "drawn", False) for upload in files):
            raise Refused(403, "this takes the role analyst", "your account", "ask who runs this page")
        before = self.sets.find(into).files if into else 0
        set = into or self.sets.make(shown(title) or _called([cleaned(file.filename or "") for file in files]))
        place = self.store.place("sets", set)
        rows: list[dict[str, Any]] = []
        try:
            self._fill(set, files, rows, before)
            if not rows:
                raise PotencyError("there is no image among these files", "the upload", "choose images")
            for row in rows:
                row["digest"] = row["digest"].hexdigest()
                parts = {"parts": row["parts"]} if row["parts"] else {}
                row["facts"] = self._facts(place / row["stored"], row["name"]) | parts
            rows = self._kept_of(place, rows)
            made = [row for row in rows if not row["grown"]]
            with self.store.writing() as base:
                base.executemany("UPDATE files SET bytes = ?, digest = ?, facts = ? WHERE id = ?",
                                 [(row["bytes"], row["digest"], json.dumps(row["facts"]), row["id"])
                                  for row in rows if row["grown"]])  # fmt: skip
                base.executemany(
                    'INSERT INTO files (id, "set", number, name, stored, bytes, digest, facts) '
                    "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                    [(row["id"], set, before + number, row["name"], row["stored"], row["bytes"],
                      row["digest"], json.dumps(row["facts"])) for number, row in enumerate(made)],
                )  # fmt: skip
        except BaseException:
            for row in rows:
                for path in row["fresh"] if row["grown"] else [place / row["stored"]]:
                    _remove(path)
            if not into:
                self.sets.forget(set)
            raise
        return Taken(set, before + len(made), sum("error" in row["facts"] for row in rows))

    def _fill(self, set: str, files: Iterable[Upload], rows: list[dict[str, Any]], before: int) -> None:
        """Write what arrives; `rows` has each file, and each OME-Zarr that is new or grows, once it is on the disk."""
        zarrs, place = growing(self.store, set), self.store.place("sets", set)
        left = room(self.store, self.sets.owner, self.limits.kept)
        for name, stream in self._opened(files):
            outer, inner = belongs(name)
            row = zarrs.get(outer) if outer else None
            if row is None:
                row = self._new(outer or name, bool(outer), before + sum(not one["grown"] for one in rows))
            if row not in rows:
                if row["grown"] and row["facts"].get("refused"):
                    raise PotencyError(**row["facts"]["error"])
                rows.append(row)
            path = place / row["stored"]
            if outer:
                zarrs[outer] = row
                path = path.joinpath(*inner)
                row["digest"].update("/".join(inner).encode() + b"\0")
                row["parts"] += 1
                if row["parts"] > self.limits.parts:
                    raise PotencyError(f"the OME-Zarr has more than {self.limits.parts} files", outer,
                                       "export it with larger chunks or shards")  # fmt: skip
            fresh = not path.exists()
            taken = sum(one["came"] for one in rows)
            row["fresh"] += [path] if fresh else []
            count = self._written(path, stream, row["digest"], row["name"], left, taken)
            row["came"] += count
            row["bytes"] += count

    def _new(self, name: str, zarr: bool, count: int) -> dict[str, Any]:
        """The row of a file or OME-Zarr that a set of `count` did not have."""
        if count >= self.limits.files:
            raise PotencyError(f"too many files: a set takes at most {self.limits.files}", "the upload",
                               "send them in several sets")  # fmt: skip
        id = secrets.token_hex(8)
        suffix = ".zarr" if zarr else next((end for end in _suffixes() if name.lower().endswith(end)), "")
        return {"id": id, "name": name, "stored": f"{id}{suffix}", "bytes": 0, "digest": hashlib.sha256(), "came": 0,
                "parts": 0, "fresh": [], "grown": False}  # fmt: skip

    def _opened(self, files: Iterable[Upload]) -> Iterator[tuple[str, IO[bytes]]]:
        allowed = Allowed(self.limits.parts, self.limits.unpacked)
        for upload in (one for one in files if not of_the_system(one.filename or "")):
            stream, name = upload.file, cleaned(upload.filename or "")
            head = stream.read(4)
            stream.seek(0)
            if head == ARCHIVE and not name.lower().endswith(TABLES):
                yield from ((cleaned(inner), part) for inner, part in entries(stream, name, allowed))
            else:
                yield name, stream

    def _written(self, path: Path, stream: IO[bytes], digest: Any, name: str, left: Room, taken: int) -> int:
        count = 0
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("xb") as file:
                while piece := stream.read(PIECE):
                    count += len(piece)
                    if count > self.limits.file:
                        raise PotencyError(f"the file is larger than {self.limits.file / 2**30:.3g} GB", name,
                                           "ask who runs this page to raise the limit")  # fmt: skip
                    left.needed(name, taken + count)
                    if count % (64 * PIECE) < PIECE and self.store.free < self.limits.free:
                        raise PotencyError("there is no room left on the disk for these images", name,
                                           "delete images or jobs that nobody needs")  # fmt: skip
                    digest.update(piece)
                    file.write(piece)
        except (FileExistsError, NotADirectoryError):
            what = "a file comes twice" if path.is_file() else "a folder and a file have one name"
            raise PotencyError(what, name, "pack it again") from None
        return count

    def _facts(self, path: Path, name: str) -> dict[str, Any]:
        """What a file is, after what could name a person was taken out, where that was asked for."""
        if name.lower().endswith(TABLES) and not path.is_dir():
            return {"table": True}
        facts = seen(path, name, self.limits.pixels)
        if "error" in facts:
            return facts
        if not self.strip:
            told = personal(path)
            return facts | ({"personal": told} if told else {})
        try:
            return facts | {"stripped": stripped(path)}
        except (ImageError, MissingExtra) as error:
            return {"error": {"what": error.what, "where": name, "mend": error.mend}, "refused": True}

    def clean(self, set: str) -> int:
        """Take what could name a person out of the files of a set that is here; of how many it was taken.

        A file of a kind in which that cannot be done stays as it is, and says so.
        """
        count = 0
        for file in self.sets.files(set):
            if file.error is not None or file.facts.get("table") or "stripped" in file.facts:
                continue
            path, facts = self.sets.path(set, file), {**file.facts}
            try:
                facts["stripped"] = stripped(path)
                facts.pop("personal", None)
                count += 1
            except (ImageError, MissingExtra) as error:
                facts["unstripped"] = error.what
            digest, size = (file.digest, file.bytes) if path.is_dir() else (_digest(path), path.stat().st_size)
            self.store.change("UPDATE files SET facts = ?, bytes = ?, digest = ? WHERE id = ?", json.dumps(facts), size,
                              digest, file.id)  # fmt: skip
        return count

    def _kept_of(self, place: Path, made: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """The rows, whose sizes and digests are those of the files as they are kept; what is refused has none."""
        for row in made:
            path = place / row["stored"]
            if row["facts"].get("refused"):
                _remove(path)
                path.touch()
                row["bytes"], row["digest"] = 0, hashlib.sha256().hexdigest()
            elif row["facts"].get("stripped"):
                row["bytes"] = path.stat().st_size
                row["digest"] = _digest(path)
        return made


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def seen(path: Path, name: str, most: int) -> dict[str, Any]:
    """What an image is, or what is wrong with it, in the words of the command line: its pixels are tried, if few."""
    from potency.data.readers import open_image

    try:
        image = open_image(path)
        count = math.prod(image.shape)
        if count > most:
            what = f"it has {count / 1e6:,.0f} million pixels, at most {most / 1e6:,.0f} are taken"
            raise ImageError(what, name, "crop it, or ask who runs this page to raise the limit")
        if count <= TRIED:
            image[{}]
    except ImageError as error:
        what, mend = (text.replace(str(path), name) for text in (error.what, error.mend))
        return {"error": {"what": what, "where": name, "mend": mend}}
    size = image.pixel_size
    return {
        "axes": image.axes, "shape": list(image.shape), "dtype": str(image.dtype), "series": image.series,
        "channels": list(image.channels),
        "pixel_size": dict(size) if size else None, "notes": [note.replace(str(path), name) for note in image.notes],
    }  # fmt: skip


def _called(names: Sequence[str]) -> str:
    """What files that come together are called: after their folder, else the first and how many more.

    >>> _called(["day3/a.tif", "day3/b.tif"]), _called(["a.tif"]), _called(["a.tif", "b.tif", "c.tif"])
    ('day3', 'a.tif', 'a.tif and 2 more')
    """
    first, *others = dict.fromkeys(name.partition("/")[0] for name in names)
    more = f" and {len(others)} more" if others else ""
    return first[: CAPTION - len(more)] + more


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


def shown(text: str) -> str:
    """A title or name without what readers do not see: control characters, and marks that turn the text around.

    >>> shown("good\\u202egnp.exe\\n")
    'goodgnp.exe'
    """
    normal = unicodedata.normalize("NFC", text)
    return "".join(sign for sign in normal if unicodedata.category(sign)[0] != "C")[:NAME].strip()


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    elif path.exists():  # not where a file stands in place of one of its folders
        path.unlink()


def _suffixes() -> tuple[str, ...]:
    from potency.data.readers import SUFFIXES

    return (*SUFFIXES, *TABLES)
