"""What is known of the images of a set: truth and group by folder names, file names or a table that lies with them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from potency.errors import PotencyError
from potency.web.sets import File, Sets

if TYPE_CHECKING:
    import pandas as pd

FOLDERS, NAMES = "folders", "names"
MOST = 40  # columns of a table that are offered


@dataclass(frozen=True)
class Known:
    """One thing that is known of images.

    Attributes:
        id: how it is asked for: "folders", "names", or "<file>:<column>" of a table.
        number: whether all that is known are numbers.
        values: how many images have each value, at most twelve of them.
        images, different: how many images have one, and how many values there are.
    """

    id: str
    title: str
    number: bool
    values: dict[str, int]
    images: int
    different: int


def rows_of(sets: Sets, set: str) -> dict[str, tuple[File, str]]:
    """The images of a set by id, each with its name below the folders that all have in common.

    This name is what `potency reader` calls a row when it is given the same folder.
    """
    files = [file for file in sets.files(set) if file.error is None and not file.facts.get("table")]
    parts = [PurePosixPath(file.name).parts for file in files]
    shared = 0
    while parts and all(len(one) > shared + 1 for one in parts) and len({one[shared] for one in parts}) == 1:
        shared += 1
    return {file.id: (file, "/".join(one[shared:])) for file, one in zip(files, parts, strict=True)}


def known(sets: Sets, set: str) -> list[Known]:
    """Everything that may be the truth: folder names, and the columns of tables."""
    rows = rows_of(sets, set)
    folders = _folders(rows)
    found = [_summed(FOLDERS, "names of folders", folders)] if folders else []
    for file in sets.files(set):
        if not file.facts.get("table"):
            continue
        frame = _joined(sets, set, file, rows)
        if frame is None:
            continue
        for column in list(frame.columns)[:MOST]:
            values = {id: cell for id, cell in zip(rows, frame[column], strict=True) if _told(cell)}
            if values:
                found.append(_summed(f"{file.id}:{column}", f"{column} of {file.name}", values))
    return found


def suggested(found: list[Known], words: tuple[str, ...], *others: str) -> str:
    """The id of what is named by one of some words, as a column is (`truth`, `label`), else of the others; or ""."""
    from potency.data.columns import plain

    named = [one.id for one in found if plain(one.id.partition(":")[2]) in words]
    return next(iter([*named, *(one.id for one in found if one.id in others)]), "")


def values(sets: Sets, set: str, source: str) -> dict[str, Any]:
    """The value of each image by its id, from a source of `known`; those without one are absent.

    Raises:
        PotencyError: there is no such source.
    """
    rows = rows_of(sets, set)
    if source == FOLDERS:
        return _folders(rows)
    file, _, column = source.partition(":")
    table = next((one for one in sets.files(set) if one.id == file and one.facts.get("table")), None)
    frame = _joined(sets, set, table, rows) if table else None
    if frame is None or column not in frame:
        raise PotencyError("there is no such source of labels", source[-40:], "choose one of the list")
    return {id: cell for id, cell in zip(rows, frame[column], strict=True) if _told(cell)}


def grouped(sets: Sets, set: str, truth: Mapping[str, Any]) -> tuple[dict[str, str], str]:
    """Groups by what file names tell, and how they were found; {} where they tell nothing."""
    import pandas as pd

    from potency.data.groups import infer_groups

    rows = rows_of(sets, set)
    frame = pd.DataFrame({"image": [name for _, name in rows.values()]})
    if any(truth.get(id) is not None for id in rows):
        frame["truth"] = [str(truth.get(id, "")) for id in rows]
    found = infer_groups(frame)
    if found is None or found[1].startswith("inferred from folder") and truth:
        return {}, ""
    return dict(zip(rows, map(str, found[0]), strict=True)), found[1]


def _folders(rows: Mapping[str, tuple[File, str]]) -> dict[str, Any]:
    """The innermost first folder that tells images apart."""
    from potency.data.folders import truth_and_split

    told = truth_and_split([PurePosixPath(name).parts[:-1] for _, name in rows.values()]).get("truth")
    if told is None or told.nunique() < 2:
        return {}
    return {id: str(cell) for id, cell in zip(rows, told, strict=True) if _told(cell)}


def _joined(sets: Sets, set: str, file: File, rows: Mapping[str, tuple[File, str]]) -> pd.DataFrame | None:
    """A table with a row for each image, in their order; None where it names none of them."""
    from potency.data.columns import IMAGE, plain
    from potency.data.tables import read_table
    from potency.errors import ManifestError

    try:
        frame = read_table(sets.path(set, file))[0]
    except ManifestError:
        return None
    keys = next((c for c in frame.columns if plain(str(c)) in (*IMAGE, "id", "name")), None)
    if keys is None:
        return None
    frame = frame.drop_duplicates(keys).set_index(frame[keys].drop_duplicates().astype(str).str.replace("\\", "/"))
    names = [name if name in frame.index else PurePosixPath(name).name for _, name in rows.values()]
    if not any(name in frame.index for name in names):
        short = frame.set_axis([PurePosixPath(str(name)).name for name in frame.index], axis=0)
        frame = short[~short.index.duplicated(keep=False)]
        names = [PurePosixPath(name).name for name in names]
    if not any(name in frame.index for name in names):
        return None
    return frame.drop(columns=keys).reindex(names)


def _told(cell: Any) -> bool:
    return cell is not None and cell == cell and str(cell).strip() != ""


def _summed(id: str, title: str, found: Mapping[str, Any]) -> Known:
    counts: dict[str, int] = {}
    for cell in found.values():
        counts[str(cell)] = counts.get(str(cell), 0) + 1
    few = dict(sorted(counts.items())[:12])
    return Known(id, title, all(_number(cell) for cell in found.values()), few, len(found), len(counts))


def _number(cell: Any) -> bool:
    try:
        float(cell)
    except (TypeError, ValueError):
        return False
    return True
