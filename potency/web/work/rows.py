"""Turns sets of images into the rows that the verbs take, and rows back into what pages show."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from potency.errors import PotencyError
from potency.web.sets import File, Sets

if TYPE_CHECKING:
    from potency.data.manifest import Manifest


def manifest_of(sets: Sets, set: str, **columns: dict[str, Any]) -> tuple[Manifest, list[File]]:
    """One row an image of a set (those that cannot be read are left out), and the files in the order of the rows.

    The id of a row is the id of its file, so that no name is ever taken for a path; `columns` maps ids to cells.

    Raises:
        PotencyError: none of its files is an image.
    """
    import pandas as pd

    from potency.data.manifest import Manifest

    files = [file for file in sets.files(set) if file.error is None and not file.facts.get("table")]
    if not files:
        raise PotencyError("none of these files is an image that can be read", sets.find(set).title,
                           "the list of the files says what is wrong with each")  # fmt: skip
    paths = sets.paths(set)
    more = {name: [cells.get(file.id) for file in files] for name, cells in columns.items()}
    table = pd.DataFrame({"id": [f.id for f in files], "image": [str(paths[f.id].resolve()) for f in files], **more})
    return Manifest.of_rows(table), files
