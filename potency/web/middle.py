"""Which part of a stack or a movie the pages show, answer about, measure and learn from: its middle plane and time."""

from __future__ import annotations

from collections.abc import Iterable

from potency.web.sets import File


def middle(file: File, axis: str) -> int | None:
    """The middle time ("T") or plane ("Z") of an image that has several: the one that pages show.

    >>> middle(File("f", 0, "a.tif", 0, "", {"axes": "TZYX", "shape": [1, 7, 8, 8]}), "Z")
    3
    """
    axes = str(file.facts.get("axes") or "")
    many = int(file.facts["shape"][axes.index(axis)]) if axis in axes else 1
    return many // 2 if many > 1 else None


def middles(files: Iterable[File]) -> dict[str, dict[str, int]]:
    """The cells of the columns `t` and `z`, by the id of the file: what is answered about is what pages show."""
    files = list(files)
    found = {axis.lower(): {file.id: at for file in files if (at := middle(file, axis)) is not None} for axis in "TZ"}
    return {column: cells for column, cells in found.items() if cells}


def part_of(file: File, channel: str = "") -> str:
    """Which part of an image is meant, in words; "" where it has but one.

    >>> facts = {"axes": "TCYX", "shape": [5, 2, 8, 8], "channels": ["DAPI", "GFP"]}
    >>> part_of(File("f", 0, "a.tif", 0, "", facts), "1")
    'time 3 of 5, channel GFP'
    """
    axes, names = str(file.facts.get("axes") or ""), [str(name) for name in file.facts.get("channels") or ()]
    said = [f"{what} {at + 1} of {file.facts['shape'][axes.index(axis)]}"
            for what, axis in (("time", "T"), ("plane", "Z")) if (at := middle(file, axis)) is not None]  # fmt: skip
    if channel and len(names) > 1:
        known = channel not in names and channel.isdecimal() and int(channel) < len(names)
        said.append(f"channel {names[int(channel)] if known else channel}")
    return ", ".join(said)
