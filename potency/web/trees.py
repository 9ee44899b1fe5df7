"""OME-Zarr as the many small files of a folder: which file belongs to which, and those of a set that may still grow."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from potency.errors import PotencyError
from potency.web.archive import CHUNK
from potency.web.store import Store

DEPTH = 12  # folders within an OME-Zarr


def belongs(name: str) -> tuple[str, list[str]]:
    """The OME-Zarr that a file belongs to and the names below it; those become paths, so they may only be plain ones.

    >>> belongs("plate/a.zarr/0/.zarray"), belongs("plate/a.tif")
    (('plate/a.zarr', ['0', '.zarray']), ('', []))

    Raises:
        PotencyError: they are not.
    """
    parts = name.split("/")
    at = next((i for i, part in enumerate(parts[:-1]) if part.lower().endswith(".zarr")), None)
    if at is None:
        return "", []
    outer, inner = "/".join(parts[: at + 1]), parts[at + 1 :]
    if len(inner) > DEPTH or not all(CHUNK.fullmatch(part) for part in inner):
        raise PotencyError("a name in the OME-Zarr is none that OME-Zarr has", outer, "export it again")
    return outer, inner


def growing(store: Store, set: str) -> dict[str, dict[str, Any]]:
    """The OME-Zarr of a set by their names: a folder of thousands of files comes in several uploads, one after another.

    Each as a row for `Intake`, with what came now (`came`, bytes) and the files that were written now (`fresh`).
    """
    found = {}
    query = 'SELECT id, name, stored, bytes, digest, facts FROM files WHERE "set" = ? AND stored LIKE \'%.zarr\''
    for row in store.rows(query, set):
        facts = json.loads(row["facts"])
        found[str(row["name"])] = {
            **row, "facts": facts, "digest": hashlib.sha256(str(row["digest"]).encode()), "came": 0,
            "parts": int(facts.get("parts", 0)), "fresh": [], "grown": True,
        }  # fmt: skip
    return found
