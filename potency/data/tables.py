"""Reads and writes table files (CSV in its dialects, Excel, Parquet) as frames of plain text, safely and atomically."""

from __future__ import annotations

import csv
import io
import json
import re
import warnings
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from potency.data.whole import replacing
from potency.errors import ManifestError

TEXT_SUFFIXES = (".csv", ".tsv", ".txt", ".tab")
TABLE_SUFFIXES = (".parquet", ".csv", ".tsv", ".xlsx", ".txt", ".tab")
_SEPARATORS = (",", ";", "\t", "|")
_MISSING = ("", "na", "nan", "n/a", "null", "none", "#n/a")
_METADATA = b"potency"
LARGEST_SHEETS = 2**30  # bytes of XML: a million rows of twenty columns; a cell takes many times that in memory
# A spreadsheet runs a cell that begins with one of these as a formula.
_FORMULA = r"^'*[=+\-@\t\r]"
_GUARDED = r"^'+[=+\-@\t\r]"


def read_table(path: Path, bare: bool = False) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Read a table file; text files give columns of text (see `typed`), and what was saved with a Parquet table.

    Understands comma, semicolon, tab and bar, UTF-8 with or without a byte-order mark, UTF-16 and cp1252,
    the first sheet of an Excel file that is not empty, and Parquet. `bare`: it may have no rows.

    Raises:
        ManifestError: no such file, not a table, ragged rows, repeated or empty column names, no rows.
    """
    if not path.is_file():
        raise ManifestError("there is no such table", str(path), "check the path")
    suffix = path.suffix.lower()
    if suffix not in TABLE_SUFFIXES:
        raise ManifestError(f"'{suffix or path.name}' is not a kind of table", str(path),
                            "give a " + ", ".join(TABLE_SUFFIXES[:4]) + " file or a folder")
    try:
        if suffix == ".parquet":
            frame, saved = _read_parquet(path)
        elif suffix == ".xlsx":
            frame, saved = _read_excel(path), {}
        else:
            frame, saved = _read_text(path), {}
    except (OSError, ValueError) as fault:  # pyarrow and pandas raise subclasses of these two
        raise ManifestError("the table cannot be read: " + (str(fault).splitlines() or [""])[0], str(path),
                            "open it in the program it came from and export it again") from fault
    names = [str(name).strip() for name in frame.columns]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise ManifestError("a column stands twice: " + ", ".join(repeated), str(path), "rename or remove one")
    frame.columns = pd.Index(names)
    if not len(frame) and not bare:
        raise ManifestError("the table has no rows", f"{path}, columns: {', '.join(names)}", "export it with its rows")
    return frame, saved


def _read_parquet(path: Path) -> tuple[pd.DataFrame, dict[str, Any]]:
    from pyarrow import parquet

    table = parquet.read_table(path)
    saved: Any = {}
    if table.schema.metadata and _METADATA in table.schema.metadata:
        saved = json.loads(table.schema.metadata[_METADATA])
    return table.to_pandas(), saved if isinstance(saved, dict) else {}


def _read_excel(path: Path) -> pd.DataFrame:
    from zipfile import BadZipFile, ZipFile

    try:
        with ZipFile(path) as archive:
            unpacked = sum(member.file_size for member in archive.infolist())
        if unpacked > LARGEST_SHEETS:
            raise ManifestError(f"the Excel file would unpack to {unpacked / 2**30:.1f} GiB", str(path),
                                "save the table as .csv or .parquet; if it is small, the file is a bomb")
        sheets = pd.read_excel(path, sheet_name=None, dtype=object, engine="openpyxl")
    except (BadZipFile, KeyError) as fault:
        raise ManifestError("this is not an Excel file, whatever its name says", str(path),
                            "save it again as .xlsx or .csv") from fault
    for sheet in sheets.values():
        if len(sheet):
            return _restored(sheet.map(_excel_text).astype("str"))
    return pd.DataFrame()


def _excel_text(cell: object) -> str:
    if cell is None or cell is pd.NaT or (isinstance(cell, float) and np.isnan(cell)):
        return ""
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))  # Excel knows no integers: plate 7 arrives as 7.0
    return str(cell).strip()


def _read_text(path: Path) -> pd.DataFrame:
    text = _decode(path)
    first, _, rest = text.partition("\n")
    if first.strip().lower().startswith("sep=") and len(first.strip()) <= 5:
        text = rest  # Excel's own first line
    separator = _separator(text[:100_000], path)
    header = next(csv.reader(io.StringIO(text), delimiter=separator), [])
    if len(header) > 1 and not header[0].strip():
        text, header = "index" + text, ["index", *header[1:]]  # how pandas and R save their row numbers
    if any(not name.strip() for name in header):
        raise ManifestError("a column has no name", f"{path}, columns {', '.join(header)}", "name it in the first line")
    if len({name.strip() for name in header}) < len(header):
        return pd.DataFrame(columns=header, dtype="str")  # the caller names the repeated column
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)  # rows longer than the header would lose cells
            frame = pd.read_csv(io.StringIO(text), sep=separator, dtype="str", keep_default_na=False, index_col=False,
                                skipinitialspace=True)
    except (pd.errors.ParserError, pd.errors.ParserWarning) as fault:
        raise ManifestError("the rows do not fit the columns of the first line",
                            f"{path}, columns {', '.join(header)}",
                            f"quote cells that hold the separator, and mend odd rows ({str(fault).strip()})") from fault
    frame = frame.apply(lambda cells: cells.str.strip())
    return _restored(frame) if "'" in text else frame


def _decode(path: Path) -> str:
    raw = path.read_bytes()
    if not raw.strip():
        raise ManifestError("the table is empty", str(path), "export it again")
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        return raw.decode("utf-16")
    if b"\0" in raw:
        raise ManifestError("this is not a text table, whatever its name says", str(path),
                            "give a CSV, Excel or Parquet file with its right ending")
    for encoding in ("utf-8-sig", "cp1252"):
        try:
            return raw.decode(encoding)
        except UnicodeDecodeError:
            continue
    return raw.decode("latin-1")


def _separator(text: str, path: Path) -> str:
    """The separator under which the first lines have the same number of cells, and most of them."""
    lines = [line for line in text.splitlines()[:50] if line.strip()]
    preferred = ("\t", *_SEPARATORS) if path.suffix.lower() in (".tsv", ".tab") else _SEPARATORS
    best, score = preferred[0], (False, 1)
    for separator in preferred:
        widths = [len(row) for row in csv.reader(lines, delimiter=separator)]
        regular = len(set(widths)) == 1
        if widths and widths[0] > 1 and (regular, widths[0]) > score:
            best, score = separator, (regular, widths[0])
    return best


def typed(cells: pd.Series) -> pd.Series:
    """A text column as numbers or truth values where nothing is lost by it, else as it is.

    `007` stays text (it is a name), `1,5` is a number (a decimal comma), empty and NA cells are missing.

    >>> typed(pd.Series(["1", "2"])).tolist(), typed(pd.Series(["007", "8"])).tolist()
    ([1, 2], ['007', '8'])
    """
    if not pd.api.types.is_string_dtype(cells):
        return cells
    missing = cells.isna() | cells.str.lower().isin(_MISSING)
    present = cells[~missing]
    if present.empty:
        return cells
    if present.str.lower().isin(["true", "false"]).all() and not missing.any():
        return cells.str.lower() == "true"
    if present.head(1000).str.match(r"^[+-]?0\d").any():
        return cells
    plain = present.str.replace(",", ".", regex=False) if present.str.fullmatch(r"[^,]*,?[^,]*").all() else present
    numbers = pd.to_numeric(plain, errors="coerce")
    if numbers.isna().any() or present.str.match(r"^[+-]?0\d").any():
        return cells
    if not missing.any():
        return numbers
    whole = pd.Series(np.nan, index=cells.index, dtype="float64", name=cells.name)
    whole[~missing] = numbers.astype("float64")
    return whole


def write_table(frame: pd.DataFrame, path: Path, saved: Mapping[str, Any]) -> Path:
    """Write Parquet (with `saved` in its metadata), CSV, TSV or Excel; the old file stays until the new one is whole.

    Text that a spreadsheet would run as a formula is written with a leading apostrophe, which `read_table` removes.
    """
    suffix = path.suffix.lower()
    if suffix == ".parquet":
        _replace(path, lambda part: _write_parquet(frame, part, saved))
    elif suffix in (".csv", ".tsv"):
        separator = "\t" if suffix == ".tsv" else ","
        _replace(path, lambda part: guarded(frame).to_csv(part, index=False, sep=separator, encoding="utf-8"))
    elif suffix == ".xlsx":
        _replace(path, lambda part: guarded(frame).to_excel(part, index=False, engine="openpyxl"))
    else:
        raise ManifestError(f"a table cannot be written as '{suffix}'", str(path), "end it in .parquet, .csv or .xlsx")
    return path


def write_pieces(pieces: Iterable[pd.DataFrame], path: Path, saved: Mapping[str, Any]) -> Path:
    """Write a table piece by piece, as `write_table` does, in the memory of one piece; the first says names and types.

    Raises:
        ManifestError: it cannot be written, or is to be anything but Parquet, CSV or TSV.
    """
    suffix = path.suffix.lower()
    if suffix not in (".parquet", ".csv", ".tsv"):
        raise ManifestError(f"a table of many rows cannot be written as '{suffix}'", str(path),
                            "end it in .parquet or .csv")
    _replace(path, lambda part: (_parquet_pieces if suffix == ".parquet" else _text_pieces)(pieces, part, saved))
    return path


def _parquet_pieces(pieces: Iterable[pd.DataFrame], part: Path, saved: Mapping[str, Any]) -> None:
    import pyarrow
    from pyarrow import parquet

    writer = None
    for piece in pieces:
        if writer is None:
            schema = pyarrow.Schema.from_pandas(piece, preserve_index=False)
            known = [pyarrow.field(each.name, pyarrow.string()) if each.type == pyarrow.null() else each
                     for each in schema]  # nothing in the first piece: text, if anything
            note = {_METADATA: json.dumps(dict(saved), sort_keys=True).encode()}
            schema = pyarrow.schema(known, {**(schema.metadata or {}), **note})
            writer = parquet.ParquetWriter(part, schema)
        writer.write_table(pyarrow.Table.from_pandas(piece, schema, preserve_index=False))
    if writer is not None:
        writer.close()


def _text_pieces(pieces: Iterable[pd.DataFrame], part: Path, saved: Mapping[str, Any]) -> None:
    with part.open("w", encoding="utf-8", newline="") as file:
        for number, piece in enumerate(pieces):
            separator = "\t" if part.suffix.lower() == ".tsv" else ","
            guarded(piece).to_csv(file, index=False, sep=separator, header=number == 0)


def _write_parquet(frame: pd.DataFrame, part: Path, saved: Mapping[str, Any]) -> None:
    import pyarrow
    from pyarrow import parquet

    table = pyarrow.Table.from_pandas(frame, preserve_index=False)
    note = {_METADATA: json.dumps(dict(saved), sort_keys=True).encode()}
    parquet.write_table(table.replace_schema_metadata({**(table.schema.metadata or {}), **note}), part)


def guarded(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with every text cell and column name made harmless for spreadsheets.

    >>> guarded(pd.DataFrame({"a": ["=1+1", "ok"]}))["a"].tolist()
    ["'=1+1", 'ok']
    """
    safe = frame.copy()
    for name in safe.columns:
        if pd.api.types.is_string_dtype(safe[name]) or safe[name].dtype == object:
            text = safe[name].map(lambda cell: cell if isinstance(cell, str) else None)
            risky = text.str.match(_FORMULA).fillna(False).astype(bool)
            safe.loc[risky, name] = "'" + text[risky]
    safe.columns = pd.Index(["'" + name if pd.Series([name]).str.match(_FORMULA).iloc[0] else name
                             for name in map(str, safe.columns)])
    return safe


def _restored(frame: pd.DataFrame) -> pd.DataFrame:
    """The text as it was before `guarded`."""
    for name in frame.columns:
        marked = frame[name].str.match(_GUARDED).fillna(False).astype(bool)
        if marked.any():
            frame[name] = frame[name].where(~marked, frame[name].str.slice(1))
    frame.columns = pd.Index([re.sub(_GUARDED, lambda match: match[0][1:], str(name)) for name in frame.columns])
    return frame


def _replace(path: Path, write: Callable[[Path], object]) -> None:
    """Write beside the target and swap at the end, so that a full disk or a kill leaves the old file whole."""
    try:
        with replacing(path) as part:
            write(part)
    except OSError as fault:
        raise ManifestError(f"the table cannot be written: {fault.strerror or fault}", str(path),
                            "choose a folder you may write to, with room") from fault
