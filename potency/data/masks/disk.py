"""Files of truth on disk: written whole or not at all, and looked at before they are believed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from potency.data import whole
from potency.errors import AnswerError


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a place beside `path` to write to; at the end it takes that name, and after an error it is gone.

    A folder is never written over: what it holds may be someone's only copy.
    """
    if path.is_dir():
        raise AnswerError("there is a folder of that name", str(path), "give another name, or remove the folder")
    try:
        with whole.replacing(path) as part:
            yield part
    except OSError as fault:
        raise AnswerError(f"it cannot be written: {fault.strerror or fault}", str(path),
                          "choose a folder you may write to, with room") from fault


def text_of(path: Path, limit: int) -> str:
    """Read a text file of at most `limit` bytes."""
    if path.stat().st_size > limit:
        raise AnswerError(f"the file has {path.stat().st_size / 2**20:.0f} MiB, more than the {limit // 2**20} that "
                          "such a file of one image can have", str(path), "is it the right file?")
    data = path.read_bytes()
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("cp1252", errors="replace")  # names of classes written by an older Windows program
