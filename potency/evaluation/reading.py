"""A blinded reading: a page that shows images without names to a person, and their answers as a prediction column."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from potency.data import tables
from potency.errors import AnswerError, ManifestError
from potency.evaluation.gallery import embedded, stretched
from potency.evaluation.paper import printed

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

    from potency.data.manifest import Manifest

KEYS = 9  # classes that a digit each can name
LONGEST = 512  # pixels of the longer side of a picture on the page
READER = re.compile(r"^[A-Za-z0-9_-]+$")
UNSURE = ""  # the answer of who cannot tell: no answer


@dataclass(frozen=True)
class Shown:
    """One image of a reading: its code, which tells nothing, and its picture as a data URI."""

    code: str
    picture: str


def code(id: str, seed: int = 0) -> str:
    """What stands for the id of a row on the page and in the answers, so that no name gives a class away.

    >>> code("G1/cell_7.png"), code("G1/cell_7.png") == code("G1/cell_7.png", seed=1)
    ('9e00790217af', False)
    """
    return hashlib.sha256(f"{seed}:{id}".encode()).hexdigest()[:12]


def drawn(count: int, images: int = 0, seed: int = 0) -> NDArray[np.intp]:
    """The places of the images that are shown, of so many, in the order in which they are.

    >>> drawn(5, images=3).tolist() == drawn(5).tolist()[:3], sorted(drawn(5).tolist())
    (True, [0, 1, 2, 3, 4])
    """
    return np.random.default_rng([seed, 43]).permutation(count)[: images or None].astype(np.intp)


def page(manifest: Manifest, *, images: int = 0, seed: int = 0, title: str = "") -> str:
    """The page of a reading as one self-contained text: no server, no names, nothing fetched.

    Images come in random order, each stretched on its own from its darkest to its brightest half per cent; a person
    presses the digit of a class, may go back, may stop and go on, and downloads a CSV of `id` (a code), `answer` and
    `seconds`, which `joined` puts beside the truth.

    Args:
        manifest: rows with a truth that is a category.
        images: at most so many, drawn at random; 0: all.
        seed: of the draw, the order and the codes; `joined` must be given the same.
        title: what stands above it; it must not name a class of an image.

    Raises:
        AnswerError: under two or over nine classes. ImageError: an image cannot be read.
    """
    classes = manifest.classes
    if not 2 <= len(classes) <= KEYS:
        raise AnswerError(f"{len(classes)} classes cannot be read by the keys 1 to {KEYS}", "the truth of the rows",
                          "name two to nine classes with --classes")  # fmt: skip
    records = [row for row in manifest.records() if isinstance(row["truth"], str)]
    shown = [Shown(code(str(records[at]["id"]), seed), _picture(manifest, records[at]))
             for at in drawn(len(records), images, seed)]  # fmt: skip
    study = hashlib.sha256("".join(one.code for one in shown).encode()).hexdigest()[:16]
    said = f"{len(shown)} images in random order. Press the digit of a class; go by what you see."
    return printed(
        "evaluation/reading.html", title=title or "Which class is this?", subtitle=said, classes=classes,
        shown=[{"code": one.code, "picture": one.picture} for one in shown], study=study,
    )  # fmt: skip


def joined(manifest: Manifest, readings: Sequence[Path], seed: int = 0) -> Manifest:
    """The rows that a person has answered, with a column `prediction@<reader>` for each file of answers.

    The reader is the name of the file (`reader1.csv`), as the page writes it. An image that somebody could not tell is
    a gap in their column.

    Raises:
        AnswerError: no table of answers, codes of other rows or of another seed, a class that there is not, a reader
            twice, a code twice.
    """
    from dataclasses import replace

    ids = {code(str(name), seed): str(name) for name in manifest.table["id"]}
    made = manifest
    for path in readings:
        reader, answers = path.stem, _answers(path, set(manifest.classes))
        column = f"prediction@{reader}"
        if not READER.match(reader):
            raise AnswerError(f"{reader!r} is no name of a reader", str(path), "letters, digits, - and _ only")
        if column in made.table:
            raise AnswerError(f"there are answers of {reader!r} already", str(path), "name the file after its reader")
        strange = [name for name in answers["id"] if name not in ids]
        if strange:
            raise AnswerError(f"{len(strange)} of {len(answers)} answers are to no row of this table",
                              f"{path}, the first: {strange[0]}",
                              "give the table and the --seed that the page was made with")  # fmt: skip
        told = pd.DataFrame({"id": answers["id"].map(ids), column: answers["answer"]})
        made = made.add(told, {column: "category"})
    columns = [f"prediction@{path.stem}" for path in readings]
    kept = made.where(made.table[columns].notna().any(axis=1))
    if not len(kept):
        raise AnswerError("nobody has answered anything", ", ".join(map(str, readings)), "read some images first")
    return replace(kept, origin={**kept.origin, "readers": ", ".join(path.stem for path in readings)})


def _answers(path: Path, classes: set[str]) -> pd.DataFrame:
    """The answers of one file, checked: columns id and answer; who could not tell has no answer."""
    try:
        frame = tables.read_table(path)[0].astype("str")
    except ManifestError as error:
        raise AnswerError(error.what, error.where, error.mend) from error
    missing = {"id", "answer"} - set(map(str, frame.columns))
    if missing:
        raise AnswerError(f"the answers have no column {', '.join(sorted(missing))}", str(path),
                          "give the CSV that the page of the reading downloads")  # fmt: skip
    frame = frame[["id", "answer"]].assign(answer=frame["answer"].where(frame["answer"].ne(UNSURE)))
    twice = frame["id"][frame["id"].duplicated()]
    if len(twice):
        raise AnswerError(f"{len(twice)} images are answered twice", f"{path}, the first: {twice.iloc[0]}",
                          "keep one answer an image")  # fmt: skip
    odd = sorted(set(frame["answer"].dropna()) - classes)
    if odd:
        raise AnswerError(f"there is no class {odd[0]!r}", str(path), "known: " + ", ".join(sorted(classes)))
    return frame


def picture(pixels: NDArray[Any], longest: int = LONGEST) -> Picture:
    """Pixels (C, H, W) as a reader sees them: stretched as one, channels side by side, colour as colour.

    The longer side has at most `longest` pixels.
    """
    from PIL import Image

    if pixels.shape[0] == 3 and pixels.dtype == np.uint8:
        made = Image.fromarray(np.ascontiguousarray(np.moveaxis(stretched(pixels), 0, -1)))
    else:
        made = Image.fromarray(np.hstack([stretched(plane) for plane in pixels[:4]]))
    scale = longest / max(made.size)
    if scale < 1:
        size = (max(1, round(made.width * scale)), max(1, round(made.height * scale)))
        made = made.resize(size, Image.Resampling.BOX)
    return made


def _picture(manifest: Manifest, row: Any) -> str:
    """The image of a row as a data URI: its own window only."""
    return embedded(picture(manifest.open(row).crop(manifest.window(row))))
