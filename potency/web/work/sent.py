"""Rows that a client sent: a table whose columns name the files of a set by the names they were sent under."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from potency.errors import ManifestError
from potency.web.sets import Sets
from potency.web.work.rows import manifest_of

if TYPE_CHECKING:
    from potency.data.manifest import Manifest


def rows_of(
    sets: Sets, set: str, options: Mapping[str, Any], columns: tuple[str, ...] = (), images: bool = True
) -> Manifest:
    """The rows of a set: those of its table, or one an image where it holds none.

    Names of files are compared with the names in the set, and never become paths.

    Args:
        options: `truth`, `group` and `classes` as for `Manifest.read`.
        columns: further columns that name files, whatever the table says of them.
        images: whether the files that rows name must be there.

    Raises:
        ManifestError: several tables; rows that name files which were not sent.
    """
    from potency.data.manifest import Manifest

    files, paths = sets.files(set), sets.paths(set)
    tables = [file for file in files if file.facts.get("table")]
    if not tables:
        return manifest_of(sets, set)[0]
    if len(tables) > 1:
        raise ManifestError(f"{len(tables)} tables were sent", ", ".join(file.name for file in tables[:5]),
                            "send one: it has a row for each image")  # fmt: skip
    made = Manifest.read(
        paths[tables[0].id], truth=options.get("truth") or None, group=options.get("group") or None,
        classes=tuple(options.get("classes") or ()), confined=True,
    )  # fmt: skip
    where = {file.name: str(paths[file.id].resolve()) for file in files}
    found: dict[str, Any] = {}
    for column in dict.fromkeys((*made.files, *(name for name in columns if name in made.table))):
        names = [None if cell is None or cell != cell else str(cell) for cell in made.table[column].astype(object)]
        missing = sorted({name for name in names if name is not None} - where.keys())
        if missing and images:
            raise ManifestError(f"{len(missing)} files that the table names were not sent", missing[0],
                                "send them with the table, under the names that it has")  # fmt: skip
        found[column] = [None if name is None else where.get(name, name) for name in names]
    return replace(made, table=made.table.assign(**found))
