"""Wells by their one spelling, and the plate map that says what was in each: a list, or the plate as a grid."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd

from potency.data.columns import plain, seen
from potency.data.findings import Finding, some
from potency.data.folders import natural
from potency.data.tables import read_table, typed
from potency.errors import ManifestError

WELL = ("well", "wellid", "wellname", "wellposition")
PLATE = ("plate", "plateid", "platename", "barcode")
_LETTERED = re.compile(r"(?:well[ _-]?)?([A-Z]|A[A-F])[ _-]?0*([1-9]\d?)", re.IGNORECASE)
_NUMBERED = re.compile(r"r0*([1-9]\d?)[ _-]?c0*([1-9]\d?)", re.IGNORECASE)
ROWS, COLUMNS = 32, 48  # of the largest plate, 1,536 wells
FORMS = ("a map is a list with a column well (and plate, and one a fact: well,label,dose), or a grid with the numbers "
         "1, 2, 3 ... in its first line and the letters A, B, C ... in its first column")


def well_name(text: str) -> str | None:
    """The usual spelling of a well; None where the text names none.

    >>> [well_name(text) for text in ("A1", "a01", "well H-12", "r02c03", "AF48", "Z9", "total")]
    ['A01', 'A01', 'H12', 'B03', 'AF48', 'Z09', None]
    """
    numbered = _NUMBERED.fullmatch(text.strip())
    if numbered:
        row, column = int(numbered[1]), int(numbered[2])
    else:
        lettered = _LETTERED.fullmatch(text.strip())
        if not lettered:
            return None
        row = 0
        for letter in lettered[1].upper():
            row = 26 * row + ord(letter) - ord("A") + 1
        column = int(lettered[2])
    if row > ROWS or column > COLUMNS:
        return None
    return ("A" if row > 26 else "") + chr(ord("A") + (row - 1) % 26) + f"{column:02d}"


def read_map(path: Path) -> pd.DataFrame:
    """The plate map as rows with `well`, `plate` where it names plates, and a column a fact (a grid gives `truth`).

    Raises:
        ManifestError: neither form, a cell that is no well, or a well that stands twice.
    """
    frame, _ = read_table(path)
    grid = _grid(frame)
    if grid is not None:
        return grid
    names = {plain(str(column)): str(column) for column in frame.columns}
    well = next((names[name] for name in WELL if name in names), None)
    if well is not None:
        spelt = frame[well].astype("str")
    elif "row" in names and ("column" in names or "col" in names):
        column = names.get("column", names.get("col", ""))
        rows, numbers = frame[names["row"]].astype("str"), frame[column].astype("str")
        spelt = rows.str.replace(r"^(\d+)$", r"r\1c", regex=True).str.cat(numbers)
        frame = frame.drop(columns=[names["row"], column])
    else:
        raise ManifestError("the plate map names no wells", f"{path}, {seen(frame)}", FORMS)
    wells = spelt.map(well_name)
    odd = spelt[wells.isna()]
    if len(odd):
        raise ManifestError(f"{len(odd)} cells of the plate map are no wells: {some(sorted(set(odd)))}", str(path),
                            "write them like A1, A01 or r01c01, and leave out sums and empty lines")
    facts = {str(name): typed(frame[name]) for name in frame.columns if name != well}
    made = pd.DataFrame({"well": wells.astype("str"), **facts})
    plate = next((names[name] for name in PLATE if name in names), None)
    if plate is not None:
        made = made.drop(columns=plate).assign(plate=frame[plate].astype("str"))
    keys = [name for name in ("plate", "well") if name in made.columns]
    again = made[made.duplicated(keys, keep=False)]
    if len(again):
        twice = sorted(set(again[keys].agg(" ".join, axis=1)), key=natural)
        raise ManifestError(f"{len(twice)} wells stand twice in the plate map: {some(twice)}", str(path),
                            "keep one line a well; name the plate in a column plate where there are several")
    return made


def _grid(frame: pd.DataFrame) -> pd.DataFrame | None:
    """A map in the form of the plate as a list of wells; None where the table has another form."""
    numbers = [re.fullmatch(r"0*([1-9]\d?)(?:\.0)?", str(name)) for name in frame.columns[1:]]
    letters = frame.iloc[:, 0].astype("str").str.strip()
    if not numbers or not all(numbers) or not letters.str.fullmatch("[A-Za-z]|A[A-F]").all():
        return None
    cells = [(well_name(letter + found[1]), str(cell).strip())
             for letter, row in zip(letters, frame.iloc[:, 1:].itertuples(index=False), strict=True)
             for found, cell in zip(numbers, row, strict=True) if found and not pd.isna(cell) and str(cell).strip()]
    made = pd.DataFrame(cells, columns=["well", "truth"], dtype="str")
    return made.assign(truth=typed(made["truth"]))


def join_map(frame: pd.DataFrame, path: Path) -> tuple[pd.DataFrame, str, tuple[Finding, ...]]:
    """The rows with the columns of their well in the plate map, how it was joined, and wells that found no partner.

    A map that names plates is joined on plate and well, another one holds for every plate. Its columns replace
    columns of the same name. A map with one fact a well, whatever its name, gives the truth.

    Raises:
        ManifestError: the rows or the map name no wells, or no well is in both.
    """
    names = {plain(str(column)): str(column) for column in frame.columns}
    column = next((names[name] for name in WELL if name in names), None)
    if column is None:
        raise ManifestError("the rows have no wells to look up in the plate map", seen(frame),
                            "name the wells in a column well, or let the file names tell: --names")
    facts = read_map(path)
    keys = ["well"]
    rows = pd.DataFrame({"well": frame[column].astype("str").map(lambda text: well_name(text) or text)})
    if "plate" in facts.columns:
        plate = next((names[name] for name in PLATE if name in names), None)
        if plate is None and facts["plate"].nunique() > 1:
            raise ManifestError("the plate map names plates and the rows do not", f"{path}, {seen(frame)}",
                                "give the rows a column plate, or use a map of one plate")
        if plate is None:
            facts = facts.drop(columns="plate")
        else:
            keys, rows["plate"] = ["plate", "well"], frame[plate].astype("str")
    there, known = rows[keys].agg(" ".join, axis=1), facts[keys].agg(" ".join, axis=1)
    if not there.isin(known).any():
        raise ManifestError("no well of the plate map has an image",
                            f"{path}: {some(known.tolist(), 3)}; images: {some(sorted(set(there)), 3)}",
                            "give the map of these plates; plates and wells must be called alike")
    looked = facts.drop(columns=keys).set_index(pd.Index(known)).reindex(there)
    if len(looked.columns) == 1:
        looked.columns = pd.Index(["truth"])
    joined = frame.assign(**{str(name): looked[name].array for name in looked.columns})
    lost = sorted(set(there[~there.isin(known)]), key=natural)
    empty = sorted(set(known[~known.isin(there)]), key=natural)
    where, findings = f"plate map {path.name}", []
    if lost:
        findings.append(Finding("wells-not-in-map", f"{len(lost)} wells with images are not in the plate map: "
                                f"{some(lost)}", where, "add them to the map; until then nothing is known of them"))
    if empty:
        findings.append(Finding("wells-without-images", f"{len(empty)} wells of the plate map have no image: "
                                f"{some(empty)}", where, "copy their images, or leave it so"))
    how = f"{path.name}: {', '.join(map(str, looked.columns))} of {there[there.isin(known)].nunique()} wells"
    return joined, how, tuple(findings)
