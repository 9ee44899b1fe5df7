"""The whole list of bad inputs with what the program says to each: `python tests/bad_inputs.py --write` prints it.

Every case goes through a door that a user would use. `tests/test_bad_input.py` holds the program to the list, and
`docs/bad-input.md` to what the program says. With `--long` the largest table is as large as it can be.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

# A program of its own when it writes the page: set before anything brings torch along, as tests/conftest.py does.
for _name, _value in {"OMP_WAIT_POLICY": "PASSIVE", "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}.items():
    os.environ.setdefault(_name, _value)

import bad_bombs  # noqa: E402
import bad_disks  # noqa: E402
import bad_images  # noqa: E402
import bad_machine  # noqa: E402
import bad_masks  # noqa: E402
import bad_metadata  # noqa: E402
import bad_models  # noqa: E402
import bad_options  # noqa: E402
import bad_questions  # noqa: E402
import bad_tables  # noqa: E402
from bad_case import Case, Told, told  # noqa: E402

PAGE = Path(__file__).parents[1] / "docs" / "bad-input.md"
AREAS: dict[str, list[Case]] = {
    "Images": [*bad_images.CASES, *bad_bombs.CASES, *bad_metadata.CASES],
    "Masks": bad_masks.CASES,
    **bad_tables.CASES,
    "Models": bad_models.CASES,
    "Machine": [*bad_disks.CASES, *bad_machine.CASES],
    "Options": [*bad_options.CASES, *bad_questions.CASES],
}

# What must be survived, by area; a case belongs to one of them, and none is without a case.
ITEMS: dict[str, tuple[str, ...]] = {
    "Images": (
        "missing", "zero bytes", "truncated", "wrong extension", "bomb", "NaN, inf, constant", "1x1, 1xN", "12-in-16",
        "signed", "float64", "bool", "complex", "big-endian", "planar", "CMYK, palette, RGBA", "16-bit RGB", "BigTIFF",
        "tiled JPEG-in-TIFF", "colour models, compressions", "pages that could be Z, T or C", "0 pages",
        "missing, zero, negative or absurd pixel size", "metadata that disagrees with arguments", "huge XML",
        "XML entities", "corrupt or missing zarr chunk", "zarr v2/v3 mixed", "sharded", "symlinked", "remote path",
    ),
    "Masks": (
        "mask and image of different size", "no objects", "gaps in the ids", "negative or fractional ids",
        "objects on every border", "one object fills the image", "larger than the tile", "corrupt zarr chunk",
        "boxes outside, or of no size", "outlines that cross themselves", "channels it was not trained on",
        "disk full in the middle of a slide",
    ),
    "Tables": (
        "wrong or duplicate column", "duplicate ids", "BOM", "semicolons", "decimal comma", "cp1252", "10^7 rows",
        "empty", "formula injection on export", "absolute, relative, .., unicode, space, 300-character paths",
        "wrong extension", "bomb",
    ),
    "Splits": (
        "one group", "one class", "one image", "class missing from a split", "same image twice",
        "same group on both sides", "unknown split",
    ),
    "Models": (
        "pickle disguised as weights", "newer schema", "wrong shapes", "NaN weights", "changed weights", "missing card",
        "damaged files", "path traversal in the archive", "unknown key of a plan",
    ),
    "Machine": (
        "disk full mid-write", "read-only folder", "kill -9 at any moment", "out of memory", "clock going backwards",
        "two processes on one folder", "no GPU though asked", "interrupted download", "no network",
    ),
    "Options": (
        "suggest", "rehearse", "labels", "pretrain", "pool", "early", "controls", "explain", "embed", "similar",
    ),
}  # fmt: skip

HEAD = """# Bad input

What the program does with input that is damaged, made to harm, or only unusual, and with a machine that fails. What
is refused is refused in three lines: what is wrong, where (left out below: the file or the column), how to mend it.
What is survived has nothing to mend. Reasons that come from libraries are written as (reason).

This page is printed by `python tests/bad_inputs.py --write`, from the cases that `pytest tests/test_bad_input.py`
tries. Beside it, `pytest tests/test_fuzz.py` reads damaged files of every format, and `python tests/fuzz.py --each
3000` many more: pixels or a refusal, never a crash, a hang or more memory than the limits. A training that is killed
goes on to the same weights (`pytest tests/test_learning.py`).
"""


def page(outcome: Callable[[Case], Told | None]) -> str:
    """The page of the list; `outcome` tries a case, or gives None for one that this machine cannot try."""
    lines = [HEAD]
    for area, cases in AREAS.items():
        lines += [f"## {area}\n", "| | given | the program says | and how to mend it |", "|---|---|---|---|"]
        order = ITEMS[area].index
        lines += [row(case, outcome(case)) for case in sorted(cases, key=lambda case: order(case.item))]
        lines.append("")
    return "\n".join(lines).rstrip() + "\n"


def row(case: Case, seen: Told | None) -> str:
    what, mend = (seen.what, seen.mend) if seen else (case.says, case.mend)
    cells = (case.item, case.given, what, mend)
    return "| " + " | ".join(cell.replace("|", r"\|").replace("<", "&lt;") for cell in cells) + " |"


def tried(case: Case) -> Told | None:
    """What the program says to a case, in a folder that is gone afterwards."""
    if case.needs:
        return None
    with tempfile.TemporaryDirectory() as folder:
        return told(case, Path(folder))


if __name__ == "__main__":
    made = page(tried)
    if "--write" in sys.argv:
        PAGE.write_text(made, encoding="utf-8")
    else:
        print(made, end="")
