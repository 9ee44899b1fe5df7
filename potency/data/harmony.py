"""Reads what the index file of an Opera or Operetta export says of its images: channels, times, size of a pixel."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pandas as pd

from potency.errors import ManifestError

INDEX = ("Index.idx.xml", "Index.xml")
HOUR = 3600.0  # seconds


def add_index(frame: pd.DataFrame, folder: Path) -> pd.DataFrame:
    """The rows with what the index beside each image says: `channel` by name, `time` in hours, `pixel_size` in um.

    Rows whose folder holds no index, and facts that it lacks, stay as the file names tell them.

    Raises:
        ManifestError: an index that cannot be read.
    """
    paths = frame["image"].map(Path)
    known: dict[str, dict[str, object]] = {}
    for parent in sorted({path.parent for path in paths}):
        index = next((path for path in (folder / parent / name for name in INDEX) if path.is_file()), None)
        if index is not None:
            known |= {str(parent / name): facts for name, facts in _read(index).items()}
    found = [known.get(str(path), {}) for path in paths]
    for column in ("channel", "time", "pixel_size"):
        told = pd.Series([facts.get(column) for facts in found], index=frame.index)
        if told.notna().all() and len(told):
            frame = frame.assign(**{column: told.astype("str" if column == "channel" else "float64")})
    return frame


def _read(index: Path) -> dict[str, dict[str, object]]:
    """File name -> facts. Elements are let go as they are read: an index of a large plate has a million."""
    found: dict[str, dict[str, object]] = {}
    shared: dict[str, dict[str, object]] = {}
    try:
        for _, element in ElementTree.iterparse(index):
            name = element.tag.rpartition("}")[2]
            # Harmony 6 writes what all images of a channel share once, in a map.
            if name == "Entry" and element.get("ChannelID"):
                shared.setdefault(str(element.get("ChannelID")), {}).update(_facts(element))
            elif name == "Image":
                url = _text(element, "URL")
                if url:
                    found[Path(url).name] = {**shared.get(_text(element, "ChannelID"), {}), **_facts(element)}
                element.clear()
    except (ElementTree.ParseError, LookupError, ValueError, OSError) as fault:  # also of an encoding nobody knows
        raise ManifestError("the index of the plate cannot be read", str(index),
                            f"copy it again from the export, or take it away ({fault})") from fault
    return found


def _text(element: ElementTree.Element, name: str) -> str:
    return (element.findtext(f"{{*}}{name}") or "").strip()


def _facts(element: ElementTree.Element) -> dict[str, object]:
    from potency.data.readers.resolution import in_um

    facts: dict[str, object] = {}
    if name := _text(element, "ChannelName"):
        facts["channel"] = "".join(letter if letter.isalnum() or letter in " -_+" else "_" for letter in name)
    for tag, column in (("MeasurementTimeOffset", "time"), ("ImageResolutionX", "pixel_size")):
        part = element.find(f"{{*}}{tag}")
        if part is None or not (part.text or "").strip():
            continue
        if column == "time":
            try:
                facts[column] = float(str(part.text)) / HOUR
            except ValueError:
                continue
        elif (um := in_um(str(part.text).strip(), part.get("Unit", "m"))) is not None:
            facts[column] = um
    return facts
