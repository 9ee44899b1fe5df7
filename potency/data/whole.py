"""Files that are there whole or not at all: written beside their place, and then given their name."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a place beside `path`, of the same name, to write a file to; at the end it takes the place of the old one.

    After an error or a kill the old file is as it was. What is written is on the disk before it has its name, and as
    readable as any new file.

    Raises:
        OSError: it cannot be written, or `path` is a folder, which may be someone's only copy.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    place = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}.part"))
    try:
        yield (part := place / path.name)
        with part.open("rb+") as file:
            os.fsync(file.fileno())
        os.replace(part, path)
    finally:
        shutil.rmtree(place, ignore_errors=True)


def replaced(path: Path, content: bytes | str) -> None:
    """Put content (text as UTF-8) into a file in the place of what it held.

    Raises:
        OSError: it cannot be written.
    """
    with replacing(path) as part:
        part.write_bytes(content.encode() if isinstance(content, str) else content)
