"""Takes the files of a model in: numbers, a card and a page of text, by name and content, and nothing else."""

from __future__ import annotations

import io
import json
import re
import secrets
import shutil
import struct
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO

from potency.errors import BundleError
from potency.web.archive import Allowed, entries
from potency.web.intake import ARCHIVE, PIECE, Upload, cleaned
from potency.web.settings import Limits
from potency.web.store import Store

FILE = re.compile(r"card\.json|MODEL_CARD\.md|[a-z]{1,20}[0-9]{0,3}(\.[0-9]{1,3})?\.safetensors")
LARGEST = 2 * 2**30  # bytes of all files of a model
TEXT = 16 * 2**20  # bytes of a card, or of its page
MOST = 200  # files: an ensemble has a few for each of its members
ASK = "bring card.json and the .safetensors files as `potency train` wrote them"


def brought(uploads: Iterable[Upload], into: Path, limits: Limits, room: int) -> list[str]:
    """Write the files of a bundle into a new folder, which appears whole or not at all; their names.

    Estimators (.skops) are not taken: they are lists of objects to be built, and though only known ones ever are,
    whoever runs this machine should be the one to decide that (`potency predict FOLDER`).

    Raises:
        BundleError: a file of another name or content, none of them a card or weights, or too large.
    """
    part = into.with_name(f".{secrets.token_hex(8)}.brought")
    part.mkdir(parents=True)
    names, left = list[str](), min(LARGEST, room)
    try:
        for name, stream in _files(uploads, limits):
            if not FILE.fullmatch(name):
                raise refused(name)
            if name in names or len(names) >= MOST:
                raise BundleError("a file of the model comes twice, or there are too many", name, ASK)
            names.append(name)
            left -= _written(part / name, stream, left)
            _looked_at(part / name)
        if "card.json" not in names or "weights.safetensors" not in names:
            gone = [name for name in ("card.json", "weights.safetensors") if name not in names]
            raise BundleError("the model lacks " + " and ".join(gone), "the upload", ASK)
        part.replace(into)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return names


def waiting(store: Store, id: str) -> Path:
    """Where the files of a model lie until it has been tried."""
    return store.place("models", id).with_name(f".{id}.brought")


def sweep(store: Store) -> None:
    """At the start: delete what was brought by jobs that are no more."""
    asked = {json.loads(row["arguments"]).get("brought") for row in
             store.rows("SELECT arguments FROM jobs WHERE kind = 'bring'")}  # fmt: skip
    for path in (store.folder / "models").glob(".*.brought"):
        if path.name.split(".")[1] not in asked:
            shutil.rmtree(path, ignore_errors=True)


def packed(folder: Path) -> Iterator[bytes]:
    """A bundle as a zip, piece by piece: only the files that a bundle may hold; numbers are not packed smaller."""
    buffer = _Kept()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for path in sorted(folder.iterdir()):
            if not path.is_file() or not (FILE.fullmatch(path.name) or path.suffix == ".skops"):
                continue
            with path.open("rb") as file, archive.open(zipfile.ZipInfo(path.name), "w", force_zip64=True) as inside:
                while piece := file.read(PIECE):
                    inside.write(piece)
                    yield buffer.taken()
    yield buffer.taken()


def refused(name: str) -> BundleError:
    """The refusal of a file that no bundle holds, in words for what it is."""
    last = name.lower().rpartition(".")[2]
    kinds = {"skops": "estimators (.skops) are lists of objects to be built: they are not taken by this page"}
    pickles = "it may be a pickle, which can run code and is never opened"
    kinds |= dict.fromkeys(("pt", "pth", "pkl", "pickle", "bin", "ckpt", "joblib"), pickles)
    kinds |= dict.fromkeys(("py", "js", "html", "htm", "sh", "so", "dll", "exe"), "a program is no part of a model")
    return BundleError(kinds.get(last, "a model does not hold such a file"), name[-120:], ASK)


def _files(uploads: Iterable[Upload], limits: Limits) -> Iterator[tuple[str, IO[bytes]]]:
    """The files, loose or in one archive, by their last name."""
    allowed = Allowed(MOST, LARGEST)
    for upload in uploads:
        if not upload.filename:
            continue
        stream, name = upload.file, cleaned(upload.filename)
        head = stream.read(4)
        stream.seek(0)
        if head == ARCHIVE and name.lower().endswith(".zip"):
            for inner, opened in entries(stream, name, allowed):
                yield cleaned(inner).rpartition("/")[2], opened
        else:
            yield name.rpartition("/")[2], stream


def _written(path: Path, stream: IO[bytes], left: int) -> int:
    count = 0
    with path.open("xb") as file:
        while piece := stream.read(PIECE):
            count += len(piece)
            if count > left or (count > TEXT and path.suffix != ".safetensors"):
                raise BundleError("the model is too large", path.name, "ask who runs this page")
            file.write(piece)
    return count


def _looked_at(path: Path) -> None:
    """Refuse content that is not what its name says, before any library opens it."""
    with path.open("rb") as file:
        head = file.read(8)
        if path.suffix == ".safetensors":
            size = path.stat().st_size
            length = struct.unpack("<Q", head)[0] if len(head) == 8 else 0
            if not 2 <= length <= min(size - 8, 100 * 2**20) or file.read(1) != b"{":
                pickle = head[:2] in (b"PK", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")
                what = "the weights are a pickle, which could run code and is never opened" if pickle else (
                    "the content is not safetensors")  # fmt: skip
                raise BundleError(what, path.name, ASK)
            return
    try:
        text = path.read_text("utf-8")
        if path.suffix == ".json" and not isinstance(json.loads(text), dict):
            raise ValueError
    except (ValueError, RecursionError):
        raise BundleError("the content is not what its name says", path.name, ASK) from None


class _Kept(io.RawIOBase):
    """What an archive writes, to be handed on; it cannot be gone back in."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.at = 0

    def writable(self) -> bool:
        return True

    def write(self, data: bytes) -> int:  # type: ignore[override]
        self.pieces.append(bytes(data))
        self.at += len(data)
        return len(data)

    def tell(self) -> int:
        return self.at

    def taken(self) -> bytes:
        made, self.pieces = b"".join(self.pieces), []
        return made
