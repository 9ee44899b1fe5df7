"""What a person says of the labels and groups of a set, as words of a form, and the rows that follow from it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from potency.errors import PotencyError
from potency.web.middle import middles
from potency.web.sets import File, Sets

if TYPE_CHECKING:
    from potency.data.manifest import Manifest

FOLDERS, TYPED = "folders", "typed"  # where labels come from, beside the id of a table
WORDS = ("labels", "truth", "group", "names")  # the arguments of a job that say how rows are understood


def called(files: list[File]) -> dict[str, File]:
    """The files by what they are called; the second of one name has a number behind it.

    >>> [*called([File("1", 0, "a.png", 0, "", {}), File("2", 1, "a.png", 0, "", {})])]
    ['a.png', 'a (2).png']
    """
    named: dict[str, File] = {}
    for file in files:
        name, number = file.name, 1
        while name in named:
            number += 1
            stem, dot, end = file.name.rpartition(".")
            name = f"{stem} ({number}){dot}{end}" if dot else f"{file.name} ({number})"
        named[name] = file
    return named


def tables(files: list[File]) -> list[File]:
    """The tables among the files of a set, those called labels or manifest first."""
    found = [file for file in files if file.facts.get("table") and not file.name.lower().endswith(".txt")]
    return sorted(found, key=lambda file: not file.name.rpartition("/")[2].lower().startswith(("labels.", "manifest.")))


def usual(sets: Sets, set: str) -> str:
    """Where labels come from when nobody says: a table, else labels typed here, else folders."""
    among = tables(sets.files(set))
    return among[0].id if among else TYPED if sets.find(set).facts.get("labels") else FOLDERS


def labelled(sets: Sets, set: str, words: Mapping[str, Any]) -> tuple[Manifest, dict[str, File]]:
    """The rows of a set with labels and groups as `words` say (`labels`, `truth`, `group`, `names`), and its files.

    Files stand by the name under which they are stored, as the column `image` has them.

    Raises:
        PotencyError: nothing to understand, see `named_rows`; Missing: no such set or table.
    """
    from potency.data.named import Told, named_rows

    files, paths, facts = sets.files(set), sets.paths(set), sets.find(set).facts
    named = called(files)
    source = str(words.get("labels") or usual(sets, set))
    table = None
    if source not in (FOLDERS, TYPED):
        chosen = sets.file(set, source)
        if not chosen.facts.get("table"):
            raise PotencyError("this file is no table", chosen.name, "choose a CSV, Excel or Parquet file of the set")
        table = (paths[chosen.id], chosen.name)
    by_file = facts.get("labels", {}) if source == TYPED else {}
    told = Told(
        table, {name: by_file[file.id] for name, file in named.items() if file.id in by_file},
        str(words.get("truth") or ""), str(words.get("group") or ""), str(words.get("names") or ""),
    )  # fmt: skip
    if source == TYPED and not told.labels:
        raise PotencyError("no image has a label yet", sets.find(set).title, "type labels, or take them from folders")
    manifest = named_rows({name: paths[file.id].name for name, file in named.items() if file.id not in tabled(files)},
                          sets.store.place("sets", set), told)  # fmt: skip
    stored = {paths[file.id].name: file for file in files}
    manifest = _middle(manifest, stored)
    if facts.get("simulated") and "simulated" not in manifest.table:
        manifest = manifest.add({"simulated": [True] * len(manifest)})
    return manifest, stored


def _middle(manifest: Manifest, stored: Mapping[str, File]) -> Manifest:
    """Rows of stacks and movies with the plane and time that pages show, where the table does not say another."""
    ids = [stored[str(image)].id if str(image) in stored else "" for image in manifest.table["image"]]
    for column, cells in middles(stored.values()).items():
        told = manifest.table[column].tolist() if column in manifest.table else [None] * len(ids)
        usual = [cells.get(id) for id in ids]
        kept = [own if value is None or value != value else value for value, own in zip(told, usual, strict=True)]
        manifest = manifest.add({column: kept})
    return manifest


def tabled(files: list[File]) -> frozenset[str]:
    """The ids of the files that are tables."""
    return frozenset(file.id for file in files if file.facts.get("table"))
