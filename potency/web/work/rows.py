"""Turns sets of images into the rows that the verbs take, and rows back into what pages show."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from potency.errors import PotencyError
from potency.web.middle import middles
from potency.web.sets import File, Sets

if TYPE_CHECKING:
    from potency.data.manifest import Manifest


def fault_of(text: str) -> tuple[str, str]:
    """What is wrong and how to mend it, of the error of a row; where is the row itself.

    >>> fault_of("it is empty; where: /a/b.tif; mend: save it again")
    ('it is empty', 'save it again')
    """
    what, _, rest = text.replace("\n", "; ").partition("; where: ")
    return what, rest.partition("; mend: ")[2]


def looked_at(sets: Sets, set: str, channel: str = "") -> dict[str, dict[str, Any]]:
    """The columns for `manifest_of` that say which part of each image is meant.

    Of a stack or a movie the middle plane and time; of several channels the one that was asked for.
    """
    files = sets.files(set)
    several = [file.id for file in files if len(file.facts.get("channels") or ()) > 1]
    return {**middles(files), **({"c": dict.fromkeys(several, channel)} if channel and several else {})}


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
